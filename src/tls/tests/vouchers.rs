//! Whose word counts for names (tls_append_default_CA).

use super::*;

/// A directory as OpenSSL looks for authorities in it (openssl-rehash(1)).
fn directory(pki: &Pki, authority: &X509) -> Vec<u8> {
    let directory = pki.dir.join("authorities");
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join(format!("{:08x}.0", authority.subject_name_hash()));
    fs::write(file, authority.to_pem().unwrap()).unwrap();
    directory.to_str().unwrap().as_bytes().to_vec()
}

#[test]
fn beside_authorities_of_the_system_only_those_of_the_file_vouch_for_names() {
    let (pki, public) = (Pki::new(), Pki::with_ca("Public CA"));
    let settings = Settings {
        ca_path: directory(&pki, &public.ca.0),
        append_default_ca: true,
        ..pki.asking()
    };
    let shape = Shape::of("alice");
    for (client, counts) in [(pki.client(&shape), true), (public.client(&shape), false)] {
        let client = Client::with_certificate(&client);
        let tlsmgr = FakeTlsmgr::default();
        let server = TlsServer::with(settings.clone(), None, Box::new(tlsmgr)).unwrap();
        // A session that goes on later has no chain, and the same names.
        for resumed in [false, true] {
            let facts = session(&server, &client).0.unwrap();
            assert!(facts.trusted && facts.resumed == resumed);
            assert_eq!(facts.names.subject.is_some(), counts);
        }
    }
    log();
}

#[test]
fn an_authority_of_the_same_name_does_not_vouch() {
    let (pki, other) = (Pki::new(), Pki::new());
    let settings = Settings {
        ca_path: directory(&pki, &other.ca.0),
        append_default_ca: true,
        ca_file: pki.path("ca.pem"),
        ..pki.asking()
    };
    let server = TlsServer::with(settings, None, Box::new(FakeTlsmgr::default())).unwrap();
    let client = Client::with_certificate(&other.client(&Shape::of("alice")));
    let facts = session(&server, &client).0.unwrap();
    assert_eq!(facts.names, crate::tls::Names::default());
    log();
}

#[test]
fn without_others_every_authority_vouches() {
    let (pki, other) = (Pki::new(), Pki::with_ca("Other CA"));
    let settings = Settings { ca_path: directory(&pki, &other.ca.0), ..pki.asking() };
    let server = TlsServer::with(settings, None, Box::new(FakeTlsmgr::default())).unwrap();
    let client = Client::with_certificate(&other.client(&Shape::of("alice")));
    assert!(session(&server, &client).0.unwrap().names.subject.is_some());
    log();
}
