//! Parameters that do nothing: misspelt, or not in this version.

use super::neighbours::postconf;
use super::places::Places;
use super::report::{Report, Severity};
use super::start::Examination;
use crate::config::parameters::{Effect, TABLE};

impl Examination<'_> {
    /// Parameters that are set, to something else than their default, and without effect.
    pub(super) fn look_at_parameters(&mut self) {
        for row in TABLE.iter().filter(|row| row.effect == Effect::Later) {
            let set = self.places.setting(row.name.as_bytes());
            let place = self.places.of(row.name.as_bytes());
            let told = self.report.names(row.name, place.as_ref());
            if set.is_some_and(|setting| setting.value != row.default.as_bytes()) && !told {
                let text = fill!("{} has no effect in this version of smtpd-rs", row.name);
                self.say(Severity::Warning, place, &text);
            }
        }
    }
}

/// Parameters that no program of Postfix knows: postconf(1) says which.
pub(super) fn look_for_unknown(report: &mut Report, places: &[Places<'_>], directory: &[u8]) {
    let output = match postconf(directory).arg("-n").output() {
        Ok(output) if output.status.success() => output,
        // It is told elsewhere what is wrong with the files.
        Ok(_) => return,
        Err(error) => {
            let text = fill!("postconf: {}: misspelt parameters are not looked for", error);
            return report.add(Severity::Note, None, &text);
        }
    };
    // Of what is in smtpd-rs alone, Postfix's programs know nothing.
    let is_ours = |name: &&[u8]| TABLE.iter().any(|row| row.name.as_bytes() == *name);
    let lines = output.stderr.split(|byte| *byte == b'\n');
    let unknown: Vec<&[u8]> = lines.filter_map(unused).filter(|name| !is_ours(name)).collect();
    if unknown.is_empty() {
        return;
    }
    let known = known_names(directory);
    for name in unknown {
        let Some(place) = places.iter().find_map(|places| places.of(name)) else { continue };
        let text = match nearest(&String::from_utf8_lossy(name), &known) {
            Some(near) => fill!("unused parameter: {}; is it {}?", name, near),
            None => fill!("unused parameter: {}", name),
        };
        report.add(Severity::Warning, Some(place), &text);
    }
}

/// The name in `postconf: warning: /etc/postfix/main.cf: unused parameter: name=value`.
fn unused(line: &[u8]) -> Option<&[u8]> {
    const MARK: &[u8] = b": unused parameter: ";
    let at = memchr::memmem::find(line, MARK)?;
    line[at + MARK.len()..].split(|byte| *byte == b'=').next()
}

/// All parameters of the installed Postfix, and ours.
fn known_names(directory: &[u8]) -> Vec<String> {
    let output = postconf(directory).arg("-d").output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let installed = text.lines().filter_map(|line| line.split(' ').next());
    installed.chain(TABLE.iter().map(|row| row.name)).map(str::to_owned).collect()
}

/// The known name that differs least, in two letters at most.
fn nearest<'k>(name: &str, known: &'k [String]) -> Option<&'k str> {
    let close = known.iter().map(|known| (strsim::damerau_levenshtein(name, known), known));
    let (distance, nearest) = close.min_by_key(|(distance, _)| *distance)?;
    (distance <= 2).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered() {
        let known = ["smtpd_tls_ask_ccert", "smtpd_tls_req_ccert"].map(str::to_owned);
        assert_eq!(nearest("smtpd_tls_ask_ccerts", &known), Some("smtpd_tls_ask_ccert"));
        assert_eq!(nearest("smtpd_tls_akc_ccert", &known), Some("smtpd_tls_ask_ccert"));
        assert_eq!(nearest("something_else", &known), None);
    }

    #[test]
    fn postconf_names_what_nobody_uses() {
        let line = b"postconf: warning: /etc/postfix/main.cf: unused parameter: foo=bar=x";
        assert_eq!(unused(line), Some(&b"foo"[..]));
        assert_eq!(unused(b"postconf: warning: something else"), None);
    }
}
