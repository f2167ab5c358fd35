//! `static:value` gives the value for any key, `fail:reason` an error (DATABASE_README).

use super::{Failure, Keys, Spec, Table, TableError, source};

struct Static {
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Table for Static {
    fn name(&self) -> &[u8] {
        &self.name
    }

    fn keys(&self) -> Keys {
        Keys::Fixed
    }

    fn lookup(&self, _: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        Ok(Some(self.value.clone()))
    }
}

/// Opens `static:value` or `static:{ value }`.
pub(super) fn open_static(spec: &Spec<'_>) -> Result<Box<dyn Table>, Failure> {
    let mut value = spec.name;
    if value.starts_with(b"{") {
        value =
            source::unbrace(value).map_err(|error| fill!("bad static:name syntax: {}", error))?;
    }
    let value = spec.value(value)?.into_owned();
    Ok(Box::new(Static { name: spec.full_name(), value }))
}

struct Fail {
    name: Vec<u8>,
}

impl Table for Fail {
    fn name(&self) -> &[u8] {
        &self.name
    }

    fn keys(&self) -> Keys {
        Keys::Pattern
    }

    fn lookup(&self, _: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        Err(TableError::Retry)
    }
}

/// Opens `fail:reason`.
pub(super) fn open_fail(spec: &Spec<'_>) -> Result<Box<dyn Table>, Failure> {
    Ok(Box::new(Fail { name: spec.full_name() }))
}
