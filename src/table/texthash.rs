//! `texthash:/file`: the source of a postmap(1) table, read into memory (DATABASE_README).
//!
//! Each logical line is `key whitespace value`; a key may have blanks between quotes, which stay.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use super::inline::{InMemory, quoted_key};
use super::lines::{Lines, trim_end, trim_start};
use super::pairs::Pairs;
use super::{Failure, Spec, Table, source};
use crate::sys::pause::pause;
use crate::sys::time;

/// How long we wait for a file that somebody may be writing.
const PAUSE: Duration = Duration::from_millis(300);

/// Opens `texthash:/file`. A file that was written this very second may not be complete: it is
/// read again until it has cooled down.
pub(super) fn open(spec: &Spec<'_>) -> Result<Box<dyn Table>, Failure> {
    let path = spec.name;
    let mut before = now();
    loop {
        let file =
            source::file(path).map_err(|error| fill!("open database {}: {}", path, error))?;
        let status = |file: &File| {
            file.metadata().map_err(|error: io::Error| fatal!("fstat {}: {}", path, error))
        };
        let mut pairs = Pairs::with_room(status(&file)?.len());
        read(spec, &file, &mut pairs)?;
        let status = status(&file)?;
        let after = now();
        if status.mtime() < before - 1 || status.mtime() > after {
            return Ok(Box::new(InMemory { name: spec.full_name(), pairs }));
        }
        pause(PAUSE);
        before = after;
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    time::since_epoch(time::now()).0
}

/// Reads the pairs in a file.
fn read(spec: &Spec<'_>, file: &File, pairs: &mut Pairs) -> Result<(), Failure> {
    let path = spec.name;
    let mut lines = Lines::of(source::reader(file), path);
    while let Some((number, line)) = lines.line() {
        let Some((key, value)) = pair(spec, number, line) else { continue };
        let value = match spec.value(value) {
            Ok(value) => value,
            Err(why) => {
                warning!("{}, line {}: {}: skipping this entry", path, number, why);
                continue;
            }
        };
        let added = pairs.add(&spec.folded(key), &value);
        if !added.map_err(|_| fill!("{}: file too large", path))? {
            return Err(fill!("{}, line {}: duplicate entry: \"{}\"", path, number, key).into());
        }
    }
    lines.end().map_err(|error| fatal!("read {}: {}", path, error))?;
    pairs.shrink();
    Ok(())
}

/// Key and value of a line; `None` where there are none, which is logged.
fn pair<'a>(spec: &Spec<'_>, number: u32, line: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let path = spec.name;
    if spec.utf8 && !line.is_ascii() && std::str::from_utf8(line).is_err() {
        warning!("{}, line {}: non-UTF-8 input \"{}\" -- ignoring this line", path, number, line);
        return None;
    }
    let Some((key, value)) = quoted_key(line, b"") else {
        warning!("{}, line {}: unbalanced '\"' in '{}' -- ignoring this line", path, number, line);
        return None;
    };
    let value = trim_end(trim_start(value));
    if key.is_empty() || value.is_empty() {
        warning!(
            "{}, line {}: expected format: key whitespace value -- ignoring this line",
            path,
            number
        );
        return None;
    }
    if key.ends_with(b":") {
        warning!(
            "{}, line {}: record is in \"key: value\" format; is this an alias file?",
            path,
            number
        );
    }
    Some((key, value))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::SystemTime;

    use crate::config::Config;
    use crate::log::captured;
    use crate::sys::pause;
    use crate::sys::time;
    use crate::table::{Opener, Request, TableError};

    fn file(name: &str, text: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("smtpd-rs-{name}-{}", std::process::id()));
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn a_key_may_not_stand_twice() {
        time::fix(Some(SystemTime::UNIX_EPOCH));
        let path = file("twice", "a 1\nb 2\nA 3\n");
        let mut tables = Opener::new(&Config::of_text("").unwrap());
        let spec = format!("texthash:{}", path.display());
        captured::take();
        let table = tables.open(spec.as_bytes(), Request::ACCESS).unwrap();
        assert_eq!(table.lookup(b"b"), Err(TableError::Retry));
        assert_eq!(
            captured::take()[0],
            format!("error: {}, line 3: duplicate entry: \"A\"", path.display())
        );
        let exact = tables.open(spec.as_bytes(), Request::MATCH).unwrap();
        assert_eq!(exact.lookup(b"A"), Ok(Some(b"3".to_vec())));
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_that_was_just_written_is_read_again() {
        let path = file("hot", "a 1\n");
        let spec = format!("texthash:{}", path.display());
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        time::fix(Some(written));
        pause::replace(|_| time::fix(Some(time::now() + std::time::Duration::from_secs(1))));
        let mut tables = Opener::new(&Config::of_text("").unwrap());
        assert!(tables.open(spec.as_bytes(), Request::ACCESS).is_ok());
        let waited = time::now().duration_since(written).unwrap();
        assert_eq!(waited.as_secs(), 3);
        fs::remove_file(path).unwrap();
    }
}
