//! `scripts/switch` in a private Postfix: it changes one word, looks whether the service greets,
//! and takes it back where it does not.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use support::instance::Instance;
use support::namespaces::inside;

const MASTER_CF: &str = "\
# The services of this test.
127.0.0.1:2525 inet  n - n - -   smtpd
  -o smtpd_banner=first
# between
  -o { smtpd_client_restrictions = permit_mynetworks,
       reject }
2526 inet n
  - n - - smtpd -o {smtpd_banner = second one}
public unix n - n - - smtpd
handed pass - - n - - smtpd
2465 inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
";

/// What is done with an instance.
trait Switched {
    fn master_cf(&self) -> String;
    fn script(&self, arguments: &[&str]) -> Command;
    fn switch(&self, arguments: &[&str]) -> (i32, String);
    fn replace_smtpd_rs(&self, does: &str);
}

impl Switched for Instance {
    fn master_cf(&self) -> String {
        fs::read_to_string(self.path("conf/master.cf")).unwrap()
    }

    fn script(&self, arguments: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/switch");
        let mut command = Command::new("bash");
        command.arg(script).arg("-c").arg(self.path("conf")).args(arguments);
        command
    }

    /// Exit status and words of the script.
    fn switch(&self, arguments: &[&str]) -> (i32, String) {
        let Output { status, stdout, stderr } = self.script(arguments).output().unwrap();
        let said = [stdout, stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        eprintln!("switch {arguments:?}: {status}\n{said}");
        (status.code().unwrap(), said)
    }

    /// In the place of smtpd-rs: a program that passes the check and then does this.
    fn replace_smtpd_rs(&self, does: &str) {
        fs::rename(self.path("daemons/smtpd-rs"), self.path("daemons/real")).unwrap();
        let real = self.path("daemons/real");
        let text =
            format!("#!/bin/sh\n[ \"$1\" = check ] && exec {} \"$@\"\n{does}\n", real.display());
        fs::write(self.path("daemons/smtpd-rs"), text).unwrap();
        fs::set_permissions(self.path("daemons/smtpd-rs"), Permissions::from_mode(0o755)).unwrap();
    }
}

fn started() -> Instance {
    let instance = Instance::new("", MASTER_CF).start();
    assert_eq!(instance.banner(2525), "220 first\r\n");
    instance
}

const SERVICES: [&str; 5] =
    ["127.0.0.1:2525/inet", "2526/inet", "public/unix", "handed/pass", "2465/inet"];

#[test]
fn all_services_go_over_and_come_back() {
    inside("all_services_go_over_and_come_back", || {
        let instance = started();
        assert_eq!(instance.switch(&["status"]).0, 1);
        let (status, said) = instance.switch(&["on"]);
        assert_eq!(status, 0, "{}", instance.log());
        for service in SERVICES {
            let word = if service.ends_with("pass") { "starts" } else { "greets" };
            let line = format!("{service}: smtpd -> smtpd-rs; it {word}\n");
            assert!(said.contains(&line), "{line}");
        }
        assert_eq!(instance.banner(2525), "220 first\r\n");
        assert_eq!(instance.banner(2526), "220 second one\r\n");
        let (status, said) = instance.switch(&["status"]);
        assert_eq!((status, said.matches("smtpd-rs\n").count()), (0, 5));
        assert_eq!(instance.switch(&["on"]), (0, SERVICES.map(already).concat()));

        assert_eq!(instance.switch(&["off"]).0, 0);
        let entry = "127.0.0.1:2525 inet  n - n - -   smtpd\n  -o smtpd_banner=first\n# between\n";
        assert!(instance.master_cf().contains(entry), "{}", instance.master_cf());
        assert_eq!(instance.banner(2526), "220 second one\r\n");
    });
}

fn already(service: &str) -> String {
    format!("{service} runs smtpd-rs already\n")
}

#[test]
fn one_word_changes_and_nothing_else() {
    inside("one_word_changes_and_nothing_else", || {
        let instance = Instance::new("", MASTER_CF);
        let (status, said) = instance.switch(&["on", "127.0.0.1:2525"]);
        assert_eq!(status, 0);
        assert!(said.contains("127.0.0.1:2525/inet: smtpd -> smtpd-rs\n"));
        assert!(said.contains("Postfix is not running: "));
        let changed = MASTER_CF.replacen("-   smtpd\n", "-   smtpd-rs\n", 1);
        assert!(instance.master_cf().starts_with(&changed), "{}", instance.master_cf());
        assert_eq!(instance.switch(&["off"]).0, 0);
        assert!(instance.master_cf().starts_with(MASTER_CF));
    });
}

#[test]
fn a_service_that_does_not_greet_goes_back() {
    inside("a_service_that_does_not_greet_goes_back", || {
        let instance = started();
        instance.replace_smtpd_rs("exec sleep 1000");
        let (status, said) = instance.switch(&["--wait", "2", "on", "2525/inet", "2526"]);
        assert_eq!(status, 1);
        // No service has the first name.
        assert!(said.contains("no service 2525/inet of "));
        assert!(instance.master_cf().starts_with(MASTER_CF));
        let (status, said) = instance.switch(&["--wait", "2", "on", "127.0.0.1:2525", "2526"]);
        assert_eq!(status, 1);
        assert!(said.contains("127.0.0.1:2525/inet: smtpd-rs does not greet within 2 seconds"));
        assert!(said.contains("undone: smtpd runs again for 127.0.0.1:2525/inet 2526/inet\n"));
        assert!(instance.master_cf().starts_with(MASTER_CF));
        assert_eq!(instance.banner(2525), "220 first\r\n");
        assert_eq!(instance.banner(2526), "220 second one\r\n");
    });
}

#[test]
fn a_program_that_cannot_start_goes_back() {
    inside("a_program_that_cannot_start_goes_back", || {
        let instance = started();
        instance.replace_smtpd_rs("sleep 1; exit 1");
        for service in ["127.0.0.1:2525/inet", "handed/pass", "public/unix"] {
            let (status, said) = instance.switch(&["--wait", "2", "on", service]);
            assert_eq!(status, 1);
            assert!(said.contains(&format!("undone: smtpd runs again for {service}\n")));
            assert!(instance.master_cf().starts_with(MASTER_CF));
        }
        assert_eq!(instance.banner(2525), "220 first\r\n");
    });
}

#[test]
fn an_interrupted_switch_goes_back() {
    inside("an_interrupted_switch_goes_back", || {
        let instance = started();
        instance.replace_smtpd_rs("exec sleep 1000");
        let mut script = instance.script(&["--wait", "3", "on", "2526"]).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while instance.master_cf().starts_with(MASTER_CF) {
            assert!(Instant::now() < end, "nothing is switched on");
            thread::sleep(Duration::from_millis(20));
        }
        let pid = Pid::from_raw(i32::try_from(script.id()).unwrap());
        signal::kill(pid, Signal::SIGTERM).unwrap();
        assert_eq!(script.wait().unwrap().code(), Some(130));
        assert!(instance.master_cf().starts_with(MASTER_CF));
        assert_eq!(instance.banner(2526), "220 second one\r\n");
    });
}

#[test]
fn what_check_refuses_is_not_switched_on() {
    inside("what_check_refuses_is_not_switched_on", || {
        let instance = started();
        let path = instance.path("conf/main.cf");
        let main_cf = fs::read_to_string(&path).unwrap();
        let wrong = "smtpd_etrn_restrictions = permit_nobody\n";
        fs::write(&path, format!("{main_cf}{wrong}")).unwrap();
        let (status, said) = instance.switch(&["on", "2526"]);
        assert_eq!(status, 1);
        assert!(said.contains("unknown smtpd restriction: \"permit_nobody\""));
        assert!(said.contains("nothing was changed"));
        assert!(instance.master_cf().starts_with(MASTER_CF));
        let (status, said) = instance.switch(&["on", "--force", "2526"]);
        assert_eq!(status, 0);
        assert!(said.contains("2526/inet: smtpd -> smtpd-rs; it greets\n"));
    });
}

#[test]
fn wrong_words_change_nothing() {
    inside("wrong_words_change_nothing", || {
        let instance = Instance::new("", MASTER_CF);
        for wrong in [&[][..], &["nonsense"], &["on", "--nonsense"], &["on", "--wait", "x"]] {
            let (status, said) = instance.switch(wrong);
            assert_eq!(status, 64, "{wrong:?}");
            assert!(said.contains("smtpd-rs-switch on [SERVICE...]"));
        }
        assert_eq!(instance.switch(&["--help"]).0, 0);
        assert_eq!(instance.switch(&["on", "cleanup"]).0, 1);
        fs::remove_file(instance.path("daemons/smtpd-rs")).unwrap();
        let (status, said) = instance.switch(&["on"]);
        assert_eq!(status, 1);
        assert!(said.contains("is not there (make install)"));
        assert!(instance.master_cf().starts_with(MASTER_CF));
    });
}
