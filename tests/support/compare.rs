//! Two lists of lines, compared; and the differences that are known.

use std::collections::HashMap;

/// The most lines of one side that are compared with all of the other.
const SEARCHED: usize = 3_000;

/// The lines that only one side has: `- theirs`, `+ ours`, in order.
pub(crate) fn difference(theirs: &[String], ours: &[String]) -> Vec<String> {
    let both = theirs.iter().zip(ours);
    let head = both.take_while(|(theirs, ours)| theirs == ours).count();
    let (theirs, ours) = (&theirs[head..], &ours[head..]);
    let both = theirs.iter().rev().zip(ours.iter().rev());
    let tail = both.take_while(|(theirs, ours)| theirs == ours).count();
    let (theirs, ours) = (&theirs[..theirs.len() - tail], &ours[..ours.len() - tail]);
    search(&theirs[..theirs.len().min(SEARCHED)], &ours[..ours.len().min(SEARCHED)])
}

/// The same, by the longest common subsequence.
fn search(theirs: &[String], ours: &[String]) -> Vec<String> {
    let width = ours.len() + 1;
    // common[i][j]: the longest common subsequence of theirs[i..] and ours[j..].
    let mut common = vec![0u32; (theirs.len() + 1) * width];
    for i in (0..theirs.len()).rev() {
        for j in (0..ours.len()).rev() {
            common[i * width + j] = if theirs[i] == ours[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < theirs.len() || j < ours.len() {
        if i < theirs.len() && j < ours.len() && theirs[i] == ours[j] {
            (i, j) = (i + 1, j + 1);
        } else if j >= ours.len()
            || i < theirs.len() && common[(i + 1) * width + j] >= common[i * width + j + 1]
        {
            lines.push(format!("- {}", theirs[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", ours[j]));
            j += 1;
        }
    }
    lines
}

/// The lines of `found`, each after what the client sent before it.
pub(crate) fn in_context(theirs: &[String], ours: &[String], found: &[String]) -> Vec<String> {
    let (mut shown, mut last) = (Vec::new(), None);
    for line in found {
        let (side, text) = line.split_at(2);
        let lines = if side == "- " { theirs } else { ours };
        let place = lines.iter().position(|l| l == text).unwrap_or(0);
        let sent = lines[..place].iter().rev().find(|l| l.starts_with("C: "));
        if sent != last {
            shown.extend(sent.map(|sent| format!("  {sent}")));
            last = sent;
        }
        shown.push(line.clone());
    }
    shown
}

/// Whether `wanted` stand in `lines` in this order; the first that doesn't.
pub(crate) fn first_missing<'a>(wanted: &'a [String], lines: &[String]) -> Option<&'a String> {
    let mut rest = lines.iter();
    wanted.iter().find(|want| !rest.any(|line| line == *want))
}

/// What differs on purpose: by transcript, the difference and its reason.
#[derive(Debug, Default)]
pub(crate) struct Known(HashMap<String, Difference>);

/// A difference that is meant.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// Why.
    pub(crate) reason: String,
    /// The lines `- theirs` and `+ ours`.
    pub(crate) lines: Vec<String>,
    /// The first releases of each branch in which theirs is as ours.
    mended: Vec<String>,
}

impl Known {
    /// Reads `known.txt`: `[transcript]`, lines of reason, lines with `- ` or `+ `, and `mended:` with
    /// the releases in which there is no difference any more.
    pub(crate) fn parse(text: &str) -> Result<Known, String> {
        let mut known = Known::default();
        let mut name = String::new();
        for line in text.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')) {
            if let Some(inner) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                name = inner.to_owned();
                if known.0.insert(name.clone(), Difference::default()).is_some() {
                    return Err(format!("{name} stands there twice"));
                }
                continue;
            }
            let entry = known.0.get_mut(&name).ok_or("a line before the first [transcript]")?;
            if line.starts_with("- ") || line.starts_with("+ ") {
                entry.lines.push(line.to_owned());
            } else if let Some(releases) = line.strip_prefix("mended: ") {
                entry.mended.extend(releases.split_whitespace().map(str::to_owned));
            } else {
                entry.reason.push_str(line.trim());
                entry.reason.push(' ');
            }
        }
        match known.0.iter().find(|(_, entry)| entry.reason.is_empty()) {
            Some((name, _)) => Err(format!("{name} has no reason")),
            None => Ok(known),
        }
    }

    /// Those that are there beside this release of Postfix.
    pub(crate) fn beside(mut self, release: &str) -> Known {
        self.0.retain(|_, entry| !is_mended(&entry.mended, release));
        self
    }

    pub(crate) fn of(&self, name: &str) -> Option<&Difference> {
        self.0.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }
}

/// Whether `release` is one of `mended`, later in one of their branches, or of a later branch.
fn is_mended(mended: &[String], release: &str) -> bool {
    let (branch, patch) = parts(release);
    let mended: Vec<_> = mended.iter().map(|first| parts(first)).collect();
    mended.iter().any(|(other, first)| *other == branch && patch >= *first)
        || mended.iter().map(|(other, _)| *other).max().is_some_and(|last| branch > last)
}

/// Branch and patch of `3.10.13` or `3.12-20260821`, which is newer than all of its branch.
fn parts(release: &str) -> ((u32, u32), u32) {
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
    let mut words = release.split(['.', '-']);
    let branch = (number(words.next()).unwrap_or(0), number(words.next()).unwrap_or(0));
    (branch, number(words.next()).unwrap_or(0))
}
