//! When OpenSSL itself is loaded and reads its configuration file (openssl.cnf).
//!
//! That is half of what a process with TLS would spend at its start, and most of its memory. So it is
//! left to the first client that wants TLS, where nothing can go wrong then that could not go wrong at
//! the start: the process is in no jail, and the configuration file is one that everybody may read and
//! that loads nothing else, such as an engine or a provider, which may need to be root.

use std::env;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::ffi;
use super::settings::Settings;
use crate::sys::late_libraries;

/// A configuration file of more bytes is no usual one.
const MOST_BYTES: u64 = 256 * 1024;

/// Others may read it.
const READABLE: u32 = 0o004;

/// Names in openssl.cnf by which OpenSSL loads code or reads other files.
const UNUSUAL: &[&[u8]] = &[
    b"activate",
    b"alg_section",
    b"default_algorithms",
    b"dynamic_path",
    b"engine_id",
    b"engines",
    b"identity",
    b"module",
    b"oid_file",
    b"soft_load",
];

/// Whether all that can wait until the first client wants TLS.
pub(super) fn can_wait(settings: &Settings) -> bool {
    let default = settings.config_file == b"default" && settings.config_name.is_empty();
    !settings.jailed
        && default
        && env::var_os("OPENSSL_CONF").is_none()
        && is_usual(&directories()).unwrap_or(false)
}

/// Loads OpenSSL; after a warning `false`: it isn't there.
pub(super) fn load() -> bool {
    match late_libraries::load_openssl() {
        Ok(()) => true,
        Err(error) => {
            warning!("cannot load OpenSSL: {}: disabling TLS support", error);
            false
        }
    }
}

/// Loads what was left to wait, if it was.
pub(super) fn catch_up() -> bool {
    let loaded = load();
    if loaded {
        ffi::load_plain_config();
    }
    loaded
}

/// Directories where OpenSSL may look for its file. Before it is loaded one can't know which its makers
/// chose; these are those of the distributions.
#[cfg(late_openssl)]
fn directories() -> Vec<PathBuf> {
    ["/usr/lib/ssl", "/etc/ssl", "/etc/pki/tls", "/usr/local/ssl"].map(PathBuf::from).to_vec()
}

/// Where OpenSSL, which is there from the start, looks for its file.
#[cfg(not(late_openssl))]
fn directories() -> Vec<PathBuf> {
    // OPENSSLDIR: "/usr/lib/ssl"
    openssl::version::dir().split('"').nth(1).map(PathBuf::from).into_iter().collect()
}

/// Whether the configuration file in these directories is there, and nothing special: everybody may read
/// it, and it loads nothing else. Of several, each must be so.
fn is_usual(directories: &[PathBuf]) -> io::Result<bool> {
    let mut seen = Vec::new();
    for directory in directories {
        let file = match File::open(directory.join("openssl.cnf")) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let about = file.metadata()?;
        // One may be a link to the other.
        let identity = (about.dev(), about.ino());
        if seen.contains(&identity) {
            continue;
        }
        seen.push(identity);
        if !about.is_file() || about.mode() & READABLE == 0 || about.len() > MOST_BYTES {
            return Ok(false);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(about.len()).unwrap_or(0) + 1);
        file.take(MOST_BYTES).read_to_end(&mut bytes)?;
        if !loads_nothing(&bytes) {
            return Ok(false);
        }
    }
    Ok(!seen.is_empty())
}

/// Whether an openssl.cnf is plainly one that names neither other files nor code. What is no plain
/// `name = value` may be anything.
fn loads_nothing(bytes: &[u8]) -> bool {
    let mut start = 0;
    memchr::memchr_iter(b'\n', bytes).chain([bytes.len()]).all(|end| {
        let line = bytes.get(start..end).unwrap_or_default().trim_ascii_start();
        start = end + 1;
        match line.first() {
            None | Some(b'#') => true,
            Some(b'[') => is_section(line),
            Some(_) => is_harmless(line),
        }
    })
}

fn is_section(line: &[u8]) -> bool {
    let code = line.get(..memchr::memchr(b'#', line).unwrap_or(line.len())).unwrap_or_default();
    code.trim_ascii_end().ends_with(b"]")
}

/// `name = value`, `section::name = value`, `name.1 = value`, `1.name = value`
fn is_harmless(line: &[u8]) -> bool {
    let plain = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_.-:".contains(byte);
    let (name, rest) = line.split_at(line.iter().take_while(plain).count());
    let name = memchr::memrchr(b':', name).map_or(name, |at| &name[at + 1..]);
    // OpenSSL leaves out what stands before a dot, or behind it, as the section is; one that begins with
    // a dot (`.include`) is an order.
    !name.is_empty()
        && rest.trim_ascii_start().starts_with(b"=")
        && name.split(|byte| *byte == b'.').all(|part| !part.is_empty() && !is_unusual(part))
}

fn is_unusual(part: &[u8]) -> bool {
    UNUSUAL.iter().any(|unusual| part.eq_ignore_ascii_case(unusual))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// As distributions have it.
    const USUAL: &str = "#\n# OpenSSL example\nHOME\t= .\n #.include filename\n\
                         openssl_conf = init\nconfig_diagnostics = 1\n\
                         [ new_oids ]\ntsa_policy1 = 1.2.3.4.1\n[init]\nproviders = provider_sect\n\
                         ssl_conf = ssl_sect\n[provider_sect]\ndefault = default_sect\n\
                         [default_sect]\n# activate = 1\n[ssl_sect]\nsystem_default = d\n[d]\n\
                         CipherString = DEFAULT@SECLEVEL=2\ndir = /etc/ssl # a comment\n\
                         certificate\t= $dir/cacert.pem\n0.organizationName = x\ncopy = \"a=b\"\n";

    #[test]
    fn a_usual_file_loads_nothing() {
        assert!(loads_nothing(USUAL.as_bytes()));
        assert!(loads_nothing(b""));
    }

    #[test]
    fn what_may_load_something_is_noticed() {
        for line in [
            ".include /etc/x",
            ".include=/etc/x",
            " .pragma = dollarid:true",
            "engines = e",
            "engines.1 = e",
            "init::engines = e",
            "1.activate = 1",
            "x.module = /usr/lib/x.so",
            "a.identity.b = x",
            ".include.x = /etc/x",
            ".includefoo.x = /etc/x",
            "s::.include.x = /etc/x",
            ".pragma.x = includedir:/etc/x",
            "module = /usr/lib/x.so",
            "activate=1",
            "Activate = yes",
            "oid_file = /root/oids",
            "mod\\\nule = /x",
            "\"module\" = x",
            "a line of words",
            "= x",
        ] {
            assert!(!loads_nothing(format!("{USUAL}{line}\n").as_bytes()), "{line}");
        }
    }

    #[test]
    fn each_file_must_be_for_everybody_and_usual() {
        let base = env::temp_dir().join(format!("smtpd-rs-openssl-cnf-{}", std::process::id()));
        let places = ["one", "two", "three"].map(|name| base.join(name));
        places.iter().for_each(|place| fs::create_dir_all(place).unwrap());
        let files = places.each_ref().map(|place| place.join("openssl.cnf"));
        let usual = || is_usual(&places).unwrap();
        assert!(!usual());
        fs::write(&files[1], USUAL).unwrap();
        let set = |mode| fs::set_permissions(&files[1], Permissions::from_mode(mode)).unwrap();
        set(0o644);
        symlink(&files[1], &files[0]).unwrap();
        assert!(usual());
        set(0o600);
        assert!(!usual());
        set(0o644);
        fs::write(&files[2], "engines = x\n").unwrap();
        assert!(!usual());
        fs::remove_file(&files[2]).unwrap();
        symlink(&base, &files[2]).unwrap();
        assert!(!usual());
        fs::remove_dir_all(base).unwrap();
    }
}
