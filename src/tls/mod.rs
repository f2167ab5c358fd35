//! TLS, the server's side: certificates, handshakes, what a client proved, sessions that go on.
//!
//! [`Switches`] say whether TLS is offered or demanded; a [`TlsServer`] is prepared at the start and
//! shakes hands with each client that asks; [`TlsFacts`] are what came of it.
#![deny(unsafe_code)]

mod accept;
mod bond;
mod certificates;
mod ciphers;
mod crl;
mod dump;
mod ffi;
mod files;
mod groups;
pub(crate) mod inspect;
mod legacy;
mod levels;
mod library;
mod loglevel;
mod names;
mod peer;
mod protocols;
mod renewal;
mod revocation;
mod server;
mod session;
mod settings;
mod shown;
mod sni;
mod sound;
mod stapling;
mod summary;
mod switches;
#[cfg(test)]
mod tests;
mod trace;
mod vouchers;

pub use accept::HandshakeFailed;
pub use loglevel::LogMask;
pub use names::Names;
pub use renewal::Renewal;
pub use server::TlsServer;
pub use session::{CachePolicy, SessionKeeper};
pub use shown::{Fault, Print, Shown};
pub use summary::comment;
pub use switches::Switches;

/// An algorithm in a handshake, as the log shows it: `RSA-PSS (2048 bits)`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Algorithm {
    /// `X25519`, `ECDHE`, `RSA-PSS`
    pub name: String,
    /// `prime256v1`
    pub curve: Option<String>,
    /// Key size; 0 where it has none.
    pub bits: u32,
    /// Digest of a signature: `SHA256`.
    pub digest: Option<String>,
    /// The key was shown without a certificate (RFC 7250).
    pub raw: bool,
}

/// What a handshake came to, and what the client proved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFacts {
    /// `TLSv1.3`
    pub protocol: String,
    /// `TLS_AES_256_GCM_SHA384`
    pub cipher: String,
    /// Bits of the key in use.
    pub cipher_bits: u32,
    /// Bits of the algorithm.
    pub algorithm_bits: u32,
    /// Key exchange (TLS 1.3).
    pub key_exchange: Option<Algorithm>,
    /// The server's signature (TLS 1.3).
    pub server_signature: Option<Algorithm>,
    /// The client's signature (TLS 1.3).
    pub client_signature: Option<Algorithm>,
    /// The name that the client asked for, and that has certificates (tls_server_sni_maps).
    pub server_name: Option<Vec<u8>>,
    /// The session goes on from an earlier one.
    pub resumed: bool,
    /// The client showed a certificate.
    pub has_certificate: bool,
    /// The client showed a key without a certificate (RFC 7250), which is never trusted by itself.
    pub has_raw_key: bool,
    /// The certificate's chain was verified.
    pub trusted: bool,
    /// Its authority has revoked it (smtpd_tls_ccert_crl_file): it must not count for anything.
    pub revoked: bool,
    /// Common name of the client, checked; may be empty.
    pub subject: Vec<u8>,
    /// Common name or organisation of the issuer, checked; may be empty.
    pub issuer: Vec<u8>,
    /// Fingerprint of the certificate: upper case hex with colons.
    pub certificate_fingerprint: Option<Vec<u8>>,
    /// Fingerprint of the public key.
    pub key_fingerprint: Option<Vec<u8>>,
    /// The certificate's names; none where its chain was not verified.
    pub names: Names,
    /// The digest of the fingerprints, as main.cf calls it.
    pub digest: Vec<u8>,
    /// More of what the client showed, for hints (smtpd_tls_ccert_hints).
    pub shown: Option<Box<Shown>>,
}

impl TlsFacts {
    /// Whether the client showed a certificate, or a key without one.
    pub fn has_credential(&self) -> bool {
        self.has_certificate || self.has_raw_key
    }
}
