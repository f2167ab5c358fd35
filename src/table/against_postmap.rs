//! Tables against postmap(1) of the installed Postfix: the same answers, the same records. Where
//! Postfix 3.7 is not installed, the tests say so and do nothing.

mod indexed;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use super::{Opener, Request};
use crate::config::Config;
use crate::log::captured;

/// What comes out: a line for each key that is found, and the records.
#[derive(Debug, PartialEq)]
struct Outcome {
    found: Vec<String>,
    records: Vec<String>,
}

struct World {
    directory: PathBuf,
    utf8: bool,
}

impl World {
    /// A folder for tables; `None` where there is no postmap.
    fn new(name: &str, utf8: bool) -> Option<Self> {
        let release = Command::new("postconf").args(["-dh", "mail_version"]).output();
        if !release.is_ok_and(|output| output.stdout.starts_with(b"3.7.")) {
            eprintln!("Postfix 3.7 is not installed: tables are not compared with it");
            return None;
        }
        let directory =
            std::env::temp_dir().join(format!("smtpd-rs-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let world = Self { directory, utf8 };
        world.file("main.cf", world.main_cf().as_bytes());
        Some(world)
    }

    fn main_cf(&self) -> String {
        let utf8 = if self.utf8 { "yes" } else { "no" };
        format!(
            "compatibility_level = 3.6\nsmtputf8_enable = {utf8}\n\
             berkeley_db_create_buffer_size = 268435456\n"
        )
    }

    /// Writes a file, long ago.
    fn file(&self, name: &str, text: &[u8]) -> PathBuf {
        let path = self.directory.join(name);
        let mut file = File::create(&path).unwrap();
        file.write_all(text).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
        path
    }

    /// Asks postmap.
    fn theirs(&self, spec: &[u8], keys: &[&[u8]]) -> Outcome {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let mut child = Command::new("postmap")
            .arg("-c")
            .arg(&self.directory)
            .args(["-q", "-"])
            .arg(OsStr::from_bytes(spec))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let questions = [&keys.join(&b'\n')[..], b"\n"].concat();
        // A postmap that gave up does not read.
        let asking = std::thread::spawn(move || drop(stdin.write_all(&questions)));
        let output = child.wait_with_output().unwrap();
        asking.join().unwrap();
        let lines = |text: &[u8]| -> Vec<String> {
            let text = String::from_utf8_lossy(text).into_owned();
            text.lines().map(|line| line.trim_start_matches("postmap: ").to_owned()).collect()
        };
        Outcome { found: lines(&output.stdout), records: lines(&output.stderr) }
    }

    /// Asks ourselves, as postmap does: what cannot be opened is fatal.
    fn ours(&self, spec: &[u8], keys: &[&[u8]]) -> Outcome {
        let main_cf = self.main_cf() + "daemon_table_open_error_is_fatal = yes\n";
        let mut opener = Opener::new(&Config::of_text(&main_cf).unwrap());
        captured::take();
        // The log masks what is not printable.
        let masked = |line: &String| line.replace('\u{fffd}', "?");
        let records = || -> Vec<String> { captured::take().iter().map(masked).collect() };
        let table = match opener.open(spec, Request::ACCESS) {
            Ok(table) => table,
            Err(fatal) => {
                let mut records = records();
                records.push(masked(&format!("fatal: {}", String::from_utf8_lossy(&fatal.0))));
                return Outcome { found: Vec::new(), records };
            }
        };
        let mut found = Vec::new();
        for key in keys {
            if let Ok(Some(value)) = table.lookup(key) {
                if value.is_empty() {
                    // postmap's own words.
                    warning!("table {}: key {}: empty string result is not allowed", spec, key);
                    warning!("table {} should return NO RESULT in case of NOT FOUND", spec);
                }
                let line = fill!("{}\t{}", key, value);
                found.push(String::from_utf8_lossy(&line).into_owned());
            }
        }
        Outcome { found, records: records() }
    }

    /// Compares many tables at once: postmap waits a second before it gives up.
    fn compare_all(&self, specs: &[&[u8]], keys: &[&[u8]]) {
        std::thread::scope(|scope| {
            for spec in specs {
                scope.spawn(|| self.compare(spec, keys));
            }
        });
    }

    fn compare(&self, spec: &[u8], keys: &[&[u8]]) -> Outcome {
        let (theirs, ours) = (self.theirs(spec, keys), self.ours(spec, keys));
        assert_eq!(ours, theirs, "{}", String::from_utf8_lossy(spec));
        ours
    }

    fn compare_file(&self, kind: &str, text: &[u8], keys: &[&[u8]]) -> Outcome {
        let path = self.file(&format!("{kind}.map"), text);
        let spec = format!("{kind}:{}", path.display());
        self.compare(spec.as_bytes(), keys)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all::<&Path>(self.directory.as_ref());
    }
}

#[test]
fn texthash_reads_odd_files_as_postfix_does() {
    let Some(world) = World::new("texthash", true) else { return };
    let keys: [&[u8]; 14] = [
        b"a",
        b"A",
        b"b",
        b"bar:",
        b"\"x y\"",
        b"\"X y\"",
        b"x",
        b"c\\ d",
        b"\"q\\\"r s\"",
        b"FOO.bar",
        "ÄÖ".as_bytes(),
        b"\xff",
        b"",
        b"e",
    ];
    let text: &[u8] =
        b"# comment\n\n  starts with blanks\na  one\n two \n\t\n# in between\n\tthree  \n\
        b\nbar: x\n\"x y\" quoted key\n\"open quote\n\"half\"x  y\nc\\ d backslash\n\
        \"q\\\"r s\" hidden quote\nFoo.Bar Some Value\n\xc3\xa4\xc3\xb6 umlaut\nbad\xff value\n\
        \xe2\x82\xac caf\xe9\nnul\0 x\nnul2 a\0b\ne \"unclosed in value\nlast line";
    let outcome = world.compare_file("texthash", text, &keys);
    assert_eq!(outcome.found.len(), 10, "{outcome:?}");
    assert_eq!(outcome.records.len(), 8, "{outcome:?}");
    world.compare_file("texthash", b"", &keys);
    world.compare(b"texthash:/nowhere", &keys);
}

#[test]
fn inline_reads_odd_texts_as_postfix_does() {
    let Some(world) = World::new("inline", true) else { return };
    let keys: [&[u8]; 6] = [b"a", b"B", b"c", b"\"x y\"", b"d", "É".as_bytes()];
    let specs = [
        "inline:{a=1, b=2 ,, {c = three four }, { \"x y\" = z }}",
        "inline:{a=1 a=2}",
        "inline:{d=}",
        "inline:{é=ü}",
        "inline:{{a=1}x}",
        "inline:{a}",
        "inline:{{\"a = b}}",
        "inline:{{ }}",
        "inline:{}",
        "inline:{,}",
        "inline:a=b",
        "inline:{a=b}x",
        "inline:{a=b",
        "inline:{=b}",
    ];
    let mut specs = specs.map(str::as_bytes).to_vec();
    specs.push(b"inline:{a=\xff}");
    world.compare_all(&specs, &keys);
}

#[test]
fn static_and_fail_are_what_they_are_in_postfix() {
    let Some(world) = World::new("static", true) else { return };
    let specs = ["static:x y", "static:{ x y }", "static:{x", "static:{x}y", "static:a{b"];
    world.compare_all(&specs.map(str::as_bytes), &[b"a", "ä".as_bytes(), b"\xff"]);
}

#[test]
fn cidr_reads_odd_files_as_postfix_does() {
    let Some(world) = World::new("cidr", true) else { return };
    let keys: [&[u8]; 16] = [
        b"10.0.0.1",
        b"10.1.2.3",
        b"192.0.2.1",
        b"192.0.2.200",
        b"172.16.0.1",
        b"172.16.9.9",
        b"2001:db8::1",
        b"2001:DB8:0:0::1",
        b"2001:db8:1::1",
        b"::1",
        b"1.2.3",
        b"1.2.3.4.5",
        b"example.com",
        b"01.2.3.4",
        b"255.255.255.255",
        b"9.9.9.9",
    ];
    let text: &[u8] = b"# c\n10.0.0.0/264 wrapped mask\n!192.0.2.0/25\tnegated v4 \n\
        [2001:db8::1] one\n[2001:db8:1::]/48 net\n[::1/128] loop\n\
        10.0.0.0/33 x\n10.0.0.1/8 x\n10.0.0/8 x\n10.0.0.0/ x\n10.0.0.0/a x\n[10.0.0.0 x\n[10.0.0.0]a x\n\
        1.2.3.4.5 x\n9.9.9.9\n! \n  continued 1\n!\nendif\nIF\nif !\nif 172.16.0.0/16\n!172.16.9.0/24 inside\n\
        iF ! 172.16.9.0/25\n172.16.9.0/24 never\nEndIf\nendif x\nendif\n\
        2001:db8::2/32 x\n01.2.3.4 octal\nhost.example x\nif 255.0.0.0/8\n255.255.255.255 last\nif 255.0.0.0/9\n";
    let outcome = world.compare_file("cidr", text, &keys);
    assert!(outcome.found.len() > 8, "{outcome:?}");
    assert!(outcome.records.len() > 15, "{outcome:?}");
    let specs = [
        "cidr:{{10.0.0.0/8 OK}, { 1.2.3.4/33 x}}",
        "cidr:{10.0.0.0/8 OK}",
        "cidr:/nowhere",
        "cidr:/",
    ];
    world.compare_all(&specs.map(str::as_bytes), &keys);
}

#[test]
fn a_large_cidr_table_finds_the_first_match() {
    let Some(world) = World::new("large-cidr", true) else { return };
    let mut text = String::new();
    for i in 0..200u32 {
        text += &format!("10.{}.{}.0/24 net {i}\n10.0.0.0/{} wide {i}\n", i % 7, i % 5, 8 + i % 5);
        text += &format!("2001:db8:{:x}::/48 six {i}\n10.1.1.{} host {i}\n", i % 9, i);
    }
    let mut keys: Vec<Vec<u8>> = Vec::new();
    for i in 0..64u32 {
        keys.push(fill!("10.{}.{}.{}", i % 9, i % 6, i));
        keys.push(format!("2001:db8:{:x}::{i}", i % 11).into_bytes());
    }
    let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
    world.compare_file("cidr", text.as_bytes(), &keys);
}

/// Rules that regexp and pcre tables read alike, but for some words.
const RULES: &[u8] = b"# c\n/^a(.*)b$/ got $1 and ${1} and $(1) and $$1\n/^a(.*)b$/ second\n\
    /plain/ PLAIN\n/Case/i case matters\n!/./ nothing there\n !/x/ continued\n\
    /empty/\n/(one)(two)?/  $2 $1\n/opt(x)?y/ <$1>\n/bad[/ x\n/bad(/ x\n/noclose x\n//empty pattern\n\
    /index(.)/ $2\n/index/ $0\n/index/ $x\n/index/ ${1\n/index/ $ \n/index/ $x $y ${z} $0\n/index/ ${}\n\
    /unknown/Z x\n!/neg(.)/ $1\n#x\n!\n! !\n|bar| delimiters\n/a\\/b/ slash\n/quo\\\\/ backslash\n\
    unrecognized\nif\nif !\nif /^in/\n/inside/ IN\nif !/side/\n/^inx/ NOTSIDE\nendif\n/^in/ ELSE $$\nendif extra\n\
    endif\nifx /a/\nendifx\nif /more/ extra text\n/more/ MORE\nENDIF\n/$1/ dollar\n/99/ $99999999999999999999\n\
    if /(/\n/y/ in bad if\nendif\nif /open/\n/opener/ OPENER\nif /never/\n/trailing/ x  \n/last\\";

const RULE_KEYS: [&[u8]; 24] = [
    b"axyzb",
    b"AB",
    b"plain",
    b"case",
    b"Case",
    b"empty",
    b"onetwo",
    b"one",
    b"opty",
    b"optxy",
    b"index",
    b"|bar|",
    b"x|bar",
    b"a/b",
    b"quo\\",
    b"inside",
    b"inx",
    b"iny",
    b"more",
    b"neg",
    b"opener",
    b"trailing",
    "ümläut".as_bytes(),
    b"\xff",
];

#[test]
fn regexp_reads_odd_files_as_postfix_does() {
    let Some(world) = World::new("regexp", true) else { return };
    let outcome = world.compare_file("regexp", RULES, &RULE_KEYS);
    assert!(outcome.found.len() > 12, "{outcome:?}");
    assert!(outcome.records.len() > 25, "{outcome:?}");
    let text: &[u8] = b"/^a/!/b$/ a not b\n/^a/i!/C/x $1\n/(a)/!/z/ $1\n/a\\(b\\)/x basic $1\n/a.b/m new\n\
        /x/!/y z\n/x/!/[/ z\nif /k/!/b/\n/k/ K\nendif\n/.{1,70000}/ x\n/a**/ x\n/\\(/ paren\n/last\\";
    world.compare_file("regexp", text, &[b"ac", b"ab", b"aC", b"ba", b"ab", b"k", b"(", b"last"]);
    world.compare(b"regexp:{{/a/ b}, {/c/  d e }}", &[b"a", b"c"]);
    world.compare(b"regexp:/nowhere", &[b"a"]);
    world.compare(b"regexp:/", &[b"a"]);
}

#[test]
fn pcre_reads_odd_files_as_postfix_does() {
    let Some(world) = World::new("pcre", true) else { return };
    let outcome = world.compare_file("pcre", RULES, &RULE_KEYS);
    assert!(outcome.found.len() > 12, "{outcome:?}");
    assert!(outcome.records.len() > 25, "{outcome:?}");
    let text: &[u8] = b"/^a/!/b$/ old form\n/b/A anchored\n/(a+)/U <$1>\n/c$/E end\n/d d/x extended\n\
        /e/X obsolete\n/(?<name>f)(g)?/ $1$2\n/^(h+)*$/ loop\n/\\Ki(j)/ $1\n/(?=k)\\Kk(*ACCEPT)/ x\n\
        /((((l))))/ $4$3\n/m\\/ x\n/(?P<n>n)\\k<x>/ x\n/^(?:(o)|p)$/ [$1]\n";
    let keys: [&[u8]; 16] = [
        b"a", b"ab", b"ba", b"b", b"aaa", b"c", b"dd", b"d d", b"e", b"f", b"fg", b"hhh", b"ij",
        b"k", b"l", b"p",
    ];
    world.compare_file("pcre", text, &keys);
    world.compare(b"pcre:{{/a/ b}, {/c/  d e }}", &[b"a", b"c"]);
    world.compare(b"pcre:{{/a/ b}, {/c/  d e }x}", &[b"a"]);
}

#[test]
fn without_smtputf8_bytes_are_bytes() {
    let Some(world) = World::new("bytes", false) else { return };
    let keys: [&[u8]; 6] = [b"A", b"\xff", b"caf\xe9", "Ä".as_bytes(), "ä".as_bytes(), b"b\xff"];
    world.compare_file("texthash", b"a x\xff\n\xff y\ncaf\xe9 z\n\xc3\x84 capital\n", &keys);
    world.compare_file("regexp", b"/^b./ any\n/\xff/ ff\n", &keys);
    world.compare_file("pcre", b"/^b./ any\n/\xff/ ff\n", &keys);
    world.compare(b"inline:{caf\xe9=x}", &keys);
}

#[test]
fn tables_of_tables_are_what_they_are_in_postfix() {
    let Some(world) = World::new("members", true) else { return };
    let specs = [
        "unionmap:{inline:{a=1, b=2}, static:x inline:{A=3}}",
        "unionmap:{inline:{a=1}}",
        "unionmap:{regexp:{{/^A$/ $0}} inline:{b=\u{e9}}}",
        "unionmap:{inline:{a=1} regexp:{{/^A$/ big}} regexp:{{/^a$/ small}}}",
        "unionmap:{pipemap:{inline:{a=b} inline:{b=c}} static:y}",
        "unionmap:{}",
        "unionmap:{ , }",
        "unionmap:{a}",
        "unionmap:{static:x}x",
        "unionmap:static:x",
        "unionmap:{static:}",
        "unionmap:{static:x nonsense:y}",
        "pipemap:{inline:{a=b, b=x}, inline:{b=2}, static:z}",
        "pipemap:{inline:{a=b} inline:{c=d}}",
        "pipemap:{}",
        "pipemap:{inline}",
        "randmap:{x}",
        "randmap:{ {x y} }",
        "randmap:{}",
        "randmap:x",
    ];
    world.compare_all(&specs.map(str::as_bytes), &[b"a", b"A", b"b", b"c", "é".as_bytes()]);
}

#[test]
fn what_the_system_knows_is_what_it_is_in_postfix() {
    let Some(world) = World::new("system", false) else { return };
    let keys: [&[u8]; 9] =
        [b"root", b"Root", b"daemon", b"postfix", b"tty", b"no such one", b"", b"\xff", b"a:b"];
    let specs = ["unix:passwd.byname", "unix:group.byname", "unix:hosts.byname"];
    world.compare_all(&specs.map(str::as_bytes), &keys);
    let users = world.compare(b"unix:passwd.byname", &keys);
    assert!(users.found[0].starts_with("root\troot:x:0:0:"), "{users:?}");
    // Keys are asked for in small letters, as far as there are any.
    let names: [&[u8]; 4] = [b"PATH", b"_", b"1", b"x=y"];
    assert!(world.compare(b"environ:x", &names[2..]).found.is_empty());
    assert!(world.ours(b"environ:x", &names[..1]).found.is_empty());
}
