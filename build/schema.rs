//! Reads the message tables.

/// Versions from `first` to `last`; empty if `first > last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub first: i16,
    pub last: i16,
}

impl Range {
    pub const NONE: Self = Self { first: 1, last: 0 };

    fn parse(text: &str) -> Result<Self, String> {
        let number = |t: &str| t.parse::<i16>().map_err(|_| format!("no version range: {text}"));
        if text == "none" {
            return Ok(Self::NONE);
        }
        if let Some(first) = text.strip_suffix('+') {
            return Ok(Self { first: number(first)?, last: i16::MAX });
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Ok(Self { first: number(first)?, last: number(last)? })
    }

    pub fn is_empty(self) -> bool {
        self.first > self.last
    }

    pub fn and(self, other: Self) -> Self {
        Self { first: self.first.max(other.first), last: self.last.min(other.last) }
    }

    pub fn covers(self, other: Self) -> bool {
        self.first <= other.first && self.last >= other.last
    }
}

/// What stands before a message's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Request,
    Response,
    Header,
    Data,
    Key,
    Value,
    Metadata,
}

#[derive(Debug, Clone)]
pub struct Message {
    pub kind: Kind,
    pub name: String,
    pub key: Option<i16>,
    pub versions: Range,
    pub flexible: Range,
    pub latest_unstable: bool,
    pub on_broker: bool,
    pub on_controller: bool,
    pub fields: Vec<Field>,
    /// Structs that several fields share.
    pub structs: Vec<Struct>,
}

#[derive(Debug, Clone)]
pub struct Struct {
    pub name: String,
    pub fields: Vec<Field>,
}

#[derive(Debug, Clone)]
pub struct Field {
    pub name: String,
    /// The element's type if `array`.
    pub type_name: String,
    pub array: bool,
    pub versions: Range,
    pub nullable: Range,
    pub tag: Option<u32>,
    pub default: Option<String>,
    pub ignorable: bool,
    /// `flex=none` on the field: its length is never compact.
    pub never_compact: bool,
    /// The fields of the struct that is defined here, if it is.
    pub fields: Vec<Field>,
}

/// Reads one table file.
pub fn parse(text: &str) -> Result<Vec<Message>, String> {
    let lines: Vec<(usize, usize, &str)> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| (number + 1, (line.len() - line.trim_start().len()) / 2, line.trim()))
        .collect();
    let mut at = 0;
    let mut messages = Vec::new();
    while at < lines.len() {
        messages.push(message(&lines, &mut at)?);
    }
    Ok(messages)
}

type Lines<'a> = [(usize, usize, &'a str)];

fn message(lines: &Lines<'_>, at: &mut usize) -> Result<Message, String> {
    let (number, _, line) = lines[*at];
    *at += 1;
    let mut words = line.split(' ');
    let kind = match words.next() {
        Some("request") => Kind::Request,
        Some("response") => Kind::Response,
        Some("header") => Kind::Header,
        Some("data") => Kind::Data,
        Some("key") => Kind::Key,
        Some("value") => Kind::Value,
        Some("metadata") => Kind::Metadata,
        _ => return Err(format!("line {number}: no message: {line}")),
    };
    let mut message = Message {
        kind,
        name: words.next().unwrap_or_default().to_owned(),
        key: None,
        versions: Range::NONE,
        flexible: Range::NONE,
        latest_unstable: false,
        on_broker: false,
        on_controller: false,
        fields: Vec::new(),
        structs: Vec::new(),
    };
    for word in words {
        match word.split_once('=') {
            Some(("key", key)) => message.key = Some(key.parse().map_err(|_| format!("line {number}: key {key}"))?),
            Some(("versions", range)) => message.versions = Range::parse(range)?,
            Some(("flex", range)) => message.flexible = Range::parse(range)?,
            Some(("on", listeners)) => {
                message.on_broker = listeners.split(',').any(|l| l == "broker");
                message.on_controller = listeners.split(',').any(|l| l == "controller");
            }
            None if word == "latest-unstable" => message.latest_unstable = true,
            _ => return Err(format!("line {number}: unknown word {word}")),
        }
    }
    message.fields = fields(lines, at, 1)?;
    while *at < lines.len() && lines[*at].1 == 1 {
        let name = lines[*at].2.strip_prefix("struct ").ok_or(format!("line {}: no struct", lines[*at].0))?;
        let name = name.split(' ').next().unwrap_or_default().to_owned();
        *at += 1;
        message.structs.push(Struct { name, fields: fields(lines, at, 2)? });
    }
    Ok(message)
}

fn fields(lines: &Lines<'_>, at: &mut usize, depth: usize) -> Result<Vec<Field>, String> {
    let mut found = Vec::new();
    while *at < lines.len() && lines[*at].1 == depth && !lines[*at].2.starts_with("struct ") {
        let (number, _, line) = lines[*at];
        *at += 1;
        let mut words = line.split(' ');
        let (Some(name), Some(type_name), Some(range)) = (words.next(), words.next(), words.next()) else {
            return Err(format!("line {number}: no field: {line}"));
        };
        let mut field = Field {
            name: name.to_owned(),
            type_name: type_name.trim_start_matches("[]").to_owned(),
            array: type_name.starts_with("[]"),
            versions: Range::parse(range)?,
            nullable: Range::NONE,
            tag: None,
            default: None,
            ignorable: false,
            never_compact: false,
            fields: Vec::new(),
        };
        for word in words {
            match word.split_once('=') {
                Some(("null", range)) => field.nullable = Range::parse(range)?,
                Some(("tag", tag)) => {
                    let tag = tag.split('@').next().unwrap_or_default();
                    field.tag = Some(tag.parse().map_err(|_| format!("line {number}: tag {tag}"))?);
                }
                Some(("default", value)) => field.default = Some(value.to_owned()),
                Some(("flex", "none")) => field.never_compact = true,
                Some(("entity", _)) => {}
                None if word == "ignorable" => field.ignorable = true,
                None if word == "key" || word == "zerocopy" => {}
                _ => return Err(format!("line {number}: unknown word {word}")),
            }
        }
        field.fields = fields(lines, at, depth + 1)?;
        found.push(field);
    }
    Ok(found)
}
