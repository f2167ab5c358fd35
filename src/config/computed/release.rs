//! The release that we speak as, and what the installed Postfix was built with.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::super::dialect::{Change, GROUPS_OF_OPENSSL, OPENSSL_3_5, Release};
use super::super::installed::{self, Installed};
use super::super::main_cf::Dictionary;
use super::Facts;
use crate::log::Fatal;
use crate::sys::late_libraries::{load_openssl, openssl_is_there};

/// Paths and names that Postfix has compiled in, by distribution.
pub(super) const OF_THE_BUILD: &[&str] = &[
    "command_directory",
    "data_directory",
    "default_database_type",
    "meta_directory",
    "queue_directory",
    "shlib_directory",
];

impl Facts<'_> {
    /// The Postfix that is installed.
    pub(super) fn installed(&mut self, dictionary: &Dictionary) -> Result<&Installed, Fatal> {
        if self.installed.is_none() {
            self.installed = Some(match self.imagined {
                true => Installed::default(),
                false => Installed::find(dictionary.evaluated(b"daemon_directory")?),
            });
        }
        Ok(self.installed.get_or_insert_default())
    }

    /// The release that we speak as: that of smtpd_rs_dialect, or the installed one.
    pub(super) fn choose_dialect(
        &mut self,
        dialect: &[u8],
        dictionary: &Dictionary,
    ) -> Result<(), Fatal> {
        if !dialect.is_empty() {
            let wrong = || {
                let file = self.file();
                fatal!("{}: parameter smtpd_rs_dialect: bad parameter value: {}", file, dialect)
            };
            self.release = Release::parse(dialect).ok_or_else(wrong)?;
            return Ok(());
        }
        let installed = self.installed(dictionary)?.version.clone();
        let told = dictionary.is_set(b"mail_version");
        if installed.is_none() && !told && !self.imagined {
            warning!(
                "found no Postfix to speak as: daemon_directory has no master(8); using {} \
                 (smtpd_rs_dialect names another release)",
                self.release.to_string()
            );
        }
        let version = installed.unwrap_or_else(|| self.noted("mail_version").to_vec());
        self.release = Release::parse(&version).unwrap_or(self.release);
        Ok(())
    }

    /// The same, of values that are not loaded.
    pub(in crate::config) fn choose_release(
        &mut self,
        dictionary: &Dictionary,
    ) -> Result<(), Fatal> {
        let dialect = dictionary.evaluated(b"smtpd_rs_dialect")?.unwrap_or_default();
        self.choose_dialect(&dialect, dictionary)
    }

    /// What Postfix was built with. It is looked up only for whom it matters to: smtpd itself
    /// needs none of these values but as parts of others.
    pub(super) fn built_with(
        &mut self,
        name: &str,
        dictionary: &Dictionary,
    ) -> Result<Option<Vec<u8>>, Fatal> {
        let matters = match name {
            "default_database_type" => {
                self.release.does(Change::DatabaseTypeOfAliases)
                    && !dictionary.is_set(b"alias_maps")
                    && !dictionary.is_set(b"local_recipient_maps")
            }
            _ => false,
        };
        if self.imagined || !(self.thorough || matters || dictionary.mentions(name)) {
            return Ok(None);
        }
        if self.makedefs.is_none() {
            let directory = dictionary.evaluated(b"meta_directory")?;
            let directory = directory.unwrap_or_else(|| b"/etc/postfix".to_vec());
            let path = fill!("{}/makedefs.out", directory);
            let text = crate::sys::file::read(OsStr::from_bytes(&path));
            self.makedefs = Some(text.unwrap_or_default());
        }
        let makedefs = self.makedefs.as_deref().unwrap_or_default();
        if makedefs.is_empty() { Ok(None) } else { Ok(installed::built_with(makedefs, name)) }
    }

    /// What Postfix has for groups of key exchange where its OpenSSL is 3.5 or newer. The daemon loads
    /// OpenSSL later, and chooses then (`tls/groups.rs`): here it is taken for a new one.
    pub(super) fn groups_of_openssl(&self, name: &str) -> Option<Vec<u8>> {
        if !self.release.does(Change::GroupsOfOpenSsl) {
            return None;
        }
        let known = if self.thorough { load_openssl().is_ok() } else { openssl_is_there() };
        if known && openssl::version::number() < OPENSSL_3_5 {
            return None;
        }
        let [curves, groups] = GROUPS_OF_OPENSSL;
        let default = if name == "tls_eecdh_auto_curves" { curves } else { groups };
        Some(default.as_bytes().to_vec())
    }
}
