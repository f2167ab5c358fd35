//! Bytes in time: the connection to a client.
//!
//! Time lives at the bottom ([`TimedFd`]), so TLS need not know of it.
#![forbid(unsafe_code)]

mod smtp_stream;
mod timed_fd;

pub use smtp_stream::{AcceptError, Line, SmtpStream, StreamEnd};
pub use timed_fd::{Patience, TimedFd};
