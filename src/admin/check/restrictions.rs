//! Restrictions that would surprise: misspelt, not in this version, never reached.

use super::report::Severity;
use super::start::{Examination, Started};
use crate::restriction::review::{DEFERRED, Reviewed, State, missing};

impl Examination<'_> {
    pub(super) fn look_at_restrictions(&mut self, started: &Started) {
        for restriction in started.server.policy.iter().flat_map(|policy| policy.review()) {
            let place = self.places.of_word(restriction.list, restriction.name);
            let text = complaint(&restriction);
            let (severity, text) = match (text, restriction.behind) {
                (_, Some(last)) => (
                    Severity::Warning,
                    fill!("restriction `{}' after `{}' is ignored", restriction.name, last),
                ),
                (Some((severity, text)), None) => (severity, text),
                (None, None) => continue,
            };
            self.say(severity, place, &text);
        }
        if started.server.lacks_filter {
            let names = ["smtpd_milters", "smtpd_milter_maps", "smtpd_proxy_filter"];
            let place = names.iter().find_map(|name| self.places.of(name.as_bytes()));
            let text =
                b"a Milter or filter is configured, and this version of smtpd-rs cannot ask \
                         it: mail is answered with 451";
            self.say(Severity::Error, place, text);
        }
    }
}

fn complaint(restriction: &Reviewed<'_>) -> Option<(Severity, Vec<u8>)> {
    match restriction.state {
        State::Works => None,
        State::Ignored(text) => Some((Severity::Warning, text.to_vec())),
        State::Broken(text) => Some((Severity::Error, fill!("{}{}", text, DEFERRED))),
        State::Missing => {
            Some((Severity::Error, fill!("{}{}", missing(restriction.name), DEFERRED)))
        }
    }
}
