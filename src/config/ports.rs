//! known_tcp_ports: names of services, and their ports.

use super::Config;
use crate::text::split::{SPACE, words};

/// Names with their ports, both as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct KnownPorts(Vec<(Vec<u8>, Vec<u8>)>);

impl KnownPorts {
    /// Takes what is right from `smtp=25, smtps=submissions=465`, and warns of the rest.
    pub(super) fn parse(text: &[u8]) -> Self {
        let mut ports = Self::default();
        for association in words(text, b",") {
            if let Err(problem) = ports.add(association) {
                warning!("known_tcp_ports: in \"{}\"{}", association, problem);
            }
        }
        ports
    }

    /// The problem has what stands before it in the log.
    fn add(&mut self, association: &[u8]) -> Result<(), &'static str> {
        let mut parts: Vec<&[u8]> = association.split(|byte| *byte == b'=').collect();
        let port = parts.pop().unwrap_or_default();
        if parts.is_empty() {
            return Err(" is not in \"name = value\" form");
        }
        let port = one_word(port)
            .ok_or(": missing port value after \"=\"")?
            .ok_or(": whitespace in port number")?;
        // Names that are right count, even among wrong ones.
        let problems: Vec<_> =
            parts.iter().filter_map(|name| self.add_name(name, port).err()).collect();
        problems.first().map_or(Ok(()), |problem| Err(problem))
    }

    fn add_name(&mut self, name: &[u8], port: &[u8]) -> Result<(), &'static str> {
        let name = one_word(name)
            .ok_or(": missing service name before \"=\"")?
            .ok_or(": whitespace in service name")?;
        if is_number(name) {
            return Err(": numerical service name");
        }
        if !is_number(port) {
            return Err(": non-numerical service port");
        }
        if self.port(name).is_some() {
            return Err(": duplicate service name");
        }
        self.0.push((name.to_vec(), port.to_vec()));
        Ok(())
    }

    fn port(&self, name: &[u8]) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, port)| port.as_slice())
    }
}

/// The only word of `text`: `None` if there is none, `Some(None)` if there are more.
fn one_word(text: &[u8]) -> Option<Option<&[u8]>> {
    let mut words = words(text, SPACE);
    let first = words.next()?;
    Some(words.next().is_none().then_some(first))
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

impl Config {
    /// The port of a service that known_tcp_ports names; other names and numbers as they are.
    pub fn known_port<'a>(&'a self, service: &'a [u8]) -> &'a [u8] {
        self.ports.port(service).unwrap_or(service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log;

    #[test]
    fn services_have_their_ports() {
        let config = Config::of_text("").unwrap();
        assert_eq!(config.known_port(b"submissions"), b"465");
        assert_eq!(config.known_port(b"pop3"), b"pop3");
        assert_eq!(config.known_port(b"25"), b"25");
    }

    #[test]
    fn what_is_wrong_is_told_and_skipped() {
        for (text, problem) in [
            ("smtps == x = 465", ": missing service name before \"=\""),
            ("smtps = x =", ": missing port value after \"=\""),
            ("smtps = 4 65", ": whitespace in port number"),
            ("smtps = foo", ": non-numerical service port"),
            ("sub mission = 465", ": whitespace in service name"),
            ("1234 = 465", ": numerical service name"),
            ("a = 1, a = 2", ": duplicate service name"),
            ("smtps", " is not in \"name = value\" form"),
        ] {
            let (_, records) = log::capture(|| KnownPorts::parse(text.as_bytes()));
            assert_eq!(records.len(), 1, "{text}");
            let record = String::from_utf8(records[0].1.clone()).unwrap();
            assert!(record.ends_with(problem), "{record}");
        }
    }
}
