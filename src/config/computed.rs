//! Defaults that depend on the machine, and what must be true of values taken together.

mod accounts;
mod networks;
mod release;

use std::net::IpAddr;

pub(super) use self::networks::addresses_of;
use super::compat::Level;
use super::dialect::{Change, Release};
use super::installed::Installed;
use super::main_cf::Dictionary;
use super::ports::KnownPorts;
use crate::log::{self, Fatal};
use crate::mail::hostname::valid_hostname;
use crate::sys::interfaces::Interface;
use crate::text::split::COMMA_SPACE;

/// What is called when the parameters that all Postfix programs have are loaded.
pub(crate) type Settled<'a> = &'a mut dyn FnMut(&log::Settings) -> Result<(), Fatal>;

/// What the loader learns about the machine, and remembers of the values that decide it.
pub(crate) struct Facts<'a> {
    /// Not this machine, but the one of unit tests.
    imagined: bool,
    /// Everything is to be as Postfix has it, also what has no effect here.
    thorough: bool,
    installed: Option<Installed>,
    makedefs: Option<Vec<u8>>,
    /// The release that we speak as.
    pub(super) release: Release,
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
    "known_tcp_ports",
    "mail_owner",
    "mail_version",
    "maillog_file",
    "maillog_file_prefixes",
    "mydomain",
    "myhostname",
    "mynetworks_style",
    "myorigin",
    "non_bdb_migration_level",
    "postlog_service_name",
    "queue_directory",
    "relayhost",
    "setgid_group",
    "smtpd_enforce_tls",
    "smtpd_rs_dialect",
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

    /// Those of this machine, with what has no effect here; nobody is told when they are settled.
    pub(super) fn of_this_machine_in_full(config_directory: &[u8]) -> Self {
        Self { imagined: false, thorough: true, ..Self::imagined(config_directory) }
    }

    /// Those of a machine that has the loopback addresses and no accounts.
    pub(super) fn imagined(config_directory: &[u8]) -> Self {
        Self {
            imagined: true,
            thorough: false,
            installed: None,
            makedefs: None,
            release: Release::DEFAULT,
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
            "syslog_facility" => {
                let dialect = self.noted("smtpd_rs_dialect").to_vec();
                self.choose_dialect(&dialect, dictionary)?;
                dictionary.functions = self.release.does(Change::Functions);
                if self.release.does(Change::ProcessNameFixed) {
                    dictionary.set(b"process_name", log::PROCESS_NAME.as_bytes());
                }
                Ok(())
            }
            "inet_protocols" => self.set_facility(),
            "myhostname" => {
                self.ports = KnownPorts::parse(self.noted("known_tcp_ports"));
                self.find_families()
            }
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
            "mail_version" => self.installed(dictionary)?.version.clone(),
            "daemon_directory" => self.installed(dictionary)?.daemon_directory.clone(),
            "myhostname" => Some(self.host_name(dictionary)?),
            "mydomain" => Some(domain_of(self.noted("myhostname")).to_vec()),
            "mynetworks" => Some(self.networks(self.noted("mynetworks_style"))?),
            "tls_eecdh_auto_curves" | "tls_ffdhe_auto_groups" => self.groups_of_openssl(name),
            name if release::OF_THE_BUILD.contains(&name) => self.built_with(name, dictionary)?,
            _ => None,
        })
    }

    /// Our addresses, and so our networks.
    pub(super) fn find_networks(&mut self) -> Result<(), Fatal> {
        self.find_families()?;
        self.find_interfaces()
    }

    /// Remembers a value.
    pub(super) fn note(&mut self, name: &'static str, value: &[u8]) -> Result<(), Fatal> {
        match name {
            "compatibility_level" => self.level = Level::parse(value)?,
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
        if !origin.starts_with(b"/") {
            one_origin(origin)?;
        }
        let level = self.noted("non_bdb_migration_level");
        if !matches!(level, b"" | b"disable" | b"enable-redirect" | b"enable-reindex") {
            return Err(fatal!("invalid non-Berkeley-DB migration level: '{}'", level));
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

/// myorigin is one domain.
pub(super) fn one_origin(origin: &[u8]) -> Result<(), Fatal> {
    if origin.iter().any(|byte| COMMA_SPACE.contains(byte)) {
        return Err(fatal!(
            "myorigin parameter setting must not contain multiple values: {}",
            origin
        ));
    }
    Ok(())
}

const DEFAULT_DOMAIN: &[u8] = b"localdomain";

fn domain_of(host: &[u8]) -> &[u8] {
    memchr::memchr(b'.', host).map_or(DEFAULT_DOMAIN, |dot| &host[dot + 1..])
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

    fn fatal(main_cf: &str) -> String {
        String::from_utf8(Config::of_text(main_cf).unwrap_err().0).unwrap()
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
}
