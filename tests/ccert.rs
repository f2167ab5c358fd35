//! `smtpd-rs ccert`, as an administrator uses it: from a new key to its end.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

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

    /// Without `--table`: what main.cf and master.cf say.
    fn plain(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smtpd-rs"));
        command.arg("ccert").args(words).current_dir(&self.0).env("MAIL_CONFIG", &self.0);
        let output = command.output().expect("this test's own files and programs");
        let text = |bytes| String::from_utf8(bytes).expect("this test's own files and programs");
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    fn file(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).expect("this test's own files");
    }

    /// The names in the directory.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("this test's own files");
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut names: Vec<_> = entries.filter_map(Result::ok).map(name).collect();
        names.sort();
        names
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
    place.file("log", "");
    let list = place.says(&["list", "--log", "log"]);
    assert!(list.contains("alice@example.org") && list.contains("phone") && list.contains("never"));
    let (pem, key) = (format!("{name}/{name}.pem"), format!("{name}/{name}.key"));
    // renew and show take no --table.
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smtpd-rs"));
        command.arg("ccert").args(words).current_dir(&place.0).output().unwrap()
    };
    let renewed = String::from_utf8(run(&["renew", &pem, "--key", &key]).stdout).unwrap();
    assert!(renewed.contains("signed by itself\nNot made: .p12"), "{renewed}");
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
    let said = place.complains(&["new", "a b", "--days", "3"], 64);
    assert!(said.contains("bad value of user: \"a b\": a user's name has no blanks"), "{said}");
    assert!(place.complains(&["new", "a", "--until", "2020-01-01"], 64).contains("is over"));
    assert!(place.complains(&["new", "a\", device=\"b"], 64).contains("has no quotes"));
    assert!(place.complains(&["new", "."], 64).contains("no file can be named for"));
    assert!(place.complains(&["new", &"x".repeat(65)], 64).contains("64 characters"));
    assert!(place.complains(&["new", "a", "--days", "0"], 64).contains("from 1 to 20000"));
    assert!(place.says(&["new", "--help"]).contains("usage: smtpd-rs ccert new USER"));
    assert_eq!(place.users(), "");
}

#[test]
fn a_certificate_is_made_as_a_whole_or_not_at_all() {
    let Some(place) = place("whole") else { return };
    // A directory stands where the table should be.
    fs::create_dir(place.0.join("users")).unwrap();
    let before = place.names();
    let said = place.complains(&["new", "alice", "--ca", "ca", "--out", "a/b"], 1);
    assert!(said.contains("open ") && said.contains("users"), "{said}");
    assert_eq!(place.names(), before);
    fs::remove_dir(place.0.join("users")).unwrap();
    // postmap(1) cannot make an index.
    fs::create_dir(place.0.join("map.db")).unwrap();
    let before = place.names();
    let table = format!("hash:{}", place.0.join("map").display());
    let (code, _, said) = place.plain(&["new", "alice", "--ca", "ca", "--table", &table]);
    assert_eq!(code, Some(1));
    assert!(said.contains("postmap"), "{said}");
    assert_eq!(place.names(), before);
    // And nothing is in the way of the next try.
    place.says(&["new", "alice", "--ca", "ca"]);
    let users = place.users();
    let said = place.complains(&["new", "alice"], 1);
    assert!(said.contains("alice/alice.key is there already: remove it, or give --out"), "{said}");
    assert_eq!(place.users(), users);
}

#[test]
fn a_comment_in_another_encoding_is_kept() {
    let Some(place) = place("latin1") else { return };
    fs::write(place.0.join("users"), b"# f\xfcr alle\n").unwrap();
    place.says(&["new", "alice"]);
    let users = fs::read(place.0.join("users")).unwrap();
    assert!(users.starts_with(b"# f\xfcr alle\n") && users.ends_with(b" user=alice\n"));
    place.says(&["revoke", "alice"]);
    assert_eq!(fs::read(place.0.join("users")).unwrap(), b"# f\xfcr alle\n");
}

#[test]
fn a_ca_that_is_none_signs_nothing() {
    let Some(place) = place("no-ca") else { return };
    place.says(&["new", "alice"]);
    place.says(&["new", "bob"]);
    let copy = |from: &str, to: &str| {
        fs::copy(place.0.join(from), place.0.join(to)).unwrap();
    };
    fs::create_dir(place.0.join("ca")).unwrap();
    copy("alice/alice.pem", "ca/ca.pem");
    copy("bob/bob.key", "ca/ca.key");
    let said = place.complains(&["new", "carol", "--ca", "ca"], 1);
    assert!(said.contains("ca/ca.pem is not of the key in ca/ca.key"), "{said}");
    copy("alice/alice.key", "ca/ca.key");
    let said = place.complains(&["new", "carol", "--ca", "ca"], 1);
    assert!(said.contains("ca/ca.pem is no CA's certificate"), "{said}");
}

#[test]
fn the_command_for_later_has_all_that_was_given() {
    let Some(place) = place("later") else { return };
    let said = place.says(&[
        "new",
        "alice",
        "--no-add",
        "--device",
        "her phone",
        "--senders",
        "@example.org <>",
        "--clients",
        "192.0.2.0/24",
    ]);
    let command = said.lines().find(|line| line.contains("ccert add")).unwrap();
    let wanted = "--user alice --device 'her phone' --senders '@example.org <>' --clients \
                  192.0.2.0/24 --table texthash:";
    assert!(command.contains(wanted), "{command}");
    assert_eq!(place.users(), "");
}

#[test]
fn the_table_of_the_service_that_asks_is_the_table() {
    let Some(place) = place("services") else { return };
    let (one, two) = (place.0.join("one"), place.0.join("two"));
    let (one, two) = (one.display(), two.display());
    place.file("main.cf", "compatibility_level = 3.6\nmyhostname = mail.example.org\n");
    let smtps = format!(
        "smtp inet n - n - - smtpd-rs\n\
         smtps inet n - n - - smtpd-rs\n  -o smtpd_tls_wrappermode=yes\n\
         \x20 -o smtpd_tls_ask_ccert=yes\n  -o smtpd_tls_ccert_user_maps=texthash:{one}\n"
    );
    place.file("master.cf", &smtps);
    let (code, said, complaint) = place.plain(&["new", "alice"]);
    assert_eq!(code, Some(0), "{complaint}");
    assert!(said.contains(&format!("Added to texthash:{one}")), "{said}");
    assert!(said.contains("port 465, SSL/TLS") && !said.contains("587"), "{said}");
    let (code, said, _) = place.plain(&["list"]);
    assert!(code == Some(0) && said.contains("alice"), "{said}");
    place.file(
        "master.cf",
        &format!(
            "{smtps}submission inet n - n - - smtpd-rs\n  -o smtpd_tls_security_level=encrypt\n\
             \x20 -o smtpd_tls_ask_ccert=yes\n  -o smtpd_tls_ccert_user_maps=texthash:{two}\n"
        ),
    );
    let (code, _, complaint) = place.plain(&["list"]);
    assert_eq!(code, Some(1));
    for words in [
        format!("smtps/inet has texthash:{one}"),
        format!("submission/inet has texthash:{two}: say which with --table"),
    ] {
        assert!(complaint.contains(&words), "{words}\n{complaint}");
    }
}

/// Services as the documentation has them.
const SUBMISSION: &str = "\
smtp inet n - n - - smtpd-rs
submission inet n - n - - smtpd-rs
  -o smtpd_tls_security_level=encrypt
  -o smtpd_tls_ask_ccert=yes
  -o { smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination }
";

#[test]
fn a_setup_as_documented_is_well_until_its_index_is_stale() {
    let Some(place) = place("documented") else { return };
    let table = format!("hash:{}", place.0.join("map").display());
    let main_cf = format!(
        "compatibility_level = 3.6\nmyhostname = mail.example.org\n\
         smtpd_tls_ccert_user_maps = {table}\n"
    );
    place.file("main.cf", &main_cf);
    place.file("master.cf", SUBMISSION);
    let (code, said, _) = place.plain(&["check"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("map.db: No such file or directory"), "{said}");
    let (code, _, said) = place.plain(&["new", "alice"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(place.plain(&["check"]), (Some(0), "All is well.\n".into(), String::new()));
    // An index that is younger than its source, and another one all the same.
    let good = fs::read_to_string(place.0.join("map")).unwrap();
    let key = ["AB"; 32].join(":");
    place.file("map", &format!("{good}{key} bob\n"));
    let index = fs::File::options().append(true).open(place.0.join("map.db")).unwrap();
    let set = |time| index.set_modified(time).unwrap();
    let (now, hour) = (std::time::SystemTime::now(), std::time::Duration::from_secs(3600));
    set(now + hour);
    let (code, said, _) = place.plain(&["check"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("map, line 2: the server does not find this key: run postmap"), "{said}");
    set(now - hour);
    let (code, said, _) = place.plain(&["check"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("map.db is older than ") && said.contains("run postmap hash:"), "{said}");
}

#[test]
fn a_table_that_is_not_there_is_an_error() {
    let Some(place) = place("absent") else { return };
    place.file("master.cf", SUBMISSION);
    let (code, said, _) = place.plain(&["check"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("users: No such file or directory"), "{said}");
    assert!(!place.0.join("users").exists());
}

#[test]
fn a_service_that_needs_certificates_and_does_not_ask_is_told() {
    let Some(place) = place("unasked") else { return };
    place.file("users", "");
    place.file("main.cf", "compatibility_level = 3.6\nmyhostname = mail.example.org\n");
    let table = format!("texthash:{}", place.0.join("users").display());
    let table = format!("  -o smtpd_tls_ccert_user_maps={table}\n");
    let other = format!("smtps inet n - n - - smtpd-rs\n  -o smtpd_tls_wrappermode=yes\n{table}");
    place.file("master.cf", &format!("{SUBMISSION}{table}{other}"));
    let (code, said, _) = place.plain(&["check"]);
    assert_eq!(code, Some(0));
    let unasked = "smtps/inet: smtpd_tls_ccert_user_maps, but clients are not asked";
    assert!(said.contains(unasked) && !said.contains("submission/inet"), "{said}");
    place.file("master.cf", &other);
    let (_, said, _) = place.plain(&["check"]);
    assert!(said.contains("no service asks its clients for certificates"), "{said}");
}

#[test]
fn what_a_ca_has_issued_is_renewed_by_a_ca() {
    let Some(place) = place("renew") else { return };
    place.says(&["new", "alice", "--ca", "ca"]);
    let renew = ["renew", "alice/alice.pem", "--key", "alice/alice.key"];
    let (code, _, said) = place.plain(&renew);
    assert_eq!(code, Some(1));
    assert!(said.contains("was issued by CN=Mail clients CA: give --ca DIR"), "{said}");
    assert!(!place.0.join("alice/alice.pem.new").exists());
    let (code, _, _) = place.plain(&[&renew[..], &["--ca", "nothing"]].concat());
    assert!(code == Some(1) && !place.0.join("nothing").exists());
    let (code, said, _) = place.plain(&[&renew[..], &["--ca", "ca"]].concat());
    assert!(code == Some(0) && said.contains("signed by CN=Mail clients CA"), "{said}");
}

#[test]
fn a_file_without_certificate_is_told_in_words() {
    let Some(place) = place("no-pem") else { return };
    place.says(&["new", "alice"]);
    for file in ["alice/alice.key", "alice/alice.p12"] {
        let (code, _, said) = place.plain(&["show", file]);
        let wanted = format!("no certificate in PEM or DER in {file}");
        assert!(code == Some(1) && said.contains(&wanted), "{said}");
    }
}

#[test]
fn a_log_that_is_not_there_is_told() {
    let Some(place) = place("no-log") else { return };
    place.file("users", &format!("{} alice\n", ["AB"; 32].join(":")));
    let main_cf = fs::read_to_string(place.0.join("main.cf")).unwrap();
    place.file("main.cf", &format!("{main_cf}maillog_file = /var/log/no/such\n"));
    let (code, said, _) = place.plain(&["list"]);
    assert_eq!(code, Some(0));
    assert!(said.contains("no log read: /var/log/no/such is not there"), "{said}");
    assert!(!said.contains("never"), "{said}");
}

#[test]
fn a_service_that_cannot_start_is_in_nobodys_way() {
    let Some(place) = place("broken") else { return };
    place.file("users", "");
    let broken = "2525 inet n - n - - smtpd-rs\n  -o smtpd_helo_required=maybe\n";
    place.file("master.cf", &format!("{SUBMISSION}{broken}"));
    let (code, _, said) = place.plain(&["new", "alice"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said, _) = place.plain(&["check"]);
    assert_eq!(code, Some(1));
    let wanted = "error: 2525/inet: bad boolean configuration: smtpd_helo_required = maybe";
    assert!(said.contains(wanted), "{said}");
}

#[test]
fn a_signal_does_not_leave_half_of_it() {
    let Some(place) = place("signal") else { return };
    let table = format!("hash:{}", place.0.join("map").display());
    let before = place.names();
    // In the place of postmap(1): it ends whoever called it, and comes to this status.
    let new = |status: &str| {
        place.file("postmap", &format!("#!/bin/sh\nkill -TERM $PPID\nexit {status}\n"));
        let program = place.0.join("postmap");
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_smtpd-rs"));
        command.args(["ccert", "new", "alice", "--table", &table]).current_dir(&place.0);
        command.env("MAIL_CONFIG", &place.0);
        command.env("PATH", format!("{}:/usr/bin:/bin", place.0.display()));
        let code = command.output().unwrap().status.code();
        fs::remove_file(program).unwrap();
        code
    };
    assert_eq!(new("1"), Some(1));
    assert_eq!(place.names(), before);
    assert_eq!(new("0"), Some(0));
    assert!(place.0.join("alice/alice.p12").exists());
    assert!(fs::read_to_string(place.0.join("map")).unwrap().ends_with(" user=alice\n"));
}

#[test]
fn a_password_can_come_from_standard_input() {
    let Some(place) = place("password") else { return };
    let new = |typed: &[u8]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smtpd-rs"));
        command.args(["ccert", "new", "alice", "--no-add", "--password", "-"]);
        command.current_dir(&place.0).env("MAIL_CONFIG", &place.0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(typed).unwrap();
        child.wait_with_output().unwrap()
    };
    assert_eq!(new(b"\n").status.code(), Some(64));
    let output = new(b"open sesame\nmore\n");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("Password of the .p12 files: open sesame\n"), "{said}");
}
