//! The options that say how the console consumers print.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::chosen::Unusable;
use super::formatter::{self, Formatter};
use crate::cli::support::{Output, RecordOutputArgs, UsageError, properties_of};

/// The formatter when none is named.
const DEFAULT_FORMATTER: &str = "org.apache.kafka.tools.consumer.DefaultMessageFormatter";

/// How records are printed.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct FormatArgs {
    /// Property of the formatter, such as print.key=true
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Format")]
    pub(in crate::cli) formatter_property: Vec<String>,
    /// File with properties of the formatter
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Format", hide_short_help = true)]
    pub(in crate::cli) formatter_config: Option<PathBuf>,
    /// Class of the formatter [default: DefaultMessageFormatter]
    #[arg(long, value_name = "CLASS", help_heading = "Format")]
    pub(in crate::cli) formatter: Option<String>,
    /// Class that reads keys
    #[arg(long, value_name = "CLASS", help_heading = "Format")]
    pub(in crate::cli) key_deserializer: Option<String>,
    /// Class that reads values
    #[arg(long, value_name = "CLASS", help_heading = "Format")]
    pub(in crate::cli) value_deserializer: Option<String>,
    #[command(flatten)]
    output: RecordOutputArgs,
    /// Old spelling of --formatter-property
    #[arg(long, value_name = "KEY=VALUE", hide = true)]
    pub(in crate::cli) property: Vec<String>,
}

impl FormatArgs {
    /// The formatter that is asked for.
    pub(in crate::cli) fn formatter(&self, out: &mut Output) -> anyhow::Result<Formatter> {
        let mut found = properties_of(self.formatter_config.as_deref(), &[])?;
        for (key, class) in
            [("key.deserializer", &self.key_deserializer), ("value.deserializer", &self.value_deserializer)]
        {
            if let Some(class) = class.as_ref().filter(|class| !class.is_empty()) {
                found.insert(key.to_owned(), class.clone());
            }
        }
        found.extend(properties_of(None, &self.formatter_property)?);
        let class = self.formatter.as_deref().unwrap_or(DEFAULT_FORMATTER);
        let Some(mut formatter) = Formatter::new(class, &found) else {
            return Err(UsageError::hinted(class, format!("formatters are {}", formatter::KNOWN)));
        };
        if self.output.apply(out) {
            formatter = formatter.into_json();
        }
        if let Some(today) = Formatter::class_of_today(class) {
            out.note(format_args!(
                "WARNING: {class} is deprecated and will be removed in the next major release. Please use {today} instead"
            ))?;
        }
        for Unusable { class, exception, .. } in formatter.unusable_deserializers() {
            const LOGGER: &str = "org.apache.kafka.tools.consumer.DefaultMessageFormatter";
            out.kafka_log_error(format_args!("Unable to instantiate a deserializer from {class}"), LOGGER)?;
            out.note(exception)?;
        }
        let hints: BTreeSet<_> = formatter.unusable_deserializers().iter().map(|unusable| &unusable.hint).collect();
        hints.into_iter().try_for_each(|hint| out.hint(hint))?;
        Ok(formatter)
    }
}
