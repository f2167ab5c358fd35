//! The OCSP response that goes out with the server's certificate (smtpd_tls_ocsp_file).
//!
//! It goes to clients that ask for it, with the certificate that it is about, and as long as it is
//! valid. Whatever is wrong with it is logged once; handshakes go on without it.

use std::sync::atomic::{AtomicBool, Ordering};

use data_encoding::BASE64;
use openssl::error::ErrorStack;
use openssl::ocsp::{OcspResponse, OcspResponseStatus};
use openssl::ssl::{SslContextBuilder, SslRef};

use super::ffi::{self, OcspAnswer};
use super::files::File;
use super::session;
use crate::stream::log_library_errors;
use crate::sys::errno::error_text;

const BEGIN: &[u8] = b"-----BEGIN OCSP RESPONSE-----";
const END: &[u8] = b"-----END OCSP RESPONSE-----";
/// The clock of whoever signed it may be ahead so many seconds.
const SKEW: i64 = 300;

/// A response, ready to be sent.
struct Staple {
    name: Vec<u8>,
    der: Vec<u8>,
    answers: Vec<OcspAnswer>,
    warned: AtomicBool,
}

/// Whether there is a response that can be sent, at least for now.
pub(super) fn is_there(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x30) || memchr::memmem::find(bytes, BEGIN).is_some()
}

/// Lets the response in `file` be sent.
pub(super) fn staple(ctx: &mut SslContextBuilder, file: &File) {
    let staple = match &file.bytes {
        Ok(bytes) => parse(bytes).map_err(str::to_owned),
        Err(error) => Err(error_text(error)),
    };
    let (der, answers) = match staple {
        Ok(staple) => staple,
        Err(problem) => {
            warning!("smtpd_tls_ocsp_file {} is not sent: {}", file.name, problem);
            ffi::clear_errors();
            return;
        }
    };
    let warned = AtomicBool::new(false);
    let staple = Staple { name: file.name.clone(), der, answers, warned };
    staple.is_in_time(session::now());
    if let Err(errors) = ctx.set_status_callback(move |ssl| staple.send(ssl)) {
        log_library_errors(&errors);
    }
}

/// The response in DER, and what it says.
fn parse(bytes: &[u8]) -> Result<(Vec<u8>, Vec<OcspAnswer>), &'static str> {
    let der = der(bytes).ok_or("neither DER nor PEM")?;
    let response = OcspResponse::from_der(&der).map_err(|_| "no OCSP response")?;
    if response.status() != OcspResponseStatus::SUCCESSFUL {
        return Err("the responder had no answer");
    }
    let basic = response.basic().map_err(|_| "no basic OCSP response")?;
    match ffi::ocsp_answers(&basic) {
        answers if answers.is_empty() => Err("it is about no certificate"),
        answers => Ok((der, answers)),
    }
}

fn der(bytes: &[u8]) -> Option<Vec<u8>> {
    let Some(begin) = memchr::memmem::find(bytes, BEGIN) else {
        return (bytes.first() == Some(&0x30)).then(|| bytes.to_vec());
    };
    let inside = &bytes[begin + BEGIN.len()..];
    let inside = &inside[..memchr::memmem::find(inside, END)?];
    let digits: Vec<u8> = inside.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    BASE64.decode(&digits).ok()
}

impl Staple {
    /// Called by OpenSSL where the client asks; tells whether anything is sent.
    fn send(&self, ssl: &mut SslRef) -> Result<bool, ErrorStack> {
        let serial = ssl.certificate().and_then(|certificate| {
            certificate.serial_number().to_bn().ok().map(|serial| serial.to_vec())
        });
        let about = serial.is_some_and(|serial| self.answers.iter().any(|it| it.serial == serial));
        if !about || !self.is_in_time(session::now()) {
            return Ok(false);
        }
        ssl.set_ocsp_status(&self.der)?;
        Ok(true)
    }

    fn is_in_time(&self, now: i64) -> bool {
        let ended = self.answers.iter().any(|answer| answer.until < now);
        let early = self.answers.iter().any(|answer| answer.from > now + SKEW);
        if (ended || early) && !self.warned.swap(true, Ordering::Relaxed) {
            let problem = if ended { "it has expired" } else { "it is not valid yet" };
            warning!("smtpd_tls_ocsp_file {} is not sent: {}", self.name, problem);
        }
        !ended && !early
    }
}
