//! One client after the other, until it is time to go.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Program;
use super::listen::Transport;
use super::master::Inheritance;
use crate::config::Config;
use crate::log::{self, Fatal};
use crate::sys::lock::LockFile;
use crate::sys::watchdog;

/// A child of master(8) that waits for clients.
pub(super) struct Child<'a, P> {
    pub(super) config: &'a Config,
    pub(super) program: P,
    pub(super) master: Inheritance,
    pub(super) transport: Transport,
    /// Which process waits for the next client; `None`: there is only one.
    pub(super) lock: Option<LockFile>,
    /// Arguments that are no options: there must be none.
    pub(super) rest: &'a [Vec<u8>],
}

/// Whether to wait for another client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Client,
    End,
}

impl<P: Program> Child<'_, P> {
    /// Serves clients.
    pub(super) fn run(&mut self) -> Result<(), Fatal> {
        let mut served = 0i32;
        let mut idle_until = self.idle_until();
        while served < self.config.max_use {
            watchdog::watch(false);
            self.acquire()?;
            let Some(ready) = self.wait(idle_until)? else { return Ok(()) };
            watchdog::watch(true);
            for socket in ready {
                match self.one(socket)? {
                    None => {}
                    Some(Next::End) => return Ok(()),
                    Some(Next::Client) => {
                        served = served.saturating_add(1);
                        idle_until = self.idle_until();
                    }
                }
            }
        }
        Ok(())
    }

    fn idle_until(&self) -> Instant {
        let now = Instant::now();
        now.checked_add(self.config.max_idle).unwrap_or(now + Duration::from_secs(86400))
    }

    fn acquire(&mut self) -> Result<(), Fatal> {
        let lock = self.lock.as_mut();
        lock.map_or(Ok(()), LockFile::acquire).map_err(|error| fatal!("select lock: {}", error))
    }

    fn release(&mut self) -> Result<(), Fatal> {
        let lock = self.lock.as_mut();
        lock.map_or(Ok(()), LockFile::release).map_err(|error| fatal!("select unlock: {}", error))
    }

    /// Waits for clients; the sockets that have one, or `None`: time to go.
    fn wait(&self, idle_until: Instant) -> Result<Option<Vec<usize>>, Fatal> {
        loop {
            // A process that has waited long for its turn goes, even when a client waits.
            let now = Instant::now();
            let left = idle_until.saturating_duration_since(now);
            if left.is_zero() {
                gossip("idle timeout -- exiting");
                return Ok(None);
            }
            let mut sockets = vec![PollFd::new(self.master.status().as_fd(), PollFlags::POLLIN)];
            let listen = self.master.listen.iter();
            sockets.extend(listen.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)));
            let tend = self.program.tend(now).map(|due| due.saturating_duration_since(now));
            // A millisecond more, so as not to wake up just before the time.
            let timeout = left.min(tend.unwrap_or(left)).saturating_add(Duration::from_millis(1));
            match poll(&mut sockets, PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(fatal!("poll: {}", std::io::Error::from(error))),
            }
            let mut ready = sockets.iter().map(|socket| socket.any() == Some(true));
            if ready.next() == Some(true) {
                gossip("master disconnect -- exiting");
                return Ok(None);
            }
            let ready: Vec<usize> =
                ready.enumerate().filter(|(_, ready)| *ready).map(|(at, _)| at).collect();
            if !ready.is_empty() {
                return Ok(Some(ready));
            }
        }
    }

    /// Accepts a client and serves it; `None`: it was not there any more.
    fn one(&mut self, socket: usize) -> Result<Option<Next>, Fatal> {
        let Some(socket) = self.master.listen.get(socket) else { return Ok(None) };
        if let Some(what) = self.program.changed() {
            info!("{} has changed -- restarting", what);
            return Ok(Some(Next::End));
        }
        let accepted = self.transport.accept(socket);
        self.release()?;
        let connection = match accepted {
            Ok(Some(connection)) => connection,
            Ok(None) => return Ok(None),
            Err(error) => {
                error!("accept connection: {}", error);
                return Ok(None);
            }
        };
        gossip("connection established");
        // A client that is accepted is served, even when master has gone.
        let _ = self.master.tell(false);
        super::refuse_arguments(self.rest)?;
        self.program.serve(connection)?;
        if self.master.tell(true).is_err() {
            gossip("master disconnect -- exiting");
            return Ok(Some(Next::End));
        }
        gossip("connection closed");
        Ok(Some(Next::Client))
    }
}

fn gossip(text: &str) {
    if log::verbose() > 0 {
        info!("{}", text);
    }
}
