//! Log lines: who gets them, from which level on, and what they look like.
//!
//! The form is Kafka's, `[2024-11-06 12:00:00,123] WARN text (where)`, since people's eyes and scripts know it; on a
//! terminal it is shorter. `KAFKA_RS_LOG` sets levels: `debug`, or `info,kafka_rs::client=trace`.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::sync::{PoisonError, RwLock};

use indicatif::ProgressBar;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Name of the environment variable that sets the levels.
pub const LEVELS_VARIABLE: &str = "KAFKA_RS_LOG";

/// Starts logging for a command-line tool: warnings and errors, to stderr.
pub fn start_for_tool() {
    let short = std::io::stderr().is_terminal();
    start(std::io::stderr, Level::WARN, Form { short, colour: short && colour_is_wanted() });
}

/// Starts logging for a server, to stdout as Kafka does: everything from `info` on, for somebody at a terminal warnings
/// and errors.
pub fn start_for_server() {
    let terminal = std::io::stdout().is_terminal();
    let level = if terminal { Level::WARN } else { Level::INFO };
    start(|| AroundBar(std::io::stdout()), level, Form { short: false, colour: terminal && colour_is_wanted() });
}

/// What is drawn at the terminal's last line, which log lines must not run into.
static BAR: RwLock<Option<ProgressBar>> = RwLock::new(None);

/// Has a server's log lines written above `bar`, until there is another or none.
pub fn write_above(bar: Option<ProgressBar>) {
    *BAR.write().unwrap_or_else(PoisonError::into_inner) = bar;
}

/// Takes the bar away while something is written.
struct AroundBar<W>(W);

impl<W: io::Write> io::Write for AroundBar<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A line comes in one piece; more than was taken comes again.
        match &*BAR.read().unwrap_or_else(PoisonError::into_inner) {
            Some(bar) => bar.suspend(|| self.0.write_all(bytes).and_then(|()| self.0.flush())).map(|()| bytes.len()),
            None => self.0.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn start<W>(writer: W, level: Level, form: Form)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let wanted = std::env::var(LEVELS_VARIABLE).ok().filter(|text| !text.is_empty());
    let (levels, mistake) = match wanted.as_deref().map(str::parse::<Targets>) {
        Some(Ok(levels)) => (levels, None),
        Some(Err(error)) => (Targets::new().with_default(level), Some(error)),
        None => (Targets::new().with_default(level), None),
    };
    let lines = tracing_subscriber::fmt::layer().with_ansi(form.colour).event_format(form).with_writer(writer);
    // A second start (tests that run tools in one process) keeps the first.
    let _ = tracing_subscriber::registry().with(levels).with(lines).try_init();
    if let (Some(error), Some(text)) = (mistake, wanted) {
        tracing::warn!("{LEVELS_VARIABLE}={text} is ignored: {error}");
    }
}

// https://no-color.org: any value but the empty one.
fn colour_is_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// What a line looks like.
#[derive(Debug, Clone, Copy)]
struct Form {
    /// `warning: text` instead of Kafka's pattern.
    short: bool,
    colour: bool,
}

impl<S, N> FormatEvent<S, N> for Form
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let meta = event.metadata();
        let level = *meta.level();
        let (on, off) = match level {
            _ if !self.colour => ("", ""),
            Level::ERROR => ("\x1b[31m", "\x1b[0m"),
            Level::WARN => ("\x1b[33m", "\x1b[0m"),
            _ => ("\x1b[2m", "\x1b[0m"),
        };
        if self.short {
            let label = match level {
                Level::ERROR => "error",
                Level::WARN => "warning",
                Level::INFO => "info",
                Level::DEBUG => "debug",
                Level::TRACE => "trace",
            };
            write!(to, "{on}{label}:{off} ")?;
            context.field_format().format_fields(to.by_ref(), event)?;
            return writeln!(to);
        }
        let time = jiff::Zoned::now();
        write!(to, "[{}] {on}{level}{off} ", time.strftime("%Y-%m-%d %H:%M:%S,%3f"))?;
        context.field_format().format_fields(to.by_ref(), event)?;
        writeln!(to, " ({})", meta.target())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(buf);
            Ok(buf.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(form: Form) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer =
            tracing_subscriber::fmt::layer().with_ansi(false).event_format(form).with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!(offset = 7, "index entry past the log end");
        });
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn lines_have_kafkas_form() {
        let line = logged(Form { short: false, colour: false });
        let (time, rest) = line.split_once(']').unwrap();
        assert_eq!(time.len(), "[2024-11-06 12:00:00,123".len());
        assert_eq!(rest, " WARN index entry past the log end offset=7 (kafka_rs::telemetry::tests)\n");
    }

    #[test]
    fn lines_on_a_terminal_are_short() {
        assert_eq!(logged(Form { short: true, colour: false }), "warning: index entry past the log end offset=7\n");
    }
}
