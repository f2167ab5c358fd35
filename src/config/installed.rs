//! The Postfix that is installed: where its daemons are, its release, how it was built.
//!
//! main.cf need not tell any of it, since Postfix's own programs have it compiled in. So we look
//! beside our own program, then beside our parent, which is master(8); the release is a text in
//! each of Postfix's programs (`mail_version=3.7.11`), of which master(8) is the smallest. Compilers
//! that see that nobody reads that text leave it out; then the bare number still stands there.

use std::fs::File;
use std::io::{self, Read as _};
use std::iter;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// Where distributions have Postfix's daemons.
const USUAL_PLACES: &[&str] =
    &["/usr/lib/postfix/sbin", "/usr/libexec/postfix", "/usr/lib/postfix/bin", "/usr/lib/postfix"];

/// What could be found out.
#[derive(Debug, Clone, Default)]
pub(super) struct Installed {
    /// Where master(8) is.
    pub(super) daemon_directory: Option<Vec<u8>>,
    /// The version in master(8).
    pub(super) version: Option<Vec<u8>>,
}

impl Installed {
    /// Looks for master(8): in `directory` alone where that is known.
    pub(super) fn find(directory: Option<Vec<u8>>) -> Self {
        let found = match directory {
            Some(directory) => in_directory(&directory).map(|version| (directory, version)),
            None => places()
                .find_map(|directory| in_directory(&directory).map(|version| (directory, version))),
        };
        match found {
            Some((directory, version)) => {
                Self { daemon_directory: Some(directory), version: Some(version) }
            }
            None => Self::default(),
        }
    }
}

/// Directories to look into, most likely first.
fn places() -> impl Iterator<Item = Vec<u8>> {
    let ours = || directory_of(PathBuf::from("/proc/self/exe"));
    let parents = || {
        let parent = std::os::unix::process::parent_id();
        directory_of(PathBuf::from(format!("/proc/{parent}/exe")))
    };
    let usual = USUAL_PLACES.iter().map(|place| place.as_bytes().to_vec());
    iter::once_with(ours).chain(iter::once_with(parents)).flatten().chain(usual)
}

fn directory_of(link: PathBuf) -> Option<Vec<u8>> {
    let program = std::fs::read_link(link).ok()?;
    Some(program.parent()?.to_owned().into_os_string().into_vec())
}

/// The version of the master(8) in `directory`.
fn in_directory(directory: &[u8]) -> Option<Vec<u8>> {
    let path = fill!("{}/master", directory);
    let program = || File::open(Path::new(std::ffi::OsStr::from_bytes(&path))).ok();
    let marked = version_in(program()?).ok().flatten();
    marked.or_else(|| bare_version_in(program()?))
}

/// The first text of a program that is nothing but the number of a release.
fn bare_version_in(program: impl io::Read) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    program.take(LARGEST_BARE).read_to_end(&mut bytes).ok()?;
    let mut texts = bytes.split(|byte| *byte == 0).filter_map(valid);
    texts.find(|text| is_release(text)).map(<[u8]>::to_vec)
}

/// `3.11.7`, `3.12-20260821`: what Postfix calls a release, from 3.0 on.
fn is_release(text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(b"3.") else { return false };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (minor, rest) = rest.split_at(digits);
    let number = |rest: &[u8]| !rest.is_empty() && rest.iter().all(u8::is_ascii_digit);
    match rest.first() {
        Some(b'.') => (1..=2).contains(&minor.len()) && number(&rest[1..]),
        Some(b'-') => (1..=2).contains(&minor.len()) && rest.len() > 8 && number(&rest[1..9]),
        _ => false,
    }
}

const MARK: &[u8] = b"mail_version=";
/// No version is longer.
const LONGEST: usize = 100;
/// What is read at once: little, since it would stay with the process as memory.
const PIECE: usize = 8 * 1024;
/// Programs are not larger.
const LARGEST: u64 = 64 << 20;
/// master(8) has 50 KB; one with all libraries in it has a few megabytes.
const LARGEST_BARE: u64 = 8 << 20;

/// The version that stands in a program. Not all of it is read: only up to there, piece by piece.
fn version_in(program: impl io::Read) -> io::Result<Option<Vec<u8>>> {
    let mut program = program.take(LARGEST);
    let mut piece = vec![0; PIECE];
    let mut kept = 0;
    loop {
        let more = program.read(&mut piece[kept..])?;
        let text = &piece[..kept + more];
        if let Some(start) = memchr::memmem::find(text, MARK) {
            let version = &text[start + MARK.len()..];
            match memchr::memchr(0, version) {
                Some(end) => return Ok(valid(&version[..end]).map(<[u8]>::to_vec)),
                None if version.len() > LONGEST || more == 0 => return Ok(None),
                None => {}
            }
        } else if more == 0 {
            return Ok(None);
        }
        // What may be the start of a version stays.
        let len = text.len();
        let keep = len.min(MARK.len() + LONGEST);
        piece.copy_within(len - keep..len, 0);
        kept = keep;
    }
}

fn valid(version: &[u8]) -> Option<&[u8]> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let valid = !version.is_empty() && version.len() <= LONGEST && version.iter().all(plain);
    valid.then_some(version)
}

/// What `makedefs.out` says of a parameter: how Postfix was built. `None`: as its source has it.
pub(super) fn built_with(makedefs: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut lines = makedefs.split(|byte| *byte == b'\n');
    match name {
        "shlib_directory" => {
            let shared = setting(makedefs, b"# shared=").is_some_and(|shared| shared == b"yes");
            let told = setting(makedefs, b"# shlib_directory=");
            let made = || shared.then(|| setting(makedefs, b"SHLIB_DIR = ")).flatten();
            told.or_else(made).or_else(|| Some(b"no".to_vec()))
        }
        "default_database_type" => {
            let flags = lines.find(|line| line.starts_with(b"# CCARGS="))?;
            let start = memchr::memmem::find(flags, b"-DDEF_DB_TYPE=")? + b"-DDEF_DB_TYPE=".len();
            let quoted = |byte: &u8| matches!(byte, b'"' | b'\\' | b'\'');
            let kind = flags[start..].iter().copied().skip_while(quoted);
            Some(kind.take_while(u8::is_ascii_alphanumeric).collect())
        }
        name => setting(makedefs, &fill!("# {}=", name)),
    }
}

fn setting(makedefs: &[u8], start: &[u8]) -> Option<Vec<u8>> {
    let mut lines = makedefs.split(|byte| *byte == b'\n');
    let value = lines.find_map(|line| line.strip_prefix(start))?.trim_ascii();
    (!value.is_empty()).then(|| value.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time.
    struct Slow<'a>(&'a [u8]);

    impl io::Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = self.0.len().min(7);
            self.0.read(&mut buffer[..len])
        }
    }

    #[test]
    fn the_version_is_found_in_a_program() {
        for (program, version) in [
            (&b"\0mail_version=3.7.11\0x"[..], Some(&b"3.7.11"[..])),
            (b"mail_version=3.12-20260821-NONPROD\0", Some(b"3.12-20260821-NONPROD")),
            (b"mail_version=\0", None),
            (b"mail_version=3.7", None),
            (b"mail_version=3 7\0", None),
            (b"", None),
        ] {
            assert_eq!(version_in(program).unwrap().as_deref(), version);
            assert_eq!(version_in(Slow(program)).unwrap().as_deref(), version);
        }
        let endless = [&b"mail_version="[..], &[b'1'; 3 * PIECE]].concat();
        assert_eq!(version_in(&endless[..]).unwrap(), None);
    }

    #[test]
    fn a_bare_version_is_found_where_there_is_no_other() {
        for (program, version) in [
            (&b"\x7fELF\0GLIBC_2.3.4\x003.11.7\0x"[..], Some(&b"3.11.7"[..])),
            (b"\x003.12-20260821-NONPROD\0", Some(b"3.12-20260821-NONPROD")),
            (b"\x003.11\0libz.so.3.1.2\x003.11.7x\x003.999.1\0 3.1.1\0", None),
            (b"", None),
        ] {
            assert_eq!(bare_version_in(program).as_deref(), version);
        }
    }

    #[test]
    fn the_version_may_stand_anywhere_in_a_large_program() {
        for before in [0, PIECE - 20, PIECE - 5, PIECE, 5 * PIECE - 117, 20 * PIECE] {
            let program = [&vec![b'x'; before][..], b"mail_version=3.10.2\0", &[0; 1000]].concat();
            assert_eq!(version_in(&program[..]).unwrap().as_deref(), Some(&b"3.10.2"[..]));
        }
    }

    #[test]
    fn how_postfix_was_built_is_written_down() {
        let debian = b"# CCARGS=-DDEBIAN -DDEF_DB_TYPE=\\\"lmdb\\\" -DUSE_TLS\n\
            # daemon_directory=/usr/lib/postfix/sbin\n# data_directory=\n# shared=yes\nSHLIB_DIR = /usr/lib/postfix\n";
        let built = |name| built_with(debian, name).map(|value| String::from_utf8(value).unwrap());
        assert_eq!(built("daemon_directory").as_deref(), Some("/usr/lib/postfix/sbin"));
        assert_eq!(built("shlib_directory").as_deref(), Some("/usr/lib/postfix"));
        assert_eq!(built("default_database_type").as_deref(), Some("lmdb"));
        assert_eq!(built("data_directory"), None);
        assert_eq!(built_with(b"", "shlib_directory"), Some(b"no".to_vec()));
        assert_eq!(built_with(b"# CCARGS=-DX\n", "default_database_type"), None);
    }
}
