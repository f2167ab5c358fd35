//! `smtpd-rs ccert`, as an administrator uses it: from a new key to its end.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A directory with a main.cf, gone when the test ends.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ccert-{name}-{}", std::process::id()));
        fs::create_dir(&path).expect("this test's own files");
        let users = path.join("users");
        let main_cf = format!(
            "compatibility_level = 3.6\n\
             myhostname = mail.example.org\n\
             smtpd_tls_ask_ccert = yes\n\
             smtpd_tls_ccert_user_maps = texthash:{}\n\
             smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination\n",
            users.display()
        );
        fs::write(path.join("main.cf"), main_cf).expect("this test's own files");
        Self(path)
    }

    fn ccert(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_smtpd-rs"))
            .arg("ccert")
            .args(words)
            .args(["--table", &format!("texthash:{}", self.0.join("users").display())])
            .current_dir(&self.0)
            .env("MAIL_CONFIG", &self.0)
            .output()
            .expect("this test's own files and programs")
    }

    fn says(&self, words: &[&str]) -> String {
        let output = self.ccert(words);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {complaint}");
        String::from_utf8(output.stdout).expect("this test's own files and programs")
    }

    fn complains(&self, words: &[&str], status: i32) -> String {
        let output = self.ccert(words);
        assert_eq!(output.status.code(), Some(status), "{words:?}");
        String::from_utf8(output.stderr).expect("this test's own files and programs")
    }

    fn users(&self) -> String {
        fs::read_to_string(self.0.join("users")).unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The accounts that main.cf names must be there: elsewhere the tests that load it are left out.
fn has_postfix() -> bool {
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = accounts.lines().any(|line| line.starts_with("postfix:"));
    if !found {
        eprintln!("skipped: this machine has no account of Postfix");
    }
    found
}

fn place(name: &str) -> Option<Place> {
    has_postfix().then(|| Place::new(name))
}

#[test]
fn a_certificate_is_made_listed_renewed_and_revoked() {
    let Some(place) = place("life") else { return };
    let said = place.says(&["new", "alice@example.org", "--device", "phone", "--json"]);
    assert!(said.contains("\"user\": \"alice@example.org\"") && said.contains("\"password\""));
    assert!(place.users().ends_with(" user=alice@example.org, device=phone\n"));
    let name = "alice@example.org-phone";
    let directory = place.0.join(name);
    for ending in [".key", ".pem", ".p12", "-legacy.p12", ".mobileconfig"] {
        assert!(directory.join(format!("{name}{ending}")).is_file(), "{ending}");
    }
    let list = place.says(&["list"]);
    assert!(list.contains("alice@example.org") && list.contains("phone") && list.contains("never"));
    let (pem, key) = (format!("{name}/{name}.pem"), format!("{name}/{name}.key"));
    // renew and show take no --table.
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smtpd-rs"));
        command.arg("ccert").args(words).current_dir(&place.0).output().unwrap()
    };
    assert!(run(&["renew", &pem, "--key", &key]).status.success());
    let prints = |file: &str| {
        let output = run(&["show", file]);
        String::from_utf8(output.stdout).unwrap()
    };
    let (old, new) = (prints(&pem), prints(&format!("{pem}.new")));
    let fingerprint = place.users().split(' ').next().unwrap().to_owned();
    assert!(old.contains(&fingerprint) && new.contains(&fingerprint) && old != new);
    assert!(place.complains(&["add", &pem, "--user", "eve"], 1).contains("is there already"));
    place.says(&["revoke", "alice@example.org", "--device", "phone"]);
    assert_eq!(place.users(), "");
    assert!(place.complains(&["revoke", "alice@example.org"], 1).contains("nothing there of"));
}

#[test]
fn fingerprints_of_other_digests_are_told_apart() {
    let Some(place) = place("digests") else { return };
    let sha1 = "ab".repeat(20);
    let said = place.complains(&["add", &sha1, "--user", "bob"], 1);
    assert!(said.contains("this is a sha1 fingerprint, but smtpd_tls_fingerprint_digest = sha256"));
    let plain = "ab".repeat(32);
    place.says(&["add", &plain, "--user", "bob", "--until", "2030-01-01"]);
    assert!(place.users().starts_with("AB:AB:") && place.users().contains("until=2030-01-01"));
}

#[test]
fn a_table_with_mistakes_is_told_line_by_line() {
    let Some(place) = place("mistakes") else { return };
    let good = ["AB"; 32].join(":");
    let text = format!(
        "{good} user=alice, until=2020-01-01\n{plain} bob\n{good} carol\nab:cd x\nsan_email:a@b a, b\n",
        plain = "cd".repeat(32),
    );
    fs::write(place.0.join("users"), text).unwrap();
    let output = place.ccert(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    for words in [
        "line 1: alice's entry ended on 2020-01-01",
        "line 2: this form of the fingerprint is never looked up: write CD:CD:",
        "line 3: the same key as in line 1",
        "line 4: \"ab:cd\" is no sha256 fingerprint and no name",
        "line 5: bad entry: not name=value: \"a\"",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
}

#[test]
fn words_that_mean_nothing_are_refused() {
    let Some(place) = place("words") else { return };
    assert!(place.complains(&["frob"], 64).contains("unknown verb"));
    assert!(place.complains(&["add"], 64).contains("FILE or FINGERPRINT is missing"));
    assert!(place.complains(&["new", "a b", "--days", "3"], 64).contains("bad value of user"));
    assert!(place.complains(&["new", "a", "--days", "0"], 64).contains("from 1 to 20000"));
    assert!(place.says(&["new", "--help"]).contains("usage: smtpd-rs ccert new USER"));
    assert_eq!(place.users(), "");
}
