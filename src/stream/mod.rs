//! Bytes in time: the connection to a client.
//!
//! Time lives at the bottom ([`TimedFd`]), so TLS need not know of it.
#![forbid(unsafe_code)]

mod connection;
mod library_errors;
mod outgoing;
mod smtp_stream;
mod timed_fd;
mod tls;

pub use connection::Connection;
pub use library_errors::log_library_errors;
pub use smtp_stream::{Line, SmtpStream, StartError, StreamEnd};
pub use timed_fd::{Patience, TimedFd};
