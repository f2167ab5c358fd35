//! `ccert show`: what a certificate is, and its fingerprints in all forms.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::Duration;

use lexopt::Parser;
use openssl::ssl::{Ssl, SslContext, SslMethod, SslStream, SslVerifyMode};
use openssl::x509::X509;
use serde_json::json;

use super::super::Trouble;
use super::options::Options;
use super::{make, prints, tell};
use crate::sys::start::ExitCode;
use crate::text::printable::is_deceptive;

/// What `--help` prints.
pub(super) const HELP: &str = "\
usage: smtpd-rs ccert show FILE|HOST:PORT

Prints subject, issuer, dates and all fingerprints (of the public key and of the certificate; with
colons, plain, and base64) of the certificate in a file (PEM or DER), or of the server at HOST:PORT
(STARTTLS; on port 465 TLS from the start).

    smtpd-rs ccert show phone.pem
    smtpd-rs ccert show mail.example.org:587
";

/// How long a server may take for one thing.
const PATIENCE: Duration = Duration::from_secs(30);
/// A greeting that comes later than that is none.
const GREETING: Duration = Duration::from_secs(10);
/// More than a server's greeting needs.
const LONGEST_TALK: u64 = 64 * 1024;

pub(super) fn show(words: &mut Parser) -> Result<ExitCode, Trouble> {
    let options = Options::read(words, &[])?;
    let what = options.only("FILE or HOST:PORT")?;
    let certificate = if Path::new(what).exists() {
        make::read_certificate(Path::new(what))?
    } else if let Some((host, port)) = what.rsplit_once(':') {
        of_server(host, port).map_err(|why| Trouble::Failed(format!("{what}: {why}")))?
    } else {
        return Err(Trouble::Failed(format!("\"{what}\" is no file and no HOST:PORT")));
    };
    let prints = prints::all(&certificate)?;
    let (subject, issuer) = (name(certificate.subject_name()), name(certificate.issuer_name()));
    let (from, until) = (certificate.not_before().to_string(), certificate.not_after().to_string());
    let mut text = String::new();
    let _ =
        writeln!(text, "subject {subject}\nissuer  {issuer}\nfrom    {from}\nuntil   {until}\n");
    text += &prints::table(&prints);
    let value = json!({
        "subject": subject,
        "issuer": issuer,
        "from": from,
        "until": until,
        "fingerprints": prints.iter().map(prints::Print::json).collect::<Vec<_>>(),
    });
    Ok(tell(&options, &text, &value))
}

/// A name for people: what could move the cursor or turn the text is left out.
pub(super) fn name(name: &openssl::x509::X509NameRef) -> String {
    let part = |entry: &openssl::x509::X509NameEntryRef| {
        let field = entry.object().nid().short_name().unwrap_or("?").to_owned();
        let value = entry.data().to_string().unwrap_or_default();
        let value = value.replace(|c: char| c.is_control() || is_deceptive(c), "?");
        format!("{field}={value}")
    };
    name.entries().map(part).collect::<Vec<_>>().join(", ")
}

fn of_server(host: &str, port: &str) -> Result<X509, String> {
    let port: u16 = port.parse().map_err(|_| "no port".to_owned())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = (host, port).to_socket_addrs().map_err(|error| error.to_string())?;
    let mut last = "no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return handshake(stream, host, port == 465),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

fn handshake(stream: TcpStream, host: &str, at_once: bool) -> Result<X509, String> {
    stream.set_read_timeout(Some(if at_once { PATIENCE } else { GREETING })).map_err(io)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(io)?;
    if !at_once {
        start_tls(&stream)?;
    }
    let ssl = || {
        let mut context = SslContext::builder(SslMethod::tls_client())?;
        // The certificate is shown, not trusted.
        context.set_verify(SslVerifyMode::NONE);
        let mut ssl = Ssl::new(&context.build())?;
        if host.parse::<std::net::IpAddr>().is_err() {
            ssl.set_hostname(host)?;
        }
        Ok(ssl)
    };
    let ssl = ssl().map_err(|error: openssl::error::ErrorStack| error.to_string())?;
    let mut stream = SslStream::new(ssl, stream).map_err(|error| error.to_string())?;
    stream.connect().map_err(|error| error.to_string())?;
    stream.ssl().peer_certificate().ok_or_else(|| "it has no certificate".to_owned())
}

/// Why nothing came.
fn io(error: std::io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "the server says nothing".to_owned(),
        _ => error.to_string(),
    }
}

fn start_tls(mut stream: &TcpStream) -> Result<(), String> {
    let mut reader = BufReader::new(stream.take(LONGEST_TALK));
    let no_greeting = |why| format!("no greeting: {why} (TLS from the start only on 465)");
    expect(&mut reader, "220").map_err(no_greeting)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(io)?;
    for (command, code) in [("EHLO localhost\r\n", "250"), ("STARTTLS\r\n", "220")] {
        stream.write_all(command.as_bytes()).map_err(io)?;
        expect(&mut reader, code)?;
    }
    Ok(())
}

/// Reads a reply of one line or several.
fn expect<R: Read>(reader: &mut BufReader<R>, code: &str) -> Result<(), String> {
    loop {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line).map_err(io)?;
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if !line.starts_with(code) {
            return Err(format!("expected {code}, got \"{}\"", line.escape_debug()));
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(());
        }
    }
}
