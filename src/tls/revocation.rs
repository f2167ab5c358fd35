//! Revocation lists of the authorities of clients (smtpd_tls_ccert_crl_file).
//!
//! Whoever names a file wants revocation checked, so where a list is missing, not readable or past
//! its time, the chains of that authority are not trusted. A list must be signed by the authority
//! whose name it has: any other is left out, and neither closes nor opens anything.
//!
//! Who is revoked is looked up in the lists themselves, whatever chain a client sends: OpenSSL finds
//! a list only by the certificate of its authority, which the client may leave out.

use openssl::ssl::SslContextBuilder;
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{CrlStatus, X509, X509Crl, X509Ref};

use super::crl::{self, Crl};
use super::files::File;
use super::{ffi, inspect, session};
use crate::stream::log_library_errors;

/// The lists in service.
pub(super) struct Lists {
    /// When each ends, seconds since 1970.
    pub(super) ends: Vec<i64>,
    /// Those that say who is revoked, also where they have ended.
    revoking: Vec<X509Crl>,
}

impl Lists {
    /// Lets chains be checked against the lists in `file`, of authorities in `ca` or of such as
    /// clients send along.
    pub(super) fn load(ctx: &mut SslContextBuilder, file: &File, ca: Option<&File>) -> Self {
        // In any case: without lists nobody is trusted.
        let flags = X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL;
        if let Err(errors) = ctx.verify_param_mut().set_flags(flags) {
            log_library_errors(&errors);
        }
        let ca = ca.and_then(|ca| ca.bytes.as_deref().ok()).unwrap_or_default();
        let (lists, whole) = crl::read(file);
        let lists = known(file, lists, &X509::stack_from_pem(ca).unwrap_or_default());
        let mut ends = Vec::new();
        if whole {
            ends = serve(ctx, file, &lists);
            if ends.is_empty() {
                let words = "has no CRL to be used: no client certificate is trusted";
                warning!("smtpd_tls_ccert_crl_file {} {}", file.name, words);
            }
        }
        let revoking = revoking(lists);
        ffi::clear_errors();
        Self { ends, revoking }
    }

    /// Whether a list has this certificate, by its serial number and the name of its issuer: a client
    /// need not send the authorities by which OpenSSL would find the list.
    pub(super) fn revoke(&self, certificate: &X509Ref) -> bool {
        let (issuer, serial) = (certificate.issuer_name(), certificate.serial_number());
        // OpenSSL sorts a list when it is asked first.
        self.revoking.iter().any(|list| {
            crl::are_equal(list.issuer_name(), issuer)
                && matches!(list.get_by_serial(serial), CrlStatus::Revoked(_))
        })
    }
}

/// The lists that are not proven to be forged. What is left out is logged.
fn known(file: &File, lists: Vec<X509Crl>, authorities: &[X509]) -> Vec<Crl> {
    let mut known = Vec::new();
    for list in lists {
        let issuer = ffi::one_line(list.issuer_name());
        let list = Crl::of(list, authorities);
        let fault = match &list {
            None => Some("is not signed by it"),
            Some(list) => list.fault.map(crl::Fault::words),
        };
        if let Some(fault) = fault {
            let words = fill!("the CRL of {} {}, and left out", issuer, fault);
            warning!("smtpd_tls_ccert_crl_file {}: {}", file.name, words);
        }
        known.extend(list);
    }
    known
}

/// Gives OpenSSL the lists that count; tells when each ends.
fn serve(ctx: &mut SslContextBuilder, file: &File, lists: &[Crl]) -> Vec<i64> {
    let mut ends = Vec::new();
    for one in lists {
        let superseded = lists.iter().any(|other| other.supersedes(one));
        if one.fault.is_some() || superseded || !ffi::add_list(ctx, &one.list) {
            continue;
        }
        let end = one.list.next_update().and_then(inspect::seconds).unwrap_or(i64::MAX);
        warn_of_end(file, &one.list, end);
        ends.push(end);
    }
    ends
}

/// The lists that say who is revoked.
fn revoking(lists: Vec<Crl>) -> Vec<X509Crl> {
    let counts = |one: &Crl| one.fault.is_none() && !lists.iter().any(|other| other.replaces(one));
    let counts: Vec<bool> = lists.iter().map(counts).collect();
    lists.into_iter().zip(counts).filter_map(|(one, counts)| counts.then_some(one.list)).collect()
}

fn warn_of_end(file: &File, list: &X509Crl, end: i64) {
    if end < session::now() {
        let issuer = ffi::one_line(list.issuer_name());
        let words = "has expired: no certificate of it is trusted";
        warning!("smtpd_tls_ccert_crl_file {}: the CRL of {} {}", file.name, issuer, words);
    }
}
