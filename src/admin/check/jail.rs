//! The chroot: what a process finds there only after it is locked in.
//!
//! Tables, keys, certificates and smtpd_tls_CAfile are read before, and need not be there. The
//! name service's files are read when a name is looked up, smtpd_tls_CApath at a handshake.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::report::Severity;
use super::start::{Examination, Started};
use crate::config::Config;
use crate::tls::inspect;

/// What the C library reads to look up names; Debian's start script copies them.
const NAME_SERVICE: &[&str] =
    &["etc/resolv.conf", "etc/hosts", "etc/services", "etc/nsswitch.conf"];

impl Examination<'_> {
    /// What this service will miss after chroot and setuid.
    pub(super) fn look_into_jail(&mut self, started: &Started) {
        let config = &started.config;
        self.look_at_ca_path(started);
        if !self.chroot {
            return;
        }
        let jail = PathBuf::from(OsStr::from_bytes(&config.queue_directory));
        let copies: Vec<_> = NAME_SERVICE.iter().map(|name| (*name, copy(&jail, name))).collect();
        let those = |wanted| {
            let names = copies.iter().filter(|(_, copy)| *copy == wanted).map(|(name, _)| *name);
            names.collect::<Vec<_>>().join(", ")
        };
        let (absent, other) = (those(Copy::Absent), those(Copy::Other));
        if !absent.is_empty() {
            self.note(&jail, &fill!("lacks {}: names may not be found", absent));
        }
        if !other.is_empty() {
            self.note(&jail, &fill!("has another {} than the system", other));
        }
        if config.maillog_file.is_empty() && !jail.join("dev/log").exists() {
            let text = b"lacks dev/log: when syslogd starts anew, a process that is at work logs \
                         nothing more";
            self.note(&jail, text);
        }
    }

    fn note(&mut self, jail: &Path, text: &[u8]) {
        let text = fill!("the jail {} {}", jail.as_os_str().as_bytes(), text);
        self.say(Severity::Note, None, &text);
    }

    /// smtpd_tls_CApath is searched at each handshake, by mail_owner and from within the jail.
    fn look_at_ca_path(&mut self, started: &Started) {
        let config = &started.config;
        let path = &config.smtpd_tls_CApath;
        if path.is_empty() || !inspect::asks_for_certificates(config, &started.server.switches) {
            return;
        }
        let directory = from_outside(config, path, self.chroot);
        let shown = directory.as_os_str().as_bytes();
        let text = match fs::read_dir(&directory) {
            Err(error) => Some(fill!("smtpd_tls_CApath: {}: {}", shown, error)),
            Ok(entries) => {
                let hashed = entries.flatten().any(|entry| is_hashed(&entry.file_name()));
                (!hashed).then(|| {
                    fill!(
                        "smtpd_tls_CApath: {} has no certificates by their hash: see openssl rehash",
                        shown
                    )
                })
            }
        };
        let text = text.or_else(|| {
            let closed = closed_to(config, &directory)?;
            let closed = closed.as_os_str().as_bytes();
            Some(fill!("smtpd_tls_CApath: {} may not read {}", config.mail_owner, closed))
        });
        if let Some(text) = text {
            let place = self.places.of(b"smtpd_tls_CApath");
            self.say(Severity::Warning, place, &text);
        }
    }
}

/// What the jail has of a file of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copy {
    /// The same, or the system has none.
    Same,
    Other,
    Absent,
}

fn copy(jail: &Path, name: &str) -> Copy {
    match (fs::read(Path::new("/").join(name)), fs::read(jail.join(name))) {
        (Ok(outside), Ok(inside)) if outside != inside => Copy::Other,
        (Ok(_), Err(_)) => Copy::Absent,
        _ => Copy::Same,
    }
}

/// Where a path of the process is for us.
fn from_outside(config: &Config, path: &[u8], chroot: bool) -> PathBuf {
    let queue = Path::new(OsStr::from_bytes(&config.queue_directory));
    let relative = path.strip_prefix(b"/");
    match (relative, chroot) {
        (Some(_), false) => PathBuf::from(OsStr::from_bytes(path)),
        (Some(relative), true) => queue.join(OsStr::from_bytes(relative)),
        (None, _) => queue.join(OsStr::from_bytes(path)),
    }
}

/// `1a2b3c4d.0`, as OpenSSL looks for it.
fn is_hashed(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.len() > 9 && name[8] == b'.' && name[..8].iter().all(u8::is_ascii_hexdigit)
}

/// The first directory on the way that mail_owner may not go through, or the last if it may not
/// be read.
fn closed_to(config: &Config, directory: &Path) -> Option<PathBuf> {
    let mut way: Vec<&Path> = directory.ancestors().collect();
    way.reverse();
    let closed = way
        .into_iter()
        .find(|step| fs::metadata(step).is_ok_and(|about| !may_enter(config, &about)));
    closed.map(Path::to_owned)
}

fn may_enter(config: &Config, about: &Metadata) -> bool {
    let (uid, gid) = config.owner;
    let shift = if about.uid() == uid {
        6
    } else if about.gid() == gid || config.owner_groups.contains(&about.gid()) {
        3
    } else {
        0
    };
    about.mode() >> shift & 1 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_has_eight_digits() {
        assert!(is_hashed(OsStr::new("1a2b3c4d.0")));
        for no in ["ca.pem", "1a2b3c4d", "1a2b3c4x.0", "1a2b3c4d."] {
            assert!(!is_hashed(OsStr::new(no)), "{no}");
        }
    }

    #[test]
    fn paths_are_those_of_the_jail() {
        let config = Config::of_text("queue_directory = /q").unwrap();
        assert_eq!(from_outside(&config, b"/ca", true), Path::new("/q/ca"));
        assert_eq!(from_outside(&config, b"/ca", false), Path::new("/ca"));
        assert_eq!(from_outside(&config, b"ca", false), Path::new("/q/ca"));
    }
}
