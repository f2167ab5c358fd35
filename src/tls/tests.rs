//! Handshakes in process: a client on a thread, over a socket pair.

mod hostile;
#[path = "../../tests/support/lists.rs"]
mod lists;
mod names;
mod raw_keys;
mod revocation;
mod stapling;
mod thrift;
mod traces;

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
    fn talk(&self, socket: UnixStream) -> Result<(Vec<u8>, bool), String> {
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

#[test]
fn a_ticket_lets_a_session_go_on() {
    let pki = Pki::new();
    let certificate = pki.client(&Shape::of("roaming user"));
    let tlsmgr = FakeTlsmgr::default();
    for max in [SslVersion::TLS1_3, SslVersion::TLS1_2] {
        let settings = Settings { log: log_level(b"1, cache"), ..pki.asking() };
        let server = TlsServer::with(settings.clone(), None, Box::new(tlsmgr.clone())).unwrap();
        let client = Client::new(|context| {
            context.set_certificate(&certificate.0).unwrap();
            context.set_private_key(&certificate.1).unwrap();
            context.set_max_proto_version(Some(max)).unwrap();
        });
        session(&server, &client).0.unwrap();
        let n = "client.example[192.0.2.1]";
        let expires = i64::MAX / 2;
        assert_eq!(log()[0], format!("{n}: Issuing session ticket, key expiration: {expires}"));
        // Another process of the same service.
        let server = TlsServer::with(settings, None, Box::new(tlsmgr.clone())).unwrap();
        let (facts, talk) = session(&server, &client);
        assert!(talk.unwrap().1);
        let facts = facts.unwrap();
        assert!(facts.resumed && facts.trusted && facts.has_certificate);
        assert_eq!(facts.subject, b"roaming user");
        let log = log();
        assert_eq!(log[0], format!("{n}: Decrypting session ticket, key expiration: {expires}"));
        assert_eq!(log[1], format!("{n}: Reusing old session (RFC 5077 session ticket)"));
        if max == SslVersion::TLS1_3 {
            assert!(log[2].ends_with(
                " key-exchange X25519 server-signature ECDSA (prime256v1) \
                 client-signature ECDSA (prime256v1)"
            ));
        }
    }
    assert_eq!(tlsmgr.asked.load(Ordering::Relaxed), 4, "keys are kept");
}

#[test]
fn a_ticket_of_another_service_is_not_taken() {
    let pki = Pki::new();
    let tlsmgr = FakeTlsmgr { cachable: true, ..FakeTlsmgr::default() };
    for client in [Client::tls13(), Client::tls12()] {
        let server = TlsServer::with(pki.settings(), None, Box::new(tlsmgr.clone())).unwrap();
        session(&server, &client).0.unwrap();
        let settings = Settings { service: b"submission".to_vec(), ..pki.settings() };
        let server = TlsServer::with(settings, None, Box::new(tlsmgr.clone())).unwrap();
        let (facts, talk) = session(&server, &client);
        assert_eq!(talk.map(|(_, reused)| reused), Ok(false));
        assert!(!facts.unwrap().resumed);
    }
}

#[test]
fn without_tickets_the_cache_lets_a_session_go_on() {
    let pki = Pki::new();
    let tlsmgr = FakeTlsmgr { cachable: true, ..FakeTlsmgr::default() };
    let settings =
        Settings { ticket_cipher: Vec::new(), log: log_level(b"1, cache"), ..pki.settings() };
    let server = TlsServer::with(settings, None, Box::new(tlsmgr.clone())).unwrap();
    let client = Client::tls12();
    session(&server, &client).0.unwrap();
    let id =
        String::from_utf8(tlsmgr.cache.lock().unwrap().keys().next().unwrap().clone()).unwrap();
    assert!(id.ends_with(&format!("&s=smtp&l={}", openssl::version::number())), "{id}");
    let n = "client.example[192.0.2.1]";
    assert_eq!(log()[0], format!("{n}: save session {id} to smtpd cache"));
    assert!(session(&server, &client).0.unwrap().resumed);
    assert_eq!(
        log()[..3],
        [
            format!("{n}: looking up session {id} in smtpd cache"),
            format!("{n}: reloaded session {id} from smtpd cache"),
            format!("{n}: Reusing old session"),
        ]
    );
}

#[test]
fn sessions_have_ids_even_where_they_cannot_go_on() {
    let pki = Pki::new();
    for always_session_ids in [false, true] {
        let settings = Settings { ticket_cipher: Vec::new(), always_session_ids, ..pki.settings() };
        let server = TlsServer::with(settings, None, Box::new(FakeTlsmgr::default())).unwrap();
        let client = Client::tls12();
        session(&server, &client).0.unwrap();
        let kept = client.kept.lock().unwrap().take();
        let has_id = kept.is_some_and(|kept| !kept.id().is_empty());
        assert_eq!(has_id, always_session_ids);
    }
}

#[test]
fn rotten_bytes_in_the_cache_are_no_session() {
    let pki = Pki::new();
    let tlsmgr = FakeTlsmgr { cachable: true, ..FakeTlsmgr::default() };
    let settings = Settings { ticket_cipher: Vec::new(), ..pki.settings() };
    let server = TlsServer::with(settings, None, Box::new(tlsmgr.clone())).unwrap();
    let client = Client::tls12();
    session(&server, &client).0.unwrap();
    for session in tlsmgr.cache.lock().unwrap().values_mut() {
        *session = b"rotten".to_vec();
    }
    let (facts, talk) = session(&server, &client);
    assert!(!facts.unwrap().resumed);
    assert_eq!(talk, Ok((b"250 ok\r\n".to_vec(), false)));
}

// ---------------------------------------------------------------------- failures

/// A handshake with a client that writes `bytes`, and then does what `then` does.
fn failed(server: &TlsServer, bytes: &[u8], then: impl FnOnce(UnixStream)) -> SmtpStream {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut stream = stream(ours);
    theirs.write_all(bytes).unwrap();
    then(theirs);
    assert_eq!(server.accept(&mut stream, NAMADDR, server.settings.log), Err(HandshakeFailed));
    stream
}

#[test]
fn garbage_is_no_hello() {
    let pki = Pki::new();
    failed(&pki.server(), b"EHLO x\r\n", drop);
    let log = log();
    assert_eq!(log[0], "SSL_accept error from Client.Example[192.0.2.1]: -1");
    let start = "warning: TLS library problem: error:0A00010B:SSL routines::wrong version number:";
    assert!(log[1].starts_with(start), "{log:?}");
    assert_eq!(log.len(), 2);
}

#[test]
fn a_client_may_be_gone_at_each_byte_of_its_hello() {
    let pki = Pki::new();
    let server = pki.server();
    let hello = client_hello();
    for len in (0..hello.len()).step_by(7) {
        failed(&server, &hello[..len], drop);
        assert_eq!(log(), ["SSL_accept error from Client.Example[192.0.2.1]: lost connection"]);
    }
}

/// The first bytes of a client.
fn client_hello() -> Vec<u8> {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        let client = scope.spawn(|| Client::tls13().talk(ours));
        let mut hello = vec![0; 4096];
        let len = theirs.read(&mut hello).unwrap();
        drop(theirs);
        client.join().unwrap().unwrap_err();
        hello.truncate(len);
        hello
    })
}

#[test]
fn a_client_that_says_nothing_times_out() {
    let pki = Pki::new();
    for deadline in [false, true] {
        let settings = Settings { timeout: Duration::ZERO, deadline, ..pki.settings() };
        let server = TlsServer::with(settings, None, Box::new(FakeTlsmgr::default())).unwrap();
        let mut kept = None;
        let stream = failed(&server, b"", |socket| kept = Some(socket));
        assert_eq!(stream.ended(), Some(StreamEnd::Timeout));
        let expected = "SSL_accept error from Client.Example[192.0.2.1]: Connection timed out";
        assert_eq!(log(), [expected]);
    }
}

#[test]
fn an_alert_of_the_client_is_logged() {
    let pki = Pki::new();
    let client = Client::new(|context| context.set_verify(openssl::ssl::SslVerifyMode::PEER));
    let (facts, talk) = session(&pki.server(), &client);
    assert_eq!(facts, Err(HandshakeFailed));
    talk.unwrap_err();
    let log = log();
    let start = "warning: TLS library problem: \
                 error:0A000418:SSL routines::tlsv1 alert unknown ca:";
    assert!(log[1].starts_with(start), "{log:?}");
    assert!(log[1].ends_with(":SSL alert number 48:"), "{log:?}");
}

#[test]
fn after_a_failure_nothing_is_written() {
    let pki = Pki::new();
    let (mut client, ours) = UnixStream::pair().unwrap();
    let mut stream = stream(ours);
    client.write_all(b"junk\r\n").unwrap();
    let server = pki.server();
    let log = server.settings.log;
    assert_eq!(server.accept(&mut stream, NAMADDR, log), Err(HandshakeFailed));
    stream.write(b"421 x\r\n").unwrap();
    assert!(stream.flush().is_err());
    stream.close();
    let mut all = Vec::new();
    let _ = client.read_to_end(&mut all);
    assert!(!all.windows(3).any(|bytes| bytes == b"421"), "{all:?}");
}

#[test]
fn what_came_in_clear_before_the_handshake_does_not_count() {
    let pki = Pki::new();
    let server = pki.server();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"STARTTLS\r\nRSET\r\nRSET\r\n").unwrap();
    let mut stream = stream(ours);
    let mut line = Vec::new();
    stream.read_line(&mut line, 100).unwrap();
    assert_eq!(stream.unread(), b"RSET\r\nRSET\r\n");
    let client = Client::tls13();
    thread::scope(|scope| {
        let talk = scope.spawn(|| {
            let mut tls = Ssl::new(&client.context).unwrap().connect(theirs).unwrap();
            tls.write_all(b"NOOP\r\n").unwrap();
            tls.shutdown().unwrap();
        });
        server.accept(&mut stream, NAMADDR, server.settings.log).unwrap();
        assert_eq!(stream.unread(), b"");
        assert_eq!(stream.read_line(&mut line, 100), Ok(Line::Complete));
        assert_eq!(line, b"NOOP\r\n");
        assert_eq!(stream.read_line(&mut line, 100), Err(StreamEnd::Lost));
        talk.join().unwrap();
    });
}

#[test]
fn a_second_handshake_on_a_stream_fails() {
    let pki = Pki::new();
    let server = pki.server();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let client = Client::tls13();
    thread::scope(|scope| {
        let talk = scope.spawn(|| client.talk(theirs));
        let mut stream = stream(ours);
        server.accept(&mut stream, NAMADDR, server.settings.log).unwrap();
        assert_eq!(server.accept(&mut stream, NAMADDR, server.settings.log), Err(HandshakeFailed));
        drop(stream);
        let _ = talk.join().unwrap();
    });
}

#[test]
fn pending_sees_into_tls_and_never_waits() {
    let pki = Pki::new();
    let server = pki.server();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let client = Client::tls13();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (done, ready) = std::sync::mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let raw = theirs.try_clone().unwrap();
            let mut tls = Ssl::new(&client.context).unwrap().connect(theirs).unwrap();
            wait.recv().unwrap();
            tls.write_all(b"QUIT\r\n").unwrap();
            // The head of a record that does not come.
            (&raw).write_all(b"\x17\x03\x03\x00\x40xx").unwrap();
            done.send(()).unwrap();
            wait.recv().unwrap();
        });
        let mut stream = stream(ours);
        server.accept(&mut stream, NAMADDR, server.settings.log).unwrap();
        assert!(!stream.pending());
        go.send(()).unwrap();
        ready.recv().unwrap();
        assert!(stream.pending());
        assert_eq!(stream.unread(), b"QUIT\r\n");
        stream.consume(6);
        assert!(!stream.pending());
        assert_eq!(stream.ended(), None);
        go.send(()).unwrap();
    });
}

#[test]
fn a_client_that_took_too_long_can_still_be_told() {
    let pki = Pki::new();
    let server = pki.server();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let client = Client::tls13();
    thread::scope(|scope| {
        let talk = scope.spawn(|| client.talk(theirs));
        let mut stream = stream(ours);
        server.accept(&mut stream, NAMADDR, server.settings.log).unwrap();
        stream.be_patient(Patience::PerTransfer(Duration::ZERO));
        assert_eq!(stream.fill(), Err(StreamEnd::Timeout));
        stream.forget_end();
        stream.write(b"421 too late\r\n").unwrap();
        stream.close();
        assert_eq!(talk.join().unwrap(), Ok((b"421 too late\r\n".to_vec(), false)));
    });
}

#[test]
fn with_fast_shutdown_off_the_goodbye_of_the_client_is_awaited() {
    let pki = Pki::new();
    let settings = Settings { await_close: true, ..pki.settings() };
    let server = TlsServer::with(settings, None, Box::new(FakeTlsmgr::default())).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let client = Client::tls13();
    let said = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut tls = Ssl::new(&client.context).unwrap().connect(theirs).unwrap();
            assert_eq!(tls.read(&mut [0; 10]).unwrap(), 0);
            said.store(true, Ordering::SeqCst);
            tls.shutdown().unwrap();
        });
        let mut stream = stream(ours);
        server.accept(&mut stream, NAMADDR, server.settings.log).unwrap();
        stream.close();
        assert!(said.load(Ordering::SeqCst));
    });
}

#[test]
fn a_broken_record_ends_the_stream_with_a_warning() {
    let pki = Pki::new();
    let server = pki.server();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let client = Client::tls13();
    thread::scope(|scope| {
        scope.spawn(|| {
            let raw = theirs.try_clone().unwrap();
            let tls = Ssl::new(&client.context).unwrap().connect(theirs).unwrap();
            (&raw).write_all(b"\x17\x03\x03\x00\x20 this is not what was encrypted..").unwrap();
            let _ = (&raw).read_to_end(&mut Vec::new());
            drop(tls);
        });
        let mut stream = stream(ours);
        server.accept(&mut stream, NAMADDR, server.settings.log).unwrap();
        captured::take();
        assert_eq!(stream.fill(), Err(StreamEnd::Lost));
        stream.close();
    });
    assert!(log()[0].starts_with("warning: TLS library problem: error:0A000"));
}

#[test]
fn much_passes_both_ways() {
    let pki = Pki::new();
    let server = pki.server();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let client = Client::tls13();
    let much: Vec<u8> = (0..1_000_000u32).map(|i| i.to_le_bytes()[0]).collect();
    thread::scope(|scope| {
        let talk = scope.spawn(|| {
            let mut tls = Ssl::new(&client.context).unwrap().connect(theirs).unwrap();
            tls.write_all(&much).unwrap();
            let mut back = Vec::new();
            tls.read_to_end(&mut back).unwrap();
            back
        });
        let mut stream = stream(ours);
        server.accept(&mut stream, NAMADDR, server.settings.log).unwrap();
        stream.expect_much(true);
        let mut all = Vec::new();
        while all.len() < much.len() {
            stream.fill().unwrap();
            all.extend_from_slice(stream.unread());
            stream.consume(usize::MAX);
        }
        assert!(all == much);
        stream.write(&all).unwrap();
        stream.close();
        assert!(talk.join().unwrap() == much);
    });
}

// ---------------------------------------------------------------------- configuration

fn prepared(settings: Settings) -> (Option<TlsServer>, Vec<String>) {
    let server = TlsServer::with(settings, None, Box::new(FakeTlsmgr::default()));
    (server, log())
}

#[test]
fn sound_files_wait_for_the_first_client() {
    let pki = Pki::new();
    let (server, log) = prepared(pki.asking());
    assert!(server.as_ref().unwrap().is_waiting() && log.is_empty());
    assert!(server.as_ref().unwrap().ready());
    assert!(!server.unwrap().is_waiting());
}

#[test]
fn without_tlsmgr_there_is_no_tls() {
    let pki = Pki::new();
    let tlsmgr = FakeTlsmgr { absent: true, ..FakeTlsmgr::default() };
    let server = TlsServer::with(pki.settings(), None, Box::new(tlsmgr)).unwrap();
    assert!(!server.ready());
    let expected = "warning: no entropy for TLS key generation: disabling TLS support";
    assert_eq!(log(), [expected]);
    assert!(!server.ready());
    assert_eq!(log(), Vec::<String>::new());
}

/// Chain files that were seen with Postfix 3.7.11, and what it says of them.
#[test]
fn what_is_wrong_with_a_chain_file_is_said_at_the_start() {
    let pki = Pki::new();
    let (other, other_key) = pki.pair("other", &ec_key());
    let read = |name: &str| fs::read(pki.dir.join(name)).unwrap();
    let (key, pem) = (read("server.key"), read("server.pem"));
    let (other, other_key) =
        (other.to_pem().unwrap(), other_key.private_key_to_pem_pkcs8().unwrap());
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
    let broken_key = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_vec();
    let rows: [(Vec<u8>, &str); 8] = [
        (pem.clone(), "error loading chain from FILE: key not first"),
        (
            [&key[..], &other_key, &other].concat(),
            "error loading certificate chain: key at index 1 in FILE not followed by a certificate",
        ),
        ([&key[..], &other].concat(), "key at index 1 in FILE does not match next certificate"),
        (
            [&key[..], &other, &other_key, &other].concat(),
            "error loading certificate chain: key at index 1 in FILE does not match the certificate",
        ),
        (
            [&key[..], &pem, &other_key, &other].concat(),
            "key at index 3 in FILE does not match next certificate",
        ),
        (b"hello\n".to_vec(), "No PEM data in FILE"),
        ([&key[..], &broken].concat(), "error loading certificate (PEM object number 2) from FILE"),
        (broken_key, "error loading private key (PEM object number 1) from FILE"),
    ];
    for (bytes, expected) in rows {
        let file = pki.write("chain.pem", &bytes);
        let settings =
            Settings { certificates: Certificates::Chains(file.clone()), ..pki.settings() };
        let (server, log) = prepared(settings);
        assert!(server.is_none());
        let file = String::from_utf8(file).unwrap();
        assert_eq!(log[0], format!("warning: {}", expected.replace("FILE", &file)));
        let last = "error loading private keys and certificates from";
        assert_eq!(log.last().unwrap(), &format!("warning: {last}: {file}: disabling TLS support"));
    }
    let file = pki.write("chain.pem", &key);
    let settings = Settings { certificates: Certificates::Chains(file), ..pki.settings() };
    assert!(prepared(settings).1[0].starts_with("warning: No certs for key at index 1 in "));
}

#[test]
fn chains_may_span_files() {
    let pki = Pki::new();
    let rsa = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    pki.pair("rsa", &rsa);
    let files = ["server.key", "server.pem", "rsa.key", "rsa.pem"].map(|name| pki.path(name));
    let settings =
        Settings { certificates: Certificates::Chains(files.join(&b", "[..])), ..pki.settings() };
    let (server, log) = prepared(settings);
    assert_eq!(log, Vec::<String>::new());
    assert!(server.as_ref().unwrap().is_waiting());
    session(&server.unwrap(), &Client::tls13()).0.unwrap();
}

#[test]
fn a_missing_chain_file_leaves_what_came_before() {
    let pki = Pki::new();
    let settings =
        Settings { certificates: Certificates::Chains(b"/no/such".to_vec()), ..pki.settings() };
    let (server, log) = prepared(settings);
    let expected = "warning: error opening chain file: /no/such: No such file or directory";
    assert_eq!(log, [expected]);
    assert!(server.unwrap().ready(), "as Postfix");
}

#[test]
fn what_is_wrong_with_a_pair_is_said_at_the_start() {
    let pki = Pki::new();
    pki.pair("other", &ec_key());
    let rsa = PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap();
    pki.pair("rsa", &rsa);
    pki.write("empty", b"");
    let shown = |name: &str| String::from_utf8(pki.path(name)).unwrap();
    let rows = [
        ("no.pem", "server.key", "cannot get RSA certificate from file \"CERT\""),
        ("server.pem", "no.key", "cannot get RSA private key from file \"KEY\""),
        ("server.pem", "other.key", "cannot get RSA private key from file \"KEY\""),
        ("server.pem", "rsa.key", "RSA private key in KEY does not match public key in CERT"),
        ("no.pem", "no.pem", "error opening chain file: CERT: No such file or directory"),
        ("server.pem", "server.pem", "No private key found in CERT"),
        ("empty", "empty", "No PEM data in CERT"),
    ];
    for (certificate, key, expected) in rows {
        let pairs = vec![("RSA", pki.path(certificate), pki.path(key))];
        let settings = Settings { certificates: Certificates::Pairs(pairs), ..pki.settings() };
        let (server, log) = prepared(settings);
        assert!(server.is_none());
        let expected = expected.replace("CERT", &shown(certificate)).replace("KEY", &shown(key));
        let ending = if certificate == key { "" } else { ": disabling TLS support" };
        assert_eq!(log[0], format!("warning: {expected}{ending}"));
    }
}

#[test]
fn a_mixed_file_has_its_key_anywhere() {
    let pki = Pki::new();
    let read = |name: &str| fs::read(pki.dir.join(name)).unwrap();
    let (key, pem) = (read("server.key"), read("server.pem"));
    pki.pair("other", &ec_key());
    let other = read("other.key");
    let sound = [[&pem[..], &key].concat(), [&key[..], &pem].concat()];
    for bytes in sound {
        let file = pki.write("mixed.pem", &bytes);
        let pairs = vec![("RSA", file.clone(), file)];
        let settings = Settings { certificates: Certificates::Pairs(pairs), ..pki.settings() };
        let (server, log) = prepared(settings);
        assert!(server.unwrap().is_waiting() && log.is_empty());
    }
    let file = pki.write("mixed.pem", &[&pem[..], &key, &other].concat());
    let pairs = vec![("RSA", file.clone(), file.clone())];
    let settings = Settings { certificates: Certificates::Pairs(pairs), ..pki.settings() };
    let (server, log) = prepared(settings);
    session(&server.unwrap(), &Client::tls13()).0.unwrap();
    let file = String::from_utf8(file).unwrap();
    assert_eq!(log, [format!("warning: ignoring 2nd key at index 3 in {file} after 1st at 2")]);
}

#[test]
fn other_settings_are_checked_at_the_start_too() {
    let pki = Pki::new();
    let s = || pki.settings();
    let junk = pki.write("junk", b"hello\n");
    let shown = String::from_utf8(junk.clone()).unwrap();
    let rows: [(Settings, bool, String); 7] = [
        (
            Settings { protocols: b"TLSv1.9".to_vec(), ..s() },
            false,
            "warning: Invalid TLS protocol list \"TLSv1.9\": disabling TLS support".to_owned(),
        ),
        (
            Settings { digest: b"foo".to_vec(), ..s() },
            false,
            "warning: Digest algorithm \"foo\" not found".to_owned(),
        ),
        (
            Settings { ca_file: junk.clone(), ca_path: b"/x".to_vec(), ..s() },
            false,
            format!(
                "cannot load Certification Authority data, CAfile=\"{shown}\", CApath=\"/x\": \
                 disabling TLS support"
            ),
        ),
        (
            Settings { dh_file: junk.clone(), ..s() },
            true,
            format!(
                "warning: error decoding DH parameters from file \"{shown}\" \
                 -- using compiled-in defaults"
            ),
        ),
        (
            Settings { dh_file: b"/no/such".to_vec(), ..s() },
            true,
            "warning: error opening DH parameter file \"/no/such\": No such file or directory \
             -- using compiled-in defaults"
                .to_owned(),
        ),
        (
            Settings {
                groups: Groups::of(&Config::of_text("tls_eecdh_auto_curves = X25519 foo").unwrap()),
                ..s()
            },
            true,
            "warning: ignoring unknown ECDHE curve \"foo\"".to_owned(),
        ),
        (
            Settings { ticket_cipher: b"aes-256-gcm".to_vec(), ..s() },
            true,
            "warning: tls_session_ticket_cipher: invalid value: aes-256-gcm; \
             session tickets disabled"
                .to_owned(),
        ),
    ];
    for (settings, works, expected) in rows {
        let (server, log) = prepared(settings);
        assert_eq!(log.first(), Some(&expected));
        assert_eq!(server.is_some(), works);
        if let Some(server) = server {
            session(&server, &Client::tls13()).0.unwrap();
            captured::take();
        }
    }
}

#[test]
fn diffie_hellman_parameters_come_from_a_file() {
    let pki = Pki::new();
    let dh = openssl::dh::Dh::get_2048_256().unwrap().params_to_pem().unwrap();
    let dh_file = pki.write("dh.pem", &dh);
    let (server, log) = prepared(Settings { dh_file, ..pki.settings() });
    let client = Client::new(|context| {
        context.set_max_proto_version(Some(SslVersion::TLS1_2)).unwrap();
        context.set_cipher_list("DHE-RSA-AES128-SHA:ADH-AES128-SHA").unwrap();
    });
    assert_eq!(log.iter().filter(|line| line.contains("decoding")).count(), 0, "{log:?}");
    let facts = session(&server.unwrap(), &client).0.unwrap();
    assert_eq!(facts.cipher, "ADH-AES128-SHA");
}

#[test]
fn a_wrong_cipher_list_is_said_at_each_handshake() {
    let pki = Pki::new();
    let settings =
        Settings { ciphers: Ok(b"HIGH:!ALL".to_vec()), grade: b"high".to_vec(), ..pki.settings() };
    let (server, log) = prepared(settings);
    assert!(log.is_empty());
    let server = server.unwrap();
    for _ in 0..2 {
        let (_client, ours) = UnixStream::pair().unwrap();
        let log = server.settings.log;
        assert_eq!(server.accept(&mut stream(ours), NAMADDR, log), Err(HandshakeFailed));
        let log = captured::take();
        let n = "client.example[192.0.2.1]";
        assert_eq!(log[0], format!("warning: {n}: error setting cipher grade: \"high\""));
        assert!(log[1].contains(":SSL routines::no cipher match:"), "{log:?}");
    }
}

#[test]
fn protocols_can_be_narrowed() {
    let pki = Pki::new();
    let (server, _) = prepared(Settings { protocols: b">=TLSv1.3".to_vec(), ..pki.settings() });
    let server = server.unwrap();
    assert!(session(&server, &Client::tls12()).0.is_err());
    assert!(session(&server, &Client::tls13()).0.is_ok());
    captured::take();
    let (server, _) = prepared(Settings { protocols: b"!TLSv1.3".to_vec(), ..pki.settings() });
    assert_eq!(session(&server.unwrap(), &Client::tls13()).0.unwrap().protocol, "TLSv1.2");
}
