//! Random sessions, played to the installed smtpd and to ours in step, and compared.
//!
//! ```text
//! cargo test --test random [-- --seed N --count N [--listener NAME] [--shrink N] [--all] [--keep]]
//! ```
//!
//! Session k of a run comes of seed N + k, so each can be played alone: `--seed N+k --count 1`. The
//! listeners stand in `tests/random/*.smtp`: heads of transcripts. Replies, log lines and queue
//! files are compared. A session that differs is played again, slowly; if it still differs, it is
//! made as short as may be (`--shrink`: trials, 0 for none) and printed as a transcript. `--all`: what
//! differed only the first time, too. `--keep`: leave the instance's directory.

mod support;

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::chance::Chance;
use support::compare;
use support::dialogue::{self, Security};
use support::duel::{self, CAREFUL, FAST, Half, Pace};
use support::inside::{self, say};
use support::transcript::{self, Session, Step, Transcript};
use support::world::{self, Side, World};

/// Sessions at a time: they mostly wait.
const PLAYERS: usize = 64;
/// Sessions between two looks at the log.
const BATCH: usize = 480;

fn main() -> ExitCode {
    if Options::read().others {
        return ExitCode::SUCCESS;
    }
    let result = if inside::is_inside() { run(&Options::read()) } else { inside::go("random") };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("random: {error}"));
            say("0 passed, 1 failed");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    seed: u64,
    count: usize,
    listener: Option<String>,
    keep: bool,
    /// Only other tests are wanted.
    others: bool,
    /// Tell of sessions that differ once only.
    all: bool,
    /// How often a session that differs may be played to make it shorter.
    shrink: usize,
}

impl Options {
    fn read() -> Options {
        let mut options = Options {
            seed: 1,
            count: 500,
            listener: None,
            keep: false,
            others: false,
            all: false,
            shrink: 12,
        };
        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok());
            match argument.as_str() {
                "--seed" => options.seed = number().unwrap_or(options.seed),
                "--count" => {
                    options.count = number().and_then(|n| usize::try_from(n).ok()).unwrap_or(1);
                }
                "--listener" => options.listener = arguments.next(),
                "--shrink" => {
                    options.shrink = number().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
                }
                "--keep" => options.keep = true,
                "--all" => options.all = true,
                flag if flag.starts_with('-') => (), // those of the usual test harness
                word => options.others |= !"random".contains(word),
            }
        }
        options
    }
}

/// One session, and where it is played.
struct Play {
    seed: u64,
    at: usize,
    session: Session,
}

/// What both sides did: dialogue, log, queue files; masked.
type Seen = [[Vec<String>; 3]; 2];

fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let begin = Instant::now();
    let listeners = listeners(options)?;
    world::enter().map_err(|error| error.to_string())?;
    let binaries = inside::binaries(false)?;
    let mut world = World::start(&listeners, &binaries).map_err(|error| error.to_string())?;
    let mut failed = 0;
    let mut unsteady = 0;
    for first in (0..options.count).step_by(BATCH) {
        let number = BATCH.min(options.count - first);
        let plays: Vec<Play> =
            (first..first + number).map(|k| play(options.seed + k as u64, &listeners)).collect();
        let all: Vec<&Play> = plays.iter().collect();
        let suspects = batch(&world, &all, FAST, options.all);
        let mut differing = batch(&world, &suspects, CAREFUL, false);
        // What still differs is played alone: that decides.
        differing.retain(|play| !once(&world, play.at, &play.session, CAREFUL).is_empty());
        unsteady += suspects.len() - differing.len();
        failed += differing.len();
        for play in differing {
            report(&world, &listeners, play, options.shrink);
        }
        world.sweep();
        if options.count > BATCH {
            say(&format!("{} played, {failed} differ, {unsteady} unsteady", first + number));
        }
    }
    if options.keep {
        say(&format!("kept {}", world.keep().display()));
    }
    drop(world);
    let seconds = begin.elapsed().as_secs_f64();
    say(&format!(
        "random sessions from seed {}, {seconds:.0} seconds, {unsteady} unsteady",
        options.seed
    ));
    say(&format!("{} passed, {failed} failed", options.count - failed));
    Ok(failed == 0)
}

/// The heads of `tests/random/*.smtp`.
fn listeners(options: &Options) -> Result<Vec<Transcript>, Box<dyn Error>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/random");
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|e| e == "smtp"));
    paths.sort();
    let mut listeners = Vec::new();
    for path in paths {
        let mut listener = transcript::read(&path)?;
        let port_logging = ("smtpd_client_port_logging".to_owned(), "yes".to_owned());
        listener.main_cf.push(port_logging);
        listener.source.push("main.cf: smtpd_client_port_logging = yes".to_owned());
        listeners.push(listener);
    }
    if let Some(name) = &options.listener {
        listeners.retain(|listener| listener.name == *name);
    }
    if listeners.is_empty() { Err("there is no such listener".into()) } else { Ok(listeners) }
}

fn play(seed: u64, listeners: &[Transcript]) -> Play {
    let mut chance = Chance::new(seed);
    let at = chance.below(listeners.len());
    let has = |wanted| listeners[at].main_cf.iter().any(|(name, _)| name == wanted);
    let tls = if has("smtpd_tls_wrappermode") {
        Security::Wrapper
    } else if has("smtpd_tls_security_level") {
        Security::Starttls
    } else {
        Security::None
    };
    let proxied = has("smtpd_authorized_xclient_hosts");
    Play { seed, at, session: dialogue::session(&mut chance, tls, proxied) }
}

/// Plays all, many at a time; gives those that seem to differ.
fn batch<'p>(world: &World, plays: &[&'p Play], pace: Pace, tell: bool) -> Vec<&'p Play> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..PLAYERS.min(plays.len()) {
            scope.spawn(|| {
                while let Some(&play) = plays.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let halves = duel::duel(world, play.at, &play.session, pace);
                    if let Ok(mut done) = done.lock() {
                        done.push((play, halves));
                    }
                }
            });
        }
    });
    let done = done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    let logs = Logs::wait(world, done.iter().map(|(play, halves)| (play.at, halves)));
    let mut suspects = Vec::new();
    for (play, halves) in &done {
        let found = complaints(&logs.seen(world, play.at, halves));
        if !found.is_empty() {
            suspects.push(*play);
            if tell {
                say(&format!("suspect {}", play.seed));
                found.iter().for_each(|line| say(&format!("        {line}")));
            }
        }
    }
    suspects.sort_by_key(|play| play.seed);
    suspects
}

/// Plays one session; gives what differs.
fn once(world: &World, at: usize, session: &Session, pace: Pace) -> Vec<String> {
    let halves = duel::duel(world, at, session, pace);
    let logs = Logs::wait(world, [(at, &halves)].into_iter());
    complaints(&logs.seen(world, at, &halves))
}

/// The log of all listeners, by listener, side and client.
struct Logs(HashMap<(usize, bool, SocketAddr), Vec<String>>);

impl Logs {
    /// Waits until the log has the ends of all these sessions, and some time at most.
    fn wait<'h>(world: &World, plays: impl Iterator<Item = (usize, &'h [Half; 2])>) -> Logs {
        let mut wanted = Vec::new();
        for (at, halves) in plays {
            wanted.extend(halves[0].client.map(|client| (at, false, client)));
            wanted.extend(halves[1].client.map(|client| (at, true, client)));
        }
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            let mut logs = HashMap::new();
            let mut listeners: Vec<usize> = wanted.iter().map(|(at, ..)| *at).collect();
            listeners.sort_unstable();
            listeners.dedup();
            for at in listeners {
                for (side, ours) in [(Side::Theirs, false), (Side::Ours, true)] {
                    let sessions = duel::by_client(world.processes(at, side)).into_iter();
                    logs.extend(sessions.map(|(client, log)| ((at, ours, client), log)));
                }
            }
            if wanted.iter().all(|key| logs.contains_key(key)) || Instant::now() > end {
                return Logs(logs);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn seen(&self, world: &World, at: usize, halves: &[Half; 2]) -> Seen {
        let one = |ours: bool, half: &Half| {
            let mut dialogue = half.dialogue.clone();
            dialogue.retain(|line| !line.starts_with("C: "));
            let key = half.client.map(|client| (at, ours, client));
            let mut log = key.and_then(|key| self.0.get(&key).cloned()).unwrap_or_default();
            let mut ids: Vec<String> = Vec::new();
            for line in dialogue.iter().chain(&log) {
                let id = world.mask.queue_id(line).map(str::to_owned);
                ids.extend(id.filter(|id| id != "NOQUEUE" && !ids.contains(id)));
            }
            let mut queue: Vec<String> = ids.iter().flat_map(|id| world.records(id)).collect();
            let side = if ours { Side::Ours } else { Side::Theirs };
            let mut words = world.replacements(at, side);
            // Even where XCLIENT took the address away.
            let port = half.client.map(|client| format!("]:{}", client.port()));
            words.extend(port.map(|port| (port, "]:PORT".to_owned())));
            for line in [&mut dialogue, &mut log, &mut queue].into_iter().flatten() {
                *line = world.mask.line(line, &ids, &words);
            }
            [dialogue, log, queue]
        };
        [one(false, &halves[0]), one(true, &halves[1])]
    }
}

fn complaints(seen: &Seen) -> Vec<String> {
    let [theirs, ours] = seen;
    let says = |line: &String| line.starts_with("S: ") || line.starts_with("S! tls");
    let silent =
        |[dialogue, log, _]: &[Vec<String>; 3]| log.is_empty() && !dialogue.iter().any(says);
    if silent(theirs) && silent(ours) {
        return vec!["neither side says anything: is there somebody at this listener?".to_owned()];
    }
    if theirs == ours || is_known(seen) {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    for (at, what) in ["replies", "log", "queue file"].into_iter().enumerate() {
        let lines = compare::difference(&theirs[at], &ours[at]);
        if !lines.is_empty() {
            complaints.push(format!("{what}: theirs (-), ours (+)"));
            complaints.extend(lines);
        }
    }
    complaints
}

/// What differs on purpose (docs/differences.md): where their process dies, ours goes on; what is far
/// too big, ours does not read to its end; after a command far too long, theirs may still hear what the
/// kernel has by then; recipients of a refused last chunk count for nothing.
fn is_known([theirs, ours]: &Seen) -> bool {
    theirs[1].iter().any(|line| line.starts_with("(master) killed by signal"))
        || theirs[1].iter().any(|line| line.starts_with("warning: disabling input from"))
        || ours[1].iter().any(|line| line.contains(": too much BDAT content"))
        || has_refused_chunks(theirs) && without_recipients(theirs) == without_recipients(ours)
}

/// Whether a chunk was refused: `bdat=1/2` in the last line of the log.
fn has_refused_chunks([_, log, _]: &[Vec<String>; 3]) -> bool {
    let counts = log.iter().filter(|line| line.starts_with("disconnect from "));
    let mut words = counts.flat_map(|line| line.split(' '));
    words.any(|word| word.starts_with("bdat=") && word.contains('/'))
}

/// The session without the words that tell of a recipient: in refusals, their footers, and Received:.
fn without_recipients(side: &[Vec<String>; 3]) -> [Vec<String>; 3] {
    let strip = |line: &String| {
        let line = match line.find("\\x09for <") {
            Some(at) => format!("{}\\x09DATE", &line[..at]),
            None => line.trim_end_matches(';').to_owned(),
        };
        let is_of_footer = line.contains(" footer ");
        let tells = |word: &str| word.starts_with("to=<") || is_of_footer && word.contains('@');
        let words: Vec<&str> = line.split(' ').filter(|word| !tells(word)).collect();
        words.join(" ").trim_end().to_owned()
    };
    side.each_ref().map(|lines| lines.iter().map(strip).collect())
}

/// Makes the session shorter while it still differs, and prints it.
fn report(world: &World, listeners: &[Transcript], play: &Play, trials: usize) {
    say(&format!("FAILED  seed {} ({})", play.seed, listeners[play.at].name));
    let session = shortest(world, play, trials);
    let found = once(world, play.at, &session, CAREFUL);
    found.iter().for_each(|line| say(&format!("        {line}")));
    let head = listeners[play.at].source.iter().filter(|line| !line.starts_with("S:"));
    head.for_each(|line| say(&format!("    {line}")));
    session.lines().iter().for_each(|line| say(&format!("    {line}")));
}

/// The session without the steps that don't matter.
fn shortest(world: &World, play: &Play, mut trials: usize) -> Session {
    let mut session = play.session.clone();
    // It must differ as it did: in the replies, the log, or the queue file.
    let what = once(world, play.at, &session, CAREFUL).first().cloned();
    let mut at = session.steps.len();
    while at > 0 && trials > 0 {
        at -= 1;
        if matches!(session.steps[at], Step::Expect { .. }) {
            continue;
        }
        let mut shorter = session.clone();
        let pair = matches!(shorter.steps.get(at + 1), Some(Step::Expect { .. }));
        shorter.steps.drain(at..=at + usize::from(pair));
        trials -= 1;
        if what.is_some() && once(world, play.at, &shorter, CAREFUL).first() == what.as_ref() {
            session = shorter;
        }
    }
    session
}
