//! Sessions that go on: tickets and the cache.

use super::*;

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

#[test]
fn where_names_count_a_session_goes_on_under_the_same_authorities_only() {
    for (names_count, goes_on) in [(false, true), (true, false)] {
        let (pki, others) = (Pki::new(), Pki::with_ca("Other CA"));
        let certificate = pki.client(&Shape::of("roaming user"));
        let settings = Settings { own: Own { names_count, ..Own::default() }, ..pki.asking() };
        for max in [SslVersion::TLS1_3, SslVersion::TLS1_2] {
            pki.write("ca.pem", &pki.ca.0.to_pem().unwrap());
            let tlsmgr = FakeTlsmgr::default();
            let client = Client::new(|context| {
                context.set_certificate(&certificate.0).unwrap();
                context.set_private_key(&certificate.1).unwrap();
                context.set_max_proto_version(Some(max)).unwrap();
            });
            let judge = || {
                let server = TlsServer::with(settings.clone(), None, Box::new(tlsmgr.clone()));
                let facts = session(&server.unwrap(), &client).0.unwrap();
                (facts.resumed, facts.trusted)
            };
            assert_eq!(judge(), (false, true));
            pki.write("ca.pem", &others.ca.0.to_pem().unwrap());
            assert_eq!(judge(), (goes_on, goes_on));
        }
    }
}

#[test]
fn where_names_count_a_certificate_that_has_ended_is_not_trusted_in_a_session_that_goes_on() {
    let pki = Pki::new();
    let (good, _) = pki.client(&Shape::of("good"));
    let (ended, _) = pki.client(&Shape { from_day: -9, to_day: -2, ..Shape::of("ended") });
    let engine = |names_count| {
        let settings = Settings { own: Own { names_count, ..Own::default() }, ..pki.asking() };
        let server = TlsServer::with(settings, None, Box::new(FakeTlsmgr::default())).unwrap();
        server.engine().unwrap()
    };
    let why = engine(true).fault_of(&ended, true).unwrap();
    assert_eq!(why.words(), (true, b"certificate has expired".to_vec()));
    assert!(!why.is_revocation());
    assert!(engine(true).fault_of(&good, true).is_none());
    // OpenSSL has looked already.
    assert!(engine(true).fault_of(&ended, false).is_none());
    // As in Postfix.
    assert!(engine(false).bond.is_none());
    assert!(engine(false).fault_of(&ended, true).is_none());
}

// ---------------------------------------------------------------------- failures
