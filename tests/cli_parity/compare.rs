//! Output in the notation of the recorded cases, and what in it may be anything.

use regex_lite::Regex;

/// How much of a random thing stands for it in the cases, and the pattern of what it may be.
const PLACEHOLDERS: [(&str, &str); 7] = [
    (r"uuuuuuuu\-uuuu\-uuuu\-uuuu\-uuuuuuuuuuuu", "[0-9a-f-]{36}"),
    ("UUUUUUUUUUUUUUUUUUUUUU", "[A-Za-z0-9_-]{22}"),
    ("TTTTTTTTTTTTT", "[0-9]{13}"),
    (r"\[<time>\]", r"\[[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2},[0-9]{3}\]"),
    (r"YYYY\-MM\-DDTHH:MM", "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}"),
    ("NNNNN", "[0-9]+"),
    (r"\{any\}", ".*"),
];

/// The last line of an expectation that does not say how the output goes on.
const AND_SO_ON: &str = "...";

/// Output as the cases write it: tabs as `\t`, a space at the end of a line as `␠`, other control characters by number.
pub fn notation(output: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(output);
    let mut lines: Vec<String> = text.split('\n').map(line_notation).collect();
    match lines.last() {
        Some(last) if last.is_empty() => drop(lines.pop()),
        _ => lines.push("(no newline at the end)".to_owned()),
    }
    lines
}

fn line_notation(line: &str) -> String {
    let mut shown = String::new();
    for character in line.chars() {
        match character {
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            control if control.is_control() => shown.push_str(&format!("\\x{:02x}", u32::from(control))),
            other => shown.push(other),
        }
    }
    if let Some(start) = shown.strip_suffix(' ') {
        shown = format!("{start}␠");
    }
    shown
}

/// Output whose order says nothing, in one that is always the same: lines, and within a line the log directories of a broker, which
/// Apache Kafka's brokers tell by the hash of their paths.
pub fn ordered(mut lines: Vec<String>) -> Vec<String> {
    let directory = Regex::new(r#"\{"partitions":\[[^\]]*\],"error":[^,]*,"logDir":"([^"]*)"\}"#).unwrap();
    let all = Regex::new(&format!(r#""logDirs":\[((?:{directory},?)*)\]"#)).unwrap();
    for line in &mut lines {
        *line = all
            .replace_all(line, |found: &regex_lite::Captures<'_>| {
                let mut each: Vec<(&str, &str)> = directory
                    .captures_iter(&found[1])
                    .map(|one| one.extract::<1>())
                    .map(|(all, [path])| (path, all))
                    .collect();
                each.sort_unstable();
                let each: Vec<&str> = each.into_iter().map(|(_, all)| all).collect();
                format!(r#""logDirs":[{}]"#, each.join(","))
            })
            .into_owned();
    }
    lines.sort_unstable();
    lines
}

/// What counts of standard error: not our hints, nor the logger's name that Kafka puts on a line of its own.
pub fn messages(stderr: &[u8]) -> Vec<String> {
    let counts = |line: &String| !line.is_empty() && !line.starts_with("hint: ") && !line.starts_with(" (org.apache");
    notation(stderr).into_iter().filter(counts).collect()
}

/// The bytes of the lines that a tool is to read.
pub fn input(lines: &[String]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        if line == "(no newline at the end)" {
            bytes.pop();
            break;
        }
        let mut rest = line.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            let (byte, after) = match (byte, after) {
                (b'\\', [b't', after @ ..]) => (b'\t', after),
                (b'\\', [b'r', after @ ..]) => (b'\r', after),
                (b'\\', [b'x', high, low, after @ ..]) => {
                    let digits = [*high, *low].map(char::from).iter().collect::<String>();
                    (u8::from_str_radix(&digits, 16).unwrap(), after)
                }
                _ => (byte, after),
            };
            bytes.push(byte);
            rest = after;
        }
        bytes.push(b'\n');
    }
    bytes
}

/// Whether the lines are those that are expected.
pub fn matches(expected: &[String], found: &[String]) -> bool {
    if let Some((AND_SO_ON, start)) = expected.split_last().map(|(last, start)| (last.as_str(), start)) {
        return found.len() >= start.len() && start.iter().zip(found).all(|(e, f)| line_matches(e, f));
    }
    expected.len() == found.len() && expected.iter().zip(found).all(|(e, f)| line_matches(e, f))
}

/// Whether the expected lines are among those found, in their order.
pub fn tells(expected: &[String], found: &[String]) -> bool {
    let expected = expected.strip_suffix(&[AND_SO_ON.to_owned()]).unwrap_or(expected);
    let mut found = found.iter();
    expected.iter().all(|line| found.any(|told| line_matches(line, told)))
}

/// A line with what is surely random in it replaced by what stands for it.
pub fn generalised(line: &str) -> String {
    let hex = "[0-9a-f]";
    let id = format!("{hex}{{8}}-{hex}{{4}}-{hex}{{4}}-{hex}{{4}}-{hex}{{12}}");
    let (time, minute) = (PLACEHOLDERS[3].1, PLACEHOLDERS[4].1);
    let stands = [
        (id.as_str(), "uuuuuuuu-uuuu-uuuu-uuuu-uuuuuuuuuuuu"),
        (time, "[<time>]"),
        (minute, "YYYY-MM-DDTHH:MM"),
        // Behind a tab, too, which is written with a letter.
        (r"(\\t|\b)1[0-9]{12}\b", "${1}TTTTTTTTTTTTT"),
    ];
    stands.into_iter().fold(line.to_owned(), |line, (pattern, stands)| {
        Regex::new(pattern).unwrap().replace_all(&line, stands).into_owned()
    })
}

fn line_matches(expected: &str, found: &str) -> bool {
    let mut pattern = regex_lite::escape(expected);
    for (placeholder, meaning) in PLACEHOLDERS {
        pattern = pattern.replace(placeholder, meaning);
    }
    Regex::new(&format!("^{pattern}$")).unwrap().is_match(found)
}

/// The words of a command line, as a shell would cut it; the data needs single quotes only.
pub fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for character in command.chars() {
        match character {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    assert!(!quoted, "a quote is left open: {command}");
    words.extend(word);
    words
}

#[test]
fn commands_are_cut_as_by_a_shell() {
    assert_eq!(words("a --b 'c d' '' e='f;'"), ["a", "--b", "c d", "", "e=f;"]);
}

#[test]
fn what_is_random_may_be_anything_of_its_kind() {
    let line = |text: &str| vec![text.to_owned()];
    assert!(matches(&line("id UUUUUUUUUUUUUUUUUUUUUU."), &line("id 5L6g3nShT-eMCtK--X86sw.")));
    assert!(!matches(&line("id UUUUUUUUUUUUUUUUUUUUUU."), &line("id 5L6g.")));
    assert!(matches(&line("[<time>] ERROR (x)"), &line("[2026-01-02 03:04:05,678] ERROR (x)")));
    assert!(!matches(&line("a.c"), &line("abc")));
    assert!(matches(&["a".to_owned(), "...".to_owned()], &["a".to_owned(), "b".to_owned()]));
    assert!(!matches(&line("a"), &["a".to_owned(), "b".to_owned()]));
}

#[test]
fn what_is_recorded_is_general() {
    let line = "[2026-01-02 03:04:05,678] at 1780000000000 of 0b1c89b0-d5c7-4f21-846c-aacfa3b5d1e9: 12\\t1780000000000";
    let general = generalised(line);
    assert_eq!(general, "[<time>] at TTTTTTTTTTTTT of uuuuuuuu-uuuu-uuuu-uuuu-uuuuuuuuuuuu: 12\\tTTTTTTTTTTTTT");
    assert!(line_matches(&general, line));
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    assert!(tells(&lines(&["a", "..."]), &lines(&["x", "a", "b"])));
    assert!(!tells(&lines(&["b", "a"]), &lines(&["a", "b"])));
}

#[test]
fn input_and_output_are_written_alike() {
    let lines = notation(b"a\tb\r\n \n\x00c");
    assert_eq!(lines, ["a\\tb\\r", "␠", "\\x00c", "(no newline at the end)"]);
    let lines = ["a\\tb\\r", "\\x00c", "(no newline at the end)"].map(str::to_owned);
    assert_eq!(input(&lines), b"a\tb\r\n\x00c");
}
