//! The client's side of a transcript, over a socket pair.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use openssl::ssl::{ShutdownState, SslStream};

use crate::support::handshake::{self, Cut, Handshakes};
use crate::support::transcript::{self, Session, Step, Tls};

/// Longest wait for a reply.
const PATIENCE: Duration = Duration::from_secs(12);

/// What the transcript wants to see at one place, and what was seen.
pub(crate) struct Seen {
    pub(crate) wanted: Vec<String>,
    pub(crate) got: Vec<String>,
}

/// The client of a transcript.
pub(crate) struct Player<'p> {
    certificates: &'p Path,
    handshakes: Handshakes,
    line: Line,
    input: Vec<u8>,
}

enum Line {
    Plain(UnixStream),
    Tls(SslStream<Cut<UnixStream>>),
    Gone,
}

impl<'p> Player<'p> {
    pub(crate) fn new(certificates: &'p Path) -> Self {
        Self { certificates, handshakes: Handshakes::default(), line: Line::Gone, input: vec![] }
    }

    /// Does what the client of `session` does.
    pub(crate) fn play(&mut self, stream: UnixStream, session: &Session, seen: &mut Vec<Seen>) {
        let _ = stream.set_read_timeout(Some(PATIENCE));
        let _ = stream.set_write_timeout(Some(PATIENCE));
        self.line = Line::Plain(stream);
        self.input.clear();
        let mut noted = vec![];
        for step in &session.steps {
            match step {
                Step::Send(bytes) => self.send(bytes),
                Step::Expect { lines, .. } => {
                    let mut got = std::mem::take(&mut noted);
                    self.expect(lines, &mut got);
                    seen.push(Seen { wanted: lines.clone(), got });
                }
                Step::Tls(how) => noted.push(self.handshake(how)),
                Step::Close => self.hang_up(),
                Step::Reset => self.line = Line::Gone,
                Step::Keep => noted.push("S! a second client at a time".to_owned()),
                Step::Shutdown => self.shut(),
                Step::Pause(time) => thread::sleep(*time),
                Step::WaitForLog(_) => noted.push("S! a log that cannot be watched".to_owned()),
            }
        }
        self.hang_up();
    }

    fn send(&mut self, bytes: &[u8]) {
        // A server that hung up is seen when its replies are read.
        let _ = match &mut self.line {
            Line::Plain(stream) => stream.write_all(bytes),
            Line::Tls(stream) => stream.write_all(bytes),
            Line::Gone => Ok(()),
        };
    }

    fn shut(&mut self) {
        match &mut self.line {
            Line::Plain(stream) => drop(stream.shutdown(Shutdown::Write)),
            Line::Tls(stream) => drop(stream.shutdown()),
            Line::Gone => {}
        }
    }

    /// A TLS session whose connection ended without a word would not be resumed: say it ended well.
    fn hang_up(&mut self) {
        if let Line::Tls(stream) = &mut self.line {
            stream.set_shutdown(ShutdownState::SENT | ShutdownState::RECEIVED);
        }
        self.line = Line::Gone;
    }

    fn handshake(&mut self, how: &Tls) -> String {
        let Line::Plain(stream) = std::mem::replace(&mut self.line, Line::Gone) else {
            return "S! tls without a connection".to_owned();
        };
        match self.handshakes.connect(stream, how, self.certificates) {
            Ok(stream) => {
                let said = handshake::summary(stream.ssl());
                self.line = Line::Tls(stream);
                said
            }
            Err(_) => "S! tls failed".to_owned(),
        }
    }

    /// As many replies as are wanted, or all until the server closes.
    fn expect(&mut self, wanted: &[String], got: &mut Vec<String>) {
        if matches!(self.line, Line::Gone) {
            return;
        }
        let closes = wanted.iter().any(|line| line == "S! closed");
        let mut left = wanted.iter().filter(|line| is_last(line)).count();
        while left > 0 || closes {
            let line = self.line();
            let over = line.starts_with("S!");
            left = left.saturating_sub(usize::from(is_last(&line)));
            got.push(line);
            if over {
                return self.hang_up();
            }
        }
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                let text = line.strip_suffix(b"\r\n").unwrap_or(&line);
                return format!("S: {}", transcript::show(text));
            }
            let mut buffer = [0; 4096];
            let read = match &mut self.line {
                Line::Plain(stream) => stream.read(&mut buffer),
                Line::Tls(stream) => stream.read(&mut buffer),
                Line::Gone => Ok(0),
            };
            match read {
                Ok(0) => return self.end("S! closed"),
                Ok(length) => self.input.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return self.end("S! silent");
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.end("S! closed"),
            }
        }
    }

    fn end(&self, how: &str) -> String {
        if self.input.is_empty() {
            how.to_owned()
        } else {
            format!("S! unfinished {}", transcript::show(&self.input))
        }
    }
}

/// Whether a line ends a reply: `S: 250 …`, not `S: 250-…`.
fn is_last(line: &str) -> bool {
    line.strip_prefix("S: ").is_some_and(|text| text.as_bytes().get(3) != Some(&b'-'))
}
