//! Tables without Berkeley DB, from Postfix 3.11 on (non_bdb_migration_level): a `hash` or `btree` table
//! is opened as one of another type.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::Handle;
use crate::config::Config;
use crate::ipc::reindex::Reindexer;

/// Whether tables of this type are not opened themselves.
pub(super) fn is_legacy(kind: &[u8]) -> bool {
    matches!(kind, b"hash" | b"btree")
}

/// What main.cf says of it.
pub(super) struct Migration {
    /// non_bdb_custom_mapping.
    pub(super) mapping: Vec<u8>,
    /// default_database_type
    hash: Vec<u8>,
    /// default_cache_db_type
    btree: Vec<u8>,
    logs: bool,
    /// Makes files that are missing.
    reindexer: Option<Reindexer>,
}

impl Migration {
    /// `None`: tables are what they are.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let reindexes = match &config.non_bdb_migration_level[..] {
            b"enable-redirect" => false,
            b"enable-reindex" => true,
            _ => return None,
        };
        Some(Self {
            mapping: config.non_bdb_custom_mapping.clone(),
            hash: config.default_database_type.clone(),
            btree: config.default_cache_db_type.clone(),
            logs: config.non_bdb_migration_log_redirect,
            reindexer: reindexes.then(|| Reindexer::new(config)),
        })
    }

    /// The type as which `kind:name` is to be opened, `kind` being a legacy type; or why there is none.
    /// `custom` is the open table of non_bdb_custom_mapping, `known` says which types there are.
    pub(super) fn redirect(
        &self,
        (kind, name): (&[u8], &[u8]),
        custom: Option<&Handle>,
        known: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>, Vec<u8>> {
        let new = match self.target((kind, name), custom) {
            Ok(new) if !new.iter().all(u8::is_ascii_alphanumeric) => {
                Err(fill!("bad non-legacy database type syntax: '{}'", new))
            }
            Ok(new) if is_legacy(&new) => {
                Err(fill!("mapping from '{}' to legacy type '{}'", kind, new))
            }
            Ok(new) if !known(&new) => {
                Err(fill!("mapping to unsupported database type: '{}'", new))
            }
            other => other,
        };
        let new = new.map_err(|why| {
            let full = fill!("{}:{}", kind, name);
            warning!("non-Berkeley-DB type mapping lookup error for '{}': {}", full, why);
            fill!("Berkeley DB type mapping lookup error for '{}': {}", full, why)
        })?;
        if self.logs {
            info!("redirecting {}:{} to {}:{}", kind, name, new, name);
        }
        self.make(kind, name, &new)?;
        Ok(new)
    }

    /// As non_bdb_custom_mapping has it for this table, then for its type; else the default.
    fn target(
        &self,
        (kind, name): (&[u8], &[u8]),
        custom: Option<&Handle>,
    ) -> Result<Vec<u8>, Vec<u8>> {
        let default = if kind == b"hash" { &self.hash } else { &self.btree };
        let Some(custom) = custom else { return Ok(default.clone()) };
        let full = fill!("{}:{}", kind, name);
        let found = match custom.lookup(&full) {
            Ok(None) => custom.lookup(kind),
            found => found,
        };
        match found {
            Ok(found) => Ok(found.unwrap_or_else(|| default.clone())),
            Err(_) => Err(fill!("{} lookup error for '{}'", custom.name(), full)),
        }
    }

    /// Lets the file of the new type be made where it is not there yet.
    fn make(&self, kind: &[u8], name: &[u8], new: &[u8]) -> Result<(), Vec<u8>> {
        let Some(reindexer) = &self.reindexer else { return Ok(()) };
        let path = match new {
            b"cdb" | b"lmdb" => fill!("{}.{}", name, new),
            _ => {
                let type_of = "non-Berkeley-DB mapped type";
                let why = fill!("{} '{}' has no known pathname suffix", type_of, new);
                warning!("{}", why);
                return Err(why);
            }
        };
        match fs::metadata(Path::new(OsStr::from_bytes(&path))) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            _ => return Ok(()),
        }
        reindexer.reindex(kind, name).map_err(|why| {
            let why = fill!("Non-Berkeley-DB migration error: {}", why);
            warning!("{}", why);
            why
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::log::captured;
    use crate::sys::pause::counted;
    use crate::table::{Opener, Request, TableError};

    /// What opening `spec` says; the table's name, or why it is not there.
    fn open(main_cf: &str, spec: &str) -> (Vec<String>, String) {
        open_as("3.11", main_cf, spec)
    }

    fn open_as(release: &str, main_cf: &str, spec: &str) -> (Vec<String>, String) {
        captured::take();
        counted::start();
        let text = format!("smtpd_rs_dialect = {release}\n{main_cf}");
        let mut opener = Opener::new(&Config::of_text(&text).unwrap());
        let table = opener.open(spec.as_bytes(), Request::ACCESS).unwrap();
        let said = captured::take();
        let name = match table.lookup(b"key") {
            Err(TableError::Retry) => captured::take().join("|"),
            _ => String::from_utf8_lossy(table.name()).into_owned(),
        };
        (said, name)
    }

    const REDIRECT: &str = "non_bdb_migration_level = enable-redirect\n";

    #[test]
    fn a_legacy_table_is_one_of_another_type() {
        let redirect = format!("{REDIRECT}default_database_type = static\n");
        let redirect = format!("{redirect}default_cache_db_type = inline\n");
        let (said, name) = open(&redirect, "hash:x");
        assert_eq!((said, &*name), (vec!["redirecting hash:x to static:x".into()], "static:x"));
        let (said, _) = open(&redirect, "btree:{a=b}");
        assert_eq!(said, ["redirecting btree:{a=b} to inline:{a=b}"]);
        let silent = format!("{redirect}non_bdb_migration_log_redirect = no\n");
        assert_eq!(open(&silent, "hash:x"), (vec![], "static:x".to_owned()));
        let (said, _) = open("default_database_type = static\n", "hash:/nowhere");
        assert_eq!(said, ["error: open database /nowhere.db: No such file or directory"]);
        let (said, _) = open_as("3.10", &redirect, "hash:/nowhere");
        assert_eq!(said, ["error: open database /nowhere.db: No such file or directory"]);
    }

    #[test]
    fn a_mapping_of_ones_own_comes_first() {
        let mapping =
            "non_bdb_custom_mapping = inline:{{hash:x=static}, {hash:y=bt-ree}, {hash=btree}}\n";
        let mapping = format!("{REDIRECT}{mapping}default_cache_db_type = none\n");
        let of = |spec| open(&mapping, spec).0.remove(0);
        assert_eq!(of("hash:x"), "redirecting hash:x to static:x");
        let warned = "warning: non-Berkeley-DB type mapping lookup error for";
        assert_eq!(
            of("hash:y"),
            format!("{warned} 'hash:y': bad non-legacy database type syntax: 'bt-ree'")
        );
        assert_eq!(
            of("hash:z"),
            format!("{warned} 'hash:z': mapping from 'hash' to legacy type 'btree'")
        );
        assert_eq!(
            of("btree:z"),
            format!("{warned} 'btree:z': mapping to unsupported database type: 'none'")
        );
        let looped = format!("{REDIRECT}non_bdb_custom_mapping = hash:/map\n");
        let (_, why) = open(&looped, "btree:z");
        assert_eq!(
            why,
            "warning: btree:z is unavailable. Berkeley DB type mapping lookup error for 'btree:z': \
             hash:/map lookup error for 'btree:z'"
        );
    }

    #[test]
    fn a_file_that_is_missing_is_asked_for() {
        let reindex = "non_bdb_migration_level = enable-reindex\ndefault_database_type = cdb\n\
                       non_bdb_migration_service_name = none\n";
        let (said, why) = open(reindex, "hash:/nowhere/x");
        assert_eq!(said[0], "redirecting hash:/nowhere/x to cdb:/nowhere/x");
        assert_eq!(
            why,
            "warning: hash:/nowhere/x is unavailable. Non-Berkeley-DB migration error: \
             connection to private/none service: No such file or directory"
        );
    }

    #[test]
    fn a_level_that_is_none_ends_the_process() {
        let text = "smtpd_rs_dialect = 3.11\nnon_bdb_migration_level = some\n";
        let fatal = Config::of_text(text).err();
        let why = "invalid non-Berkeley-DB migration level: 'some'";
        assert_eq!(fatal, Some(crate::log::Fatal(why.into())));
    }
}
