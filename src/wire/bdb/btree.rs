//! Btree files: sorted keys. An inner page has a key and a page for each of its children, a leaf
//! has pairs of key and value.
//!
//! | item, at | inner page | leaf |
//! | --- | --- | --- |
//! | 0 | length, 16 bits | length |
//! | 2 | type | type; the high bit says that it was deleted |
//! | 3 | | data |
//! | 4 | the child's page | overflow: the first page |
//! | 8 | | overflow: the length |
//! | 12 | key, or such an overflow item | |
//!
//! The first key of an inner page counts as less than any.

use std::cmp::Ordering;

use super::{
    BTREE_INNER, BTREE_LEAF, Bdb, Block, Blocks, Broken, DUPLICATES_LEAF, Item, RECNO_INNER,
    RECNO_LEAF, piece,
};
use crate::wire::blocks::lower_bound;

/// Types of items.
const DATA: u8 = 1;
const DUPLICATES: u8 = 2;
const OVERFLOW: u8 = 3;
const DELETED: u8 = 0x80;

/// Flags of the file: records by number, several databases, compressed.
const OTHERS: u32 = 0x02 | 0x20 | 0x80;

impl<B: Blocks + ?Sized> Bdb<'_, B> {
    pub(super) fn check_btree(&self) -> Result<(), Broken> {
        if self.order.u32(&self.meta, 48)? & OTHERS != 0 {
            return Err(Broken::Format("records by number, several databases, or compressed"));
        }
        Ok(())
    }

    pub(super) fn btree_get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Broken> {
        let child = |page: &Block| {
            let count = self.count(page)?.checked_sub(1).ok_or(EMPTY)?;
            let less_or_equal = |index: usize| {
                let item = self.inner_item(page, index.saturating_add(1))?;
                Ok(self.compare(item, key)? != Ordering::Greater)
            };
            self.child(page, lower_bound(count, less_or_equal)?)
        };
        let root = self.order.u32(&self.meta, 88)?;
        let leaf = self.descend(root, child)?;
        if self.page_type(&leaf) != BTREE_LEAF {
            return Err(Broken::Format("not a leaf page"));
        }
        self.pair(&leaf, key)?.map(|value| self.bytes(value)).transpose()
    }

    /// Goes down to a leaf. Each page is lower than the one before: that ends.
    fn descend(
        &self,
        root: u32,
        child: impl Fn(&Block) -> Result<u32, Broken>,
    ) -> Result<Block, Broken> {
        let mut page = self.page(root)?;
        while matches!(self.page_type(&page), BTREE_INNER | RECNO_INNER) {
            let level = self.level(&page);
            page = self.page(child(&page)?)?;
            if self.level(&page) >= level {
                return Err(Broken::Format("a child is as high as its parent"));
            }
        }
        Ok(page)
    }

    /// The first value of `key` on a leaf.
    fn pair<'p>(&self, leaf: &'p [u8], key: &[u8]) -> Result<Option<Item<'p>>, Broken> {
        let pairs = self.count(leaf)? >> 1;
        let order = |pair: usize| {
            let (_, item) = self.leaf_item(leaf, pair.saturating_mul(2))?;
            self.compare(item, key)
        };
        let first = lower_bound(pairs, |pair| Ok(order(pair)? == Ordering::Less))?;
        for pair in first..pairs {
            if order(pair)? != Ordering::Equal {
                break;
            }
            let (deleted, value) =
                self.leaf_item(leaf, pair.saturating_mul(2).saturating_add(1))?;
            if !deleted {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The first of the values in a tree of duplicates.
    pub(super) fn first_value(&self, root: u32) -> Result<Vec<u8>, Broken> {
        let leaf = self.descend(root, |page| self.child(page, 0))?;
        if ![DUPLICATES_LEAF, RECNO_LEAF].contains(&self.page_type(&leaf)) {
            return Err(Broken::Format("not a leaf page of duplicates"));
        }
        for index in 0..self.count(&leaf)? {
            match self.leaf_item(&leaf, index)? {
                (true, _) => {}
                (_, Item::Tree(_)) => break,
                (_, item) => return self.bytes(item),
            }
        }
        Err(Broken::Format("no value among duplicates"))
    }

    /// The page of a child.
    fn child(&self, page: &[u8], index: usize) -> Result<u32, Broken> {
        let at = if self.page_type(page) == BTREE_INNER { 4 } else { 0 };
        self.order.u32(self.rest_from(page, index)?, at)
    }

    fn inner_item<'p>(&self, page: &'p [u8], index: usize) -> Result<Item<'p>, Broken> {
        let item = self.rest_from(page, index)?;
        let data = piece(item, 12, usize::from(self.order.u16(item, 0)?))?;
        match item.get(2).map(|kind| kind & !DELETED) {
            Some(DATA) => Ok(Item::Here(data)),
            Some(OVERFLOW) => self.overflow_item(data),
            _ => Err(Broken::Format("unknown type of item")),
        }
    }

    /// An item of a leaf, and whether it was deleted.
    fn leaf_item<'p>(&self, page: &'p [u8], index: usize) -> Result<(bool, Item<'p>), Broken> {
        let item = self.rest_from(page, index)?;
        let kind = item.get(2).copied().unwrap_or_default();
        let content = match kind & !DELETED {
            DATA => Item::Here(piece(item, 3, usize::from(self.order.u16(item, 0)?))?),
            OVERFLOW => self.overflow_item(item)?,
            DUPLICATES => Item::Tree(self.order.u32(item, 4)?),
            _ => return Err(Broken::Format("unknown type of item")),
        };
        Ok((kind & DELETED != 0, content))
    }

    /// How an item stands to `key`.
    fn compare(&self, item: Item<'_>, key: &[u8]) -> Result<Ordering, Broken> {
        match item {
            Item::Here(bytes) => Ok(bytes.cmp(key)),
            Item::Overflow { first, len } => {
                // One byte more than the key has is enough to tell.
                let len = (len as usize).min(key.len().saturating_add(1));
                Ok(self.overflow(first, len)?.as_slice().cmp(key))
            }
            Item::Tree(_) => Err(Broken::Format("unknown type of key")),
        }
    }
}

const EMPTY: Broken = Broken::Format("a page without children");
