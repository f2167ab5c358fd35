//! The compiled lists, for whoever looks at the configuration before a client does.

use super::Policy;
use super::compile::{Act, Argument, List, Search};
pub(crate) use super::compile::{DEFERRED, missing};

/// A restriction as it stands in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reviewed<'p> {
    /// The parameter, or the class.
    pub(crate) list: &'p [u8],
    /// The restriction's name as written.
    pub(crate) name: &'p [u8],
    /// The table that it names, as written.
    pub(crate) table: Option<&'p [u8]>,
    /// It looks up names of certificates (search_order).
    pub(crate) by_name: bool,
    /// What comes of it.
    pub(crate) state: State<'p>,
    /// The restriction before it that always decides: this one is never reached.
    pub(crate) behind: Option<&'p [u8]>,
}

/// What comes of a restriction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State<'p> {
    /// It is evaluated.
    Works,
    /// This is said, and evaluation goes on.
    Ignored(&'p [u8]),
    /// This is said, and mail is deferred.
    Broken(&'p [u8]),
    /// This version does not have it; mail is deferred.
    Missing,
}

impl Policy {
    /// All restrictions of all lists and of the classes of main.cf.
    pub(crate) fn review(&self) -> Vec<Reviewed<'_>> {
        let lists: [(&[u8], &List); 8] = [
            (b"smtpd_client_restrictions", &self.client),
            (b"smtpd_helo_restrictions", &self.helo),
            (b"smtpd_sender_restrictions", &self.sender),
            (b"smtpd_relay_restrictions", &self.relay),
            (b"smtpd_recipient_restrictions", &self.recipient),
            (b"smtpd_etrn_restrictions", &self.etrn),
            (b"smtpd_data_restrictions", &self.data),
            (b"smtpd_end_of_data_restrictions", &self.end_of_data),
        ];
        // The last class is Postfix's own.
        let own = self.classes.len().saturating_sub(1);
        let classes = self.class_names.names().into_iter().zip(&self.classes).take(own);
        lists.into_iter().chain(classes).flat_map(|(name, list)| reviewed(name, list)).collect()
    }
}

fn reviewed<'p>(parameter: &'p [u8], list: &'p List) -> impl Iterator<Item = Reviewed<'p>> {
    let mut behind = None;
    list.steps.iter().map(move |step| {
        let reviewed = Reviewed {
            list: parameter,
            name: &step.name,
            table: table(&step.act),
            by_name: search(&step.act).is_some_and(Search::has_names),
            state: state(&step.act),
            behind,
        };
        if matches!(step.act, Act::PermitAll | Act::Last(..)) && behind.is_none() {
            behind = Some(step.name.as_slice());
        }
        reviewed
    })
}

fn argument(act: &Act) -> Option<&Argument> {
    match act {
        Act::Table(_, argument)
        | Act::Allowlist(_, argument)
        | Act::Servers(_, _, argument)
        | Act::DefaultTable(argument) => Some(argument),
        _ => None,
    }
}

fn search(act: &Act) -> Option<&Search> {
    argument(act)?.search.as_deref()
}

fn table(act: &Act) -> Option<&[u8]> {
    let text = argument(act).map(|argument| argument.text.as_slice());
    search(act).map(|search| search.name.as_slice()).or(text)
}

fn state(act: &Act) -> State<'_> {
    match act {
        Act::Ignored(text) => State::Ignored(text),
        Act::Broken(text) => State::Broken(text),
        Act::Missing(_) => State::Missing,
        _ => State::Works,
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::config::Config;
    use crate::table::Opener;

    #[test]
    fn each_restriction_is_there_with_what_comes_of_it() {
        let config = Config::of_text(
            "local_recipient_maps =\n\
             smtpd_relay_restrictions = permit_mynetwork, reject, warn_if_reject\n\
             smtpd_restriction_classes = mine\n\
             mine = check_client_access inline:{{a=b}}, reject_rbl_client bl.example, reject_unverified_sender\n",
        );
        let config = Rc::new(config.unwrap());
        let mut opener = Opener::new(&config);
        let policy = Policy::compile(&config, &mut opener).unwrap();
        let review = policy.review();
        let states: Vec<_> = review.iter().map(|it| (it.name, it.state, it.behind)).collect();
        let unknown = b"unknown smtpd restriction: \"permit_mynetwork\"";
        assert_eq!(
            states,
            [
                (&b"permit_mynetwork"[..], State::Broken(unknown), None),
                (b"reject", State::Works, None),
                (b"warn_if_reject", State::Works, Some(&b"reject"[..])),
                (b"check_client_access", State::Works, None),
                (b"reject_rbl_client", State::Works, None),
                (b"reject_unverified_sender", State::Missing, None),
            ]
        );
        assert_eq!(review[3].table, Some(&b"inline:{{a=b}}"[..]));
        assert_eq!(review[3].list, b"mine");
    }
}
