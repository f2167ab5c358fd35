//! RFC 822 tokens and address lists, as lenient as Postfix (`tok822_parse()`).
//!
//! Text becomes a flat list of tokens from left to right; then, from right to left, what belongs to
//! one address is put together, and commas that are missing between addresses are added. Nothing
//! that is not understood is thrown away. Comments in an address move behind it.

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A special character, or one of `%!|`.
    Op(u8),
    /// `:` after the name of a group.
    GroupStart,
    /// A word; escapes are resolved.
    Atom(Vec<u8>),
    /// A quoted string, without quotes; or a word with an escaped special in it.
    Quoted(Vec<u8>),
    /// A domain literal, without brackets; escapes are resolved.
    Literal(Vec<u8>),
    /// A comment, as it was written.
    Comment(Vec<u8>),
}

/// An address, or what stands between addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// The tokens of an address.
    Address(Vec<Token>),
    /// Something else: phrase, comment, comma, bracket, name of a group.
    Other(Token),
}

/// Parses an address list.
pub fn parse(text: &[u8]) -> Vec<Node> {
    Parser { left: scan(text), middle: Vec::new(), done: Vec::new() }.run()
}

/// The tokens of `text`, from left to right.
fn scan(text: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            byte if is_space(byte) => rest = after,
            b'(' => tokens.push(Token::Comment(comment(&mut rest))),
            b'[' | b'"' => {
                rest = after;
                let end = if byte == b'[' { b']' } else { byte };
                let text = collect(&mut rest, |byte| byte != end);
                rest = rest.get(1..).unwrap_or_default();
                tokens.push(if byte == b'[' { Token::Literal(text) } else { Token::Quoted(text) });
            }
            byte if byte != b'\\' && is_special(byte) => {
                rest = after;
                tokens.push(Token::Op(byte));
            }
            _ => {
                let text = collect(&mut rest, |byte| !is_space(byte) && !is_special(byte));
                let odd = |byte: &u8| is_special(*byte) || *byte == b' ' || byte.is_ascii_control();
                let plain = !text.iter().any(odd);
                tokens.push(if plain { Token::Atom(text) } else { Token::Quoted(text) });
            }
        }
    }
    tokens
}

/// Takes bytes while `wanted`, resolving escapes; white space becomes a blank.
fn collect(rest: &mut &[u8], wanted: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut text = Vec::new();
    while let Some((&byte, after)) = rest.split_first() {
        let mut value = byte;
        let mut next = after;
        if byte == b'\\' {
            let Some((&escaped, after)) = after.split_first() else {
                *rest = after;
                break;
            };
            (value, next) = (escaped, after);
        } else if !wanted(byte) {
            break;
        }
        text.push(if is_space(value) { b' ' } else { value });
        *rest = next;
    }
    text
}

/// Takes a comment, which may nest, in its written form.
fn comment(rest: &mut &[u8]) -> Vec<u8> {
    let mut level = 0usize;
    let mut escaped = false;
    let end = rest.iter().position(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => level += 1,
            b')' => level -= 1,
            _ => {}
        }
        level == 0
    });
    let (comment, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
    *rest = after;
    comment.to_vec()
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_special(byte: u8) -> bool {
    b"|%!()<>@,;:\\\".[]".contains(&byte)
}

/// The list while it is parsed from right to left: `left` is still to be looked at, `middle` will
/// be an address, `done` is behind it. The last two are in reverse order.
struct Parser {
    left: Vec<Token>,
    middle: Vec<Token>,
    done: Vec<Node>,
}

impl Parser {
    fn run(mut self) -> Vec<Node> {
        let mut word_ok = true;
        let mut in_group = false;
        while let Some(token) = self.left.pop() {
            match token {
                Token::Comment(_) => self.done.push(Node::Other(token)),
                Token::Op(b';') => {
                    self.close_with_comma();
                    self.done.push(Node::Other(token));
                    (word_ok, in_group) = (true, true);
                }
                Token::Op(b':') if in_group => {
                    self.close();
                    self.done.push(Node::Other(Token::GroupStart));
                    self.skip_to(b",");
                }
                Token::Op(b'>') => {
                    self.close_with_comma();
                    self.done.push(Node::Other(token));
                    self.route();
                    self.skip_to(b">;,:");
                    self.skip_colon(in_group);
                    word_ok = true;
                }
                Token::Atom(_) | Token::Quoted(_) | Token::Literal(_) => {
                    if !word_ok {
                        self.close_with_comma();
                    }
                    word_ok = false;
                    self.middle.push(token);
                }
                Token::Op(b',') => {
                    self.close();
                    self.done.push(Node::Other(token));
                    word_ok = true;
                }
                Token::Op(_) | Token::GroupStart => {
                    self.middle.push(token);
                    word_ok = true;
                }
            }
        }
        self.close();
        self.done.reverse();
        self.done
    }

    /// What is in the middle is an address.
    fn close(&mut self) {
        if !self.middle.is_empty() {
            let mut tokens = std::mem::take(&mut self.middle);
            tokens.reverse();
            self.done.push(Node::Address(tokens));
        }
    }

    /// The same, where another address stands before it.
    fn close_with_comma(&mut self) {
        if !self.middle.is_empty() {
            self.close();
            self.done.push(Node::Other(Token::Op(b',')));
        }
    }

    /// Takes the inside of `<…>`, up to but without `<`, as an address.
    fn route(&mut self) {
        while let Some(token) = self.left.pop() {
            match token {
                Token::Comment(_) => self.done.push(Node::Other(token)),
                Token::Op(b'<') => {
                    self.left.push(token);
                    break;
                }
                token => self.middle.push(token),
            }
        }
        self.close();
    }

    /// A colon before `<…>` that names no group belongs to no address.
    fn skip_colon(&mut self, in_group: bool) {
        if !in_group && self.left.last() == Some(&Token::Op(b':')) {
            self.done.extend(self.left.pop().map(Node::Other));
        }
    }

    /// Leaves what stands before the address alone, up to one of `stops`.
    fn skip_to(&mut self, stops: &[u8]) {
        let stop = |token: &Token| matches!(token, Token::Op(byte) if stops.contains(byte));
        let start = self.left.iter().rposition(stop).map_or(0, |at| at + 1);
        self.done.extend(self.left.drain(start..).rev().map(Node::Other));
    }
}

/// The internal form of an address: without quotes and escapes. As Postfix:
/// `tok822_internalize()`.
pub fn internal(address: &[Token]) -> Vec<u8> {
    let mut out = Vec::new();
    for token in address {
        match token {
            Token::Op(byte) => out.push(*byte),
            Token::GroupStart => out.push(b':'),
            Token::Atom(text) | Token::Quoted(text) | Token::Comment(text) => {
                out.extend_from_slice(text);
            }
            Token::Literal(text) => {
                out.push(b'[');
                out.extend_from_slice(text);
                out.push(b']');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree on one line: addresses in `{…}`, in internal form.
    fn tree(text: &str) -> String {
        let shown: Vec<String> = parse(text.as_bytes())
            .iter()
            .map(|node| match node {
                Node::Address(tokens) => format!("{{{}}}", show(&internal(tokens))),
                Node::Other(Token::GroupStart) => "group:".to_string(),
                Node::Other(Token::Quoted(text)) => format!("\"{}\"", show(text)),
                Node::Other(token) => show(&internal(std::slice::from_ref(token))),
            })
            .collect();
        shown.join(" ")
    }

    fn show(text: &[u8]) -> String {
        String::from_utf8_lossy(text).into_owned()
    }

    #[test]
    fn an_address_is_found_among_phrases_and_comments() {
        assert_eq!(tree("a@b"), "{a@b}");
        assert_eq!(tree("Foo Bar <a@b> (c)"), "Foo Bar < {a@b} > (c)");
        assert_eq!(tree("a (c) @ (d) b"), "{a@b} (c) (d)");
        assert_eq!(tree("<a (c) @b>"), "< {a@b} (c) >");
        assert_eq!(tree("\"x y\" z <a@b>"), "\"x y\" z < {a@b} >");
    }

    #[test]
    fn missing_commas_are_added() {
        assert_eq!(tree("a b"), "{a} , {b}");
        assert_eq!(tree("<a> <b>"), "< {a} > < {b} >");
        assert_eq!(tree("<a> b"), "< {a} > , {b}");
        assert_eq!(tree("a b@c [d]"), "{a} , {b@c} , {[d]}");
    }

    #[test]
    fn groups_have_a_name_and_members() {
        assert_eq!(tree("g:a@b,c;"), "g group: {a@b} , {c} ;");
        assert_eq!(tree("x, my g:;y"), "{x} , my g group: ; , {y}");
        assert_eq!(tree("a:b"), "{a:b}");
        assert_eq!(tree(":<a@b>"), ": < {a@b} >");
        assert_eq!(tree("x:<a@b>"), "{x} : < {a@b} >");
    }

    #[test]
    fn escapes_and_quotes_are_resolved() {
        assert_eq!(tree("\"a\\\"b c\"@d"), "{a\"b c@d}");
        assert_eq!(tree("a\\@b@c"), "{a@b@c}");
        assert_eq!(tree("a@[1.2\\].3]"), "{a@[1.2].3]}");
        assert_eq!(tree("a\\"), "{a}");
        assert_eq!(tree("\"a\tb"), "{a b}");
    }

    #[test]
    fn comments_nest_and_may_have_no_end() {
        assert_eq!(tree("a(b(c\\)d)e)f"), "{a} , {f} (b(c\\)d)e)");
        assert_eq!(tree("a(b"), "{a} (b");
        assert_eq!(tree("a(b\\"), "{a} (b\\");
        assert_eq!(tree("a)"), "{a)}");
    }

    #[test]
    fn nothing_gives_no_address() {
        assert_eq!(tree(""), "");
        assert_eq!(tree(" \t"), "");
        assert_eq!(tree("<>"), "< >");
        assert_eq!(tree(";"), ";");
    }
}
