//! THE TABLE of what is measured, and what a client does for it.

use std::thread;
use std::time::{Duration, Instant};

use openssl::ssl::SslVersion;

use crate::Outcome;
use crate::client::{Client, Handshake, content};
use crate::cost::{own_memory, processes};
use crate::instance::Instance;

/// Where work is done.
pub(crate) struct Place<'a> {
    pub(crate) instance: &'a Instance,
    pub(crate) variant: usize,
    pub(crate) port: u16,
    /// How often.
    pub(crate) units: u32,
}

/// How a row is measured.
pub(crate) enum Measure {
    /// CPU time of all processes of an smtpd, for a unit of work.
    Cpu { unit: &'static str, units: u32, work: fn(&Place<'_>) -> Outcome<()> },
    /// Memory of a process's own, in a session.
    Memory { begin: fn(&Place<'_>) -> Outcome<Client> },
    /// Time until the reply to EHLO, milliseconds.
    Latency { work: fn(&Place<'_>) -> Outcome<f64> },
}

/// One line of the result.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) service: &'static str,
    pub(crate) measure: Measure,
    /// Ours to theirs: what must not be exceeded, and what we aim at.
    pub(crate) goal: f64,
    pub(crate) budget: f64,
}

const fn cpu(
    name: &'static str,
    service: &'static str,
    (unit, units): (&'static str, u32),
    work: fn(&Place<'_>) -> Outcome<()>,
    (goal, budget): (f64, f64),
) -> Row {
    Row { name, service, measure: Measure::Cpu { unit, units, work }, goal, budget }
}

const fn memory(
    name: &'static str,
    service: &'static str,
    begin: fn(&Place<'_>) -> Outcome<Client>,
    (goal, budget): (f64, f64),
) -> Row {
    Row { name, service, measure: Measure::Memory { begin }, goal, budget }
}

/// The row whose name another module needs.
pub(crate) const POLICY_ROW: &str = "a recipient, big tables and a policy server";

#[rustfmt::skip]
pub(crate) static ROWS: &[Row] = &[
    cpu("1 KB message, a connection each", "plain", ("message", 400), connection_each, (0.7, 0.5)),
    cpu("1 KB message, 100 a connection", "plain", ("message", 400), many_a_connection, (0.7, 0.6)),
    cpu("1 KB message, 100 a connection, pipelined", "plain", ("message", 600), pipelined, (0.7, 0.5)),
    cpu("50 MB with DATA", "plain", ("50 MB", 1), large_data, (0.35, 0.3)),
    cpu("50 MB with BDAT", "plain", ("50 MB", 1), large_bdat, (0.35, 0.3)),
    cpu("50 MB with DATA over TLS 1.3", "rsa", ("50 MB", 1), large_over_tls, (0.7, 0.4)),
    cpu("session without mail", "plain", ("session", 800), sessions, (0.7, 0.5)),
    cpu("TLS 1.3 handshake, P-256", "ec", ("session", 200), tls13, (0.7, 0.6)),
    cpu("TLS 1.3 handshake, RSA", "rsa", ("session", 150), tls13, (0.7, 0.75)),
    cpu("TLS 1.3 handshake, P-256, listed client certificate", "listed", ("session", 120), listed, (0.7, 0.6)),
    cpu("TLS 1.3 ticket resumed", "rsa", ("session", 200), resumed13, (0.7, 0.6)),
    cpu("TLS 1.2 ticket resumed", "rsa", ("session", 250), resumed12, (0.7, 0.5)),
    Row {
        name: "reply to EHLO after a TLS 1.3 handshake",
        service: "rsa",
        measure: Measure::Latency { work: wait_for_ehlo },
        goal: 0.7,
        budget: 0.7,
    },
    cpu("cold start", "one-plain", ("process", 200), cold, (0.35, 0.3)),
    cpu("cold start, TLS configured", "one-tls", ("process", 200), cold, (0.25, 0.2)),
    cpu("cold start, TLS configured, in a jail", "jail-tls", ("process", 200), cold, (0.4, 0.35)),
    cpu("cold start, first TLS 1.3 session", "one-tls", ("process", 40), cold_tls, (0.7, 0.7)),
    cpu("cold start, big tables", "one-tables", ("process", 30), cold, (0.25, 0.2)),
    memory("memory of a session", "memory-plain", begin_plain, (0.55, 0.5)),
    memory("memory of a session, TLS configured", "memory-tls", begin_plain, (0.25, 0.2)),
    memory("memory of a TLS session", "memory-tls", begin_tls, (0.7, 0.6)),
    memory("memory of a session, big tables", "memory-tables", begin_plain, (0.25, 0.2)),
    cpu("a recipient, no tables", "plain", ("recipient", 3000), recipients, (0.7, 0.5)),
    cpu("a recipient, big tables", "tables", ("recipient", 2000), recipients, (0.7, 0.35)),
    cpu(POLICY_ROW, "policy", ("recipient", 2000), recipients, (0.7, 0.4)),
];

/// How long a service may need until it is idle again.
const SETTLING: Duration = Duration::from_millis(200);
/// Connected clients, for memory.
pub(crate) const CONNECTED: u32 = 10;

/// Two clients at a time, each with half of the units.
fn two(place: &Place<'_>, work: impl Fn(u32) -> Outcome<()> + Sync) -> Outcome<()> {
    let half = place.units.div_ceil(2);
    thread::scope(|scope| {
        let other = scope.spawn(|| work(half));
        let mine = work(place.units - half);
        other.join().map_err(|_| "a client panicked")?.and(mine)
    })
}

fn connection_each(place: &Place<'_>) -> Outcome<()> {
    let text = content(1024, true);
    two(place, |units| {
        (0..units).try_for_each(|_| {
            let mut client = Client::hello(place.port)?;
            client.message(&text)?;
            client.quit()
        })
    })
}

fn many_a_connection(place: &Place<'_>) -> Outcome<()> {
    let text = content(1024, true);
    two(place, |units| {
        for first in (0..units).step_by(100) {
            let mut client = Client::hello(place.port)?;
            (first..units.min(first + 100)).try_for_each(|_| client.message(&text))?;
            client.quit()?;
        }
        Ok(())
    })
}

fn pipelined(place: &Place<'_>) -> Outcome<()> {
    let text = content(1024, true);
    two(place, |units| {
        for first in (0..units).step_by(100) {
            let mut client = Client::hello(place.port)?;
            client.pipeline((units - first).min(100), &text)?;
            client.quit()?;
        }
        Ok(())
    })
}

/// Bytes of a large message.
const LARGE: usize = 50_000_000;

fn large_data(place: &Place<'_>) -> Outcome<()> {
    let text = content(LARGE, false);
    (0..place.units).try_for_each(|_| {
        let mut client = Client::hello(place.port)?;
        client.message(&text)?;
        client.quit()
    })
}

fn large_bdat(place: &Place<'_>) -> Outcome<()> {
    let text = content(LARGE, false);
    (0..place.units).try_for_each(|_| {
        let mut client = Client::hello(place.port)?;
        client.chunk(&text)?;
        client.quit()
    })
}

fn large_over_tls(place: &Place<'_>) -> Outcome<()> {
    let text = content(LARGE, false);
    let handshake = Handshake::new(SslVersion::TLS1_3, false)?;
    (0..place.units).try_for_each(|_| {
        let mut client = Client::hello(place.port)?;
        client.starttls(&handshake)?;
        client.ehlo()?;
        client.message(&text)?;
        client.quit()
    })
}

fn sessions(place: &Place<'_>) -> Outcome<()> {
    two(place, |units| (0..units).try_for_each(|_| Client::hello(place.port)?.quit()))
}

/// After a full handshake theirs stalls with clients that send at once, after a resumed one
/// the other clients stall.
fn over_tls(
    place: &Place<'_>,
    handshake: &Handshake,
    then: impl Fn(&mut Client) -> Outcome<()>,
) -> Outcome<()> {
    let mut client = Client::connect(place.port, handshake.resumes())?;
    client.greet()?;
    client.starttls(handshake)?;
    client.ehlo()?;
    handshake.keep(&client);
    then(&mut client)?;
    client.quit()
}

fn full(place: &Place<'_>, version: SslVersion) -> Outcome<()> {
    two(place, |units| {
        let handshake = Handshake::new(version, false)?;
        (0..units).try_for_each(|_| over_tls(place, &handshake, |_| Ok(())))
    })
}

fn tls13(place: &Place<'_>) -> Outcome<()> {
    full(place, SslVersion::TLS1_3)
}

fn resumed(place: &Place<'_>, version: SslVersion) -> Outcome<()> {
    two(place, |units| {
        let handshake = Handshake::new(version, true)?;
        (0..units).try_for_each(|_| over_tls(place, &handshake, |_| Ok(())))
    })
}

fn resumed13(place: &Place<'_>) -> Outcome<()> {
    resumed(place, SslVersion::TLS1_3)
}

fn resumed12(place: &Place<'_>) -> Outcome<()> {
    resumed(place, SslVersion::TLS1_2)
}

/// With a recipient that only a listed certificate may have.
fn listed(place: &Place<'_>) -> Outcome<()> {
    two(place, |units| {
        let name = place.instance.path("tls/listed");
        let handshake = Handshake::with_certificate(SslVersion::TLS1_3, &name)?;
        (0..units).try_for_each(|_| {
            over_tls(place, &handshake, |client| {
                client.say("MAIL FROM:<user@example.com>", 250)?;
                client.say("RCPT TO:<other@far.example>", 250)
            })
        })
    })
}

/// The middle of 15 waits of a client that sends at once.
fn wait_for_ehlo(place: &Place<'_>) -> Outcome<f64> {
    let handshake = Handshake::new(SslVersion::TLS1_3, false)?;
    let mut waits = Vec::new();
    for _ in 0..15 {
        let mut client = Client::hello(place.port)?;
        client.starttls(&handshake)?;
        let begin = Instant::now();
        client.ehlo()?;
        waits.push(begin.elapsed().as_secs_f64() * 1e3);
        client.quit()?;
    }
    Ok(median(&mut waits))
}

fn cold(place: &Place<'_>) -> Outcome<()> {
    (0..place.units).try_for_each(|_| Client::hello(place.port)?.quit())
}

fn cold_tls(place: &Place<'_>) -> Outcome<()> {
    let handshake = Handshake::new(SslVersion::TLS1_3, false)?;
    (0..place.units).try_for_each(|_| over_tls(place, &handshake, |_| Ok(())))
}

fn begin_plain(place: &Place<'_>) -> Outcome<Client> {
    Client::hello(place.port)
}

fn begin_tls(place: &Place<'_>) -> Outcome<Client> {
    let mut client = Client::hello(place.port)?;
    client.starttls(&Handshake::new(SslVersion::TLS1_3, false)?)?;
    client.ehlo()?;
    Ok(client)
}

/// A hundred at a time.
fn recipients(place: &Place<'_>) -> Outcome<()> {
    let mut client = Client::hello(place.port)?;
    for first in (0..place.units).step_by(100) {
        client.recipients((place.units - first).min(100))?;
    }
    client.quit()
}

/// Mean memory of its own, KiB, of processes that have a client.
pub(crate) fn measure_memory(
    place: &Place<'_>,
    begin: fn(&Place<'_>) -> Outcome<Client>,
) -> Outcome<f64> {
    let clients = (0..CONNECTED).map(|_| begin(place)).collect::<Outcome<Vec<_>>>()?;
    thread::sleep(SETTLING);
    let pids = processes(place.instance, place.variant, Some(place.port))?;
    let mut sum = 0;
    for pid in &pids {
        sum += own_memory(*pid)?;
    }
    clients.into_iter().try_for_each(Client::quit)?;
    Ok(sum as f64 / pids.len().max(1) as f64)
}

/// The one in the middle.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
