//! Other people's programs as clients: what they did, and what they left.

use std::collections::BTreeSet;
use std::env;
use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};

use pcre2::bytes::Regex;

use super::compare;
use super::transcript::{self, Transcript};
use super::world::{Side, World};

/// Where Debian has modules of node's.
const NODE_PATH: &str = "/usr/share/nodejs";

/// Whether all of `programs` are there; `perl:Name` and `node:name` are modules, `/…` is a file.
pub(crate) fn are_there(programs: &str) -> bool {
    let succeeds = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).env("NODE_PATH", NODE_PATH).output();
        output.is_ok_and(|output| output.status.success())
    };
    programs.split(' ').all(|program| match program.split_once(':') {
        Some(("perl", module)) => succeeds("perl", &[&format!("-M{module}"), "-e1"]),
        Some((node, module)) => succeeds(node, &["-e", &format!("require('{module}')")]),
        None => is_there(program),
    })
}

fn is_there(program: &str) -> bool {
    let dirs = env::var("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"];
    let mut dirs = dirs.split(':').chain(sbin);
    dirs.any(|dir| Path::new(dir).join(program).is_file())
}

/// What a client did and left.
pub(crate) struct Run {
    status: Option<i32>,
    pub(crate) said: Vec<String>,
    pub(crate) log: Vec<String>,
    /// The queue files, in the order of their content.
    messages: BTreeSet<(usize, Vec<String>)>,
}

/// Runs a client in the shell; `@at@` is where the server is, as `host:port`.
pub(crate) fn run(
    world: &World,
    listener: &Transcript,
    (at, side): (usize, Side),
    command: &str,
    sessions: usize,
) -> Result<Run, Box<dyn Error>> {
    let session = listener.sessions.first().ok_or("no session")?;
    let (_, server) = world.addresses(at, side, session);
    let command = command
        .replace("@at@", &server.to_string())
        .replace("@host@", &server.ip().to_string())
        .replace("@port@", &server.port().to_string());
    let (status, said) = shell(&command)?;
    world.wait_for_ends(at, side, sessions);
    let log = world.log(at, side);
    let ids: Vec<String> =
        log.iter().filter_map(|line| world.mask.queue_id(line).map(str::to_owned)).collect();
    let mut words = world.replacements(at, side);
    words.push((server.port().to_string(), "PORT".to_owned()));
    let own = Own::new()?;
    let masked = |line: &String| own.mask(&world.mask.line(line, &ids, &words));
    let mut messages = BTreeSet::new();
    for id in &ids {
        let lines: Vec<String> = world.queue_file(id).iter().map(masked).collect();
        let same = messages.iter().filter(|(_, other)| *other == lines).count();
        messages.extend((!lines.is_empty()).then_some((same, lines)));
    }
    Ok(Run {
        status,
        said: said.iter().map(masked).collect(),
        log: sorted(log.iter().map(masked).collect()),
        messages,
    })
}

impl Run {
    /// Complains if it is another number of messages that are left.
    pub(crate) fn expect(&self, whose: &str, messages: usize) -> Vec<String> {
        if self.messages.len() == messages {
            return Vec::new();
        }
        let mut complaints = vec![format!("{whose}: {} messages", self.messages.len())];
        complaints.extend(self.said.iter().take(20).cloned());
        complaints
    }

    /// What is different on the other side.
    pub(crate) fn difference(&self, ours: &Run) -> Vec<String> {
        let mut complaints = Vec::new();
        if self.status != ours.status {
            complaints.push(format!("status: {:?}, ours {:?}", self.status, ours.status));
        }
        let lines = |run: &Run| -> Vec<String> {
            run.messages.iter().flat_map(|(_, lines)| lines.clone()).collect()
        };
        for (what, theirs, ours) in [
            ("it says", &self.said, &ours.said),
            ("log", &self.log, &ours.log),
            ("queue files", &lines(self), &lines(ours)),
        ] {
            let difference = compare::difference(theirs, ours);
            if !difference.is_empty() {
                complaints.push(format!("{what}: theirs (-), ours (+)"));
                complaints.extend(difference.into_iter().take(40));
            }
        }
        complaints
    }
}

/// Sessions side by side come in any order.
fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// Runs a command; its status, and what it says.
pub(crate) fn shell(command: &str) -> Result<(Option<i32>, Vec<String>), Box<dyn Error>> {
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1\n{command}")])
        .env("LC_ALL", "C.UTF-8")
        .env("NODE_PATH", NODE_PATH)
        .env("PERL_HASH_SEED", "0")
        .env("PERL_PERTURB_KEYS", "0")
        .env("PATH", format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default()))
        .stdin(Stdio::null())
        .output()?;
    let lines = output.stdout.split(|byte| *byte == b'\n').map(transcript::show);
    Ok((output.status.code(), lines.collect()))
}

/// What clients make up: dates, ids, process ids.
struct Own(Vec<(Regex, &'static str)>);

impl Own {
    fn new() -> Result<Self, pcre2::Error> {
        const RULES: &[(&str, &str)] = &[
            (r"(?i)(message-id: ).*", "MESSAGE-ID"),
            (r"(Date: ).*", "DATE"),
            (r"(Subject: test ).*", "DATE"),
            (r"()<[-.0-9A-Za-z]+@[-.0-9A-Za-z]+ *>(?=.*Message)", "MESSAGE-ID"),
            (r"(named_attribute: message_id=).*", "MESSAGE-ID"),
            (r"(SIZE=)\d+", "SIZE"),
            (r"(\bPID )\d+", "PID"),
            (r"(^\\x09id )[-0-9A-Za-z]+", "ID"),
            (r"(^\\x09)\w{3}, \d+ \w{3} \d{4} [\d:]{8} [-+]\d{4}$", "DATE"),
        ];
        let rules = RULES.iter().map(|(rule, word)| Ok((Regex::new(rule)?, *word)));
        Ok(Self(rules.collect::<Result<_, pcre2::Error>>()?))
    }

    fn mask(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for (rule, word) in &self.0 {
            let found = rule.captures(line.as_bytes()).ok().flatten();
            let Some((all, kept)) = found.and_then(|f| Some((f.get(0)?, f.get(1)?))) else {
                continue;
            };
            line = format!("{}{word}{}", &line[..kept.end()], &line[all.end()..]);
        }
        line
    }
}
