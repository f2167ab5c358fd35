//! The other programs of Postfix: stand-ins for those that the start would ask, and whether those
//! that a session will ask are in master.cf.

use std::cell::RefCell;
use std::process::Command;

use super::master_cf::Service;
use super::report::Severity;
use super::start::{Examination, Started};
use crate::log::Fatal;
use crate::table::proxy::{self, Answer};
use crate::text::split::{COMMA_SPACE, words};
use crate::tls::{CachePolicy, SessionKeeper};

/// In the place of proxymap(8): notes what it would be asked for.
#[derive(Default)]
pub(super) struct Proxied(RefCell<Vec<Vec<u8>>>);

impl proxy::Service for Proxied {
    fn open(&self, table: &[u8], _flags: u32) -> Result<u32, Fatal> {
        self.0.borrow_mut().push(table.to_vec());
        Ok(proxy::FIXED)
    }

    fn lookup(&self, _table: &[u8], _flags: u32, _key: &[u8]) -> Result<Answer, Fatal> {
        Ok(Answer::NotFound)
    }
}

/// In the place of tlsmgr(8).
pub(super) struct Keeper;

impl SessionKeeper for Keeper {
    fn seed(&self, len: u32) -> Option<Vec<u8>> {
        // OpenSSL adds it to what it has.
        Some(vec![0; usize::try_from(len).ok()?])
    }

    fn policy(&self) -> Option<CachePolicy> {
        Some(CachePolicy { cachable: false, timeout: 3600 })
    }

    fn lookup(&self, _id: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn update(&self, _id: &[u8], _session: &[u8]) {}

    fn ticket_key(&self, _name: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

impl Examination<'_> {
    /// Services that a session will ask, and that master.cf lacks.
    pub(super) fn look_for_neighbours(&mut self, started: &Started, entries: &[Service]) {
        let config = &started.config;
        let needed: [(&[u8], bool, &str); 6] = [
            (&config.cleanup_service_name, true, "mail is answered with 451"),
            (&config.rewrite_service_name, true, "RCPT waits for it in vain"),
            (
                &config.proxymap_service_name,
                !started.proxied.0.borrow().is_empty(),
                "tables behind proxy: wait for it in vain",
            ),
            (
                &config.tlsmgr_service_name,
                started.server.switches.use_tls,
                "TLS is disabled without its random numbers",
            ),
            (b"anvil", started.server.anvil.is_some(), "clients are not counted"),
            (&config.postlog_service_name, !config.maillog_file.is_empty(), "nothing is logged"),
        ];
        for (name, wanted, consequence) in needed {
            if wanted && !entries.iter().any(|entry| entry.name == name) {
                let place =
                    super::report::Place { file: self.places.master_cf.path.clone(), line: None };
                let text = fill!("there is no service {}: {}", name, consequence);
                self.say(Severity::Error, Some(place), &text);
            }
        }
    }

    /// Tables that proxymap(8) would refuse to read. It reads main.cf on its own: postconf(1)
    /// tells what it will find there.
    pub(super) fn look_at_proxied(&mut self, started: &Started) {
        let tables = std::mem::take(&mut *started.proxied.0.borrow_mut());
        if tables.is_empty() {
            return;
        }
        let Some(allowed) = proxy_read_maps(&started.config.config_directory) else { return };
        for table in tables {
            let full = fill!("proxy:{}", table);
            if !words(&allowed, COMMA_SPACE).any(|word| word == full) {
                let place = self.places.of_text(&full).map(|(_, place)| place);
                let text = fill!(
                    "proxymap service is not configured for table \"{}\": \
                     {} is not in proxy_read_maps",
                    table,
                    full
                );
                self.say(Severity::Error, place, &text);
            }
        }
    }
}

/// The value of proxy_read_maps, expanded.
fn proxy_read_maps(directory: &[u8]) -> Option<Vec<u8>> {
    let output = postconf(directory).args(["-xh", "proxy_read_maps"]).output().ok()?;
    output.status.success().then_some(output.stdout)
}

/// postconf(1) for a directory.
pub(super) fn postconf(directory: &[u8]) -> Command {
    use std::os::unix::ffi::OsStrExt as _;
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("postconf");
    command.env("PATH", format!("{path}:/usr/sbin:/sbin:/usr/local/sbin"));
    command.arg("-c").arg(std::ffi::OsStr::from_bytes(directory));
    command.stdin(std::process::Stdio::null());
    command
}
