//! main.cf: the file, its language, THE TABLE of parameters.
#![forbid(unsafe_code)]

pub mod kinds;
pub mod parameters;

use std::net::IpAddr;
use std::ops::Deref;

pub use parameters::Parameters;

/// The configuration of this process. The parameters are its fields: `config.smtpd_timeout`.
#[derive(Debug, Clone)]
pub struct Config {
    parameters: Parameters,
    /// The service field of master.cf (`-n`), as `smtp` or `127.0.0.1:2525`.
    pub service_name: Vec<u8>,
    /// Directory of main.cf.
    pub config_directory: Vec<u8>,
    /// Our own addresses (inet_interfaces).
    pub own_addresses: Vec<IpAddr>,
    /// Whether IPv4 is enabled (inet_protocols).
    pub ipv4: bool,
    /// Whether IPv6 is enabled (inet_protocols).
    pub ipv6: bool,
    /// User and group ids of mail_owner.
    pub owner: (u32, u32),
    /// `sendmail -bs`: standard input, and not mail_owner.
    pub stand_alone: bool,
}

impl Deref for Config {
    type Target = Parameters;

    fn deref(&self) -> &Parameters {
        &self.parameters
    }
}

impl Config {
    /// The evaluated text of any name in main.cf, such as that of a restriction class.
    pub fn text(&self, name: &[u8]) -> Option<Vec<u8>> {
        let _ = name;
        None
    }

    /// Whether main.cf or `-o` sets the parameter (compatibility_level).
    pub fn is_set(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// A configuration from texts, for tests: `name = value` lines as in main.cf.
    pub fn of_text(main_cf: &str) -> Result<Self, crate::log::Fatal> {
        let _ = main_cf;
        Err(crate::log::Fatal(b"no".to_vec()))
    }
}
