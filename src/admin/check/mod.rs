//! `smtpd-rs check`: what a client would meet first, told before it comes.
//!
//! For each service of master.cf whose command is smtpd or smtpd-rs, the start of the daemon is
//! gone through with the daemon's own code ([`start`]), and what comes of it is looked at:
//! restrictions, certificates, names of parameters, the jail, the other services. Nothing is
//! changed, no client and no other program of Postfix but postconf(1) is asked.

mod certificates;
mod indexes;
mod jail;
mod master_cf;
mod names;
mod neighbours;
mod places;
mod report;
mod restrictions;
mod start;

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use lexopt::ValueExt as _;

use self::master_cf::{Malformed, Service};
use self::places::{Places, Text};
use self::report::{Place, Report, Severity};
use self::start::Examination;
use super::{Trouble, need_openssl, print};
use crate::config::Source;
use crate::config::compat::Level;
use crate::log::{self, Fatal};
use crate::sys::process;
use crate::sys::start::ExitCode;

/// What `--help` prints.
pub(super) const HELP: &str = "\
usage: smtpd-rs check [-c DIR] [--service NAME] [--days N] [--json]

Looks at main.cf and at the services of master.cf whose command is smtpd or
smtpd-rs, each with its own -o, and says what is wrong, a line each:

    main.cf:12: error: smtp/inet: bad boolean configuration: ...

error: a client would meet it. warning: probably not meant. note: good to know.
Nothing is changed. As another user than root, less can be seen.

    -c DIR          the directory of main.cf (else $MAIL_CONFIG, /etc/postfix)
    --service NAME  only this service, as smtp or smtp/inet; may be repeated
    --days N        warn of certificates that expire within N days (21)
    --json          for programs

Exit status: 0 without errors, 1 with, 64 for wrong usage.
";

struct Options {
    directory: PathBuf,
    services: Vec<OsString>,
    days: u32,
    json: bool,
}

impl Options {
    fn parse(words: &mut lexopt::Parser) -> Result<Self, Trouble> {
        use lexopt::Arg::{Long, Short};
        let directory = env::var_os("MAIL_CONFIG").map_or("/etc/postfix".into(), PathBuf::from);
        let mut options = Self { directory, services: Vec::new(), days: 21, json: false };
        while let Some(word) = words.next()? {
            match word {
                Short('c') | Long("config") => options.directory = words.value()?.into(),
                Long("service") => options.services.push(words.value()?),
                Long("days") => options.days = words.value()?.parse()?,
                Long("json") => options.json = true,
                Short('h') | Long("help") => return Err(Trouble::Help),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }

    /// Whether a service is among those asked for.
    fn wants(&self, service: &Service) -> bool {
        let title = service.title();
        let named = |wanted: &OsString| {
            wanted.as_bytes() == service.name || wanted.as_bytes() == title.as_bytes()
        };
        service.is_smtpd() && (self.services.is_empty() || self.services.iter().any(named))
    }
}

/// A service that is ours, and what main.cf and its own `-o` say together.
pub(super) struct Own {
    /// The first field of its entry.
    pub(super) name: Vec<u8>,
    /// `smtp/inet`
    pub(super) title: String,
    pub(super) source: Source,
}

/// The services of master.cf whose command is smtpd or smtpd-rs; none where there is no master.cf.
pub(super) fn services(directory: &std::path::Path, main_cf: &Source) -> Vec<Own> {
    let Ok(text) = std::fs::read(directory.join("master.cf")) else { return Vec::new() };
    let services = master_cf::entries(&text).into_iter().filter_map(Result::ok);
    let own = services.filter(Service::is_smtpd).map(|service| {
        let mut source = main_cf.clone();
        for setting in &service.settings {
            source.dictionary.set(&setting.name, &setting.value);
        }
        Own { title: service.title(), name: service.name, source }
    });
    own.collect()
}

/// Runs the verb.
pub(super) fn check(words: &mut lexopt::Parser) -> Result<ExitCode, Trouble> {
    let options = Options::parse(words)?;
    need_openssl()?;
    // master(8) starts its daemons with an absolute one, and we go elsewhere.
    let directory = std::path::absolute(&options.directory)?;
    let mut report = Report::default();
    examine(&options, &directory, &mut report);
    let name = directory.as_os_str().as_bytes();
    let text = if options.json { report.for_programs(name) } else { report.for_people(name) };
    let printed = print(&text);
    Ok(if report.is_good() { printed } else { ExitCode::FAILURE })
}

fn examine(options: &Options, directory: &std::path::Path, report: &mut Report) {
    let root = process::user() == 0;
    if !root {
        report.add(Severity::Note, None, b"not root: keys and other closed files cannot be seen");
    }
    let read = |name: &str| read(&directory.join(name));
    let (main_cf, master_cf) = match (read("main.cf"), read("master.cf")) {
        (Ok(main_cf), Ok(master_cf)) => (main_cf, master_cf),
        (Err(Fatal(text)), _) | (_, Err(Fatal(text))) => {
            return report.add(Severity::Error, None, &text);
        }
    };
    let (source, records) = log::capture(|| Source::read(directory));
    for (_, text) in records {
        let (place, text) = start::located(&text);
        report.add(Severity::Warning, place, text);
    }
    let source = match source {
        Ok(source) => source,
        Err(Fatal(text)) => {
            let (place, text) = start::located(&text);
            return report.add(Severity::Error, place, text);
        }
    };
    let entries = entries(&master_cf, report);
    let settings = places::settings(&main_cf.bytes);
    let places =
        |service| Places { main_cf: &main_cf, master_cf: &master_cf, settings: &settings, service };
    let services: Vec<&Service> = entries.iter().filter(|entry| options.wants(entry)).collect();
    complain_of_absent(options, &services, &master_cf, report);
    let chrooted = chrooted_by_default(&source);
    for service in &services {
        report.begin(service.title());
        let chroot = service.is_chrooted(chrooted);
        let mut examination = Examination { places: places(service), report, root, chroot };
        examination.all(&source, &entries, options.days);
        report.end();
    }
    let all: Vec<Places<'_>> = services.into_iter().map(places).collect();
    names::look_for_unknown(report, &all, directory.as_os_str().as_bytes());
}

impl Examination<'_> {
    fn all(&mut self, source: &Source, entries: &[Service], days: u32) {
        if let Some(started) = self.start(source) {
            self.look_at_restrictions(&started);
            self.look_at_certificates(&started, days);
            self.look_at_clients(&started);
            self.look_at_indexes(&started);
            self.look_into_jail(&started);
            self.look_for_neighbours(&started, entries);
            self.look_at_proxied(&started);
        }
        self.look_at_parameters();
    }
}

fn read(path: &std::path::Path) -> Result<Text, Fatal> {
    let name = path.as_os_str().as_bytes();
    let bytes = std::fs::read(path).map_err(|error| fatal!("open {}: {}", name, error))?;
    Ok(Text { path: name.to_vec(), bytes })
}

/// The entries of master.cf; tells of those that master(8) would not take.
fn entries(master_cf: &Text, report: &mut Report) -> Vec<Service> {
    let mut entries = Vec::new();
    for entry in master_cf::entries(&master_cf.bytes) {
        match entry {
            Ok(service) => entries.push(service),
            Err(Malformed { line, text }) => {
                report.add(Severity::Error, Some(master_cf.place(line)), &text);
            }
        }
    }
    entries
}

/// What was asked for and is not there.
fn complain_of_absent(
    options: &Options,
    services: &[&Service],
    master_cf: &Text,
    report: &mut Report,
) {
    let place = || Some(Place { file: master_cf.path.clone(), line: None });
    for wanted in &options.services {
        let one = Options { services: vec![wanted.clone()], directory: PathBuf::new(), ..*options };
        if !services.iter().any(|service| one.wants(service)) {
            let text = fill!("no service {} with the command smtpd or smtpd-rs", wanted.as_bytes());
            report.add(Severity::Error, place(), &text);
        }
    }
    if options.services.is_empty() && services.is_empty() {
        let text = b"no service has the command smtpd or smtpd-rs";
        report.add(Severity::Warning, place(), text);
    }
}

/// What `-` in the chroot field means (compatibility_level).
fn chrooted_by_default(source: &Source) -> bool {
    let level = source.dictionary.evaluated(b"compatibility_level").ok().flatten();
    let level = level.and_then(|level| Level::parse(&level).ok()).unwrap_or_default();
    Level::parse(b"1").is_ok_and(|first| level < first)
}
