//! Certificates and keys: from PEM files into a context, in Postfix's order and words.
//!
//! In a chain file each private key comes first, its certificate next, then those of its issuers;
//! the next key begins the next chain, and a chain may go on in the next file. In a *mixed* file
//! (smtpd_tls_cert_file and smtpd_tls_key_file are the same) there is one key, anywhere.

use std::io;
use std::path::Path;

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, PKeyRef, Private};
use openssl::ssl::{SslContextBuilder, SslFiletype, SslRef};
use openssl::stack::Stack;
use openssl::x509::{X509, X509Ref};

use super::ffi::{self, KeyForm, Pem, PemReader};
use super::files::{File, as_path};
use crate::stream::log_library_errors;
use crate::sys::errno::error_text;
use crate::sys::secret;

/// A certificate with its key in a file each (`smtpd_tls_cert_file`, `smtpd_tls_key_file`).
pub(super) struct Pair {
    /// `RSA`, for messages.
    pub(super) label: &'static str,
    /// The certificate and its issuers.
    pub(super) certificate: File,
    /// The key; none where it is in the same file.
    pub(super) key: Option<File>,
}

impl Pair {
    /// Puts the pair into the context; `false` (and a warning) where it is not fit.
    pub(super) fn load(&self, ctx: &mut SslContextBuilder) -> bool {
        match &self.key {
            None => self.load_mixed(ctx),
            Some(key) => self.load_files(ctx, key),
        }
    }

    fn load_mixed(&self, ctx: &mut SslContextBuilder) -> bool {
        let name = &self.certificate.name;
        match &self.certificate.bytes {
            Ok(bytes) => {
                let mut load = Load::new(name, true);
                let target = &mut Target::Server(ctx);
                load.read(target, name, bytes);
                load.finish(target)
            }
            Err(error) => {
                log_open_error(name, error);
                false
            }
        }
    }

    /// Through OpenSSL's own reading of the files, whose errors administrators know.
    fn load_files(&self, ctx: &mut SslContextBuilder, key: &File) -> bool {
        let (label, name) = (self.label, &self.certificate.name);
        if let Err(errors) = ctx.set_certificate_chain_file(as_path(name)) {
            warning!(
                "cannot get {} certificate from file \"{}\": disabling TLS support",
                label,
                name
            );
            log_library_errors(&errors);
            return false;
        }
        if let Err(errors) = set_key_file(ctx, as_path(&key.name)) {
            warning!(
                "cannot get {} private key from file \"{}\": disabling TLS support",
                label,
                key.name
            );
            log_library_errors(&errors);
            return false;
        }
        if ctx.check_private_key().is_err() {
            warning!(
                "{} private key in {} does not match public key in {}: disabling TLS support",
                label,
                key.name,
                name
            );
            return false;
        }
        true
    }

    /// From the bytes that were read before, where those are known to be sound.
    pub(super) fn load_sound(&self, ctx: &mut SslContextBuilder) -> bool {
        let Some(key) = &self.key else { return self.load_mixed(ctx) };
        let (Ok(certificate), Ok(bytes)) = (&self.certificate.bytes, &key.bytes) else {
            return false;
        };
        let mut load = Load::new(&self.certificate.name, false);
        let target = &mut Target::Server(ctx);
        load.read(target, &key.name, bytes);
        load.read(target, &self.certificate.name, certificate);
        load.finish(target)
    }
}

fn set_key_file(ctx: &mut SslContextBuilder, path: &Path) -> Result<(), ErrorStack> {
    ctx.set_private_key_file(path, SslFiletype::PEM)
}

fn log_open_error(name: &[u8], error: &io::Error) {
    warning!("error opening chain file: {}: {}", name, error_text(error));
}

/// Puts the chains of smtpd_tls_chain_files into the context; `false` (and a warning) where they
/// are not fit. As Postfix: where a file cannot be opened, what was loaded before it must do.
pub(super) fn load_chains(ctx: &mut SslContextBuilder, list: &[u8], files: &[File]) -> bool {
    let mut load = Load::new(list, false);
    let target = &mut Target::Server(ctx);
    for (i, file) in files.iter().enumerate() {
        let bytes = match &file.bytes {
            Ok(bytes) => bytes,
            Err(error) => {
                log_open_error(&file.name, error);
                return true;
            }
        };
        load.read(target, &file.name, bytes);
        if load.broken.is_some() || i + 1 == files.len() {
            return load.finish(target);
        }
    }
    true
}

/// Puts the chains in `pem` into one session, in the place of those of the server; `false` (and a
/// warning) where they are not fit. `origin` is what the log calls them.
pub(super) fn load_for_session(ssl: &mut SslRef, pem: &[u8], origin: &[u8]) -> bool {
    ffi::forget_certificates(ssl);
    let mut load = Load::new(origin, false);
    let target = &mut Target::Session(ssl);
    load.read(target, origin, pem);
    load.finish(target)
}

/// Whose certificates are loaded.
enum Target<'a> {
    /// Those of all sessions.
    Server(&'a mut SslContextBuilder),
    /// Those of one session.
    Session(&'a mut SslRef),
}

impl Target<'_> {
    /// Adds a certificate with its key and issuers. Where one of its algorithm is there already,
    /// that is an error.
    fn use_chain(
        &mut self,
        certificate: &X509Ref,
        key: &PKeyRef<Private>,
        chain: Option<&Stack<X509>>,
    ) -> bool {
        match self {
            Self::Server(ctx) => ffi::use_cert_and_key(ctx, certificate, key, chain),
            Self::Session(ssl) => ffi::use_cert_and_key_here(ssl, certificate, key, chain),
        }
    }

    /// What follows from an error.
    fn what_follows(&self) -> &'static str {
        match self {
            Self::Server(_) => "disabling TLS support",
            Self::Session(_) => "aborting TLS handshake",
        }
    }
}

/// Where we are in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing was seen.
    Start,
    /// The last object was a key.
    Key,
    /// The last object was a certificate.
    Certificate,
    /// In a mixed file: both were seen.
    Both,
}

/// Why loading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    /// What follows is in OpenSSL's error queue.
    Library,
    /// All was said.
    Order,
}

/// The loading of chains.
struct Load<'a> {
    origin: &'a [u8],
    mixed: bool,
    place: Place,
    key: Option<PKey<Private>>,
    certificate: Option<X509>,
    issuers: Vec<X509>,
    /// Which object of which file the last key is.
    key_at: (usize, &'a [u8]),
    broken: Option<Broken>,
}

impl<'a> Load<'a> {
    fn new(origin: &'a [u8], mixed: bool) -> Self {
        Self {
            origin,
            mixed,
            place: Place::Start,
            key: None,
            certificate: None,
            issuers: Vec::new(),
            key_at: (0, b""),
            broken: None,
        }
    }

    /// Reads the objects of a file.
    fn read(&mut self, target: &mut Target<'_>, name: &'a [u8], bytes: &[u8]) {
        ffi::clear_errors();
        let mut reader = PemReader::over(bytes);
        let mut index = 0;
        while self.broken.is_none() {
            index += 1;
            match reader.next() {
                Pem::End => return,
                Pem::Broken => self.broken = Some(Broken::Library),
                Pem::Object { name: kind, mut der } => {
                    let at = (index, name);
                    self.broken = self.object(target, &kind, &der, at).err();
                    secret::overwrite(&mut der);
                }
            }
        }
    }

    fn object(
        &mut self,
        target: &mut Target<'_>,
        kind: &[u8],
        der: &[u8],
        at: (usize, &'a [u8]),
    ) -> Result<(), Broken> {
        let form = match kind {
            b"CERTIFICATE" | b"X509 CERTIFICATE" => return self.certificate(der, at),
            b"PRIVATE KEY" => KeyForm::Pkcs8,
            b"RSA PRIVATE KEY" => KeyForm::Rsa,
            b"EC PRIVATE KEY" => KeyForm::Ec,
            b"DSA PRIVATE KEY" => KeyForm::Dsa,
            _ => {
                if !self.mixed {
                    warning!("loading {}: ignoring PEM type: {}", at.1, kind);
                }
                return Ok(());
            }
        };
        self.key(target, form, der, at)
    }

    fn certificate(&mut self, der: &[u8], at: (usize, &[u8])) -> Result<(), Broken> {
        let (index, file) = at;
        let decoded = ffi::certificate(der);
        if !self.mixed && self.place == Place::Start {
            warning!("error loading chain from {}: key not first", file);
            return Err(Broken::Order);
        }
        let what = fill!("error loading certificate (PEM object number {}) from {}", index, file);
        let Some((certificate, used)) = decoded else {
            warning!("{}", what);
            return Err(Broken::Library);
        };
        if used != der.len() {
            warning!("{}: excess data", what);
            return Err(Broken::Order);
        }
        match self.place {
            Place::Start | Place::Key => {
                self.certificate = Some(certificate);
                let both = self.place == Place::Key && self.mixed;
                self.place = if both { Place::Both } else { Place::Certificate };
            }
            Place::Certificate | Place::Both => self.issuers.push(certificate),
        }
        Ok(())
    }

    fn key(
        &mut self,
        target: &mut Target<'_>,
        form: KeyForm,
        der: &[u8],
        at: (usize, &'a [u8]),
    ) -> Result<(), Broken> {
        let decoded = ffi::private_key(form, der);
        if matches!(self.place, Place::Key | Place::Both) {
            return self.second_key(at);
        }
        // In a file of chains, a key ends the chain before it.
        if self.place == Place::Certificate && !self.mixed && !self.use_chain(target) {
            let (index, file) = self.key_at;
            warning!(
                "error loading certificate chain: \
                 key at index {} in {} does not match the certificate",
                index,
                file
            );
            return Err(Broken::Library);
        }
        let (index, file) = at;
        let what = fill!("error loading private key (PEM object number {}) from {}", index, file);
        let Some((key, used)) = decoded else {
            warning!("{}", what);
            return Err(Broken::Library);
        };
        if used != der.len() {
            warning!("{}: excess data", what);
            return Err(Broken::Order);
        }
        self.key = Some(key);
        let both = self.mixed && self.place == Place::Certificate;
        self.place = if both { Place::Both } else { Place::Key };
        self.key_at = at;
        Ok(())
    }

    fn second_key(&mut self, at: (usize, &[u8])) -> Result<(), Broken> {
        let (first, first_file) = self.key_at;
        if self.mixed {
            warning!("ignoring 2nd key at index {} in {} after 1st at {}", at.0, at.1, first);
            return Ok(());
        }
        warning!(
            "error loading certificate chain: \
             key at index {} in {} not followed by a certificate",
            first,
            first_file
        );
        Err(Broken::Order)
    }

    /// Puts what was read into the context.
    fn use_chain(&mut self, target: &mut Target<'_>) -> bool {
        let (Some(certificate), Some(key)) = (self.certificate.take(), self.key.take()) else {
            return false;
        };
        let mut chain = None;
        if !self.issuers.is_empty() {
            let Ok(mut stack) = Stack::new() else { return false };
            for issuer in self.issuers.drain(..) {
                if stack.push(issuer).is_err() {
                    return false;
                }
            }
            chain = Some(stack);
        }
        target.use_chain(&certificate, &key, chain.as_ref())
    }

    /// After the last file.
    fn finish(mut self, target: &mut Target<'_>) -> bool {
        if self.finish_chain(target) {
            return true;
        }
        warning!(
            "error loading private keys and certificates from: {}: {}",
            self.origin,
            target.what_follows()
        );
        false
    }

    fn finish_chain(&mut self, target: &mut Target<'_>) -> bool {
        let (index, file) = self.key_at;
        match (self.broken, self.place) {
            (Some(Broken::Library), _) => log_library_errors(&ErrorStack::get()),
            (Some(Broken::Order), _) => {}
            (None, Place::Start) => warning!("No PEM data in {}", self.origin),
            (None, Place::Key) => warning!("No certs for key at index {} in {}", index, file),
            (None, Place::Certificate) if self.mixed => {
                warning!("No private key found in {}", self.origin);
            }
            (None, Place::Certificate | Place::Both) => {
                if self.use_chain(target) {
                    return true;
                }
                warning!("key at index {} in {} does not match next certificate", index, file);
                log_library_errors(&ErrorStack::get());
            }
        }
        false
    }
}
