//! `ccert renew`: a new certificate for the same key.

use std::path::PathBuf;

use lexopt::Parser;
use serde_json::json;

use super::super::Trouble;
use super::made::Made;
use super::make::{self, Authority};
use super::options::{Options, usage};
use super::{show, tell};
use crate::sys::start::ExitCode;

/// What `--help` prints.
pub(super) const HELP: &str = "\
usage: smtpd-rs ccert renew FILE --key FILE [--days N] [--ca DIR] [--out FILE]

Writes a new certificate for the same key and names to FILE.new, or to --out; signed by itself, or
by the CA in DIR if a CA has issued the old one. An entry by the key's fingerprint stays good, and
counts even when the certificate has expired: then nothing needs doing, unless the client itself
minds. An entry by the certificate's fingerprint needs the new one.

Without the key, which is on the device alone: make a new one for it (ccert new), and when it is in
use take the old one out (ccert revoke FINGERPRINT).

    smtpd-rs ccert renew alice-phone.pem --key alice-phone.key --days 825
";

pub(super) fn renew(words: &mut Parser) -> Result<ExitCode, Trouble> {
    let options = Options::read(words, &["key", "key-file", "days", "ca", "out"])?;
    let path = PathBuf::from(options.only("FILE")?);
    let old = make::read_certificate(&path)?;
    let key = options.key.as_deref().ok_or_else(|| usage("--key is missing".to_owned()))?;
    let key = make::read_key(key)?;
    if !make::same_key(&old, &key) {
        return Err(Trouble::Failed(format!("{} is of another key", path.display())));
    }
    if options.ca.is_none() && !make::is_its_own(&old) {
        let issuer = show::name(old.issuer_name());
        let path = path.display();
        return Err(Trouble::Failed(format!("{path} was issued by {issuer}: give --ca DIR")));
    }
    let authority = options.ca.as_deref().map(Authority::existing).transpose()?;
    let new = make::renewed(&old, &key, options.days, authority.as_ref())?;
    let out = options.out.clone().unwrap_or_else(|| {
        let mut name = path.into_os_string();
        name.push(".new");
        name.into()
    });
    let mut made = Made::default();
    made.write(&out, &make::pem_of(&new)?, 0o644)?;
    made.keep();
    let (file, until) = (out.display().to_string(), new.not_after().to_string());
    let issuer = authority.as_ref().map(|_| show::name(new.issuer_name()));
    let by = issuer.as_deref().unwrap_or("itself");
    let text = format!(
        "\
Made: {file}, the same key and names, until {until}, signed by {by}
Not made: .p12 and .mobileconfig files for devices. For these: openssl pkcs12 -export -in {file}
  -inkey KEY -out NEW.p12
An entry of the table by the key's fingerprint stays good.
"
    );
    Ok(tell(&options, &text, &json!({ "file": file, "until": until, "issuer": issuer })))
}
