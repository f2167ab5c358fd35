//! Who a client is by its certificate (smtpd_tls_ccert_user_maps, smtpd_tls_ccert_authzid_maps).
//!
//! Postfix knows a certificate only as listed or not. Here a table gives it a user, and that user
//! is the login wherever one counts: log, Received:, restrictions. What is looked up, in this order:
//!
//! ```text
//! 12:34:…                       fingerprint of the public key (smtpd_tls_fingerprint_digest)
//! 12:34:…                       fingerprint of the certificate
//! san_email:alice@example.org   the names, only where the chain was verified
//! san_dns:laptop.example.org
//! san_uri:urn:…
//! cert_subject:CN=…,O=…         RFC 4514; a blank is `%20`, a comma in a value `%2C`
//! cert_issuer:CN=…,O=…
//! ```
//! A verified chain alone makes nobody a user: some entry must.
#![forbid(unsafe_code)]

pub mod entry;
mod hints;

use std::time::SystemTime;

pub use entry::{BadEntry, Entry};
pub use hints::Hints;

use crate::config::Config;
use crate::log::Fatal;
use crate::sys::time;
use crate::table::maps::Maps;
use crate::table::{Opener, Request, TableError};
use crate::text::split::{COMMA_SPACE, words};
use crate::tls::TlsFacts;

/// Who the client is by its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Identity {
    /// No certificate, or nobody's.
    #[default]
    Nobody,
    /// This user's.
    User(Entry),
    /// This user's, but a condition of the entry is not met.
    Refused(Entry, Condition),
    /// A table could not be asked.
    Unknown(TableError),
}

/// A condition of an entry that is not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The last day has passed.
    Until,
    /// The client's address.
    Clients,
    /// The sender's address.
    Senders,
}

impl Condition {
    /// What is said to a client at `address`: the name of the condition is in it.
    pub fn reason(self, entry: &Entry, address: &[u8]) -> Vec<u8> {
        match self {
            Self::Until => {
                let day = entry::date(entry.until.unwrap_or_default());
                fill!("certificate was accepted until {} (until)", day)
            }
            Self::Clients => fill!("certificate is not accepted from {} (clients)", address),
            Self::Senders => b"sender is not among those of the certificate (senders)".to_vec(),
        }
    }
}

/// The tables that know users by their certificates.
pub struct Users {
    users: Maps,
    authorization: Maps,
}

const SECONDS_A_DAY: i64 = 86_400;

impl Users {
    /// Opens the tables; `None` where main.cf names none.
    pub fn open(config: &Config, opener: &mut Opener) -> Result<Option<Self>, Fatal> {
        if config.smtpd_tls_ccert_user_maps.is_empty() {
            return Ok(None);
        }
        let mut open = |title, list| Maps::open(opener, title, list, Request::ACCESS);
        Ok(Some(Self {
            users: open("smtpd_tls_ccert_user_maps", &config.smtpd_tls_ccert_user_maps)?,
            authorization: open(
                "smtpd_tls_ccert_authzid_maps",
                &config.smtpd_tls_ccert_authzid_maps,
            )?,
        }))
    }

    /// Whose certificate the client `namaddr` at `address` showed.
    pub fn identify(&self, tls: &TlsFacts, namaddr: &[u8], address: &[u8]) -> Identity {
        if !tls.has_credential() || tls.revoked {
            return Identity::Nobody;
        }
        let entry = match self.entry(tls) {
            Ok(Some(entry)) => entry,
            Ok(None) => return Identity::Nobody,
            Err(error) => return Identity::Unknown(error),
        };
        let identity = judge(entry, address, today());
        if let Identity::Refused(entry, condition) = &identity {
            let reason = condition.reason(entry, address);
            warning!("{}: user {} is not logged in: {}", namaddr, entry.user, reason);
        }
        identity
    }

    /// The entry of the first key that has one.
    fn entry(&self, tls: &TlsFacts) -> Result<Option<Entry>, TableError> {
        for key in keys(tls) {
            let Some(found) = self.users.find(&key)? else { continue };
            return match Entry::parse(&found.value) {
                Ok(entry) => Ok(Some(entry)),
                Err(error) => {
                    let (table, error) = (found.table.name(), error.to_string());
                    warning!("{}: bad entry for \"{}\": {}", table, key, error);
                    Err(TableError::Config)
                }
            };
        }
        Ok(None)
    }

    /// As whom `user` acts who wants to act as `identity` (smtpd_tls_ccert_authzid_maps: identities
    /// by user), in the table's words; `None`: not as that.
    pub fn acts_as(&self, user: &[u8], identity: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        if user == identity {
            return Ok(Some(user.to_vec()));
        }
        let found = self.authorization.find(user)?;
        let allowed = found.map(|found| found.value).unwrap_or_default();
        // Letters beyond ASCII that fold into it would make others of them.
        let mut words = words(&allowed, COMMA_SPACE);
        Ok(words.find(|word| word.eq_ignore_ascii_case(identity)).map(<[u8]>::to_vec))
    }
}

/// What is looked up, in order.
fn keys(tls: &TlsFacts) -> Vec<Vec<u8>> {
    let fingerprints = [&tls.key_fingerprint, &tls.certificate_fingerprint];
    let mut keys: Vec<Vec<u8>> = fingerprints.into_iter().flatten().cloned().collect();
    if tls.trusted {
        let names = &tls.names;
        let all = |kind: &'static str, names: &[Vec<u8>]| {
            // A table of patterns can put a part of the name into the entry.
            let names = names.iter().filter(|name| !entry::has_condition(name));
            names.map(|name| fill!("{}:{}", kind, name)).collect::<Vec<_>>()
        };
        keys.extend(all("san_email", &names.emails));
        keys.extend(all("san_dns", &names.dns));
        keys.extend(all("san_uri", &names.uris));
        keys.extend(all("cert_subject", names.subject.as_slice()));
        keys.extend(all("cert_issuer", names.issuer.as_slice()));
    }
    keys
}

fn judge(entry: Entry, address: &[u8], today: i64) -> Identity {
    if !entry.allows_day(today) {
        Identity::Refused(entry, Condition::Until)
    } else if !entry.allows_client(address) {
        Identity::Refused(entry, Condition::Clients)
    } else {
        Identity::User(entry)
    }
}

/// Days since 1970-01-01, in UTC.
fn today() -> i64 {
    day_of(time::now())
}

/// The day of a time: days since 1970-01-01, in UTC.
pub(crate) fn day_of(time: SystemTime) -> i64 {
    time::since_epoch(time).0 / SECONDS_A_DAY
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::log::captured;
    use crate::tls::Names;

    fn users(main_cf: &str) -> Users {
        captured::take();
        let config = Config::of_text(main_cf).unwrap();
        Users::open(&config, &mut Opener::new(&config)).unwrap().unwrap()
    }

    fn maps(entries: &str) -> Users {
        users(&format!("smtpd_tls_ccert_user_maps = inline:{{ {entries} }}"))
    }

    fn shown() -> TlsFacts {
        TlsFacts {
            has_certificate: true,
            certificate_fingerprint: Some(b"AA:01".to_vec()),
            key_fingerprint: Some(b"BB:02".to_vec()),
            ..TlsFacts::default()
        }
    }

    fn verified() -> TlsFacts {
        let names = Names {
            subject: Some(b"CN=alice,O=Example".to_vec()),
            issuer: Some(b"CN=Test%20CA".to_vec()),
            emails: vec![b"Alice@example.org".to_vec()],
            dns: vec![b"laptop.example.org".to_vec()],
            uris: vec![b"urn:x".to_vec()],
        };
        TlsFacts { trusted: true, names, ..shown() }
    }

    fn user(users: &Users, tls: &TlsFacts) -> Option<String> {
        match users.identify(tls, b"x[192.0.2.1]", b"192.0.2.1") {
            Identity::User(entry) => Some(String::from_utf8(entry.user).unwrap()),
            Identity::Nobody => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_is_somebodys_whatever_its_certificate_is_worth() {
        let users = maps("{BB:02 = key} {AA:01 = certificate}");
        assert_eq!(user(&users, &shown()).as_deref(), Some("key"));
        let users = maps("{aa:01 = certificate}");
        assert_eq!(user(&users, &shown()).as_deref(), Some("certificate"));
        assert_eq!(user(&users, &TlsFacts::default()), None);
    }

    #[test]
    fn names_count_only_in_verified_chains() {
        for key in [
            "san_email:alice@example\\.org",
            "san_dns:laptop\\.example\\.org",
            "san_uri:urn:x",
            "cert_subject:CN=alice,O=Example",
            "cert_issuer:CN=Test%20CA",
        ] {
            let table = format!("regexp:{{ {{/^{key}$$/ somebody}} }}");
            let users = users(&format!("smtpd_tls_ccert_user_maps = {table}"));
            assert_eq!(user(&users, &verified()).as_deref(), Some("somebody"), "{key}");
            let unproven = TlsFacts { trusted: false, ..verified() };
            assert_eq!(user(&users, &unproven), None, "{key}");
        }
    }

    #[test]
    fn a_part_of_a_name_is_no_condition_of_an_entry() {
        let table =
            "regexp:{ {/^san_uri:urn:(.*)$$/ $$1} {/^cert_subject:CN=(.*),O=x$$/ user=$$1} }";
        let users = users(&format!("smtpd_tls_ccert_user_maps = {table}"));
        let with = |uri: &str, subject: &str| {
            let (uris, subject) = (vec![uri.into()], Some(subject.into()));
            TlsFacts {
                trusted: true,
                names: Names { uris, subject, ..Names::default() },
                ..shown()
            }
        };
        assert_eq!(user(&users, &with("urn:alice", "")).as_deref(), Some("alice"));
        assert_eq!(user(&users, &with("urn:user=alice", "")), None);
        let subject = "CN=alice%2Cdevice%3Dx,O=x";
        let found = user(&users, &with("x:y", subject));
        assert_eq!(found.as_deref(), Some("alice%2Cdevice%3Dx"));
        // More than one attribute where the pattern expects one: nobody is let in.
        let identity =
            users.identify(&with("x:y", "CN=alice,OU=y,O=x"), b"x[192.0.2.1]", b"192.0.2.1");
        assert_eq!(identity, Identity::Unknown(TableError::Config));
    }

    #[test]
    fn a_verified_chain_alone_is_nobodys() {
        assert_eq!(user(&maps("{x = y}"), &verified()), None);
    }

    #[test]
    fn a_condition_that_is_not_met_is_named() {
        let day = |days: u64| UNIX_EPOCH + Duration::from_secs(days * 86_400 + 86_399);
        let identify = |users: &Users| users.identify(&shown(), b"x[192.0.2.1]", b"192.0.2.1");
        let last = u64::try_from(entry::day(b"2027-01-01").unwrap()).unwrap();
        let users = maps("{BB:02 = user=alice, until=2027-01-01}");
        time::fix(Some(day(last)));
        assert!(matches!(identify(&users), Identity::User(_)));
        time::fix(Some(day(last + 1)));
        captured::take();
        assert!(matches!(identify(&users), Identity::Refused(_, Condition::Until)));
        time::fix(None);
        assert_eq!(
            captured::take(),
            ["warning: x[192.0.2.1]: user alice is not logged in: \
              certificate was accepted until 2027-01-01 (until)"]
        );
        let users = maps("{BB:02 = user=alice, clients=10.0.0.0/8}");
        assert!(matches!(identify(&users), Identity::Refused(_, Condition::Clients)));
    }

    #[test]
    fn a_table_that_fails_makes_nobody_a_user() {
        let broken = users("smtpd_tls_ccert_user_maps = fail:x");
        let identity = broken.identify(&shown(), b"x[192.0.2.1]", b"192.0.2.1");
        assert_eq!(identity, Identity::Unknown(TableError::Retry));
        captured::take();
        let wrong = maps("{BB:02 = user=alice, until=tomorrow}");
        let identity = wrong.identify(&shown(), b"x[192.0.2.1]", b"192.0.2.1");
        assert_eq!(identity, Identity::Unknown(TableError::Config));
        assert!(
            captured::take()[0]
                .ends_with("bad entry for \"BB:02\": bad value of until: \"tomorrow\"")
        );
    }

    #[test]
    fn a_user_may_act_as_others_where_a_table_says_so() {
        let users = users(
            "smtpd_tls_ccert_user_maps = static:x\n\
             smtpd_tls_ccert_authzid_maps = inline:{ {alice = sales, Info} }",
        );
        let acts_as = |user: &str, identity: &str| {
            let user = users.acts_as(user.as_bytes(), identity.as_bytes()).unwrap();
            user.map(|user| String::from_utf8(user).unwrap())
        };
        assert_eq!(acts_as("alice", "alice").as_deref(), Some("alice"));
        assert_eq!(acts_as("alice", "INFO").as_deref(), Some("Info"));
        for (user, other) in [("alice", "bob"), ("alice", "\u{17f}ales"), ("bob", "sales")] {
            assert_eq!(acts_as(user, other), None, "{user} {other}");
        }
    }
}
