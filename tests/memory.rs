//! What a client can make smtpd remember is bounded, however much it says: the memory of the process
//! after a flood, against that before it. (The original's grows with each chunk, up to 3.11.)
//!
//! It needs what the tests beside the original need.

mod support;

use std::error::Error;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use support::inside::{self, say};
use support::transcript::Transcript;
use support::world::{self, Side, World};

/// Limits that end no flood, and a postmaster who wants to hear of everything.
const SETTINGS: &str = "\
main.cf: smtpd_hard_error_limit = 1000000
main.cf: smtpd_soft_error_limit = 1000000
main.cf: smtpd_junk_command_limit = 1000000
main.cf: notify_classes = policy, protocol, resource, software
main.cf: error_notice_recipient = user@example.test
S:
";

/// How much more a process may have at the end of a flood, in KiB.
const GROWTH: u64 = 512;
/// Longest wait for a reply.
const PATIENCE: Duration = Duration::from_secs(60);

/// A flood.
struct Flood {
    name: &'static str,
    /// Commands before it, each with one reply.
    before: &'static [&'static str],
    /// What is said again and again.
    unit: &'static str,
    times: usize,
    /// Ends what was begun; then there is one reply to all of it, else one to each.
    end: Option<&'static str>,
}

const TRANSACTION: &[&str] =
    &["HELO x", "MAIL FROM:<a@sender.test>", "RCPT TO:<user@example.test>"];
const DATA: &[&str] =
    &["HELO x", "MAIL FROM:<a@sender.test>", "RCPT TO:<user@example.test>", "DATA"];

static FLOODS: &[Flood] = &[
    Flood {
        name: "sixty thousand chunks of one byte",
        before: TRANSACTION,
        unit: "BDAT 1\r\nx",
        times: 60_000,
        end: None,
    },
    Flood { name: "commands", before: &["HELO x"], unit: "NOOP\r\n", times: 60_000, end: None },
    Flood { name: "errors", before: &["HELO x"], unit: "FOO\r\n", times: 5_000, end: None },
    Flood {
        name: "recipients that are refused",
        before: &["HELO x", "MAIL FROM:<a@sender.test>"],
        unit: "RCPT TO:<nobody@example.test>\r\n",
        times: 3_000,
        end: None,
    },
    Flood {
        name: "transactions that come to nothing",
        before: &["HELO x"],
        unit: "MAIL FROM:<a@sender.test> ENVID=x AUTH=y\r\n",
        times: 3_000,
        end: None,
    },
    Flood {
        name: "a line of nine megabytes",
        before: DATA,
        unit: "xxxxxxxxx",
        times: 1_000_000,
        end: Some("\r\n.\r\n"),
    },
    Flood {
        name: "a chunk of one line of nine megabytes",
        before: TRANSACTION,
        unit: "xxxxxxxxx",
        times: 1_000_000,
        end: Some(""),
    },
    Flood {
        name: "a command of sixty megabytes",
        before: &["HELO x"],
        unit: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        times: 2_000_000,
        end: Some("\r\n"),
    },
];

fn main() -> ExitCode {
    let result = if inside::is_inside() { flood_all() } else { inside::go("memory") };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("memory: {error}\n0 passed, 1 failed"));
            ExitCode::FAILURE
        }
    }
}

fn flood_all() -> Result<bool, Box<dyn Error>> {
    world::enter().map_err(|error| error.to_string())?;
    let listeners = FLOODS.iter().map(|flood| Transcript::parse(flood.name, SETTINGS));
    let listeners: Vec<_> = listeners.collect::<Result<_, _>>().map_err(|bad| bad.to_string())?;
    let binaries = inside::binaries(false)?;
    let world = World::start(&listeners, &binaries).map_err(|error| error.to_string())?;
    let mut failed = 0;
    for (at, flood) in FLOODS.iter().enumerate() {
        let grown = flood.run(&world, &listeners[at], at)?;
        if grown > GROWTH {
            say(&format!("FAILED  {}: {grown} KiB more", flood.name));
            failed += 1;
        }
    }
    say(&format!("{} passed, {failed} failed", FLOODS.len() - failed));
    Ok(failed == 0)
}

impl Flood {
    /// How much the process has grown at most, in KiB.
    fn run(&self, world: &World, listener: &Transcript, at: usize) -> Result<u64, Box<dyn Error>> {
        let session = listener.sessions.first().ok_or("no session")?;
        let (_, server) = world.addresses(at, Side::Ours, session);
        let mut stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut replies = BufReader::new(stream.try_clone()?);
        reply(&mut replies)?;
        for command in self.before {
            write!(stream, "{command}\r\n")?;
            reply(&mut replies)?;
        }
        if self.end == Some("") {
            write!(stream, "BDAT {} LAST\r\n", self.unit.len() * self.times)?;
        }
        // What is new with the first unit is no growth.
        stream.write_all(self.unit.as_bytes())?;
        if self.end.is_none() {
            reply(&mut replies)?;
        }
        let pid = process(world, at)?;
        let before = memory(pid, "VmRSS:")?;
        std::thread::scope(|scope| -> Result<(), Box<dyn Error>> {
            scope.spawn(move || {
                let many = self.unit.repeat(1000);
                for times in parts(self.times - 1, 1000) {
                    let _ = stream.write_all(&many.as_bytes()[..self.unit.len() * times]);
                }
                let _ = stream.write_all(self.end.unwrap_or_default().as_bytes());
            });
            let wanted = if self.end.is_none() { self.times - 1 } else { 1 };
            (0..wanted).try_for_each(|_| reply(&mut replies))
        })?;
        Ok(memory(pid, "VmHWM:")?.saturating_sub(before))
    }
}

/// `all` in parts of at most `most`.
fn parts(all: usize, most: usize) -> impl Iterator<Item = usize> {
    (0..all).step_by(most).map(move |done| most.min(all - done))
}

fn reply(replies: &mut BufReader<TcpStream>) -> Result<(), Box<dyn Error>> {
    let mut line = String::new();
    if replies.read_line(&mut line)? == 0 || line.starts_with("421") {
        return Err(format!("the server ends: {line}").into());
    }
    Ok(())
}

/// The process that serves: it names itself in the log.
fn process(world: &World, at: usize) -> Result<u32, Box<dyn Error>> {
    world.wait_for_line(at, Side::Ours, "connect from");
    let log = world.usual_log(at, Side::Ours);
    let line = log.first().ok_or("no log")?;
    let pid = line.split(['[', ']']).nth(1).ok_or("no process id")?;
    Ok(pid.parse()?)
}

/// A line of a process's status, in KiB.
fn memory(pid: u32, name: &str) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
