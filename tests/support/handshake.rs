//! The client's side of TLS handshakes, as a transcript describes them.

use std::error::Error;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslRef, SslSession,
    SslSessionCacheMode, SslStream, SslVerifyMode, SslVersion,
};

use super::transcript::Tls;

/// What is kept of TLS from session to session.
#[derive(Default)]
pub(crate) struct Handshakes {
    context: Option<SslContext>,
    session: Arc<Mutex<Option<SslSession>>>,
}

impl Handshakes {
    /// Makes a handshake; certificates are in `directory`.
    pub(crate) fn connect<S: Read + Write>(
        &mut self,
        stream: S,
        how: &Tls,
        directory: &Path,
    ) -> Result<SslStream<Cut<S>>, Box<dyn Error>> {
        let context = match self.context.take().filter(|_| how.resume) {
            Some(context) => context,
            None => self.context(how, directory)?,
        };
        let mut ssl = Ssl::new(&context)?;
        if let Some(name) = &how.sni {
            ssl.set_hostname(name)?;
        }
        let kept = self.session.lock().map_err(|_| "poisoned")?.take();
        if let Some(session) = kept.filter(|_| how.resume) {
            // SAFETY: the session was made with the same context, which `resume` takes again.
            unsafe { ssl.set_session(&session)? };
        }
        self.context = Some(context);
        let stream = Cut { stream, left: how.cut.unwrap_or(usize::MAX) };
        Ok(ssl.connect(stream).map_err(|_| "handshake failed")?)
    }

    fn context(&self, how: &Tls, directory: &Path) -> Result<SslContext, Box<dyn Error>> {
        let mut builder = SslContextBuilder::new(SslMethod::tls_client())?;
        builder.set_verify(SslVerifyMode::NONE);
        builder
            .set_min_proto_version(how.min.as_deref().map(version).or(Some(SslVersion::TLS1)))?;
        builder.set_max_proto_version(how.max.as_deref().map(version))?;
        builder.set_cipher_list(how.ciphers.as_deref().unwrap_or("DEFAULT:@SECLEVEL=0"))?;
        if let Some(groups) = &how.groups {
            builder.set_groups_list(groups)?;
        }
        if let Some(name) = &how.cert {
            builder.set_certificate_chain_file(directory.join(format!("{name}.pem")))?;
            let key = directory.join(format!("{name}.key"));
            builder.set_private_key_file(key, SslFiletype::PEM)?;
        }
        builder
            .set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
        let kept = Arc::clone(&self.session);
        builder.set_new_session_callback(move |_, session| {
            if let Ok(mut kept) = kept.lock() {
                *kept = Some(session);
            }
        });
        Ok(builder.build())
    }
}

/// A connection that is gone when so many bytes were sent.
pub(crate) struct Cut<S> {
    pub(crate) stream: S,
    left: usize,
}

impl<S: Read> Read for Cut<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            Err(io::ErrorKind::BrokenPipe.into())
        } else {
            loop {
                match self.stream.read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    other => return other,
                }
            }
        }
    }
}

impl<S: Write> Write for Cut<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let sent = self.stream.write(&bytes[..bytes.len().min(self.left)])?;
        if self.left < usize::MAX {
            self.left -= sent;
        }
        Ok(sent)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// How a handshake ended, as transcripts say it: `S! tls TLSv1.3 CIPHER reused`.
pub(crate) fn summary(ssl: &SslRef) -> String {
    let cipher = ssl.current_cipher().map_or("", |cipher| cipher.name());
    let reused = if ssl.session_reused() { " reused" } else { "" };
    format!("S! tls {} {cipher}{reused}", ssl.version_str())
}

fn version(text: &str) -> SslVersion {
    match text {
        "1.0" => SslVersion::TLS1,
        "1.1" => SslVersion::TLS1_1,
        "1.2" => SslVersion::TLS1_2,
        _ => SslVersion::TLS1_3,
    }
}
