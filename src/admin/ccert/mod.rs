//! `smtpd-rs ccert`: client certificates, from the key on a device to the entry in the table.

mod check;
mod devices;
mod edit;
mod extension;
mod list;
mod made;
mod make;
mod new;
mod options;
mod prints;
mod renew;
mod show;
mod site;
mod tables;
mod users;

use std::path::Path;

use lexopt::Parser;
use serde_json::{Value, json};

use self::options::{Options, usage};
use super::{Trouble, need_openssl, print};
use crate::config::Config;
use crate::sys::start::ExitCode;

struct Verb {
    name: &'static str,
    help: &'static str,
    run: fn(&mut Parser) -> Result<ExitCode, Trouble>,
}

/// THE TABLE of verbs.
static VERBS: &[Verb] = &[
    Verb { name: "new", help: new::HELP, run: new::new },
    Verb { name: "add", help: ADD, run: add },
    Verb { name: "list", help: list::HELP, run: list::list },
    Verb { name: "revoke", help: REVOKE, run: revoke },
    Verb { name: "show", help: show::HELP, run: show::show },
    Verb { name: "check", help: check::HELP, run: check::check },
    Verb { name: "renew", help: renew::HELP, run: renew::renew },
];

/// What `--help` prints.
pub(super) const HELP: &str = "\
usage: smtpd-rs ccert VERB ...

    new USER       make a key and a certificate, files for devices, and the table's entry
    add CERT       let a certificate in, by its file or its fingerprint
    list           who is in the table, until when, and when last seen
    revoke WHOM    take certificates out of the table
    show CERT      all fingerprints of a certificate, in all forms
    check          whether main.cf and master.cf let certificates do what they should
    renew CERT     a new certificate for the same key

Each verb takes --help, --json, and -c DIR (the directory of main.cf; else MAIL_CONFIG, else
/etc/postfix). The table is the first file table of smtpd_tls_ccert_user_maps, in main.cf or in the
services of master.cf that ask for certificates, or --table TYPE:FILE.
";

const ADD: &str = "\
usage: smtpd-rs ccert add FILE|FINGERPRINT --user USER [--device NAME] [--until DATE]
           [--senders LIST] [--clients LIST] [--table TYPE:FILE]

Adds a certificate (PEM or DER) by the fingerprint of its key, which stays when it is renewed, or a
fingerprint in any form: with or without colons, SHA256:base64, or as openssl(1) prints it. A LIST
is parted by blanks, in quotes for the shell.

    smtpd-rs ccert add phone.pem --user alice --device phone --until 2027-12-31
    smtpd-rs ccert add SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU --user bob
";

const REVOKE: &str = "\
usage: smtpd-rs ccert revoke USER|FINGERPRINT|FILE [--device NAME] [--table TYPE:FILE]

Takes the user's certificates out of the table (those of one device with --device), or the one with
that fingerprint. The next session knows them no more, resumed ones included.

    smtpd-rs ccert revoke alice --device phone
";

/// Runs the verb that follows.
pub(super) fn ccert(words: &mut Parser) -> Result<ExitCode, Trouble> {
    let name = match words.next()? {
        Some(lexopt::Arg::Value(name)) => name,
        Some(lexopt::Arg::Long("help") | lexopt::Arg::Short('h')) | None => {
            return Err(Trouble::Help);
        }
        Some(other) => return Err(other.unexpected().into()),
    };
    let verb = VERBS.iter().find(|verb| name == verb.name);
    let verb = verb.ok_or_else(|| usage(format!("unknown verb {name:?}")))?;
    need_openssl()?;
    match (verb.run)(words) {
        Err(Trouble::Help) => Ok(print(verb.help)),
        Err(Trouble::Usage(error)) => Err(usage(format!("{}: {error}", verb.name))),
        done => done,
    }
}

/// The digest of main.cf's fingerprints.
fn digest_of(config: &Config) -> Result<openssl::hash::MessageDigest, Trouble> {
    prints::digest(&String::from_utf8_lossy(&config.smtpd_tls_fingerprint_digest))
}

/// Prints what was done: to people, or as JSON.
fn tell(options: &Options, text: &str, value: &Value) -> ExitCode {
    if options.json { print(&format!("{value:#}\n")) } else { print(text) }
}

/// The fingerprint that is meant: of a file, or as written.
fn meant(word: &str, config: &Config) -> Result<String, Trouble> {
    let digest = digest_of(config)?;
    if Path::new(word).exists() {
        return prints::of_key(&*make::read_certificate(Path::new(word))?, digest);
    }
    if let Some(fingerprint) = prints::normal(word, digest) {
        return Ok(fingerprint);
    }
    let wanted = String::from_utf8_lossy(&config.smtpd_tls_fingerprint_digest);
    Err(Trouble::Failed(match prints::kind(word) {
        Some(kind) => {
            format!("this is a {kind} fingerprint, but smtpd_tls_fingerprint_digest = {wanted}")
        }
        None => format!("\"{word}\" is no file and no {wanted} fingerprint"),
    }))
}

fn add(words: &mut Parser) -> Result<ExitCode, Trouble> {
    let takes = ["user", "device", "until", "senders", "clients", "table"];
    let options = Options::read(words, &takes)?;
    let what = options.only("FILE or FINGERPRINT")?;
    let user = options.user.as_deref().ok_or_else(|| usage("--user is missing".to_owned()))?;
    let entry = options.entry(user)?;
    let site = options.site()?;
    let (table, config) = site.table(options.table.as_deref())?;
    let fingerprint = meant(what, config)?;
    table.edit()?.add(&fingerprint, &entry)?;
    let text = format!("{fingerprint} is {user}'s now, in {}\n", table.name());
    let value = json!({ "user": user, "fingerprint": fingerprint, "table": table.name() });
    Ok(tell(&options, &text, &value))
}

fn revoke(words: &mut Parser) -> Result<ExitCode, Trouble> {
    let options = Options::read(words, &["device", "table"])?;
    let whom = options.only("USER, FINGERPRINT or FILE")?;
    let site = options.site()?;
    let (table, config) = site.table(options.table.as_deref())?;
    let of_user = |row: &users::Row| {
        row.entry().is_some_and(|entry| {
            let device = options.device.as_deref().map(str::as_bytes);
            entry.user == whom.as_bytes() && (device.is_none() || entry.device.as_deref() == device)
        })
    };
    let mut removed = table.remove(of_user)?;
    if removed == 0 && options.device.is_none() {
        if let Ok(fingerprint) = meant(whom, config) {
            let mut keys = vec![fingerprint];
            if Path::new(whom).exists() {
                let certificate = make::read_certificate(Path::new(whom))?;
                keys.push(prints::of_certificate(&certificate, digest_of(config)?)?);
            }
            removed =
                table.remove(|row| keys.iter().any(|key| key.eq_ignore_ascii_case(&row.key)))?;
        }
    }
    if removed == 0 {
        return Err(Trouble::Failed(format!("{}: nothing there of {whom}", table.name())));
    }
    let text = format!("{removed} taken out of {}\n", table.name());
    let value = json!({ "removed": removed, "whom": whom, "table": table.name() });
    Ok(tell(&options, &text, &value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overview_names_each_verb() {
        for verb in VERBS {
            assert!(HELP.contains(&format!("\n    {} ", verb.name)), "{}", verb.name);
            assert!(verb.help.contains(&format!("smtpd-rs ccert {}", verb.name)), "{}", verb.name);
        }
    }
}
