//! The start of the daemon, gone through without a daemon: options, main.cf, tables, restrictions,
//! TLS. It is the daemon's own code that runs; what it would log is caught and becomes findings.

use std::env;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::rc::Rc;

use super::neighbours::{Keeper, Proxied};
use super::places::{Places, default_in};
use super::report::{Place, Report, Severity};
use crate::config::{Config, Source};
use crate::dns::System;
use crate::log::{self, Fatal, Record};
use crate::restriction::review::DEFERRED;
use crate::service::{Arguments, Transport, refuse_arguments};
use crate::session::Server;
use crate::table::Opener;
use crate::tls::inspect;

/// One service, and what is found in it.
pub(super) struct Examination<'a> {
    pub(super) places: Places<'a>,
    pub(super) report: &'a mut Report,
    /// Whether we may read what master(8) may.
    pub(super) root: bool,
    pub(super) chroot: bool,
}

/// The daemon before its first client.
pub(super) struct Started {
    pub(super) config: Rc<Config>,
    pub(super) server: Rc<Server>,
    /// Tables that proxymap(8) would be asked for.
    pub(super) proxied: Rc<Proxied>,
}

/// So many wrong values are told at once.
const MOST_ERRORS: usize = 100;

impl Examination<'_> {
    pub(super) fn say(&mut self, severity: Severity, place: Option<Place>, text: &[u8]) {
        self.report.add(severity, place, text);
    }

    /// Goes through the start of the daemon; `None` where it would end.
    pub(super) fn start(&mut self, source: &Source) -> Option<Started> {
        let mut arguments = Arguments::parse(self.places.service.command_line(self.chroot));
        let mut source = source.clone();
        let (applied, records) = log::capture(|| arguments.apply(&mut source));
        self.take(records);
        let transport = Transport::of(arguments.transport.as_deref()).map(|_| ());
        for step in [applied, transport, refuse_arguments(&arguments.rest)] {
            if let Err(Fatal(text)) = step {
                let entry = self.places.entry();
                self.say(Severity::Error, Some(entry), &text);
            }
        }
        self.start_with(source)
    }

    /// Where a value ends the daemon, it is told, forgotten, and the next is looked for.
    fn start_with(&mut self, mut source: Source) -> Option<Started> {
        for _ in 0..MOST_ERRORS {
            let Fatal(text) = match self.try_start(source.clone()) {
                Ok(started) => return Some(started),
                Err(fatal) => fatal,
            };
            let found = self.places.of_text(&text);
            let place = found.as_ref().map(|(_, place)| place.clone());
            let name = found.map(|(name, _)| name.to_vec());
            self.say(Severity::Error, place, &text);
            let name = name.filter(|name| source.dictionary.is_set(name))?;
            source.dictionary.unset(&name);
        }
        None
    }

    fn try_start(&mut self, source: Source) -> Result<Started, Fatal> {
        let name = &self.places.service.name;
        let (config, records) = log::capture(|| Config::load(source, name, log::check_prefix));
        self.take(records);
        let config = Rc::new(config?);
        let directory = &config.queue_directory;
        env::set_current_dir(OsStr::from_bytes(directory))
            .map_err(|error| fatal!("chdir(\"{}\"): {}", directory, error))?;
        let proxied = Rc::new(Proxied::default());
        let (server, records) = log::capture(|| {
            let opener = Opener::new(&config);
            let opener = opener.with_proxymap(Rc::<Proxied>::clone(&proxied));
            let server =
                Server::open_beside(&config, opener, Box::new(Keeper), Box::<System>::default())?;
            server.notify_classes()?;
            server.warn_of_space();
            Ok(server)
        });
        let Ok(server) = server else {
            self.take(records);
            return server.map(|server| Started { config, server, proxied });
        };
        self.judge_tls(&server, records);
        self.look_for_program(&config);
        Ok(Started { config, server, proxied })
    }

    /// A service that names us wants us in daemon_directory. The original is Postfix's business.
    fn look_for_program(&mut self, config: &Config) {
        let command = &self.places.service.command;
        if command == b"smtpd" {
            return;
        }
        let path = fill!("{}/{}", config.daemon_directory, command);
        if let Err(error) = std::fs::metadata(OsStr::from_bytes(&path)) {
            let text = fill!("{}: {}: master(8) cannot start it", path, error);
            self.say(Severity::Error, Some(self.places.entry()), &text);
        }
    }

    /// What the daemon would log becomes findings.
    fn take(&mut self, records: Vec<Record>) {
        for (severity, text) in records {
            let severity = match severity {
                log::Severity::Info => continue,
                // Said again, with its place, where restrictions are looked at.
                _ if text.ends_with(DEFERRED.as_bytes()) => continue,
                log::Severity::Warning => Severity::Warning,
                _ => Severity::Error,
            };
            self.take_one(severity, &text, None);
        }
    }

    /// Tells one, at `place` if it names none. Without root's eyes, what cannot be read proves
    /// nothing.
    fn take_one(&mut self, severity: Severity, text: &[u8], place: Option<Place>) -> Option<Place> {
        let unseen = is_denied(text) && !self.root;
        let (named, text) = located(text);
        let place = place.or(named).or_else(|| self.places.of_text(text).map(|(_, place)| place));
        let default = if place.is_none() { default_in(text) } else { None };
        let text = match default {
            _ if unseen => fill!("cannot be seen without root: {}", text),
            Some(name) => fill!("{} (the default of {})", text, name),
            None => text.to_vec(),
        };
        self.say(if unseen { Severity::Note } else { severity }, place.clone(), &text);
        place
    }

    /// Where TLS would not be offered though main.cf asks for it, all that the log says of it is
    /// an error.
    fn judge_tls(&mut self, server: &Server, records: Vec<Record>) {
        let (ready, more) = log::capture(|| server.has_tls());
        // Said again, with its place, where certificates are looked at.
        let again = |(_, text): &Record| text.starts_with(inspect::OWN_CERTIFICATE.as_bytes());
        let records: Vec<Record> =
            records.into_iter().chain(more).filter(|record| !again(record)).collect();
        if !server.switches.use_tls || ready {
            self.take(records);
            return self.judge_ciphers(server);
        }
        let (about_tls, others): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|(_, text)| is_about_tls(text));
        self.take(others);
        let unseen = !self.root && about_tls.iter().any(|(_, text)| is_denied(text));
        let severity = if unseen { Severity::Note } else { Severity::Error };
        let mut last = None;
        for (_, text) in &about_tls {
            // What the library says belongs to what was said before.
            let before = last.take().filter(|_| text.starts_with(b"TLS library problem"));
            last = self.take_one(severity, text, before);
        }
        if !unseen {
            let names = [&b"smtpd_tls_security_level"[..], b"smtpd_tls_wrappermode"];
            let place = names.iter().find_map(|name| self.places.of(name));
            let end: &str = if server.switches.wrapper {
                "no client is served"
            } else {
                "STARTTLS is answered with 454"
            };
            let text = fill!("TLS is asked for and cannot be had: {}", end);
            self.say(Severity::Error, place, &text);
        }
    }

    /// A wrong cipher list is logged only when clients shake hands.
    fn judge_ciphers(&mut self, server: &Server) {
        let Some(tls) = &server.tls else { return };
        let (good, records) = log::capture(|| tls.try_ciphers());
        if good {
            return;
        }
        let names: [&[u8]; 2] = if server.switches.enforce_tls {
            [b"smtpd_tls_mandatory_ciphers", b"smtpd_tls_mandatory_exclude_ciphers"]
        } else {
            [b"smtpd_tls_ciphers", b"smtpd_tls_exclude_ciphers"]
        };
        let place = names.iter().find_map(|name| self.places.of(name));
        for (_, text) in records {
            self.say(Severity::Error, place.clone(), &text);
        }
        self.say(Severity::Error, place, b"TLS is offered, and no handshake succeeds");
    }
}

fn is_denied(text: &[u8]) -> bool {
    memchr::memmem::find(text, b"ermission denied").is_some()
}

/// Words in what the log says when TLS cannot be had.
const OF_TLS: &[&[u8]] = &[b"TLS", b"cert", b"chain", b"PEM", b" key ", b"cipher", b"CAfile"];

fn is_about_tls(text: &[u8]) -> bool {
    OF_TLS.iter().any(|word| memchr::memmem::find(text, word).is_some())
}

/// The place that a text of the log begins with, and what it says of it.
pub(super) fn located(text: &[u8]) -> (Option<Place>, &[u8]) {
    line_in_file(text).map_or((None, text), |(place, rest)| (Some(place), rest))
}

/// `/file, line 7: text`
fn line_in_file(text: &[u8]) -> Option<(Place, &[u8])> {
    const MARK: &[u8] = b", line ";
    let at = memchr::memmem::find(text, MARK)?;
    let (file, rest) = (&text[..at], &text[at + MARK.len()..]);
    let colon = memchr::memchr(b':', rest)?;
    let line = std::str::from_utf8(&rest[..colon]).ok()?.parse().ok()?;
    // The file may stand behind other words.
    let file = file.rsplit(|byte| *byte == b' ').next().filter(|file| file.starts_with(b"/"))?;
    let place = Place { file: file.to_vec(), line: Some(line) };
    Some((place, rest[colon + 1..].trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_texts_name_a_line_of_a_file() {
        let (place, text) = line_in_file(b"/etc/x, line 7: bad: y").unwrap();
        assert_eq!(place, Place { file: b"/etc/x".to_vec(), line: Some(7) });
        assert_eq!(text, b"bad: y");
        let (place, _) = line_in_file(b"cidr map /etc/x, line 7: y").unwrap();
        assert_eq!(place.file, b"/etc/x");
        assert!(line_in_file(b"open /etc/x: No such file").is_none());
    }
}
