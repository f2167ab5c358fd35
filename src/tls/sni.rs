//! Certificates by the name that a client asks for (SNI, RFC 6066 section 3; tls_server_sni_maps).
//!
//! The name itself is looked up, then the domains above it, each with a leading dot. The value is
//! PEM in base64: keys, certificates, issuers as in smtpd_tls_chain_files. The chains take the place
//! of those of the server, for this session.

use std::rc::Rc;
use std::sync::OnceLock;

use data_encoding::BASE64;
use openssl::ssl::{NameType, SslRef};

use super::certificates::load_for_session;
use super::ffi::OnThisThread;
use super::session::Connection;
use crate::config::Config;
use crate::log::Fatal;
use crate::mail::hostname::valid_hostname;
use crate::sys::secret;
use crate::table::maps::Maps;
use crate::table::{Opener, Request, TableError};

/// tls_server_sni_maps.
pub(super) struct Names {
    maps: Maps,
    /// As newer releases: also a name that has no certificates is shown in the log, and tables are
    /// asked only where a session does not go on.
    shows_all: bool,
}

const PARAMETER: &str = "tls_server_sni_maps";

/// How the tables are opened.
const REQUEST: Request = Request {
    fold_fixed: true,
    fold_pattern: false,
    utf8: false,
    no_substitution: false,
    files: true,
};

/// How much of a value is shown that is no base64.
const SHOWN: usize = 30;

impl Names {
    /// Opens the tables, if there are any; to be called while files can be read that only root may
    /// read.
    pub(super) fn open(
        config: &Config,
        opener: &mut Opener,
        shows_all: bool,
    ) -> Result<Option<Rc<Self>>, Fatal> {
        let list = &config.tls_server_sni_maps;
        if list.is_empty() {
            return Ok(None);
        }
        let maps = Maps::open(opener, PARAMETER, list, REQUEST)?;
        Ok(Some(Rc::new(Self { maps, shows_all })))
    }

    /// The PEM of `name`, or of a domain above it.
    fn find(&self, name: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        let mut key = name;
        loop {
            if let Some(mut found) = self.maps.find(key)? {
                let pem = decode(found.table.name(), key, &found.value);
                secret::overwrite(&mut found.value);
                return pem.map(Some);
            }
            let Some(dot) = key.iter().skip(1).position(|byte| *byte == b'.') else {
                return Ok(None);
            };
            key = &key[dot + 1..];
        }
    }
}

fn decode(table: &[u8], key: &[u8], value: &[u8]) -> Result<Vec<u8>, TableError> {
    let Ok(mut pem) = BASE64.decode(value) else {
        let start = &value[..value.len().min(SHOWN)];
        warning!("table {}: key {}: malformed BASE64 value: {}", table, key, start);
        return Err(TableError::Config);
    };
    // As Postfix: a text ends at its first NUL.
    if let Some(end) = memchr::memchr(0, &pem) {
        secret::overwrite(&mut pem[end..]);
        pem.truncate(end);
    }
    Ok(pem)
}

/// What is said to a client that asks for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The name was understood.
    Accepted,
    /// The name is passed over; the certificates of the server must do.
    Declined,
    /// No handshake is possible.
    Failed,
}

/// What a connection knows of names.
pub(super) struct Asked {
    names: OnThisThread<Option<Rc<Names>>>,
    name: OnceLock<Vec<u8>>,
}

impl Asked {
    pub(super) fn new(names: Option<Rc<Names>>) -> Self {
        Self { names: OnThisThread::new(names), name: OnceLock::new() }
    }

    /// The name that was accepted.
    pub(super) fn name(&self) -> Option<&[u8]> {
        self.name.get().map(Vec::as_slice)
    }
}

/// Answers a client's name; called from within a handshake, for each hello that has one.
pub(super) fn answer(ssl: &mut SslRef) -> Answer {
    let name = ssl.servername_raw(NameType::HOST_NAME).unwrap_or_default().to_vec();
    let Some(connection) = Connection::of(ssl) else { return Answer::Declined };
    let (asked, namaddr) = (&connection.asked, connection.namaddr.clone());
    let names = asked.names.get().and_then(|names| names.clone());
    let (Some(names), false) = (names, name.is_empty()) else { return Answer::Declined };
    if valid_hostname(&name).is_err() {
        warning!("TLS SNI from {} is invalid: {}", namaddr, name);
        return Answer::Declined;
    }
    // After a hello retry request the client says all again.
    if let Some(first) = asked.name() {
        if first == name {
            return Answer::Accepted;
        }
        warning!(
            "TLS SNI changed from {} initially {}, {} after hello retry",
            namaddr,
            first,
            name
        );
        return Answer::Declined;
    }
    if names.shows_all {
        // What becomes of it, [`choose`] finds out, where a session does not go on.
        remember(ssl, name);
        return Answer::Accepted;
    }
    match load_for(ssl, &names, &name, &namaddr) {
        Ok(true) => {}
        Ok(false) => return Answer::Declined,
        Err(NoHandshake) => return Answer::Failed,
    }
    remember(ssl, name);
    Answer::Accepted
}

/// Puts the certificates of the name in place that the client asked for, as newer releases do it:
/// once it is clear that the client's session does not go on. `false`: no handshake is possible.
pub(super) fn choose(ssl: &mut SslRef) -> bool {
    let Some(connection) = Connection::of(ssl) else { return true };
    let (asked, namaddr) = (&connection.asked, connection.namaddr.clone());
    let names = asked.names.get().and_then(|names| names.clone());
    let (Some(names), Some(name)) = (names, asked.name().map(<[u8]>::to_vec)) else { return true };
    load_for(ssl, &names, &name, &namaddr).is_ok()
}

/// Why there is none was logged.
struct NoHandshake;

/// Loads the certificates of `name`; `false`: it has none.
fn load_for(
    ssl: &mut SslRef,
    names: &Names,
    name: &[u8],
    namaddr: &[u8],
) -> Result<bool, NoHandshake> {
    let Ok(found) = names.find(name) else {
        warning!("{}: {} map lookup problem", PARAMETER, name);
        return Err(NoHandshake);
    };
    let Some(pem) = found else {
        info!("TLS SNI {} from {} not matched, using default chain", name, namaddr);
        return Ok(false);
    };
    if load(ssl, pem, name) { Ok(true) } else { Err(NoHandshake) }
}

fn load(ssl: &mut SslRef, mut pem: Vec<u8>, name: &[u8]) -> bool {
    let done = load_for_session(ssl, &pem, &fill!("SNI data for {}", name));
    secret::overwrite(&mut pem);
    done
}

fn remember(ssl: &SslRef, name: Vec<u8>) {
    if let Some(connection) = Connection::of(ssl) {
        // Nothing is there yet: who asks a second time was answered above.
        let _ = connection.asked.name.set(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::captured;

    fn names(list: &str) -> Names {
        let config = Config::of_text(&format!("tls_server_sni_maps = {list}\n")).unwrap();
        let mut opener = Opener::new(&config);
        let names = Names::open(&config, &mut opener, false).unwrap().unwrap();
        Rc::into_inner(names).unwrap()
    }

    #[test]
    fn a_name_and_the_domains_above_it_are_looked_up() {
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let names = names(&format!("inline:{{ {{.example.test = {here}}} {{mx.test = {here}}} }}"));
        let found = |name: &[u8]| names.find(name).unwrap().is_some();
        assert!(found(b"mx.test") && found(b"MX.Test"));
        assert!(found(b"a.example.test") && found(b"a.b.example.test"));
        assert!(!found(b"example.test") && !found(b"a.mx.test") && !found(b"test"));
        let pem = names.find(b"mx.test").unwrap().unwrap();
        assert_eq!(pem, std::fs::read(here).unwrap());
    }

    #[test]
    fn a_value_that_is_no_base64_is_an_error() {
        assert_eq!(decode(b"hash:/x", b"a.test", b"YWJj"), Ok(b"abc".to_vec()));
        assert_eq!(decode(b"hash:/x", b"a.test", b"YQBi"), Ok(b"a".to_vec()));
        let value = "/etc/postfix/keys/a-very-long-name.pem";
        assert_eq!(decode(b"hash:/x", b"a.test", value.as_bytes()), Err(TableError::Config));
        assert_eq!(
            captured::take(),
            ["warning: table hash:/x: key a.test: malformed BASE64 value: \
              /etc/postfix/keys/a-very-long-"]
        );
    }

    #[test]
    fn without_tables_there_are_no_names() {
        let config = Config::of_text("").unwrap();
        assert!(Names::open(&config, &mut Opener::new(&config), false).unwrap().is_none());
    }
}
