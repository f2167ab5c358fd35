//! `scripts/switch` in a private Postfix: it changes one word, looks whether the service greets,
//! and takes it back where it does not.
//!
//! Each test runs in namespaces of its own. It needs root, Postfix, util-linux and iproute2;
//! elsewhere it says so, and fails only where `CI` is set.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/certificates.rs"]
#[allow(dead_code, reason = "only the server's certificate is used")]
mod certificates;

use std::env;
use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::{Group, User, chown};

/// Set in the process that runs inside the namespaces.
const INSIDE: &str = "SMTPD_RS_INSIDE_SWITCH";

/// Runs `test` in namespaces of its own.
fn inside(name: &str, test: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
        return test();
    }
    if let Some(missing) = missing() {
        assert!(env::var_os("CI").is_none(), "not tried: {missing}");
        return eprintln!("not tried: {missing}");
    }
    let status = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .status();
    assert!(status.unwrap().success());
}

fn missing() -> Option<&'static str> {
    let works = |program: &str, arguments: &[&str]| {
        Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
    };
    if !nix::unistd::geteuid().is_root() {
        return Some("needs root");
    }
    if !works("postconf", &["-d"]) {
        return Some("needs an installed Postfix");
    }
    if !works("ip", &["-V"]) {
        return Some("needs ip (iproute2)");
    }
    if !works("unshare", &["-mnpf", "--mount-proc", "true"]) {
        return Some("needs unshare, and the right to make namespaces");
    }
    None
}

const MAIN_CF: &str = "\
compatibility_level = 3.6
myhostname = mx.example
mynetworks = 127.0.0.0/8
local_recipient_maps =
alias_maps =
alias_database =
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
";

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
cleanup unix n - n - 0 cleanup
rewrite unix - - n - - trivial-rewrite
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
tlsmgr unix - - n - 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
";

/// A Postfix of our own.
struct Instance {
    directory: PathBuf,
    master: Option<Child>,
}

impl Instance {
    fn new(name: &str) -> Self {
        let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
        // Not everybody may go there; the mount is seen by this test only.
        let directory = PathBuf::from("/mnt");
        let status = Command::new("mount").args(["-t", "tmpfs", name, "/mnt"]).status().unwrap();
        assert!(status.success() && base.is_absolute());
        fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
        let instance = Self { directory, master: None };
        instance.make_folders();
        instance.make_daemons();
        certificates::make(&instance.path("tls")).unwrap();
        instance.write_configuration();
        instance
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn make_folders(&self) {
        let owner = User::from_name("postfix").unwrap().unwrap();
        let group = Group::from_name("postdrop").unwrap().unwrap();
        for name in ["conf", "daemons", "data", "queue", "queue/pid", "queue/public"] {
            fs::create_dir(self.path(name)).unwrap();
        }
        for name in ["private", "incoming", "active", "deferred", "bounce", "defer", "corrupt"] {
            let path = self.path("queue").join(name);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
            chown(&path, Some(owner.uid), None).unwrap();
        }
        chown(&self.path("data"), Some(owner.uid), None).unwrap();
        let public = self.path("queue/public");
        fs::set_permissions(&public, Permissions::from_mode(0o710)).unwrap();
        chown(&public, Some(owner.uid), Some(group.gid)).unwrap();
    }

    fn make_daemons(&self) {
        let output = Command::new("postconf").args(["-dh", "daemon_directory"]).output().unwrap();
        let theirs = String::from_utf8(output.stdout).unwrap();
        for entry in fs::read_dir(theirs.trim()).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() != "smtpd-rs" {
                symlink(entry.path(), self.path("daemons").join(entry.file_name())).unwrap();
            }
        }
        let ours = env::var_os("SMTPD_RS_BINARY");
        let ours = ours.map_or_else(|| env!("CARGO_BIN_EXE_smtpd-rs").into(), PathBuf::from);
        fs::copy(ours, self.path("daemons/smtpd-rs")).unwrap();
    }

    fn write_configuration(&self) {
        let shown = self.directory.display();
        let main_cf = format!(
            "{MAIN_CF}queue_directory = {shown}/queue\ndata_directory = {shown}/data\n\
             daemon_directory = {shown}/daemons\nmaillog_file = {shown}/maillog\n\
             maillog_file_prefixes = {shown}\nsmtpd_tls_security_level = may\n\
             smtpd_tls_chain_files = {shown}/tls/server.chain\n"
        );
        fs::write(self.path("conf/main.cf"), main_cf).unwrap();
        fs::write(self.path("conf/master.cf"), MASTER_CF).unwrap();
    }

    fn start(mut self) -> Self {
        let master = Command::new(self.path("daemons/master"))
            .args(["-d", "-c"])
            .arg(self.path("conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.master = Some(master.unwrap());
        assert_eq!(self.banner(2525), "220 first\r\n");
        self
    }

    /// Waits for the service, and gives what it says.
    fn banner(&self, port: u16) -> String {
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            if let Ok(mut client) = TcpStream::connect(("127.0.0.1", port)) {
                client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                let mut said = vec![0; 100];
                let len = client.read(&mut said).unwrap_or(0);
                let _ = client.write_all(b"QUIT\r\n");
                return String::from_utf8_lossy(&said[..len]).into_owned();
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("nobody listens at {port}: {}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("maillog")).unwrap_or_default()
    }

    fn master_cf(&self) -> String {
        fs::read_to_string(self.path("conf/master.cf")).unwrap()
    }

    /// Exit status and words of the script.
    fn switch(&self, arguments: &[&str]) -> (i32, String) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/switch");
        let mut command = Command::new("bash");
        command.arg(script).arg("-c").arg(self.path("conf")).args(arguments);
        let Output { status, stdout, stderr } = command.output().unwrap();
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

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(mut master) = self.master.take() {
            let _ = master.kill();
            let _ = master.wait();
        }
    }
}

const SERVICES: [&str; 5] =
    ["127.0.0.1:2525/inet", "2526/inet", "public/unix", "handed/pass", "2465/inet"];

#[test]
fn all_services_go_over_and_come_back() {
    inside("all_services_go_over_and_come_back", || {
        let instance = Instance::new("all").start();
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
        let instance = Instance::new("one");
        let (status, said) = instance.switch(&["on", "127.0.0.1:2525"]);
        assert_eq!(status, 0);
        assert!(said.contains("127.0.0.1:2525/inet: smtpd -> smtpd-rs\n"));
        assert!(said.contains("Postfix is not running: "));
        let changed = MASTER_CF.replacen("-   smtpd\n", "-   smtpd-rs\n", 1);
        assert_eq!(instance.master_cf(), changed);
        assert_eq!(instance.switch(&["off"]).0, 0);
        assert_eq!(instance.master_cf(), MASTER_CF);
    });
}

#[test]
fn a_service_that_does_not_greet_goes_back() {
    inside("a_service_that_does_not_greet_goes_back", || {
        let instance = Instance::new("dumb").start();
        instance.replace_smtpd_rs("exec sleep 1000");
        let (status, said) = instance.switch(&["--wait", "2", "on", "2525/inet", "2526"]);
        assert_eq!(status, 1);
        // No service has the first name.
        assert!(said.contains("no service 2525/inet of "));
        assert_eq!(instance.master_cf(), MASTER_CF);
        let (status, said) = instance.switch(&["--wait", "2", "on", "127.0.0.1:2525", "2526"]);
        assert_eq!(status, 1);
        assert!(said.contains("127.0.0.1:2525/inet: smtpd-rs does not greet within 2 seconds"));
        assert!(said.contains("undone: smtpd runs again for 127.0.0.1:2525/inet 2526/inet\n"));
        assert_eq!(instance.master_cf(), MASTER_CF);
        assert_eq!(instance.banner(2525), "220 first\r\n");
        assert_eq!(instance.banner(2526), "220 second one\r\n");
    });
}

#[test]
fn a_program_that_cannot_start_goes_back() {
    inside("a_program_that_cannot_start_goes_back", || {
        let instance = Instance::new("dead").start();
        instance.replace_smtpd_rs("sleep 1; exit 1");
        for service in ["127.0.0.1:2525/inet", "handed/pass", "public/unix"] {
            let (status, said) = instance.switch(&["--wait", "2", "on", service]);
            assert_eq!(status, 1);
            assert!(said.contains(&format!("undone: smtpd runs again for {service}\n")));
            assert_eq!(instance.master_cf(), MASTER_CF);
        }
        assert_eq!(instance.banner(2525), "220 first\r\n");
    });
}

#[test]
fn what_check_refuses_is_not_switched_on() {
    inside("what_check_refuses_is_not_switched_on", || {
        let instance = Instance::new("wrong").start();
        let path = instance.path("conf/main.cf");
        let main_cf = fs::read_to_string(&path).unwrap();
        let wrong = "smtpd_etrn_restrictions = permit_nobody\n";
        fs::write(&path, format!("{main_cf}{wrong}")).unwrap();
        let (status, said) = instance.switch(&["on", "2526"]);
        assert_eq!(status, 1);
        assert!(said.contains("unknown smtpd restriction: \"permit_nobody\""));
        assert!(said.contains("nothing was changed"));
        assert_eq!(instance.master_cf(), MASTER_CF);
        let (status, said) = instance.switch(&["on", "--force", "2526"]);
        assert_eq!(status, 0);
        assert!(said.contains("2526/inet: smtpd -> smtpd-rs; it greets\n"));
    });
}

#[test]
fn wrong_words_change_nothing() {
    inside("wrong_words_change_nothing", || {
        let instance = Instance::new("words");
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
        assert_eq!(instance.master_cf(), MASTER_CF);
    });
}
