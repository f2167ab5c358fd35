//! Where the text of a table stands: in a file, or in main.cf between braces.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use data_encoding::BASE64;

use super::Failure;
use crate::text::split::{self, COMMA_SPACE};

/// How much is read at once.
const BLOCK: usize = 32 * 1024;

/// What a table is read from.
pub(crate) type Source = Box<dyn BufRead>;

/// An open file of a table.
pub(crate) fn file(name: &[u8]) -> io::Result<File> {
    File::open(Path::new(OsStr::from_bytes(name)))
}

/// Reads a file.
pub(crate) fn reader<R: Read>(file: R) -> BufReader<R> {
    BufReader::with_capacity(BLOCK, file)
}

/// Reads a table whose name is a file, or its lines: `{{line}, {line}…}`.
pub(crate) fn open(kind: &str, name: &[u8]) -> Result<Source, Failure> {
    if name.starts_with(b"{") {
        let text = lines(name).map_err(|error| fill!("{} map: {}", kind, error))?;
        return Ok(Box::new(Cursor::new(text)));
    }
    let file = file(name).map_err(|error| fill!("open {}: {}", name, error))?;
    Ok(Box::new(reader(file)))
}

/// What `Lines` calls a text that `name` gives (as Postfix calls its stream).
pub(crate) fn path(name: &[u8]) -> &[u8] {
    if name.starts_with(b"{") { b"unknown_stream" } else { name }
}

/// The content of the files `names`, one behind the other, in base64. As Postfix:
/// `dict_file_to_b64()`.
pub(crate) fn files(names: &[u8]) -> Result<Vec<u8>, Vec<u8>> {
    let mut content = Vec::new();
    for (i, name) in split::words(names, COMMA_SPACE).enumerate() {
        if i > 0 {
            content.push(b'\n');
        }
        let mut file = file(name).map_err(|error| fill!("open {}: {}", name, error))?;
        file.read_to_end(&mut content).map_err(|error| fill!("read {}: {}", name, error))?;
    }
    if content.is_empty() && split::words(names, COMMA_SPACE).next().is_none() {
        return Err(fill!("empty pathname list: >>{}<<'", names));
    }
    Ok(BASE64.encode(&content).into_bytes())
}

/// The lines of `{{line}, {line}…}`.
fn lines(name: &[u8]) -> Result<Vec<u8>, Vec<u8>> {
    let mut text = Vec::new();
    for rule in split::words_braced(unbrace(name)?, COMMA_SPACE) {
        text.extend_from_slice(unbrace(rule)?);
        text.push(b'\n');
    }
    Ok(text)
}

/// The inside of `{ text }`, without blanks around it. As Postfix: `extpar()`.
pub(crate) fn unbrace(text: &[u8]) -> Result<&[u8], Vec<u8>> {
    if !text.starts_with(b"{") {
        return Err(fill!("no '{' at start of text in \"{}\"", text));
    }
    let Some(end) = split::closing(text) else {
        return Err(fill!("missing '}' in \"{}\"", text));
    };
    if text.len() > end + 1 {
        return Err(fill!("syntax error after '}' in \"{}\"", text));
    }
    Ok(text[1..end].trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_name_files() {
        let dir = std::env::temp_dir().join(format!("smtpd-rs-values-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let [a, b] = ["a", "b"].map(|name| dir.join(name).display().to_string());
        std::fs::write(&a, "one").unwrap();
        std::fs::write(&b, "two\n").unwrap();
        let list = |text: &str| files(text.as_bytes());
        assert_eq!(list(&format!("{a}, {b}")), Ok(BASE64.encode(b"one\ntwo\n").into_bytes()));
        assert_eq!(list(" , "), Err(b"empty pathname list: >> , <<'".to_vec()));
        let lost = format!("open {a}x: No such file or directory").into_bytes();
        assert_eq!(list(&format!("{a} {a}x")), Err(lost));
        let directory = dir.display().to_string();
        assert_eq!(list(&directory), Err(fill!("read {}: Is a directory", directory)));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn lines_may_stand_in_main_cf() {
        assert_eq!(lines(b"{, ,{foo bar}, { blah blah }, ,}").unwrap(), b"foo bar\nblah blah\n");
        assert_eq!(lines(b"{, }").unwrap(), b"");
        assert_eq!(
            lines(b"{{foo bar}, {blah blah}}x").unwrap_err(),
            b"syntax error after '}' in \"{{foo bar}, {blah blah}}x\""
        );
        assert_eq!(
            lines(b"{{foo bar}, {blah blah}x}").unwrap_err(),
            b"syntax error after '}' in \"{blah blah}x\""
        );
        assert_eq!(lines(b"{foo}").unwrap_err(), b"no '{' at start of text in \"foo\"");
        assert_eq!(lines(b"{{foo}").unwrap_err(), b"missing '}' in \"{{foo}\"");
    }
}
