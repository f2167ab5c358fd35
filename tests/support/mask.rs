//! What two runs can't have in common is masked: times, process ids, queue ids, ports.

use pcre2::bytes::Regex;

/// Replaces what differs from run to run by words in capitals.
pub(crate) struct Mask {
    rules: Vec<(Regex, &'static str)>,
    queue_id: Regex,
}

/// Pattern and replacement; a group in the pattern is kept before the replacement.
const RULES: &[(&str, &str)] = &[
    (r"(<)\d{14}\.[-0-9A-Za-z]+(?=@)", "MESSAGE-ID"),
    (
        r"()(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), +\d+ \w{3} \d{4} \d\d:\d\d:\d\d [-+]\d{4} \(\w+\)",
        "DATE",
    ),
    (r"()(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \w{3} +\d+ \d\d:\d\d:\d\d \d{4}", "DATE"),
    (r"()\b\w{3} \d\d \d\d:\d\d:\d\d(?= LOCAL)", "DATE"),
    (r"((?:create_time|arrival_time)=).*", "TIME"),
    (r"(message_arrival_time: ).*", "TIME"),
    (r"((?:log_client_port|client_port)=)\d{4,5}\b", "PORT"),
    (r"(\[[0-9a-f.:]+\]:)\d{4,5}\b", "PORT"),
    (r"(key expiration: )\d+", "TIME"),
    (r"(session )[0-9A-F]{40,}(?:&\w=[0-9A-Za-z]+)+", "SESSION"),
    (r"(TLS library problem: error:.*:)[^ :]+\.c:\d+:", "PLACE:"),
    (r"(/(?:incoming|hold|deferred|active)/)[0-9A-Za-z/]+", "QUEUE-ID"),
    (r"(PREGREET \d+ after )\d+(?:\.\d+)?", "SECONDS"),
    (r"(message_size: +).*", "SIZES"),
    (r"(\b(?:read from|write to) )[0-9A-F]{8,16} \[[0-9A-F]{8,16}\]", "MEMORY"),
    (r"(free space in mail queue: )\d+", "SIZE"),
];

impl Mask {
    pub(crate) fn new() -> Result<Mask, pcre2::Error> {
        let mut rules = Vec::new();
        for (pattern, word) in RULES {
            rules.push((Regex::new(pattern)?, *word));
        }
        let queue_id = Regex::new(r"(?:queued as |^)([0-9A-Za-z]{6,})(?:$|: client=)")?;
        Ok(Mask { rules, queue_id })
    }

    /// The queue id that a reply or a log line names.
    pub(crate) fn queue_id<'a>(&self, line: &'a str) -> Option<&'a str> {
        let line = line.strip_prefix("S: ").unwrap_or(line);
        let found = self.queue_id.captures(line.as_bytes()).ok()??;
        let range = found.get(1)?;
        line.get(range.start()..range.end())
    }

    /// Masks a line. `ids` are the queue ids of this run; `words` are texts to be replaced.
    pub(crate) fn line(&self, line: &str, ids: &[String], words: &[(String, String)]) -> String {
        let mut line = line.to_owned();
        // Ids first: one may have a port's digits in it.
        for id in ids {
            line = replace_word(&line, id, "QUEUE-ID");
        }
        for (word, replacement) in words {
            line = match word.bytes().all(|b| b.is_ascii_digit()) {
                true => replace_word(&line, word, replacement),
                false => line.replace(word, replacement),
            };
        }
        for (rule, word) in &self.rules {
            line = replace(rule, &line, word);
        }
        line
    }
}

/// Replaces `word` where it is no part of another, such as of an error's number.
fn replace_word(line: &str, word: &str, replacement: &str) -> String {
    let (mut out, mut last) = (String::new(), 0);
    for (at, _) in line.match_indices(word) {
        let end = at + word.len();
        let is_part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        if !is_part(line[..at].chars().next_back()) && !is_part(line[end..].chars().next()) {
            out.push_str(&line[last..at]);
            out.push_str(replacement);
            last = end;
        }
    }
    out + &line[last..]
}

fn replace(rule: &Regex, line: &str, word: &str) -> String {
    let mut masked = String::new();
    let mut end = 0;
    for found in rule.captures_iter(line.as_bytes()).flatten() {
        let (Some(all), Some(kept)) = (found.get(0), found.get(1)) else { continue };
        masked.push_str(&line[end..all.start()]);
        masked.push_str(&line[kept.start()..kept.end()]);
        masked.push_str(word);
        end = all.end();
    }
    masked.push_str(&line[end..]);
    masked
}
