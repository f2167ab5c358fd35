//! THE TABLE of what differs between the releases of Postfix, from 3.7 to 3.12, as far as smtpd-rs
//! has it: [`CHANGES`] are log lines, replies and wire forms, [`DEFAULTS`] are values of parameters.
//!
//! smtpd-rs speaks as the release that is installed, or as the one that smtpd_rs_dialect names.
//! Many a change was brought back to older branches: a row names the first release of each branch
//! that has it, and all branches after the last one have it too. What was a hole is closed in
//! every dialect, and so has no row here (docs/differences.md).

use std::fmt;

use super::parameters::TABLE;

/// A release of Postfix: `3.7.11`, or the snapshot `3.12-20260821`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    major: u16,
    minor: u16,
    /// The last of a branch where it is not told, as in snapshots.
    patch: u16,
}

impl Release {
    /// Where nothing is installed.
    pub const DEFAULT: Self = Self::first("3.7.11");

    /// Parses a version as Postfix has it. `3.10` is the last release of that branch.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let end = text.iter().position(|byte| *byte == b'-').unwrap_or(text.len());
        let mut numbers = [0, 0, u16::MAX];
        let mut parts = text[..end].split(|byte| *byte == b'.');
        for (at, number) in numbers.iter_mut().enumerate() {
            match parts.next() {
                Some(part) => *number = std::str::from_utf8(part).ok()?.parse().ok()?,
                None if at == 2 => {}
                None => return None,
            }
        }
        let [major, minor, patch] = numbers;
        parts.next().is_none().then_some(Self { major, minor, patch })
    }

    /// A row's release; `3.10` is the first one of that branch.
    const fn first(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut numbers = [0; 3];
        let (mut part, mut at) = (0, 0);
        while at < bytes.len() {
            match bytes[at] {
                b'.' => part += 1,
                digit => numbers[part] = numbers[part] * 10 + (digit - b'0') as u16,
            }
            at += 1;
        }
        Self { major: numbers[0], minor: numbers[1], patch: numbers[2] }
    }

    fn branch(self) -> (u16, u16) {
        (self.major, self.minor)
    }

    /// Whether this release has what came `since` then.
    fn has(self, since: &Since) -> bool {
        since.iter().any(|first| self.branch() == first.branch() && self.patch >= first.patch)
            || since.last().is_some_and(|last| self.branch() > last.branch())
    }

    /// The default of a parameter in this release; `None`: it is not read.
    pub fn default_of(self, name: &str) -> Option<&'static str> {
        let row = TABLE.get(name)?;
        let mut formers = DEFAULTS.iter().filter(|former| former.name == name);
        match formers.find_map(|former| former.in_release(self)) {
            None => Some(row.default),
            Some(Instead::Default(default)) => Some(default),
            Some(Instead::Value(_)) => None,
        }
    }

    /// Whether this release does what `change` says.
    pub fn does(self, change: Change) -> bool {
        CHANGES.iter().any(|row| row.change == change && self.has(row.since))
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.patch == u16::MAX { Ok(()) } else { write!(f, ".{}", self.patch) }
    }
}

/// The number of OpenSSL 3.5, as it says it.
pub const OPENSSL_3_5: i64 = 0x3050_0000;

/// Defaults of tls_eecdh_auto_curves and tls_ffdhe_auto_groups with that OpenSSL
/// ([`Change::GroupsOfOpenSsl`]).
pub const GROUPS_OF_OPENSSL: [&str; 2] = ["?X25519MLKEM768:DEFAULT", ""];

/// The first releases, oldest branch first.
type Since = [Release];

macro_rules! since {
    ($($release:literal)+) => { &[$(const { Release::first($release) }),+] };
}

/// Something that newer releases do, and older ones do not.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// What.
    pub change: Change,
    /// In a sentence.
    #[cfg(test)]
    what: &'static str,
    since: &'static Since,
}

macro_rules! changes {
    ($( #[doc = $what:literal] $name:ident: $($release:literal)+; )*) => {
        /// What newer releases do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Change { $( #[doc = $what] $name, )* }

        /// THE TABLE of log lines, replies and wire forms.
        pub static CHANGES: &[Row] = &[
            $( Row { change: Change::$name, #[cfg(test)] what: $what, since: since!($($release)+) }, )*
        ];
    };
}

changes! {
    /// A client of whom postscreen(8) or a proxy says nothing good is unknown; the process goes on.
    BadHandoverSurvived: "3.11";
    /// REQUIRETLS can be announced, asked for and discarded.
    RequireTls: "3.11";
    /// A command that is too long is refused, not cut.
    LongCommandRefused: "3.12";
    /// What cannot be read as a command counts as an unknown one.
    MalformedCommandCounts: "3.7.17" "3.8.12" "3.9.6" "3.10.5" "3.11";
    /// There is a HELP command.
    HelpCommand: "3.9";
    /// smtpd_forbid_bare_newline can be `note`.
    BareNewlineNote: "3.9";
    /// Of a command that is too long, only so much more is read; then the client is not heard any more.
    ExcessInputBounded: "3.8.18" "3.9.12" "3.10.11" "3.11.4";
    /// An ENVID may have a tab in it.
    EnvelopeIdWithTab: "3.12";
    /// Of the lines that look like the separator of a mailbox, only the first line is disarmed.
    OneMailboxLine: "3.7.21" "3.8.19" "3.9.13" "3.10.12" "3.11.5";
    /// The log names SMTPUTF8 among discarded keywords, not EHLO_MASK_SMTPUTF8.
    Smtputf8Name: "3.11";
    /// A date has two digits for its day.
    TwoDigitDay: "3.9";
    /// The queue id stands in the line about the end of a session.
    QueueIdAtTheEnd: "3.10";
    /// The line about a refusal says who logged in, and AUTH= of MAIL.
    LoginInRefusals: "3.10";
    /// check_relay_domains, permit_naked_ip_address and reject_maps_rbl are no restrictions any more.
    OldRestrictionsGone: "3.9";
    /// permit_mx_backup warns that it will go.
    MxBackupGoes: "3.9";
    /// rbl_reply_maps are asked for the domain of a list without its filter, too.
    BlockListByDomain: "3.10";
    /// A text in DNS is all of its parts.
    WholeTexts: "3.10";
    /// permit_tls_clientcerts looks for the public key first, then for the certificate.
    PublicKeyFirst: "3.9";
    /// tls_legacy_public_key_fingerprints is read, and nothing comes of it.
    LegacyKeyFingerprintsGone: "3.9";
    /// The log says which fingerprint is that of the certificate.
    FingerprintKinds: "3.9";
    /// No signature is shown where a session goes on from an earlier one.
    ResumedUnsigned: "3.7.13" "3.8.8" "3.9.2" "3.10";
    /// The group of a key exchange has the name that OpenSSL has for it.
    GroupNames: "3.10";
    /// Groups for key exchange are names, and those of finite fields are among them.
    GroupsByName: "3.8";
    /// Groups that OpenSSL does not know are ignored without a word.
    UnknownGroupsIgnored: "3.10";
    /// Where no group is wanted, it is OpenSSL's choice, without a word.
    NoGroupsNoWord: "3.8.8" "3.9.2" "3.10";
    /// anvil(8) counts a client by the network of its connection, whatever XCLIENT says.
    CountedByConnection: "3.8";
    /// The cipher grades low and export are as medium.
    NoLowGrades: "3.8";
    /// A file of patterns has logical lines; a comment behind a pattern is told in other words.
    PatternFilesAsMainCf: "3.8";
    /// Values in main.cf can call functions: `${domain_to_ascii{…}}`.
    Functions: "3.11";
    /// main.cf and `-o` cannot change $process_name.
    ProcessNameFixed: "3.12";
    /// The type of the default of alias_maps is that of default_database_type.
    DatabaseTypeOfAliases: "3.11";
    /// Whether a command is UTF-8 is looked at up to its first NUL.
    Utf8UntilNul: "3.9";
    /// permit_sasl_authenticated takes the login of XCLIENT even where smtpd_sasl_auth_enable is off.
    XclientLoginPermits: "3.7.12" "3.8.7" "3.9.1" "3.10";
    /// The EHLO keywords that are discarded stand in the log with commas.
    DiscardedWithCommas: "3.11";
    /// The server may show its key without a certificate (with OpenSSL 3.2).
    RawKeyOffered: "3.9";
    /// A name that a client asks for is shown though it has no certificates.
    AllNamesShown: "3.12";
    /// A session can be traced: smtpd_tls_loglevel has the word `trace`.
    Traces: "3.12";
    /// With OpenSSL 3.5, key exchange has the groups of OpenSSL and a hybrid one by default.
    GroupsOfOpenSsl: "3.11";
    /// proxymap(8) is asked with `instance_flags`, and answers with `flags`.
    ProxymapTellsFlags: "3.11";
}

/// A parameter whose default is another in older releases, or that only some releases read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Former {
    pub(super) name: &'static str,
    since: &'static Since,
    text: &'static str,
    read: bool,
    /// Holds from then on, not until then.
    later: bool,
}

/// What a release has in place of the default in the table of parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instead {
    /// Another default.
    Default(&'static str),
    /// This value always: the parameter is not read.
    Value(&'static str),
}

impl Former {
    /// What this row means for `release`.
    pub(super) fn in_release(&self, release: Release) -> Option<Instead> {
        if release.has(self.since) != self.later {
            return None;
        }
        Some(if self.read { Instead::Default(self.text) } else { Instead::Value(self.text) })
    }
}

/// The default was `text` before.
const fn was(text: &'static str, name: &'static str, since: &'static Since) -> Former {
    Former { name, since, text, read: true, later: false }
}

/// The parameter is read since then; before, all was as if it were `text`.
const fn new(text: &'static str, name: &'static str, since: &'static Since) -> Former {
    Former { name, since, text, read: false, later: false }
}

/// The parameter is not read any more; all is as if it were `text`.
const fn gone(text: &'static str, name: &'static str, since: &'static Since) -> Former {
    Former { name, since, text, read: false, later: true }
}

/// THE TABLE of parameters that differ, in the order in which they are loaded.
pub(super) static DEFAULTS: &[Former] = &[
    new("0600", "maillog_file_permissions", since!("3.9")),
    new("no", "requiretls_enable", since!("3.11")),
    new("no", "tls_required_enable", since!("3.10")),
    new("no", "non_bdb_migration_log_redirect", since!("3.11")),
    new("btree", "default_cache_db_type", since!("3.11")),
    was("hash:/etc/aliases", "alias_database", since!("3.11")),
    was(
        "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ XAUTHORITY DISPLAY LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME",
        "import_environment",
        since!("3.11"),
    ),
    new("disable", "non_bdb_migration_level", since!("3.11")),
    new("nbdb_reindex", "non_bdb_migration_service_name", since!("3.11")),
    new("", "non_bdb_custom_mapping", since!("3.11")),
    new("100000", "socketmap_max_reply_size", since!("3.10")),
    new("2147483647", "socketmap_max_query_size", since!("3.12")),
    new("550", "smtpd_forbid_bare_newline_reject_code", since!("3.7.10" "3.8.5" "3.9")),
    new("32", "smtpd_client_ipv4_prefix_length", since!("3.8")),
    new("128", "smtpd_client_ipv6_prefix_length", since!("3.8")),
    new("102400", "smtpd_tls_trace_size_limit", since!("3.12")),
    was("hash:/etc/aliases, nis:mail.aliases", "alias_maps", since!("3.11")),
    new("", "smtpd_tls_loglevel_maps", since!("3.12")),
    was("tempfail", "milter_default_action", since!("3.7.20" "3.8.15" "3.9.9" "3.10.8" "3.11")),
    new("", "smtpd_reject_filter_maps", since!("3.11")),
    new("", "smtpd_forbid_bare_newline_exclusions", since!("3.7.9" "3.8.4" "3.9")),
    new("no", "smtpd_forbid_bare_newline", since!("3.7.9" "3.8.4" "3.9")),
    was("no", "smtpd_forbid_bare_newline", since!("3.9")),
    new("no", "smtpd_tls_enable_rpk", since!("3.9")),
    new("no", "smtpd_forbid_unauth_pipelining", since!("3.7.6" "3.8.1" "3.9")),
    was("no", "smtpd_forbid_unauth_pipelining", since!("3.9")),
    new("no", "smtpd_hide_client_session", since!("3.10")),
    new("no", "requiretls_esmtp_header", since!("3.11")),
    new("default", "tls_config_file", since!("3.7.6" "3.8.1" "3.9")),
    new("", "tls_config_name", since!("3.7.6" "3.8.1" "3.9")),
    was("aNULL:-aNULL:HIGH:@STRENGTH", "tls_high_cipherlist", since!("3.8")),
    was("aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH", "tls_medium_cipherlist", since!("3.8")),
    was("aNULL:-aNULL:HIGH:MEDIUM:LOW:+RC4:@STRENGTH", "tls_low_cipherlist", since!("3.8")),
    was(
        "aNULL:-aNULL:HIGH:MEDIUM:LOW:EXPORT:+RC4:@STRENGTH",
        "tls_export_cipherlist",
        since!("3.8"),
    ),
    was("eNULL:!aNULL", "tls_null_cipherlist", since!("3.8")),
    was("X25519 X448 prime256v1 secp521r1 secp384r1", "tls_eecdh_auto_curves", since!("3.10")),
    new("", "tls_ffdhe_auto_groups", since!("3.8")),
    new("1", "tls_trace_rate_limit", since!("3.12")),
    new("no", "tls_trust_server_ccerts", since!("3.12")),
    gone("no", "tls_legacy_public_key_fingerprints", since!("3.11")),
    was("", "smtp_tls_security_level", since!("3.11")),
    was(
        "${tlsproxy_client_level:$smtp_tls_security_level}",
        "tlsproxy_client_security_level",
        since!("3.7.16" "3.8.11" "3.9.5" "3.10.4" "3.11"),
    ),
    new("no", "smtp_tlsrpt_skip_reused_handshakes", since!("3.10")),
    was("yes", "smtp_tlsrpt_skip_reused_handshakes", since!("3.11")),
];

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn release(text: &str) -> Release {
        Release::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_release_has_a_branch_and_a_patch_level() {
        assert!(release("3.10.2") > release("3.9.12"));
        assert_eq!(release("3.7.11-NONPROD"), release("3.7.11"));
        assert_eq!(release("3.12-20260821").to_string(), "3.12");
        assert_eq!(release("3.7.11").to_string(), "3.7.11");
        assert!(release("3.10") > release("3.10.99"), "the last of its branch");
        for wrong in ["", "3", "x", "3.", "3.7.x", "3.7.11.1", "-3.7", "3.70000.1", "3.7 "] {
            assert_eq!(Release::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn what_was_brought_back_is_there_from_then_on() {
        let since = since!("3.7.20" "3.8.15" "3.10.8" "3.11");
        for (text, has) in [
            ("3.6.30", false),
            ("3.7.19", false),
            ("3.7.20", true),
            ("3.7", true),
            ("3.8.14", false),
            ("3.8.15", true),
            ("3.9.99", false),
            ("3.10.7", false),
            ("3.10.8", true),
            ("3.10-20250101", true),
            ("3.11.0", true),
            ("3.12-20260821", true),
            ("4.0.0", true),
        ] {
            assert_eq!(release(text).has(since), has, "{text}");
        }
    }

    /// The release before a row's, in the same branch; or the last of the branch before it.
    fn before(first: Release) -> Release {
        match first.patch.checked_sub(1) {
            Some(patch) => Release { patch, ..first },
            None => Release { minor: first.minor - 1, patch: 0, ..first },
        }
    }

    /// `is` holds in the first release of each branch of `since`, and not in the one before it.
    fn holds_at_both_sides(since: &Since, what: &str, is: impl Fn(Release) -> bool) {
        assert!(since.is_sorted(), "{what}");
        for first in since {
            assert!(is(*first), "{what}: {first}");
            assert!(!is(before(*first)), "{what}: before {first}");
        }
        assert!(is(release("3.12")) && !is(release("3.6.0")), "{what}");
    }

    #[test]
    fn each_change_holds_from_its_release_on() {
        for row in CHANGES {
            holds_at_both_sides(row.since, row.what, |release| release.does(row.change));
        }
    }

    #[test]
    fn each_default_holds_until_its_release() {
        for row in DEFAULTS {
            holds_at_both_sides(row.since, row.name, |release| {
                row.in_release(release).is_none() != row.later
            });
        }
    }

    #[test]
    fn defaults_stand_in_the_order_of_the_table() {
        let place = |name| TABLE.iter().position(|row| row.name == name);
        let places: Vec<_> = DEFAULTS.iter().map(|row| place(row.name)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted());
    }

    #[test]
    fn defaults_are_those_of_the_dialect() {
        let config = |dialect: &str, more: &str| {
            Config::of_text(&format!("smtpd_rs_dialect = {dialect}\n{more}")).unwrap()
        };
        for (dialect, action, newline, day) in [
            ("3.7.11", "tempfail", "no", false),
            ("3.7.20", "shutdown", "no", false),
            ("3.8.4", "tempfail", "no", false),
            ("3.9.8", "tempfail", "normalize", true),
            ("3.10", "shutdown", "normalize", true),
            ("3.12-20260821", "shutdown", "normalize", true),
        ] {
            let config = config(dialect, "");
            assert_eq!(config.milter_default_action, action.as_bytes(), "{dialect}");
            assert_eq!(config.smtpd_forbid_bare_newline, newline.as_bytes(), "{dialect}");
            assert_eq!(config.does(Change::TwoDigitDay), day, "{dialect}");
            assert_eq!(config.mail_version, b"3.7.11", "the version is that of the host");
        }
        assert!(!config("3.8", "").smtpd_forbid_unauth_pipelining);
        assert!(config("3.9", "").smtpd_forbid_unauth_pipelining);
        assert!(
            config("3.8", "smtpd_forbid_unauth_pipelining = yes").smtpd_forbid_unauth_pipelining
        );
    }

    #[test]
    fn what_a_release_does_not_have_is_not_read() {
        let text = "smtpd_hide_client_session = yes\nsmtpd_banner = $smtpd_hide_client_session\n";
        let config = |dialect| Config::of_text(&format!("smtpd_rs_dialect = {dialect}\n{text}"));
        let old = config("3.9").unwrap();
        assert!(!old.smtpd_hide_client_session);
        assert_eq!(old.smtpd_banner, b"yes", "a name is a name");
        assert!(config("3.10").unwrap().smtpd_hide_client_session);
        let wrong = "smtpd_client_ipv4_prefix_length = x\nsmtpd_tls_enable_rpk = x\n";
        let config = |dialect| Config::of_text(&format!("smtpd_rs_dialect = {dialect}\n{wrong}"));
        assert_eq!(config("3.7").unwrap().smtpd_client_ipv4_prefix_length, 32);
        assert!(config("3.8").is_err());
        let legacy = "tls_legacy_public_key_fingerprints = yes\nsmtpd_use_tls = yes\n";
        let config = |dialect| Config::of_text(&format!("smtpd_rs_dialect = {dialect}\n{legacy}"));
        assert!(config("3.10").unwrap().tls_legacy_public_key_fingerprints);
        assert!(!config("3.11").unwrap().tls_legacy_public_key_fingerprints);
    }

    #[test]
    fn a_dialect_must_be_a_release() {
        let error = Config::of_text("smtpd_rs_dialect = new\n").unwrap_err();
        let text =
            "file /etc/postfix/main.cf: parameter smtpd_rs_dialect: bad parameter value: new";
        assert_eq!(error.0, text.as_bytes());
        let config = Config::of_text("a = 3.9\nsmtpd_rs_dialect = $a\n").unwrap();
        assert_eq!(config.release, release("3.9"));
    }
}
