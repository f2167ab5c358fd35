//! Scanners of TLS servers: what they find at ours is not worse than at the installed smtpd with the
//! same settings. That is held by being the same, line by line, but for what `KNOWN` allows.
//!
//! ```text
//! cargo test --test scanners [-- NAME…]
//! ```
//!
//! It needs what the tests beside the original need, and says which scanners are not there. Those that
//! take minutes run with `make scan` only (`SMTPD_RS_SCAN=all`).

mod support;

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use support::compare;
use support::inside::{self, say};
use support::programs::{are_there, shell};
use support::transcript::Transcript;
use support::world::{self, Side, World};

/// Settings to be scanned, and whether TLS begins at once.
struct Setting {
    name: &'static str,
    text: &'static str,
    wrapper: bool,
}

const SETTINGS: &[Setting] = &[
    Setting { name: "defaults", text: "main.cf: smtpd_tls_security_level = may\n", wrapper: false },
    // As open as they can be set.
    Setting {
        name: "old",
        text: "main.cf: smtpd_tls_security_level = may\n\
               main.cf: smtpd_tls_protocols = >=TLSv1\n\
               main.cf: smtpd_tls_ciphers = low\n\
               main.cf: tls_low_cipherlist = ALL:@SECLEVEL=0\n\
               main.cf: smtpd_tls_eccert_file = @tls@/server-ec.pem\n\
               main.cf: smtpd_tls_eckey_file = @tls@/server-ec.key\n",
        wrapper: false,
    },
    // As closed as people set them.
    Setting {
        name: "strict",
        text: "main.cf: smtpd_tls_security_level = encrypt\n\
               main.cf: smtpd_tls_mandatory_protocols = >=TLSv1.2\n\
               main.cf: smtpd_tls_mandatory_ciphers = high\n\
               main.cf: smtpd_tls_mandatory_exclude_ciphers = aNULL, SHA1, kRSA, DHE\n\
               main.cf: tls_preempt_cipherlist = yes\n\
               main.cf: tls_ssl_options = NO_RENEGOTIATION, NO_TICKET\n\
               main.cf: smtpd_tls_ask_ccert = yes\n",
        wrapper: false,
    },
    Setting {
        name: "asked",
        text: "main.cf: smtpd_tls_security_level = may\n\
               main.cf: smtpd_tls_ask_ccert = yes\n",
        wrapper: false,
    },
    Setting { name: "wrapper", text: "main.cf: smtpd_tls_wrappermode = yes\n", wrapper: true },
];

/// The server's certificate, for all.
const COMMON: &str = "\
main.cf: smtpd_tls_cert_file = @tls@/server.pem
main.cf: smtpd_tls_key_file = @tls@/server.key
main.cf: smtpd_tls_CAfile = @tls@/ca.pem
S:
";

/// A scanner: what must be there, what the shell runs, and what it says that counts.
///
/// `@starttls@` stands for one of two texts, by STARTTLS and by TLS at once, `@dir@` is a directory of its own.
struct Scanner {
    name: &'static str,
    needs: &'static str,
    slow: bool,
    /// The settings that it scans.
    settings: &'static [&'static str],
    starttls: [&'static str; 2],
    run: &'static str,
    finding: fn(&str) -> Option<String>,
    /// A scan that says less has not worked.
    least: usize,
}

static SCANNERS: &[Scanner] = &[
    Scanner {
        name: "sslscan",
        needs: "sslscan",
        slow: false,
        settings: ALL,
        starttls: ["--starttls-smtp", ""],
        run: "sslscan --no-colour --show-sigs --show-client-cas --ocsp @starttls@ @at@",
        finding: every_line,
        least: 20,
    },
    Scanner {
        name: "testssl",
        needs: "testssl",
        slow: true,
        settings: &["defaults", "strict"],
        starttls: ["--starttls smtp", ""],
        run: "testssl --quiet --color 0 --warnings off --nodns none --openssl-timeout 20 \
              -p -s -P -S -H -I -T -BB -R -C -Z -O -F -D -J \
              --csvfile @dir@/found.csv @starttls@ @at@ >/dev/null; cat @dir@/found.csv",
        finding: of_testssl,
        least: 60,
    },
    Scanner {
        name: "sslyze",
        needs: "target:tmp/scanners/bin/sslyze",
        slow: true,
        settings: ALL,
        starttls: ["--starttls smtp", ""],
        run: "@target@/tmp/scanners/bin/sslyze --mozilla_config disable --sslv2 --sslv3 --tlsv1 \
              --tlsv1_1 --tlsv1_2 --tlsv1_3 --reneg --resum --compression --heartbleed --openssl_ccs \
              --fallback --robot --early_data --elliptic_curves --ems @starttls@ @at@",
        finding: of_sslyze,
        least: 40,
    },
    Scanner {
        name: "tlsfuzzer",
        needs: "target:tmp/scanners/bin/python target:tmp/tlsfuzzer/scripts",
        slow: true,
        settings: &["defaults", "asked"],
        starttls: ["", ""],
        run: "sh @scripts@/tlsfuzzer.sh @target@/tmp/scanners/bin/python @target@/tmp/tlsfuzzer @host@ @port@ \
              @setting@ @tls@",
        finding: every_line,
        least: 8,
    },
];

const ALL: &[&str] = &["defaults", "old", "strict", "wrapper"];

fn every_line(line: &str) -> Option<String> {
    Some(line.trim_end().to_owned())
}

/// Without when, where and how long; and without session resumption, of which testssl.sh says `check
/// failed` now and then, at either side (sslyze looks at it too).
fn of_testssl(line: &str) -> Option<String> {
    let fields: Vec<&str> = line.split("\",\"").collect();
    let [id, _, _, severity, finding, ..] = fields[..] else { return None };
    let id = id.trim_start_matches('"');
    let counts = !["scanTime", "id", "engine_problem"].contains(&id)
        && !id.contains("Time")
        && !id.starts_with("sessionresumption");
    counts.then(|| format!("{id}: {severity}: {finding}"))
}

fn of_sslyze(line: &str) -> Option<String> {
    // The rule below that is as long as its time.
    let counts = !line.contains("SCANS COMPLETED IN") && !line.trim().trim_matches('-').is_empty();
    counts.then(|| line.trim_end().to_owned())
}

/// Where ours is better, or merely other, than the original: scanner, part of its line, reason.
const KNOWN: &[(&str, &str, &str)] = &[];

fn main() -> ExitCode {
    let result = if inside::is_inside() { scan_all() } else { inside::go("scanners") };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("scanners: {error}\n0 passed, 1 failed"));
            ExitCode::FAILURE
        }
    }
}

/// One scanner at one setting.
struct Scan {
    scanner: &'static Scanner,
    setting: &'static Setting,
    at: usize,
}

fn scans() -> (Vec<Scan>, usize) {
    let wanted: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word));
    let slow_too = env::var_os("SMTPD_RS_SCAN").is_some();
    let (mut scans, mut missing) = (Vec::new(), 0);
    for scanner in SCANNERS.iter().filter(|one| wants(one.name) && (slow_too || !one.slow)) {
        if !scanner.is_there() {
            say(&format!("skipped {}: there is no {}", scanner.name, scanner.needs));
            missing += usize::from(env::var_os("CI").is_some() && !scanner.slow);
            continue;
        }
        let settings = SETTINGS.iter().enumerate();
        let own = settings.filter(|(_, setting)| scanner.settings.contains(&setting.name));
        scans.extend(own.map(|(at, setting)| Scan { scanner, setting, at }));
    }
    (scans, missing)
}

fn scan_all() -> Result<bool, Box<dyn Error>> {
    let release = inside::installed("mail_version")?;
    if !release.starts_with("3.7.") {
        say(&format!("scanners: skipped, since Postfix {release} is installed"));
        return Ok(true);
    }
    world::enter().map_err(|error| error.to_string())?;
    let (scans, mut failed) = scans();
    let listeners = SETTINGS.iter().map(|setting| {
        let text = format!("{}{COMMON}", setting.text);
        Transcript::parse(setting.name, &text).map_err(|bad| bad.to_string())
    });
    let listeners: Vec<Transcript> = listeners.collect::<Result<_, _>>()?;
    let binaries = inside::binaries(false)?;
    let world = World::start(&listeners, &binaries).map_err(|error| error.to_string())?;
    let mut passed = 0;
    for (scan, complaints) in scans.iter().zip(judge_all(&scans, &world, &listeners)) {
        passed += usize::from(complaints.is_empty());
        if !complaints.is_empty() {
            failed += 1;
            say(&format!("FAILED  {} of {}", scan.scanner.name, scan.setting.name));
            complaints.iter().for_each(|line| say(&format!("        {line}")));
        }
    }
    say(&format!("{passed} passed, {failed} failed"));
    Ok(failed == 0)
}

/// The complaints about each; two are made at a time.
fn judge_all(scans: &[Scan], world: &World, listeners: &[Transcript]) -> Vec<Vec<String>> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Vec<String>>> = scans.iter().map(|_| Mutex::default()).collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(scan) = scans.get(at) else { return };
                    let complaints = scan.judge(world, &listeners[scan.at]);
                    let complaints = complaints.unwrap_or_else(|error| vec![error.to_string()]);
                    *results[at].lock().unwrap_or_else(PoisonError::into_inner) = complaints;
                }
            });
        }
    });
    let inner = |result: Mutex<_>| result.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_iter().map(inner).collect()
}

impl Scanner {
    fn is_there(&self) -> bool {
        self.needs.split(' ').all(|what| match what.strip_prefix("target:") {
            Some(path) => root().join("target").join(path).exists(),
            None => are_there(what),
        })
    }
}

/// What `tlsfuzzer.sh` says of a script that said nothing itself.
const UNFINISHED: &str = " ended before it was done";

impl Scan {
    fn judge(&self, world: &World, listener: &Transcript) -> Result<Vec<String>, Box<dyn Error>> {
        let theirs = self.run(world, listener, Side::Theirs)?;
        let ours = self.run(world, listener, Side::Ours)?;
        let mut complaints = compare::difference(&theirs, &ours);
        for (whose, lines) in [("theirs", &theirs), ("ours", &ours)] {
            let says_something = |line: &&String| !line.ends_with(UNFINISHED);
            if lines.iter().filter(says_something).count() < self.scanner.least {
                complaints.push(format!("of {whose} it says next to nothing:"));
                complaints.extend(lines.iter().take(20).cloned());
            }
        }
        Ok(complaints)
    }

    /// What the scanner finds.
    fn run(
        &self,
        world: &World,
        listener: &Transcript,
        side: Side,
    ) -> Result<Vec<String>, Box<dyn Error>> {
        let session = listener.sessions.first().ok_or("no session")?;
        let (_, server) = world.addresses(self.at, side, session);
        let dir = world.path("files").join(format!("{}-{}-{side:?}", self.scanner.name, self.at));
        fs::create_dir_all(&dir)?;
        let command = self
            .scanner
            .run
            .replace("@starttls@", self.scanner.starttls[usize::from(self.setting.wrapper)])
            .replace("@at@", &server.to_string())
            .replace("@host@", &server.ip().to_string())
            .replace("@port@", &server.port().to_string())
            .replace("@dir@", &dir.display().to_string())
            .replace("@setting@", self.setting.name)
            .replace("@tls@", &world.path("tls").display().to_string())
            .replace("@target@", &root().join("target").display().to_string())
            .replace("@scripts@", &root().join("tests/scanners").display().to_string());
        let (_, said) = shell(&command)?;
        let port = server.port().to_string();
        let own = |line: &String| {
            let known = |(scanner, part, _): &&(&str, &str, &str)| {
                *scanner == self.scanner.name && line.contains(part)
            };
            let line = (self.scanner.finding)(line)?;
            KNOWN.iter().all(|one| !known(&one)).then(|| line.replace(&port, "PORT"))
        };
        Ok(said.iter().filter_map(own).collect())
    }
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}
