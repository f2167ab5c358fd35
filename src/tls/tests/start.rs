//! What is read, checked and said at the start.

use super::*;

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
