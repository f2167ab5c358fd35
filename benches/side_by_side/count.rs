//! Instructions and system calls, as valgrind and strace count them: these repeat where time
//! doesn't.
//!
//! Each smtpd runs within the tool. What one unit takes is the difference between many and one,
//! so that the start of the process is not in it.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use openssl::ssl::SslVersion;

use crate::client::{Client, Handshake, content};
use crate::instance::{Instance, installed};
use crate::report::today;
use crate::{Options, Outcome, record, say};

/// What stands before an smtpd's command line; `$f` is the file for the result.
const VALGRIND: &str = "valgrind --tool=callgrind --callgrind-out-file=$f --log-file=/dev/null";
const STRACE: &str = "strace -D -f -qq -c -o $f";

/// So many sessions with a client each.
type Sessions = fn(&Instance, port: u16, units: u32, sessions: u32) -> Outcome<()>;

/// A thing that is counted: (service, sessions, units in each) with many, and what is taken off.
struct Row {
    name: &'static str,
    many: (&'static str, u32, u32),
    one: Option<(&'static str, u32, u32)>,
    work: Sessions,
}

const fn row(
    name: &'static str,
    many: (&'static str, u32, u32),
    one: Option<(&'static str, u32, u32)>,
    work: Sessions,
) -> Row {
    Row { name, many, one, work }
}

/// THE TABLE of what is counted.
#[rustfmt::skip]
static ROWS: &[Row] = &[
    row("cold start", ("one-plain", 1, 0), None, empty),
    row("cold start, TLS configured", ("one-tls", 1, 0), None, empty),
    row("cold start, first TLS 1.3 session", ("one-tls", 1, 1), None, tls13),
    row("cold start, big tables", ("one-tables", 1, 0), None, empty),
    row("session without mail", ("six-plain", 6, 0), Some(("one-plain", 1, 0)), empty),
    row("1 KB message, a connection each", ("six-plain", 6, 1), Some(("one-plain", 1, 1)), messages),
    row("1 KB message, same connection", ("one-plain", 1, 11), Some(("one-plain", 1, 1)), messages),
    row("1 KB message, pipelined", ("one-plain", 1, 11), Some(("one-plain", 1, 1)), pipelined),
    row("1 MB with DATA", ("one-plain", 1, 6), Some(("one-plain", 1, 1)), data),
    row("1 MB with BDAT", ("one-plain", 1, 6), Some(("one-plain", 1, 1)), bdat),
    row("1 MB with DATA over TLS 1.3", ("one-tls", 1, 6), Some(("one-tls", 1, 1)), data_tls),
    row("TLS 1.3 handshake, P-256", ("six-ec", 6, 1), Some(("one-ec", 1, 1)), tls13),
    row("TLS 1.3 handshake, RSA", ("six-rsa", 6, 1), Some(("one-tls", 1, 1)), tls13),
    row("TLS 1.3 handshake, P-256, listed client certificate", ("six-listed", 6, 1), Some(("one-listed", 1, 1)), listed),
    row("TLS 1.3 ticket resumed", ("six-rsa", 6, 1), Some(("one-tls", 1, 1)), resumed13),
    row("TLS 1.2 ticket resumed", ("six-rsa", 6, 1), Some(("one-tls", 1, 1)), resumed12),
    row("a recipient, no tables", ("one-plain", 1, 51), Some(("one-plain", 1, 1)), recipients),
    row("a recipient, big tables", ("one-tables", 1, 51), Some(("one-tables", 1, 1)), recipients),
];

/// Counts, prints, and writes down where that is asked for.
pub(crate) fn run(options: &Options) -> Outcome<bool> {
    let variants = options.variants()?;
    let index = options.index.as_deref().unwrap_or("texthash");
    let rows: Vec<&Row> = ROWS.iter().filter(|row| options.wants(row.name)).collect();
    let mut counts = Vec::new();
    for tool in [VALGRIND, STRACE] {
        let instance = Instance::start(&variants, index, Some(tool))?;
        for row in &rows {
            for variant in 0..variants.len() {
                counts.push(count(&instance, variant, row)?);
            }
        }
    }
    let (instructions, calls) = counts.split_at(counts.len() / 2);
    let mut text = String::new();
    let head: String = variants.iter().skip(1).map(|v| format!(" {} | ratio |", v.name)).collect();
    let dashes = " --- | --- |".repeat(variants.len() - 1);
    for (what, counts) in [("instructions", instructions), ("system calls", calls)] {
        write!(text, "| {what} | theirs |{head}\n| --- | --- |{dashes}\n")?;
        for (row, counts) in rows.iter().zip(counts.chunks(variants.len())) {
            text += &line(row.name, counts);
        }
        text += "\n";
    }
    say(&text);
    if options.record {
        let release = installed("mail_version")?;
        let text = format!("{}, beside Postfix {release}.\n\n{text}", today());
        record::section("count", &text)?;
    }
    Ok(true)
}

fn line(name: &str, counts: &[f64]) -> String {
    let first = counts.first().copied().unwrap_or(f64::NAN);
    let mut text = format!("| {name} | {} |", short(first));
    for count in counts.iter().skip(1) {
        let _ = write!(text, " {} | {:.2} |", short(*count), count / first);
    }
    text + "\n"
}

fn short(count: f64) -> String {
    match count {
        count if count >= 1e6 => format!("{:.2} M", count / 1e6),
        count if count >= 1e4 => format!("{:.0} k", count / 1e3),
        count => format!("{count:.1}"),
    }
}

/// The count for one unit.
fn count(instance: &Instance, variant: usize, row: &Row) -> Outcome<f64> {
    let many = total(instance, variant, row.many, row.work)?;
    let Some(one) = row.one else { return Ok(many) };
    let units = (row.many.1 * row.many.2.max(1)) - (one.1 * one.2.max(1));
    Ok((many - total(instance, variant, one, row.work)?) / f64::from(units))
}

/// What a process counts from its start to its end.
fn total(
    instance: &Instance,
    variant: usize,
    (service, sessions, units): (&str, u32, u32),
    work: Sessions,
) -> Outcome<f64> {
    let name = &instance.variants.get(variant).ok_or("no such variant")?.name;
    let before = files(instance, name)?;
    work(instance, instance.port(variant, service)?, units, sessions)?;
    instance.sweep()?;
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        let mut new = files(instance, name)?;
        new.retain(|path| !before.contains(path));
        if let Some(count) = new.iter().find_map(|path| counted(&fs::read_to_string(path).ok()?)) {
            return Ok(count);
        }
        thread::sleep(Duration::from_millis(50));
    }
    Err(format!("no count for {name}, {service}").into())
}

fn files(instance: &Instance, name: &str) -> Outcome<HashSet<PathBuf>> {
    let mut files = HashSet::new();
    for entry in fs::read_dir(instance.path("out"))? {
        let path = entry?.path();
        if path.file_stem().is_some_and(|stem| stem == name) {
            files.insert(path);
        }
    }
    Ok(files)
}

/// The sum in callgrind's file or in strace's table.
fn counted(text: &str) -> Option<f64> {
    let callgrind = text.lines().find_map(|line| line.strip_prefix("summary: "));
    let strace = || {
        let total = text.lines().find(|line| line.ends_with(" total"))?;
        // time, seconds, microseconds a call, calls, errors
        total.split_whitespace().nth(3)
    };
    callgrind.or_else(strace)?.trim().parse().ok()
}

/// Between sessions, so that the process is free again and takes the next one too.
const BREAK: Duration = Duration::from_millis(400);

fn each(sessions: u32, session: impl Fn() -> Outcome<()>) -> Outcome<()> {
    (0..sessions).try_for_each(|_| {
        session()?;
        thread::sleep(BREAK);
        Ok(())
    })
}

fn empty(_: &Instance, port: u16, _: u32, sessions: u32) -> Outcome<()> {
    each(sessions, || Client::hello(port)?.quit())
}

fn messages(_: &Instance, port: u16, units: u32, sessions: u32) -> Outcome<()> {
    let text = content(1024, true);
    each(sessions, || {
        let mut client = Client::hello(port)?;
        (0..units).try_for_each(|_| client.message(&text))?;
        client.quit()
    })
}

fn pipelined(_: &Instance, port: u16, units: u32, sessions: u32) -> Outcome<()> {
    let text = content(1024, true);
    each(sessions, || {
        let mut client = Client::hello(port)?;
        client.pipeline(units, &text)?;
        client.quit()
    })
}

/// `units` is the size here, MB.
fn data(_: &Instance, port: u16, units: u32, sessions: u32) -> Outcome<()> {
    let text = content(usize::try_from(units)? * 1_000_000, false);
    each(sessions, || {
        let mut client = Client::hello(port)?;
        client.message(&text)?;
        client.quit()
    })
}

fn bdat(_: &Instance, port: u16, units: u32, sessions: u32) -> Outcome<()> {
    let text = content(usize::try_from(units)? * 1_000_000, false);
    each(sessions, || {
        let mut client = Client::hello(port)?;
        client.chunk(&text)?;
        client.quit()
    })
}

fn data_tls(_: &Instance, port: u16, units: u32, sessions: u32) -> Outcome<()> {
    let text = content(usize::try_from(units)? * 1_000_000, false);
    let handshake = Handshake::new(SslVersion::TLS1_3, false)?;
    each(sessions, || {
        let mut client = Client::hello(port)?;
        client.starttls(&handshake)?;
        client.ehlo()?;
        client.message(&text)?;
        client.quit()
    })
}

fn over_tls(
    port: u16,
    sessions: u32,
    handshake: &Handshake,
    then: impl Fn(&mut Client) -> Outcome<()>,
) -> Outcome<()> {
    each(sessions, || {
        let mut client = Client::hello(port)?;
        client.starttls(handshake)?;
        client.ehlo()?;
        handshake.keep(&client);
        then(&mut client)?;
        client.quit()
    })
}

fn tls13(_: &Instance, port: u16, _: u32, sessions: u32) -> Outcome<()> {
    over_tls(port, sessions, &Handshake::new(SslVersion::TLS1_3, false)?, |_| Ok(()))
}

fn resumed13(_: &Instance, port: u16, _: u32, sessions: u32) -> Outcome<()> {
    over_tls(port, sessions, &Handshake::new(SslVersion::TLS1_3, true)?, |_| Ok(()))
}

fn resumed12(_: &Instance, port: u16, _: u32, sessions: u32) -> Outcome<()> {
    over_tls(port, sessions, &Handshake::new(SslVersion::TLS1_2, true)?, |_| Ok(()))
}

/// With a recipient that only a listed certificate may have.
fn listed(instance: &Instance, port: u16, _: u32, sessions: u32) -> Outcome<()> {
    let name = instance.path("tls/listed");
    let handshake = Handshake::with_certificate(SslVersion::TLS1_3, &name)?;
    over_tls(port, sessions, &handshake, |client| {
        client.say("MAIL FROM:<user@example.com>", 250)?;
        client.say("RCPT TO:<other@far.example>", 250)
    })
}

fn recipients(_: &Instance, port: u16, units: u32, sessions: u32) -> Outcome<()> {
    each(sessions, || {
        let mut client = Client::hello(port)?;
        client.recipients(units)?;
        client.quit()
    })
}
