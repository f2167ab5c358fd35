//! The result: a table on the terminal, and as Markdown.

use std::fmt::Write as _;
use std::fs;

use crate::instance::{Variant, installed};
use crate::work::{Measure, Row};
use crate::{Outcome, say};

/// A ratio may be so much above its goal by chance.
const MARGIN: f64 = 0.05;

/// What a row came to.
pub(crate) struct Line {
    pub(crate) row: &'static Row,
    /// One of each smtpd: microseconds, KiB or milliseconds.
    pub(crate) values: Vec<f64>,
    /// One of each smtpd, to theirs.
    pub(crate) ratios: Vec<f64>,
    /// How far the rounds lie apart.
    pub(crate) spread: f64,
}

impl Line {
    /// This smtpd to theirs.
    pub(crate) fn ratio(&self, variant: usize) -> f64 {
        self.ratios.get(variant).copied().unwrap_or(f64::NAN)
    }

    fn misses_goal(&self) -> bool {
        self.ratio(1) > self.row.goal + MARGIN
    }

    fn mark(&self) -> &'static str {
        match self.ratio(1) {
            _ if self.misses_goal() => "misses its goal",
            ratio if ratio > self.row.budget => "",
            _ => "within budget",
        }
    }

    fn value(&self, variant: usize) -> String {
        let value = self.values.get(variant).copied().unwrap_or(f64::NAN);
        match self.row.measure {
            Measure::Cpu { .. } if value >= 10_000.0 => format!("{:.1} ms", value / 1e3),
            Measure::Cpu { .. } => format!("{value:.0} µs"),
            Measure::Memory { .. } => format!("{value:.0} KiB"),
            Measure::Latency { .. } => format!("{value:.1} ms"),
        }
    }

    fn unit(&self) -> &'static str {
        match self.row.measure {
            Measure::Cpu { unit, .. } => unit,
            Measure::Memory { .. } => "process",
            Measure::Latency { .. } => "wait",
        }
    }
}

/// All rows.
pub(crate) struct Report {
    pub(crate) variants: Vec<Variant>,
    pub(crate) lines: Vec<Line>,
    left_out: Vec<String>,
    release: String,
    load: String,
}

impl Report {
    pub(crate) fn new(variants: &[Variant]) -> Outcome<Self> {
        Ok(Self {
            variants: variants.to_vec(),
            lines: Vec::new(),
            left_out: Vec::new(),
            release: installed("mail_version")?,
            load: load()?,
        })
    }

    /// The head of the table on the terminal.
    pub(crate) fn begin(&self) {
        for variant in &self.variants {
            say(&format!("{:>8}: {}", variant.name, variant.path.display()));
        }
        say(&format!("{:>8}: Postfix {}, load {}\n", "with", self.release, self.load));
        let mut text = format!("{:52} {:>10}", "work", "theirs");
        for variant in self.variants.iter().skip(1) {
            let _ = write!(text, " {:>10} {:>6}", variant.name, "ratio");
        }
        say(&format!("{text}  goal budget spread"));
    }

    /// One more row.
    pub(crate) fn add(&mut self, line: Line) {
        let mut text = format!("{:52} {:>10}", line.row.name, line.value(0));
        for variant in 1..self.variants.len() {
            let _ = write!(text, " {:>10} {:>6.2}", line.value(variant), line.ratio(variant));
        }
        let (goal, budget) = (line.row.goal, line.row.budget);
        let spread = line.spread * 100.0;
        say(&format!("{text}  {goal:4.2} {budget:6.2} {spread:5.0}%  {}", line.mark()));
        self.lines.push(line);
    }

    /// A row that can't be measured.
    pub(crate) fn leave_out(&mut self, row: &Row, reason: &str) {
        let text = format!("left out: {} ({reason})", row.name);
        say(&text);
        self.left_out.push(text);
    }

    /// The sum.
    pub(crate) fn end(&self) {
        let missed = self.lines.iter().filter(|line| line.misses_goal()).count();
        let load = load().unwrap_or_default();
        say(&format!("\n{} rows, {missed} miss their goals; load {load}", self.lines.len()));
    }

    /// Whether no goal was missed.
    pub(crate) fn all_reached(&self) -> bool {
        !self.lines.iter().any(Line::misses_goal)
    }

    /// The section for the documentation.
    pub(crate) fn markdown(&self) -> Outcome<String> {
        let mut text = format!(
            "{}, beside Postfix {}, load of the machine {} at the beginning and {} at the end.\n\n",
            today(),
            self.release,
            self.load,
            load()?
        );
        let names: Vec<&str> = self.variants.iter().skip(1).map(|v| v.name.as_str()).collect();
        write!(text, "| work | for each | theirs |")?;
        for name in &names {
            write!(text, " {name} | ratio |")?;
        }
        write!(text, " goal | budget | spread |\n| --- | --- | --- |")?;
        writeln!(text, "{} --- | --- | --- |", " --- | --- |".repeat(names.len()))?;
        for line in &self.lines {
            write!(text, "| {} | {} | {} |", line.row.name, line.unit(), line.value(0))?;
            for variant in 1..self.variants.len() {
                write!(text, " {} | {:.2} |", line.value(variant), line.ratio(variant))?;
            }
            let (goal, budget) = (line.row.goal, line.row.budget);
            writeln!(text, " {goal:.2} | {budget:.2} | {:.0} % |", line.spread * 100.0)?;
        }
        for left_out in &self.left_out {
            write!(text, "\n{left_out}\n")?;
        }
        Ok(text)
    }
}

/// The machine's load, over the last minute.
fn load() -> Outcome<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}

/// The date, as the log would have it.
pub(crate) fn today() -> String {
    let output = std::process::Command::new("date").arg("+%Y-%m-%d").output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
