//! Keys without certificates (RFC 7250).

use super::*;

/// A client that shows its key without a certificate, and takes such a key of the server.
fn raw_client(pki: &Pki, newest: SslVersion) -> (Client, PKey<Private>) {
    let (certificate, key) = pki.client(&Shape::of("user"));
    let client = Client::new(|context| {
        context.set_certificate(&certificate).unwrap();
        context.set_private_key(&key).unwrap();
        context.set_max_proto_version(Some(newest)).unwrap();
        ffi::show_raw_keys_only(context);
    });
    (client, key)
}

fn server(pki: &Pki, newer: Newer) -> TlsServer {
    let settings = Settings { log: log_level(b"1, peercert, untrusted"), newer, ..pki.asking() };
    TlsServer::with(settings, None, Box::new(FakeTlsmgr::default())).unwrap()
}

/// Whether there are raw keys.
fn known() -> bool {
    if !cfg!(openssl_3_2) {
        eprintln!("not tested: OpenSSL has raw public keys since 3.2 only");
    }
    cfg!(openssl_3_2)
}

#[test]
fn a_key_without_a_certificate_has_a_fingerprint() {
    if !known() {
        return;
    }
    let pki = Pki::new();
    let newer = Newer { raw_key_of_server: true, raw_keys_of_clients: true, ..Newer::default() };
    let server = server(&pki, newer);
    let (client, key) = raw_client(&pki, SslVersion::TLS1_3);
    let facts = session(&server, &client).0.unwrap();
    assert!(facts.has_raw_key && facts.has_credential());
    assert!(!facts.has_certificate && !facts.trusted);
    let digest = openssl::hash::hash(MessageDigest::sha256(), &key.public_key_to_der().unwrap());
    let hex = data_encoding::HEXUPPER.encode(&digest.unwrap());
    let fingerprint = String::from_utf8(facts.key_fingerprint.clone().unwrap()).unwrap();
    assert_eq!(fingerprint.replace(':', ""), hex);
    assert_eq!(facts.certificate_fingerprint, None);
    let log = log();
    let namaddr = "client.example[192.0.2.1]";
    assert_eq!(log[0], format!("{namaddr}: raw public key fingerprint={fingerprint}"));
    assert!(log[1].starts_with(&format!("Untrusted {ESTABLISHED} TLSv1.3 ")));
    assert!(log[1].ends_with(
        "server-signature ECDSA (prime256v1 raw public key) server-digest SHA256 \
         client-signature ECDSA (prime256v1 raw public key) client-digest SHA256"
    ));
    assert_eq!(log.len(), 2);
    let again = session(&server, &client).0.unwrap();
    assert!(again.resumed && again.key_fingerprint == facts.key_fingerprint);
}

#[test]
fn tls_1_2_knows_keys_without_certificates_too() {
    if !known() {
        return;
    }
    let pki = Pki::new();
    let newer = Newer { raw_key_of_server: true, raw_keys_of_clients: true, ..Newer::default() };
    let (client, _) = raw_client(&pki, SslVersion::TLS1_2);
    let facts = session(&server(&pki, newer), &client).0.unwrap();
    assert!(facts.has_raw_key && facts.key_fingerprint.is_some());
}

#[test]
fn where_raw_keys_are_not_wanted_there_are_none() {
    if !known() {
        return;
    }
    let pki = Pki::new();
    let (client, _) = raw_client(&pki, SslVersion::TLS1_3);
    let facts = session(&server(&pki, Newer::default()), &client).0;
    assert!(facts.is_ok_and(|facts| !facts.has_raw_key));
}
