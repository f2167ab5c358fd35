//! Which lists are asked when, and what one stage leaves for the next.

use super::{log, scene};

const ALL: &str = "\
smtpd_client_restrictions = check_client_access inline:{{bad.example = REJECT client}}
smtpd_helo_restrictions = check_helo_access inline:{{bad.example = REJECT helo}}
smtpd_sender_restrictions = check_sender_access inline:{{bad.example = REJECT sender}}
";

fn all(delay: &str) -> super::Scene {
    let mut scene = scene(&format!("{ALL}smtpd_delay_reject = {delay}"));
    scene.client.name = b"bad.example".to_vec();
    scene
}

#[test]
fn with_delay_everything_waits_for_the_recipient() {
    let mut scene = all("yes");
    assert_eq!(scene.connect(), "Ok");
    assert_eq!(scene.helo("bad.example"), "Ok");
    assert_eq!(scene.mail("x@bad.example"), "Ok");
    assert!(scene.rcpt("a@local.example").ends_with("Client host rejected: client"));
    scene.client.name = b"good.example".to_vec();
    assert!(scene.rcpt("a@local.example").ends_with("Helo command rejected: helo"));
    scene.helo = Some("good.example");
    assert!(scene.rcpt("a@local.example").ends_with("Sender address rejected: sender"));
    scene.sender = Some("x@good.example");
    assert_eq!(scene.rcpt("a@local.example"), "Ok");
    assert_eq!(log().len(), 3);
}

#[test]
fn without_delay_each_stage_decides() {
    let mut scene = all("no");
    assert!(scene.connect().ends_with("Client host rejected: client"));
    assert!(log()[0].starts_with("NOQUEUE: reject: CONNECT from "));
    assert!(scene.helo("bad.example").ends_with("Helo command rejected: helo"));
    assert!(scene.mail("x@bad.example").ends_with("Sender address rejected: sender"));
    assert_eq!(scene.rcpt("a@local.example"), "Ok");
    assert_eq!(scene.data("a@local.example"), "Ok");
}

#[test]
fn the_log_of_a_delayed_refusal_shows_the_recipient() {
    let mut scene = all("yes");
    scene.rcpt("a@local.example");
    let line = &log()[0];
    assert!(line.starts_with("NOQUEUE: reject: RCPT from "), "{line}");
    assert!(line.contains(" to=<a@local.example> "), "{line}");
}

#[test]
fn a_client_that_skips_helo_skips_its_list() {
    let mut scene = all("yes");
    scene.client.name = b"good.example".to_vec();
    scene.helo = None;
    assert_eq!(scene.rcpt("a@local.example"), "Ok");
}

#[test]
fn ok_ends_its_own_list_only() {
    let mut scene = scene(
        "smtpd_client_restrictions = permit\n\
         smtpd_relay_restrictions = check_client_access static:OK\n\
         smtpd_recipient_restrictions = reject",
    );
    assert!(scene.rcpt("a@local.example").starts_with("554 "));
}

#[test]
fn the_relay_list_comes_first_by_default() {
    let lists = "smtpd_relay_restrictions = reject_unauth_destination\n\
                 smtpd_recipient_restrictions = reject\n";
    let mut relay_first = scene(lists);
    assert!(relay_first.rcpt("a@other.example").ends_with("Relay access denied"));
    let mut recipient_first =
        scene(&format!("{lists}smtpd_relay_before_recipient_restrictions = no"));
    assert!(recipient_first.rcpt("a@other.example").ends_with("Access denied"));
    assert_eq!(log().len(), 1);
}

#[test]
fn the_old_order_is_mentioned_where_it_refuses() {
    let lists = "smtpd_relay_restrictions = defer_unauth_destination\n\
                 smtpd_recipient_restrictions = reject\n";
    let mut scene = scene(&format!("{lists}compatibility_level = 3.5"));
    assert!(scene.rcpt("a@other.example").starts_with("554 "));
    assert_eq!(
        log()[1],
        "using backwards-compatible default setting \
         smtpd_relay_before_recipient_restrictions=no to reject recipient \"a@other.example\" \
         from client \"client.example[192.0.2.7]\""
    );
}

#[test]
fn an_old_empty_relay_list_says_what_todays_would_refuse() {
    // What of_text is given last counts, but this one must not be set at all.
    let main_cf = "compatibility_level = 0\nmynetworks_style = host\n";
    let config = super::MAIN_CF.replace("smtpd_relay_restrictions =\n", "");
    let mut scene = super::open_text(&format!("{config}{main_cf}")).unwrap();
    log();
    assert!(scene.rcpt("a@other.example").starts_with("554 "));
    assert_eq!(log().len(), 2, "the old order is mentioned, the old relay list is not reached");
    let config = config.replace("= reject_unauth_destination", "= permit_tls_clientcerts, lenient");
    let lenient = "smtpd_restriction_classes = lenient\n\
                   lenient = check_client_access static:OK, reject\n";
    let mut scene = super::open_text(&format!("{config}{main_cf}{lenient}")).unwrap();
    log();
    assert_eq!(scene.rcpt("a@other.example"), "Ok");
    assert_eq!(
        log(),
        ["using backwards-compatible default setting \"smtpd_relay_restrictions = (empty)\" to \
          avoid \"Relay access denied\" error for recipient \"a@other.example\" from client \
          \"client.example[192.0.2.7]\""]
    );
    assert_eq!(scene.rcpt("a@local.example"), "Ok");
    assert_eq!(log(), [""; 0]);
}

#[test]
fn postmaster_needs_no_domain_and_no_permission() {
    let mut scene = scene("smtpd_client_restrictions = reject");
    assert_eq!(scene.rcpt("PostMaster"), "Ok");
    assert!(scene.rcpt("postmaster@local.example").starts_with("554 "));
}

#[test]
fn defer_if_permit_of_an_earlier_stage_waits_for_the_recipient() {
    for delay in ["yes", "no"] {
        let mut scene = scene(&format!(
            "smtpd_delay_reject = {delay}\nsmtpd_client_restrictions = defer_if_permit"
        ));
        assert_eq!(scene.connect(), "Ok");
        assert_eq!(scene.helo("helo.example"), "Ok");
        assert_eq!(scene.mail("me@sender.example"), "Ok");
        let reply = "450 4.7.0 <client.example[192.0.2.7]>: Client host rejected: \
                     defer_if_permit requested";
        assert_eq!(scene.rcpt("a@local.example"), reply);
        assert_eq!(scene.rcpt("b@local.example"), reply);
        assert!(scene.rcpt("a@other.example").ends_with("Relay access denied"));
        assert_eq!(scene.etrn("relay.example"), reply);
        // What is about the message starts anew.
        assert_eq!(scene.data("a@local.example"), "Ok");
    }
}

#[test]
fn defer_if_reject_ends_with_its_stage() {
    let mut scene =
        scene("smtpd_sender_restrictions = defer_if_reject\nsmtpd_recipient_restrictions = reject");
    assert!(scene.rcpt("a@local.example").starts_with("554 "));
    let mut both = super::scene(
        "smtpd_relay_restrictions = defer_if_reject\nsmtpd_recipient_restrictions = reject",
    );
    assert!(both.rcpt("a@local.example").contains("defer_if_reject requested"));
}

#[test]
fn etrn_asks_client_helo_and_its_own_list() {
    let mut scene = all("yes");
    assert!(scene.etrn("relay.example").ends_with("Client host rejected: client"));
    let mut own = super::scene(
        "smtpd_etrn_restrictions = inline:{{bad.example = REJECT}, {example = OK}}, reject",
    );
    assert_eq!(
        own.etrn("bad.example"),
        "554 5.7.1 <bad.example>: Etrn command rejected: Access denied"
    );
    assert_eq!(own.etrn("good.example"), "Ok");
    assert_eq!(own.etrn("org"), "554 5.7.1 <org>: Etrn command rejected: Access denied");
}

#[test]
fn data_and_its_end_have_lists() {
    let mut scene =
        scene("smtpd_data_restrictions = reject\nsmtpd_end_of_data_restrictions = defer");
    assert_eq!(
        scene.data("a@local.example"),
        "554 5.7.1 <DATA>: Data command rejected: Access denied"
    );
    assert!(log()[0].contains(" to=<a@local.example> "));
    assert_eq!(
        scene.end_of_data("a@local.example"),
        "450 4.3.2 <END-OF-MESSAGE>: End-of-data rejected: Try again later"
    );
    scene.count = 2;
    scene.end_of_data("a@local.example");
    assert!(!log()[1].contains(" to="), "of several recipients none is named");
}

#[test]
fn defer_if_permit_at_data_is_settled_there() {
    let mut scene = scene("smtpd_data_restrictions = defer_if_permit");
    assert!(scene.data("a@local.example").starts_with("450 4.7.0 <DATA>: Data command"));
}

#[test]
fn a_table_alone_has_a_meaning_in_most_lists() {
    let mut scene = scene(
        "smtpd_delay_reject = no\n\
         smtpd_client_restrictions = inline:{{192.0.2 = REJECT c}}\n\
         smtpd_helo_restrictions = inline:{{helo.example = REJECT h}}\n\
         smtpd_sender_restrictions = inline:{{sender.example = REJECT s}}\n\
         smtpd_relay_restrictions = inline:{{you@ = REJECT r}}\n\
         smtpd_data_restrictions = inline:{{x = y}}",
    );
    assert!(scene.connect().ends_with("Client host rejected: c"));
    assert!(scene.helo("helo.example").ends_with("Helo command rejected: h"));
    assert!(scene.mail("me@sender.example").ends_with("Sender address rejected: s"));
    assert!(scene.rcpt("you@local.example").ends_with("Recipient address rejected: r"));
    log();
    assert_eq!(scene.data("you@local.example"), "451 4.3.5 Server configuration error");
    assert_eq!(
        log()[0],
        "warning: specify one of (check_client_access, check_reverse_client_hostname_access, \
         check_helo_access, check_sender_access, check_recipient_access, check_etrn_access) \
         before Data command restriction \"inline:{{x = y}}\""
    );
}
