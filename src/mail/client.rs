//! Who talks to us, and whom to blame.

use std::net::IpAddr;

/// How sure we are of a client's name. The numbers are those of Postfix (`SMTPD_PEER_CODE_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameStatus {
    /// The name resolves to the address.
    Ok = 2,
    /// Temporary lookup error.
    Soft = 4,
    /// No name.
    Hard = 5,
    /// The name does not resolve to the address.
    Forged = 6,
}

/// The client of a session: what the socket, postscreen(8), HAProxy or XCLIENT says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Verified name, or `unknown`.
    pub name: Vec<u8>,
    /// How sure we are of `name`.
    pub name_status: NameStatus,
    /// Name by address only, or `unknown`.
    pub reverse_name: Vec<u8>,
    /// How sure we are of `reverse_name`.
    pub reverse_status: NameStatus,
    /// Numeric address, or `unknown`.
    pub addr: Vec<u8>,
    /// The address of the connection itself; `None` for UNIX sockets and standard input. Not
    /// changed by XCLIENT.
    pub socket_addr: Option<IpAddr>,
    /// Port as text, or `unknown`.
    pub port: Vec<u8>,
    /// Our own address, numeric, or `unknown`.
    pub server_addr: Vec<u8>,
    /// Our own port as text, or `unknown`.
    pub server_port: Vec<u8>,
    /// `name[addr]`, with `:port` where smtpd_client_port_logging asks for it.
    pub namaddr: Vec<u8>,
    /// Address family as in the operating system (AF_INET, AF_INET6), 0 where there is none.
    pub family: i32,
}

impl Client {
    /// A client of which nothing is known, as when the peer is gone before we look.
    pub fn unknown() -> Self {
        Self {
            name: b"unknown".to_vec(),
            name_status: NameStatus::Hard,
            reverse_name: b"unknown".to_vec(),
            reverse_status: NameStatus::Hard,
            addr: b"unknown".to_vec(),
            socket_addr: None,
            port: b"unknown".to_vec(),
            server_addr: b"unknown".to_vec(),
            server_port: b"unknown".to_vec(),
            namaddr: b"unknown[unknown]".to_vec(),
            family: 0,
        }
    }

    /// The address as in Received: and XFORWARD: IPv6 with the prefix `IPv6:`.
    pub fn rfc_addr(&self) -> Vec<u8> {
        rfc_addr(&self.addr)
    }
}

/// A numeric address as in Received:, IPv6 with the prefix `IPv6:`; or `unknown`.
pub fn rfc_addr(addr: &[u8]) -> Vec<u8> {
    if addr.contains(&b':') { fill!("IPv6:{}", addr) } else { addr.to_vec() }
}

/// Who a client proved to be, by AUTH or XCLIENT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Mechanism, printable: `PLAIN`, `EXTERNAL`, `XCLIENT`.
    pub method: Vec<u8>,
    /// User name, printable.
    pub username: Vec<u8>,
    /// By a certificate alone: the client said nothing of it.
    pub implicit: bool,
}

/// What went wrong, by the words of notify_classes (postconf(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// A bounce.
    Bounce,
    /// The client broke a local rule.
    Policy,
    /// The client broke the protocol.
    Protocol,
    /// We ran out of something.
    Resource,
    /// Our fault.
    Software,
    /// A table or a peer service failed.
    Data,
}
