//! Restrictions that ask the DNS. What they say is in the transcripts; here is what they ask.

use super::{Scene, log, recipient_list, scene};

const BROKEN: &str = "451 4.3.5 Server configuration error";

/// What the DNS is asked for one more recipient, who is accepted.
fn questions(scene: &mut Scene) -> Vec<String> {
    scene.questions.take();
    assert_eq!(scene.rcpt("you@local.example"), "Ok");
    scene.questions.take()
}

#[test]
fn client_helo_and_sender_are_asked_for_once_a_message() {
    let mut scene = scene(
        "smtpd_client_restrictions = reject_rhsbl_client bl.example, check_client_mx_access static:DUNNO\n\
         smtpd_helo_restrictions = reject_unknown_helo_hostname\n\
         smtpd_sender_restrictions = reject_unknown_sender_domain\n",
    );
    assert_eq!(
        questions(&mut scene),
        ["client.example.bl.example A", "client.example MX", "helo.example A", "sender.example MX"]
    );
    assert!(questions(&mut scene).is_empty());
    scene.sender = Some("me@client.example");
    assert_eq!(questions(&mut scene), ["client.example MX", "helo.example A", "client.example MX"]);
}

#[test]
fn what_is_logged_is_logged_for_each_recipient() {
    let list = "smtpd_sender_restrictions = check_sender_ns_access static:DUNNO\n";
    let mut scene = scene(list);
    scene.sender = Some("me@down.example");
    for _ in 0..2 {
        assert_eq!(questions(&mut scene), ["down.example NS"]);
        let text = "Unable to look up NS host for down.example: Host not found, try again";
        assert_eq!(log(), [format!("warning: {text}")]);
    }
}

#[test]
fn a_list_is_asked_once_for_each_client() {
    let mut scene = recipient_list("warn_if_reject reject_rbl_client bl.example, permit");
    assert_eq!(questions(&mut scene), ["7.2.0.192.bl.example A", "7.2.0.192.bl.example TXT"]);
    assert!(questions(&mut scene).is_empty());
    let mut scene = recipient_list("reject_rbl_client down.example, permit");
    assert_eq!(questions(&mut scene), ["7.2.0.192.down.example A"]);
    assert_eq!(log().len(), 1);
    assert!(questions(&mut scene).is_empty());
    assert!(log().is_empty());
}

#[test]
fn only_so_many_answers_are_kept() {
    let mut scene = recipient_list("reject_rbl_client bl.example=127.0.0.9, permit");
    let mut ask = |n: usize| {
        scene.client.addr = format!("198.51.100.{n}").into_bytes();
        !questions(&mut scene).is_empty()
    };
    assert!((0..100).all(&mut ask));
    assert!(!ask(0), "asked for last, it is kept");
    assert!(ask(100));
    assert!(!ask(0));
    assert!(ask(1), "it had not been asked for again");
}

#[test]
fn a_filter_of_a_list_that_is_none_fails_where_it_is_reached() {
    let mut scene = recipient_list("reject_rbl_client bl.example=127.0.0.[1, permit");
    assert_eq!(scene.rcpt("you@local.example"), BROKEN);
    let text = "RBL reply error: need \";\" or \"]\" at \"127.0.0.[1><\"";
    assert_eq!(log()[0], format!("warning: {text}"));
}

#[test]
fn a_default_reply_that_is_none_defers() {
    let mut scene = scene(
        "default_rbl_reply = $nobody\nsmtpd_client_restrictions = reject_rbl_client bl.example\n",
    );
    assert_eq!(scene.rcpt("you@local.example"), BROKEN);
    assert_eq!(log()[1], "warning: rbl_reject_reply: bad default rbl reply template: $nobody");
}

#[test]
fn a_list_without_mail_is_no_reason_to_refuse_helo() {
    let mut scene = scene(
        "smtpd_helo_restrictions = reject_unknown_helo_hostname
",
    );
    scene.helo = Some("null.example");
    assert_eq!(scene.rcpt("you@local.example"), "Ok");
}

#[test]
fn newer_releases_have_other_words() {
    let mut scene = recipient_list("reject_maps_rbl");
    assert_eq!(scene.rcpt("you@local.example"), "Ok");
    assert!(log()[0].starts_with("warning: support for restriction \"reject_maps_rbl\" will be"));
    let mut scene = super::scene(
        "smtpd_rs_dialect = 3.10\nrbl_reply_maps = inline:{{bl.example = 554 5.7.1 by domain}}\n\
         smtpd_client_restrictions = reject_rbl_client bl.example=127.0.0.2\n",
    );
    assert_eq!(scene.rcpt("you@local.example"), "554 5.7.1 by domain");
    let mut scene =
        super::scene("smtpd_rs_dialect = 3.9\nsmtpd_client_restrictions = reject_maps_rbl\n");
    assert_eq!(scene.rcpt("you@local.example"), BROKEN);
    assert_eq!(
        log()[0],
        "warning: support for restriction \"reject_maps_rbl\" has been removed in Postfix 3.9; \
         instead, specify \"reject_rbl_client domain-name\""
    );
    let mut scene = super::scene(
        "smtpd_rs_dialect = 3.9\nsmtpd_relay_restrictions = permit_mx_backup, reject\n",
    );
    for lines in [2, 1] {
        scene.rcpt("you@client.example");
        assert_eq!(log().len(), lines, "it warns once");
    }
}
