//! Answers that are kept, by question.

use std::hash::{BuildHasher as _, Hash, RandomState};

/// Answers that are kept.
const KEPT: usize = 100;

/// The last 100 answers and those that were wanted again, so that what is asked for often stays.
pub(super) struct Recent<K, V> {
    /// Of the questions: small enough to be looked through at each.
    hashes: Vec<u64>,
    entries: Vec<Entry<K, V>>,
    /// The entry that goes next, unless it was wanted since the last round.
    hand: usize,
    hasher: RandomState,
}

struct Entry<K, V> {
    question: K,
    answer: V,
    wanted: bool,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        let hasher = RandomState::new();
        Self { hashes: Vec::new(), entries: Vec::new(), hand: 0, hasher }
    }
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// The answer to a question that is like `question` for `Hash`, and `is` for `Eq`.
    pub(super) fn find(&mut self, question: impl Hash, is: impl Fn(&K) -> bool) -> Option<&V> {
        let at = self.place(self.hasher.hash_one(question), is)?;
        let entry = self.entries.get_mut(at)?;
        entry.wanted = true;
        Some(&entry.answer)
    }

    /// Keeps an answer; where there is no room, another goes.
    pub(super) fn keep(&mut self, question: K, answer: V) {
        let hash = self.hasher.hash_one(&question);
        let old = self.place(hash, |known| *known == question);
        let entry = Entry { question, answer, wanted: false };
        if old.is_none() && self.entries.len() < KEPT {
            self.hashes.push(hash);
            self.entries.push(entry);
            return;
        }
        let at = old.unwrap_or_else(|| self.unwanted());
        if let (Some(place), Some(mark)) = (self.entries.get_mut(at), self.hashes.get_mut(at)) {
            (*place, *mark) = (entry, hash);
        }
    }

    fn place(&self, hash: u64, is: impl Fn(&K) -> bool) -> Option<usize> {
        let mut alike = self.hashes.iter().enumerate().filter(|(_, mark)| **mark == hash);
        alike.find_map(|(at, _)| is(&self.entries.get(at)?.question).then_some(at))
    }

    /// The next entry that was not wanted since the hand passed it.
    fn unwanted(&mut self) -> usize {
        loop {
            let at = self.hand;
            self.hand = (at + 1) % KEPT;
            match self.entries.get_mut(at) {
                Some(entry) if entry.wanted => entry.wanted = false,
                _ => return at,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(recent: &mut Recent<usize, usize>, question: usize) -> Option<usize> {
        recent.find(question, |known| *known == question).copied()
    }

    #[test]
    fn what_was_wanted_again_stays_longest() {
        let mut recent = Recent::default();
        for n in 0..KEPT {
            recent.keep(n, n);
        }
        assert_eq!(find(&mut recent, 0), Some(0));
        recent.keep(KEPT, KEPT);
        assert_eq!(find(&mut recent, 1), None);
        assert_eq!(find(&mut recent, 0), Some(0));
        assert_eq!(find(&mut recent, KEPT), Some(KEPT));
        for n in 1000..1000 + KEPT {
            recent.keep(n, n);
        }
        assert_eq!(find(&mut recent, 0), Some(0));
        assert_eq!(recent.entries.len(), KEPT);
        assert_eq!(recent.hashes.len(), KEPT);
    }

    #[test]
    fn of_two_answers_to_one_question_the_later_is_kept() {
        let mut recent = Recent::default();
        recent.keep(1, 1);
        recent.keep(1, 2);
        assert_eq!(find(&mut recent, 1), Some(2));
        assert_eq!(recent.entries.len(), 1);
    }

    #[test]
    fn when_all_were_wanted_one_goes_nevertheless() {
        let mut recent = Recent::default();
        for n in 0..KEPT {
            recent.keep(n, n);
            assert_eq!(find(&mut recent, n), Some(n));
        }
        recent.keep(KEPT, KEPT);
        assert_eq!(find(&mut recent, KEPT), Some(KEPT));
        assert_eq!(recent.entries.len(), KEPT);
    }
}
