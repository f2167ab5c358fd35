//! Sessions that go on later: ticket keys and the session cache, both kept by tlsmgr(8).
//!
//! A ticket is encrypted with a key that all processes share; the key comes from tlsmgr and is
//! kept until it expires. Tickets and cached sessions are bound to the service that made them by
//! the session id context (in Postfix before 3.12 a ticket from a service without
//! client certificates is good at one that demands them).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtxRef;
use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::rand::rand_bytes;
use openssl::sha::sha256;
use openssl::ssl::{Ssl, SslRef, SslSession, SslSessionRef, SslVersion};

use super::ffi;
use super::loglevel::LogMask;
use super::peer::Findings;
use super::sni::Asked;
use super::trace::Trace;
use crate::ipc::tlsmgr;
use crate::stream::log_library_errors;

pub use crate::ipc::tlsmgr::CachePolicy;

/// What tlsmgr(8) does for a server. Whoever implements it logs what fails.
pub trait SessionKeeper: Send {
    /// Random bytes.
    fn seed(&self, len: u32) -> Option<Vec<u8>>;
    /// How sessions are cached.
    fn policy(&self) -> Option<CachePolicy>;
    /// The cached session `id`.
    fn lookup(&self, id: &[u8]) -> Option<Vec<u8>>;
    /// Caches a session.
    fn update(&self, id: &[u8], session: &[u8]);
    /// The ticket key with this name (16 bytes); with an empty name, the key for new tickets.
    /// The bytes are those of [`TicketKey`].
    fn ticket_key(&self, name: &[u8]) -> Option<Vec<u8>>;
    /// Between sessions: lets go of what is idle; gives when to be asked again.
    fn tend(&self, now: Instant) -> Option<Instant> {
        let _ = now;
        None
    }
}

/// The kind of our sessions, as tlsmgr knows it.
const CACHE_TYPE: &str = "smtpd";

impl SessionKeeper for tlsmgr::Tlsmgr {
    fn seed(&self, len: u32) -> Option<Vec<u8>> {
        Self::seed(self, u8::try_from(len).unwrap_or(u8::MAX))
    }

    fn policy(&self) -> Option<CachePolicy> {
        Self::policy(self, CACHE_TYPE)
    }

    fn lookup(&self, id: &[u8]) -> Option<Vec<u8>> {
        Self::lookup(self, CACHE_TYPE, id)
    }

    fn update(&self, id: &[u8], session: &[u8]) {
        // A session that is not kept costs a client a full handshake.
        let _ = Self::update(self, CACHE_TYPE, id, session);
    }

    fn ticket_key(&self, name: &[u8]) -> Option<Vec<u8>> {
        Self::ticket_key(self, name)
    }

    fn tend(&self, now: Instant) -> Option<Instant> {
        Self::tend(self, now)
    }
}

/// A key for tickets: name, AES key, HMAC key, and when it is no longer used for new tickets (seconds
/// since 1970), as tlsmgr's memory holds it: native byte order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TicketKey {
    name: [u8; 16],
    bits: [u8; 32],
    hmac: [u8; 32],
    expires: i64,
}

impl TicketKey {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (name, rest) = bytes.split_first_chunk()?;
        let (bits, rest) = rest.split_first_chunk()?;
        let (hmac, rest) = rest.split_first_chunk()?;
        let expires = i64::from_ne_bytes(rest.try_into().ok()?);
        Some(Self { name: *name, bits: *bits, hmac: *hmac, expires })
    }
}

/// The key in use, and the one before.
#[derive(Debug, Default)]
struct TicketKeys([Option<TicketKey>; 2]);

impl TicketKeys {
    /// The key of this name; without one, the key for new tickets.
    fn find(&self, name: Option<&[u8; 16]>, now: i64, timeout: i64) -> Option<&TicketKey> {
        match name {
            Some(name) => self
                .0
                .iter()
                .flatten()
                .find(|key| key.name == *name)
                .filter(|key| key.expires.saturating_add(timeout) > now),
            None => self.0[0].as_ref().filter(|key| key.expires > now),
        }
    }

    /// Keeps a key; the one that expires last comes first.
    fn add(&mut self, key: TicketKey) {
        if self.0[0].as_ref().is_none_or(|first| first.expires < key.expires) {
            self.0.swap(0, 1);
            self.0[0] = Some(key);
        } else {
            self.0[1] = Some(key);
        }
    }
}

/// What a ticket key is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TicketUse {
    /// A new ticket.
    Issue,
    /// A ticket that a client shows.
    Read,
}

/// All that a process knows of sessions.
pub(super) struct Sessions {
    tlsmgr: Arc<Mutex<Box<dyn SessionKeeper>>>,
    keys: Mutex<TicketKeys>,
    cipher: Option<Cipher>,
    timeout: i64,
    service: Vec<u8>,
}

impl Sessions {
    pub(super) fn new(
        tlsmgr: Arc<Mutex<Box<dyn SessionKeeper>>>,
        cipher: Option<Cipher>,
        timeout: i64,
        service: &[u8],
    ) -> Self {
        let keys = Mutex::default();
        Self { tlsmgr, keys, cipher, timeout, service: service.to_vec() }
    }

    fn key(&self, name: Option<&[u8; 16]>) -> Option<TicketKey> {
        let mut keys = locked(&self.keys);
        if let Some(key) = keys.find(name, now(), self.timeout) {
            return Some(key.clone());
        }
        let bytes = locked(&self.tlsmgr).ticket_key(name.map_or(b"", |name| name))?;
        let key = TicketKey::parse(&bytes)?;
        keys.add(key.clone());
        Some(key)
    }

    /// The name of a session in the cache: other services and other OpenSSLs don't share it.
    fn cache_id(&self, session_id: &[u8]) -> Vec<u8> {
        let hex = data_encoding::HEXUPPER.encode(session_id);
        fill!("{}&s={}&l={}", hex, self.service, openssl::version::number())
    }
}

/// A lock is never poisoned: a panic ends the process.
pub(super) fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// What sessions of a service are bound to.
pub(super) fn session_id_context(service: &[u8]) -> [u8; 32] {
    sha256(&fill!("Postfix/TLS serverid\0{}\0", service))
}

/// What callbacks need to know of a connection; it hangs on its [`Ssl`].
pub(super) struct Connection {
    pub(super) log: LogMask,
    /// `name[addr]` in small letters
    pub(super) namaddr: Vec<u8>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) ticketed: AtomicBool,
    pub(super) findings: Mutex<Findings>,
    pub(super) asked: Asked,
    pub(super) trace: OnceLock<Mutex<Trace>>,
}

impl Connection {
    pub(super) fn new(log: LogMask, namaddr: &[u8], sessions: Arc<Sessions>, asked: Asked) -> Self {
        let (namaddr, ticketed) = (namaddr.to_ascii_lowercase(), AtomicBool::new(false));
        let (findings, trace) = (Mutex::default(), OnceLock::new());
        Self { log, namaddr, sessions, ticketed, findings, asked, trace }
    }

    /// Hangs this on `ssl`.
    pub(super) fn attach(self, ssl: &mut SslRef) -> Result<(), ErrorStack> {
        let index = match INDEX.get() {
            Some(index) => *index,
            None => *INDEX.get_or_init({
                let index = Ssl::new_ex_index()?;
                move || index
            }),
        };
        ssl.set_ex_data(index, self);
        Ok(())
    }

    /// What hangs on `ssl`.
    pub(super) fn of(ssl: &SslRef) -> Option<&Self> {
        ssl.ex_data(*INDEX.get()?)
    }
}

/// Where a [`Connection`] hangs.
static INDEX: OnceLock<Index<Ssl, Connection>> = OnceLock::new();

/// Sets up `cipher` to encrypt or decrypt a ticket, fills in name and vector of a new one; gives the
/// key of its MAC. None where there is no key.
pub(super) fn ticket_key(
    ssl: &SslRef,
    how: TicketUse,
    name: &mut [u8; 16],
    vector: &mut [u8; 16],
    cipher: &mut CipherCtxRef,
) -> Option<[u8; 32]> {
    let connection = Connection::of(ssl)?;
    let sessions = &connection.sessions;
    let kind = sessions.cipher.as_ref()?;
    let key = sessions.key((how == TicketUse::Read).then_some(&*name))?;
    let bits = key.bits.get(..kind.key_length())?;
    let what = if how == TicketUse::Issue {
        rand_bytes(vector).ok()?;
        cipher.encrypt_init(Some(kind), Some(bits), Some(vector)).ok()?;
        *name = key.name;
        "Issuing"
    } else {
        cipher.decrypt_init(Some(kind), Some(bits), Some(vector)).ok()?;
        "Decrypting"
    };
    if connection.log.has(LogMask::CACHE) {
        let namaddr = &connection.namaddr;
        info!("{}: {} session ticket, key expiration: {}", namaddr, what, key.expires);
    }
    connection.ticketed.store(true, Ordering::Relaxed);
    Some(key.hmac)
}

/// Finds a session in the cache.
pub(super) fn find_session(ssl: &mut SslRef, session_id: &[u8]) -> Option<SslSession> {
    let connection = Connection::of(ssl)?;
    let id = connection.sessions.cache_id(session_id);
    let verbose = connection.log.has(LogMask::CACHE);
    if verbose {
        info!("{}: looking up session {} in smtpd cache", connection.namaddr, id);
    }
    let bytes = locked(&connection.sessions.tlsmgr).lookup(&id)?;
    let session = match SslSession::from_der(&bytes) {
        Ok(session) => session,
        Err(errors) => {
            log_library_errors(&errors);
            return None;
        }
    };
    if verbose {
        info!("{}: reloaded session {} from smtpd cache", connection.namaddr, id);
    }
    Some(session)
}

/// Puts a session into the cache, if anybody could ask for it: the ticket of a TLS 1.3 session, where
/// we can read it, has all of the session and not its id. (A log of the cache shows it as Postfix
/// does, so then it is put there.)
pub(super) fn save_session(ssl: &SslRef, session: &SslSessionRef) {
    let Some(connection) = Connection::of(ssl) else { return };
    let verbose = connection.log.has(LogMask::CACHE);
    let ticketed = connection.ticketed.load(Ordering::Relaxed);
    if ticketed && !verbose && ssl.version2() == Some(SslVersion::TLS1_3) {
        return;
    }
    let id = connection.sessions.cache_id(session.id());
    if verbose {
        info!("{}: save session {} to smtpd cache", connection.namaddr, id);
    }
    match session.to_der() {
        Ok(bytes) => locked(&connection.sessions.tlsmgr).update(&id, &bytes),
        Err(_) => {
            warning!("tls_session_passivate: i2d_SSL_SESSION failed: unable to cache session")
        }
    }
}

/// The cipher for tickets; none, with a warning, where it is not fit.
pub(super) fn ticket_cipher(name: &[u8]) -> Option<Cipher> {
    let fetched = std::str::from_utf8(name).ok().and_then(|n| Cipher::fetch(None, n, None).ok());
    let fit = fetched.filter(|cipher| {
        ffi::is_cbc(cipher) && cipher.iv_length() == 16 && (16..=32).contains(&cipher.key_length())
    });
    if fit.is_none() {
        warning!("tls_session_ticket_cipher: invalid value: {}; session tickets disabled", name);
    }
    fit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::captured;

    fn key(name: u8, expires: i64) -> TicketKey {
        TicketKey { name: [name; 16], bits: [1; 32], hmac: [2; 32], expires }
    }

    #[test]
    fn a_ticket_key_is_88_bytes_as_tlsmgr_sends_them() {
        let seen = "ScE8JU/7jBHms7jTATBj+M2NLdsk7CEOu5Iq/GKhm2pc7PDRbOBCu9ZIuk+1+7MBAjGEJWyP\
                    z37qI4mwyLZPQ7zOxbrBQmO1NeMvfJ7/irQUYwRrAAAAAA==";
        let bytes = data_encoding::BASE64.decode(seen.as_bytes()).unwrap();
        let key = TicketKey::parse(&bytes).unwrap();
        assert_eq!(data_encoding::HEXLOWER.encode(&key.name), "49c13c254ffb8c11e6b3b8d3013063f8");
        assert_eq!((key.bits[0], key.hmac[0], key.hmac[31]), (0xcd, 0x02, 0xb4));
        assert_eq!(key.expires, 0x6b04_6314);
        for len in 0..bytes.len() {
            assert_eq!(TicketKey::parse(&bytes[..len]), None);
        }
        assert_eq!(TicketKey::parse(&[&bytes[..], b"x"].concat()), None);
    }

    #[test]
    fn the_key_that_expires_last_makes_tickets() {
        let mut keys = TicketKeys::default();
        assert_eq!(keys.find(None, 0, 10), None);
        keys.add(key(1, 100));
        keys.add(key(2, 200));
        keys.add(key(3, 150));
        assert_eq!(keys.find(None, 199, 10), Some(&key(2, 200)));
        assert_eq!(keys.find(None, 200, 10), None);
        assert_eq!(keys.find(Some(&[1; 16]), 0, 10), None, "the oldest was dropped");
    }

    #[test]
    fn a_ticket_can_be_read_for_a_while_after_its_key_expired() {
        let mut keys = TicketKeys::default();
        keys.add(key(1, 100));
        assert_eq!(keys.find(Some(&[1; 16]), 109, 10), Some(&key(1, 100)));
        assert_eq!(keys.find(Some(&[1; 16]), 110, 10), None);
        assert_eq!(keys.find(Some(&[9; 16]), 0, 10), None);
    }

    #[test]
    fn sessions_are_bound_to_their_service() {
        assert_ne!(session_id_context(b"smtp"), session_id_context(b"submission"));
        assert_eq!(session_id_context(b"smtp"), sha256(b"Postfix/TLS serverid\0smtp\0"));
    }

    #[test]
    fn only_cbc_ciphers_are_fit_for_tickets() {
        assert!(ticket_cipher(b"aes-256-cbc").is_some());
        assert!(ticket_cipher(b"aes-128-cbc").is_some());
        assert_eq!(captured::take(), Vec::<String>::new());
        for name in ["aes-256-gcm", "des-ede3-cbc", "foo"] {
            assert!(ticket_cipher(name.as_bytes()).is_none());
            let words = "invalid value:";
            let rest = format!("{words} {name}; session tickets disabled");
            let expected = format!("warning: tls_session_ticket_cipher: {rest}");
            assert_eq!(captured::take(), [expected]);
        }
    }
}
