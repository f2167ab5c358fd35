//! What a value in main.cf can be.

use std::time::Duration;

use super::parameters::Parameter;
use crate::log::Fatal;

/// A kind of value.
pub trait Kind {
    /// What it is in Rust.
    type Value;
}

macro_rules! kinds {
    ($( $(#[$doc:meta])* $kind:ident: $value:ty; )*) => { $(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $kind;
        impl Kind for $kind {
            type Value = $value;
        }
    )* };
}

kinds! {
    /// Text, expanded.
    Str: Vec<u8>;
    /// Text, not expanded when loaded.
    Raw: Vec<u8>;
    /// Number.
    Int: i32;
    /// Number whose default is a text to expand.
    NInt: i32;
    /// Large number.
    Long: i64;
    /// `yes` or `no`.
    Bool: bool;
    /// `yes` or `no` whose default is a text to expand.
    NBool: bool;
    /// Time with unit.
    Time: Duration;
}

/// Evaluates parameters.
#[derive(Debug)]
pub struct Loader<'a> {
    _names: &'a (),
}

impl Loader<'_> {
    /// Evaluates one parameter.
    pub fn load<K: Kind>(&mut self, row: &Parameter) -> Result<K::Value, Fatal> {
        Err(Fatal(fill!("not loaded: {}", row.name)))
    }
}
