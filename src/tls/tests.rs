//! Handshakes in process: a client on a thread, over a socket pair.

mod hostile;
#[path = "../../tests/support/lists.rs"]
mod lists;
mod names;
mod raw_keys;
mod resumption;
mod revocation;
mod stapling;
mod start;
mod streams;
mod thrift;
mod traces;
mod vouchers;

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use openssl::asn1::{Asn1Object, Asn1OctetString, Asn1Time, Asn1Type};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslSession, SslSessionCacheMode, SslVersion,
};
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage};
use openssl::x509::{X509, X509Extension, X509Name, X509NameBuilder};

use super::groups::Groups;
use super::loglevel::LogMask;
use super::server::TlsServer;
use super::settings::{Certificates, Newer, Own, Settings};
use super::{CachePolicy, HandshakeFailed, SessionKeeper, TlsFacts, ffi};
use crate::config::Config;
use crate::config::dialect::Release;
use crate::log::captured;
use crate::stream::{Line, Patience, SmtpStream, StreamEnd, TimedFd};

// ---------------------------------------------------------------------- tlsmgr

/// A tlsmgr(8) for all servers of a test.
#[derive(Clone, Default)]
struct FakeTlsmgr {
    cachable: bool,
    absent: bool,
    cache: Arc<Mutex<HashMap<Vec<u8>, Vec<u8>>>>,
    asked: Arc<AtomicU32>,
}

impl SessionKeeper for FakeTlsmgr {
    fn seed(&self, len: u32) -> Option<Vec<u8>> {
        (!self.absent).then(|| vec![7; len as usize])
    }

    fn policy(&self) -> Option<CachePolicy> {
        (!self.absent).then_some(CachePolicy { cachable: self.cachable, timeout: 3600 })
    }

    fn lookup(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.cache.lock().unwrap().get(id).cloned()
    }

    fn update(&self, id: &[u8], session: &[u8]) {
        self.cache.lock().unwrap().insert(id.to_vec(), session.to_vec());
    }

    fn ticket_key(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let known = name.is_empty() || name == [b'n'; 16];
        let expires = i64::MAX / 2;
        let key = [&[b'n'; 16][..], &[b'k'; 32], &[b'h'; 32], &expires.to_ne_bytes()].concat();
        known.then_some(key)
    }
}

// ---------------------------------------------------------------------- certificates

/// A directory of keys and certificates.
struct Pki {
    dir: PathBuf,
    ca: (X509, PKey<Private>),
}

impl Drop for Pki {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn ec_key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn name(cn: &str) -> X509Name {
    name_of(&[(Nid::COMMONNAME, cn, Asn1Type::UTF8STRING)])
}

fn name_of(entries: &[(Nid, &str, Asn1Type)]) -> X509Name {
    let mut name = X509NameBuilder::new().unwrap();
    for (nid, text, kind) in entries {
        name.append_entry_by_nid_with_type(*nid, text, *kind).unwrap();
    }
    name.build()
}

/// What a certificate looks like.
struct Shape {
    subject: X509Name,
    from_day: i64,
    to_day: i64,
    is_ca: bool,
    server_only: bool,
    /// Has an extension that nobody knows, and that must be understood.
    strange: bool,
}

impl Shape {
    fn of(cn: &str) -> Self {
        Self::named(name(cn))
    }

    fn named(subject: X509Name) -> Self {
        Self { subject, from_day: -1, to_day: 30, is_ca: false, server_only: false, strange: false }
    }

    fn sign(&self, key: &PKey<Private>, issuer: Option<&(X509, PKey<Private>)>) -> X509 {
        let now = 1_700_000_000_i64.max(now());
        let day = |days: i64| Asn1Time::from_unix(now + days * 86_400).unwrap();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        let serial = BigNum::from_u32(SERIAL.fetch_add(1, Ordering::Relaxed)).unwrap();
        builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
        builder.set_subject_name(&self.subject).unwrap();
        let issuer_name = issuer.map_or(&*self.subject, |(ca, _)| ca.subject_name());
        builder.set_issuer_name(issuer_name).unwrap();
        builder.set_not_before(&day(self.from_day)).unwrap();
        builder.set_not_after(&day(self.to_day)).unwrap();
        builder.set_pubkey(key).unwrap();
        if self.is_ca {
            builder.append_extension(BasicConstraints::new().ca().build().unwrap()).unwrap();
        }
        if self.server_only {
            let usage = ExtendedKeyUsage::new().server_auth().build().unwrap();
            builder.append_extension(usage).unwrap();
        }
        if self.strange {
            let oid = Asn1Object::from_str("1.2.3.4.5").unwrap();
            let value = Asn1OctetString::new_from_bytes(b"\x05\0").unwrap();
            let extension = X509Extension::new_from_der(&oid, true, &value).unwrap();
            builder.append_extension(extension).unwrap();
        }
        builder.sign(issuer.map_or(key, |(_, key)| key), MessageDigest::sha256()).unwrap();
        builder.build()
    }
}

static SERIAL: AtomicU32 = AtomicU32::new(1);

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_secs() as i64
}

impl Pki {
    fn new() -> Self {
        Self::with_ca("Test CA")
    }

    fn with_ca(cn: &str) -> Self {
        let n = SERIAL.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("smtpd-rs-tls-{}-{n}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let key = ec_key();
        let subject = name_of(&[
            (Nid::COMMONNAME, cn, Asn1Type::UTF8STRING),
            (Nid::ORGANIZATIONNAME, "Test", Asn1Type::UTF8STRING),
        ]);
        let ca = Shape { is_ca: true, ..Shape::named(subject) }.sign(&key, None);
        let pki = Self { dir, ca: (ca, key) };
        pki.write("ca.pem", &pki.ca.0.to_pem().unwrap());
        pki.pair("server", &ec_key());
        pki
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Vec<u8> {
        let path = self.dir.join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().as_bytes().to_vec()
    }

    fn path(&self, name: &str) -> Vec<u8> {
        self.dir.join(name).to_str().unwrap().as_bytes().to_vec()
    }

    /// Writes `NAME.key` and `NAME.pem`.
    fn pair(&self, name: &str, key: &PKey<Private>) -> (X509, PKey<Private>) {
        let certificate = Shape::of(name).sign(key, Some(&self.ca));
        self.write(&format!("{name}.key"), &key.private_key_to_pem_pkcs8().unwrap());
        self.write(&format!("{name}.pem"), &certificate.to_pem().unwrap());
        (certificate, key.clone())
    }

    /// A client's certificate.
    fn client(&self, shape: &Shape) -> (X509, PKey<Private>) {
        let key = ec_key();
        (shape.sign(&key, Some(&self.ca)), key)
    }

    fn settings(&self) -> Settings {
        Settings {
            release: Release::DEFAULT,
            log: log_level(b"1"),
            service: b"smtp".to_vec(),
            jailed: false,
            certificates: Certificates::Pairs(vec![(
                "RSA",
                self.path("server.pem"),
                self.path("server.key"),
            )]),
            ca_file: Vec::new(),
            ca_path: Vec::new(),
            append_default_ca: false,
            ask: false,
            require: false,
            verify_depth: 9,
            protocols: b">=TLSv1".to_vec(),
            grade: b"medium".to_vec(),
            ciphers: Ok(b"aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH".to_vec()),
            groups: Groups::of(&Config::of_text("").unwrap()),
            dh_file: Vec::new(),
            digest: b"sha256".to_vec(),
            legacy_key_fingerprint: false,
            ticket_cipher: b"aes-256-cbc".to_vec(),
            always_session_ids: true,
            disabled_workarounds: Vec::new(),
            ssl_options: Vec::new(),
            server_preference: false,
            config_file: b"default".to_vec(),
            config_name: Vec::new(),
            seed_len: 32,
            timeout: Duration::from_secs(20),
            deadline: false,
            await_close: false,
            newer: Newer::default(),
            own: Own::default(),
        }
    }

    /// Settings of a server that asks for certificates.
    fn asking(&self) -> Settings {
        Settings {
            ask: true,
            ca_file: self.path("ca.pem"),
            log: log_level(b"1, untrusted"),
            ..self.settings()
        }
    }

    fn server(&self) -> TlsServer {
        TlsServer::with(self.settings(), None, Box::new(FakeTlsmgr::default())).unwrap()
    }
}

// ---------------------------------------------------------------------- the client

/// A client that keeps its last session.
struct Client {
    context: SslContext,
    kept: Arc<Mutex<Option<SslSession>>>,
}

impl Client {
    fn new(set: impl FnOnce(&mut SslContextBuilder)) -> Self {
        let mut context = SslContext::builder(SslMethod::tls_client()).unwrap();
        context.set_security_level(0);
        context.set_session_cache_mode(SslSessionCacheMode::CLIENT);
        let kept = Arc::new(Mutex::new(None));
        let keep = Arc::clone(&kept);
        context.set_new_session_callback(move |_, session| {
            *keep.lock().unwrap() = Some(session);
        });
        set(&mut context);
        Self { context: context.build(), kept }
    }

    fn tls13() -> Self {
        Self::new(|_| {})
    }

    fn tls12() -> Self {
        Self::new(|context| {
            context.set_max_proto_version(Some(SslVersion::TLS1_2)).unwrap();
        })
    }

    fn with_certificate((certificate, key): &(X509, PKey<Private>)) -> Self {
        Self::new(|context| {
            context.set_certificate(certificate).unwrap();
            context.set_private_key(key).unwrap();
        })
    }

    /// Shakes hands, reads what the server says, says goodbye. Gives what was read, or why there
    /// was no handshake; and whether the session went on from an earlier one.
    fn talk(&self, socket: UnixStream) -> Talk {
        self.talk_as(socket, None)
    }

    /// The same, asking for a server of this name.
    fn talk_as(&self, socket: UnixStream, name: Option<&str>) -> Talk {
        let mut ssl = Ssl::new(&self.context).unwrap();
        if let Some(name) = name {
            ssl.set_hostname(name).unwrap();
        }
        if let Some(session) = self.kept.lock().unwrap().take() {
            ffi::resume(&mut ssl, &session);
        }
        let mut tls = ssl.connect(socket).map_err(|error| error.to_string())?;
        let mut all = Vec::new();
        tls.read_to_end(&mut all).map_err(|error| error.to_string())?;
        let _ = tls.shutdown();
        Ok((all, tls.ssl().session_reused()))
    }
}

const NAMADDR: &[u8] = b"Client.Example[192.0.2.1]";

fn stream(socket: UnixStream) -> SmtpStream {
    let patience = Patience::PerTransfer(Duration::from_secs(20));
    SmtpStream::new(TimedFd::new(socket.into(), patience))
}

type Talk = Result<(Vec<u8>, bool), String>;

/// A whole session: handshake, one reply, goodbye.
fn session(server: &TlsServer, client: &Client) -> (Result<TlsFacts, HandshakeFailed>, Talk) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        let talk = scope.spawn(|| client.talk(theirs));
        let mut stream = stream(ours);
        let facts = server.accept(&mut stream, NAMADDR, server.settings.log);
        let _ = stream.write(b"250 ok\r\n");
        stream.close();
        (facts, talk.join().unwrap())
    })
}

fn log_level(words: &[u8]) -> LogMask {
    LogMask::parse("smtpd_tls_loglevel", words, true)
}

fn log() -> Vec<String> {
    captured::take()
}

const ESTABLISHED: &str = "TLS connection established from client.example[192.0.2.1]:";

// ---------------------------------------------------------------------- handshakes

#[test]
fn a_handshake_is_one_line() {
    let pki = Pki::new();
    let (facts, talk) = session(&pki.server(), &Client::tls13());
    assert_eq!(talk, Ok((b"250 ok\r\n".to_vec(), false)));
    assert_eq!(
        log(),
        [format!(
            "Anonymous {ESTABLISHED} TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) \
             key-exchange X25519 server-signature ECDSA (prime256v1) server-digest SHA256"
        )]
    );
    let facts = facts.unwrap();
    assert!(!facts.has_certificate && !facts.trusted && !facts.resumed);
    assert_eq!(facts.certificate_fingerprint, None);
}

#[test]
fn tls_1_2_tells_less() {
    let pki = Pki::new();
    let (facts, _) = session(&pki.server(), &Client::tls12());
    let cipher = "ECDHE-ECDSA-AES256-GCM-SHA384 (256/256 bits)";
    assert_eq!(log(), [format!("Anonymous {ESTABLISHED} TLSv1.2 with cipher {cipher}")]);
    assert_eq!(facts.unwrap().server_signature, None);
}

#[test]
fn rsa_keys_and_other_curves_are_named() {
    let pki = Pki::new();
    let rsa = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    pki.pair("server", &rsa);
    let client = Client::new(|context| context.set_groups_list("P-256").unwrap());
    let server = pki.server();
    assert!(server.is_waiting());
    let (facts, _) = session(&server, &client);
    assert!(log()[0].ends_with(
        "key-exchange ECDHE (prime256v1) server-signature RSA-PSS (2048 bits) server-digest SHA256"
    ));
    let facts = facts.unwrap();
    assert_eq!(facts.server_signature.unwrap().bits, 2048);
}

#[test]
fn at_level_0_nothing_is_said() {
    let pki = Pki::new();
    let settings = Settings { log: log_level(b"0"), ..pki.settings() };
    let server = TlsServer::with(settings, None, Box::new(FakeTlsmgr::default())).unwrap();
    session(&server, &Client::tls13()).0.unwrap();
    assert_eq!(log(), Vec::<String>::new());
}

#[test]
fn at_level_2_each_step_is_said() {
    let pki = Pki::new();
    let settings = Settings { log: log_level(b"2"), ..pki.asking() };
    let server = TlsServer::with(settings, None, Box::new(FakeTlsmgr::default())).unwrap();
    let client = Client::with_certificate(&pki.client(&Shape::of("roaming user")));
    session(&server, &client).0.unwrap();
    let mut log = log();
    // Fingerprints, and the expiry of the fake's key.
    log.retain(|line| !line.contains("fingerprint=") && !line.contains(" ticket, key"));
    let n = "client.example[192.0.2.1]";
    let expected = [
        "initializing the server-side TLS engine",
        "setting up TLS connection from Client.Example[192.0.2.1]",
        "Client.Example[192.0.2.1]: TLS cipher list \"aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH\"",
        "SSL_accept:before SSL initialization",
        "SSL_accept:SSLv3/TLS read client hello",
        "SSL_accept:SSLv3/TLS write server hello",
        "SSL_accept:SSLv3/TLS write change cipher spec",
        "SSL_accept:TLSv1.3 write encrypted extensions",
        "SSL_accept:SSLv3/TLS write certificate request",
        "SSL_accept:SSLv3/TLS write certificate",
        "SSL_accept:TLSv1.3 write server certificate verify",
        "SSL_accept:SSLv3/TLS write finished",
        "SSL_accept:TLSv1.3 early data",
        &format!("{n}: depth=1 verify=1 subject=/CN=Test CA/O=Test"),
        &format!("{n}: depth=0 verify=1 subject=/CN=roaming user"),
        "SSL_accept:SSLv3/TLS read client certificate",
        "SSL_accept:SSLv3/TLS read certificate verify",
        "SSL_accept:SSLv3/TLS read finished",
        "SSL_accept:SSLv3/TLS write session ticket",
        "subject=/CN=roaming user",
        "issuer=/CN=Test CA/O=Test",
    ];
    // Each wait for the client repeats a line; OpenSSL 3.2 and later have another word for one.
    for line in &mut log {
        *line = line.replace("TLSv1.3 read client compressed", "SSLv3/TLS read client");
    }
    log.dedup();
    assert_eq!(log[..expected.len()], expected);
    assert!(log[expected.len()].starts_with("Trusted TLS connection"));
}

// ---------------------------------------------------------------------- client certificates

/// A session with a server that asks; the log without the line that sums up.
fn shown(pki: &Pki, certificate: &(X509, PKey<Private>)) -> (TlsFacts, Vec<String>) {
    let server = TlsServer::with(pki.asking(), None, Box::new(FakeTlsmgr::default())).unwrap();
    let (facts, _) = session(&server, &Client::with_certificate(certificate));
    let facts = facts.unwrap();
    let mut log = log();
    let summary = log.pop().unwrap();
    let trust = if facts.trusted { "Trusted" } else { "Untrusted" };
    assert!(summary.starts_with(&format!("{trust} {ESTABLISHED}")), "{summary}");
    assert!(summary.ends_with(" client-signature ECDSA (prime256v1) client-digest SHA256"));
    (facts, log)
}

#[test]
fn a_certificate_of_our_ca_is_trusted() {
    let pki = Pki::new();
    let certificate = pki.client(&Shape::of("roaming user"));
    let (facts, log) = shown(&pki, &certificate);
    assert_eq!(log, Vec::<String>::new());
    assert!(facts.has_certificate && facts.trusted);
    assert_eq!((&facts.subject[..], &facts.issuer[..]), (&b"roaming user"[..], &b"Test CA"[..]));
    let digest = certificate.0.digest(MessageDigest::sha256()).unwrap();
    let text = digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
    assert_eq!(facts.certificate_fingerprint, Some(text.into_bytes()));
    let der = certificate.1.public_key_to_der().unwrap();
    let digest = openssl::sha::sha256(&der);
    let text = digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
    assert_eq!(facts.key_fingerprint, Some(text.into_bytes()));
}

#[test]
fn an_untrusted_certificate_is_served_and_explained() {
    let pki = Pki::new();
    let key = ec_key();
    let itself = (Shape::of("me").sign(&key, None), key);
    let (other, same_name) = (Pki::with_ca("Other CA"), Pki::new());
    let to = "for client.example[192.0.2.1]";
    let shape = || Shape::of("x");
    let rows: [(_, String); 7] = [
        (itself, format!("certificate verification failed {to}: self-signed certificate")),
        (
            other.client(&shape()),
            format!("certificate verification failed {to}: untrusted issuer /CN=Other CA/O=Test"),
        ),
        (
            same_name.client(&shape()),
            format!(
                "client certificate verification failed {to}: num=7:certificate signature failure"
            ),
        ),
        (
            pki.client(&Shape { from_day: -9, to_day: -2, ..shape() }),
            format!("client certificate verification failed {to}: certificate has expired"),
        ),
        (
            pki.client(&Shape { from_day: 2, ..shape() }),
            format!("client certificate verification failed {to}: certificate not yet valid"),
        ),
        (
            pki.client(&Shape { strange: true, ..shape() }),
            format!(
                "client certificate verification failed {to}: num=34:unhandled critical extension"
            ),
        ),
        (
            pki.client(&Shape { server_only: true, ..shape() }),
            format!(
                "certificate verification failed {to}: \
                 not designated for use as a client certificate"
            ),
        ),
    ];
    for (certificate, expected) in rows {
        let (facts, log) = shown(&pki, &certificate);
        assert!(facts.has_certificate && !facts.trusted);
        assert!(facts.certificate_fingerprint.is_some());
        assert_eq!(log, [expected]);
    }
}

#[test]
fn a_certificate_for_servers_can_be_trusted_too() {
    let pki = Pki::new();
    let client = pki.client(&Shape { server_only: true, ..Shape::of("a server") });
    for trust_servers in [false, true] {
        let newer = Newer { trust_servers, ..Newer::default() };
        let settings = Settings { newer, ..pki.asking() };
        let server = TlsServer::with(settings, None, Box::new(FakeTlsmgr::default())).unwrap();
        let (facts, _) = session(&server, &Client::with_certificate(&client));
        assert_eq!(facts.unwrap().trusted, trust_servers);
        assert_eq!(log()[0].contains("not designated for use as a client"), !trust_servers);
    }
}

#[test]
fn a_chain_may_be_too_long() {
    let pki = Pki::new();
    let mut issuer = pki.ca.clone();
    let mut between = Vec::new();
    for cn in ["one", "two", "three"] {
        let key = ec_key();
        let ca = Shape { is_ca: true, ..Shape::of(cn) }.sign(&key, Some(&issuer));
        between.push(ca.clone());
        issuer = (ca, key);
    }
    let key = ec_key();
    let certificate = Shape::of("x").sign(&key, Some(&issuer));
    for (verify_depth, trusted) in [(9, true), (0, false)] {
        let client = Client::new(|context| {
            context.set_certificate(&certificate).unwrap();
            context.set_private_key(&key).unwrap();
            for ca in &between {
                context.add_extra_chain_cert(ca.clone()).unwrap();
            }
        });
        let settings = Settings { verify_depth, ..pki.asking() };
        let server = TlsServer::with(settings, None, Box::new(FakeTlsmgr::default())).unwrap();
        let facts = session(&server, &client).0.unwrap();
        assert_eq!(facts.trusted, trusted, "{verify_depth}");
    }
    assert!(log().iter().any(|line| line.contains("certificate chain longer than limit(")));
}

#[test]
fn names_that_could_fool_a_reader_are_dropped() {
    let pki = Pki::new();
    let long = "x".repeat(256);
    let rows = [
        ("good\0.evil", Asn1Type::UTF8STRING, Some("NULL character in peer subject CN")),
        ("a\r\nb", Asn1Type::UTF8STRING, Some("non-printable content in peer subject CN")),
        (&long, Asn1Type::UTF8STRING, Some("peer subject CN too long: 256")),
        ("abc", Asn1Type::BIT_STRING, Some("error decoding peer subject CN of ASN.1 type=3")),
        ("trimmed\0\0", Asn1Type::UTF8STRING, None),
    ];
    for (text, kind, warning) in rows {
        let subject = name_of(&[(Nid::COMMONNAME, text, kind)]);
        let (facts, log) = shown(&pki, &pki.client(&Shape::named(subject)));
        let expected = warning
            .map(|text| format!("warning: tls_text_name: client.example[192.0.2.1]: {text}"));
        assert_eq!(log.first(), expected.as_ref());
        let subject: &[u8] = if warning.is_some() { b"" } else { b"trimmed" };
        assert_eq!(facts.subject, subject);
        assert!(log.iter().all(|line| !line.contains(|c: char| c.is_control())));
    }
}

#[test]
fn an_issuer_without_common_name_shows_its_organization() {
    let pki = Pki::new();
    let key = ec_key();
    let subject = name_of(&[(Nid::ORGANIZATIONNAME, "Some Org", Asn1Type::UTF8STRING)]);
    let certificate = (Shape::named(subject).sign(&key, None), key);
    let (facts, _) = shown(&pki, &certificate);
    assert_eq!((&facts.subject[..], &facts.issuer[..]), (&b""[..], &b"Some Org"[..]));
}

#[test]
fn who_must_show_a_certificate_hears_why_it_is_not_trusted() {
    let pki = Pki::new();
    let settings = Settings { require: true, log: log_level(b"1"), ..pki.asking() };
    let server = TlsServer::with(settings, None, Box::new(FakeTlsmgr::default())).unwrap();
    let key = ec_key();
    let certificate = (Shape::of("me").sign(&key, None), key);
    let (facts, _) = session(&server, &Client::with_certificate(&certificate));
    assert!(!facts.unwrap().trusted);
    assert!(log()[0].ends_with("self-signed certificate"));
    let (facts, _) = session(&server, &Client::tls13());
    assert!(!facts.unwrap().has_certificate);
}

// ---------------------------------------------------------------------- resumption
