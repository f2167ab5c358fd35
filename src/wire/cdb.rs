//! Constant databases, as postmap(1) writes them for `cdb:` tables. Only reading.
//!
//! All numbers have 32 bits, the low byte first. The file begins with 256 pairs: where a hash
//! table is, and how many slots it has. The low 8 bits of a key's hash say which table, the
//! others the slot to begin with. A slot is a hash and where the record is, 0 for none; a record
//! is the length of the key, that of the value, key, value. Source: cdb(5).

use super::blocks::{Blocks, Broken, Order, piece};

/// The length of what a file begins with.
pub const HEAD: usize = 2048;
/// How many bytes of slots are read at once.
const SLOTS: u64 = 256;
/// The length of a slot.
const SLOT: u64 = 8;

/// Whether this can be a cdb file.
pub fn check(file: &(impl Blocks + ?Sized)) -> Result<(), Broken> {
    file.read(0, HEAD).map(drop)
}

/// The value of `key`; where there are several, the first.
pub fn get(file: &(impl Blocks + ?Sized), key: &[u8]) -> Result<Option<Vec<u8>>, Broken> {
    let hash = hash(key);
    let head = file.read(0, HEAD)?;
    let pair = ((hash & 0xff) as usize).saturating_mul(8);
    let table = u64::from(number(&head, pair)?);
    let slots = u64::from(number(&head, pair.saturating_add(4))?);
    if slots == 0 {
        return Ok(None);
    }
    if slots.saturating_mul(SLOT).saturating_add(table) > file.len() {
        return Err(Broken::Format("a table outside the file"));
    }
    let first = u64::from(hash >> 8).checked_rem(slots).unwrap_or(0);
    let before_end = search(file, key, hash, table, first..slots)?;
    let found = match before_end {
        Search::GoOn => search(file, key, hash, table, 0..first)?,
        found => found,
    };
    Ok(if let Search::Found(value) = found { Some(value) } else { None })
}

enum Search {
    Found(Vec<u8>),
    Nowhere,
    /// No slot was empty.
    GoOn,
}

/// Searches the slots of a range, as far as the first that is empty.
fn search(
    file: &(impl Blocks + ?Sized),
    key: &[u8],
    hash: u32,
    table: u64,
    range: std::ops::Range<u64>,
) -> Result<Search, Broken> {
    let (mut at, end) = (place(table, range.start), place(table, range.end));
    while at < end {
        let len = end.saturating_sub(at).min(SLOTS);
        for slot in file.read(at, len as usize)?.chunks_exact(SLOT as usize) {
            let record = u64::from(number(slot, 4)?);
            if record == 0 {
                return Ok(Search::Nowhere);
            }
            if number(slot, 0)? == hash {
                if let Some(value) = record_value(file, record, key)? {
                    return Ok(Search::Found(value));
                }
            }
        }
        at = at.saturating_add(len);
    }
    Ok(Search::GoOn)
}

fn place(table: u64, slot: u64) -> u64 {
    slot.saturating_mul(SLOT).saturating_add(table)
}

/// The value of the record at `at`, if it has that key.
fn record_value(
    file: &(impl Blocks + ?Sized),
    at: u64,
    key: &[u8],
) -> Result<Option<Vec<u8>>, Broken> {
    let lengths = file.read(at, 8)?;
    let (key_len, value_len) = (number(&lengths, 0)? as usize, number(&lengths, 4)? as usize);
    if key_len != key.len() {
        return Ok(None);
    }
    if value_len as u64 > file.len() {
        return Err(Broken::Format("a value longer than the file"));
    }
    let pair = file.read(at.saturating_add(8), key_len.saturating_add(value_len))?;
    let value = piece(&pair, key_len, value_len)?;
    Ok(pair.starts_with(key).then(|| value.to_vec()))
}

fn number(bytes: &[u8], at: usize) -> Result<u32, Broken> {
    Order::Little.u32(bytes, at)
}

/// Bernstein's hash.
fn hash(key: &[u8]) -> u32 {
    key.iter().fold(5381, |hash: u32, byte| hash.wrapping_mul(33) ^ u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `key0`, `key1` and `key2`, as postmap wrote them.
    const THREE: &[u8] = include_bytes!("../../tests/fuzz/corpus/cdb/three");
    const BIG: &[u8] = include_bytes!("../../tests/fuzz/corpus/cdb/big");

    #[test]
    fn keys_have_their_values() {
        for i in 0..3u32 {
            let value = get(THREE, &fill!("key{}", i)).unwrap();
            assert_eq!(value, Some(fill!("value {}", i)));
        }
        for absent in [&b"key0\0"[..], b"key3", b"", b"\0"] {
            assert_eq!(get(THREE, absent).unwrap(), None);
        }
        assert_eq!(get(BIG, b"big").unwrap().map(|value| value.len()), Some(5000));
    }

    #[test]
    fn what_is_cut_short_is_no_value_and_no_absence() {
        for len in 0..THREE.len() {
            let value = check(&THREE[..len]).and_then(|()| get(&THREE[..len], b"key2"));
            assert!(value.is_err() || value.unwrap() == Some(b"value 2".to_vec()), "{len}");
        }
    }

    #[test]
    fn a_table_without_an_empty_slot_has_an_end() {
        let mut file = THREE.to_vec();
        let pair = (hash(b"key0") & 0xff) as usize * 8;
        let table = Order::Little.u32(&file, pair).unwrap() as usize;
        let slots = Order::Little.u32(&file, pair + 4).unwrap() as usize;
        for slot in 0..slots {
            file[table + slot * 8 + 4] = 1;
        }
        assert_eq!(get(&file[..], b"key0").unwrap(), None);
        file[pair + 4..pair + 8].copy_from_slice(&[0xff; 4]);
        assert!(get(&file[..], b"key0").is_err());
    }
}
