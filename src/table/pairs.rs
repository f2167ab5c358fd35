//! Keys and values in memory: all in one text, with an index of offsets over it.

/// A map from keys to values. None of them holds a NUL: in the text each pair is key, NUL, value,
/// NUL. The index is a hash table of offsets into the text, 0 where a slot is empty, else the
/// offset plus one; its length is a power of two.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    text: Vec<u8>,
    slots: Vec<u32>,
    used: usize,
}

/// The text is larger than the index can tell: 4 GB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge;

impl Pairs {
    /// No pairs, with room for a text of `len` bytes.
    pub(crate) fn with_room(len: usize) -> Self {
        Self { text: Vec::with_capacity(len), ..Self::default() }
    }

    /// The value of `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        // A key with a NUL would be taken for a key and a part of its value.
        if self.slots.is_empty() || key.contains(&0) {
            return None;
        }
        let (_, offset) = self.find(key);
        Some(before_nul(&self.text[offset? + key.len() + 1..]))
    }

    /// Enters `value` under `key`, in place of the value that is there. Both end at a NUL.
    pub(crate) fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), TooLarge> {
        let (key, value) = (before_nul(key), before_nul(value));
        let entry = u32::try_from(self.text.len() + 1).map_err(|_| TooLarge)?;
        if self.slots.len() * 3 <= (self.used + 1) * 4 {
            self.grow();
        }
        let (slot, there) = self.find(key);
        self.text.reserve(key.len() + value.len() + 2);
        for part in [key, value] {
            self.text.extend_from_slice(part);
            self.text.push(0);
        }
        self.slots[slot] = entry;
        self.used += usize::from(there.is_none());
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
            if self.text[offset..].strip_prefix(key).is_some_and(|rest| rest.first() == Some(&0)) {
                return (slot, Some(offset));
            }
            slot = (slot + 1) & mask;
        }
    }

    /// The key at `offset`.
    fn key(&self, offset: usize) -> &[u8] {
        before_nul(&self.text[offset..])
    }

    /// Doubles the slots.
    fn grow(&mut self) {
        let len = (self.slots.len() * 2).max(8);
        for entry in std::mem::replace(&mut self.slots, vec![0; len]) {
            if let Some(offset) = (entry as usize).checked_sub(1) {
                let (slot, _) = self.find(self.key(offset));
                self.slots[slot] = entry;
            }
        }
    }
}

fn before_nul(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// FNV-1a: keys stand in the administrator's files, nobody can choose them to collide.
fn hash(key: &[u8]) -> u32 {
    key.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_found() {
        let mut pairs = Pairs::default();
        assert_eq!(pairs.get(b"a"), None);
        for i in 0..1000u32 {
            pairs.set(&fill!("key{}", i), &fill!("value {}", i)).unwrap();
        }
        for i in 0..1000u32 {
            assert_eq!(pairs.get(&fill!("key{}", i)), Some(&fill!("value {}", i)[..]));
        }
        assert_eq!(pairs.get(b"key1000"), None);
        assert_eq!(pairs.get(b"key"), None);
        assert!(pairs.slots.len() >= 1000 && pairs.slots.len() <= 2048);
    }

    #[test]
    fn the_last_value_counts() {
        let mut pairs = Pairs::default();
        pairs.set(b"a", b"1").unwrap();
        pairs.set(b"", b"empty").unwrap();
        pairs.set(b"a", b"2").unwrap();
        assert_eq!(pairs.get(b"a"), Some(&b"2"[..]));
        assert_eq!(pairs.get(b""), Some(&b"empty"[..]));
        assert_eq!(pairs.used, 2);
    }

    #[test]
    fn a_nul_ends_a_key_and_is_in_none() {
        let mut pairs = Pairs::default();
        pairs.set(b"a\0b", b"c\0d").unwrap();
        assert_eq!(pairs.get(b"a"), Some(&b"c"[..]));
        assert_eq!(pairs.get(b"a\0c"), None);
    }
}
