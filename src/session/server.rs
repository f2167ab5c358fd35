//! What the process has: opened once, before the chroot, and shared by all its sessions.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use super::notify::Classes;
use super::probe::Probe;
use crate::config::Config;
use crate::config::dialect::Change;
use crate::dns::{Dns, Network};
use crate::identity::{Hints, Users};
use crate::ipc::anvil::Anvil;
use crate::ipc::cleanup;
use crate::ipc::rewrite::TrivialRewrite;
use crate::ipc::tlsmgr::Tlsmgr;
use crate::log::Fatal;
use crate::mail::client::Client;
use crate::mail::hostname;
use crate::matchlist::MatchList;
use crate::restriction::Policy;
use crate::restriction::rewrite_clients::RewriteClients;
use crate::table::maps::Maps;
use crate::table::{Handle, Opener, Request};
use crate::text::split::{COMMA_SPACE, words};
use crate::tls::inspect;
use crate::tls::{Renewal, SessionKeeper, Switches, TlsServer};
use crate::wire::message::BareNewline;

/// Lists that say to whom or to what something applies.
pub(crate) struct Lists {
    pub(crate) noop_commands: MatchList,
    pub(crate) forbidden_commands: MatchList,
    pub(crate) verp_clients: MatchList,
    pub(crate) xclient_hosts: MatchList,
    pub(crate) xforward_hosts: MatchList,
    pub(crate) event_limit_exceptions: MatchList,
    pub(crate) bare_newline_exclusions: MatchList,
    pub(crate) debug_peers: MatchList,
    pub(crate) fast_flush_domains: MatchList,
}

/// The process.
pub struct Server {
    pub(crate) config: Rc<Config>,
    pub(crate) opener: Opener,
    pub(crate) lists: Lists,
    /// The restrictions. None in stand-alone mode: whoever runs us has written what he sends, and
    /// may not read our tables.
    pub(crate) policy: Option<Box<Policy>>,
    pub(crate) users: Option<Users>,
    pub(crate) hints: Option<Hints>,
    pub(crate) rewrite_clients: Option<RewriteClients>,
    pub(crate) rewrite: TrivialRewrite,
    pub(crate) dns: Dns,
    pub(crate) anvil: Option<Anvil>,
    pub(crate) probe: Probe,
    pub(crate) command_filter: Option<Handle>,
    pub(crate) discard_maps: Maps,
    pub(crate) filters: Maps,
    pub(crate) footers: Maps,
    pub(crate) switches: Switches,
    pub(crate) tls: Option<TlsServer>,
    /// Files of TLS that may be renewed.
    pub(crate) renewal: Option<Renewal>,
    /// smtpd_forbid_bare_newline
    bare_newline: BareNewline,
    /// What cleanup(8) is to do, as receive_override_options leaves it.
    pub(crate) cleanup_flags: u32,
    /// smtputf8_autodetect_classes has us in it.
    pub(crate) autodetect_utf8: bool,
    /// When there was last plenty of room in the queue.
    pub(crate) plenty_of_room: Cell<Option<Instant>>,
    /// A Milter or filter is configured, and this version cannot ask it.
    pub(crate) lacks_filter: bool,
    /// compatibility_level below 1, and smtputf8_enable unset.
    pub(crate) warns_of_smtputf8: bool,
}

impl Server {
    /// Opens everything, in Postfix's order (`pre_jail_init()`). It is large: made where it stays,
    /// since a stack that was deep once costs every process that memory for good.
    pub(crate) fn open(config: &Rc<Config>, network: Box<dyn Network>) -> Result<Rc<Self>, Fatal> {
        crate::sys::service_socket::use_window(config.tcp_windowsize);
        hostname::use_idna2003(config.enable_idna2003_compatibility);
        let tlsmgr = Box::new(Tlsmgr::new(config));
        let server = Self::open_beside(config, Opener::new(config), tlsmgr, network)?;
        server.warn_of_public_authorities();
        Ok(server)
    }

    /// With hints: whoever has a certificate of a public authority would be let through. `check`
    /// says the same, with its place.
    fn warn_of_public_authorities(&self) {
        let Some(policy) = self.policy.as_ref().filter(|_| self.hints.is_some()) else { return };
        if !inspect::asks_for_certificates(&self.config, &self.switches) {
            return;
        }
        let all = |name: &[u8]| name.eq_ignore_ascii_case(b"permit_tls_all_clientcerts");
        if policy.review().iter().any(|it| it.behind.is_none() && all(it.name)) {
            if let Some(text) = inspect::lets_everybody_in(&self.config) {
                warning!("{}", text);
            }
        }
    }

    /// The same with these neighbours: whoever only looks at the configuration asks none.
    pub(crate) fn open_beside(
        config: &Rc<Config>,
        mut opener: Opener,
        tlsmgr: Box<dyn SessionKeeper>,
        network: Box<dyn Network>,
    ) -> Result<Rc<Self>, Fatal> {
        // First: what changes while it is read is noticed.
        let renewal = Renewal::prepare(config);
        let lists = Lists::open(config, &mut opener)?;
        let bare_newline = bare_newline(config)?;
        let (policy, users, hints, rewrite_clients) = if config.stand_alone {
            (None, None, None, None)
        } else {
            let policy = Policy::compile(config, &mut opener)?;
            let users = Users::open(config, &mut opener)?;
            let hints = Hints::open(config, &mut opener)?;
            (Some(policy), users, hints, Some(RewriteClients::open(config, &mut opener)?))
        };
        let command_filter = match config.smtpd_command_filter.as_slice() {
            [] => None,
            spec => Some(opener.open(spec, Request { fold_fixed: true, ..Request::default() })?),
        };
        let mut switches = Switches::of(config)?;
        switches.names_count |= policy.as_ref().is_some_and(|it| it.looks_up_names());
        if config.stand_alone {
            switches = Switches::default();
        }
        let tls = if switches.use_tls {
            TlsServer::prepare(config, &switches, &mut opener, tlsmgr)?
        } else {
            None
        };
        let discard_maps = Maps::open(
            &mut opener,
            "smtpd_discard_ehlo_keyword_address_maps",
            &config.smtpd_discard_ehlo_keyword_address_maps,
            Request::default(),
        )?;
        let dns = Dns::open(config, &mut opener, network)?;
        let filters = Maps::open(
            &mut opener,
            "smtpd_reject_filter_maps",
            &config.smtpd_reject_filter_maps,
            Request::default(),
        )?;
        let footers = Maps::open(
            &mut opener,
            "smtpd_reject_footer_maps",
            &config.smtpd_reject_footer_maps,
            Request::default(),
        )?;
        if !config.stand_alone {
            warn_of_what_is_missing(config);
        }
        Ok(Rc::new(Self {
            lists,
            policy,
            users,
            hints,
            rewrite_clients,
            rewrite: TrivialRewrite::new(config),
            dns,
            anvil: (counts_anything(config) && !config.stand_alone).then(|| Anvil::new(config)),
            probe: Probe::new(config),
            command_filter,
            discard_maps,
            filters,
            footers,
            switches,
            renewal: renewal.map(|files| files.serving(tls.as_ref())),
            tls,
            bare_newline,
            cleanup_flags: cleanup_flags(config)?,
            autodetect_utf8: autodetects_utf8(config, "smtpd"),
            plenty_of_room: Cell::default(),
            lacks_filter: lacks_filter(config) && !config.stand_alone,
            warns_of_smtputf8: config.has_old_default("smtputf8_enable"),
            opener,
            config: Rc::clone(config),
        }))
    }

    pub(crate) fn warn_of_space(&self) {
        let (free, limit) = (self.config.queue_minfree, self.config.message_size_limit);
        if free > 0 && limit > 0 && (free as f64 / 1.5) < limit as f64 {
            warning!(
                "queue_minfree({}) should be at least 1.5*message_size_limit({})",
                free,
                limit
            );
        }
    }

    /// notify_classes. As Postfix: a word that it does not know is found out with the first client.
    pub(crate) fn notify_classes(&self) -> Result<Classes, Fatal> {
        Classes::parse(&self.config.notify_classes)
    }

    /// Whether a handshake can be made.
    pub(crate) fn has_tls(&self) -> bool {
        self.tls.as_ref().is_some_and(TlsServer::ready)
    }

    /// What this client may do with lines that end in LF alone.
    pub(crate) fn bare_newline_for(&self, client: &Client) -> BareNewline {
        let excluded = &self.lists.bare_newline_exclusions;
        if self.bare_newline == BareNewline::Accept
            || self.config.stand_alone
            || excluded.matches_host(&client.name, &client.addr).unwrap_or(false)
        {
            return BareNewline::Accept;
        }
        self.bare_newline
    }
}

impl Lists {
    fn open(config: &Config, opener: &mut Opener) -> Result<Self, Fatal> {
        let mut host = |parameter: &str, patterns: &[u8], style: Option<&str>| {
            MatchList::hosts(opener, config, parameter, patterns, style)
        };
        let verp_clients =
            host("smtpd_authorized_verp_clients", &config.smtpd_authorized_verp_clients, None)?;
        let xclient_hosts =
            host("smtpd_authorized_xclient_hosts", &config.smtpd_authorized_xclient_hosts, None)?;
        let xforward_hosts =
            host("smtpd_authorized_xforward_hosts", &config.smtpd_authorized_xforward_hosts, None)?;
        let event_limit_exceptions = host(
            "smtpd_client_event_limit_exceptions",
            &config.smtpd_client_event_limit_exceptions,
            Some("smtpd_client_event_limit_exceptions"),
        )?;
        let bare_newline_exclusions = host(
            "smtpd_forbid_bare_newline_exclusions",
            &config.smtpd_forbid_bare_newline_exclusions,
            Some("mynetworks"),
        )?;
        let debug_peers =
            host("debug_peer_list", &config.debug_peer_list, Some("debug_peer_list"))?;
        let mut strings = |parameter: &str, patterns: &[u8]| {
            MatchList::strings(opener, config, parameter, patterns)
        };
        let noop_commands = strings("smtpd_noop_commands", &config.smtpd_noop_commands)?;
        let forbidden_commands =
            strings("smtpd_forbidden_commands", &config.smtpd_forbidden_commands)?;
        let fast_flush_domains = MatchList::domains(
            opener,
            config,
            "fast_flush_domains",
            &config.fast_flush_domains,
            Some("fast_flush_domains"),
        )?;
        Ok(Self {
            noop_commands,
            forbidden_commands,
            verp_clients,
            xclient_hosts,
            xforward_hosts,
            event_limit_exceptions,
            bare_newline_exclusions,
            debug_peers,
            fast_flush_domains,
        })
    }
}

/// smtpd_forbid_bare_newline
fn bare_newline(config: &Config) -> Result<BareNewline, Fatal> {
    let value = &config.smtpd_forbid_bare_newline;
    BareNewline::parse(value)
        .filter(|mode| *mode != BareNewline::Note || config.does(Change::BareNewlineNote))
        .ok_or_else(|| fatal!("bad parameter value: 'smtpd_forbid_bare_newline = {}'", value))
}

/// Whether anvil(8) is needed at all.
fn counts_anything(config: &Config) -> bool {
    [
        config.smtpd_client_connection_rate_limit,
        config.smtpd_client_connection_count_limit,
        config.smtpd_client_message_rate_limit,
        config.smtpd_client_recipient_rate_limit,
        config.smtpd_client_new_tls_session_rate_limit,
        config.smtpd_client_auth_rate_limit,
    ]
    .iter()
    .any(|limit| *limit != 0)
}

/// receive_override_options
fn cleanup_flags(config: &Config) -> Result<u32, Fatal> {
    let mut flags = cleanup::FLAG_FILTER
        | cleanup::FLAG_BCC_OK
        | cleanup::FLAG_MAP_OK
        | cleanup::FLAG_SMTP_REPLY;
    for word in words(&config.receive_override_options, COMMA_SPACE) {
        match word.to_ascii_lowercase().as_slice() {
            b"no_unknown_recipient_checks" | b"no_milters" => {}
            b"no_address_mappings" => flags &= !(cleanup::FLAG_BCC_OK | cleanup::FLAG_MAP_OK),
            b"no_header_body_checks" => flags &= !cleanup::FLAG_FILTER,
            _ => {
                return Err(fatal!(
                    "unknown receive_override_options value \"{}\" in \"{}\"",
                    word,
                    config.receive_override_options
                ));
            }
        }
    }
    Ok(flags)
}

/// smtputf8_autodetect_classes
pub(super) fn autodetects_utf8(config: &Config, class: &str) -> bool {
    let mut words = words(&config.smtputf8_autodetect_classes, COMMA_SPACE);
    let class = class.as_bytes();
    words.any(|word| word.eq_ignore_ascii_case(class) || word.eq_ignore_ascii_case(b"all"))
}

/// Mail must pass a filter that this version cannot ask (unless milter_default_action says that
/// mail passes where a Milter does not answer).
fn lacks_filter(config: &Config) -> bool {
    let milters = !config.smtpd_milters.is_empty() || !config.smtpd_milter_maps.is_empty();
    let accepts = config.milter_default_action.eq_ignore_ascii_case(b"accept");
    milters && !accepts || !config.smtpd_proxy_filter.is_empty()
}

/// Features of Postfix that are configured, and that this version has not.
fn warn_of_what_is_missing(config: &Config) {
    if config.smtpd_sasl_auth_enable {
        warning!("smtpd_sasl_auth_enable is true, but SASL support is not compiled in");
    }
    for (name, value) in [
        ("smtpd_milters", &config.smtpd_milters),
        ("smtpd_milter_maps", &config.smtpd_milter_maps),
        ("smtpd_proxy_filter", &config.smtpd_proxy_filter),
    ] {
        if !value.is_empty() {
            warning!("{} is set, but this version of smtpd-rs has no support for it", name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::dns::System;
    use crate::log::captured;
    use crate::table::proxy::{Answer, FIXED, Service};
    use crate::tls::CachePolicy;

    /// Writes a table for which nobody waits until it is complete.
    fn write_long_ago(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }

    /// Somebody who replaces a file while the process starts: when proxymap(8) is asked.
    struct Meddler(PathBuf);

    impl Service for Meddler {
        fn open(&self, _: &[u8], _: u32) -> Result<u32, Fatal> {
            let beside = self.0.with_extension("new");
            write_long_ago(&beside, "AA:BB bob\n");
            fs::rename(beside, &self.0).unwrap();
            Ok(FIXED)
        }

        fn lookup(&self, _: &[u8], _: u32, _: &[u8]) -> Result<Answer, Fatal> {
            Ok(Answer::NotFound)
        }
    }

    /// A tlsmgr(8) that has nothing.
    struct Nothing;

    impl SessionKeeper for Nothing {
        fn seed(&self, _: u32) -> Option<Vec<u8>> {
            None
        }

        fn policy(&self) -> Option<CachePolicy> {
            None
        }

        fn lookup(&self, _: &[u8]) -> Option<Vec<u8>> {
            None
        }

        fn update(&self, _: &[u8], _: &[u8]) {}

        fn ticket_key(&self, _: &[u8]) -> Option<Vec<u8>> {
            None
        }
    }

    #[test]
    fn what_is_replaced_while_a_process_starts_is_read_by_the_next() {
        captured::take();
        let users = std::env::temp_dir().join(format!("server-users-{}", std::process::id()));
        write_long_ago(&users, "AA:BB alice\n");
        let main_cf = format!(
            "smtpd_relay_restrictions = reject\nsmtpd_tls_security_level = may\n\
             smtpd_tls_cert_file = none\n\
             smtpd_tls_ccert_user_maps = texthash:{}, proxy:static:x\n",
            users.display()
        );
        let config = Rc::new(Config::of_text(&main_cf).unwrap());
        let opener = Opener::new(&config).with_proxymap(Rc::new(Meddler(users.clone())));
        let network = Box::<System>::default();
        let server = Server::open_beside(&config, opener, Box::new(Nothing), network).unwrap();
        let later = SystemTime::now() + Duration::from_secs(10);
        let due = server.renewal.as_ref().and_then(|renewal| renewal.due(later));
        let title = fill!("smtpd_tls_ccert_user_maps {}", users.as_os_str().as_encoded_bytes());
        assert_eq!(due, Some(title));
        fs::remove_file(users).unwrap();
    }
}
