//! The deserializers that a formatter is told to use, set up by their properties as Kafka's are.

use std::collections::BTreeMap;

use serde_json::Value;

use super::deserializer::DeserializeError;
use super::list;
use crate::cli::support::{Charset, DataType, Part, Role};

/// What reads the keys, values or headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deserializer {
    One(DataType),
    /// Kafka's lists, of these.
    List(DataType),
}

/// What reads the parts of a record.
#[derive(Debug)]
pub(in crate::cli) struct Deserializers {
    pub(super) key: Deserializer,
    pub(super) value: Deserializer,
    pub(super) headers: Deserializer,
    /// What was asked for and can't be had; the bytes are printed as they are.
    pub(super) unusable: Vec<Unusable>,
}

/// A deserializer that can't be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unusable {
    pub(super) class: String,
    /// The exception that Kafka's tool shows.
    pub(super) exception: String,
    pub(super) hint: String,
}

/// The list classes of Java's own; they all print alike.
const LISTS: [&str; 5] = [
    "java.util.ArrayList",
    "java.util.LinkedList",
    "java.util.Vector",
    "java.util.Stack",
    "java.util.concurrent.CopyOnWriteArrayList",
];

impl Deserializers {
    /// Those that the formatter's properties name; without a name the bytes are printed as they are.
    pub(super) fn of(properties: &BTreeMap<String, String>) -> Self {
        let mut unusable = Vec::new();
        let mut chosen = |part: Part| {
            let Some(class) = properties.get(&format!("{}.deserializer", part.name())) else {
                return Deserializer::One(DataType::Raw);
            };
            Deserializer::of(class, part, properties).unwrap_or_else(|(exception, hint)| {
                let hint = format!("{hint}; the bytes are printed as they are");
                unusable.push(Unusable { class: class.clone(), exception, hint });
                Deserializer::One(DataType::Raw)
            })
        };
        let (key, value, headers) = (chosen(Part::Key), chosen(Part::Value), chosen(Part::Headers));
        Self { key, value, headers, unusable }
    }
}

impl Deserializer {
    /// The one of this class; else Java's exception, and what there is instead.
    fn of(class: &str, part: Part, properties: &BTreeMap<String, String>) -> Result<Self, (String, String)> {
        let own = part.properties_of_class(Role::Deserializer, properties);
        if let Some(data_type) = DataType::named(class, Role::Deserializer) {
            return encoded(data_type, part, &own).map(Self::One);
        }
        let name = class.strip_prefix("org.apache.kafka.common.serialization.").unwrap_or(class);
        if !name.eq_ignore_ascii_case("ListDeserializer") && !name.eq_ignore_ascii_case("list") {
            return Err((
                format!("java.lang.ClassNotFoundException: {class}"),
                format!("deserializers are {}, ListDeserializer", Role::Deserializer.known()),
            ));
        }
        entry_type(part, &own).and_then(|data_type| encoded(data_type, part, &own)).map(Self::List)
    }

    /// Appends the text of `bytes` to `to`.
    pub(super) fn print(self, bytes: &[u8], to: &mut Vec<u8>) -> Result<(), DeserializeError> {
        let data_type = match self {
            Self::One(data_type) => return data_type.print(bytes, to),
            Self::List(data_type) => data_type,
        };
        to.push(b'[');
        for (index, entry) in list::entries(bytes, data_type.fixed_size())?.into_iter().enumerate() {
            if index > 0 {
                to.extend_from_slice(b", ");
            }
            match entry {
                Some(entry) => data_type.print(entry, to)?,
                None => to.extend_from_slice(b"null"),
            }
        }
        to.push(b']');
        Ok(())
    }

    /// The same for JSON.
    pub(super) fn json(self, bytes: Option<&[u8]>) -> Result<Value, DeserializeError> {
        match (self, bytes) {
            (Self::One(data_type), _) => data_type.json(bytes),
            (Self::List(_), None) => Ok(Value::Null),
            (Self::List(data_type), Some(bytes)) => {
                list::entries(bytes, data_type.fixed_size())?.into_iter().map(|entry| data_type.json(entry)).collect()
            }
        }
    }
}

fn encoded(data_type: DataType, part: Part, own: &BTreeMap<&str, &str>) -> Result<DataType, (String, String)> {
    data_type.encoded(Role::Deserializer, part, own).map_err(|error| {
        (
            format!("org.apache.kafka.common.errors.SerializationException: {error}"),
            format!("encodings are {}", Charset::known()),
        )
    })
}

/// The type of a list's entries. The class of the list is of no other use than to be there: Kafka wants both.
fn entry_type(part: Part, own: &BTreeMap<&str, &str>) -> Result<DataType, (String, String)> {
    let [list_key, inner_key] = ["type", "inner"].map(|end| format!("default.list.{}.serde.{end}", part.of_class()));
    let refused = |why: String| {
        let property = format!("{}.deserializer", part.name());
        let hint = format!(
            "a list is read with --formatter-property {property}.{list_key}={} and --formatter-property \
             '{property}.{inner_key}=org.apache.kafka.common.serialization.Serdes$IntegerSerde', or another serde",
            LISTS[0]
        );
        (format!("org.apache.kafka.common.config.ConfigException: {why}"), hint)
    };
    let missing = |what: &str| {
        refused(format!(
            "Not able to determine the {what} class because it was neither passed via the constructor nor set in the \
             config."
        ))
    };
    let unknown = |key: &str, class: &str, what: &str| {
        refused(format!(
            "Invalid value {class} for configuration {key}: Deserializer's {what} class \"{class}\" could not be found."
        ))
    };
    let list = own.get(list_key.as_str()).ok_or_else(|| missing("list"))?;
    if !LISTS.contains(list) {
        return Err(unknown(&list_key, list, "list"));
    }
    let inner = own.get(inner_key.as_str()).ok_or_else(|| missing("inner serde"))?;
    DataType::named(inner, Role::Serde).ok_or_else(|| unknown(&inner_key, inner, "inner serde"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CLASS: &str = "org.apache.kafka.common.serialization.ListDeserializer";

    fn chosen(properties: &[(&str, &str)]) -> Deserializers {
        Deserializers::of(&properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    /// The exception and the hint of the one that can't be had.
    fn refused(properties: &[(&str, &str)]) -> (String, String) {
        let mut chosen = chosen(properties);
        assert_eq!(chosen.value, Deserializer::One(DataType::Raw));
        let unusable = chosen.unusable.pop().unwrap();
        assert!(chosen.unusable.is_empty());
        assert_eq!(unusable.class, properties[0].1);
        (unusable.exception, unusable.hint)
    }

    fn list_of(inner: &str) -> Deserializer {
        let chosen = chosen(&[
            ("value.deserializer", CLASS),
            ("value.deserializer.default.list.value.serde.type", "java.util.LinkedList"),
            ("value.deserializer.default.list.value.serde.inner", inner),
        ]);
        assert!(chosen.unusable.is_empty(), "{:?}", chosen.unusable);
        chosen.value
    }

    fn printed(deserializer: Deserializer, bytes: &[u8]) -> Result<String, String> {
        let mut text = Vec::new();
        deserializer.print(bytes, &mut text).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(text).unwrap())
    }

    #[test]
    fn lists_print_as_javas() {
        let numbers = list_of("org.apache.kafka.common.serialization.Serdes$IntegerSerde");
        let bytes = b"\0\0\0\0\x01\0\0\0\x01\0\0\0\x03\0\0\0\x07\0\0\x01\0";
        assert_eq!(printed(numbers, bytes).unwrap(), "[7, null, 256]");
        assert_eq!(numbers.json(Some(bytes)).unwrap(), json!([7, null, 256]));
        assert_eq!(numbers.json(None).unwrap(), Value::Null);
        let words = list_of("Serdes$StringSerde");
        assert_eq!(printed(words, b"\x01\0\0\0\x02\0\0\0\x02ab\0\0\0\0").unwrap(), "[ab, ]");
        assert_eq!(printed(words, b"\x01\0\0\0\0").unwrap(), "[]");
        assert_eq!(printed(words, b"\x03").unwrap_err(), "Invalid serialization strategy flag value");
    }

    #[test]
    fn a_list_of_keys_has_properties_of_its_own() {
        let list = |part: &str, of: &str| {
            let key = format!("{part}.deserializer");
            let keys = ["type", "inner"].map(|end| format!("{key}.default.list.{of}.serde.{end}"));
            chosen(&[(&key, "ListDeserializer"), (&keys[0], LISTS[0]), (&keys[1], "LongSerde")])
        };
        assert_eq!(list("key", "key").key, Deserializer::List(DataType::Long));
        assert_eq!(list("headers", "value").headers, Deserializer::List(DataType::Long));
        assert_eq!(list("key", "value").unusable.len(), 1);
    }

    #[test]
    fn entries_of_text_may_be_encoded() {
        let chosen = chosen(&[
            ("key.deserializer", CLASS),
            ("key.deserializer.default.list.key.serde.type", LISTS[0]),
            ("key.deserializer.default.list.key.serde.inner", "StringSerde"),
            ("key.deserializer.key.deserializer.encoding", "UTF-16"),
        ]);
        assert_eq!(printed(chosen.key, b"\x01\0\0\0\x01\0\0\0\x02\0\xe9").unwrap(), "[é]");
    }

    #[test]
    fn what_can_not_be_had_is_told_in_kafkas_words() {
        let type_key = "value.deserializer.default.list.value.serde.type";
        let inner_key = "value.deserializer.default.list.value.serde.inner";
        let class = ("value.deserializer", CLASS);
        let exception = "org.apache.kafka.common.config.ConfigException: ";
        for (properties, message) in [
            (
                &[class][..],
                "Not able to determine the list class because it was neither passed via the constructor nor set in the \
                 config.",
            ),
            (
                &[class, (type_key, LISTS[0])],
                "Not able to determine the inner serde class because it was neither passed via the constructor nor set \
                 in the config.",
            ),
            (
                &[class, (type_key, "no.Such")],
                "Invalid value no.Such for configuration default.list.value.serde.type: Deserializer's list class \
                 \"no.Such\" could not be found.",
            ),
            (
                &[class, (type_key, LISTS[0]), (inner_key, "no.Such")],
                "Invalid value no.Such for configuration default.list.value.serde.inner: Deserializer's inner serde \
                 class \"no.Such\" could not be found.",
            ),
        ] {
            let (told, hint) = refused(properties);
            assert_eq!(told.strip_prefix(exception), Some(message));
            assert!(hint.contains("value.deserializer.default.list.value.serde.inner="), "{hint}");
        }
        let (told, hint) = refused(&[("value.deserializer", "no.Such")]);
        assert_eq!(told, "java.lang.ClassNotFoundException: no.Such");
        assert!(hint.contains("LongDeserializer, ") && hint.ends_with("; the bytes are printed as they are"), "{hint}");
        let (told, hint) = refused(&[
            ("value.deserializer", "StringDeserializer"),
            ("value.deserializer.deserializer.encoding", "EBCDIC"),
        ]);
        assert_eq!(told, "org.apache.kafka.common.errors.SerializationException: Unsupported encoding EBCDIC");
        assert!(hint.starts_with("encodings are UTF-8, "), "{hint}");
    }
}
