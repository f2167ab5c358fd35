//! Certificates of the server, and what the restrictions make of those of clients.

use super::report::{Place, Severity};
use super::start::{Examination, Started};
use crate::restriction::review::Reviewed;
use crate::sys::time;
use crate::table::source_keys::{keys_in, source_of};
use crate::text::split::{COMMA_SPACE, words_braced};
use crate::tls::inspect::{self, Inspected};

const DAY: i64 = 86_400;
/// Restrictions that look at the client's certificate.
const BY_CERTIFICATE: &[&str] =
    &["permit_tls_clientcerts", "permit_tls_all_clientcerts", "check_ccert_access"];

/// What stands before names in smtpd_tls_ccert_user_maps.
const NAME_KINDS: &[&str] = &["san_email", "san_dns", "san_uri", "cert_subject", "cert_issuer"];

fn is_of_kind(key: &[u8], kind: &str) -> bool {
    key.strip_prefix(kind.as_bytes()).is_some_and(|name| name.starts_with(b":"))
}

fn is_named(restriction: &Reviewed<'_>, name: &str) -> bool {
    restriction.name.eq_ignore_ascii_case(name.as_bytes())
}

impl Examination<'_> {
    /// Certificates whose time is over, or will be within so many days.
    pub(super) fn look_at_certificates(&mut self, started: &Started, days: u32) {
        let (config, switches) = (&started.config, &started.server.switches);
        if !switches.use_tls {
            return;
        }
        // The start has logged what is wrong with the settings.
        let (own, _) = crate::log::capture(|| inspect::certificates(config, switches));
        for certificate in own {
            self.look_at_dates(&certificate, days, Severity::Error);
        }
        if inspect::asks_for_certificates(config, switches) {
            for authority in inspect::authorities(config) {
                self.look_at_dates(&authority, days, Severity::Warning);
            }
        }
    }

    fn look_at_dates(&mut self, certificate: &Inspected, days: u32, over: Severity) {
        let Inspected { parameter, file, subject, valid_from, valid_until } = certificate;
        let (now, _) = time::since_epoch(time::now());
        let text =
            |what: &str| fill!("the certificate of \"{}\" in {} {}", subject.as_str(), file, what);
        let left = valid_until.saturating_sub(now);
        let (severity, text) = if left < 0 {
            (over, text(&format!("has expired {}", ago(-left))))
        } else if *valid_from > now {
            (over, text("is not valid yet"))
        } else if left < i64::from(days) * DAY {
            (Severity::Warning, text(&format!("expires {}", ahead(left))))
        } else {
            return;
        };
        let place = self.places.of_word(parameter.as_bytes(), file);
        self.say(severity, place, &text);
    }

    /// Restrictions that want a certificate where none is asked for, or take too many.
    pub(super) fn look_at_clients(&mut self, started: &Started) {
        let (config, switches) = (&started.config, &started.server.switches);
        let Some(policy) = &started.server.policy else { return };
        let review = policy.review();
        let asked = inspect::asks_for_certificates(config, switches);
        for restriction in review.iter().filter(|it| it.behind.is_none()) {
            let Some(name) = BY_CERTIFICATE.iter().find(|name| is_named(restriction, name)) else {
                continue;
            };
            let place = self.places.of_word(restriction.list, restriction.name);
            if !switches.use_tls {
                let text = fill!("{} is requested, but TLS is not offered", *name);
                self.say(Severity::Warning, place, &text);
            } else if !asked {
                let text = fill!("{} is requested, but \"smtpd_tls_ask_ccert = no\"", *name);
                self.say(Severity::Warning, place, &text);
            } else if *name == "permit_tls_all_clientcerts" {
                self.look_at_authorities(started, restriction.list, place);
            }
        }
        let listed = review.iter().filter(|it| is_named(it, "check_ccert_access"));
        for (list, by_name, spec) in listed.filter_map(|it| Some((it.list, it.by_name, it.table?)))
        {
            if by_name {
                self.look_at_keys(list, spec, Self::look_at_name);
            } else {
                self.look_at_fingerprints(started, list, spec);
            }
        }
        for spec in words_braced(&config.relay_clientcerts, COMMA_SPACE) {
            self.look_at_fingerprints(started, b"relay_clientcerts", spec);
        }
        if asked {
            self.look_at_names(started);
        }
    }

    /// Names by which people are users, where they prove nothing or can't count.
    fn look_at_names(&mut self, started: &Started) {
        let list = &started.config.smtpd_tls_ccert_user_maps;
        let Some(spec) = words_braced(list, COMMA_SPACE).find(|spec| may_have_names(spec)) else {
            return;
        };
        let Some(text) = inspect::names_in_doubt(&started.config) else { return };
        let parameter = "smtpd_tls_ccert_user_maps";
        let place = self.places.of_word(parameter.as_bytes(), spec);
        self.say(Severity::Warning, place, &fill!("{}: {}", parameter, text));
    }

    /// Whoever has a certificate of a public authority would be let through.
    fn look_at_authorities(&mut self, started: &Started, list: &[u8], place: Option<Place>) {
        let Some(text) = inspect::lets_everybody_in(&started.config) else { return };
        let relays = [&b"smtpd_relay_restrictions"[..], b"smtpd_recipient_restrictions"];
        let severity = if relays.contains(&list) { Severity::Error } else { Severity::Warning };
        self.say(severity, place, &text);
    }

    /// Keys that can be no fingerprint by smtpd_tls_fingerprint_digest.
    fn look_at_fingerprints(&mut self, started: &Started, parameter: &[u8], spec: &[u8]) {
        let digest = &started.config.smtpd_tls_fingerprint_digest;
        let Some(wanted) = inspect::digest_length(digest) else { return };
        self.look_at_keys(parameter, spec, |it, key, place| {
            it.look_at_key(key, wanted, digest, place)
        });
    }

    /// Does `look` with each key of a table that can be seen.
    fn look_at_keys(
        &mut self,
        parameter: &[u8],
        spec: &[u8],
        look: impl Fn(&mut Self, &[u8], Option<Place>),
    ) {
        if let Some(pairs) = spec.strip_prefix(b"inline:") {
            let place = self.places.of_word(parameter, spec);
            for key in inline_keys(pairs) {
                look(self, &key, place.clone());
            }
            return;
        }
        let Some(file) = source_of(spec) else { return };
        let Ok(keys) = keys_in(file) else { return };
        for (line, key) in keys {
            let line = usize::try_from(line).ok();
            let place = Place { file: file.to_vec(), line };
            look(self, &key, Some(place));
        }
    }

    /// In smtpd_tls_ccert_user_maps a name has its kind before it, here it has not.
    fn look_at_name(&mut self, key: &[u8], place: Option<Place>) {
        let Some(kind) = NAME_KINDS.iter().find(|kind| is_of_kind(key, kind)) else { return };
        let text = fill!("check_ccert_access looks names up without \"{}:\": {}", *kind, key);
        self.say(Severity::Warning, place, &text);
    }

    fn look_at_key(&mut self, key: &[u8], wanted: usize, digest: &[u8], place: Option<Place>) {
        let text = match fingerprint_bytes(key) {
            Some(bytes) if bytes == wanted => return,
            Some(bytes) => fill!(
                "fingerprint of {} bytes{}, but smtpd_tls_fingerprint_digest = {} makes {}: {}",
                bytes,
                digest_of_length(bytes),
                digest,
                wanted,
                key
            ),
            None => fill!(
                "no fingerprint (two hexadecimal digits a byte, colons between them): {}",
                key
            ),
        };
        self.say(Severity::Warning, place, &text);
    }
}

/// Whether a table can have keys that are names (`san_email:…`): of patterns, and of tables that are
/// elsewhere, nobody knows.
fn may_have_names(spec: &[u8]) -> bool {
    let keys = match (spec.strip_prefix(b"inline:"), source_of(spec)) {
        (Some(pairs), _) => inline_keys(pairs),
        (None, Some(file)) => match keys_in(file) {
            Ok(keys) => keys.into_iter().map(|(_, key)| key).collect(),
            Err(_) => return false,
        },
        (None, None) => return true,
    };
    keys.iter().any(|key| fingerprint_bytes(key).is_none())
}

/// The bytes of `AB:CD:…`.
fn fingerprint_bytes(key: &[u8]) -> Option<usize> {
    let mut bytes = 0;
    for byte in key.split(|byte| *byte == b':') {
        if byte.len() != 2 || !byte.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        bytes += 1;
    }
    Some(bytes)
}

/// ` (as by sha1)`
fn digest_of_length(bytes: usize) -> String {
    let names = ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"];
    let name = names.iter().find(|name| inspect::digest_length(name.as_bytes()) == Some(bytes));
    name.map_or(String::new(), |name| format!(" (as by {name})"))
}

/// The keys of `{ key=value, { key = value } }`.
fn inline_keys(pairs: &[u8]) -> Vec<Vec<u8>> {
    let trimmed = pairs.trim_ascii();
    let inside = trimmed.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
    let keys = words_braced(inside.unwrap_or_default(), COMMA_SPACE).filter_map(|pair| {
        let pair = pair.strip_prefix(b"{").unwrap_or(pair);
        let end = pair.iter().position(|byte| *byte == b'=')?;
        Some(pair[..end].trim_ascii().to_vec())
    });
    keys.collect()
}

fn ago(seconds: i64) -> String {
    match seconds / DAY {
        0 => "today".to_owned(),
        1 => "a day ago".to_owned(),
        days => format!("{days} days ago"),
    }
}

fn ahead(seconds: i64) -> String {
    match seconds / DAY {
        0 => "within a day".to_owned(),
        1 => "in a day".to_owned(),
        days => format!("in {days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_have_lengths() {
        assert_eq!(fingerprint_bytes(b"ab:CD:01"), Some(3));
        for no in [&b""[..], b"ABCD", b"AB:C", b"AB:CX", b"AB:"] {
            assert_eq!(fingerprint_bytes(no), None);
        }
        assert_eq!(digest_of_length(20), " (as by sha1)");
        assert_eq!(digest_of_length(21), "");
    }

    #[test]
    fn inline_tables_have_keys() {
        assert_eq!(inline_keys(b"{AA:BB=x, { CC:DD = y z }}"), [b"AA:BB", b"CC:DD"]);
    }
}
