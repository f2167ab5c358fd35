//! Keys and values in memory: all in one text, with an index of offsets over it.

/// A map from keys to values. None of them holds a NUL.
///
/// In the text each entry is the offset of its value, in four bytes, and key and NUL; where the
/// value is not that of the entry before, value and NUL follow. The index is a hash table of
/// offsets of entries, 0 where a slot is empty, else the offset plus one; its length is a power
/// of two.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    text: Vec<u8>,
    slots: Vec<u32>,
    used: usize,
    /// The value of the entry before.
    value: Option<u32>,
}

/// The most room that is taken in advance.
const ROOM_LIMIT: usize = 1 << 26;
/// What is taken for the length of a line as long as nothing is read.
const LINE_LENGTH: usize = 64;
/// The length of an offset.
const OFFSET: usize = size_of::<u32>();

/// The text is larger than the index can tell: 4 GB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge;

impl Pairs {
    /// No pairs, with room for those in a file of `len` bytes.
    pub(crate) fn with_room(len: u64) -> Self {
        let len = usize::try_from(len).map_or(ROOM_LIMIT, |len| len.min(ROOM_LIMIT));
        let slots = vec![0; slots_for(len / LINE_LENGTH)];
        Self { text: Vec::with_capacity(len), slots, ..Self::default() }
    }

    /// The value of `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        // A key with a NUL would be taken for a key and a part of its value.
        if self.slots.is_empty() || key.contains(&0) {
            return None;
        }
        let (_, offset) = self.find(key);
        self.value_at(offset?)
    }

    /// Enters `value` under `key`, in place of the value that is there. Both end at a NUL.
    pub(crate) fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), TooLarge> {
        let (key, value) = (before_nul(key), before_nul(value));
        self.make_room();
        let (slot, there) = self.find(key);
        self.used += usize::from(there.is_none());
        self.enter(slot, key, value)
    }

    /// Enters `value` under `key` unless there is a value; whether there was none. Neither has a NUL.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) -> Result<bool, TooLarge> {
        debug_assert!(!key.contains(&0) && !value.contains(&0));
        self.make_room();
        let (slot, None) = self.find(key) else { return Ok(false) };
        self.used += 1;
        self.enter(slot, key, value)?;
        Ok(true)
    }

    fn enter(&mut self, slot: usize, key: &[u8], value: &[u8]) -> Result<(), TooLarge> {
        let offset = |place: usize| u32::try_from(place).map_err(|_| TooLarge);
        let entry = offset(self.text.len() + 1)?;
        let there = self.value.filter(|at| {
            let rest = self.text.get(*at as usize..).and_then(|text| text.strip_prefix(value));
            rest.is_some_and(|rest| rest.first() == Some(&0))
        });
        let value_at = match there {
            Some(at) => at,
            None => offset(self.text.len() + OFFSET + key.len() + 1)?,
        };
        self.text.extend_from_slice(&value_at.to_ne_bytes());
        self.text.extend_from_slice(key);
        self.text.push(0);
        if there.is_none() {
            self.text.extend_from_slice(value);
            self.text.push(0);
        }
        self.value = Some(value_at);
        self.slots[slot] = entry;
        Ok(())
    }

    /// Gives back the room that nobody needs any more.
    pub(crate) fn shrink(&mut self) {
        self.text.shrink_to_fit();
    }

    /// Whether nothing was entered.
    pub(crate) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// The slot of `key`, and the offset that it holds. There are slots, and an empty one.
    fn find(&self, key: &[u8]) -> (usize, Option<usize>) {
        let mask = self.slots.len() - 1;
        let mut slot = hash(key) as usize & mask;
        loop {
            let Some(offset) = (self.slots[slot] as usize).checked_sub(1) else {
                return (slot, None);
            };
            if self.text[offset + OFFSET..]
                .strip_prefix(key)
                .is_some_and(|rest| rest.first() == Some(&0))
            {
                return (slot, Some(offset));
            }
            slot = (slot + 1) & mask;
        }
    }

    /// The key of the entry at `offset`.
    fn key(&self, offset: usize) -> &[u8] {
        before_nul(&self.text[offset + OFFSET..])
    }

    /// The value of the entry at `offset`.
    fn value_at(&self, offset: usize) -> Option<&[u8]> {
        let at = u32::from_ne_bytes(*self.text.get(offset..)?.first_chunk()?);
        self.text.get(at as usize..).map(before_nul)
    }

    /// Sees that there is a slot for one more, and an empty one.
    fn make_room(&mut self) {
        let len = slots_for(self.used + 1);
        if len <= self.slots.len() {
            return;
        }
        for entry in std::mem::replace(&mut self.slots, vec![0; len]) {
            if let Some(offset) = (entry as usize).checked_sub(1) {
                let (slot, _) = self.find(self.key(offset));
                self.slots[slot] = entry;
            }
        }
    }
}

/// How many slots are good for `count` keys: a power of two, a quarter of them empty.
fn slots_for(count: usize) -> usize {
    (count + count / 3 + 1).next_power_of_two()
}

fn before_nul(text: &[u8]) -> &[u8] {
    memchr::memchr(0, text).and_then(|end| text.get(..end)).unwrap_or(text)
}

/// Keys stand in the administrator's files, nobody can choose them to collide: a quick hash will do.
fn hash(key: &[u8]) -> u64 {
    let mix =
        |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    let mut hash = key.len() as u64;
    let mut words = key.chunks_exact(8);
    for word in &mut words {
        hash = mix(hash, word.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)));
    }
    let rest = words.remainder().iter().fold(0_u64, |rest, byte| rest << 8 | u64::from(*byte));
    hash = mix(hash, rest);
    // The low bits of a product depend on few bits, the high ones on all.
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_found() {
        let mut pairs = Pairs::default();
        assert_eq!(pairs.get(b"a"), None);
        for i in 0..1000u32 {
            pairs.set(&fill!("key{}", i), &fill!("value {}", i / 3)).unwrap();
        }
        for i in 0..1000u32 {
            assert_eq!(pairs.get(&fill!("key{}", i)), Some(&fill!("value {}", i / 3)[..]));
        }
        assert_eq!(pairs.get(b"key1000"), None);
        assert_eq!(pairs.get(b"key"), None);
        assert!(pairs.slots.len() >= 1000 && pairs.slots.len() <= 2048);
        let mut pairs = Pairs::with_room(64_000);
        let slots = pairs.slots.len();
        for i in 0..1000u32 {
            assert_eq!(pairs.add(&fill!("{}", i % 999), b"x"), Ok(i < 999));
        }
        assert_eq!(pairs.slots.len(), slots);
    }

    #[test]
    fn the_last_value_counts() {
        let mut pairs = Pairs::default();
        pairs.set(b"a", b"1").unwrap();
        pairs.set(b"", b"empty").unwrap();
        pairs.set(b"a", b"2").unwrap();
        assert_eq!(pairs.get(b"a"), Some(&b"2"[..]));
        assert_eq!(pairs.get(b""), Some(&b"empty"[..]));
        pairs.set(b"b", b"2").unwrap();
        pairs.set(b"c", b"").unwrap();
        pairs.set(b"d", b"").unwrap();
        assert_eq!(pairs.get(b"b"), Some(&b"2"[..]));
        assert_eq!((pairs.get(b"c"), pairs.get(b"d")), (Some(&b""[..]), Some(&b""[..])));
        assert_eq!(pairs.used, 5);
    }

    #[test]
    fn a_nul_ends_a_key_and_is_in_none() {
        let mut pairs = Pairs::default();
        pairs.set(b"a\0b", b"c\0d").unwrap();
        assert_eq!(pairs.get(b"a"), Some(&b"c"[..]));
        assert_eq!(pairs.get(b"a\0c"), None);
    }
}
