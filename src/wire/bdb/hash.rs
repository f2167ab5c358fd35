//! Hash files: each key belongs to a bucket, a chain of pages.
//!
//! | page 0, at | | |
//! | --- | --- | --- |
//! | 72 | last bucket | |
//! | 76, 80 | masks | the first gives the bucket of a hash, the second where that is too high |
//! | 92 | the hash of a text known to all | tells one hash function from another |
//! | 96 | 32 numbers | what to add to a bucket to get its page, by the length of its number |
//!
//! Items come in pairs, key and value; the length of an item is where the one before begins. Its
//! first byte is the type.

use super::{Bdb, Blocks, Broken, HASH, HASH_UNSORTED, Item, UNUSED, piece};

/// Types of items.
const DATA: u8 = 1;
const DUPLICATES: u8 = 2;
const OFF_PAGE: u8 = 3;
const OFF_PAGE_DUPLICATES: u8 = 4;

/// A flag of the file: it holds several databases, each with a name.
const SUB_DATABASES: u32 = 2;
/// The text whose hash is known.
const KNOWN_TEXT: &[u8] = b"%$sniglet^&\0";

impl<B: Blocks + ?Sized> Bdb<'_, B> {
    pub(super) fn check_hash(&self) -> Result<(), Broken> {
        if self.order.u32(&self.meta, 48)? & SUB_DATABASES != 0 {
            return Err(Broken::Format("several databases in one file"));
        }
        if self.order.u32(&self.meta, 92)? != hash(KNOWN_TEXT) {
            return Err(Broken::Format("incompatible hash function"));
        }
        Ok(())
    }

    pub(super) fn hash_get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Broken> {
        let mut number = self.bucket_page(hash(key))?;
        loop {
            let page = self.page(number)?;
            match self.page_type(&page) {
                HASH | HASH_UNSORTED => {}
                UNUSED => return Ok(None),
                _ => return Err(Broken::Format("not a page of a bucket")),
            }
            if let Some(value) = self.find(&page, key)? {
                return self.bytes(value).map(Some);
            }
            number = self.order.u32(&page, 16)?;
            if number == 0 {
                return Ok(None);
            }
        }
    }

    /// The first page of the bucket of a hash.
    fn bucket_page(&self, hash: u32) -> Result<u32, Broken> {
        let number = |at| self.order.u32(&self.meta, at);
        let mut bucket = hash & number(76)?;
        if bucket > number(72)? {
            bucket &= number(80)?;
        }
        // The smallest power of two above the bucket's number.
        let power = u32::BITS.saturating_sub(bucket.leading_zeros()) as usize;
        if power > 31 {
            return Err(Broken::Format("no such bucket"));
        }
        let spare = number(power.saturating_mul(4).saturating_add(96))?;
        bucket.checked_add(spare).ok_or(Broken::Format("no such page"))
    }

    /// The value of `key` if it is on the page.
    fn find<'p>(&self, page: &'p [u8], key: &[u8]) -> Result<Option<Item<'p>>, Broken> {
        let count = self.count(page)?;
        let mut end = self.page_size;
        for index in (0..count).step_by(2) {
            let start = self.offset(page, index)?;
            let value = index.saturating_add(1);
            let value_start = self.offset(page, value)?;
            if self.is_key(between(page, start, end)?, key)? {
                return self.hash_item(between(page, value_start, start)?).map(Some);
            }
            end = value_start;
        }
        Ok(None)
    }

    fn is_key(&self, item: &[u8], key: &[u8]) -> Result<bool, Broken> {
        match self.hash_item(item)? {
            Item::Here(bytes) => Ok(bytes == key),
            Item::Overflow { len, .. } if len as usize != key.len() => Ok(false),
            item @ Item::Overflow { .. } => Ok(self.bytes(item)? == key),
            Item::Tree(_) => Err(Broken::Format("unknown type of key")),
        }
    }

    fn hash_item<'p>(&self, item: &'p [u8]) -> Result<Item<'p>, Broken> {
        match item.split_first() {
            Some((&DATA, data)) => Ok(Item::Here(data)),
            Some((&OFF_PAGE, _)) => self.overflow_item(item),
            Some((&DUPLICATES, data)) => {
                // Each with its length before and behind.
                let len = self.order.u16(data, 0)?;
                Ok(Item::Here(piece(data, 2, usize::from(len))?))
            }
            Some((&OFF_PAGE_DUPLICATES, _)) => Ok(Item::Tree(self.order.u32(item, 4)?)),
            _ => Err(Broken::Format("unknown type of item")),
        }
    }
}

fn between(page: &[u8], start: usize, end: usize) -> Result<&[u8], Broken> {
    page.get(start..end).ok_or(Broken::Format("item outside its page"))
}

/// Fowler, Noll and Vo's hash, from zero.
fn hash(key: &[u8]) -> u32 {
    key.iter().fold(0, |hash: u32, byte| hash.wrapping_mul(16_777_619) ^ u32::from(*byte))
}
