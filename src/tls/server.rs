//! The server's engine: read as root at the start, ready at the first STARTTLS.
//!
//! Files are read before privileges are dropped. OpenSSL becomes ready when the first client wants
//! TLS: that is most of what a process would spend at its start (see [`sound`]). Where the files or
//! settings are not plainly sound it becomes ready at once, so that the log of the start says what
//! is wrong.

use std::cell::RefCell;
use std::ffi::CString;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use openssl::error::ErrorStack;
use openssl::hash::{Hasher, MessageDigest};
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslSessionCacheMode,
    SslVerifyMode,
};
use openssl::x509::X509;

use super::bond::Bond;
use super::certificates::{Pair, load_chains};
use super::ffi::{self, ConfigFile, InitError};
use super::files::{File, as_path};
use super::levels::LogLevels;
use super::loglevel::LogMask;
use super::protocols::Protocols;
use super::revocation::Lists;
use super::session::{self, CachePolicy, SessionKeeper, Sessions, locked, session_id_context};
use super::settings::{Certificates, Settings};
use super::sni::Names;
use super::trace::Traces;
use super::vouchers::Vouchers;
use super::{Switches, crl, inspect, library, peer, sound, stapling};
use crate::config::Config;
use crate::log::Fatal;
use crate::stream::log_library_errors;
use crate::sys::errno::error_text;
use crate::table::Opener;

/// TLS as a server has it.
pub struct TlsServer {
    pub(super) settings: Settings,
    /// Certificates by name.
    pub(super) names: Option<Rc<Names>>,
    /// What is logged of single clients.
    pub(super) levels: Option<LogLevels>,
    /// How sessions are traced that are to be.
    pub(super) traces: Option<Traces>,
    tlsmgr: Arc<Mutex<Box<dyn SessionKeeper>>>,
    state: RefCell<State>,
}

enum State {
    /// Files were read, and are sound.
    Waiting(Box<Files>),
    Ready(Arc<Engine>),
    Failed,
}

/// What handshakes are made with.
pub(super) struct Engine {
    pub(super) context: SslContext,
    pub(super) sessions: Arc<Sessions>,
    /// The cipher list is none that OpenSSL takes.
    pub(super) ciphers_refused: bool,
    pub(super) digest: MessageDigest,
    /// smtpd_tls_ccert_crl_file
    pub(super) lists: Option<Lists>,
    /// What sessions are bound to; `None`: as in Postfix.
    pub(super) bond: Option<Bond>,
    /// tls_append_default_CA
    pub(super) vouchers: Vouchers,
}

/// The files that main.cf names.
struct Files {
    chains: Vec<File>,
    pairs: Vec<Pair>,
    ca: Option<File>,
    dh: Option<File>,
    lists: Option<File>,
    ocsp: Option<File>,
}

impl TlsServer {
    /// Reads what main.cf names, and logs what is wrong with it; `None` where TLS cannot be offered
    /// (STARTTLS is then answered with 454). To be called before chroot, as root or mail_owner, and
    /// only where `switches.use_tls`.
    pub fn prepare(
        config: &Config,
        switches: &Switches,
        opener: &mut Opener,
        tlsmgr: Box<dyn SessionKeeper>,
    ) -> Result<Option<Self>, Fatal> {
        let Some(settings) = Settings::of(config, switches) else { return Ok(None) };
        let names = Names::open(config, opener, settings.newer.shows_all_names)?;
        let levels = LogLevels::open(config, opener, &settings.newer.loglevel_maps)?;
        let traces = (settings.log.has(LogMask::TRACE) || levels.is_some())
            .then(|| Traces::of(config))
            .flatten();
        Ok(Self::with(settings, names, tlsmgr).map(|server| Self { levels, traces, ..server }))
    }

    pub(super) fn with(
        settings: Settings,
        names: Option<Rc<Names>>,
        tlsmgr: Box<dyn SessionKeeper>,
    ) -> Option<Self> {
        if settings.log.has(LogMask::VERBOSE) {
            info!("initializing the server-side TLS engine");
        }
        let files = Files::read(&settings);
        let sound = files.are_sound() && is_plain(&settings);
        if !(sound && library::can_wait(&settings)) {
            if !library::load() {
                return None;
            }
            init_library(&settings)?;
            ffi::load_default_config();
        }
        let tlsmgr = Arc::new(Mutex::new(tlsmgr));
        let state = if sound {
            State::Waiting(Box::new(files))
        } else {
            State::Ready(Arc::new(build(&settings, &files, &tlsmgr, false)?))
        };
        Some(Self {
            settings,
            names,
            levels: None,
            traces: None,
            tlsmgr,
            state: RefCell::new(state),
        })
    }

    /// Whether a handshake can be made; OpenSSL becomes ready for it. To be asked before STARTTLS is
    /// answered with 220.
    pub fn ready(&self) -> bool {
        self.engine().is_some()
    }

    /// Says what would be said of the cipher list at each handshake; `false`: none would succeed.
    pub(crate) fn try_ciphers(&self) -> bool {
        let Some(engine) = self.engine() else { return false };
        Ssl::new(&engine.context)
            .is_ok_and(|mut ssl| self.check_ciphers(&engine, &mut ssl, b"each client").is_ok())
    }

    /// Between sessions: lets go of tlsmgr(8) when it was not needed for long; gives when to be
    /// asked again.
    pub fn tend(&self, now: Instant) -> Option<Instant> {
        locked(&self.tlsmgr).tend(now)
    }

    pub(super) fn engine(&self) -> Option<Arc<Engine>> {
        let mut state = self.state.borrow_mut();
        if let State::Waiting(files) = &*state {
            let engine = library::catch_up()
                .then(|| build(&self.settings, files, &self.tlsmgr, true))
                .flatten();
            *state = engine.map_or(State::Failed, |engine| State::Ready(Arc::new(engine)));
        }
        match &*state {
            State::Ready(engine) => Some(Arc::clone(engine)),
            _ => None,
        }
    }

    /// The certificate file `name` as it was read, as long as it is kept.
    pub(super) fn certificate_file(&self, name: &[u8]) -> Option<Vec<u8>> {
        let State::Waiting(files) = &*self.state.borrow() else { return None };
        let mut certificates = files.pairs.iter().map(|pair| &pair.certificate);
        certificates.find(|file| file.name == name)?.bytes.as_ref().ok().cloned()
    }

    /// Whether OpenSSL was left alone so far.
    #[cfg(test)]
    pub(super) fn is_waiting(&self) -> bool {
        matches!(&*self.state.borrow(), State::Waiting(_))
    }
}

impl Files {
    fn read(settings: &Settings) -> Self {
        let (mut chains, mut pairs) = (Vec::new(), Vec::new());
        match &settings.certificates {
            Certificates::Chains(list) => {
                chains.extend(Settings::chain_files(list).map(File::read));
            }
            Certificates::Pairs(names) => {
                pairs.extend(names.iter().map(|(label, certificate, key)| Pair {
                    label,
                    certificate: File::read(certificate),
                    key: (certificate != key).then(|| File::read(key)),
                }));
            }
        }
        let named = |name: &[u8]| (!name.is_empty()).then(|| File::read(name));
        let (lists, ocsp) = (named(&settings.own.crl_file), named(&settings.own.ocsp_file));
        let ca = named(&settings.ca_file);
        let automatic = matches!(&settings.dh_file[..], b"" | b"auto");
        let dh = (!automatic).then(|| File::read(&settings.dh_file));
        Self { chains, pairs, ca, dh, lists, ocsp }
    }

    /// Whether OpenSSL will have no complaint.
    fn are_sound(&self) -> bool {
        let mut proven = sound::Chains::default();
        let chains: Option<Vec<&[u8]>> =
            self.chains.iter().map(|file| file.bytes.as_deref().ok()).collect();
        let chains_sound =
            chains.is_some_and(|files| files.is_empty() || proven.prove_chain(&files));
        chains_sound
            && self.pairs.iter().all(|pair| match (&pair.certificate.bytes, &pair.key) {
                (Ok(certificate), None) => proven.prove_mixed(certificate),
                (Ok(certificate), Some(File { bytes: Ok(key), .. })) => {
                    proven.prove_pair(certificate, key)
                }
                _ => false,
            })
            && is_sound(self.ca.as_ref(), sound::certificates)
            && is_sound(self.dh.as_ref(), sound::dh_parameters)
            && is_sound(self.lists.as_ref(), crl::are_there)
            && is_sound(self.ocsp.as_ref(), stapling::is_there)
    }
}

fn is_sound(file: Option<&File>, proof: fn(&[u8]) -> bool) -> bool {
    file.is_none_or(|file| file.bytes.as_ref().is_ok_and(|bytes| proof(bytes)))
}

/// Digests that every OpenSSL knows.
const DIGESTS: &[&[u8]] = &[b"md5", b"sha1", b"sha224", b"sha256", b"sha384", b"sha512"];

/// Whether OpenSSL need not be asked if the settings are right.
fn is_plain(settings: &Settings) -> bool {
    !settings.append_default_ca
        && settings.disabled_workarounds.is_empty()
        && settings.ssl_options.is_empty()
        && matches!(&settings.ticket_cipher[..], b"" | b"aes-256-cbc" | b"aes-128-cbc")
        && Protocols::parse(&settings.protocols).is_some()
        && settings.groups.are_plain()
        && DIGESTS.contains(&&settings.digest[..])
}

/// tls_config_file, tls_config_name.
fn init_library(settings: &Settings) -> Option<()> {
    let (file, name) = (&settings.config_file, &settings.config_name);
    if file == b"default" && name.is_empty() {
        return Some(());
    }
    let path = CString::new(file.clone()).ok()?;
    let section = CString::new(name.clone()).ok()?;
    let which = match &file[..] {
        b"none" => ConfigFile::None,
        b"default" => ConfigFile::Default,
        [b'/', ..] => ConfigFile::At(&path),
        _ => {
            warning!(
                "non-default tls_config_file = {} is not an absolute pathname, \
                 disabling TLS support",
                file
            );
            return None;
        }
    };
    let loads = !matches!(which, ConfigFile::None);
    let section = (!name.is_empty()).then_some(&*section);
    match ffi::init_library(which, section) {
        Ok(()) => return Some(()),
        Err(InitError::Settings) => {
            warning!("error allocating OpenSSL init settings, disabling TLS support");
        }
        Err(InitError::Library(errors)) => {
            log_init_error(loads, file, name);
            log_library_errors(&errors);
        }
    }
    None
}

fn log_init_error(loads: bool, file: &[u8], name: &[u8]) {
    if !loads {
        warning!("error initializing the OpenSSL library, disabling TLS support");
        return;
    }
    let name: &[u8] = if name.is_empty() { b"global" } else { name };
    let file: &[u8] = if file.starts_with(b"/") { file } else { b"default" };
    warning!(
        "error loading the '{}' settings from the {} OpenSSL configuration file, \
         disabling TLS support",
        name,
        file
    );
}

/// Makes OpenSSL ready, in Postfix's order, which is that of the log. `proven` files are loaded from
/// memory; the others by OpenSSL itself.
fn build(
    settings: &Settings,
    files: &Files,
    tlsmgr: &Arc<Mutex<Box<dyn SessionKeeper>>>,
    proven: bool,
) -> Option<Engine> {
    let Some(protocols) = Protocols::parse(&settings.protocols) else {
        warning!("Invalid TLS protocol list \"{}\": disabling TLS support", settings.protocols);
        return None;
    };
    let digest = digest(&settings.digest)?;
    let Some(seed) = locked(tlsmgr).seed(settings.seed_len) else {
        warning!("no entropy for TLS key generation: disabling TLS support");
        return None;
    };
    ffi::seed(&seed);
    let mut ctx = match SslContextBuilder::new(SslMethod::tls_server()) {
        Ok(ctx) => ctx,
        Err(errors) => {
            warning!("cannot allocate server SSL_CTX: disabling TLS support");
            log_library_errors(&errors);
            return None;
        }
    };
    ctx.set_security_level(0);
    ctx.set_verify_depth(settings.verify_depth.saturating_add(1));
    let policy = locked(tlsmgr).policy().filter(|policy| policy.timeout > 0);
    let cipher = set_options(&mut ctx, settings, policy, protocols);
    if settings.newer.raw_key_of_server && !ffi::offer_raw_key(&mut ctx) {
        warning!("Failed to enable server to client raw public key support");
        log_library_errors(&ErrorStack::get());
    }
    let loaded = load_ca(&mut ctx, settings, files, proven)
        && load_certificates(&mut ctx, settings, files, proven);
    if !loaded {
        forget_errors();
        return None;
    }
    load_dh(&mut ctx, files);
    for _ in 0..2 {
        // As Postfix, which has a second context for SNI: what is wrong is said twice.
        settings.groups.set(&mut ctx);
    }
    set_verification(&mut ctx, settings, files);
    let lists = files.lists.as_ref().filter(|_| settings.ask);
    let lists = lists.map(|file| Lists::load(&mut ctx, file, files.ca.as_ref()));
    let bond = Bond::of(settings, files.ca.as_ref(), files.lists.as_ref(), lists.as_ref());
    if let Some(file) = &files.ocsp {
        stapling::staple(&mut ctx, file);
    }
    if settings.own.hints {
        warn_of_dates(files);
    }
    ffi::set_name_callback(&mut ctx);
    if settings.newer.shows_all_names {
        ffi::set_certificate_callback(&mut ctx);
    }
    let timeout = policy.map_or(0, |policy| i64::from(policy.timeout));
    let ticketable = cipher.is_some();
    let sessions = Sessions::new(Arc::clone(tlsmgr), cipher, timeout, &settings.service);
    cache_sessions(&mut ctx, settings, policy, ticketable);
    let ciphers_refused = !set_ciphers(&mut ctx, settings);
    forget_errors();
    let (context, sessions) = (ctx.build(), Arc::new(sessions));
    let vouchers = Vouchers::of(settings.append_default_ca, files.ca.as_ref());
    Some(Engine { context, sessions, ciphers_refused, digest, lists, bond, vouchers })
}

/// What was not worth a word must not be taken for the error of a handshake.
fn forget_errors() {
    ffi::clear_errors();
}

fn digest(name: &[u8]) -> Option<MessageDigest> {
    let found = std::str::from_utf8(name).ok().and_then(MessageDigest::from_name);
    let usable = found.filter(|digest| Hasher::new(*digest).is_ok());
    if usable.is_none() {
        warning!("Digest algorithm \"{}\" not found", name);
        warning!("disabling TLS support");
    }
    usable
}

/// Options, tickets, protocols; gives the cipher for tickets, if there are any.
fn set_options(
    ctx: &mut SslContextBuilder,
    settings: &Settings,
    policy: Option<CachePolicy>,
    protocols: Protocols,
) -> Option<openssl::cipher::Cipher> {
    let mut options = settings.options() | protocols.excluded;
    let wanted = policy.is_some()
        && !settings.ticket_cipher.is_empty()
        && !options.contains(SslOptions::NO_TICKET);
    let cipher = wanted.then(|| session::ticket_cipher(&settings.ticket_cipher)).flatten();
    if cipher.is_some() {
        ffi::set_ticket_callback(ctx);
        // Mail servers that keep tickets keep one.
        let _ = ctx.set_num_tickets(1);
    } else {
        options |= SslOptions::NO_TICKET;
    }
    if settings.server_preference {
        options |= SslOptions::CIPHER_SERVER_PREFERENCE;
    }
    ctx.set_options(options);
    ffi::set_protocol_limits(ctx, protocols.oldest, protocols.newest);
    // One read takes what has arrived, and an idle session keeps no buffers.
    ctx.set_read_ahead(true);
    ctx.set_mode(SslMode::RELEASE_BUFFERS);
    cipher
}

fn load_ca(ctx: &mut SslContextBuilder, settings: &Settings, files: &Files, proven: bool) -> bool {
    let (file, path) = (&settings.ca_file, &settings.ca_path);
    if file.is_empty() && path.is_empty() {
        return true;
    }
    // Revocation lists in it would count beside our own: from memory, certificates only are taken.
    let from_memory = proven || !settings.own.crl_file.is_empty();
    let in_memory =
        files.ca.as_ref().filter(|_| from_memory).and_then(|file| file.bytes.as_ref().ok());
    let file_name = (!file.is_empty() && in_memory.is_none()).then(|| as_path(file));
    let path_name = (!path.is_empty()).then(|| as_path(path));
    let mut result = Ok(());
    if in_memory.is_some_and(|pem| ffi::add_trusted(ctx, pem).is_none_or(|added| added == 0)) {
        result = Err(ErrorStack::get());
    } else if file_name.is_some() || path_name.is_some() {
        result = ctx.load_verify_locations(file_name, path_name);
    }
    if let Err(errors) = result {
        info!(
            "cannot load Certification Authority data, {}: disabling TLS support",
            ca_names(file, path)
        );
        log_library_errors(&errors);
        return false;
    }
    if settings.append_default_ca {
        if let Err(errors) = ctx.set_default_verify_paths() {
            info!(
                "cannot set default OpenSSL certificate verification paths: \
                 disabling TLS support"
            );
            log_library_errors(&errors);
            return false;
        }
    }
    true
}

fn ca_names(file: &[u8], path: &[u8]) -> Vec<u8> {
    match (file.is_empty(), path.is_empty()) {
        (false, false) => fill!("CAfile=\"{}\", CApath=\"{}\"", file, path),
        (false, true) => fill!("CAfile=\"{}\"", file),
        _ => fill!("CApath=\"{}\"", path),
    }
}

fn load_certificates(
    ctx: &mut SslContextBuilder,
    settings: &Settings,
    files: &Files,
    proven: bool,
) -> bool {
    match &settings.certificates {
        Certificates::Chains(list) => load_chains(ctx, list, &files.chains),
        Certificates::Pairs(_) if proven => files.pairs.iter().all(|pair| pair.load_sound(ctx)),
        Certificates::Pairs(_) => files.pairs.iter().all(|pair| pair.load(ctx)),
    }
}

/// So many days before the server's certificate ends its administrator should know.
const DAYS: i64 = 21;

/// Certificates of the server that are near their end.
fn warn_of_dates(files: &Files) {
    let pairs = files.pairs.iter().map(|pair| &pair.certificate);
    for file in pairs.chain(&files.chains) {
        let Ok(pem) = &file.bytes else { continue };
        let Some(left) = inspect::first_end(pem).map(|end| end - session::now()) else { continue };
        let which = inspect::OWN_CERTIFICATE;
        if left < 0 {
            warning!("{} {} has expired", which, file.name);
        } else if left < DAYS * 86_400 {
            warning!("{} {} expires in {} days", which, file.name, left / 86_400);
        }
    }
}

fn load_dh(ctx: &mut SslContextBuilder, files: &Files) {
    let mut parameters = None;
    match files.dh.as_ref().map(|file| (&file.name, &file.bytes)) {
        None => {}
        Some((name, Ok(pem))) => {
            parameters = ffi::dh_parameters(pem);
            if parameters.is_none() {
                warning!(
                    "error decoding DH parameters from file \"{}\" -- using compiled-in defaults",
                    name
                );
                log_library_errors(&ErrorStack::get());
            }
        }
        Some((name, Err(error))) => warning!(
            "error opening DH parameter file \"{}\": {} -- using compiled-in defaults",
            name,
            error_text(error)
        ),
    }
    let (done, kind) = match parameters {
        Some(parameters) => (ffi::set_dh(ctx, parameters), "explicit"),
        None => (ffi::set_dh_auto(ctx), "auto"),
    };
    if !done {
        warning!("error configuring {} DH parameters", kind);
        log_library_errors(&ErrorStack::get());
    }
}

fn set_verification(ctx: &mut SslContextBuilder, settings: &Settings, files: &Files) {
    if !settings.ask {
        ctx.set_verify(SslVerifyMode::NONE);
        return;
    }
    let once = SslVerifyMode::from_bits_retain(VERIFY_CLIENT_ONCE);
    ctx.set_verify_callback(SslVerifyMode::PEER | once, peer::verified);
    if settings.newer.trust_servers {
        ffi::trust_servers(ctx);
    }
    let Some(ca) = files.ca.as_ref().filter(|_| !settings.own.hides_ca_names) else { return };
    // Which certificates we would believe; clever clients choose by it.
    let certificates = match &ca.bytes {
        Ok(pem) => X509::stack_from_pem(pem),
        Err(_) => Ok(Vec::new()),
    };
    let mut names: Vec<Vec<u8>> = Vec::new();
    let certificates = certificates.unwrap_or_default();
    for certificate in &certificates {
        let Ok(name) = certificate.subject_name().to_der() else { continue };
        if !names.contains(&name) && ctx.add_client_ca(certificate).is_ok() {
            names.push(name);
        }
    }
    if names.is_empty() {
        warning!("error loading client CA names from: {}", ca.name);
        log_library_errors(&ErrorStack::get());
    }
}

/// `SSL_VERIFY_CLIENT_ONCE` (ssl.h).
const VERIFY_CLIENT_ONCE: i32 = 4;

fn cache_sessions(
    ctx: &mut SslContextBuilder,
    settings: &Settings,
    policy: Option<CachePolicy>,
    ticketable: bool,
) {
    // Cannot fail: the context has 32 bytes.
    let _ = ctx.set_session_id_context(&session_id_context(&settings.service));
    let cachable = policy.is_some_and(|policy| policy.cachable);
    if !cachable && !ticketable && !settings.always_session_ids {
        ctx.set_session_cache_mode(SslSessionCacheMode::OFF);
        return;
    }
    ctx.set_session_cache_size(1);
    ctx.set_session_cache_mode(
        SslSessionCacheMode::SERVER
            | SslSessionCacheMode::NO_INTERNAL
            | SslSessionCacheMode::NO_AUTO_CLEAR,
    );
    if cachable {
        ffi::set_session_finder(ctx, session::find_session);
        ctx.set_new_session_callback(|ssl, new| session::save_session(ssl, &new));
    }
    // A session must outlive our ability to read its ticket: OpenSSL fails to issue a new one
    // where a ticket can be read but its session has expired.
    ffi::set_timeout(ctx, policy.map_or(0, |policy| i64::from(policy.timeout) * 2));
}

/// Once for all handshakes: parsing the list costs as much as a tenth of one.
fn set_ciphers(ctx: &mut SslContextBuilder, settings: &Settings) -> bool {
    let Ok(list) = &settings.ciphers else { return true };
    std::str::from_utf8(list).is_ok_and(|list| ctx.set_cipher_list(list).is_ok())
}
