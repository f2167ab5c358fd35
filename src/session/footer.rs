//! smtpd_reject_footer: lines added to each 4xx and 5xx reply (postconf(5)).

use crate::mail::reply::enhanced_code_length;
use crate::restriction::expand::Expander;

/// `reply` with the lines of `template`; `None` where the reply is not one, or the template does
/// not expand. `\n` in the template starts a line, `\c` at its start goes on with the last one.
pub(crate) fn append(reply: &[u8], template: &[u8], expander: &Expander<'_>) -> Option<Vec<u8>> {
    let reply = reply.strip_suffix(b"\r\n").unwrap_or(reply);
    let lines: Vec<&[u8]> = split(reply, b"\r\n").collect();
    if !lines.iter().all(|line| is_reply_line(line)) {
        return None;
    }
    let last = lines.last()?;
    let code = &last[..3];
    let enhanced = last.get(4..).map_or(&b""[..], |text| &text[..enhanced_code_length(text)]);
    let mut out = reply.to_vec();
    let mut template = template;
    let mut go_on = false;
    if let Some(rest) = template.strip_prefix(b"\\c") {
        template = rest;
        go_on = true;
    }
    for part in split(template, b"\\n") {
        let text = expander.expand(part)?;
        if go_on {
            go_on = false;
        } else {
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(code);
            out.push(b' ');
            if !enhanced.is_empty() {
                out.extend_from_slice(enhanced);
                out.push(b' ');
            }
        }
        out.extend_from_slice(&text);
    }
    Some(out)
}

fn is_reply_line(line: &[u8]) -> bool {
    line.len() >= 4 && line[..3].iter().all(u8::is_ascii_digit) && matches!(line[3], b' ' | b'-')
}

/// The parts of `text` between `separator`s.
fn split<'a>(text: &'a [u8], separator: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let at = memchr::memmem::find(text, separator);
        rest = at.map(|at| &text[at + separator.len()..]);
        Some(&text[..at.unwrap_or(text.len())])
    })
}
