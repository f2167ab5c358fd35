//! Single restrictions.

use super::{Scene, log, recipient_list, says, scene, with_recipient_list};
use crate::mail::client::NameStatus;
use crate::tls::TlsFacts;

const CERTIFICATE: &str = "AA:BB";
const KEY: &str = "CC:DD";

fn with_certificate(mut scene: Scene, trusted: bool) -> Scene {
    scene.tls = Some(TlsFacts {
        has_certificate: true,
        trusted,
        subject: b"Roaming User".to_vec(),
        certificate_fingerprint: Some(CERTIFICATE.into()),
        key_fingerprint: Some(KEY.into()),
        ..TlsFacts::default()
    });
    scene
}

#[test]
fn mynetworks_are_permitted() {
    let list = "permit_mynetworks, reject";
    assert!(says(list).starts_with("554"));
    let mut local = recipient_list(list).connected_from("localhost", "127.1.2.3");
    assert_eq!(local.rcpt("you@other.example"), "Ok");
}

#[test]
fn the_old_default_of_mynetworks_is_mentioned() {
    let main_cf = super::MAIN_CF.replace("mynetworks = 127.0.0.0/8\n", "");
    let text = format!(
        "{main_cf}compatibility_level = 1\nmynetworks_style_unused = x\n{}",
        with_recipient_list("permit_mynetworks, reject")
    );
    let Ok(scene) = super::open_text(&text) else { panic!() };
    log();
    let mut scene = scene.connected_from("localhost", "127.0.0.1");
    assert_eq!(scene.rcpt("you@other.example"), "Ok");
    assert_eq!(log(), [""; 0], "our own address is in mynetworks in any style");
}

#[test]
fn our_own_addresses_are_permitted_whatever_xclient_says() {
    let list = "permit_inet_interfaces, reject";
    let mut own = recipient_list(list).connected_from("localhost", "127.0.0.1");
    assert_eq!(own.rcpt("you@other.example"), "Ok");
    own.client.addr = b"192.0.2.9".to_vec();
    assert_eq!(own.rcpt("you@other.example"), "Ok");
    own.client.socket_addr = None;
    assert!(own.rcpt("you@other.example").starts_with("554"));
}

#[test]
fn a_login_is_permitted_but_not_anonymous() {
    let list = with_recipient_list("permit_sasl_authenticated, reject");
    let main_cf = format!("{list}smtpd_sasl_auth_enable = yes");
    let mut user = scene(&main_cf).logged_in("PLAIN", "me");
    assert_eq!(user.rcpt("you@other.example"), "Ok");
    let mut anonymous = scene(&main_cf).logged_in("ANONYMOUS", "me");
    assert!(anonymous.rcpt("you@other.example").starts_with("554"));
    // As Postfix 3.7: XCLIENT LOGIN is nothing without SASL.
    let mut xclient = scene(&list).logged_in("XCLIENT", "me");
    assert!(xclient.rcpt("you@other.example").starts_with("554"));
}

#[test]
fn check_sasl_access_looks_up_the_user() {
    let list = with_recipient_list("check_sasl_access inline:{{m\u{7f}e = REJECT}}");
    let main_cf = format!("{list}smtpd_sasl_auth_enable = yes");
    let mut user = scene(&main_cf).logged_in("PLAIN", "m\u{7f}e");
    assert_eq!(
        user.rcpt("you@other.example"),
        "554 5.7.1 <m_e>: SASL login name rejected: Access denied"
    );
    assert_eq!(scene(&main_cf).rcpt("you@other.example"), "Ok");
}

#[test]
fn a_listed_fingerprint_is_permitted_whoever_signed_it() {
    for fingerprint in [CERTIFICATE, KEY, "aa:bb"] {
        let list = with_recipient_list("permit_tls_clientcerts, reject");
        let main_cf =
            format!("{list}relay_clientcerts = inline:{{{{{fingerprint} = roaming user}}}}");
        let mut listed = with_certificate(scene(&main_cf), false);
        assert_eq!(listed.rcpt("you@other.example"), "Ok");
        let mut without = scene(&main_cf);
        assert!(without.rcpt("you@other.example").starts_with("554"));
    }
}

#[test]
fn an_unlisted_certificate_is_nothing_even_if_trusted() {
    let list = with_recipient_list("permit_tls_clientcerts, reject");
    let main_cf = format!("{list}relay_clientcerts = inline:{{{{EE:FF = other}}}}");
    let mut trusted = with_certificate(scene(&main_cf), true);
    assert!(trusted.rcpt("you@other.example").starts_with("554"));
    let all = with_recipient_list("permit_tls_all_clientcerts, reject");
    let mut trusted = with_certificate(scene(&all), true);
    assert_eq!(trusted.rcpt("you@other.example"), "Ok");
    let mut untrusted = with_certificate(scene(&all), false);
    assert!(untrusted.rcpt("you@other.example").starts_with("554"));
}

#[test]
fn a_failed_lookup_of_a_fingerprint_refuses_for_now() {
    let list = with_recipient_list("permit_tls_clientcerts, reject");
    let main_cf = format!("{list}relay_clientcerts = fail:x");
    let mut scene = with_certificate(scene(&main_cf), false);
    assert_eq!(
        scene.rcpt("you@other.example"),
        "451 4.3.0 <you@other.example>: Temporary lookup failure"
    );
    assert!(log().contains(
        &"warning: relay_clientcerts: lookup error for fingerprint 'AA:BB', pkey fingerprint CC:DD"
            .to_owned()
    ));
}

#[test]
fn who_is_not_asked_for_a_certificate_shows_none() {
    let mut scene = recipient_list("permit_tls_clientcerts, permit_tls_all_clientcerts, permit");
    scene.rcpt("you@other.example");
    assert_eq!(log(), [""; 0], "without TLS nothing is said");
    scene.tls = Some(TlsFacts::default());
    scene.rcpt("you@other.example");
    assert_eq!(
        log(),
        [
            "warning: permit_tls_clientcerts is requested, but \"smtpd_tls_ask_ccert = no\"",
            "warning: permit_tls_all_clientcerts is requested, but \"smtpd_tls_ask_ccert = no\"",
        ]
    );
}

#[test]
fn check_ccert_access_names_the_subject() {
    let mut scene = with_certificate(
        recipient_list("check_ccert_access inline:{{CC:DD = REJECT stolen}}"),
        false,
    );
    assert_eq!(
        scene.rcpt("you@other.example"),
        "554 5.7.1 <Roaming User>: Client certificate rejected: stolen"
    );
}

#[test]
fn check_ccert_access_searches_in_the_order_given() {
    let table = "inline:{{AA:BB = OK}, {CC:DD = REJECT}}";
    for (search, ok) in [
        (table.to_owned(), true),
        (format!("{{{table}, {{ search_order = pubkey_fingerprint, cert_fingerprint }}}}"), false),
        (format!("{{{table}, Search_Order=CERT_FINGERPRINT}}"), true),
        (format!("{{{table} search_order=}}"), false),
    ] {
        let list = format!("check_ccert_access {search}, reject");
        let mut scene = with_certificate(recipient_list(&list), false);
        assert_eq!(scene.rcpt("you@other.example") == "Ok", ok, "{search}");
    }
}

#[test]
fn whether_names_of_certificates_are_looked_up_is_known() {
    for (list, names) in [
        ("permit", false),
        ("check_ccert_access inline:{{a=OK}}", false),
        ("check_ccert_access {inline:{{a=OK}}, search_order=cert_fingerprint}", false),
        ("check_ccert_access {inline:{{a=OK}}, {search_order=cert_fingerprint, san_dns}}", true),
        ("check_ccert_access {inline:{{a=OK}}, search_order=cert_issuer}", true),
    ] {
        assert_eq!(recipient_list(list).policy.looks_up_names(), names, "{list}");
        let class = format!("smtpd_restriction_classes = mine\nmine = {list}");
        assert_eq!(scene(&class).policy.looks_up_names(), names, "{list}");
    }
}

const RAW_KEYS: &str =
    "smtpd_rs_dialect = 3.9\nsmtpd_tls_security_level = may\nsmtpd_tls_enable_rpk = yes\n";

#[test]
fn a_certificate_alone_is_a_fragile_rule_where_keys_come_alone() {
    let rule = "Fragile access policy: smtpd_tls_enable_rpk=yes, but";
    for (table, fragile) in [("{AA:BB = x}", true), ("{AA:BB = x}, {CC:DD = x}", false)] {
        let list = with_recipient_list("permit_tls_clientcerts, reject");
        let main_cf = format!("{RAW_KEYS}{list}relay_clientcerts = inline:{{{table}}}");
        let mut scene = with_certificate(scene(&main_cf), false);
        assert_eq!(scene.rcpt("you@other.example"), "Ok");
        let namaddr = String::from_utf8_lossy(&scene.client.namaddr).into_owned();
        let expected = format!(
            "warning: permit_tls_clientcerts: {namaddr}: relay_clientcerts: {rule} \
             public key fingerprint \"CC:DD\" not matched, \
             while certificate fingerprint \"AA:BB\" matched"
        );
        let log = log();
        assert_eq!(log.contains(&expected), fragile, "{table}: {log:?}");
        assert_eq!(log.iter().any(|line| line.contains("Fragile")), fragile);
    }
}

#[test]
fn rules_for_a_certificate_and_its_key_should_agree_where_keys_come_alone() {
    let pair = "search_order = cert_fingerprint, pubkey_fingerprint";
    let reversed = "search_order = pubkey_fingerprint, cert_fingerprint";
    for (table, order, ok, fragile) in [
        ("{AA:BB = OK}", pair, true, true),
        ("{AA:BB = OK}, {CC:DD = OK}", pair, true, false),
        ("{AA:BB = OK}, {CC:DD = REJECT}", pair, true, true),
        ("{AA:BB = REJECT a}, {CC:DD = OK}", pair, false, true),
        ("{AA:BB = REJECT a}, {CC:DD = REJECT b}", pair, false, false),
        ("{AA:BB = DUNNO}, {CC:DD = OK}", pair, true, false),
        ("{AA:BB = OK}", "search_order = cert_fingerprint", true, true),
        ("{AA:BB = OK}", reversed, true, true),
        ("{CC:DD = OK}", reversed, true, false),
        ("{AA:BB = REJECT a}, {CC:DD = OK}", reversed, true, false),
    ] {
        let search = format!("{{inline:{{{table}}}, {{{order}}}}}");
        let list = with_recipient_list(&format!("check_ccert_access {search}, reject"));
        let mut scene = with_certificate(scene(&format!("{RAW_KEYS}{list}")), false);
        let reply = scene.rcpt("you@other.example");
        assert_eq!(reply == "Ok", ok, "{search}: {reply}");
        assert!(ok || reply.contains(": a"), "{search}: {reply}");
        let namaddr = String::from_utf8_lossy(&scene.client.namaddr).into_owned();
        let expected = format!(
            "warning: check_ccert_access: {namaddr}: inline:{{{table}}}: Fragile access policy: \
             smtpd_tls_enable_rpk=yes, but the action for certificate fingerprint \"AA:BB\" != \
             the action for public key fingerprint \"CC:DD\""
        );
        let log = log();
        assert_eq!(log.contains(&expected), fragile, "{search}: {log:?}");
        assert_eq!(log.iter().any(|line| line.contains("Fragile")), fragile, "{search}");
    }
}

#[test]
fn check_ccert_access_says_what_is_wrong_with_its_table() {
    let broken = "451 4.3.5 Server configuration error";
    for (search, warnings) in [
        ("{static:OK, x=y}", &["unknown map attribute in '{static:OK, x=y}': 'x'"][..]),
        (
            "{static:OK, {search_order=a}}",
            &["unknown search type 'a' in '{static:OK, {search_order=a}}'"],
        ),
        ("{:{ }}x", &["malformed map specification: 'syntax error after '}' in \"{:{ }}x\"'"]),
        ("{ x=:y }", &[]),
    ] {
        let list = with_recipient_list(&format!("check_ccert_access {search}, permit"));
        let mut scene = super::open(&list).unwrap();
        let said = log();
        for warning in warnings {
            assert!(said.contains(&format!("warning: {warning}")), "{said:?}");
        }
        if !warnings.is_empty() {
            assert_eq!(scene.rcpt("you@other.example"), broken);
            assert_eq!(
                log()[0],
                format!("warning: See earlier parsing error messages for '{search}")
            );
        }
    }
    let mut names = with_certificate(
        recipient_list("check_ccert_access {static:OK, search_order=issuer_cn}"),
        true,
    );
    assert_eq!(names.rcpt("you@other.example"), broken);
    assert_eq!(
        log()[0],
        "warning: check_ccert_access: unexpected action 'issuer_cn' in '{static:OK, \
         search_order=issuer_cn}'"
    );
}

#[test]
fn check_ccert_access_without_certificate_says_nothing() {
    assert_eq!(says("check_ccert_access static:REJECT"), "Ok");
    assert_eq!(
        log()[0],
        "warning: check_ccert_access is requested, but \"smtpd_tls_ask_ccert = no\""
    );
    let list = with_recipient_list("check_ccert_access static:REJECT");
    let mut asked = scene(&format!("{list}smtpd_tls_ask_ccert = yes"));
    assert_eq!(asked.rcpt("you@other.example"), "Ok");
    assert_eq!(log(), [""; 0]);
}

#[test]
fn old_fingerprints_are_mentioned() {
    let list = with_recipient_list("permit_tls_clientcerts, check_ccert_access static:DUNNO");
    for (dialect, last) in [("3.8", "certificate"), ("3.9", "public key")] {
        let release = format!("smtpd_rs_dialect = {dialect}\ncompatibility_level = 3.5");
        let mut scene = with_certificate(scene(&format!("{list}{release}")), false);
        scene.rcpt("you@other.example");
        let line = |of: &str| {
            format!(
                "using backwards-compatible default setting smtpd_tls_fingerprint_digest=md5 to \
                 compute {of} fingerprints"
            )
        };
        assert_eq!(log(), [line("certificate"), line("certificate"), line(last)]);
    }
}

#[test]
fn a_client_without_name_is_refused() {
    for name in ["reject_unknown_client_hostname", "reject_unknown_client"] {
        let list = with_recipient_list(name);
        let mut scene = scene(&format!("{list}unknown_client_reject_code = 550"));
        assert_eq!(scene.rcpt("you@other.example"), "Ok");
        for (status, code) in [
            (NameStatus::Soft, "450 4.7.25"),
            (NameStatus::Hard, "550 5.7.25"),
            (NameStatus::Forged, "550 5.7.25"),
        ] {
            scene.client.name_status = status;
            assert_eq!(
                scene.rcpt("you@other.example"),
                format!("{code} Client host rejected: cannot find your hostname, [192.0.2.7]")
            );
        }
    }
}

#[test]
fn a_client_without_reverse_name_is_refused() {
    let list = with_recipient_list("reject_unknown_reverse_client_hostname");
    let mut scene = scene(&format!("{list}unknown_client_reject_code = 550"));
    assert_eq!(scene.rcpt("you@other.example"), "Ok");
    for (status, code) in [(NameStatus::Soft, "450 4.7.1"), (NameStatus::Hard, "550 5.7.1")] {
        scene.client.reverse_status = status;
        assert_eq!(
            scene.rcpt("you@other.example"),
            format!("{code} Client host rejected: cannot find your reverse hostname, [192.0.2.7]")
        );
    }
}

#[test]
fn client_tables_are_asked_for_names_then_addresses() {
    let of = |table: &str| says(&format!("check_client_access inline:{{{table}}}"));
    assert!(of("{client.example = REJECT}").starts_with("554"));
    assert!(of("{example = REJECT}").starts_with("554"));
    assert!(of("{192.0.2.7 = REJECT}").starts_with("554"));
    assert!(of("{192 = REJECT}").starts_with("554"));
    assert_eq!(of("{example = DUNNO}, {192.0.2.7 = REJECT}"), "Ok");
    assert_eq!(of("{.example = REJECT}"), "Ok");
    let list = with_recipient_list("check_client_access inline:{{.example = REJECT}}");
    let mut dots = scene(&format!("{list}parent_domain_matches_subdomains ="));
    assert!(dots.rcpt("you@other.example").starts_with("554"));
}

#[test]
fn helo_names_must_be_names() {
    for name in ["reject_invalid_helo_hostname", "reject_invalid_hostname"] {
        let mut scene = recipient_list(name);
        for good in ["a", "a.b.", "192.0.2.1", "[192.0.2.1]", "[IPv6:2001:db8::1]", "a_b.c"] {
            scene.helo = Some(good);
            assert_eq!(scene.rcpt("you@other.example"), "Ok", "{good}");
        }
        for bad in ["a..", "-a", "a b", "", "é.example"] {
            scene.helo = Some(bad);
            assert_eq!(
                scene.rcpt("you@other.example"),
                format!("501 5.5.2 <{bad}>: Helo command rejected: Invalid name")
            );
        }
        for bad in ["[192.0.2]", "[2001:db8::1]", "[192.0.2.1", "[]"] {
            scene.helo = Some(bad);
            assert_eq!(
                scene.rcpt("you@other.example"),
                format!("501 5.5.2 <{bad}>: Helo command rejected: invalid ip address")
            );
        }
        scene.helo = None;
        assert_eq!(scene.rcpt("you@other.example"), "Ok");
    }
}

#[test]
fn helo_names_must_be_full() {
    for name in ["reject_non_fqdn_helo_hostname", "reject_non_fqdn_hostname"] {
        let mut scene = recipient_list(name);
        for good in ["a.b", "a.b.", "[192.0.2.1]"] {
            scene.helo = Some(good);
            assert_eq!(scene.rcpt("you@other.example"), "Ok", "{good}");
        }
        for bad in ["a", "a.", "192.0.2.1", "é.example"] {
            scene.helo = Some(bad);
            assert_eq!(
                scene.rcpt("you@other.example"),
                format!("504 5.5.2 <{bad}>: Helo command rejected: need fully-qualified hostname")
            );
        }
        scene.smtputf8 = true;
        scene.helo = Some("é.example");
        assert_eq!(scene.rcpt("you@other.example"), "Ok");
    }
}

#[test]
fn an_address_as_helo_name_can_be_permitted() {
    let mut scene = recipient_list("permit_naked_ip_address, reject");
    scene.helo = Some("192.0.2.1");
    assert_eq!(scene.rcpt("you@other.example"), "Ok");
    assert!(log()[0].starts_with("warning: restriction permit_naked_ip_address is deprecated."));
    scene.helo = Some("192.0.2");
    assert!(scene.rcpt("you@other.example").ends_with("invalid ip address"));
    scene.helo = Some("a");
    assert!(scene.rcpt("you@other.example").starts_with("554"));
}

#[test]
fn sender_tables_are_asked_for_address_domain_and_user() {
    let of = |key: &str| {
        says(&format!("check_sender_access inline:{{{{{key} = REJECT}}}}")).starts_with("554")
    };
    for key in ["me@sender.example", "ME@Sender.Example", "sender.example", "example", "me@"] {
        assert!(of(key), "{key}");
    }
    for key in ["me", "@sender.example", "<>"] {
        assert!(!of(key), "{key}");
    }
}

#[test]
fn the_null_sender_has_a_key_of_its_own() {
    let mut scene = recipient_list("check_sender_access inline:{{<> = REJECT}}");
    scene.sender = Some("");
    assert_eq!(
        scene.rcpt("you@other.example"),
        "554 5.7.1 <>: Sender address rejected: Access denied"
    );
    let list = with_recipient_list("check_sender_access inline:{{nobody = REJECT}}");
    let mut own = super::scene(&format!("{list}smtpd_null_access_lookup_key = nobody"));
    own.sender = Some("");
    assert!(own.rcpt("you@other.example").starts_with("554"));
}

#[test]
fn a_failing_resolver_refuses_for_now() {
    let mut scene = recipient_list("check_recipient_access static:OK");
    assert_eq!(
        scene.rcpt("you@fail.example"),
        "451 4.3.0 <you@fail.example>: Temporary lookup failure"
    );
}

#[test]
fn an_address_without_domain_is_not_looked_up() {
    let mut scene = recipient_list("check_recipient_access static:REJECT");
    assert_eq!(scene.rcpt("bare"), "Ok");
    assert_eq!(log()[0], "warning: check_mail_access: no @domain in address: bare");
}

#[test]
fn a_routed_recipient_gets_no_permit_from_a_table() {
    let list = with_recipient_list("check_recipient_access static:OK, reject");
    assert!(scene(&list).rcpt("a@routed.example").starts_with("554"));
    let mut trusting = scene(&format!("{list}allow_untrusted_routing = yes"));
    assert_eq!(trusting.rcpt("a@routed.example"), "Ok");
}

#[test]
fn addresses_must_be_full() {
    let mut scene = recipient_list("reject_non_fqdn_sender, reject_non_fqdn_recipient");
    for good in ["a@b.c", "a@b.c.", "a@[x]"] {
        scene.sender = Some(good);
        assert_eq!(scene.rcpt(good), "Ok");
    }
    for bad in ["a", "a@b", "a@", "a@b.", "a@b.c..", "a@-b.c", "a@é.c"] {
        scene.sender = Some(bad);
        assert_eq!(
            scene.rcpt("you@other.example"),
            format!("504 5.5.2 <{bad}>: Sender address rejected: need fully-qualified address")
        );
        scene.sender = Some("");
        assert_eq!(
            scene.rcpt(bad),
            format!("504 5.5.2 <{bad}>: Recipient address rejected: need fully-qualified address")
        );
    }
    scene.smtputf8 = true;
    assert_eq!(scene.rcpt("a@é.c"), "Ok");
}

#[test]
fn only_our_own_destinations_are_authorized() {
    let mut scene = recipient_list("reject_unauth_destination");
    for good in ["a@local.example", "a@virtual.example", "a@relay.example", "bare"] {
        assert_eq!(scene.rcpt(good), "Ok", "{good}");
    }
    assert_eq!(scene.rcpt("a@other.example"), "554 5.7.1 <a@other.example>: Relay access denied");
    assert_eq!(scene.rcpt("a@routed.example"), "554 5.7.1 <a@routed.example>: Relay access denied");
    assert_eq!(
        scene.rcpt("a@fail.example"),
        "451 4.3.0 <a@fail.example>: Temporary lookup failure"
    );
    assert_eq!(
        says("defer_unauth_destination"),
        "454 4.7.1 <you@other.example>: Relay access denied"
    );
    let mut permit = recipient_list("permit_auth_destination, defer");
    assert_eq!(permit.rcpt("a@relay.example"), "Ok");
    assert!(permit.rcpt("a@other.example").starts_with("450"));
}

#[test]
fn check_relay_domains_still_works_and_says_that_it_is_old() {
    let mut scene = recipient_list("check_relay_domains");
    assert_eq!(scene.rcpt("a@local.example"), "Ok");
    assert_eq!(
        scene.rcpt("a@other.example"),
        "554 5.7.1 <a@other.example>: Recipient address rejected: Relay access denied"
    );
    scene.client.name = b"host.relay.example".to_vec();
    assert_eq!(scene.rcpt("a@other.example"), "Ok");
    let old = log().into_iter().filter(|line| line.contains("will be removed")).count();
    assert_eq!(old, 1);
}

#[test]
fn pipelining_where_it_must_not_be_is_refused() {
    let mut scene = recipient_list("reject_unauth_pipelining");
    assert_eq!(scene.rcpt("you@other.example"), "Ok");
    scene.pipelined = true;
    assert_eq!(
        scene.rcpt("you@other.example"),
        "503 5.5.0 <you@other.example>: Recipient address rejected: Improper use of SMTP command \
         pipelining"
    );
    assert_eq!(scene.memo.blamed, [crate::mail::client::ErrorClass::Protocol]);
}

#[test]
fn plaintext_is_refused() {
    let mut scene = recipient_list("reject_plaintext_session");
    assert_eq!(scene.rcpt("you@other.example"), "450 4.7.1 Session encryption is required");
    scene.tls = Some(TlsFacts::default());
    assert_eq!(scene.rcpt("you@other.example"), "Ok");
}

#[test]
fn a_bounce_has_one_recipient() {
    let mut scene = scene(
        "smtpd_recipient_restrictions = reject_multi_recipient_bounce, reject_unauth_destination\n\
         smtpd_data_restrictions = reject_multi_recipient_bounce",
    );
    scene.sender = Some("");
    assert_eq!(scene.rcpt("a@local.example"), "Ok");
    scene.count = 1;
    assert_eq!(
        scene.rcpt("a@local.example"),
        "550 5.5.3 <a@local.example>: Recipient address rejected: Multi-recipient bounce"
    );
    assert_eq!(scene.data("a@local.example"), "Ok");
    scene.count = 2;
    assert_eq!(
        scene.data("a@local.example"),
        "550 5.5.3 <DATA>: Data command rejected: Multi-recipient bounce"
    );
    scene.sender = Some("me@sender.example");
    assert_eq!(scene.rcpt("a@local.example"), "Ok");
}

#[test]
fn headers_are_rewritten_for_local_clients_only() {
    let local = |scene: Scene| scene.rewrites();
    let from_here = |text: &str| scene(text).connected_from("localhost", "127.0.0.1");
    assert_eq!(local(from_here("")), "true");
    assert_eq!(local(scene("")), "false");
    let networks = "local_header_rewrite_clients = permit_mynetworks";
    assert_eq!(local(from_here(networks)), "true");
    assert_eq!(local(scene(networks)), "false");
    for map in ["check_address_map inline:{{192.0.2.7 = x}}", "inline:{{192.0.2.7 = x}}"] {
        assert_eq!(local(scene(&format!("local_header_rewrite_clients = {map}"))), "true");
    }
    let certificates = "local_header_rewrite_clients = permit_tls_all_clientcerts";
    assert_eq!(local(with_certificate(scene(certificates), true)), "true");
    let login = "local_header_rewrite_clients = permit_sasl_authenticated\n\
                 smtpd_sasl_auth_enable = yes";
    assert_eq!(local(scene(login).logged_in("PLAIN", "me")), "true");
}

#[test]
fn wrong_words_and_tables_of_local_header_rewrite_clients_are_reported() {
    let strange = scene("local_header_rewrite_clients = permit, inline:{{192.0.2.7 = x}}");
    assert_eq!(strange.rewrites(), "true");
    assert_eq!(log(), ["warning: parameter local_header_rewrite_clients: invalid request: permit"]);
    let failing = scene("local_header_rewrite_clients = fail:x");
    assert_eq!(failing.rewrites(), "451 4.3.0 Temporary lookup error");
    assert!(log().last().unwrap().contains(
        "reject: MAIL from client.example[192.0.2.7]: 451 4.3.0 Temporary lookup error; "
    ));
    let broken = scene("local_header_rewrite_clients = check_address_map x");
    assert_eq!(broken.rewrites(), "451 4.3.5 Server configuration error");
}
