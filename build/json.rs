//! Writes how the messages of internal topics and files look as JSON: as Kafka's tools print them.

use std::fmt::Write as _;

use crate::emit::{Emitter, ident};
use crate::schema::{Field, Kind, Message};

/// Whether a message can be printed: requests and responses never are.
pub fn is_printed(message: &Message) -> bool {
    matches!(message.kind, Kind::Data | Kind::Key | Kind::Value | Kind::Metadata)
}

/// How one struct is printed: the fields of its version, a tagged one only if it is set.
pub fn structure(emitter: &Emitter<'_>, out: &mut String, name: &str, fields: &[&Field]) {
    writeln!(out, "impl Json for {name} {{\nfn write_json(&self, out: &mut String, v: i16) {{\nlet _ = v;").unwrap();
    let mutable = if fields.is_empty() { "" } else { "mut " };
    writeln!(out, "let {mutable}object = JsonObject::begin(out);").unwrap();
    for field in fields {
        let set = field.tag.map(|_| emitter.differs_from_default(field));
        let conditions: Vec<String> = emitter.condition(field.versions).into_iter().chain(set).collect();
        let write = format!("object.field(\"{}\", &self.{}, v);", lower_camel_case(&field.name), ident(&field.name));
        match conditions.is_empty() {
            true => writeln!(out, "{write}").unwrap(),
            false => writeln!(out, "if {} {{ {write} }}", conditions.join(" && ")).unwrap(),
        }
    }
    out.push_str("object.end();\n}\n}\n\n");
}

/// `KRaftVersion` to `kRaftVersion`.
fn lower_camel_case(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}
