//! LMDB files, as postmap(1) writes them for `lmdb:` tables. Only reading; 64-bit systems only.
//!
//! A file is pages of one size. Pages 0 and 1 describe the tree of keys; the one with the higher
//! transaction number counts, and a writer replaces the other, after all pages of the new tree
//! are written. Pages of the tree that counts stay as they are until the next but one commit.
//!
//! | page 0 or 1, at | | | any page, at | |
//! | --- | --- | --- | --- | --- |
//! | 16, 20 | magic, version | | 0 | its number, 64 bits |
//! | 40 | page size | | 10 | flags: inner, leaf, overflow |
//! | 92, 94 | flags and depth of the tree | | 12 | where the offsets end |
//! | 128 | the root page, all ones: empty | | 16 | offsets of items, 16 bits each |
//! | 136, 144 | last page, transaction | | | |
//!
//! | item, at | inner page | leaf |
//! | --- | --- | --- |
//! | 0 | the child, low 32 bits | length of the value |
//! | 4 | its high 16 bits | flags |
//! | 6 | length of the key | length of the key |
//! | 8 | key | key, then the value, or the first of the pages that it fills |
//!
//! The first key of an inner page counts as less than any. Source: LMDB 0.9, `mdb.c`.

use std::cmp::Ordering;

use super::blocks::{Block, Blocks, Broken, Order, lower_bound, piece};

const MAGIC: u32 = 0xbeef_c0de;
/// The length of page 0 and 1 as far as it is used.
const META: usize = 152;
/// The length of what each page begins with.
const HEAD: usize = 16;
/// No more than this many levels.
const DEEPEST: u16 = 32;
/// How often we try to read page 0 and 1 while somebody writes them.
const TRIES: usize = 100;

/// Flags of pages.
const INNER: u16 = 1;
const LEAF: u16 = 2;
const OVERFLOW: u16 = 4;
const KINDS: u16 = 0x2f;

/// Flags of the tree: keys that are sorted in another way, several values a key.
const OTHERS: u16 = 0x02 | 0x04 | 0x08;

/// Flags of items in leaves.
const BIG: u16 = 1;

const INVALID: Broken = Broken::Format("MDB_INVALID: File is not an LMDB file");
const MISMATCH: Broken =
    Broken::Format("MDB_VERSION_MISMATCH: Database environment version mismatch");
const INCOMPATIBLE: Broken =
    Broken::Format("MDB_INCOMPATIBLE: Operation and DB incompatible, or DB flags changed");
const CORRUPTED: Broken = Broken::Format("MDB_CORRUPTED: Located page was wrong type");
const NOT_FOUND: Broken = Broken::Format("MDB_PAGE_NOTFOUND: Requested page not found");

/// A tree of keys as it was when it was opened.
pub struct Lmdb<'a, B: ?Sized> {
    blocks: &'a B,
    order: Order,
    page_size: usize,
    depth: u16,
    root: u64,
    last_page: u64,
    transaction: u64,
}

impl<'a, B: Blocks + ?Sized> Lmdb<'a, B> {
    /// Reads pages 0 and 1. Where they change meanwhile, they are read again.
    pub fn open(blocks: &'a B) -> Result<Self, Broken> {
        for _ in 0..TRIES {
            let first = read(blocks, 0)?;
            let first = (Self::of_meta(blocks, &first)?, 0, first);
            let at = first.0.page_size as u64;
            let second = read(blocks, at)?;
            let second = (Self::of_meta(blocks, &second)?, at, second);
            let newer = second.0.transaction > first.0.transaction;
            let (tree, at, meta) = if newer { second } else { first };
            if read(blocks, at)? == meta {
                return Ok(tree);
            }
        }
        Err(Broken::Format("written all the time"))
    }

    fn of_meta(blocks: &'a B, meta: &[u8]) -> Result<Self, Broken> {
        let mut orders = [Order::Little, Order::Big].into_iter();
        let order = orders.find(|order| order.u32(meta, 16).is_ok_and(|found| found == MAGIC));
        let order = order.ok_or(INVALID)?;
        if order.u32(meta, 20)? != 1 {
            return Err(MISMATCH);
        }
        let page_size = order.u32(meta, 40)? as usize;
        if !page_size.is_power_of_two() || !(256..=65536).contains(&page_size) {
            return Err(INVALID);
        }
        if order.u16(meta, 92)? & OTHERS != 0 {
            return Err(INCOMPATIBLE);
        }
        let (depth, root) = (order.u16(meta, 94)?, order.u64(meta, 128)?);
        let (last_page, transaction) = (order.u64(meta, 136)?, order.u64(meta, 144)?);
        Ok(Self { blocks, order, page_size, depth, root, last_page, transaction })
    }

    /// The value of `key`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Broken> {
        if self.root == u64::MAX {
            return Ok(None);
        }
        if self.depth == 0 || self.depth > DEEPEST {
            return Err(CORRUPTED);
        }
        let mut page = self.page(self.root)?;
        for _ in 1..self.depth {
            page = self.page(self.child(&page, key)?)?;
        }
        self.expect(&page, LEAF)?;
        let count = self.count(&page)?;
        let order = |index| self.compare(self.item(&page, index)?, key);
        let index = lower_bound(count, |index| Ok(order(index)? == Ordering::Less))?;
        if index == count || order(index)? != Ordering::Equal {
            return Ok(None);
        }
        self.value(self.item(&page, index)?).map(Some)
    }

    fn page(&self, number: u64) -> Result<Block, Broken> {
        let page = self.blocks.read(self.page_at(number)?, self.page_size)?;
        if self.order.u64(&page, 0)? != number { Err(NOT_FOUND) } else { Ok(page) }
    }

    fn page_at(&self, number: u64) -> Result<u64, Broken> {
        if number < 2 || number > self.last_page {
            return Err(NOT_FOUND);
        }
        number.checked_mul(self.page_size as u64).ok_or(NOT_FOUND)
    }

    fn expect(&self, page: &[u8], kind: u16) -> Result<(), Broken> {
        if self.order.u16(page, 10)? & KINDS == kind { Ok(()) } else { Err(CORRUPTED) }
    }

    /// How many items a page has.
    fn count(&self, page: &[u8]) -> Result<usize, Broken> {
        let end = usize::from(self.order.u16(page, 12)?);
        Ok(end.checked_sub(HEAD).ok_or(CORRUPTED)? >> 1)
    }

    /// An item and what follows: only its parts say how long it is.
    fn item<'p>(&self, page: &'p [u8], index: usize) -> Result<&'p [u8], Broken> {
        let at = self.order.u16(page, index.saturating_mul(2).saturating_add(HEAD))?;
        page.get(usize::from(at)..).ok_or(CORRUPTED)
    }

    /// How an item stands to `key`.
    fn compare(&self, item: &[u8], key: &[u8]) -> Result<Ordering, Broken> {
        Ok(piece(item, 8, usize::from(self.order.u16(item, 6)?))?.cmp(key))
    }

    /// The page where to go on.
    fn child(&self, page: &[u8], key: &[u8]) -> Result<u64, Broken> {
        self.expect(page, INNER)?;
        let count = self.count(page)?.checked_sub(1).ok_or(CORRUPTED)?;
        let less_or_equal = |index: usize| {
            let item = self.item(page, index.saturating_add(1))?;
            Ok(self.compare(item, key)? != Ordering::Greater)
        };
        let item = self.item(page, lower_bound(count, less_or_equal)?)?;
        let high = u64::from(self.order.u16(item, 4)?) << 32;
        Ok(high | u64::from(self.order.u32(item, 0)?))
    }

    /// The value of an item.
    fn value(&self, item: &[u8]) -> Result<Vec<u8>, Broken> {
        let len = self.order.u32(item, 0)? as usize;
        let at = usize::from(self.order.u16(item, 6)?).saturating_add(8);
        match self.order.u16(item, 4)? {
            0 => Ok(piece(item, at, len)?.to_vec()),
            BIG => self.overflow(self.order.u64(item, at)?, len),
            _ => Err(INCOMPATIBLE),
        }
    }

    /// A value that fills pages of its own.
    fn overflow(&self, number: u64, len: usize) -> Result<Vec<u8>, Broken> {
        if len as u64 > self.blocks.len() {
            return Err(NOT_FOUND);
        }
        let pages = self.blocks.read(self.page_at(number)?, len.saturating_add(HEAD))?;
        if self.order.u64(&pages, 0)? != number {
            return Err(NOT_FOUND);
        }
        self.expect(&pages, OVERFLOW)?;
        Ok(piece(&pages, HEAD, len)?.to_vec())
    }
}

fn read(blocks: &(impl Blocks + ?Sized), at: u64) -> Result<Block, Broken> {
    match blocks.read_again(at, META) {
        Err(Broken::Format(_)) => Err(INVALID),
        meta => meta,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 300 keys and one with a value larger than a page, as postmap wrote them.
    const TREE: &[u8] = include_bytes!("../../tests/fuzz/corpus/lmdb/tree");

    fn get(file: &[u8], key: &[u8]) -> Result<Option<Vec<u8>>, Broken> {
        Lmdb::open(file)?.get(key)
    }

    #[test]
    fn keys_have_their_values() {
        for i in 0..300u32 {
            let value = get(TREE, &fill!("key{}\0", i)).unwrap();
            assert_eq!(value, Some(fill!("value {}\0", i)));
            assert_eq!(get(TREE, &fill!("key{}", i)).unwrap(), None);
        }
        for absent in [&b""[..], b"a", b"z", &[b'k'; 1000], &[0xff; 3]] {
            assert_eq!(get(TREE, absent).unwrap(), None);
        }
        assert_eq!(get(TREE, b"big\0").unwrap(), Some([&[b'v'; 5000][..], b"\0"].concat()));
    }

    #[test]
    fn what_is_cut_short_is_no_value_and_no_absence() {
        for key in [&b"key7\0"[..], b"key299\0", b"big\0"] {
            let right = get(TREE, key).unwrap();
            for len in (0..TREE.len()).step_by(97) {
                if let Ok(value) = get(&TREE[..len], key) {
                    assert_eq!(value, right, "{len}");
                }
            }
        }
    }

    #[test]
    fn the_tree_of_the_last_transaction_counts() {
        let mut file = TREE.to_vec();
        let transactions = [144, 4096 + 144].map(|at| file[at]);
        assert_ne!(transactions[0], transactions[1]);
        let older = if transactions[0] > transactions[1] { 144 } else { 4096 + 144 };
        file[older] = 0;
        assert_eq!(get(&file, b"key1\0").unwrap(), None);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (at, byte, what) in [
            (16, 0, "MDB_INVALID: File is not an LMDB file"),
            (20, 2, "MDB_VERSION_MISMATCH: Database environment version mismatch"),
            (41, 0x11, "MDB_INVALID: File is not an LMDB file"),
            (92, 4, "MDB_INCOMPATIBLE: Operation and DB incompatible, or DB flags changed"),
        ] {
            let mut file = TREE.to_vec();
            file[at] = byte;
            assert_eq!(Lmdb::open(&file[..]).err().unwrap().to_string(), what);
        }
    }

    #[test]
    fn a_file_that_is_written_all_the_time_is_given_up() {
        struct Restless(std::cell::Cell<u8>);
        impl Blocks for Restless {
            fn read(&self, at: u64, len: usize) -> Result<Block, Broken> {
                self.0.set(self.0.get().wrapping_add(1));
                let mut bytes = TREE.read(at, len)?.to_vec();
                bytes[120] = self.0.get();
                Ok(bytes.into())
            }
            fn len(&self) -> u64 {
                TREE.len() as u64
            }
        }
        let error = Lmdb::open(&Restless(std::cell::Cell::new(0))).err().unwrap();
        assert_eq!(error.to_string(), "written all the time");
    }
}
