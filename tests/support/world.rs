//! The private world: one Postfix instance that nobody else sees.
//!
//! It lives in its own mount, network and process namespaces, with a loopback interface that has
//! test addresses, a name server that knows what it is asked for in the tests (`dns.rs`), and two
//! listeners a transcript: `theirs` runs the installed smtpd, `ours` the one under test. There is
//! no queue manager, so every accepted message stays in the queue and can be looked at.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::stat::Mode;
use nix::unistd::{Group, User, chown, mkfifo};

use super::front::{self, BEHIND, Front};
use super::mask::Mask;
use super::transcript::{PORT, Session, Transcript};
use super::{certificates, dns};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Whose smtpd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Theirs,
    Ours,
}

/// The first transcript's port; theirs are even, ours odd.
const FIRST_PORT: u16 = 27_000;
/// How much higher the port of a second listener is, with the same settings.
const SECOND: u16 = 1_000;
/// What a notice to the postmaster has in it.
const NOTICE: &[u8] = b"Transcript of session follows.";
/// The release that the transcripts tell of.
const TOLD: &str = "3.7.11";
/// A plain listener of the installed smtpd, to see that master is there.
const READY_PORT: u16 = 26_999;

/// main.cf of the instance. A transcript's settings stand in master.cf, with `-o`.
pub(crate) const MAIN_CF: &str = "\
compatibility_level = 3.6
myhostname = mx.example.test
mydomain = example.test
mynetworks = 127.0.0.0/8
mydestination = $myhostname, example.test, localhost
inet_interfaces = all
inet_protocols = all
relay_domains = relay.test, backup.test
relay_recipient_maps = inline:{ {known@relay.test=x} }
virtual_alias_domains = valias.test
virtual_alias_maps = inline:{ {known@valias.test=user@example.test} }
virtual_mailbox_domains = vmbox.test
virtual_mailbox_maps = inline:{ {box@vmbox.test=x} }
local_recipient_maps = inline:{ {user=x} {other=x} {third=x} {postmaster=x} }
alias_maps =
alias_database =
recipient_delimiter = +
header_checks = regexp:{{/^X-Refuse:/ REJECT not this header} {/^X-Hold:/ HOLD} {/^X-Discard:/ DISCARD}}
body_checks = regexp:{{/refuse this body/ REJECT not this body}}
notify_classes =
biff = no
default_process_limit = 1000
max_idle = 5s
in_flow_delay = 0
smtpd_error_sleep_time = 0
smtpd_client_connection_count_limit = 0
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_tls_session_cache_database = btree:${data_directory}/smtpd_scache
";

/// master.cf of the instance, but for the listeners.
const MASTER_CF: &str = "\
cleanup   unix  n - n - 0 cleanup
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
anvil     unix  - - n - 1 anvil
postlog   unix-dgram n - n - 1 postlogd
";

/// Directories of the queue: name, mode, and whether they are root's.
const QUEUE: &[(&str, u32, bool)] = &[
    ("active", 0o700, false),
    ("bounce", 0o700, false),
    ("corrupt", 0o700, false),
    ("defer", 0o700, false),
    ("deferred", 0o700, false),
    ("flush", 0o700, false),
    ("hold", 0o700, false),
    ("incoming", 0o700, false),
    ("maildrop", 0o730, false),
    ("pid", 0o755, true),
    ("private", 0o700, false),
    ("public", 0o710, false),
    ("saved", 0o700, false),
    ("trace", 0o700, false),
    ("etc", 0o755, true),
];

/// The running instance.
pub(crate) struct World {
    dir: PathBuf,
    words: Vec<(String, String)>,
    master: Option<Child>,
    haproxy: Option<Child>,
    log: Mutex<Log>,
    pub(crate) mask: Mask,
}

/// What postlogd has written.
#[derive(Default)]
struct Log {
    read: u64,
    rest: Vec<u8>,
    entries: Vec<Entry>,
}

struct Entry {
    /// What stands before the process id: `postfix/smtpd`.
    ident: String,
    pid: String,
    text: String,
}

/// Which binaries play.
pub(crate) struct Binaries {
    pub(crate) theirs: PathBuf,
    pub(crate) ours: PathBuf,
    pub(crate) daemons: PathBuf,
}

/// Sets up the network and the names of this namespace.
pub(crate) fn enter() -> Outcome<()> {
    let mut lines = "link set lo up\n".to_owned();
    for last in (1..20).chain([77, 78, 99]) {
        writeln!(lines, "addr add 192.0.2.{last}/32 dev lo")?;
    }
    for last in ["1", "10", "11"] {
        writeln!(lines, "addr add 2001:db8::{last}/128 dev lo nodad")?;
    }
    let mut ip = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn()?;
    ip.stdin.take().ok_or("no pipe to ip")?.write_all(lines.as_bytes())?;
    if !ip.wait()?.success() {
        return Err("ip can't set the test addresses".into());
    }
    dns::serve()?;
    Ok(())
}

impl World {
    /// Makes the instance, with two listeners for each transcript, and starts it.
    pub(crate) fn start(transcripts: &[Transcript], binaries: &Binaries) -> Outcome<World> {
        let parent = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
        let dir = Path::new(parent).join(format!("smtpd-rs-world-{:x}", std::process::id()));
        let dir = (0..)
            .map(|n| dir.with_extension(n.to_string()))
            .find(|dir| fs::create_dir(dir).is_ok())
            .ok_or("can't make a directory")?;
        let mut world = World {
            words: Vec::new(),
            master: None,
            haproxy: None,
            log: Mutex::new(Log::default()),
            mask: Mask::new()?,
            dir,
        };
        world.build(transcripts, binaries)?;
        world.build_local(transcripts)?;
        world.start_haproxy(transcripts)?;
        world.launch()?;
        Ok(world)
    }

    fn build(&mut self, transcripts: &[Transcript], binaries: &Binaries) -> Outcome<()> {
        fs::set_permissions(&self.dir, fs::Permissions::from_mode(0o755))?;
        for name in ["conf", "spool", "data", "libexec", "files"] {
            fs::create_dir(self.dir.join(name))?;
        }
        self.make_names()?;
        let owner = User::from_name("postfix")?.ok_or("there is no user postfix")?;
        let group = Group::from_name("postdrop")?.ok_or("there is no group postdrop")?;
        chown(&self.dir.join("data"), Some(owner.uid), Some(owner.gid))?;
        for (name, mode, roots) in QUEUE {
            let path = self.dir.join("spool").join(name);
            if !path.is_dir() {
                fs::create_dir(&path)?;
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
            if !roots {
                let gid = ["maildrop", "public"].contains(name).then_some(group.gid);
                chown(&path, Some(owner.uid), gid)?;
            }
        }
        // Whoever submits mail wakes pickup(8), which must not come: the mail is to stay.
        mkfifo(&self.dir.join("spool/public/pickup"), Mode::from_bits_truncate(0o622))?;
        for entry in fs::read_dir(&binaries.daemons)? {
            let entry = entry?;
            symlink(entry.path(), self.dir.join("libexec").join(entry.file_name()))?;
        }
        fs::copy(&binaries.theirs, self.dir.join("libexec/theirs"))?;
        fs::copy(&binaries.ours, self.dir.join("libexec/ours"))?;
        self.words = certificates::make(&self.dir.join("tls")).map_err(|e| e.to_string())?;
        self.words.push(("@tls@".to_owned(), self.text("tls")));
        self.make_authorities()?;
        self.write_configuration(transcripts)
    }

    /// The directory `/authorities` of the chroot.
    fn make_authorities(&self) -> Outcome<()> {
        let inside = self.dir.join("spool/authorities");
        fs::create_dir(&inside)?;
        for entry in fs::read_dir(self.dir.join("tls/authorities"))? {
            let entry = entry?;
            fs::copy(entry.path(), inside.join(entry.file_name()))?;
        }
        Ok(())
    }

    /// resolv.conf and hosts, for all programs of this namespace and for those in the chroot.
    fn make_names(&self) -> Outcome<()> {
        let etc = self.dir.join("spool/etc");
        fs::create_dir(&etc)?;
        fs::write(etc.join("resolv.conf"), "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")?;
        fs::write(etc.join("hosts"), "127.0.0.1 localhost\n::1 localhost\n")?;
        for name in ["resolv.conf", "hosts"] {
            run(Command::new("mount")
                .arg("--bind")
                .arg(etc.join(name))
                .arg(format!("/etc/{name}")))?;
        }
        for name in ["nsswitch.conf", "services", "host.conf", "localtime"] {
            let _ = fs::copy(Path::new("/etc").join(name), etc.join(name));
        }
        Ok(())
    }

    /// main.cf, but for what differs between daemons and local users.
    fn main_cf(&self) -> Outcome<String> {
        let mut main = MAIN_CF.to_owned();
        writeln!(main, "queue_directory = {}", self.text("spool"))?;
        writeln!(main, "data_directory = {}", self.text("data"))?;
        writeln!(main, "maillog_file = {}", self.text("maillog"))?;
        writeln!(main, "maillog_file_prefixes = {}", self.dir.display())?;
        Ok(main)
    }

    /// What local users need: a main.cf for each side of a transcript, a daemon_directory with one
    /// smtpd, and a postdrop(1), set-gid, that trusts both.
    fn build_local(&self, transcripts: &[Transcript]) -> Outcome<()> {
        let mut trusted = String::new();
        for (at, transcript) in transcripts.iter().enumerate() {
            if transcript.sessions.iter().all(|session| session.user.is_none()) {
                continue;
            }
            for (side, program) in [(Side::Theirs, "theirs"), (Side::Ours, "ours")] {
                let name = format!("local{}", port(at, side));
                let dir = self.dir.join(&name);
                fs::create_dir(&dir)?;
                symlink(self.dir.join("libexec").join(program), dir.join("smtpd"))?;
                symlink(self.dir.join("libexec/master"), dir.join("master"))?;
                let mut main = self.main_cf()?;
                writeln!(main, "daemon_directory = {}", dir.display())?;
                writeln!(main, "syslog_name = t{}", port(at, side))?;
                for (name, value) in &transcript.main_cf {
                    writeln!(main, "{name} = {}", self.fill(value, at))?;
                }
                fs::write(dir.join("main.cf"), main)?;
                write!(trusted, " {}", dir.display())?;
            }
        }
        if trusted.is_empty() {
            return Ok(());
        }
        let etc = self.dir.join("etc-postfix");
        run(Command::new("cp").args(["-a", "/etc/postfix"]).arg(&etc))?;
        fs::write(etc.join("main.cf"), format!("alternate_config_directories ={trusted}\n"))?;
        run(Command::new("mount").arg("--bind").arg(&etc).arg("/etc/postfix"))
    }

    /// The directory with main.cf for local users of a transcript's side.
    pub(crate) fn local(&self, at: usize, side: Side) -> PathBuf {
        self.dir.join(format!("local{}", port(at, side)))
    }

    /// The UNIX socket of a listener.
    pub(crate) fn socket(&self, at: usize, side: Side) -> PathBuf {
        self.dir.join("spool/public").join(format!("s{}", port(at, side)))
    }

    fn start_haproxy(&mut self, transcripts: &[Transcript]) -> Outcome<()> {
        let mut ports = Vec::new();
        for (at, transcript) in transcripts.iter().enumerate() {
            if let Some(Front::HaProxy(options)) = Front::of(transcript) {
                let both = [Side::Theirs, Side::Ours];
                ports.extend(both.map(|side| (port(at, side), options.to_owned())));
            }
        }
        if !ports.is_empty() {
            self.haproxy = Some(front::haproxy(&self.dir, &ports)?);
        }
        Ok(())
    }

    fn write_configuration(&self, transcripts: &[Transcript]) -> Outcome<()> {
        let mut main = self.main_cf()?;
        writeln!(main, "daemon_directory = {}", self.text("libexec"))?;
        writeln!(main, "proxy_read_maps = {}", self.proxied(transcripts))?;
        fs::write(self.dir.join("conf/main.cf"), main)?;

        let mut master = MASTER_CF.to_owned();
        for (at, transcript) in transcripts.iter().enumerate() {
            self.write_files(at, transcript)?;
            for side in [Side::Theirs, Side::Ours] {
                self.write_listener(&mut master, at, transcript, side)?;
            }
        }
        // Last, so that it is there only if all of the file was understood.
        writeln!(master, "127.0.0.1:{READY_PORT} inet n - n - - theirs")?;
        fs::write(self.dir.join("conf/master.cf"), master)?;
        Ok(())
    }

    /// proxymap(8) serves only tables that its own main.cf names.
    fn proxied(&self, transcripts: &[Transcript]) -> String {
        let mut tables = Vec::new();
        for (at, transcript) in transcripts.iter().enumerate() {
            for (_, value) in &transcript.main_cf {
                let value = self.fill(value, at);
                let words = value.split([' ', ',', '{', '}', '=']);
                tables.extend(words.filter(|w| w.starts_with("proxy:")).map(str::to_owned));
            }
        }
        tables.join(", ")
    }

    fn write_files(&self, at: usize, transcript: &Transcript) -> Outcome<()> {
        let dir = self.dir.join("files").join(at.to_string());
        fs::create_dir(&dir)?;
        for (name, content) in &transcript.files {
            fs::write(dir.join(name), self.fill(content, at))?;
        }
        for (kind, name) in &transcript.indexed {
            let (option, kind) = match kind.strip_prefix("-F ") {
                Some(kind) => (Some("-F"), kind),
                None => (None, kind.as_str()),
            };
            let spec = format!("{kind}:{}", dir.join(name).display());
            let mut postmap = Command::new("postmap");
            run(postmap.arg("-c").arg(self.dir.join("conf")).args(option).arg(spec))?;
        }
        Ok(())
    }

    fn write_listener(
        &self,
        master: &mut String,
        at: usize,
        transcript: &Transcript,
        side: Side,
    ) -> Outcome<()> {
        let port = port(at, side);
        let program = if side == Side::Theirs { "theirs" } else { "ours" };
        symlink(program, self.dir.join("libexec").join(format!("s{port}")))?;
        let chroot = transcript.master("chroot").unwrap_or("n");
        let limit = transcript.master("maxproc").unwrap_or("-");
        let second = transcript.sessions.iter().any(|s| s.second).then_some(port + SECOND);
        let kind = transcript.master("type").unwrap_or("inet");
        for number in [Some(port), second].into_iter().flatten() {
            let (name, kind) = match Front::of(transcript) {
                None if kind == "inet" => (number.to_string(), kind),
                None => (format!("s{number}"), kind),
                Some(Front::HaProxy(_)) => ((number + BEHIND).to_string(), kind),
                Some(Front::Postscreen(options)) => {
                    let name = format!("s{number}");
                    master.push_str(&front::postscreen(number, &name, &self.fill(options, at)));
                    (name, "pass")
                }
            };
            let private = if kind == "pass" { "y" } else { "n" };
            writeln!(master, "{name} {kind} {private} - {chroot} - {limit} s{port}")?;
            if let Some(arguments) = transcript.master("arguments") {
                writeln!(master, "  {arguments}")?;
            }
            writeln!(master, "  -o syslog_name=t{port}")?;
            if transcript.only_ours {
                // It is held against what it says, in the words of one release.
                writeln!(master, "  -o smtpd_rs_dialect={TOLD}")?;
            }
            for (name, value) in &transcript.main_cf {
                let value = self.fill(value, at).replace(PORT, &port.to_string());
                writeln!(master, "  -o {{ {name} = {value} }}")?;
            }
        }
        Ok(())
    }

    fn text(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// Replaces the words between `@` in a transcript's settings.
    fn fill(&self, text: &str, at: usize) -> String {
        let files = self.dir.join("files").join(at.to_string()).display().to_string();
        let mut text = text.replace("@files@", &files).replace("@world@", &self.text(""));
        for (word, value) in &self.words {
            text = text.replace(word, value);
        }
        text
    }

    fn launch(&mut self) -> Outcome<()> {
        let output = File::create(self.dir.join("master.out"))?;
        let child = Command::new(self.dir.join("libexec/master"))
            .arg("-c")
            .arg(self.dir.join("conf"))
            .arg("-d")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        self.master = Some(child);
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            thread::sleep(Duration::from_millis(50));
            if TcpStream::connect(("127.0.0.1", READY_PORT)).is_ok() {
                return Ok(());
            }
        }
        let said = fs::read_to_string(self.dir.join("master.out"))?;
        let log = fs::read_to_string(self.dir.join("maillog")).unwrap_or_default();
        Err(format!("master does not start: {said}{log}").into())
    }

    /// Where a client connects to, and from where.
    pub(crate) fn addresses(
        &self,
        at: usize,
        side: Side,
        session: &Session,
    ) -> (SocketAddr, SocketAddr) {
        let client = session.client;
        let port = port(at, side) + if session.second { SECOND } else { 0 };
        let server: IpAddr = match client {
            IpAddr::V4(a) if a.is_loopback() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
            IpAddr::V6(a) if a.is_loopback() => Ipv6Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        };
        (SocketAddr::new(client, 0), SocketAddr::new(server, port))
    }

    /// A file of the TLS directory.
    pub(crate) fn tls(&self, name: &str) -> PathBuf {
        self.dir.join("tls").join(name)
    }

    /// What to replace in the lines of one side, beside what is always masked.
    pub(crate) fn replacements(&self, at: usize, side: Side) -> Vec<(String, String)> {
        let port = port(at, side);
        let files = self.dir.join("files").join(at.to_string()).display().to_string();
        let mut words = vec![
            (files, "FILES".to_owned()),
            (self.text("tls"), "TLS".to_owned()),
            (self.dir.display().to_string(), "WORLD".to_owned()),
            (format!("s{port}"), "smtpd".to_owned()),
            (port.to_string(), "PORT".to_owned()),
            ((port + SECOND).to_string(), "PORT".to_owned()),
            ((port + BEHIND).to_string(), "PORT".to_owned()),
        ];
        let digests = self.words.iter().filter(|(word, _)| word.contains('.'));
        words.extend(digests.map(|(word, digest)| (digest.clone(), word.clone())));
        words
    }

    /// The log lines of one listener so far: texts only.
    pub(crate) fn log(&self, at: usize, side: Side) -> Vec<String> {
        let mut log = self.lock();
        log.read_more(&self.dir.join("maillog"));
        log.of_listener(port(at, side))
    }

    /// The log lines of one listener so far as a usual Postfix writes them, all of the same time. What
    /// a process says before its first client is left out: how many processes start is a matter of time.
    /// What it says of that client before it has its name is not.
    pub(crate) fn usual_log(&self, at: usize, side: Side) -> Vec<String> {
        let mut log = self.lock();
        log.read_more(&self.dir.join("maillog"));
        let tag = format!("t{}/", port(at, side));
        let line = |e: &Entry| format!("Nov 25 12:00:00 mx postfix/smtpd[{}]: {}", e.pid, e.text);
        let mut before: HashMap<&str, Option<Vec<&Entry>>> = HashMap::new();
        let mut lines = Vec::new();
        for entry in log.entries.iter().filter(|entry| entry.ident.starts_with(&tag)) {
            let waiting = before.entry(&entry.pid).or_insert_with(|| Some(Vec::new()));
            match (entry.text.strip_prefix("connect from "), &mut *waiting) {
                (_, None) => {}
                (None, Some(waiting)) => {
                    waiting.push(entry);
                    continue;
                }
                (Some(client), Some(found)) => {
                    let address = client.rsplit('[').next().unwrap_or(client).trim_end_matches(']');
                    let of_it = found.iter().filter(|entry| entry.text.contains(address));
                    lines.extend(of_it.map(|entry| line(entry)));
                    *waiting = None;
                }
            }
            lines.push(line(entry));
        }
        lines
    }

    /// A file of the instance's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The log lines of one listener so far, by process.
    pub(crate) fn processes(&self, at: usize, side: Side) -> Vec<Vec<String>> {
        let mut log = self.lock();
        log.read_more(&self.dir.join("maillog"));
        log.by_process(port(at, side))
    }

    /// Waits until so many sessions of a listener have ended: by a disconnect line or by a death.
    pub(crate) fn wait_for_ends(&self, at: usize, side: Side, sessions: usize) {
        self.wait(at, side, Duration::from_secs(3), |lines| {
            let ends = |l: &&String| l.starts_with("disconnect from") || l.starts_with(DEATH);
            lines.iter().filter(ends).count() >= sessions
        });
    }

    /// Waits for a line that contains `text`.
    pub(crate) fn wait_for_line(&self, at: usize, side: Side, text: &str) {
        self.wait(at, side, Duration::from_secs(8), |lines| {
            lines.iter().any(|line| line.contains(text))
        });
    }

    fn wait(&self, at: usize, side: Side, limit: Duration, done: impl Fn(&[String]) -> bool) {
        let end = Instant::now() + limit;
        while Instant::now() < end && !done(&self.log(at, side)) {
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A queue file as postcat shows it; nothing if it is gone.
    pub(crate) fn queue_file(&self, id: &str) -> Vec<String> {
        let output = Command::new("postcat")
            .arg("-c")
            .arg(self.dir.join("conf"))
            .args(["-e", "-h", "-b", "-q", id])
            .stderr(Stdio::null())
            .output();
        let Ok(output) = output else { return Vec::new() };
        let lines = output.stdout.split(|byte| *byte == b'\n');
        lines.map(super::transcript::show).filter(|line| !line.is_empty()).collect()
    }

    /// The messages whose recipient names the listener (`@port@`): those that smtpd itself sends.
    pub(crate) fn notices(&self, transcript: &Transcript, at: usize, side: Side) -> Vec<String> {
        if !transcript.wants_notices() {
            return Vec::new();
        }
        let wanted = port(at, side).to_string().into_bytes();
        let Ok(queue) = fs::read_dir(self.dir.join("spool/incoming")) else { return Vec::new() };
        let mut found: Vec<(SystemTime, String)> = queue
            .flatten()
            .filter(|entry| {
                let content = fs::read(entry.path()).unwrap_or_default();
                let named = content.windows(wanted.len()).any(|part| part == wanted);
                named && content.windows(NOTICE.len()).any(|part| part == NOTICE)
            })
            .filter_map(|entry| {
                let time = entry.metadata().ok()?.modified().ok()?;
                Some((time, entry.file_name().into_string().ok()?))
            })
            .collect();
        found.sort();
        found.into_iter().map(|(_, id)| id).collect()
    }

    /// The records of a queue file, but for those that hold times and sizes; nothing if it is gone.
    pub(crate) fn records(&self, id: &str) -> Vec<String> {
        let places = ["incoming", "hold", "deferred", "active"].into_iter();
        let mut files = places.map(|name| self.dir.join("spool").join(name).join(id));
        let Some(bytes) = files.find_map(|path| fs::read(path).ok()) else { return Vec::new() };
        let (mut rest, mut lines) = (bytes.as_slice(), Vec::new());
        while let Some((kind, content)) = next_record(&mut rest) {
            if !b"CTp".contains(&kind) {
                lines.push(format!("{} {}", char::from(kind), super::transcript::show(content)));
            }
        }
        lines
    }

    /// Forgets the log that was read and the messages that were queued.
    pub(crate) fn sweep(&self) {
        self.lock().entries.clear();
        for name in ["incoming", "hold"] {
            let files = fs::read_dir(self.dir.join("spool").join(name));
            files
                .into_iter()
                .flatten()
                .flatten()
                .for_each(|file| drop(fs::remove_file(file.path())));
        }
    }

    /// Keeps the directory, and says where it is.
    pub(crate) fn keep(&mut self) -> PathBuf {
        self.stop();
        std::mem::take(&mut self.dir)
    }

    fn stop(&mut self) {
        if let Some(mut haproxy) = self.haproxy.take() {
            let _ = haproxy.kill();
            let _ = haproxy.wait();
        }
        if let Some(mut master) = self.master.take() {
            let pid = nix::unistd::Pid::from_raw(master.id().try_into().unwrap_or(0));
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
            let _ = master.wait();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop();
        for place in ["/etc/resolv.conf", "/etc/hosts", "/etc/postfix"] {
            // What is not mounted here has nothing to lose.
            let _ = Command::new("umount").args(["-l", place]).stderr(Stdio::null()).status();
        }
        if !self.dir.as_os_str().is_empty() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// How a process's death is shown among its log lines.
const DEATH: &str = "(master) ";

impl Log {
    fn read_more(&mut self, path: &Path) {
        let Ok(mut file) = File::open(path) else { return };
        if file.seek(SeekFrom::Start(self.read)).is_err() {
            return;
        }
        let Ok(length) = file.read_to_end(&mut self.rest) else { return };
        self.read += length as u64;
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = super::transcript::show(&line[..end]);
            self.entries.extend(Entry::parse(&line));
        }
    }

    fn by_process(&self, port: u16) -> Vec<Vec<String>> {
        let (tag, death) = (format!("t{port}/"), format!("/s{port} pid "));
        let mut processes: HashMap<&str, Vec<String>> = HashMap::new();
        for entry in &self.entries {
            if entry.ident.starts_with(&tag) {
                processes.entry(&entry.pid).or_default().push(entry.text.clone());
            } else if let Some((_, rest)) = entry.text.split_once(&death) {
                let (pid, how) = rest.split_once(' ').unwrap_or((rest, ""));
                processes.entry(pid).or_default().push(format!("{DEATH}{how}"));
            }
        }
        processes.into_values().collect()
    }

    fn of_listener(&self, port: u16) -> Vec<String> {
        let tag = format!("t{port}/");
        let death = format!("/s{port} pid ");
        let mut pids = HashSet::new();
        for entry in &self.entries {
            if entry.ident.starts_with(&tag) {
                pids.insert(entry.pid.as_str());
            } else if let Some((_, rest)) = entry.text.split_once(&death) {
                pids.extend(rest.split_whitespace().next());
            }
        }
        let mut lines = Vec::new();
        for entry in &self.entries {
            if let Some((_, rest)) = entry.text.split_once(&death) {
                let how = rest.split_once(' ').map_or("", |(_, how)| how);
                lines.push(format!("{DEATH}{how}"));
            } else if pids.contains(entry.pid.as_str()) && !entry.ident.ends_with("/master") {
                lines.push(entry.text.clone());
            }
        }
        lines
    }
}

/// A record: its kind, a length in groups of seven bits, the content.
fn next_record<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (kind, mut after) = rest.split_first()?;
    let (mut length, mut shift) = (0, 0);
    loop {
        let (byte, more) = after.split_first()?;
        after = more;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 || shift > 56 {
            break;
        }
    }
    let (content, more) = after.split_at_checked(length)?;
    *rest = more;
    Some((*kind, content))
}

impl Entry {
    /// `Nov 23 17:00:00 host postfix/smtpd[123]: text`
    fn parse(line: &str) -> Option<Entry> {
        let (head, text) = line.split_once("]: ")?;
        let (head, pid) = head.rsplit_once('[')?;
        let ident = head.rsplit(' ').next()?;
        Some(Entry { ident: ident.to_owned(), pid: pid.to_owned(), text: text.to_owned() })
    }
}

fn port(at: usize, side: Side) -> u16 {
    let number = FIRST_PORT + 2 * u16::try_from(at).unwrap_or_default();
    if side == Side::Theirs { number } else { number + 1 }
}

fn run(command: &mut Command) -> Outcome<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
}
