//! What was found, and how it is told: to people a line each, to programs as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::text::printable::{printable, undeceptive};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// A client would meet it: a reply with 4xx or 5xx, or no greeting at all.
    Error,
    /// Probably not what was meant.
    Warning,
    /// Good to know.
    Note,
}

impl Severity {
    const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Where the cause stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The file, as a path.
    pub(super) file: Vec<u8>,
    /// From 1; `None`: the file as a whole.
    pub(super) line: Option<usize>,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    severity: Severity,
    place: Option<Place>,
    text: Vec<u8>,
    /// The services that have it; none: it is about no single one.
    services: Vec<String>,
}

impl Finding {
    fn is_same(&self, other: &Self) -> bool {
        let one_place = self.place == other.place || self.place.is_none() || other.place.is_none();
        self.text == other.text && one_place
    }

    fn merge(&mut self, other: Self) {
        self.severity = self.severity.min(other.severity);
        self.place = self.place.take().or(other.place);
        for service in other.services {
            if !self.services.contains(&service) {
                self.services.push(service);
            }
        }
    }
}

/// All findings.
#[derive(Debug, Default)]
pub(super) struct Report {
    findings: Vec<Finding>,
    /// The services that were looked at.
    services: Vec<String>,
    /// The one that is being looked at.
    current: Option<String>,
}

impl Report {
    /// From now on findings are about this service, until the next.
    pub(super) fn begin(&mut self, service: String) {
        self.services.push(service.clone());
        self.current = Some(service);
    }

    /// From now on findings are about no service.
    pub(super) fn end(&mut self) {
        self.current = None;
    }

    /// Adds a finding. What several services have, or what is said twice, is one finding: the
    /// graver one, with a place if there is one.
    pub(super) fn add(&mut self, severity: Severity, place: Option<Place>, text: &[u8]) {
        let services = self.current.iter().cloned().collect();
        let new = Finding { severity, place, text: text.to_vec(), services };
        match self.findings.iter_mut().find(|old| old.is_same(&new)) {
            None => self.findings.push(new),
            Some(old) => old.merge(new),
        }
    }

    /// Whether something was found where the parameter stands.
    pub(super) fn names(&self, parameter: &str, place: Option<&Place>) -> bool {
        self.findings.iter().any(|finding| {
            finding.place.as_ref() == place
                && memchr::memmem::find(&finding.text, parameter.as_bytes()).is_some()
        })
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Whether a client would meet nothing.
    pub(super) fn is_good(&self) -> bool {
        self.count(Severity::Error) == 0
    }

    /// The findings in the order of files and lines.
    fn sorted(&self) -> Vec<&Finding> {
        let mut sorted: Vec<_> = self.findings.iter().collect();
        sorted.sort_by(|a, b| (&a.place, a.severity).cmp(&(&b.place, b.severity)));
        sorted
    }

    /// A line a finding, then the sum. Files of `directory` are called by their names.
    pub(super) fn for_people(&self, directory: &[u8]) -> String {
        let mut text = String::new();
        for finding in self.sorted() {
            let place = finding.place.as_ref().map(|place| shown(place, directory));
            let services = self.services_of(finding);
            let severity = finding.severity.word();
            let what = plain(&finding.text);
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{}{severity}: {}{what}",
                place.map_or(String::new(), |place| format!("{place}: ")),
                services.map_or(String::new(), |services| format!("{services}: ")),
            );
        }
        text + &self.verdict()
    }

    /// Which services have it; `None` where it is about all of several, or about none.
    fn services_of(&self, finding: &Finding) -> Option<String> {
        let all = self.services.len() > 1 && finding.services.len() == self.services.len();
        (!finding.services.is_empty() && !all).then(|| finding.services.join(", "))
    }

    fn verdict(&self) -> String {
        let checked = match self.services.as_slice() {
            [] => "no service was checked".to_owned(),
            services => format!("checked {}", services.join(", ")),
        };
        let counts = [
            (Severity::Error, "error", "errors"),
            (Severity::Warning, "warning", "warnings"),
            (Severity::Note, "note", "notes"),
        ];
        let counts = counts.map(|(severity, one, more)| {
            let count = self.count(severity);
            format!("{count} {}", if count == 1 { one } else { more })
        });
        format!("{checked}: {}\n", counts.join(", "))
    }

    /// The same for programs.
    pub(super) fn for_programs(&self, directory: &[u8]) -> String {
        let findings: Vec<Value> = self.sorted().into_iter().map(object).collect();
        let report = json!({
            "configuration": text(directory),
            "services": self.services,
            "findings": findings,
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "notes": self.count(Severity::Note),
        });
        format!("{report:#}\n")
    }
}

fn object(finding: &Finding) -> Value {
    json!({
        "severity": finding.severity.word(),
        "file": finding.place.as_ref().map(|place| text(&place.file)),
        "line": finding.place.as_ref().and_then(|place| place.line),
        "services": finding.services,
        "text": text(&finding.text),
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a terminal may be given.
fn plain(bytes: &[u8]) -> String {
    text(&undeceptive(&printable(bytes, b'?', true)))
}

fn shown(place: &Place, directory: &[u8]) -> String {
    let inside = place.file.strip_prefix(directory).and_then(|rest| rest.strip_prefix(b"/"));
    let file = plain(inside.unwrap_or(&place.file));
    place.line.map_or(file.clone(), |line| format!("{file}:{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: usize) -> Option<Place> {
        Some(Place { file: b"/c/main.cf".to_vec(), line: Some(line) })
    }

    fn report() -> Report {
        let mut report = Report::default();
        report.add(Severity::Note, None, b"n");
        for service in ["a/inet", "b/inet"] {
            report.begin(service.into());
            report.add(Severity::Error, place(7), b"e");
            report.end();
        }
        report.begin("c/unix".into());
        report.add(Severity::Warning, place(2), b"w\x1b[1m");
        report
    }

    #[test]
    fn people_read_a_line_a_finding() {
        assert_eq!(
            report().for_people(b"/c"),
            "note: n\n\
             main.cf:2: warning: c/unix: w?[1m\n\
             main.cf:7: error: a/inet, b/inet: e\n\
             checked a/inet, b/inet, c/unix: 1 error, 1 warning, 1 note\n"
        );
    }

    #[test]
    fn what_all_services_have_is_about_none() {
        let mut report = Report::default();
        for service in ["a/inet", "b/inet"] {
            report.begin(service.into());
            report.add(Severity::Error, None, b"e");
        }
        assert!(report.for_people(b"/c").starts_with("error: e\n"));
        assert!(!report.is_good());
    }

    #[test]
    fn what_is_said_twice_is_one_finding() {
        let mut report = Report::default();
        report.add(Severity::Warning, None, b"x");
        report.add(Severity::Error, place(3), b"x");
        report.add(Severity::Note, place(4), b"x");
        assert!(report.for_people(b"/c").starts_with("main.cf:3: error: x\nmain.cf:4: note: x\n"));
    }

    #[test]
    fn programs_get_json() {
        let value: Value = serde_json::from_str(&report().for_programs(b"/c")).unwrap();
        assert_eq!(value["errors"], 1);
        assert_eq!(value["findings"][2]["file"], "/c/main.cf");
        assert_eq!(value["findings"][2]["line"], 7);
        assert_eq!(value["findings"][2]["services"], json!(["a/inet", "b/inet"]));
        assert_eq!(value["findings"][0]["file"], Value::Null);
    }
}
