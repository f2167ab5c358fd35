//! What stands in the place of a table that cannot be opened: each lookup fails and says why.

use super::{Keys, Table, TableError};

/// A table that is not there.
pub(crate) struct Surrogate {
    name: Vec<u8>,
    reason: Vec<u8>,
}

impl Surrogate {
    /// In the place of `type:name`, which is missing for `reason`.
    pub(crate) fn new(name: Vec<u8>, reason: Vec<u8>) -> Self {
        Self { name, reason }
    }
}

impl Table for Surrogate {
    fn name(&self) -> &[u8] {
        &self.name
    }

    fn keys(&self) -> Keys {
        Keys::Pattern
    }

    fn lookup(&self, _: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        warning!("{} is unavailable. {}", self.name, self.reason);
        Err(TableError::Retry)
    }
}
