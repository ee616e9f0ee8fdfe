//! What the bytes of a key, value or header are, by the class that writes or reads them.

use std::collections::BTreeMap;

use super::Charset;

/// Kafka's standard types, and some of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataType {
    /// As they are.
    Raw,
    /// Letters; UTF-8 is left as it is, so that no byte is lost.
    Text(Charset),
    Short,
    Integer,
    Long,
    Float,
    Double,
    Boolean,
    Uuid,
    /// As they are; read, with escapes.
    Bytes,
    /// Nothing: null.
    Void,
    /// Two hexadecimal digits for each byte.
    Hex,
    Base64,
    /// Read, on one line without white space.
    Json,
}

/// What a class does, which its name ends with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    Serializer,
    Deserializer,
    /// Both in one.
    Serde,
}

/// What a class is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Key,
    Value,
    /// To a class of Kafka's they are values.
    Headers,
}

/// An encoding of text that does not exist here; the text is Java's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Unsupported encoding {0}")]
pub(crate) struct UnknownEncoding(pub(crate) String);

const NAMES: [(&str, DataType); 15] = [
    ("String", DataType::Text(Charset::Utf8)),
    ("Short", DataType::Short),
    ("Integer", DataType::Integer),
    ("Long", DataType::Long),
    ("Float", DataType::Float),
    ("Double", DataType::Double),
    ("Boolean", DataType::Boolean),
    ("UUID", DataType::Uuid),
    ("ByteArray", DataType::Raw),
    ("ByteBuffer", DataType::Raw),
    ("Bytes", DataType::Bytes),
    ("Void", DataType::Void),
    ("Hex", DataType::Hex),
    ("Base64", DataType::Base64),
    ("Json", DataType::Json),
];

// Order: a longer one comes before one that it begins with.
const PACKAGES: [&str; 4] = [
    "org.apache.kafka.common.serialization.Serdes$",
    "org.apache.kafka.common.serialization.",
    "org.apache.kafka.connect.json.",
    "Serdes$",
];

impl DataType {
    /// The type of a class: `org.apache.kafka.common.serialization.LongSerializer`, `LongSerializer` and `long` are all
    /// [`DataType::Long`].
    pub(crate) fn named(class: &str, role: Role) -> Option<Self> {
        let name = PACKAGES.iter().find_map(|package| class.strip_prefix(package)).unwrap_or(class);
        let name = name.strip_suffix(role.ending()).unwrap_or(name);
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, data_type)| *data_type)
    }

    /// The same with the encoding that `properties`, those of the class alone, give its text.
    ///
    /// Kafka's classes read `value.deserializer.encoding` (or that of keys) and `deserializer.encoding`; `encoding` alone is
    /// what is left of the first where it is written as the formatter's own property.
    ///
    /// # Errors
    /// There is no such encoding.
    pub(crate) fn encoded(
        self,
        role: Role,
        part: Part,
        properties: &BTreeMap<&str, &str>,
    ) -> Result<Self, UnknownEncoding> {
        let Self::Text(_) = self else { return Ok(self) };
        let role = role.ending().to_ascii_lowercase();
        let of_part = format!("{}.{role}.encoding", part.of_class());
        let of_role = format!("{role}.encoding");
        let Some(name) = [of_part.as_str(), &of_role, "encoding"].iter().find_map(|key| properties.get(*key)) else {
            return Ok(self);
        };
        Charset::named(name).map(Self::Text).ok_or_else(|| UnknownEncoding((*name).to_owned()))
    }
}

impl Part {
    /// The word that properties begin with.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
            Self::Headers => "headers",
        }
    }

    /// The same to a class of Kafka's, which knows keys and values alone.
    pub(crate) fn of_class(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value | Self::Headers => "value",
        }
    }

    /// The properties that are for the class that reads or writes it: those that begin with its own, without that.
    pub(crate) fn properties_of_class(self, role: Role, properties: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
        let prefix = format!("{}.{}.", self.name(), role.ending().to_ascii_lowercase());
        let own = properties.iter().filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?, value.as_str())));
        own.filter(|(key, _)| !key.is_empty()).collect()
    }
}

impl Role {
    fn ending(self) -> &'static str {
        match self {
            Self::Serializer => "Serializer",
            Self::Deserializer => "Deserializer",
            Self::Serde => "Serde",
        }
    }

    /// The classes that there are.
    pub(crate) fn known(self) -> String {
        NAMES.map(|(name, _)| format!("{name}{}", self.ending())).join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_has_its_package_or_not_and_a_short_name() {
        for class in ["org.apache.kafka.common.serialization.LongSerializer", "LongSerializer", "long", "LONG"] {
            assert_eq!(DataType::named(class, Role::Serializer), Some(DataType::Long), "{class}");
        }
        assert_eq!(DataType::named("LongSerializer", Role::Deserializer), None);
        assert_eq!(DataType::named("com.acme.LongSerializer", Role::Serializer), None);
        for role in [Role::Serializer, Role::Deserializer, Role::Serde] {
            assert!(role.known().split(", ").all(|class| DataType::named(class, role).is_some()));
        }
        for class in ["org.apache.kafka.common.serialization.Serdes$UUIDSerde", "Serdes$UUIDSerde", "UUIDSerde"] {
            assert_eq!(DataType::named(class, Role::Serde), Some(DataType::Uuid), "{class}");
        }
    }

    #[test]
    fn the_encoding_of_text_is_looked_up_as_kafkas_classes_do() {
        let text = DataType::Text(Charset::Utf8);
        let encoded = |part, properties: &[(&'static str, &'static str)]| {
            text.encoded(Role::Deserializer, part, &properties.iter().copied().collect())
        };
        let both = [("deserializer.encoding", "UTF-16"), ("key.deserializer.encoding", "latin1")];
        assert_eq!(encoded(Part::Key, &both), Ok(DataType::Text(Charset::Latin1)));
        for part in [Part::Value, Part::Headers] {
            assert_eq!(encoded(part, &both), Ok(DataType::Text(Charset::Utf16)));
        }
        assert_eq!(encoded(Part::Value, &[("encoding", "ascii")]), Ok(DataType::Text(Charset::Ascii)));
        assert_eq!(encoded(Part::Value, &[("serializer.encoding", "UTF-16")]), Ok(text));
        let unknown = encoded(Part::Headers, &[("value.deserializer.encoding", "no-such")]).unwrap_err();
        assert_eq!(unknown.to_string(), "Unsupported encoding no-such");
        let other = [("encoding", "UTF-16")].into();
        assert_eq!(DataType::Raw.encoded(Role::Deserializer, Part::Value, &other), Ok(DataType::Raw));
    }

    #[test]
    fn a_class_is_told_what_begins_with_its_own_property() {
        let properties = ["value.deserializer", "value.deserializer.", "value.deserializer.a.b", "key.deserializer.c"]
            .map(|key| (key.to_owned(), "x".to_owned()))
            .into();
        assert_eq!(Part::Value.properties_of_class(Role::Deserializer, &properties), [("a.b", "x")].into());
    }
}
