//! What is done with each key before, and with each value after a table sees it: case folding,
//! and the check for UTF-8 (smtputf8_enable).

use super::{Keys, Table, TableError};
use crate::text::fold::fold;

/// A table whose keys are folded or checked.
pub(crate) struct Folded {
    table: Box<dyn Table>,
    /// Compare without case.
    fold: bool,
    /// Keys and values must be UTF-8.
    utf8: bool,
}

impl Folded {
    pub(crate) fn new(table: Box<dyn Table>, fold: bool, utf8: bool) -> Self {
        Self { table, fold, utf8 }
    }

    fn lookup_folded(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        if self.fold { self.table.lookup(&fold(key, self.utf8)) } else { self.table.lookup(key) }
    }
}

const NOT_UTF8: &str = "malformed UTF-8 or invalid codepoint";

impl Table for Folded {
    fn name(&self) -> &[u8] {
        self.table.name()
    }

    fn keys(&self) -> Keys {
        self.table.keys()
    }

    fn changed(&self) -> bool {
        self.table.changed()
    }

    fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        if !self.utf8 {
            return self.lookup_folded(key);
        }
        if std::str::from_utf8(key).is_err() {
            // Such a key can't be in the table: no error.
            warning!("{}: non-UTF-8 key \"{}\": {}", self.name(), key, NOT_UTF8);
            return Ok(None);
        }
        let value = self.lookup_folded(key)?;
        match &value {
            Some(text) if std::str::from_utf8(text).is_err() => {
                let name = self.name();
                warning!("{}: key \"{}\": non-UTF-8 value \"{}\": {}", name, key, text, NOT_UTF8);
                Err(TableError::Config)
            }
            _ => Ok(value),
        }
    }
}
