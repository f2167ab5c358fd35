//! `smtpd-rs parameters`: what main.cf says, as postconf(1) shows it, of the parameters that smtpd
//! has.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use lexopt::{Arg, Parser};

use super::Trouble;
use crate::config::{self, listing::Listing};
use crate::log::{self, Fatal};
use crate::sys::start::ExitCode;

/// What `--help` prints.
pub(super) const HELP: &str = "\
usage: smtpd-rs parameters [-dhHnx] [-c directory] [-o name=value]... [name]...

Prints parameters of smtpd as postconf(1) does: all, or those of these names.

    -c directory   read main.cf there, not in $MAIL_CONFIG or /etc/postfix
    -d             defaults, whatever main.cf says
    -h             values without names
    -H             names without values
    -n             only what main.cf sets
    -o name=value  as if main.cf had this line too
    -x             values with what their $names stand for

The server takes a $name for nothing where that parameter is loaded later:
-x shows its value all the same, as postconf -x does.
";

#[derive(Debug, Default)]
struct Wanted {
    directory: Option<PathBuf>,
    defaults: bool,
    without_names: bool,
    without_values: bool,
    only_set: bool,
    expanded: bool,
    overrides: Vec<Vec<u8>>,
    names: Vec<OsString>,
}

impl Wanted {
    fn parse(words: &mut Parser) -> Result<Self, Trouble> {
        let mut wanted = Self::default();
        while let Some(word) = words.next()? {
            match word {
                Arg::Long("help") => return Err(Trouble::Help),
                Arg::Short('c') => wanted.directory = Some(words.value()?.into()),
                Arg::Short('d') => wanted.defaults = true,
                Arg::Short('h') => wanted.without_names = true,
                Arg::Short('H') => wanted.without_values = true,
                Arg::Short('n') => wanted.only_set = true,
                Arg::Short('o') => wanted.overrides.push(words.value()?.into_vec()),
                Arg::Short('x') => wanted.expanded = true,
                Arg::Value(name) => wanted.names.push(name),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(wanted)
    }

    fn directory(&self) -> PathBuf {
        self.directory.clone().unwrap_or_else(config::directory)
    }
}

/// The verb.
pub(super) fn parameters(words: &mut Parser) -> Result<ExitCode, Trouble> {
    let wanted = Wanted::parse(words)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let (printed, records) = log::capture(|| print(&wanted, &mut out));
    for (severity, text) in records {
        let text = String::from_utf8_lossy(&text).into_owned();
        super::complain(&format!("{}{text}", severity.prefix()));
    }
    match printed {
        Ok(result) => {
            result?;
            out.flush()?;
            Ok(ExitCode::SUCCESS)
        }
        Err(fatal) => {
            out.flush()?;
            super::complain(&format!("fatal: {}", String::from_utf8_lossy(&fatal.0)));
            Ok(ExitCode::FAILURE)
        }
    }
}

fn print(wanted: &Wanted, out: &mut impl io::Write) -> Result<io::Result<()>, Fatal> {
    let mut listing = Listing::read(&wanted.directory(), !wanted.defaults, &wanted.overrides)?;
    if wanted.names.is_empty() {
        for name in listing.names() {
            if let Err(error) = line(wanted, &mut listing, name, out)? {
                return Ok(Err(error));
            }
        }
        return Ok(Ok(()));
    }
    for name in &wanted.names {
        match name.to_str().filter(|name| listing.has(name)) {
            None => warning!("{}: unknown parameter", name.as_bytes()),
            Some(name) => {
                if let Err(error) = line(wanted, &mut listing, name, out)? {
                    return Ok(Err(error));
                }
            }
        }
    }
    Ok(Ok(()))
}

/// Prints one parameter.
fn line(
    wanted: &Wanted,
    listing: &mut Listing,
    name: &str,
    out: &mut impl io::Write,
) -> Result<io::Result<()>, Fatal> {
    let value = if wanted.defaults {
        Some(listing.default(name)?)
    } else if wanted.only_set {
        listing.set(name)
    } else {
        Some(listing.value(name)?)
    };
    let Some(mut value) = value else { return Ok(Ok(())) };
    if wanted.without_values {
        return Ok(out.write_all(&fill!("{}\n", name)));
    }
    if wanted.expanded {
        value = listing.expanded(name, &value)?;
    }
    let start = if wanted.without_names { Vec::new() } else { fill!("{} = ", name) };
    Ok(out.write_all(&tidy(&fill!("{}{}", start, value))))
}

/// A line with one blank where there are several, or line ends.
fn tidy(text: &[u8]) -> Vec<u8> {
    let words = text.split(|byte| b" \t\r\n".contains(byte)).filter(|word| !word.is_empty());
    let mut line = words.collect::<Vec<_>>().join(&b' ');
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(arguments: &[&str]) -> Result<String, String> {
        let mut words = Parser::from_args(arguments);
        let wanted = Wanted::parse(&mut words).map_err(|trouble| trouble.to_string())?;
        let mut out = Vec::new();
        let result = print(&wanted, &mut out);
        result.map_err(|fatal| String::from_utf8_lossy(&fatal.0).into_owned())?.unwrap();
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_value_is_printed_as_it_is_written_or_as_it_is_meant() {
        let options = ["-d", "-o", "smtpd_rs_dialect=3.12", "smtpd_timeout"];
        let print = |more: &[&str]| printed(&[&options[..], more].concat()).unwrap();
        assert_eq!(print(&[]), "smtpd_timeout = ${stress?{10}:{300}}s\n");
        assert_eq!(print(&["-x"]), "smtpd_timeout = 300s\n");
        assert_eq!(print(&["-hx"]), "300s\n");
        assert_eq!(print(&["-H"]), "smtpd_timeout\n");
    }

    #[test]
    fn all_parameters_are_printed_in_order() {
        let all = printed(&["-dH", "-o", "smtpd_rs_dialect=3.7.11"]).unwrap();
        let names: Vec<&str> = all.lines().collect();
        assert!(names.is_sorted() && names.len() > 340, "{}", names.len());
        assert!(names.contains(&"config_directory") && !names.contains(&"requiretls_enable"));
    }

    #[test]
    fn unknown_names_are_told() {
        assert_eq!(printed(&["-d", "nonsense", "mail_name"]).unwrap(), "mail_name = Postfix\n");
        assert_eq!(crate::log::captured::take(), ["warning: nonsense: unknown parameter"]);
        assert!(printed(&["-q"]).is_err());
        assert_eq!(
            printed(&["-c", "/nonexistent"]).unwrap_err(),
            "open /nonexistent/main.cf: No such file or directory"
        );
        assert_eq!(
            printed(&["-d", "-o", "x"]).unwrap_err(),
            "invalid parameter override: x: missing '=' after attribute name"
        );
    }

    #[test]
    fn white_space_is_tidied() {
        assert_eq!(tidy(b"a =  b\t c\r "), b"a = b c\n");
        assert_eq!(tidy(b"a = "), b"a =\n");
    }
}
