//! local_header_rewrite_clients: whose message headers are completed with our own domain.

use std::rc::Rc;

use super::certificate::Certificates;
use super::client::Clients;
use super::{Facts, Refusal, log_event};
use crate::config::Config;
use crate::log::Fatal;
use crate::mail::client::ErrorClass;
use crate::table::maps::Maps;
use crate::table::{Opener, Request, TableError};
use crate::text::split::{COMMA_SPACE, words_braced};

/// The list, opened.
pub struct RewriteClients {
    config: Rc<Config>,
    clients: Clients,
    rows: Vec<Row>,
}

/// A word without table.
#[derive(Debug, Clone, Copy)]
enum Simple {
    OwnAddress,
    MyNetworks,
    Login,
    Certificate(Certificates),
}

/// One word of the list.
enum Row {
    Simple(Simple),
    /// check_address_map: the client's address is in a table.
    AddressMap(Maps),
    /// Says this, and fails.
    Broken(Vec<u8>),
    /// Says this, and goes on.
    Unknown(Vec<u8>),
}

/// Words without table.
const WORDS: &[(&str, Simple)] = &[
    ("permit_inet_interfaces", Simple::OwnAddress),
    ("permit_mynetworks", Simple::MyNetworks),
    ("permit_sasl_authenticated", Simple::Login),
    ("permit_tls_all_clientcerts", Simple::Certificate(Certificates::Verified)),
    ("permit_tls_clientcerts", Simple::Certificate(Certificates::Listed)),
];

impl RewriteClients {
    /// Opens what the list names; before the chroot.
    pub fn open(config: &Rc<Config>, opener: &mut Opener) -> Result<Self, Fatal> {
        let clients = Clients::open(config, opener)?;
        let mut rows = Vec::new();
        let mut words = words_braced(&config.local_header_rewrite_clients, COMMA_SPACE);
        while let Some(word) = words.next() {
            rows.push(if word.contains(&b':') {
                Row::AddressMap(address_map(opener, word)?)
            } else if word.eq_ignore_ascii_case(b"check_address_map") {
                match words.next() {
                    Some(map) if map.contains(&b':') => Row::AddressMap(address_map(opener, map)?),
                    other => Row::Broken(fill!(
                        "restriction check_address_map: bad argument \"{}\": need maptype:mapname",
                        other.unwrap_or(word)
                    )),
                }
            } else {
                let row = WORDS.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word));
                row.map_or_else(|| Row::Unknown(word.to_vec()), |(_, simple)| Row::Simple(*simple))
            });
        }
        Ok(Self { config: Rc::clone(config), clients, rows })
    }

    /// Whether the client is in the list. A failed lookup is a refusal, and is logged.
    pub fn matches(&self, facts: &Facts<'_>) -> Result<bool, Refusal> {
        for row in &self.rows {
            match self.row_matches(row, facts) {
                Ok(false) => {}
                Ok(true) => return Ok(true),
                Err(error) => return Err(self.refusal(error, facts)),
            }
        }
        Ok(false)
    }

    fn row_matches(&self, row: &Row, facts: &Facts<'_>) -> Result<bool, TableError> {
        match row {
            Row::Simple(Simple::OwnAddress) => Ok(self.clients.is_own_address(facts.client)),
            Row::Simple(Simple::MyNetworks) => self.clients.is_in_mynetworks(facts.client),
            Row::Simple(Simple::Login) => self.clients.is_authenticated(facts),
            Row::Simple(Simple::Certificate(which)) => self.clients.has_certificate(facts, *which),
            Row::AddressMap(maps) => Ok(maps.find(&facts.client.addr)?.is_some()),
            Row::Broken(text) => {
                warning!("{}", text);
                Err(TableError::Config)
            }
            Row::Unknown(word) => {
                warning!("parameter local_header_rewrite_clients: invalid request: {}", word);
                Ok(false)
            }
        }
    }

    fn refusal(&self, error: TableError, facts: &Facts<'_>) -> Refusal {
        let (class, text) = match error {
            TableError::Retry => {
                (ErrorClass::Resource, b"451 4.3.0 Temporary lookup error".to_vec())
            }
            TableError::Config => {
                (ErrorClass::Software, b"451 4.3.5 Server configuration error".to_vec())
            }
        };
        log_event(&self.config, facts, "reject", &text);
        Refusal { class, text }
    }
}

fn address_map(opener: &mut Opener, spec: &[u8]) -> Result<Maps, Fatal> {
    Maps::open(opener, spec, spec, Request::ACCESS)
}
