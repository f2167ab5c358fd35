//! A handshake in words: the line in the log, the lines in Received:.

use super::{Algorithm, TlsFacts};
use crate::config::dialect::{Change, Release};

impl TlsFacts {
    /// The line that says all: `Anonymous TLS connection established from name[addr]: TLSv1.3 with
    /// cipher …`.
    pub(super) fn summary(&self, namaddr: &[u8]) -> Vec<u8> {
        let trust = match (self.has_credential(), self.trusted) {
            (false, _) => "Anonymous",
            (true, false) => "Untrusted",
            (true, true) => "Trusted",
        };
        let mut line = fill!("{} TLS connection established from {}", trust, namaddr);
        if let Some(name) = &self.server_name {
            line.extend(fill!(" to {}", name));
        }
        line.extend_from_slice(b": ");
        line.extend_from_slice(self.cipher_words().as_bytes());
        let signatures = [
            self.server_signature.as_ref().map(|it| it.signed("server", true)),
            self.client_signature.as_ref().map(|it| it.signed("client", true)),
        ];
        for words in [self.key_exchange_words()].into_iter().chain(signatures) {
            line.extend_from_slice(words.unwrap_or_default().as_bytes());
        }
        line
    }

    /// Who the client proved to be: names and fingerprints of its certificate.
    pub(super) fn peer_words(&self, release: Release) -> Vec<u8> {
        let names = fill!("subject_CN={}, issuer={}", self.subject, self.issuer);
        let certificate = self.certificate_fingerprint.as_deref().unwrap_or_default();
        let key = self.key_fingerprint.as_deref().unwrap_or_default();
        if !release.does(Change::FingerprintKinds) {
            return fill!("{}, fingerprint={}, pkey_fingerprint={}", names, certificate, key);
        }
        let mut words = names;
        for (what, fingerprint) in [("cert", certificate), ("pkey", key)] {
            if !fingerprint.is_empty() {
                words.extend(fill!(", {} fingerprint={}", what, fingerprint));
            }
        }
        words
    }

    /// The lines of a Received: header that tell of TLS, each with its tab, without line ends
    /// (smtpd_tls_received_header). `asked` is smtpd_tls_ask_ccert.
    pub fn received(&self, asked: bool) -> Vec<Vec<u8>> {
        let mut lines = vec![format!("\t(using {}", self.cipher_words())];
        match (self.key_exchange_words(), self.server_words()) {
            (None, None) => {}
            (exchange, server) => {
                let line = [exchange, server].map(Option::unwrap_or_default).concat();
                lines.push(format!("\t{line}"));
            }
        }
        if let Some(client) = self.client_words() {
            lines.push(format!("\t{client}"));
        }
        if let Some(last) = lines.last_mut() {
            last.push(')');
        }
        let mut lines: Vec<Vec<u8>> = lines.into_iter().map(String::into_bytes).collect();
        lines.push(self.client_line(asked));
        lines
    }

    fn client_line(&self, asked: bool) -> Vec<u8> {
        if self.has_raw_key {
            let fingerprint = self.key_fingerprint.as_deref().unwrap_or_default();
            return fill!("\t(Client RPK {} digest {})", self.digest, fingerprint);
        }
        if !self.has_certificate {
            return match asked {
                true => b"\t(Client did not present a certificate)".to_vec(),
                false => b"\t(No client certificate requested)".to_vec(),
            };
        }
        let (subject, issuer) = (comment(&self.subject), comment(&self.issuer));
        let verified = if self.trusted { "verified OK" } else { "not verified" };
        fill!("\t(Client CN \"{}\", Issuer \"{}\" ({}))", subject, issuer, verified)
    }

    fn cipher_words(&self) -> String {
        format!(
            "{} with cipher {} ({}/{} bits)",
            self.protocol, self.cipher, self.cipher_bits, self.algorithm_bits
        )
    }

    fn key_exchange_words(&self) -> Option<String> {
        self.key_exchange.as_ref().map(|it| format!(" key-exchange {it}"))
    }

    fn server_words(&self) -> Option<String> {
        self.server_signature.as_ref().map(|it| it.signed("server", false))
    }

    fn client_words(&self) -> Option<String> {
        self.client_signature.as_ref().map(|it| it.signed("client", false))
    }
}

impl Algorithm {
    /// Who signed how. Only the log tells of a key without a certificate of which nothing is known
    /// but that.
    fn signed(&self, by: &str, for_log: bool) -> String {
        let digest = match &self.digest {
            Some(digest) => format!(" {by}-digest {digest}"),
            None => String::new(),
        };
        let raw = match (self.raw && for_log, &self.curve, self.bits) {
            (true, None, 0) => " (raw public key)",
            _ => "",
        };
        format!(" {by}-signature {self}{raw}{digest}")
    }
}

impl std::fmt::Display for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.curve, self.bits) {
            (Some(curve), _) if self.raw => write!(f, "{} ({curve} raw public key)", self.name),
            (Some(curve), _) => write!(f, "{} ({curve})", self.name),
            (None, 0) => write!(f, "{}", self.name),
            (None, bits) if self.raw => write!(f, "{} ({bits} bit raw public key)", self.name),
            (None, bits) => write!(f, "{} ({bits} bits)", self.name),
        }
    }
}

/// `text` as it may stand in a comment of a header: printable ASCII, parentheses balanced. Also for
/// the names of those who log in.
pub fn comment(text: &[u8]) -> Vec<u8> {
    let mut open = 0usize;
    let mut out = Vec::with_capacity(text.len());
    for &byte in text {
        out.push(match byte {
            b'\\' => b'?',
            b'(' => {
                open += 1;
                b'('
            }
            b')' if open == 0 => b'?',
            b')' => {
                open -= 1;
                b')'
            }
            b' '..=b'~' => byte,
            _ => b'?',
        });
    }
    out.resize(out.len() + open, b')');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn algorithm(name: &str, curve: Option<&str>, bits: u32, digest: Option<&str>) -> Algorithm {
        let (curve, digest) = (curve.map(str::to_owned), digest.map(str::to_owned));
        Algorithm { name: name.to_owned(), curve, bits, digest, raw: false }
    }

    fn tls13() -> TlsFacts {
        TlsFacts {
            protocol: "TLSv1.3".to_owned(),
            cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
            cipher_bits: 256,
            algorithm_bits: 256,
            key_exchange: Some(algorithm("X25519", None, 0, None)),
            server_signature: Some(algorithm("RSA-PSS", None, 2048, Some("SHA256"))),
            ..TlsFacts::default()
        }
    }

    fn text(lines: &[Vec<u8>]) -> Vec<String> {
        lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }

    #[test]
    fn fingerprints_are_told_apart_from_3_9_on() {
        let facts = TlsFacts {
            subject: b"a".to_vec(),
            issuer: b"b".to_vec(),
            certificate_fingerprint: Some(b"AA".to_vec()),
            ..TlsFacts::default()
        };
        let words = |release: &str| facts.peer_words(Release::parse(release.as_bytes()).unwrap());
        assert_eq!(words("3.8"), b"subject_CN=a, issuer=b, fingerprint=AA, pkey_fingerprint=");
        assert_eq!(words("3.9"), b"subject_CN=a, issuer=b, cert fingerprint=AA");
    }

    // These lines were seen with Postfix 3.7.11.

    #[test]
    fn the_summary_is_that_of_postfix() {
        let line =
            |facts: &TlsFacts| String::from_utf8(facts.summary(b"a.example[192.0.2.1]")).unwrap();
        let established = "TLS connection established from a.example[192.0.2.1]:";
        assert_eq!(
            line(&tls13()),
            format!(
                "Anonymous {established} TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) \
                 key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256"
            )
        );
        let untrusted = TlsFacts {
            has_certificate: true,
            key_exchange: Some(algorithm("ECDHE", Some("prime256v1"), 0, None)),
            client_signature: Some(algorithm("ECDSA", Some("prime256v1"), 0, Some("SHA256"))),
            ..tls13()
        };
        assert_eq!(
            line(&untrusted),
            format!(
                "Untrusted {established} TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) \
                 key-exchange ECDHE (prime256v1) server-signature RSA-PSS (2048 bits) \
                 server-digest SHA256 client-signature ECDSA (prime256v1) client-digest SHA256"
            )
        );
        let ed25519 = algorithm("ED25519", None, 0, None);
        let trusted = TlsFacts {
            has_certificate: true,
            trusted: true,
            client_signature: Some(ed25519),
            ..tls13()
        };
        assert!(line(&trusted).starts_with(&format!("Trusted {established} TLSv1.3 ")));
        assert!(line(&trusted).ends_with(" server-digest SHA256 client-signature ED25519"));
        let resumed = algorithm("RSA-PSS", None, 2048, None);
        let resumed = TlsFacts { server_signature: Some(resumed), resumed: true, ..tls13() };
        assert!(line(&resumed).ends_with(" server-signature RSA-PSS (2048 bits)"));
    }

    #[test]
    fn received_tells_of_tls_1_2_in_one_line() {
        let facts = TlsFacts {
            protocol: "TLSv1.2".to_owned(),
            cipher: "ECDHE-RSA-AES256-GCM-SHA384".to_owned(),
            cipher_bits: 256,
            algorithm_bits: 256,
            ..TlsFacts::default()
        };
        assert_eq!(
            text(&facts.received(true)),
            [
                "\t(using TLSv1.2 with cipher ECDHE-RSA-AES256-GCM-SHA384 (256/256 bits))",
                "\t(Client did not present a certificate)",
            ]
        );
        assert_eq!(text(&facts.received(false))[1], "\t(No client certificate requested)");
    }

    #[test]
    fn received_tells_of_tls_1_3_and_the_certificate() {
        let facts = TlsFacts {
            has_certificate: true,
            client_signature: Some(algorithm("RSA-PSS", None, 2048, Some("SHA256"))),
            subject: b"rsa client (x) \\ y".to_vec(),
            issuer: b"one (two".to_vec(),
            ..tls13()
        };
        assert_eq!(
            text(&facts.received(true)),
            [
                "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)",
                "\t key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256",
                "\t client-signature RSA-PSS (2048 bits) client-digest SHA256)",
                "\t(Client CN \"rsa client (x) ? y\", Issuer \"one (two)\" (not verified))",
            ]
        );
    }

    #[test]
    fn a_key_without_a_certificate_is_called_so() {
        let raw = |curve, bits| Algorithm { raw: true, ..algorithm("KEY", curve, bits, None) };
        let facts = TlsFacts {
            has_raw_key: true,
            server_signature: Some(raw(Some("prime256v1"), 0)),
            client_signature: Some(raw(None, 2048)),
            key_fingerprint: Some(b"AA:BB".to_vec()),
            digest: b"sha256".to_vec(),
            ..tls13()
        };
        let line = String::from_utf8(facts.summary(b"a[1]")).unwrap();
        assert!(line.starts_with("Untrusted TLS connection established from a[1]: "));
        assert!(line.ends_with(
            " server-signature KEY (prime256v1 raw public key) \
             client-signature KEY (2048 bit raw public key)"
        ));
        let lines = text(&facts.received(true));
        assert_eq!(lines[2], "\t client-signature KEY (2048 bit raw public key))");
        assert_eq!(lines[3], "\t(Client RPK sha256 digest AA:BB)");
        let nothing = TlsFacts { client_signature: Some(raw(None, 0)), ..facts };
        let line = String::from_utf8(nothing.summary(b"a[1]")).unwrap();
        assert!(line.ends_with(" client-signature KEY (raw public key)"));
        assert_eq!(text(&nothing.received(true))[2], "\t client-signature KEY)");
    }

    #[test]
    fn the_name_that_was_asked_for_stands_in_the_summary() {
        let facts = TlsFacts { server_name: Some(b"MX.test".to_vec()), ..tls13() };
        let line = String::from_utf8(facts.summary(b"a[1]")).unwrap();
        assert!(line.starts_with("Anonymous TLS connection established from a[1] to MX.test: TLS"));
    }

    #[test]
    fn received_without_key_exchange_still_tells_who_signed() {
        let facts = TlsFacts { key_exchange: None, ..tls13() };
        let line = "\t server-signature RSA-PSS (2048 bits) server-digest SHA256)";
        assert_eq!(text(&facts.received(true))[1], line);
    }

    #[test]
    fn comments_are_balanced_ascii() {
        assert_eq!(comment(b"a(b))c\\\xc3\xa9\n("), b"a(b)?c????()");
    }
}
