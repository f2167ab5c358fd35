//! postdrop(1): takes a message into the queue from whoever runs us (`sendmail -bs`).
//!
//! It is set-gid, so it may write where its caller may not, and it needs no master(8). It is spoken
//! to as cleanup(8) is, over its standard input and output, but that its protocol has another name
//! and takes fewer records.
//!
//! Source: Postfix, `src/global/mail_stream.c`, `src/postdrop/postdrop.c`.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::link::{Connection, Endpoint, Manner};
use crate::config::Config;
use crate::log::{self, Fatal, Severity};
use crate::sys::pause::pause;
use crate::sys::service_socket::ServiceSocket;
use crate::text::split::{COMMA_SPACE, words_braced};

/// Time between tries to start it, while the system has no room for another process.
const START_DELAY: Duration = Duration::from_secs(10);
/// Where programs are, where export_environment does not say. As C: `_PATH_DEFPATH`.
const DEFAULT_PATH: &str = "/usr/bin:/bin";

/// The running command. Who drops it waits for its end.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    /// As the log names it.
    name: Vec<u8>,
    waited: bool,
}

/// Starts the command, with a connection to it.
pub(super) fn start(config: &Config) -> Result<(Connection, Running), Fatal> {
    let verbose = if log::verbose() > 0 { " -v" } else { "" };
    let path = fill!("{}/postdrop", config.command_directory);
    let name = fill!("{}{}", path, verbose);
    let mut command = Command::new(OsStr::from_bytes(&path));
    if !verbose.is_empty() {
        command.arg("-v");
    }
    environment(&mut command, &config.export_environment);
    let (child, socket) = loop {
        match spawn(&mut command) {
            Ok(started) => break started,
            Err(error) if is_shortage(&error) => {
                warning!("fork: {}", error);
                pause(START_DELAY);
            }
            Err(error) => {
                // In the words of the child that the original has by now.
                log::write(Severity::Fatal, &fill!("execvp {}: {}", path, error));
                warning!("command \"{}\" exited with status 1", name);
                return Err(unable(&name));
            }
        }
    };
    let manner = Manner::of_services(config, "postdrop_protocol");
    let connection = Connection::new(socket, &Endpoint::Unix(name.clone()), &manner);
    Ok((connection, Running { child, name, waited: false }))
}

/// It has a socket for standard input and output, and all the time that it wants.
fn spawn(command: &mut Command) -> io::Result<(Child, ServiceSocket)> {
    let (ours, theirs) = UnixStream::pair()?;
    let theirs = OwnedFd::from(theirs);
    command.stdin(Stdio::from(theirs.try_clone()?)).stdout(Stdio::from(theirs));
    let child = command.spawn();
    // What the command was given belongs to it alone, or its end would not be seen.
    command.stdin(Stdio::null()).stdout(Stdio::null());
    Ok((child?, ServiceSocket::over(ours.into(), Duration::ZERO)?))
}

fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE))
}

/// export_environment: names of variables that are passed on, and `name=value`.
fn environment(command: &mut Command, list: &[u8]) {
    command.env_clear().env("PATH", DEFAULT_PATH);
    for word in words_braced(list, COMMA_SPACE) {
        let inside = word.strip_prefix(b"{").and_then(|word| word.strip_suffix(b"}"));
        let word = inside.unwrap_or(word).trim_ascii();
        match word.iter().position(|byte| *byte == b'=') {
            Some(at) => {
                let (name, value) = word.split_at(at);
                let value = value.get(1..).unwrap_or_default().trim_ascii_start();
                command.env(OsStr::from_bytes(name.trim_ascii_end()), OsStr::from_bytes(value));
            }
            None => {
                let name = OsStr::from_bytes(word);
                if let Some(value) = env::var_os(name) {
                    command.env(name, value);
                }
            }
        }
    }
}

fn unable(name: &[u8]) -> Fatal {
    fatal!("unable to execute {}", name)
}

impl Running {
    /// The command did not say what it should: this process ends. Its connection is closed.
    pub(super) fn fail(mut self) -> Fatal {
        self.waited = true;
        match self.child.wait() {
            Ok(status) if status.success() => {}
            Ok(status) => {
                let status = status.code().or(status.signal()).unwrap_or(-1);
                warning!("command \"{}\" exited with status {}", self.name, status);
            }
            Err(error) => warning!("wait: {}", error),
        }
        unable(&self.name)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.waited && !self.child.wait().is_ok_and(|status| status.success()) {
            warning!("mail_stream_cleanup: close error");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;
    use crate::ipc::cleanup::Cleanup;
    use crate::log::captured;

    /// A directory in which postdrop(1) is another program.
    struct Directory(PathBuf);

    impl Directory {
        fn with(program: &str) -> Self {
            let name = format!("smtpd-rs-postdrop-{}-{}", std::process::id(), program.len());
            let path = env::temp_dir().join(name);
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            symlink(program, path.join("postdrop")).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// What comes of a message with `program` for postdrop(1).
    fn fails_with(program: &str) -> (Vec<u8>, String) {
        let directory = Directory::with(program);
        let path = directory.0.display();
        let config = Config::of_text(&format!("command_directory = {path}\n")).unwrap();
        captured::take();
        let Err(Fatal(text)) = Cleanup::open_postdrop(&config) else { panic!("a message") };
        assert_eq!(text, fill!("unable to execute {}/postdrop", path.to_string()));
        (text, captured::take().concat().replace(&path.to_string(), "DIR"))
    }

    #[test]
    fn what_is_no_postdrop_ends_this_process() {
        let (_, log) = fails_with("/nonexistent/x");
        let expected = "fatal: execvp DIR/postdrop: No such file or directory\
                        warning: command \"DIR/postdrop\" exited with status 1";
        assert_eq!(log, expected);
        let (_, log) = fails_with("/bin/true");
        assert_eq!(log, "");
        let (_, log) = fails_with("/bin/false");
        assert_eq!(log, "warning: command \"DIR/postdrop\" exited with status 1");
    }

    #[test]
    fn the_environment_is_what_export_environment_says() {
        let mut command = Command::new("postdrop");
        environment(&mut command, b"HOME, NO_SUCH_VARIABLE { A = b c } PATH=/x  LANG=C=D");
        let mut all: Vec<_> = command
            .get_envs()
            .filter(|(name, _)| *name != "HOME")
            .map(|(name, value)| format!("{name:?}={:?}", value.unwrap_or_default()))
            .collect();
        all.sort();
        assert_eq!(all, [r#""A"="b c""#, r#""LANG"="C=D""#, r#""PATH"="/x""#]);
    }
}
