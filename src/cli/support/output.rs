//! The one way to print. Data goes to stdout, everything else to stderr.
//!
//! Output is plain, as Kafka's script prints it, unless stdout is a terminal (then tables and colour) or `--output`
//! says otherwise. Tests hold an [`Output`] that collects.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, PoisonError};

use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};

/// What lists and descriptions look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Style {
    /// Exactly what Kafka's script prints
    Kafka,
    /// Tables for people
    Table,
    /// JSON for programs
    Json,
}

/// What a colour means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tint {
    /// All is well.
    Good,
    /// It may be meant, or pass.
    Odd,
    /// Somebody has to do something.
    Bad,
}

impl Tint {
    fn dye(self, text: &str) -> String {
        let code = match self {
            Self::Good => "32",
            Self::Odd => "33",
            Self::Bad => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// `--output`, for the tools that list or describe something.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct OutputArgs {
    /// What the output looks like [default: table on a terminal, else kafka]
    #[arg(long, value_name = "FORMAT", hide_default_value = true)]
    output: Option<Style>,
}

impl OutputArgs {
    /// Sets the chosen style, if one was chosen.
    pub(crate) fn apply(self, out: &mut Output) {
        if let Some(style) = self.output {
            out.style = style;
        }
    }
}

/// What records look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum RecordStyle {
    /// As the formatter prints them
    Kafka,
    /// A JSON object for each, on a line of its own
    Json,
    /// The same
    Ndjson,
}

/// `--output`, for the tools that print records, of which there may be no end.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct RecordOutputArgs {
    /// What a record looks like: kafka (as the formatter prints it), json or ndjson (an object per line)
    #[arg(long, value_name = "FORMAT", hide_possible_values = true, help_heading = "Format")]
    output: Option<RecordStyle>,
}

impl RecordOutputArgs {
    /// Whether programs read it. What is said besides is then worded for scripts too.
    pub(crate) fn apply(self, out: &mut Output) -> bool {
        let is_json = matches!(self.output, Some(RecordStyle::Json | RecordStyle::Ndjson));
        match self.output {
            Some(RecordStyle::Kafka) => out.style = Style::Kafka,
            _ if is_json => out.style = Style::Json,
            _ => {}
        }
        is_json
    }
}

/// `--output`, for the tools of Kafka's that print JSON in any case.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct AlwaysJsonArgs {
    /// What the output looks like: json, an object per line, whatever is chosen
    #[arg(long = "output", value_name = "FORMAT", value_parser = ["json", "ndjson"])]
    #[arg(hide_short_help = true, hide_possible_values = true)]
    _output: Option<String>,
}

/// What the tools that Kafka has not got print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OwnStyle {
    /// Lines for people
    Text,
    /// JSON for programs
    Json,
}

/// `--output`, for the tools that Kafka has not got.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct OwnOutputArgs {
    /// What the output looks like
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: OwnStyle,
}

impl OwnOutputArgs {
    /// Sets the chosen style.
    pub(crate) fn apply(self, out: &mut Output) {
        // Errors and questions are for people whatever the data look like: no script of Kafka's reads them.
        out.style = Style::Table;
    }

    /// Whether programs read it.
    pub(crate) fn is_json(self) -> bool {
        self.output == OwnStyle::Json
    }
}

/// The reader of stdout has gone away (`| head -1`): reason to stop, but no failure.
#[derive(Debug)]
pub(crate) struct StdoutClosed;

impl fmt::Display for StdoutClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads standard output any more")
    }
}

impl std::error::Error for StdoutClosed {}

/// Where a tool prints, and what it knows about who is reading.
pub(crate) struct Output {
    stdout: Stdout,
    stderr: Box<dyn Write + Send>,
    style: Style,
    profile: Option<String>,
    colour: bool,
    stdin_is_terminal: bool,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
}

/// Standard output behind a buffer, with [`StdoutClosed`] for a pipe that nobody reads.
pub(crate) struct Stdout(BufWriter<Box<dyn Write + Send>>);

/// Large enough that a consumer at full speed makes few system calls.
const STDOUT_BUFFER: usize = 64 * 1024;

/// Below this, wrapping a table makes it unreadable.
const NARROWEST: u16 = 40;

impl Write for Stdout {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf).map_err(closed)
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        self.0.write_all(buf).map_err(closed)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(closed)
    }
}

fn log_time() -> impl fmt::Display {
    jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S,%3f").to_string()
}

fn closed(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        io::Error::new(io::ErrorKind::BrokenPipe, StdoutClosed)
    } else {
        error
    }
}

impl Output {
    /// The process's own stdout and stderr.
    pub(crate) fn standard() -> Self {
        let stdout_is_terminal = io::stdout().is_terminal();
        let stderr_is_terminal = io::stderr().is_terminal();
        // https://no-color.org: any value but the empty one.
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            stdout: Stdout(BufWriter::with_capacity(STDOUT_BUFFER, Box::new(RawStdout::new()))),
            stderr: Box::new(io::stderr()),
            profile: None,
            style: if stdout_is_terminal { Style::Table } else { Style::Kafka },
            colour: !no_colour,
            stdin_is_terminal: io::stdin().is_terminal(),
            stdout_is_terminal,
            stderr_is_terminal,
        }
    }

    /// What lists and descriptions shall look like.
    pub(crate) fn style(&self) -> Style {
        self.style
    }

    /// Sets it, over what the terminal and `--output` say.
    #[cfg(test)]
    pub(crate) fn set_style(&mut self, style: Style) {
        self.style = style;
    }

    /// Where the words make no sense as a whole: sees among them that a program reads, which is then not told of it on
    /// stdout.
    pub(crate) fn take_style_from(&mut self, words: &[OsString]) {
        let is_json = |pair: &[OsString]| match pair {
            [option, style] if option == "--output" => style == "json" || style == "ndjson",
            _ => false,
        };
        if words.windows(2).any(is_json)
            || words.iter().any(|word| word == "--output=json" || word == "--output=ndjson")
        {
            self.style = Style::Json;
        }
    }

    /// Whether errors and remarks are for a person; otherwise they are worded as Kafka's tools word them.
    pub(crate) fn is_for_people(&self) -> bool {
        self.style == Style::Table
    }

    /// Whether errors are told with Kafka's words, and where Kafka's tool tells them: some of them on stdout. In
    /// the other styles stdout has data alone.
    pub(crate) fn tells_errors_as_kafka(&self) -> bool {
        self.style == Style::Kafka
    }

    /// Whether a question can be asked: a person types, and sees the question.
    pub(crate) fn can_ask(&self) -> bool {
        self.stdin_is_terminal && self.stderr_is_terminal
    }

    /// Whether lines are typed by a person at a prompt that goes to stdout.
    pub(crate) fn is_prompt(&self) -> bool {
        self.stdin_is_terminal && self.stdout_is_terminal
    }

    /// Whether stdin is a terminal.
    pub(crate) fn stdin_is_terminal(&self) -> bool {
        self.stdin_is_terminal
    }

    /// Whether stdout is a terminal.
    pub(crate) fn stdout_is_terminal(&self) -> bool {
        self.stdout_is_terminal
    }

    /// Whether a progress line can be drawn on stderr.
    pub(crate) fn can_draw(&self) -> bool {
        self.stderr_is_terminal
    }

    /// Whether what is printed can be drawn over: stdout is a terminal.
    pub(crate) fn can_redraw(&self) -> bool {
        self.stdout_is_terminal
    }

    /// What `print` would have printed on stdout and on stderr; on a terminal, where both are one, all of it in the first.
    pub(crate) async fn collect<T>(&self, print: impl AsyncFnOnce(&mut Self) -> T) -> (T, Vec<u8>, Vec<u8>) {
        let (stdout, stderr) = (Shared::default(), Shared::default());
        let mut out = self.remembering(&stdout);
        if !self.stdout_is_terminal {
            out.stderr = Box::new(stderr.clone());
        }
        let result = print(&mut out).await;
        // Into memory; it can't fail.
        let _ = out.flush();
        (result, stdout.take(), stderr.take())
    }

    /// Prints bytes on stderr.
    pub(crate) fn remark_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stdout.flush()?;
        self.stderr.write_all(bytes)
    }

    /// Prints on stderr what a question is about: stdout may be a file that data go to.
    pub(crate) fn for_question<E: From<io::Error>>(
        &mut self,
        print: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        let collected = Shared::default();
        let mut out = self.remembering(&collected);
        out.stdout_is_terminal = self.stderr_is_terminal;
        print(&mut out)?;
        out.flush()?;
        Ok(self.remark_bytes(&collected.take())?)
    }

    /// One like this to [`Output::collect`] with, while this one prints.
    pub(crate) fn apart(&self) -> Self {
        self.remembering(&Shared::default())
    }

    /// An output like this one that only remembers.
    fn remembering(&self, collected: &Shared) -> Self {
        Self {
            stdout: Stdout(BufWriter::new(Box::new(collected.clone()))),
            stderr: Box::new(collected.clone()),
            profile: self.profile.clone(),
            ..*self
        }
    }

    /// Raw bytes for stdout; they reach it at the latest with [`Output::flush`].
    pub(crate) fn stdout(&mut self) -> &mut Stdout {
        &mut self.stdout
    }

    /// Prints a line of data.
    pub(crate) fn line(&mut self, text: impl fmt::Display) -> io::Result<()> {
        writeln!(self.stdout, "{text}")
    }

    /// Prints a line on stderr: a remark or warning, never data.
    pub(crate) fn note(&mut self, text: impl fmt::Display) -> io::Result<()> {
        // Order: data printed before a remark is seen before it.
        self.stdout.flush()?;
        writeln!(self.stderr, "{text}")
    }

    /// Tells errors with the name of the profile that says which cluster is meant.
    pub(crate) fn set_profile(&mut self, name: &str) {
        self.profile = Some(name.to_owned());
    }

    /// Prints `error: <text>` on stderr, or `error: [<profile>] <text>`.
    pub(crate) fn error(&mut self, text: &str) -> io::Result<()> {
        match &self.profile {
            Some(name) => self.labelled("error:", "\x1b[1;31m", &format!("[{name}] {text}")),
            None => self.labelled("error:", "\x1b[1;31m", text),
        }
    }

    /// Prints `hint: <text>` on stderr.
    pub(crate) fn hint(&mut self, text: &str) -> io::Result<()> {
        self.labelled("hint:", "\x1b[1;36m", text)
    }

    fn labelled(&mut self, label: &str, colour: &str, text: &str) -> io::Result<()> {
        if self.colour && self.stderr_is_terminal {
            self.note(format_args!("{colour}{label}\x1b[0m {text}"))
        } else {
            self.note(format_args!("{label} {text}"))
        }
    }

    /// Help as stdout shows it: with colours, or without.
    pub(crate) fn styled(&self, text: &clap::builder::StyledStr) -> String {
        if self.colour && self.stdout_is_terminal { text.ansi().to_string() } else { text.to_string() }
    }

    /// `text` in a colour, if stdout shows colours.
    pub(crate) fn coloured(&self, text: &str, colour: &str) -> String {
        if self.colour && self.stdout_is_terminal { format!("{colour}{text}\x1b[0m") } else { text.to_owned() }
    }

    /// `text` in bold, if stdout shows colours.
    pub(crate) fn bold(&self, text: &str) -> String {
        if self.colour && self.stdout_is_terminal { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// `text` in the colour of what it says, if stdout shows colours.
    pub(crate) fn tinted(&self, text: &str, tint: Tint) -> String {
        if !(self.colour && self.stdout_is_terminal) {
            return text.to_owned();
        }
        tint.dye(text)
    }

    /// The same for a remark, if stderr shows colours.
    pub(crate) fn tinted_remark(&self, text: &str, tint: Tint) -> String {
        if self.colour && self.stderr_is_terminal { tint.dye(text) } else { text.to_owned() }
    }

    /// Prints an error as Kafka's logging does, on stderr: `[time] ERROR text (logger)`.
    pub(crate) fn kafka_log_error(&mut self, text: impl fmt::Display, logger: &str) -> io::Result<()> {
        self.note(format_args!("[{}] ERROR {text} ({logger})", log_time()))
    }

    /// Prints a warning as Kafka's logging does, on stderr: `[time] WARN text (logger)`.
    pub(crate) fn kafka_log_warning(&mut self, text: impl fmt::Display, logger: &str) -> io::Result<()> {
        self.note(format_args!("[{}] WARN {text} ({logger})", log_time()))
    }

    /// Prints a remark as a Kafka server's logging does, on stdout: `[time] INFO text (logger)`.
    pub(crate) fn kafka_log_info(&mut self, text: impl fmt::Display, logger: &str) -> io::Result<()> {
        self.line(format_args!("[{}] INFO {text} ({logger})", log_time()))
    }

    /// Prints a table with a header; a table without rows prints nothing, nor does a column without any text.
    pub(crate) fn table(&mut self, header: &[&str], rows: Vec<Vec<String>>) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let has_text = |column: usize| rows.iter().any(|row| row.get(column).is_some_and(|cell| !cell.is_empty()));
        let used: Vec<bool> = (0..header.len()).map(has_text).collect();
        let is_used = |column: usize| used.get(column).copied().unwrap_or(true);
        fn kept<T>(cells: impl IntoIterator<Item = T>, is_used: impl Fn(usize) -> bool) -> Vec<T> {
            cells.into_iter().enumerate().filter(|(column, _)| is_used(*column)).map(|(_, cell)| cell).collect()
        }
        let header = kept(header.iter().copied(), is_used);
        let rows: Vec<_> = rows.into_iter().map(|row| kept(row, is_used)).collect();
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        let bold = self.colour && self.stdout_is_terminal;
        table.set_header(header.into_iter().map(|title| {
            let cell = Cell::new(title);
            if bold { cell.add_attribute(Attribute::Bold) } else { cell }
        }));
        table.add_rows(rows);
        // Some terminals, those of containers among them, say that they have no columns at all.
        let has_width = table.width().is_some_and(|columns| columns >= NARROWEST);
        if self.stdout_is_terminal && has_width {
            // Wraps what is too wide instead of letting the terminal break the lines.
            table.set_content_arrangement(ContentArrangement::Dynamic);
        } else if !self.stdout_is_terminal {
            table.force_no_tty();
        }
        self.line(table)
    }

    /// Prints a JSON document, indented, on lines of its own.
    pub(crate) fn json(&mut self, value: &serde_json::Value) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut self.stdout, value)?;
        self.stdout.write_all(b"\n")
    }

    /// Hands everything printed so far to the system.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()?;
        self.stderr.flush()
    }

    /// An output for tests, not a terminal, and what it has collected.
    #[cfg(test)]
    pub(crate) fn captured() -> (Self, Captured) {
        let captured = Captured::default();
        let out = Self {
            stdout: Stdout(BufWriter::new(Box::new(captured.stdout.clone()))),
            stderr: Box::new(captured.stderr.clone()),
            style: Style::Kafka,
            profile: None,
            colour: false,
            stdin_is_terminal: false,
            stdout_is_terminal: false,
            stderr_is_terminal: false,
        };
        (out, captured)
    }
}

/// Standard output without the line buffer that [`io::Stdout`] adds, where the system has it as a file.
struct RawStdout {
    #[cfg(unix)]
    file: Option<std::fs::File>,
}

impl RawStdout {
    fn new() -> Self {
        Self {
            // A duplicate, so that dropping it does not close the process's stdout.
            #[cfg(unix)]
            file: std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned().ok().map(std::fs::File::from),
        }
    }
}

impl Write for RawStdout {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        #[cfg(unix)]
        if let Some(file) = &mut self.file {
            return file.write(buf);
        }
        io::stdout().write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

/// Bytes that several writers may add to; what [`Output::collect`] prints into.
#[derive(Debug, Default, Clone)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Shared {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a test's [`Output`] printed.
#[cfg(test)]
#[derive(Debug, Default, Clone)]
pub(crate) struct Captured {
    stdout: Shared,
    stderr: Shared,
}

#[cfg(test)]
impl Captured {
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8(self.stdout.0.lock().unwrap().clone()).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8(self.stderr.0.lock().unwrap().clone()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_told_apart_from_other_failures() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (mut out, _) = Output::captured();
        out.stdout = Stdout(BufWriter::new(Box::new(Gone)));
        out.line("x").unwrap();
        let error = anyhow::Error::new(out.flush().unwrap_err());
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref).unwrap();
        assert!(inner.is::<StdoutClosed>());
    }

    #[test]
    fn tables_without_rows_print_nothing() {
        let (mut out, captured) = Output::captured();
        out.table(&["TOPIC"], Vec::new()).unwrap();
        out.flush().unwrap();
        assert_eq!(captured.stdout(), "");
    }
}
