//! Every transcript, played against the installed smtpd and against ours, side by side.
//!
//! Replies are compared byte for byte, log lines and queue files with masks over what can't be
//! equal (times, ids, ports). What differs on purpose stands in `tests/differential/known.txt`;
//! an entry that no longer differs is an error too. What the transcript itself says must be true
//! of both.
//!
//! ```text
//! cargo test --test differential [-- NAME…] [--record] [--explore [--quick]] [--keep] [--times]
//! ```
//!
//! `NAME`: only transcripts whose name contains it. `--record`: write what the installed smtpd
//! says into the files. `--explore`: only compare both sides, in the files of `SMTPD_TRANSCRIPTS`
//! (a directory), whatever these say; `--quick`: with less patience. `--keep`: leave the instance's directory. Environment:
//! `SMTPD_RS_BINARY` (ours; else the one that cargo built), `SMTPD_REFERENCE` (theirs; else the
//! one in `daemon_directory`), `SMTPD_REFERENCE_ONLY=1` (theirs on both sides, for writing
//! transcripts). It needs root, Postfix, util-linux and iproute2; elsewhere it says so, and fails
//! only where `CI` is set.

mod support;

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use support::compare::{self, Known};
use support::front::{self, Front};
use support::inside::{self, installed, say};
use support::player::{self, QUIET, Reading, Run};
use support::transcript::{self, Transcript};
use support::world::{self, Side, World};

/// The releases that the transcripts tell of. Beside another, both sides are compared, whatever the
/// transcripts say.
const RELEASE: &str = "3.7.";
/// Transcripts played at a time: they mostly wait.
const PLAYERS: usize = 8;
/// So many differing transcripts at most are played once more.
const AGAIN: usize = 5;

fn main() -> ExitCode {
    let options = Options::read();
    let result = if inside::is_inside() { play_all(&options) } else { inside::go("differential") };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("differential: {error}"));
            say("0 passed, 1 failed");
            ExitCode::FAILURE
        }
    }
}

#[derive(Default)]
struct Options {
    names: Vec<String>,
    record: bool,
    explore: bool,
    quick: bool,
    keep: bool,
    times: bool,
}

impl Options {
    fn read() -> Options {
        let mut options = Options::default();
        for argument in env::args().skip(1) {
            match argument.as_str() {
                "--record" => options.record = true,
                "--explore" => options.explore = true,
                "--quick" => options.quick = true,
                "--keep" => options.keep = true,
                "--times" => options.times = true,
                flag if flag.starts_with('-') => (), // those of the usual test harness
                _ => options.names.push(argument),
            }
        }
        options
    }

    fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|part| name.contains(part.as_str()))
    }
}

fn reference_only() -> bool {
    env::var_os("SMTPD_REFERENCE_ONLY").is_some() || Options::read().record
}

/// Inside: plays the transcripts, prints what differs and the sum.
fn play_all(options: &Options) -> Result<bool, Box<dyn Error>> {
    let begin = Instant::now();
    let mut transcripts = transcript::all()?;
    let release = installed("mail_version")?;
    let known = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/known.txt");
    let known = Known::parse(&fs::read_to_string(known)?)?.beside(&release);
    let mut failed = 0;
    let there = |name: &String| options.explore || transcripts.iter().any(|t| t.name == *name);
    for name in known.names().filter(|name| !there(name)) {
        say(&format!("FAILED  known.txt: there is no transcript {name}"));
        failed += 1;
    }
    transcripts.retain(|transcript| options.wants(&transcript.name));
    if transcripts.iter().any(needs_haproxy) && !front::has_haproxy() {
        say("what has an HAProxy in front is skipped, since this needs haproxy");
        transcripts.retain(|transcript| !needs_haproxy(transcript));
    }
    let told = release.starts_with(RELEASE) || reference_only();
    if !told {
        say(&format!("Postfix {release} is installed, the transcripts are of {RELEASE}*:"));
        say("both sides are compared, whatever the transcripts say");
    }
    world::enter().map_err(|error| error.to_string())?;
    let judge = Judge { known: &known, told, options };
    let differing = judge.play(&transcripts)?;
    let mut still = differing.len();
    if judge.is_final(still) {
        failed += still;
    } else {
        say("what differs is played once more, by itself");
        let again = transcripts.iter().filter(|t| differing.contains(&t.name)).cloned();
        still = judge.play(&again.collect::<Vec<_>>())?.len();
        failed += still;
    }
    say(&format!("transcripts beside the original, {:.0} seconds", begin.elapsed().as_secs_f64()));
    say(&format!("{} passed, {failed} failed", transcripts.len() - still));
    Ok(failed == 0)
}

/// How transcripts are judged.
struct Judge<'a> {
    known: &'a Known,
    /// Whether the transcripts tell of the installed release.
    told: bool,
    options: &'a Options,
}

impl Judge<'_> {
    /// Whether so many differing transcripts are the last word. A few may come from a busy machine,
    /// where a time limit came first; what is wrong differs again.
    fn is_final(&self, differing: usize) -> bool {
        differing == 0 || differing > AGAIN || self.options.record || self.options.explore
    }

    /// Plays transcripts in a world of their own; gives the names of those that differ.
    fn play(&self, transcripts: &[Transcript]) -> Result<Vec<String>, Box<dyn Error>> {
        let binaries = inside::binaries(env::var_os("SMTPD_REFERENCE_ONLY").is_some())?;
        let mut world = World::start(transcripts, &binaries).map_err(|error| error.to_string())?;
        let next = AtomicUsize::new(0);
        let differing = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..PLAYERS {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(transcript) = transcripts.get(at) else { break };
                        let agrees = self.agrees(&world, transcript, at);
                        if let (false, Ok(mut differing)) = (agrees, differing.lock()) {
                            differing.push(transcript.name.clone());
                        }
                    }
                });
            }
        });
        if self.options.keep {
            say(&format!("kept {}", world.keep().display()));
        }
        Ok(differing.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// Plays one transcript, and says what differs.
    fn agrees(&self, world: &World, transcript: &Transcript, at: usize) -> bool {
        let begin = Instant::now();
        let lines = if self.options.record {
            record(world, transcript, at)
        } else if transcript.only_ours {
            judge_ours(world, transcript, at)
        } else if self.told && !self.options.explore {
            judge(world, transcript, at, self.known)
        } else {
            compare(world, transcript, at, self.known, self.options)
        };
        if self.options.times {
            say(&format!("{:6.2}s {}", begin.elapsed().as_secs_f64(), transcript.name));
        }
        if !lines.is_empty() {
            say(&format!("DIFFERS  {}", transcript.name));
            lines.iter().for_each(|line| say(&format!("        {line}")));
        }
        lines.is_empty()
    }
}

/// Writes into the transcript what the installed smtpd says, or ours where only that can.
fn record(world: &World, transcript: &Transcript, at: usize) -> Vec<String> {
    let side = if transcript.only_ours { Side::Ours } else { Side::Theirs };
    let run = player::play(world, transcript, at, side, Reading::UntilQuiet(QUIET));
    match record_run(transcript, &run) {
        Ok(()) => Vec::new(),
        Err(error) => vec![error.to_string()],
    }
}

/// Plays one transcript to ours alone.
fn judge_ours(world: &World, transcript: &Transcript, at: usize) -> Vec<String> {
    let ours = player::play(world, transcript, at, Side::Ours, Reading::AsWritten);
    untrue("ours", transcript, &ours)
}

/// Plays one transcript on both sides, and only compares them.
fn compare(
    world: &World,
    transcript: &Transcript,
    at: usize,
    known: &Known,
    options: &Options,
) -> Vec<String> {
    let quiet = if options.quick { QUIET / 8 } else { QUIET };
    let play = |side| player::play(world, transcript, at, side, Reading::UntilQuiet(quiet));
    let (mut theirs, mut ours) = (play(Side::Theirs), play(Side::Ours));
    if transcript.only_wanted_log {
        // The lines that are wanted are those of one release.
        theirs.log.clear();
        ours.log.clear();
    }
    unexpected(&theirs, &ours, known.of(&transcript.name))
}

/// Whether an HAProxy stands before the listeners.
fn needs_haproxy(transcript: &Transcript) -> bool {
    matches!(Front::of(transcript), Some(Front::HaProxy(_)))
}

/// Plays one transcript on both sides; gives the lines of complaint.
fn judge(world: &World, transcript: &Transcript, at: usize, known: &Known) -> Vec<String> {
    let theirs = player::play(world, transcript, at, Side::Theirs, Reading::AsWritten);
    let ours = player::play(world, transcript, at, Side::Ours, Reading::AsWritten);
    let difference = known.of(&transcript.name);
    let mut complaints = Vec::new();
    let (theirs, ours) = (theirs.wanted_by(transcript), ours.wanted_by(transcript));
    if !reference_only() {
        complaints.extend(unexpected(&theirs, &ours, difference));
        complaints.extend(untrue("ours", transcript, &ours));
    }
    if difference.is_none() {
        complaints.extend(untrue("theirs", transcript, &theirs));
        if reference_only() {
            complaints.extend(unexpected(&theirs, &ours, None));
        }
    }
    complaints
}

/// Differences between both sides that are not known, and known ones that are none.
fn unexpected(theirs: &Run, ours: &Run, known: Option<&compare::Difference>) -> Vec<String> {
    let mut expected = known.map_or(Vec::new(), |known| known.lines.clone());
    let mut complaints = Vec::new();
    for (what, theirs, ours) in [
        ("replies", &theirs.dialogue, &ours.dialogue),
        ("log", &theirs.log, &ours.log),
        ("queue file", &theirs.queue, &ours.queue),
    ] {
        let mut found = Vec::new();
        for line in compare::difference(theirs, ours) {
            match expected.iter().position(|known| *known == line) {
                Some(at) => drop(expected.remove(at)),
                None => found.push(line),
            }
        }
        if !found.is_empty() {
            complaints.push(format!("{what}: theirs (-), ours (+)"));
            complaints.extend(compare::in_context(theirs, ours, &found));
        }
    }
    for line in expected {
        complaints.push(format!("known.txt, but no longer so: {line}"));
    }
    complaints
}

/// What the transcript says and one side doesn't do.
fn untrue(side: &str, transcript: &Transcript, run: &Run) -> Vec<String> {
    let mut complaints = Vec::new();
    let wanted = transcript.sessions.iter().flat_map(|session| &session.steps);
    for step in wanted {
        let transcript::Step::Expect { lines, line } = step else { continue };
        let nothing = Vec::new();
        let seen = run.seen.iter().find(|(at, _)| at == line).map_or(&nothing, |(_, seen)| seen);
        let difference = compare::difference(lines, seen);
        if !difference.is_empty() {
            complaints.push(format!("line {}: written (-), {side} (+)", line + 1));
            complaints.extend(difference);
        }
    }
    if transcript.wants_notices() && !run.has_notices {
        complaints.push(format!("{side}: no notice was sent"));
    }
    if let Some(missing) = compare::first_missing(&transcript.log, &run.log) {
        complaints.push(format!("{side}: this line is not in the log, or not in this order:"));
        complaints.push(format!("  {missing}"));
    }
    complaints
}

/// Writes what was seen into the transcript's file: replies in their places, the log at the end.
fn record_run(transcript: &Transcript, run: &Run) -> Result<(), Box<dyn Error>> {
    let mut lines: Vec<String> = Vec::new();
    for (at, line) in transcript.source.iter().enumerate() {
        if line.starts_with("L:") {
            continue;
        }
        if line.starts_with("S:") || line.starts_with("S!") {
            if let Some((_, seen)) = run.seen.iter().find(|(place, _)| *place == at) {
                lines.extend(seen.iter().cloned());
            }
            continue;
        }
        lines.push(line.clone());
    }
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines.push(String::new());
    if transcript.only_wanted_log {
        lines.extend(transcript.log.iter().map(|line| format!("L: {line}")));
    } else {
        let log = run.log.iter().filter(|line| !line.starts_with("connect from"));
        lines.extend(log.map(|line| format!("L: {line}")));
    }
    let path = transcript::directory().join(format!("{}.smtp", transcript.name));
    fs::write(path, lines.join("\n") + "\n")?;
    Ok(())
}
