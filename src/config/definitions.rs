//! The tables of all keys: what each is called, its type, default, valid values and what it does here.
//!
//! `tables/*.tsv` are read on first use; that takes a fraction of a millisecond.

use std::sync::LazyLock;

use super::error::{ConfigError, WarningKind};
use super::value::{Kind, Valid, Value};

/// Who is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A broker: `server.properties` and dynamic broker configs.
    Broker,
    /// A topic.
    Topic,
    /// A consumer, share or streams group.
    Group,
    /// A client metrics subscription (KIP-714).
    ClientMetrics,
    /// A producer.
    Producer,
    /// A consumer.
    Consumer,
    /// An admin client.
    Admin,
}

impl Scope {
    /// As error messages call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Topic => "topic",
            Self::Group => "group",
            Self::ClientMetrics => "client-metrics",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::Admin => "admin",
        }
    }
}

/// What a key has when nobody sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// It must be set.
    Required,
    /// Nothing; another key or rule decides.
    Null,
    /// This text, as a user would write it.
    Text(&'static str),
}

/// How a broker key changes while the broker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateMode {
    /// Only by a restart.
    ReadOnly,
    /// For one broker at a time.
    PerBroker,
    /// For one broker or for all.
    ClusterWide,
}

/// What setting a key does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// What it does in Kafka.
    Honoured,
    /// What it does in Kafka, but a change at run time counts from the next start on.
    AtStart,
    /// Nothing yet; setting it to something other than its default is warned about.
    Later,
    /// Setting it to something other than its default is an error, since the broker would act against it.
    Refused,
    /// Nothing, and never will: what it tunes does not exist here.
    Inert,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigDef {
    /// The key.
    pub name: &'static str,
    /// Type of its value.
    pub kind: Kind,
    /// Its default.
    pub default: DefaultValue,
    /// `high`, `medium` or `low`, as Kafka's documentation ranks it.
    pub importance: &'static str,
    /// What is allowed beyond the type.
    pub valid: Valid,
    /// How it changes at run time; `ReadOnly` outside of the broker scope.
    pub update_mode: UpdateMode,
    /// Kafka does not show it to users.
    pub internal: bool,
    /// For topic keys: the broker keys that give the default, the strongest first.
    pub synonyms: Vec<&'static str>,
    /// What it does here.
    pub effect: Effect,
    /// A value that is what is done here whatever is set, if that is not the default: asking for it changes nothing.
    pub done: Option<&'static str>,
}

impl ConfigDef {
    /// What of this value does nothing here, if something.
    pub(super) fn idle(&self, value: &Value) -> Option<WarningKind> {
        let is_done = |text| self.kind.parse(self.name, text).is_ok_and(|done| done == *value);
        if *value == self.default_value() || self.done.is_some_and(is_done) {
            return None;
        }
        match (self.effect, value) {
            (Effect::Later, _) => Some(WarningKind::NotYetInEffect),
            (Effect::Inert, _) => Some(WarningKind::NoCounterpart),
            (Effect::Honoured | Effect::AtStart | Effect::Refused, _) => None,
        }
    }

    /// Checks a value as a user writes it.
    ///
    /// # Errors
    /// [`ConfigError::InvalidValue`] or [`ConfigError::InvalidList`], in Kafka's words.
    pub fn parse(&self, text: &str) -> Result<Value, ConfigError> {
        let mut value = self.kind.parse(self.name, text)?;
        if let (Valid::List { .. }, Value::List(list)) = (&self.valid, &mut value) {
            keep_first_of_each(list);
        }
        self.valid.check(self.name, &value)?;
        Ok(value)
    }

    /// The default as a value; `Null` for a key without one.
    #[must_use]
    pub fn default_value(&self) -> Value {
        match self.default {
            // A test parses every default of the tables.
            DefaultValue::Text(text) => self.kind.parse(self.name, text).unwrap_or(Value::Null),
            DefaultValue::Null | DefaultValue::Required => Value::Null,
        }
    }

    /// Whether Kafka hides the value: passwords.
    #[must_use]
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }
}

/// The keys of one scope, sorted by name.
#[derive(Debug)]
pub struct Table {
    defs: Vec<ConfigDef>,
}

impl Table {
    /// The definition of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ConfigDef> {
        self.position(name).and_then(|at| self.defs.get(at))
    }

    /// Where `name` stands in [`Table::iter`].
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.defs.binary_search_by(|def| def.name.cmp(name)).ok()
    }

    /// All definitions, sorted by name.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigDef> {
        self.defs.iter()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.defs.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.defs.is_empty()
    }

    /// The key most like `name`, if one is close enough to be what was meant.
    #[must_use]
    pub fn nearest(&self, name: &str) -> Option<&'static str> {
        let allowed = (name.chars().count() / 5).clamp(1, 4);
        self.defs
            .iter()
            .filter(|def| def.name.len().abs_diff(name.len()) <= allowed)
            .map(|def| (edit_distance(name, def.name), def.name))
            .filter(|&(distance, _)| distance <= allowed)
            .min()
            .map(|(_, name)| name)
    }
}

/// The keys of `scope`.
#[must_use]
pub fn table(scope: Scope) -> &'static Table {
    macro_rules! read {
        ($($scope:pat => $file:literal $layout:expr;)*) => {
            match scope {
                $($scope => {
                    static TABLE: LazyLock<Table> = LazyLock::new(|| read(include_str!($file), $layout));
                    &TABLE
                })*
            }
        };
    }
    read! {
        Scope::Broker => "tables/broker.tsv" Layout::Broker;
        Scope::Topic => "tables/topic.tsv" Layout::Topic;
        Scope::Group => "tables/group.tsv" Layout::Plain;
        Scope::ClientMetrics => "tables/client_metrics.tsv" Layout::Plain;
        Scope::Producer => "tables/clients.tsv" Layout::Client('p');
        Scope::Consumer => "tables/clients.tsv" Layout::Client('c');
        Scope::Admin => "tables/clients.tsv" Layout::Client('a');
    }
}

/// What to tell someone who sets a key of Kafka 3.9 or of one of its plug-ins that is in no table.
#[must_use]
pub fn gone(scope: Scope, name: &str) -> Option<&'static str> {
    rows(include_str!("tables/gone.tsv")).find_map(|mut columns| {
        let (in_scope, key, advice) = (columns.next()?, columns.next()?, columns.next()?);
        let matches = match key.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == key,
        };
        (in_scope == scope.name() && matches).then_some(advice)
    })
}

/// The definition of a broker key that has no place in a file, only at run time: the throttles of replication.
#[must_use]
pub fn dynamic_only(name: &str) -> Option<&'static ConfigDef> {
    static DEFS: LazyLock<[ConfigDef; 3]> = LazyLock::new(|| {
        [
            "follower.replication.throttled.rate",
            "leader.replication.throttled.rate",
            "replica.alter.log.dirs.io.max.bytes.per.second",
        ]
        .map(|name| ConfigDef {
            name,
            kind: Kind::Long,
            default: DefaultValue::Text("9223372036854775807"),
            importance: "medium",
            valid: Valid::Range { min: "0", max: None },
            update_mode: UpdateMode::ClusterWide,
            internal: false,
            synonyms: Vec::new(),
            effect: Effect::Later,
            done: None,
        })
    });
    DEFS.iter().find(|def| def.name == name)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Broker,
    Topic,
    Plain,
    Client(char),
}

fn rows(text: &'static str) -> impl Iterator<Item = std::str::Split<'static, char>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t'))
}

fn read(text: &'static str, layout: Layout) -> Table {
    let defs = rows(text).filter_map(|columns| read_row(columns, layout)).collect();
    Table { defs }
}

fn read_row(columns: std::str::Split<'static, char>, layout: Layout) -> Option<ConfigDef> {
    let mut columns = columns.chain(std::iter::repeat(""));
    let mut next = || columns.next().unwrap_or_default();
    let (name, kind, default, importance, valid, flags) = (next(), next(), next(), next(), next(), next());
    let mut synonyms = Vec::new();
    match layout {
        Layout::Topic => synonyms = next().split(',').filter(|name| !name.is_empty()).collect(),
        Layout::Client(letter) if !next().contains(letter) => return None,
        Layout::Broker | Layout::Client(_) | Layout::Plain => {}
    }
    let (effect, done) = read_effect(next())?;
    Some(ConfigDef {
        name,
        kind: Kind::named(kind)?,
        default: match default {
            "<required>" => DefaultValue::Required,
            "null" => DefaultValue::Null,
            text => DefaultValue::Text(text),
        },
        importance,
        valid: Valid::read(valid),
        update_mode: match flags.split(' ').next() {
            Some("cluster") => UpdateMode::ClusterWide,
            Some("broker") => UpdateMode::PerBroker,
            _ => UpdateMode::ReadOnly,
        },
        internal: flags.ends_with("internal"),
        synonyms,
        effect,
        done,
    })
}

/// Reads the last column: the effect, and the value that it is the same to set as nothing.
fn read_effect(text: &'static str) -> Option<(Effect, Option<&'static str>)> {
    let (text, done) = match text.split_once(", as ") {
        Some((text, done)) => (text, Some(done)),
        None => (text, None),
    };
    let effect = match text {
        "honoured" => Effect::Honoured,
        "at start" => Effect::AtStart,
        "later" => Effect::Later,
        "refused" => Effect::Refused,
        "inert" => Effect::Inert,
        _ => return None,
    };
    Some((effect, done))
}

/// Kafka forgives repeated elements in the lists that may not have them.
fn keep_first_of_each(list: &mut Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    list.retain(|one| seen.insert(one.clone()));
}

/// Insertions, deletions and replacements that turn `a` into `b`.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = *cell;
            left = replaced.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPES: [Scope; 7] = [
        Scope::Broker,
        Scope::Topic,
        Scope::Group,
        Scope::ClientMetrics,
        Scope::Producer,
        Scope::Consumer,
        Scope::Admin,
    ];

    #[test]
    fn tables_are_whole_and_sorted() {
        let counts = SCOPES.map(|scope| table(scope).len());
        assert_eq!(counts, [360, 34, 17, 3, 113, 116, 91]);
        for scope in SCOPES {
            assert!(table(scope).iter().is_sorted_by(|a, b| a.name < b.name), "{scope:?}");
        }
    }

    #[test]
    fn every_default_is_valid() {
        for scope in SCOPES {
            for def in table(scope).iter() {
                if let DefaultValue::Text(text) = def.default {
                    // Kafka does not check defaults: two lists must not be empty once they are set.
                    if matches!(def.name, "controller.quorum.voters" | "controller.quorum.bootstrap.servers") {
                        continue;
                    }
                    let value = def.parse(text).unwrap_or_else(|error| panic!("{scope:?} {}: {error}", def.name));
                    assert_eq!(value.to_string(), text, "{scope:?} {}", def.name);
                }
            }
        }
    }

    #[test]
    fn topic_synonyms_are_broker_keys() {
        for def in table(Scope::Topic).iter() {
            for name in &def.synonyms {
                assert!(table(Scope::Broker).get(name).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn the_nearest_key_is_found() {
        assert_eq!(table(Scope::Broker).nearest("num.partition"), Some("num.partitions"));
        assert_eq!(table(Scope::Broker).nearest("log.retention.hour"), Some("log.retention.hours"));
        assert_eq!(table(Scope::Broker).nearest("something.else"), None);
    }

    #[test]
    fn gone_keys_are_explained() {
        assert!(gone(Scope::Broker, "zookeeper.session.timeout.ms").is_some_and(|text| text.contains("4.0")));
        assert!(gone(Scope::Topic, "message.format.version").is_some());
        assert_eq!(gone(Scope::Topic, "zookeeper.connect"), None);
    }
}
