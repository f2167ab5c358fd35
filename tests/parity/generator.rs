//! Random files main.cf, the same for the same number: what a person may write, and what nobody would.

/// Names that values refer to, besides those of the file itself.
const KNOWN: &[&str] = &[
    "myhostname",
    "mydomain",
    "mail_name",
    "compatibility_level",
    "smtpd_recipient_limit",
    "max_idle",
    "relayhost",
    "syslog_name",
    "mynetworks_style",
    "undefined_name",
];
const WORDS: &[&str] =
    &["a", "B7", "10", "010", "9", "3.10", "x y", "yes", "é", "#", ",", "=", "'", "\"q\""];
const OPERATORS: &[&str] = &["==", "!=", "<", "<=", ">=", ">", "==level", "<level", ">=level"];
/// What ends in an error.
const WRONG: &[&str] = &[
    "${v1",
    "$(v1",
    "${}",
    "$",
    "$.",
    "${v1 x}",
    "${{a} = {b}}",
    "${{a} == b}",
    "${{a} ==levels {b}}",
    "${{a} == {b} c}",
    "${v1?{a} b}",
    "${v1?{a}:{b} c}",
    "${v1?{a}",
    "${{99999999999999999999} < {1}}",
    "${{x} <level {3}}",
    "$v5",
    "${{a}} ",
    "${v1!x}",
    "${{a} == {b}?{c}",
];

/// A small generator of numbers: xorshift.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 11) as usize % limit
    }

    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn of<'t>(&mut self, choices: &[&'t str]) -> &'t str {
        choices[self.below(choices.len())]
    }

    /// The text with some of its characters gone, doubled or replaced.
    pub(crate) fn garbled(&mut self, text: &str) -> String {
        let mut garbled = String::new();
        for c in text.chars() {
            match self.below(60) {
                0 => {}
                1 => garbled.extend([c, c]),
                2 => {
                    garbled +=
                        self.of(&["$", "{", "}", "\n", "=", "\0", "(", "?", ":", "99999", "/", "!"])
                }
                _ => garbled.push(c),
            }
        }
        garbled
    }

    /// A name that the value of `v<own>` may use: those before it, and others.
    fn name(&mut self, own: usize) -> String {
        if own > 1 && !self.once_in(3) {
            format!("v{}", 1 + self.below(own - 1))
        } else {
            self.of(KNOWN).to_owned()
        }
    }

    fn text(&mut self, own: usize, depth: usize) -> String {
        let pieces = self.below(3) + usize::from(depth == 0);
        (0..pieces).map(|_| self.piece(own, depth)).collect()
    }

    fn piece(&mut self, own: usize, depth: usize) -> String {
        let kind = self.below(if depth > 3 { 4 } else { 11 });
        let blank = if self.once_in(3) { " " } else { "" };
        match kind {
            0 | 1 => self.of(WORDS).to_owned(),
            2 => format!("${}", self.name(own)),
            3 => "$$".to_owned(),
            4 => format!("${{{blank}{}{blank}}}", self.name(own)),
            5 => format!("$({})", self.name(own)),
            6 => {
                let mark = self.of(&["?", ":"]);
                format!("${{{}{blank}{mark}{}}}", self.name(own), self.text(own, depth + 1))
            }
            7 => {
                let (name, yes, no) =
                    (self.name(own), self.text(own, depth + 1), self.text(own, depth + 1));
                format!("${{{name}{blank}?{blank}{{{yes}}}{blank}:{blank}{{{no}}}}}")
            }
            8 => format!("${{{}?{{{}}}}}", self.name(own), self.text(own, depth + 1)),
            9 => {
                let relation = self.relation(own, depth);
                let (yes, no) = (self.text(own, depth + 1), self.text(own, depth + 1));
                format!("${{{relation}{blank}?{blank}{{{yes}}}{blank}:{blank}{{{no}}}}}")
            }
            _ => format!("${{{}}}", self.relation(own, depth)),
        }
    }

    fn relation(&mut self, own: usize, depth: usize) -> String {
        let operator = self.of(OPERATORS);
        let blank = if self.once_in(3) { "" } else { " " };
        let (left, right) = if operator.ends_with("level") {
            (self.of(&["3.10", "3.9", "$compatibility_level", "1"]).to_owned(), "3.9.1".to_owned())
        } else {
            (self.text(own, depth + 2), self.text(own, depth + 2))
        };
        format!("{{{left}}}{blank}{operator}{blank}{{{right}}}")
    }

    /// `name = value` in some writing.
    fn entry(&mut self, name: &str, value: &str) -> String {
        let equal = self.of(&["=", " = ", "\t=", "= "]);
        let value = value.replace("  ", if self.once_in(3) { "\n\t " } else { "  " });
        let value =
            if self.once_in(8) { value.replace(' ', "\n# in between\n\n  ") } else { value };
        let end = self.of(&["\n", "\n", "\n", "\r\n", " \t\n", "\n\n", "\n  \n", "\n# a = b\n"]);
        format!("{name}{equal}{value}{end}")
    }
}

/// The file number `seed`, without what every file has. One in four has an error in it.
pub(crate) fn main_cf(seed: u64) -> String {
    let mut random = Random::new(seed);
    let mut text = String::new();
    for own in 1..=4 {
        let mut value = random.text(own, 0);
        if own == 3 && random.once_in(12) {
            value += random.of(WRONG);
        }
        if random.once_in(60) {
            value += "\0 behind a NUL";
        }
        text += &random.entry(&format!("v{own}"), &value);
    }
    if text.contains("$v5") {
        text += "v5 = $v6\nv6 = <$v5>\n";
    }
    if random.once_in(5) {
        text += &random.entry("v2", "overridden");
    }
    for (name, values) in VALUES {
        if random.once_in(6) {
            let value = random.of(values).to_owned();
            text += &random.entry(name, &value);
        }
    }
    text + "smtpd_banner = b <$v1> <$v2> <${v3}> <$v4> $myhostname $mydomain $max_idle $stress $myorigin\n"
}

/// Parameters that get one of these values, some of them wrong.
const VALUES: &[(&str, &[&str])] = &[
    ("myorigin", &["$mydomain", "a, b", "$v1$mydomain"]),
    ("mydomain", &["other.example", "a..b", "${v1?example}"]),
    ("relayhost", &["[mx.example]:25", "mx.example", "$v9"]),
    ("max_idle", &["5", "5m", "1 s", "0", "-1", "5x", "", "${v9?1}", "7days"]),
    ("max_use", &["1", "+7", " 7", "0", "x", "", "99999999999", "$max_idle"]),
    ("smtpd_helo_required", &["yes", "NO", "maybe", "", "$v9"]),
    ("soft_bounce", &["Yes", "no", "1"]),
    ("message_size_limit", &["0", "-5", "x", "9223372036854775807", "9223372036854775808"]),
    ("in_flow_delay", &["0", "10s", "11s"]),
    ("default_verp_delimiters", &["+=", "-+", "a", "abc", "/+"]),
    ("compatibility_level", &["3.6", "2", "x", "3.1024", "3.9999999", "", "1.1.1.1", "3.6 "]),
    ("inet_protocols", &["ipv4", "ipv6, ipv4", "all", "none", "IPv4"]),
    ("inet_interfaces", &["127.0.0.1", "loopback-only", "192.0.2.77", "all", "[127.0.0.1]"]),
    ("mynetworks_style", &["host", "class", "subnet, host", "none"]),
    ("syslog_facility", &["local3", "mail", "MAIL", ""]),
    ("known_tcp_ports", &["smtp=25", "a=b", "=", "smtp = 25, smtp = 26", "1=2"]),
    ("unverified_sender_reject_code", &["450", "199", "600"]),
    ("mail_version", &["9.9", ""]),
    ("default_rbl_reply", &["$v1 x", ""]),
    ("line_length_limit", &["512", "511"]),
    ("smtputf8_enable", &["${{$compatibility_level} <level {3.6} ? {no} : {yes}}", "nein"]),
];
