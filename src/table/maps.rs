//! Several tables, asked in turn: `texthash:/file, pcre:/file` (postconf(5), many parameters).

use super::{Handle, Keys, Opener, Request, TableError};
use crate::log::Fatal;
use crate::text::split::{COMMA_SPACE, words_braced};

/// The tables of a parameter.
pub struct Maps {
    title: Vec<u8>,
    tables: Vec<Handle>,
}

/// A value, and the table that had it.
pub struct Found {
    /// The value, not empty.
    pub value: Vec<u8>,
    /// The table.
    pub table: Handle,
}

/// How much of a value is logged with `-v`.
const MOST_SHOWN: usize = 100;

impl Maps {
    /// Opens the tables of `list`. `title` is what logs call them: the parameter's name.
    pub fn open(
        opener: &mut Opener,
        title: &(impl AsRef<[u8]> + ?Sized),
        list: &[u8],
        request: Request,
    ) -> Result<Self, Fatal> {
        let open = |spec| opener.open(spec, request);
        let tables = words_braced(list, COMMA_SPACE).map(open).collect::<Result<_, _>>()?;
        Ok(Self { title: title.as_ref().to_vec(), tables })
    }

    /// Tables that are open, for tests.
    #[cfg(test)]
    pub(crate) fn of_tables(tables: Vec<Handle>) -> Self {
        Self { title: b"test".to_vec(), tables }
    }

    /// Whether there is no table.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The value of `key` in the first table that has it. As Postfix: `maps_find()`: an empty key
    /// is in no table, an empty value is the table's fault.
    pub fn find(&self, key: &[u8]) -> Result<Option<Found>, TableError> {
        self.find_in(key, |_| true)
    }

    /// The same for a key that is a part of the one in question: tables of patterns aren't asked.
    pub fn find_part(&self, key: &[u8]) -> Result<Option<Found>, TableError> {
        self.find_in(key, |table| table.keys() == Keys::Fixed)
    }

    fn find_in(
        &self,
        key: &[u8],
        may_ask: impl Fn(&Handle) -> bool,
    ) -> Result<Option<Found>, TableError> {
        if key.is_empty() {
            return Ok(None);
        }
        for table in self.tables.iter().filter(|table| may_ask(table)) {
            match table.lookup(key) {
                Ok(None) => {}
                Ok(Some(value)) if value.is_empty() => {
                    let title = &self.title;
                    warning!("{} lookup of {} returns an empty string result", title, key);
                    warning!("{} should return NO RESULT in case of NOT FOUND", title);
                    return Err(TableError::Config);
                }
                Ok(Some(value)) => {
                    let shown = value.get(..MOST_SHOWN).unwrap_or(&value);
                    detail!("maps_find: {}: {}: {} = {}", self.title, table.name(), key, shown);
                    return Ok(Some(Found { value, table: Handle::clone(table) }));
                }
                Err(error) => {
                    warning!("{} lookup error for \"{}\"", table.name(), key);
                    return Err(error);
                }
            }
        }
        detail!("maps_find: {}: {}: not found", self.title, key);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::log::captured;

    fn maps(list: &str) -> Maps {
        let mut opener = Opener::new(&Config::of_text("").unwrap());
        let maps = Maps::open(&mut opener, "relay_clientcerts", list.as_bytes(), Request::ACCESS);
        captured::take();
        maps.unwrap()
    }

    fn value(maps: &Maps, key: &[u8]) -> Result<Option<String>, TableError> {
        let found = maps.find(key)?;
        Ok(found.map(|found| String::from_utf8(found.value).unwrap()))
    }

    #[test]
    fn the_first_table_that_has_the_key_counts() {
        let maps = maps("inline:{a=1, b=2}, inline:{{a = 3}, {c = 4 5}} static:6");
        assert_eq!(value(&maps, b"a"), Ok(Some("1".into())));
        assert_eq!(value(&maps, b"C"), Ok(Some("4 5".into())));
        assert_eq!(value(&maps, b"d"), Ok(Some("6".into())));
        assert_eq!(value(&maps, b""), Ok(None));
        assert_eq!(maps.find(b"d").unwrap().unwrap().table.name(), b"static:6");
        assert!(!maps.is_empty() && super::tests::maps("").is_empty());
    }

    #[test]
    fn parts_are_not_asked_in_tables_of_patterns() {
        let maps = maps("regexp:{{/./ x}}");
        assert!(maps.find(b"a").unwrap().is_some());
        assert!(maps.find_part(b"a").unwrap().is_none());
    }

    #[test]
    fn an_empty_value_is_an_error() {
        assert_eq!(value(&maps("inline:{a=} static:x"), b"a"), Err(TableError::Config));
        assert_eq!(
            captured::take(),
            [
                "warning: relay_clientcerts lookup of a returns an empty string result",
                "warning: relay_clientcerts should return NO RESULT in case of NOT FOUND"
            ]
        );
    }

    #[test]
    fn an_error_ends_the_search() {
        assert_eq!(value(&maps("inline:{b=1} fail:x static:y"), b"a"), Err(TableError::Retry));
        assert_eq!(captured::take(), ["warning: fail:x lookup error for \"a\""]);
    }
}
