//! A client that runs `sendmail -bs`: no network, no master(8), perhaps no privileges.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::User;

/// The running program, and two pipes to it.
pub(crate) struct Sendmail {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
}

impl Sendmail {
    /// Starts it as `user`, with the configuration in `conf`; its standard error goes to a file.
    pub(crate) fn start(user: &str, conf: &Path, errors: &Path) -> io::Result<Sendmail> {
        let user = User::from_name(user)?.ok_or(io::ErrorKind::NotFound)?;
        let mut child = Command::new("sendmail")
            .arg("-C")
            .arg(conf)
            .arg("-bs")
            .env_remove("MAIL_CONFIG")
            .uid(user.uid.as_raw())
            .gid(user.gid.as_raw())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(errors)?)
            .spawn()?;
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Sendmail { child, input, output })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.input.as_mut().map_or(Ok(()), |input| input.write_all(bytes))
    }

    /// Reads what there is, waiting so long; `WouldBlock` when that was in vain.
    pub(crate) fn read(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<usize> {
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        let ready = poll(&mut [PollFd::new(self.output.as_fd(), PollFlags::POLLIN)], timeout)?;
        if ready == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { self.output.read(buffer) }
    }

    /// Says no more.
    pub(crate) fn shut(&mut self) {
        self.input = None;
    }
}

impl Drop for Sendmail {
    /// It ends when there is nobody to listen to; then its log lines are written.
    fn drop(&mut self) {
        self.shut();
        let _ = io::copy(&mut self.output, &mut io::sink());
        let _ = self.child.wait();
    }
}
