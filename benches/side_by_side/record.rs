//! Writing results into `docs/`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::report::Report;
use crate::{Outcome, plot, say};

/// Records what was measured, with a plot.
pub(crate) fn bench(report: &Report) -> Outcome<()> {
    fs::write(docs("benchmarks.svg"), plot::svg(report))?;
    section("bench", &report.markdown()?)
}

/// Puts `text` between the two marks of a section.
pub(crate) fn section(name: &str, text: &str) -> Outcome<()> {
    let path = docs("benchmarks.md");
    let whole = fs::read_to_string(&path)?;
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->\n"));
    let (head, rest) = whole.split_once(&begin).ok_or("docs/benchmarks.md lacks a mark")?;
    let (_, tail) = rest.split_once(&end).ok_or("docs/benchmarks.md lacks a mark")?;
    fs::write(&path, format!("{head}{begin}{text}{end}{tail}"))?;
    say(&format!("written: {}", path.display()));
    Ok(())
}

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}
