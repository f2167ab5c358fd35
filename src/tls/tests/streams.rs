//! What goes wrong in handshakes and afterwards, and what passes.

use super::*;

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
pub(super) fn client_hello() -> Vec<u8> {
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

/// After its handshake a client is served so; what it heard.
fn served(server: &TlsServer, serve: impl FnOnce(SmtpStream)) -> Talk {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let client = Client::tls13();
    thread::scope(|scope| {
        let talk = scope.spawn(|| client.talk(theirs));
        let mut stream = stream(ours);
        server.accept(&mut stream, NAMADDR, server.settings.log).unwrap();
        serve(stream);
        talk.join().unwrap()
    })
}

#[test]
fn a_second_handshake_on_a_stream_fails() {
    let pki = Pki::new();
    let server = pki.server();
    let _ = served(&server, |mut stream| {
        assert_eq!(server.accept(&mut stream, NAMADDR, server.settings.log), Err(HandshakeFailed));
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
    let heard = served(&pki.server(), |mut stream| {
        stream.be_patient(Patience::PerTransfer(Duration::ZERO));
        assert_eq!(stream.fill(), Err(StreamEnd::Timeout));
        stream.forget_end();
        stream.write(b"421 too late\r\n").unwrap();
        stream.close();
    });
    assert_eq!(heard, Ok((b"421 too late\r\n".to_vec(), false)));
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
