//! The OCSP response that goes out with our certificate.

use openssl::ssl::StatusType;

use super::super::settings::Own;
use super::lists::{ENDED, FAR, response};
use super::*;

impl Pki {
    fn response(&self, ends: &str) -> Vec<u8> {
        let server = X509::from_pem(&fs::read(self.dir.join("server.pem")).unwrap()).unwrap();
        response(&self.ca.0, &self.ca.1, &server, ends).unwrap()
    }
}

/// What a client gets that asks for it, twice; and what was logged.
fn stapled(pki: &Pki, file: &[u8]) -> ([Option<Vec<u8>>; 2], Vec<String>) {
    let own = Own { ocsp_file: pki.write("ocsp", file), ..Own::default() };
    let settings = Settings { own, log: log_level(b"0"), ..pki.settings() };
    let server = TlsServer::with(settings, None, Box::new(FakeTlsmgr::default())).unwrap();
    let got = [(); 2].map(|()| {
        let seen = Arc::new(Mutex::new(None));
        let keep = Arc::clone(&seen);
        let client = Client::new(move |context| {
            context
                .set_status_callback(move |ssl| {
                    *keep.lock().unwrap() = ssl.ocsp_status().map(<[u8]>::to_vec);
                    Ok(true)
                })
                .unwrap();
        });
        let (ours, theirs) = UnixStream::pair().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut ssl = Ssl::new(&client.context).unwrap();
                ssl.set_status_type(StatusType::OCSP).unwrap();
                let mut tls = ssl.connect(theirs).unwrap();
                let _ = tls.read_to_end(&mut Vec::new());
            });
            let mut stream = stream(ours);
            server.accept(&mut stream, NAMADDR, server.settings.log).unwrap();
            stream.close();
        });
        seen.lock().unwrap().take().map(|response: Vec<u8>| response)
    });
    // Whoever does not ask gets none, and is served.
    session(&server, &Client::tls12()).0.unwrap();
    (got, log())
}

#[test]
fn a_good_response_goes_to_who_asks() {
    let pki = Pki::new();
    let der = pki.response(FAR);
    let both = [Some(der.clone()), Some(der.clone())];
    assert_eq!(stapled(&pki, &der), (both.clone(), vec![]));
    let digits = openssl::base64::encode_block(&der);
    let pem = format!("-----BEGIN OCSP RESPONSE-----\n{digits}\n-----END OCSP RESPONSE-----\n");
    assert_eq!(stapled(&pki, pem.as_bytes()), (both, vec![]));
}

#[test]
fn a_response_that_is_not_good_is_not_sent_and_said_once() {
    let pki = Pki::new();
    let not_sent = "warning: smtpd_tls_ocsp_file";
    // One for another certificate is for another certificate of ours.
    let other = response(&pki.ca.0, &pki.ca.1, &pki.ca.0, FAR).unwrap();
    assert_eq!(stapled(&pki, &other), ([None, None], vec![]));
    for (file, why) in [
        (pki.response(ENDED), "it has expired"),
        (pki.response("20480101000000Z")[..60].to_vec(), "no OCSP response"),
        (b"rubbish".to_vec(), "neither DER nor PEM"),
        (b"0\x03\x0a\x01\x06".to_vec(), "the responder had no answer"),
        (Vec::new(), "neither DER nor PEM"),
    ] {
        let (got, said) = stapled(&pki, &file);
        let path = String::from_utf8(pki.path("ocsp")).unwrap();
        assert_eq!(got, [None, None], "{why}");
        assert_eq!(said, [format!("{not_sent} {path} is not sent: {why}")]);
    }
}
