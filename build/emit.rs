//! Writes the Rust structs. What they share is in `src/protocol/codec/`; here is only what differs from field to field.

use std::fmt::Write as _;

use crate::json;
use crate::schema::{Field, Kind, Message, Range};

/// The source of the generated module.
pub fn rust(messages: &[Message]) -> String {
    let mut out = String::from("// Generated from src/protocol/messages by build/. Do not edit.\n");
    let live: Vec<&Message> = messages.iter().filter(|m| !m.versions.is_empty()).collect();
    for message in &live {
        emit_message(&mut out, message);
    }
    for message in &live {
        writeln!(out, "pub use {}::{};", snake(&message.name), message.name).unwrap();
    }
    emit_apis(&mut out, messages);
    emit_all(&mut out, &live);
    out
}

fn emit_message(out: &mut String, message: &Message) {
    let module = snake(&message.name);
    writeln!(out, "pub mod {module} {{\nuse crate::protocol::codec::prelude::*;\n").unwrap();
    let emitter = Emitter { message };
    emitter.structure(out, &message.name, &message.fields);
    emitter.nested(out, &message.fields);
    for shared in &message.structs {
        emitter.structure(out, &shared.name, &shared.fields);
        emitter.nested(out, &shared.fields);
    }
    let flexible_from = if message.flexible.is_empty() { i16::MAX } else { message.flexible.first };
    writeln!(
        out,
        "impl Message for {name} {{ const NAME: &'static str = \"{name}\"; const KEY: i16 = {key}; \
         const VERSIONS: VersionRange = VersionRange::new({first}, {last}); const FLEXIBLE_FROM: i16 = {flexible_from}; }}",
        name = message.name,
        key = message.key.unwrap_or(-1),
        first = message.versions.first,
        last = message.versions.last,
    )
    .unwrap();
    if message.kind == Kind::Request {
        let stem = message.name.strip_suffix("Request").unwrap_or(&message.name);
        writeln!(
            out,
            "impl Request for {name} {{ type Response = super::{stem}Response; const API: super::ApiKey = super::ApiKey::{stem}; }}",
            name = message.name
        )
        .unwrap();
    }
    out.push_str("}\n\n");
}

pub struct Emitter<'a> {
    message: &'a Message,
}

impl Emitter<'_> {
    fn nested(&self, out: &mut String, fields: &[Field]) {
        for field in fields {
            if !field.fields.is_empty() {
                self.structure(out, &field.type_name, &field.fields);
                self.nested(out, &field.fields);
            }
        }
    }

    /// The fields of a struct that some version of this message has.
    fn live<'f>(&self, fields: &'f [Field]) -> Vec<&'f Field> {
        fields.iter().filter(|f| !self.range(f.versions).is_empty()).collect()
    }

    fn range(&self, versions: Range) -> Range {
        versions.and(self.message.versions)
    }

    /// `None` if the range holds in all versions, else the condition on `v`.
    pub fn condition(&self, versions: Range) -> Option<String> {
        let all = self.message.versions;
        if versions.covers(all) {
            return None;
        }
        let range = self.range(versions);
        Some(if range.is_empty() {
            "false".to_owned()
        } else if range.first <= all.first {
            format!("v <= {}", range.last)
        } else if range.last >= all.last {
            format!("v >= {}", range.first)
        } else if range.first == range.last {
            format!("v == {}", range.first)
        } else {
            format!("({}..={}).contains(&v)", range.first, range.last)
        })
    }

    fn structure(&self, out: &mut String, name: &str, fields: &[Field]) {
        let fields = self.live(fields);
        let flexible = !self.message.flexible.is_empty();
        let trivial = fields.iter().all(|f| self.default(f).is_none());
        let derive = if trivial { ", Default" } else { "" };
        writeln!(out, "#[derive(Debug, Clone, PartialEq{derive})]\npub struct {name} {{").unwrap();
        for field in &fields {
            writeln!(out, "/// `{}`.", field.name).unwrap();
            writeln!(out, "pub {}: {},", ident(&field.name), self.rust_type(field)).unwrap();
        }
        if flexible {
            out.push_str("/// Tagged fields that this version of the tables does not know, kept as they came.\npub unknown_tagged_fields: Vec<RawTaggedField>,\n");
        }
        out.push_str("}\n");
        if !trivial {
            writeln!(out, "impl Default for {name} {{ fn default() -> Self {{ Self {{").unwrap();
            for field in &fields {
                let value = self.default(field).unwrap_or_else(|| "Default::default()".to_owned());
                writeln!(out, "{}: {value},", ident(&field.name)).unwrap();
            }
            if flexible {
                out.push_str("unknown_tagged_fields: Vec::new(),\n");
            }
            out.push_str("} } }\n");
        }
        writeln!(out, "impl Wire for {name} {{\nconst MIN_SIZE: usize = {};", self.min_size(&fields)).unwrap();
        self.read(out, &fields, flexible);
        self.write(out, name, &fields, flexible);
        out.push_str("}\n\n");
        if json::is_printed(self.message) {
            json::structure(self, out, name, &fields);
        }
    }

    fn read(&self, out: &mut String, fields: &[&Field], flexible: bool) {
        out.push_str("fn read(r: &mut Reader<'_>, v: i16) -> Result<Self, DecodeError> {\nlet _ = v;\n");
        if fields.is_empty() && !flexible {
            out.push_str("let _ = r;\nOk(Self::default())\n}\n");
            return;
        }
        let mutable = if fields.is_empty() && !flexible { "" } else { "mut " };
        writeln!(out, "let {mutable}s = Self::default();").unwrap();
        for field in fields.iter().filter(|f| f.tag.is_none()) {
            let read = format!("s.{} = {};", ident(&field.name), self.read_value(field));
            match self.condition(field.versions) {
                Some(condition) => writeln!(out, "if {condition} {{ {read} }}").unwrap(),
                None => writeln!(out, "{read}").unwrap(),
            }
        }
        if flexible {
            out.push_str(
                "if r.is_flexible() { for _ in 0..r.tag_count()? { let tag = r.begin_tag()?; match tag.number() {\n",
            );
            for field in fields.iter().filter(|f| f.tag.is_some()) {
                let tag = field.tag.unwrap_or_default();
                let target = ident(&field.name);
                if let Some(condition) = self.condition(field.versions) {
                    writeln!(out, "{tag} if !({condition}) => return Err(r.misplaced_tag({tag})),").unwrap();
                }
                writeln!(out, "{tag} => s.{target} = {},", self.read_value(field)).unwrap();
            }
            out.push_str("_ => s.unknown_tagged_fields.push(r.unknown_tag(&tag)?),\n} r.end_tag(tag)?; } }\n");
        }
        out.push_str("Ok(s)\n}\n");
    }

    fn write(&self, out: &mut String, name: &str, fields: &[&Field], flexible: bool) {
        out.push_str("fn write(&self, w: &mut Writer, v: i16) -> Result<(), EncodeError> {\nlet _ = (v, &w);\n");
        for field in fields.iter().filter(|f| f.tag.is_none()) {
            let target = ident(&field.name);
            let write = self.write_value(field, "w", &format!("self.{target}"));
            match self.condition(field.versions) {
                Some(condition) if field.ignorable => writeln!(out, "if {condition} {{ {write} }}").unwrap(),
                Some(condition) => writeln!(
                    out,
                    "if {condition} {{ {write} }} else if {} {{ return Err(EncodeError::field_not_in_version(\"{name}.{}\", v)); }}",
                    self.differs_from_default(field),
                    field.name,
                )
                .unwrap(),
                None => writeln!(out, "{write}").unwrap(),
            }
        }
        if flexible {
            let tagged: Vec<_> = fields.iter().filter(|f| f.tag.is_some()).collect();
            if tagged.is_empty() {
                out.push_str("if w.is_flexible() { w.unknown_tags(&self.unknown_tagged_fields)?; }\n");
            } else {
                out.push_str("if w.is_flexible() { let mut tags = Tags::new(&self.unknown_tagged_fields);\n");
                for field in &tagged {
                    let target = ident(&field.name);
                    let present = match self.condition(field.versions) {
                        Some(condition) => format!("{condition} && {}", self.differs_from_default(field)),
                        None => self.differs_from_default(field),
                    };
                    let write = self.write_value(field, "w", &format!("self.{target}"));
                    writeln!(
                        out,
                        "if {present} {{ tags.add(w, {}, |w| {{ {write} Ok(()) }})?; }}",
                        field.tag.unwrap_or_default()
                    )
                    .unwrap();
                }
                out.push_str("tags.write(w)?; }\n");
            }
            for field in tagged.iter().filter(|f| !f.ignorable) {
                // Before the versions that have the field, dropping a set one would change what is meant.
                let absent = match self.condition(field.versions) {
                    Some(condition) => format!("!({condition})"),
                    None if self.message.flexible.covers(self.message.versions) => continue,
                    None => "!w.is_flexible()".to_owned(),
                };
                writeln!(
                    out,
                    "if {absent} && {} {{ return Err(EncodeError::field_not_in_version(\"{name}.{}\", v)); }}",
                    self.differs_from_default(field),
                    field.name,
                )
                .unwrap();
            }
        }
        out.push_str("Ok(())\n}\n");
    }

    fn element_type(&self, field: &Field) -> String {
        match field.type_name.as_str() {
            "bool" => "bool",
            "int8" => "i8",
            "int16" => "i16",
            "uint16" => "u16",
            "int32" => "i32",
            "uint32" => "u32",
            "int64" => "i64",
            "float64" => "f64",
            "uuid" => "Uuid",
            "string" => "String",
            "bytes" | "records" => "Bytes",
            other => other,
        }
        .to_owned()
    }

    fn is_struct(&self, field: &Field) -> bool {
        field.type_name.starts_with(char::is_uppercase)
    }

    fn is_nullable(&self, field: &Field) -> bool {
        !self.range(field.nullable).is_empty() || field.type_name == "records"
    }

    fn rust_type(&self, field: &Field) -> String {
        let mut name = self.element_type(field);
        if field.array {
            name = format!("Vec<{name}>");
        }
        if self.is_nullable(field) {
            name = format!("Option<{name}>");
        }
        name
    }

    /// The default as an expression, or `None` if it is Rust's own.
    fn default(&self, field: &Field) -> Option<String> {
        let nullable = self.is_nullable(field);
        match field.default.as_deref() {
            Some("null") => None,
            _ if field.type_name == "records" => None,
            None | Some("\"\"") if nullable => Some("Some(Default::default())".to_owned()),
            None | Some("\"\"" | "0" | "false") => None,
            Some(value) => Some(value.to_owned()),
        }
    }

    pub fn differs_from_default(&self, field: &Field) -> String {
        let name = format!("self.{}", ident(&field.name));
        let nullable = self.is_nullable(field);
        match (field.default.as_deref(), nullable) {
            (Some("null"), _) => format!("{name}.is_some()"),
            _ if field.type_name == "records" => format!("{name}.is_some()"),
            (_, true) => format!("{name} != Some(Default::default())"),
            (_, false) if field.array => format!("!{name}.is_empty()"),
            (Some("\"\"") | None, false) if matches!(field.type_name.as_str(), "string" | "bytes") => {
                format!("!{name}.is_empty()")
            }
            (None, false) if field.type_name == "bool" => name,
            (Some("false"), false) => name,
            (Some("true"), false) => format!("!{name}"),
            (Some(value), false) => format!("{name} != {value}"),
            (None, false) if self.is_struct(field) => format!("{name} != {}::default()", field.type_name),
            (None, false) if field.type_name == "uuid" => format!("!{name}.is_zero()"),
            (None, false) if field.type_name == "float64" => format!("{name} != 0.0"),
            (None, false) => format!("{name} != 0"),
        }
    }

    /// In which versions null may stand: an expression.
    fn null_allowed(&self, field: &Field) -> String {
        // Nullability counts only where the field exists.
        let nullable = field.nullable.and(field.versions);
        if nullable.covers(self.range(field.versions)) {
            return "true".to_owned();
        }
        self.condition(nullable).unwrap_or_else(|| "true".to_owned())
    }

    fn read_value(&self, field: &Field) -> String {
        let nullable = self.is_nullable(field);
        let allowed = self.null_allowed(field);
        match (field.array, nullable) {
            (true, true) => return format!("r.nullable_array({allowed}, v)?"),
            (true, false) => return "r.array(v)?".to_owned(),
            _ => {}
        }
        match (field.type_name.as_str(), nullable) {
            ("string", true) if field.never_compact => format!("r.classic_nullable_string({allowed})?"),
            ("string", true) => format!("r.nullable_string({allowed})?"),
            ("bytes" | "records", true) => format!("r.nullable_bytes({allowed})?"),
            (_, true) if field.tag.is_some() => "r.nullable_tagged_struct(v)?".to_owned(),
            (_, true) => format!("r.nullable_struct({allowed}, v)?"),
            _ => format!("<{}>::read(r, v)?", self.element_type(field)),
        }
    }

    fn write_value(&self, field: &Field, w: &str, value: &str) -> String {
        let nullable = self.is_nullable(field);
        let allowed = self.null_allowed(field);
        let name = format!("\"{}\"", field.name);
        match (field.array, nullable) {
            (true, true) => return format!("{w}.nullable_array({value}.as_deref(), {allowed}, {name}, v)?;"),
            (true, false) => return format!("{w}.array(&{value}, v)?;"),
            _ => {}
        }
        match (field.type_name.as_str(), nullable) {
            ("string", true) if field.never_compact => {
                format!("{w}.classic_nullable_string({value}.as_deref())?;")
            }
            ("string", true) => format!("{w}.nullable_string({value}.as_deref(), {allowed}, {name})?;"),
            ("records", true) => format!("{w}.records({value}.as_ref(), {allowed}, {name})?;"),
            ("bytes", true) => format!("{w}.nullable_bytes({value}.as_deref(), {allowed}, {name})?;"),
            (_, true) if field.tag.is_some() => format!("{w}.nullable_tagged_struct({value}.as_ref(), v)?;"),
            (_, true) => format!("{w}.nullable_struct({value}.as_ref(), {allowed}, {name}, v)?;"),
            _ => format!("{value}.write({w}, v)?;"),
        }
    }

    /// The fewest bytes that an instance takes in any version: bounds how many a buffer can hold.
    fn min_size(&self, fields: &[&Field]) -> usize {
        let untagged = fields.iter().filter(|f| f.tag.is_none() && f.versions.covers(self.message.versions));
        let sum: usize = untagged
            .map(|f| match f.type_name.as_str() {
                _ if f.array => 1,
                "int16" | "uint16" => 2,
                "int32" | "uint32" => 4,
                "int64" | "float64" => 8,
                "uuid" => 16,
                _ => 1,
            })
            .sum();
        sum.max(1)
    }
}

/// The API keys, and what is known of each.
fn emit_apis(out: &mut String, messages: &[Message]) {
    let requests: Vec<_> = messages.iter().filter(|m| m.kind == Kind::Request).collect();
    let stem = |m: &Message| m.name.strip_suffix("Request").unwrap_or(&m.name).to_owned();
    out.push_str("/// An API of Kafka's protocol, by the number that requests carry.\n#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]\n#[repr(i16)]\npub enum ApiKey {\n");
    for request in &requests {
        let key = request.key.expect("a request has a key");
        let name = stem(request);
        writeln!(out, "/// {name}, key {key}.\n{name} = {key},").unwrap();
    }
    out.push_str(
        "}\n\n/// What the tables say of every API, in the order of the keys.\npub static APIS: &[ApiInfo] = &[\n",
    );
    for request in &requests {
        writeln!(
            out,
            "ApiInfo {{ key: ApiKey::{name}, name: \"{name}\", versions: VersionRange::new({}, {}), flexible_from: {}, \
             latest_unstable: {}, on_broker: {}, on_controller: {} }},",
            if request.versions.is_empty() { 0 } else { request.versions.first },
            if request.versions.is_empty() { -1 } else { request.versions.last },
            if request.flexible.is_empty() { i16::MAX } else { request.flexible.first },
            request.latest_unstable,
            request.on_broker,
            request.on_controller,
            name = stem(request),
        )
        .unwrap();
    }
    out.push_str("];\n");
}

/// One entry a message, so that tests and the fuzzer reach every one of them.
fn emit_all(out: &mut String, messages: &[&Message]) {
    out.push_str("/// Every message of every table.\npub static ALL: &[MessageInfo] = &[\n");
    for message in messages {
        writeln!(out, "MessageInfo::of::<{}>(),", message.name).unwrap();
    }
    out.push_str("];\n");
}

pub fn ident(name: &str) -> String {
    let name = snake(name);
    match name.as_str() {
        "type" | "match" | "move" | "ref" | "where" => format!("r#{name}"),
        _ => name,
    }
}

/// `ReplicaId` and `replicaId` to `replica_id`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    let mut previous_lower = false;
    for c in name.chars() {
        if c.is_uppercase() && previous_lower {
            out.push('_');
        }
        previous_lower = c.is_lowercase() || c.is_ascii_digit();
        out.extend(c.to_lowercase());
    }
    out
}
