//! One session, played to both sides in step: each side gets the same bytes at the same time.
//!
//! Nobody knows beforehand how many replies there will be, so the next bytes go out when both
//! sides have said equally much and then nothing for a moment.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::handshake::Handshakes;
use super::player::{Got, Line, Player, Reading, dial, shorten};
use super::transcript::{Session, Step};
use super::world::{Side, World};

/// How long to wait for what may never come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// After equally many lines of both sides.
    pub(crate) quiet: Duration,
    /// When neither side has said anything.
    pub(crate) silence: Duration,
    /// When one side has said less.
    pub(crate) patience: Duration,
}

/// Ports of clients.
const PORTS: Range<u16> = 30_000..64_000;

/// For many sessions. What differs is played again.
pub(crate) const FAST: Pace = Pace {
    quiet: Duration::from_millis(25),
    silence: Duration::from_millis(150),
    patience: Duration::from_millis(1500),
};
/// For certainty.
pub(crate) const CAREFUL: Pace = Pace {
    quiet: Duration::from_millis(300),
    silence: Duration::from_millis(600),
    patience: Duration::from_secs(4),
};

/// What one side did with a session.
#[derive(Debug, Default, Clone)]
pub(crate) struct Half {
    /// `C: …` as sent, `S: …` as heard; not masked.
    pub(crate) dialogue: Vec<String>,
    /// Where the client is, by which the log knows the session.
    pub(crate) client: Option<SocketAddr>,
}

/// Plays a session to both sides of the listener pair `at`.
pub(crate) fn duel(world: &World, at: usize, session: &Session, pace: Pace) -> [Half; 2] {
    let mut tls = [Handshakes::default(), Handshakes::default()];
    let mut halves = [Half::default(), Half::default()];
    {
        let [first, second] = &mut tls;
        let mut players = [
            player(world, at, Side::Theirs, first, session, &mut halves[0]),
            player(world, at, Side::Ours, second, session, &mut halves[1]),
        ];
        for step in &session.steps {
            step_both(&mut players, step, pace, &mut halves);
        }
        hear(&mut players, Pace { silence: Duration::from_millis(1), ..pace }, &mut halves);
        players.iter_mut().for_each(Player::hang_up);
    }
    halves
}

fn player<'w>(
    world: &'w World,
    at: usize,
    side: Side,
    tls: &'w mut Handshakes,
    session: &Session,
    half: &mut Half,
) -> Player<'w> {
    let (mut from, to) = world.addresses(at, side, session);
    let line = match dial_from_new_port(&mut from, to) {
        Ok(stream) => {
            half.client = stream.local_addr().ok();
            Line::Plain(stream)
        }
        Err(error) => {
            half.dialogue.push(format!("S! no connection: {error}"));
            Line::Gone
        }
    };
    Player { world, at, side, reading: Reading::AsWritten, tls, line, input: Vec::new() }
}

/// No two sessions have the same port, or the log could not tell them apart.
fn dial_from_new_port(from: &mut SocketAddr, to: SocketAddr) -> nix::Result<TcpStream> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        from.set_port(PORTS.start + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS.len() as u16);
        match dial(*from, to) {
            Err(Errno::EADDRINUSE | Errno::EADDRNOTAVAIL) => (),
            other => return other,
        }
    }
}

fn step_both(players: &mut [Player<'_>; 2], step: &Step, pace: Pace, halves: &mut [Half; 2]) {
    if matches!(step, Step::Expect { .. }) {
        return hear(players, pace, halves);
    }
    for (player, half) in players.iter_mut().zip(halves) {
        match step {
            Step::Send(bytes) => {
                half.dialogue.push(format!("C: {}", shorten(bytes)));
                player.send(bytes);
            }
            Step::Tls(how) => {
                let said = half.dialogue.last();
                if said.is_none_or(|line| line.ends_with("Ready to start TLS")) {
                    half.dialogue.push(player.handshake(how));
                }
            }
            Step::Close => player.hang_up(),
            Step::Reset => player.reset(),
            Step::Shutdown => player.shut(),
            Step::Pause(time) => std::thread::sleep(*time),
            Step::Expect { .. } | Step::WaitForLog(_) | Step::Keep => (),
        }
    }
}

/// Hears both until they have said equally much.
fn hear(players: &mut [Player<'_>; 2], pace: Pace, halves: &mut [Half; 2]) {
    let mut counts = [0; 2];
    let mut last = Instant::now();
    loop {
        for (at, player) in players.iter_mut().enumerate() {
            while !matches!(player.line, Line::Gone) {
                match player.read_line(Duration::from_millis(4)) {
                    Got::Line(line) => halves[at].dialogue.push(line),
                    Got::End => player.give_up(&Got::End, &mut halves[at].dialogue),
                    Got::Nothing => break,
                }
                counts[at] += 1;
                last = Instant::now();
            }
        }
        // The greeting will come.
        let silence = if halves.iter().any(|half| half.dialogue.is_empty()) {
            pace.patience
        } else {
            pace.silence
        };
        let both_gone = players.iter().all(|player| matches!(player.line, Line::Gone));
        let limit = match counts {
            [0, 0] => silence,
            [theirs, ours] if theirs == ours => pace.quiet,
            _ => pace.patience,
        };
        if both_gone || last.elapsed() >= limit {
            return;
        }
    }
}

/// The sessions of a listener's log by client, as `smtpd_client_port_logging` shows it.
pub(crate) fn by_client(processes: Vec<Vec<String>>) -> HashMap<SocketAddr, Vec<String>> {
    let mut sessions = HashMap::new();
    for lines in processes {
        let (mut session, mut client) = (Vec::new(), None);
        for line in lines {
            if let Some(namaddr) = line.strip_prefix("connect from ") {
                client = address(namaddr);
            }
            let ends = line.starts_with("disconnect from ") || line.starts_with("(master) ");
            session.push(line);
            if ends {
                let session = std::mem::take(&mut session);
                sessions.extend(client.take().map(|client| (client, session)));
            }
        }
    }
    sessions
}

/// `name[address]:port`
fn address(namaddr: &str) -> Option<SocketAddr> {
    let (host, port) = namaddr.rsplit_once(':')?;
    let host = host.rsplit('[').next()?.trim_end_matches(']');
    Some(SocketAddr::new(host.parse().ok()?, port.parse().ok()?))
}
