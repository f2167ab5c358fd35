//! What main.cf asks of the server's TLS, worked out.

use std::time::Duration;

use openssl::ssl::SslOptions;

use super::Switches;
use super::ciphers::{CipherError, cipher_list};
use super::groups::Groups;
use super::loglevel::LogMask;
use super::{protocols, trace};
use crate::config::Config;
use crate::config::dialect::{Change, Release};
use crate::text::split::{COMMA_SPACE, words};

/// Which certificates the server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Certificates {
    /// Chain files: the list as written.
    Chains(Vec<u8>),
    /// Label, certificate file, key file.
    Pairs(Vec<(&'static str, Vec<u8>, Vec<u8>)>),
}

/// What only newer releases of Postfix do: the dialect of 3.7 has none of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Newer {
    /// The server may show its key without a certificate (3.9).
    pub(super) raw_key_of_server: bool,
    /// So may clients: smtpd_tls_enable_rpk (3.9).
    pub(super) raw_keys_of_clients: bool,
    /// A certificate for servers only is good for a client: tls_trust_server_ccerts (3.12).
    pub(super) trust_servers: bool,
    /// A name that a client asks for is shown though it has no certificates (3.12).
    pub(super) shows_all_names: bool,
    /// smtpd_tls_loglevel_maps (3.12).
    pub(super) loglevel_maps: Vec<u8>,
}

impl Newer {
    fn of(config: &Config) -> Self {
        Self {
            raw_key_of_server: config.does(Change::RawKeyOffered),
            raw_keys_of_clients: config.smtpd_tls_enable_rpk,
            trust_servers: config.tls_trust_server_ccerts,
            shows_all_names: config.does(Change::AllNamesShown),
            loglevel_maps: config.smtpd_tls_loglevel_maps.clone(),
        }
    }
}

/// What Postfix has not: with the defaults, all is as in Postfix.
#[derive(Debug, Clone, Default)]
pub(super) struct Own {
    /// No names of authorities are sent: smtpd_tls_ccert_ca_names = no.
    pub(super) hides_ca_names: bool,
    /// smtpd_tls_ccert_crl_file
    pub(super) crl_file: Vec<u8>,
    /// Names in certificates may let somebody in (smtpd_tls_ccert_user_maps, search_order).
    pub(super) names_count: bool,
    /// smtpd_tls_ocsp_file
    pub(super) ocsp_file: Vec<u8>,
    /// smtpd_tls_ccert_hints
    pub(super) hints: bool,
}

impl Own {
    fn of(config: &Config, switches: &Switches) -> Self {
        Self {
            hides_ca_names: !config.smtpd_tls_ccert_ca_names,
            crl_file: config.smtpd_tls_ccert_crl_file.clone(),
            names_count: switches.names_count,
            ocsp_file: config.smtpd_tls_ocsp_file.clone(),
            hints: config.smtpd_tls_ccert_hints,
        }
    }
}

/// All that a server needs to know, in plain values.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The release of Postfix as which we speak.
    pub(super) release: Release,
    pub(super) log: LogMask,
    pub(super) service: Vec<u8>,
    /// The system's files will be out of reach.
    pub(super) jailed: bool,
    pub(super) certificates: Certificates,
    pub(super) ca_file: Vec<u8>,
    pub(super) ca_path: Vec<u8>,
    pub(super) append_default_ca: bool,
    /// Clients are asked for a certificate.
    pub(super) ask: bool,
    /// Clients must show one that is trusted.
    pub(super) require: bool,
    pub(super) verify_depth: u32,
    pub(super) protocols: Vec<u8>,
    pub(super) grade: Vec<u8>,
    pub(super) ciphers: Result<Vec<u8>, CipherError>,
    pub(super) groups: Groups,
    pub(super) dh_file: Vec<u8>,
    pub(super) digest: Vec<u8>,
    pub(super) legacy_key_fingerprint: bool,
    pub(super) ticket_cipher: Vec<u8>,
    pub(super) always_session_ids: bool,
    pub(super) disabled_workarounds: Vec<u8>,
    pub(super) ssl_options: Vec<u8>,
    pub(super) server_preference: bool,
    pub(super) config_file: Vec<u8>,
    pub(super) config_name: Vec<u8>,
    pub(super) seed_len: u32,
    pub(super) timeout: Duration,
    /// `timeout` is for the whole handshake, not for each wait.
    pub(super) deadline: bool,
    pub(super) await_close: bool,
    pub(super) newer: Newer,
    pub(super) own: Own,
}

impl Settings {
    /// `None`, after a warning, where there can be no TLS.
    pub(super) fn of(config: &Config, switches: &Switches) -> Option<Self> {
        let enforce = switches.enforce_tls;
        let ask = config.smtpd_tls_ask_ccert || (enforce && config.smtpd_tls_req_ccert);
        let certificates = certificates(config, ask, enforce)?;
        let (grade, protocols) = if enforce {
            (&config.smtpd_tls_mandatory_ciphers, &config.smtpd_tls_mandatory_protocols)
        } else {
            (&config.smtpd_tls_ciphers, &config.smtpd_tls_protocols)
        };
        Some(Self {
            release: config.release,
            log: log(config),
            service: config.service_name.clone(),
            jailed: config.jailed,
            certificates,
            ca_file: config.smtpd_tls_CAfile.clone(),
            ca_path: config.smtpd_tls_CApath.clone(),
            append_default_ca: config.tls_append_default_CA,
            ask,
            require: enforce && config.smtpd_tls_req_ccert,
            verify_depth: u32::try_from(config.smtpd_tls_ccert_verifydepth).unwrap_or(0),
            protocols: protocols.clone(),
            grade: grade.clone(),
            ciphers: ciphers(config, grade, enforce, ask),
            groups: Groups::of(config),
            dh_file: config.smtpd_tls_dh1024_param_file.clone(),
            digest: config.smtpd_tls_fingerprint_digest.clone(),
            legacy_key_fingerprint: config.tls_legacy_public_key_fingerprints
                && !config.does(Change::LegacyKeyFingerprintsGone),
            ticket_cipher: config.tls_session_ticket_cipher.clone(),
            always_session_ids: config.smtpd_tls_always_issue_session_ids,
            disabled_workarounds: config.tls_disable_workarounds.clone(),
            ssl_options: config.tls_ssl_options.clone(),
            server_preference: config.tls_preempt_cipherlist,
            config_file: config.tls_config_file.clone(),
            config_name: config.tls_config_name.clone(),
            seed_len: u32::try_from(config.tls_daemon_random_bytes).unwrap_or(0),
            timeout: config.smtpd_starttls_timeout,
            deadline: config.smtpd_per_request_deadline,
            await_close: !config.tls_fast_shutdown_enable,
            newer: Newer::of(config),
            own: Own::of(config, switches),
        })
    }

    /// The options of a context but for protocols and tickets; warns of unknown words.
    pub(super) fn options(&self) -> SslOptions {
        protocols::options(&self.disabled_workarounds, &self.ssl_options)
    }

    /// The names of the chain files.
    pub(super) fn chain_files(list: &[u8]) -> impl Iterator<Item = &[u8]> {
        words(list, COMMA_SPACE)
    }
}

fn log(config: &Config) -> LogMask {
    const PARAMETER: &str = "smtpd_tls_loglevel";
    let traces = config.does(Change::Traces);
    let mask = LogMask::parse(PARAMETER, &config.smtpd_tls_loglevel, traces);
    if mask.has(LogMask::TRACE) && !trace::is_possible(PARAMETER) {
        return mask.without(LogMask::TRACE);
    }
    mask
}

/// Can't use anonymous ciphers where clients are asked for certificates; must use them where there
/// is no certificate of ours.
fn certificates(config: &Config, ask: bool, enforce: bool) -> Option<Certificates> {
    let anonymous = config.smtpd_tls_cert_file.eq_ignore_ascii_case(b"none");
    let rsa: &[u8] = if anonymous { b"" } else { &config.smtpd_tls_cert_file };
    let pairs = [
        ("RSA", rsa, &config.smtpd_tls_key_file),
        ("DSA", &config.smtpd_tls_dcert_file, &config.smtpd_tls_dkey_file),
        ("ECDSA", &config.smtpd_tls_eccert_file, &config.smtpd_tls_eckey_file),
    ];
    let pairs: Vec<_> = pairs
        .into_iter()
        .filter(|(_, certificate, _)| !certificate.is_empty())
        .map(|(label, certificate, key)| (label, certificate.to_vec(), key.clone()))
        .collect();
    let chains = &config.smtpd_tls_chain_files;
    if !chains.is_empty() && !pairs.is_empty() {
        warning!(
            "Both smtpd_tls_chain_files and one or more of the legacy  smtpd_tls_cert_file, \
             smtpd_tls_eccert_file or smtpd_tls_dcert_file are non-empty; \
             the legacy  parameters will be ignored"
        );
    }
    let have = !chains.is_empty() || !pairs.is_empty();
    if !have && ask {
        warning!("Need a server cert to request client certs");
    }
    if config.smtpd_tls_req_ccert && !enforce {
        warning!("Can't require client certs unless TLS is required");
    }
    if !have && (!anonymous || ask) {
        warning!("No server certs available. TLS won't be enabled");
        return None;
    }
    Some(if chains.is_empty() {
        Certificates::Pairs(pairs)
    } else {
        Certificates::Chains(chains.clone())
    })
}

fn ciphers(
    config: &Config,
    grade: &[u8],
    enforce: bool,
    ask: bool,
) -> Result<Vec<u8>, CipherError> {
    let raised = config.does(Change::NoLowGrades);
    let instead = |list| if raised { &config.tls_medium_cipherlist } else { list };
    let lists: [(&str, &[u8]); 5] = [
        ("high", &config.tls_high_cipherlist),
        ("medium", &config.tls_medium_cipherlist),
        ("low", instead(&config.tls_low_cipherlist)),
        ("export", instead(&config.tls_export_cipherlist)),
        ("null", &config.tls_null_cipherlist),
    ];
    let mut exclusions = config.smtpd_tls_exclude_ciphers.clone();
    if enforce {
        exclusions.push(b' ');
        exclusions.extend_from_slice(&config.smtpd_tls_mandatory_exclude_ciphers);
    }
    if ask {
        exclusions.extend_from_slice(b" aNULL");
    }
    cipher_list(grade, &lists, &exclusions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::captured;

    /// The settings of a main.cf, and what was logged.
    fn settings(main_cf: &str) -> (Option<Settings>, Vec<String>) {
        let config = Config::of_text(main_cf).unwrap();
        let switches = Switches::of(&config).unwrap();
        (Settings::of(&config, &switches), captured::take())
    }

    fn good(main_cf: &str) -> Settings {
        let (settings, log) = settings(main_cf);
        assert_eq!(log, Vec::<String>::new());
        settings.unwrap()
    }

    const MAY: &str = "smtpd_tls_security_level = may\n";
    const RSA: &str = "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = /a.pem\n";

    #[test]
    fn a_key_is_by_default_in_the_certificate_file() {
        let one = vec![("RSA", b"/a.pem".to_vec(), b"/a.pem".to_vec())];
        assert_eq!(good(RSA).certificates, Certificates::Pairs(one));
        let all = "smtpd_tls_key_file = /a.key\nsmtpd_tls_dcert_file = /d.pem\n\
                   smtpd_tls_eccert_file = /e.pem\nsmtpd_tls_eckey_file = /e.key\n";
        let pairs = vec![
            ("RSA", b"/a.pem".to_vec(), b"/a.key".to_vec()),
            ("DSA", b"/d.pem".to_vec(), b"/d.pem".to_vec()),
            ("ECDSA", b"/e.pem".to_vec(), b"/e.key".to_vec()),
        ];
        assert_eq!(good(&[RSA, all].concat()).certificates, Certificates::Pairs(pairs));
    }

    #[test]
    fn chain_files_count_more() {
        let chains = "smtpd_tls_chain_files = /a.pem, /b.pem\n";
        let expected = Certificates::Chains(b"/a.pem, /b.pem".to_vec());
        assert_eq!(good(&[MAY, chains].concat()).certificates, expected);
        let (both, log) = settings(&[RSA, chains].concat());
        assert_eq!(both.unwrap().certificates, expected);
        assert_eq!(
            log,
            ["warning: Both smtpd_tls_chain_files and one or more of the legacy  \
              smtpd_tls_cert_file, smtpd_tls_eccert_file or smtpd_tls_dcert_file are non-empty; \
              the legacy  parameters will be ignored"]
        );
    }

    #[test]
    fn without_a_certificate_there_is_no_tls() {
        let none = "warning: No server certs available. TLS won't be enabled";
        let need = "warning: Need a server cert to request client certs";
        let ask = "smtpd_tls_ask_ccert = yes\n";
        let anonymous = "smtpd_tls_cert_file = None\n";
        for (main_cf, expected) in [
            (MAY.to_owned(), &[none][..]),
            ([MAY, ask].concat(), &[need, none]),
            ([MAY, ask, anonymous].concat(), &[need, none]),
        ] {
            let (settings, log) = settings(&main_cf);
            assert!(settings.is_none());
            assert_eq!(log, expected);
        }
        let anonymous = good(&[MAY, anonymous].concat());
        assert_eq!(anonymous.certificates, Certificates::Pairs(Vec::new()));
    }

    #[test]
    fn a_certificate_can_be_demanded_only_where_tls_is() {
        let demand = "smtpd_tls_req_ccert = yes\n";
        let (offered, log) = settings(&[RSA, demand].concat());
        assert_eq!(log, ["warning: Can't require client certs unless TLS is required"]);
        let offered = offered.unwrap();
        assert!(!offered.ask && !offered.require);
        let wrapper = "smtpd_tls_wrappermode = yes\n";
        let demanded = good(&[RSA, demand, wrapper].concat());
        assert!(demanded.ask && demanded.require);
    }

    #[test]
    fn where_tls_is_demanded_its_own_parameters_count() {
        let parameters = "smtpd_tls_mandatory_ciphers = high\n\
                          smtpd_tls_mandatory_protocols = >=TLSv1.2\n\
                          smtpd_tls_exclude_ciphers = RC4\n\
                          smtpd_tls_mandatory_exclude_ciphers = 3DES, MD5\n";
        let offered = good(&[RSA, parameters].concat());
        let medium = b"aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH:!RC4".to_vec();
        assert_eq!((offered.ciphers, offered.protocols), (Ok(medium), b">=TLSv1".to_vec()));
        let enforce = "smtpd_tls_wrappermode = yes\nsmtpd_tls_ask_ccert = yes\n";
        let demanded = good(&[RSA, parameters, enforce].concat());
        let high = b"aNULL:-aNULL:HIGH:@STRENGTH:!RC4:!3DES:!MD5:!aNULL".to_vec();
        assert_eq!((demanded.ciphers, demanded.protocols), (Ok(high), b">=TLSv1.2".to_vec()));
    }

    #[test]
    fn a_wrong_grade_is_kept_for_the_handshakes() {
        let wrong = good(&[RSA, "smtpd_tls_ciphers = foo\n"].concat());
        assert_eq!(wrong.ciphers, Err(CipherError::Grade(b"foo".to_vec())));
    }
}
