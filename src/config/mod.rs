//! main.cf: the file, its language, THE TABLE of parameters.
#![forbid(unsafe_code)]

pub mod compat;
mod computed;
pub mod dialect;
pub mod expand;
mod installed;
pub mod kinds;
pub mod listing;
pub mod main_cf;
pub mod parameters;
mod ports;

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use self::compat::Level;
use self::computed::Facts;
use self::dialect::{Change, Release};
use self::kinds::Loader;
use self::main_cf::Dictionary;
pub use self::parameters::Parameters;
use self::ports::KnownPorts;
use crate::log::{self, Fatal};
use crate::sys::file::read_rest;

/// The configuration of this process. The parameters are its fields: `config.smtpd_timeout`.
#[derive(Debug, Clone)]
pub struct Config {
    parameters: Box<Parameters>,
    dictionary: RefCell<Dictionary>,
    level: Level,
    ports: KnownPorts,
    /// The release of Postfix that we speak as (smtpd_rs_dialect).
    pub release: Release,
    /// The service field of master.cf (`-n`), as `smtp` or `127.0.0.1:2525`.
    pub service_name: Vec<u8>,
    /// Directory of main.cf.
    pub config_directory: Vec<u8>,
    /// Our own addresses (inet_interfaces), IPv4 first.
    pub own_addresses: Vec<IpAddr>,
    /// What mynetworks is by default with `mynetworks_style = host`.
    pub mynetworks_host: Vec<u8>,
    /// Whether IPv4 is enabled (inet_protocols).
    pub ipv4: bool,
    /// Whether IPv6 is enabled (inet_protocols).
    pub ipv6: bool,
    /// User and group ids of mail_owner.
    pub owner: (u32, u32),
    /// Groups of mail_owner that are in /etc/group.
    pub owner_groups: Vec<u32>,
    /// `sendmail -bs`: standard input, and not mail_owner.
    pub stand_alone: bool,
    /// The root directory will be queue_directory.
    pub jailed: bool,
}

impl Deref for Config {
    type Target = Parameters;

    fn deref(&self) -> &Parameters {
        &self.parameters
    }
}

/// Where main.cf is, unless the environment says otherwise.
const USUAL_DIRECTORY: &str = "/etc/postfix";

/// The directory of main.cf, as the environment has it.
pub fn directory() -> PathBuf {
    std::env::var_os("MAIL_CONFIG").map_or_else(|| USUAL_DIRECTORY.into(), PathBuf::from)
}

/// main.cf as it was read, before any parameter is evaluated: here `-o` comes in.
#[derive(Debug, Clone)]
pub struct Source {
    /// What main.cf and `-o` say.
    pub dictionary: Dictionary,
    config_directory: Vec<u8>,
}

impl Source {
    /// Reads `directory/main.cf`.
    pub fn read(directory: &Path) -> Result<Self, Fatal> {
        let mut source = Self::empty(directory.as_os_str().as_bytes());
        source.dictionary.read_file(&directory.join("main.cf"))?;
        Ok(source)
    }

    fn empty(config_directory: &[u8]) -> Self {
        let mut dictionary = Dictionary::with_room(parameters::TABLE.len());
        dictionary.set(b"process_name", log::PROCESS_NAME.as_bytes());
        dictionary.set(b"config_directory", config_directory);
        Self { dictionary, config_directory: config_directory.to_vec() }
    }
}

impl Config {
    /// Evaluates all parameters. `settled` is called when those are loaded that all programs of
    /// Postfix have: from then on the log is where main.cf wants it.
    pub fn load(
        source: Source,
        service_name: &[u8],
        mut settled: impl FnMut(&log::Settings) -> Result<(), Fatal>,
    ) -> Result<Self, Fatal> {
        let facts = Facts::of_this_machine(&source.config_directory, &mut settled);
        Self::evaluate(source, service_name, facts)
    }

    fn evaluate(
        mut source: Source,
        service_name: &[u8],
        mut facts: Facts<'_>,
    ) -> Result<Self, Fatal> {
        source.dictionary.set(b"service_name", service_name);
        let mut loader = Loader {
            dictionary: &mut source.dictionary,
            facts: &mut facts,
            formers: dialect::DEFAULTS,
        };
        let mut parameters = Parameters::load(&mut loader)?;
        if parameters.myorigin.starts_with(b"/") {
            parameters.myorigin = origin_in_file(&parameters.myorigin)?;
        }
        Ok(Self {
            parameters,
            dictionary: RefCell::new(source.dictionary),
            level: facts.level,
            release: facts.release,
            ports: std::mem::take(&mut facts.ports),
            service_name: service_name.to_vec(),
            config_directory: source.config_directory,
            own_addresses: facts.own_addresses(),
            mynetworks_host: facts.mynetworks_host,
            ipv4: facts.ipv4,
            ipv6: facts.ipv6,
            owner: facts.owner,
            owner_groups: facts.groups,
            stand_alone: false,
            jailed: false,
        })
    }

    /// The evaluated text of any name in main.cf, such as that of a restriction class. Only while
    /// the process starts: see [`Config::forget_texts`].
    pub fn text(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.dictionary.borrow().evaluated(name).unwrap_or_else(|error| {
            error!("{}", error.0);
            None
        })
    }

    /// Whether the release that we speak as does what `change` says.
    pub fn does(&self, change: Change) -> bool {
        self.release.does(change)
    }

    /// Whether main.cf or `-o` sets the parameter (compatibility_level). Only while the process
    /// starts, as [`Config::text`].
    pub fn is_set(&self, name: &str) -> bool {
        self.dictionary.borrow().is_set(name.as_bytes())
    }

    /// Forgets all that is asked for by its name: at the end of a start, when the restrictions are
    /// compiled. The parameters stay.
    pub fn forget_texts(&self) {
        self.dictionary.take();
    }

    /// Whether clients can log in: by SASL, or by a certificate that is somebody's.
    pub fn has_logins(&self) -> bool {
        self.smtpd_sasl_auth_enable || !self.smtpd_tls_ccert_user_maps.is_empty()
    }

    /// The addresses under which others know us (proxy_interfaces); an error is fatal, but only
    /// for what needs them.
    pub fn proxy_addresses(&self) -> Result<Vec<IpAddr>, Fatal> {
        let wanted = |address: IpAddr| if address.is_ipv4() { self.ipv4 } else { self.ipv6 };
        computed::addresses_of(&self.proxy_interfaces, wanted)
            .map_err(|host| fatal!("config variable proxy_interfaces: host not found: {}", host))
    }

    /// A configuration from the lines of a main.cf, for tests: on a machine named mail.example
    /// that has the loopback addresses; nothing is asked of the real one.
    pub fn of_text(main_cf: &str) -> Result<Self, Fatal> {
        let mut source = Source::empty(b"/etc/postfix");
        source.dictionary.read_text(b"/etc/postfix/main.cf", main_cf.as_bytes())?;
        Self::evaluate(source, b"smtp", Facts::imagined(b"/etc/postfix"))
    }
}

/// The first line of the file that myorigin names (Debian). As Postfix: `safe_open()`: whoever can
/// make a second link to a file may have others read what is not meant for them.
fn origin_in_file(path: &[u8]) -> Result<Vec<u8>, Fatal> {
    let wrong = |error: io::Error| fatal!("{}: cannot open file: {}", path, error);
    let mut file = File::open(OsStr::from_bytes(path)).map_err(wrong)?;
    let links = file.metadata().map_err(wrong)?.nlink();
    if links != 1 {
        return Err(fatal!("{}: file has {} hard links", path, links));
    }
    let text = read_rest(&mut file).map_err(|error| fatal!("{}: {}", path, error))?;
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
    if line.is_empty() {
        return Err(fatal!("myorigin file {} is empty", path));
    }
    computed::one_origin(line)?;
    Ok(line.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_have_their_defaults() {
        let config = Config::of_text("").unwrap();
        assert_eq!(config.smtpd_banner, b"mail.example ESMTP Postfix");
        assert_eq!(config.smtpd_relay_restrictions, b"");
        assert_eq!(config.message_size_limit, 10_240_000);
        assert!(!config.smtputf8_enable);
        assert_eq!(config.own_addresses.len(), 2);
        let config = Config::of_text("compatibility_level = 3.6").unwrap();
        assert!(config.smtputf8_enable && config.smtpd_relay_before_recipient_restrictions);
        assert_eq!(config.smtpd_tls_fingerprint_digest, b"sha256");
        assert_eq!(config.milter_macro_v, b"Postfix 3.7.11");
        assert_eq!(config.smtpd_forbidden_commands, b"CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}");
    }

    #[test]
    fn any_name_can_be_asked_for() {
        let config = Config::of_text("a = $b\nb = $myhostname\nwrong = ${\n").unwrap();
        assert_eq!(config.text(b"a"), Some(b"mail.example".to_vec()));
        assert_eq!(config.text(b"smtpd_timeout"), Some(b"300s".to_vec()));
        assert_eq!(config.text(b"c"), None);
        assert_eq!(config.text(b"wrong"), None);
        assert!(config.is_set("a") && !config.is_set("smtpd_timeout"));
    }

    #[test]
    fn after_the_start_texts_are_forgotten_and_parameters_stay() {
        let config = Config::of_text("a = b\nsmtpd_banner = hello").unwrap();
        config.forget_texts();
        assert_eq!((config.text(b"a"), config.is_set("a")), (None, false));
        assert_eq!(config.smtpd_banner, b"hello");
    }

    #[test]
    fn the_process_is_smtpd() {
        let config = Config::of_text("smtpd_banner = $process_name $service_name").unwrap();
        assert_eq!(config.smtpd_banner, b"smtpd smtp");
        let renamed = "process_name = x\nsmtpd_banner = $process_name\n";
        assert_eq!(Config::of_text(renamed).unwrap().smtpd_banner, b"x");
        let renamed = format!("smtpd_rs_dialect = 3.12\n{renamed}");
        assert_eq!(Config::of_text(&renamed).unwrap().smtpd_banner, b"smtpd");
    }
}
