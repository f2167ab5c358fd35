//! Names and addresses of hosts, as the system knows them: getnameinfo(3), getaddrinfo(3).

use std::ffi::{CStr, CString};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ptr;

use super::errno::errno_text;

/// Longest name that the system gives (`NI_MAXHOST`).
const NAME_LIMIT: usize = 1025;
/// More addresses than this one name does not have.
const ADDRESS_LIMIT: usize = 10_000;

/// Why the system does not know a name or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameError {
    /// `EAI_…`
    code: i32,
    /// Error number, where the code is `EAI_SYSTEM`.
    errno: i32,
}

impl NameError {
    /// There is no such name or address.
    pub const NONE: Self = Self { code: libc::EAI_NONAME, errno: 0 };
    /// There is such a name, but it has no address.
    pub const NO_ADDRESS: Self = Self { code: libc::EAI_NODATA, errno: 0 };
    /// The name server has no answer now.
    pub const AGAIN: Self = Self { code: libc::EAI_AGAIN, errno: 0 };

    fn of(code: i32) -> Self {
        let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
        Self { code, errno: if code == libc::EAI_SYSTEM { errno } else { 0 } }
    }

    /// Whether another try may have another end. As Postfix: `TEMP_AI_ERROR()`.
    pub fn temporary(self) -> bool {
        matches!(self.code, libc::EAI_AGAIN | libc::EAI_MEMORY | libc::EAI_SYSTEM)
    }

    /// The system's words. As Postfix: `MAI_STRERROR()`.
    pub fn text(self) -> String {
        if self.code == libc::EAI_SYSTEM {
            return errno_text(self.errno);
        }
        // SAFETY: gai_strerror takes any number.
        let text = unsafe { libc::gai_strerror(self.code) };
        // SAFETY: gai_strerror gives a static text that ends with NUL.
        let text = unsafe { CStr::from_ptr(text) };
        text.to_string_lossy().into_owned()
    }
}

/// Which addresses of a host are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Both.
    Any,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The operating system's number: `AF_INET`, `AF_INET6`, `AF_UNSPEC`.
    pub fn number(self) -> i32 {
        match self {
            Self::Any => libc::AF_UNSPEC,
            Self::V4 => libc::AF_INET,
            Self::V6 => libc::AF_INET6,
        }
    }
}

/// The name of the host with this address. It is what a name server says: to be checked.
pub fn name_of(address: IpAddr) -> Result<Vec<u8>, NameError> {
    match address {
        IpAddr::V4(address) => name_of_sockaddr(&sockaddr_in(address)),
        IpAddr::V6(address) => name_of_sockaddr(&sockaddr_in6(address)),
    }
}

/// The addresses of the host with this name, in the system's order.
pub fn addresses_of(name: &[u8], family: Family) -> Result<Vec<IpAddr>, NameError> {
    let found = addrinfo(name, None, family)?;
    Ok(found.into_iter().map(|address| address.ip()).collect())
}

/// Where a TCP service (a number, or a name of services(5)) of a host listens.
pub fn listeners(host: &[u8], service: &[u8]) -> Result<Vec<SocketAddr>, NameError> {
    addrinfo(host, Some(service), Family::Any)
}

fn sockaddr_in(address: Ipv4Addr) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
        sin_zero: [0; 8],
    }
}

fn sockaddr_in6(address: Ipv6Addr) -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as libc::sa_family_t,
        sin6_port: 0,
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr { s6_addr: address.octets() },
        sin6_scope_id: 0,
    }
}

/// `T` is `sockaddr_in` or `sockaddr_in6`.
fn name_of_sockaddr<T>(address: &T) -> Result<Vec<u8>, NameError> {
    let mut name = [0_u8; NAME_LIMIT];
    // SAFETY: the address is a whole socket address of the size that is given, the buffer as long
    // as is said; no service is wanted.
    let code = unsafe {
        libc::getnameinfo(
            ptr::from_ref(address).cast(),
            size_of::<T>() as libc::socklen_t,
            name.as_mut_ptr().cast(),
            NAME_LIMIT as libc::socklen_t,
            ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    if code != 0 {
        return Err(NameError::of(code));
    }
    let name = CStr::from_bytes_until_nul(&name).map_err(|_| NameError::NONE)?;
    Ok(name.to_bytes().to_vec())
}

fn addrinfo(
    host: &[u8],
    service: Option<&[u8]>,
    family: Family,
) -> Result<Vec<SocketAddr>, NameError> {
    let host = CString::new(host).map_err(|_| NameError::NONE)?;
    let service = service.map(CString::new).transpose().map_err(|_| NameError::NONE)?;
    let numeric = service.as_ref().is_some_and(|s| s.as_bytes().iter().all(u8::is_ascii_digit));
    let hints = libc::addrinfo {
        ai_flags: if numeric { libc::AI_NUMERICSERV } else { 0 },
        ai_family: family.number(),
        ai_socktype: libc::SOCK_STREAM,
        ai_protocol: 0,
        ai_addrlen: 0,
        ai_addr: ptr::null_mut(),
        ai_canonname: ptr::null_mut(),
        ai_next: ptr::null_mut(),
    };
    let service = service.as_ref().map_or(ptr::null(), |service| service.as_ptr());
    let mut found = Found(ptr::null_mut());
    // SAFETY: both texts end with NUL and outlive the call, as do the hints; the result goes to
    // an owner that frees it.
    let code = unsafe { libc::getaddrinfo(host.as_ptr(), service, &hints, &mut found.0) };
    if code != 0 { Err(NameError::of(code)) } else { Ok(found.addresses()) }
}

/// What getaddrinfo(3) gave; freed when dropped.
struct Found(*mut libc::addrinfo);

impl Found {
    fn addresses(&self) -> Vec<SocketAddr> {
        let mut out = vec![];
        let mut next = self.0;
        // SAFETY: getaddrinfo gave a list of valid entries whose last has a null pointer.
        while let Some(entry) = unsafe { next.as_ref() } {
            if out.len() == ADDRESS_LIMIT {
                break;
            }
            out.extend(socket_address(entry));
            next = entry.ai_next;
        }
        out
    }
}

impl Drop for Found {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the list came from getaddrinfo, and nobody else has it.
            unsafe { libc::freeaddrinfo(self.0) }
        }
    }
}

fn socket_address(entry: &libc::addrinfo) -> Option<SocketAddr> {
    let len = entry.ai_addrlen as usize;
    if entry.ai_addr.is_null() {
        return None;
    }
    match entry.ai_family {
        libc::AF_INET if len >= size_of::<libc::sockaddr_in>() => {
            let address = entry.ai_addr.cast::<libc::sockaddr_in>();
            // SAFETY: the entry is of this family, and long enough; it need not be aligned.
            let address = unsafe { address.read_unaligned() };
            let ip = Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddr::from((ip, u16::from_be(address.sin_port))))
        }
        libc::AF_INET6 if len >= size_of::<libc::sockaddr_in6>() => {
            let address = entry.ai_addr.cast::<libc::sockaddr_in6>();
            // SAFETY: the entry is of this family, and long enough; it need not be aligned.
            let address = unsafe { address.read_unaligned() };
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            Some(SocketAddr::from((ip, u16::from_be(address.sin6_port))))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_as_name_is_that_address() {
        let v4 = addresses_of(b"192.0.2.1", Family::Any).unwrap();
        assert_eq!(v4, [IpAddr::from([192, 0, 2, 1])]);
        let v6 = addresses_of(b"2001:db8::1", Family::V6).unwrap();
        assert_eq!(v6, ["2001:db8::1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn a_service_has_a_port() {
        let found = listeners(b"127.0.0.1", b"10031").unwrap();
        assert_eq!(found, ["127.0.0.1:10031".parse().unwrap()]);
    }

    #[test]
    fn an_address_of_the_other_family_is_no_answer() {
        let error = addresses_of(b"192.0.2.1", Family::V6).unwrap_err();
        assert!(!error.temporary());
    }

    #[test]
    fn a_name_with_nul_is_no_name() {
        assert_eq!(addresses_of(b"local\0host", Family::Any), Err(NameError::NONE));
    }

    #[test]
    fn errors_have_the_systems_words() {
        assert_eq!(NameError::NONE.text(), "Name or service not known");
        assert_eq!(NameError::AGAIN.text(), "Temporary failure in name resolution");
        let system = NameError { code: libc::EAI_SYSTEM, errno: libc::ENOENT };
        assert_eq!(system.text(), "No such file or directory");
        assert!(system.temporary() && NameError::AGAIN.temporary() && !NameError::NONE.temporary());
    }
}
