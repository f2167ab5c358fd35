//! Files that are made together: all of them, or none.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::super::Trouble;

/// What was made so far. It is removed again unless it is kept.
#[derive(Debug, Default)]
pub(super) struct Made {
    directories: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl Made {
    /// Makes a directory that only its owner can enter, and those above it, where there is none.
    pub(super) fn directory(&mut self, path: &Path) -> Result<(), Trouble> {
        let absent = path.ancestors().take_while(|path| !is_there(path)).collect::<Vec<_>>();
        for path in absent.into_iter().rev() {
            let made = DirBuilder::new().mode(0o700).create(path);
            made.map_err(|error| failed("mkdir", path, &error))?;
            self.directories.push(path.to_owned());
        }
        Ok(())
    }

    /// Writes a file that must not be there yet.
    pub(super) fn write(&mut self, path: &Path, text: &[u8], mode: u32) -> Result<(), Trouble> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(mode).open(path);
        let mut file = file.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => taken(path),
            _ => failed("write", path, &error),
        })?;
        self.files.push(path.to_owned());
        file.write_all(text).map_err(|error| failed("write", path, &error))
    }

    /// All of it is there to stay.
    pub(super) fn keep(mut self) {
        self.files.clear();
        self.directories.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
        for directory in self.directories.iter().rev() {
            let _ = fs::remove_dir(directory);
        }
    }
}

/// The name belongs to something else.
pub(super) fn taken(path: &Path) -> Trouble {
    let path = path.display();
    Trouble::Failed(format!(
        "{path} is there already: remove it, or give --out or another --device"
    ))
}

fn is_there(path: &Path) -> bool {
    path.as_os_str().is_empty() || path.exists()
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Trouble {
    Trouble::Failed(format!("{what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_goes_again() {
        let place = std::env::temp_dir().join(format!("ccert-made-{}", std::process::id()));
        let inner = place.join("a/b");
        let make = || {
            let mut made = Made::default();
            made.directory(&inner).unwrap();
            made.write(&inner.join("x"), b"x", 0o600).unwrap();
            made
        };
        drop(make());
        assert!(!place.exists());
        make().keep();
        let mut more = Made::default();
        more.directory(&inner).unwrap();
        let error = more.write(&inner.join("x"), b"y", 0o600).unwrap_err();
        assert!(error.to_string().contains("is there already: remove it, or give --out"));
        drop(more);
        assert_eq!(fs::read(inner.join("x")).unwrap(), b"x");
        fs::remove_dir_all(place).unwrap();
    }
}
