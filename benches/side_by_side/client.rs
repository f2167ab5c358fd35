//! A client that makes work: SMTP, plain or over TLS, one reply after the other.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslSession, SslStream,
    SslVerifyMode, SslVersion,
};

use crate::Outcome;

/// A server that says nothing for so long is broken.
const PATIENCE: Duration = Duration::from_secs(100);
/// A line of message content, 78 bytes.
const LINE: &[u8] =
    b"The quick brown fox jumps over the lazy dog, and the dog looks up, unmoved.\r\n";

enum Stream {
    Plain(TcpStream),
    Tls(Box<SslStream<TcpStream>>),
    Changing,
}

/// One connection.
pub(crate) struct Client {
    stream: Stream,
    input: Vec<u8>,
}

/// What kind of TLS client.
pub(crate) struct Handshake {
    context: SslContext,
    session: RefCell<Option<SslSession>>,
    resume: bool,
}

impl Handshake {
    /// A client that speaks one version only.
    pub(crate) fn new(version: SslVersion, resume: bool) -> Outcome<Self> {
        Self::build(version, resume, None)
    }

    /// One with the certificate `NAME.pem` and the key `NAME.key`.
    pub(crate) fn with_certificate(version: SslVersion, name: &Path) -> Outcome<Self> {
        Self::build(version, false, Some(name))
    }

    fn build(version: SslVersion, resume: bool, certificate: Option<&Path>) -> Outcome<Self> {
        let mut builder = SslContextBuilder::new(SslMethod::tls_client())?;
        builder.set_verify(SslVerifyMode::NONE);
        builder.set_min_proto_version(Some(version))?;
        builder.set_max_proto_version(Some(version))?;
        if let Some(name) = certificate {
            builder.set_certificate_chain_file(name.with_extension("pem"))?;
            builder.set_private_key_file(name.with_extension("key"), SslFiletype::PEM)?;
        }
        Ok(Self { context: builder.build(), session: RefCell::default(), resume })
    }

    /// Whether sessions are resumed.
    pub(crate) fn resumes(&self) -> bool {
        self.resume
    }

    fn connect(&self, stream: TcpStream) -> Outcome<SslStream<TcpStream>> {
        let mut ssl = Ssl::new(&self.context)?;
        let kept = self.session.borrow_mut().take();
        let resumes = kept.is_some();
        if let Some(session) = kept {
            // SAFETY: the session was made with the same context.
            unsafe { ssl.set_session(&session)? };
        }
        let stream = ssl.connect(stream).map_err(|error| format!("handshake: {error}"))?;
        if resumes && !stream.ssl().session_reused() {
            return Err("the session was not resumed".into());
        }
        Ok(stream)
    }

    /// Keeps the session of a client that has read something: tickets come before that.
    pub(crate) fn keep(&self, client: &Client) {
        if let Stream::Tls(stream) = &client.stream {
            let session = stream.ssl().session().map(ToOwned::to_owned);
            *self.session.borrow_mut() = session.filter(|_| self.resume);
        }
    }
}

impl Client {
    /// Connects. With `at_once`, what is written goes out at once (TCP_NODELAY), as with most
    /// clients.
    pub(crate) fn connect(port: u16, at_once: bool) -> Outcome<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(at_once)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: Stream::Plain(stream), input: Vec::new() })
    }

    /// Connects, and gets as far as EHLO.
    pub(crate) fn hello(port: u16) -> Outcome<Self> {
        let mut client = Self::connect(port, true)?;
        client.greet()?;
        Ok(client)
    }

    /// Waits for the greeting, and says EHLO.
    pub(crate) fn greet(&mut self) -> Outcome<()> {
        self.expect(220)?;
        self.ehlo()
    }

    /// Says EHLO.
    pub(crate) fn ehlo(&mut self) -> Outcome<()> {
        self.say("EHLO client.example.com", 250)
    }

    /// Begins TLS.
    pub(crate) fn starttls(&mut self, handshake: &Handshake) -> Outcome<()> {
        self.say("STARTTLS", 220)?;
        let Stream::Plain(plain) = std::mem::replace(&mut self.stream, Stream::Changing) else {
            return Err("TLS within TLS".into());
        };
        self.stream = Stream::Tls(Box::new(handshake.connect(plain)?));
        Ok(())
    }

    /// Says a command, and wants a reply with this code.
    pub(crate) fn say(&mut self, command: &str, code: u16) -> Outcome<()> {
        self.write(format!("{command}\r\n").as_bytes())?;
        self.expect(code)
    }

    /// Writes bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Outcome<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes)?,
            Stream::Tls(stream) => stream.write_all(bytes)?,
            Stream::Changing => return Err("no stream".into()),
        }
        Ok(())
    }

    /// Reads a reply, and wants this code.
    pub(crate) fn expect(&mut self, code: u16) -> Outcome<()> {
        let reply = self.reply()?;
        if reply.starts_with(&format!("{code} ")) {
            return Ok(());
        }
        Err(format!("{code} was expected, not {reply:?}").into())
    }

    /// The last line of the next reply.
    pub(crate) fn reply(&mut self) -> Outcome<String> {
        loop {
            while let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                if line.get(3) != Some(&b'-') {
                    return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
                }
            }
            self.read_more()?;
        }
    }

    fn read_more(&mut self) -> Outcome<()> {
        let mut buffer = [0; 4096];
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut buffer),
            Stream::Tls(stream) => stream.read(&mut buffer),
            Stream::Changing => Ok(0),
        };
        let count = match read {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        };
        if count == 0 {
            return Err("the server has closed the connection".into());
        }
        self.input.extend_from_slice(&buffer[..count]);
        Ok(())
    }

    /// Says goodbye, and waits until the server has closed.
    pub(crate) fn quit(mut self) -> Outcome<()> {
        self.say("QUIT", 221)?;
        let mut rest = [0; 64];
        let _ = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut rest),
            Stream::Tls(stream) => {
                // Else OpenSSL would not resume the session.
                let _ = stream.shutdown();
                stream.get_mut().read(&mut rest)
            }
            Stream::Changing => Ok(0),
        };
        Ok(())
    }

    /// Sends a message with DATA.
    pub(crate) fn message(&mut self, content: &[u8]) -> Outcome<()> {
        let (mail, rcpt) = envelope();
        self.say(&mail, 250)?;
        self.say(&rcpt, 250)?;
        self.say("DATA", 354)?;
        self.write(content)?;
        self.write_end(content)?;
        self.expect(250)
    }

    /// The dot. A short message goes out with it in one write.
    fn write_end(&mut self, content: &[u8]) -> Outcome<()> {
        if content.ends_with(b"\r\n.\r\n") { Ok(()) } else { self.write(b".\r\n") }
    }

    /// Sends a message with one BDAT chunk.
    pub(crate) fn chunk(&mut self, content: &[u8]) -> Outcome<()> {
        let (mail, rcpt) = envelope();
        self.say(&mail, 250)?;
        self.say(&rcpt, 250)?;
        self.write(format!("BDAT {} LAST\r\n", content.len()).as_bytes())?;
        self.write(content)?;
        self.expect(250)
    }

    /// Sends messages without waiting for more replies than needed.
    pub(crate) fn pipeline(&mut self, messages: u32, content: &[u8]) -> Outcome<()> {
        self.write(&transaction())?;
        for left in (0..messages).rev() {
            self.expect(250)?;
            self.expect(250)?;
            self.expect(354)?;
            let mut bytes = content.to_vec();
            if left > 0 {
                bytes.extend_from_slice(&transaction());
            }
            self.write(&bytes)?;
            self.expect(250)?;
        }
        Ok(())
    }

    /// A transaction with so many recipients and no message.
    pub(crate) fn recipients(&mut self, count: u32) -> Outcome<()> {
        let (mail, _) = envelope();
        let mut bytes = format!("{mail}\r\n").into_bytes();
        for _ in 0..count {
            bytes.extend_from_slice(format!("{}\r\n", envelope().1).as_bytes());
        }
        bytes.extend_from_slice(b"RSET\r\n");
        self.write(&bytes)?;
        (0..count + 2).try_for_each(|_| self.expect(250))
    }
}

fn transaction() -> Vec<u8> {
    let (mail, rcpt) = envelope();
    format!("{mail}\r\n{rcpt}\r\nDATA\r\n").into_bytes()
}

/// MAIL and RCPT, each time with other addresses.
fn envelope() -> (String, String) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    (
        format!("MAIL FROM:<sender{}@example.com>", count % 997),
        format!("RCPT TO:<user{count}@bench.test>"),
    )
}

/// A message of about this size. With `dot`, the end of DATA belongs to it.
pub(crate) fn content(size: usize, dot: bool) -> Vec<u8> {
    let mut text = b"From: Sender <sender@example.com>\r\n\
        To: Recipient <recipient@bench.test>\r\n\
        Subject: benchmark message\r\n\
        Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n\
        Message-ID: <1@bench.example.com>\r\n\
        MIME-Version: 1.0\r\n\
        Content-Type: text/plain; charset=us-ascii\r\n\r\n"
        .to_vec();
    while text.len() < size {
        text.extend_from_slice(LINE);
    }
    if dot {
        text.extend_from_slice(b".\r\n");
    }
    text
}
