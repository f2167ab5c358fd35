//! The keys in the text that a table is made of, for whoever looks at the configuration.

use std::fs::File;
use std::io;

use super::inline::quoted_key;
use super::lines::Lines;
use super::source;

/// Types whose name is the file with the source, or the same with something behind it.
const FROM_FILES: &[&[u8]] = &[b"texthash", b"hash", b"btree", b"lmdb", b"cdb", b"dbm", b"sdbm"];

/// What stands behind the name of the source in that of the index.
const SUFFIXES: &[(&str, &str)] =
    &[("hash", ".db"), ("btree", ".db"), ("lmdb", ".lmdb"), ("cdb", ".cdb")];

/// A key and the line where it stands.
pub(crate) type Key = (u32, Vec<u8>);

/// The file that the keys of `type:name` stand in, also behind `proxy:`; `None`: they stand
/// elsewhere.
pub(crate) fn source_of(spec: &[u8]) -> Option<&[u8]> {
    let spec = spec.strip_prefix(b"proxy:").unwrap_or(spec);
    let colon = spec.iter().position(|byte| *byte == b':')?;
    let (kind, name) = (&spec[..colon], &spec[colon + 1..]);
    FROM_FILES.contains(&kind).then_some(name)
}

/// The index that postmap(1) makes of `type:name`, also behind `proxy:`; `None`: it makes none.
fn index_of(spec: &[u8]) -> Option<Vec<u8>> {
    let name = source_of(spec)?;
    let spec = spec.strip_prefix(b"proxy:").unwrap_or(spec);
    let kind = spec.split(|byte| *byte == b':').next()?;
    let (_, suffix) = SUFFIXES.iter().find(|(known, _)| known.as_bytes() == kind)?;
    Some(fill!("{}{}", name, *suffix))
}

/// The index of `type:name`, if its source has changed since.
pub(crate) fn stale_index(spec: &[u8]) -> Option<Vec<u8>> {
    let modified = |path: &[u8]| source::file(path)?.metadata()?.modified();
    let index = index_of(spec)?;
    let (source, made) = (modified(source_of(spec)?).ok()?, modified(&index).ok()?);
    (made < source).then_some(index)
}

/// The keys in a file of `key value` lines.
pub(crate) fn keys_in(path: &[u8]) -> io::Result<Vec<Key>> {
    let file: File = source::file(path)?;
    let mut lines = Lines::of(source::reader(file), path);
    let mut keys = Vec::new();
    while let Some((number, line)) = lines.line() {
        if let Some((key, _)) = quoted_key(line, b"") {
            keys.push((number, key.to_vec()));
        }
    }
    lines.end()?;
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_tables_have_a_source() {
        assert_eq!(source_of(b"texthash:/x"), Some(&b"/x"[..]));
        assert_eq!(source_of(b"proxy:hash:/x"), Some(&b"/x"[..]));
        assert_eq!(source_of(b"pcre:/x"), None);
        assert_eq!(source_of(b"x"), None);
    }

    #[test]
    fn an_index_that_is_older_than_its_source_is_stale() {
        use std::time::{Duration, SystemTime};
        let name = std::env::temp_dir().join(format!("smtpd-rs-stale-{}", std::process::id()));
        let index = name.with_extension("db");
        std::fs::write(&name, "").unwrap();
        let file = File::create(&index).unwrap();
        let spec = fill!("proxy:hash:{}", name.as_os_str().as_encoded_bytes());
        let at = |shift: fn(SystemTime, Duration) -> SystemTime| {
            file.set_modified(shift(SystemTime::now(), Duration::from_secs(9))).unwrap();
            stale_index(&spec)
        };
        assert_eq!(at(|now, by| now + by), None);
        assert_eq!(at(|now, by| now - by), Some(index.as_os_str().as_encoded_bytes().to_vec()));
        std::fs::remove_file(&index).unwrap();
        assert_eq!(stale_index(&spec), None);
        std::fs::remove_file(&name).unwrap();
    }

    #[test]
    fn each_key_has_its_line() {
        let name = format!("smtpd-rs-keys-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, "# x\nAA:BB one\n\n CC two\nDD three\n").unwrap();
        let keys = keys_in(path.as_os_str().as_encoded_bytes()).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(keys, [(2, b"AA:BB".to_vec()), (5, b"DD".to_vec())]);
    }
}
