//! How lists are read, and what is wrong with them.

use super::{log, open, recipient_list, says, scene, with_recipient_list};

const BROKEN: &str = "451 4.3.5 Server configuration error";

#[test]
fn a_wrong_name_counts_only_where_evaluation_reaches_it() {
    assert_eq!(says("permit, permit_mynetwork"), "Ok");
    assert_eq!(says("permit_mynetwork, permit"), BROKEN);
    assert_eq!(log()[0], "warning: unknown smtpd restriction: \"permit_mynetwork\"");
}

#[test]
fn names_have_no_case_but_classes_do() {
    assert_eq!(says("PERMIT_Auth_Destination, REJECT"), says("reject"));
    let list = with_recipient_list("Mine");
    let text = format!("{list}smtpd_restriction_classes = mine\nmine = permit");
    assert_eq!(scene(&text).rcpt("a@b.example"), BROKEN);
}

#[test]
fn words_stand_between_commas_and_blanks() {
    assert_eq!(says("permit_mynetworks,,\tsleep 1\n  ,reject"), says("reject"));
}

#[test]
fn what_stands_behind_a_last_word_is_reported() {
    for (list, warning) in [
        ("permit, reject", "restriction `reject' after `permit' is ignored"),
        ("REJECT, defer", "restriction `defer' after `reject' is ignored"),
        ("defer, permit", "restriction `permit' after `defer' is ignored"),
        (
            "check_relay_domains, permit",
            "restriction `permit' after `check_relay_domains' is ignored",
        ),
    ] {
        says(list);
        assert!(log().contains(&format!("warning: {warning}")), "{list}");
    }
    says("warn_if_reject reject, permit");
    assert!(!log().iter().any(|line| line.contains("is ignored")));
}

#[test]
fn a_table_restriction_needs_a_table() {
    assert_eq!(says("check_client_access nothing, permit"), BROKEN);
    assert_eq!(
        log()[0],
        "warning: restriction check_client_access: bad argument \"nothing\": need maptype:mapname"
    );
    assert_eq!(says("Check_Client_Access"), BROKEN);
    assert_eq!(
        log()[0],
        "warning: restriction check_client_access: bad argument \"Check_Client_Access\": need \
         maptype:mapname"
    );
}

#[test]
fn braces_around_a_table_are_for_certificates_only() {
    assert!(says("check_client_access {static:OK, search_order=pubkey_fingerprint}").starts_with(
        "451 4.3.5 <client.example[192.0.2.7]>: Client host rejected: Server configuration error"
    ));
    assert_eq!(
        log()[0],
        "warning: check_domain_access: unexpected dictionary: {static:OK, \
         search_order=pubkey_fingerprint}"
    );
}

#[test]
fn sleep_needs_a_number() {
    let mut scene = recipient_list("sleep 3, sleep 0, permit");
    scene.rcpt("you@other.example");
    let slept: Vec<_> = scene.slept.borrow().iter().map(std::time::Duration::as_secs).collect();
    assert_eq!(slept, [3, 0]);
    for bad in ["sleep", "sleep soon", "sleep 1s"] {
        assert_eq!(says(bad), BROKEN);
        assert_eq!(log()[0], "warning: restriction sleep must be followed by number");
    }
}

#[test]
fn classes_need_a_definition() {
    for text in ["smtpd_restriction_classes = mine", "smtpd_restriction_classes = mine\nmine ="] {
        assert_eq!(
            open(text).err().as_deref(),
            Some("restriction class `mine' needs a definition")
        );
    }
}

#[test]
fn a_class_that_names_itself_ends() {
    let list = with_recipient_list("mine");
    let text = format!("{list}smtpd_restriction_classes = mine\nmine = sleep 1, mine");
    assert_eq!(scene(&text).rcpt("a@b.example"), BROKEN);
}

#[test]
fn relay_control_must_be_somewhere() {
    let fatal = "in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify \
                 at least one working instance of: reject_unauth_destination, \
                 defer_unauth_destination, reject, defer, defer_if_permit or check_relay_domains";
    let class = "smtpd_restriction_classes = mine\nmine = sleep 1, Reject\n";
    for (relay, recipient, works) in [
        ("", "", false),
        ("permit_mynetworks", "permit", false),
        ("permit, reject", "", false),
        ("warn_if_reject reject", "", false),
        ("warn_if_reject permit, reject", "", true),
        ("permit_mynetworks, DEFER_unauth_destination", "", true),
        ("", "defer_if_permit", true),
        ("permit", "mine", true),
        ("Mine", "", false),
    ] {
        let text = format!(
            "{class}smtpd_relay_restrictions = {relay}\nsmtpd_recipient_restrictions = {recipient}"
        );
        let found = open(&text).err();
        let wanted = (!works).then(|| fatal.to_owned());
        assert_eq!(found, wanted, "{relay} / {recipient}");
    }
}

#[test]
fn a_permit_in_front_is_reported_at_the_start() {
    let _ = open(
        "smtpd_relay_restrictions = Permit, reject\nsmtpd_recipient_restrictions = defer_if_reject",
    );
    assert!(log().contains(&"warning: restriction `reject' after `Permit' is ignored".to_owned()));
}

#[test]
fn tempfail_actions_have_two_words() {
    for name in
        ["unknown_helo_hostname", "unknown_address", "unverified_recipient", "unverified_sender"]
    {
        let name = format!("{name}_tempfail_action");
        assert!(open(&format!("{name} = DEFER")).is_ok());
        let fatal = open(&format!("{name} = reject")).err();
        assert_eq!(fatal, Some(format!("bad configuration: {name} = reject")));
    }
}

#[test]
fn what_this_version_does_not_have_fails_where_it_is_reached() {
    let main_cf = with_recipient_list(
        "permit_mynetworks, reject_unverified_recipient, \
         check_policy_service unix:private/policy, permit",
    );
    let mut scene = open(&main_cf).unwrap();
    let text =
        |name| format!("warning: restriction {name} is not supported by this version of smtpd-rs");
    assert_eq!(
        log(),
        ["reject_unverified_recipient", "check_policy_service"]
            .map(|name| format!("{}; mail is deferred where it is reached", text(name)))
    );
    assert_eq!(scene.rcpt("a@b.example"), BROKEN);
    assert_eq!(log()[0], text("reject_unverified_recipient"));
}

#[test]
fn what_has_nothing_to_check_says_nothing() {
    let mut scene = recipient_list(
        "reject_unknown_sender_domain, reject_rhsbl_sender bl.example, \
         reject_rhsbl_client bl.example, reject_unverified_sender, check_sender_mx_access static:OK",
    );
    scene.sender = Some("");
    scene.client.name = b"unknown".to_vec();
    assert_eq!(scene.rcpt("a@b.example"), "Ok");
    scene.sender = Some("me@sender.example");
    assert!(scene.rcpt("a@b.example").ends_with("blocked using bl.example"));
}

#[test]
fn wrong_arguments_are_reported_as_by_postfix() {
    assert_eq!(says("reject_rbl_client"), "Ok");
    assert_eq!(log()[0], "warning: restriction reject_rbl_client requires domain name argument");
    assert_eq!(says("check_policy_service"), BROKEN);
    assert_eq!(
        log()[0],
        "warning: restriction check_policy_service must be followed by transport:server"
    );
}

#[test]
fn a_policy_server_that_is_none_is_fatal() {
    let fatal = |server: &str| {
        let list = with_recipient_list(&format!("check_policy_service {server}, permit"));
        open(&list).err()
    };
    assert_eq!(fatal("unix:private/policy"), None);
    assert_eq!(fatal("{ inet:127.0.0.1:10040, timeout=3s }"), None);
    for (server, text) in [
        ("nowhere", "need service transport:endpoint instead of \"nowhere\""),
        ("unix:", "need service transport:endpoint instead of \"unix:\""),
        ("udp:a", "invalid transport name: udp in service: udp:a"),
        ("{ }", "empty policy service: \"{ }\""),
    ] {
        assert_eq!(fatal(server).as_deref(), Some(text));
    }
}

#[test]
fn without_sasl_what_needs_it_is_ignored() {
    assert_eq!(says("reject_sender_login_mismatch, check_sasl_access static:REJECT"), "Ok");
    assert_eq!(
        log(),
        [
            "warning: restriction `reject_authenticated_sender_login_mismatch' ignored: no SASL \
             support",
            "warning: restriction `reject_unauthenticated_sender_login_mismatch' ignored: no SASL \
             support",
            "warning: restriction `check_sasl_access' ignored: no SASL support",
        ]
    );
}
