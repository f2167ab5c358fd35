//! Certificates by the name that a client asks for.

use std::rc::Rc;

use super::*;
use crate::config::Config;
use crate::table::Opener;
use crate::tls::sni::Names;

/// A server that has certificates for `other.test`, whose key is RSA.
fn server(pki: &Pki, shows_all: bool) -> TlsServer {
    let rsa = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    pki.pair("other", &rsa);
    let [key, pem] =
        ["other.key", "other.pem"].map(|name| pki.dir.join(name).display().to_string());
    let list = format!("tls_server_sni_maps = inline:{{ {{other.test = {key} {pem}}} }}\n");
    let config = Config::of_text(&list).unwrap();
    let names: Option<Rc<Names>> =
        Names::open(&config, &mut Opener::new(&config), shows_all).unwrap();
    let newer = Newer { shows_all_names: shows_all, ..Newer::default() };
    let settings = Settings { newer, ..pki.settings() };
    TlsServer::with(settings, names, Box::new(FakeTlsmgr::default())).unwrap()
}

/// What the log says of a client that asks for `name`, and the name that is remembered.
fn asked(server: &TlsServer, name: &str) -> (String, Option<Vec<u8>>) {
    let client = Client::tls13();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let facts = thread::scope(|scope| {
        let talk = scope.spawn(|| {
            let mut ssl = Ssl::new(&client.context).unwrap();
            ssl.set_hostname(name).unwrap();
            ssl.connect(theirs).map(drop).is_ok()
        });
        let mut stream = stream(ours);
        let facts = server.accept(&mut stream, NAMADDR, server.settings.log);
        stream.close();
        assert!(talk.join().unwrap());
        facts.unwrap()
    });
    (log().join("\n"), facts.server_name)
}

#[test]
fn the_certificates_of_a_name_take_the_place_of_the_others() {
    let pki = Pki::new();
    for shows_all in [false, true] {
        let (log, name) = asked(&server(&pki, shows_all), "Other.Test");
        assert!(log.starts_with(
            "Anonymous TLS connection established from client.example[192.0.2.1] to Other.Test: "
        ));
        assert!(log.contains(" server-signature RSA-PSS (2048 bits) "));
        assert_eq!(name, Some(b"Other.Test".to_vec()));
    }
}

#[test]
fn newer_releases_ask_for_certificates_only_where_a_session_does_not_go_on() {
    let pki = Pki::new();
    for shows_all in [false, true] {
        let server = server(&pki, shows_all);
        let client = Client::tls13();
        for resumed in [false, true] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let facts = thread::scope(|scope| {
                scope.spawn(|| client.talk_as(theirs, Some("nobody.test")));
                let mut stream = stream(ours);
                let facts = server.accept(&mut stream, NAMADDR, server.settings.log);
                let _ = stream.write(b"250 ok\r\n");
                stream.close();
                facts.unwrap()
            });
            assert_eq!(facts.resumed, resumed);
            let asked = log().iter().any(|line| line.contains("not matched"));
            assert_eq!(asked, !(shows_all && resumed), "{shows_all} {resumed}");
        }
    }
}

#[test]
fn broken_certificates_of_a_name_end_the_handshake_in_the_words_of_the_release() {
    let pki = Pki::new();
    let broken = pki.write("broken.pem", b"nothing");
    let list = format!("inline:{{ {{broken.test = {}}} }}", String::from_utf8_lossy(&broken));
    for (shows_all, words) in [(false, "callback failed"), (true, "cert cb error")] {
        let config = Config::of_text(&format!("tls_server_sni_maps = {list}\n")).unwrap();
        let names = Names::open(&config, &mut Opener::new(&config), shows_all).unwrap();
        let newer = Newer { shows_all_names: shows_all, ..Newer::default() };
        let settings = Settings { newer, ..pki.settings() };
        let server = TlsServer::with(settings, names, Box::new(FakeTlsmgr::default())).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let client = Client::tls13();
        thread::scope(|scope| {
            scope.spawn(|| client.talk_as(theirs, Some("broken.test")));
            let mut stream = stream(ours);
            assert!(server.accept(&mut stream, NAMADDR, server.settings.log).is_err());
        });
        let log = log();
        assert_eq!(log[0], "warning: No PEM data in SNI data for broken.test");
        assert!(log.iter().any(|line| line.contains(words)), "{log:?}");
    }
}

#[test]
fn a_name_without_certificates_is_shown_by_newer_releases_only() {
    let pki = Pki::new();
    for shows_all in [false, true] {
        let (log, name) = asked(&server(&pki, shows_all), "nobody.test");
        let not_matched = "TLS SNI nobody.test from client.example[192.0.2.1] not matched, \
                           using default chain\n";
        assert!(log.starts_with(not_matched), "{log}");
        assert_eq!(log.contains("[192.0.2.1] to nobody.test: "), shows_all);
        assert!(log.contains(" server-signature ECDSA (prime256v1) "));
        assert_eq!(name.is_some(), shows_all);
    }
}

#[test]
fn clients_need_not_hear_the_names_of_authorities() {
    let (pki, other) = (Pki::new(), Pki::with_ca("An authority"));
    let tells = |hides_ca_names: bool| {
        let own = Own { hides_ca_names, ..Own::default() };
        let ca_file = other.path("ca.pem");
        // In TLS 1.2 the server's first words can be read.
        let protocols = b"<=TLSv1.2".to_vec();
        let settings = Settings { own, ca_file, protocols, ..pki.asking() };
        let server = TlsServer::with(settings, None, Box::new(FakeTlsmgr::default())).unwrap();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        thread::scope(|scope| {
            let heard = scope.spawn(move || {
                theirs.write_all(&streams::client_hello()).unwrap();
                theirs.shutdown(std::net::Shutdown::Write).unwrap();
                let mut heard = Vec::new();
                theirs.read_to_end(&mut heard).unwrap();
                heard
            });
            let mut stream = stream(ours);
            assert!(server.accept(&mut stream, NAMADDR, server.settings.log).is_err());
            drop(stream);
            let heard = heard.join().unwrap();
            assert!(heard.len() > 500);
            memchr::memmem::find(&heard, b"An authority").is_some()
        })
    };
    assert!(tells(false) && !tells(true));
}
