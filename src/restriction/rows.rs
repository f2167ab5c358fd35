//! THE TABLE of restrictions: one row each.

use super::compile::Argument;
use super::dnsbl::DnsList;
use super::eval::{At, Eval, Outcome};
use super::{
    Class, Facts, access, address, basic, certificate, client, dnsbl, helo, listed, login,
    mx_backup, relay, unknown,
};
use crate::dns::Kind;

/// A restriction without argument.
pub(crate) type PlainCheck = fn(&mut Eval<'_>, &At<'_>) -> Outcome;
/// A restriction without argument that only can permit.
pub(crate) type PermitCheck = fn(&mut Eval<'_>) -> Outcome;
/// A restriction behind which none is reached; it gets its name as written.
pub(crate) type LastCheck = fn(&mut Eval<'_>, &At<'_>, &[u8]) -> Outcome;
/// A restriction with a table.
pub(crate) type TableCheck = fn(&mut Eval<'_>, &At<'_>, &Argument) -> Outcome;

/// A restriction with a list in DNS.
pub(crate) type DnsListCheck = fn(&mut Eval<'_>, &DnsList) -> Outcome;

/// What a restriction needs after its name, and the function that evaluates it.
#[derive(Clone, Copy)]
pub(crate) enum Check {
    /// Nothing.
    Plain(PlainCheck),
    /// Nothing; a permit is logged with what it was about.
    Permit(PermitCheck, Class),
    /// `permit`
    PermitAll,
    /// Nothing, and nothing else should follow.
    Last(LastCheck),
    /// `type:table`
    Table(TableCheck),
    /// `type:table` that must not permit.
    Allowlist(TableCheck),
    /// `type:table` about the servers of a host or domain: whose, and which.
    Servers(Class, Kind),
    /// The domain of a list in DNS.
    DnsList(DnsListCheck),
    /// The domain of a list in DNS that can permit a client.
    DnsAllowlist(DnsListCheck),
    /// A number of seconds.
    Sleep,
    /// The next restriction warns only.
    WarnIfReject,
    /// A restriction of Postfix that this version does not have: fails where it is needed.
    Missing(Takes, Need),
    /// Nothing; of no use where nobody can log in.
    Login(PlainCheck),
}

/// What stands after a restriction that this version does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing.
    Nothing,
    /// A policy server.
    Server,
}

/// What a restriction can't do without: where it is not known, the restriction says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing.
    Nothing,
    /// A sender, not the null sender.
    Sender,
    /// A recipient.
    Recipient,
}

impl Need {
    /// Whether it is known.
    pub(crate) fn met(self, facts: &Facts<'_>) -> bool {
        match self {
            Self::Nothing => true,
            Self::Sender => facts.sender.is_some_and(|sender| !sender.is_empty()),
            Self::Recipient => facts.recipient.is_some_and(|recipient| !recipient.is_empty()),
        }
    }
}

use Check::{
    Allowlist, DnsAllowlist, DnsList as List, Last, Login, Missing, Permit, PermitAll, Plain,
    Servers, Sleep, Table, WarnIfReject,
};
use Takes::{Nothing, Server};

/// Every restriction that Postfix 3.7 knows, with its old names. Classes are in main.cf.
#[rustfmt::skip]
pub(crate) static RESTRICTIONS: &[(&str, Check)] = &[
    // For any list.
    ("check_policy_service", Missing(Server, Need::Nothing)),
    ("defer", Last(basic::defer)),
    ("defer_if_permit", Plain(basic::defer_if_permit)),
    ("defer_if_reject", Plain(basic::defer_if_reject)),
    ("permit", PermitAll),
    ("reject", Last(basic::reject)),
    ("reject_multi_recipient_bounce", Plain(basic::reject_multi_recipient_bounce)),
    ("reject_plaintext_session", Plain(basic::reject_plaintext_session)),
    ("reject_unauth_pipelining", Plain(basic::reject_unauth_pipelining)),
    ("sleep", Sleep),
    ("warn_if_reject", WarnIfReject),
    // The client.
    ("check_ccert_access", Table(certificate::check_ccert_access)),
    ("check_client_a_access", Servers(Class::Client, Kind::A)),
    ("check_client_access", Table(client::check_client_access)),
    ("check_client_mx_access", Servers(Class::Client, Kind::MX)),
    ("check_client_ns_access", Servers(Class::Client, Kind::NS)),
    ("check_reverse_client_hostname_a_access", Servers(Class::ReverseClient, Kind::A)),
    ("check_reverse_client_hostname_access", Allowlist(client::check_reverse_client_hostname_access)),
    ("check_reverse_client_hostname_mx_access", Servers(Class::ReverseClient, Kind::MX)),
    ("check_reverse_client_hostname_ns_access", Servers(Class::ReverseClient, Kind::NS)),
    ("check_sasl_access", Table(client::check_sasl_access)),
    ("permit_dnswl_client", DnsAllowlist(dnsbl::permit_dnswl_client)),
    ("permit_inet_interfaces", Permit(client::permit_inet_interfaces, Class::Client)),
    ("permit_mynetworks", Permit(client::permit_mynetworks, Class::Client)),
    ("permit_rhswl_client", DnsAllowlist(dnsbl::permit_rhswl_client)),
    ("permit_sasl_authenticated", Permit(client::permit_sasl_authenticated, Class::Client)),
    ("permit_tls_all_clientcerts", Permit(certificate::permit_tls_all_clientcerts, Class::Client)),
    ("permit_tls_clientcerts", Permit(certificate::permit_tls_clientcerts, Class::Client)),
    ("reject_maps_rbl", Plain(dnsbl::reject_maps_rbl)),
    ("reject_rbl", List(dnsbl::reject_rbl_client)),
    ("reject_rbl_client", List(dnsbl::reject_rbl_client)),
    ("reject_rhsbl_client", List(dnsbl::reject_rhsbl_client)),
    ("reject_rhsbl_reverse_client", List(dnsbl::reject_rhsbl_reverse_client)),
    ("reject_unknown_client", Plain(client::reject_unknown_client_hostname)),
    ("reject_unknown_client_hostname", Plain(client::reject_unknown_client_hostname)),
    ("reject_unknown_reverse_client_hostname", Plain(client::reject_unknown_reverse_client_hostname)),
    // HELO and EHLO.
    ("check_helo_a_access", Servers(Class::Helo, Kind::A)),
    ("check_helo_access", Table(helo::check_helo_access)),
    ("check_helo_mx_access", Servers(Class::Helo, Kind::MX)),
    ("check_helo_ns_access", Servers(Class::Helo, Kind::NS)),
    ("permit_naked_ip_address", Permit(helo::permit_naked_ip_address, Class::Helo)),
    ("reject_invalid_helo_hostname", Plain(helo::reject_invalid_helo_hostname)),
    ("reject_invalid_hostname", Plain(helo::reject_invalid_helo_hostname)),
    ("reject_non_fqdn_helo_hostname", Plain(helo::reject_non_fqdn_helo_hostname)),
    ("reject_non_fqdn_hostname", Plain(helo::reject_non_fqdn_helo_hostname)),
    ("reject_rhsbl_helo", List(dnsbl::reject_rhsbl_helo)),
    ("reject_unknown_helo_hostname", Plain(unknown::reject_unknown_helo_hostname)),
    ("reject_unknown_hostname", Plain(unknown::reject_unknown_helo_hostname)),
    // The sender.
    ("check_sender_a_access", Servers(Class::Sender, Kind::A)),
    ("check_sender_access", Table(address::check_sender_access)),
    ("check_sender_mx_access", Servers(Class::Sender, Kind::MX)),
    ("check_sender_ns_access", Servers(Class::Sender, Kind::NS)),
    ("reject_authenticated_sender_login_mismatch", Login(login::reject_authenticated_sender_login_mismatch)),
    ("reject_known_sender_login_mismatch", Login(login::reject_known_sender_login_mismatch)),
    ("reject_non_fqdn_sender", Plain(address::reject_non_fqdn_sender)),
    ("reject_rhsbl_sender", List(dnsbl::reject_rhsbl_sender)),
    ("reject_unauthenticated_sender_login_mismatch", Login(login::reject_unauthenticated_sender_login_mismatch)),
    ("reject_unknown_address", Plain(unknown::reject_unknown_sender_domain)),
    ("reject_unknown_sender_domain", Plain(unknown::reject_unknown_sender_domain)),
    ("reject_unlisted_sender", Plain(listed::reject_unlisted_sender)),
    ("reject_unverified_sender", Missing(Nothing, Need::Sender)),
    // The recipient.
    ("check_recipient_a_access", Servers(Class::Recipient, Kind::A)),
    ("check_recipient_access", Table(address::check_recipient_access)),
    ("check_recipient_maps", Plain(listed::reject_unlisted_recipient)),
    ("check_recipient_mx_access", Servers(Class::Recipient, Kind::MX)),
    ("check_recipient_ns_access", Servers(Class::Recipient, Kind::NS)),
    ("check_relay_domains", Last(relay::check_relay_domains)),
    ("defer_unauth_destination", Plain(relay::defer_unauth_destination)),
    ("permit_auth_destination", Permit(relay::permit_auth_destination, Class::Recipient)),
    ("permit_mx_backup", Permit(mx_backup::permit_mx_backup, Class::Recipient)),
    ("reject_non_fqdn_recipient", Plain(address::reject_non_fqdn_recipient)),
    ("reject_rhsbl_recipient", List(dnsbl::reject_rhsbl_recipient)),
    ("reject_unauth_destination", Plain(relay::reject_unauth_destination)),
    ("reject_unknown_recipient_domain", Plain(unknown::reject_unknown_recipient_domain)),
    ("reject_unlisted_recipient", Plain(listed::reject_unlisted_recipient)),
    ("reject_unverified_recipient", Missing(Nothing, Need::Recipient)),
    // ETRN.
    ("check_etrn_access", Table(access::check_etrn_access)),
];

/// The row of a restriction; case does not matter.
pub(crate) fn row(name: &[u8]) -> Option<&'static (&'static str, Check)> {
    RESTRICTIONS.iter().find(|(row, _)| row.as_bytes().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_restriction_has_two_rows() {
        let mut names: Vec<_> = RESTRICTIONS.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RESTRICTIONS.len());
    }

    /// Names in `mail_params.h` that are no rows: another parameter's word, our own class, and one
    /// that Postfix itself does not know.
    const NO_ROWS: &[&str] = &[
        "check_address_map",
        "reject_sender_login_mismatch",
        "reject_unknown_forward_client_hostname",
    ];

    #[test]
    fn each_restriction_of_postfix_has_a_row() {
        let Some(source) = std::env::var_os("POSTFIX_SOURCE") else {
            eprintln!("not compared: POSTFIX_SOURCE does not say where Postfix's source is");
            return;
        };
        let header = std::path::Path::new(&source).join("src/global/mail_params.h");
        let header = std::fs::read_to_string(header).unwrap();
        let kinds = ["CHECK_", "REJECT_", "PERMIT_", "DEFER_", "WARN_IF_REJECT", "SLEEP"];
        let mut compared = 0;
        for line in header.lines() {
            let mut words = line.split_whitespace();
            let (Some("#define"), Some(name), Some(value)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            if !kinds.iter().any(|kind| name.starts_with(kind)) || !value.starts_with('"') {
                continue;
            }
            let value = value.trim_matches('"');
            assert_eq!(row(value.as_bytes()).is_some(), !NO_ROWS.contains(&value), "{value}");
            compared += 1;
        }
        assert!(compared > 60);
    }
}
