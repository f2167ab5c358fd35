//! One handshake: from the client's hello to the line in the log.

use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Instant;

use nix::sys::socket::{setsockopt, sockopt::TcpNoDelay};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKeyRef, Public};
use openssl::ssl::{Ssl, SslRef, SslStream, SslVersion};
use openssl::x509::{X509Ref, X509VerifyResult};

use super::ffi::{self, Step};
use super::loglevel::LogMask;
use super::peer::VerifyError;
use super::server::{Engine, TlsServer};
use super::session::{self, Connection, locked};
use super::sni::Asked;
use super::trace::{Trace, Traces};
use super::{Algorithm, Names, Shown, TlsFacts, inspect, legacy, peer};
use crate::config::dialect::{Change, Release};
use crate::mail::client::Client;
use crate::stream::{Patience, SmtpStream, StartError, TimedFd, log_library_errors};
use crate::sys::errno::errno_text;

/// A handshake failed, and the log says why. The stream is closed: the client must be considered
/// lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("TLS handshake failed")]
pub struct HandshakeFailed;

/// Why a handshake did not end well.
enum Failure {
    /// OpenSSL says why.
    Library(i32, ErrorStack),
    /// The connection failed.
    Connection(nix::errno::Errno),
    /// The client is gone.
    Lost,
}

impl TlsServer {
    /// What is to be logged of this client (smtpd_tls_loglevel, smtpd_tls_loglevel_maps).
    fn log_of(&self, client: &Client) -> LogMask {
        let own = self.levels.as_ref().and_then(|it| it.find(&client.name, &client.addr));
        own.unwrap_or(self.settings.log)
    }

    /// Shakes hands with this client, within smtpd_starttls_timeout. What it sent before is thrown
    /// away. Sets the stream's patience; the caller must set its own again.
    pub fn accept_client(
        &self,
        stream: &mut SmtpStream,
        client: &Client,
    ) -> Result<TlsFacts, HandshakeFailed> {
        let log = self.log_of(client);
        self.accept_traced(stream, &client.namaddr, log, self.traces_of(log, &client.addr))
    }

    /// The same with the client `namaddr` (`name[addr]`).
    #[cfg(test)]
    pub(super) fn accept(
        &self,
        stream: &mut SmtpStream,
        namaddr: &[u8],
        log: LogMask,
    ) -> Result<TlsFacts, HandshakeFailed> {
        self.accept_traced(stream, namaddr, log, None)
    }

    /// How this client's session is traced, if it is.
    pub(super) fn traces_of<'a>(
        &'a self,
        log: LogMask,
        addr: &'a [u8],
    ) -> Option<(&'a Traces, &'a [u8])> {
        let traces = self.traces.as_ref().filter(|_| log.has(LogMask::TRACE))?;
        Some((traces, addr))
    }

    pub(super) fn accept_traced(
        &self,
        stream: &mut SmtpStream,
        namaddr: &[u8],
        log: LogMask,
        traced: Option<(&Traces, &[u8])>,
    ) -> Result<TlsFacts, HandshakeFailed> {
        let settings = &self.settings;
        let engine = self.engine().ok_or(HandshakeFailed)?;
        let log = if settings.require { log.with(LogMask::UNTRUSTED) } else { log };
        if log.has(LogMask::VERBOSE) {
            info!("setting up TLS connection from {}", namaddr);
        }
        let mut ssl = self.new_session(&engine, log, namaddr)?;
        if let Some(trace) = traced.and_then(|(traces, addr)| traces.begin(addr)) {
            add_trace(&mut ssl, trace);
        }
        if let Some(fd) = stream.fd() {
            // A session ticket and the next reply are two small writes; without this the second
            // waits for the client's delayed acknowledgement. Not all sockets are TCP.
            let _ = setsockopt(&fd, TcpNoDelay, &true);
        }
        stream.be_patient(self.patience());
        let result = stream.start_tls(ssl, settings.await_close, |tls| {
            begin_log(tls, log);
            tls.get_mut().hold_writes(true);
            let result = shake_hands(tls);
            end_handshake(tls, result.is_ok());
            if log.has(LogMask::HANDSHAKE_DUMP) && !log.has(LogMask::SESSION_DUMP) {
                ffi::dump_packets(tls.ssl(), false);
            }
            result
        });
        match result {
            Ok(ssl) => Ok(self.facts(&engine, ssl, log)),
            Err(error) => {
                log_failure(error, namaddr);
                Err(HandshakeFailed)
            }
        }
    }

    fn patience(&self) -> Patience {
        let limit = self.settings.timeout;
        if self.settings.deadline {
            Patience::Deadline { at: Instant::now() + limit, limit, bytes_per_second: None }
        } else {
            Patience::PerTransfer(limit)
        }
    }

    fn new_session(
        &self,
        engine: &Engine,
        log: LogMask,
        namaddr: &[u8],
    ) -> Result<Ssl, HandshakeFailed> {
        let asked = Asked::new(self.names.clone());
        let connection = Connection::new(log, namaddr, engine.sessions.clone(), asked);
        let mut ssl = Ssl::new(&engine.context).map_err(|errors| {
            warning!("Could not allocate 'TLScontext->con' with SSL_new()");
            log_library_errors(&errors);
            HandshakeFailed
        })?;
        if log.has(LogMask::DEBUG) {
            ffi::log_states(&mut ssl);
        }
        self.check_ciphers(engine, &mut ssl, &connection.namaddr)?;
        if let (true, Ok(list)) = (log.has(LogMask::VERBOSE), &self.settings.ciphers) {
            info!("{}: TLS cipher list \"{}\"", namaddr, list);
        }
        if let Err(errors) = connection.attach(&mut ssl) {
            warning!("Could not set application data for 'TLScontext->con'");
            log_library_errors(&errors);
            return Err(HandshakeFailed);
        }
        if let Some(bond) = &engine.bond {
            // Sessions go on only under what they began with.
            ffi::bind_sessions(&mut ssl, &bond.context(&self.settings.service, session::now()))
                .map_err(|_| HandshakeFailed)?;
        }
        if self.settings.require {
            // Who must prove who they are must use more than toy keys.
            ssl.set_security_level(1);
        }
        if self.settings.newer.raw_keys_of_clients && !ffi::take_raw_key(&mut ssl) {
            warning!("Failed to enable client to server raw public key support");
            log_library_errors(&ErrorStack::get());
        }
        Ok(ssl)
    }

    /// A wrong cipher list is reported at each handshake, as Postfix does.
    pub(super) fn check_ciphers(
        &self,
        engine: &Engine,
        ssl: &mut Ssl,
        namaddr: &[u8],
    ) -> Result<(), HandshakeFailed> {
        let list = match &self.settings.ciphers {
            Ok(list) => String::from_utf8_lossy(list),
            Err(error) => {
                error.log(namaddr);
                return Err(HandshakeFailed);
            }
        };
        if !engine.ciphers_refused {
            return Ok(());
        }
        let grade = &self.settings.grade;
        warning!("{}: error setting cipher grade: \"{}\"", namaddr, grade);
        if let Err(errors) = ssl.set_cipher_list(&list) {
            log_library_errors(&errors);
        }
        Err(HandshakeFailed)
    }

    /// All that is known after a handshake; logs it.
    fn facts(&self, engine: &Engine, ssl: &SslRef, log: LogMask) -> TlsFacts {
        let mut facts = TlsFacts { resumed: ssl.session_reused(), ..TlsFacts::default() };
        let Some(connection) = Connection::of(ssl) else { return facts };
        let namaddr = &connection.namaddr;
        facts.server_name = connection.asked.name().map(<[u8]>::to_vec);
        if log.has(LogMask::CACHE) && facts.resumed {
            let ticketed = connection.ticketed.load(Ordering::Relaxed);
            let how = if ticketed { " (RFC 5077 session ticket)" } else { "" };
            info!("{}: Reusing old session{}", namaddr, how);
        }
        let certificate = ssl.peer_certificate();
        let raw_key = if certificate.is_none() { ffi::raw_key(ssl) } else { None };
        if let Some(certificate) = &certificate {
            self.add_peer(&mut facts, engine, ssl, certificate, connection);
        }
        if let Some(key) = &raw_key {
            self.add_raw_key(&mut facts, engine, key, connection);
        }
        ssl.version_str().clone_into(&mut facts.protocol);
        if let Some(cipher) = ssl.current_cipher() {
            let bits = cipher.bits();
            cipher.name().clone_into(&mut facts.cipher);
            facts.cipher_bits = u32::try_from(bits.secret).unwrap_or(0);
            facts.algorithm_bits = u32::try_from(bits.algorithm).unwrap_or(0);
        }
        if ssl.version2() == Some(SslVersion::TLS1_3) {
            add_algorithms(&mut facts, self.settings.release, ssl, certificate.as_deref());
            add_raw_algorithms(&mut facts, ssl, raw_key.as_deref());
        }
        if log.has(LogMask::SUMMARY) {
            info!("{}", facts.summary(namaddr));
        }
        facts
    }

    /// A key without a certificate proves no name; its fingerprint may be listed.
    fn add_raw_key(
        &self,
        facts: &mut TlsFacts,
        engine: &Engine,
        key: &PKeyRef<Public>,
        connection: &Connection,
    ) {
        facts.has_raw_key = true;
        facts.key_fingerprint = peer::raw_key_fingerprint(key, engine.digest);
        facts.digest.clone_from(&self.settings.digest);
        if self.settings.own.hints {
            facts.shown = Shown::of_key(key).map(Box::new);
        }
        if connection.log.has(LogMask::VERBOSE.with(LogMask::PEERCERT)) {
            let fingerprint = facts.key_fingerprint.as_deref().unwrap_or_default();
            info!("{}: raw public key fingerprint={}", connection.namaddr, fingerprint);
        }
    }

    fn add_peer(
        &self,
        facts: &mut TlsFacts,
        engine: &Engine,
        ssl: &SslRef,
        certificate: &X509Ref,
        connection: &Connection,
    ) {
        let (log, namaddr) = (connection.log, &connection.namaddr);
        facts.has_certificate = true;
        let verified = ssl.verify_result() == X509VerifyResult::OK;
        let fault = engine.fault_of(certificate, facts.resumed && verified);
        let is_new = fault.is_some() || !facts.resumed;
        facts.trusted = verified && fault.is_none();
        let revoked = fault.as_ref().is_some_and(VerifyError::is_revocation);
        facts.revoked = revoked || peer::is_revoked(ssl);
        if log.has(LogMask::VERBOSE) {
            info!("subject={}", ffi::one_line(certificate.subject_name()));
            info!("issuer={}", ffi::one_line(certificate.issuer_name()));
        }
        if facts.trusted && engine.vouchers.vouch_for(certificate) {
            facts.names = Names::of(certificate);
        }
        facts.subject = peer::subject(certificate, namaddr);
        facts.issuer = peer::issuer(certificate, namaddr);
        let legacy = self.settings.legacy_key_fingerprint && legacy::bits_are_all(certificate);
        facts.certificate_fingerprint = peer::certificate_fingerprint(certificate, engine.digest);
        facts.key_fingerprint = peer::key_fingerprint(certificate, engine.digest, legacy);
        if log.has(LogMask::VERBOSE.with(LogMask::PEERCERT)) {
            info!("{}: {}", namaddr, facts.peer_words(self.settings.release));
        }
        let error = fault.or_else(|| match facts.resumed {
            true => (!facts.trusted).then(|| VerifyError::remembered(ssl)),
            false => locked(&connection.findings).error.take(),
        });
        if self.settings.own.hints {
            let shown = Shown::of(certificate, legacy, error.as_ref().filter(|_| !facts.trusted));
            facts.shown = Some(Box::new(shown));
        }
        // Whoever has lists must see what they do.
        let of_lists = |error: &VerifyError| error.is_of_lists() && engine.lists.is_some();
        if facts.trusted || !(log.has(LogMask::UNTRUSTED) || error.as_ref().is_some_and(of_lists)) {
            return;
        }
        if !is_new && !facts.revoked {
            info!(
                "{}: re-using session with untrusted certificate, \
                 look for details earlier in the log",
                namaddr
            );
        } else if let Some(error) = error {
            error.log(namaddr);
        }
    }
}

impl Engine {
    /// What is wrong with a client's certificate, whatever chain it came with. Where names count, a
    /// session that `goes_on` is trusted no longer than the certificate lasts.
    pub(super) fn fault_of(&self, certificate: &X509Ref, goes_on: bool) -> Option<VerifyError> {
        if self.lists.as_ref().is_some_and(|lists| lists.revoke(certificate)) {
            return Some(VerifyError::revoked(certificate));
        }
        let end = || inspect::seconds(certificate.not_after());
        let ended = || end().is_none_or(|end| end < session::now());
        (goes_on && self.bond.is_some() && ended()).then(|| VerifyError::expired(certificate))
    }
}

/// What is logged of a connection from its first byte on.
fn begin_log(tls: &mut SslStream<TimedFd>, log: LogMask) {
    if log.has(LogMask::HANDSHAKE_DUMP) {
        ffi::read_by_steps(tls.ssl());
        ffi::dump_packets(tls.ssl(), true);
    }
    let fd = tls.get_mut();
    // OpenSSL must say when it waits, so that its log of states is that of Postfix.
    fd.let_kernel_wait(!log.has(LogMask::DEBUG.with(LogMask::HANDSHAKE_DUMP)));
    if log.has(LogMask::SESSION_DUMP) {
        fd.watch();
    }
}

/// The last bytes of a handshake are written now if the client waits for them: those of TLS 1.3, a
/// session ticket, go out with the next reply.
fn end_handshake(tls: &mut SslStream<TimedFd>, done: bool) {
    let ticket = done && tls.ssl().version2() == Some(SslVersion::TLS1_3);
    let fd = tls.get_mut();
    fd.let_kernel_wait(false);
    if ticket {
        fd.hold_writes(false);
    } else {
        fd.release();
    }
}

/// From here on all messages of a session are put into its trace.
fn add_trace(ssl: &mut SslRef, trace: Trace) {
    let connection = Connection::of(ssl);
    if connection.is_some_and(|it| it.trace.set(Mutex::new(trace)).is_ok()) {
        ffi::trace_messages(ssl);
    }
}

/// The loop of a handshake.
fn shake_hands(tls: &mut SslStream<TimedFd>) -> Result<(), Failure> {
    loop {
        let waited = match ffi::accept(tls.ssl()) {
            Step::Done => break,
            Step::WantRead => tls.get_mut().wait_readable(),
            Step::WantWrite => tls.get_mut().wait_writable(),
            Step::Failed { result, connection } => {
                let errors = ErrorStack::get();
                if !errors.errors().is_empty() {
                    return Err(Failure::Library(result, errors));
                }
                let error = tls.get_ref().error().filter(|_| connection);
                return Err(error.map_or(Failure::Lost, Failure::Connection));
            }
        };
        if waited.is_err() {
            let error = tls.get_ref().error();
            return Err(error.map_or(Failure::Lost, Failure::Connection));
        }
    }
    Ok(())
}

fn log_failure(error: StartError<Failure>, namaddr: &[u8]) {
    match error {
        StartError::Handshake(Failure::Library(result, errors)) => {
            info!("SSL_accept error from {}: {}", namaddr, result);
            log_library_errors(&errors);
        }
        StartError::Handshake(Failure::Connection(error)) => {
            info!("SSL_accept error from {}: {}", namaddr, errno_text(error as i32));
        }
        StartError::Library(errors) => {
            info!("SSL_set_fd error to {}", namaddr);
            log_library_errors(&errors);
        }
        StartError::Handshake(Failure::Lost) | StartError::Stream(_) => {
            info!("SSL_accept error from {}: lost connection", namaddr);
        }
    }
}

/// Key exchange and signatures, which only TLS 1.3 tells apart from the cipher. As older releases
/// of Postfix: a resumed session shows the server's default key, though nobody signed.
fn add_algorithms(
    facts: &mut TlsFacts,
    release: Release,
    ssl: &SslRef,
    certificate: Option<&X509Ref>,
) {
    facts.key_exchange =
        if release.does(Change::GroupNames) { group(ssl) } else { key_exchange(ssl) };
    if facts.resumed && release.does(Change::ResumedUnsigned) {
        return;
    }
    let ours = ssl.certificate().and_then(|certificate| certificate.public_key().ok());
    facts.server_signature = ours.map(|key| signature(&key, ffi::signature_digest(ssl, false)));
    let theirs = certificate.and_then(|certificate| certificate.public_key().ok());
    facts.client_signature = theirs.map(|key| signature(&key, ffi::signature_digest(ssl, true)));
}

/// The group as OpenSSL calls it.
fn group(ssl: &SslRef) -> Option<Algorithm> {
    ssl.peer_tmp_key().ok()?;
    Some(Algorithm { name: ffi::negotiated_group(ssl), ..Algorithm::default() })
}

/// What is different with keys that come without certificates. As Postfix: a session that goes on
/// has no signatures.
fn add_raw_algorithms(facts: &mut TlsFacts, ssl: &SslRef, key: Option<&PKeyRef<Public>>) {
    if let Some(ours) = &mut facts.server_signature {
        ours.raw = ffi::showed_raw_key(ssl);
    }
    if let (Some(key), false) = (key, facts.resumed) {
        let signature = signature(key, ffi::signature_digest(ssl, true));
        facts.client_signature = Some(Algorithm { raw: true, ..signature });
    }
}

fn key_exchange(ssl: &SslRef) -> Option<Algorithm> {
    let key = ssl.peer_tmp_key().ok()?;
    Some(match key.id() {
        Id::DH => Algorithm { name: "DHE".to_owned(), bits: key.bits(), ..Algorithm::default() },
        Id::EC => Algorithm {
            name: "ECDHE".to_owned(),
            curve: ffi::group_name(&key),
            ..Algorithm::default()
        },
        other => {
            let name = short_name(other).unwrap_or_else(|| ffi::negotiated_group(ssl));
            Algorithm { name, ..Algorithm::default() }
        }
    })
}

fn signature<T>(key: &PKeyRef<T>, digest: Option<&str>) -> Algorithm
where
    T: openssl::pkey::HasPublic,
{
    let (name, curve, bits) = match key.id() {
        Id::RSA => ("RSA-PSS".to_owned(), None, key.bits()),
        Id::EC => ("ECDSA".to_owned(), ffi::group_name(key), 0),
        other => (short_name(other).unwrap_or_else(|| ffi::type_name(key)), None, 0),
    };
    Algorithm { name, curve, bits, digest: digest.map(str::to_owned), raw: false }
}

/// OpenSSL's name of an algorithm; those that came lately have no number, so no such name.
fn short_name(id: Id) -> Option<String> {
    let known = id.as_raw() > 0;
    known.then(|| Nid::from_raw(id.as_raw()).short_name().ok().map(str::to_owned)).flatten()
}
