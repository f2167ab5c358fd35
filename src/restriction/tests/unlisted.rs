//! Senders and recipients that nobody has.

use super::{log, recipient_list, scene};

#[test]
fn unlisted_recipients_are_refused_without_asking() {
    let mut scene = scene(
        "local_recipient_maps = inline:{me=x}\n\
         virtual_mailbox_maps = inline:{me@virtual.example=x}\n\
         relay_recipient_maps = inline:{me@relay.example=x}",
    );
    for (class, table) in
        [("local", "local recipient"), ("virtual", "virtual mailbox"), ("relay", "relay recipient")]
    {
        assert_eq!(scene.rcpt(&format!("me@{class}.example")), "Ok");
        assert_eq!(
            scene.rcpt(&format!("you@{class}.example")),
            format!(
                "550 5.1.1 <you@{class}.example>: Recipient address rejected: User unknown in \
                 {table} table"
            )
        );
    }
    assert_eq!(scene.memo.blamed, [crate::mail::client::ErrorClass::Bounce]);
}

#[test]
fn without_tables_all_are_listed() {
    let mut scene = scene("");
    for address in ["you@local.example", "you@virtual.example", "you@relay.example"] {
        assert_eq!(scene.rcpt(address), "Ok");
    }
}

#[test]
fn codes_and_texts_are_in_main_cf() {
    let mut scene = scene(
        "local_recipient_maps = inline:{me=x}\n\
         unknown_local_recipient_reject_code = 450\n\
         show_user_unknown_table_name = no",
    );
    assert_eq!(
        scene.rcpt("you@local.example"),
        "450 4.1.1 <you@local.example>: Recipient address rejected: User unknown"
    );
}

#[test]
fn the_mail_system_itself_is_always_listed() {
    let mut scene = scene("local_recipient_maps = inline:{me=x}");
    for user in ["postmaster", "MAILER-daemon", "double-bounce"] {
        assert_eq!(scene.rcpt(&format!("{user}@local.example")), "Ok");
    }
    assert!(scene.rcpt("postmasters@local.example").starts_with("550"));
}

#[test]
fn rewritten_addresses_are_listed() {
    for maps in ["recipient_canonical_maps", "canonical_maps", "virtual_alias_maps"] {
        let mut scene = scene(&format!(
            "local_recipient_maps = inline:{{me=x}}\n\
             {maps} = inline:{{you@local.example=me@local.example}}"
        ));
        assert_eq!(scene.rcpt("you@local.example"), "Ok", "{maps}");
        assert!(scene.rcpt("they@local.example").starts_with("550"));
    }
    let senders = "local_recipient_maps = inline:{me=x}\n\
                   smtpd_reject_unlisted_sender = yes\n\
                   sender_canonical_maps = inline:{you@local.example=me@local.example}";
    let mut scene = scene(senders);
    assert!(scene.rcpt("you@local.example").starts_with("550"));
    scene.sender = Some("you@local.example");
    assert_eq!(scene.rcpt("me@local.example"), "Ok");
}

#[test]
fn the_resolver_may_know_better() {
    let mut scene = recipient_list("permit_mynetworks");
    assert_eq!(
        scene.rcpt("you@alias.example"),
        "550 5.1.1 <you@alias.example>: Recipient address rejected: User unknown in virtual alias \
         table"
    );
    assert_eq!(
        scene.rcpt("you@moved.example"),
        "550 5.1.6 <you@moved.example>: Recipient address rejected: has moved"
    );
    assert_eq!(
        scene.rcpt("you@later.example"),
        "450 4.1.2 <you@later.example>: Recipient address rejected: come back"
    );
    let list = super::with_recipient_list("permit_mynetworks");
    let mut code = super::scene(&format!("{list}unknown_virtual_alias_reject_code = 551"));
    assert!(code.rcpt("you@alias.example").starts_with("551 5.1.1"));
    assert!(code.rcpt("you@moved.example").starts_with("550 5.1.6"));
}

#[test]
fn unlisted_senders_are_refused_where_asked_for() {
    let maps = "local_recipient_maps = inline:{me=x}\n";
    let mut scene = scene(&format!("{maps}smtpd_reject_unlisted_sender = yes"));
    scene.sender = Some("you@local.example");
    assert_eq!(
        scene.rcpt("me@local.example"),
        "550 5.1.0 <you@local.example>: Sender address rejected: User unknown in local recipient \
         table"
    );
    scene.sender = Some("you@alias.example");
    assert_eq!(
        scene.rcpt("me@local.example"),
        "550 5.1.7 <you@alias.example>: Sender address rejected: User unknown in virtual alias \
         table"
    );
    scene.sender = Some("");
    assert_eq!(scene.rcpt("me@local.example"), "Ok");
    let mut not_asked = super::scene(maps);
    not_asked.sender = Some("you@local.example");
    assert_eq!(not_asked.rcpt("me@local.example"), "Ok");
}

#[test]
fn a_sender_is_checked_once() {
    let mut scene = scene(
        "local_recipient_maps = inline:{me=x}\n\
         smtpd_reject_unlisted_sender = yes\n\
         smtpd_sender_restrictions = warn_if_reject reject_unlisted_sender",
    );
    scene.sender = Some("you@local.example");
    assert!(scene.rcpt("me@local.example").starts_with("550 5.1.0"));
    let actions: Vec<bool> =
        log().iter().map(|line| line.contains("reject_warning: RCPT")).collect();
    assert_eq!(actions, [true, false], "a warning is no check");
}

#[test]
fn a_recipient_is_checked_before_the_end_if_the_list_says_so() {
    for name in ["reject_unlisted_recipient", "check_recipient_maps"] {
        let list = super::with_recipient_list(&format!("{name}, reject"));
        let mut scene = scene(&format!("{list}local_recipient_maps = inline:{{me=x}}"));
        assert!(scene.rcpt("you@local.example").contains("User unknown"));
        assert!(scene.rcpt("me@local.example").contains("Access denied"));
    }
}

#[test]
fn the_check_can_be_turned_off() {
    let maps = "local_recipient_maps = inline:{me=x}\n";
    let mut off = scene(&format!("{maps}smtpd_reject_unlisted_recipient = no"));
    assert_eq!(off.rcpt("you@local.example"), "Ok");
    let mut overridden = scene(&format!(
        "{maps}receive_override_options = no_address_mappings, no_unknown_recipient_checks"
    ));
    assert_eq!(overridden.rcpt("you@local.example"), "Ok");
}

#[test]
fn a_failed_lookup_refuses_for_now() {
    let mut scene = scene("local_recipient_maps = fail:x");
    assert_eq!(
        scene.rcpt("you@local.example"),
        "451 4.3.0 <you@local.example>: Temporary lookup failure"
    );
}

#[test]
fn the_old_default_of_relay_domains_is_mentioned() {
    let main_cf = super::MAIN_CF.replace("relay_domains = relay.example\n", "");
    let mut scene = super::open_text(&format!("{main_cf}compatibility_level = 1\n")).unwrap();
    log();
    assert_eq!(scene.rcpt("a@relay.example"), "Ok");
    let start = "using backwards-compatible default setting relay_domains=$mydestination to accept \
                 mail for";
    assert_eq!(
        log(),
        [
            format!("{start} domain \"relay.example\""),
            format!("{start} address \"a@relay.example\""),
        ]
    );
}
