//! `fill!`: `format!` for bytes.
//!
//! What comes from clients, tables and DNS is bytes, not UTF-8; `fill!` puts such values into our
//! own texts unchanged. `{}` is the only hole; the number of values is checked when compiling.

use std::net::IpAddr;

/// A value that can stand in a text made by [`fill!`].
pub trait Bytes {
    /// Appends the value to `out`.
    fn append_to(&self, out: &mut Vec<u8>);
}

impl Bytes for [u8] {
    fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl<const N: usize> Bytes for [u8; N] {
    fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl Bytes for Vec<u8> {
    fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl Bytes for str {
    fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl Bytes for String {
    fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl<T: Bytes + ?Sized> Bytes for &T {
    fn append_to(&self, out: &mut Vec<u8>) {
        (**self).append_to(out);
    }
}

impl<T: Bytes + ?Sized> Bytes for std::borrow::Cow<'_, T>
where
    T: ToOwned,
{
    fn append_to(&self, out: &mut Vec<u8>) {
        (**self).append_to(out);
    }
}

macro_rules! displayed {
    ($($t:ty)*) => { $(
        impl Bytes for $t {
            fn append_to(&self, out: &mut Vec<u8>) {
                use std::io::Write as _;
                // Writing into a Vec cannot fail.
                let _ = write!(out, "{self}");
            }
        }
    )* };
}

displayed!(u8 u16 u32 u64 usize i32 i64 isize char IpAddr std::fmt::Arguments<'_>);

impl Bytes for std::io::Error {
    /// As `%m` in C: without the number that Rust adds.
    fn append_to(&self, out: &mut Vec<u8>) {
        let text = self.to_string();
        let end = text.find(" (os error ").unwrap_or(text.len());
        out.extend_from_slice(&text.as_bytes()[..end]);
    }
}

/// The number of `{}` in `text`.
pub const fn holes(text: &str) -> usize {
    let text = text.as_bytes();
    let (mut i, mut n) = (0, 0);
    while i + 1 < text.len() {
        if text[i] == b'{' && text[i + 1] == b'}' {
            n += 1;
            i += 1;
        }
        i += 1;
    }
    n
}

/// Puts `values` into the holes of `text`. Use [`fill!`].
pub fn fill(text: &str, values: &[&dyn Bytes]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 16 * values.len());
    fill_into(&mut out, text, values);
    out
}

/// Appends `text` with `values` in its holes to `out`.
pub fn fill_into(out: &mut Vec<u8>, text: &str, values: &[&dyn Bytes]) {
    let mut values = values.iter();
    let mut rest = text.as_bytes();
    // Texts are short: a plain search is faster than a clever one.
    while let Some(at) = rest.windows(2).position(|pair| pair == b"{}") {
        out.extend_from_slice(&rest[..at]);
        if let Some(value) = values.next() {
            value.append_to(out);
        }
        rest = &rest[at + 2..];
    }
    out.extend_from_slice(rest);
}

/// `format!` for bytes: `fill!("<{}>: not found", address)` gives a `Vec<u8>`.
#[macro_export]
macro_rules! fill {
    ($text:literal $(, $value:expr)* $(,)?) => {{
        const _: () = assert!(
            $crate::text::fill::holes($text) == <[&str]>::len(&[$(stringify!($value)),*]),
            "as many values as holes"
        );
        $crate::text::fill::fill($text, &[$(&$value as &dyn $crate::text::fill::Bytes),*])
    }};
}

#[cfg(test)]
mod tests {
    #[test]
    fn values_stand_in_the_holes_unchanged() {
        let value: &[u8] = b"a\xffb";
        assert_eq!(fill!("<{}> {}{}", value, 7u32, "x"), b"<a\xffb> 7x");
    }

    #[test]
    fn a_hole_in_a_value_is_not_filled() {
        assert_eq!(fill!("{} {}", "{}", "b"), b"{} b");
    }

    #[test]
    fn an_error_is_named_as_in_c() {
        let error = std::io::Error::from_raw_os_error(2);
        assert_eq!(fill!("open: {}", error), b"open: No such file or directory");
    }
}
