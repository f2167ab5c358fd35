//! What the installed smtpd and ours cost, side by side under one Postfix.
//!
//! ```text
//! cargo bench --bench side_by_side -- [--quick] [--only TEXT] [--also NAME=PATH]…
//!     [--record] [--strict] [--count] [--index TYPE]
//! ```
//!
//! Each kind of work is done for one smtpd after the other, several times in turn, and what
//! their processes used is shown as the ratio of ours to theirs: seconds differ from machine to
//! machine and from minute to minute, ratios hardly. `--only`: the row of this name, or those whose name contains it.
//! `--also`: one more smtpd. `--record`: write the result into `docs/benchmarks.md`, with a plot.
//! `--strict`: fail where a goal is missed. `--count`: count instructions and system calls, with
//! valgrind and strace, in place of time. `--index`: type of the indexed table (`hash`).
//! Environment: `SMTPD_RS_BINARY` (ours; else the one that cargo built), `SMTPD_REFERENCE` (theirs;
//! else the one in `daemon_directory`). It needs root, Postfix, util-linux and iproute2.

#[path = "../../tests/support/certificates.rs"]
mod certificates;
mod client;
mod cost;
mod count;
mod instance;
mod plot;
mod record;
mod report;
mod work;

use std::env;
use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use client::Client;
use cost::Snapshot;
use instance::{Instance, Variant};
use report::{Line, Report};
use work::{Measure, POLICY_ROW, Place, ROWS, Row, median};

/// What may go wrong here.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Set in the process that runs inside the namespaces.
const INSIDE: &str = "SMTPD_RS_INSIDE_BENCH";
/// Rounds that count; one before them warms up.
const ROUNDS: u32 = 7;
const QUICK_ROUNDS: u32 = 2;
/// Of the units of a row, one of so many is done in a quick run.
const QUICK_PART: u32 = 2;

/// The command line.
#[derive(Default)]
pub(crate) struct Options {
    quick: bool,
    record: bool,
    strict: bool,
    count: bool,
    only: Option<String>,
    index: Option<String>,
    also: Vec<Variant>,
}

fn main() -> ExitCode {
    let outcome = Options::read().and_then(|options| {
        if env::var_os(INSIDE).is_none() {
            return go_inside();
        }
        run(Command::new("ip").args(["link", "set", "lo", "up"]))?;
        if options.count { count::run(&options) } else { measure(&options) }
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("benchmark: {error}"));
            ExitCode::FAILURE
        }
    }
}

impl Options {
    fn read() -> Outcome<Options> {
        let mut options = Options::default();
        let mut words = env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--quick" => options.quick = true,
                "--record" => options.record = true,
                "--strict" => options.strict = true,
                "--count" => options.count = true,
                "--only" => options.only = Some(value()?),
                "--index" => options.index = Some(value()?),
                "--also" => options.also.push(variant(&value()?)?),
                "--bench" => {} // cargo says so
                _ => return Err(format!("unknown option {word}").into()),
            }
        }
        Ok(options)
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        let one = |only: &str| ROWS.iter().any(|row| row.name == only);
        self.only
            .as_deref()
            .is_none_or(|only| if one(only) { name == only } else { name.contains(only) })
    }

    /// Theirs, ours, and the others.
    pub(crate) fn variants(&self) -> Outcome<Vec<Variant>> {
        let path = |name: &str| env::var_os(name).map(PathBuf::from);
        let theirs = path("SMTPD_REFERENCE");
        let theirs = theirs.map_or_else(|| Ok(instance::daemon_directory()?.join("smtpd")), Ok);
        let theirs: Outcome<PathBuf> = theirs;
        let ours = path("SMTPD_RS_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_smtpd-rs").into());
        let mut variants = vec![
            Variant { name: "theirs".to_owned(), path: theirs? },
            Variant { name: "ours".to_owned(), path: ours },
        ];
        variants.extend(self.also.iter().cloned());
        for variant in &mut variants {
            variant.path = variant.path.canonicalize()?;
        }
        Ok(variants)
    }
}

fn variant(text: &str) -> Outcome<Variant> {
    let (name, path) = text.split_once('=').ok_or("--also needs NAME=PATH")?;
    Ok(Variant { name: name.to_owned(), path: path.into() })
}

/// Prints a line.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

fn run(command: &mut Command) -> Outcome<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// Starts this program again in namespaces of its own.
fn go_inside() -> Outcome<bool> {
    if !nix::unistd::geteuid().is_root() {
        return Err("this needs root, since master(8) does".into());
    }
    let status = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(INSIDE, "1")
        .status()
        .map_err(|error| format!("unshare (util-linux): {error}"))?;
    Ok(status.success())
}

fn measure(options: &Options) -> Outcome<bool> {
    let variants = options.variants()?;
    let index = options.index.as_deref().unwrap_or("hash");
    let mut instance = Instance::start(&variants, index, None)?;
    if !can(&instance, "tables")? {
        say(&format!("not every smtpd here reads {index}: tables; texthash: is in their place"));
        drop(instance);
        instance = Instance::start(&variants, "texthash", None)?;
    }
    let mut report = Report::new(&variants)?;
    report.begin();
    for row in ROWS.iter().filter(|row| options.wants(row.name)) {
        if row.name == POLICY_ROW && !can(&instance, "policy")? {
            report.leave_out(row, "not every smtpd here asks policy servers");
            continue;
        }
        report.add(measured(&instance, row, options)?);
    }
    report.end();
    if options.record {
        record::bench(&report)?;
    }
    Ok(!options.strict || report.all_reached())
}

/// Whether every smtpd takes a recipient on a service.
fn can(instance: &Instance, service: &str) -> Outcome<bool> {
    for variant in 0..instance.variants.len() {
        let mut client = Client::hello(instance.port(variant, service)?)?;
        let taken = client.recipients(1).is_ok();
        if !taken {
            return Ok(false);
        }
        client.quit()?;
    }
    Ok(true)
}

fn measured(instance: &Instance, row: &'static Row, options: &Options) -> Outcome<Line> {
    let rounds = if options.quick { QUICK_ROUNDS } else { ROUNDS };
    let count = instance.variants.len();
    let mut values = vec![Vec::new(); count];
    for round in 0..=rounds {
        for at in 0..count {
            let variant = if round % 2 == 0 { at } else { count - 1 - at };
            let value = once(instance, row, variant, options)
                .map_err(|error| format!("{}: {error}\n{}", row.name, tail(&instance.log())))?;
            if round > 0 {
                values[variant].push(value);
            }
            instance.sweep()?;
        }
    }
    let theirs = values.first().cloned().unwrap_or_default();
    let spread = values.iter().map(|values| spread(values)).fold(0.0, f64::max);
    let ratios = values.iter().map(|values| ratio(values, &theirs)).collect();
    let values = values.iter_mut().map(|values| median(values)).collect();
    Ok(Line { row, values, ratios, spread })
}

/// What one round of a row costs: microseconds a unit, KiB, or milliseconds.
fn once(instance: &Instance, row: &Row, variant: usize, options: &Options) -> Outcome<f64> {
    let port = instance.port(variant, row.service)?;
    let mut place = Place { instance, variant, port, units: 1 };
    let (units, work) = match row.measure {
        Measure::Memory { begin } => return work::measure_memory(&place, begin),
        Measure::Latency { work } => return work(&place),
        Measure::Cpu { units, work, .. } => (units, work),
    };
    place.units = if options.quick { units.div_ceil(QUICK_PART) } else { units };
    let before = Snapshot::take(instance, variant)?;
    work(&place)?;
    if row.service.starts_with("one-") {
        cost::wait_until_gone(instance, variant, port)?;
    }
    let used = Snapshot::take(instance, variant)?.since(&before);
    Ok(used as f64 / 1e3 / f64::from(place.units))
}

/// The middle of the ratios of each round: what slows the machine down for a while slows both.
fn ratio(values: &[f64], theirs: &[f64]) -> f64 {
    let mut ratios: Vec<f64> =
        values.iter().zip(theirs).map(|(value, their)| value / their).collect();
    median(&mut ratios)
}

/// How far values lie apart, as a part of their middle.
fn spread(values: &[f64]) -> f64 {
    let most = values.iter().copied().fold(f64::MIN, f64::max);
    let least = values.iter().copied().fold(f64::MAX, f64::min);
    (most - least) / median(&mut values.to_vec())
}

/// Odd lines of the log, and its end, where something went wrong.
fn tail(log: &str) -> String {
    // There is none on purpose.
    let lines =
        log.lines().filter(|line| !line.ends_with("public/qmgr: No such file or directory"));
    let lines: Vec<&str> = lines.collect();
    let odd = ["warning: ", "error: ", "fatal: ", "panic: "];
    let mut shown: Vec<&str> =
        lines.iter().filter(|line| odd.iter().any(|word| line.contains(word))).copied().collect();
    shown.truncate(8);
    shown.extend(&lines[lines.len().saturating_sub(8)..]);
    shown.join("\n")
}
