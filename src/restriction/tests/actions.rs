//! What entries of access tables do.

use super::{Scene, log, recipient_list, says, scene, with_recipient_list};

const CLIENT: &str = "<client.example[192.0.2.7]>: Client host";

/// What a client's entry says.
fn entry(value: &str) -> String {
    says(&client_entry(value))
}

fn client_entry(value: &str) -> String {
    format!("check_client_access inline:{{{{client.example = {value}}}}}, reject_unlisted_sender")
}

/// A scene after a recipient with such an entry for the client.
fn after(value: &str) -> Scene {
    let mut scene = recipient_list(&client_entry(value));
    assert_eq!(scene.rcpt("you@other.example"), "Ok");
    scene
}

fn rejected(code: &str, text: &str) -> String {
    format!("{code} {CLIENT} rejected: {text}")
}

#[test]
fn reject_and_defer_have_texts_and_codes() {
    assert_eq!(entry("REJECT"), rejected("554 5.7.1", "Access denied"));
    assert_eq!(entry("reject   go away"), rejected("554 5.7.1", "go away"));
    assert_eq!(entry("REJECT 5.5.0 go away"), rejected("554 5.5.0", "go away"));
    assert_eq!(entry("REJECT 5.5.0"), rejected("554 5.5.0", "Access denied"));
    assert_eq!(entry("DEFER"), rejected("450 4.7.1", "Access denied"));
    assert_eq!(entry("DEFER 4.2.0 later"), rejected("450 4.2.0", "later"));
}

#[test]
fn numbers_with_text_refuse() {
    assert_eq!(entry("550 no"), rejected("550 5.7.1", "no"));
    assert_eq!(entry("421 4.2.1 no"), rejected("421 4.2.1", "no"));
    assert_eq!(entry("421 5.2.1"), rejected("421 4.2.1", "Access denied"));
    assert_eq!(entry("550 4.7.1 x"), rejected("550 5.7.1", "x"));
}

#[test]
fn bare_numbers_permit() {
    for number in ["550", "450", "1234567890", "0"] {
        assert_eq!(entry(number), "Ok");
        assert_eq!(
            says(&format!("check_client_access inline:{{{{client.example = {number}}}}}, reject")),
            "Ok"
        );
    }
}

#[test]
fn ok_and_relay_permit() {
    for word in ["OK", "ok whatever", "RELAY"] {
        let list = format!("check_client_access inline:{{{{client.example = {word}}}}}, reject");
        assert_eq!(says(&list), "Ok");
    }
}

#[test]
fn dunno_is_found_but_says_nothing() {
    let list = "check_client_access inline:{client.example=DUNNO, {example = REJECT}}, defer";
    assert!(says(list).starts_with("450 4.3.2"));
}

#[test]
fn address_status_codes_fit_what_is_refused() {
    assert_eq!(entry("550 5.1.1 x"), rejected("550 5.0.0", "x"));
    assert_eq!(
        log().last().unwrap().split_once(": x;").unwrap().0.rsplit(": ").next(),
        Some("Client host rejected")
    );
    let of_sender = "check_sender_access inline:{{me@sender.example = 550 5.1.1 x}}";
    assert_eq!(says(of_sender), "550 5.1.7 <me@sender.example>: Sender address rejected: x");
    assert_eq!(log()[0], "mapping DSN status 5.1.1 into Sender address status 5.1.7");
    let of_recipient = "check_recipient_access inline:{{you@other.example = 550 5.1.8 x}}";
    assert_eq!(says(of_recipient), "550 5.1.2 <you@other.example>: Recipient address rejected: x");
    assert_eq!(
        says("check_recipient_access inline:{{you@other.example = 550 5.1.9 x}}"),
        "550 5.1.0 <you@other.example>: Recipient address rejected: x"
    );
}

#[test]
fn defer_if_permit_and_defer_if_reject_wait() {
    assert_eq!(entry("DEFER_IF_PERMIT"), rejected("450 4.7.1", "Service unavailable"));
    assert_eq!(entry("DEFER_IF_PERMIT 4.0.0 x"), rejected("450 4.0.0", "x"));
    assert_eq!(entry("DEFER_IF_REJECT"), "Ok");
    let list = format!("{}, reject", client_entry("DEFER_IF_REJECT x"));
    assert_eq!(says(&list), rejected("450 4.7.1", "x"));
}

#[test]
fn info_and_warn_only_log() {
    after("INFO look at this");
    let rest = "from=<me@sender.example> to=<you@other.example> proto=ESMTP helo=<helo.example>";
    let from = "RCPT from client.example[192.0.2.7]";
    assert_eq!(log(), [format!("NOQUEUE: info: {from}: look at this; {rest}")]);
    after("WARN");
    assert_eq!(log(), [format!("NOQUEUE: warn: {from}: ; {rest}")]);
}

fn line(scene_log: &[String]) -> &str {
    let line = scene_log.last().map_or("", String::as_str);
    line.split_once("192.0.2.7]: ").map_or("", |(_, text)| text.split(';').next().unwrap_or(""))
}

#[test]
fn hold_holds_once() {
    let mut scene = after("HOLD");
    assert!(scene.actions.hold);
    assert_eq!(line(&log()), format!("{CLIENT} triggers HOLD action"));
    scene.rcpt("you@other.example");
    assert_eq!(log(), [""; 0]);
    after("HOLD for now");
    assert_eq!(line(&log()), format!("{CLIENT} for now"));
}

#[test]
fn discard_ends_all_restrictions_of_the_message() {
    let mut scene = recipient_list(&format!("{}, reject", client_entry("DISCARD")));
    assert_eq!(scene.rcpt("you@other.example"), "Ok");
    assert_eq!(line(&log()), format!("{CLIENT} triggers DISCARD action"));
    assert!(scene.actions.discard);
    // Nobody asks whether the recipient exists, nor anything at DATA.
    assert_eq!(scene.rcpt("nobody@alias.example"), "Ok");
}

#[test]
fn filter_needs_a_transport_and_the_last_counts() {
    let scene = after("FILTER smtp:one");
    assert_eq!(scene.actions.filter.as_deref(), Some(&b"smtp:one"[..]));
    assert_eq!(line(&log()), format!("{CLIENT} triggers FILTER smtp:one"));
    let mut two = recipient_list(
        "check_client_access inline:{{client.example = FILTER a:b}}, \
         check_sender_access inline:{{me@sender.example = FILTER c:d}}",
    );
    two.rcpt("you@other.example");
    assert_eq!(two.actions.filter.as_deref(), Some(&b"c:d"[..]));
    log();
    assert_eq!(after("FILTER").actions.filter, None);
    assert!(log()[0].ends_with("entry \"client.example\" has FILTER entry without value"));
    assert_eq!(after("FILTER nowhere").actions.filter, None);
    assert!(log()[0].ends_with("entry \"client.example\" requires transport:destination"));
}

#[test]
fn redirect_and_bcc_need_an_address() {
    let scene = after("REDIRECT a@b.example");
    assert_eq!(scene.actions.redirect.as_deref(), Some(&b"a@b.example"[..]));
    assert_eq!(line(&log()), format!("{CLIENT} triggers REDIRECT a@b.example"));
    let mut scene = after("BCC a@b.example");
    assert_eq!(line(&log()), format!("{CLIENT} triggers BCC a@b.example"));
    // As in Postfix, each recipient adds it again.
    scene.rcpt("me@other.example");
    assert_eq!(scene.actions.bcc, [b"a@b.example".to_vec(), b"a@b.example".to_vec()]);
    log();
    for word in ["REDIRECT", "BCC"] {
        let scene = after(&format!("{word} nobody"));
        assert_eq!((scene.actions.redirect, scene.actions.bcc), (None, Vec::new()));
        assert!(log()[0].ends_with("entry \"client.example\" requires user@domain target"));
    }
}

#[test]
fn prepend_needs_a_header_and_is_not_logged() {
    let scene = after("PREPEND X-Seen: yes");
    assert_eq!(scene.actions.prepend, [b"X-Seen: yes".to_vec()]);
    assert_eq!(log(), [""; 0]);
    for bad in ["PREPEND", "PREPEND X-Seen", "PREPEND X Seen: yes", "PREPEND : yes"] {
        assert_eq!(after(bad).actions.prepend, [b""; 0]);
        assert!(log()[0].ends_with("entry \"client.example\" requires header: text"), "{bad}");
    }
}

#[test]
fn prepend_at_the_end_of_data_is_too_late() {
    let mut scene =
        scene("smtpd_end_of_data_restrictions = check_client_access static:{PREPEND X: y}");
    assert_eq!(scene.end_of_data("a@local.example"), "Ok");
    assert_eq!(scene.actions.prepend, [b""; 0]);
    let said = log();
    assert!(
        said[0].ends_with("action PREPEND must be used before smtpd_end_of_data_restrictions"),
        "{}",
        said[0]
    );
}

#[test]
fn hangup_says_nothing() {
    let mut scene = recipient_list(&client_entry("HANGUP bye"));
    assert_eq!(scene.rcpt("you@other.example"), "");
    assert!(scene.actions.hang_up);
    assert!(log()[0].starts_with("NOQUEUE: hangup: RCPT from client.example[192.0.2.7]: bye;"));
}

#[test]
fn actions_for_a_message_need_one() {
    for action in ["FILTER a:b", "HOLD", "DISCARD", "REDIRECT a@b", "BCC a@b", "PREPEND X: y"] {
        let mut scene = scene(&format!(
            "smtpd_delay_reject = no\n\
             smtpd_client_restrictions = check_client_access inline:{{{{client.example = {action}}}}}"
        ));
        scene.sender = None;
        assert_eq!(scene.connect(), "Ok");
        assert_eq!(scene.actions, super::Actions::default());
        let word = action.split(' ').next().unwrap_or_default();
        let end = format!(
            "with smtpd_delay_reject=no, action {word} is always skipped in Client host or Helo \
             command restrictions"
        );
        assert!(log()[0].ends_with(&end));
    }
}

#[test]
fn actions_for_a_message_need_cleanup() {
    for action in ["FILTER a:b", "HOLD", "DISCARD", "REDIRECT a@b", "BCC a@b"] {
        let mut scene = recipient_list(&client_entry(action));
        scene.proxied = true;
        assert_eq!(scene.rcpt("you@other.example"), "Ok");
        assert_eq!(scene.actions, super::Actions::default());
        let word = action.split(' ').next().unwrap_or_default();
        let end = format!("with smtpd_proxy_filter specified, action {word} is unavailable");
        assert!(log()[0].ends_with(&end));
    }
}

#[test]
fn actions_for_a_message_mean_nothing_at_etrn() {
    let mut scene = scene("smtpd_etrn_restrictions = check_etrn_access static:HOLD");
    assert_eq!(scene.etrn("relay.example"), "Ok");
    assert!(log()[0].ends_with("action HOLD is unavailable in smtpd_etrn_restrictions"));
}

#[test]
fn other_words_are_restrictions() {
    assert_eq!(entry("permit_mynetworks, reject"), rejected("554 5.7.1", "Access denied"));
    assert_eq!(entry("sleep 1 defer"), rejected("450 4.3.2", "Try again later"));
    assert_eq!(entry("no_such_word"), "451 4.3.5 Server configuration error");
    assert_eq!(log()[0], "warning: unknown smtpd restriction: \"no_such_word\"");
}

#[test]
fn a_class_in_an_entry_may_have_tables() {
    let list = with_recipient_list(&client_entry("strict"));
    let mut scene = scene(&format!(
        "{list}smtpd_restriction_classes = strict\n\
         strict = check_recipient_access inline:{{{{other.example = REJECT}}}}, \
         inline:{{{{me@more.example = DEFER}}}}"
    ));
    assert!(scene.rcpt("me@more.example").starts_with("450 4.7.1 <me@more.example>: Recipient"));
    assert_eq!(scene.rcpt("me@even.example"), "Ok");
}

#[test]
fn tables_in_entries_are_refused() {
    assert_eq!(entry("check_helo_access static:OK"), "451 4.3.5 Server configuration error");
    let log = log();
    assert!(log[0].ends_with("has entry with lookup table: check_helo_access static:OK"));
    assert_eq!(log[1], "warning: do not specify lookup tables inside SMTPD access maps");
    assert_eq!(log[2], "warning: define a restriction class and specify its name instead.");
}

#[test]
fn an_entry_that_leads_to_itself_ends() {
    let list = with_recipient_list("again");
    let mut scene = scene(&format!(
        "{list}smtpd_restriction_classes = again\n\
         again = check_client_access static:again"
    ));
    assert_eq!(scene.rcpt("a@b.example"), "451 4.3.5 Server configuration error");
    assert_eq!(
        log()[0],
        "warning: access table static:again entry again causes unreasonable recursion"
    );
}

#[test]
fn an_entry_without_words_permits() {
    assert_eq!(says("check_client_access inline:{{client.example = ,}}, reject"), "Ok");
    assert!(log()[0].ends_with("entry , has empty value"));
}

#[test]
fn a_failed_lookup_refuses_for_now() {
    assert_eq!(
        says("check_client_access fail:x, permit"),
        rejected("451 4.3.5", "Server configuration error")
    );
    assert_eq!(
        says("check_sender_access fail:x, permit"),
        "451 4.3.5 <me@sender.example>: Sender address rejected: Server configuration error"
    );
}

#[test]
fn names_from_the_clients_own_dns_must_not_permit() {
    let list = "check_reverse_client_hostname_access static:OK, permit";
    assert_eq!(says(list), "451 4.3.5 Server configuration error");
    assert_eq!(
        log()[..3],
        [
            "warning: restriction check_reverse_client_hostname_access returns OK for \
             reverse.example",
            "warning: this is not allowed for security reasons",
            "warning: use DUNNO instead of OK if you want to make an exception",
        ]
    );
    // DISCARD may: the message goes nowhere.
    assert_eq!(says("check_reverse_client_hostname_access static:DISCARD, reject"), "Ok");
    assert_eq!(
        says("check_reverse_client_hostname_access static:REJECT"),
        "554 5.7.1 <reverse.example>: Unverified Client host rejected: Access denied"
    );
}
