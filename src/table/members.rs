//! Tables made of others: `unionmap:{type:name, …}` gives all values, `pipemap:{…}` looks up what
//! the table before gave; and `randmap:{value, …}`, which gives one of its values by chance.

use std::cell::Cell;

use super::{Failure, Handle, Keys, Spec, Table, TableError};
use crate::sys::random;
use crate::text::split::{self, COMMA_SPACE, words_braced};

/// The words of `{word, …}`; `None` where there are none. As Postfix: `balpar()`, `argv_splitq()`.
pub(super) fn words(name: &[u8]) -> Option<Vec<&[u8]>> {
    let end = split::closing(name).filter(|_| name.starts_with(b"{"))?;
    let inside = name.get(1..end).filter(|_| end + 1 == name.len())?;
    let words: Vec<_> = words_braced(inside, COMMA_SPACE).collect();
    (!words.is_empty()).then_some(words)
}

/// Why a table has no members.
pub(super) fn bad_syntax(kind: &str, name: &[u8], member: &str) -> Vec<u8> {
    fill!("bad syntax: \"{}:{}\"; need \"{}:{{}...}\"", kind, name, kind, member)
}

/// How keys work: as in the first of the tables.
fn keys(tables: &[Handle]) -> Keys {
    tables.first().map_or(Keys::Pattern, |table| table.keys())
}

struct Union {
    name: Vec<u8>,
    tables: Vec<Handle>,
}

/// `unionmap:` over open tables.
pub(super) fn union(name: Vec<u8>, tables: Vec<Handle>) -> Box<dyn Table> {
    Box::new(Union { name, tables })
}

impl Table for Union {
    fn name(&self) -> &[u8] {
        &self.name
    }

    fn keys(&self) -> Keys {
        keys(&self.tables)
    }

    /// The values of all tables that have the key, with commas between them.
    fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        let mut all = Vec::new();
        for table in &self.tables {
            let Some(value) = table.lookup(key)? else { continue };
            if !all.is_empty() {
                all.push(b',');
            }
            all.extend_from_slice(&value);
        }
        Ok((!all.is_empty()).then_some(all))
    }
}

struct Pipe {
    name: Vec<u8>,
    tables: Vec<Handle>,
}

/// `pipemap:` over open tables.
pub(super) fn pipe(name: Vec<u8>, tables: Vec<Handle>) -> Box<dyn Table> {
    Box::new(Pipe { name, tables })
}

impl Table for Pipe {
    fn name(&self) -> &[u8] {
        &self.name
    }

    fn keys(&self) -> Keys {
        keys(&self.tables)
    }

    /// What the last table has for what the one before has for … the key.
    fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        let mut value = key.to_vec();
        for table in &self.tables {
            match table.lookup(&value)? {
                Some(next) => value = next,
                None => return Ok(None),
            }
        }
        Ok(Some(value))
    }
}

struct Random {
    name: Vec<u8>,
    values: Vec<Vec<u8>>,
    state: Cell<u64>,
}

/// Opens `randmap:{value, …}`.
pub(super) fn open_random(spec: &Spec<'_>) -> Result<Box<dyn Table>, Failure> {
    let values = words(spec.name).ok_or_else(|| bad_syntax(spec.kind, spec.name, "value"))?;
    let values = values.into_iter().map(<[u8]>::to_vec).collect();
    Ok(Box::new(Random { name: spec.full_name(), values, state: Cell::new(random::seed()) }))
}

impl Table for Random {
    fn name(&self) -> &[u8] {
        &self.name
    }

    fn keys(&self) -> Keys {
        Keys::Pattern
    }

    fn lookup(&self, _: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        // Steele, Lea and Flood's generator: to share out work, not to keep a secret.
        let state = self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let at = (mixed ^ mixed >> 31) % self.values.len() as u64;
        Ok(self.values.get(at as usize).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::log::captured;
    use crate::table::{Opener, Request};

    fn open(spec: &str) -> Handle {
        captured::take();
        let mut opener = Opener::new(&Config::of_text("").unwrap());
        opener.open(spec.as_bytes(), Request::ACCESS).unwrap()
    }

    #[test]
    fn a_union_has_all_values() {
        let table = open("unionmap:{inline:{a=1, b=2}, static:x, {inline:{a=3}}}");
        // A member between braces would have to be a type of that name.
        assert_eq!(table.lookup(b"a"), Err(TableError::Retry));
        let table = open("unionmap:{inline:{a=1, b=2}, static:x inline:{a=3}}");
        assert_eq!(table.lookup(b"a"), Ok(Some(b"1,x,3".to_vec())));
        assert_eq!(table.lookup(b"c"), Ok(Some(b"x".to_vec())));
        assert_eq!(open("unionmap:{inline:{a=1}}").lookup(b"c"), Ok(None));
        assert_eq!(open("unionmap:{inline:{a=1} fail:x}").lookup(b"a"), Err(TableError::Retry));
        assert_eq!(table.keys(), Keys::Fixed);
    }

    #[test]
    fn a_pipe_looks_up_what_was_found() {
        let table =
            open("pipemap:{inline:{a=b, c=d, e=f}, inline:{b=2, d=y}, regexp:{{/^(.)/ $1!}}}");
        assert_eq!(table.lookup(b"A"), Ok(Some(b"2!".to_vec())));
        assert_eq!(table.lookup(b"e"), Ok(None));
        assert_eq!(table.lookup(b"b"), Ok(None));
        assert_eq!(open("pipemap:{inline:{a=b} fail:x}").lookup(b"a"), Err(TableError::Retry));
        assert_eq!(open("pipemap:{inline:{a=b} fail:x}").lookup(b"b"), Ok(None));
    }

    #[test]
    fn each_value_has_its_chance() {
        let table = open("randmap:{a, b, {c d}}");
        let mut seen = std::collections::BTreeMap::new();
        for _ in 0..3000 {
            *seen.entry(table.lookup(b"x").unwrap().unwrap()).or_insert(0) += 1;
        }
        assert!(seen.len() == 3 && seen.values().all(|count| *count > 800), "{seen:?}");
        assert_eq!(table.keys(), Keys::Pattern);
    }

    #[test]
    fn members_within_members_have_an_end() {
        let deep = format!("{}static:x{}", "unionmap:{".repeat(20_000), "}".repeat(20_000));
        assert_eq!(open(&deep).lookup(b"a"), Err(TableError::Retry));
        let deep = format!("{}static:x{}", "unionmap:{".repeat(50), "}".repeat(50));
        assert_eq!(open(&deep).lookup(b"a"), Ok(Some(b"x".to_vec())));
    }
}
