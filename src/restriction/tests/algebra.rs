//! What a refusal comes to.

use super::{log, recipient_list, says, scene, with_recipient_list};
use crate::mail::client::ErrorClass;

const ABOUT: &str = "from client.example[192.0.2.7]";
const REST: &str =
    "from=<me@sender.example> to=<you@other.example> proto=ESMTP helo=<helo.example>";

#[test]
fn a_refusal_is_logged_with_all_that_is_known() {
    let mut scene = recipient_list("reject");
    let reply = "554 5.7.1 <you@other.example>: Recipient address rejected: Access denied";
    assert_eq!(scene.rcpt("you@other.example"), reply);
    assert_eq!(log(), [format!("NOQUEUE: reject: RCPT {ABOUT}: {reply}; {REST}")]);
    assert_eq!(scene.memo.blamed, [ErrorClass::Policy]);
}

#[test]
fn defer_refuses_for_now() {
    assert_eq!(
        says("defer"),
        "450 4.3.2 <you@other.example>: Recipient address rejected: Try again later"
    );
}

#[test]
fn the_status_code_follows_the_reply_code() {
    let list = with_recipient_list("reject");
    let said = scene(&format!("{list}reject_code = 450")).rcpt("a@b.example");
    assert_eq!(said, "450 4.7.1 <a@b.example>: Recipient address rejected: Access denied");
}

#[test]
fn a_wrong_code_in_main_cf_refuses_for_now_and_is_reported() {
    let list = with_recipient_list("reject");
    let mut scene = scene(&format!("{list}reject_code = 250"));
    assert_eq!(scene.rcpt("a@b.example"), "450 4.7.1 Service unavailable");
    assert_eq!(
        log()[0],
        "warning: SMTP reply code configuration error: 250 5.7.1 <a@b.example>: Recipient address \
         rejected: Access denied"
    );
}

#[test]
fn soft_bounce_makes_refusals_temporary() {
    let list = with_recipient_list("reject");
    let mut scene = scene(&format!("{list}soft_bounce = yes"));
    let reply = "454 4.7.1 <a@b.example>: Recipient address rejected: Access denied";
    assert_eq!(scene.rcpt("a@b.example"), reply);
    assert!(log()[0].contains(&format!("reject: RCPT {ABOUT}: {reply};")));
}

#[test]
fn a_reply_is_printable_and_as_long_as_in_postfix() {
    let long = "x".repeat(600);
    let entry = format!("550 a\u{7f}{long}");
    let said = says(&format!("check_client_access inline:{{{{192.0.2.7 = {entry}}}}}"));
    assert!(said.ends_with(&format!("rejected: a {long}")), "{said}");
}

#[test]
fn warn_if_reject_warns_and_goes_on() {
    let mut scene = recipient_list("warn_if_reject reject_unauth_destination, reject");
    let said = scene.rcpt("you@other.example");
    assert_eq!(said, "554 5.7.1 <you@other.example>: Recipient address rejected: Access denied");
    let warned = format!(
        "NOQUEUE: reject_warning: RCPT {ABOUT}: 554 5.7.1 <you@other.example>: Relay access \
         denied; {REST}"
    );
    assert_eq!(log()[0], warned);
}

#[test]
fn warn_if_reject_is_for_one_restriction() {
    assert_eq!(says("warn_if_reject reject_unknown_client_hostname, reject"), says("reject"));
    assert_eq!(says("warn_if_reject reject"), "Ok");
    assert_eq!(says("warn_if_reject warn_if_reject reject, permit_mynetworks"), "Ok");
}

#[test]
fn a_class_counts_as_one_restriction_for_warn_if_reject() {
    let list = with_recipient_list("warn_if_reject strict, reject_unauth_destination");
    let mut scene = scene(&format!(
        "{list}smtpd_restriction_classes = strict\n\
         strict = reject_unauth_destination, defer"
    ));
    assert_eq!(
        scene.rcpt("you@other.example"),
        "554 5.7.1 <you@other.example>: Relay access denied"
    );
    let kinds: Vec<_> = log().iter().map(|line| line.contains("reject_warning")).collect();
    assert_eq!(kinds, [true, true, false]);
}

#[test]
fn a_list_that_ends_with_warn_if_reject_does_not_soften_the_next() {
    let mut scene =
        scene("smtpd_relay_restrictions = warn_if_reject\nsmtpd_recipient_restrictions = reject");
    assert!(scene.rcpt("a@b.example").starts_with("554 "));
}

#[test]
fn our_own_errors_are_not_softened() {
    assert_eq!(says("warn_if_reject no_such_name"), "451 4.3.5 Server configuration error");
    let mut scene = recipient_list("warn_if_reject reject_unlisted_recipient");
    assert_eq!(
        scene.rcpt("you@fail.example"),
        "451 4.3.0 <you@fail.example>: Temporary lookup failure"
    );
    assert_eq!(scene.memo.blamed, [ErrorClass::Data]);
}

#[test]
fn defer_if_permit_refuses_what_is_permitted() {
    let reply = "450 4.7.0 <you@other.example>: Recipient address rejected: defer_if_permit \
                 requested";
    assert_eq!(says("defer_if_permit, permit"), reply);
    assert_eq!(says("defer_if_permit"), reply);
    assert_eq!(says("defer_if_permit, reject"), says("reject"));
}

#[test]
fn the_first_defer_if_permit_counts() {
    let list = "check_client_access inline:{{192.0.2.7 = DEFER_IF_PERMIT first}}, defer_if_permit";
    assert_eq!(says(list), "450 4.7.1 <client.example[192.0.2.7]>: Client host rejected: first");
}

#[test]
fn defer_if_permit_under_warn_if_reject_only_warns() {
    let mut scene = recipient_list("warn_if_reject defer_if_permit, permit");
    assert_eq!(scene.rcpt("you@other.example"), "Ok");
    let line = &log()[0];
    assert!(line.starts_with("NOQUEUE: reject_warning: RCPT "), "{line}");
    assert!(line.contains("450 4.7.0 "), "{line}");
}

#[test]
fn defer_if_reject_makes_the_next_refusal_temporary() {
    let reply = "450 4.7.0 <you@other.example>: Recipient address rejected: defer_if_reject \
                 requested";
    let mut scene = recipient_list("defer_if_reject, reject");
    assert_eq!(scene.rcpt("you@other.example"), reply);
    assert_eq!(log().len(), 1);
    assert_eq!(says("warn_if_reject defer_if_reject, reject"), reply);
    // What is temporary anyway stays as it is.
    assert_eq!(says("defer_if_reject, defer"), says("defer"));
}

#[test]
fn defer_if_reject_leaves_warnings_alone() {
    let mut scene = recipient_list("defer_if_reject, warn_if_reject reject, reject");
    assert!(scene.rcpt("you@other.example").contains("defer_if_reject requested"));
    let log = log();
    assert!(log[0].contains("reject_warning: "), "{}", log[0]);
    assert!(log[0].contains("554 5.7.1"), "{}", log[0]);
    assert!(log[1].contains(": reject: "), "{}", log[1]);
}

#[test]
fn both_together_end_the_list() {
    let mut scene = recipient_list("defer_if_permit, defer_if_reject, sleep 5, reject");
    assert!(scene.rcpt("you@other.example").contains("defer_if_permit requested"));
    assert!(scene.slept.borrow().is_empty());
}

#[test]
fn an_error_leaves_all_lists_at_once() {
    let list = with_recipient_list("inner, permit");
    let mut scene = scene(&format!(
        "{list}smtpd_restriction_classes = inner\ninner = check_client_access fail:x, permit"
    ));
    assert_eq!(
        scene.rcpt("a@b.example"),
        "451 4.3.5 <client.example[192.0.2.7]>: Client host rejected: Server configuration error"
    );
}

#[test]
fn permits_are_logged_where_asked_for() {
    let list = with_recipient_list("permit_mynetworks, reject");
    let main_cf = format!("{list}smtpd_log_access_permit_actions = permit_mynetworks, RELAY");
    let mut scene = scene(&main_cf).connected_from("localhost", "127.0.0.1");
    assert_eq!(scene.rcpt("you@other.example"), "Ok");
    let about = "permit: RCPT from localhost[127.0.0.1]: action=";
    let class = "for Client host=localhost[127.0.0.1]";
    assert_eq!(
        log(),
        [
            format!("NOQUEUE: {about}RELAY {class} from static:RELAY; {REST}"),
            format!("NOQUEUE: {about}permit_mynetworks {class} ; {REST}"),
        ]
    );
}

#[test]
fn a_permit_that_is_overruled_is_not_logged() {
    let list = with_recipient_list("defer_if_permit, permit");
    let mut scene = scene(&format!("{list}smtpd_log_access_permit_actions = permit"));
    assert!(scene.rcpt("you@other.example").starts_with("450 "));
    assert_eq!(log().len(), 1);
}

#[test]
fn addresses_in_logs_have_quotes_unless_main_cf_says_no() {
    let mut external = recipient_list("reject");
    external.rcpt("a b@other.example");
    assert!(log()[0].contains("to=<\"a b\"@other.example>"));
    let list = with_recipient_list("reject");
    let mut internal = scene(&format!("{list}info_log_address_format = internal"));
    internal.rcpt("a b@other.example");
    assert!(log()[0].contains("to=<a b@other.example>"));
}
