//! THE TABLE of main.cf parameters: one line a parameter, in the order in which they are loaded.
//!
//! The field has the name that the user writes. Defaults are the texts of postconf(5), unexpanded,
//! as in Postfix 3.12; what other releases have in their place stands in [`super::dialect`]. The
//! limits are those of the value (numbers, seconds) or of its length (texts); 0 means none. The
//! order matters: a default that names a parameter further down expands to nothing, as in
//! Postfix. `later` and `foreign` mark what has no effect here, `own` what Postfix has not: see
//! [`Effect`].
#![expect(non_snake_case, reason = "fields have the names that main.cf has: smtpd_tls_CAfile")]

use super::kinds::{self, Kind, Loader};
use crate::log::Fatal;

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// As in main.cf.
    pub name: &'static str,
    /// Default, unexpanded, in the newest release.
    pub default: &'static str,
    /// What a value can be.
    pub kind: &'static str,
    /// Least value or length; 0: none.
    pub min: i64,
    /// Greatest value or length; 0: none.
    pub max: i64,
    /// What it does here.
    pub effect: Effect,
}

/// The rows as they are kept. Texts stand one behind the other, for a pointer to each would have
/// to be written by the dynamic linker at every start, and that memory is shared with nobody.
pub struct Table {
    /// Name, kind and default of each row.
    texts: &'static str,
    rows: &'static [Row],
}

/// What of a row is no text; of texts their lengths.
struct Row {
    name: u16,
    kind: u16,
    default: u16,
    min: i64,
    max: i64,
    effect: Effect,
}

impl Table {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row of that name.
    pub fn get(&self, name: &str) -> Option<Parameter> {
        let mut rows = self.iter();
        // Most names differ in length, which is known without a look at the texts.
        while let Some(row) = rows.rows.as_slice().first() {
            if usize::from(row.name) == name.len() && rows.texts.starts_with(name) {
                break;
            }
            rows.skip_one()?;
        }
        rows.next()
    }

    /// The rows.
    pub fn iter(&self) -> Rows {
        Rows { texts: self.texts, rows: self.rows.iter() }
    }
}

/// The rows of [`TABLE`], one after the other.
pub struct Rows {
    /// Those of the rows that come.
    texts: &'static str,
    rows: std::slice::Iter<'static, Row>,
}

impl Rows {
    fn skip_one(&mut self) -> Option<()> {
        let Row { name, kind, default, .. } = self.rows.next()?;
        let len = [name, kind, default].into_iter().map(|len| usize::from(*len)).sum();
        self.texts = self.texts.get(len..)?;
        Some(())
    }

    fn text(&mut self, len: u16) -> Option<&'static str> {
        let (text, rest) = self.texts.split_at_checked(usize::from(len))?;
        self.texts = rest;
        Some(text)
    }
}

impl Iterator for Rows {
    type Item = Parameter;

    fn next(&mut self) -> Option<Parameter> {
        let Row { name, kind, default, min, max, effect } = *self.rows.next()?;
        let (name, kind) = (self.text(name)?, self.text(kind)?);
        Some(Parameter { name, default: self.text(default)?, kind, min, max, effect })
    }
}

/// What a parameter does in this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// What it does in Postfix's smtpd.
    Acts,
    /// Nothing yet, though it does in Postfix's smtpd.
    Later,
    /// Nothing, as in Postfix's smtpd: it is read and checked, and may be part of other values.
    Foreign,
    /// Something that Postfix has not.
    Own,
}

/// A name in main.cf that is no parameter of ours.
#[derive(Debug, Clone, Copy)]
pub struct Name {
    /// The name.
    pub name: &'static str,
    /// Who gives it a value.
    pub origin: Origin,
}

/// Who gives a name its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The program.
    Program,
    /// main.cf only: it has no default.
    Obsolete,
}

macro_rules! effect {
    () => {
        Effect::Acts
    };
    (later) => {
        Effect::Later
    };
    (foreign) => {
        Effect::Foreign
    };
    (own) => {
        Effect::Own
    };
}

macro_rules! parameters {
    ($( $(#[$doc:meta])* $name:ident: $kind:ident $( ($min:literal, $max:literal) )? = $default:literal $($effect:ident)?; )*) => {
        /// The values of main.cf, evaluated once when the process starts.
        #[derive(Debug, Clone)]
        pub struct Parameters {
            $( $(#[$doc])* pub $name: <kinds::$kind as Kind>::Value, )*
        }

        /// All parameters, in the order in which they are loaded.
        pub static TABLE: Table = Table {
            texts: concat!($( stringify!($name), stringify!($kind), $default, )*),
            rows: &[
                $( Row {
                    name: stringify!($name).len() as u16,
                    kind: stringify!($kind).len() as u16,
                    default: $default.len() as u16,
                    min: first(&[$($min)?]),
                    max: first(&[$($max)?]),
                    effect: effect!($($effect)?),
                }, )*
            ],
        };

        impl Parameters {
            /// Evaluates all parameters in order. They are large: on the stack there is one copy.
            pub(super) fn load(loader: &mut Loader<'_, '_>) -> Result<Box<Self>, Fatal> {
                let mut rows = TABLE.iter();
                $( let $name = loader.load::<kinds::$kind>(&next(&mut rows))?; )*
                Ok(Box::new(Self { $( $name, )* }))
            }
        }
    };
}

const fn first(limits: &[i64]) -> i64 {
    if limits.is_empty() { 0 } else { limits[0] }
}

fn next(rows: &mut Rows) -> Parameter {
    rows.next().expect("the table has a row for each field")
}

parameters! {
    /// Selects historical defaults; see level operators.
    compatibility_level: Str = "0";
    /// Version of the Postfix that is installed; usable as $mail_version.
    mail_version: Str (1, 0) = "3.7.11";
    /// Release of Postfix as which smtpd-rs speaks, such as 3.10; empty: the installed one.
    smtpd_rs_dialect: Str = "" own;
    /// Syslog facility name; unknown value is fatal.
    syslog_facility: Str (1, 0) = "mail";
    /// Address families to use: all, ipv4, ipv6.
    inet_protocols: Str = "all";
    /// Extra instance config directories; authorizes MAIL_CONFIG for set-gid programs.
    multi_instance_directories: Str = "" foreign;
    /// Instance group label, not used by smtpd.
    multi_instance_group: Str = "" foreign;
    /// Instance name; becomes default syslog_name.
    multi_instance_name: Str = "";
    /// Non-empty: log through postlogd instead of syslog.
    maillog_file: Str = "";
    /// Allowed leading strings of maillog_file.
    maillog_file_prefixes: Str (1, 0) = "/var, /dev/stdout";
    /// Logrotate compressor, not used by smtpd.
    maillog_file_compressor: Str (1, 0) = "gzip" foreign;
    /// Logrotate date suffix, not used by smtpd.
    maillog_file_rotate_suffix: Str (1, 0) = "%Y%m%d-%H%M%S" foreign;
    /// Mode of new logfile: 600, 640 or 644.
    maillog_file_permissions: Str (1, 0) = "0600" foreign;
    /// Socket name under public/ for log datagrams.
    postlog_service_name: Str (1, 0) = "postlog";
    /// DNS query (type:name) to detect DNSSEC-aware resolver.
    dnssec_probe: Str = "ns:." foreign;
    /// Service=port map that precedes services(5) lookups.
    known_tcp_ports: Str = "lmtp=24, smtp=25, smtps=submissions=465, submission=587";
    /// Exit when table open fails, instead of reduced function.
    daemon_table_open_error_is_fatal: Bool = "no";
    /// Report negative-cache TTL from SOA minimum/TTL.
    dns_ncache_ttl_fix_enable: Bool = "no" foreign;
    /// Enable SMTPUTF8, UTF-8 tables, UTF-8 logging.
    smtputf8_enable: NBool = "${{$compatibility_level} <level {1} ? {no} : {yes}}";
    /// Use IDNA2003 transitional domain conversion.
    enable_idna2003_compatibility: NBool = "no";
    /// Avoid "whitelist/blacklist" words in logging.
    respectful_logging: NBool = "${{$compatibility_level} <level {3.6} ? {no} : {yes}}" foreign;
    /// Enable REQUIRETLS in EHLO and MAIL FROM.
    requiretls_enable: NBool = "yes";
    /// Honor "TLS-Required: no" message header (cleanup).
    tls_required_enable: NBool = "yes" foreign;
    /// Log when hash/btree request is redirected.
    non_bdb_migration_log_redirect: NBool = "yes";
    /// Own FQDN; default gethostname() plus domain.
    myhostname: Str (1, 0) = "";
    /// Own domain; default myhostname minus first label.
    mydomain: Str (1, 0) = "";
    /// Software name for banner and Received header.
    mail_name: Str (1, 0) = "Postfix";
    /// Log tag prefix before /process-name; exported as MAIL_LOGTAG.
    syslog_name: Str (1, 0) = "${multi_instance_name?{$multi_instance_name}:{postfix}}";
    /// Account for -u privilege drop; must be unshared.
    mail_owner: Str (1, 0) = "postfix";
    /// Group of postdrop/postqueue; checked, not assumed by smtpd.
    setgid_group: Str (1, 0) = "postdrop";
    /// Domains for local delivery class; $-expanded elsewhere too.
    mydestination: Str = "$myhostname, localhost.$mydomain, localhost";
    /// Domain appended to local addresses; one value only.
    myorigin: Str (1, 0) = "$myhostname";
    /// Must differ from myhostname, otherwise unused by smtpd.
    relayhost: Str = "";
    /// Directory of daemon programs.
    daemon_directory: Str (1, 0) = "/usr/lib/postfix/sbin";
    /// Writable state directory ($data_directory in values).
    data_directory: Str (1, 0) = "/var/lib/postfix" foreign;
    /// Directory of postdrop etc.
    command_directory: Str (1, 0) = "/usr/sbin";
    /// Directory of dynamicmaps.cf.
    meta_directory: Str (1, 0) = "/etc/postfix" foreign;
    /// Working directory, chroot directory, IPC socket root.
    queue_directory: Str (1, 0) = "/var/spool/postfix";
    /// Directory of loadable map plugins.
    shlib_directory: Str (1, 0) = "/usr/lib/postfix" foreign;
    /// Parsed, but lock path uses compiled-in "pid".
    process_id_directory: Str (1, 0) = "pid" foreign;
    /// Own addresses: all, loopback-only, or hosts.
    inet_interfaces: Str = "all";
    /// Additional own addresses behind NAT or proxy.
    proxy_interfaces: Str = "";
    /// Localpart for notifications and probe sender.
    double_bounce_sender: Str (1, 0) = "double-bounce";
    /// Delivery rights account; must exist and be unshared.
    default_privs: Str (1, 0) = "nobody";
    /// Release date yyyymmdd, compiled in.
    mail_release_date: Str (1, 0) = "20240304" foreign;
    /// Type prefix used in other defaults.
    default_database_type: Str (1, 0) = "hash";
    /// Type prefix for cache databases.
    default_cache_db_type: Str (1, 0) = "btree";
    /// Newaliases input, not used by smtpd.
    alias_database: Str = "$default_database_type:/etc/aliases" foreign;
    /// Hashed queue directories, for queue file paths.
    hash_queue_names: Str (1, 0) = "deferred, defer" foreign;
    /// Address extension separator set.
    recipient_delimiter: Str = "";
    /// Relay destinations; decided by trivial-rewrite, tables opened here too.
    relay_domains: Str = "${{$compatibility_level} <level {2} ? {$mydestination} : {}}";
    /// Domains for which ETRN flush requests are sent.
    fast_flush_domains: Str = "$relay_domains";
    /// Environment passed to postdrop child.
    export_environment: Str = "TZ MAIL_CONFIG LANG";
    /// Environment that master and postdrop keep.
    import_environment: Str = "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ XAUTHORITY DISPLAY LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME XDG_RUNTIME_DIR" foreign;
    /// Class, subnet or host: how mynetworks default is computed.
    mynetworks_style: Str (1, 0) = "${{$compatibility_level} <level {2} ? {subnet} : {host}}";
    /// Clients that get extra verbose logging.
    debug_peer_list: Str = "";
    /// Two characters used by XVERP without argument.
    default_verp_delimiters: Str (2, 2) = "+=";
    /// Characters allowed as VERP delimiters.
    verp_delimiter_filter: Str (1, 0) = "-=+";
    /// Parameter names whose domain patterns imply subdomains.
    parent_domain_matches_subdomains: Str = "debug_peer_list,fast_flush_domains,mynetworks,permit_mx_backup_networks,qmqpd_authorized_clients,relay_domains,smtpd_access_maps";
    /// Authorizes non-default MAIL_CONFIG for set-gid programs.
    alternate_config_directories: Str = "" foreign;
    /// Private/ socket of bounce(8).
    bounce_service_name: Str (1, 0) = "bounce" foreign;
    /// Public/ socket of cleanup(8).
    cleanup_service_name: Str (1, 0) = "cleanup";
    /// Private/ socket of defer service.
    defer_service_name: Str (1, 0) = "defer" foreign;
    /// Public/ socket of pickup(8).
    pickup_service_name: Str (1, 0) = "pickup" foreign;
    /// Public/ socket of qmgr(8).
    queue_service_name: Str (1, 0) = "qmgr" foreign;
    /// Private/ socket of trivial-rewrite(8).
    rewrite_service_name: Str (1, 0) = "rewrite";
    /// Public/ socket of showq(8).
    showq_service_name: Str (1, 0) = "showq" foreign;
    /// Private/ transport name of error(8).
    error_service_name: Str (1, 0) = "error" foreign;
    /// Public/ socket of flush(8).
    flush_service_name: Str (1, 0) = "flush";
    /// Private/ socket of verify(8).
    address_verify_service_name: Str (1, 0) = "verify" later;
    /// Private/ socket of trace service.
    trace_service_name: Str (1, 0) = "trace" foreign;
    /// Private/ socket for proxy: read maps.
    proxymap_service_name: Str (1, 0) = "proxymap";
    /// Private/ socket for proxy: write maps.
    proxywrite_service_name: Str (1, 0) = "proxywrite" foreign;
    /// Internal mail (notify, bounce) that gets filtered.
    internal_mail_filter_classes: Str = "";
    /// Postmulti command, not used by smtpd.
    multi_instance_wrapper: Str = "" foreign;
    /// Delivery agents only; loaded by library.
    default_delivery_status_filter: Str = "" foreign;
    /// Mail sources with SMTPUTF8 autodetection.
    smtputf8_autodetect_classes: Str (1, 0) = "sendmail, verify";
    /// Headers cleanup deletes; loaded by library.
    message_drop_headers: Str = "bcc, content-length, resent-bcc, return-path" foreign;
    /// External or internal address form in info logging.
    info_log_address_format: Str (1, 0) = "external";
    /// Redirect/reindex Berkeley DB tables: disable, enable-redirect, enable-reindex.
    non_bdb_migration_level: Str (1, 0) = "disable";
    /// Reindexing daemon socket name.
    non_bdb_migration_service_name: Str = "nbdb_reindex";
    /// Custom Berkeley-DB type to replacement type mapping.
    non_bdb_custom_mapping: Str = "";
    /// Master's maxproc default; base of count limit.
    default_process_limit: Int (1, 0) = "100" foreign;
    /// Client connections before voluntary exit; also -m.
    max_use: Int (1, 0) = "100";
    /// Keep queue files in saved/ instead of deleting.
    dont_remove: Int = "0" foreign;
    /// Input line chunk size from client.
    line_length_limit: Int (512, 0) = "2048";
    /// Levels of queue subdirectories.
    hash_queue_depth: Int (1, 0) = "1" foreign;
    /// Fork retries for helper commands.
    fork_attempts: Int (1, 0) = "5" foreign;
    /// Mailbox lock retries, unused by smtpd.
    deliver_lock_attempts: Int (1, 0) = "20" foreign;
    /// Verbosity increment for debug_peer_list clients.
    debug_peer_level: Int (1, 0) = "2";
    /// Debugging: inject faults.
    fault_injection_code: Int = "0" foreign;
    /// Berkeley DB cache size for map creation.
    berkeley_db_create_buffer_size: Int (1, 0) = "16777216" foreign;
    /// Berkeley DB cache size for lookups.
    berkeley_db_read_buffer_size: Int (1, 0) = "131072" foreign;
    /// MIME parser header length limit.
    header_size_limit: Int (1, 0) = "102400" foreign;
    /// Address parser token limit.
    header_address_token_limit: Int (1, 0) = "10240" foreign;
    /// MIME parser nesting limit.
    mime_nesting_limit: Int (1, 0) = "100" foreign;
    /// MIME boundary length considered.
    mime_boundary_length_limit: Int (1, 0) = "2048" foreign;
    /// Digits in sub-second delay logging.
    delay_logging_resolution_limit: Int (0, 6) = "2" foreign;
    /// Socket buffer override; 0 leaves kernel value.
    tcp_windowsize: Int = "0";
    /// Socketmap: largest accepted reply.
    socketmap_max_reply_size: Int (1, 0) = "100000" later;
    /// Socketmap: largest query sent.
    socketmap_max_query_size: Int (1, 0) = "10000" later;
    /// Message byte limit; SIZE in EHLO; 0=none.
    message_size_limit: Long = "10240000";
    /// Initial LMDB map size in bytes.
    lmdb_map_size: Long (1, 0) = "16777216" foreign;
    /// Skip DNS in library code.
    disable_dns_lookups: Bool = "no" foreign;
    /// Turn 5xx rejects into 4xx.
    soft_bounce: Bool = "no";
    /// Owner-/-request localparts never split.
    owner_request_special: Bool = "yes";
    /// Sets both strict 8-bit checks (cleanup).
    strict_8bitmime: Bool = "no" foreign;
    /// Reject 8-bit text in headers (cleanup).
    strict_7bit_headers: Bool = "no" foreign;
    /// Reject unannounced 8-bit body (cleanup).
    strict_8bitmime_body: Bool = "no" foreign;
    /// Reject bad MIME encoding domain (cleanup).
    strict_mime_encoding_domain: Bool = "no" foreign;
    /// No MIME parsing on input (cleanup).
    disable_mime_input_processing: Bool = "no" foreign;
    /// No 8BITMIME to 7-bit conversion on output.
    disable_mime_output_conversion: Bool = "no" foreign;
    /// Verify(8) caches failed probes.
    address_verify_negative_cache: Bool = "yes" foreign;
    /// Bounce logfile old format.
    backwards_bounce_logfile_compatibility: Bool = "yes" foreign;
    /// Log warnings about likely configuration mistakes.
    helpful_warnings: Bool = "yes" foreign;
    /// SMTP client authzid, unused by smtpd.
    send_cyrus_sasl_authzid: Bool = "no" foreign;
    /// Postmulti start switch, not used by smtpd.
    multi_instance_enable: Bool = "no" foreign;
    /// Long non-repeating queue IDs.
    enable_long_queue_ids: Bool = "no" foreign;
    /// Require SMTPUTF8 for non-ASCII addresses.
    strict_smtputf8: Bool = "no";
    /// Cleanup keeps original recipients.
    enable_original_recipient: Bool = "yes" foreign;
    /// Event_server drain wait, unused by smtpd.
    application_event_drain_time: Time (1, 0) = "100s" foreign;
    /// Idle seconds before voluntary exit; also -i.
    max_idle: Time (1, 0) = "100s";
    /// Timeout for internal IPC and default stream timeout.
    ipc_timeout: Time (1, 0) = "3600s";
    /// Close idle internal client connections after this.
    ipc_idle: Time (1, 0) = "5s";
    /// Close internal client connections at this age.
    ipc_ttl: Time (1, 0) = "1000s";
    /// Time limit for triggers to other daemons.
    trigger_timeout: Time (1, 0) = "10s" foreign;
    /// Pause between fork attempts.
    fork_delay: Time (1, 0) = "1s" foreign;
    /// Pause between mailbox lock attempts.
    deliver_lock_delay: Time (1, 0) = "1s" foreign;
    /// Age of stale dotlock.
    stale_lock_time: Time (1, 0) = "500s" foreign;
    /// Watchdog limit per request; fires in 3 steps.
    daemon_timeout: Time (1, 0) = "18000s";
    /// Cleanup's input pause; smtpd only parses it.
    in_flow_delay: Time (0, 10) = "1s" foreign;
    /// Trusted client addresses for permit_mynetworks.
    mynetworks: Str = "";
    /// Errors before replies are delayed.
    smtpd_soft_error_limit: NInt (1, 0) = "10";
    /// Errors before 421 disconnect.
    smtpd_hard_error_limit: NInt (1, 0) = "${stress?{1}:{20}}";
    /// NOOP/VRFY/ETRN/RSET count before they become errors.
    smtpd_junk_command_limit: NInt (1, 0) = "${stress?{1}:{100}}";
    /// Polls for a probe result.
    address_verify_poll_count: NInt (1, 0) = "${stress?{1}:{3}}" later;
    /// Recipients per message before 452.
    smtpd_recipient_limit: Int (1, 0) = "1000";
    /// Reply for reject_unknown_client_hostname.
    unknown_client_reject_code: Int = "450";
    /// Reply for reject_invalid_helo_hostname.
    invalid_hostname_reject_code: Int = "501";
    /// Reply for reject_unknown_helo_hostname.
    unknown_hostname_reject_code: Int = "450";
    /// Reply for reject_unknown_sender/recipient_domain.
    unknown_address_reject_code: Int = "450";
    /// Reply for reject_unauth_destination.
    relay_domains_reject_code: Int = "554";
    /// Reply for RBL/RHSBL rejects.
    maps_rbl_reject_code: Int = "554";
    /// Reply for access map REJECT.
    access_map_reject_code: Int = "554";
    /// Reply for access map DEFER actions.
    access_map_defer_code: Int = "450";
    /// Reply for the reject restriction.
    reject_code: Int = "554";
    /// Reply for the defer restriction.
    defer_code: Int = "450";
    /// Reply for reject_non_fqdn_*.
    non_fqdn_reject_code: Int = "504";
    /// Extra recipients tolerated before counting as errors.
    smtpd_recipient_overshoot_limit: Int (1, 0) = "1000";
    /// Transcript lines before flush.
    smtpd_history_flush_threshold: Int (1, 0) = "100";
    /// Reply when sender probe fails; 250 accepts.
    unverified_sender_reject_code: Int (200, 599) = "450" later;
    /// Reply when recipient probe fails; 250 accepts.
    unverified_recipient_reject_code: Int (200, 599) = "450" later;
    /// Reply while sender probe is undecided.
    unverified_sender_defer_code: Int (200, 499) = "450" later;
    /// Reply while recipient probe is undecided.
    unverified_recipient_defer_code: Int (200, 499) = "450" later;
    /// Reply for reject_multi_recipient_bounce.
    multi_recipient_bounce_reject_code: Int = "550";
    /// Reply for unknown local recipient.
    unknown_local_recipient_reject_code: Int = "550";
    /// Reply for unknown virtual alias recipient.
    unknown_virtual_alias_reject_code: Int = "550";
    /// Reply for unknown virtual mailbox recipient.
    unknown_virtual_mailbox_reject_code: Int = "550";
    /// Reply for unknown relay recipient.
    unknown_relay_recipient_reject_code: Int = "550";
    /// Reply for reject_plaintext_session.
    plaintext_reject_code: Int = "450";
    /// Reply when bare newline is rejected.
    smtpd_forbid_bare_newline_reject_code: Int (500, 599) = "550";
    /// Connections per client per anvil time unit.
    smtpd_client_connection_rate_limit: Int = "0";
    /// Simultaneous connections per client.
    smtpd_client_connection_count_limit: Int = "50";
    /// MAIL commands per client per time unit.
    smtpd_client_message_rate_limit: Int = "0";
    /// RCPT commands per client per time unit.
    smtpd_client_recipient_rate_limit: Int = "0";
    /// New TLS sessions per client per time unit.
    smtpd_client_new_tls_session_rate_limit: Int = "0";
    /// AUTH commands per client per time unit.
    smtpd_client_auth_rate_limit: Int = "0";
    /// IPv4 aggregation prefix for anvil.
    smtpd_client_ipv4_prefix_length: Int (0, 32) = "32";
    /// IPv6 aggregation prefix for anvil.
    smtpd_client_ipv6_prefix_length: Int (0, 128) = "84";
    /// Client certificate chain depth limit.
    smtpd_tls_ccert_verifydepth: Int = "9";
    /// Byte limit of one TLS trace file.
    smtpd_tls_trace_size_limit: Int = "102400";
    /// Longest SASL client response, bytes.
    smtpd_sasl_response_limit: Int (12288, 0) = "12288";
    /// Requests per policy connection; 0=unlimited.
    smtpd_policy_service_request_limit: Int = "0" later;
    /// Attempts per policy request.
    smtpd_policy_service_try_limit: Int (1, 0) = "2" later;
    /// Bytes/s that extend a per-request deadline.
    smtpd_min_data_rate: Int (1, 0) = "500";
    /// Free queue bytes required; 0=only message-size check.
    queue_minfree: Long = "0";
    /// Text after 220; must start with own hostname.
    smtpd_banner: Str (1, 0) = "$myhostname ESMTP $mail_name";
    /// Problem classes mailed to postmaster; unknown is fatal.
    notify_classes: Str = "resource, software";
    /// Checks on client connect.
    smtpd_client_restrictions: Str = "";
    /// Checks on HELO/EHLO argument.
    smtpd_helo_restrictions: Str = "";
    /// Checks on MAIL FROM.
    smtpd_sender_restrictions: Str = "";
    /// Relay control at RCPT TO.
    smtpd_relay_restrictions: Str = "${{$compatibility_level} <level {1} ? {} : {permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination}}";
    /// Checks on RCPT TO.
    smtpd_recipient_restrictions: Str = "";
    /// Checks on ETRN.
    smtpd_etrn_restrictions: Str = "";
    /// Checks on DATA/BDAT.
    smtpd_data_restrictions: Str = "";
    /// Checks after message content.
    smtpd_end_of_data_restrictions: Str = "";
    /// Domains for obsolete reject_maps_rbl.
    maps_rbl_domains: Str = "";
    /// Reply template tables keyed by RBL domain.
    rbl_reply_maps: Str = "";
    /// Recipient of bounce notices.
    bounce_notice_recipient: Str (1, 0) = "postmaster";
    /// Recipient of protocol/software notices.
    error_notice_recipient: Str (1, 0) = "postmaster";
    /// Names of user-defined restriction lists.
    smtpd_restriction_classes: Str = "";
    /// Consulted for recipient/sender validity.
    canonical_maps: Str = "";
    /// Consulted for sender validity.
    sender_canonical_maps: Str = "";
    /// Consulted for recipient validity.
    recipient_canonical_maps: Str = "";
    /// Consulted for recipient validity.
    virtual_alias_maps: Str = "$virtual_maps";
    /// Valid recipients of virtual mailbox domains.
    virtual_mailbox_maps: Str = "";
    /// Part of local_recipient_maps default.
    alias_maps: Str = "$default_database_type:/etc/aliases, nis:mail.aliases";
    /// Valid local recipients; empty disables check.
    local_recipient_maps: Str = "proxy:unix:passwd.byname $alias_maps";
    /// SASL properties in plaintext sessions.
    smtpd_sasl_security_options: Str = "noanonymous" later;
    /// SASL application name or server socket.
    smtpd_sasl_path: Str (1, 0) = "smtpd" later;
    /// Service name given to SASL.
    smtpd_sasl_service: Str (1, 0) = "smtp" later;
    /// Search path of Cyrus SASL config files.
    cyrus_sasl_config_path: Str = "" later;
    /// SASL realm.
    smtpd_sasl_local_domain: Str = "" later;
    /// Clients that are not offered AUTH.
    smtpd_sasl_exceptions_networks: Str = "" later;
    /// Transport:destination stored with message.
    content_filter: Str = "";
    /// Networks for permit_mx_backup.
    permit_mx_backup_networks: Str = "";
    /// Sender address to SASL owners.
    smtpd_sender_login_maps: Str = "";
    /// Commands answered 250 without action.
    smtpd_noop_commands: Str = "";
    /// Commands that end the session with 221.
    smtpd_forbidden_commands: Str = "CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}";
    /// Access map key for empty sender.
    smtpd_null_access_lookup_key: Str = "<>";
    /// Valid recipients of relay domains.
    relay_recipient_maps: Str = "";
    /// Probe sender; may be empty.
    address_verify_sender: Str = "$double_bounce_sender";
    /// Clients allowed to use XVERP.
    smtpd_authorized_verp_clients: Str = "$authorized_verp_clients";
    /// Before-queue content filter endpoint.
    smtpd_proxy_filter: Str = "";
    /// EHLO name for filter.
    smtpd_proxy_ehlo: Str = "$myhostname" later;
    /// Options of the filter: speed_adjust.
    smtpd_proxy_options: Str = "" later;
    /// Features cleanup must skip; unknown is fatal.
    receive_override_options: Str = "";
    /// Clients allowed to use XCLIENT.
    smtpd_authorized_xclient_hosts: Str = "";
    /// Clients allowed to use XFORWARD.
    smtpd_authorized_xforward_hosts: Str = "";
    /// Clients exempt from anvil limits.
    smtpd_client_event_limit_exceptions: Str = "${smtpd_client_connection_limit_exceptions:$mynetworks}";
    /// Clients whose headers get local rewriting.
    local_header_rewrite_clients: Str = "permit_inet_interfaces";
    /// EHLO keywords to hide.
    smtpd_discard_ehlo_keywords: Str = "";
    /// Per-client EHLO keywords to hide.
    smtpd_discard_ehlo_keyword_address_maps: Str = "";
    /// Fingerprint table for permit_tls_clientcerts.
    relay_clientcerts: Str = "";
    /// SASL properties in TLS sessions.
    smtpd_sasl_tls_security_options: Str = "$smtpd_sasl_security_options" later;
    /// PEM files with key then chain.
    smtpd_tls_chain_files: Str = "";
    /// RSA certificate; "none" enables anonymous-only.
    smtpd_tls_cert_file: Str = "";
    /// RSA key.
    smtpd_tls_key_file: Str = "$smtpd_tls_cert_file";
    /// DSA certificate; obsolete.
    smtpd_tls_dcert_file: Str = "";
    /// DSA key; obsolete.
    smtpd_tls_dkey_file: Str = "$smtpd_tls_dcert_file";
    /// ECDSA certificate.
    smtpd_tls_eccert_file: Str = "";
    /// ECDSA key.
    smtpd_tls_eckey_file: Str = "$smtpd_tls_eccert_file";
    /// Trusted CA bundle, loaded before chroot.
    smtpd_tls_CAfile: Str = "";
    /// Trusted CA directory, read after chroot.
    smtpd_tls_CApath: Str = "";
    /// Minimum cipher grade, opportunistic TLS.
    smtpd_tls_ciphers: Str (1, 0) = "medium";
    /// Minimum cipher grade, mandatory TLS.
    smtpd_tls_mandatory_ciphers: Str (1, 0) = "medium";
    /// Ciphers to exclude always.
    smtpd_tls_exclude_ciphers: Str = "";
    /// Additional exclusions, mandatory TLS.
    smtpd_tls_mandatory_exclude_ciphers: Str = "";
    /// Protocols for opportunistic TLS.
    smtpd_tls_protocols: Str = ">=TLSv1";
    /// Protocols for mandatory TLS.
    smtpd_tls_mandatory_protocols: Str = ">=TLSv1";
    /// Export DH parameters; ignored.
    smtpd_tls_dh512_param_file: Str = "" foreign;
    /// DH parameters file; empty uses built-in or auto.
    smtpd_tls_dh1024_param_file: Str = "";
    /// Auto, none, strong, ultra.
    smtpd_tls_eecdh_grade: Str (1, 0) = "auto" foreign;
    /// Digest for client fingerprints.
    smtpd_tls_fingerprint_digest: Str (1, 0) = "${{$compatibility_level} <level {3.6} ? {md5} : {sha256}}";
    /// 0-4 or keyword list for TLS logging.
    smtpd_tls_loglevel: Str = "0";
    /// Per-client TLS log level policy.
    smtpd_tls_loglevel_maps: Str = "";
    /// None, may, encrypt; verify, secure, fingerprint act as encrypt.
    smtpd_tls_security_level: Str = "";
    /// SASL plug-in: cyrus or dovecot.
    smtpd_sasl_type: Str (1, 0) = "cyrus" later;
    /// Filter for announced mechanisms.
    smtpd_sasl_mechanism_filter: Str = "!external, static:rest" later;
    /// Milter endpoints, per-milter attributes in braces.
    smtpd_milters: Str = "";
    /// Macros after connect.
    milter_connect_macros: Str = "j {daemon_name} {daemon_addr} v _" later;
    /// Macros after HELO.
    milter_helo_macros: Str = "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}" later;
    /// Macros after MAIL.
    milter_mail_macros: Str = "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}" later;
    /// Macros after RCPT.
    milter_rcpt_macros: Str = "i {rcpt_addr} {rcpt_host} {rcpt_mailer}" later;
    /// Macros after DATA.
    milter_data_macros: Str = "i" later;
    /// Macros at end of headers.
    milter_end_of_header_macros: Str = "i" later;
    /// Macros at end of message.
    milter_end_of_data_macros: Str = "i" later;
    /// Macros for unknown command.
    milter_unknown_command_macros: Str = "" later;
    /// Milter protocol version and options.
    milter_protocol: Str (1, 0) = "6" later;
    /// Accept, reject, tempfail, quarantine, shutdown on milter failure.
    milter_default_action: Str (1, 0) = "shutdown";
    /// {daemon_name} macro value.
    milter_macro_daemon_name: Str (1, 0) = "$myhostname" later;
    /// {v} macro value.
    milter_macro_v: Str (1, 0) = "$mail_name $mail_version" later;
    /// Name=value fallback macros.
    milter_macro_defaults: Str = "" later;
    /// Per-client smtpd_milters override; DISABLE turns off.
    smtpd_milter_maps: Str = "";
    /// Non-empty under overload; set by master's -o.
    stress: Str = "";
    /// Reply text override for sender probe reject.
    unverified_sender_reject_reason: Str = "" later;
    /// Reply text override for recipient probe reject.
    unverified_recipient_reject_reason: Str = "" later;
    /// Defer or defer_if_permit on temporary lookup failure.
    reject_tempfail_action: Str (1, 0) = "defer_if_permit";
    /// Same, for reject_unknown_helo_hostname.
    unknown_helo_hostname_tempfail_action: Str (1, 0) = "$reject_tempfail_action";
    /// Same, for reject_unknown_*_domain.
    unknown_address_tempfail_action: Str (1, 0) = "$reject_tempfail_action";
    /// Same, for reject_unverified_recipient.
    unverified_recipient_tempfail_action: Str (1, 0) = "$reject_tempfail_action";
    /// Same, for reject_unverified_sender.
    unverified_sender_tempfail_action: Str (1, 0) = "$reject_tempfail_action";
    /// One table that rewrites client commands.
    smtpd_command_filter: Str = "";
    /// Permit actions to log.
    smtpd_log_access_permit_actions: Str = "";
    /// Empty or haproxy; other value is fatal.
    smtpd_upstream_proxy_protocol: Str = "";
    /// Action when policy server fails.
    smtpd_policy_service_default_action: Str (1, 0) = "451 4.3.5 Server configuration problem" later;
    /// Policy_context attribute value.
    smtpd_policy_service_policy_context: Str = "" later;
    /// Filter tables for DNS replies.
    smtpd_dns_reply_filter: Str = "";
    /// Footer templates keyed by reject reply.
    smtpd_reject_footer_maps: Str = "";
    /// Replacement for 4xx/5xx replies.
    smtpd_reject_filter_maps: Str = "";
    /// Standard or obsolete From: in notices.
    header_from_format: Str (1, 0) = "standard";
    /// Clients exempt from bare newline policy.
    smtpd_forbid_bare_newline_exclusions: Str = "$mynetworks";
    /// No, yes, normalize, reject, note.
    smtpd_forbid_bare_newline: Str (1, 0) = "normalize";
    /// Characters allowed in expanded reply attributes.
    smtpd_expansion_filter: Raw (1, 0) = r##"\t\40!"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"##;
    /// Default RBL reply template.
    default_rbl_reply: Raw (1, 0) = "$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using $rbl_domain${rbl_reason?; $rbl_reason}";
    /// Text appended to 4xx/5xx replies.
    smtpd_reject_footer: Raw = "";
    /// MAIL needs prior HELO/EHLO.
    smtpd_helo_required: Bool = "no";
    /// Evaluate client/helo/sender lists at RCPT or ETRN.
    smtpd_delay_reject: Bool = "yes";
    /// Insist on `<>` and plain RFC 821 address syntax.
    strict_rfc821_envelopes: Bool = "no";
    /// No VRFY.
    disable_vrfy_command: Bool = "no";
    /// Relay sender-routed addresses from untrusted clients.
    allow_untrusted_routing: Bool = "no";
    /// Enable AUTH.
    smtpd_sasl_auth_enable: Bool = "no";
    /// Login name in Received header.
    smtpd_sasl_authenticated_header: Bool = "no";
    /// Extra "AUTH=" line in EHLO reply.
    broken_sasl_auth_clients: Bool = "no" later;
    /// Table name in "User unknown" replies.
    show_user_unknown_table_name: Bool = "yes";
    /// Reject unknown local senders.
    smtpd_reject_unlisted_sender: Bool = "no";
    /// Reject unknown recipients at end of recipient list.
    smtpd_reject_unlisted_recipient: Bool = "yes";
    /// Obsolete form of level may.
    smtpd_use_tls: Bool = "no";
    /// Obsolete form of level encrypt.
    smtpd_enforce_tls: Bool = "no";
    /// TLS before SMTP (port 465).
    smtpd_tls_wrappermode: Bool = "no";
    /// AUTH only inside TLS.
    smtpd_tls_auth_only: Bool = "no";
    /// Request client certificate.
    smtpd_tls_ask_ccert: Bool = "no";
    /// Require trusted client certificate when TLS enforced.
    smtpd_tls_req_ccert: Bool = "no";
    /// Accept raw public keys from clients.
    smtpd_tls_enable_rpk: Bool = "no";
    /// Protocol and cipher in Received header.
    smtpd_tls_received_header: Bool = "no";
    /// Session IDs even without session cache.
    smtpd_tls_always_issue_session_ids: Bool = "yes";
    /// Look up client hostname; no gives "unknown".
    smtpd_peername_lookup: Bool = "yes";
    /// Open cleanup at first valid recipient.
    smtpd_delay_open_until_valid_rcpt: Bool = "yes";
    /// Append client port to name(addr).
    smtpd_client_port_logging: Bool = "no";
    /// Disconnect on pipelining violation.
    smtpd_forbid_unauth_pipelining: Bool = "yes";
    /// Order of relay and recipient lists.
    smtpd_relay_before_recipient_restrictions: NBool = "${{$compatibility_level} <level {3.6} ? {no} : {yes}}";
    /// Time limit covers complete request/response.
    smtpd_per_request_deadline: NBool = "${smtpd_per_record_deadline?{$smtpd_per_record_deadline}:{${stress?{yes}:{no}}}}";
    /// Omit client details in Received header.
    smtpd_hide_client_session: NBool = "no";
    /// Send Require-TLS-ESMTP header to content filter.
    requiretls_esmtp_header: NBool = "yes" later;
    /// Client read/write time limit.
    smtpd_timeout: Time (1, 0) = "${stress?{10}:{300}}s";
    /// Delay between soft and hard limit.
    smtpd_error_sleep_time: Time = "1s";
    /// Limit for before-queue filter connect and I/O.
    smtpd_proxy_timeout: Time (1, 0) = "100s" later;
    /// Pause between verify polls.
    address_verify_poll_delay: Time (1, 0) = "3s" later;
    /// Policy connect, send, receive limit.
    smtpd_policy_service_timeout: Time (1, 0) = "100s" later;
    /// Close idle policy connection.
    smtpd_policy_service_max_idle: Time (1, 0) = "300s" later;
    /// Close policy connection at this age.
    smtpd_policy_service_max_ttl: Time (1, 0) = "1000s" later;
    /// TLS handshake read/write limit.
    smtpd_starttls_timeout: Time (1, 0) = "${stress?{10}:{300}}s";
    /// Connect and option negotiation limit.
    milter_connect_timeout: Time (1, 0) = "30s" later;
    /// Limit per milter command.
    milter_command_timeout: Time (1, 0) = "30s" later;
    /// Limit for end-of-message reply.
    milter_content_timeout: Time (1, 0) = "300s" later;
    /// Rotate probe sender every interval; 0=fixed.
    address_verify_sender_ttl: Time = "0s";
    /// Limit for receiving haproxy header.
    smtpd_upstream_proxy_timeout: Time (1, 0) = "5s";
    /// Pause before policy retry.
    smtpd_policy_service_retry_delay: Time (1, 0) = "1s" later;
    /// OpenSSL configuration file; "default" or "none".
    tls_config_file: Str = "default";
    /// OpenSSL application name section.
    tls_config_name: Str = "";
    /// OpenSSL list for grade high.
    tls_high_cipherlist: Str (1, 0) = "aNULL:-aNULL:HIGH:!SEED:!IDEA:!3DES:!RC2:!RC4:!RC5:!kDH:!kECDH:!aDSS:!MD5:@STRENGTH";
    /// OpenSSL list for grade medium or better.
    tls_medium_cipherlist: Str (1, 0) = "aNULL:-aNULL:HIGH:MEDIUM:!SEED:!IDEA:!3DES:!RC2:!RC4:!RC5:!kDH:!kECDH:!aDSS:!MD5:+RC4:@STRENGTH";
    /// OpenSSL list for grade low; obsolete.
    tls_low_cipherlist: Str = "";
    /// OpenSSL list for grade export; obsolete.
    tls_export_cipherlist: Str = "";
    /// OpenSSL list for grade null.
    tls_null_cipherlist: Str (1, 0) = "eNULL:!kDH:!kECDH:!aDSS:!MD5:!aNULL";
    /// Curves offered with eecdh grade auto.
    tls_eecdh_auto_curves: Str = "X25519 X448 prime256v1 secp384r1 secp521r1";
    /// Curve for grade strong.
    tls_eecdh_strong_curve: Str = "prime256v1" foreign;
    /// Curve for grade ultra.
    tls_eecdh_ultra_curve: Str = "secp384r1" foreign;
    /// TLSv1.3 finite-field groups.
    tls_ffdhe_auto_groups: Str = "ffdhe2048 ffdhe3072";
    /// OpenSSL bug workarounds to turn off.
    tls_disable_workarounds: Str = "";
    /// OpenSSL options to turn on.
    tls_ssl_options: Str = "";
    /// DANE digest preference, client side.
    tls_dane_digests: Str (1, 0) = "sha512 sha256" foreign;
    /// Private/ socket of tlsmgr(8).
    tlsmgr_service_name: Str (1, 0) = "tlsmgr";
    /// Cipher for RFC 5077 tickets.
    tls_session_ticket_cipher: Str = "aes-256-cbc";
    /// Openssl command, not used by smtpd.
    openssl_path: Str (1, 0) = "openssl" foreign;
    /// PRNG seed bytes requested from tlsmgr.
    tls_daemon_random_bytes: Int (1, 0) = "32";
    /// Trace files per anvil time unit, all daemons.
    tls_trace_rate_limit: Int = "1";
    /// Also trust system default CAs.
    tls_append_default_CA: Bool = "no";
    /// Server cipher preference wins.
    tls_preempt_cipherlist: Bool = "no";
    /// Client-side wildcard matching.
    tls_wildcard_matches_multiple_labels: Bool = "yes" foreign;
    /// Do not wait for peer close_notify.
    tls_fast_shutdown_enable: Bool = "yes";
    /// Accept client certificates with server EKU.
    tls_trust_server_ccerts: Bool = "no";
    /// SNI name to chain file table.
    tls_server_sni_maps: Str = "";
    /// Pre-2.9.6 public key fingerprint algorithm.
    tls_legacy_public_key_fingerprints: Bool = "no";
    /// Shell command run for -D or MAIL_DEBUG; empty is fatal.
    debugger_command: Str = "";
    /// Only tested for presence in main.cf (compatibility warning flag).
    append_dot_mydomain: NBool = "${{$compatibility_level} <level {1} ? {yes} : {no}}" foreign;
    /// Only tested for presence (3.11+ warning flag).
    smtp_tls_security_level: Str = "${{$compatibility_level} <level {3.11} ? {} : {may}}" foreign;
    /// Only tested for presence in main.cf.
    smtp_tls_fingerprint_digest: Str (1, 0) = "${{$compatibility_level} <level {3.6} ? {md5} : {sha256}}" foreign;
    /// Only tested for presence in main.cf.
    lmtp_tls_fingerprint_digest: Str (1, 0) = "${{$compatibility_level} <level {3.6} ? {md5} : {sha256}}" foreign;
    /// Only tested for presence (3.11+ warning flag).
    tlsproxy_client_security_level: Str = "${tlsproxy_client_level?{$tlsproxy_client_level}:{$smtp_tls_security_level}}" foreign;
    /// Only tested for presence (3.11+ warning flag).
    smtp_tlsrpt_skip_reused_handshakes: Bool = "no" foreign;

    // What smtpd-rs has and Postfix has not: with the defaults, it is as Postfix.

    /// Tables that give a client certificate a user.
    smtpd_tls_ccert_user_maps: Str = "" own;
    /// Whether that user counts for permit_sasl_authenticated without AUTH EXTERNAL.
    smtpd_tls_ccert_authenticates: Bool = "yes" own;
    /// Tables: the identities that a user may ask for in AUTH EXTERNAL.
    smtpd_tls_ccert_authzid_maps: Str = "" own;
    /// Serve with new certificates and keys as soon as their files have changed.
    smtpd_tls_hot_reload: Bool = "yes" own;
    /// Whether clients are told the names of smtpd_tls_CAfile.
    smtpd_tls_ccert_ca_names: Bool = "yes" own;
    /// Revocation lists: a client certificate that its CA revoked proves nothing.
    smtpd_tls_ccert_crl_file: Str = "" own;
    /// The OCSP response that goes out with the server's certificate.
    smtpd_tls_ocsp_file: Str = "" own;
    /// Log what to do about client certificates that nobody knows.
    smtpd_tls_ccert_hints: Bool = "no" own;
}

/// Names that no row above has, though they mean something: those that the program sets, and
/// obsolete ones, which count only where the default of another parameter asks for them.
pub static NAMES: &[Name] = &[
    Name { name: "config_directory", origin: Origin::Program },
    Name { name: "process_name", origin: Origin::Program },
    Name { name: "process_id", origin: Origin::Program },
    Name { name: "service_name", origin: Origin::Program },
    Name { name: "virtual_maps", origin: Origin::Obsolete },
    Name { name: "authorized_verp_clients", origin: Origin::Obsolete },
    Name { name: "smtpd_client_connection_limit_exceptions", origin: Origin::Obsolete },
    Name { name: "smtpd_per_record_deadline", origin: Origin::Obsolete },
];
