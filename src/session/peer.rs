//! Who connected: what the socket, postscreen(8) or standard input says of a client, and what the
//! name service knows of it.
//!
//! A name counts only when it leads back to the address: else `name` is `unknown`, and only
//! `reverse_name` has it. As Postfix: `smtpd_peer.c`.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{SockaddrStorage, getpeername, getsockname};
use nix::unistd::{geteuid, getuid};

use super::haproxy;
use crate::config::Config;
use crate::config::dialect::Change;
use crate::log::Fatal;
use crate::mail::client::{Client, NameStatus};
use crate::mail::hostname::{
    BadHost, valid_address, valid_hostname, valid_ipv4, valid_ipv6, valid_port,
};
use crate::mail::ip;
use crate::stream::Connection;
use crate::sys::hosts_file;
use crate::sys::names::{self, Family, NameError};
use crate::wire::attr::List;
use crate::wire::haproxy::Header;

/// How a client came to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Through one of our sockets, or standard input.
    Direct,
    /// From postscreen(8), which has looked at it already.
    Postscreen,
    /// From a proxy that did not say from whom: `421 4.3.0 … Server local error`.
    Failed,
}

/// Who knows names and addresses of hosts: the system, or a test.
pub trait Names {
    /// A name that is known to have this address, so that neither need be asked for.
    fn known(&self, _address: IpAddr) -> Option<Vec<u8>> {
        None
    }
    /// The name of the host with this address.
    fn name_of(&self, address: IpAddr) -> Result<Vec<u8>, NameError>;
    /// The addresses of the host with this name.
    fn addresses_of(&self, name: &[u8], family: Family) -> Result<Vec<IpAddr>, NameError>;
}

/// The system's name service.
#[derive(Debug, Clone, Copy)]
pub struct SystemNames;

impl Names for SystemNames {
    fn known(&self, address: IpAddr) -> Option<Vec<u8>> {
        hosts_file::name_of(address)
    }

    fn name_of(&self, address: IpAddr) -> Result<Vec<u8>, NameError> {
        names::name_of(address)
    }

    fn addresses_of(&self, name: &[u8], family: Family) -> Result<Vec<IpAddr>, NameError> {
        names::addresses_of(name, family)
    }
}

/// Finds out who has connected.
pub fn identify(config: &Config, connection: &Connection) -> Result<(Client, Origin), Fatal> {
    identify_with(&SystemNames, config, connection)
}

/// [`identify`] with another name service.
pub fn identify_with(
    names: &dyn Names,
    config: &Config,
    connection: &Connection,
) -> Result<(Client, Origin), Fatal> {
    let (mut client, origin) = endpoints(config, connection)?;
    if let Some(address) = client.socket_addr {
        look_up(names, config, address, &mut client);
    }
    client.namaddr = namaddr(config, &client);
    Ok((client, origin))
}

/// The address family of a numeric address, as the operating system counts.
pub(crate) fn family(addr: &[u8]) -> i32 {
    if addr.contains(&b':') { Family::V6.number() } else { Family::V4.number() }
}

/// `name[addr]`, with smtpd_client_port_logging `name[addr]:port`.
pub(crate) fn namaddr(config: &Config, client: &Client) -> Vec<u8> {
    let Client { name, addr, port, .. } = client;
    if config.smtpd_client_port_logging {
        fill!("{}[{}]:{}", name, addr, port)
    } else {
        fill!("{}[{}]", name, addr)
    }
}

/// Addresses and ports, without names.
fn endpoints(config: &Config, connection: &Connection) -> Result<(Client, Origin), Fatal> {
    let proxy = &config.smtpd_upstream_proxy_protocol;
    let fd = connection.fd.as_fd();
    if let Some(attributes) = &connection.handed_over {
        let (client, origin) = match from_attributes(attributes) {
            Ok(client) => (client, Origin::Postscreen),
            Err(Fatal(text)) if config.does(Change::BadHandoverSurvived) => {
                warning!("{}", text);
                (Client::unknown(), Origin::Failed)
            }
            Err(fatal) => return Err(fatal),
        };
        if !proxy.is_empty() {
            warning!("ignoring non-empty smtpd_upstream_proxy_protocol setting behind postscreen");
        }
        return Ok((client, origin));
    }
    if config.stand_alone || proxy.is_empty() {
        return Ok((from_socket(config, fd)?, Origin::Direct));
    }
    if proxy != b"haproxy" {
        return Err(fatal!("unsupported smtpd_upstream_proxy_protocol value: {}", proxy));
    }
    match haproxy::read(config, fd) {
        Some(Header::Proxied { client, server }) => Ok((of_ends(client, server), Origin::Direct)),
        Some(Header::Local) => Ok((from_socket(config, fd)?, Origin::Direct)),
        // Without the proxy's word there is neither an audit trail nor access control.
        None if config.does(Change::BadHandoverSurvived) => Ok((Client::unknown(), Origin::Failed)),
        None => Ok((from_socket(config, fd)?, Origin::Failed)),
    }
}

/// Addresses and ports as a proxy tells them.
fn of_ends(client: SocketAddr, server: SocketAddr) -> Client {
    Client {
        addr: ip::text(client.ip()),
        socket_addr: Some(client.ip()),
        port: fill!("{}", client.port()),
        server_addr: ip::text(server.ip()),
        server_port: fill!("{}", server.port()),
        family: Family::of(client.ip()).number(),
        ..Client::unknown()
    }
}

fn from_socket(config: &Config, fd: BorrowedFd<'_>) -> Result<Client, Fatal> {
    let fd = fd.as_fd().as_raw_fd();
    let ends = getpeername::<SockaddrStorage>(fd)
        .and_then(|peer| Ok((peer, getsockname::<SockaddrStorage>(fd)?)));
    match ends {
        Ok((peer, own)) => match socket_address(&peer) {
            Some(peer) => {
                check_family(config, peer.ip())?;
                check_privileges(config, getuid().as_raw(), geteuid().as_raw())?;
                Ok(of_addresses(config, peer, socket_address(&own)))
            }
            None => Ok(local(config)),
        },
        Err(Errno::ENOTSOCK) => Ok(local(config)),
        // The client is gone already.
        Err(_) => Ok(Client::unknown()),
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(address) = address.as_sockaddr_in() {
        return Some(SocketAddr::from((address.ip(), address.port())));
    }
    let address = address.as_sockaddr_in6()?;
    Some(SocketAddr::from((address.ip(), address.port())))
}

/// A socket of a kind that inet_protocols excludes shall not make its client look local.
fn check_family(config: &Config, address: IpAddr) -> Result<(), Fatal> {
    let (enabled, name) = match address {
        IpAddr::V4(_) => (config.ipv4, "AF_INET"),
        IpAddr::V6(_) => (config.ipv6, "AF_INET6"),
    };
    if enabled {
        return Ok(());
    }
    let protocols = &config.inet_protocols;
    Err(fatal!("cannot handle socket type {} with \"inet_protocols = {}\"", name, protocols))
}

/// Whoever talks to the network must be mail_owner.
fn check_privileges(config: &Config, uid: u32, euid: u32) -> Result<(), Fatal> {
    if uid == config.owner.0 && euid == config.owner.0 {
        return Ok(());
    }
    error!("incorrect SMTP server privileges: uid={} euid={}", uid, euid);
    Err(fatal!("the Postfix SMTP server must run with $mail_owner privileges"))
}

fn of_addresses(config: &Config, peer: SocketAddr, own: Option<SocketAddr>) -> Client {
    // An IPv4 client of an IPv6 socket is an IPv4 client.
    let plain = |ip: IpAddr| if config.ipv4 { ip.to_canonical() } else { ip };
    let text = |ip: IpAddr| plain(ip).to_string().into_bytes();
    let address = plain(peer.ip());
    Client {
        addr: text(peer.ip()),
        socket_addr: Some(address),
        port: fill!("{}", peer.port()),
        server_addr: own.map_or_else(|| b"unknown".to_vec(), |own| text(own.ip())),
        server_port: own.map_or_else(|| b"unknown".to_vec(), |own| fill!("{}", own.port())),
        family: Family::of(address).number(),
        ..Client::unknown()
    }
}

/// A client without the network: a UNIX socket, a pipe, a terminal. Names of such are not asked
/// for, since that may hang on a machine without a network.
fn local(config: &Config) -> Client {
    let addr = if config.ipv6 && !config.ipv4 { &b"::1"[..] } else { b"127.0.0.1" };
    Client {
        name: b"localhost".to_vec(),
        name_status: NameStatus::Ok,
        reverse_name: b"localhost".to_vec(),
        reverse_status: NameStatus::Ok,
        addr: addr.to_vec(),
        port: b"0".to_vec(),
        server_addr: addr.to_vec(),
        server_port: b"0".to_vec(),
        ..Client::unknown()
    }
}

/// What postscreen(8) says. As Postfix until 3.10: bad words are fatal.
fn from_attributes(attributes: &List) -> Result<Client, Fatal> {
    let attribute = |name: &str, what: &str| {
        attributes.find(name).ok_or_else(|| fatal!("missing {} from proxy", what))
    };
    let addr = attribute("client_address", "client address")?;
    if addr.contains(&b':') {
        well_formed(valid_ipv6(addr), "bad IPv6 client address", addr)?;
    } else {
        well_formed(valid_ipv4(addr), "bad IPv4 client address", addr)?;
    }
    let port = attribute("client_port", "client port")?;
    well_formed(valid_port(port), "bad TCP client port number", port)?;
    let server_addr = attribute("server_address", "server address")?;
    well_formed(valid_address(server_addr), "bad IPv6 server address", server_addr)?;
    let server_port = attribute("server_port", "server port")?;
    well_formed(valid_port(server_port), "bad TCP server port number", server_port)?;
    let address: IpAddr = std::str::from_utf8(addr)
        .ok()
        .and_then(|addr| addr.parse().ok())
        .ok_or_else(|| fatal!("cannot convert client address/port to string: {}", addr))?;
    Ok(Client {
        addr: addr.to_vec(),
        socket_addr: Some(address),
        port: port.to_vec(),
        server_addr: server_addr.to_vec(),
        server_port: server_port.to_vec(),
        family: Family::of(address).number(),
        ..Client::unknown()
    })
}

fn well_formed(result: Result<(), BadHost>, what: &str, value: &[u8]) -> Result<(), Fatal> {
    result.map_err(|bad| {
        warning!("{}", bad.to_string());
        fatal!("{} syntax from proxy: {}", what, value)
    })
}

/// Asks for the name of an address, and whether the name has the address.
fn look_up(names: &dyn Names, config: &Config, address: IpAddr, client: &mut Client) {
    if !config.smtpd_peername_lookup {
        return;
    }
    let known = names.known(address);
    let confirmed = known.is_some();
    let found = known.map_or_else(|| names.name_of(address), Ok);
    let name = match found.and_then(checked) {
        Ok(name) => name,
        Err(error) => {
            let status = if error.temporary() { NameStatus::Soft } else { NameStatus::Hard };
            (client.name_status, client.reverse_status) = (status, status);
            return;
        }
    };
    client.reverse_name.clone_from(&name);
    client.reverse_status = NameStatus::Ok;
    client.name_status = if confirmed {
        NameStatus::Ok
    } else {
        confirm(names, config, &name, address, &client.addr)
    };
    if client.name_status == NameStatus::Ok {
        client.name = name;
    }
}

/// A name that looks like an address could pass for one in access tables.
fn checked(name: Vec<u8>) -> Result<Vec<u8>, NameError> {
    if valid_address(&name).is_ok() {
        warning!("numeric hostname: {}", name);
        return Err(NameError::NONE);
    }
    match valid_hostname(&name) {
        Ok(()) => Ok(name),
        Err(bad) => {
            warning!("{}", bad.to_string());
            Err(NameError::NONE)
        }
    }
}

/// Whether the host with this name has this address.
fn confirm(
    names: &dyn Names,
    config: &Config,
    name: &[u8],
    address: IpAddr,
    addr: &[u8],
) -> NameStatus {
    let family = Family::of(address);
    let found = match names.addresses_of(name, family) {
        Ok(found) => found,
        Err(error) => {
            let text = error.text();
            warning!("hostname {} does not resolve to address {}: {}", name, addr, text);
            return if error.temporary() { NameStatus::Soft } else { NameStatus::Forged };
        }
    };
    for other in found {
        if !(if other.is_ipv4() { config.ipv4 } else { config.ipv6 }) {
            let family = Family::of(other).number();
            info!("skipping address family {} for host {}", family, name);
        } else if other == address {
            return NameStatus::Ok;
        }
    }
    warning!("hostname {} does not resolve to address {}", name, addr);
    NameStatus::Forged
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::log::captured;
    use crate::wire::attr::{Attr, Decoder, Form, Limits, encode};

    /// A name service with one host.
    struct Fake {
        name: Result<&'static str, NameError>,
        addresses: Result<Vec<&'static str>, NameError>,
    }

    impl Names for Fake {
        fn name_of(&self, _: IpAddr) -> Result<Vec<u8>, NameError> {
            self.name.map(Into::into)
        }

        fn addresses_of(&self, name: &[u8], family: Family) -> Result<Vec<IpAddr>, NameError> {
            assert_eq!(name, self.name.unwrap().as_bytes());
            assert_ne!(family, Family::Any);
            let addresses = self.addresses.clone()?;
            Ok(addresses.iter().map(|address| address.parse().unwrap()).collect())
        }
    }

    fn config(text: &str) -> Config {
        captured::take();
        let mut config = Config::of_text(text).unwrap();
        config.owner = (getuid().as_raw(), 0);
        config
    }

    const ATTRIBUTES: [(&str, &str); 4] = [
        ("client_address", "192.0.2.7"),
        ("client_port", "41972"),
        ("server_address", "127.0.0.1"),
        ("server_port", "25"),
    ];

    fn list(attributes: &[(&str, &str)]) -> List {
        let attributes: Vec<_> =
            attributes.iter().map(|(name, value)| Attr::text(name, value)).collect();
        let mut bytes = vec![];
        encode(Form::Null, &attributes, &mut bytes);
        let mut decoder = Decoder::new(Form::Null, Limits::SERVICE);
        decoder.feed(&bytes);
        decoder.next_list().unwrap().unwrap()
    }

    fn direct(fd: impl Into<OwnedFd>) -> Connection {
        Connection::of_socket(fd.into())
    }

    fn passed(address: &str) -> Connection {
        let mut attributes = ATTRIBUTES;
        attributes[0].1 = address;
        let fd = std::fs::File::open("/dev/null").unwrap();
        Connection { handed_over: Some(list(&attributes)), ..direct(fd) }
    }

    fn ask(fake: &Fake) -> Client {
        let config = config("");
        let (client, origin) = identify_with(fake, &config, &passed("192.0.2.7")).unwrap();
        assert_eq!(origin, Origin::Postscreen);
        client
    }

    fn statuses(client: &Client) -> [NameStatus; 2] {
        [client.name_status, client.reverse_status]
    }

    #[test]
    fn a_name_that_leads_back_is_the_clients_name() {
        let fake = Fake { name: Ok("a.example"), addresses: Ok(vec!["192.0.2.1", "192.0.2.7"]) };
        let client = ask(&fake);
        assert_eq!(client.name, b"a.example");
        assert_eq!(client.reverse_name, b"a.example");
        assert_eq!(statuses(&client), [NameStatus::Ok, NameStatus::Ok]);
        assert_eq!(client.namaddr, b"a.example[192.0.2.7]");
        assert_eq!(client.addr, b"192.0.2.7");
        assert_eq!((&client.port[..], &client.server_port[..]), (&b"41972"[..], &b"25"[..]));
        assert_eq!(client.server_addr, b"127.0.0.1");
        assert_eq!(client.family, libc::AF_INET);
        assert_eq!(captured::take(), [] as [&str; 0]);
    }

    #[test]
    fn a_name_that_is_known_to_lead_back_is_not_asked_for() {
        struct Known(&'static str);
        impl Names for Known {
            fn known(&self, _: IpAddr) -> Option<Vec<u8>> {
                Some(self.0.into())
            }
            fn name_of(&self, _: IpAddr) -> Result<Vec<u8>, NameError> {
                panic!("asked")
            }
            fn addresses_of(&self, _: &[u8], _: Family) -> Result<Vec<IpAddr>, NameError> {
                panic!("asked")
            }
        }
        let identified = |name: &'static str| {
            identify_with(&Known(name), &config(""), &passed("192.0.2.7")).unwrap().0
        };
        let client = identified("a.example");
        assert_eq!(client.namaddr, b"a.example[192.0.2.7]");
        assert_eq!(statuses(&client), [NameStatus::Ok, NameStatus::Ok]);
        let client = identified("12345");
        assert_eq!(statuses(&client), [NameStatus::Hard, NameStatus::Hard]);
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_forged() {
        let fake = Fake { name: Ok("a.example"), addresses: Ok(vec!["192.0.2.1"]) };
        let client = ask(&fake);
        assert_eq!(client.name, b"unknown");
        assert_eq!(client.reverse_name, b"a.example");
        assert_eq!(statuses(&client), [NameStatus::Forged, NameStatus::Ok]);
        assert_eq!(
            captured::take(),
            ["warning: hostname a.example does not resolve to address 192.0.2.7"]
        );
    }

    #[test]
    fn a_name_without_an_address_is_forged_or_not_known_now() {
        let none = Fake { name: Ok("a.example"), addresses: Err(NameError::NONE) };
        assert_eq!(statuses(&ask(&none)), [NameStatus::Forged, NameStatus::Ok]);
        let again = Fake { name: Ok("a.example"), addresses: Err(NameError::AGAIN) };
        assert_eq!(statuses(&ask(&again)), [NameStatus::Soft, NameStatus::Ok]);
        assert_eq!(
            captured::take(),
            ["warning: hostname a.example does not resolve to address 192.0.2.7: \
              Temporary failure in name resolution"]
        );
    }

    #[test]
    fn an_address_without_a_name_is_unknown() {
        let none = Fake { name: Err(NameError::NONE), addresses: Ok(vec![]) };
        let client = ask(&none);
        assert_eq!(statuses(&client), [NameStatus::Hard, NameStatus::Hard]);
        assert_eq!(client.namaddr, b"unknown[192.0.2.7]");
        let again = Fake { name: Err(NameError::AGAIN), addresses: Ok(vec![]) };
        assert_eq!(statuses(&ask(&again)), [NameStatus::Soft, NameStatus::Soft]);
        assert_eq!(captured::take(), [] as [&str; 0]);
    }

    #[test]
    fn a_name_that_is_none_is_said_so() {
        for (name, warning) in [
            ("192.0.2.7", "warning: numeric hostname: 192.0.2.7"),
            ("-a.example", "warning: valid_hostname: misplaced hyphen: -a.example"),
            ("a b", "warning: valid_hostname: invalid character 32(decimal): a b"),
        ] {
            let client = ask(&Fake { name: Ok(name), addresses: Ok(vec!["192.0.2.7"]) });
            assert_eq!(client.reverse_name, b"unknown");
            assert_eq!(statuses(&client), [NameStatus::Hard, NameStatus::Hard]);
            assert_eq!(captured::take(), [warning]);
        }
    }

    #[test]
    fn names_are_not_asked_for_where_main_cf_says_so() {
        struct Nobody;
        impl Names for Nobody {
            fn name_of(&self, _: IpAddr) -> Result<Vec<u8>, NameError> {
                panic!("asked")
            }
            fn addresses_of(&self, _: &[u8], _: Family) -> Result<Vec<IpAddr>, NameError> {
                panic!("asked")
            }
        }
        let config = config("smtpd_peername_lookup = no\nsmtpd_client_port_logging = yes\n");
        let (client, _) = identify_with(&Nobody, &config, &passed("2001:db8::7")).unwrap();
        assert_eq!(client.namaddr, b"unknown[2001:db8::7]:41972");
        assert_eq!(client.rfc_addr(), b"IPv6:2001:db8::7");
        assert_eq!(statuses(&client), [NameStatus::Hard, NameStatus::Hard]);
        assert_eq!(client.family, libc::AF_INET6);
    }

    #[test]
    fn what_is_no_network_socket_is_localhost() {
        let (fd, _other) = UnixStream::pair().unwrap();
        let (client, origin) = identify(&config(""), &direct(fd)).unwrap();
        assert_eq!(client.namaddr, b"localhost[127.0.0.1]");
        assert_eq!(statuses(&client), [NameStatus::Ok, NameStatus::Ok]);
        assert_eq!((client.family, client.socket_addr, origin), (0, None, Origin::Direct));
        assert_eq!(client.port, b"0");
        let file = std::fs::File::open("/dev/null").unwrap();
        let mut v6 = config("");
        v6.ipv4 = false;
        let (client, _) = identify(&v6, &direct(file)).unwrap();
        assert_eq!(client.namaddr, b"localhost[::1]");
    }

    fn connected(address: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(address).unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, ours)
    }

    #[test]
    fn a_socket_knows_both_ends() {
        let (server, client_end) = connected("127.0.0.1:0");
        let fake = Fake { name: Ok("localhost"), addresses: Ok(vec!["127.0.0.1"]) };
        let (client, origin) =
            identify_with(&fake, &config(""), &direct(server.try_clone().unwrap())).unwrap();
        assert_eq!(origin, Origin::Direct);
        assert_eq!(client.namaddr, b"localhost[127.0.0.1]");
        assert_eq!(client.port, fill!("{}", client_end.local_addr().unwrap().port()));
        assert_eq!(client.server_addr, b"127.0.0.1");
        assert_eq!(client.server_port, fill!("{}", server.local_addr().unwrap().port()));
    }

    #[test]
    fn an_ipv4_client_of_an_ipv6_socket_is_an_ipv4_client() {
        let peer = "[::ffff:192.0.2.7]:25".parse().unwrap();
        let client = of_addresses(&config(""), peer, Some(peer));
        assert_eq!(client.addr, b"192.0.2.7");
        assert_eq!(client.server_addr, b"192.0.2.7");
        assert_eq!(client.family, libc::AF_INET);
        let mut v6 = config("");
        v6.ipv4 = false;
        assert_eq!(of_addresses(&v6, peer, None).addr, b"::ffff:192.0.2.7");
    }

    #[test]
    fn a_client_that_is_gone_is_unknown() {
        let socket = nix::sys::socket::socket(
            nix::sys::socket::AddressFamily::Inet,
            nix::sys::socket::SockType::Stream,
            nix::sys::socket::SockFlag::SOCK_CLOEXEC,
            None,
        )
        .unwrap();
        let (client, origin) = identify(&config(""), &direct(socket)).unwrap();
        assert_eq!((client, origin), (Client::unknown(), Origin::Direct));
    }

    #[test]
    fn the_network_needs_the_right_user_and_protocol() {
        let (server, _client) = connected("127.0.0.1:0");
        let mut config = config("inet_protocols = ipv6\n");
        config.ipv4 = false;
        assert_eq!(
            identify(&config, &direct(server)),
            Err(Fatal(b"cannot handle socket type AF_INET with \"inet_protocols = ipv6\"".into()))
        );
        config.owner = (1, 1);
        assert_eq!(
            check_privileges(&config, 1, 0),
            Err(Fatal(b"the Postfix SMTP server must run with $mail_owner privileges".into()))
        );
        assert_eq!(captured::take(), ["error: incorrect SMTP server privileges: uid=1 euid=0"]);
        assert_eq!(check_privileges(&config, 1, 1), Ok(()));
    }

    #[test]
    fn postscreen_must_say_all_and_say_it_well() {
        let without = |name: &str| {
            let mut attributes = ATTRIBUTES.to_vec();
            attributes.retain(|attribute| attribute.0 != name);
            from_attributes(&list(&attributes)).unwrap_err().0
        };
        assert_eq!(without("client_address"), b"missing client address from proxy");
        assert_eq!(without("client_port"), b"missing client port from proxy");
        assert_eq!(without("server_address"), b"missing server address from proxy");
        assert_eq!(without("server_port"), b"missing server port from proxy");
        let newer = config("smtpd_rs_dialect = 3.11\n");
        captured::take();
        let (client, origin) = identify(&newer, &passed("1.2.3")).unwrap();
        assert_eq!((&client.namaddr[..], origin), (&b"unknown[unknown]"[..], Origin::Failed));
        assert_eq!(
            captured::take()[1..],
            ["warning: bad IPv4 client address syntax from proxy: 1.2.3"]
        );
        let with = |name: &str, value: &str| {
            let attributes = ATTRIBUTES.map(|a| if a.0 == name { (name, value) } else { a });
            String::from_utf8(from_attributes(&list(&attributes)).unwrap_err().0).unwrap()
        };
        let bad = [
            ("client_address", "1.2.3", "bad IPv4 client address syntax from proxy: 1.2.3"),
            ("client_address", "x:y", "bad IPv6 client address syntax from proxy: x:y"),
            ("client_port", "x", "bad TCP client port number syntax from proxy: x"),
            ("server_address", "x", "bad IPv6 server address syntax from proxy: x"),
            ("server_port", "99999", "bad TCP server port number syntax from proxy: 99999"),
        ];
        for (name, value, text) in bad {
            assert_eq!(with(name, value), text);
        }
    }

    #[test]
    fn a_proxy_says_who_the_client_is() {
        let haproxy = config("smtpd_upstream_proxy_protocol = haproxy\n");
        let told = |said: &[u8]| {
            let (fd, mut proxy) = UnixStream::pair().unwrap();
            proxy.write_all(said).unwrap();
            drop(proxy);
            let fake = Fake { name: Ok("a.example"), addresses: Ok(vec!["192.0.2.7"]) };
            identify_with(&fake, &haproxy, &direct(fd)).unwrap()
        };
        let (client, origin) = told(b"PROXY TCP4 192.0.2.7 192.0.2.1 4444 25\r\n");
        assert_eq!((&client.namaddr[..], origin), (&b"a.example[192.0.2.7]"[..], Origin::Direct));
        assert_eq!(
            (&client.server_addr[..], &client.server_port[..]),
            (&b"192.0.2.1"[..], &b"25"[..])
        );
        let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
        let (client, origin) = told(local);
        assert_eq!((&client.namaddr[..], origin), (&b"localhost[127.0.0.1]"[..], Origin::Direct));
        assert_eq!(captured::take(), [] as [&str; 0]);
        let (client, origin) = told(b"EHLO client.example.test\r\n");
        assert_eq!((&client.namaddr[..], origin), (&b"localhost[127.0.0.1]"[..], Origin::Failed));
        assert_eq!(captured::take().len(), 1);
        let fake = Fake { name: Err(NameError::NONE), addresses: Ok(vec![]) };
        let (_, origin) = identify_with(&fake, &haproxy, &passed("192.0.2.7")).unwrap();
        assert_eq!(origin, Origin::Postscreen);
        assert_eq!(
            captured::take(),
            ["warning: ignoring non-empty smtpd_upstream_proxy_protocol setting behind postscreen"]
        );
        let other = config("smtpd_upstream_proxy_protocol = HAProxy\n");
        assert_eq!(
            identify(&other, &direct(UnixStream::pair().unwrap().0)),
            Err(Fatal(b"unsupported smtpd_upstream_proxy_protocol value: HAProxy".into()))
        );
    }
}
