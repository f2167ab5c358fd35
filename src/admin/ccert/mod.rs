//! `smtpd-rs ccert`: client certificates, from the key on a device to the entry in the table.

mod check;
mod devices;
mod edit;
mod list;
mod make;
mod options;
mod prints;
mod show;
mod users;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use lexopt::Parser;
use openssl::x509::X509Ref;
use serde_json::{Value, json};

use self::devices::Flavour;
use self::make::Authority;
use self::options::{Options, usage};
use self::users::Users;
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
    Verb { name: "new", help: NEW, run: new },
    Verb { name: "add", help: ADD, run: add },
    Verb { name: "list", help: list::HELP, run: list::list },
    Verb { name: "revoke", help: REVOKE, run: revoke },
    Verb { name: "show", help: show::HELP, run: show::show },
    Verb { name: "check", help: check::HELP, run: check::check },
    Verb { name: "renew", help: RENEW, run: renew },
];

/// What `--help` prints.
pub(super) const HELP: &str = "\
usage: smtpd-rs ccert VERB ...

    new USER       make a key and a certificate, files for devices, and the table's entry
    add CERT       let a certificate in, by its file or its fingerprint
    list           who is in the table, until when, and when last seen
    revoke WHOM    take certificates out of the table
    show CERT      all fingerprints of a certificate, in all forms
    check          whether main.cf lets certificates do what they should
    renew CERT     a new certificate for the same key

Each verb takes --help, --json, and -c DIR (the directory of main.cf; else MAIL_CONFIG, else
/etc/postfix). The table is the first file table of smtpd_tls_ccert_user_maps, or --table TYPE:FILE.
";

const NEW: &str = "\
usage: smtpd-rs ccert new USER [--device NAME] [--key p256|ed25519] [--days N] [--ca DIR]
           [--out DIR] [--password WORD] [--until DATE] [--senders LIST] [--clients LIST] [--no-add]

Makes a key and a certificate for USER, signed by itself or by the CA in DIR (made there if it is
not); PKCS#12 files in a modern and a legacy flavour, a profile for Apple's devices, and says which
device needs which. Unless --no-add is given, the key's fingerprint is added to the table.

    smtpd-rs ccert new alice@example.org --device phone
    smtpd-rs ccert new alice@example.org --device laptop --ca /etc/postfix/clients-ca --days 365
";

const ADD: &str = "\
usage: smtpd-rs ccert add FILE|FINGERPRINT --user USER [--device NAME] [--until DATE]
           [--senders LIST] [--clients LIST] [--table TYPE:FILE]

Adds a certificate (PEM) by the fingerprint of its key, which stays when it is renewed, or a
fingerprint in any form: with or without colons, or SHA256:base64.

    smtpd-rs ccert add phone.pem --user alice --device phone --until 2027-12-31
    smtpd-rs ccert add SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU --user bob
";

const REVOKE: &str = "\
usage: smtpd-rs ccert revoke USER|FINGERPRINT|FILE [--device NAME] [--table TYPE:FILE]

Takes the user's certificates out of the table (those of one device with --device), or the one with
that fingerprint. The next session knows them no more, resumed ones included.

    smtpd-rs ccert revoke alice --device phone
";

const RENEW: &str = "\
usage: smtpd-rs ccert renew FILE --key FILE [--days N] [--ca DIR] [--out FILE]

Writes a new certificate for the same key and names to FILE.new, or to --out. An entry by the key's
fingerprint stays good; an entry by the certificate's fingerprint needs the new one.

    smtpd-rs ccert renew alice-phone.pem --key alice-phone.key --days 825
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

/// A name for files: letters, digits, and what is harmless.
fn file_name(user: &str, device: Option<&str>) -> String {
    let whole = device.map_or_else(|| user.to_owned(), |device| format!("{user}-{device}"));
    let plain = |c: char| if c.is_alphanumeric() || "@.-_+".contains(c) { c } else { '_' };
    whole.chars().map(plain).collect::<String>().trim_start_matches(['.', '-']).to_owned()
}

fn new(words: &mut Parser) -> Result<ExitCode, Trouble> {
    let takes = [
        "device", "key", "days", "ca", "out", "password", "until", "senders", "clients", "no-add",
        "table",
    ];
    let options = Options::read(words, &takes)?;
    let user = options.only("USER")?;
    let entry = options.entry(user)?;
    let config = options.load()?;
    // What may fail is looked at before anything is written.
    let table =
        if options.no_add { None } else { Some(Users::find(&config, options.table.as_deref())?) };
    let digest = digest_of(&config)?;
    let name = file_name(user, options.device.as_deref());
    let directory = options.out.clone().unwrap_or_else(|| PathBuf::from(&name));
    let authority = options.ca.as_deref().map(Authority::open).transpose()?;
    let key = options.key_type.make().map_err(|error| Trouble::Failed(error.to_string()))?;
    let device = options.device.as_deref();
    let certificate = make::certificate(user, device, &key, options.days, authority.as_ref())?;
    let password = options.password.clone().map_or_else(devices::password, Ok)?;

    make::make_directory(&directory)?;
    let file = |ending: &str| directory.join(format!("{name}{ending}"));
    make::write_key(&file(".key"), &key)?;
    make::write(&file(".pem"), &make::pem_of(&certificate)?, 0o644)?;
    let ca = authority.as_ref().map(|ca| &ca.certificate);
    for (ending, flavour) in [(".p12", Flavour::Modern), ("-legacy.p12", Flavour::Legacy)] {
        let bytes = devices::pkcs12(&name, &key, &certificate, ca, &password, flavour)?;
        if flavour == Flavour::Legacy {
            let profile = devices::apple_profile(&name, &bytes)?;
            make::write(&file(".mobileconfig"), profile.as_bytes(), 0o600)?;
        }
        make::write(&file(ending), &bytes, 0o600)?;
    }
    let fingerprint = prints::of_key(&certificate, digest)?;
    if let Some(table) = &table {
        table.edit()?.add(&fingerprint, &entry)?;
    }
    let shown = directory.display().to_string();
    let host = String::from_utf8_lossy(&config.myhostname);
    let added = table.as_ref().map(Users::name);
    let mut text = format!("Certificate of {user}, {} days, in {shown}\n", options.days);
    let _ = writeln!(text, "Fingerprint of the key: {fingerprint}");
    match &added {
        Some(table) => drop(writeln!(text, "Added to {table}")),
        None => drop(writeln!(
            text,
            "Not added to a table. To let it in:\n  smtpd-rs ccert add {fingerprint} --user {user}"
        )),
    }
    let _ = writeln!(text, "Password of the .p12 files: {password}\n");
    text += &devices::notes(&name, &shown, &host, user);
    let value = json!({
        "user": user,
        "device": options.device,
        "directory": shown,
        "name": name,
        "fingerprint": fingerprint,
        "table": added,
        "password": password,
        "days": options.days,
    });
    Ok(tell(&options, &text, &value))
}

/// The fingerprint that is meant: of a file, or as written.
fn meant(word: &str, config: &Config) -> Result<String, Trouble> {
    let digest = digest_of(config)?;
    if let Some(fingerprint) = prints::normal(word, digest) {
        return Ok(fingerprint);
    }
    if Path::new(word).exists() {
        return prints::of_key(&*make::read_certificate(Path::new(word))?, digest);
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
    let config = options.load()?;
    let fingerprint = meant(what, &config)?;
    let table = Users::find(&config, options.table.as_deref())?;
    table.edit()?.add(&fingerprint, &entry)?;
    let text = format!("{fingerprint} is {user}'s now, in {}\n", table.name());
    let value = json!({ "user": user, "fingerprint": fingerprint, "table": table.name() });
    Ok(tell(&options, &text, &value))
}

fn revoke(words: &mut Parser) -> Result<ExitCode, Trouble> {
    let options = Options::read(words, &["device", "table"])?;
    let whom = options.only("USER, FINGERPRINT or FILE")?;
    let config = options.load()?;
    let table = Users::find(&config, options.table.as_deref())?;
    let of_user = |row: &users::Row| {
        row.entry().is_some_and(|entry| {
            let device = options.device.as_deref().map(str::as_bytes);
            entry.user == whom.as_bytes() && (device.is_none() || entry.device.as_deref() == device)
        })
    };
    let mut removed = table.remove(of_user)?;
    if removed == 0 && options.device.is_none() {
        if let Ok(fingerprint) = meant(whom, &config) {
            let mut keys = vec![fingerprint];
            if Path::new(whom).exists() {
                let certificate = make::read_certificate(Path::new(whom))?;
                keys.push(prints::of_certificate(&certificate, digest_of(&config)?)?);
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

fn renew(words: &mut Parser) -> Result<ExitCode, Trouble> {
    let options = Options::read(words, &["key", "key-file", "days", "ca", "out"])?;
    let path = PathBuf::from(options.only("FILE")?);
    let old = make::read_certificate(&path)?;
    let key = options.key.as_deref().ok_or_else(|| usage("--key is missing".to_owned()))?;
    let key = make::read_key(key)?;
    if !same_key(&old, &key) {
        return Err(Trouble::Failed(format!("{} is of another key", path.display())));
    }
    let authority = options.ca.as_deref().map(Authority::open).transpose()?;
    let new = make::renewed(&old, &key, options.days, authority.as_ref())?;
    let out = options.out.clone().unwrap_or_else(|| {
        let mut name = path.into_os_string();
        name.push(".new");
        name.into()
    });
    make::write(&out, &make::pem_of(&new)?, 0o644)?;
    let until = new.not_after().to_string();
    let text = format!("{}: the same key, until {until}\n", out.display());
    Ok(tell(&options, &text, &json!({ "file": out.display().to_string(), "until": until })))
}

fn same_key(certificate: &X509Ref, key: &openssl::pkey::PKeyRef<openssl::pkey::Private>) -> bool {
    certificate.public_key().is_ok_and(|public| public.public_eq(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_harmless() {
        assert_eq!(file_name("alice@example.org", Some("my phone")), "alice@example.org-my_phone");
        assert_eq!(file_name("../../etc/passwd", None), "_.._etc_passwd");
    }

    #[test]
    fn the_overview_names_each_verb() {
        for verb in VERBS {
            assert!(HELP.contains(&format!("\n    {} ", verb.name)), "{}", verb.name);
            assert!(verb.help.contains(&format!("smtpd-rs ccert {}", verb.name)), "{}", verb.name);
        }
    }
}
