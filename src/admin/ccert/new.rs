//! `ccert new`: key, certificate, files for devices and the table's entry; all of it, or nothing.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use lexopt::Parser;
use openssl::pkey::{PKey, Private};
use openssl::x509::X509;
use serde_json::json;

use super::super::Trouble;
use super::devices::{self, Flavour};
use super::made::{Made, taken};
use super::make::{self, Authority};
use super::options::{Options, usage};
use super::{digest_of, prints, tell};
use crate::config::Config;
use crate::sys::process;
use crate::sys::start::ExitCode;

/// What `--help` prints.
pub(super) const HELP: &str = "\
usage: smtpd-rs ccert new USER [--device NAME] [--key p256|ed25519] [--days N] [--ca DIR]
           [--out DIR] [--password WORD|-] [--until DATE] [--senders LIST] [--clients LIST]
           [--no-add] [--table TYPE:FILE]

Makes a key and a certificate for USER, signed by itself or by the CA in DIR (made there if it is
not); PKCS#12 files in a modern and a legacy flavour, a profile for Apple's devices, and says which
device needs which. Unless --no-add is given, the key's fingerprint is added to the table. If one
part of it fails, nothing is left of the rest. A LIST is parted by blanks, in quotes for the shell;
--password - reads the password from standard input.

    smtpd-rs ccert new alice@example.org --device phone
    smtpd-rs ccert new alice@example.org --device laptop --ca /etc/postfix/clients-ca --days 365
    smtpd-rs ccert new bob --clients '192.0.2.0/24 2001:db8::/32' --senders '@example.org <>'
";

/// A file to be made.
struct Content {
    path: PathBuf,
    bytes: Vec<u8>,
    mode: u32,
}

/// What stands in the files.
struct Material<'a> {
    name: &'a str,
    directory: &'a Path,
    key: &'a PKey<Private>,
    certificate: &'a X509,
    authority: Option<&'a Authority>,
    password: &'a str,
}

pub(super) fn new(words: &mut Parser) -> Result<ExitCode, Trouble> {
    let takes = [
        "device", "key", "days", "ca", "out", "password", "until", "senders", "clients", "no-add",
        "table",
    ];
    let options = Options::read(words, &takes)?;
    let user = options.only("USER")?;
    let entry = options.entry(user)?;
    let site = options.site()?;
    let table = if options.no_add { None } else { Some(site.table(options.table.as_deref())?) };
    let config: &Config = table.as_ref().map_or(&site.main.config, |(_, config)| config);
    let name = file_name(user, options.device.as_deref())?;
    let directory = options.out.clone().unwrap_or_else(|| PathBuf::from(&name));
    let authority = options.ca.as_deref().map(Authority::open).transpose()?;
    let key = options.key_type.make().map_err(|error| Trouble::Failed(error.to_string()))?;
    let device = options.device.as_deref();
    let certificate = make::certificate(user, device, &key, options.days, authority.as_ref())?;
    let password = options.password()?.map_or_else(devices::password, Ok)?;
    let fingerprint = prints::of_key(&certificate, digest_of(config)?)?;
    let material = Material {
        name: &name,
        directory: &directory,
        key: &key,
        certificate: &certificate,
        authority: authority.as_ref(),
        password: &password,
    };
    let contents = material.contents()?;

    let edit = table.as_ref().map(|(table, _)| table.edit()).transpose()?;
    let add = || edit.map_or(Ok(()), |edit| edit.add(&fingerprint, &entry));
    material.make(&contents, add)?;
    let table = table.as_ref().map(|(table, _)| table.name());
    let mut text = told(&options, user, &material, &fingerprint, table.as_deref());
    let host = String::from_utf8_lossy(&config.myhostname);
    let shown = directory.display().to_string();
    text += &devices::notes(&name, &shown, &host, user, site.outgoing());
    let value = json!({
        "user": user,
        "device": options.device,
        "directory": shown,
        "name": name,
        "fingerprint": fingerprint,
        "table": table,
        "password": password,
        "days": options.days,
    });
    Ok(tell(&options, &text, &value))
}

/// What was made, for people.
fn told(
    options: &Options,
    user: &str,
    material: &Material<'_>,
    fingerprint: &str,
    table: Option<&str>,
) -> String {
    let (days, directory) = (options.days, material.directory.display());
    let mut text = format!("Certificate of {user}, {days} days, in {directory}\n");
    let _ = writeln!(text, "Fingerprint of the key: {fingerprint}");
    let _ = match table {
        Some(table) => writeln!(text, "Added to {table}"),
        None => {
            let command = options.to_add(fingerprint, user);
            writeln!(text, "Not added to a table. To let it in:\n  {command}")
        }
    };
    let _ = writeln!(text, "Password of the .p12 files: {}\n", material.password);
    text
}

impl Material<'_> {
    /// Writes the files and adds the entry. All is at hand, so it takes a moment; cut in two, it
    /// would be worth nothing.
    fn make(
        &self,
        contents: &[Content],
        add: impl FnOnce() -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        process::survive_interrupts();
        let mut made = Made::default();
        if let Some(authority) = self.authority {
            authority.write(&mut made)?;
        }
        made.directory(self.directory)?;
        for content in contents {
            made.write(&content.path, &content.bytes, content.mode)?;
        }
        add()?;
        made.keep();
        Ok(())
    }

    /// All files; none of them may be there.
    fn contents(&self) -> Result<Vec<Content>, Trouble> {
        let (modern, legacy) = (self.pkcs12(Flavour::Modern)?, self.pkcs12(Flavour::Legacy)?);
        let profile = devices::apple_profile(self.name, &legacy)?.into_bytes();
        let files = [
            (".key", make::pem_of_key(self.key)?, 0o600),
            (".pem", make::pem_of(self.certificate)?, 0o644),
            (".p12", modern, 0o600),
            (".mobileconfig", profile, 0o600),
            ("-legacy.p12", legacy, 0o600),
        ];
        let content = |(ending, bytes, mode)| {
            let path = self.directory.join(format!("{}{ending}", self.name));
            let content = Content { path, bytes, mode };
            if content.path.symlink_metadata().is_ok() {
                return Err(taken(&content.path));
            }
            Ok(content)
        };
        files.into_iter().map(content).collect()
    }

    fn pkcs12(&self, flavour: Flavour) -> Result<Vec<u8>, Trouble> {
        let authority = self.authority.map(|ca| &ca.certificate);
        let Self { name, key, certificate, password, .. } = self;
        devices::pkcs12(name, key, certificate, authority, password, flavour)
    }
}

/// A name for files: letters, digits, and what is harmless.
fn file_name(user: &str, device: Option<&str>) -> Result<String, Trouble> {
    let whole = device.map_or_else(|| user.to_owned(), |device| format!("{user}-{device}"));
    let plain = |c: char| if c.is_alphanumeric() || "@.-_+".contains(c) { c } else { '_' };
    let name: String = whole.chars().map(plain).collect();
    match name.trim_start_matches(['.', '-']) {
        "" => Err(usage(format!("no file can be named for \"{user}\""))),
        name => Ok(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_harmless() {
        let name = |user, device| file_name(user, device).unwrap();
        assert_eq!(name("alice@example.org", Some("my phone")), "alice@example.org-my_phone");
        assert_eq!(name("../../etc/passwd", None), "_.._etc_passwd");
        assert!(file_name(".", None).is_err() && file_name("..", Some("-")).is_err());
    }
}
