//! The prompt of the shell at a terminal: lines can be edited, Tab completes commands and paths, arrows bring back lines.

use std::io::Write as _;

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use super::commands::Shell;
use crate::cli::support::{Exit, Output};

/// Runs what is typed until `exit` or Ctrl-D. Ctrl-C gives up a line, as in Kafka's shell.
pub(super) fn run(shell: Shell, out: &mut Output) -> anyhow::Result<Exit> {
    let config = Config::builder().completion_type(CompletionType::List).auto_add_history(true).build();
    let history = MemHistory::with_config(&config);
    let mut editor: Editor<Shell, MemHistory> = Editor::with_history(config, history)?;
    editor.set_helper(Some(shell));
    loop {
        let line = match editor.readline(">> ") {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                out.line("^C")?;
                out.flush()?;
                continue;
            }
            Err(ReadlineError::Eof) => return Ok(Exit::Success),
            Err(error) => return Err(error.into()),
        };
        let Some(shell) = editor.helper_mut() else { return Ok(Exit::Success) };
        let columns = comfy_table::Table::new().width().map(usize::from);
        let text = shell.line(&line, columns);
        out.stdout().write_all(text.as_bytes())?;
        out.flush()?;
        if shell.is_over() {
            return Ok(Exit::Success);
        }
    }
}

impl Completer for Shell {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (begin, words) = self.completions(line.get(..at).unwrap_or(line));
        let pair = |replacement: String| Pair { display: replacement.clone(), replacement };
        Ok((begin, words.into_iter().map(pair).collect()))
    }
}

impl Hinter for Shell {
    type Hint = String;
}
impl Highlighter for Shell {}
impl Validator for Shell {}
impl Helper for Shell {}
