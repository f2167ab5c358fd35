//! Shared libraries that are loaded when they are needed, and by many processes never.
//!
//! libssl and libcrypto are made so that the dynamic linker looks up each of their names at the start
//! of a program, and writes half a megabyte of addresses into their tables: most of what a process
//! without TLS would cost. ELF has no delayed loading, so here it is: each function that is called has
//! a stub of its name. The linker finds the stubs first, and as the libraries are then needed for
//! nothing it leaves them out of the program's list (`--as-needed`). A stub jumps to where its slot
//! says; while the slot is empty, to the loader, which fills the slots of the library.
//!
//! Slots lie on pages of their own, which are read-only once they are filled, as the dynamic linker's
//! tables are (RELRO).
//!
//! A function without a line here only costs what was to be saved: its library is linked as usual.
//! `readelf -d` shows what a program is linked with; tests/binary.rs looks at what it has. build.rs
//! says which libraries come late: none where they are built into the program or the processor is
//! no x86-64.

/// Why a library is not there, in the dynamic linker's words.
pub type LoadError = Vec<u8>;

/// Loads libssl and libcrypto if that was not done yet. Who wants them in a jail, where they can't be
/// found, calls this before.
pub fn load_openssl() -> Result<(), LoadError> {
    #[cfg(late_openssl)]
    openssl::LIBRARY.load()?;
    #[cfg(all(late_openssl, openssl_3_2))]
    openssl_3_2::LIBRARY.load()?;
    Ok(())
}

/// Whether OpenSSL can be called without being loaded first.
pub fn openssl_is_there() -> bool {
    #[cfg(late_openssl)]
    return openssl::LIBRARY.is_loaded();
    #[cfg(not(late_openssl))]
    true
}

/// Loads libpcre2-8, as [`load_openssl`] does OpenSSL.
pub fn load_pcre2() -> Result<(), LoadError> {
    #[cfg(late_pcre2)]
    pcre2::LIBRARY.load()?;
    Ok(())
}

/// A library, its slots, and its stubs.
///
/// A stub has the address of its slot in r11, which no function expects anything in and each may
/// change. On the way through the loader all registers are kept that arguments come in, but for
/// those of floating-point numbers, which none of these functions takes.
#[cfg(any(late_openssl, late_pcre2))]
macro_rules! library {
    ($name:expr, $slots:literal, $($function:ident)*) => {
        use super::loader::Library;

        pub(super) static LIBRARY: Library = Library::new(
            concat!($name, "\0"),
            concat!($(stringify!($function), "\0"),*),
            slots,
        );

        fn slots() -> *mut super::loader::Slot {
            unsafe extern "C" {
                #[link_name = $slots]
                static mut SLOTS: [super::loader::Slot; [$(stringify!($function)),*].len()];
            }
            (&raw mut SLOTS).cast()
        }

        extern "C" fn load() {
            LIBRARY.load_or_abort();
        }

        std::arch::global_asm!(
            concat!(
                ".pushsection .bss.", $slots, ", \"aw\", @nobits\n",
                ".balign 4096\n",
                ".hidden ", $slots, "\n",
                ".globl ", $slots, "\n",
                $slots, ":\n",
                $(".L", stringify!($function), ": .zero 8\n",)*
                ".balign 4096\n",
                ".popsection\n",
                ".pushsection .text.", $slots, ", \"ax\", @progbits\n",
                ".balign 16\n",
                ".L", $slots, "_load:\n",
                "push rbp\n",
                "mov rbp, rsp\n",
                "push rdi\n",
                "push rsi\n",
                "push rdx\n",
                "push rcx\n",
                "push r8\n",
                "push r9\n",
                "push rax\n",
                "push r11\n",
                "call {load}\n",
                "pop r11\n",
                "pop rax\n",
                "pop r9\n",
                "pop r8\n",
                "pop rcx\n",
                "pop rdx\n",
                "pop rsi\n",
                "pop rdi\n",
                "pop rbp\n",
                "jmp qword ptr [r11]\n",
                $(
                    ".hidden ", stringify!($function), "\n",
                    ".globl ", stringify!($function), "\n",
                    ".type ", stringify!($function), ", @function\n",
                    stringify!($function), ":\n",
                    "lea r11, [rip + .L", stringify!($function), "]\n",
                    "cmp qword ptr [r11], 0\n",
                    "je .L", $slots, "_load\n",
                    "jmp qword ptr [r11]\n",
                )*
                ".popsection\n",
            ),
            load = sym load,
        );
    };
}

/// `libssl.so.3`, which brings `libcrypto.so.3`.
#[cfg(late_openssl)]
mod openssl {
    library! {
        env!("SMTPD_RS_LIBSSL"), "smtpd_rs_openssl",
        ASN1_INTEGER_free ASN1_INTEGER_to_BN ASN1_OBJECT_free ASN1_OCTET_STRING_free
        ASN1_OCTET_STRING_new ASN1_OCTET_STRING_set ASN1_STRING_get0_data ASN1_STRING_length
        ASN1_STRING_set ASN1_STRING_to_UTF8 ASN1_STRING_type ASN1_STRING_type_new ASN1_TIME_diff
        ASN1_TIME_free ASN1_TIME_print ASN1_TIME_set BIO_clear_flags BIO_ctrl BIO_free_all
        BIO_get_data BIO_meth_free BIO_meth_new BIO_meth_set_create BIO_meth_set_ctrl
        BIO_meth_set_destroy BIO_meth_set_puts BIO_meth_set_read BIO_meth_set_write BIO_new
        BIO_new_mem_buf BIO_s_mem BIO_set_callback_ex BIO_set_data BIO_set_flags BIO_set_init
        BN_bn2bin BN_free BN_new BN_num_bits BN_rand BN_to_ASN1_INTEGER CRYPTO_free
        CRYPTO_get_ex_new_index CRYPTO_malloc EC_GROUP_free EC_GROUP_new_by_curve_name EC_KEY_free
        EC_KEY_generate_key EC_KEY_new EC_KEY_set_group EC_curve_nist2nid ERR_clear_error
        ERR_get_error_all ERR_lib_error_string ERR_new ERR_peek_last_error ERR_reason_error_string
        ERR_set_debug ERR_set_error ERR_set_error_data EVP_CIPHER_CTX_get0_cipher
        EVP_CIPHER_CTX_get_iv_length EVP_CIPHER_CTX_get_key_length EVP_CIPHER_fetch EVP_CIPHER_free
        EVP_CIPHER_get_iv_length EVP_CIPHER_get_key_length EVP_CIPHER_get_mode EVP_DecryptInit_ex
        EVP_DigestFinal_ex EVP_DigestInit_ex EVP_DigestUpdate EVP_EncryptInit_ex
        EVP_MAC_CTX_set_params EVP_MD_CTX_free EVP_MD_CTX_new EVP_MD_get_size EVP_PKCS82PKEY
        EVP_PKEY_CTX_free EVP_PKEY_CTX_new_id EVP_PKEY_cmp EVP_PKEY_free EVP_PKEY_get0_type_name
        EVP_PKEY_get_bits EVP_PKEY_get_group_name EVP_PKEY_get_id EVP_PKEY_keygen
        EVP_PKEY_keygen_init EVP_PKEY_new EVP_PKEY_set1_EC_KEY EVP_PKEY_up_ref EVP_Q_digest
        EVP_get_digestbyname EVP_md_null EVP_sha1 EVP_sha256 GENERAL_NAME_free GENERAL_NAME_new
        GENERAL_NAME_set0_othername OBJ_dup OBJ_ln2nid OBJ_nid2sn OBJ_obj2nid OBJ_sn2nid OBJ_txt2obj
        OCSP_BASICRESP_free OCSP_RESPONSE_free OCSP_SINGLERESP_get0_id OCSP_id_get0_info
        OCSP_resp_count OCSP_resp_get0 OCSP_response_get1_basic OCSP_response_status
        OCSP_single_get0_status OPENSSL_INIT_free OPENSSL_INIT_new OPENSSL_INIT_set_config_appname
        OPENSSL_INIT_set_config_file_flags OPENSSL_INIT_set_config_filename OPENSSL_init_crypto
        OPENSSL_init_ssl OPENSSL_sk_free OPENSSL_sk_new_null OPENSSL_sk_num OPENSSL_sk_pop
        OPENSSL_sk_pop_free OPENSSL_sk_push OPENSSL_sk_value OSSL_DECODER_CTX_free
        OSSL_DECODER_CTX_new_for_pkey OSSL_DECODER_from_data OSSL_PARAM_construct_end
        OSSL_PARAM_construct_octet_string OSSL_PARAM_construct_utf8_string OpenSSL_version
        OpenSSL_version_num PEM_X509_INFO_read_bio PEM_read_bio PEM_read_bio_PrivateKey
        PEM_read_bio_X509 PEM_read_bio_X509_CRL PEM_write_bio_PKCS8PrivateKey PEM_write_bio_X509
        PKCS12_create PKCS12_free PKCS12_set_mac PKCS8_PRIV_KEY_INFO_free RAND_bytes RAND_seed
        SSL_CIPHER_get_bits SSL_CIPHER_get_name SSL_CTX_add_client_CA SSL_CTX_callback_ctrl
        SSL_CTX_check_private_key SSL_CTX_ctrl SSL_CTX_free SSL_CTX_get0_param
        SSL_CTX_get_cert_store SSL_CTX_get_ex_data SSL_CTX_load_verify_locations SSL_CTX_new
        SSL_CTX_sess_set_get_cb SSL_CTX_sess_set_new_cb SSL_CTX_set0_tmp_dh_pkey SSL_CTX_set_cert_cb
        SSL_CTX_set_cert_verify_callback SSL_CTX_set_cipher_list SSL_CTX_set_default_verify_paths
        SSL_CTX_set_ex_data SSL_CTX_set_num_tickets SSL_CTX_set_options SSL_CTX_set_security_level
        SSL_CTX_set_session_id_context SSL_CTX_set_timeout SSL_CTX_set_tlsext_ticket_key_evp_cb
        SSL_CTX_set_verify SSL_CTX_set_verify_depth SSL_CTX_up_ref SSL_CTX_use_PrivateKey_file
        SSL_CTX_use_cert_and_key SSL_CTX_use_certificate_chain_file SSL_SESSION_free
        SSL_SESSION_get_id SSL_accept SSL_alert_desc_string_long SSL_alert_type_string_long
        SSL_certs_clear SSL_connect SSL_ctrl SSL_free SSL_get1_peer_certificate SSL_get_SSL_CTX
        SSL_get_certificate SSL_get_current_cipher SSL_get_error SSL_get_ex_data
        SSL_get_ex_data_X509_STORE_CTX_idx SSL_get_rbio SSL_get_servername SSL_get_verify_result
        SSL_get_version SSL_group_to_name SSL_is_server SSL_new SSL_read_ex SSL_session_reused
        SSL_set_bio SSL_set_cipher_list SSL_set_ex_data SSL_set_info_callback SSL_set_msg_callback
        SSL_set_read_ahead SSL_set_security_level SSL_set_session_id_context SSL_shutdown
        SSL_state_string_long SSL_use_cert_and_key SSL_version SSL_write_ex TLS_client_method
        TLS_method TLS_server_method X509V3_EXT_i2d X509V3_EXT_nconf_nid X509V3_set_ctx
        X509V3_set_nconf X509_CRL_free X509_CRL_get0_by_serial X509_CRL_get0_lastUpdate
        X509_CRL_get0_nextUpdate X509_CRL_get_ext X509_CRL_get_ext_count X509_CRL_get_issuer
        X509_CRL_verify X509_EXTENSION_free X509_EXTENSION_get_critical X509_EXTENSION_get_data
        X509_EXTENSION_get_object X509_EXTENSION_create_by_OBJ X509_INFO_free
        X509_NAME_ENTRY_get_data X509_NAME_ENTRY_get_object X509_NAME_add_entry_by_NID X509_NAME_cmp
        X509_NAME_dup X509_NAME_entry_count X509_NAME_free X509_NAME_get_entry
        X509_NAME_get_index_by_NID X509_NAME_new X509_NAME_oneline X509_NAME_print_ex
        X509_STORE_CTX_get0_cert X509_STORE_CTX_get0_param X509_STORE_CTX_get_current_cert
        X509_STORE_CTX_get_error X509_STORE_CTX_get_error_depth X509_STORE_CTX_get_ex_data
        X509_STORE_CTX_set_error X509_STORE_add_cert X509_STORE_add_crl X509_VERIFY_PARAM_set_flags
        X509_VERIFY_PARAM_set_purpose X509_VERIFY_PARAM_set_trust X509_add_ext X509_digest X509_free
        X509_get0_pubkey_bitstr X509_get_X509_PUBKEY X509_get_ext_d2i X509_get_extended_key_usage
        X509_get_issuer_name X509_get_pubkey X509_get_serialNumber X509_get_subject_name
        X509_getm_notAfter X509_getm_notBefore X509_gmtime_adj X509_new X509_set1_notAfter
        X509_set1_notBefore X509_set_issuer_name X509_set_pubkey X509_set_serialNumber
        X509_set_subject_name X509_set_version X509_sign X509_up_ref X509_verify X509_verify_cert
        X509_verify_cert_error_string X509_print d2i_ASN1_TYPE d2i_AutoPrivateKey d2i_OCSP_RESPONSE
        d2i_PKCS8_PRIV_KEY_INFO d2i_PrivateKey d2i_SSL_SESSION d2i_X509 d2i_X509_NAME i2d_PKCS12
        i2d_PUBKEY i2d_SSL_SESSION i2d_X509 i2d_X509_NAME i2d_X509_PUBKEY
    }
}

/// What OpenSSL has since 3.2: raw public keys.
#[cfg(all(late_openssl, openssl_3_2))]
mod openssl_3_2 {
    library! {
        env!("SMTPD_RS_LIBSSL"), "smtpd_rs_openssl_3_2",
        SSL_CTX_set1_server_cert_type SSL_get0_peer_rpk SSL_get_negotiated_server_cert_type
        SSL_set1_client_cert_type X509_STORE_CTX_get0_rpk
    }
}

/// `libpcre2-8.so.0`
#[cfg(late_pcre2)]
mod pcre2 {
    library! {
        "libpcre2-8.so.0", "smtpd_rs_pcre2",
        pcre2_code_free_8 pcre2_compile_8 pcre2_get_error_message_8
        pcre2_get_ovector_count_8 pcre2_get_ovector_pointer_8 pcre2_match_8
        pcre2_match_data_create_from_pattern_8 pcre2_match_data_free_8 pcre2_pattern_info_8
    }
}

#[cfg(any(late_openssl, late_pcre2))]
mod loader {
    use std::ffi::{CStr, c_void};
    use std::io::{self, Write as _};
    use std::process;
    use std::ptr::NonNull;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicPtr, Ordering};

    use super::LoadError;

    /// A page of x86-64.
    const PAGE: usize = 4096;

    /// The address of a function, once it is loaded.
    pub(super) type Slot = AtomicPtr<c_void>;

    /// A library and its functions.
    pub(super) struct Library {
        /// By which the dynamic linker finds it.
        name: &'static CStr,
        /// Names, each ending with NUL, in the order of the slots. (A list of texts would need to have its
        /// addresses written at the start.)
        functions: &'static str,
        /// The first slot, on pages that hold nothing but these slots.
        slots: fn() -> *mut Slot,
        loaded: OnceLock<Result<(), LoadError>>,
    }

    impl Library {
        pub(super) const fn new(
            name: &'static str,
            functions: &'static str,
            slots: fn() -> *mut Slot,
        ) -> Self {
            let Ok(name) = CStr::from_bytes_with_nul(name.as_bytes()) else {
                panic!("NUL stands at the end of a name")
            };
            Self { name, functions, slots, loaded: OnceLock::new() }
        }

        pub(super) fn is_loaded(&self) -> bool {
            self.loaded.get().is_some_and(Result::is_ok)
        }

        pub(super) fn load(&self) -> Result<(), LoadError> {
            self.loaded.get_or_init(|| self.fill()).clone()
        }

        /// For a function that is called before [`Self::load`] was: it can't say that it isn't there.
        pub(super) fn load_or_abort(&self) {
            if let Err(error) = self.load() {
                let _ = io::stderr().write_all(&fill!("fatal: {}\n", error));
                process::abort();
            }
        }

        fn fill(&self) -> Result<(), LoadError> {
            // For others, its names are where they would be if it were linked.
            let how = libc::RTLD_NOW | libc::RTLD_GLOBAL;
            // SAFETY: the name ends with NUL. What a library does while it is loaded is no less sound
            // now than at the start.
            let library = unsafe { libc::dlopen(self.name.as_ptr(), how) };
            let library = NonNull::new(library).ok_or_else(last_error)?;
            let names = self.functions.as_bytes().split_inclusive(|byte| *byte == 0);
            let names = names.filter_map(|name| CStr::from_bytes_with_nul(name).ok());
            let addresses =
                names.map(|name| address(library, name)).collect::<Result<Vec<_>, _>>()?;
            let first = (self.slots)();
            for (place, address) in addresses.iter().enumerate() {
                // SAFETY: there is a slot for each name.
                let slot = unsafe { first.add(place) };
                // SAFETY: the slot is there as long as the program, and only changed by its atom.
                unsafe { &*slot }.store(address.as_ptr(), Ordering::Release);
            }
            let size = (addresses.len() * size_of::<Slot>()).next_multiple_of(PAGE);
            // SAFETY: these pages hold the slots alone, which are written no more.
            match unsafe { libc::mprotect(first.cast(), size, libc::PROT_READ) } {
                0 => Ok(()),
                _ => Err(fill!("mprotect: {}", io::Error::last_os_error())),
            }
        }
    }

    fn address(library: NonNull<c_void>, name: &CStr) -> Result<NonNull<c_void>, LoadError> {
        // SAFETY: the library stays loaded; the name ends with NUL.
        let address = unsafe { libc::dlsym(library.as_ptr(), name.as_ptr()) };
        NonNull::new(address).ok_or_else(last_error)
    }

    fn last_error() -> LoadError {
        // SAFETY: no other thread is told of this one's errors.
        let text = unsafe { libc::dlerror() };
        match NonNull::new(text) {
            // SAFETY: the text ends with NUL, and lasts until the next call in this thread.
            Some(text) => unsafe { CStr::from_ptr(text.as_ptr()) }.to_bytes().to_vec(),
            None => b"the dynamic linker does not say why".to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_function_is_in_its_library() {
        assert_eq!(load_openssl(), Ok(()));
        assert_eq!(load_pcre2(), Ok(()));
    }
}
