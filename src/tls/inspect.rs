//! The certificates that main.cf names, for whoever looks at them before a client does.

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::x509::{X509, X509NameRef};

use super::Switches;
use super::files::File;
use super::settings::{Certificates, Settings};
use crate::config::Config;
use crate::sys::late_libraries;

/// So many authorities are the public, not one's own.
const MANY_AUTHORITIES: usize = 20;
/// Where systems keep the certificates of public authorities.
const PUBLIC: &[&[u8]] = &[
    b"/etc/ssl/certs",
    b"/etc/ssl/cert.pem",
    b"/etc/pki/tls",
    b"/etc/pki/ca-trust",
    b"/usr/share/ca-certificates",
];

/// A certificate in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inspected {
    /// The parameter that names the file.
    pub(crate) parameter: &'static str,
    pub(crate) file: Vec<u8>,
    /// Its common name, else its organisation.
    pub(crate) subject: String,
    /// Seconds since 1970.
    pub(crate) valid_from: i64,
    /// Seconds since 1970.
    pub(crate) valid_until: i64,
}

/// The parameters for the labels of [`Certificates::Pairs`].
const PAIRS: &[(&str, &str)] = &[
    ("RSA", "smtpd_tls_cert_file"),
    ("DSA", "smtpd_tls_dcert_file"),
    ("ECDSA", "smtpd_tls_eccert_file"),
];

/// The server's certificates and those of its issuers, as far as they can be read.
pub(crate) fn certificates(config: &Config, switches: &Switches) -> Vec<Inspected> {
    let Some(settings) = Settings::of(config, switches) else { return Vec::new() };
    match &settings.certificates {
        Certificates::Chains(list) => Settings::chain_files(list)
            .flat_map(|file| inside("smtpd_tls_chain_files", file))
            .collect(),
        Certificates::Pairs(pairs) => pairs
            .iter()
            .flat_map(|(label, file, _)| {
                let row = PAIRS.iter().find(|(row, _)| row == label);
                inside(row.map_or("smtpd_tls_cert_file", |(_, parameter)| parameter), file)
            })
            .collect(),
    }
}

/// The authorities whose certificates clients may have.
pub(crate) fn authorities(config: &Config) -> Vec<Inspected> {
    match config.smtpd_tls_CAfile.as_slice() {
        [] => Vec::new(),
        file => inside("smtpd_tls_CAfile", file),
    }
}

/// Says so where the authorities whose certificates clients may have are public ones.
pub(crate) fn lets_everybody_in(config: &Config) -> Option<Vec<u8>> {
    let why = if config.tls_append_default_CA {
        b"tls_append_default_CA = yes".to_vec()
    } else {
        public_file(config).or_else(|| public_path(config))?
    };
    Some(fill!(
        "permit_tls_all_clientcerts with public certification authorities ({}): \
         anybody can have such a certificate",
        why
    ))
}

/// Says so where names in certificates make nobody a user, or could make anybody one.
pub(crate) fn names_in_doubt(config: &Config) -> Option<Vec<u8>> {
    if config.tls_append_default_CA && config.smtpd_tls_CAfile.is_empty() {
        return Some(
            b"names in certificates do not count with tls_append_default_CA = yes, \
              but for authorities in smtpd_tls_CAfile, which is empty"
                .to_vec(),
        );
    }
    // Those of the directory do not vouch for names beside those of the system.
    let path = || (!config.tls_append_default_CA).then(|| public_path(config)).flatten();
    let why = public_file(config).or_else(path)?;
    Some(fill!(
        "names in certificates of public certification authorities ({}): \
         anybody can have such a certificate, and whoever issues it decides on its names",
        why
    ))
}

/// Why the authorities in smtpd_tls_CAfile look like public ones.
fn public_file(config: &Config) -> Option<Vec<u8>> {
    let count = authorities(config).len();
    if count > MANY_AUTHORITIES {
        return Some(fill!("smtpd_tls_CAfile has {} authorities", count));
    }
    systems_own(&config.smtpd_tls_CAfile)
}

/// The same of smtpd_tls_CApath.
fn public_path(config: &Config) -> Option<Vec<u8>> {
    systems_own(&config.smtpd_tls_CApath)
}

fn systems_own(name: &[u8]) -> Option<Vec<u8>> {
    let public = PUBLIC.iter().any(|public| name.starts_with(public));
    public.then(|| b"the system's own authorities are in use".to_vec())
}

/// Whether clients are asked for a certificate.
pub(crate) fn asks_for_certificates(config: &Config, switches: &Switches) -> bool {
    switches.use_tls
        && (config.smtpd_tls_ask_ccert || (switches.enforce_tls && config.smtpd_tls_req_ccert))
}

/// Bytes of a fingerprint by that digest.
pub(crate) fn digest_length(name: &[u8]) -> Option<usize> {
    MessageDigest::from_name(std::str::from_utf8(name).ok()?).map(|digest| digest.size())
}

fn inside(parameter: &'static str, name: &[u8]) -> Vec<Inspected> {
    let file = File::read(name);
    let Ok(pem) = &file.bytes else { return Vec::new() };
    if late_libraries::load_openssl().is_err() {
        return Vec::new();
    }
    let certificates = X509::stack_from_pem(pem).unwrap_or_default();
    super::ffi::clear_errors();
    let inspected = |certificate: &X509| {
        Some(Inspected {
            parameter,
            file: name.to_vec(),
            subject: subject(certificate.subject_name()),
            valid_from: seconds(certificate.not_before())?,
            valid_until: seconds(certificate.not_after())?,
        })
    };
    certificates.iter().filter_map(inspected).collect()
}

fn subject(name: &X509NameRef) -> String {
    let kinds = [Nid::COMMONNAME, Nid::ORGANIZATIONNAME];
    let mut entries = kinds.iter().flat_map(|kind| name.entries_by_nid(*kind));
    entries.next().map_or(String::new(), |entry| {
        String::from_utf8_lossy(entry.data().as_slice()).into_owned()
    })
}

/// How the log begins to say that a certificate of the server ends soon.
pub(crate) const OWN_CERTIFICATE: &str = "the server's certificate in";

/// When the first certificate in `pem` ends, or one of its issuers.
pub(super) fn first_end(pem: &[u8]) -> Option<i64> {
    let certificates = X509::stack_from_pem(pem).unwrap_or_default();
    super::ffi::clear_errors();
    certificates.iter().filter_map(|certificate| seconds(certificate.not_after())).min()
}

/// Seconds since 1970.
pub(super) fn seconds(time: &Asn1TimeRef) -> Option<i64> {
    let since = Asn1Time::from_unix(0).ok()?.diff(time).ok()?;
    Some(i64::from(since.days) * 86_400 + i64::from(since.secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_have_lengths() {
        assert_eq!(digest_length(b"md5"), Some(16));
        assert_eq!(digest_length(b"sha256"), Some(32));
        assert_eq!(digest_length(b"nonsense"), None);
    }

    #[test]
    fn times_are_seconds_since_1970() {
        let time = Asn1Time::from_unix(1_800_000_000).unwrap();
        assert_eq!(seconds(&time), Some(1_800_000_000));
    }

    #[test]
    fn a_file_that_is_not_there_has_no_certificates() {
        assert_eq!(inside("smtpd_tls_CAfile", b"/nowhere/at/all"), []);
    }
}
