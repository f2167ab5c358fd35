//! The binary under a small master: options, descriptors, status messages, start order, reuse,
//! the end. Each test runs the original too, where it is installed: what is asserted is true of
//! both.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "binary/master.rs"]
mod master;

use std::env;
use std::fs::{self, File};
use std::io::{IoSlice, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use master::{Listener, Master, Place, Program, RELEASE, Start, greeted, obstacle, programs};

/// Runs a test with each program, or says why not.
fn with_each(test: impl Fn(&Program)) {
    if let Some(obstacle) = obstacle() {
        eprintln!("skipped: {obstacle}");
        return;
    }
    for program in programs() {
        eprintln!("with {}", program.path.display());
        test(&program);
    }
}

/// A child that waits for clients of an inet service.
fn waiting(program: &Program, place: &Place, more: &[&str]) -> (Master, Listener) {
    let listener = Listener::inet();
    let arguments: Vec<&str> =
        ["-n", "2530", "-t", "inet", "-u"].iter().chain(more).copied().collect();
    let master = Start::new(program, place, &arguments).with(&[&listener]);
    (master, listener)
}

/// A child that has served its first client, and so is known to have started.
fn started(program: &Program, place: &Place, more: &[&str]) -> (Master, Listener) {
    let (mut master, listener) = waiting(program, place, more);
    greeted(listener.connect());
    assert!(!master.status());
    assert!(master.status());
    (master, listener)
}

/// What stands behind `name` in /proc/PID/status.
fn status_of(master: &Master, name: &str) -> String {
    status_of_process(&master.pid().to_string(), name)
}

fn status_of_process(process: &str, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn one_process_serves_client_after_client_and_tells_master() {
    with_each(|program| {
        let place = Place::new("");
        let (mut master, listener) = started(program, &place, &[]);
        greeted(listener.connect());
        assert!(!master.status());
        assert!(master.status());
        master.leave();
        master.ends_well();
    });
}

#[test]
fn a_process_ends_after_max_use_clients() {
    with_each(|program| {
        for arguments in [&["-o", "max_use=1"][..], &["-m", "1"], &["-o", "max_use = 1"]] {
            let place = Place::new("max_use = 7\n");
            let (mut master, _listener) = started(program, &place, arguments);
            master.ends_well();
        }
    });
}

#[test]
fn a_process_without_clients_ends_after_max_idle() {
    with_each(|program| {
        let place = Place::new("");
        let (mut master, _listener) = waiting(program, &place, &["-i", "1"]);
        master.ends_well();
    });
}

/// An indexed table, as postmap(1) makes it, written at that time; `None` where it can't.
fn indexed(spec: &str, file: &Path, written: SystemTime) -> Option<()> {
    let directory = file.parent().unwrap();
    let source = file.with_extension("");
    fs::create_dir_all(directory).unwrap();
    fs::write(directory.join("main.cf"), "compatibility_level = 3.6\n").unwrap();
    fs::write(&source, "good.example OK\n").unwrap();
    let date = |path: &Path, time| {
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    };
    // postmap waits for files to cool down.
    let day_ago = SystemTime::now() - Duration::from_secs(86400);
    date(&source, day_ago);
    date(&directory.join("main.cf"), day_ago);
    let made = Command::new("postmap").arg("-c").arg(directory).arg(spec).status();
    made.ok().filter(|status| status.success())?;
    date(file, written);
    Some(())
}

#[test]
fn a_process_ends_when_a_table_has_changed() {
    let directory =
        std::env::temp_dir().join(format!("smtpd-rs-binary-tables-{}", std::process::id()));
    let path = directory.join("access");
    with_each(|program| {
        for (kind, suffix) in [("hash", "db"), ("btree", "db"), ("cdb", "cdb")] {
            let spec = format!("{kind}:{}", path.display());
            let file = path.with_extension(suffix);
            let hour_ago = SystemTime::now() - Duration::from_secs(3600);
            if indexed(&spec, &file, hour_ago).is_none() {
                eprintln!("skipped: postmap makes no files of type {kind}");
                continue;
            }
            let place =
                Place::new(&format!("smtpd_client_restrictions = check_client_access {spec}\n"));
            let (mut master, listener) = started(program, &place, &[]);
            indexed(&spec, &file, SystemTime::now()).unwrap();
            let _next = listener.connect();
            let record = place.record_with("has changed");
            let end =
                format!("table {spec}(0,lock|fold_fix|utf8_request) has changed -- restarting");
            assert!(record.ends_with(&end), "{record}");
            master.ends_well();
            fs::remove_file(file).unwrap();
        }
    });
    let _ = fs::remove_dir_all(directory);
}

#[test]
fn a_process_ends_when_master_goes() {
    with_each(|program| {
        let place = Place::new("");
        let (mut master, _listener) = waiting(program, &place, &[]);
        master.leave();
        master.ends_well();
    });
}

#[test]
fn a_client_is_served_to_the_end_though_master_goes() {
    with_each(|program| {
        let place = Place::new("");
        let (mut master, listener) = waiting(program, &place, &[]);
        let mut client = listener.connect();
        client.read_exact(&mut [0; 3]).unwrap();
        assert!(!master.status());
        master.leave();
        client.write_all(b"QUIT\r\n").unwrap();
        let _ = client.read_to_end(&mut Vec::new());
        master.ends_well();
    });
}

#[test]
fn the_accept_lock_is_a_file_of_root() {
    with_each(|program| {
        let place = Place::new("");
        let (_master, _listener) = started(program, &place, &[]);
        let about = fs::metadata(place.queue().join("pid/inet.2530")).unwrap();
        assert_eq!((about.uid(), about.permissions().mode() & 0o7777), (0, 0o600));
    });
}

#[test]
fn the_only_process_of_a_service_needs_no_lock() {
    with_each(|program| {
        let place = Place::new("");
        let (_master, _listener) = started(program, &place, &["-l"]);
        assert_eq!(fs::read_dir(place.queue().join("pid")).unwrap().count(), 0);
    });
}

#[test]
fn two_processes_share_a_socket() {
    with_each(|program| {
        let place = Place::new("");
        let listener = Listener::inet();
        let arguments = ["-n", "x", "-t", "inet", "-u"];
        let start = || Start::new(program, &place, &arguments).with(&[&listener]);
        let (mut one, mut two) = (start(), start());
        let clients = [listener.connect(), listener.connect()];
        assert!(!one.status() && !two.status());
        for mut client in clients {
            client.read_exact(&mut [0; 3]).unwrap();
            let _ = client.write_all(b"QUIT\r\n");
        }
        assert!(one.status() && two.status());
    });
}

#[test]
fn privileges_are_given_up() {
    with_each(|program| {
        let place = Place::new("");
        let (master, _listener) = started(program, &place, &["-c"]);
        let owner = nix::unistd::User::from_name("postfix").unwrap().unwrap();
        let four = |id: u32| format!("{id} {id} {id} {id}");
        let (uid, gid) = (owner.uid.as_raw(), owner.gid.as_raw());
        assert_eq!(status_of(&master, "Uid:"), four(uid));
        assert_eq!(status_of(&master, "Gid:"), four(gid));
        let name = std::ffi::CString::new("postfix").unwrap();
        let mut groups: Vec<u32> = nix::unistd::getgrouplist(&name, owner.gid)
            .unwrap()
            .iter()
            .map(|id| id.as_raw())
            .collect();
        groups.sort_unstable();
        let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
        assert_eq!(status_of(&master, "Groups:"), groups.join(" "));
        assert_eq!(status_of(&master, "CapEff:"), "0000000000000000");
        let link = |name: &str| fs::read_link(format!("/proc/{}/{name}", master.pid())).unwrap();
        assert_eq!(link("root"), place.queue().canonicalize().unwrap());
        assert_eq!(link("cwd"), place.queue().canonicalize().unwrap());
    });
}

#[test]
fn without_options_root_stays_root() {
    with_each(|program| {
        let place = Place::new("");
        let path = place.queue().join("private/smtpd");
        let listener = Listener::unix(&path);
        let mut master = Start::new(program, &place, &["-t", "unix"]).with(&[&listener]);
        let mut client = UnixStream::connect(path).unwrap();
        client.read_exact(&mut [0; 3]).unwrap();
        assert!(!master.status());
        assert_eq!(status_of(&master, "Uid:"), "0 0 0 0");
        assert!(place.queue().join("pid/unix.smtpd-rs").exists(), "named after the command");
    });
}

#[test]
fn descriptors_of_master_are_not_passed_on() {
    with_each(|program| {
        let place = Place::new("");
        let (master, _listener) = started(program, &place, &[]);
        for fd in 3..=6 {
            let about = fs::read_to_string(format!("/proc/{}/fdinfo/{fd}", master.pid())).unwrap();
            let flags = about.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
            let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
            assert_ne!(flags & libc::O_CLOEXEC, 0, "descriptor {fd}");
        }
    });
}

#[test]
fn broken_pipes_and_large_files_are_survived() {
    with_each(|program| {
        let place = Place::new("");
        let (master, _listener) = started(program, &place, &[]);
        let ignored = u64::from_str_radix(&status_of(&master, "SigIgn:"), 16).unwrap();
        let caught = u64::from_str_radix(&status_of(&master, "SigCgt:"), 16).unwrap();
        // Where we run in a shell's background, SIGINT is ignored here already.
        let before = u64::from_str_radix(&status_of_process("self", "SigIgn:"), 16).unwrap();
        let bit = |signal: i32| 1u64 << (signal - 1);
        assert_eq!(ignored & bit(libc::SIGPIPE), bit(libc::SIGPIPE));
        assert_eq!(ignored & bit(libc::SIGXFSZ), bit(libc::SIGXFSZ));
        assert_eq!(caught & bit(libc::SIGALRM), bit(libc::SIGALRM));
        for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT] {
            assert_eq!((ignored & !before | caught) & bit(signal), 0, "signal {signal}");
        }
    });
}

#[test]
fn clients_come_in_by_several_sockets() {
    with_each(|program| {
        let place = Place::new("");
        let (one, two) = (Listener::inet(), Listener::inet());
        let arguments = ["-n", "x", "-t", "inet", "-u", "-s", "2"];
        let mut master = Start::new(program, &place, &arguments).with(&[&one, &two]);
        for listener in [&two, &one, &two] {
            greeted(listener.connect());
            assert!(!master.status() && master.status());
        }
    });
}

#[test]
fn clients_come_in_by_a_local_socket() {
    with_each(|program| {
        let place = Place::new("");
        let path = place.queue().join("private/smtpd");
        let listener = Listener::unix(&path);
        let mut master = Start::new(program, &place, &["-t", "unix", "-u"]).with(&[&listener]);
        let mut client = UnixStream::connect(path).unwrap();
        client.read_exact(&mut [0; 3]).unwrap();
        client.write_all(b"QUIT\r\n").unwrap();
        assert!(!master.status() && master.status());
    });
}

/// Sends a client as postscreen(8) does.
fn pass(path: &std::path::Path, client: &UnixStream, attributes: &[u8]) -> UnixStream {
    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
    let mut sender = UnixStream::connect(path).unwrap();
    let rights = [client.as_raw_fd()];
    let control = [ControlMessage::ScmRights(&rights)];
    let byte = [IoSlice::new(b"x")];
    sendmsg::<()>(sender.as_raw_fd(), &byte, &control, MsgFlags::empty(), None).unwrap();
    sender.write_all(attributes).unwrap();
    sender
}

#[test]
fn clients_come_in_from_postscreen() {
    with_each(|program| {
        let place = Place::new("");
        let path = place.queue().join("private/smtpd");
        let listener = Listener::unix(&path);
        let mut master =
            Start::new(program, &place, &["-t", "pass", "-u", "-o", "stress="]).with(&[&listener]);
        let (mut client, passed) = UnixStream::pair().unwrap();
        let attributes = [
            ["client_address", "192.0.2.1"],
            ["client_port", "4711"],
            ["server_address", "192.0.2.2"],
            ["server_port", "25"],
        ];
        let attributes = attributes.as_flattened().join("\0") + "\0\0";
        let mut sender = pass(&path, &passed, attributes.as_bytes());
        drop(passed);
        assert_eq!(sender.read(&mut [0]).unwrap(), 0, "closed: the client is theirs");
        client.read_exact(&mut [0; 3]).unwrap();
        client.write_all(b"QUIT\r\n").unwrap();
        assert!(!master.status() && master.status());
    });
}

#[test]
fn a_sender_that_sends_nothing_is_no_client() {
    with_each(|program| {
        let place = Place::new("");
        let path = place.queue().join("private/smtpd");
        let listener = Listener::unix(&path);
        let mut master = Start::new(program, &place, &["-t", "pass", "-u"]).with(&[&listener]);
        drop(UnixStream::connect(&path).unwrap());
        place.record_with("warning: pass_accept_attr: cannot receive file descriptor: ");
        place.record_with("error: accept connection: ");
        master.leave();
        master.ends_well();
    });
}

#[test]
fn the_watchdog_ends_a_process_that_hangs() {
    with_each(|program| {
        let place = Place::new("daemon_timeout = 3s\n");
        let path = place.queue().join("private/smtpd");
        let listener = Listener::unix(&path);
        let mut master = Start::new(program, &place, &["-t", "pass", "-u"]).with(&[&listener]);
        let _silent = UnixStream::connect(&path).unwrap();
        let record = place.record_with("watchdog");
        assert_eq!(
            record,
            format!("postfix/{}[{}]: fatal: watchdog timeout", tag(program), master.pid())
        );
        assert_eq!(master.end().0.code(), Some(1));
    });
}

#[test]
fn the_watchdog_ends_a_process_whose_client_says_nothing() {
    with_each(|program| {
        let place = Place::new("daemon_timeout = 3s\n");
        let (mut master, listener) = waiting(program, &place, &[]);
        let mut client = listener.connect();
        client.read_exact(&mut [0; 3]).unwrap();
        place.record_with("fatal: watchdog timeout");
        assert_eq!(master.end().0.code(), Some(1));
    });
}

#[test]
fn the_thirteenth_error_ends_a_process() {
    with_each(|program| {
        let place = Place::new("");
        let path = place.queue().join("private/smtpd");
        let listener = Listener::unix(&path);
        let mut master = Start::new(program, &place, &["-t", "pass", "-u"]).with(&[&listener]);
        for _ in 1..=13 {
            drop(UnixStream::connect(&path).unwrap());
            place.record_with("error: accept connection: ");
        }
        let record = place.record_with("fatal: ");
        assert!(record.ends_with("fatal: too many errors - program terminated"), "{record}");
        assert_eq!(master.end().0.code(), Some(1));
    });
}

#[test]
fn the_log_is_reached_from_the_jail() {
    with_each(|program| {
        let place = Place::new("");
        let (_master, listener) = waiting(program, &place, &["-c"]);
        greeted(listener.connect());
        place.record_with(": connect from ");
        place.record_with(": disconnect from ");
    });
}

#[test]
fn a_process_without_log_serves_clients_all_the_same() {
    with_each(|program| {
        let place = Place::new("");
        fs::remove_file(place.queue().join("public/postlog")).unwrap();
        let (mut master, _listener) = started(program, &place, &["-c"]);
        master.leave();
        master.ends_well();
    });
}

#[test]
fn a_debugger_is_run_when_asked_for() {
    with_each(|program| {
        for (arguments, environment) in [
            (&["-l", "-D", "-t", "inet", "-u"][..], &[][..]),
            (&["-lutinet"], &[("MAIL_DEBUG", "")]),
        ] {
            let place = Place::new("debugger_command = echo $process_id >pid/debugged\n");
            let listener = Listener::inet();
            let start = Start { environment, ..Start::new(program, &place, arguments) };
            let mut master = start.with(&[&listener]);
            greeted(listener.connect());
            assert!(!master.status() && master.status());
            let pid = master.pid();
            place.record_with(&format!(": running: echo {pid} >pid/debugged"));
            let written = fs::read_to_string(place.queue().join("pid/debugged")).unwrap();
            assert_eq!(written, format!("{pid}\n"));
        }
    });
}

/// The original is called as it is run; ours is smtpd.
fn tag(program: &Program) -> &'static str {
    if program.ours { "smtpd" } else { "smtpd-rs" }
}

#[test]
fn what_is_wrong_at_the_start_is_told_and_ends_the_process() {
    with_each(|program| {
        std::thread::scope(|scope| {
            for (arguments, main_cf, environment, text) in FATAL {
                scope.spawn(move || {
                    let place = Place::new(main_cf);
                    let start = Start { environment, ..Start::new(program, &place, arguments) };
                    let mut master = start.with(&[&Listener::inet()]);
                    let record = place.record_with("fatal: ");
                    let queue = place.directory.to_string_lossy().into_owned();
                    let group = nix::unistd::Group::from_name("postfix").unwrap().unwrap();
                    let group = group.gid.to_string();
                    let text = text.replace("DIRECTORY", &queue).replace("GID", &group);
                    assert_eq!(record.split_once(" fatal: ").unwrap().1, text);
                    assert_eq!(master.end().0.code(), Some(1), "{text}");
                });
            }
        });
    });
}

type Wrong =
    (&'static [&'static str], &'static str, &'static [(&'static str, &'static str)], &'static str);

const FATAL: &[Wrong] = &[
    (&["-x"], "", &[], "invalid option: x"),
    (&["-uvn"], "", &[], "invalid option: n"),
    (&["-s", "0", "-t", "inet"], "", &[], "invalid socket_count: 0"),
    (&["-r", "0", "-t", "inet"], "", &[], "invalid retirement time: 0"),
    (&["-o", "x"], "", &[], "invalid \"-o x\" option value: missing '=' after attribute name"),
    (&["-o", "=x"], "", &[], "invalid \"-o =x\" option value: missing attribute name"),
    (&["-u"], "", &[], "no transport type specified"),
    (&["-t", "fifo"], "", &[], "unsupported transport type: fifo"),
    (&["-t", "unix-dgram"], "", &[], "unsupported transport type: unix-dgram"),
    (&["-t", "inet"], "", &[("GENERATION", "1x")], "bad generation: 1x"),
    (&["-D", "-t", "inet"], "", &[], "no debugger_command variable set up"),
    (
        &["-t", "inet"],
        "",
        &[("MAIL_CONFIG", "/nonexistent")],
        "open /nonexistent/main.cf: No such file or directory",
    ),
    (
        &["-t", "inet"],
        "x\n",
        &[],
        "DIRECTORY/etc/main.cf, line 9: missing '=' after attribute name: \"x\"",
    ),
    (&["-t", "inet"], "max_idle = x\n", &[], "parameter max_idle: bad time value or unit: x"),
    (&["-t", "inet"], "max_use = 0\n", &[], "invalid max_use parameter value 0 < 1"),
    (
        &["-t", "inet"],
        "smtpd_helo_required = maybe\n",
        &[],
        "bad boolean configuration: smtpd_helo_required = maybe",
    ),
    (&["-t", "inet"], "smtpd_banner = ${x\n", &[], "dictionary mail_dict: macro processing error"),
    (
        &["-t", "inet"],
        "compatibility_level = x\n",
        &[],
        "malformed compatibility level syntax: \"x\"",
    ),
    (
        &["-t", "inet"],
        "syslog_facility = x\n",
        &[],
        "file DIRECTORY/etc/main.cf: parameter syslog_facility: unrecognized value: x",
    ),
    (
        &["-t", "inet"],
        "myhostname = a..b\n",
        &[],
        "file DIRECTORY/etc/main.cf: parameter myhostname: bad parameter value: a..b",
    ),
    (
        &["-t", "inet"],
        "inet_protocols = ipx\n",
        &[],
        "unknown inet_protocols value \"ipx\" in \"ipx\"",
    ),
    (
        &["-t", "inet"],
        "inet_protocols = IPV4\n",
        &[],
        "unknown inet_protocols value \"IPV4\" in \"IPV4\"",
    ),
    (
        &["-t", "inet"],
        "inet_interfaces = 192.0.2.77\n",
        &[],
        "parameter inet_interfaces: no local interface found for 192.0.2.77",
    ),
    (
        &["-t", "inet"],
        "mynetworks_style = x\n",
        &[],
        "unknown mynetworks mask style value \"x\" in \"x\"",
    ),
    (
        &["-t", "inet"],
        "mail_owner = nosuchuser\n",
        &[],
        "file DIRECTORY/etc/main.cf: parameter mail_owner: unknown user name value: nosuchuser",
    ),
    (
        &["-t", "inet"],
        "mail_owner = root\n",
        &[],
        "file DIRECTORY/etc/main.cf: parameter mail_owner: user root has privileged user ID",
    ),
    (
        &["-t", "inet"],
        "default_privs = postfix\n",
        &[],
        "file DIRECTORY/etc/main.cf: parameters default_privs and mail_owner specify the same user postfix",
    ),
    (
        &["-t", "inet"],
        "setgid_group = nosuchgroup\n",
        &[],
        "file DIRECTORY/etc/main.cf: parameter setgid_group: unknown group name: nosuchgroup",
    ),
    (
        &["-t", "inet"],
        "setgid_group = postfix\n",
        &[],
        "file DIRECTORY/etc/main.cf: parameters mail_owner and setgid_group: user postfix and group postfix have the same group ID: GID",
    ),
    (
        &["-t", "inet"],
        "relayhost = MX.example\n",
        &[],
        "myhostname and relayhost parameter settings must not be identical: mx.example",
    ),
    (
        &["-t", "inet"],
        "myorigin = a b\n",
        &[],
        "myorigin parameter setting must not contain multiple values: a b",
    ),
    (
        &["-t", "inet"],
        "default_verp_delimiters = +/\n",
        &[],
        "file DIRECTORY/etc/main.cf: parameters default_verp_delimiters and verp_delimiter_filter: bad second VERP delimiter character",
    ),
    (
        &["-t", "inet"],
        "maillog_file = /etc/x\n",
        &[],
        "maillog_file value '/etc/x' does not match any prefix in maillog_file_prefixes",
    ),
    (
        &["-t", "inet", "-n", "a/b"],
        "",
        &[],
        "open lock file pid/inet.a/b: cannot create file exclusively: No such file or directory",
    ),
];

#[test]
fn the_log_goes_to_standard_error_too() {
    with_each(|program| {
        let place = Place::new("");
        let arguments = ["-V", "-t", "inet", "-l", "-o", "queue_directory=/nonexistent"];
        let mut master = Start::new(program, &place, &arguments).with(&[&Listener::inet()]);
        let (status, said) = master.end();
        assert_eq!(status.code(), Some(1));
        let tag = tag(program);
        let text = "chdir(\"/nonexistent\"): No such file or directory";
        assert_eq!(said, format!("postfix/{tag}: fatal: {text}\n"));
    });
}

#[test]
fn words_that_are_no_options_end_the_process_at_its_first_client() {
    with_each(|program| {
        let place = Place::new("syslog_name = x\n");
        let arguments = ["-o", "syslog_name=a/b", "word", "-u"];
        let (mut master, listener) = waiting(program, &place, &arguments);
        let mut client = listener.connect();
        assert!(!master.status());
        let record = place.record_with("fatal: ");
        let tag = tag(program);
        let pid = master.pid();
        assert_eq!(
            record,
            format!("a/b/{tag}[{pid}]: fatal: unexpected command-line argument: word")
        );
        assert_eq!(master.end().0.code(), Some(1));
        let mut said = Vec::new();
        let _ = client.read_to_end(&mut said);
        assert_eq!(said, b"");
    });
}

#[test]
fn a_verbose_process_tells_of_its_life() {
    with_each(|program| {
        let place = Place::new("");
        let (mut master, _listener) = started(program, &place, &["-v"]);
        place.record_with("process generation: 17 (17)");
        place.record_with("connection established");
        place.record_with("master_notify: status 0");
        place.record_with("master_notify: status 1");
        place.record_with("connection closed");
        master.leave();
        place.record_with("master disconnect -- exiting");
        master.ends_well();
    });
}

/// A terminal: what a person sits at, and what a program sees.
fn terminal() -> (OwnedFd, OwnedFd) {
    let (mut person, mut program) = (0, 0);
    let none = std::ptr::null_mut();
    // SAFETY: two valid places for two descriptors; the rest may be null.
    let made = unsafe {
        libc::openpty(&raw mut person, &raw mut program, none, std::ptr::null(), std::ptr::null())
    };
    assert_eq!(made, 0);
    // SAFETY: both have just been made for us.
    let own = |fd| unsafe { OwnedFd::from_raw_fd(fd) };
    (own(person), own(program))
}

#[test]
fn nobody_runs_it_by_hand() {
    with_each(|program| {
        let place = Place::new("");
        let (_person, stdin) = terminal();
        let start = Start { stdin: Some(stdin), ..Start::new(program, &place, &["-t", "inet"]) };
        let mut master = start.with(&[&Listener::inet()]);
        let (status, said) = master.end();
        assert_eq!(status.code(), Some(1));
        assert_eq!(said, format!("{}: fatal: do not run this command by hand\n", tag(program)));
        place.record_with("fatal: do not run this command by hand");
    });
}

#[test]
fn whoever_insists_runs_it_by_hand() {
    with_each(|program| {
        let place = Place::new("");
        let (_person, stdin) = terminal();
        let arguments = ["-d", "-t", "inet", "-u"];
        let start = Start { stdin: Some(stdin), ..Start::new(program, &place, &arguments) };
        let listener = Listener::inet();
        let mut master = start.with(&[&listener]);
        greeted(listener.connect());
        assert!(!master.status() && master.status());
    });
}

#[test]
fn privileges_that_cannot_be_changed_end_the_process() {
    with_each(|program| {
        let place = Place::new("");
        let arguments = ["-l", "-u", "-t", "inet"];
        let start = Start { user: Some(65534), ..Start::new(program, &place, &arguments) };
        let mut master = start.with(&[&Listener::inet()]);
        let gid = nix::unistd::User::from_name("postfix").unwrap().unwrap().gid;
        place.record_with(&format!("fatal: setgid({gid}): Operation not permitted"));
        assert_eq!(master.end().0.code(), Some(1));
    });
}

#[test]
fn a_process_without_listening_socket_says_so() {
    if obstacle().is_some() {
        return;
    }
    let place = Place::new("");
    let program = &programs()[0];
    let start = Start { descriptors: false, ..Start::new(program, &place, &["-t", "inet"]) };
    let mut master = start.with(&[]);
    place.record_with("fatal: no listening socket: this program is started by master");
    assert_eq!(master.end().0.code(), Some(1));
}

#[test]
fn mail_owner_serves_a_client_on_standard_input() {
    with_each(|program| {
        let place = Place::new("");
        let (mut client, theirs) = UnixStream::pair().unwrap();
        client.write_all(b"QUIT\r\n").unwrap();
        let owner = nix::unistd::User::from_name("postfix").unwrap().unwrap();
        let start = Start {
            stdin: Some(theirs.try_clone().unwrap().into()),
            stdout: Some(theirs.into()),
            user: Some(owner.uid.as_raw()),
            ..Start::new(program, &place, &["-S"])
        };
        let mut master = start.with(&[]);
        let mut said = String::new();
        client.read_to_string(&mut said).unwrap();
        assert_eq!(said, "220 mx.example ESMTP Postfix\r\n221 2.0.0 Bye\r\n");
        master.ends_well();
    });
}

#[test]
fn anybody_may_run_it_on_pipes_and_needs_neither_tables_nor_keys() {
    let main_cf = "command_directory = /nonexistent\nsmtpd_client_restrictions = reject\n\
                   smtpd_tls_security_level = encrypt\nsmtpd_tls_chain_files = /nonexistent\n\
                   smtpd_sender_restrictions = check_sender_access hash:/nonexistent\n";
    with_each(|program| {
        let place = Place::new(main_cf);
        let (input, client) = nix::unistd::pipe().unwrap();
        let (replies, output) = nix::unistd::pipe().unwrap();
        let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
        let start = Start {
            stdin: Some(input),
            stdout: Some(output),
            user: Some(nobody.uid.as_raw()),
            ..Start::new(program, &place, &["-S"])
        };
        let mut master = start.with(&[]);
        let (mut client, mut replies) = (File::from(client), File::from(replies));
        client.write_all(b"MAIL FROM:<a@sender.test>\r\nRSET\r\nQUIT\r\n").unwrap();
        let mut said = String::new();
        replies.read_to_string(&mut said).unwrap();
        let expected = "220 mx.example ESMTP Postfix\r\n250 2.1.0 Ok\r\n250 2.0.0 Ok\r\n\
                        221 2.0.0 Bye\r\n";
        assert_eq!(said, expected);
        place.record_with("connect from localhost[127.0.0.1]");
        place.record_with("disconnect from localhost[127.0.0.1] mail=1 rset=1 quit=1 commands=3");
        master.ends_well();
    });
}

/// Values of main.cf, and what the greeting of a server with this banner is.
const BANNERS: &[(&str, &str)] = &[
    (
        "smtpd_banner = $myhostname  ESMTP\n  $mail_name\n# comment\n\n  (x) # y\n",
        "mx.example  ESMTP  Postfix  (x) # y",
    ),
    (
        "a=1\nsmtpd_banner=[${a}][$(a)][${ a }][$$a][${a?x:y}][${b?x:y}][${b:z}]",
        "[1][1][1][$a][x:y][][z]",
    ),
    ("a = x\nsmtpd_banner = ${a ? {t $a} : {f}}${b?{t}:{f $a}}${a? t }.", "t xf x t ."),
    (
        "smtpd_banner = ${{1} == {01} ? {y} : {n}}${{10} < {9}?{y}:{n}}${{b} > {a}}${{b} < {a}}.",
        "yntrue.",
    ),
    (
        "smtpd_banner = ${{3.10} >level {3.9} ? {y} : {n}}${{$compatibility_level} <level {3.6}?y}.",
        "y.",
    ),
    ("a = <$b>\nb = {$c}\nc = $$d\nsmtpd_banner = $a", "<{$d}>"),
    (
        "smtpd_banner = t=[$smtpd_timeout] r=[$smtpd_recipient_limit] h=[$smtpd_helo_required] \
         p=[$smtpd_sasl_path] i=[$ipc_timeout] s=[$soft_bounce] u=[$smtputf8_enable]",
        "t=[] r=[1000] h=[] p=[] i=[3600s] s=[no] u=[yes]",
    ),
    (
        "smtpd_timeout = 9m\nsmtpd_banner = $smtpd_timeout $mydomain $myorigin $mydestination",
        "9m example mx.example mx.example, localhost.example, localhost",
    ),
    (
        "smtpd_banner = $service_name $mail_version $daemon_directory $nothing.",
        "2530 VERSION /usr/lib/postfix/sbin .",
    ),
    (
        "mynetworks_style = class\nsmtpd_banner = ${mynetworks_style}${stress?s}${relayhost:r}",
        "classr",
    ),
    ("x =\t a \t b\r\n\x0b\nsmtpd_banner = <$x>", "<a \t b>"),
    ("smtpd_banner = é\u{1}x", "é\u{1}x"),
];

#[test]
fn values_are_expanded_alike() {
    with_each(|program| {
        for (main_cf, banner) in BANNERS {
            let place = Place::new(main_cf);
            let (mut master, listener) = waiting(program, &place, &["-o", "max_use=1"]);
            let mut client = listener.connect();
            client.write_all(b"QUIT\r\n").unwrap();
            let mut said = String::new();
            client.read_to_string(&mut said).unwrap();
            let banner = banner.replace("VERSION", &version());
            assert_eq!(said, format!("220 {banner}\r\n221 2.0.0 Bye\r\n"), "{main_cf}");
            master.ends_well();
        }
    });
}

/// Of the installed Postfix.
fn version() -> String {
    let output = std::process::Command::new("postconf").args(["-dh", "mail_version"]).output();
    output.map_or_else(
        |_| "3.7.11".into(),
        |output| String::from_utf8_lossy(&output.stdout).trim().into(),
    )
}

const TLS: &str = "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = none\n";

/// Options, what stands in main.cf, and the libraries that are there after the first client.
const LIBRARIES: &[(&[&str], &str, &[&str])] = &[
    (&[], "", &[]),
    // Its defaults for key exchange depend on OpenSSL.
    (&[], "smtpd_rs_dialect = 3.11", &[]),
    (&[], "smtpd_client_restrictions = check_client_access cidr:{{192.0.2.1 OK}}", &[]),
    (&[], "smtpd_client_restrictions = check_client_access pcre:{{/x/ OK}}", &["libpcre2-8"]),
    // In a jail they must be there before.
    (&["-c"], TLS, &["libcrypto", "libssl"]),
    (&["-o", "smtpd_tls_dh1024_param_file=/nonexistent"], TLS, &["libcrypto", "libssl"]),
];

#[test]
fn libraries_come_when_they_are_needed() {
    if let Some(obstacle) = obstacle() {
        eprintln!("skipped: {obstacle}");
        return;
    }
    if cfg!(not(all(target_arch = "x86_64", target_env = "gnu"))) {
        eprintln!("skipped: src/sys/late_libraries.rs has no stubs for this processor");
        return;
    }
    let ours = programs().into_iter().find(|program| program.ours).unwrap();
    let is_linked = || libraries(&started(&ours, &Place::new(""), &[]).0) != [""; 0];
    if env::var_os(RELEASE).is_none() && is_linked() {
        // Of code that is not called some is left, as that compiler divides it.
        eprintln!("not tested: without optimization this program is linked with OpenSSL");
        return;
    }
    for (options, main_cf, wanted) in LIBRARIES {
        let place = Place::new(main_cf);
        let (master, _listener) = started(&ours, &place, options);
        assert_eq!(libraries(&master), *wanted, "{main_cf}");
    }
    let place = Place::new(TLS);
    let (mut master, listener) = started(&ours, &place, &[]);
    if env_is_usual() {
        assert_eq!(libraries(&master), [""; 0]);
    } else {
        eprintln!("not tested: here openssl.cnf is none that can wait");
    }
    let mut client = listener.connect();
    client.write_all(b"EHLO x\r\nSTARTTLS\r\n").unwrap();
    // There is no tlsmgr(8) here.
    let refusal = "454 4.7.0 TLS not available due to local problem\r\n";
    let (mut said, mut bytes) = (String::new(), [0; 512]);
    while !said.ends_with(refusal) {
        let len = client.read(&mut bytes).unwrap();
        assert_ne!(len, 0, "{said}");
        said.push_str(&String::from_utf8_lossy(&bytes[..len]));
    }
    assert_eq!(libraries(&master), ["libcrypto", "libssl"]);
    drop(client);
    assert!(!master.status() && master.status());
}

/// Of those that come late, which are there, in the order of the alphabet.
fn libraries(master: &Master) -> Vec<&'static str> {
    let maps = fs::read_to_string(format!("/proc/{}/maps", master.pid())).unwrap();
    let there = |library: &&str| maps.contains(&format!("/{library}."));
    ["libcrypto", "libpcre2-8", "libssl"].into_iter().filter(there).collect()
}

/// Whether OpenSSL is configured as a distribution does it that has everything in one file.
fn env_is_usual() -> bool {
    let file = fs::read_to_string("/etc/ssl/openssl.cnf").unwrap_or_default();
    let mut lines = file.lines().map(|line| line.trim_start());
    !file.is_empty() && !lines.any(|line| line.starts_with(".include"))
}
