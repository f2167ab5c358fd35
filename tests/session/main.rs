//! Every transcript, played in this process: a session over a socket pair, with services of our
//! own. It needs no root, no Postfix and no network; what only those can show stands, with its
//! reason, in `tests/session/elsewhere.txt`.
//!
//! The words of `tests/transcripts` are compared: replies byte for byte, and the log lines that a
//! transcript wants.

mod client;
mod names;
mod services;
#[path = "../support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use smtpd_rs::config::Config;
use smtpd_rs::fill;
use smtpd_rs::log;
use smtpd_rs::session::Smtpd;
use smtpd_rs::session::peer::{self, Origin};
use smtpd_rs::stream::Connection;
use smtpd_rs::wire::attr::{Attr, Decoder, Form, Limits, encode};

use client::{Player, Seen};
use names::ZoneNames;
use services::{Cleanup, Records, Services};
use support::certificates;
use support::compare::{difference, first_missing};
use support::mask::Mask;
use support::transcript::{self, Step, Transcript};
use support::world::MAIN_CF;

/// The addresses of the host in the private world.
const OWN_ADDRESSES: &str = "127.0.0.1, ::1, 192.0.2.1, 192.0.2.10, 192.0.2.77, 2001:db8::1";
/// The service of the first transcript; each has its own, by which anvil(8) knows it.
const FIRST_PORT: usize = 11000;
/// Transcripts that play at a time.
const PLAYERS: usize = 8;

#[test]
fn every_transcript_holds_in_process() {
    let stage = stage();
    let elsewhere = elsewhere();
    let all = transcript::all().unwrap();
    for name in elsewhere.keys() {
        assert!(all.iter().any(|one| one.name == *name), "elsewhere.txt: no transcript {name}");
    }
    let played: Vec<_> = all
        .iter()
        .filter(|one| !elsewhere.contains_key(&one.name) && is_recorded(one))
        .filter(|one| !needs_master(one) && one.indexed.is_empty())
        .collect();
    assert!(played.len() > 100);
    play(stage, &played);
}

/// The transcripts of releases that are not installed: nobody plays them beside the original.
#[test]
fn every_dialect_holds_in_process() {
    let all = transcript::all_in(&transcript::directory().join("dialects")).unwrap();
    play(stage(), &all.iter().collect::<Vec<_>>());
}

/// What was a hole or a death of the process, and is mended in 3.12.
const MENDED: &[&str] = &[
    "bdat_big",
    "bdat_many_small_chunks",
    "bdat_null",
    "bdat_rejected_by_data_restrictions",
    "bdat_too_big",
    "dsn_nul",
    "notices_flushed",
    "reject_end_of_data",
    "starttls_injection",
    "state_bdat_null_then_data",
    "state_bdat_too_big_then_data",
    "state_vrfy_utf8_then_data",
];

/// The last of each branch.
const BRANCHES: &[&str] = &["3.7", "3.8", "3.9", "3.10", "3.11", "3.12"];

/// The replies are those of 3.12; the words in the log are those of the release.
#[test]
fn what_is_mended_is_mended_in_every_dialect() {
    let mut played = Vec::new();
    for name in MENDED {
        let path = transcript::directory().join(format!("{name}.smtp"));
        for branch in BRANCHES {
            let mut one = transcript::read(&path).unwrap();
            one.name = format!("{name}-{branch}");
            for (setting, value) in [("smtpd_rs_dialect", *branch), ("requiretls_enable", "no")] {
                one.main_cf.push((setting.to_owned(), value.to_owned()));
            }
            one.log.clear();
            played.push(one);
        }
    }
    play(stage(), &played.iter().collect::<Vec<_>>());
}

/// A port that no other transcript has.
fn next_port() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(FIRST_PORT);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Plays them, several at a time.
fn play(stage: &Stage, played: &[&Transcript]) {
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..PLAYERS {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(one) = played.get(at) else { return };
                    let wrong = match stage.play(one, next_port()) {
                        Ok(run) => run.judge(one),
                        Err(error) => Some(format!("{}: {error}", one.name)),
                    };
                    failures.lock().unwrap_or_else(PoisonError::into_inner).extend(wrong);
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    failures.sort();
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn cleanup_gets_these_records() {
    let path = transcript::directory().join("mail_plain.smtp");
    let run = stage().play(&transcript::read(&path).unwrap(), FIRST_PORT - 1).unwrap();
    let [message] = run.messages.as_slice() else { panic!("{} messages", run.messages.len()) };
    let shown: Vec<String> = message
        .iter()
        .map(|(kind, data)| format!("{} {}", char::from(*kind), transcript::show(data)))
        .collect();
    let (time, rest) = shown.split_first().unwrap();
    assert!(time.starts_with("T "));
    let ids = [rest[0].strip_prefix("A log_ident=").unwrap().to_owned()];
    let mask = &stage().mask;
    let rest: Vec<String> = rest.iter().map(|line| mask.line(line, &ids, &[])).collect();
    assert_eq!(rest, RECORDS);
}

#[test]
fn a_hidden_client_is_not_in_the_header() {
    let path = transcript::directory().join("mail_plain.smtp");
    let mut transcript = transcript::read(&path).unwrap();
    for (name, value) in [("smtpd_rs_dialect", "3.10"), ("smtpd_hide_client_session", "yes")] {
        transcript.main_cf.push((name.to_owned(), value.to_owned()));
    }
    let run = stage().play(&transcript, next_port()).unwrap();
    let [message] = run.messages.as_slice() else { panic!("{} messages", run.messages.len()) };
    let lines =
        message.iter().filter(|(kind, _)| *kind == b'N').map(|(_, data)| transcript::show(data));
    let header: Vec<String> = lines.take(3).collect();
    let id = header[0].strip_prefix("Received: by mx.example.test (Postfix) id ").unwrap();
    assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
    assert!(header[1].starts_with("\\x09for <user@example.test>; "), "{}", header[1]);
    assert!(!header[2].contains("client.test"), "{}", header[2]);
}

/// The records of `mail_plain.smtp`, but for the first, the time.
const RECORDS: &[&str] = &[
    "A log_ident=QUEUE-ID",
    "A rewrite_context=local",
    "S a@sender.test",
    "A log_client_name=good.client.test",
    "A log_client_address=192.0.2.10",
    "A log_client_port=PORT",
    "A log_message_origin=good.client.test[192.0.2.10]",
    "A log_helo_name=good.client.test",
    "A log_protocol_name=ESMTP",
    "A client_name=good.client.test",
    "A reverse_client_name=good.client.test",
    "A client_address=192.0.2.10",
    "A client_port=PORT",
    "A server_address=192.0.2.1",
    "A server_port=25",
    "A helo_name=good.client.test",
    "A protocol_name=ESMTP",
    "A client_address_type=2",
    "A dsn_orig_rcpt=rfc822;user@example.test",
    "R user@example.test",
    "M ",
    "N Received: from good.client.test (good.client.test [192.0.2.10])",
    "N \\x09by mx.example.test (Postfix) with ESMTP id QUEUE-ID",
    "N \\x09for <user@example.test>; DATE",
    "N From: <a@sender.test>",
    "N To: <user@example.test>",
    "N Subject: hello",
    "N ",
    "N body",
    "N .dot",
    "X ",
    "E ",
];

#[test]
fn the_postmaster_gets_these_records() {
    let path = transcript::directory().join("notices_protocol.smtp");
    let run = stage().play(&transcript::read(&path).unwrap(), FIRST_PORT - 100).unwrap();
    let [notice] = run.messages.as_slice() else { panic!("{} messages", run.messages.len()) };
    let shown: Vec<String> = notice
        .iter()
        .map(|(kind, data)| format!("{} {}", char::from(*kind), transcript::show(data)))
        .map(|line| stage().mask.line(&line, &[], &[]))
        .collect();
    let (head, rest) = shown.split_at(8);
    assert!(head[0].starts_with("T "));
    assert_eq!(head[1..4], NOTICE_ENVELOPE[..3]);
    assert!(head[4].ends_with("@example.test") && head[4].starts_with("R notice-"));
    assert!(head[7].starts_with("N \\x09id ") && head[7].ends_with("; DATE"));
    assert_eq!(rest[0], "N Date: DATE");
    assert_eq!(rest[1], "N From: Mail Delivery System <MAILER-DAEMON@mx.example.test>");
    assert!(rest[2].starts_with("N To: Postmaster <notice-"));
    assert_eq!(&rest[3..], NOTICE);
}

/// The begin of a notice, but for the time.
const NOTICE_ENVELOPE: [&str; 3] =
    ["A log_message_origin=local", "A trace_flags=0", "S double-bounce@mx.example.test"];

/// The notice of `notices_protocol.smtp`, from its subject on.
const NOTICE: &[&str] = &[
    "N Subject: Postfix SMTP server: errors from good.client.test[192.0.2.10]",
    "N ",
    "N Transcript of session follows.",
    "N ",
    "N  Out: 220 mx.example.test ESMTP Postfix",
    "N  In:  EHLO good.client.test",
    "N  Out: 250-mx.example.test",
    "N  Out: 250-PIPELINING",
    "N  Out: 250-SIZE 10240000",
    "N  Out: 250-VRFY",
    "N  Out: 250-ETRN",
    "N  Out: 250-ENHANCEDSTATUSCODES",
    "N  Out: 250-8BITMIME",
    "N  Out: 250-DSN",
    "N  Out: 250-SMTPUTF8",
    "N  Out: 250 CHUNKING",
    "N  In:  FOO",
    "N  Out: 500 5.5.2 Error: command not recognized",
    "N  In:  RCPT TO:<x>",
    "N  Out: 503 5.5.1 Error: need MAIL command",
    "N  In:  QUIT",
    "N  Out: 221 2.0.0 Bye",
    "N ",
    "N ",
    "N For other details, see the local mail logfile",
    "X ",
    "E ",
];

/// What cleanup(8) does, and what the client hears at the end of its data.
const ANSWERS: &[(Cleanup, &[&str])] = &[
    (Cleanup::Works, &["S: 250 2.0.0 Ok: queued as QUEUE-ID"]),
    (Cleanup::Says(1, ""), &["S: 451 4.3.0 Error: internal error 1"]),
    (Cleanup::Says(2, ""), &["S: 451 4.3.0 Error: queue file write error"]),
    (Cleanup::Says(3, ""), &["S: 451 4.3.0 Error: internal error 3"]),
    (Cleanup::Says(4, ""), &["S: 552 5.3.4 Error: message file too big"]),
    (Cleanup::Says(8, ""), &["S: 550 5.7.1 Error: message content rejected"]),
    (Cleanup::Says(8, "5.7.99 not\x07this"), &["S: 550 5.7.99 not this"]),
    (Cleanup::Says(8, "550-5.7.1 a\r\n550 5.7.1 b"), &["S: 550-5.7.1 a", "S: 550 5.7.1 b"]),
    (Cleanup::Says(16, ""), &["S: 554 5.4.0 Error: too many hops"]),
    (Cleanup::Says(64, ""), &["S: 451 4.3.0 Error: internal error 64"]),
    (Cleanup::Says(256, ""), &["S: 451 4.7.1 Error: service unavailable"]),
    (Cleanup::Says(256, "4.7.1 later"), &["S: 451 4.7.1 later"]),
    (Cleanup::Says(0, "never mind"), &["S: 250 2.0.0 Ok: queued as QUEUE-ID"]),
    (Cleanup::Babbles, &["S: 451 4.3.0 Error: queue file write error"]),
    (Cleanup::Leaves, &["S: 451 4.3.0 Error: queue file write error"]),
];

#[test]
fn the_client_hears_250_only_when_cleanup_said_so() {
    let text = "S: 220 mx.example.test ESMTP Postfix\nC: HELO x\nS: 250 mx.example.test\n\
                C: MAIL FROM:<a@sender.test>\nS: 250 2.1.0 Ok\n\
                C: RCPT TO:<user@example.test>\nS: 250 2.1.5 Ok\n\
                C: DATA\nS: 354 End data with <CR><LF>.<CR><LF>\nC: body\nC: .\n";
    for (at, (manner, reply)) in ANSWERS.iter().enumerate() {
        let text = format!("{text}{}\nC: NOOP\nS: 250 2.0.0 Ok\n", reply.join("\n"));
        let transcript = Transcript::parse(&format!("{manner:?}"), &text).unwrap();
        let run = stage().play_with(*manner, &transcript, FIRST_PORT - 2 - at).unwrap();
        assert_eq!(run.judge(&transcript), None);
    }
}

/// Whether a transcript is about the process, its options, its end, its chroot, or about several.
fn needs_master(transcript: &Transcript) -> bool {
    let waits = |step: &Step| matches!(step, Step::WaitForLog(_) | Step::Keep);
    !transcript.master_cf.is_empty()
        || transcript.sessions.iter().any(|session| session.user.is_some())
        || transcript.sessions.iter().any(|session| session.steps.iter().any(waits))
}

/// Whether the client begins with the header of a proxy.
fn is_proxied(transcript: &Transcript) -> bool {
    transcript.main_cf.iter().any(|(name, _)| name == "smtpd_upstream_proxy_protocol")
}

/// Whether it says what the client sees: one that is new has a bare `S:` there.
fn is_recorded(transcript: &Transcript) -> bool {
    !transcript.source.iter().any(|line| line == "S:")
}

/// What stands in `elsewhere.txt`: transcript and reason.
fn elsewhere() -> HashMap<String, String> {
    include_str!("elsewhere.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (name, reason) = line.split_once(": ").expect("NAME: REASON");
            (name.to_owned(), reason.to_owned())
        })
        .collect()
}

/// A queue directory with its services; the working directory of this process.
struct Stage {
    services: Services,
    directory: PathBuf,
    /// The certificates.
    tls: PathBuf,
    /// What the words between `@` stand for.
    words: Vec<(String, String)>,
    mask: Mask,
}

/// The stage of this process, which has only one working directory.
fn stage() -> &'static Stage {
    static STAGE: LazyLock<Stage> = LazyLock::new(|| Stage::new().expect("a stage"));
    &STAGE
}

/// What fails for lack of files or sockets.
type Outcome<T> = Result<T, Box<dyn Error>>;

impl Stage {
    fn new() -> Outcome<Self> {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("session");
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::create_dir_all(&directory)?;
        std::env::set_current_dir(&directory)?;
        let services = Services::new()?;
        services.anvil()?;
        services.flush()?;
        services.tlsmgr()?;
        services.proxymap()?;
        let tls = directory.join("tls");
        let mut words = certificates::make(&tls)?;
        words.push(("@tls@".to_owned(), tls.display().to_string()));
        Ok(Self { services, directory, tls, words, mask: Mask::new()? })
    }

    /// Plays all sessions of a transcript against a server of their own.
    fn play(&self, transcript: &Transcript, port: usize) -> Outcome<Run> {
        self.play_with(Cleanup::Works, transcript, port)
    }

    /// The same, with another cleanup(8).
    fn play_with(&self, manner: Cleanup, transcript: &Transcript, port: usize) -> Outcome<Run> {
        let files = self.files(transcript)?;
        let service = port.to_string();
        let (cleanup, rewrite) = (format!("cleanup-{port}"), format!("rewrite-{port}"));
        let config = self.main_cf(transcript, &files, &service);
        let config =
            format!("{config}cleanup_service_name = {cleanup}\nrewrite_service_name = {rewrite}\n");
        self.services.cleanup(&cleanup, manner)?;
        if let Ok(config) = Config::of_text(&config) {
            self.services.rewrite(&rewrite, &config)?;
        }
        let (clients, waiting) = mpsc::channel();
        let server = thread::spawn(move || serve(&config, &service, &waiting));
        let mut run = Run::default();
        let mut player = Player::new(&self.tls);
        for session in &transcript.sessions {
            let (ours, theirs) = UnixStream::pair()?;
            let (tell, gone) = mpsc::channel();
            let connection = if is_proxied(transcript) {
                Connection::of_socket(theirs.into())
            } else {
                connection(theirs.into(), session.client)?
            };
            clients.send((connection, tell))?;
            player.play(ours, session, &mut run.seen);
            let _ = gone.recv_timeout(Duration::from_secs(20));
        }
        drop(clients);
        run.log = server.join().unwrap_or_else(|_| vec!["the session panicked".to_owned()]);
        run.messages = self.services.messages(&cleanup);
        Ok(run.masked(&self.mask, &self.masked(&files, port)))
    }

    fn files(&self, transcript: &Transcript) -> Outcome<PathBuf> {
        let directory = self.directory.join("files").join(&transcript.name);
        fs::create_dir_all(&directory)?;
        for (name, content) in &transcript.files {
            fs::write(directory.join(name), self.fill(content, &directory))?;
        }
        Ok(directory)
    }

    fn main_cf(&self, transcript: &Transcript, files: &Path, port: &str) -> String {
        let mut text = format!("{MAIN_CF}inet_interfaces = {OWN_ADDRESSES}\n");
        text.push_str(&format!("queue_directory = {}\n", self.directory.display()));
        for (name, value) in &transcript.main_cf {
            let value = self.fill(value, files).replace(transcript::PORT, port);
            text.push_str(&format!("{name} = {value}\n"));
        }
        text
    }

    /// Replaces the words between `@` in a transcript's settings.
    fn fill(&self, text: &str, files: &Path) -> String {
        let mut text = text.replace("@files@", &files.display().to_string());
        for (word, value) in &self.words {
            text = text.replace(word, value);
        }
        text
    }

    /// The other way round, for what is seen.
    fn masked(&self, files: &Path, port: usize) -> Vec<(String, String)> {
        let mut words = vec![
            (files.display().to_string(), "FILES".to_owned()),
            (self.tls.display().to_string(), "TLS".to_owned()),
            (port.to_string(), "PORT".to_owned()),
        ];
        let digests = self.words.iter().filter(|(word, _)| word.contains('.'));
        words.extend(digests.map(|(word, digest)| (digest.clone(), word.clone())));
        words
    }
}

/// A client that waits, and whom to tell that it was served.
type Waiting = (Connection, mpsc::Sender<()>);

/// Serves the clients of one transcript, one after the other; gives what was logged.
fn serve(config: &str, service: &str, waiting: &mpsc::Receiver<Waiting>) -> Vec<String> {
    let ((), records) = log::capture(|| {
        let opened = Config::of_text(config).and_then(|mut config| {
            config.service_name = service.as_bytes().to_vec();
            let config = Rc::new(config);
            let smtpd = Smtpd::pre_jail_with(&config, Box::new(ZoneNames))?;
            Ok((config, smtpd))
        });
        for (connection, tell) in waiting {
            let served = opened.as_ref().map_err(Clone::clone).and_then(|(config, smtpd)| {
                let (client, origin) = peer::identify_with(&ZoneNames, config, &connection)?;
                // What looks like postscreen(8) is but our way to tell an address.
                let origin = if origin == Origin::Postscreen { Origin::Direct } else { origin };
                smtpd.serve_known(connection.fd, client, origin)
            });
            if let Err(fatal) = served {
                log::write(log::Severity::Fatal, &fatal.0);
            }
            let _ = tell.send(());
        }
    });
    records
        .iter()
        .map(|(severity, text)| transcript::show(&fill!("{}{}", severity.prefix(), text)))
        .collect()
}

/// A client at this address, and where it connects to: as postscreen(8) would tell.
fn connection(fd: OwnedFd, address: IpAddr) -> Outcome<Connection> {
    let server = match address {
        IpAddr::V4(address) if address.is_loopback() => "127.0.0.1",
        IpAddr::V4(_) => "192.0.2.1",
        IpAddr::V6(_) => "2001:db8::1",
    };
    let mut bytes = vec![];
    let client = address.to_string();
    let list = [
        Attr::text("client_address", &client),
        Attr::text("client_port", "50000"),
        Attr::text("server_address", server),
        Attr::text("server_port", "25"),
    ];
    encode(Form::Null, &list, &mut bytes);
    let mut decoder = Decoder::new(Form::Null, Limits::SERVICE);
    decoder.feed(&bytes);
    Ok(Connection { handed_over: decoder.next_list()?, ..Connection::of_socket(fd) })
}

fn is_notice(message: &Records) -> bool {
    message.contains(&(b'N', b"Transcript of session follows.".to_vec()))
}

/// What came of a transcript.
#[derive(Default)]
struct Run {
    seen: Vec<Seen>,
    messages: Vec<Records>,
    log: Vec<String>,
}

impl Run {
    fn masked(mut self, mask: &Mask, words: &[(String, String)]) -> Self {
        let lines = || self.seen.iter().flat_map(|seen| &seen.got).chain(&self.log);
        let mut ids: Vec<String> = vec![];
        for line in lines() {
            let id = mask.queue_id(line).map(str::to_owned);
            ids.extend(id.filter(|id| id != "NOQUEUE" && !ids.contains(id)));
        }
        for line in self.seen.iter_mut().flat_map(|seen| &mut seen.got).chain(&mut self.log) {
            *line = mask.line(line, &ids, words);
        }
        self
    }

    /// What is not as the transcript wants it.
    fn judge(&self, transcript: &Transcript) -> Option<String> {
        let mut wrong = vec![];
        for Seen { wanted, got } in &self.seen {
            wrong.extend(difference(wanted, got));
        }
        if transcript.wants_notices() && !self.messages.iter().any(is_notice) {
            wrong.push("no notice was sent".to_owned());
        }
        if let Some(line) = first_missing(&transcript.log, &self.log) {
            wrong.push(format!("no log line: {line}"));
            wrong.extend(self.log.iter().map(|line| format!("    log: {line}")));
        }
        (!wrong.is_empty()).then(|| format!("{}\n  {}", transcript.name, wrong.join("\n  ")))
    }
}
