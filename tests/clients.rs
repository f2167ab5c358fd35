//! Other people's programs, talking to the installed smtpd and to ours: mail clients must end with the
//! same status, say the same, and leave the same messages in the queue; programs that read logs must
//! report the same of both.
//!
//! ```text
//! cargo test --test clients [-- NAME…]
//! ```
//!
//! It needs what the tests beside the original need, and says which programs are not there. With
//! `CI` set, all must be there.

mod support;

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use support::compare;
use support::inside::{self, say};
use support::player::{self, Reading};
use support::programs::{self, Run, are_there, shell};
use support::transcript::{self, Transcript};
use support::world::{self, Side, World};

/// The settings of all listeners of this program.
const SETTINGS: &str = "\
main.cf: smtpd_tls_security_level = may
main.cf: smtpd_tls_cert_file = @tls@/server.pem
main.cf: smtpd_tls_key_file = @tls@/server.key
main.cf: smtpd_tls_loglevel = 1
S:
";

/// A client: a name, the program that must be there, the sessions that it makes, the messages that
/// it leaves, and what the shell runs. `@at@` is where the server is, as `host:port`.
struct Client {
    name: &'static str,
    needs: &'static str,
    sessions: usize,
    messages: usize,
    run: &'static str,
}

const fn client(
    name: &'static str,
    needs: &'static str,
    (sessions, messages): (usize, usize),
    run: &'static str,
) -> Client {
    Client { name, needs, sessions, messages, run }
}

/// swaks with TLS.
const SWAKS_TLS: &str = "swaks perl:Net::SSLeay";

/// Every client.
static CLIENTS: &[Client] = &[
    client(
        "swaks",
        "swaks",
        (1, 1),
        "swaks --server @at@ --ehlo client.test --from a@sender.test \
         --to user@example.test,other@example.test --header 'Subject: one' --body 'line\\n.dot\\n'",
    ),
    client(
        "swaks_helo",
        "swaks",
        (1, 1),
        "swaks --server @at@ --protocol SMTP --helo client.test --from '<>' --to user@example.test",
    ),
    client(
        "swaks_pipelined",
        "swaks",
        (1, 1),
        "swaks --server @at@ --pipeline --ehlo client.test --from a@sender.test \
         --to user@example.test,nobody@example.test,other@example.test",
    ),
    client(
        "swaks_refused",
        "swaks",
        (1, 0),
        "swaks --server @at@ --ehlo client.test --from a@sender.test --to far@away.test",
    ),
    client(
        "swaks_tls",
        SWAKS_TLS,
        (1, 1),
        "swaks --server @at@ --tls --ehlo client.test --from a@sender.test --to user@example.test",
    ),
    client(
        "swaks_tls_refused",
        SWAKS_TLS,
        (1, 0),
        "swaks --server @at@ --tls --tls-protocol sslv3 --ehlo client.test --from a@sender.test \
         --to user@example.test",
    ),
    client(
        "swaks_quit_after_mail",
        "swaks",
        (1, 0),
        "swaks --server @at@ --quit-after MAIL --ehlo client.test --from a@sender.test \
         --to user@example.test",
    ),
    client(
        "swaks_drop_after_data",
        "swaks",
        (1, 0),
        "swaks --server @at@ --drop-after DATA --ehlo client.test --from a@sender.test \
         --to user@example.test",
    ),
    client(
        "msmtp",
        "msmtp",
        (1, 1),
        "printf 'From: a@sender.test\\nSubject: two\\n\\n.dot\\nbody\\n' | msmtp -v --file=/dev/null \
         --host=@host@ --port=@port@ --tls=off --auth=off --domain=client.test \
         --from=a@sender.test user@example.test other@example.test",
    ),
    client(
        "msmtp_tls",
        "msmtp",
        (1, 1),
        "printf 'From: a@sender.test\\nSubject: two\\n\\nbody\\n' | msmtp --file=/dev/null \
         --host=@host@ --port=@port@ --tls=on --tls-starttls=on --tls-certcheck=off --auth=off \
         --domain=client.test --from=a@sender.test -N delay,failure -R hdrs user@example.test",
    ),
    client(
        "msmtp_refused",
        "msmtp",
        (1, 0),
        "printf 'Subject: two\\n\\nbody\\n' | msmtp --file=/dev/null --host=@host@ --port=@port@ \
         --tls=off --auth=off --domain=client.test --from=a@sender.test nobody@example.test",
    ),
    client(
        "msmtp_auth",
        "msmtp",
        (1, 0),
        "printf 'Subject: two\\n\\nbody\\n' | msmtp --file=/dev/null --host=@host@ --port=@port@ \
         --tls=off --auth=plain --user=x --passwordeval='echo y' --domain=client.test \
         --from=a@sender.test user@example.test",
    ),
    client(
        "msmtp_serverinfo",
        "msmtp",
        (1, 0),
        "msmtp --file=/dev/null --host=@host@ --port=@port@ --tls=off --serverinfo",
    ),
    client(
        "curl",
        "curl",
        (1, 1),
        "printf 'From: a@sender.test\\r\\nSubject: three\\r\\n\\r\\n.dot\\r\\n' | curl -sS \
         smtp://@at@/client.test --mail-from a@sender.test --mail-rcpt user@example.test \
         --mail-rcpt other@example.test -T -",
    ),
    client(
        "curl_big",
        "curl",
        (1, 1),
        "head -c 300000 /dev/zero | tr '\\0' x | fold -w 70 >@dir@/big; curl -sS \
         --crlf smtp://@at@/client.test --mail-from a@sender.test --mail-rcpt user@example.test \
         -T @dir@/big",
    ),
    client(
        "curl_too_big",
        "curl",
        (1, 0),
        "head -c 20000000 /dev/zero | tr '\\0' x | fold -w 70 >@dir@/huge; curl -sS \
         smtp://@at@/client.test --mail-from a@sender.test --mail-rcpt user@example.test \
         -T @dir@/huge; status=$?; rm @dir@/huge; exit $status",
    ),
    client(
        "curl_tls",
        "curl",
        (1, 1),
        "printf 'Subject: three\\r\\n\\r\\nbody\\r\\n' | curl -sS --ssl-reqd -k \
         smtp://@at@/client.test --mail-from a@sender.test --mail-rcpt user@example.test -T -",
    ),
    client("curl_vrfy", "curl", (1, 0), "curl -sS smtp://@at@/client.test --mail-rcpt user"),
    client("curl_noop", "curl", (1, 0), "curl -sS smtp://@at@/client.test -X NOOP"),
    client(
        "curl_http",
        "curl",
        (1, 0),
        "curl -sS --http0.9 -m 10 http://@at@/ | sed 's/[^ -~]*$//'",
    ),
    client(
        "smtp_source",
        "smtp-source",
        (20, 20),
        "smtp-source -s 4 -m 20 -l 3000 -f a@sender.test -t user@example.test -M client.test \
         inet:@at@",
    ),
    client(
        "smtp_source_one_session",
        "smtp-source",
        (1, 10),
        "smtp-source -d -m 10 -l 500 -f a@sender.test -t user@example.test -M client.test \
         inet:@at@",
    ),
    client(
        "smtp_source_helo",
        "smtp-source",
        (2, 2),
        "smtp-source -o -m 2 -f a@sender.test -t user@example.test -M client.test inet:@at@",
    ),
    client(
        "posttls_finger",
        "posttls-finger",
        (1, 0),
        "posttls-finger -c -C -l may -o smtp_helo_name=client.test '[@host@]:@port@'",
    ),
    client(
        "posttls_finger_without_tls",
        "posttls-finger",
        (1, 0),
        "posttls-finger -c -l none -o smtp_helo_name=client.test '[@host@]:@port@'",
    ),
    client(
        "openssl",
        "openssl",
        (1, 0),
        "sleep 1 | openssl s_client -quiet -no_ign_eof -starttls smtp -crlf -name client.test \
         -connect @at@ 2>/dev/null",
    ),
    client(
        "python_smtplib",
        "python3",
        (2, 3),
        "python3 @scripts@/smtplib_client.py @host@ @port@",
    ),
    client("perl_net_smtp", "perl", (2, 2), "perl @scripts@/net_smtp.pl @host@ @port@"),
    client(
        "nodemailer",
        "node node:nodemailer",
        (1, 12),
        "node @scripts@/nodemailer.js @host@ @port@",
    ),
    client("lettre", LETTRE, (5, 3), "@lettre@ @host@ @port@"),
];

/// A program that reads a log, and the lines of its report that count.
struct Reader {
    name: &'static str,
    needs: &'static str,
    run: &'static str,
    counts: fn(&str) -> bool,
}

/// Every reader of logs. `@log@` is the log.
static READERS: &[Reader] = &[
    Reader { name: "fail2ban", needs: "fail2ban-regex", run: FAIL2BAN, counts: of_fail2ban },
    Reader { name: "pflogsumm", needs: "pflogsumm", run: "pflogsumm @log@", counts: |_| true },
    Reader {
        name: "logwatch",
        needs: LOGWATCH,
        run: LOGWATCH_RUN,
        counts: |line| !is_of_the_log(line),
    },
];

const FAIL2BAN: &str = "for mode in normal auth rbl ddos extra errors aggressive; do \
    fail2ban-regex --print-all-matched --print-all-missed @log@ \
    \"/etc/fail2ban/filter.d/postfix.conf[mode=$mode]\"; done";
const LOGWATCH: &str = "/usr/share/logwatch/scripts/services/postfix";
const LOGWATCH_RUN: &str = "perl /usr/share/logwatch/scripts/services/postfix --detail 10 @log@";

/// All but its own times, and the lines themselves, which have process ids in them.
fn of_fail2ban(line: &str) -> bool {
    !line.contains("[processed in") && !is_of_the_log(line)
}

fn is_of_the_log(line: &str) -> bool {
    line.contains("Nov 25 12:00:00")
}

/// What clients do in the log that is read: transcripts whose names begin so.
const TRAFFIC: &[&str] = &[
    "auth_command",
    "commands_",
    "errors_hard",
    "limit_",
    "lost_",
    "mail_plain",
    "notices_p",
    "pipelining_",
    "reject_",
    "relay_",
    "starttls",
    "talks_first",
    "tls_reset",
    "unknown_client",
    "unlisted_",
    "warn_if_reject",
];

fn main() -> ExitCode {
    let result = if inside::is_inside() {
        play_all()
    } else {
        if wants("lettre") {
            build_lettre();
        }
        inside::go("clients")
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("clients: {error}\n0 passed, 1 failed"));
            ExitCode::FAILURE
        }
    }
}

/// Whether a client or reader is asked for.
fn wants(name: &str) -> bool {
    let mut wanted = env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    wanted.peek().is_none() || wanted.any(|word| name.contains(&word))
}

/// Where cargo puts what it builds of `tests/lettre`, and the program.
const LETTRE_TARGET: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/lettre");
const LETTRE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/lettre/debug/smtpd-rs-lettre");

/// Builds `tests/lettre`, out here, where there is a network. What goes wrong is told, and lettre
/// skipped.
fn build_lettre() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lettre/Cargo.toml");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--target-dir", LETTRE_TARGET, "--manifest-path"])
        .arg(manifest)
        .output();
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            say(&format!("tests/lettre cannot be built: {}", said.trim_end()));
        }
        Err(error) => say(&format!("tests/lettre cannot be built: {error}")),
    }
}

/// What came of it all.
#[derive(Default)]
struct Sum {
    passed: usize,
    failed: usize,
}

impl Sum {
    fn add(&mut self, name: &str, complaints: &[String]) {
        if complaints.is_empty() {
            self.passed += 1;
            return;
        }
        self.failed += 1;
        say(&format!("FAILED  {name}"));
        complaints.iter().for_each(|line| say(&format!("        {line}")));
    }

    /// Whether `program` is there; else says so.
    fn has(&mut self, name: &str, program: &str) -> bool {
        if are_there(program) {
            return true;
        }
        say(&format!("skipped {name}: there is no {program}"));
        self.failed += usize::from(env::var_os("CI").is_some());
        false
    }
}

fn play_all() -> Result<bool, Box<dyn Error>> {
    world::enter().map_err(|error| error.to_string())?;
    let mut sum = Sum::default();
    let mut clients: Vec<&Client> = CLIENTS.iter().filter(|one| wants(one.name)).collect();
    clients.retain(|one| sum.has(one.name, one.needs));
    let mut readers: Vec<&Reader> = READERS.iter().filter(|one| wants(one.name)).collect();
    readers.retain(|one| sum.has(one.name, one.needs));

    let mut listeners = Vec::new();
    for client in &clients {
        listeners.push(Transcript::parse(client.name, SETTINGS).map_err(|bad| bad.to_string())?);
    }
    let binaries = inside::binaries(false)?;
    let world = World::start(&listeners, &binaries).map_err(|error| error.to_string())?;
    for (at, client) in clients.iter().enumerate() {
        let theirs = client.play(&world, &listeners[at], at, Side::Theirs)?;
        let ours = client.play(&world, &listeners[at], at, Side::Ours)?;
        sum.add(client.name, &client.judge(&theirs, &ours));
    }
    drop(world);
    if !readers.is_empty() {
        let mut complaints = read_logs(&readers)?;
        // On a busy machine a time limit may come first; what is wrong differs again.
        if complaints.iter().any(|lines| !lines.is_empty()) {
            say("the logs differ: the traffic is played once more");
            complaints.concat().iter().for_each(|line| say(&format!("    {line}")));
            complaints = read_logs(&readers)?;
        }
        for (reader, complaints) in readers.iter().zip(&complaints) {
            sum.add(reader.name, complaints);
        }
    }
    say(&format!("{} passed, {} failed", sum.passed, sum.failed));
    Ok(sum.failed == 0)
}

impl Client {
    fn play(
        &self,
        world: &World,
        listener: &Transcript,
        at: usize,
        side: Side,
    ) -> Result<Run, Box<dyn Error>> {
        let command = self
            .run
            .replace("@dir@", &world.path("files").display().to_string())
            .replace("@scripts@", &scripts().display().to_string())
            .replace("@lettre@", LETTRE);
        programs::run(world, listener, (at, side), &command, self.sessions)
    }

    fn judge(&self, theirs: &Run, ours: &Run) -> Vec<String> {
        let mut complaints = theirs.expect("theirs", self.messages);
        complaints.extend(ours.expect("ours", self.messages));
        complaints.extend(theirs.difference(ours));
        complaints
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// The transcripts that make the log.
fn traffic() -> Result<Vec<Transcript>, Box<dyn Error>> {
    let mut all = transcript::all()?;
    all.retain(|one| TRAFFIC.iter().any(|begin| one.name.starts_with(begin)));
    // These differ on purpose.
    all.retain(|one| {
        !matches!(one.name.as_str(), "reject_end_of_data" | "starttls_ticket_of_another_service")
    });
    Ok(all)
}

/// Plays the traffic to both sides, in a world of its own; what differs in what each reader says.
fn read_logs(readers: &[&Reader]) -> Result<Vec<Vec<String>>, Box<dyn Error>> {
    let traffic = traffic()?;
    let binaries = inside::binaries(false)?;
    let world = World::start(&traffic, &binaries).map_err(|error| error.to_string())?;
    let theirs = read_traffic(&world, &traffic, Side::Theirs)?;
    let ours = read_traffic(&world, &traffic, Side::Ours)?;
    let complaints = readers.iter().map(|reader| {
        let (theirs, ours) = (reader.report(&theirs)?, reader.report(&ours)?);
        let mut complaints = compare::difference(&theirs, &ours);
        if theirs.len() < 10 {
            complaints.push(format!("it says next to nothing: {theirs:?}"));
        }
        Ok(complaints)
    });
    complaints.collect()
}

/// Plays the traffic to one side, and gives the file with its log.
fn read_traffic(
    world: &World,
    listeners: &[Transcript],
    side: Side,
) -> Result<PathBuf, Box<dyn Error>> {
    let traffic: Vec<usize> = (0..listeners.len()).collect();
    std::thread::scope(|scope| {
        for part in traffic.chunks(traffic.len().div_ceil(8).max(1)) {
            scope.spawn(move || {
                for at in part {
                    player::play(world, &listeners[*at], *at, side, Reading::AsWritten);
                }
            });
        }
    });
    let mut lines = Vec::new();
    for at in traffic {
        let words = world.replacements(at, side);
        let line = |line: &String| {
            words.iter().fold(line.clone(), |line, (word, by)| line.replace(word, by))
        };
        lines.extend(world.usual_log(at, side).iter().map(line));
    }
    let path = world.path(if side == Side::Theirs { "theirs.log" } else { "ours.log" });
    fs::write(&path, lines.join("\n") + "\n")?;
    Ok(path)
}

impl Reader {
    fn report(&self, log: &Path) -> Result<Vec<String>, Box<dyn Error>> {
        let log = log.display().to_string();
        let (_, lines) = shell(&self.run.replace("@log@", &log))?;
        let lines = lines.into_iter().filter(|line| (self.counts)(line));
        Ok(lines.map(|line| line.replace(&log, "LOG")).collect())
    }
}
