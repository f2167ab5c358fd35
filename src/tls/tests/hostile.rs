//! Clients that do what no honest one does.

use std::io;

use super::*;

/// A socket that is gone when so many bytes were sent.
struct Cut {
    socket: UnixStream,
    left: usize,
}

impl Read for Cut {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            Err(io::ErrorKind::BrokenPipe.into())
        } else {
            self.socket.read(buffer)
        }
    }
}

impl Write for Cut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let sent = self.socket.write(&bytes[..bytes.len().min(self.left)])?;
        self.left -= sent;
        Ok(sent)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// A handshake with a client that is gone after `left` bytes; whether it ended well for the client,
/// and for the server.
fn cut(server: &TlsServer, client: &Client, left: usize) -> (bool, bool) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        let talk = scope.spawn(move || {
            let ssl = Ssl::new(&client.context).unwrap();
            ssl.connect(Cut { socket: theirs, left }).is_ok()
        });
        let mut stream = stream(ours);
        let facts = server.accept(&mut stream, NAMADDR, server.settings.log);
        stream.close();
        (talk.join().unwrap(), facts.is_ok())
    })
}

fn lost_at_each_byte(newest: SslVersion) {
    let pki = Pki::new();
    let server = TlsServer::with(pki.asking(), None, Box::new(FakeTlsmgr::default())).unwrap();
    let (certificate, key) = pki.client(&Shape::of("user"));
    let client = Client::new(|context| {
        context.set_certificate(&certificate).unwrap();
        context.set_private_key(&key).unwrap();
        context.set_max_proto_version(Some(newest)).unwrap();
    });
    let n = "Client.Example[192.0.2.1]";
    for left in 0.. {
        let (_, done) = cut(&server, &client, left);
        let log = log();
        if done {
            assert!(left > 300 && log[0].starts_with("Trusted TLS"), "{left}: {log:?}");
            return;
        }
        // A client that is gone before it has read our answer resets the connection, or breaks it.
        let ends = ["lost connection", "Connection reset by peer", "Broken pipe"];
        let expected = ends.map(|end| format!("SSL_accept error from {n}: {end}"));
        assert!(log.len() == 1 && expected.contains(&log[0]), "{left}: {log:?}");
    }
}

#[test]
fn a_tls_1_2_client_may_be_gone_anywhere_in_its_handshake() {
    lost_at_each_byte(SslVersion::TLS1_2);
}

#[test]
fn a_tls_1_3_client_may_be_gone_anywhere_in_its_handshake() {
    lost_at_each_byte(SslVersion::TLS1_3);
}

#[test]
fn renegotiation_is_refused() {
    let pki = Pki::new();
    let server = pki.server();
    let client = Client::tls12();
    let (ours, theirs) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        let talk = scope.spawn(|| {
            let mut tls = Ssl::new(&client.context).unwrap().connect(theirs).unwrap();
            ffi::renegotiate(tls.ssl());
            let said = tls.write_all(b"NOOP\r\n").and_then(|()| tls.read(&mut [0; 99]));
            said.map_err(|error| error.to_string())
        });
        let mut stream = stream(ours);
        server.accept(&mut stream, NAMADDR, server.settings.log).unwrap();
        let mut line = Vec::new();
        assert_ne!(stream.read_line(&mut line, 99), Ok(Line::Complete));
        stream.close();
        let refusal = talk.join().unwrap().unwrap_err();
        assert!(refusal.contains("no renegotiation"), "{refusal}");
    });
}

#[test]
fn the_level_of_a_client_counts_for_its_handshake_only() {
    let pki = Pki::new();
    let server = pki.server();
    for (level, lines) in [(&b"0"[..], 0), (b"1", 1), (b"summary, ssl-debug", 10)] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let client = Client::tls13();
        thread::scope(|scope| {
            let talk = scope.spawn(|| client.talk(theirs));
            let mut stream = stream(ours);
            server.accept(&mut stream, NAMADDR, log_level(level)).unwrap();
            stream.close();
            talk.join().unwrap().unwrap();
        });
        let log = log();
        assert!(log.len() >= lines && (lines > 1 || log.len() == lines), "{log:?}");
    }
}

#[test]
fn what_a_wrong_certificate_leaves_in_openssl_ends_no_session() {
    let (pki, same_name) = (Pki::new(), Pki::new());
    // Its signature is wrong: by the issuer's name it is of ours.
    let client = Client::with_certificate(&same_name.client(&Shape::of("x")));
    let server = TlsServer::with(pki.asking(), None, Box::new(FakeTlsmgr::default())).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        let (done, wait) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || {
            let tls = Ssl::new(&client.context).unwrap().connect(theirs).unwrap();
            let _ = wait.recv();
            drop(tls);
        });
        let mut stream = stream(ours);
        assert!(!server.accept(&mut stream, NAMADDR, server.settings.log).unwrap().trusted);
        stream.be_patient(Patience::PerTransfer(Duration::from_millis(10)));
        // The client says nothing: that is no error of TLS.
        assert_eq!(stream.read_line(&mut Vec::new(), 99), Err(StreamEnd::Timeout));
        drop(done);
        stream.close();
    });
}
