//! `$name` in values (postconf(5), "The general format of the main.cf file").
//!
//! ```text
//! $$                          a dollar
//! $name ${name} $(name)       the value
//! ${name?text} ${name:text}   text if the value is not empty, or if it is
//! ${name?{text}:{text}}       one or the other
//! ${{left} op {right}}        "true" or nothing; with ? and : as above
//! ${function{text}}           domain_to_ascii, domain_to_utf8 (from Postfix 3.11 on)
//! ```
//! op: `== != < <= >= >`, numeric where both sides are digits; with `level` behind it they
//! compare compatibility levels. Values are expanded again.

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;

use super::compat::Level;
use super::main_cf::{is_space, trim};
use crate::mail::hostname;

/// What a name stands for; `None`: not known.
pub type Lookup<'l, 'v> = dyn Fn(&[u8]) -> Option<Cow<'v, [u8]>> + 'l;

/// A text that was expanded.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The text.
    pub text: Vec<u8>,
    /// Whether a name stood for nothing.
    pub undefined: bool,
}

/// Why a text could not be expanded.
#[derive(Debug, PartialEq, Eq)]
pub enum MacroError {
    /// Postfix warns with this text, then goes on or not as its caller likes.
    Syntax(Vec<u8>),
    /// Postfix dies with this text.
    Fatal(Vec<u8>),
}

type Done = Result<(), MacroError>;

/// Deeper calls are a loop. As Postfix.
const DEEPEST: usize = 100;
/// More calls in one text are no configuration, though Postfix would go on: each of forty values that
/// names the one before it twice doubles the work.
const MOST_CALLS: u32 = 100_000;
/// Longer texts are none, either.
const LONGEST: usize = 64 << 20;

/// Expands `text`, and the values in it again. Some releases know `functions`.
pub fn recursively(
    text: &[u8],
    functions: bool,
    lookup: &Lookup<'_, '_>,
) -> Result<Expanded, MacroError> {
    run(text, Expansion { functions, ..Expansion::new(lookup, true, &Cell::new(0)) })
}

/// Expands `text`; values go in as they are, with `_` for each byte that `filter` (if any) lacks.
pub fn once(
    text: &[u8],
    lookup: &Lookup<'_, '_>,
    filter: Option<&[u8]>,
) -> Result<Expanded, MacroError> {
    run(text, Expansion { filter, ..Expansion::new(lookup, false, &Cell::new(0)) })
}

fn run(text: &[u8], mut expansion: Expansion<'_, '_>) -> Result<Expanded, MacroError> {
    expansion.parse(text, 0)?;
    Ok(expansion.out)
}

struct Expansion<'a, 'v> {
    lookup: &'a Lookup<'a, 'v>,
    recurse: bool,
    functions: bool,
    filter: Option<&'a [u8]>,
    /// So far, in all of the text.
    calls: &'a Cell<u32>,
    out: Expanded,
}

impl<'a, 'v> Expansion<'a, 'v> {
    fn new(lookup: &'a Lookup<'a, 'v>, recurse: bool, calls: &'a Cell<u32>) -> Self {
        let out = Expanded::default();
        Self { lookup, recurse, functions: false, filter: None, calls, out }
    }
}

impl Expansion<'_, '_> {
    fn parse(&mut self, text: &[u8], depth: usize) -> Done {
        let mut rest = text;
        while !rest.is_empty() {
            let (literal, after) = literal(rest);
            if !literal.is_empty() {
                not_too_deep(depth, &literal)?;
                self.out.text.extend_from_slice(&literal);
            }
            if after.is_empty() {
                break;
            }
            let (inside, after) = call(&after[1..])
                .ok_or_else(|| wrong(fill!("truncated macro reference: \"{}\"", text)))?;
            if inside.is_empty() {
                return Err(wrong(fill!("empty macro name: \"{}\"", text)));
            }
            not_too_deep(depth, inside)?;
            self.not_too_much(inside)?;
            self.call(inside, depth)?;
            rest = after;
        }
        Ok(())
    }

    fn not_too_much(&self, piece: &[u8]) -> Done {
        self.calls.set(self.calls.get() + 1);
        if self.calls.get() > MOST_CALLS || self.out.text.len() > LONGEST {
            return Err(wrong(fill!("unreasonable number of macro calls: \"{}\"", piece)));
        }
        Ok(())
    }

    /// Puts what the inside of `${…}` stands for.
    fn call(&mut self, inside: &[u8], depth: usize) -> Done {
        let expression = skip_space(inside);
        if let Some((name, argument)) = self.functions.then(|| function(expression)).flatten() {
            return self.put_result(name, argument, depth);
        }
        let (value, operator, rest) = if expression.first() == Some(&b'{') {
            let (truth, rest) = self.relation(expression, depth)?;
            let value: &[u8] = if truth { b"true" } else { b"" };
            let (operator, rest) = after_relation(rest)?;
            (Some(Cow::Borrowed(value)), operator, rest)
        } else {
            let (name, operator, rest) = name_and_operator(inside)?;
            ((self.lookup)(name), operator, rest)
        };
        match operator {
            Operator::None => self.put(value, depth),
            operator => {
                self.choose(value.is_some_and(|value| !value.is_empty()), operator, rest, depth)
            }
        }
    }

    fn put(&mut self, value: Option<Cow<'_, [u8]>>, depth: usize) -> Done {
        match value {
            None => self.out.undefined = true,
            Some(value) if self.recurse => self.parse(&value, depth + 1)?,
            Some(value) => {
                let start = self.out.text.len();
                self.out.text.extend_from_slice(&value);
                if let Some(filter) = self.filter {
                    for byte in &mut self.out.text[start..] {
                        if !filter.contains(byte) {
                            *byte = b'_';
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Puts the result of a function, of which `at` begins with the argument.
    fn put_result(&mut self, name: &[u8], at: &[u8], depth: usize) -> Done {
        let (argument, after) = payload(at)?;
        let argument = trim(argument);
        if !after.is_empty() {
            let problem = fill!("unexpected input at: \"...{}}>>>{}\"", argument, shown(after));
            return Err(wrong(problem));
        }
        let Some((_, convert)) = FUNCTIONS.iter().find(|(known, _)| known.as_bytes() == name)
        else {
            let problem = fill!("unknown function \"{}\" at\"...>>>{}{{}}\"", name, name, argument);
            return Err(wrong(problem));
        };
        let argument = self.side(argument, depth)?;
        let result = convert(&argument)
            .ok_or_else(|| wrong(fill!("bad domain argument in: '{}{{}}'", name, argument)))?;
        self.out.text.extend_from_slice(&result);
        Ok(())
    }

    /// Expands one of the texts behind `?` and `:`.
    fn choose(&mut self, truth: bool, operator: Operator, rest: &[u8], depth: usize) -> Done {
        let mut otherwise = rest;
        if operator == Operator::Then {
            let (text, after) = operand(rest)?;
            if truth {
                self.parse(text, depth + 1)?;
            }
            otherwise = match after.split_first() {
                None => return Ok(()),
                Some((b':', after)) => after,
                Some(_) => {
                    let problem = fill!("\":\" expected at: \"...{}}>>>{}\"", text, shown(after));
                    return Err(MacroError::Syntax(problem));
                }
            };
        }
        let (text, after) = operand(otherwise)?;
        if !truth {
            self.parse(text, depth + 1)?;
        }
        if !after.is_empty() {
            return Err(wrong(fill!("unexpected input at: \"...{}}>>>{}\"", text, shown(after))));
        }
        Ok(())
    }

    /// The truth of `{left} op {right}` at the start of `text`, and what follows.
    fn relation<'t>(&self, text: &'t [u8], depth: usize) -> Result<(bool, &'t [u8]), MacroError> {
        let (left, rest) = payload(text)?;
        let (relation, operator, rest) = relation_operator(left, rest)?;
        let at = skip_space(rest);
        if at.first() != Some(&b'{') {
            return Err(wrong(fill!(
                "\"{expression}\" expected at: \"...{{}} {}>>>{}\"",
                left,
                operator,
                shown(rest)
            )));
        }
        let (right, rest) = payload(at)?;
        let left = self.side(left, depth)?;
        let right = self.side(right, depth)?;
        Ok((relation.holds(&left, &right)?, rest))
    }

    fn side(&self, text: &[u8], depth: usize) -> Result<Vec<u8>, MacroError> {
        let mut side = Expansion { out: Expanded::default(), ..*self };
        // Count on: a value that compares itself would never end.
        side.parse(text, depth + 1)?;
        Ok(side.out.text)
    }
}

type Function = fn(&[u8]) -> Option<Vec<u8>>;

/// Functions of a value.
const FUNCTIONS: &[(&str, Function)] = &[
    ("domain_to_ascii", |name| match name.is_ascii() {
        true => Some(name.to_vec()),
        false => hostname::domain_to_ascii(name).ok(),
    }),
    ("domain_to_utf8", |name| match name.is_ascii() {
        true => hostname::domain_to_utf8(name).ok(),
        false => Some(name.to_vec()),
    }),
];

/// The name of a function that is called with what stands in braces, and the rest from these on.
fn function(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = text.iter().position(|byte| !is_name(*byte))?;
    let (name, rest) = text.split_at(len);
    let rest = skip_space(rest);
    (len > 0 && rest.first() == Some(&b'{')).then_some((name, rest))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    None,
    Then,
    Else,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    GreaterOrEqual,
    Greater,
}

const COMPARISONS: &[(&[u8], Comparison)] = &[
    (b"==", Comparison::Equal),
    (b"!=", Comparison::NotEqual),
    (b"<", Comparison::Less),
    (b"<=", Comparison::LessOrEqual),
    (b">=", Comparison::GreaterOrEqual),
    (b">", Comparison::Greater),
];

struct Relation {
    comparison: Comparison,
    levels: bool,
}

impl Relation {
    fn holds(&self, left: &[u8], right: &[u8]) -> Result<bool, MacroError> {
        let order = if self.levels {
            level(left)?.cmp(&level(right)?)
        } else if is_number(left) && is_number(right) {
            number(left)?.cmp(&number(right)?)
        } else {
            left.cmp(right)
        };
        Ok(match self.comparison {
            Comparison::Equal => order == Ordering::Equal,
            Comparison::NotEqual => order != Ordering::Equal,
            Comparison::Less => order == Ordering::Less,
            Comparison::LessOrEqual => order != Ordering::Greater,
            Comparison::GreaterOrEqual => order != Ordering::Less,
            Comparison::Greater => order == Ordering::Greater,
        })
    }
}

fn level(text: &[u8]) -> Result<Level, MacroError> {
    Level::parse(text).map_err(|error| MacroError::Syntax(error.0))
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

fn number(digits: &[u8]) -> Result<i64, MacroError> {
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| MacroError::Fatal(fill!("mac_exp_eval: bad conversion: {}", digits)))
}

/// The text before the next call, `$$` being a dollar, and the rest from its `$` on.
fn literal(text: &[u8]) -> (Cow<'_, [u8]>, &[u8]) {
    let mut literal: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    let mut rest = text;
    loop {
        let end = memchr::memchr(b'$', rest).unwrap_or(rest.len());
        let dollar = rest[end..].starts_with(b"$$");
        let (plain, after) = rest.split_at(if dollar { end + 1 } else { end });
        if literal.is_empty() {
            literal = Cow::Borrowed(plain);
        } else {
            literal.to_mut().extend_from_slice(plain);
        }
        if !dollar {
            return (literal, after);
        }
        rest = &after[1..];
    }
}

/// The inside of the call at the start of `text`, its `$` taken off, and what follows;
/// `None` without a closing bracket.
fn call(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (open, close) = match text.first() {
        Some(b'(') => (b'(', b')'),
        Some(b'{') => (b'{', b'}'),
        _ => {
            let end = text.iter().position(|byte| !is_name(*byte)).unwrap_or(text.len());
            return Some(text.split_at(end));
        }
    };
    let mut level = 0usize;
    for (i, byte) in text.iter().enumerate() {
        if *byte == open {
            level += 1;
        } else if *byte == close {
            level -= 1;
            if level == 0 {
                return Some((&text[1..i], &text[i + 1..]));
            }
        }
    }
    None
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn name_and_operator(inside: &[u8]) -> Result<(&[u8], Operator, &[u8]), MacroError> {
    let text = skip_space(inside);
    let end = text.iter().position(|byte| !is_name(*byte)).unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    match skip_space(after).split_first() {
        None => Ok((name, Operator::None, b"")),
        Some((b'?', rest)) => Ok((name, Operator::Then, rest)),
        Some((b':', rest)) => Ok((name, Operator::Else, rest)),
        Some(_) => Err(wrong(fill!(
            "attribute name syntax error at: \"...{}>>>{}\"",
            &inside[..inside.len() - after.len()],
            shown(after)
        ))),
    }
}

fn after_relation(rest: &[u8]) -> Result<(Operator, &[u8]), MacroError> {
    match rest.split_first() {
        None => Ok((Operator::None, b"")),
        Some((b'?', rest)) => Ok((Operator::Then, rest)),
        Some((b':', rest)) => Ok((Operator::Else, rest)),
        Some(_) => Err(wrong(fill!("\"?\" or \":\" expected at: \"...}>>>{}\"", shown(rest)))),
    }
}

/// The operator of a relation, as it was written, and what follows. `left` is for the report.
fn relation_operator<'t>(
    left: &[u8],
    text: &'t [u8],
) -> Result<(Relation, &'t [u8], &'t [u8]), MacroError> {
    let end = text.iter().position(|byte| !b"<>!=?+-*/~&|%".contains(byte)).unwrap_or(text.len());
    let (operator, rest) = text.split_at(end);
    let Some((_, comparison)) = COMPARISONS.iter().find(|(name, _)| *name == operator) else {
        return Err(wrong(fill!(
            "\"==\" or \"!=\"\" or \"<\"\" or \"<=\"\" or \">=\"\" or \">\" expected at: \"...{}}>>>{}\"",
            left,
            shown(text)
        )));
    };
    let end = rest.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(rest.len());
    let (suffix, after) = rest.split_at(end);
    if !matches!(suffix, b"" | b"level") {
        return Err(wrong(fill!("bad operator suffix at: \"...{}>>>{}\"", operator, suffix)));
    }
    Ok((Relation { comparison: *comparison, levels: !suffix.is_empty() }, operator, after))
}

/// A text behind `?` or `:`: in braces, or all that is left.
fn operand(text: &[u8]) -> Result<(&[u8], &[u8]), MacroError> {
    let braced = skip_space(text);
    if braced.first() == Some(&b'{') { payload(braced) } else { Ok((text, b"")) }
}

/// The inside of `{…}` at the start of `text`, and what follows the blanks behind it.
fn payload(text: &[u8]) -> Result<(&[u8], &[u8]), MacroError> {
    let end = crate::text::split::closing(text)
        .ok_or_else(|| wrong(fill!("unbalanced {} in attribute expression: \"{}\"", "{}", text)))?;
    Ok((&text[1..end], skip_space(&text[end + 1..])))
}

fn skip_space(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !is_space(*byte)).unwrap_or(text.len());
    &text[start..]
}

/// As much of the offending text as Postfix shows.
fn shown(text: &[u8]) -> &[u8] {
    &text[..text.len().min(20)]
}

fn not_too_deep(depth: usize, piece: &[u8]) -> Done {
    if depth > DEEPEST {
        return Err(wrong(fill!("unreasonable macro call nesting: \"{}\"", piece)));
    }
    Ok(())
}

fn wrong(text: Vec<u8>) -> MacroError {
    MacroError::Syntax(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(name: &[u8]) -> Option<Cow<'static, [u8]>> {
        let value: &[u8] = match name {
            b"a" => b"A",
            b"b" => b"<$a>",
            b"empty" => b"",
            b"loop" => b"x$loop",
            b"nine" => b"9",
            b"money" => b"$$a",
            _ => return None,
        };
        Some(Cow::Borrowed(value))
    }

    fn expand(text: &str) -> String {
        match recursively(text.as_bytes(), false, &values) {
            Ok(expanded) => String::from_utf8(expanded.text).unwrap(),
            Err(MacroError::Syntax(text)) => format!("? {}", String::from_utf8_lossy(&text)),
            Err(MacroError::Fatal(text)) => format!("! {}", String::from_utf8_lossy(&text)),
        }
    }

    #[test]
    fn names_stand_for_their_values() {
        assert_eq!(expand("1 $a ${a} $(a) ${ a } $b$$a $none."), "1 A A A A <A>$a .");
        assert_eq!(expand("$a.b ${a}b $money"), "A.b Ab $a");
        assert_eq!(expand("${ }"), "");
    }

    #[test]
    fn a_question_mark_asks_whether_there_is_a_value() {
        assert_eq!(expand("${a?yes} ${empty?yes} ${none?yes}"), "yes  ");
        assert_eq!(expand("${a:no} ${empty:no} ${none:no}"), " no no");
        assert_eq!(expand("${a?x:y}|${empty?x:y}"), "x:y|");
        assert_eq!(expand("${a?{x}:{y}}|${empty?{x}:{y}}|${empty ? {x} : {y $a}}"), "x|y|y A");
        assert_eq!(expand("${a? t }|${a?{ t }}"), " t | t ");
        assert_eq!(expand("${a?{x}:y }|${empty?{x}: y }"), "x| y ");
    }

    #[test]
    fn functions_convert_domains() {
        let call = |text: &str| match recursively(text.as_bytes(), true, &values) {
            Ok(expanded) => String::from_utf8(expanded.text).unwrap(),
            Err(MacroError::Syntax(text) | MacroError::Fatal(text)) => {
                format!("? {}", String::from_utf8_lossy(&text))
            }
        };
        assert_eq!(call("x ${domain_to_ascii{ bücher.example }} y"), "x xn--bcher-kva.example y");
        assert_eq!(call("${domain_to_utf8{xn--bcher-kva.example}}"), "bücher.example");
        assert_eq!(call("${domain_to_ascii {$a.example}}"), "A.example");
        assert_eq!(call("${empty?x}${a?{y}}"), "y");
        assert_eq!(call("${f{a}}"), "? unknown function \"f\" at\"...>>>f{a}\"");
        assert_eq!(call("${domain_to_ascii{a} b}"), "? unexpected input at: \"...a}>>>b\"");
        let bad = call("${domain_to_ascii{ü..ü}}");
        assert_eq!(bad, "? bad domain argument in: 'domain_to_ascii{ü..ü}'");
        assert!(expand("${f{a}}").starts_with("? attribute name syntax error at: \"...f>>>{a}"));
    }

    #[test]
    fn values_that_double_each_other_end_somewhere() {
        let lookup = |name: &[u8]| {
            let number: u32 = std::str::from_utf8(&name[1..]).ok()?.parse().ok()?;
            let value = match number.checked_sub(1) {
                None => String::new(),
                Some(less) => format!("$a{less}${{a{less}}}"),
            };
            Some(Cow::Owned(value.into_bytes()))
        };
        assert!(recursively(b"$a10", false, &lookup).is_ok());
        let error = recursively(b"$a60", false, &lookup).unwrap_err();
        assert!(
            matches!(error, MacroError::Syntax(text) if text.starts_with(b"unreasonable number"))
        );
    }

    #[test]
    fn long_and_deep_texts_end_well() {
        let open = "${a?".repeat(300_000);
        assert!(expand(&open).starts_with("? truncated macro reference"));
        let deep = format!("{}x{}", "${a?{".repeat(200), "}}".repeat(200));
        assert!(expand(&deep).starts_with("? unreasonable macro call nesting"));
        let long = "x$$y ".repeat(200_000);
        assert_eq!(expand(&long).len(), 4 * 200_000);
        assert!(expand(&"${a}".repeat(50_000)).len() == 50_000);
        for wrong in
            ["${{{{{{", "${a?{b}:", "${a?{b}:}", "$(((", "${a:", "${{a}==", "${{a}=={b", "${{}"]
        {
            let _ = expand(wrong);
        }
    }

    #[test]
    fn only_the_chosen_text_is_expanded() {
        assert_eq!(expand("${a?{x}:{$loop}}"), "x");
    }

    #[test]
    fn relations_compare_numbers_and_texts() {
        assert_eq!(expand("${{$a} == {A}}"), "true");
        assert_eq!(expand("${{$a} != {A}}|"), "|");
        assert_eq!(
            expand("${{10} < {$nine}?{y}:{n}} ${{010} == {10}?y} ${{x} > {w} ? {y} : {n}}"),
            "n y y"
        );
        assert_eq!(expand("${{10}<={10}:no}|${{} == {0}?{y}:{n}}"), "|n");
    }

    #[test]
    fn levels_compare_by_their_parts() {
        assert_eq!(expand("${{3.10} >level {3.9} ? {y} : {n}}"), "y");
        assert_eq!(expand("${{2} <level {3.6}?y}"), "y");
        assert_eq!(expand("${{3.6.0} ==level {3.6}?y}"), "y");
        assert_eq!(expand("${{x} <level {2}}"), "? malformed compatibility level syntax: \"x\"");
    }

    #[test]
    fn errors_have_the_words_of_postfix() {
        assert_eq!(expand("a${b"), "? truncated macro reference: \"a${b\"");
        assert_eq!(expand("a$ b"), "? empty macro name: \"a$ b\"");
        assert_eq!(expand("${}"), "? empty macro name: \"${}\"");
        assert_eq!(expand("${a+b}"), "? attribute name syntax error at: \"...a>>>+b\"");
        assert_eq!(expand("${a b}"), "? attribute name syntax error at: \"...a>>> b\"");
        assert_eq!(
            expand("${{a} =~ {b}}"),
            "? \"==\" or \"!=\"\" or \"<\"\" or \"<=\"\" or \">=\"\" or \">\" expected at: \"...a}>>>=~ {b}\""
        );
        assert_eq!(expand("${{a} ==size {b}}"), "? bad operator suffix at: \"...==>>>size\"");
        assert_eq!(expand("${{a} == b}"), "? \"{expression}\" expected at: \"...{a} ==>>> b\"");
        assert_eq!(expand("${{a} == {a} x}"), "? \"?\" or \":\" expected at: \"...}>>>x\"");
        assert_eq!(expand("${a?{x} y}"), "? \":\" expected at: \"...x}>>>y\"");
        assert_eq!(expand("${a?{x}:{y} z}"), "? unexpected input at: \"...y}>>>z\"");
        assert_eq!(expand("$(a?{x)"), "? unbalanced {} in attribute expression: \"{x\"");
        let long = "9".repeat(30);
        assert_eq!(
            expand(&format!("${{{{{long}}} < {{1}}}}")),
            format!("! mac_exp_eval: bad conversion: {long}")
        );
    }

    #[test]
    fn a_loop_is_found() {
        assert_eq!(expand("$loop"), "? unreasonable macro call nesting: \"x\"");
    }

    #[test]
    fn once_means_that_values_are_data() {
        let expanded = once(b"$b ${none}", &values, None).unwrap();
        assert_eq!(expanded, Expanded { text: b"<$a> ".to_vec(), undefined: true });
        let filtered = once(b"<$b>", &values, Some(b"<a>")).unwrap();
        assert_eq!(filtered.text, b"<<_a>>");
    }

    #[test]
    fn any_text_has_an_end() {
        const PIECES: &[&str] = &[
            "$", "{", "}", "(", ")", "?", ":", "a", "b", "nine", "loop", " ", "==", "<", "level",
            "1", "{1}", "${", "\u{0}", "é",
        ];
        let mut random = 1u32;
        for _ in 0..50_000 {
            let mut text = String::new();
            for _ in 0..12 {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                text.push_str(PIECES[(random >> 16) as usize % PIECES.len()]);
            }
            // What comes out does not matter here: only that something does.
            let _ = recursively(text.as_bytes(), false, &values);
            let _ = once(text.as_bytes(), &values, Some(b"ab"));
        }
    }
}
