//! The filter for fail2ban: what it takes for an attack.
//!
//! It is tried with all that is around it, hence where fail2ban is installed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILTER: &str = "scripts/smtpd-rs-fail2ban.conf";

/// What a filter includes.
const COMMON: &str = "/etc/fail2ban/filter.d/common.conf";

/// The filter beside what it includes.
struct Filter(PathBuf);

impl Filter {
    /// `None`: there is no fail2ban.
    fn installed() -> Option<Self> {
        Command::new("fail2ban-regex").arg("--version").output().ok()?;
        let common = fs::read(COMMON).ok()?;
        let place = std::env::temp_dir().join(format!("fail2ban-{}", std::process::id()));
        fs::create_dir(&place).unwrap();
        fs::write(place.join("common.conf"), common).unwrap();
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILTER);
        fs::copy(own, place.join("smtpd-rs.conf")).unwrap();
        Some(Self(place))
    }

    fn takes_for_an_attack(&self, line: &str) -> bool {
        let line = format!("Nov 25 20:34:42 mail {line}");
        let filter = self.0.join("smtpd-rs.conf");
        let output = Command::new("fail2ban-regex").arg(line).arg(filter).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("Lines: 1 lines"), "{said}{wrong}");
        said.contains("1 matched")
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn failed_logins_are_attacks_and_nothing_else_is() {
    let Some(filter) = Filter::installed() else {
        eprintln!("skipped: fail2ban is not installed");
        return;
    };
    let failed = "SASL EXTERNAL authentication failed:";
    let unknown = "sasl_username=(unavailable)";
    for (line, wanted) in [
        (
            format!(
                "postfix/submission/smtpd[9]: warning: x.test[192.0.2.7]: {failed} no certificate, {unknown}"
            ),
            true,
        ),
        (
            format!(
                "postfix/smtpd[9]: warning: x.test[192.0.2.7]: {failed} certificate is nobody's, {unknown}"
            ),
            true,
        ),
        (
            format!(
                "postfix/smtpd[9]: warning: unknown[2001:db8::7]: {failed} no certificate, {unknown}"
            ),
            true,
        ),
        (
            format!(
                "postfix/smtps/smtpd[9]: warning: x.test[192.0.2.7]: {failed} certificate does not allow to act as (until), sasl_username=alice"
            ),
            true,
        ),
        (
            format!(
                "postfix/smtpd[9]: warning: x.test[192.0.2.7]: {failed} certificate does not allow to act as x: {failed} a table of users cannot be asked, sasl_username=alice"
            ),
            true,
        ),
        (
            format!(
                "postfix/smtpd[9]: warning: x.test[192.0.2.7]: {failed} certificate was accepted until 2026-01-01 (until), sasl_username=alice"
            ),
            false,
        ),
        (
            format!(
                "postfix/smtpd[9]: warning: x.test[192.0.2.7]: {failed} certificate is not accepted from 192.0.2.7 (clients), sasl_username=alice"
            ),
            false,
        ),
        (
            format!(
                "postfix/smtpd[9]: info: x.test[192.0.2.7]: {failed} no certificate, {unknown}"
            ),
            false,
        ),
        (
            format!("postfix/smtpd[9]: NOQUEUE: reject: x: warning: x.test[192.0.2.7]: {failed}"),
            false,
        ),
        ("postfix/smtpd[9]: connect from x.test[192.0.2.7]".to_owned(), false),
    ] {
        assert_eq!(filter.takes_for_an_attack(&line), wanted, "{line}");
    }
}

#[test]
fn the_line_that_the_filter_looks_for_is_the_one_that_is_logged() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let filter = fs::read_to_string(root.join(FILTER)).unwrap();
    assert!(filter.contains("SASL EXTERNAL authentication failed:"));
    let logged = fs::read_to_string(root.join("tests/transcripts/ccert_user_auth.smtp")).unwrap();
    let line = "L: warning: good.client.test[192.0.2.10]: SASL EXTERNAL authentication failed: ";
    assert!(logged.contains(line));
}
