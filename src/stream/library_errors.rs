//! What OpenSSL says went wrong, as Postfix logs it.

use openssl::error::{Error, ErrorStack};

use crate::sys::errno::errno_text;

/// Logs each error of the stack: `TLS library problem: error:0A00010B:SSL routines::wrong version
/// number:../ssl/record/ssl3_record.c:350:`. As Postfix: `tls_print_errors()`.
pub fn log_library_errors(errors: &ErrorStack) {
    for error in errors.errors() {
        let (text, file, line) = (text(error), error.file(), error.line());
        match error.data() {
            Some(data) => {
                warning!("TLS library problem: {}:{}:{}:{}:", text, file, line, data);
            }
            None => warning!("TLS library problem: {}:{}:{}:", text, file, line),
        }
    }
}

/// As `ERR_error_string_n()`, which has no safe form in the crate.
fn text(error: &Error) -> String {
    let code = error.code();
    let library = match error.library() {
        Some(name) => name.to_owned(),
        None => format!("lib({})", (code >> 23) & 0xff),
    };
    let reason = match error.reason() {
        Some(text) => text.to_owned(),
        None if code & SYSTEM_ERROR != 0 => {
            let errno = i32::try_from(code & (SYSTEM_ERROR - 1)).unwrap_or(0);
            errno_text(errno)
        }
        None => format!("reason({})", code & 0x7f_ffff),
    };
    format!("error:{code:08X}:{library}::{reason}")
}

/// The bit of error codes that hold an errno (`ERR_SYSTEM_FLAG`).
const SYSTEM_ERROR: std::ffi::c_ulong = 0x8000_0000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::captured;

    #[test]
    fn errors_look_as_in_postfix() {
        let errors = openssl::x509::X509::from_pem(b"hello").unwrap_err();
        log_library_errors(&errors);
        let log = captured::take();
        let start = "warning: TLS library problem: error:0480006C:PEM routines::no start line:";
        assert!(log[0].starts_with(start), "{log:?}");
        assert!(log[0].ends_with(":Expecting: CERTIFICATE:"), "{log:?}");
    }

    #[test]
    fn system_errors_show_what_the_system_says() {
        let mut builder =
            openssl::ssl::SslContextBuilder::new(openssl::ssl::SslMethod::tls_server()).unwrap();
        log_library_errors(&builder.set_certificate_chain_file("/no/such").unwrap_err());
        let log = captured::take();
        let start = "warning: TLS library problem: \
                     error:80000002:system library::No such file or directory:";
        assert!(log[0].starts_with(start), "{log:?}");
    }
}
