//! A client as it comes from the listening socket, from postscreen(8) or on standard input.

use std::os::fd::OwnedFd;

use crate::wire::attr::List;

/// A client that has connected and waits for the greeting.
#[derive(Debug)]
pub struct Connection {
    /// The client: blocking, closed on exec. Standard input with `-S`.
    pub fd: OwnedFd,
    /// Standard output, where it is not the same (`-S`: `sendmail -bs`).
    pub output: Option<OwnedFd>,
    /// What postscreen(8) knows of the client (`client_address`, `client_port`,
    /// `server_address`, `server_port`); `None`: nothing, the socket must be asked.
    pub handed_over: Option<List>,
}

impl Connection {
    /// A client on a socket.
    pub fn of_socket(fd: OwnedFd) -> Self {
        Self { fd, output: None, handed_over: None }
    }

    /// Whether the client is on standard input.
    pub fn is_stdin(&self) -> bool {
        self.output.is_some()
    }
}
