//! The administrator's tool: the program's name, a verb, and what the verb takes.
//!
//! master(8) begins its command lines with an option, so a bare word as the first argument can
//! only come from a person or a script: [`verb`] tells the two apart. Verbs print to standard output,
//! what is wrong to standard error, and end with 0 (all is well), 1 (something is not) or
//! 64 (wrong usage; sysexits.h).
#![forbid(unsafe_code)]

mod ccert;
mod check;
mod parameters;

use std::env;
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;

use crate::sys::late_libraries;
use crate::sys::start::ExitCode;

/// The program's name, for people.
pub(crate) const PROGRAM: &str = "smtpd-rs";
/// Exit status for words that were not understood.
const USAGE: u8 = 64;

/// What an administrator can ask for.
pub struct Verb {
    /// The word.
    pub name: &'static str,
    /// What it does, in a line.
    summary: &'static str,
    /// What `--help` prints.
    help: &'static str,
    run: fn(&mut lexopt::Parser) -> Result<ExitCode, Trouble>,
}

/// THE TABLE of verbs.
pub static VERBS: &[Verb] = &[
    Verb {
        name: "ccert",
        summary: "client certificates: new, add, list, revoke, show, check, renew",
        help: ccert::HELP,
        run: ccert::ccert,
    },
    Verb {
        name: "check",
        summary: "what is wrong with main.cf and the services of master.cf",
        help: check::HELP,
        run: check::check,
    },
    Verb {
        name: "parameters",
        summary: "what main.cf says, as postconf(1) shows it",
        help: parameters::HELP,
        run: parameters::parameters,
    },
    Verb {
        name: "version",
        summary: "which program this is, and which OpenSSL it uses",
        help: "usage: smtpd-rs version\n\nPrints the program's version and that of its OpenSSL.\n",
        run: version,
    },
];

/// Why a verb ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// The words that follow the verb are wrong.
    #[error("{0}")]
    Usage(#[from] lexopt::Error),
    /// `--help` was among them.
    #[error("help")]
    Help,
    /// What was asked for cannot be done.
    #[error("{0}")]
    Failed(String),
    /// The output has nowhere to go.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

/// The verb that the command line asks for; `None`: these are options for the daemon.
pub fn asked(first: Option<&OsStr>) -> bool {
    let bytes = first.map(OsStr::as_bytes).unwrap_or_default();
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        || bytes == b"--help"
        || bytes == b"--version"
}

/// Runs the verb that the command line names.
pub fn main() -> ExitCode {
    let mut words = lexopt::Parser::from_env();
    let first = env::args_os().nth(1).unwrap_or_default();
    let Some(verb) = VERBS.iter().find(|verb| OsStr::new(verb.name) == first) else {
        return without_verb(&first);
    };
    let _ = words.next();
    let outcome = (verb.run)(&mut words);
    let code = outcome.unwrap_or_else(|trouble| explain(verb, &trouble));
    // Of a line that has not ended.
    let _ = io::stdout().flush();
    code
}

fn explain(verb: &Verb, trouble: &Trouble) -> ExitCode {
    match trouble {
        Trouble::Help => print(verb.help),
        // Whoever read our output has seen enough.
        Trouble::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Trouble::Usage(_) => {
            complain(&format!("{}: {trouble} (see {PROGRAM} {} --help)", verb.name, verb.name));
            ExitCode::from(USAGE)
        }
        Trouble::Failed(_) | Trouble::Output(_) => {
            complain(&format!("{}: {trouble}", verb.name));
            ExitCode::FAILURE
        }
    }
}

fn without_verb(first: &OsStr) -> ExitCode {
    match first.as_bytes() {
        b"help" | b"--help" => print(&overview()),
        b"--version" => print(&version_line()),
        _ => {
            complain(&format!("unknown verb {first:?}\n{}", overview()));
            ExitCode::from(USAGE)
        }
    }
}

fn overview() -> String {
    let mut text = format!(
        "{PROGRAM} takes the place of Postfix's smtpd(8); master(8) starts it. For administrators:\n\n"
    );
    for verb in VERBS {
        text += &format!("    {PROGRAM} {:<12} {}\n", verb.name, verb.summary);
    }
    text + "\nEach verb takes --help. See smtpd-rs(8).\n"
}

fn version(words: &mut lexopt::Parser) -> Result<ExitCode, Trouble> {
    no_more(words)?;
    Ok(print(&version_line()))
}

/// Before OpenSSL is used, which is loaded when it is needed.
pub(crate) fn need_openssl() -> Result<(), Trouble> {
    late_libraries::load_openssl()
        .map_err(|error| Trouble::Failed(format!("cannot load OpenSSL: {}", error.escape_ascii())))
}

fn version_line() -> String {
    let openssl = match need_openssl() {
        Ok(()) => openssl::version::version().to_owned(),
        Err(trouble) => trouble.to_string(),
    };
    let place = if cfg!(feature = "vendored") { "built in" } else { "the system's" };
    format!("{PROGRAM} {} ({openssl}, {place})\n", env!("CARGO_PKG_VERSION"))
}

/// Refuses what is left of the command line, but for `--help`.
fn no_more(words: &mut lexopt::Parser) -> Result<(), Trouble> {
    match words.next()? {
        None => Ok(()),
        Some(lexopt::Arg::Long("help") | lexopt::Arg::Short('h')) => Err(Trouble::Help),
        Some(other) => Err(other.unexpected().into()),
    }
}

fn print(text: &str) -> ExitCode {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(text: &str) {
    // Where standard error is gone, nobody listens.
    let _ = writeln!(io::stderr().lock(), "{PROGRAM}: {}", text.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn master_never_begins_with_a_bare_word() {
        for daemon in ["-l", "-n", "-t", "-z", "-S", "--", "-", "", "/x"] {
            assert!(!asked(Some(OsStr::new(daemon))), "{daemon}");
        }
        assert!(!asked(None));
        for admin in ["help", "check", "parameters", "--help", "--version", "nonsense"] {
            assert!(asked(Some(OsStr::new(admin))), "{admin}");
        }
    }

    #[test]
    fn the_overview_names_each_verb() {
        for verb in VERBS {
            assert!(overview().contains(&format!("smtpd-rs {} ", verb.name)), "{}", verb.name);
        }
    }
}
