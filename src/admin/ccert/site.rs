//! main.cf and the services of master.cf, as far as client certificates are concerned.

use std::path::Path;

use super::super::{Trouble, check};
use super::users::Users;
use crate::config::{Config, Source};
use crate::log;
use crate::text::split::{COMMA_SPACE, words_braced};
use crate::tls::{Switches, inspect};

/// What is configured.
pub(super) struct Site {
    /// main.cf alone.
    pub(super) main: Service,
    pub(super) services: Vec<Service>,
    /// Why others cannot start.
    pub(super) broken: Vec<String>,
}

/// A service of master.cf, with its own `-o`.
pub(super) struct Service {
    name: Vec<u8>,
    /// `submission/inet`
    pub(super) title: String,
    pub(super) config: Config,
    switches: Switches,
}

/// Where clients send mail to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outgoing {
    pub(super) port: u16,
    /// TLS comes before the greeting.
    pub(super) wrapper: bool,
}

impl Site {
    /// Reads both files in `directory`.
    pub(super) fn read(directory: &Path) -> Result<Self, Trouble> {
        let directory = std::path::absolute(directory)?;
        let source = Source::read(&directory).map_err(failed)?;
        let (services, _) = log::capture(|| check::services(&directory, &source));
        let (mut whole, mut broken) = (Vec::new(), Vec::new());
        for service in services {
            match Service::load(service) {
                Ok(service) => whole.push(service),
                Err(trouble) => broken.push(trouble.to_string()),
            }
        }
        let main = check::Own { name: b"smtpd".to_vec(), title: "main.cf".to_owned(), source };
        Ok(Self { main: Service::load(main)?, services: whole, broken })
    }

    /// `type:file`, or the table that the services have; and what counts for one that has it.
    pub(super) fn table(&self, wanted: Option<&str>) -> Result<(Users, &Config), Trouble> {
        match wanted {
            Some(wanted) => self.wanted_table(wanted),
            None => self.own_table(),
        }
    }

    fn wanted_table(&self, wanted: &str) -> Result<(Users, &Config), Trouble> {
        let none = || {
            Trouble::Failed(format!(
                "\"{wanted}\" is no table that can be edited ({})",
                Users::kinds()
            ))
        };
        let users = Users::first_of(wanted.as_bytes(), &self.main.config).ok_or_else(none)?;
        let has = |config: &Config| maps(config).any(|spec| spec == wanted.as_bytes());
        let of_service = self.in_use().into_iter().find(|service| has(&service.config));
        Ok((users, &of_service.unwrap_or(&self.main).config))
    }

    fn own_table(&self) -> Result<(Users, &Config), Trouble> {
        let mut found: Vec<(Users, &Service)> = Vec::new();
        for service in self.in_use() {
            let Some(users) =
                Users::first_of(&service.config.smtpd_tls_ccert_user_maps, &service.config)
            else {
                continue;
            };
            if found.iter().all(|(other, _)| *other != users) {
                found.push((users, service));
            }
        }
        match found.as_slice() {
            [] => self.table_of_main(),
            [(users, service)] => Ok((users.clone(), &service.config)),
            several => {
                let each = |(users, service): &(Users, &Service)| {
                    format!("{} has {}", service.title, users.name())
                };
                let each = several.iter().map(each).collect::<Vec<_>>().join(", ");
                Err(Trouble::Failed(format!("{each}: say which with --table TYPE:FILE")))
            }
        }
    }

    fn table_of_main(&self) -> Result<(Users, &Config), Trouble> {
        let none = || {
            Trouble::Failed(format!(
                "smtpd_tls_ccert_user_maps names no table that can be edited ({}); name one with \
                 --table",
                Users::kinds()
            ))
        };
        let users = Users::first_of(&self.main.config.smtpd_tls_ccert_user_maps, &self.main.config);
        Ok((users.ok_or_else(none)?, &self.main.config))
    }

    /// The services with a table of users: those that ask for certificates, else all.
    pub(super) fn in_use(&self) -> Vec<&Service> {
        let with_table = |service: &&Service| maps(&service.config).next().is_some();
        let all: Vec<_> = self.services.iter().filter(with_table).collect();
        let asking: Vec<_> = all.iter().copied().filter(|service| service.asks()).collect();
        if asking.is_empty() { all } else { asking }
    }

    /// Those whom settings are for: without master.cf, main.cf alone.
    pub(super) fn all(&self) -> Vec<&Service> {
        if self.services.is_empty() { vec![&self.main] } else { self.services.iter().collect() }
    }

    /// What clients are to be told: 587 if there is one, else a port with TLS from the start.
    pub(super) fn outgoing(&self) -> Outgoing {
        let of = |service: &&Service| {
            let wrapper = service.switches.wrapper;
            Some(Outgoing { port: port(&service.name)?, wrapper })
        };
        let order = |outgoing: &Outgoing| match outgoing {
            Outgoing { port: 587, wrapper: false } => 0,
            Outgoing { wrapper: true, .. } => 1,
            Outgoing { port: 25, .. } => 3,
            Outgoing { .. } => 2,
        };
        let best = self.in_use().iter().filter_map(of).min_by_key(order);
        best.unwrap_or(Outgoing { port: 587, wrapper: false })
    }
}

impl Service {
    fn load(own: check::Own) -> Result<Self, Trouble> {
        let title = own.title;
        let wrong = |fatal| match failed(fatal) {
            Trouble::Failed(text) if title.contains('/') => {
                Trouble::Failed(format!("{title}: {text}"))
            }
            other => other,
        };
        let config = load_quietly(own.source, &own.name).map_err(wrong)?;
        let (switches, _) = log::capture(|| Switches::of(&config));
        let switches = switches.map_err(wrong)?;
        Ok(Self { name: own.name, title, config, switches })
    }

    /// Whether its table of users is its own, not that of main.cf.
    pub(super) fn has_own_table(&self, main: &Self) -> bool {
        self.config.smtpd_tls_ccert_user_maps != main.config.smtpd_tls_ccert_user_maps
    }

    /// Whether clients are asked for certificates.
    pub(super) fn asks(&self) -> bool {
        inspect::asks_for_certificates(&self.config, &self.switches)
    }
}

/// The tables of users, as main.cf writes them.
pub(super) fn maps(config: &Config) -> impl Iterator<Item = &[u8]> {
    words_braced(&config.smtpd_tls_ccert_user_maps, COMMA_SPACE)
}

/// `587`, `submission`, `192.0.2.1:submission`.
fn port(name: &[u8]) -> Option<u16> {
    let last = name.rsplit(|byte| *byte == b':').next().unwrap_or_default();
    match last {
        b"smtp" => Some(25),
        b"submission" => Some(587),
        b"smtps" | b"submissions" | b"urd" => Some(465),
        number => std::str::from_utf8(number).ok()?.parse().ok(),
    }
}

fn load_quietly(source: Source, name: &[u8]) -> Result<Config, log::Fatal> {
    let (config, _) = log::capture(|| Config::load(source, name, |_| Ok(())));
    config
}

fn failed(fatal: log::Fatal) -> Trouble {
    Trouble::Failed(String::from_utf8_lossy(&fatal.0).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_have_ports() {
        for (name, wanted) in
            [("submission", 587), ("[::1]:smtps", 465), ("127.0.0.1:2525", 2525), ("smtp", 25)]
        {
            assert_eq!(port(name.as_bytes()), Some(wanted), "{name}");
        }
        assert_eq!(port(b"public/smtpd"), None);
    }
}
