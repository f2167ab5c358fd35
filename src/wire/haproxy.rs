//! The PROXY protocol, versions 1 and 2, with which HAProxy and its kin tell where a connection
//! came from, before the client's first byte.
//!
//! ```text
//! PROXY TCP4 192.0.2.7 198.51.100.9 4444 25 CR LF      version 1; TCP6
//!
//! CR LF CR LF NUL CR LF QUIT LF                        version 2: signature
//! 2x  command: 0 local, 1 proxy                        a byte each
//! 1x  IPv4, 2x IPv6; x1 stream
//! xx xx                                                bytes that follow, high byte first
//! addresses and ports, client's and ours in turn, then TLVs
//! ```
//!
//! Source: HAProxy, `doc/proxy-protocol.txt`; Postfix, `src/global/haproxy_srvr.c`. As there,
//! `UNKNOWN` of version 1 is refused, since it would go around access control, and TLVs are
//! skipped.

use std::net::{IpAddr, SocketAddr};

use crate::mail::hostname::{valid_ipv4, valid_ipv6, valid_port};
use crate::mail::ip;

/// Longest header: what fits into a packet in any network.
pub const LONGEST: usize = 536;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Who the client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// Addresses and ports of the client, and of the server that it connected to.
    Proxied {
        /// Where the client is.
        client: SocketAddr,
        /// Where it thinks that we are.
        server: SocketAddr,
    },
    /// The proxy itself, such as for a health check: the socket's addresses count.
    Local,
}

/// Which addresses we serve (inet_protocols).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocols {
    /// IPv4.
    pub ipv4: bool,
    /// IPv6.
    pub ipv6: bool,
}

/// What is wrong with a header, in Postfix's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadHeader(&'static str);

impl Header {
    /// Takes the header that `bytes` begin with, and says how long it is.
    pub fn take(bytes: &[u8], protocols: Protocols) -> Result<(Self, usize), BadHeader> {
        if bytes.starts_with(b"PROXY ") {
            version_1(bytes, protocols)
        } else {
            version_2(bytes, protocols)
        }
    }
}

impl Protocols {
    /// An IPv4 address within an IPv6 address is an IPv4 address, where there are such.
    fn plain(self, address: IpAddr) -> IpAddr {
        if self.ipv4 { address.to_canonical() } else { address }
    }
}

fn version_1(bytes: &[u8], protocols: Protocols) -> Result<(Header, usize), BadHeader> {
    // As in C, a NUL ends the text.
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let end = text.iter().position(|byte| *byte == b'\n');
    let (line, _) = end
        .and_then(|end| text.split_at_checked(end))
        .ok_or(BadHeader("missing protocol header terminator"))?;
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\r')).filter(|word| !word.is_empty());
    words.next();
    let kind = words.next().and_then(|word| address_kind(word, protocols));
    let valid = kind.ok_or(BadHeader("bad or missing protocol type"))?;
    let mut address = |wrong| {
        let word = words.next().filter(|word| valid(word));
        let address = word.and_then(ip::parse).ok_or(BadHeader(wrong));
        address.map(|address| protocols.plain(address))
    };
    let client = address("bad or missing client address")?;
    let server = address("bad or missing server address")?;
    let mut port = |wrong| words.next().and_then(port).ok_or(BadHeader(wrong));
    let client = SocketAddr::new(client, port("bad or missing client port")?);
    let server = SocketAddr::new(server, port("bad or missing server port")?);
    Ok((Header::Proxied { client, server }, line.len().saturating_add(1)))
}

/// The check of addresses that goes with `TCP4` or `TCP6`.
fn address_kind(word: &[u8], protocols: Protocols) -> Option<fn(&[u8]) -> bool> {
    if word.eq_ignore_ascii_case(b"TCP6") && protocols.ipv6 {
        return Some(|word| valid_ipv6(word).is_ok());
    }
    let four = word.eq_ignore_ascii_case(b"TCP4") && protocols.ipv4;
    four.then_some(|word| valid_ipv4(word).is_ok())
}

fn port(word: &[u8]) -> Option<u16> {
    valid_port(word).ok()?;
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn version_2(bytes: &[u8], protocols: Protocols) -> Result<(Header, usize), BadHeader> {
    let (head, rest) = bytes.split_first_chunk().ok_or(BadHeader("short protocol header"))?;
    let [signature @ .., version_and_command, kind, high, low]: &[u8; 16] = head;
    if signature != SIGNATURE {
        return Err(BadHeader("unrecognized protocol header"));
    }
    if version_and_command >> 4 != 2 {
        return Err(BadHeader("unrecognized protocol version"));
    }
    let len = usize::from(u16::from_be_bytes([*high, *low]));
    let short = BadHeader("short version 2 protocol header");
    let (payload, _) = rest.split_at_checked(len).ok_or(short)?;
    let header = match version_and_command & 0x0f {
        0 => Header::Local,
        1 => proxied(*kind, payload, protocols)?,
        _ => return Err(BadHeader("bad command in proxy header")),
    };
    Ok((header, head.len().saturating_add(len)))
}

fn proxied(kind: u8, payload: &[u8], protocols: Protocols) -> Result<Header, BadHeader> {
    let ends = match kind {
        0x11 if !protocols.ipv4 => return Err(BadHeader("Postfix IPv4 support is disabled")),
        0x21 if !protocols.ipv6 => return Err(BadHeader("Postfix IPv6 support is disabled")),
        0x11 => two::<4>(payload),
        0x21 => two::<16>(payload),
        _ => return Err(BadHeader("unsupported network protocol")),
    };
    let [client, server] = ends.ok_or(BadHeader("short address field"))?;
    let plain = |end: SocketAddr| SocketAddr::new(protocols.plain(end.ip()), end.port());
    Ok(Header::Proxied { client: plain(client), server: plain(server) })
}

/// Two addresses of `N` bytes, then their ports.
fn two<const N: usize>(payload: &[u8]) -> Option<[SocketAddr; 2]>
where
    IpAddr: From<[u8; N]>,
{
    let (client, rest) = payload.split_first_chunk::<N>()?;
    let (server, rest) = rest.split_first_chunk::<N>()?;
    let (client_port, rest) = rest.split_first_chunk()?;
    let (server_port, _) = rest.split_first_chunk()?;
    let end = |address: &[u8; N], port: &[u8; 2]| {
        SocketAddr::new(IpAddr::from(*address), u16::from_be_bytes(*port))
    };
    Some([end(client, client_port), end(server, server_port)])
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Protocols = Protocols { ipv4: true, ipv6: true };
    const FOUR: Protocols = Protocols { ipv4: true, ipv6: false };
    const SIX: Protocols = Protocols { ipv4: false, ipv6: true };

    fn shown(result: Result<(Header, usize), BadHeader>) -> String {
        match result {
            Ok((Header::Local, len)) => format!("local {len}"),
            Ok((Header::Proxied { client, server }, len)) => format!("{client} {server} {len}"),
            Err(bad) => bad.to_string(),
        }
    }

    fn take(bytes: &[u8]) -> String {
        shown(Header::take(bytes, BOTH))
    }

    /// A header of version 2.
    fn v2(version_and_command: u8, kind: u8, payload: &[u8]) -> Vec<u8> {
        let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[version_and_command, kind], &len, payload].concat()
    }

    const FOUR_ENDS: &[u8] = b"\xc0\x00\x02\x07\xc6\x33\x64\x09\x11\x5c\x00\x19";
    const SIX_ENDS: &[u8] = b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\
                              \0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x01\x11\x5c\x00\x19";

    /// Headers that are good, what they say, and how long they are.
    fn good() -> Vec<(Vec<u8>, &'static str)> {
        let with_tlv = [FOUR_ENDS, b"\x02\x00\x04host"].concat();
        vec![
            (
                b"PROXY TCP4 192.0.2.7 198.51.100.9 4444 25\r\n".to_vec(),
                "192.0.2.7:4444 198.51.100.9:25 43",
            ),
            (
                b"PROXY  tcp6 2001:DB8::7 ::ffff:192.0.2.1 1 25 more\n".to_vec(),
                "[2001:db8::7]:1 192.0.2.1:25 51",
            ),
            (v2(0x21, 0x11, FOUR_ENDS), "192.0.2.7:4444 198.51.100.9:25 28"),
            (v2(0x21, 0x11, &with_tlv), "192.0.2.7:4444 198.51.100.9:25 35"),
            (v2(0x21, 0x21, SIX_ENDS), "[2001:db8::7]:4444 192.0.2.1:25 52"),
            (v2(0x20, 0x00, b""), "local 16"),
            (v2(0x20, 0x11, FOUR_ENDS), "local 28"),
        ]
    }

    #[test]
    fn headers_say_who_the_client_is_and_where_they_end() {
        for (header, wanted) in good() {
            assert_eq!(take(&header), wanted, "{}", header.escape_ascii());
            let more = [&header[..], b"\x16\x03\x01 what the client says\n"].concat();
            assert_eq!(take(&more), wanted, "{}", more.escape_ascii());
        }
    }

    #[test]
    fn no_prefix_of_a_header_is_a_header() {
        for (header, _) in good() {
            for len in 0..header.len() {
                let prefix = &header[..len];
                assert!(Header::take(prefix, BOTH).is_err(), "{}", prefix.escape_ascii());
            }
        }
    }

    /// Whatever a byte becomes, no header is longer than what was there, and nothing panics.
    #[test]
    fn a_changed_byte_does_no_harm() {
        for (header, _) in good() {
            for at in 0..header.len() {
                for byte in 0..=255 {
                    let mut changed = header.clone();
                    changed[at] = byte;
                    for protocols in [BOTH, FOUR, SIX] {
                        if let Ok((_, len)) = Header::take(&changed, protocols) {
                            assert!((16..=changed.len()).contains(&len));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_wrong_is_told_in_the_words_of_postfix() {
        for (header, wanted) in [
            (&b""[..], "short protocol header"),
            (b"EHLO x\r\n", "short protocol header"),
            (b"EHLO client.example.test\r\n", "unrecognized protocol header"),
            (b"proxy TCP4 192.0.2.7 192.0.2.1 1 25\r\n", "unrecognized protocol header"),
            (b"PROXY TCP4 192.0.2.7 192.0.2.1 1 25", "missing protocol header terminator"),
            (b"PROXY TCP4 192.0.2.7\0 192.0.2.1 1 25\n", "missing protocol header terminator"),
            (b"PROXY \r\n", "bad or missing protocol type"),
            (b"PROXY UNKNOWN\r\n", "bad or missing protocol type"),
            (b"PROXY UDP4 192.0.2.7 192.0.2.1 1 25\r\n", "bad or missing protocol type"),
            (b"PROXY TCP4\r\n", "bad or missing client address"),
            (b"PROXY TCP4 2001:db8::7 192.0.2.1 1 25\r\n", "bad or missing client address"),
            (b"PROXY TCP6 192.0.2.7 2001:db8::1 1 25\r\n", "bad or missing client address"),
            (b"PROXY TCP6 1:2:3 2001:db8::1 1 25\r\n", "bad or missing client address"),
            (b"PROXY TCP4 192.0.2.7 x 1 25\r\n", "bad or missing server address"),
            (b"PROXY TCP4 192.0.2.7 192.0.2.1 65536 25\r\n", "bad or missing client port"),
            (b"PROXY TCP4 192.0.2.7 192.0.2.1 1 025\r\n", "bad or missing server port"),
            (b"PROXY TCP4 192.0.2.7 192.0.2.1 1\r\n", "bad or missing server port"),
            (&v2(0x11, 0x11, FOUR_ENDS), "unrecognized protocol version"),
            (&v2(0x22, 0x11, FOUR_ENDS), "bad command in proxy header"),
            (&v2(0x21, 0x12, FOUR_ENDS), "unsupported network protocol"),
            (&v2(0x21, 0x00, b""), "unsupported network protocol"),
            (&v2(0x21, 0x31, &[0; 216]), "unsupported network protocol"),
            (&v2(0x21, 0x11, &FOUR_ENDS[1..]), "short address field"),
            (&v2(0x21, 0x21, FOUR_ENDS), "short address field"),
        ] {
            assert_eq!(take(header), wanted, "{}", header.escape_ascii());
        }
    }

    #[test]
    fn protocols_that_we_do_not_serve_are_refused() {
        let take = |bytes: &[u8], protocols| shown(Header::take(bytes, protocols));
        let six = b"PROXY TCP6 2001:db8::7 2001:db8::1 1 25\r\n";
        assert_eq!(take(six, FOUR), "bad or missing protocol type");
        let four = b"PROXY TCP4 192.0.2.7 192.0.2.1 1 25\r\n";
        assert_eq!(take(four, SIX), "bad or missing protocol type");
        assert_eq!(take(&v2(0x21, 0x11, FOUR_ENDS), SIX), "Postfix IPv4 support is disabled");
        assert_eq!(take(&v2(0x21, 0x21, SIX_ENDS), FOUR), "Postfix IPv6 support is disabled");
        let mapped = b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 25\r\n";
        assert_eq!(take(mapped, SIX), "[::ffff:192.0.2.7]:1 [::1]:25 38");
        assert_eq!(take(mapped, BOTH), "192.0.2.7:1 [::1]:25 38");
    }
}
