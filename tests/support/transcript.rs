//! Transcripts: `tests/transcripts/*.smtp`, one subject a file.
//!
//! A file has a head (settings, tables), sessions (what the client sends, what it must see) and
//! the log lines that are wanted. `tests/transcripts/README.md` describes each kind of line.
//! This module only reads them; it plays nothing, so that every way of playing can use it.

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One file: settings, sessions, and the log lines wanted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Transcript {
    /// The file's name without `.smtp`.
    pub(crate) name: String,
    /// `only: ours`: what it shows is not in Postfix.
    pub(crate) only_ours: bool,
    /// `main.cf:` lines, in order. Values may hold `@placeholders@`.
    pub(crate) main_cf: Vec<(String, String)>,
    /// `master.cf:` lines: `chroot`, `maxproc`, `arguments`, `type`, `front`.
    pub(crate) master_cf: Vec<(String, String)>,
    /// `file:` blocks: name and content.
    pub(crate) files: Vec<(String, String)>,
    /// `postmap:` lines: the type of a table, with `-F ` before it where values are names of files,
    /// and the file that is its source.
    pub(crate) indexed: Vec<(String, String)>,
    /// The sessions, in order.
    pub(crate) sessions: Vec<Session>,
    /// `L:` lines: wanted in this order, others may stand between.
    pub(crate) log: Vec<String>,
    /// Only the lines wanted are looked for in the log: both sides have many others.
    pub(crate) only_wanted_log: bool,
    /// The file's lines, for the recorder.
    pub(crate) source: Vec<String>,
}

/// What stands for the listener's port in a transcript's settings.
pub(crate) const PORT: &str = "@port@";

/// One connection.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Session {
    /// The client's address: `client:`.
    pub(crate) client: IpAddr,
    /// The user who runs `sendmail -bs` instead: `client: nobody`.
    pub(crate) user: Option<String>,
    /// Whether it goes to the second listener of this transcript: `listener: 2`.
    pub(crate) second: bool,
    /// What happens, in order.
    pub(crate) steps: Vec<Step>,
}

/// One thing that the client does, or looks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// Sends these bytes in one write.
    Send(Vec<u8>),
    /// Looks for these replies: the lines of the file from `S` on (`S: 250 2.0.0 Ok`, `S! closed`).
    /// `line` is where the first stands in the file (from 0).
    Expect { lines: Vec<String>, line: usize },
    /// Makes a TLS handshake; its result is part of the next `Expect` (`S! tls TLSv1.3 …`).
    Tls(Tls),
    /// Closes the connection.
    Close,
    /// Closes the connection with a reset.
    Reset,
    /// Keeps the connection, to the end of the transcript; other sessions begin meanwhile.
    Keep,
    /// Closes the sending half only.
    Shutdown,
    /// Waits without sending.
    Pause(Duration),
    /// Waits until the log has a line that contains this text.
    WaitForLog(String),
}

/// How the client makes its handshake.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tls {
    /// The name of the client's certificate, if it shows one.
    pub(crate) cert: Option<String>,
    /// Lowest version offered: `1.0` to `1.3`.
    pub(crate) min: Option<String>,
    /// Highest version offered.
    pub(crate) max: Option<String>,
    /// Cipher list (TLS 1.2 and before), in OpenSSL's words.
    pub(crate) ciphers: Option<String>,
    /// Key exchange groups, in OpenSSL's words.
    pub(crate) groups: Option<String>,
    /// The server name asked for.
    pub(crate) sni: Option<String>,
    /// Offers the TLS session of an earlier session of this transcript.
    pub(crate) resume: bool,
    /// The client is gone when it has sent so many bytes.
    pub(crate) cut: Option<usize>,
}

/// A line that can't be read.
#[derive(Debug)]
pub(crate) struct BadLine {
    /// The line's number, from 1.
    pub(crate) line: usize,
    why: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

/// The address of clients that name none.
pub(crate) const USUAL_CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));

/// Reads all transcripts of `tests/transcripts`, in the order of their names.
pub(crate) fn all() -> io::Result<Vec<Transcript>> {
    all_in(&directory())
}

/// The transcripts in a directory, in order.
pub(crate) fn all_in(directory: &Path) -> io::Result<Vec<Transcript>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<io::Result<Vec<_>>>()?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "smtp"))
        .collect();
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

/// The directory of the transcripts; another one may be named by `SMTPD_TRANSCRIPTS`.
pub(crate) fn directory() -> PathBuf {
    let other = std::env::var_os("SMTPD_TRANSCRIPTS").map(PathBuf::from);
    other.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts"))
}

/// Reads one file.
pub(crate) fn read(path: &Path) -> io::Result<Transcript> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let text = fs::read_to_string(path)?;
    Transcript::parse(&name, &text).map_err(|bad| io::Error::other(format!("{name}.smtp: {bad}")))
}

impl Transcript {
    /// Whether smtpd is to send mails of its own: to a recipient named by [`PORT`].
    pub(crate) fn wants_notices(&self) -> bool {
        self.main_cf.iter().any(|(_, value)| value.contains(PORT))
    }

    /// Reads a transcript from the text of a file.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Transcript, BadLine> {
        let mut reader = Reader {
            transcript: Transcript {
                name: name.to_owned(),
                only_ours: false,
                main_cf: Vec::new(),
                master_cf: Vec::new(),
                files: Vec::new(),
                indexed: Vec::new(),
                sessions: Vec::new(),
                log: Vec::new(),
                only_wanted_log: false,
                source: text.lines().map(str::to_owned).collect(),
            },
            client: USUAL_CLIENT,
            user: None,
            second: false,
            session: None,
            last: Last::Other,
        };
        for (at, line) in text.lines().enumerate() {
            reader.line(at, line).map_err(|why| BadLine { line: at + 1, why })?;
        }
        reader.end_session();
        Ok(reader.transcript)
    }

    /// The value of a `master.cf:` line.
    pub(crate) fn master(&self, name: &str) -> Option<&str> {
        self.master_cf.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// What the line before was, since lines of one kind belong together.
#[derive(PartialEq)]
enum Last {
    Sent,
    Expected,
    Other,
}

struct Reader {
    transcript: Transcript,
    client: IpAddr,
    user: Option<String>,
    second: bool,
    session: Option<Session>,
    last: Last,
}

impl Reader {
    fn line(&mut self, at: usize, line: &str) -> Result<(), String> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        if let Some(content) = line.strip_prefix('|') {
            let file = self.transcript.files.last_mut().ok_or("`|` without `file:`")?;
            file.1.push_str(content.strip_prefix(' ').unwrap_or(content));
            file.1.push('\n');
            return Ok(());
        }
        if let Some(bytes) = self.sent(line)? {
            self.send(&bytes);
            return Ok(());
        }
        if line.starts_with("S:") || line.starts_with("S!") {
            self.expect(at, line);
            return Ok(());
        }
        self.last = Last::Other;
        match line.split_once(':') {
            Some(("L", text)) => self.transcript.log.push(text.trim_start().to_owned()),
            Some(("only", text)) if text.trim() == "ours" => self.transcript.only_ours = true,
            Some(("main.cf", text)) => self.transcript.main_cf.push(setting(text)?),
            Some(("master.cf", text)) => self.transcript.master_cf.push(setting(text)?),
            Some(("file", text)) => {
                self.transcript.files.push((text.trim().to_owned(), String::new()));
            }
            Some(("postmap", text)) => {
                let words = text.trim().rsplit_once(' ').ok_or("not a type and a name")?;
                self.transcript.indexed.push((words.0.to_owned(), words.1.to_owned()));
            }
            Some(("log", text)) => self.transcript.only_wanted_log = text.trim() == "as wanted",
            Some(("client", text)) => self.client(text.trim())?,
            Some(("listener", text)) => self.second = text.trim() == "2",
            Some(("TLS", text)) => self.step(Step::Tls(Tls::parse(text)?)),
            Some(("pause", text)) => {
                let seconds: f64 = text.trim().parse().map_err(|_| "not a number of seconds")?;
                self.step(Step::Pause(Duration::from_secs_f64(seconds)));
            }
            Some(("wait", text)) => self.step(Step::WaitForLog(text.trim().to_owned())),
            _ => match line.trim_end() {
                "--" => self.end_session(),
                "flush" => (),
                "close" => self.step(Step::Close),
                "reset" => self.step(Step::Reset),
                "keep" => self.step(Step::Keep),
                "shutdown" => self.step(Step::Shutdown),
                _ => return Err(format!("unknown line: {line}")),
            },
        }
        Ok(())
    }

    /// An address, or the name of a user.
    fn client(&mut self, text: &str) -> Result<(), String> {
        self.user = None;
        match text.parse() {
            Ok(address) => self.client = address,
            Err(_) if text.chars().all(|c| c.is_ascii_lowercase()) => {
                self.user = Some(text.to_owned());
            }
            Err(_) => return Err("neither an address nor a user".to_owned()),
        }
        Ok(())
    }

    /// The bytes of a `C:` or `C!` line.
    fn sent(&self, line: &str) -> Result<Option<Vec<u8>>, String> {
        if let Some(text) = line.strip_prefix("C:") {
            let mut bytes = text.strip_prefix(' ').unwrap_or(text).as_bytes().to_vec();
            bytes.extend_from_slice(b"\r\n");
            return Ok(Some(bytes));
        }
        line.strip_prefix("C!").map(unescape).transpose()
    }

    /// Lines that follow each other go out in one write.
    fn send(&mut self, bytes: &[u8]) {
        if self.last == Last::Sent {
            if let Some(Step::Send(sent)) = self.steps().last_mut() {
                sent.extend_from_slice(bytes);
                return;
            }
        }
        self.step(Step::Send(bytes.to_vec()));
        self.last = Last::Sent;
    }

    fn expect(&mut self, at: usize, line: &str) {
        if self.last == Last::Expected {
            if let Some(Step::Expect { lines, .. }) = self.steps().last_mut() {
                lines.push(line.to_owned());
                return;
            }
        }
        self.step(Step::Expect { lines: vec![line.to_owned()], line: at });
        self.last = Last::Expected;
    }

    fn step(&mut self, step: Step) {
        self.steps().push(step);
    }

    fn steps(&mut self) -> &mut Vec<Step> {
        let new = || Session {
            client: self.client,
            user: self.user.clone(),
            second: self.second,
            steps: Vec::new(),
        };
        &mut self.session.get_or_insert_with(new).steps
    }

    fn end_session(&mut self) {
        self.transcript.sessions.extend(self.session.take());
    }
}

impl Session {
    /// The lines of a file that say this session.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.client != USUAL_CLIENT {
            lines.push(format!("client: {}", self.client));
        }
        let mut sent = false;
        for step in &self.steps {
            let sends = matches!(step, Step::Send(_));
            if sends && sent {
                lines.push("flush".to_owned());
            }
            sent = sends;
            match step {
                Step::Send(bytes) => write_sent(bytes, &mut lines),
                Step::Expect { .. } => lines.push("S:".to_owned()),
                Step::Tls(how) => lines.push(how.line()),
                Step::Close => lines.push("close".to_owned()),
                Step::Reset => lines.push("reset".to_owned()),
                Step::Keep => lines.push("keep".to_owned()),
                Step::Shutdown => lines.push("shutdown".to_owned()),
                Step::Pause(time) => lines.push(format!("pause: {}", time.as_secs_f64())),
                Step::WaitForLog(text) => lines.push(format!("wait: {text}")),
            }
        }
        lines
    }
}

/// `C:` lines, or `C!` where a line has odd bytes or no CR LF.
fn write_sent(bytes: &[u8], lines: &mut Vec<String>) {
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\r\n").and_then(|text| std::str::from_utf8(text).ok());
        match text.filter(|text| !text.contains(char::is_control) && !text.ends_with(' ')) {
            Some("") => lines.push("C:".to_owned()),
            Some(text) => lines.push(format!("C: {text}")),
            None => lines.push(format!("C! \"{}\"", escape(line))),
        }
    }
}

/// What `unescape` reads.
fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b'\\' => text.push_str("\\\\"),
            b'"' => text.push_str("\\\""),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text
}

impl Tls {
    fn line(&self) -> String {
        let mut line = "TLS:".to_owned();
        for (name, value) in [
            ("cert", &self.cert),
            ("min", &self.min),
            ("max", &self.max),
            ("ciphers", &self.ciphers),
            ("groups", &self.groups),
            ("sni", &self.sni),
        ] {
            line.extend(value.iter().map(|value| format!(" {name}={value}")));
        }
        line
    }

    fn parse(text: &str) -> Result<Tls, String> {
        let mut tls = Tls::default();
        for word in text.split_whitespace() {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let value = Some(value.to_owned());
            match name {
                "cert" => tls.cert = value,
                "min" => tls.min = value,
                "max" => tls.max = value,
                "ciphers" => tls.ciphers = value,
                "groups" => tls.groups = value,
                "sni" => tls.sni = value,
                "resume" => tls.resume = true,
                "cut" => {
                    let bytes = value.and_then(|text| text.parse().ok());
                    tls.cut = Some(bytes.ok_or_else(|| format!("not a number: {word}"))?);
                }
                _ => return Err(format!("unknown word: {word}")),
            }
        }
        Ok(tls)
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("need name = value")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// The bytes of `"text with \r \n \t \0 \\ \" \xNN" * 3`.
pub(crate) fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let text = text.trim();
    let (quoted, times) = match text.rsplit_once("\" * ") {
        Some((before, number)) => {
            (format!("{before}\""), number.trim().parse().map_err(|_| "not a number of times")?)
        }
        None => (text.to_owned(), 1),
    };
    let inner = quoted
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .ok_or("need a text in double quotes")?;
    let mut bytes = Vec::new();
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        bytes.push(match rest.next() {
            Some('r') => b'\r',
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('"') => b'"',
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                u8::from_str_radix(&digits, 16).map_err(|_| "need two hex digits after \\x")?
            }
            other => return Err(format!("unknown escape: {other:?}")),
        });
    }
    Ok(bytes.repeat(times))
}

/// Bytes as the `S:` and `L:` lines show them: what is no printable UTF-8 as `\xNN`.
pub(crate) fn show(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                shown.push_str(&format!("\\x{:02x}", u32::from(c)));
            } else {
                shown.push(c);
            }
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}
