//! Plays Postfix's own script about lists of hosts (`namadr_list.in`, `.ref`), which stays where it
//! is: `POSTFIX_SOURCE` names the top of a source tree. Without it there is nothing to play.

use std::path::Path;
use std::{env, fs};

use super::MatchList;
use crate::config::Config;
use crate::log::captured;
use crate::table::Opener;

/// The words of a shell command; quotes are single, and round a whole word.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quoted) = (Vec::new(), false);
    for part in line.split('\'') {
        if quoted {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
        quoted = !quoted;
    }
    words
}

/// The commands of a script; a quoted word may have several lines.
fn commands(script: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    for line in script.lines() {
        match commands.last_mut().filter(|command| command.matches('\'').count() % 2 == 1) {
            Some(command) => {
                command.push('\n');
                command.push_str(line);
            }
            None => commands.push(line.to_owned()),
        }
    }
    commands
}

/// What our list says to a line of the script.
fn answer(release: &str, patterns: &str, host: &str, addr: &str) -> Vec<String> {
    let dialect = format!("smtputf8_enable = yes\nsmtpd_rs_dialect = {release}\n");
    let config = Config::of_text(&dialect).unwrap();
    captured::take();
    let mut opener = Opener::new(&config);
    let patterns = patterns.as_bytes();
    let list = MatchList::hosts(&mut opener, &config, "command line", patterns, Some("mynetworks"));
    let verdict = match list.unwrap().matches_host(host.as_bytes(), addr.as_bytes()) {
        Ok(true) => "YES",
        Ok(false) => "NO",
        Err(_) => "ERROR",
    };
    let mut lines = captured::take();
    lines.push(format!("{host}/{addr}: {verdict}"));
    lines
}

#[test]
fn postfix_asks_about_lists_of_hosts() {
    let Some(source) = env::var_os("POSTFIX_SOURCE") else {
        eprintln!("namadr_list is not played: POSTFIX_SOURCE does not say where the source is");
        return;
    };
    let directory = Path::new(&source).join("src/global");
    let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
    let junk = env::temp_dir().join(format!("smtpd-rs-junk-{}", std::process::id()));
    fs::write(&junk, "foo !bar baz\n").unwrap();
    let junk_name = junk.display().to_string();
    let version = read("mail_version.h");
    let version = version.split("MAIL_VERSION_NUMBER\t\"").nth(1).unwrap();
    let release = version.split('"').next().unwrap();
    let reference = read("namadr_list.ref");
    let mut expected = reference.lines().map(|line| line.trim_start_matches("./namadr_list: "));
    for line in commands(&read("namadr_list.in")) {
        if let Some((text, _)) =
            line.strip_prefix("echo ").and_then(|text| text.split_once(">junk"))
        {
            fs::write(&junk, text.trim_end().replace('\'', "") + "\n").unwrap();
        }
        let line = line.replace("/tmp/junk", &junk_name).replace("environ:junk", "inline:{foo=x}");
        let Some(at) = line.find("./namadr_list ") else { continue };
        let words = words(&line[at..]);
        let [command, patterns, host, addr] = &words[..] else { continue };
        if command == "./namadr_list" {
            for ours in answer(release, patterns, host, addr) {
                assert_eq!(Some(&ours[..]), expected.next(), "{line}");
            }
        }
    }
    assert_eq!(expected.next(), None);
    fs::remove_file(junk).unwrap();
}
