//! What regexp_table(5) and pcre_table(5) have in common: rules `/pattern/flags value`, with
//! `if /pattern/` … `endif` around them, the first that matches counts.

use std::cell::OnceCell;
use std::ffi::{CStr, CString};
use std::ops::Range;

use super::cidr::negation;
use super::lines::{Lines, is_space, trim_end, trim_start};
use super::plain::{self, Plain};
use super::replacement::Replacement;
use super::{Failure, Keys, Spec, Table, TableError, source};

/// What a flag behind a pattern does.
pub(super) enum Flag {
    /// Switches an option of the engine.
    Option(u32),
    /// Nothing any more.
    Obsolete,
}

/// A kind of regular expressions.
pub(super) trait Engine: Sized + 'static {
    /// The table type.
    const KIND: &'static str;
    /// Options of a pattern without flags.
    const OPTIONS: u32;
    /// Whether `/pattern/!/pattern/` and a closing backslash are known.
    const OLD_FORMS: bool;
    /// What happens to a rule whose pattern is not closed.
    const UNCLOSED: &'static str;
    /// How an index that is out of range is spelt.
    const OUT_OF_RANGE: &'static str;
    /// The option under which capitals and small letters are the same.
    const IGNORE_CASE: u32;
    /// Whether [`plain::plain`] knows what patterns with these options mean.
    fn may_be_plain(options: u32) -> bool;
    /// The meaning of a flag.
    fn flag(byte: u8) -> Option<Flag>;
    /// Compiles a pattern; `groups` says whether somebody will ask what its groups matched.
    fn compile(pattern: &CStr, options: u32, groups: bool) -> Result<Self, Vec<u8>>;
    /// The number of groups.
    fn groups(&self) -> usize;
    /// Where pattern and groups match.
    fn find(&self, key: &CStr, groups: usize) -> Result<Option<Vec<Range<usize>>>, Vec<u8>>;
}

/// `text` behind the word `word` (small letters), in any case; `None` where it is another word.
pub(super) fn keyword<'a>(text: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(word.len())?;
    let ends = !rest.first().is_some_and(u8::is_ascii_alphanumeric);
    (ends && head.eq_ignore_ascii_case(word)).then_some(rest)
}

/// The blocks that are open while a table is read: place and line of each `if`.
#[derive(Default)]
pub(super) struct Blocks(Vec<(usize, u32)>);

impl Blocks {
    pub(super) fn depth(&self) -> usize {
        self.0.len()
    }

    pub(super) fn begin(&mut self, place: usize, line: u32) {
        self.0.push((place, line));
    }

    /// The place of the `if` that ends here.
    pub(super) fn end(&mut self) -> Option<usize> {
        self.0.pop().map(|(place, _)| place)
    }

    /// The lines of what was not ended, innermost first.
    pub(super) fn open(&self) -> impl Iterator<Item = u32> {
        self.0.iter().rev().map(|(_, line)| *line)
    }
}

/// A table of rules.
struct Rules<E> {
    name: Vec<u8>,
    rules: Vec<Rule<E>>,
}

enum Rule<E> {
    /// What `pattern` matches and `but_not` allows has a value.
    Match {
        pattern: Pattern<E>,
        but_not: Option<Pattern<E>>,
        value: Replacement,
    },
    /// The rules up to `end` count for keys that the pattern matches.
    If {
        pattern: Pattern<E>,
        end: Option<usize>,
    },
    EndIf,
}

/// A pattern, or all that it does not match.
struct Pattern<E> {
    wanted: bool,
    line: u32,
    source: CString,
    options: u32,
    /// Somebody will ask what the groups matched.
    groups: bool,
    /// A key without these texts does not match; small letters where case does not count.
    texts: Box<[u8]>,
    /// The characters of the texts.
    characters: u128,
    /// Made when it is first needed, where the pattern is plain.
    engine: OnceCell<E>,
}

impl<E: Engine> Pattern<E> {
    fn engine(&self) -> Result<&E, Vec<u8>> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let engine = E::compile(&self.source, self.options, self.groups)?;
        Ok(self.engine.get_or_init(|| engine))
    }

    /// Where pattern and groups match.
    fn find(&self, key: &Key, groups: usize) -> Result<Option<Vec<Range<usize>>>, Vec<u8>> {
        let key_text = if self.options & E::IGNORE_CASE != 0 { &key.small } else { &key.exact };
        if self.characters & !key_text.characters != 0 || !plain::has(&key_text.text, &self.texts) {
            return Ok(None);
        }
        self.engine()?.find(&key.text, groups)
    }
}

/// A key, and the same in small letters.
struct Key {
    text: CString,
    exact: KeyText,
    small: KeyText,
}

struct KeyText {
    text: Vec<u8>,
    characters: u128,
}

impl Key {
    /// The key that C sees.
    fn of(key: &[u8]) -> Self {
        let exact = key.split(|byte| *byte == 0).next().unwrap_or_default();
        let small = exact.to_ascii_lowercase();
        Self {
            text: CString::new(exact).unwrap_or_default(),
            exact: KeyText::of(exact.to_vec()),
            small: KeyText::of(small),
        }
    }
}

impl KeyText {
    fn of(text: Vec<u8>) -> Self {
        Self { characters: plain::characters(&text), text }
    }
}

impl<E: Engine> Table for Rules<E> {
    fn name(&self) -> &[u8] {
        &self.name
    }

    fn keys(&self) -> Keys {
        Keys::Pattern
    }

    fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        Ok(self.first(&Key::of(key)))
    }
}

impl<E: Engine> Rules<E> {
    /// The value of the first rule that matches.
    fn first(&self, key: &Key) -> Option<Vec<u8>> {
        let mut at = 0;
        while let Some(rule) = self.rules.get(at) {
            match rule {
                Rule::Match { pattern, but_not, value } => {
                    if let Some(groups) = self.find(pattern, key, value.highest()) {
                        let allowed = |other| self.find(other, key, 0).is_some();
                        if but_not.as_ref().is_none_or(allowed) {
                            return Some(value.expand(key.text.to_bytes(), &groups));
                        }
                    }
                }
                Rule::If { pattern, end } => {
                    if self.find(pattern, key, 0).is_none() {
                        at = (*end)?;
                    }
                }
                Rule::EndIf => {}
            }
            at += 1;
        }
        None
    }

    /// The groups where the pattern matches as wanted. An error is no match, wanted or not.
    fn find(&self, pattern: &Pattern<E>, key: &Key, groups: usize) -> Option<Vec<Range<usize>>> {
        match pattern.find(key, groups) {
            Ok(found) if found.is_some() == pattern.wanted => Some(found.unwrap_or_default()),
            Ok(_) => None,
            Err(error) => {
                let name = self.name.splitn(2, |byte| *byte == b':').nth(1).unwrap_or_default();
                warning!("{} map {}, line {}: {}", E::KIND, name, pattern.line, error);
                None
            }
        }
    }
}

/// Opens a table of rules: a file, or `{{rule}, …}`.
pub(super) fn open<E: Engine>(spec: &Spec<'_>) -> Result<Box<dyn Table>, Failure> {
    let mut rules: Vec<Rule<E>> = Vec::new();
    let mut blocks = Blocks::default();
    // As Postfix: what cannot be read is not there.
    let mut lines = Lines::of(source::open(E::KIND, spec.name)?, source::path(spec.name));
    while let Some((line, text)) = lines.line() {
        let text = trim_end(text);
        let reader = Reader { spec, line };
        let Some(rule) = reader.rule::<E>(text, blocks.depth()) else { continue };
        match &rule {
            Rule::If { .. } => blocks.begin(rules.len(), line),
            Rule::EndIf => {
                let place = rules.len();
                if let Some(Rule::If { end, .. }) =
                    blocks.end().and_then(|begin| rules.get_mut(begin))
                {
                    *end = Some(place);
                }
            }
            Rule::Match { .. } => {}
        }
        rules.push(rule);
    }
    for line in blocks.open() {
        Reader { spec, line }.warn::<E>(b"IF has no matching ENDIF");
    }
    rules.shrink_to_fit();
    Ok(Box::new(Rules { name: spec.full_name(), rules }))
}

/// Reads the rule in a line; all that is wrong is logged.
struct Reader<'a> {
    spec: &'a Spec<'a>,
    line: u32,
}

/// A pattern that is not compiled.
struct Source<'a> {
    pattern: &'a [u8],
    options: u32,
    wanted: bool,
}

impl Reader<'_> {
    fn warn<E: Engine>(&self, text: &[u8]) {
        warning!("{} map {}, line {}: {}", E::KIND, self.spec.name, self.line, text);
    }

    fn rule<E: Engine>(&self, text: &[u8], depth: usize) -> Option<Rule<E>> {
        if !text.first()?.is_ascii_alphanumeric() {
            return self.match_rule(text);
        }
        if let Some(rest) = keyword(text, b"if") {
            return self.if_rule(rest);
        }
        let Some(rest) = keyword(text, b"endif") else {
            self.warn::<E>(b"ignoring unrecognized request");
            return None;
        };
        if depth == 0 {
            self.warn::<E>(b"ignoring ENDIF without matching IF");
            return None;
        }
        if !trim_start(rest).is_empty() {
            self.warn::<E>(b"ignoring extra text after ENDIF");
        }
        Some(Rule::EndIf)
    }

    /// `/pattern/flags value`, or `/pattern/flags!/pattern/flags value`.
    fn match_rule<E: Engine>(&self, text: &[u8]) -> Option<Rule<E>> {
        let (first, rest) = self.pattern::<E>(text)?;
        let (second, rest) = if E::OLD_FORMS && rest.starts_with(b"!") {
            let (second, rest) = self.pattern::<E>(rest)?;
            (Some(second), rest)
        } else {
            (None, rest)
        };
        let value = trim_start(rest);
        if value.is_empty() {
            self.warn::<E>(b"no replacement text: using empty string");
        }
        let value = match self.spec.value(value) {
            Ok(value) => value,
            Err(why) => {
                self.warn::<E>(&fill!("{}: skipping this rule", why));
                return None;
            }
        };
        let Some(value) =
            Replacement::parse(&value, E::OUT_OF_RANGE, &mut |text| self.warn::<E>(text))
        else {
            self.warn::<E>(b"bad replacement syntax: skipping this rule");
            return None;
        };
        self.check_groups::<E>(&first, &value)?;
        let (pattern, groups) = self.compile(&first, value.highest() > 0)?;
        if value.highest() > groups {
            // As Postfix, which prints an int.
            let highest = value.highest() as i32;
            self.warn::<E>(&fill!(
                "out of range replacement index \"{}\": skipping this rule",
                highest
            ));
            return None;
        }
        let but_not = match second {
            Some(second) => Some(self.compile(&second, false)?.0),
            None => None,
        };
        Some(Rule::Match { pattern, but_not, value })
    }

    /// Whether a value with `$number` may stand here.
    fn check_groups<E: Engine>(&self, pattern: &Source<'_>, value: &Replacement) -> Option<()> {
        let wrong: &[u8] = if value.highest() == 0 {
            return Some(());
        } else if !pattern.wanted {
            b"$number found in negative match replacement text: skipping this rule"
        } else if self.spec.request.no_substitution {
            b"regular expression substitution is not allowed: skipping this rule"
        } else {
            return Some(());
        };
        self.warn::<E>(wrong);
        None
    }

    /// `if /pattern/flags`.
    fn if_rule<E: Engine>(&self, text: &[u8]) -> Option<Rule<E>> {
        let (source, rest) = self.pattern::<E>(trim_start(text))?;
        let extra = trim_start(rest);
        if !extra.is_empty() {
            self.warn::<E>(&fill!("ignoring extra text after IF statement: \"{}\"", extra));
            self.warn::<E>(b"do not prepend whitespace to statements between IF and ENDIF");
        }
        Some(Rule::If { pattern: self.compile(&source, false)?.0, end: None })
    }

    /// The pattern at the start of `text`, and what stands behind it and its flags.
    fn pattern<'a, E: Engine>(&self, text: &'a [u8]) -> Option<(Source<'a>, &'a [u8])> {
        let (text, wanted) = negation(text);
        let Some((delimiter, text)) = text.split_first() else {
            self.warn::<E>(b"no regexp: skipping this rule");
            return None;
        };
        let Some(end) = closing(text, *delimiter, E::OLD_FORMS) else {
            self.warn::<E>(&fill!(
                "no closing regexp delimiter \"{}\": {} this rule",
                [*delimiter],
                E::UNCLOSED
            ));
            return None;
        };
        let mut options = E::OPTIONS;
        let mut rest = &text[end + 1..];
        while let Some((byte, after)) = rest.split_first() {
            if is_space(byte) || (E::OLD_FORMS && *byte == b'!') {
                break;
            }
            match E::flag(*byte) {
                Some(Flag::Option(option)) => options ^= option,
                Some(Flag::Obsolete) => {
                    self.warn::<E>(&fill!("ignoring obsolete regexp option \"{}\"", [*byte]));
                }
                None => {
                    self.warn::<E>(&fill!(
                        "unknown regexp option \"{}\": skipping this rule",
                        [*byte]
                    ));
                    return None;
                }
            }
            rest = after;
        }
        Some((Source { pattern: &text[..end], options, wanted }, rest))
    }

    /// The pattern, compiled unless it is plain, and the number of its groups.
    fn compile<E: Engine>(&self, source: &Source<'_>, groups: bool) -> Option<(Pattern<E>, usize)> {
        let mut pattern = Pattern {
            wanted: source.wanted,
            line: self.line,
            // A logical line holds no NUL.
            source: CString::new(source.pattern).ok()?,
            options: source.options,
            groups,
            texts: Box::default(),
            characters: 0,
            engine: OnceCell::new(),
        };
        let plain = E::may_be_plain(source.options).then(|| plain::plain(source.pattern)).flatten();
        if let Some(Plain { groups, mut texts }) = plain {
            if source.options & E::IGNORE_CASE != 0 {
                texts.make_ascii_lowercase();
            }
            pattern.characters = plain::characters(&texts);
            pattern.texts = texts.into();
            return Some((pattern, groups));
        }
        match pattern.engine() {
            Ok(engine) => {
                let groups = engine.groups();
                Some((pattern, groups))
            }
            Err(error) => {
                self.warn::<E>(&error);
                None
            }
        }
    }
}

/// Where the pattern at the start of `text` ends; a backslash hides the byte after it. With
/// `old_forms` a backslash that stands last ends the pattern.
fn closing(text: &[u8], delimiter: u8, old_forms: bool) -> Option<usize> {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        if *byte == b'\\' {
            if at + 1 == text.len() {
                return old_forms.then_some(at);
            }
            at += 1;
        } else if *byte == delimiter {
            return Some(at);
        }
        at += 1;
    }
    None
}
