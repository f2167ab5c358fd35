//! Certificates that are renewed while we serve (smtpd_tls_hot_reload).
//!
//! After the start a process can't read keys, so it can't load new ones: where a file has changed,
//! the process ends between two sessions, and its successor reads what is there. A certificate and
//! its key change one after the other; until both have, the old ones stay in service. What changes
//! is left alone for a second, as somebody may be writing it.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use openssl::x509::X509;

use super::files::as_path;
use super::settings::Settings;
use super::{Switches, TlsServer};
use crate::config::Config;
use crate::sys::held_file::{Change, HeldFile, Kind};
use crate::sys::late_libraries;
use crate::table::opener::parts;
use crate::text::split::{COMMA_SPACE, words_braced};

/// How long a file that has changed is left alone.
const QUIET: Duration = Duration::from_secs(1);

/// Table types that are read once, and that Postfix doesn't look at again.
const READ_ONCE: &[&[u8]] = &[b"texthash", b"cidr", b"regexp", b"pcre"];

/// The files that TLS depends on.
pub struct Renewal {
    watched: Vec<Watched>,
    /// Names mean later what they mean now.
    by_name: bool,
}

/// A file with the parameter that names it; a pair changes together.
struct Watched {
    title: Vec<u8>,
    file: HeldFile,
    pair: Option<Pair>,
    /// How long it is left alone after a change.
    quiet: Duration,
}

/// The other half of a certificate.
struct Pair {
    key_name: Vec<u8>,
    key: HeldFile,
    certificate: Vec<u8>,
    /// The certificate in service, PEM.
    old: Vec<u8>,
    warned: Cell<bool>,
}

impl Renewal {
    /// Holds the files, before the chroot, and before any of them is read; `None` where
    /// smtpd_tls_hot_reload is off, or TLS.
    pub fn prepare(config: &Config) -> Option<Self> {
        let has_tls = Switches::want_tls(config) && !config.stand_alone;
        if !has_tls || !config.smtpd_tls_hot_reload {
            return None;
        }
        let mut renewal = Self { watched: Vec::new(), by_name: !config.jailed };
        for (name, certificate, key) in [
            ("smtpd_tls_cert_file", &config.smtpd_tls_cert_file, &config.smtpd_tls_key_file),
            ("smtpd_tls_dcert_file", &config.smtpd_tls_dcert_file, &config.smtpd_tls_dkey_file),
            ("smtpd_tls_eccert_file", &config.smtpd_tls_eccert_file, &config.smtpd_tls_eckey_file),
        ] {
            renewal.watch_pair(name, certificate, key);
        }
        for file in Settings::chain_files(&config.smtpd_tls_chain_files) {
            renewal.watch("smtpd_tls_chain_files", file, QUIET);
        }
        for (name, file) in [
            ("smtpd_tls_ccert_crl_file", &config.smtpd_tls_ccert_crl_file),
            ("smtpd_tls_ocsp_file", &config.smtpd_tls_ocsp_file),
        ] {
            renewal.watch(name, file, QUIET);
        }
        renewal.watch("smtpd_tls_CAfile", &config.smtpd_tls_CAfile, QUIET);
        for (name, list) in [
            ("smtpd_tls_ccert_user_maps", &config.smtpd_tls_ccert_user_maps),
            ("smtpd_tls_ccert_authzid_maps", &config.smtpd_tls_ccert_authzid_maps),
            ("relay_clientcerts", &config.relay_clientcerts),
        ] {
            let parts = words_braced(list, COMMA_SPACE).flat_map(parts);
            for file in parts.filter_map(read_once) {
                // Whoever is taken out of it must not get in once more.
                renewal.watch(name, file, Duration::ZERO);
            }
        }
        Some(renewal)
    }

    /// The files were read, and `tls` is what came of them.
    pub fn serving(mut self, tls: Option<&TlsServer>) -> Self {
        let Some(tls) = tls else { return self.without_pairs() };
        for pair in self.watched.iter_mut().filter_map(|watched| watched.pair.as_mut()) {
            let read = || std::fs::read(as_path(&pair.certificate)).ok();
            pair.old = tls.certificate_file(&pair.certificate).or_else(read).unwrap_or_default();
        }
        self
    }

    /// There is no TLS, maybe as somebody was at the files: whatever he does next may mend it.
    fn without_pairs(mut self) -> Self {
        let pairs: Vec<_> =
            self.watched.iter_mut().filter_map(|watched| watched.pair.take()).collect();
        self.watched.extend(pairs.into_iter().map(|pair| Watched {
            title: fill!("key {}", pair.key_name),
            file: pair.key,
            pair: None,
            quiet: QUIET,
        }));
        self
    }

    /// Holds a file, which may be missing as yet.
    fn hold(&self, file: &[u8]) -> Option<HeldFile> {
        let path = as_path(file);
        let held = HeldFile::hold(path).ok()?;
        Some(if self.by_name { held.by_name(path) } else { held })
    }

    fn watch(&mut self, parameter: &str, file: &[u8], quiet: Duration) {
        if file.is_empty() {
            return;
        }
        let Some(held) = self.hold(file) else { return };
        let title = fill!("{} {}", parameter, file);
        self.watched.push(Watched { title, file: held, pair: None, quiet });
    }

    fn watch_pair(&mut self, parameter: &str, certificate: &[u8], key: &[u8]) {
        if certificate.eq_ignore_ascii_case(b"none") {
            return;
        }
        if key.is_empty() || key == certificate || certificate.is_empty() {
            return self.watch(parameter, certificate, QUIET);
        }
        let (Some(file), Some(held)) = (self.hold(certificate), self.hold(key)) else { return };
        let pair = Pair {
            key_name: key.to_vec(),
            key: held,
            certificate: certificate.to_vec(),
            old: Vec::new(),
            warned: Cell::new(false),
        };
        let title = fill!("{} {}", parameter, certificate);
        self.watched.push(Watched { title, file, pair: Some(pair), quiet: QUIET });
    }

    /// What has changed, so that this process is to end: the parameter and the file.
    pub fn due(&self, now: SystemTime) -> Option<Vec<u8>> {
        self.watched.iter().find(|one| one.is_due(now)).map(|one| one.title.clone())
    }
}

impl Watched {
    fn is_due(&self, now: SystemTime) -> bool {
        self.changed().is_some_and(|changed| {
            // A clock that was set back must not keep old files in service.
            now.duration_since(changed).map_or(true, |since| since >= self.quiet)
        })
    }

    /// When all has changed that is to change together.
    fn changed(&self) -> Option<SystemTime> {
        let Some(pair) = &self.pair else { return Some(self.file.changed()?.at) };
        // Half a pair for which only the owner or the mode is another has not changed.
        let changed = |file: &HeldFile| file.changed().filter(|it| it.kind > Kind::Status);
        match (changed(&self.file), changed(&pair.key)) {
            (Some(certificate), Some(key)) => Some(certificate.and(key).at),
            (Some(certificate), None) if pair.is_renewed(certificate) => Some(certificate.at),
            (certificate, key) => {
                // Nothing is said where that may be all that it is.
                if certificate.or(key).is_some_and(|half| half.kind == Kind::Content) {
                    pair.wait(&self.title, certificate.is_none());
                }
                None
            }
        }
    }
}

impl Pair {
    /// Whether the new certificate, where we may read it, is of the key in service.
    fn is_renewed(&self, change: Change) -> bool {
        let key = |pem: &[u8]| X509::from_pem(pem).and_then(|it| it.public_key()).ok();
        let Ok(new) = std::fs::read(as_path(&self.certificate)) else { return false };
        if change.kind == Kind::Unknown && new == self.old {
            return false;
        }
        if late_libraries::load_openssl().is_err() {
            return false;
        }
        match (key(&self.old), key(&new)) {
            (Some(old), Some(new)) => old.public_eq(&new),
            _ => false,
        }
    }

    /// Half of the pair is old: goes on with what is in service, and says so once.
    fn wait(&self, title: &[u8], certificate_is_old: bool) {
        if self.warned.replace(true) {
            return;
        }
        let key = &self.key_name;
        let rest = "going on with the old ones until both have";
        if certificate_is_old {
            warning!("{} has a new key {}, but has not changed itself: {}", title, key, rest);
        } else {
            warning!("{} has changed, but its key {} has not: {}", title, key, rest);
        }
    }
}

/// The file of a table that is read once.
fn read_once(word: &[u8]) -> Option<&[u8]> {
    let colon = memchr::memchr(b':', word)?;
    let (kind, name) = (&word[..colon], &word[colon + 1..]);
    // Between braces stands the text itself.
    (READ_ONCE.contains(&kind) && !name.starts_with(b"{")).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::path::{Path, PathBuf};

    use openssl::asn1::Asn1Time;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::hash::MessageDigest;
    use openssl::nid::Nid;
    use openssl::pkey::{PKey, Private};
    use openssl::x509::{X509Builder, X509Name};

    use super::*;
    use crate::ipc::tlsmgr::Tlsmgr;
    use crate::log::captured;

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("renewal-{name}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        /// Puts a file into the place of another, as programs do that renew certificates.
        fn put(&self, name: &str, content: &[u8]) {
            let beside = self.0.join("beside");
            fs::write(&beside, content).unwrap();
            fs::rename(beside, self.0.join(name)).unwrap();
        }

        /// Gives a file away, and puts another one there.
        fn move_and_put(&self, name: &str, content: &[u8]) {
            fs::rename(self.0.join(name), self.0.join(format!("{name}~"))).unwrap();
            fs::write(self.0.join(name), content).unwrap();
        }

        fn renewal(&self) -> Renewal {
            self.renewal_of(false)
        }

        fn main_cf(&self) -> String {
            let place = self.0.display();
            format!(
                "smtpd_tls_security_level = may\n\
                 smtpd_tls_cert_file = {place}/cert\nsmtpd_tls_key_file = {place}/key\n\
                 smtpd_tls_ccert_user_maps = texthash:{place}/users, static:x\n"
            )
        }

        fn renewal_of(&self, jailed: bool) -> Renewal {
            captured::take();
            let mut config = Config::of_text(&self.main_cf()).unwrap();
            config.jailed = jailed;
            let renewal = Renewal::prepare(&config).unwrap();
            let mut renewal = renewal.serving(Some(&server(&config)));
            if jailed {
                // There is no such file in the jail.
                renewal.watched[0].pair.as_mut().unwrap().certificate = b"/nowhere".to_vec();
            }
            tick(self);
            renewal
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const MAY: &str = "smtpd_tls_security_level = may\n";

    fn prepare(main_cf: &str) -> Renewal {
        Renewal::prepare(&Config::of_text(main_cf).unwrap()).unwrap()
    }

    /// A server that has read its files, and has made nothing of them yet.
    fn server(config: &Config) -> TlsServer {
        let settings = Settings::of(config, &Switches::of(config).unwrap()).unwrap();
        TlsServer::with(settings, None, Box::new(Tlsmgr::new(config))).unwrap()
    }

    fn key() -> PKey<Private> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
    }

    fn certificate(key: &PKey<Private>, days: u32) -> Vec<u8> {
        let mut name = X509Name::builder().unwrap();
        name.append_entry_by_text("CN", "x").unwrap();
        let name = name.build();
        let mut builder = X509Builder::new().unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_pubkey(key).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(days).unwrap()).unwrap();
        builder.sign(key, MessageDigest::sha256()).unwrap();
        builder.build().to_pem().unwrap()
    }

    fn filled(name: &str) -> (Place, PKey<Private>) {
        let (place, key) = (Place::new(name), key());
        place.put("cert", &certificate(&key, 1));
        place.put("key", &key.private_key_to_pem_pkcs8().unwrap());
        place.put("users", b"AA:BB alice\n");
        (place, key)
    }

    /// Goes on when the clock of files has, which older kernels move every few milliseconds.
    fn tick(place: &Place) {
        let now = || {
            place.put("clock", b"");
            fs::metadata(place.0.join("clock")).unwrap()
        };
        let time = |status: fs::Metadata| (status.ctime(), status.ctime_nsec());
        let before = time(now());
        while time(now()) == before {}
    }

    /// Why the process is to end, when all has been quiet for long.
    fn due(renewal: &Renewal) -> Option<String> {
        let text = renewal.due(SystemTime::now() + 10 * QUIET)?;
        Some(String::from_utf8(text).unwrap())
    }

    fn title(parameter: &str, place: &Place, name: &str) -> Option<String> {
        Some(format!("{parameter} {}", Path::new(&place.0).join(name).display()))
    }

    #[test]
    fn a_pair_is_renewed_when_both_halves_have_changed() {
        let (place, _) = filled("both");
        let renewal = place.renewal();
        assert_eq!(due(&renewal), None);
        let new = key();
        place.put("cert", &certificate(&new, 9));
        assert_eq!((due(&renewal), due(&renewal)), (None, None));
        let said = captured::take();
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("/cert has changed, but its key "), "{said:?}");
        place.put("key", &new.private_key_to_pem_pkcs8().unwrap());
        assert_eq!(due(&renewal), title("smtpd_tls_cert_file", &place, "cert"));
    }

    #[test]
    fn a_new_certificate_for_the_same_key_needs_no_new_key() {
        let (place, key) = filled("same");
        let renewal = place.renewal();
        place.put("cert", &certificate(&key, 9));
        assert_eq!(due(&renewal), title("smtpd_tls_cert_file", &place, "cert"));
        assert!(captured::take().is_empty());
    }

    #[test]
    fn a_table_of_users_is_read_anew() {
        let (place, _) = filled("users");
        let renewal = place.renewal();
        place.put("users", b"");
        assert_eq!(due(&renewal), title("smtpd_tls_ccert_user_maps", &place, "users"));
    }

    #[test]
    fn a_table_of_users_is_read_anew_when_the_old_one_keeps_a_name() {
        for jailed in [false, true] {
            let (place, _) = filled(&format!("kept-{jailed}"));
            let renewal = place.renewal_of(jailed);
            place.move_and_put("users", b"");
            assert_eq!(due(&renewal), title("smtpd_tls_ccert_user_maps", &place, "users"));
        }
    }

    #[test]
    fn each_file_of_each_table_of_clients_is_watched() {
        captured::take();
        for (parameter, list) in [
            ("smtpd_tls_ccert_user_maps", "static:x, unionmap:{texthash:@, static:x}"),
            ("smtpd_tls_ccert_authzid_maps", "texthash:@"),
            ("relay_clientcerts", "unionmap:{static:x pipemap:{static:x, regexp:@}}"),
        ] {
            let place = Place::new(parameter);
            place.put("table", b"");
            let file = place.0.join("table").display().to_string();
            let main_cf = format!("{MAY}{parameter} = {}\n", list.replace('@', &file));
            let renewal = prepare(&main_cf);
            place.put("table", b"x y");
            assert_eq!(due(&renewal), title(parameter, &place, "table"));
        }
    }

    #[test]
    fn a_text_between_braces_is_no_file() {
        assert_eq!(read_once(b"cidr:{{1.2.3.4 x}}"), None);
        assert_eq!(read_once(b"cidr:tables/x"), Some(&b"tables/x"[..]));
        assert_eq!(read_once(b"hash:/x"), None);
    }

    #[test]
    fn a_table_that_was_moved_away_is_read_when_it_comes() {
        let (place, _) = filled("away");
        fs::remove_file(place.0.join("users")).unwrap();
        let renewal = place.renewal();
        assert_eq!(due(&renewal), None);
        place.put("users", b"");
        assert_eq!(due(&renewal), title("smtpd_tls_ccert_user_maps", &place, "users"));
    }

    #[test]
    fn a_pair_is_renewed_when_the_old_one_keeps_its_names() {
        for jailed in [false, true] {
            let (place, _) = filled(&format!("kept-pair-{jailed}"));
            let renewal = place.renewal_of(jailed);
            let new = key();
            place.move_and_put("cert", &certificate(&new, 9));
            assert_eq!(due(&renewal), None);
            place.move_and_put("key", &new.private_key_to_pem_pkcs8().unwrap());
            assert_eq!(due(&renewal), title("smtpd_tls_cert_file", &place, "cert"));
        }
    }

    #[test]
    fn another_mode_or_name_of_half_a_pair_is_nothing_to_wait_for() {
        for (jailed, name) in [(false, "cert"), (true, "cert"), (false, "key"), (true, "key")] {
            let (place, _) = filled(&format!("mode-{jailed}-{name}"));
            let renewal = place.renewal_of(jailed);
            let path = place.0.join(name);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(due(&renewal), None);
            fs::hard_link(&path, place.0.join("backup")).unwrap();
            assert_eq!(due(&renewal), None);
            assert!(captured::take().is_empty());
            assert_eq!(due(&place.renewal_of(jailed)), None);
        }
    }

    #[test]
    fn where_the_certificate_can_be_read_its_content_counts() {
        let (place, key) = filled("content");
        let mut renewal = place.renewal_of(true);
        let path = place.0.join("cert").into_os_string().into_encoded_bytes();
        renewal.watched[0].pair.as_mut().unwrap().certificate = path;
        fs::hard_link(place.0.join("cert"), place.0.join("backup")).unwrap();
        assert_eq!(due(&renewal), None);
        place.move_and_put("cert", &certificate(&key, 9));
        assert_eq!(due(&renewal), title("smtpd_tls_cert_file", &place, "cert"));
        assert!(captured::take().is_empty());
    }

    #[test]
    fn what_is_just_being_written_is_left_alone() {
        let (place, key) = filled("quiet");
        let renewal = place.renewal();
        place.put("cert", &certificate(&key, 9));
        let changed = renewal.watched[0].changed().unwrap();
        assert_eq!(renewal.due(changed + QUIET / 2), None);
        assert!(renewal.due(changed + QUIET).is_some());
        assert!(renewal.due(changed - QUIET).is_some());
    }

    #[test]
    fn who_is_taken_out_of_a_table_is_out_at_once() {
        let (place, _) = filled("out");
        let renewal = place.renewal();
        place.put("users", b"");
        let users = renewal.watched.iter().find(|one| one.quiet == Duration::ZERO).unwrap();
        assert!(renewal.due(users.changed().unwrap()).is_some());
    }

    /// A revocation list that was there before with `old`, or was not, and is there now.
    fn revocation_list_comes(place: &Place, old: Option<&[u8]>) {
        if let Some(old) = old {
            place.put("crl", old);
        }
        let list = place.0.join("crl").display().to_string();
        let main_cf = format!("{MAY}smtpd_tls_ccert_crl_file = {list}\n");
        let renewal = prepare(&main_cf);
        assert_eq!(due(&renewal), None);
        place.put("crl", b"new");
        assert_eq!(due(&renewal), title("smtpd_tls_ccert_crl_file", place, "crl"));
    }

    #[test]
    fn a_new_revocation_list_is_read() {
        revocation_list_comes(&Place::new("lists"), Some(b"old"));
    }

    #[test]
    fn a_revocation_list_that_was_missing_is_read_when_it_comes() {
        revocation_list_comes(&Place::new("missing-lists"), None);
    }

    #[test]
    fn where_half_a_pair_was_read_the_other_half_is_waited_for() {
        let (place, _) = filled("half");
        let new = key();
        place.put("cert", &certificate(&new, 9));
        let renewal = prepare(&place.main_cf()).serving(None);
        assert_eq!(due(&renewal), None);
        place.put("key", &new.private_key_to_pem_pkcs8().unwrap());
        assert_eq!(due(&renewal), title("key", &place, "key"));
        assert!(captured::take().is_empty());
    }

    #[test]
    fn the_certificate_in_service_is_that_which_was_read() {
        let (place, _) = filled("read");
        let config = Config::of_text(&place.main_cf()).unwrap();
        let renewal = Renewal::prepare(&config).unwrap();
        let tls = server(&config);
        let old = fs::read(place.0.join("cert")).unwrap();
        place.put("cert", b"another");
        let renewal = renewal.serving(Some(&tls));
        assert_eq!(renewal.watched[0].pair.as_ref().unwrap().old, old);
    }

    #[test]
    fn it_can_be_turned_off() {
        let is_off = |main_cf: &str| Renewal::prepare(&Config::of_text(main_cf).unwrap()).is_none();
        assert!(!is_off(MAY));
        assert!(is_off(&format!("{MAY}smtpd_tls_hot_reload = no\n")));
        assert!(is_off("smtpd_tls_cert_file = /cert\n"));
    }

    #[test]
    fn without_certificates_there_is_nothing_to_watch() {
        assert!(prepare(&format!("{MAY}smtpd_tls_cert_file = none\n")).watched.is_empty());
    }
}
