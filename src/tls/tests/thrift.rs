//! What is not written, or not stored, where nobody wants it.

use super::*;

/// After a handshake: what the server's stream does, and then whether the client's socket has
/// anything to read.
fn has_written(client: &Client, then: impl FnOnce(&mut SmtpStream)) -> bool {
    let pki = Pki::new();
    let server = pki.server();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let raw = theirs.try_clone().unwrap();
    thread::scope(|scope| {
        let talk = scope.spawn(|| Ssl::new(&client.context).unwrap().connect(theirs).unwrap());
        let mut stream = stream(ours);
        server.accept(&mut stream, NAMADDR, server.settings.log).unwrap();
        let tls = talk.join().unwrap();
        then(&mut stream);
        raw.set_nonblocking(true).unwrap();
        let written = (&raw).read(&mut [0; 4096]).is_ok();
        drop(tls);
        written
    })
}

#[test]
fn a_tls_1_3_ticket_waits_for_the_next_reply() {
    assert!(!has_written(&Client::tls13(), |_| {}));
    assert!(!has_written(&Client::tls13(), |stream| assert!(!stream.pending())));
    assert!(has_written(&Client::tls13(), |stream| {
        stream.write(b"250 ok\r\n").unwrap();
        stream.flush().unwrap();
    }));
}

#[test]
fn a_tls_1_3_ticket_does_not_wait_for_a_client_that_says_nothing() {
    for limit in [Duration::ZERO, Duration::from_millis(1)] {
        assert!(has_written(&Client::tls13(), |stream| {
            stream.be_patient(Patience::PerTransfer(limit));
            assert_eq!(stream.fill(), Err(StreamEnd::Timeout));
        }));
    }
}

/// Whether a session, from which a second one goes on, was put into the cache.
fn is_stored(client: &Client, log: LogMask, ticket_cipher: &[u8]) -> bool {
    let pki = Pki::new();
    let tlsmgr = FakeTlsmgr { cachable: true, ..FakeTlsmgr::default() };
    let settings = Settings { log, ticket_cipher: ticket_cipher.to_vec(), ..pki.settings() };
    let server = TlsServer::with(settings, None, Box::new(tlsmgr.clone())).unwrap();
    assert!(!session(&server, client).0.unwrap().resumed);
    assert!(session(&server, client).0.unwrap().resumed);
    let cache = tlsmgr.cache.lock().unwrap();
    !cache.is_empty()
}

#[test]
fn a_tls_1_3_session_is_stored_where_its_ticket_does_not_hold_it() {
    const CIPHER: &[u8] = b"aes-256-cbc";
    assert!(!is_stored(&Client::tls13(), log_level(b"1"), CIPHER));
    assert!(is_stored(&Client::tls13(), log_level(b"1"), b""));
    assert!(is_stored(&Client::tls12(), log_level(b"1"), b""));
    // The log says "save session".
    assert!(is_stored(&Client::tls13(), log_level(b"1, cache"), CIPHER));
}
