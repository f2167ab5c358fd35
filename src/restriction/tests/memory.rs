//! What need not be asked for each recipient, and what must.

use super::{Scene, log, scene};

const LISTS: &str = "\
smtpd_client_restrictions = permit_mynetworks, check_client_access inline:{{192.0.2.9 = REJECT}}
smtpd_helo_restrictions = check_helo_access inline:{{bad.example = REJECT}}
smtpd_sender_restrictions = mine, inline:{{bad.example = REJECT}}
smtpd_restriction_classes = mine
mine = reject_non_fqdn_sender
smtpd_recipient_restrictions = reject_unauth_destination
smtpd_reject_unlisted_recipient = no
";

/// What the resolver is asked for one more recipient.
fn asked(scene: &mut Scene) -> Vec<String> {
    scene.asked.take();
    assert_eq!(scene.rcpt("you@local.example"), "Ok");
    scene.asked.take()
}

#[test]
fn the_sender_of_a_message_is_looked_up_once() {
    let mut scene = scene(LISTS);
    assert_eq!(asked(&mut scene), ["me@sender.example", "you@local.example"]);
    assert_eq!(asked(&mut scene), ["you@local.example"]);
    scene.sender = Some("me@more.example");
    assert_eq!(asked(&mut scene), ["me@more.example", "you@local.example"]);
}

#[test]
fn whatever_the_lists_look_at_is_looked_at_again_when_it_changes() {
    type Change = fn(&mut Scene);
    let changes: [(Change, &str); 4] = [
        (|scene| scene.client.addr = b"192.0.2.9".to_vec(), "Client host rejected"),
        (|scene| scene.helo = Some("bad.example"), "Helo command rejected"),
        (|scene| scene.sender = Some("me@bad.example"), "Sender address rejected"),
        (|scene| scene.sender = Some("me"), "need fully-qualified address"),
    ];
    for (change, reply) in changes {
        let mut scene = scene(LISTS);
        assert_eq!(scene.rcpt("you@local.example"), "Ok");
        change(&mut scene);
        let said = scene.rcpt("you@local.example");
        assert!(said.contains(reply), "{said}");
        assert_eq!(scene.rcpt("you@local.example"), said);
    }
}

#[test]
fn the_recipient_is_always_checked() {
    let mut scene = scene(LISTS);
    assert_eq!(scene.rcpt("you@local.example"), "Ok");
    assert!(scene.rcpt("you@other.example").ends_with("Relay access denied"));
}

#[test]
fn what_says_or_does_something_does_so_for_each_recipient() {
    for (list, lines) in [
        ("check_client_access inline:{{192.0.2.7 = INFO seen}}", 1),
        ("check_client_access inline:{{192.0.2.7 = OK}}", 1),
        ("warn_if_reject reject", 1),
        ("permit, reject", 2),
        ("permit_tls_clientcerts", 0),
        ("sleep 1", 0),
        ("check_recipient_access static:DUNNO", 0),
        ("check_sender_access fail:x", 2),
        ("reject_unlisted_sender", 0),
    ] {
        let mut scene = scene(&format!(
            "{LISTS}smtpd_log_access_permit_actions = static:all\n\
             smtpd_client_restrictions = {list}"
        ));
        scene.rcpt("you@local.example");
        assert_eq!(log().len(), lines, "{list}");
        assert_eq!(scene.memo.remembered, None, "{list}");
        scene.rcpt("you@local.example");
        assert_eq!(log().len(), lines, "{list}");
    }
}

#[test]
fn a_deferral_is_not_forgotten() {
    let mut scene = scene(&format!(
        "{LISTS}smtpd_helo_restrictions = check_helo_access static:DEFER_IF_PERMIT"
    ));
    for _ in 0..2 {
        assert!(scene.rcpt("you@local.example").starts_with("450 4.7.1 <helo.example>"));
    }
}

#[test]
fn a_prepended_header_comes_once_for_each_recipient_as_in_postfix() {
    let mut scene = scene(&format!(
        "{LISTS}smtpd_client_restrictions = check_client_access static:{{PREPEND X: y}}"
    ));
    scene.rcpt("you@local.example");
    scene.rcpt("you@local.example");
    assert_eq!(scene.actions.prepend.len(), 2);
}

#[test]
fn tables_that_may_change_are_asked_again() {
    let mut file = scene(&format!(
        "{LISTS}smtpd_helo_restrictions = check_helo_access unionmap:{{static:DUNNO}}"
    ));
    file.rcpt("you@local.example");
    assert_eq!(file.memo.remembered, None);
    let mut networks = scene(&format!("{LISTS}mynetworks = 127.0.0.0/8 [::1]/128 unionmap:x"));
    networks.rcpt("you@local.example");
    assert_eq!(networks.memo.remembered, None);
    let mut steady = scene(&format!("{LISTS}mynetworks = 127.0.0.0/8 [::1]/128 inline:{{a=b}}"));
    steady.rcpt("you@local.example");
    assert!(steady.memo.remembered.is_some());
}
