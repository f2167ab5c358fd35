//! Revoked certificates, and what becomes of those whose authority has no list.

use openssl::x509::X509Ref;

use super::super::settings::Own;
use super::lists::{ENDED, FAR, LONG_AGO, list, list_with};
use super::*;

type Identity = (X509, PKey<Private>);

impl Pki {
    /// Settings with these lists.
    fn with_lists(&self, lists: &[u8]) -> Settings {
        let own = Own { crl_file: self.write("crl.pem", lists), ..Own::default() };
        Settings { own, log: log_level(b"0"), ..self.asking() }
    }

    /// A list of our CA with critical extensions: identifier and value.
    fn list_with(
        &self,
        times: (&str, &str),
        revoked: &[&X509Ref],
        extensions: &[(&[u8], &[u8])],
    ) -> Vec<u8> {
        list_with(&self.ca.0, &self.ca.1, times, revoked, extensions).unwrap()
    }

    /// An authority between ours and people.
    fn between(&self) -> Identity {
        let key = ec_key();
        (Shape { is_ca: true, ..Shape::of("Between") }.sign(&key, Some(&self.ca)), key)
    }

    /// A list of our CA.
    fn list(&self, ends: &str, revoked: &[&X509Ref]) -> Vec<u8> {
        list(&self.ca.0, &self.ca.1, ends, revoked).unwrap()
    }
}

fn server(settings: &Settings, tlsmgr: &FakeTlsmgr) -> TlsServer {
    TlsServer::with(settings.clone(), None, Box::new(tlsmgr.clone())).unwrap()
}

/// Trusted and revoked, and what was logged.
fn judged(settings: &Settings, certificate: &Identity) -> ((bool, bool), Vec<String>) {
    log();
    let server = server(settings, &FakeTlsmgr::default());
    let facts = session(&server, &Client::with_certificate(certificate)).0.unwrap();
    ((facts.trusted, facts.revoked), log())
}

/// A client that shows `certificate`, and sends this one of an authority along.
fn with_chain((certificate, key): &Identity, chain: &X509) -> Client {
    Client::new(|context| {
        context.set_certificate(certificate).unwrap();
        context.set_private_key(key).unwrap();
        context.add_extra_chain_cert(chain.clone()).unwrap();
    })
}

/// When a list begins that is newer than others.
const LATER: &str = "20210101000000Z";
/// Identifiers of extensions: deltaCRLIndicator, issuingDistributionPoint, and one of nobody.
const DELTA: &[u8] = b"\x55\x1d\x1b";
const POINT: &[u8] = b"\x55\x1d\x1c";
const STRANGE: &[u8] = b"\x2a\x03\x04";

const FAILED: &str = "certificate verification failed for client.example[192.0.2.1]";
const CA: &str = "/CN=Test CA/O=Test";

#[test]
fn a_revoked_certificate_is_not_trusted() {
    let pki = Pki::new();
    let (good, lost) = (pki.client(&Shape::of("good")), pki.client(&Shape::of("lost")));
    let settings = pki.with_lists(&pki.list(FAR, &[&lost.0]));
    assert_eq!(judged(&settings, &good), ((true, false), vec![]));
    let (is, said) = judged(&settings, &lost);
    assert_eq!((is, said), ((false, true), vec![format!("{FAILED}: revoked by {CA}")]));
    // Without the parameter nobody asks.
    assert_eq!(judged(&pki.asking(), &lost).0, (true, false));
}

#[test]
fn an_expired_certificate_can_be_revoked_too() {
    let pki = Pki::new();
    let lost = pki.client(&Shape { from_day: -9, to_day: -2, ..Shape::of("lost") });
    let settings = pki.with_lists(&pki.list(ENDED, &[&lost.0]));
    let (is, said) = judged(&settings, &lost);
    assert_eq!(is, (false, true));
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].ends_with(
            "the CRL of /CN=Test CA/O=Test has expired: no certificate of it is trusted"
        )
    );
    assert_eq!(said[1], format!("{FAILED}: revoked by {CA}"));
}

#[test]
fn an_authority_without_a_good_list_is_closed() {
    let pki = Pki::new();
    let client = pki.client(&Shape::of("client"));
    let other = Pki::with_ca("Other CA");
    let words = [
        (pki.list(ENDED, &[]), format!("CRL of {CA} has expired")),
        (other.list(FAR, &[]), format!("no CRL of {CA}")),
        (b"rubbish".to_vec(), format!("no CRL of {CA}")),
        (pki.list(FAR, &[])[..200].to_vec(), format!("no CRL of {CA}")),
    ];
    for (lists, why) in words {
        let (is, said) = judged(&pki.with_lists(&lists), &client);
        assert_eq!(is, (false, false), "{why}");
        assert_eq!(said.last(), Some(&format!("{FAILED}: {why}")));
    }
    let own = Own { crl_file: b"/nowhere/crl.pem".to_vec(), ..Own::default() };
    let (is, said) = judged(&Settings { own, ..pki.asking() }, &client);
    assert_eq!(is, (false, false));
    assert_eq!(
        said[0],
        "warning: cannot read smtpd_tls_ccert_crl_file /nowhere/crl.pem: No such file or directory"
    );
}

#[test]
fn a_list_of_somebody_else_neither_closes_nor_opens() {
    let pki = Pki::new();
    let (good, lost) = (pki.client(&Shape::of("good")), pki.client(&Shape::of("lost")));
    let forged = |revoked: &[&X509Ref]| list(&pki.ca.0, &ec_key(), FAR, revoked).unwrap();
    let ours = pki.list(FAR, &[&lost.0]);
    for lists in [[forged(&[&good.0]), ours.clone()].concat(), [ours.clone(), forged(&[])].concat()]
    {
        let settings = pki.with_lists(&lists);
        assert_eq!(judged(&settings, &good).0, (true, false));
        assert_eq!(judged(&settings, &lost).0, (false, true));
    }
    let settings = pki.with_lists(&forged(&[&good.0]));
    let (is, said) = judged(&settings, &good);
    assert_eq!(is, (false, false));
    assert!(said[0].ends_with("the CRL of /CN=Test CA/O=Test is not signed by it, and left out"));
}

#[test]
fn a_list_of_an_authority_that_clients_send_along_counts_where_it_is_signed_by_it() {
    let pki = Pki::new();
    let key = ec_key();
    let between = Shape { is_ca: true, ..Shape::of("Between") }.sign(&key, Some(&pki.ca));
    let between = (between, key);
    let key = ec_key();
    let leaf = (Shape::of("leaf").sign(&key, Some(&between)), key);
    let client = || {
        Client::new(|context| {
            context.set_certificate(&leaf.0).unwrap();
            context.set_private_key(&leaf.1).unwrap();
            context.add_extra_chain_cert(between.0.clone()).unwrap();
        })
    };
    let judge = |lists: Vec<Vec<u8>>| {
        let server = server(&pki.with_lists(&lists.concat()), &FakeTlsmgr::default());
        let facts = session(&server, &client()).0.unwrap();
        (facts.trusted, facts.revoked)
    };
    let of_between =
        |key: &PKey<Private>, revoked: &[&X509Ref]| list(&between.0, key, FAR, revoked).unwrap();
    // Whoever is in such a list may not be revoked, but we can't know.
    assert_eq!(judge(vec![of_between(&ec_key(), &[&leaf.0])]), (false, true));
    assert_eq!(judge(vec![of_between(&ec_key(), &[])]), (false, false));
    assert_eq!(judge(vec![of_between(&between.1, &[&leaf.0])]), (false, true));
    // The authority above need not have a list; where it has one, it counts. A revoked authority
    // does not make the client's own certificate a revoked one.
    assert_eq!(judge(vec![of_between(&between.1, &[])]), (true, false));
    let (good, ended) = (pki.list(FAR, &[]), pki.list(ENDED, &[]));
    let revoking = pki.list(FAR, &[&between.0]);
    assert_eq!(judge(vec![of_between(&between.1, &[]), good]), (true, false));
    assert_eq!(judge(vec![of_between(&between.1, &[]), ended]), (false, false));
    assert_eq!(judge(vec![of_between(&between.1, &[]), revoking]), (false, false));
}

#[test]
fn who_is_not_trusted_anyway_is_not_trusted_for_want_of_a_list_above() {
    let pki = Pki::new();
    let stranger = Pki::with_ca("Stranger");
    let key = ec_key();
    let between = Shape { is_ca: true, ..Shape::of("Between") }.sign(&key, Some(&stranger.ca));
    let between = (between, key);
    let key = ec_key();
    let leaf = Shape::of("leaf").sign(&key, Some(&between));
    let client = Client::new(|context| {
        context.set_certificate(&leaf).unwrap();
        context.set_private_key(&key).unwrap();
        context.add_extra_chain_cert(between.0.clone()).unwrap();
        context.add_extra_chain_cert(stranger.ca.0.clone()).unwrap();
    });
    let lists = [pki.list(FAR, &[]), list(&between.0, &between.1, FAR, &[]).unwrap()].concat();
    let server = server(&pki.with_lists(&lists), &FakeTlsmgr::default());
    assert!(!session(&server, &client).0.unwrap().trusted);
}

#[test]
fn what_was_revoked_since_is_refused_in_sessions_that_go_on() {
    let pki = Pki::new();
    let lost = pki.client(&Shape::of("lost"));
    for (max, ticket_cipher) in [
        (SslVersion::TLS1_3, &b"aes-256-cbc"[..]),
        (SslVersion::TLS1_2, b"aes-256-cbc"),
        (SslVersion::TLS1_2, b""),
    ] {
        let tlsmgr = FakeTlsmgr { cachable: true, ..FakeTlsmgr::default() };
        let with = |lists: &[u8]| {
            let settings = pki.with_lists(lists);
            server(&Settings { ticket_cipher: ticket_cipher.to_vec(), ..settings }, &tlsmgr)
        };
        let client = Client::new(|context| {
            context.set_certificate(&lost.0).unwrap();
            context.set_private_key(&lost.1).unwrap();
            context.set_max_proto_version(Some(max)).unwrap();
        });
        let judge = |server: &TlsServer| {
            log();
            let facts = session(server, &client).0.unwrap();
            (facts.resumed, facts.trusted, facts.revoked, log())
        };
        let before = pki.list(FAR, &[]);
        assert_eq!(judge(&with(&before)), (false, true, false, vec![]));
        assert_eq!(judge(&with(&before)), (true, true, false, vec![]));
        // The list has changed: a full handshake. Then the session remembers what was found.
        let after = pki.list(FAR, &[&lost.0]);
        let said = vec![format!("{FAILED}: revoked by {CA}")];
        assert_eq!(judge(&with(&after)), (false, false, true, said.clone()));
        assert_eq!(judge(&with(&after)), (true, false, true, said));
    }
}

#[test]
fn a_list_may_be_long() {
    let pki = Pki::new();
    let lost = pki.client(&Shape::of("lost"));
    let others: Vec<X509> =
        (0..2).map(|_| Shape::of("other").sign(&ec_key(), Some(&pki.ca))).collect();
    let mut revoked: Vec<&X509Ref> = Vec::new();
    for _ in 0..30_000 {
        revoked.extend(others.iter().map(|it| &**it));
    }
    revoked.push(&lost.0);
    let settings = pki.with_lists(&pki.list(FAR, &revoked));
    assert_eq!(judged(&settings, &lost).0, (false, true));
    // Beyond all measure, it is not even looked at.
    let (is, said) = judged(&pki.with_lists(&vec![b'\n'; 33 << 20]), &lost);
    assert_eq!(is, (false, false));
    assert!(said[0].ends_with("crl.pem: more than 33554432 bytes"), "{said:?}");
}

#[test]
fn lists_without_an_order_for_certificates_are_nothing() {
    let pki = Pki::new();
    let settings = Settings { ask: false, ..pki.with_lists(b"rubbish") };
    log();
    let server = server(&settings, &FakeTlsmgr::default());
    session(&server, &Client::tls13()).0.unwrap();
    assert_eq!(log(), Vec::<String>::new());
}

#[test]
fn a_revoked_certificate_is_revoked_whatever_chain_the_client_sends() {
    let pki = Pki::new();
    let between = pki.between();
    let key = ec_key();
    let lost = (Shape::of("lost").sign(&key, Some(&between)), key);
    let key = ec_key();
    let stranger = (pki.ca.0.clone(), ec_key());
    let fake = Shape { is_ca: true, ..Shape::of("Between") }.sign(&key, Some(&stranger));
    let lists = [pki.list(FAR, &[]), list(&between.0, &between.1, FAR, &[&lost.0]).unwrap()];
    let settings = pki.with_lists(&lists.concat());
    for client in
        [with_chain(&lost, &between.0), Client::with_certificate(&lost), with_chain(&lost, &fake)]
    {
        log();
        let server = server(&settings, &FakeTlsmgr::default());
        let facts = session(&server, &client).0.unwrap();
        assert_eq!((facts.trusted, facts.revoked), (false, true));
        assert_eq!(log(), [format!("{FAILED}: revoked by /CN=Between")]);
    }
}

#[test]
fn a_delta_list_is_no_list() {
    let pki = Pki::new();
    let (good, lost) = (pki.client(&Shape::of("good")), pki.client(&Shape::of("lost")));
    let base = pki.list(FAR, &[&lost.0]);
    let delta = pki.list_with((LATER, FAR), &[], &[(DELTA, b"\x02\x01\x01")]);
    let words = format!("the CRL of {CA} is a delta CRL, which is not supported, and left out");
    for lists in [[&base[..], &delta].concat(), [&delta[..], &base].concat()] {
        let settings = pki.with_lists(&lists);
        let (is, said) = judged(&settings, &lost);
        assert_eq!(is, (false, true));
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].ends_with(&words), "{said:?}");
        assert_eq!(judged(&settings, &good).0, (true, false));
    }
    let (is, said) = judged(&pki.with_lists(&delta), &good);
    assert_eq!(is, (false, false));
    assert_eq!(said.last(), Some(&format!("{FAILED}: no CRL of {CA}")));
}

#[test]
fn only_the_newest_list_counts() {
    let pki = Pki::new();
    let (good, lost) = (pki.client(&Shape::of("good")), pki.client(&Shape::of("lost")));
    let old = pki.list(FAR, &[]);
    let ended = pki.list_with((LATER, "20210201000000Z"), &[&lost.0], &[]);
    for lists in [[&old[..], &ended].concat(), [&ended[..], &old].concat()] {
        let settings = pki.with_lists(&lists);
        let (is, said) = judged(&settings, &good);
        assert_eq!(is, (false, false));
        assert_eq!(said.last(), Some(&format!("{FAILED}: CRL of {CA} has expired")));
        assert_eq!(judged(&settings, &lost).0, (false, true));
    }
    // What an older list has, and the newest has not, is revoked no more.
    let newest = pki.list_with((LATER, FAR), &[], &[]);
    let settings = pki.with_lists(&[pki.list(FAR, &[&lost.0]), newest].concat());
    assert_eq!(judged(&settings, &lost), ((true, false), vec![]));
}

#[test]
fn a_list_that_is_cut_off_closes_all() {
    let pki = Pki::new();
    let (good, lost) = (pki.client(&Shape::of("good")), pki.client(&Shape::of("lost")));
    let whole = pki.list(FAR, &[&lost.0]);
    let cut = whole.strip_suffix(b"-----END X509 CRL-----\n").unwrap();
    for (lists, number) in [([&whole[..], cut].concat(), 2), ([cut, &whole].concat(), 1)] {
        let settings = pki.with_lists(&lists);
        let (is, said) = judged(&settings, &good);
        assert_eq!(is, (false, false));
        let words = format!("CRL {number} is damaged: no client certificate is trusted");
        assert!(said[0].ends_with(&words), "{said:?}");
        assert_eq!(said.last(), Some(&format!("{FAILED}: no CRL of {CA}")));
        // What can be read still revokes.
        assert_eq!(judged(&settings, &lost).0, (false, true));
    }
}

#[test]
fn a_list_that_cannot_be_used_hides_no_older_one_and_is_hidden_by_none() {
    let pki = Pki::new();
    let (good, lost) = (pki.client(&Shape::of("good")), pki.client(&Shape::of("lost")));
    for (extension, why) in [
        ((POINT, &b"\x30\x03\x84\x01\xff"[..]), "is indirect"),
        ((POINT, b"\x30\x04\x83\x02\x06\x40"), "is for some reasons only"),
        ((POINT, b"\x30\x03\x82\x01\xff"), "is not about people's certificates"),
        ((POINT, b"\x30\x03\x85\x01\xff"), "is not about people's certificates"),
        ((POINT, b"\x30\x03\x84"), "has an issuingDistributionPoint that cannot be read"),
        ((STRANGE, b"\x05\x00"), "has an unknown critical extension"),
    ] {
        let list = |times, revoked: &[&X509Ref]| pki.list_with(times, revoked, &[extension]);
        let words = format!("the CRL of {CA} {why}, and left out");
        let newest = list((LATER, FAR), &[]);
        for lists in [newest.clone(), [pki.list(FAR, &[&lost.0]), newest.clone()].concat()] {
            let (is, said) = judged(&pki.with_lists(&lists), &good);
            assert_eq!(is, (false, false), "{why}");
            assert!(said[0].ends_with(&words), "{said:?}");
            assert_eq!(said.last(), Some(&format!("{FAILED}: no CRL of {CA}")));
        }
        // The newest that can be used still revokes.
        let settings = pki.with_lists(&[pki.list(FAR, &[&lost.0]), newest].concat());
        assert_eq!(judged(&settings, &lost).0, (false, true), "{why}");
        // What is older closes nothing.
        let complete = pki.list_with((LATER, FAR), &[&lost.0], &[]);
        let settings = pki.with_lists(&[complete, list((LONG_AGO, FAR), &[])].concat());
        assert_eq!(judged(&settings, &good).0, (true, false), "{why}");
        assert_eq!(judged(&settings, &lost).0, (false, true), "{why}");
    }
}

#[test]
fn each_part_of_a_partitioned_list_revokes() {
    let pki = Pki::new();
    let (good, lost) = (pki.client(&Shape::of("good")), pki.client(&Shape::of("lost")));
    let users = (POINT, &b"\x30\x03\x81\x01\xff"[..]);
    let point = (POINT, &b"\x30\x0f\xa0\x0d\xa0\x0b\x86\x09http://x/"[..]);
    let (users, point) = (
        pki.list_with((LONG_AGO, FAR), &[&lost.0], &[users]),
        pki.list_with((LATER, FAR), &[], &[point]),
    );
    let settings = pki.with_lists(&[&users[..], &point].concat());
    assert_eq!(judged(&settings, &good).0, (true, false));
    assert_eq!(judged(&settings, &lost).0, (false, true));
    // Beside a complete list, the newest of all counts.
    let settings = pki.with_lists(&[pki.list(FAR, &[&lost.0]), point].concat());
    assert_eq!(judged(&settings, &good).0, (false, false));
    assert_eq!(judged(&settings, &lost).0, (false, true));
}

#[test]
fn lists_among_the_authorities_do_not_count() {
    let pki = Pki::new();
    let good = pki.client(&Shape::of("good"));
    pki.write("ca.pem", &[pki.ca.0.to_pem().unwrap(), pki.list(FAR, &[])].concat());
    let ended = pki.list_with((LATER, "20210201000000Z"), &[], &[]);
    let (is, said) = judged(&pki.with_lists(&ended), &good);
    assert_eq!(is, (false, false));
    assert_eq!(said.last(), Some(&format!("{FAILED}: CRL of {CA} has expired")));
    assert_eq!(judged(&pki.with_lists(&pki.list(FAR, &[])), &good).0, (true, false));
    // Where there are none but certificates, that is said as ever.
    pki.write("ca.pem", &pki.list(FAR, &[]));
    log();
    let settings = pki.with_lists(&pki.list(FAR, &[]));
    assert!(TlsServer::with(settings, None, Box::new(FakeTlsmgr::default())).is_none());
    assert!(log()[0].starts_with("cannot load Certification Authority data, CAfile="));
}
