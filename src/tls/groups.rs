//! Groups for key exchange (tls_eecdh_auto_curves, tls_ffdhe_auto_groups).
//!
//! Up to Postfix 3.7 they are curves, by number; later, names that OpenSSL is asked about one by one.

use openssl::error::ErrorStack;
use openssl::ssl::{SslContext, SslContextBuilder, SslMethod};

use super::ffi;
use crate::config::Config;
use crate::config::dialect::{Change, GROUPS_OF_OPENSSL, OPENSSL_3_5, Release};
use crate::stream::log_library_errors;
use crate::text::split::{COMMA_SPACE, words};

/// What every OpenSSL knows.
const KNOWN: &[&[u8]] = &[
    b"X25519",
    b"X448",
    b"prime256v1",
    b"secp521r1",
    b"secp384r1",
    b"P-256",
    b"P-384",
    b"P-521",
    b"ffdhe2048",
    b"ffdhe3072",
];
/// What every OpenSSL knows that is so new that Postfix has it in a default.
const KNOWN_LATER: &[u8] = b"DEFAULT";
const SEPARATORS: &[u8] = b", \t\r\n:";

const PARAMETERS: [&str; 2] = ["tls_eecdh_auto_curves", "tls_ffdhe_auto_groups"];

/// The groups that main.cf wants. Where it says nothing (`None`), it depends on OpenSSL, which is not
/// there yet.
#[derive(Debug, Clone)]
pub(super) struct Groups {
    release: Release,
    wanted: [Option<Vec<u8>>; 2],
}

/// Why none could be set.
enum Problem {
    /// None is known.
    NoGroup,
    /// OpenSSL refuses them all together.
    Refused,
}

impl Groups {
    pub(super) fn of(config: &Config) -> Self {
        let [curves, groups] = PARAMETERS.map(|name| config.is_set(name));
        let wanted = [
            curves.then(|| config.tls_eecdh_auto_curves.clone()),
            groups.then(|| config.tls_ffdhe_auto_groups.clone()),
        ];
        Self { release: config.release, wanted }
    }

    /// What Postfix has where main.cf says nothing.
    fn default(&self, openssl_3_5: bool) -> [&'static [u8]; 2] {
        if openssl_3_5 && self.release.does(Change::GroupsOfOpenSsl) {
            return GROUPS_OF_OPENSSL.map(str::as_bytes);
        }
        PARAMETERS.map(|name| self.release.default_of(name).unwrap_or_default().as_bytes())
    }

    /// What is wanted, with the defaults.
    fn lists(&self, default: [&'static [u8]; 2]) -> [&[u8]; 2] {
        let [curves, groups] = &self.wanted;
        let [default_curves, default_groups] = default;
        [curves.as_deref().unwrap_or(default_curves), groups.as_deref().unwrap_or(default_groups)]
    }

    /// Whether OpenSSL need not be asked whether there is anything to complain of.
    pub(super) fn are_plain(&self) -> bool {
        let does = |change| self.release.does(change);
        let lists = self.lists(self.default(true));
        if lists.iter().all(|list| list.is_empty()) {
            return !does(Change::GroupsByName) || does(Change::NoGroupsNoWord);
        }
        let mut names = lists.iter().flat_map(|list| words(list, SEPARATORS));
        if does(Change::UnknownGroupsIgnored) {
            names.any(|name| KNOWN.contains(&name) || name == KNOWN_LATER)
        } else {
            names.all(|name| KNOWN.contains(&name))
        }
    }

    /// Tells OpenSSL.
    pub(super) fn set(&self, ctx: &mut SslContextBuilder) {
        let default = self.default(openssl::version::number() >= OPENSSL_3_5);
        let wanted = self.lists(default);
        if !self.release.does(Change::GroupsByName) {
            return set_curves(ctx, wanted[0]);
        }
        if wanted.iter().all(|list| list.is_empty()) && self.release.does(Change::NoGroupsNoWord) {
            return;
        }
        match self.try_list(ctx, "configured", wanted) {
            Ok(()) => return,
            Err(Problem::NoGroup) if wanted != default => {
                warning!("using Postfix default key exchange groups instead");
                if self.try_list(ctx, "Postfix default", default).is_ok() {
                    return;
                }
            }
            Err(_) => {}
        }
        warning!("using OpenSSL default key exchange groups instead");
    }

    fn try_list(
        &self,
        ctx: &mut SslContextBuilder,
        origin: &str,
        lists: [&[u8]; 2],
    ) -> Result<(), Problem> {
        let mut names = lists.iter().flat_map(|list| words(list, SEPARATORS)).peekable();
        if names.peek().is_none() {
            warning!("no {} key exchange group - OpenSSL requires at least one", origin);
            return Err(Problem::NoGroup);
        }
        let Ok(mut trial) = SslContext::builder(SslMethod::tls()) else {
            warning!("cannot allocate temp SSL_CTX");
            return Err(Problem::Refused);
        };
        let mut usable: Vec<&str> = Vec::new();
        for name in names.filter_map(|name| std::str::from_utf8(name).ok()) {
            if !self.release.does(Change::UnknownGroupsIgnored)
                && ffi::curve(name.as_bytes()).is_none()
            {
                warning!("ignoring unknown key exchange group \"{}\"", name);
            } else if trial.set_groups_list(name).is_ok()
                && !usable.iter().any(|other| other.eq_ignore_ascii_case(name))
            {
                usable.push(name);
            }
        }
        if usable.is_empty() {
            warning!("none of the {} key exchange groups are supported", origin);
            return Err(Problem::NoGroup);
        }
        ctx.set_groups_list(&usable.join(":")).map_err(|errors| {
            warning!("failed to set up the {} key exchange groups", origin);
            log_library_errors(&errors);
            Problem::Refused
        })
    }
}

fn set_curves(ctx: &mut SslContextBuilder, list: &[u8]) {
    let (mut known, mut unsupported) = (Vec::new(), false);
    for name in words(list, COMMA_SPACE) {
        match ffi::curve(name) {
            None => warning!("ignoring unknown ECDHE curve \"{}\"", name),
            // Tried alone: whether the library can, it says only so.
            Some(curve) if ffi::set_groups(ctx, &mut [curve]) => known.push(curve),
            Some(_) => unsupported = true,
        }
    }
    if known.is_empty() {
        if unsupported {
            warning!("none of the configured ECDHE curves are supported");
        }
    } else if !ffi::set_groups(ctx, &mut known) {
        warning!("failed to configure ECDHE curves");
        log_library_errors(&ErrorStack::get());
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::log::captured;

    /// What is logged about the groups of a main.cf.
    fn log_of(main_cf: &str) -> Vec<String> {
        let groups = Groups::of(&Config::of_text(main_cf).unwrap());
        let mut ctx = SslContext::builder(SslMethod::tls()).unwrap();
        captured::take();
        groups.set(&mut ctx);
        let log = captured::take();
        assert!(log.is_empty() || !groups.are_plain(), "{main_cf}");
        log
    }

    #[test]
    fn defaults_are_taken_without_a_word() {
        for release in ["3.7.11", "3.8", "3.9.0", "3.10", "3.11", "3.12"] {
            let main_cf = format!("smtpd_rs_dialect = {release}\n");
            assert_eq!(log_of(&main_cf), Vec::<String>::new(), "{release}");
            let groups = Groups::of(&Config::of_text(&main_cf).unwrap());
            assert!(groups.are_plain(), "{release}");
        }
    }

    #[test]
    fn defaults_of_3_11_depend_on_openssl() {
        let lists = |main_cf: &str, openssl_3_5| {
            let config = Config::of_text(&format!("smtpd_rs_dialect = 3.11\n{main_cf}")).unwrap();
            let groups = Groups::of(&config);
            let lists = groups.lists(groups.default(openssl_3_5)).map(String::from_utf8_lossy);
            lists.map(Cow::into_owned)
        };
        let old = ["X25519 X448 prime256v1 secp384r1 secp521r1", "ffdhe2048 ffdhe3072"];
        assert_eq!(lists("", false), old);
        assert_eq!(lists("", true), ["?X25519MLKEM768:DEFAULT", ""]);
        assert_eq!(lists("tls_eecdh_auto_curves = X448\n", false), ["X448", old[1]]);
        assert_eq!(lists("tls_eecdh_auto_curves = X448\n", true), ["X448", ""]);
    }

    #[test]
    fn unknown_groups_are_told_until_3_9() {
        let list = "tls_eecdh_auto_curves = nonsense X25519\n";
        assert_eq!(log_of(list), ["warning: ignoring unknown ECDHE curve \"nonsense\""]);
        assert_eq!(
            log_of(&format!("smtpd_rs_dialect = 3.9\n{list}")),
            ["warning: ignoring unknown key exchange group \"nonsense\""]
        );
        assert_eq!(log_of(&format!("smtpd_rs_dialect = 3.10\n{list}")), Vec::<String>::new());
    }

    #[test]
    fn without_a_known_group_there_are_the_defaults() {
        let main_cf = "smtpd_rs_dialect = 3.10\ntls_ffdhe_auto_groups =\n";
        assert_eq!(
            log_of(&format!("{main_cf}tls_eecdh_auto_curves = a:b\n")),
            [
                "warning: none of the configured key exchange groups are supported",
                "warning: using Postfix default key exchange groups instead"
            ]
        );
        assert_eq!(log_of(&format!("{main_cf}tls_eecdh_auto_curves =\n")), Vec::<String>::new());
        assert_eq!(
            log_of("smtpd_rs_dialect = 3.9.1\ntls_ffdhe_auto_groups =\ntls_eecdh_auto_curves =\n"),
            [
                "warning: no configured key exchange group - OpenSSL requires at least one",
                "warning: using Postfix default key exchange groups instead"
            ]
        );
    }

    #[test]
    fn a_group_counts_once() {
        let twice = "smtpd_rs_dialect = 3.10\ntls_eecdh_auto_curves = X25519:x25519, X25519\n";
        assert_eq!(log_of(twice), Vec::<String>::new());
    }
}
