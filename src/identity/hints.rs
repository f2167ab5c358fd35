//! What an administrator should know of a client's certificate (smtpd_tls_ccert_hints).
//!
//! One line a session: whose the certificate is, or how to let it in. Nothing here decides.

use data_encoding::{BASE64_NOPAD, HEXLOWER, HEXUPPER};

use super::{Identity, SECONDS_A_DAY, entry};
use crate::config::Config;
use crate::log::Fatal;
use crate::table::maps::Maps;
use crate::table::{Opener, Request, TableError};
use crate::text::printable::undeceptive;
use crate::text::split::{COMMA_SPACE, words_braced};
use crate::tls::{Fault, Print, Shown, TlsFacts};

/// The tables in which a certificate can be listed.
pub struct Hints {
    lists: Vec<List>,
    digest: Vec<u8>,
}

/// The tables of one parameter.
struct List {
    maps: Maps,
    /// The first table, as main.cf has it.
    first: Vec<u8>,
    /// What stands behind a fingerprint.
    value: &'static str,
}

impl Hints {
    /// Opens the tables; `None` without smtpd_tls_ccert_hints.
    pub fn open(config: &Config, opener: &mut Opener) -> Result<Option<Self>, Fatal> {
        if !config.smtpd_tls_ccert_hints {
            return Ok(None);
        }
        let mut lists = Vec::new();
        for (title, list, value) in [
            ("smtpd_tls_ccert_user_maps", &config.smtpd_tls_ccert_user_maps, "user=NAME"),
            ("relay_clientcerts", &config.relay_clientcerts, "NAME"),
        ] {
            if let Some(first) = words_braced(list, COMMA_SPACE).next() {
                let maps = Maps::open(opener, title, list, Request::ACCESS)?;
                lists.push(List { maps, first: first.to_vec(), value });
            }
        }
        Ok(Some(Self { lists, digest: config.smtpd_tls_fingerprint_digest.clone() }))
    }

    /// Says whose the certificate of `namaddr` is, or what can be done about it.
    pub fn log(&self, tls: &TlsFacts, identity: &Identity, namaddr: &[u8]) {
        if let Some(text) = tls.shown.as_ref().and_then(|shown| self.text(tls, shown, identity)) {
            info!("{}: {}", namaddr, undeceptive(&text));
        }
    }

    fn text(&self, tls: &TlsFacts, shown: &Shown, identity: &Identity) -> Option<Vec<u8>> {
        let known = fingerprints(tls);
        match identity {
            Identity::User(entry) => {
                let device = entry.device.as_ref().map(|it| fill!(", device \"{}\"", it));
                let device = device.unwrap_or_default();
                Some(fill!("client certificate of user {}{}, {}", entry.user, device, known))
            }
            // What there is to say was said as a warning.
            Identity::Refused(..) | Identity::Unknown(_) => None,
            Identity::Nobody => match self.listed(tls) {
                Ok(Some(table)) if !tls.revoked => {
                    Some(fill!("client certificate listed in {}, {}", table, known))
                }
                Ok(_) => Some(self.unknown(tls, shown)),
                Err(_) => None,
            },
        }
    }

    /// The table that has the certificate, as tables should have it.
    fn listed(&self, tls: &TlsFacts) -> Result<Option<Vec<u8>>, TableError> {
        for list in &self.lists {
            for key in [&tls.key_fingerprint, &tls.certificate_fingerprint].into_iter().flatten() {
                if let Some(found) = list.maps.find(key)? {
                    return Ok(Some(found.table.name().to_vec()));
                }
            }
        }
        Ok(None)
    }

    /// All about a certificate that nobody knows.
    fn unknown(&self, tls: &TlsFacts, shown: &Shown) -> Vec<u8> {
        let what = if tls.revoked { "revoked" } else { "unknown" };
        let what = fill!("{} client {}", what, if tls.has_raw_key { "key" } else { "certificate" });
        let mut text = what;
        for print in shown.prints.iter().filter(|print| print.digest == "sha256") {
            text.extend(fill!(", {} SHA-256 fingerprint={}", print.of, print.text()));
        }
        for fault in &shown.faults {
            text.extend(fill!(", {}", words(fault)));
        }
        if !tls.revoked {
            text.extend(fill!("; {}", self.advice(tls, shown)));
        }
        text
    }

    fn advice(&self, tls: &TlsFacts, shown: &Shown) -> Vec<u8> {
        let wanted = tls.key_fingerprint.as_deref().unwrap_or_default();
        if let Some((table, key, print)) = self.mistaken(shown) {
            let Print { digest, of, .. } = print;
            let found =
                fill!("it is listed in {} as \"{}\" ({} of the {})", table, key, *digest, *of);
            let digest = &self.digest;
            return fill!(
                "{}, but smtpd_tls_fingerprint_digest={} wants {}",
                found,
                digest,
                wanted
            );
        }
        match self.lists.first() {
            Some(List { first, value, .. }) => {
                fill!("to let it in, add to {}: {} {}", first, wanted, *value)
            }
            None => b"to let it in, name a table in smtpd_tls_ccert_user_maps".to_vec(),
        }
    }

    /// A table that has the certificate in a form that is never looked up.
    fn mistaken<'s>(&self, shown: &'s Shown) -> Option<(Vec<u8>, Vec<u8>, &'s Print)> {
        for list in &self.lists {
            for print in &shown.prints {
                for key in forms(print) {
                    if let Some(found) = list.maps.find_part(&key).ok()? {
                        return Some((found.table.name().to_vec(), key, print));
                    }
                }
            }
        }
        None
    }
}

/// The fingerprints by smtpd_tls_fingerprint_digest. `ccert list` looks for them.
fn fingerprints(tls: &TlsFacts) -> Vec<u8> {
    let named = |name: &str, fingerprint: &Option<Vec<u8>>| {
        fingerprint.as_ref().map(|it| fill!("{} fingerprint={}", name, it))
    };
    let key = named("key", &tls.key_fingerprint);
    let certificate = named("certificate", &tls.certificate_fingerprint);
    key.into_iter().chain(certificate).collect::<Vec<_>>().join(&b", "[..])
}

/// How people may have written a fingerprint.
fn forms(print: &Print) -> [Vec<u8>; 5] {
    let (colons, bytes) = (print.text(), &print.bytes);
    let base64 = BASE64_NOPAD.encode(bytes);
    let small = colons.to_ascii_lowercase();
    let plain = HEXLOWER.encode(bytes).into_bytes();
    let large = HEXUPPER.encode(bytes).into_bytes();
    [colons, small, plain, large, fill!("{}:{}", print.digest.to_uppercase(), base64)]
}

fn words(fault: &Fault) -> Vec<u8> {
    let date = |seconds: &i64| entry::date(seconds.div_euclid(SECONDS_A_DAY));
    match fault {
        Fault::Revoked => b"revoked by its CA".to_vec(),
        Fault::Expired(end) => fill!("expired on {}", date(end)),
        Fault::NotYetValid(begin) => fill!("not valid before {}", date(begin)),
        Fault::NotForClients => b"not made for clients (extendedKeyUsage)".to_vec(),
        Fault::Untrusted(why) => fill!("not trusted: {}", why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Users;
    use crate::log::captured;

    fn print(digest: &'static str, of: &'static str, byte: u8, len: usize) -> Print {
        Print { digest, of, bytes: vec![byte; len] }
    }

    /// A certificate by whose fingerprints nobody can be mistaken.
    fn shown() -> TlsFacts {
        let prints = vec![
            print("sha256", "key", 0xa1, 32),
            print("sha1", "key", 0xa2, 20),
            print("md5", "key", 0xa3, 16),
            print("sha256", "certificate", 0xb1, 32),
            print("sha1", "certificate", 0xb2, 20),
            print("md5", "certificate", 0xb3, 16),
        ];
        TlsFacts {
            has_certificate: true,
            key_fingerprint: Some(prints[0].text()),
            certificate_fingerprint: Some(prints[3].text()),
            shown: Some(Box::new(Shown { prints, faults: Vec::new() })),
            ..TlsFacts::default()
        }
    }

    fn hint(main_cf: &str, tls: &TlsFacts) -> Vec<String> {
        let config = Config::of_text(&format!("smtpd_tls_ccert_hints = yes\n{main_cf}")).unwrap();
        let mut opener = Opener::new(&config);
        let users = Users::open(&config, &mut opener).unwrap();
        let hints = Hints::open(&config, &mut opener).unwrap().unwrap();
        let identity = users.map_or(Identity::Nobody, |users| users.identify(tls, b"x[1]", b"1"));
        captured::take();
        hints.log(tls, &identity, b"x[1]");
        captured::take()
    }

    fn users(entry: &str) -> String {
        format!(
            "smtpd_tls_fingerprint_digest = sha256\n\
             smtpd_tls_ccert_user_maps = inline:{{ {{ {entry} }} }}\n"
        )
    }

    fn colons(byte: &str, len: usize) -> String {
        vec![byte; len].join(":")
    }

    #[test]
    fn whose_a_certificate_is_stands_in_one_line() {
        let (key, whole) = (colons("A1", 32), colons("B1", 32));
        let said = hint(&users(&format!("{key} = user=alice, device=phone")), &shown());
        let prints = format!("key fingerprint={key}, certificate fingerprint={whole}");
        assert_eq!(
            said,
            [format!("x[1]: client certificate of user alice, device \"phone\", {prints}")]
        );
        let said = hint(&format!("relay_clientcerts = inline:{{{{ {whole} = x }}}}"), &shown());
        let table = format!("inline:{{{{ {whole} = x }}}}");
        assert_eq!(said, [format!("x[1]: client certificate listed in {table}, {prints}")]);
    }

    #[test]
    fn who_is_unknown_gets_the_line_to_add() {
        let mut tls = shown();
        if let Some(shown) = &mut tls.shown {
            shown.faults = vec![
                Fault::Expired(86_400 * 365),
                Fault::NotForClients,
                Fault::Untrusted(b"self-signed certificate".to_vec()),
            ];
        }
        let (key, whole) = (colons("A1", 32), colons("B1", 32));
        let said = hint("smtpd_tls_ccert_user_maps = inline:{{x = y}}", &tls);
        assert_eq!(
            said,
            [format!(
                "x[1]: unknown client certificate, key SHA-256 fingerprint={key}, \
                 certificate SHA-256 fingerprint={whole}, expired on 1971-01-01, not made for \
                 clients (extendedKeyUsage), not trusted: self-signed certificate; \
                 to let it in, add to inline:{{{{x = y}}}}: {key} user=NAME"
            )]
        );
        let said = hint("relay_clientcerts = inline:{{x = y}}", &shown());
        let advice = format!("; to let it in, add to inline:{{{{x = y}}}}: {key} NAME");
        assert!(said[0].ends_with(&advice), "{said:?}");
        let said = hint("", &shown());
        assert!(said[0].ends_with("; to let it in, name a table in smtpd_tls_ccert_user_maps"));
    }

    #[test]
    fn nothing_turns_or_ends_the_line() {
        let mut tls = shown();
        if let Some(shown) = &mut tls.shown {
            let why = "untrusted issuer /CN=a\u{202e}b\u{2028}c\u{85}d".as_bytes().to_vec();
            shown.faults = vec![Fault::Untrusted(why), Fault::Expired(-5_317 * 86_400)];
        }
        let said = hint("", &tls).concat();
        let words = "not trusted: untrusted issuer /CN=a?b?c?d, expired on 1955-06-12;";
        assert!(said.contains(words), "{said}");
        let key = colons("A1", 32);
        let said = hint(&users(&format!("{key} = user=alice, device=a\u{2066}b")), &shown());
        assert!(said[0].contains("user alice, device \"a?b\", "), "{said:?}");
    }

    #[test]
    fn a_mistaken_form_is_recognized() {
        let base64 = BASE64_NOPAD.encode(&[0xb1; 32]);
        for (key, of) in [
            (colons("A2", 20), "sha1 of the key"),
            (colons("b3", 16), "md5 of the certificate"),
            ("a1".repeat(32), "sha256 of the key"),
            ("B2".repeat(20), "sha1 of the certificate"),
            (format!("SHA256:{base64}"), "sha256 of the certificate"),
        ] {
            let said = hint(&users(&format!("{key} = alice")), &shown());
            let wanted = colons("A1", 32);
            let end = format!(
                "as \"{key}\" ({of}), but smtpd_tls_fingerprint_digest=sha256 wants {wanted}"
            );
            // Tables don't tell capitals from small letters, so the line can't either.
            let said = said.concat().to_lowercase();
            assert!(said.ends_with(&end.to_lowercase()), "{key}: {said}");
        }
    }

    #[test]
    fn a_revoked_one_gets_no_advice() {
        let mut tls = TlsFacts { revoked: true, ..shown() };
        if let Some(shown) = &mut tls.shown {
            shown.faults = vec![Fault::Revoked];
        }
        let key = colons("A1", 32);
        let said = hint(&users(&format!("{key} = alice")), &tls);
        assert!(said[0].starts_with("x[1]: revoked client certificate, "), "{said:?}");
        assert!(said[0].ends_with(", revoked by its CA"), "{said:?}");
    }

    #[test]
    fn without_the_parameter_nothing_is_said() {
        let config = Config::of_text("").unwrap();
        assert!(Hints::open(&config, &mut Opener::new(&config)).unwrap().is_none());
    }
}
