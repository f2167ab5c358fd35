//! What all verbs have in common: how the program starts and ends when a person asks it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;

const OURS: &str = env!("CARGO_BIN_EXE_smtpd-rs");

fn said(words: &[&str]) -> Output {
    Command::new(OURS).args(words).output().unwrap()
}

#[test]
fn each_end_has_its_status() {
    for (words, status) in [
        (&["help"][..], 0),
        (&["--version"], 0),
        (&["version"], 0),
        (&["ccert", "show", "/nowhere"], 1),
        (&["nonsense"], 64),
        (&["version", "--nonsense"], 64),
    ] {
        let output = said(words);
        assert_eq!(output.status.code(), Some(status), "{words:?}");
        // Good words go to standard output, whole; complaints do not.
        assert_eq!(output.stdout.ends_with(b"\n"), status == 0, "{words:?}");
        assert_eq!(output.stderr.is_empty(), status == 0, "{words:?}");
    }
}

#[test]
fn who_stops_reading_has_seen_enough() {
    let (gone, stdout) = UnixStream::pair().unwrap();
    drop(gone);
    let mut command = Command::new(OURS);
    let status = command.arg("help").stdout(OwnedFd::from(stdout)).status().unwrap();
    assert_eq!(status.code(), Some(0), "{status}");
}

#[test]
fn a_closed_standard_stream_is_not_taken_for_a_file() {
    let place = std::env::temp_dir().join(format!("smtpd-rs-verbs-{}", std::process::id()));
    fs::create_dir_all(&place).unwrap();
    let main_cf = place.join("main.cf");
    nix::unistd::mkfifo(&main_cf, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let mut child = Command::new("sh")
        .args(["-c", "exec \"$0\" parameters <&- >&- 2>&-", OURS])
        .env("MAIL_CONFIG", &place)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    // It waits for somebody to write into its main.cf.
    let process = PathBuf::from(format!("/proc/{}", child.id()));
    let is_ours = || fs::read_link(process.join("exe")).is_ok_and(|exe| same_file(&exe));
    let stream = |number: u8| fs::read_link(process.join(format!("fd/{number}"))).ok();
    let deadline = Instant::now() + Duration::from_secs(60);
    let replaced = || {
        is_ours() && (0..3).all(|number| stream(number).as_deref() == Some("/dev/null".as_ref()))
    };
    while !replaced() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let streams = [0, 1, 2].map(stream);
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_dir_all(place).unwrap();
    assert_eq!(streams, [(); 3].map(|()| Some(PathBuf::from("/dev/null"))));
}

fn same_file(exe: &Path) -> bool {
    fs::canonicalize(OURS).is_ok_and(|ours| ours == exe)
}
