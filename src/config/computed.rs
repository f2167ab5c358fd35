//! Defaults that depend on the machine, and what must be true of values taken together.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs as _};

use super::compat::Level;
use super::main_cf::Dictionary;
use super::ports::KnownPorts;
use crate::log::{self, Fatal};
use crate::mail::hostname::valid_hostname;
use crate::sys::interfaces::{self, Interface};
use crate::sys::users::Accounts;
use crate::text::split::{COMMA_SPACE, words};

/// What is called when the parameters that all Postfix programs have are loaded.
pub(crate) type Settled<'a> = &'a mut dyn FnMut(&log::Settings) -> Result<(), Fatal>;

/// What the loader learns about the machine, and remembers of the values that decide it.
pub(crate) struct Facts<'a> {
    /// Not this machine, but the one of unit tests.
    imagined: bool,
    config_directory: Vec<u8>,
    settled: Option<Settled<'a>>,
    noted: Vec<(&'static str, Vec<u8>)>,
    stage: Stage,
    /// Of this machine, then of inet_interfaces.
    interfaces: Vec<Interface>,
    pub(super) level: Level,
    pub(super) ports: KnownPorts,
    pub(super) ipv4: bool,
    pub(super) ipv6: bool,
    pub(super) owner: (u32, u32),
    pub(super) groups: Vec<u32>,
    pub(super) mynetworks_host: Vec<u8>,
}

/// Whose parameters are being loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Those of every session.
    All,
    /// Those of TLS.
    Tls,
    /// Those that other programs load.
    Others,
}

/// The values that are looked at later on, as they were when they were loaded.
const NOTED: &[&str] = &[
    "default_privs",
    "default_verp_delimiters",
    "inet_interfaces",
    "inet_protocols",
    "mail_owner",
    "maillog_file",
    "maillog_file_prefixes",
    "mydomain",
    "myhostname",
    "mynetworks_style",
    "myorigin",
    "postlog_service_name",
    "queue_directory",
    "relayhost",
    "setgid_group",
    "smtpd_enforce_tls",
    "smtpd_tls_security_level",
    "smtpd_tls_wrappermode",
    "smtpd_use_tls",
    "syslog_facility",
    "syslog_name",
    "verp_delimiter_filter",
];

impl<'a> Facts<'a> {
    /// Those of this machine.
    pub(super) fn of_this_machine(config_directory: &[u8], settled: Settled<'a>) -> Self {
        Self { imagined: false, settled: Some(settled), ..Self::imagined(config_directory) }
    }

    /// Those of a machine that has the loopback addresses and no accounts.
    pub(super) fn imagined(config_directory: &[u8]) -> Self {
        Self {
            imagined: true,
            config_directory: config_directory.to_vec(),
            settled: None,
            noted: Vec::with_capacity(NOTED.len()),
            stage: Stage::All,
            interfaces: Vec::new(),
            level: Level::default(),
            ports: KnownPorts::default(),
            ipv4: true,
            ipv6: true,
            owner: (1, 1),
            groups: Vec::new(),
            mynetworks_host: Vec::new(),
        }
    }

    /// Our addresses, IPv4 first.
    pub(super) fn own_addresses(&self) -> Vec<IpAddr> {
        self.interfaces.iter().map(|interface| interface.address).collect()
    }

    /// What happens before the parameter `name` is loaded.
    pub(super) fn before(&mut self, name: &str, dictionary: &mut Dictionary) -> Result<(), Fatal> {
        match name {
            "inet_protocols" => self.set_facility(),
            "myhostname" => self.find_families(),
            "mail_name" => self.check_names(),
            "mynetworks" => {
                self.check_accounts()?;
                self.find_interfaces()
            }
            "smtpd_soft_error_limit" => self.settle(dictionary),
            "tls_config_file" => {
                self.stage = Stage::Tls;
                Ok(())
            }
            "debugger_command" => {
                self.stage = Stage::Others;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether a wrong value ends the process: Postfix loads the parameters of TLS only where it
    /// is used, and those of other programs not at all.
    pub(super) fn must_be_right(&self) -> bool {
        let yes = |name| self.noted(name) == b"yes";
        match self.stage {
            Stage::All => true,
            Stage::Tls => match self.noted("smtpd_tls_security_level") {
                _ if yes("smtpd_tls_wrappermode") => true,
                b"" => yes("smtpd_use_tls") || yes("smtpd_enforce_tls"),
                level => level != b"none",
            },
            Stage::Others => false,
        }
    }

    /// The default of a parameter that the table does not have.
    pub(super) fn default(
        &mut self,
        name: &str,
        dictionary: &Dictionary,
    ) -> Result<Option<Vec<u8>>, Fatal> {
        Ok(match name {
            "mail_version" if !self.imagined => installed_version(dictionary)?,
            "myhostname" => Some(self.host_name(dictionary)?),
            "mydomain" => Some(domain_of(self.noted("myhostname")).to_vec()),
            "mynetworks" => Some(self.networks(self.noted("mynetworks_style"))?),
            _ => None,
        })
    }

    /// Remembers a value.
    pub(super) fn note(&mut self, name: &'static str, value: &[u8]) -> Result<(), Fatal> {
        match name {
            "compatibility_level" => self.level = Level::parse(value)?,
            "known_tcp_ports" => self.ports = KnownPorts::parse(value),
            "smtputf8_enable" if !self.imagined => log::set_utf8(value == b"yes"),
            name if NOTED.contains(&name) => self.noted.push((name, value.to_vec())),
            _ => {}
        }
        Ok(())
    }

    fn noted(&self, name: &str) -> &[u8] {
        self.noted.iter().find(|(noted, _)| *noted == name).map_or(&[], |(_, value)| value)
    }

    fn file(&self) -> Vec<u8> {
        fill!("file {}/main.cf", self.config_directory)
    }

    fn set_facility(&self) -> Result<(), Fatal> {
        let name = self.noted("syslog_facility");
        let Some(facility) = log::Facility::named(name) else {
            return Err(fatal!(
                "{}: parameter syslog_facility: unrecognized value: {}",
                self.file(),
                name
            ));
        };
        if !self.imagined {
            log::set_facility(facility);
        }
        Ok(())
    }

    fn find_families(&mut self) -> Result<(), Fatal> {
        let names = self.noted("inet_protocols");
        let (mut ipv4, mut ipv6) = (false, false);
        for name in words(names, COMMA_SPACE) {
            match name {
                b"all" => (ipv4, ipv6) = (true, true),
                b"ipv4" => ipv4 = true,
                b"ipv6" => ipv6 = true,
                _ => {
                    return Err(fatal!(
                        "unknown inet_protocols value \"{}\" in \"{}\"",
                        name,
                        names
                    ));
                }
            }
        }
        self.interfaces = self.local_interfaces()?;
        // An address shows that the kernel has the family.
        let has = |ipv6: bool| {
            self.imagined || self.interfaces.iter().any(|one| one.address.is_ipv6() == ipv6)
        };
        let (has_ipv4, has_ipv6) = (has(false), has(true));
        self.ipv6 = ipv6 && (has_ipv6 || family_works("IPv6", interfaces::ipv6_works())?);
        self.ipv4 = ipv4 && (has_ipv4 || family_works("IPv4", interfaces::ipv4_works())?);
        Ok(())
    }

    fn host_name(&self, dictionary: &Dictionary) -> Result<Vec<u8>, Fatal> {
        if self.imagined {
            return Ok(b"mail.example".to_vec());
        }
        let name =
            crate::sys::process::host_name().map_err(|error| fatal!("gethostname: {}", error))?;
        if !is_host_name(&name) {
            return Err(fatal!("unable to use my own hostname"));
        }
        if name.contains(&b'.') {
            return Ok(name);
        }
        // Never ask DNS here: without network that would hang.
        let domain = dictionary.evaluated(b"mydomain")?;
        Ok(fill!("{}.{}", name, domain.as_deref().unwrap_or(DEFAULT_DOMAIN)))
    }

    fn check_names(&self) -> Result<(), Fatal> {
        for name in ["myhostname", "mydomain"] {
            let value = self.noted(name);
            if !is_host_name(value) {
                let file = self.file();
                return Err(fatal!("{}: parameter {}: bad parameter value: {}", file, name, value));
            }
        }
        Ok(())
    }

    fn check_accounts(&mut self) -> Result<(), Fatal> {
        if self.imagined {
            return Ok(());
        }
        let accounts = Accounts::read();
        let default = self.user(&accounts, "default_privs")?;
        self.owner = self.user(&accounts, "mail_owner")?;
        self.check_first_user(&accounts)?;
        self.groups = accounts.groups_of(self.noted("mail_owner"), self.owner.1);
        let group = self.group(&accounts)?;
        self.check_overlap(default, group)
    }

    fn user(&self, accounts: &Accounts, parameter: &str) -> Result<(u32, u32), Fatal> {
        let name = self.noted(parameter);
        let wrong =
            |problem: Vec<u8>| fatal!("{}: parameter {}: {}", self.file(), parameter, problem);
        let account =
            accounts.user(name).ok_or_else(|| wrong(fill!("unknown user name value: {}", name)))?;
        if account.uid == 0 {
            return Err(wrong(fill!("user {} has privileged user ID", name)));
        }
        if account.gid == 0 {
            return Err(wrong(fill!("user {} has privileged group ID", name)));
        }
        Ok((account.uid, account.gid))
    }

    fn check_first_user(&self, accounts: &Accounts) -> Result<(), Fatal> {
        let name = self.noted("mail_owner");
        match accounts.name_of_user(self.owner.0) {
            Some(first) if first != name => Err(fatal!(
                "{}: parameter mail_owner: user {} has same user ID as {}",
                self.file(),
                name,
                first
            )),
            _ => Ok(()),
        }
    }

    fn group(&self, accounts: &Accounts) -> Result<u32, Fatal> {
        let name = self.noted("setgid_group");
        let wrong =
            |problem: Vec<u8>| fatal!("{}: parameter setgid_group: {}", self.file(), problem);
        let gid =
            accounts.group(name).ok_or_else(|| wrong(fill!("unknown group name: {}", name)))?;
        if gid == 0 {
            return Err(wrong(fill!("group {} has privileged group ID", name)));
        }
        match accounts.name_of_group(gid) {
            Some(first) if first != name => {
                Err(wrong(fill!("group {} has same group ID as {}", name, first)))
            }
            _ => Ok(gid),
        }
    }

    fn check_overlap(&self, default: (u32, u32), group: u32) -> Result<(), Fatal> {
        let wrong = |problem: Vec<u8>| Err(fatal!("{}: parameters {}", self.file(), problem));
        let privs = self.noted("default_privs");
        let owner = self.noted("mail_owner");
        let setgid = self.noted("setgid_group");
        let (uid, gid) = self.owner;
        if privs == owner {
            return wrong(fill!("default_privs and mail_owner specify the same user {}", privs));
        }
        if default.0 == uid {
            return wrong(fill!(
                "default_privs and mail_owner: users {} and {} have the same user ID: {}",
                privs,
                owner,
                uid
            ));
        }
        if default.1 == gid {
            return wrong(fill!(
                "default_privs and mail_owner: users {} and {} have the same group ID: {}",
                privs,
                owner,
                gid
            ));
        }
        for (parameter, user, gid) in
            [("default_privs", privs, default.1), ("mail_owner", owner, gid)]
        {
            if gid == group {
                return wrong(fill!(
                    "{} and setgid_group: user {} and group {} have the same group ID: {}",
                    parameter,
                    user,
                    setgid,
                    group
                ));
            }
        }
        Ok(())
    }

    /// Finds the addresses that inet_interfaces means, each with its network.
    fn find_interfaces(&mut self) -> Result<(), Fatal> {
        let mut local = std::mem::take(&mut self.interfaces);
        if !self.ipv4 && !self.ipv6 {
            return Ok(());
        }
        local.retain(|interface| self.speaks(interface.address));
        if local.is_empty() {
            return Err(fatal!("could not find any active network interfaces"));
        }
        local.sort_by_key(|interface| interface.address.is_ipv6());
        self.interfaces = match self.noted("inet_interfaces") {
            b"all" => local,
            b"loopback-only" => {
                local.into_iter().filter(|interface| interface.address.is_loopback()).collect()
            }
            hosts => self.named_interfaces(hosts, &local)?,
        };
        Ok(())
    }

    fn local_interfaces(&self) -> Result<Vec<Interface>, Fatal> {
        if self.imagined {
            return Ok(loopback_interfaces());
        }
        interfaces::up()
            .map_err(|error| fatal!("inet_addr_local[getifaddrs]: getifaddrs: {}", error))
    }

    fn named_interfaces(&self, hosts: &[u8], local: &[Interface]) -> Result<Vec<Interface>, Fatal> {
        let mut found: Vec<Interface> = Vec::new();
        for address in self.resolve("inet_interfaces", hosts)? {
            match local.iter().find(|interface| interface.address == address) {
                Some(interface) => found.push(interface.clone()),
                None if self.imagined => found.push(Interface::single(address)),
                None => {
                    return Err(fatal!(
                        "parameter inet_interfaces: no local interface found for {}",
                        address
                    ));
                }
            }
        }
        Ok(found)
    }

    /// The addresses of `hosts`, each once.
    fn resolve(&self, parameter: &str, hosts: &[u8]) -> Result<Vec<IpAddr>, Fatal> {
        addresses_of(hosts, |address| self.speaks(address))
            .map_err(|host| fatal!("config variable {}: host not found: {}", parameter, host))
    }

    fn speaks(&self, address: IpAddr) -> bool {
        if address.is_ipv4() { self.ipv4 } else { self.ipv6 }
    }

    /// The networks of our addresses (mynetworks_style).
    fn networks(&self, style: &[u8]) -> Result<Vec<u8>, Fatal> {
        if !self.ipv4 && !self.ipv6 {
            return Ok(Vec::new());
        }
        let style = Style::of(style, self.noted("mynetworks_style"))?;
        let mut networks: Vec<Vec<u8>> = Vec::new();
        for interface in &self.interfaces {
            let network = style.network(interface)?;
            if !networks.contains(&network) {
                networks.push(network);
            }
        }
        Ok(networks.concat())
    }

    /// Ends the parameters that all Postfix programs have.
    fn settle(&mut self, dictionary: &mut Dictionary) -> Result<(), Fatal> {
        self.mynetworks_host = self.networks(b"host")?;
        dictionary.set(b"process_id", &fill!("{}", std::process::id()));
        self.check_values()?;
        let Some(settled) = self.settled.take() else { return Ok(()) };
        settled(&log::Settings {
            syslog_name: self.noted("syslog_name").to_vec(),
            maillog_file: self.noted("maillog_file").to_vec(),
            maillog_file_prefixes: self.noted("maillog_file_prefixes").to_vec(),
            postlog_socket: fill!(
                "{}/public/{}",
                self.noted("queue_directory"),
                self.noted("postlog_service_name")
            ),
            host: self.noted("myhostname").to_vec(),
        })
    }

    fn check_values(&self) -> Result<(), Fatal> {
        let host = self.noted("myhostname");
        if host.eq_ignore_ascii_case(self.noted("relayhost")) {
            return Err(fatal!(
                "myhostname and relayhost parameter settings must not be identical: {}",
                host
            ));
        }
        let origin = self.noted("myorigin");
        if !origin.starts_with(b"/") && origin.iter().any(|byte| COMMA_SPACE.contains(byte)) {
            return Err(fatal!(
                "myorigin parameter setting must not contain multiple values: {}",
                origin
            ));
        }
        let filter = self.noted("verp_delimiter_filter");
        let wrong =
            self.noted("default_verp_delimiters").iter().position(|byte| !filter.contains(byte));
        if let Some(at) = wrong {
            return Err(fatal!(
                "{}: parameters default_verp_delimiters and verp_delimiter_filter: \
                 bad {} VERP delimiter character",
                self.file(),
                if at == 0 { "first" } else { "second" }
            ));
        }
        Ok(())
    }
}

const DEFAULT_DOMAIN: &[u8] = b"localdomain";

fn domain_of(host: &[u8]) -> &[u8] {
    memchr::memchr(b'.', host).map_or(DEFAULT_DOMAIN, |dot| &host[dot + 1..])
}

fn family_works(name: &str, works: std::io::Result<bool>) -> Result<bool, Fatal> {
    match works {
        Ok(true) => Ok(true),
        Ok(false) => {
            warning!(
                "inet_protocols: disabling {} name/address support: \
                 Address family not supported by protocol",
                name
            );
            Ok(false)
        }
        Err(error) => Err(fatal!("socket: {}", error)),
    }
}

/// The addresses of the machine that unit tests see.
fn loopback_interfaces() -> Vec<Interface> {
    vec![
        Interface { address: Ipv4Addr::LOCALHOST.into(), prefix: 8 },
        Interface { address: Ipv6Addr::LOCALHOST.into(), prefix: 128 },
    ]
}

/// The addresses of `hosts` (names, or addresses with or without `[]`), each once; or the host
/// that has none.
pub(super) fn addresses_of(
    hosts: &[u8],
    wanted: impl Fn(IpAddr) -> bool,
) -> Result<Vec<IpAddr>, Vec<u8>> {
    let mut found = Vec::new();
    for host in words(hosts, b" \t,") {
        let before = found.len();
        let mut known = false;
        for address in addresses_of_host(host).into_iter().filter(|address| wanted(*address)) {
            known = true;
            if !found.contains(&address) {
                found.push(address);
            }
        }
        if !known {
            debug_assert_eq!(found.len(), before);
            return Err(host.to_vec());
        }
    }
    Ok(found)
}

fn addresses_of_host(host: &[u8]) -> Vec<IpAddr> {
    let inside = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")).unwrap_or(host);
    let inside = inside.strip_prefix(b"IPv6:").unwrap_or(inside);
    let Ok(name) = std::str::from_utf8(inside) else { return Vec::new() };
    if let Ok(address) = name.parse() {
        return vec![address];
    }
    let found = (name, 0).to_socket_addrs();
    found.map_or_else(|_| Vec::new(), |found| found.map(|address| address.ip()).collect())
}

#[derive(Debug, Clone, Copy)]
enum Style {
    Host,
    Subnet,
    Class,
}

impl Style {
    /// The one style that `text` names; `shown` is for the report.
    fn of(text: &[u8], shown: &[u8]) -> Result<Self, Fatal> {
        let mut found = Vec::new();
        for word in words(text, COMMA_SPACE) {
            found.push(match word {
                b"host" => Self::Host,
                b"subnet" => Self::Subnet,
                b"class" => Self::Class,
                _ => {
                    return Err(fatal!(
                        "unknown mynetworks mask style value \"{}\" in \"{}\"",
                        word,
                        text
                    ));
                }
            });
        }
        match found.as_slice() {
            [style] => Ok(*style),
            _ => Err(fatal!("bad mynetworks_style value: {}; specify exactly one value", shown)),
        }
    }

    /// The network of an interface, as it stands in mynetworks, with a blank behind it.
    fn network(self, interface: &Interface) -> Result<Vec<u8>, Fatal> {
        match interface.address {
            IpAddr::V4(address) => {
                let prefix = match self {
                    Self::Host => 32,
                    Self::Subnet => interface.prefix,
                    Self::Class => class_prefix(address)?,
                };
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                let network = IpAddr::from(Ipv4Addr::from(address.to_bits() & mask));
                Ok(fill!("{}/{} ", network, prefix))
            }
            IpAddr::V6(address) => {
                let prefix = if matches!(self, Self::Host) { 128 } else { interface.prefix };
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                let network = IpAddr::from(Ipv6Addr::from(address.to_bits() & mask));
                Ok(fill!("[{}]/{} ", network, prefix))
            }
        }
    }
}

fn class_prefix(address: Ipv4Addr) -> Result<u8, Fatal> {
    match address.octets()[0] {
        0..=127 => Ok(8),
        128..=191 => Ok(16),
        192..=223 => Ok(24),
        224..=239 => Ok(4),
        240.. => Err(fatal!("mynetworks_core: unknown address class: {}", IpAddr::V4(address))),
    }
}

/// The version that stands in the programs of the installed Postfix.
fn installed_version(dictionary: &Dictionary) -> Result<Option<Vec<u8>>, Fatal> {
    let directory = dictionary.evaluated(b"daemon_directory")?;
    let row = super::parameters::TABLE.iter().find(|row| row.name == "daemon_directory");
    let directory = directory.unwrap_or_else(|| row.map_or("", |row| row.default).into());
    let Ok(path) = String::from_utf8(fill!("{}/master", directory)) else { return Ok(None) };
    let Ok(program) = crate::sys::file::read(path) else { return Ok(None) };
    Ok(version_in(&program).map(<[u8]>::to_vec))
}

fn version_in(program: &[u8]) -> Option<&[u8]> {
    const MARK: &[u8] = b"mail_version=";
    let start = memchr::memmem::find(program, MARK)? + MARK.len();
    let version = program.get(start..)?;
    let version = &version[..memchr::memchr(0, version)?];
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    (!version.is_empty() && version.len() <= 100 && version.iter().all(plain)).then_some(version)
}

/// Whether `name` can be the name of a host; says why not in the log.
fn is_host_name(name: &[u8]) -> bool {
    match valid_hostname(name) {
        Ok(()) => true,
        Err(error) => {
            warning!("{}", error.to_string());
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn fatal(main_cf: &str) -> String {
        String::from_utf8(Config::of_text(main_cf).unwrap_err().0).unwrap()
    }

    #[test]
    fn mynetworks_has_the_networks_of_the_interfaces() {
        let networks = |main_cf: &str| Config::of_text(main_cf).unwrap().mynetworks.clone();
        assert_eq!(networks(""), b"127.0.0.0/8 [::1]/128 ");
        assert_eq!(networks("compatibility_level = 2"), b"127.0.0.1/32 [::1]/128 ");
        assert_eq!(networks("inet_protocols = ipv4"), b"127.0.0.0/8 ");
        assert_eq!(
            networks(
                "inet_interfaces = 192.0.2.9, [2001:db8::9] 192.0.2.9\nmynetworks_style = class"
            ),
            b"192.0.2.0/24 [2001:db8::9]/128 "
        );
        assert_eq!(networks("inet_protocols ="), b"");
    }

    #[test]
    fn the_style_of_mynetworks_is_one() {
        assert_eq!(
            fatal("mynetworks_style = host, class"),
            "bad mynetworks_style value: host, class; specify exactly one value"
        );
        assert_eq!(
            fatal("mynetworks_style = all"),
            "unknown mynetworks mask style value \"all\" in \"all\""
        );
    }

    #[test]
    fn the_domain_is_what_follows_the_first_dot() {
        let config = Config::of_text("myhostname = a.b.example").unwrap();
        assert_eq!(config.mydomain, b"b.example");
        assert_eq!(Config::of_text("myhostname = a").unwrap().mydomain, b"localdomain");
    }

    #[test]
    fn names_of_hosts_must_be_valid() {
        for name in ["a..b", ".a", "a.b.", "-a", "a-.b", "1.2.3.4", "a b", "ü"] {
            assert_eq!(
                fatal(&format!("myhostname = {name}")),
                format!(
                    "file /etc/postfix/main.cf: parameter myhostname: bad parameter value: {name}"
                )
            );
        }
    }

    #[test]
    fn values_must_agree() {
        assert_eq!(
            fatal("relayhost = MAIL.example"),
            "myhostname and relayhost parameter settings must not be identical: mail.example"
        );
        assert_eq!(
            fatal("myorigin = a, b"),
            "myorigin parameter setting must not contain multiple values: a, b"
        );
        assert_eq!(
            fatal("inet_protocols = ipv5"),
            "unknown inet_protocols value \"ipv5\" in \"ipv5\""
        );
        assert_eq!(
            fatal("syslog_facility = x"),
            "file /etc/postfix/main.cf: parameter syslog_facility: unrecognized value: x"
        );
    }

    #[test]
    fn the_version_is_found_in_a_program() {
        assert_eq!(version_in(b"\0mail_version=3.7.11\0x"), Some(&b"3.7.11"[..]));
        assert_eq!(
            version_in(b"mail_version=3.12-20260821-NONPROD\0"),
            Some(&b"3.12-20260821-NONPROD"[..])
        );
        assert_eq!(version_in(b"mail_version=\0"), None);
        assert_eq!(version_in(b"mail_version=3.7"), None);
        assert_eq!(version_in(b""), None);
    }
}
