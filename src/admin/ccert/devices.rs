//! What devices take: PKCS#12 files, Apple's profiles, and words for people.

use std::fmt::Write as _;

use data_encoding::BASE64;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::{PKeyRef, Private};
use openssl::stack::Stack;
use openssl::x509::{X509, X509Ref};

use super::super::Trouble;
use super::site::Outgoing;

/// How a PKCS#12 file is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    /// AES-256 and SHA-256.
    Modern,
    /// Triple DES and SHA-1: for devices that know nothing better.
    Legacy,
}

/// Key, certificate, and the CA's certificate, under a password.
pub(super) fn pkcs12(
    name: &str,
    key: &PKeyRef<Private>,
    certificate: &X509Ref,
    authority: Option<&X509>,
    password: &str,
    flavour: Flavour,
) -> Result<Vec<u8>, Trouble> {
    let build = || -> Result<Vec<u8>, ErrorStack> {
        let mut builder = Pkcs12::builder();
        let (cipher, digest) = match flavour {
            Flavour::Modern => (Nid::AES_256_CBC, MessageDigest::sha256()),
            Flavour::Legacy => (Nid::PBE_WITHSHA1AND3_KEY_TRIPLEDES_CBC, MessageDigest::sha1()),
        };
        builder.name(name).pkey(key).cert(certificate);
        builder.key_algorithm(cipher).cert_algorithm(cipher).mac_md(digest);
        if let Some(authority) = authority {
            let mut chain = Stack::new()?;
            chain.push(authority.clone())?;
            builder.ca(chain);
        }
        builder.build2(password)?.to_der()
    };
    build().map_err(|error| Trouble::Failed(format!("PKCS#12: {error}")))
}

/// A password that a person can type: 4 groups of 5 letters and digits, 100 bits.
pub(super) fn password() -> Result<String, Trouble> {
    const SIGNS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = [0; 20];
    openssl::rand::rand_bytes(&mut random).map_err(|error| Trouble::Failed(error.to_string()))?;
    let mut text = String::new();
    for (at, byte) in random.iter().enumerate() {
        if at > 0 && at % 5 == 0 {
            text.push('-');
        }
        text.push(char::from(SIGNS[usize::from(byte % 32)]));
    }
    Ok(text)
}

/// A profile that installs the key on Apple's devices (`.mobileconfig`).
pub(super) fn apple_profile(name: &str, pkcs12: &[u8]) -> Result<String, Trouble> {
    let (profile, payload) = (uuid()?, uuid()?);
    let name = xml(name);
    let content = BASE64.encode(pkcs12);
    Ok(format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>PayloadType</key><string>Configuration</string>
  <key>PayloadVersion</key><integer>1</integer>
  <key>PayloadIdentifier</key><string>smtpd-rs.{profile}</string>
  <key>PayloadUUID</key><string>{profile}</string>
  <key>PayloadDisplayName</key><string>Mail certificate of {name}</string>
  <key>PayloadContent</key>
  <array>
    <dict>
      <key>PayloadType</key><string>com.apple.security.pkcs12</string>
      <key>PayloadVersion</key><integer>1</integer>
      <key>PayloadIdentifier</key><string>smtpd-rs.{profile}.{payload}</string>
      <key>PayloadUUID</key><string>{payload}</string>
      <key>PayloadDisplayName</key><string>{name}</string>
      <key>PayloadContent</key><data>{content}</data>
    </dict>
  </array>
</dict>
</plist>
"#
    ))
}

fn uuid() -> Result<String, Trouble> {
    let mut bytes = [0u8; 16];
    openssl::rand::rand_bytes(&mut bytes).map_err(|error| Trouble::Failed(error.to_string()))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
        let _ = write!(text, "{dash}{byte:02X}");
    }
    Ok(text)
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Which file is for which device, and what to do with it.
pub(super) fn notes(
    name: &str,
    directory: &str,
    server: &str,
    user: &str,
    outgoing: Outgoing,
) -> String {
    let port = outgoing.port;
    let security = if outgoing.wrapper { "SSL/TLS" } else { "STARTTLS" };
    let tls = if outgoing.wrapper { "on\n               tls_starttls off" } else { "on" };
    format!(
        "\
For the device (the password above is asked for once):
  {directory}/{name}.p12            Thunderbird, Android 13 and later, Windows 11, Linux
  {directory}/{name}-legacy.p12     macOS and iOS before 18, older Android and Windows
  {directory}/{name}.mobileconfig   iPhone, iPad, Mac: open it, install it in Settings
  {directory}/{name}.pem, {name}.key   msmtp, mutt, swaks, curl, other servers

  Thunderbird  Settings, Privacy & Security, Manage Certificates, Your Certificates, Import.
               Outgoing server {server}, port {port}, {security},
               authentication \"TLS Certificate\" (or none: the certificate alone is enough).
  K-9, Thunderbird for Android
               Install the .p12 in Android's settings. Outgoing server {server}, port {port},
               {security}, authentication \"Client certificate\", choose it; user name {user}
  msmtp        host {server}
               port {port}
               tls {tls}
               tls_cert_file {directory}/{name}.pem
               tls_key_file {directory}/{name}.key
               auth external
               user {user}

Then delete the private key here: {directory}/{name}.key and the .p12 and .mobileconfig files
"
    )
}

#[cfg(test)]
mod tests {
    use super::super::make::{KeyType, certificate};
    use super::*;

    #[test]
    fn both_flavours_can_be_opened_with_the_password() {
        let key = KeyType::P256.make().unwrap();
        let cert = certificate("alice@example.org", None, &key, 30, None).unwrap();
        for flavour in [Flavour::Modern, Flavour::Legacy] {
            let der = pkcs12("alice", &key, &cert, Some(&cert), "secret", flavour).unwrap();
            let open = |password| Pkcs12::from_der(&der).unwrap().parse2(password);
            let parsed = open("secret").unwrap();
            assert!(parsed.pkey.unwrap().public_eq(&key));
            assert_eq!(parsed.ca.unwrap().len(), 1);
            assert!(open("wrong").is_err());
        }
    }

    #[test]
    fn passwords_are_long_and_never_the_same() {
        let (one, other) = (password().unwrap(), password().unwrap());
        assert_eq!(one.len(), 23);
        assert_ne!(one, other);
    }

    #[test]
    fn a_profile_is_xml_whatever_the_name_is() {
        let profile = apple_profile("a <b> & \"c\"", b"\x00\x01").unwrap();
        assert!(profile.contains("a &lt;b&gt; &amp; &quot;c&quot;") && profile.contains("AAE="));
    }

    #[test]
    fn notes_tell_the_port_that_there_is() {
        let notes = |port, wrapper| {
            notes("a", "d", "mail.example.org", "alice", Outgoing { port, wrapper })
        };
        let submission = notes(587, false);
        assert!(submission.contains("port 587, STARTTLS") && !submission.contains("tls_starttls"));
        assert!(submission.contains("choose it; user name alice\n"));
        let smtps = notes(465, true);
        assert!(smtps.contains("port 465, SSL/TLS") && smtps.contains("tls_starttls off\n"));
        assert!(!smtps.contains("587") && !smtps.contains("STARTTLS"));
    }
}
