//! One Postfix instance, in which each smtpd that is compared has a listener for each service.
//!
//! All share one master, cleanup, trivial-rewrite, anvil and tlsmgr. There is no queue manager:
//! nothing is delivered, what was queued is taken away between the runs.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, process, thread};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Group, Pid, User, chown};

use crate::{Outcome, certificates};

/// The first port; each smtpd has a block of them.
const FIRST_PORT: u16 = 26_000;
/// Ports of one smtpd.
const BLOCK: u16 = 32;
/// Entries of a big table, and of a big table of patterns.
const ENTRIES: u32 = 10_000;
const PATTERNS: u32 = 200;

/// An smtpd that is compared. The first is what the others are compared with.
#[derive(Debug, Clone)]
pub(crate) struct Variant {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// A listener that each smtpd has.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    /// Clients that a process serves.
    max_use: u32,
    settings: &'static [&'static [&'static str]],
}

const MANY: u32 = 1_000_000;
const RSA: &[&str] = &[
    "smtpd_tls_security_level=may",
    "smtpd_tls_cert_file=@tls@/server.pem",
    "smtpd_tls_key_file=@tls@/server.key",
];
const EC: &[&str] = &[
    "smtpd_tls_security_level=may",
    "smtpd_tls_cert_file=@tls@/server-ec.pem",
    "smtpd_tls_key_file=@tls@/server-ec.key",
];
const LISTED: &[&str] = &[
    "smtpd_tls_ask_ccert=yes",
    "smtpd_tls_CAfile=@tls@/ca.pem",
    "smtpd_tls_fingerprint_digest=sha256",
    "relay_clientcerts=texthash:@tls@/relay_clientcerts",
    "smtpd_relay_restrictions=permit_tls_clientcerts,reject_unauth_destination",
];
const CHECKS: &[&str] = &[
    "smtpd_client_restrictions=check_client_access,cidr:@maps@/client.cidr",
    "smtpd_helo_restrictions=check_helo_access,pcre:@maps@/helo.pcre",
    "smtpd_sender_restrictions=reject_non_fqdn_sender,check_sender_access,texthash:@maps@/sender,\
     check_sender_access,regexp:@maps@/sender.regexp",
];
const TABLES: &[&str] = &[
    "smtpd_recipient_restrictions=reject_non_fqdn_recipient,reject_unauth_destination,\
     check_recipient_access,@index@:@maps@/recipient,check_recipient_access,pcre:@maps@/recipient.pcre",
];
const POLICY: &[&str] = &[
    "smtpd_recipient_restrictions=reject_non_fqdn_recipient,reject_unauth_destination,\
     check_recipient_access,@index@:@maps@/recipient,check_recipient_access,pcre:@maps@/recipient.pcre,\
     check_policy_service,unix:private/policy",
];

const fn service(
    name: &'static str,
    max_use: u32,
    settings: &'static [&'static [&'static str]],
) -> Service {
    Service { name, max_use, settings }
}

/// THE TABLE of services. `one-…`: a process for one client.
pub(crate) static SERVICES: &[Service] = &[
    service("plain", MANY, &[]),
    service("rsa", MANY, &[RSA]),
    service("ec", MANY, &[EC]),
    service("listed", MANY, &[EC, LISTED]),
    service("tables", MANY, &[CHECKS, TABLES]),
    service("policy", MANY, &[CHECKS, POLICY]),
    service("one-plain", 1, &[]),
    service("one-tls", 1, &[RSA]),
    service("jail-tls", 1, &[RSA]),
    service("one-tables", 1, &[CHECKS, TABLES]),
    service("memory-plain", MANY, &[]),
    service("memory-tls", MANY, &[RSA]),
    service("memory-tables", MANY, &[CHECKS, TABLES]),
    // For counting: a process for one client, and one for six.
    service("one-ec", 1, &[EC]),
    service("six-plain", 6, &[]),
    service("six-rsa", 6, &[RSA]),
    service("six-ec", 6, &[EC]),
    service("one-listed", 1, &[EC, LISTED]),
    service("six-listed", 6, &[EC, LISTED]),
    // Last, so that it is there when all of master.cf was understood; it takes no client from others.
    service("ready", MANY, &[]),
];

const MAIN_CF: &str = "\
compatibility_level = 3.6
myhostname = mx.bench.test
mydestination =
mynetworks = 127.0.0.99/32
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
relay_domains = bench.test
relay_transport = discard:
default_transport = discard:
alias_maps =
alias_database =
local_recipient_maps =
smtpd_relay_restrictions = reject_unauth_destination
smtpd_client_connection_count_limit = 10000
smtpd_junk_command_limit = 100000
smtpd_recipient_limit = 10000
smtpd_tls_session_cache_database = btree:${data_directory}/smtpd_scache
default_process_limit = 200
message_size_limit = 2000000000
mailbox_size_limit = 0
in_flow_delay = 0
max_idle = 3600s
max_use = 1000000
notify_classes =
";

const MASTER_CF: &str = "\
cleanup    unix  n - n - 0 cleanup
tlsmgr     unix  - - n 1000? 1 tlsmgr
rewrite    unix  - - n - - trivial-rewrite
bounce     unix  - - n - 0 bounce
defer      unix  - - n - 0 bounce
trace      unix  - - n - 0 bounce
verify     unix  - - n - 1 verify
flush      unix  n - n 1000? 0 flush
proxymap   unix  - - n - - proxymap
anvil      unix  - - n - 1 anvil
postlog    unix-dgram n - n - 1 postlogd
";

/// Directories of the queue: name, mode, and whether they are root's.
const QUEUE: &[(&str, u32, bool)] = &[
    ("incoming", 0o700, false),
    ("active", 0o700, false),
    ("bounce", 0o700, false),
    ("corrupt", 0o700, false),
    ("defer", 0o700, false),
    ("deferred", 0o700, false),
    ("flush", 0o700, false),
    ("hold", 0o700, false),
    ("maildrop", 0o730, false),
    ("pid", 0o755, true),
    ("private", 0o700, false),
    ("public", 0o710, false),
    ("saved", 0o700, false),
    ("trace", 0o700, false),
];

/// The running instance.
pub(crate) struct Instance {
    pub(crate) dir: PathBuf,
    pub(crate) variants: Vec<Variant>,
    /// The type of the indexed table.
    index: String,
    master: Option<Child>,
}

impl Instance {
    /// Makes and starts it. `wrapper` stands before each smtpd's command line, in a shell script
    /// in which `$f` is a file of its own, named after the variant and the process.
    pub(crate) fn start(
        variants: &[Variant],
        index: &str,
        wrapper: Option<&str>,
    ) -> Outcome<Instance> {
        let parent =
            if Path::new("/dev/shm").is_dir() { "/dev/shm".into() } else { env::temp_dir() };
        let dir = parent.join(format!("smtpd-rs-bench-{}", process::id()));
        let dir = (0..)
            .map(|n| dir.with_extension(n.to_string()))
            .find(|dir| fs::create_dir(dir).is_ok())
            .ok_or("can't make a directory")?;
        let variants = variants.to_vec();
        let mut instance = Instance { dir, variants, index: index.to_owned(), master: None };
        instance.build(wrapper)?;
        instance.launch()?;
        instance.serve_policy()?;
        Ok(instance)
    }

    fn build(&self, wrapper: Option<&str>) -> Outcome<()> {
        for name in ["conf", "spool", "data", "libexec", "maps", "out"] {
            self.directory(name, if name == "out" { 0o777 } else { 0o755 })?;
        }
        fs::set_permissions(&self.dir, Permissions::from_mode(0o755))?;
        let owner = User::from_name("postfix")?.ok_or("there is no user postfix")?;
        let group = Group::from_name("postdrop")?.ok_or("there is no group postdrop")?;
        chown(&self.path("data"), Some(owner.uid), Some(owner.gid))?;
        for (name, mode, roots) in QUEUE {
            let path = self.directory(&format!("spool/{name}"), *mode)?;
            if !roots {
                let gid = ["maildrop", "public"].contains(name).then_some(group.gid);
                chown(&path, Some(owner.uid), gid)?;
            }
        }
        self.link_daemons(wrapper)?;
        certificates::make(&self.path("tls")).map_err(|error| error.to_string())?;
        self.write_tables()?;
        self.write_configuration()
    }

    fn directory(&self, name: &str, mode: u32) -> Outcome<PathBuf> {
        let path = self.path(name);
        fs::create_dir(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        Ok(path)
    }

    fn link_daemons(&self, wrapper: Option<&str>) -> Outcome<()> {
        for entry in fs::read_dir(daemon_directory()?)? {
            let entry = entry?;
            symlink(entry.path(), self.path("libexec").join(entry.file_name()))?;
        }
        for variant in &self.variants {
            let link = self.path("libexec").join(format!("smtpd-{}", variant.name));
            let Some(wrapper) = wrapper else {
                symlink(&variant.path, link)?;
                continue;
            };
            let (out, path) = (self.path("out"), variant.path.display());
            let script = format!(
                "#!/bin/sh\nf={}/{}.$$\n: >$f; chmod 666 $f\nexec {wrapper} {path} \"$@\"\n",
                out.display(),
                variant.name
            );
            fs::write(&link, script)?;
            fs::set_permissions(&link, Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    fn write_tables(&self) -> Outcome<()> {
        let all =
            |count: u32, line: &dyn Fn(u32) -> String| (0..count).map(line).collect::<String>();
        let tables = [
            (
                "client.cidr",
                all(ENTRIES, &|i| format!("10.{}.{}.0/24 REJECT listed\n", i >> 8, i & 255)),
            ),
            ("sender", all(ENTRIES, &|i| format!("spammer{i}@domain{i}.example REJECT listed\n"))),
            (
                "recipient",
                all(ENTRIES, &|i| format!("closed{i}@bench.test REJECT mailbox closed\n")),
            ),
            (
                "helo.pcre",
                all(PATTERNS, &|i| {
                    format!(
                        "/^(dyn|dsl|pool)-[0-9]+-[0-9]+\\.isp{i}\\.(example|test)$/ REJECT dynamic\n"
                    )
                }),
            ),
            (
                "recipient.pcre",
                all(PATTERNS, &|i| {
                    format!("/^trap[0-9]*\\.x{i}@(.*\\.)?bench\\.test$/ REJECT trap\n")
                }),
            ),
            (
                "sender.regexp",
                all(PATTERNS, &|i| {
                    format!("/^bulk[0-9]+-x{i}@(.*\\.)?example\\.(com|net|org)$/ REJECT bulk\n")
                }),
            ),
        ];
        for (name, text) in tables {
            fs::write(self.path("maps").join(name), text)?;
        }
        Ok(())
    }

    fn write_configuration(&self) -> Outcome<()> {
        let mut main = MAIN_CF.to_owned();
        for (name, place) in [("queue", "spool"), ("data", "data"), ("daemon", "libexec")] {
            writeln!(main, "{name}_directory = {}", self.path(place).display())?;
        }
        writeln!(main, "maillog_file = {}", self.path("maillog").display())?;
        writeln!(main, "maillog_file_prefixes = {}", self.dir.display())?;
        fs::write(self.path("conf/main.cf"), main)?;

        let mut master = MASTER_CF.to_owned();
        for variant in 0..self.variants.len() {
            for service in SERVICES {
                self.write_listener(&mut master, variant, service)?;
            }
        }
        fs::write(self.path("conf/master.cf"), master)?;
        if !["texthash", "cidr"].contains(&self.index.as_str()) {
            let table = format!("{}:{}", self.index, self.path("maps/recipient").display());
            let made =
                Command::new("postmap").arg("-c").arg(self.path("conf")).arg(&table).output()?;
            if !made.status.success() {
                return Err(String::from_utf8_lossy(&made.stderr).into());
            }
        }
        Ok(())
    }

    fn write_listener(
        &self,
        master: &mut String,
        variant: usize,
        service: &Service,
    ) -> Outcome<()> {
        let port = self.port(variant, service.name)?;
        let name = &self.variants.get(variant).ok_or("no such variant")?.name;
        let chroot = if service.name.starts_with("jail-") { "y" } else { "n" };
        writeln!(master, "127.0.0.1:{port} inet n - {chroot} - - smtpd-{name}")?;
        writeln!(master, "  -o max_use={}", service.max_use)?;
        for setting in service.settings.iter().copied().flatten() {
            let setting = setting
                .replace("@tls@", &self.path("tls").display().to_string())
                .replace("@maps@", &self.path("maps").display().to_string())
                .replace("@index@", &self.index);
            writeln!(master, "  -o {setting}")?;
        }
        Ok(())
    }

    fn launch(&mut self) -> Outcome<()> {
        let output = File::create(self.path("master.out"))?;
        let child = Command::new(self.path("libexec/master"))
            .arg("-c")
            .arg(self.path("conf"))
            .arg("-d")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        self.master = Some(child);
        let last = self.variants.len().saturating_sub(1);
        let port = self.port(last, SERVICES.last().map_or("", |service| service.name))?;
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        let said = fs::read_to_string(self.path("master.out"))?;
        Err(format!("master does not start: {said}{}", self.log()).into())
    }

    /// A policy server that has no opinion.
    fn serve_policy(&self) -> Outcome<()> {
        let path = self.path("spool/private/policy");
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o666))?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || answer(&stream));
            }
        });
        Ok(())
    }

    /// The port of a service.
    pub(crate) fn port(&self, variant: usize, service: &str) -> Outcome<u16> {
        let at = SERVICES.iter().position(|known| known.name == service);
        let at = u16::try_from(at.ok_or_else(|| format!("no service {service}"))?)?;
        Ok(FIRST_PORT + BLOCK * u16::try_from(variant)? + at)
    }

    /// A place in the instance.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// master's process id.
    pub(crate) fn master(&self) -> i32 {
        self.master.as_ref().map_or(0, |master| master.id().try_into().unwrap_or(0))
    }

    /// Takes away what was queued.
    pub(crate) fn sweep(&self) -> Outcome<()> {
        for queue in ["incoming", "maildrop", "deferred", "corrupt"] {
            for entry in fs::read_dir(self.path("spool").join(queue))? {
                let entry = entry?;
                if entry.file_type()?.is_file() {
                    fs::remove_file(entry.path())?;
                }
            }
        }
        Ok(())
    }

    /// All that was logged.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(self.path("maillog")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(mut master) = self.master.take() {
            let _ = kill(Pid::from_raw(master.id().try_into().unwrap_or(0)), Signal::SIGTERM);
            let _ = master.wait();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn answer(stream: &UnixStream) -> Option<()> {
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\n" {
            let mut writer = stream;
            writer.write_all(b"action=DUNNO\n\n").ok()?;
        }
    }
}

/// Where the installed Postfix has its daemons.
pub(crate) fn daemon_directory() -> Result<PathBuf, Box<dyn Error + Send + Sync>> {
    Ok(PathBuf::from(installed("daemon_directory")?))
}

/// A parameter's default in the installed Postfix.
pub(crate) fn installed(parameter: &str) -> Outcome<String> {
    let output = Command::new("postconf").args(["-dh", parameter]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
