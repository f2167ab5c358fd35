//! Other people's programs that show a client certificate: to the installed smtpd and to ours, which
//! must then say, log and queue the same; and to ours alone, where certificates have users and
//! `AUTH EXTERNAL`.
//!
//! ```text
//! cargo test --test certificate_clients [-- NAME…]
//! ```
//!
//! It needs what the tests beside the original need, and says which programs are not there. With
//! `CI` set, all must be there, but for Exim, which may not be had.

mod support;

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use support::inside::{self, say};
use support::programs::{self, Run, are_there};
use support::transcript::Transcript;
use support::world::{self, Side, World};

/// The settings of all listeners.
const COMMON: &str = "\
main.cf: smtpd_tls_security_level = may
main.cf: smtpd_tls_cert_file = @tls@/server.pem
main.cf: smtpd_tls_key_file = @tls@/server.key
main.cf: smtpd_tls_CAfile = @tls@/ca.pem
main.cf: smtpd_tls_ask_ccert = yes
main.cf: smtpd_tls_received_header = yes
main.cf: smtpd_tls_loglevel = 1
";
/// What Postfix has: a list of fingerprints.
const FINGERPRINTS: &str = "\
main.cf: relay_clientcerts = texthash:@tls@/relay_clientcerts
main.cf: smtpd_relay_restrictions = permit_tls_clientcerts, reject_unauth_destination
";
/// A certificate is somebody's.
const USERS: &str = "\
main.cf: smtpd_tls_ccert_user_maps = texthash:@files@/users
main.cf: smtpd_tls_ccert_hints = yes
main.cf: smtpd_sasl_authenticated_header = yes
main.cf: smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
file: users
| @pubkey.listed@ user=alice, device=phone
";
const WRAPPER: &str = "main.cf: smtpd_tls_wrappermode = yes\n";
const ONLY_AUTH: &str = "main.cf: smtpd_tls_ccert_authenticates = no\n";

/// What a client does, with which certificate, and what is to come of it.
struct Case {
    name: &'static str,
    settings: &'static [&'static str],
    certificate: &'static str,
    how: How,
    /// Both sides; else ours alone.
    both: bool,
    messages: usize,
    /// What stands in our log.
    log: &'static [&'static str],
    /// What does not.
    never: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    StartTls,
    Wrapper,
    Auth,
}

const RELAYED: &[&str] = &["Trusted TLS connection established from", ": client="];
const DENIED: &[&str] = &["Trusted TLS connection established from", "Relay access denied"];
const LOGGED_IN: &[&str] = &[
    "client certificate of user alice, device \"phone\", key fingerprint=@pubkey.listed@",
    ", sasl_method=EXTERNAL, sasl_username=alice",
];
const UNKNOWN: &[&str] = &["unknown client certificate, key SHA-256 fingerprint=@pubkey.unlisted@"];

const fn case(name: &'static str, how: How, certificate: &'static str) -> Case {
    Case {
        name,
        settings: &[FINGERPRINTS],
        certificate,
        how,
        both: true,
        messages: 1,
        log: RELAYED,
        never: &["sasl_"],
    }
}

/// Every case; each client plays those that it can.
static CASES: &[Case] = &[
    case("listed", How::StartTls, "listed"),
    case("listed_wrappermode", How::Wrapper, "listed").with(&[FINGERPRINTS, WRAPPER]),
    case("unlisted", How::StartTls, "unlisted").refused(DENIED).nobody(),
    case("user", How::StartTls, "listed").with(&[USERS]).ours(LOGGED_IN),
    case("user_wrappermode", How::Wrapper, "listed").with(&[USERS, WRAPPER]).ours(LOGGED_IN),
    case("user_unlisted", How::StartTls, "unlisted")
        .with(&[USERS])
        .ours(&[])
        .refused(UNKNOWN)
        .nobody(),
    // Here it is AUTH that lets it in.
    case("auth", How::Auth, "listed").with(&[USERS, ONLY_AUTH]).ours(LOGGED_IN),
    case("auth_not_used", How::StartTls, "listed")
        .with(&[USERS, ONLY_AUTH])
        .ours(&[])
        .refused(&["client certificate of user alice", "Relay access denied"]),
    // EXTERNAL is not announced to it.
    case("auth_unlisted", How::Auth, "unlisted")
        .with(&[USERS, ONLY_AUTH])
        .ours(&[])
        .refused(UNKNOWN)
        .nobody(),
];

impl Case {
    const fn with(mut self, settings: &'static [&'static str]) -> Self {
        self.settings = settings;
        self
    }

    const fn ours(mut self, log: &'static [&'static str]) -> Self {
        self.both = false;
        self.log = log;
        self.never = &[];
        self
    }

    const fn refused(mut self, log: &'static [&'static str]) -> Self {
        self.messages = 0;
        self.log = log;
        self.never = &[": client="];
        self
    }

    /// The log names no user; one who fails is `(unavailable)`.
    const fn nobody(mut self) -> Self {
        self.never = &["sasl_method", "sasl_username=a", ": client="];
        self
    }
}

/// A client: the program that must be there, what the shell runs, and what stands for `@how@` when it
/// is to make STARTTLS, TLS at once, and `AUTH EXTERNAL`.
///
/// `@cert@`, `@key@`, `@chain@` (both) are its certificate's files, `@dir@` is a directory of its own.
struct Client {
    name: &'static str,
    needs: &'static str,
    run: &'static str,
    starttls: &'static str,
    wrapper: Option<&'static str>,
    auth: Option<&'static str>,
}

/// Every client.
static CLIENTS: &[Client] = &[
    Client {
        name: "openssl",
        needs: "openssl",
        run: "sh @scripts@/openssl.sh @at@ @cert@ @key@ @how@",
        starttls: "starttls",
        wrapper: Some("wrapper"),
        auth: Some("auth"),
    },
    Client {
        name: "swaks",
        needs: "swaks perl:Net::SSLeay",
        run: "swaks --server @host@ --port @port@ @how@ --tls-cert @cert@ --tls-key @key@ \
              --ehlo client.test --from a@sender.test --to far@away.test",
        starttls: "--tls",
        wrapper: Some("--tls-on-connect"),
        auth: None,
    },
    Client {
        name: "msmtp",
        needs: "msmtp",
        run: "printf 'From: a@sender.test\\nSubject: two\\n\\nbody\\n' | msmtp --file=/dev/null \
              --host=@host@ --port=@port@ --tls=on --tls-certcheck=off --tls-cert-file=@cert@ \
              --tls-key-file=@key@ @how@ --domain=client.test --from=a@sender.test far@away.test",
        starttls: "--tls-starttls=on --auth=off",
        wrapper: Some("--tls-starttls=off --auth=off"),
        auth: Some("--tls-starttls=on --auth=external --user=alice"),
    },
    Client {
        name: "curl",
        needs: "curl",
        run: "printf 'From: a@sender.test\\r\\nSubject: three\\r\\n\\r\\nbody\\r\\n' | \
              curl -sS -k --cert @cert@ --key @key@ --mail-from a@sender.test \
              --mail-rcpt far@away.test -T - @how@",
        starttls: "--ssl-reqd smtp://@at@/client.test",
        wrapper: Some("smtps://@at@/client.test"),
        auth: Some(
            "--ssl-reqd --login-options AUTH=EXTERNAL --user alice: smtp://@at@/client.test",
        ),
    },
    Client {
        name: "curl_initial_response",
        needs: "curl",
        run: "printf 'From: a@sender.test\\r\\nSubject: three\\r\\n\\r\\nbody\\r\\n' | \
              curl -sS -k --cert @cert@ --key @key@ --mail-from a@sender.test --sasl-ir \
              --mail-rcpt far@away.test -T - @how@",
        starttls: "--ssl-reqd smtp://@at@/client.test",
        wrapper: None,
        auth: Some(
            "--ssl-reqd --login-options AUTH=EXTERNAL --user alice: smtp://@at@/client.test",
        ),
    },
    Client {
        name: "mutt",
        needs: "mutt",
        run: "sh @scripts@/mutt.sh @dir@ @tls@/ca.pem @chain@ @how@",
        starttls: "smtp://@at@/",
        wrapper: Some("smtps://@at@/"),
        auth: Some("smtp://alice@@at@/"),
    },
    Client {
        name: "exim",
        needs: "exim4",
        run: "sh @scripts@/exim.sh @dir@ @host@ @port@ @cert@ @key@ @how@",
        starttls: "smtp",
        wrapper: Some("smtps"),
        auth: Some("auth"),
    },
    Client {
        name: "postfix",
        needs: "postconf",
        run: "sh @scripts@/postfix.sh @dir@ @host@ @port@ @cert@ @key@ @how@",
        starttls: "no",
        wrapper: Some("yes"),
        auth: None,
    },
];

fn main() -> ExitCode {
    let result = if inside::is_inside() { play_all() } else { inside::go("certificate_clients") };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("certificate_clients: {error}\n0 passed, 1 failed"));
            ExitCode::FAILURE
        }
    }
}

/// A client in a case.
struct Play {
    client: &'static Client,
    case: &'static Case,
    how: &'static str,
}

/// All that were asked for and can be.
fn plays() -> (Vec<Play>, usize) {
    let wanted: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut plays = Vec::new();
    let mut missing = 0;
    for client in CLIENTS {
        let mut own: Vec<Play> = CASES.iter().filter_map(|case| client.plays(case)).collect();
        own.retain(|play| {
            wanted.is_empty() || wanted.iter().any(|word| play.name().contains(word.as_str()))
        });
        if own.is_empty() || client.is_there() {
            plays.append(&mut own);
        } else {
            say(&format!("skipped {}: there is no {}", client.name, client.needs));
            missing += usize::from(env::var_os("CI").is_some() && client.name != "exim");
        }
    }
    (plays, missing)
}

fn play_all() -> Result<bool, Box<dyn Error>> {
    let release = inside::installed("mail_version")?;
    if !release.starts_with("3.7.") {
        say(&format!("certificate_clients: skipped, since Postfix {release} is installed"));
        return Ok(true);
    }
    world::enter().map_err(|error| error.to_string())?;
    add_exim_to_the_users()?;
    let (plays, mut failed) = plays();
    let mut listeners = Vec::new();
    for play in &plays {
        let text = format!("{COMMON}{}S:\n", play.case.settings.concat());
        listeners.push(Transcript::parse(&play.name(), &text).map_err(|bad| bad.to_string())?);
    }
    let binaries = inside::binaries(false)?;
    let world = World::start(&listeners, &binaries).map_err(|error| error.to_string())?;
    let mut passed = 0;
    for (play, complaints) in plays.iter().zip(judge_all(&plays, &world, &listeners)) {
        passed += usize::from(complaints.is_empty());
        if !complaints.is_empty() {
            failed += 1;
            say(&format!("FAILED  {}", play.name()));
            complaints.iter().for_each(|line| say(&format!("        {line}")));
        }
    }
    say(&format!("{passed} passed, {failed} failed"));
    Ok(failed == 0)
}

/// The complaints about each; some are played at a time, since they mostly wait.
fn judge_all(plays: &[Play], world: &World, listeners: &[Transcript]) -> Vec<Vec<String>> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Vec<String>>> = plays.iter().map(|_| Mutex::default()).collect();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(play) = plays.get(at) else { return };
                    let complaints = play.judge(world, &listeners[at], at);
                    let complaints = complaints.unwrap_or_else(|error| vec![error.to_string()]);
                    *results[at].lock().unwrap_or_else(PoisonError::into_inner) = complaints;
                }
            });
        }
    });
    let inner = |result: Mutex<_>| result.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_iter().map(inner).collect()
}

impl Client {
    fn plays(&'static self, case: &'static Case) -> Option<Play> {
        let how = match case.how {
            How::StartTls => Some(self.starttls),
            How::Wrapper => self.wrapper,
            How::Auth => self.auth,
        };
        // mutt says AUTH EXTERNAL wherever it is announced.
        let cannot = self.name == "mutt" && case.name == "auth_not_used";
        Some(Play { client: self, case, how: how.filter(|_| !cannot)? })
    }

    fn is_there(&self) -> bool {
        if self.needs == "exim4" { exim().is_file() } else { are_there(self.needs) }
    }
}

impl Play {
    fn name(&self) -> String {
        format!("{}_{}", self.client.name, self.case.name)
    }

    fn judge(
        &self,
        world: &World,
        listener: &Transcript,
        at: usize,
    ) -> Result<Vec<String>, Box<dyn Error>> {
        let ours = self.run(world, listener, (at, Side::Ours))?;
        let mut complaints = ours.expect("ours", self.case.messages);
        complaints.extend(self.read_log(&ours));
        if self.case.both {
            let theirs = self.run(world, listener, (at, Side::Theirs))?;
            complaints.extend(theirs.expect("theirs", self.case.messages));
            complaints.extend(theirs.difference(&ours));
        }
        Ok(complaints)
    }

    fn run(
        &self,
        world: &World,
        listener: &Transcript,
        (at, side): (usize, Side),
    ) -> Result<Run, Box<dyn Error>> {
        let dir = world.path("files").join(format!("{at}-{side:?}"));
        fs::create_dir_all(&dir)?;
        let file = |end| world.tls(&format!("{}.{end}", self.case.certificate));
        let command = self
            .client
            .run
            .replace("@how@", self.how)
            .replace("@cert@", &file("pem").display().to_string())
            .replace("@key@", &file("key").display().to_string())
            .replace("@chain@", &file("chain").display().to_string())
            .replace("@tls@", &world.path("tls").display().to_string())
            .replace("@dir@", &dir.display().to_string())
            .replace("@scripts@", &root().join("tests/clients").display().to_string());
        let command = format!("EXIM={}\nexport EXIM\n{command}", exim().display());
        programs::run(world, listener, (at, side), &command, 1)
    }

    /// Complains of lines that are not in our log, or should not be.
    fn read_log(&self, ours: &Run) -> Vec<String> {
        let has = |text: &&&str| ours.log.iter().any(|line| line.contains(**text));
        let lacks = self.case.log.iter().filter(|text| !has(text));
        let mut complaints: Vec<String> =
            lacks.map(|text| format!("not in the log: {text}")).collect();
        let never = self.case.never.iter().filter(|text| has(text));
        complaints.extend(never.map(|text| format!("in the log: {text}")));
        if !complaints.is_empty() {
            complaints.extend(ours.log.iter().cloned());
            complaints.extend(ours.said.iter().cloned());
        }
        complaints
    }
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// Exim cannot be installed beside Postfix; `scripts/install-what-is-missing test` unpacks it here.
fn exim() -> PathBuf {
    root().join("target/tmp/exim4/usr/sbin/exim4")
}

/// Debian's Exim wants a user of its own: in this namespace there is one.
fn add_exim_to_the_users() -> Result<(), Box<dyn Error>> {
    if !exim().is_file() {
        return Ok(());
    }
    for (file, line) in [
        ("/etc/passwd", "Debian-exim:x:61999:61999::/nonexistent:/usr/sbin/nologin\n"),
        ("/etc/group", "Debian-exim:x:61999:\n"),
    ] {
        let text = fs::read_to_string(file)?;
        if text.contains("Debian-exim:") {
            continue;
        }
        let copy =
            env::temp_dir().join(format!("smtpd-rs-{}", file.rsplit('/').next().unwrap_or("")));
        fs::write(&copy, text + line)?;
        let bound = Command::new("mount").arg("--bind").arg(&copy).arg(file).status()?;
        fs::remove_file(&copy)?;
        if !bound.success() {
            return Err(format!("can't mount over {file}").into());
        }
    }
    Ok(())
}
