//! A small master(8): starts one child with the descriptors that it expects, and keeps its log.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::env;
use std::fs::{self, File, Permissions};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

/// Nothing here takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program to try: ours, or the original.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) ours: bool,
}

/// Names the program to be tested, if it isn't the one that cargo builds for tests.
pub(crate) const RELEASE: &str = "SMTPD_RS_BINARY";

/// Ours, and the original where it is installed, in the release that ours speaks as.
pub(crate) fn programs() -> Vec<Program> {
    let ours = env::var_os(RELEASE).unwrap_or_else(|| env!("CARGO_BIN_EXE_smtpd-rs").into());
    let ours = Program { path: ours.into(), ours: true };
    let original = Program { path: "/usr/lib/postfix/sbin/smtpd".into(), ours: false };
    let release = Command::new("postconf").args(["-dh", "mail_version"]).output();
    let speaks_alike = release.is_ok_and(|output| output.stdout.starts_with(b"3.7."));
    let installed = original.path.exists() && speaks_alike;
    [Some(ours), installed.then_some(original)].into_iter().flatten().collect()
}

/// Why these tests cannot run here.
pub(crate) fn obstacle() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("needs root: a child of master starts as root".into());
    }
    let known = |text: &str, name: &str| text.lines().any(|line| line.starts_with(name));
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let group = fs::read_to_string("/etc/group").unwrap_or_default();
    if !known(&passwd, "postfix:") || !known(&group, "postdrop:") {
        return Some("needs the user postfix and the group postdrop".into());
    }
    None
}

/// A configuration directory and a queue directory of our own, and the socket of postlogd.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
    log: mpsc::Receiver<String>,
}

impl Place {
    /// A place where main.cf has these lines, besides those that keep the world small.
    pub(crate) fn new(main_cf: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("smtpd-rs-binary-{}-{number}", std::process::id()));
        for name in ["", "etc", "queue", "queue/pid", "queue/private", "queue/public"] {
            fs::create_dir(directory.join(name)).unwrap();
            fs::set_permissions(directory.join(name), Permissions::from_mode(0o755)).unwrap();
        }
        let socket = directory.join("queue/public/postlog");
        let log = UnixDatagram::bind(&socket).unwrap();
        fs::set_permissions(socket, Permissions::from_mode(0o777)).unwrap();
        let place = Self { directory, log: records(log) };
        place.write_main_cf(main_cf);
        place
    }

    pub(crate) fn queue(&self) -> PathBuf {
        self.directory.join("queue")
    }

    /// A copy of a program that every user may run: the source tree may be root's alone.
    fn with_a_copy_of(&self, program: &Path) -> PathBuf {
        let copy = self.directory.join("program");
        fs::copy(program, &copy).unwrap();
        copy
    }

    fn write_main_cf(&self, main_cf: &str) {
        let queue = self.queue();
        let text = format!(
            "compatibility_level = 3.6\nqueue_directory = {}\nmaillog_file = /var/log/nothing\n\
             myhostname = mx.example\nlocal_recipient_maps =\nalias_maps =\n\
             smtpd_peername_lookup = no\nsmtpd_client_connection_count_limit = 0\n{main_cf}",
            queue.display()
        );
        let path = self.directory.join("etc/main.cf");
        fs::write(&path, text).unwrap();
        // A file that has just been written is read again and again until it is a second old.
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        File::options().write(true).open(path).unwrap().set_modified(hour_ago).unwrap();
    }

    /// The next record of the log, without time and host.
    pub(crate) fn record(&self) -> String {
        self.log.recv_timeout(PATIENCE).expect("a record of the log")
    }

    /// The first record from now on that contains `text`.
    pub(crate) fn record_with(&self, text: &str) -> String {
        loop {
            let record = self.record();
            eprintln!("{record}");
            if record.contains(text) {
                return record;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Reads records as they come: whoever writes them waits when nobody does.
fn records(socket: UnixDatagram) -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut record = vec![0; 4096];
        while let Ok(len) = socket.recv(&mut record) {
            let text = String::from_utf8_lossy(&record[..len]);
            let text = text.splitn(5, ' ').last().unwrap_or_default().to_owned();
            if tell.send(text).is_err() {
                break;
            }
        }
    });
    told
}

/// Where clients come in.
#[derive(Debug)]
pub(crate) enum Listener {
    Inet(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    pub(crate) fn inet() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self::Inet(listener)
    }

    pub(crate) fn unix(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self::Unix(listener)
    }

    fn fd(&self) -> RawFd {
        match self {
            Self::Inet(listener) => listener.as_raw_fd(),
            Self::Unix(listener) => listener.as_raw_fd(),
        }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let Self::Inet(listener) = self else { panic!("not on the network") };
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    }
}

/// A child, and our end of its status socket.
#[derive(Debug)]
pub(crate) struct Master {
    pub(crate) child: Option<Child>,
    pub(crate) status: Option<UnixStream>,
    pid: i32,
}

/// What a child is started with.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) program: &'a Program,
    pub(crate) place: &'a Place,
    pub(crate) name: &'a str,
    pub(crate) arguments: &'a [&'a str],
    pub(crate) environment: &'a [(&'a str, &'a str)],
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) user: Option<u32>,
    pub(crate) descriptors: bool,
}

impl<'a> Start<'a> {
    pub(crate) fn new(program: &'a Program, place: &'a Place, arguments: &'a [&'a str]) -> Self {
        Self {
            program,
            place,
            name: "smtpd-rs",
            arguments,
            environment: &[],
            stdin: None,
            stdout: None,
            user: None,
            descriptors: true,
        }
    }

    /// Starts the child, as master(8) does.
    pub(crate) fn with(self, listeners: &[&Listener]) -> Master {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        let (flow_read, flow_write) = nix::unistd::pipe().unwrap();
        let mut passed = vec![flow_read.as_raw_fd(), flow_write.as_raw_fd(), theirs.as_raw_fd()];
        passed.extend(listeners.iter().map(|listener| listener.fd()));
        if !self.descriptors {
            passed.clear();
        }
        let mut command = self.command();
        // SAFETY: between fork and exec only calls that are safe there.
        unsafe { command.pre_exec(move || pass(&passed)) };
        let child = command.spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        Master { child: Some(child), status: Some(ours), pid }
    }

    fn command(self) -> Command {
        let mut command = match self.user {
            None => Command::new(&self.program.path),
            Some(_) => Command::new(self.place.with_a_copy_of(&self.program.path)),
        };
        command
            .arg0(self.name)
            .args(self.arguments)
            .current_dir(self.place.queue())
            .env_clear()
            .env("MAIL_CONFIG", self.place.directory.join("etc"))
            .env("MAIL_LOGTAG", "postfix")
            .env("POSTLOG_SERVICE", self.place.queue().join("public/postlog"))
            .env("POSTLOG_HOSTNAME", "mx.example")
            .env("GENERATION", "17")
            .envs(self.environment.iter().copied())
            .stdin(self.stdin.map_or_else(Stdio::null, Stdio::from))
            .stdout(self.stdout.map_or_else(Stdio::piped, Stdio::from))
            .stderr(Stdio::piped());
        if let Some(user) = self.user {
            command.uid(user);
        }
        command
    }
}

/// Puts the descriptors where a child looks for them: from 3 on.
fn pass(passed: &[RawFd]) -> std::io::Result<()> {
    let mut high = [0; 16];
    for (fd, high) in passed.iter().zip(&mut high) {
        // SAFETY: takes integers.
        *high = unsafe { libc::fcntl(*fd, libc::F_DUPFD_CLOEXEC, 100) };
    }
    for (place, high) in (3..).zip(high).take(passed.len()) {
        // SAFETY: takes integers.
        if unsafe { libc::dup2(high, place) } < 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

impl Master {
    /// The next status message: whether the child is available. It must be from the child.
    pub(crate) fn status(&mut self) -> bool {
        let mut message = [0; 12];
        self.status.as_mut().unwrap().read_exact(&mut message).expect("a status message");
        let number = |at: usize| i32::from_ne_bytes(message[at..at + 4].try_into().unwrap());
        assert_eq!((number(0), number(4)), (self.pid, 0o17), "process id and generation");
        assert!(matches!(number(8), 0 | 1));
        number(8) == 1
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Master goes, or reloads.
    pub(crate) fn leave(&mut self) {
        self.status = None;
    }

    /// How the child ends, and what it says on standard output and error.
    pub(crate) fn end(&mut self) -> (ExitStatus, String) {
        let mut child = self.child.take().expect("a child");
        let pid = nix::unistd::Pid::from_raw(self.pid);
        let (tell, told) = mpsc::channel();
        let waiting = std::thread::spawn(move || {
            let mut said = String::new();
            if let Some(mut stdout) = child.stdout.take() {
                stdout.read_to_string(&mut said).unwrap();
            }
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            let status = child.wait().unwrap();
            let _ = tell.send(());
            (status, said)
        });
        if told.recv_timeout(PATIENCE).is_err() {
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            let (_, said) = waiting.join().unwrap();
            panic!("the child does not end; it says {said:?}");
        }
        waiting.join().unwrap()
    }

    /// Asserts that the child ends without complaint.
    pub(crate) fn ends_well(&mut self) {
        let (status, said) = self.end();
        assert!(status.success(), "{status}: {said}");
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A client that is greeted and leaves.
pub(crate) fn greeted(mut client: TcpStream) {
    let mut said = Vec::new();
    client.read_exact(&mut [0; 3]).expect("a greeting");
    client.write_all(b"QUIT\r\n").unwrap();
    // Whether the connection ends in order does not matter here.
    let _ = client.read_to_end(&mut said);
}
