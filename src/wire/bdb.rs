//! Berkeley DB files, as postmap(1) writes them for `hash:` and `btree:` tables. Only reading.
//!
//! A file is pages of one size. Page 0 says which kind of file it is and where to begin; its
//! numbers, and all others, have the byte order of the machine that wrote the file.
//!
//! | page 0, at | | |
//! | --- | --- | --- |
//! | 12, 16 | magic, version | 0x61561, 7 to 9: hash; 0x53162, 8 and 9: btree |
//! | 20 | page size | a power of two, 512 to 65536 |
//! | 24, 25, 26 | encryption, page type, flags | |
//! | 32, 36 | last page, partitions | |
//! | 48 | flags of the kind | |
//! | 72 to 223 | hash: see [`hash`] | |
//! | 88 | btree: the root page | |
//!
//! Any other page has a head of 26 bytes (with checksums: 32), then the offsets of its items, 16
//! bits each; the items fill the page from its end.
//!
//! | at | |
//! | --- | --- |
//! | 8, 16 | the number of this page, and of the one that goes on; 0: none |
//! | 20, 22 | how many items; where they begin, in overflow pages the length of the data |
//! | 24, 25 | level in a tree (leaves are 1), page type |
//!
//! What does not fit on a page stands in a chain of overflow pages. Source: Berkeley DB 5.3,
//! `db_page.h`, `db_meta.c`, `db_overflow.c`; the formats of 4.2 and later are alike.

mod btree;
mod hash;
#[cfg(test)]
mod tests;

use std::cell::Cell;

use super::blocks::{Block, Blocks, Broken, Order, piece};

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Keys in buckets.
    Hash,
    /// Keys in a tree, sorted.
    Btree,
}

/// The length of page 0 as far as it is used.
const META: usize = 512;
/// Keys on overflow pages may be read more than once in a lookup.
const SPARE_READS: u64 = 256;
const HASH_MAGIC: u32 = 0x06_1561;
const BTREE_MAGIC: u32 = 0x05_3162;
/// A flag of page 0: each page has a checksum. It is not checked.
const CHECKSUMS: u8 = 1;

/// Types of pages.
const UNUSED: u8 = 0;
const HASH_UNSORTED: u8 = 2;
const BTREE_INNER: u8 = 3;
const RECNO_INNER: u8 = 4;
const BTREE_LEAF: u8 = 5;
const RECNO_LEAF: u8 = 6;
const OVERFLOW: u8 = 7;
const HASH_META: u8 = 8;
const BTREE_META: u8 = 9;
const DUPLICATES_LEAF: u8 = 12;
const HASH: u8 = 13;

/// An open file.
pub struct Bdb<'a, B: ?Sized> {
    blocks: &'a B,
    kind: Kind,
    order: Order,
    page_size: usize,
    last_page: u32,
    /// Where the offsets of the items begin.
    head: usize,
    /// Page 0.
    meta: Block,
    /// How many pages this lookup may still read: so chains that go round have an end.
    left: Cell<u64>,
}

/// What an item holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item<'p> {
    Here(&'p [u8]),
    /// In a chain of overflow pages.
    Overflow {
        first: u32,
        len: u32,
    },
    /// In a tree of values of the same key.
    Tree(u32),
}

impl<'a, B: Blocks + ?Sized> Bdb<'a, B> {
    /// Reads page 0. A file of another kind is refused.
    pub fn open(blocks: &'a B, kind: Kind) -> Result<Self, Broken> {
        let meta = blocks.read(0, META)?;
        let order = order(&meta, kind)?;
        let byte = |at: usize| meta.get(at).copied().unwrap_or_default();
        let page_size = order.u32(&meta, 20)? as usize;
        if !page_size.is_power_of_two() || !(512..=65536).contains(&page_size) {
            return Err(Broken::Format("no such page size"));
        }
        if byte(24) != 0 {
            return Err(Broken::Format("encrypted"));
        }
        if order.u32(&meta, 36)? != 0 {
            return Err(Broken::Format("in several files"));
        }
        let head = if byte(26) & CHECKSUMS == 0 { 26 } else { 32 };
        let last_page = order.u32(&meta, 32)?;
        let left = Cell::new(0);
        let db = Self { blocks, kind, order, page_size, last_page, head, meta, left };
        match kind {
            Kind::Hash => db.check_hash()?,
            Kind::Btree => db.check_btree()?,
        }
        Ok(db)
    }

    /// The value of `key`; where there are several, the first.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Broken> {
        let pages = self.blocks.len() >> self.page_size.trailing_zeros();
        self.left.set(pages.saturating_add(SPARE_READS));
        match self.kind {
            Kind::Hash => self.hash_get(key),
            Kind::Btree => self.btree_get(key),
        }
    }

    /// A page that is used.
    fn page(&self, number: u32) -> Result<Block, Broken> {
        if number == 0 || number > self.last_page {
            return Err(Broken::Format("no such page"));
        }
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or(Broken::Format("pages without end"))?);
        let page = self.blocks.read(self.page_at(number), self.page_size)?;
        // A page of zeros was set aside, and never used.
        let own = self.order.u32(&page, 8)?;
        if own == number || (own == 0 && self.page_type(&page) == UNUSED) {
            return Ok(page);
        }
        Err(Broken::Format("page with the number of another"))
    }

    fn page_at(&self, number: u32) -> u64 {
        u64::from(number).saturating_mul(self.page_size as u64)
    }

    fn page_type(&self, page: &[u8]) -> u8 {
        page.get(25).copied().unwrap_or_default()
    }

    fn level(&self, page: &[u8]) -> u8 {
        page.get(24).copied().unwrap_or_default()
    }

    /// How many items a page has.
    fn count(&self, page: &[u8]) -> Result<usize, Broken> {
        Ok(usize::from(self.order.u16(page, 20)?))
    }

    /// Where an item of a page begins.
    fn offset(&self, page: &[u8], index: usize) -> Result<usize, Broken> {
        let at = index.saturating_mul(2).saturating_add(self.head);
        Ok(usize::from(self.order.u16(page, at)?))
    }

    /// The length of an item is not known: all that may belong to it.
    fn rest_from<'p>(&self, page: &'p [u8], index: usize) -> Result<&'p [u8], Broken> {
        let rest = page.get(self.offset(page, index)?..);
        rest.ok_or(Broken::Format("item outside its page"))
    }

    /// An item that says where its bytes are: the first overflow page at 4, the length at 8.
    fn overflow_item<'p>(&self, item: &[u8]) -> Result<Item<'p>, Broken> {
        Ok(Item::Overflow { first: self.order.u32(item, 4)?, len: self.order.u32(item, 8)? })
    }

    /// The bytes of an item.
    fn bytes(&self, item: Item<'_>) -> Result<Vec<u8>, Broken> {
        match item {
            Item::Here(bytes) => Ok(bytes.to_vec()),
            Item::Overflow { first, len } => self.overflow(first, len as usize),
            Item::Tree(root) => self.first_value(root),
        }
    }

    /// The first `len` bytes of a chain of overflow pages.
    fn overflow(&self, first: u32, len: usize) -> Result<Vec<u8>, Broken> {
        if len as u64 > self.blocks.len() {
            return Err(Broken::Format("item longer than the file"));
        }
        let mut bytes = Vec::new();
        let mut number = first;
        loop {
            let page = self.page(number)?;
            if self.page_type(&page) != OVERFLOW {
                return Err(Broken::Format("not an overflow page"));
            }
            let data = piece(&page, self.head, usize::from(self.order.u16(&page, 22)?))?;
            let missing = len.saturating_sub(bytes.len());
            bytes.extend_from_slice(data.get(..missing).unwrap_or(data));
            if bytes.len() == len {
                return Ok(bytes);
            }
            number = self.order.u32(&page, 16)?;
        }
    }
}

/// The byte order of a file that is of this kind.
fn order(meta: &[u8], kind: Kind) -> Result<Order, Broken> {
    let (magic, page_type, versions) = match kind {
        Kind::Hash => (HASH_MAGIC, HASH_META, 7..=9),
        Kind::Btree => (BTREE_MAGIC, BTREE_META, 8..=9),
    };
    let mut orders = [Order::Little, Order::Big].into_iter();
    let order = orders.find(|order| order.u32(meta, 12).is_ok_and(|found| found == magic));
    let order = order.ok_or(Broken::Format("unexpected file type or format"))?;
    if !versions.contains(&order.u32(meta, 16)?) {
        return Err(Broken::Format("unsupported version"));
    }
    if meta.get(25) != Some(&page_type) {
        return Err(Broken::Format("unexpected file type or format"));
    }
    Ok(order)
}
