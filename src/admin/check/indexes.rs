//! Indexed tables whose source has changed since postmap(1) ran.

use super::report::Severity;
use super::start::{Examination, Started};
use crate::config::parameters::TABLE;
use crate::log;
use crate::table::source_keys::{source_of, stale_index};
use crate::text::split::{COMMA_SPACE, words_braced};

impl Examination<'_> {
    /// The daemon's own warning leaves out what has changed a moment ago: somebody may be at it.
    pub(super) fn look_at_indexes(&mut self, started: &Started) {
        for name in TABLE.iter().map(|row| row.name.as_bytes()) {
            if self.places.setting(name).is_none() {
                continue;
            }
            let (value, _) = log::capture(|| started.config.text(name));
            let Some(value) = value else { continue };
            // Tables stand among words, also within braces.
            let braces = |byte: &u8| b"{}".contains(byte);
            for spec in words_braced(&value, COMMA_SPACE).flat_map(|word| word.split(braces)) {
                self.look_at_index(name, spec);
            }
        }
    }

    fn look_at_index(&mut self, name: &[u8], spec: &[u8]) {
        let (Some(source), Some(index)) = (source_of(spec), stale_index(spec)) else { return };
        let place = self.places.of_word(name, spec);
        let text = fill!("database {} is older than source file {}", index, source);
        self.say(Severity::Warning, place, &text);
    }
}
