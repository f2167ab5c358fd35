//! Questions to the name service, as `/etc/resolv.conf` says whom to ask: `res_nsearch()` of the C
//! library. It sends, waits and tries again; what comes back is not looked at here.
//!
//! The state belongs to one [`Resolver`], made when it is first needed, and is apart from that of
//! `getaddrinfo()`. Domains are never appended to names, whatever resolv.conf says: as Postfix.

use std::cell::RefCell;
use std::ffi::{CString, c_char, c_int, c_uchar, c_ulong};

/// The class of the Internet.
const CLASS_IN: c_int = 1;
/// Room for most replies.
const ROOM: usize = 4096;
/// Room for any reply.
const MOST_ROOM: usize = 65_536;
/// More than `struct __res_state` has (568 bytes with 64 bits), in words.
const STATE_WORDS: usize = 256;
/// What resolv.conf may not switch on: `RES_DEBUG`, `RES_DEFNAMES`, `RES_DNSRCH`, `RES_USE_EDNS0`,
/// `RES_USE_DNSSEC`, `RES_TRUSTAD`.
const FORBIDDEN: c_ulong = 0x2 | 0x80 | 0x200 | 0x0010_0000 | 0x0080_0000 | 0x0400_0000;

/// The start of `struct __res_state`, and room for the rest. It has pointers into itself, so it
/// never moves.
#[repr(C, align(16))]
struct State {
    retransmission_seconds: c_int,
    attempts: c_int,
    options: c_ulong,
    rest: [u64; STATE_WORDS],
}

unsafe extern "C" {
    #[link_name = "__res_ninit"]
    fn res_ninit(state: *mut State) -> c_int;
    #[link_name = "__res_nclose"]
    fn res_nclose(state: *mut State);
    fn res_nsearch(
        state: *mut State,
        name: *const c_char,
        class: c_int,
        kind: c_int,
        answer: *mut c_uchar,
        room: c_int,
    ) -> c_int;
    fn __h_errno_location() -> *mut c_int;
}

/// Why there is no answer: `h_errno`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostError(pub i32);

impl HostError {
    /// There was an error with no name: Postfix shows its number.
    pub const NONE: Self = Self(0);
    /// There is no such name.
    pub const HOST_NOT_FOUND: Self = Self(1);
    /// No name server has an answer now.
    pub const TRY_AGAIN: Self = Self(2);
    /// The name servers refuse to answer.
    pub const NO_RECOVERY: Self = Self(3);
    /// There is the name, but no such record of it.
    pub const NO_DATA: Self = Self(4);

    /// In words. As Postfix: `dns_strerror()`.
    pub fn text(self) -> String {
        match self {
            Self::HOST_NOT_FOUND => "Host not found".into(),
            Self::TRY_AGAIN => "Host not found, try again".into(),
            Self::NO_RECOVERY => "Non-recoverable error".into(),
            Self::NO_DATA => "Host found but no data record of requested type".into(),
            Self(other) => format!("Unknown error {}", other as u32),
        }
    }
}

/// Asks name servers.
#[derive(Default)]
pub struct Resolver {
    state: RefCell<Option<Box<State>>>,
}

impl Resolver {
    /// The reply to a question, as it came.
    pub fn ask(&self, name: &[u8], kind: u16) -> Result<Vec<u8>, HostError> {
        let name = CString::new(name).map_err(|_| HostError::HOST_NOT_FOUND)?;
        let mut state = self.state.borrow_mut();
        let state = match state.as_mut() {
            Some(state) => state,
            None => state.insert(State::new()?),
        };
        let reply = state.ask(&name, kind, ROOM)?;
        // What did not fit is marked as truncated.
        if reply.get(2).is_some_and(|flags| flags & 0x02 != 0) {
            return state.ask(&name, kind, MOST_ROOM);
        }
        Ok(reply)
    }
}

impl State {
    fn new() -> Result<Box<Self>, HostError> {
        let mut state = Box::new(Self {
            retransmission_seconds: 0,
            attempts: 0,
            options: 0,
            rest: [0; STATE_WORDS],
        });
        // SAFETY: the state is zeroed, longer than the C library's, and stays where it is.
        let result = unsafe { res_ninit(&raw mut *state) };
        if result < 0 {
            return Err(HostError::NO_RECOVERY);
        }
        state.options &= !FORBIDDEN;
        Ok(state)
    }

    fn ask(&mut self, name: &CString, kind: u16, room: usize) -> Result<Vec<u8>, HostError> {
        let mut reply = vec![0; room];
        let length = c_int::try_from(room).map_err(|_| HostError::NO_RECOVERY)?;
        // SAFETY: the state was set up; the name ends with NUL, and the reply has as much room as
        // is said; the call keeps neither.
        let length = unsafe {
            res_nsearch(
                &raw mut *self,
                name.as_ptr(),
                CLASS_IN,
                c_int::from(kind),
                reply.as_mut_ptr(),
                length,
            )
        };
        match usize::try_from(length) {
            Ok(length @ 1..) => {
                reply.truncate(length);
                Ok(reply)
            }
            _ => Err(last_error()),
        }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        if let Some(state) = self.state.get_mut() {
            // SAFETY: the state was set up, and is not used any more.
            unsafe { res_nclose(&raw mut **state) }
        }
    }
}

/// As Postfix: without a reason the name servers are to be asked again.
fn last_error() -> HostError {
    // SAFETY: the call takes nothing, and gives the place of this thread's variable.
    let place = unsafe { __h_errno_location() };
    // SAFETY: the place is valid as long as the thread lives.
    match HostError(unsafe { *place }) {
        HostError::NONE => HostError::TRY_AGAIN,
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_postfixs_words() {
        assert_eq!(HostError::HOST_NOT_FOUND.text(), "Host not found");
        assert_eq!(HostError(0).text(), "Unknown error 0");
        assert_eq!(HostError(-1).text(), "Unknown error 4294967295");
    }

    #[test]
    fn a_name_with_nul_is_not_asked() {
        assert_eq!(Resolver::default().ask(b"a\0b", 1), Err(HostError::HOST_NOT_FOUND));
    }
}
