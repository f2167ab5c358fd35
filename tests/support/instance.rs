//! A small Postfix of its own for a single test, in namespaces (see `namespaces.rs`): below /mnt,
//! with the installed daemons and ours.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::env;
use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::{Group, User, chown};

use super::certificates;

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

/// The services that sessions need.
const MASTER_CF: &str = "\
cleanup unix n - n - 0 cleanup
rewrite unix - - n - - trivial-rewrite
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
tlsmgr unix - - n - 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
";

/// A Postfix of our own.
pub(crate) struct Instance {
    pub(crate) directory: PathBuf,
    master: Option<Child>,
}

impl Instance {
    /// Makes it, with these lines in main.cf besides those that keep it small, and these services.
    pub(crate) fn new(main_cf: &str, services: &str) -> Self {
        // All may go there, and the mount is seen by this test only.
        let directory = PathBuf::from("/mnt");
        let status = Command::new("mount").args(["-t", "tmpfs", "test", "/mnt"]).status();
        assert!(status.unwrap().success());
        fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
        let instance = Self { directory, master: None };
        instance.make_folders();
        instance.make_daemons();
        certificates::make(&instance.path("tls")).unwrap();
        instance.write_configuration(main_cf, services);
        instance
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
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

    fn write_configuration(&self, main_cf: &str, services: &str) {
        let shown = self.directory.display();
        let set = |line: &&str| {
            let name = line.split(' ').next().unwrap_or_default();
            !main_cf.lines().any(|other| other.split(' ').next() == Some(name))
        };
        let common = format!("{MAIN_CF}maillog_file = {shown}/maillog\n");
        let common: Vec<&str> = common.lines().filter(set).collect();
        let common = common.join("\n");
        let main_cf = format!(
            "{common}\nqueue_directory = {shown}/queue\ndata_directory = {shown}/data\n\
             daemon_directory = {shown}/daemons\n\
             maillog_file_prefixes = {shown}\nsmtpd_tls_security_level = may\n\
             smtpd_tls_chain_files = {shown}/tls/server.chain\n{main_cf}"
        );
        fs::write(self.path("conf/main.cf"), main_cf).unwrap();
        fs::write(self.path("conf/master.cf"), format!("{services}{MASTER_CF}")).unwrap();
    }

    pub(crate) fn start(mut self) -> Self {
        let master = Command::new(self.path("daemons/master"))
            .args(["-d", "-c"])
            .arg(self.path("conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.master = Some(master.unwrap());
        self
    }

    /// Waits for the service, and gives what it says.
    pub(crate) fn banner(&self, port: u16) -> String {
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

    /// The log, as soon as it has so many lines with `text`.
    pub(crate) fn wait_for_log(&self, text: &str, lines: usize) -> String {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let log = self.log();
            if log.lines().filter(|line| line.contains(text)).count() >= lines {
                return log;
            }
            assert!(Instant::now() < end, "not {lines} times {text:?} in the log:\n{log}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("maillog")).unwrap_or_default()
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
