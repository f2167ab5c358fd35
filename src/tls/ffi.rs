//! What the openssl crate lacks: each function is one need of ours in a safe form.
//!
//! Names follow OpenSSL's where the function is one call. All callbacks from C end here; what
//! they do is in safe code elsewhere.
#![expect(unsafe_code, reason = "the only home of unsafe in this layer")]

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_uchar, c_uint, c_ulong, c_void};
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::ptr;
use std::sync::OnceLock;
use std::thread::{self, ThreadId};

use foreign_types_shared::{ForeignType, ForeignTypeRef};
use openssl::asn1::{Asn1IntegerRef, Asn1StringRef, Asn1TimeRef};
use openssl::cipher::CipherRef;
use openssl::cipher_ctx::CipherCtxRef;
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::ocsp::OcspBasicResponseRef;
use openssl::pkey::{PKey, PKeyRef, Private};
use openssl::ssl::{SslContextBuilder, SslRef, SslSession};
use openssl::stack::Stack;
use openssl::x509::{X509, X509CrlRef, X509NameRef, X509Ref, X509VerifyResult};
use openssl_sys as sys;

use super::dump::Passed;
use super::inspect;
use super::session::{self, Connection, TicketUse};
use super::sni::{self, Answer};
use crate::sys::secret;

#[repr(C)]
struct InitSettings {
    _opaque: [u8; 0],
}

#[repr(C)]
struct PublicKeyInfo {
    _opaque: [u8; 0],
}

#[repr(C)]
struct SingleResponse {
    _opaque: [u8; 0],
}

/// The head of OpenSSL's `X509_INFO` (x509.h); what follows is not looked at.
#[repr(C)]
struct CertificateInfo {
    x509: *mut sys::X509,
}

type TicketCallback = unsafe extern "C" fn(
    *mut sys::SSL,
    *mut c_uchar,
    *mut c_uchar,
    *mut sys::EVP_CIPHER_CTX,
    *mut sys::EVP_MAC_CTX,
    c_int,
) -> c_int;
type NameCallback = unsafe extern "C" fn(*mut sys::SSL, *mut c_int, *mut c_void) -> c_int;
type CertificateCallback = unsafe extern "C" fn(*mut sys::SSL, *mut c_void) -> c_int;
type VerifyCallback = unsafe extern "C" fn(*mut sys::X509_STORE_CTX, *mut c_void) -> c_int;
type InfoCallback = unsafe extern "C" fn(*const sys::SSL, c_int, c_int);
/// Direction, version, content type, message, its length, session, and what was set with the
/// callback: for `SSL_trace` a BIO to write to.
type MessageCallback =
    unsafe extern "C" fn(c_int, c_int, c_int, *const c_void, usize, *mut sys::SSL, *mut c_void);

/// BIO, what is done, memory, its length, two unused, the result, and how many bytes.
type BioCallback = unsafe extern "C" fn(
    *mut sys::BIO,
    c_int,
    *const c_char,
    usize,
    c_int,
    c_long,
    c_int,
    *mut usize,
) -> c_long;

unsafe extern "C" {
    fn SSL_set_read_ahead(ssl: *mut sys::SSL, yes: c_int);
    fn BIO_set_callback_ex(bio: *mut sys::BIO, cb: Option<BioCallback>);
    fn OPENSSL_init_crypto(options: u64, settings: *const InitSettings) -> c_int;
    #[link_name = "OPENSSL_init_ssl"]
    fn init_ssl(options: u64, settings: *const InitSettings) -> c_int;
    fn OPENSSL_INIT_new() -> *mut InitSettings;
    fn OPENSSL_INIT_free(settings: *mut InitSettings);
    fn OPENSSL_INIT_set_config_filename(settings: *mut InitSettings, name: *const c_char) -> c_int;
    fn OPENSSL_INIT_set_config_appname(settings: *mut InitSettings, name: *const c_char) -> c_int;
    fn OPENSSL_INIT_set_config_file_flags(settings: *mut InitSettings, flags: c_ulong);
    fn SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx: *mut sys::SSL_CTX, cb: TicketCallback) -> c_int;
    fn SSL_CTX_set_cert_cb(ctx: *mut sys::SSL_CTX, cb: CertificateCallback, arg: *mut c_void);
    fn SSL_set_info_callback(ssl: *mut sys::SSL, cb: InfoCallback);
    fn SSL_set_msg_callback(ssl: *mut sys::SSL, cb: MessageCallback);
    fn SSL_CTX_set_timeout(ctx: *mut sys::SSL_CTX, seconds: c_long) -> c_long;
    fn SSL_CTX_use_cert_and_key(
        ctx: *mut sys::SSL_CTX,
        certificate: *mut sys::X509,
        key: *mut sys::EVP_PKEY,
        chain: *mut sys::stack_st_X509,
        replace: c_int,
    ) -> c_int;
    fn SSL_CTX_callback_ctrl(ctx: *mut sys::SSL_CTX, command: c_int, cb: NameCallback) -> c_long;
    fn SSL_CTX_set_cert_verify_callback(
        ctx: *mut sys::SSL_CTX,
        cb: VerifyCallback,
        arg: *mut c_void,
    );
    fn X509_STORE_CTX_get0_cert(ctx: *const sys::X509_STORE_CTX) -> *mut sys::X509;
    fn X509_STORE_CTX_get0_param(ctx: *const sys::X509_STORE_CTX) -> *mut sys::X509_VERIFY_PARAM;
    fn X509_get_extended_key_usage(certificate: *mut sys::X509) -> u32;
    fn X509_VERIFY_PARAM_set_trust(param: *mut sys::X509_VERIFY_PARAM, trust: c_int) -> c_int;
    fn SSL_certs_clear(ssl: *mut sys::SSL);
    fn SSL_use_cert_and_key(
        ssl: *mut sys::SSL,
        certificate: *mut sys::X509,
        key: *mut sys::EVP_PKEY,
        chain: *mut sys::stack_st_X509,
        replace: c_int,
    ) -> c_int;
    fn SSL_alert_type_string_long(value: c_int) -> *const c_char;
    fn SSL_alert_desc_string_long(value: c_int) -> *const c_char;
    fn SSL_group_to_name(ssl: *mut sys::SSL, id: c_int) -> *const c_char;
    fn X509_NAME_print_ex(
        out: *mut sys::BIO,
        name: *const sys::X509_NAME,
        indent: c_int,
        flags: c_ulong,
    ) -> c_int;
    fn X509_NAME_oneline(name: *const sys::X509_NAME, buf: *mut c_char, len: c_int) -> *mut c_char;
    fn X509_get_X509_PUBKEY(certificate: *const sys::X509) -> *mut PublicKeyInfo;
    fn X509_get0_pubkey_bitstr(certificate: *const sys::X509) -> *mut sys::ASN1_BIT_STRING;
    fn i2d_X509_PUBKEY(key: *const PublicKeyInfo, out: *mut *mut c_uchar) -> c_int;
    fn X509_STORE_add_crl(store: *mut sys::X509_STORE, crl: *mut sys::X509_CRL) -> c_int;
    fn SSL_set_session_id_context(ssl: *mut sys::SSL, id: *const c_uchar, len: c_uint) -> c_int;
    fn OCSP_resp_count(response: *mut sys::OCSP_BASICRESP) -> c_int;
    fn OCSP_resp_get0(response: *mut sys::OCSP_BASICRESP, index: c_int) -> *mut SingleResponse;
    fn OCSP_single_get0_status(
        single: *mut SingleResponse,
        reason: *mut c_int,
        revoked: *mut *mut sys::ASN1_GENERALIZEDTIME,
        this_update: *mut *mut sys::ASN1_GENERALIZEDTIME,
        next_update: *mut *mut sys::ASN1_GENERALIZEDTIME,
    ) -> c_int;
    fn OCSP_SINGLERESP_get0_id(single: *const SingleResponse) -> *const sys::OCSP_CERTID;
    fn OCSP_id_get0_info(
        name_hash: *mut *mut sys::ASN1_OCTET_STRING,
        digest: *mut *mut sys::ASN1_OBJECT,
        key_hash: *mut *mut sys::ASN1_OCTET_STRING,
        serial: *mut *mut sys::ASN1_INTEGER,
        id: *mut sys::OCSP_CERTID,
    ) -> c_int;
    fn X509_INFO_free(info: *mut c_void);
    fn PEM_X509_INFO_read_bio(
        bio: *mut sys::BIO,
        stack: *mut sys::OPENSSL_STACK,
        cb: *const c_void,
        arg: *mut c_void,
    ) -> *mut sys::OPENSSL_STACK;
    fn PEM_read_bio(
        bio: *mut sys::BIO,
        name: *mut *mut c_char,
        header: *mut *mut c_char,
        data: *mut *mut c_uchar,
        len: *mut c_long,
    ) -> c_int;
    fn d2i_PrivateKey(
        kind: c_int,
        key: *mut *mut sys::EVP_PKEY,
        der: *mut *const c_uchar,
        len: c_long,
    ) -> *mut sys::EVP_PKEY;
    fn EVP_CIPHER_get_mode(cipher: *const sys::EVP_CIPHER) -> c_int;
    fn EVP_PKEY_get_group_name(
        key: *const sys::EVP_PKEY,
        name: *mut c_char,
        size: usize,
        len: *mut usize,
    ) -> c_int;
    fn EVP_PKEY_get0_type_name(key: *const sys::EVP_PKEY) -> *const c_char;
    fn RAND_seed(bytes: *const c_void, len: c_int);
    fn EC_curve_nist2nid(name: *const c_char) -> c_int;
    fn OBJ_ln2nid(name: *const c_char) -> c_int;
    fn OSSL_PARAM_construct_utf8_string(
        key: *const c_char,
        value: *mut c_char,
        size: usize,
    ) -> sys::OSSL_PARAM;
}

const INIT_LOAD_CONFIG: u64 = 0x40;
const INIT_NO_LOAD_CONFIG: u64 = 0x80;
const INIT_NO_ATEXIT: u64 = 0x0008_0000;
/// Flags of a configuration file that may be missing or wrong (conf.h).
const CONFIG_OPTIONAL: c_ulong = 0x2 | 0x4 | 0x10 | 0x20;

const PEM_NO_START_LINE: c_int = 108;
const CIPHER_MODE_CBC: c_int = 2;
const DOMAIN_PARAMETERS: c_int = 0x04;

const CTRL_SET_NAME_CALLBACK: c_int = 53;
const CTRL_SET_GROUPS: c_int = 91;
const CTRL_PEER_SIGNATURE_NID: c_int = 108;
const CTRL_SET_DH_AUTO: c_int = 118;
const CTRL_SIGNATURE_NID: c_int = 132;
const CTRL_NEGOTIATED_GROUP: c_int = 134;

/// What a BIO callback is told of (bio.h): reads and writes, done.
const BIO_READ_DONE: c_int = 0x02 | 0x80;
const BIO_WRITE_DONE: c_int = 0x03 | 0x80;

/// Values of `where` in the info callback (ssl.h).
const CB_LOOP: c_int = 0x01;
const CB_EXIT: c_int = 0x02;
const CB_READ: c_int = 0x04;
const CB_ALERT: c_int = 0x4000;
const ST_CONNECT: c_int = 0x1000;
const ST_ACCEPT: c_int = 0x2000;

// ---------------------------------------------------------------------- the library

/// Loads OpenSSL's own configuration file now, since after chroot it is out of reach.
pub(super) fn load_default_config() {
    // SAFETY: no settings are passed; the call is idempotent.
    unsafe { OPENSSL_init_crypto(INIT_LOAD_CONFIG, ptr::null()) };
}

/// The same for a configuration that loads nothing which must be told of the end of the process:
/// then nothing is done at the end.
pub(super) fn load_plain_config() {
    // SAFETY: no settings are passed; the call is idempotent.
    unsafe { OPENSSL_init_crypto(INIT_LOAD_CONFIG | INIT_NO_ATEXIT, ptr::null()) };
}

/// Which configuration file OpenSSL reads.
pub(super) enum ConfigFile<'a> {
    /// None at all.
    None,
    /// The library's; errors do not matter.
    Default,
    /// This one; errors matter.
    At(&'a CStr),
}

/// Why [`init_library`] failed.
pub(super) enum InitError {
    /// No memory.
    Settings,
    /// See the errors.
    Library(ErrorStack),
}

/// Initializes the library with a configuration file and section of the user's choice
/// (tls_config_file, tls_config_name).
pub(super) fn init_library(file: ConfigFile<'_>, section: Option<&CStr>) -> Result<(), InitError> {
    // SAFETY: allocates, takes nothing.
    let settings = unsafe { OPENSSL_INIT_new() };
    if settings.is_null() {
        return Err(InitError::Settings);
    }
    let mut options = 0;
    match file {
        ConfigFile::None => options |= INIT_NO_LOAD_CONFIG,
        ConfigFile::Default => {
            // SAFETY: settings is not null.
            unsafe { OPENSSL_INIT_set_config_file_flags(settings, CONFIG_OPTIONAL) };
        }
        ConfigFile::At(path) => {
            // SAFETY: settings is not null.
            unsafe { OPENSSL_INIT_set_config_file_flags(settings, 0) };
            // SAFETY: settings is not null; the path ends in NUL and is copied.
            unsafe { OPENSSL_INIT_set_config_filename(settings, path.as_ptr()) };
        }
    }
    if let Some(section) = section {
        // SAFETY: settings is not null; the name ends in NUL and is copied.
        unsafe { OPENSSL_INIT_set_config_appname(settings, section.as_ptr()) };
    }
    // SAFETY: settings is not null and lives until the next line.
    let done = unsafe { init_ssl(options, settings) };
    // SAFETY: settings came from OPENSSL_INIT_new and is not used again.
    unsafe { OPENSSL_INIT_free(settings) };
    if done > 0 { Ok(()) } else { Err(InitError::Library(ErrorStack::get())) }
}

/// Adds to the randomness that the library has by itself.
pub(super) fn seed(bytes: &[u8]) {
    // SAFETY: the slice is only read; a length beyond int is cut, which does no harm.
    unsafe { RAND_seed(bytes.as_ptr().cast(), c_int::try_from(bytes.len()).unwrap_or(0)) };
}

/// A C string that OpenSSL owns for ever, or lives as long as `owner`; empty for none.
fn text<T: ?Sized>(_owner: &T, text: *const c_char) -> &str {
    if text.is_null() {
        return "";
    }
    // SAFETY: not null, ends in NUL, and lives as the caller of this private function says.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().unwrap_or("")
}

// ---------------------------------------------------------------------- the context

/// Sets the oldest and newest protocol by number; 0 is the library's own limit.
pub(super) fn set_protocol_limits(ctx: &mut SslContextBuilder, oldest: i32, newest: i32) {
    let ctx = ctx.as_ptr();
    // SAFETY: the context is alive; unknown numbers are refused by OpenSSL.
    unsafe { sys::SSL_CTX_set_min_proto_version(ctx, oldest) };
    // SAFETY: as above.
    unsafe { sys::SSL_CTX_set_max_proto_version(ctx, newest) };
}

/// Sets how long sessions may live.
pub(super) fn set_timeout(ctx: &mut SslContextBuilder, seconds: i64) {
    // SAFETY: the context is alive.
    unsafe { SSL_CTX_set_timeout(ctx.as_ptr(), seconds) };
}

/// Lets [`session`] encrypt and decrypt tickets.
pub(super) fn set_ticket_callback(ctx: &mut SslContextBuilder) {
    // SAFETY: the context is alive; the callback has the type that tls1.h asks for.
    unsafe { SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx.as_ptr(), ticket_callback) };
}

/// Lets `find` look up sessions by id.
pub(super) fn set_session_finder(
    ctx: &mut SslContextBuilder,
    find: fn(&mut SslRef, &[u8]) -> Option<SslSession>,
) {
    // SAFETY: `find` makes a new session from bytes each time, so that it belongs to no context.
    unsafe { ctx.set_get_session_callback(find) };
}

/// Lets [`sni`] answer clients that ask for a name.
pub(super) fn set_name_callback(ctx: &mut SslContextBuilder) {
    // SAFETY: the context is alive; the callback has the type that tls1.h asks for.
    unsafe { SSL_CTX_callback_ctrl(ctx.as_ptr(), CTRL_SET_NAME_CALLBACK, name_callback) };
}

/// Lets [`sni`] choose certificates after the client's hello (Postfix 3.12).
pub(super) fn set_certificate_callback(ctx: &mut SslContextBuilder) {
    let cb = certificate_callback;
    // SAFETY: the context is alive; the callback has the type that ssl.h asks for, and no argument.
    unsafe { SSL_CTX_set_cert_cb(ctx.as_ptr(), cb, ptr::null_mut()) };
}

/// Verifies a client's certificate as a server's where it may be used for that only
/// (tls_trust_server_ccerts).
pub(super) fn trust_servers(ctx: &mut SslContextBuilder) {
    let cb = verify_callback;
    // SAFETY: the context is alive; the callback has the type that ssl.h asks for, and no argument.
    unsafe { SSL_CTX_set_cert_verify_callback(ctx.as_ptr(), cb, ptr::null_mut()) };
}

/// Logs the steps of handshakes and what goes wrong (loglevel ssl-debug).
pub(super) fn log_states(ssl: &mut SslRef) {
    // SAFETY: the session is alive; the callback has the type that ssl.h asks for.
    unsafe { SSL_set_info_callback(ssl.as_ptr(), info_callback) };
}

/// Whether all bytes that come and go are logged (loglevels ssl-handshake-packet-dump and
/// ssl-session-packet-dump).
pub(super) fn dump_packets(ssl: &SslRef, on: bool) {
    // SAFETY: the session is alive.
    let bio = unsafe { sys::SSL_get_rbio(ssl.as_ptr()) };
    if bio.is_null() {
        return;
    }
    let callback: Option<BioCallback> = if on { Some(dump_callback) } else { None };
    // SAFETY: not null, and the session's own; the callback has the type that bio.h asks for.
    unsafe { BIO_set_callback_ex(bio, callback) };
}

/// Reads no more than the next step needs, so that a dump shows the reads of Postfix.
pub(super) fn read_by_steps(ssl: &SslRef) {
    // SAFETY: the session is alive.
    unsafe { SSL_set_read_ahead(ssl.as_ptr(), 0) };
}

/// `SSL_trace`, which not every OpenSSL was built with.
fn trace_function() -> Option<MessageCallback> {
    static FOUND: OnceLock<Option<MessageCallback>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // SAFETY: the name ends in NUL; it is looked for in what is loaded already.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"SSL_trace".as_ptr()) };
        (!found.is_null()).then(|| {
            // SAFETY: not null; ssl.h declares a function of this name with this type.
            unsafe { mem::transmute::<*mut c_void, MessageCallback>(found) }
        })
    })
}

/// Whether OpenSSL can put messages into words.
pub(super) fn can_trace() -> bool {
    trace_function().is_some()
}

/// Puts all messages of a session into its trace.
pub(super) fn trace_messages(ssl: &mut SslRef) {
    // SAFETY: the session is alive; the callback has the type that ssl.h asks for.
    unsafe { SSL_set_msg_callback(ssl.as_ptr(), message_callback) };
}

/// Adds a certificate with its key and issuers. Where one of its algorithm is there already, that
/// is an error.
pub(super) fn use_cert_and_key(
    ctx: &mut SslContextBuilder,
    certificate: &X509Ref,
    key: &PKeyRef<Private>,
    chain: Option<&Stack<X509>>,
) -> bool {
    let chain = chain.map_or(ptr::null_mut(), |chain| chain.as_ptr());
    // SAFETY: all four are alive; OpenSSL counts its own references.
    let done = unsafe {
        SSL_CTX_use_cert_and_key(ctx.as_ptr(), certificate.as_ptr(), key.as_ptr(), chain, 0)
    };
    done > 0
}

/// Adds a certificate with its key and issuers to one session.
pub(super) fn use_cert_and_key_here(
    ssl: &mut SslRef,
    certificate: &X509Ref,
    key: &PKeyRef<Private>,
    chain: Option<&Stack<X509>>,
) -> bool {
    let chain = chain.map_or(ptr::null_mut(), |chain| chain.as_ptr());
    // SAFETY: all four are alive; OpenSSL counts its own references.
    let done =
        unsafe { SSL_use_cert_and_key(ssl.as_ptr(), certificate.as_ptr(), key.as_ptr(), chain, 0) };
    done > 0
}

/// Takes away the certificates that a session has from its context.
pub(super) fn forget_certificates(ssl: &mut SslRef) {
    // SAFETY: the session is alive, and has not yet chosen a certificate: OpenSSL itself does the
    // same where a callback puts another context in place.
    unsafe { SSL_certs_clear(ssl.as_ptr()) };
}

/// The number of a curve by any of its names.
pub(super) fn curve(name: &[u8]) -> Option<c_int> {
    let name = CString::new(name).ok()?;
    // SAFETY: the name ends in NUL.
    let nist = unsafe { EC_curve_nist2nid(name.as_ptr()) };
    if nist != sys::NID_undef {
        return Some(nist);
    }
    // SAFETY: the name ends in NUL.
    let short = unsafe { sys::OBJ_sn2nid(name.as_ptr()) };
    if short != sys::NID_undef {
        return Some(short);
    }
    // SAFETY: the name ends in NUL.
    let long = unsafe { OBJ_ln2nid(name.as_ptr()) };
    (long != sys::NID_undef).then_some(long)
}

/// Sets the groups for key exchange.
pub(super) fn set_groups(ctx: &mut SslContextBuilder, groups: &mut [c_int]) -> bool {
    let len = groups.len() as c_long;
    // SAFETY: the context is alive; `len` numbers are there, and they are only read.
    unsafe { sys::SSL_CTX_ctrl(ctx.as_ptr(), CTRL_SET_GROUPS, len, groups.as_mut_ptr().cast()) > 0 }
}

/// Lets OpenSSL choose Diffie-Hellman parameters.
pub(super) fn set_dh_auto(ctx: &mut SslContextBuilder) -> bool {
    // SAFETY: the context is alive; this control takes a number only.
    unsafe { sys::SSL_CTX_ctrl(ctx.as_ptr(), CTRL_SET_DH_AUTO, 1, ptr::null_mut()) > 0 }
}

/// Diffie-Hellman parameters as [`set_dh`] takes them.
pub(super) struct DhParameters(*mut sys::EVP_PKEY);

impl Drop for DhParameters {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again; null does nothing.
        unsafe { sys::EVP_PKEY_free(self.0) };
    }
}

/// Reads Diffie-Hellman parameters (PEM).
pub(super) fn dh_parameters(pem: &[u8]) -> Option<DhParameters> {
    let mut parameters = DhParameters(ptr::null_mut());
    // SAFETY: the texts end in NUL; `parameters` outlives the decoder.
    let decoder = unsafe {
        sys::OSSL_DECODER_CTX_new_for_pkey(
            &mut parameters.0,
            c"PEM".as_ptr(),
            ptr::null(),
            c"DH".as_ptr(),
            DOMAIN_PARAMETERS,
            ptr::null_mut(),
            ptr::null(),
        )
    };
    if decoder.is_null() {
        return None;
    }
    let (mut start, mut len) = (pem.as_ptr(), pem.len());
    // SAFETY: the decoder is not null; `start` and `len` are a slice that is only read.
    let done = unsafe { sys::OSSL_DECODER_from_data(decoder, &mut start, &mut len) };
    // SAFETY: the decoder is ours and not used again.
    unsafe { sys::OSSL_DECODER_CTX_free(decoder) };
    (done > 0 && !parameters.0.is_null()).then_some(parameters)
}

/// Sets Diffie-Hellman parameters.
pub(super) fn set_dh(ctx: &mut SslContextBuilder, mut parameters: DhParameters) -> bool {
    // SAFETY: both are alive; on success the context owns the parameters.
    let done = unsafe { sys::SSL_CTX_set0_tmp_dh_pkey(ctx.as_ptr(), parameters.0) };
    if done > 0 {
        parameters.0 = ptr::null_mut();
    }
    done > 0
}

/// Whether a cipher is in CBC mode.
pub(super) fn is_cbc(cipher: &CipherRef) -> bool {
    // SAFETY: the cipher is alive.
    unsafe { EVP_CIPHER_get_mode(cipher.as_ptr()) == CIPHER_MODE_CBC }
}

// ---------------------------------------------------------------------- PEM and DER

struct Bio<'a>(*mut sys::BIO, PhantomData<&'a [u8]>);

impl<'a> Bio<'a> {
    fn over(bytes: &'a [u8]) -> Option<Self> {
        let len = c_int::try_from(bytes.len()).ok()?;
        // SAFETY: OpenSSL only reads the bytes, which live longer than the Bio.
        let bio = unsafe { sys::BIO_new_mem_buf(bytes.as_ptr().cast(), len) };
        (!bio.is_null()).then_some(Self(bio, PhantomData))
    }
}

impl Drop for Bio<'_> {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again.
        unsafe { sys::BIO_free_all(self.0) };
    }
}

/// What comes next in a PEM file.
pub(super) enum Pem {
    /// An object.
    Object {
        /// `CERTIFICATE`
        name: Vec<u8>,
        /// Its bytes.
        der: Vec<u8>,
    },
    /// There is no more.
    End,
    /// See the error queue.
    Broken,
}

/// Reads the objects of a PEM file.
pub(super) struct PemReader<'a>(Option<Bio<'a>>);

impl<'a> PemReader<'a> {
    pub(super) fn over(bytes: &'a [u8]) -> Self {
        Self(Bio::over(bytes))
    }

    pub(super) fn next(&mut self) -> Pem {
        let Some(bio) = &self.0 else { return Pem::Broken };
        let (mut name, mut header, mut data) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        let mut len = 0;
        // SAFETY: the Bio is alive; what is put out is ours to free.
        if unsafe { PEM_read_bio(bio.0, &mut name, &mut header, &mut data, &mut len) } == 0 {
            return end_or_broken();
        }
        free(header.cast());
        let name = owned(name.cast(), text(bio, name).len());
        Pem::Object { name, der: owned(data, usize::try_from(len).unwrap_or(0)) }
    }
}

fn end_or_broken() -> Pem {
    // SAFETY: reads this thread's queue.
    let last = unsafe { sys::ERR_peek_last_error() };
    if sys::ERR_GET_REASON(last) != PEM_NO_START_LINE {
        return Pem::Broken;
    }
    clear_errors();
    Pem::End
}

fn free(memory: *mut c_void) {
    // SAFETY: called with memory that OpenSSL allocated for us, once.
    unsafe { sys::OPENSSL_free(memory) };
}

/// Copies what OpenSSL allocated for us, and frees it; it may be a key.
fn owned(data: *mut c_uchar, len: usize) -> Vec<u8> {
    if data.is_null() {
        return Vec::new();
    }
    // SAFETY: OpenSSL says that `len` bytes are there, and nobody else has them.
    let bytes = unsafe { std::slice::from_raw_parts_mut(data, len) };
    let copy = bytes.to_vec();
    secret::overwrite(bytes);
    free(data.cast());
    copy
}

/// Forgets the errors of this thread.
pub(super) fn clear_errors() {
    // SAFETY: changes this thread's queue only.
    unsafe { sys::ERR_clear_error() };
}

/// Decodes a certificate; also gives how many bytes were used.
pub(super) fn certificate(der: &[u8]) -> Option<(X509, usize)> {
    let mut at = der.as_ptr();
    // SAFETY: at most `len` bytes are read.
    let certificate = unsafe { sys::d2i_X509(ptr::null_mut(), &mut at, der.len() as c_long) };
    if certificate.is_null() {
        return None;
    }
    // SAFETY: not null, and ours.
    let certificate = unsafe { X509::from_ptr(certificate) };
    Some((certificate, at as usize - der.as_ptr() as usize))
}

/// How a private key is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyForm {
    /// `PRIVATE KEY`
    Pkcs8,
    /// `RSA PRIVATE KEY`
    Rsa,
    /// `EC PRIVATE KEY`
    Ec,
    /// `DSA PRIVATE KEY`
    Dsa,
}

/// Decodes a private key; also gives how many bytes were used.
pub(super) fn private_key(form: KeyForm, der: &[u8]) -> Option<(PKey<Private>, usize)> {
    let mut at = der.as_ptr();
    let len = der.len() as c_long;
    let kind = match form {
        KeyForm::Pkcs8 => None,
        KeyForm::Rsa => Some(sys::EVP_PKEY_RSA),
        KeyForm::Ec => Some(sys::EVP_PKEY_EC),
        KeyForm::Dsa => Some(sys::EVP_PKEY_DSA),
    };
    let key = match kind {
        // SAFETY: at most `len` bytes are read.
        Some(kind) => unsafe { d2i_PrivateKey(kind, ptr::null_mut(), &mut at, len) },
        None => pkcs8_key(&mut at, len),
    };
    if key.is_null() {
        return None;
    }
    // SAFETY: not null, and ours.
    let key = unsafe { PKey::from_ptr(key) };
    Some((key, at as usize - der.as_ptr() as usize))
}

fn pkcs8_key(at: &mut *const c_uchar, len: c_long) -> *mut sys::EVP_PKEY {
    // SAFETY: the caller's `at` points to `len` bytes, which are only read.
    let info = unsafe { sys::d2i_PKCS8_PRIV_KEY_INFO(ptr::null_mut(), at, len) };
    if info.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: not null; the key is a new one.
    let key = unsafe { sys::EVP_PKCS82PKEY(info) };
    // SAFETY: ours, and not used again.
    unsafe { sys::PKCS8_PRIV_KEY_INFO_free(info) };
    key
}

/// Adds certificates (PEM) to what is trusted. Gives how many, or none where
/// OpenSSL's errors say why.
pub(super) fn add_trusted(ctx: &mut SslContextBuilder, pem: &[u8]) -> Option<usize> {
    let bio = Bio::over(pem)?;
    let null = ptr::null_mut();
    // SAFETY: the Bio is alive; no stack to add to, no callback, no argument.
    let stack = unsafe { PEM_X509_INFO_read_bio(bio.0, ptr::null_mut(), ptr::null(), null) };
    if stack.is_null() {
        return None;
    }
    // SAFETY: the stack is not null.
    let len = unsafe { sys::OPENSSL_sk_num(stack) };
    let added = (0..len).map(|i| add_info(ctx, stack, i)).sum();
    // SAFETY: the stack and its entries are ours, and not used again.
    unsafe { sys::OPENSSL_sk_pop_free(stack, Some(X509_INFO_free)) };
    Some(added)
}

fn add_info(ctx: &mut SslContextBuilder, stack: *mut sys::OPENSSL_STACK, i: c_int) -> usize {
    // SAFETY: `i` is inside the stack, whose entries are X509_INFO.
    let info = unsafe { sys::OPENSSL_sk_value(stack, i) }.cast::<CertificateInfo>();
    // SAFETY: entries are never null.
    let info = unsafe { &*info };
    if info.x509.is_null() {
        return 0;
    }
    // SAFETY: not null, alive as long as the stack.
    let certificate = unsafe { X509Ref::from_ptr(info.x509) };
    usize::from(ctx.cert_store_mut().add_cert(certificate.to_owned()).is_ok())
}

/// Adds a revocation list.
pub(super) fn add_list(ctx: &mut SslContextBuilder, list: &X509CrlRef) -> bool {
    let store = ctx.cert_store_mut().as_ptr();
    // SAFETY: both are alive; the store counts its own reference.
    unsafe { X509_STORE_add_crl(store, list.as_ptr()) > 0 }
}

/// An extension of a revocation list.
pub(super) struct ListExtension {
    pub(super) nid: Nid,
    pub(super) critical: bool,
    /// DER.
    pub(super) value: Vec<u8>,
}

/// All extensions of a revocation list.
pub(super) fn list_extensions(list: &X509CrlRef) -> Vec<ListExtension> {
    // SAFETY: the list is alive.
    let count = unsafe { sys::X509_CRL_get_ext_count(list.as_ptr()) };
    (0..count).filter_map(|index| list_extension(list, index)).collect()
}

fn list_extension(list: &X509CrlRef, index: c_int) -> Option<ListExtension> {
    // SAFETY: the list is alive; an index out of range gives NULL.
    let extension = unsafe { sys::X509_CRL_get_ext(list.as_ptr(), index) };
    if extension.is_null() {
        return None;
    }
    // SAFETY: not null, alive as long as the list.
    let object = unsafe { sys::X509_EXTENSION_get_object(extension) };
    // SAFETY: an extension that was read has its object.
    let nid = Nid::from_raw(unsafe { sys::OBJ_obj2nid(object) });
    // SAFETY: not null, and alive.
    let critical = unsafe { sys::X509_EXTENSION_get_critical(extension) } > 0;
    // SAFETY: not null, and alive.
    let data = unsafe { sys::X509_EXTENSION_get_data(extension) };
    // SAFETY: an extension that was read has its value; any OCTET STRING is an ASN1_STRING.
    let value = unsafe { Asn1StringRef::from_ptr(data.cast()) };
    Some(ListExtension { nid, critical, value: value.as_slice().to_vec() })
}

/// What an OCSP response says of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OcspAnswer {
    /// Serial number, without leading zeros.
    pub(super) serial: Vec<u8>,
    /// Seconds since 1970.
    pub(super) from: i64,
    /// Seconds since 1970; `i64::MAX` where there is no end.
    pub(super) until: i64,
}

/// All answers in a response that can be read.
pub(super) fn ocsp_answers(response: &OcspBasicResponseRef) -> Vec<OcspAnswer> {
    // SAFETY: the response is alive.
    let count = unsafe { OCSP_resp_count(response.as_ptr()) };
    (0..count).filter_map(|index| ocsp_answer(response, index)).collect()
}

fn ocsp_answer(response: &OcspBasicResponseRef, index: c_int) -> Option<OcspAnswer> {
    // SAFETY: the response is alive; an index out of range gives NULL.
    let single = unsafe { OCSP_resp_get0(response.as_ptr(), index) };
    if single.is_null() {
        return None;
    }
    let (mut from, mut until) = (ptr::null_mut(), ptr::null_mut());
    let (reason, revoked) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: not null, and alive as long as the response; what is not wanted may be NULL.
    unsafe { OCSP_single_get0_status(single, reason, revoked, &mut from, &mut until) };
    // SAFETY: not null, and alive.
    let id = unsafe { OCSP_SINGLERESP_get0_id(single) };
    let mut serial = ptr::null_mut();
    let none = ptr::null_mut();
    // SAFETY: the id lives as long as the response, and is only read.
    let found =
        unsafe { OCSP_id_get0_info(none, ptr::null_mut(), none, &mut serial, id.cast_mut()) };
    if found != 1 || serial.is_null() {
        return None;
    }
    // SAFETY: not null, and alive as long as the response.
    let serial = unsafe { Asn1IntegerRef::from_ptr(serial) };
    let until = if until.is_null() { i64::MAX } else { seconds_of(response, until)? };
    let from = seconds_of(response, from)?;
    Some(OcspAnswer { serial: serial.to_bn().ok()?.to_vec(), from, until })
}

/// A time inside `_owner`, in seconds since 1970.
fn seconds_of<T: ?Sized>(_owner: &T, time: *mut sys::ASN1_GENERALIZEDTIME) -> Option<i64> {
    if time.is_null() {
        return None;
    }
    // SAFETY: not null, alive as long as its owner; any GENERALIZEDTIME is an ASN1_TIME.
    inspect::seconds(unsafe { Asn1TimeRef::from_ptr(time.cast()) })
}

/// A result of verification by its number (x509_vfy.h).
pub(super) fn verify_result(code: c_int) -> X509VerifyResult {
    // SAFETY: any number has a text; the unknown ones are written to a buffer of OpenSSL's that
    // only one thread at a time uses here.
    unsafe { X509VerifyResult::from_raw(code) }
}

/// Whether a certificate may be one of a client: it says so, or says nothing.
pub(super) fn is_for_clients(certificate: &X509Ref) -> bool {
    const FOR_CLIENTS: u32 = 2;
    // SAFETY: the certificate is alive.
    unsafe { X509_get_extended_key_usage(certificate.as_ptr()) & FOR_CLIENTS != 0 }
}

// ---------------------------------------------------------------------- one connection

/// Binds the sessions of a connection to `id`.
pub(super) fn bind_sessions(ssl: &mut SslRef, id: &[u8; 32]) -> Result<(), ErrorStack> {
    // SAFETY: the session is alive; the 32 bytes are copied.
    match unsafe { SSL_set_session_id_context(ssl.as_ptr(), id.as_ptr(), 32) } {
        1 => Ok(()),
        _ => Err(ErrorStack::get()),
    }
}

/// What a step of a handshake came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It is done.
    Done,
    /// The client must say more.
    WantRead,
    /// The client must take more.
    WantWrite,
    /// It failed: the result of `SSL_accept()`, and whether the connection itself failed.
    Failed {
        /// 0 or less.
        result: c_int,
        /// `SSL_ERROR_SYSCALL`
        connection: bool,
    },
}

/// Goes on with a handshake.
pub(super) fn accept(ssl: &SslRef) -> Step {
    clear_errors();
    // SAFETY: the session is alive and has its stream (it comes from an SslStream).
    let result = unsafe { sys::SSL_accept(ssl.as_ptr()) };
    if result > 0 {
        return Step::Done;
    }
    // SAFETY: asks for the reason of the result just seen.
    match unsafe { sys::SSL_get_error(ssl.as_ptr(), result) } {
        sys::SSL_ERROR_WANT_READ => Step::WantRead,
        sys::SSL_ERROR_WANT_WRITE => Step::WantWrite,
        error => Step::Failed { result, connection: error == sys::SSL_ERROR_SYSCALL },
    }
}

/// The digest of the signature of one side (`SHA256`); none with Ed25519, or where nobody signed.
pub(super) fn signature_digest(ssl: &SslRef, peer: bool) -> Option<&'static str> {
    let command = if peer { CTRL_PEER_SIGNATURE_NID } else { CTRL_SIGNATURE_NID };
    let mut nid: c_int = 0;
    let out = ptr::from_mut(&mut nid).cast();
    // SAFETY: this control writes one int.
    if unsafe { sys::SSL_ctrl(ssl.as_ptr(), command, 0, out) } == 0 || nid == sys::NID_undef {
        return None;
    }
    Nid::from_raw(nid).short_name().ok()
}

/// The name of the group of the key exchange, in the library's spelling.
pub(super) fn negotiated_group(ssl: &SslRef) -> String {
    // SAFETY: this control takes nothing.
    let id = unsafe { sys::SSL_ctrl(ssl.as_ptr(), CTRL_NEGOTIATED_GROUP, 0, ptr::null_mut()) };
    // SAFETY: any number may be asked for.
    let name = unsafe { SSL_group_to_name(ssl.as_ptr(), id as c_int) };
    text(ssl, name).to_owned()
}

/// The name of a key's curve: `prime256v1`.
pub(super) fn group_name<T>(key: &PKeyRef<T>) -> Option<String> {
    let mut name = [0u8; 80];
    let mut len = 0;
    let (room, key) = (name.as_mut_ptr().cast(), key.as_ptr());
    // SAFETY: at most 80 bytes are written.
    if unsafe { EVP_PKEY_get_group_name(key, room, name.len(), &mut len) } != 1 {
        return None;
    }
    String::from_utf8(name.get(..len)?.to_vec()).ok()
}

/// What OpenSSL calls a key's algorithm, where it has no number.
pub(super) fn type_name<T>(key: &PKeyRef<T>) -> String {
    // SAFETY: the key is alive and owns the name.
    let name = unsafe { EVP_PKEY_get0_type_name(key.as_ptr()) };
    text(key, name).to_owned()
}

/// The DER of a certificate's public key with its algorithm.
pub(super) fn public_key_der(certificate: &X509Ref) -> Vec<u8> {
    // SAFETY: the certificate is alive and owns the result.
    let key = unsafe { X509_get_X509_PUBKEY(certificate.as_ptr()) };
    let mut data = ptr::null_mut();
    // SAFETY: `data` is null, so that OpenSSL allocates; a null key gives an error.
    let len = unsafe { i2d_X509_PUBKEY(key, &mut data) };
    owned(data, usize::try_from(len).unwrap_or(0))
}

/// The bits of a certificate's public key, without algorithm.
pub(super) fn public_key_bits(certificate: &X509Ref) -> &[u8] {
    // SAFETY: the certificate is alive and owns the result.
    let bits = unsafe { X509_get0_pubkey_bitstr(certificate.as_ptr()) };
    if bits.is_null() {
        return &[];
    }
    // SAFETY: not null; a BIT STRING is an ASN1_STRING, and lives as long as the certificate.
    let bits = unsafe { Asn1StringRef::from_ptr(bits.cast()) };
    bits.as_slice()
}

/// A name on one line: `/CN=x/O=y`; cut at 255 bytes.
pub(super) fn one_line(name: &X509NameRef) -> Vec<u8> {
    let mut line = [0u8; 256];
    // SAFETY: at most 256 bytes are written, the last one NUL.
    unsafe { X509_NAME_oneline(name.as_ptr(), line.as_mut_ptr().cast(), 256) };
    line.split(|byte| *byte == 0).next().unwrap_or(b"").to_vec()
}

/// A name as RFC 4514 writes it, in UTF-8; `None`: longer than `longest`, or not to be written.
pub(super) fn distinguished_name(name: &X509NameRef, longest: usize) -> Option<Vec<u8>> {
    /// XN_FLAG_RFC2253 without ASN1_STRFLGS_ESC_MSB.
    const FLAGS: c_ulong = 0x0111_0313;
    let bio = MemoryBio::new()?;
    // SAFETY: both are alive; the name is only read.
    let printed = unsafe { X509_NAME_print_ex(bio.0, name.as_ptr(), 0, FLAGS) };
    let text = bio.contents();
    (printed >= 0 && text.len() <= longest).then(|| text.to_vec())
}

/// Memory that OpenSSL writes to.
struct MemoryBio(*mut sys::BIO);

impl MemoryBio {
    fn new() -> Option<Self> {
        // SAFETY: no preconditions; NULL is looked for.
        let method = unsafe { sys::BIO_s_mem() };
        // SAFETY: the method lives for ever.
        let bio = unsafe { sys::BIO_new(method) };
        (!bio.is_null()).then_some(Self(bio))
    }

    fn contents(&self) -> &[u8] {
        let mut data = ptr::null_mut();
        // SAFETY: the BIO is one of memory, and alive.
        let len = unsafe { sys::BIO_get_mem_data(self.0, &mut data) };
        match usize::try_from(len) {
            // SAFETY: that many bytes are there as long as nothing is written to the BIO.
            Ok(len) if !data.is_null() => unsafe { std::slice::from_raw_parts(data.cast(), len) },
            _ => &[],
        }
    }
}

impl Drop for MemoryBio {
    fn drop(&mut self) {
        // SAFETY: it is ours, and nobody else has it.
        unsafe { sys::BIO_free_all(self.0) };
    }
}

/// A string as UTF-8, NULs included; its ASN.1 type where it cannot be decoded.
pub(super) fn utf8(string: &Asn1StringRef) -> Result<Vec<u8>, i32> {
    let mut data = ptr::null_mut();
    // SAFETY: the string is alive; what is put out is ours to free.
    let len = unsafe { sys::ASN1_STRING_to_UTF8(&mut data, string.as_ptr()) };
    match usize::try_from(len) {
        Ok(len) => Ok(owned(data, len)),
        // SAFETY: the string is alive.
        Err(_) => Err(unsafe { sys::ASN1_STRING_type(string.as_ptr()) }),
    }
}

/// Lets a client in a test go on from `session`, which came from the same context.
#[cfg(test)]
pub(super) fn resume(ssl: &mut SslRef, session: &SslSession) {
    // SAFETY: OpenSSL counts its own reference; the caller uses one context for both.
    unsafe { ssl.set_session(session) }.unwrap();
}

/// Lets a client in a test ask for a second handshake, with its next byte.
#[cfg(test)]
pub(super) fn renegotiate(ssl: &SslRef) {
    unsafe extern "C" {
        fn SSL_renegotiate(ssl: *mut sys::SSL) -> c_int;
    }
    // SAFETY: the session is alive, and nobody else uses it.
    let asked = unsafe { SSL_renegotiate(ssl.as_ptr()) };
    assert_eq!(asked, 1);
}

// ---------------------------------------------------------------------- raw public keys

/// Raw public keys in place of certificates (RFC 7250), which OpenSSL has since 3.2; before, there
/// are none.
#[cfg(openssl_3_2)]
mod raw_key {
    use super::*;
    use openssl::pkey::Public;
    use openssl::x509::X509StoreContextRef;

    unsafe extern "C" {
        fn SSL_CTX_set1_server_cert_type(
            ctx: *mut sys::SSL_CTX,
            kinds: *const c_uchar,
            len: usize,
        ) -> c_int;
        fn SSL_set1_client_cert_type(
            ssl: *mut sys::SSL,
            kinds: *const c_uchar,
            len: usize,
        ) -> c_int;
        fn SSL_get0_peer_rpk(ssl: *const sys::SSL) -> *mut sys::EVP_PKEY;
        fn SSL_get_negotiated_server_cert_type(ssl: *const sys::SSL) -> c_int;
        fn X509_STORE_CTX_get0_rpk(ctx: *const sys::X509_STORE_CTX) -> *mut sys::EVP_PKEY;
        fn EVP_PKEY_up_ref(key: *mut sys::EVP_PKEY) -> c_int;
    }

    const RAW_KEY: c_uchar = 2;
    const CERTIFICATE: c_uchar = 0;
    const KINDS: &[c_uchar] = &[RAW_KEY, CERTIFICATE];

    /// Lets the server show its key without a certificate to clients that want it.
    pub(in super::super) fn offer_raw_key(ctx: &mut SslContextBuilder) -> bool {
        // SAFETY: the context is alive; the list is copied.
        unsafe { SSL_CTX_set1_server_cert_type(ctx.as_ptr(), KINDS.as_ptr(), KINDS.len()) > 0 }
    }

    /// Lets a client show its key without a certificate.
    pub(in super::super) fn take_raw_key(ssl: &mut SslRef) -> bool {
        // SAFETY: the session is alive; the list is copied.
        unsafe { SSL_set1_client_cert_type(ssl.as_ptr(), KINDS.as_ptr(), KINDS.len()) > 0 }
    }

    /// The key that the client showed without a certificate.
    pub(in super::super) fn raw_key(ssl: &SslRef) -> Option<PKey<Public>> {
        // SAFETY: the session is alive and owns the key.
        let key = unsafe { SSL_get0_peer_rpk(ssl.as_ptr()) };
        if key.is_null() {
            return None;
        }
        // SAFETY: the key is not null, and alive.
        let counted = unsafe { EVP_PKEY_up_ref(key) };
        // SAFETY: not null, and one reference is ours.
        (counted > 0).then(|| unsafe { PKey::from_ptr(key) })
    }

    /// Whether the server showed its key without a certificate.
    pub(in super::super) fn showed_raw_key(ssl: &SslRef) -> bool {
        // SAFETY: the session is alive.
        unsafe { SSL_get_negotiated_server_cert_type(ssl.as_ptr()) == c_int::from(RAW_KEY) }
    }

    /// Lets a client in a test show nothing but its key, and take nothing else.
    #[cfg(test)]
    pub(in super::super) fn show_raw_keys_only(ctx: &mut SslContextBuilder) {
        unsafe extern "C" {
            fn SSL_CTX_set1_client_cert_type(
                ctx: *mut sys::SSL_CTX,
                kinds: *const c_uchar,
                len: usize,
            ) -> c_int;
        }
        let (ctx, kinds) = (ctx.as_ptr(), KINDS.as_ptr());
        // SAFETY: the context is alive; the first entry of the list is copied.
        assert_eq!(unsafe { SSL_CTX_set1_client_cert_type(ctx, kinds, 1) }, 1);
        // SAFETY: as above.
        assert_eq!(unsafe { SSL_CTX_set1_server_cert_type(ctx, kinds, 1) }, 1);
    }

    /// Whether what is verified is a key without a certificate.
    pub(in super::super) fn is_raw_key(chain: &X509StoreContextRef) -> bool {
        // SAFETY: OpenSSL passed a live verification; whether it has a key is all that is asked.
        unsafe { !X509_STORE_CTX_get0_rpk(chain.as_ptr()).is_null() }
    }
}

#[cfg(not(openssl_3_2))]
mod raw_key {
    use super::*;
    use openssl::pkey::Public;
    use openssl::x509::X509StoreContextRef;

    pub(in super::super) fn offer_raw_key(_: &mut SslContextBuilder) -> bool {
        true
    }

    pub(in super::super) fn take_raw_key(_: &mut SslRef) -> bool {
        true
    }

    pub(in super::super) fn raw_key(_: &SslRef) -> Option<PKey<Public>> {
        None
    }

    pub(in super::super) fn showed_raw_key(_: &SslRef) -> bool {
        false
    }

    pub(in super::super) fn is_raw_key(_: &X509StoreContextRef) -> bool {
        false
    }

    #[cfg(test)]
    pub(in super::super) fn show_raw_keys_only(_: &mut SslContextBuilder) {}
}

#[cfg(test)]
pub(super) use raw_key::show_raw_keys_only;

pub(super) use raw_key::{is_raw_key, offer_raw_key, raw_key, showed_raw_key, take_raw_key};

// ---------------------------------------------------------------------- threads

/// Something that only the thread may use that made it: OpenSSL wants what hangs on a session to be
/// fit for all threads, but calls back on the thread of the handshake, and we have but one.
pub(super) struct OnThisThread<T> {
    value: ManuallyDrop<T>,
    thread: ThreadId,
}

// SAFETY: on another thread the value can't be reached, and isn't dropped.
unsafe impl<T> Send for OnThisThread<T> {}
// SAFETY: as above; the thread that can reach it is always the same.
unsafe impl<T> Sync for OnThisThread<T> {}

impl<T> OnThisThread<T> {
    pub(super) fn new(value: T) -> Self {
        Self { value: ManuallyDrop::new(value), thread: thread::current().id() }
    }

    /// The value, on its thread.
    pub(super) fn get(&self) -> Option<&T> {
        (thread::current().id() == self.thread).then_some(&*self.value)
    }
}

impl<T> Drop for OnThisThread<T> {
    fn drop(&mut self) {
        if thread::current().id() == self.thread {
            // SAFETY: dropped once, here, and not used again.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}

// ---------------------------------------------------------------------- callbacks

/// As Postfix 3.12: `trust_server_ccerts()`.
unsafe extern "C" fn verify_callback(ctx: *mut sys::X509_STORE_CTX, _: *mut c_void) -> c_int {
    const FOR_SERVERS: u32 = 1;
    const FOR_CLIENTS: u32 = 2;
    const PURPOSE_SERVER: c_int = 2;
    const TRUST_SERVER: c_int = 3;
    // SAFETY: OpenSSL passes a live verification, which owns the certificate.
    let certificate = unsafe { X509_STORE_CTX_get0_cert(ctx) };
    // SAFETY: the certificate is not null, and alive.
    let usage =
        (!certificate.is_null()).then(|| unsafe { X509_get_extended_key_usage(certificate) });
    if usage.is_some_and(|usage| usage & (FOR_SERVERS | FOR_CLIENTS) == FOR_SERVERS) {
        // SAFETY: the verification is alive, and owns its parameters.
        let parameters = unsafe { X509_STORE_CTX_get0_param(ctx) };
        // SAFETY: the parameters are alive; any purpose may be set.
        unsafe { sys::X509_VERIFY_PARAM_set_purpose(parameters, PURPOSE_SERVER) };
        // SAFETY: as above.
        unsafe { X509_VERIFY_PARAM_set_trust(parameters, TRUST_SERVER) };
    }
    // SAFETY: the verification is alive; this is what OpenSSL does without a callback.
    unsafe { sys::X509_verify_cert(ctx) }
}

/// As tls1.h says: what becomes of a name that a client asks for.
unsafe extern "C" fn name_callback(ssl: *mut sys::SSL, alert: *mut c_int, _: *mut c_void) -> c_int {
    const INTERNAL_ERROR: c_int = 80;
    // SAFETY: OpenSSL passes a live session that nobody else uses.
    let ssl = unsafe { SslRef::from_ptr_mut(ssl) };
    match sni::answer(ssl) {
        Answer::Accepted => sys::SSL_TLSEXT_ERR_OK,
        Answer::Declined => sys::SSL_TLSEXT_ERR_NOACK,
        Answer::Failed => {
            // SAFETY: OpenSSL passes room for the number of an alert.
            unsafe { *alert = INTERNAL_ERROR };
            sys::SSL_TLSEXT_ERR_ALERT_FATAL
        }
    }
}

/// As ssl.h says: 0 ends the handshake.
unsafe extern "C" fn certificate_callback(ssl: *mut sys::SSL, _: *mut c_void) -> c_int {
    // SAFETY: OpenSSL passes a live session that nobody else uses.
    let ssl = unsafe { SslRef::from_ptr_mut(ssl) };
    c_int::from(sni::choose(ssl))
}

/// No ticket can be made, or this one not be read.
const TICKET_NO_KEY: c_int = -1;
const TICKET_STALE: c_int = 0;
const TICKET_ACCEPT: c_int = 1;

/// As tls1.h says: fills in the name and the vector when encrypting, sets up cipher and MAC.
unsafe extern "C" fn ticket_callback(
    ssl: *mut sys::SSL,
    name: *mut c_uchar,
    vector: *mut c_uchar,
    cipher: *mut sys::EVP_CIPHER_CTX,
    mac: *mut sys::EVP_MAC_CTX,
    encrypt: c_int,
) -> c_int {
    // SAFETY: OpenSSL passes a live session.
    let ssl = unsafe { SslRef::from_ptr(ssl) };
    // SAFETY: OpenSSL passes 16 bytes for the name.
    let name = unsafe { &mut *name.cast::<[u8; 16]>() };
    // SAFETY: OpenSSL passes room for the largest vector, 16 bytes.
    let vector = unsafe { &mut *vector.cast::<[u8; 16]>() };
    // SAFETY: OpenSSL passes a live cipher context that nobody else uses.
    let cipher = unsafe { CipherCtxRef::from_ptr_mut(cipher) };
    let how = if encrypt != 0 { TicketUse::Issue } else { TicketUse::Read };
    if let Some(mut key) = session::ticket_key(ssl, how, name, vector, cipher) {
        if set_mac_key(mac, &mut key) {
            return TICKET_ACCEPT;
        }
    }
    if encrypt != 0 { TICKET_NO_KEY } else { TICKET_STALE }
}

fn set_mac_key(mac: *mut sys::EVP_MAC_CTX, key: &mut [u8; 32]) -> bool {
    let digest = c"sha256".as_ptr().cast_mut();
    // SAFETY: both texts end in NUL and live for ever; the value is only read.
    let digest = unsafe { OSSL_PARAM_construct_utf8_string(c"digest".as_ptr(), digest, 0) };
    let (start, len) = (key.as_mut_ptr().cast(), key.len());
    // SAFETY: the key lives longer than the parameters; it is only read.
    let key = unsafe { sys::OSSL_PARAM_construct_octet_string(c"key".as_ptr(), start, len) };
    // SAFETY: takes nothing.
    let end = unsafe { sys::OSSL_PARAM_construct_end() };
    let parameters = [digest, key, end];
    // SAFETY: OpenSSL passed the live MAC context; the parameters end as they must.
    unsafe { sys::EVP_MAC_CTX_set_params(mac, parameters.as_ptr()) > 0 }
}

/// Each message in words, one after the other.
unsafe extern "C" fn message_callback(
    written: c_int,
    version: c_int,
    kind: c_int,
    message: *const c_void,
    len: usize,
    ssl: *mut sys::SSL,
    _: *mut c_void,
) {
    if ssl.is_null() {
        return;
    }
    // SAFETY: not null; OpenSSL passes a live session.
    let session = unsafe { SslRef::from_ptr(ssl) };
    let Some(trace) = Connection::of(session).and_then(|it| it.trace.get()) else { return };
    let mut trace = session::locked(trace);
    let (Some(into_words), true) = (trace_function(), trace.goes_on()) else { return };
    let Some(bio) = MemoryBio::new() else { return };
    // SAFETY: what OpenSSL passed is passed on; the BIO is alive.
    unsafe { into_words(written, version, kind, message, len, ssl, bio.0.cast()) };
    trace.add(bio.contents());
}

/// Each read and write of the connection's BIO. The result is left as it is.
unsafe extern "C" fn dump_callback(
    bio: *mut sys::BIO,
    what: c_int,
    memory: *const c_char,
    len: usize,
    _: c_int,
    _: c_long,
    result: c_int,
    moved: *mut usize,
) -> c_long {
    if let BIO_READ_DONE | BIO_WRITE_DONE = what {
        let bytes = if result <= 0 {
            Err(result)
        } else if moved.is_null() || memory.is_null() {
            Ok(&[][..])
        } else {
            // SAFETY: not null; OpenSSL says here how many bytes it moved.
            let moved = unsafe { *moved }.min(len);
            // SAFETY: not null, and so many bytes of it were read or written just now.
            Ok(unsafe { std::slice::from_raw_parts(memory.cast::<u8>(), moved) })
        };
        let (bio, memory, written) = (bio.addr(), memory.addr(), what == BIO_WRITE_DONE);
        Passed { written, bio, memory, asked: len, result: bytes }.log();
    }
    c_long::from(result)
}

/// As Postfix: `tls_info_callback()`.
unsafe extern "C" fn info_callback(ssl: *const sys::SSL, what: c_int, value: c_int) {
    // SAFETY: OpenSSL passes a live session.
    let ssl = unsafe { SslRef::from_ptr(ssl.cast_mut()) };
    let role = match what & 0xffff & !0xfff {
        role if role & ST_CONNECT != 0 => "SSL_connect",
        role if role & ST_ACCEPT != 0 => "SSL_accept",
        _ => "unknown",
    };
    if what & CB_LOOP != 0 {
        info!("{}:{}", role, ssl.state_string_long());
    } else if what & CB_ALERT != 0 {
        log_alert(what, value);
    } else if what & CB_EXIT != 0 && value == 0 {
        info!("{}:failed in {}", role, ssl.state_string_long());
    } else if what & CB_EXIT != 0 && value < 0 {
        // SAFETY: asks for the reason of the result just seen.
        let error = unsafe { sys::SSL_get_error(ssl.as_ptr(), value) };
        if error != sys::SSL_ERROR_WANT_READ && error != sys::SSL_ERROR_WANT_WRITE {
            info!("{}:error in {}", role, ssl.state_string_long());
        }
    }
}

fn log_alert(what: c_int, value: c_int) {
    const CLOSE_NOTIFY: c_int = 0;
    if value & 0xff == CLOSE_NOTIFY {
        return;
    }
    let direction = if what & CB_READ != 0 { "read" } else { "write" };
    // SAFETY: any number may be asked for.
    let kind = unsafe { SSL_alert_type_string_long(value) };
    // SAFETY: any number may be asked for.
    let description = unsafe { SSL_alert_desc_string_long(value) };
    info!("SSL3 alert {}:{}:{}", direction, text(&(), kind), text(&(), description));
}
