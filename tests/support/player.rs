//! Plays a transcript against a listener, and notes what it sees.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};
use openssl::ssl::{ShutdownState, SslStream};

use super::handshake::{self, Cut, Handshakes};
use super::sendmail::Sendmail;
use super::transcript::{self, Session, Step, Tls, Transcript};
use super::world::{Side, World};

/// What one side did with a transcript; masked.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// The dialogue: `C …` as sent (shortened), `S: …` and `S! …` as seen.
    pub(crate) dialogue: Vec<String>,
    /// What each `Expect` has seen: the line in the file where it stands, and the lines.
    pub(crate) seen: Vec<(usize, Vec<String>)>,
    /// The log lines.
    pub(crate) log: Vec<String>,
    /// The queue files, one after the other.
    pub(crate) queue: Vec<String>,
    /// Among them are mails that smtpd itself sent.
    pub(crate) has_notices: bool,
}

/// How to know that a reply is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As many replies as the transcript has.
    AsWritten,
    /// Until the server is quiet for so long: for recording.
    UntilQuiet(Duration),
}

/// Longest wait for a reply.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long the server must say nothing, to be taken as quiet.
pub(crate) const QUIET: Duration = Duration::from_millis(300);

/// Plays all sessions of `transcript`, the one with number `at`, against one side.
pub(crate) fn play(
    world: &World,
    transcript: &Transcript,
    at: usize,
    side: Side,
    reading: Reading,
) -> Run {
    let mut run = Run::default();
    let mut tls = Handshakes::default();
    let mut kept = Vec::new();
    let mut logged = 0;
    for (number, session) in transcript.sessions.iter().enumerate() {
        if number > 0 {
            run.dialogue.push("--".to_owned());
        }
        let mut player =
            Player { world, at, side, reading, tls: &mut tls, line: Line::Gone, input: Vec::new() };
        match connect_as(world, transcript, at, side, session) {
            Ok(line) => player.line = line,
            Err(error) => run.dialogue.push(format!("S! no connection: {error}")),
        }
        player.session(session, &mut run);
        if session.steps.last() == Some(&Step::Keep) {
            kept.push(player.line);
            continue;
        }
        drop(player);
        // An ordinary user cannot reach postlogd(8).
        logged += usize::from(session.user.as_ref().is_none_or(|user| user != "nobody"));
        world.wait_for_ends(at, side, logged);
    }
    if !kept.is_empty() {
        logged += kept.len();
        drop(kept);
        world.wait_for_ends(at, side, logged);
    }
    run.log = world.log(at, side);
    let notices = world.notices(transcript, at, side);
    run.has_notices = !notices.is_empty();
    run.collect(world, at, side, notices);
    run
}

impl Run {
    /// Without the log lines that `transcript` does not want, where it says so.
    pub(crate) fn wanted_by(mut self, transcript: &Transcript) -> Run {
        if transcript.only_wanted_log {
            self.log.retain(|line| transcript.log.contains(line));
        }
        self
    }

    /// Gets the queue files, and masks everything.
    fn collect(&mut self, world: &World, at: usize, side: Side, notices: Vec<String>) {
        let mut ids = notices;
        for line in self.dialogue.iter().chain(&self.log) {
            let id = world.mask.queue_id(line).map(str::to_owned);
            ids.extend(id.filter(|id| id != "NOQUEUE" && !ids.contains(id)));
        }
        for id in &ids {
            self.queue.extend(world.queue_file(id));
        }
        let words = world.replacements(at, side);
        let lists = [&mut self.dialogue, &mut self.log, &mut self.queue].into_iter();
        for line in lists.chain(self.seen.iter_mut().map(|(_, lines)| lines)).flatten() {
            *line = world.mask.line(line, &ids, &words);
        }
    }
}

/// Connects as the client of a session does.
fn connect_as(
    world: &World,
    transcript: &Transcript,
    at: usize,
    side: Side,
    session: &Session,
) -> io::Result<Line> {
    if let Some(user) = &session.user {
        let conf = world.local(at, side);
        return Sendmail::start(user, &conf, &conf.join("errors")).map(Line::Sendmail);
    }
    if transcript.master("type") == Some("unix") {
        return UnixStream::connect(world.socket(at, side)).map(Line::Local);
    }
    let (from, to) = world.addresses(at, side, session);
    Ok(Line::Plain(dial(from, to)?))
}

/// The connection.
pub(super) enum Line {
    Local(UnixStream),
    Sendmail(Sendmail),
    Plain(TcpStream),
    Tls(SslStream<Cut<TcpStream>>),
    Gone,
}

/// One client.
pub(super) struct Player<'w> {
    pub(super) world: &'w World,
    pub(super) at: usize,
    pub(super) side: Side,
    pub(super) reading: Reading,
    pub(super) tls: &'w mut Handshakes,
    pub(super) line: Line,
    pub(super) input: Vec<u8>,
}

impl Player<'_> {
    fn session(&mut self, session: &Session, run: &mut Run) {
        let mut noted: Vec<String> = Vec::new();
        for step in &session.steps {
            match step {
                Step::Send(bytes) => {
                    run.dialogue.push(format!("C: {}", shorten(bytes)));
                    self.send(bytes);
                }
                Step::Expect { lines, line } => {
                    let mut seen = std::mem::take(&mut noted);
                    self.expect(lines, &mut seen);
                    run.dialogue.extend(seen.iter().cloned());
                    run.seen.push((*line, seen));
                }
                Step::Tls(how) => noted.push(self.handshake(how)),
                Step::Close => self.hang_up(),
                Step::Reset => self.reset(),
                Step::Keep => return,
                Step::Shutdown => self.shut(),
                Step::Pause(time) => std::thread::sleep(*time),
                Step::WaitForLog(text) => self.world.wait_for_line(self.at, self.side, text),
            }
        }
        run.dialogue.append(&mut noted);
        self.leftovers(run);
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        // A server that hung up is seen when its replies are read.
        let _ = match &mut self.line {
            Line::Local(stream) => stream.write_all(bytes),
            Line::Sendmail(sendmail) => sendmail.write(bytes),
            Line::Plain(stream) => stream.write_all(bytes),
            Line::Tls(stream) => stream.write_all(bytes),
            Line::Gone => Ok(()),
        };
    }

    fn expect(&mut self, wanted: &[String], seen: &mut Vec<String>) {
        if matches!(self.line, Line::Gone) {
            return;
        }
        if let Reading::UntilQuiet(quiet) = self.reading {
            return self.read_until_quiet(quiet, seen);
        }
        let replies = wanted.iter().filter(|line| is_last(line)).count();
        let mut read = 0;
        while read < replies {
            match self.read_line(PATIENCE) {
                Got::Line(line) => {
                    read += usize::from(is_last(&line));
                    seen.push(line);
                }
                other => return self.give_up(&other, seen),
            }
        }
        if wanted.iter().any(|line| line == "S! closed") {
            loop {
                match self.read_line(PATIENCE) {
                    Got::Line(line) => seen.push(line),
                    other => return self.give_up(&other, seen),
                }
            }
        }
    }

    fn read_until_quiet(&mut self, quiet: Duration, seen: &mut Vec<String>) {
        let mut patience = if seen.is_empty() { PATIENCE } else { quiet };
        loop {
            match self.read_line(patience) {
                Got::Line(line) => seen.push(line),
                Got::Nothing if !seen.is_empty() => return,
                other => return self.give_up(&other, seen),
            }
            // The rest of a reply of several lines is worth waiting for.
            let is_complete = seen.last().is_none_or(|line| is_last(line));
            patience = if is_complete { quiet } else { PATIENCE };
        }
    }

    /// The server closed, or says nothing: the session is over.
    pub(super) fn give_up(&mut self, got: &Got, seen: &mut Vec<String>) {
        if !self.input.is_empty() {
            seen.push(format!("S! unfinished {}", transcript::show(&self.input)));
        }
        seen.push(if *got == Got::End { "S! closed" } else { "S! silent" }.to_owned());
        self.hang_up();
    }

    /// A TLS session whose connection ended without a word would not be resumed: say it ended well.
    pub(super) fn hang_up(&mut self) {
        if let Line::Tls(stream) = &mut self.line {
            stream.set_shutdown(ShutdownState::SENT | ShutdownState::RECEIVED);
        }
        self.line = Line::Gone;
    }

    /// What the server said without being looked for.
    fn leftovers(&mut self, run: &mut Run) {
        while let Got::Line(line) = self.read_line(Duration::from_millis(1)) {
            run.dialogue.push(line);
        }
        self.hang_up();
    }

    pub(super) fn read_line(&mut self, patience: Duration) -> Got {
        loop {
            if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                let text = line.strip_suffix(b"\r\n").unwrap_or(&line);
                return Got::Line(format!("S: {}", transcript::show(text)));
            }
            let mut buffer = [0; 4096];
            let read = match &mut self.line {
                Line::Local(stream) => {
                    let _ = stream.set_read_timeout(Some(patience));
                    stream.read(&mut buffer)
                }
                Line::Sendmail(sendmail) => sendmail.read(&mut buffer, patience),
                Line::Plain(stream) => {
                    let _ = stream.set_read_timeout(Some(patience));
                    stream.read(&mut buffer)
                }
                Line::Tls(stream) => {
                    let _ = stream.get_ref().stream.set_read_timeout(Some(patience));
                    stream.read(&mut buffer)
                }
                Line::Gone => Ok(0),
            };
            match read {
                Ok(0) => return Got::End,
                Ok(length) => self.input.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Got::Nothing,
                // A process that is stopped and goes on may see this of a socket with a time limit.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Got::End,
            }
        }
    }

    pub(super) fn shut(&mut self) {
        let _ = match &mut self.line {
            Line::Local(stream) => stream.shutdown(Shutdown::Write),
            Line::Sendmail(sendmail) => {
                sendmail.shut();
                Ok(())
            }
            Line::Plain(stream) => stream.shutdown(Shutdown::Write),
            Line::Tls(stream) => stream.shutdown().map(drop).map_err(io::Error::other),
            Line::Gone => Ok(()),
        };
    }

    /// Without lingering, a close becomes a reset.
    pub(super) fn reset(&mut self) {
        if let Line::Plain(stream) = std::mem::replace(&mut self.line, Line::Gone) {
            let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
            let _ = setsockopt(&stream, sockopt::Linger, &linger);
        }
    }

    pub(super) fn handshake(&mut self, how: &Tls) -> String {
        let Line::Plain(stream) = std::mem::replace(&mut self.line, Line::Gone) else {
            return "S! tls without a connection".to_owned();
        };
        let _ = stream.set_read_timeout(Some(PATIENCE));
        match self.tls.connect(stream, how, &self.world.tls("")) {
            Ok(stream) => {
                let said = handshake::summary(stream.ssl());
                self.line = Line::Tls(stream);
                said
            }
            Err(_) => "S! tls failed".to_owned(),
        }
    }
}

/// What came of a look at the connection.
#[derive(PartialEq)]
pub(super) enum Got {
    Line(String),
    Nothing,
    End,
}

/// Whether a line ends a reply: `S: 250 …`, not `S: 250-…`.
fn is_last(line: &str) -> bool {
    line.strip_prefix("S: ").is_some_and(|text| text.as_bytes().get(3) != Some(&b'-'))
}

pub(super) fn shorten(bytes: &[u8]) -> String {
    let shown = transcript::show(bytes);
    if shown.chars().count() <= 100 {
        return shown;
    }
    shown.chars().take(100).collect::<String>() + "…"
}

/// Connects from one address to another.
pub(super) fn dial(from: SocketAddr, to: SocketAddr) -> nix::Result<TcpStream> {
    let family = match from.ip() {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    let fd: OwnedFd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(from))?;
    connect(fd.as_raw_fd(), &SockaddrStorage::from(to))?;
    let stream = TcpStream::from(fd);
    let _ = stream.set_nodelay(true);
    let _ = stream.set_write_timeout(Some(PATIENCE));
    Ok(stream)
}
