//! Reads and writes over TLS. To OpenSSL a read that the kernel waited for in vain is one that would
//! wait; else it says what it waits for, and we do. So its state stays good when our patience ends:
//! the client can still be told.

use std::io;

use openssl::error::ErrorStack;
use openssl::ssl::{Error, ErrorCode, SslStream};

use super::TimedFd;

/// How many bytes the log shows of what is said.
const SHOWN: usize = 40;

/// Reads what there is, waiting for it; 0 is the end.
pub(super) fn read(tls: &mut SslStream<TimedFd>, room: &mut [u8]) -> io::Result<usize> {
    tls.get_mut().let_kernel_wait(true);
    let result = read_some(tls, room);
    tls.get_mut().let_kernel_wait(false);
    result
}

fn read_some(tls: &mut SslStream<TimedFd>, room: &mut [u8]) -> io::Result<usize> {
    loop {
        match fresh(tls).ssl_read(room) {
            Ok(len) => {
                show(tls, "Read", room.get(..len));
                return Ok(len);
            }
            Err(error) if is_end(&error) => return Ok(0),
            Err(error) => wait(tls, error)?,
        }
    }
}

/// Reads what there is now; 0 where there is nothing, or the end.
pub(super) fn read_now(tls: &mut SslStream<TimedFd>, room: &mut [u8]) -> usize {
    let len = fresh(tls).ssl_read(room).unwrap_or(0);
    show(tls, "Read", room.get(..len));
    len
}

/// Writes it all.
pub(super) fn write_all(tls: &mut SslStream<TimedFd>, mut bytes: &[u8]) -> io::Result<()> {
    show(tls, "Write", Some(bytes));
    while !bytes.is_empty() {
        match fresh(tls).ssl_write(bytes) {
            Ok(len) => bytes = &bytes[len..],
            Err(error) if is_end(&error) => return Err(io::ErrorKind::BrokenPipe.into()),
            Err(error) => wait(tls, error)?,
        }
    }
    Ok(())
}

/// Where all is logged: how much went over the connection, and how it begins.
fn show(tls: &SslStream<TimedFd>, what: &str, bytes: Option<&[u8]>) {
    let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty() && tls.get_ref().is_watched()) else {
        return;
    };
    let shown = bytes.get(..SHOWN).unwrap_or(bytes);
    // As Postfix: up to a NUL.
    let shown = shown.split(|byte| *byte == 0).next().unwrap_or_default();
    info!("{} {} chars: {}", what, bytes.len(), shown);
}

/// Says goodbye; `await_close`: waits until the client says it too.
pub(super) fn say_goodbye(tls: &mut SslStream<TimedFd>, await_close: bool) -> io::Result<()> {
    // The first call sends our goodbye, a second waits for the client's.
    for _ in 0..=usize::from(await_close) {
        while let Err(error) = fresh(tls).shutdown() {
            if is_end(&error) {
                return Ok(());
            }
            wait(tls, error)?;
        }
    }
    Ok(())
}

/// The connection, where nothing of before can be taken for an error of what comes: OpenSSL leaves errors
/// behind that did not end a handshake, such as a signature of the client's certificate that is wrong.
fn fresh(tls: &mut SslStream<TimedFd>) -> &mut SslStream<TimedFd> {
    drop(ErrorStack::get());
    tls
}

/// The client is gone, or said goodbye.
fn is_end(error: &Error) -> bool {
    match error.code() {
        ErrorCode::ZERO_RETURN => true,
        ErrorCode::SYSCALL => error.io_error().is_none() && error.ssl_error().is_none(),
        _ => false,
    }
}

fn wait(tls: &mut SslStream<TimedFd>, error: Error) -> io::Result<()> {
    match error.code() {
        ErrorCode::WANT_READ => tls.get_mut().wait_readable(),
        ErrorCode::WANT_WRITE => tls.get_mut().wait_writable(),
        _ => Err(error.into_io_error().unwrap_or_else(io::Error::other)),
    }
}
