//! Our tables against those of the installed Postfix.

use std::collections::HashMap;
use std::process::Command;

use smtpd_rs::config::parameters::TABLE;

/// The defaults that depend on the machine, or on where `postconf` asks.
const COMPUTED: &[&str] = &["mydomain", "myhostname", "mynetworks"];

fn defaults() -> Option<HashMap<String, String>> {
    let output = Command::new("postconf").arg("-d").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let pair = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    Some(text.lines().filter_map(pair).collect())
}

#[test]
fn parameters_have_the_defaults_of_the_installed_postfix() {
    let Some(theirs) = defaults() else {
        eprintln!("skipped: there is no postconf here");
        return;
    };
    let version = theirs.get("mail_version").map_or("", String::as_str);
    if !version.starts_with("3.7.") {
        eprintln!("skipped: the table is that of Postfix 3.7, installed is {version}");
        return;
    }
    let mut differences = Vec::new();
    for row in TABLE.iter().filter(|row| !COMPUTED.contains(&row.name)) {
        match theirs.get(row.name) {
            // The patch level changes no default.
            Some(_) if row.name == "mail_version" || row.name == "mail_release_date" => {}
            Some(theirs) if theirs == row.default => {}
            theirs => {
                differences.push(format!("{}: {:?}, theirs {theirs:?}", row.name, row.default))
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn each_parameter_stands_in_the_table_once() {
    let mut names: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
    names.sort_unstable();
    let len = names.len();
    names.dedup();
    assert_eq!(names.len(), len);
}
