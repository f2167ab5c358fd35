//! Protocol traces (smtpd_tls_loglevel = trace).

use super::super::trace::Traces;
use super::*;

/// A server that traces each session into the directory of `pki`, and whose anvil(8) is not there.
fn server(pki: &Pki, main_cf: &str) -> TlsServer {
    let settings = Settings { log: log_level(b"trace"), ..pki.asking() };
    let mut server = TlsServer::with(settings, None, Box::new(FakeTlsmgr::default())).unwrap();
    let config = Config::of_text(&format!("smtpd_rs_dialect = 3.12\n{main_cf}")).unwrap();
    let mut traces = Traces::of(&config).unwrap();
    traces.directory = pki.path(".");
    server.traces = Some(traces);
    server
}

/// A session of this client; what the log says of it.
fn traced(server: &TlsServer, client: &Client) -> Vec<String> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| client.talk(theirs));
        let mut stream = stream(ours);
        let log = server.settings.log;
        let traced = server.traces_of(log, b"192.0.2.1");
        server.accept_traced(&mut stream, NAMADDR, log, traced).unwrap();
        let _ = stream.write(b"250 ok\r\n");
        stream.close();
    });
    log()
}

/// The files that begin as traces do.
fn traces(pki: &Pki) -> Vec<String> {
    let names = fs::read_dir(&pki.dir).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names.filter(|name| name.starts_with("smtpd-")).collect()
}

/// Whether OpenSSL has `SSL_trace()`.
fn possible() -> bool {
    if !ffi::can_trace() {
        eprintln!("not tested: this OpenSSL has no SSL_trace()");
    }
    ffi::can_trace()
}

#[test]
fn a_session_is_traced_in_words_to_its_end() {
    if !possible() {
        return;
    }
    let pki = Pki::new();
    let server = server(&pki, "tls_trace_rate_limit = 0\n");
    let client = Client::with_certificate(&pki.client(&Shape::of("roaming user")));
    let log = traced(&server, &client);
    let [name] = &traces(&pki)[..] else { panic!("{:?}", traces(&pki)) };
    assert!(name.contains("-192.0.2.1-"), "{name}");
    let path = pki.dir.join(".").join(name);
    assert_eq!(log, [format!("TLS protocol trace for 192.0.2.1 saved to {}", path.display())]);
    let text = fs::read_to_string(path).unwrap();
    for words in
        ["ClientHello", "ServerHello", "CertificateRequest", "CN = roaming user", "Finished"]
    {
        assert!(text.contains(words), "{words}:\n{text}");
    }
    let after = text.rsplit("Finished").next().unwrap();
    assert!(after.contains("NewSessionTicket") && after.contains("ApplicationData (23)"));
}

#[test]
fn a_trace_that_is_long_enough_ends_and_the_session_goes_on() {
    if !possible() {
        return;
    }
    let pki = Pki::new();
    let limits = "tls_trace_rate_limit = 0\nsmtpd_tls_trace_size_limit = 300\n";
    traced(&server(&pki, limits), &Client::tls12());
    let text = fs::read_to_string(pki.dir.join(&traces(&pki)[0])).unwrap();
    assert!(text.ends_with("\n[TLS trace truncated: size limit reached]\n"), "{text}");
    assert!(text.contains("ClientHello") && !text.contains("Finished"));
}

#[test]
fn a_directory_that_is_not_there_costs_the_trace_only() {
    if !possible() {
        return;
    }
    let pki = Pki::new();
    let mut server = server(&pki, "tls_trace_rate_limit = 0\n");
    let elsewhere = b"/nonexistent".to_vec();
    server.traces.as_mut().unwrap().directory = elsewhere;
    let log = traced(&server, &Client::tls13());
    assert_eq!(log.len(), 1);
    assert!(log[0].starts_with("warning: TLS trace: cannot open /nonexistent/smtpd-"), "{log:?}");
    assert!(log[0].ends_with(": No such file or directory"), "{log:?}");
}

#[test]
fn without_anvil_nothing_is_traced() {
    let pki = Pki::new();
    let log = traced(&server(&pki, ""), &Client::tls13());
    assert_eq!(traces(&pki), Vec::<String>::new());
    assert_eq!(
        log.last().map(String::as_str),
        Some("skipping TLS trace output - rate limit (1) exceeded")
    );
}
