//! Plans in JSON files, read as strictly as Kafka's tools read them, with what they say of a mistake.

use std::path::Path;

use serde_json::{Map, Value};

use super::JavaError;

/// Reads a file that a tool is to carry out.
pub(crate) fn read_plan(file: &Path) -> Result<Value, JavaError> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        JavaError::new("java.io.IOException", format!("Unable to read file {}", file.display()))
            .with_plain(format!("could not read {}: {error}", file.display()))
    })?;
    parse_plan(&text, &file.display().to_string())
}

/// Reads the text of a plan; `place` is where it stands.
pub(crate) fn parse_plan(text: &str, place: &str) -> Result<Value, JavaError> {
    serde_json::from_str(text).map_err(|error| {
        JavaError::new("org.apache.kafka.tools.AdminOperationException", "The input string is not a valid JSON")
            .with_plain(format!("{place} is not valid JSON"))
            .with_hint(Some(format!("look at {place}: {error}")))
    })
}

/// The error with the file that it is about, where that is one of what stands in it.
pub(crate) fn at(place: &str, error: JavaError) -> JavaError {
    if error.is(MAPPING) { error.with_hint(Some(format!("look at {place}"))) } else { error }
}

/// As [`parse_plan`], for tools that tell a text that is empty apart.
pub(crate) fn parse_plan_with_text(text: &str, place: &str) -> Result<Value, JavaError> {
    if text.is_empty() {
        let class = "com.fasterxml.jackson.core.JsonParseException";
        return Err(JavaError::new(class, "The input string shouldn't be empty")
            .with_plain(format!("{place} is empty"))
            .with_hint(Some(format!("look at {place}: at line 1 column 1 there should be a plan"))));
    }
    parse_plan(text, place)
}

/// The class of what [`mapping`] makes.
pub(crate) const MAPPING: &str = "com.fasterxml.jackson.databind.JsonMappingException";

/// Something else is there than what was expected.
fn mapping(message: String) -> JavaError {
    JavaError::new(MAPPING, message)
}

fn expected(what: &str, value: &Value) -> JavaError {
    mapping(format!("Expected `{what}` value, received {value}"))
}

/// The field of this name.
pub(crate) fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a Value, JavaError> {
    object.get(name).ok_or_else(|| mapping(format!("No such field exists: `{name}`")))
}

pub(crate) fn object(value: &Value) -> Result<&Map<String, Value>, JavaError> {
    value.as_object().ok_or_else(|| mapping(format!("Expected JSON object, received {value}")))
}

pub(crate) fn array(value: &Value) -> Result<&[Value], JavaError> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| mapping(format!("Expected JSON array, received {value}")))
}

/// The elements of a list of one type, which has another name in what is said of a mistake.
pub(crate) fn list(value: &Value) -> Result<&[Value], JavaError> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| expected("JSON array", value))
}

pub(crate) fn integer(value: &Value) -> Result<i32, JavaError> {
    value.as_i64().and_then(|number| i32::try_from(number).ok()).ok_or_else(|| expected("Integer", value))
}

pub(crate) fn long(value: &Value) -> Result<i64, JavaError> {
    value.as_i64().ok_or_else(|| expected("Long", value))
}

pub(crate) fn string(value: &Value) -> Result<&str, JavaError> {
    value.as_str().ok_or_else(|| expected("String", value))
}

/// The plan's version, 1 if it has none.
///
/// # Errors
/// It is another one.
pub(crate) fn check_version(plan: &Map<String, Value>) -> Result<(), JavaError> {
    match plan.get("version").map(integer).transpose()? {
        None | Some(1) => Ok(()),
        Some(version) => Err(JavaError::new(
            "org.apache.kafka.tools.AdminOperationException",
            format!("Not supported version field value {version}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mistakes_are_told_in_kafkas_words() {
        let text = |error: JavaError| error.message().to_owned();
        assert_eq!(text(integer(&json!("0")).unwrap_err()), "Expected `Integer` value, received \"0\"");
        assert_eq!(
            text(integer(&json!(3_000_000_000i64)).unwrap_err()),
            "Expected `Integer` value, received 3000000000"
        );
        assert_eq!(text(integer(&json!(1.0)).unwrap_err()), "Expected `Integer` value, received 1.0");
        assert_eq!(text(long(&json!(null)).unwrap_err()), "Expected `Long` value, received null");
        assert_eq!(text(string(&json!(5)).unwrap_err()), "Expected `String` value, received 5");
        assert_eq!(text(object(&json!([])).unwrap_err()), "Expected JSON object, received []");
        assert_eq!(text(array(&json!({"a": 1})).unwrap_err()), "Expected JSON array, received {\"a\":1}");
        let plan = json!({"version": 2});
        let plan = object(&plan).unwrap();
        assert_eq!(text(field(plan, "partition").unwrap_err()), "No such field exists: `partition`");
        assert_eq!(text(check_version(plan).unwrap_err()), "Not supported version field value 2");
        assert_eq!(check_version(&Map::new()), Ok(()));
    }

    #[test]
    fn files_that_are_none() {
        let absent = read_plan(Path::new("/no/such/plan.json")).unwrap_err();
        assert_eq!(absent.message(), "Unable to read file /no/such/plan.json");
        for text in ["", "{", "{\"a\":}"] {
            assert_eq!(parse_plan(text, "x").unwrap_err().message(), "The input string is not a valid JSON");
        }
    }
}
