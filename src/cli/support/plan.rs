//! What `--dry-run` would have done.

use std::io;

use serde_json::{Value, json};

use super::{Output, Style};

/// Prints what would be done, a line each, or `{"version":1,"dryRun":true,"plan":[...]}`.
pub(crate) fn print_plan(steps: &[(String, Value)], out: &mut Output) -> io::Result<()> {
    if out.style() == Style::Json {
        let plan: Vec<&Value> = steps.iter().map(|(_, step)| step).collect();
        return out.json(&json!({ "version": 1, "dryRun": true, "plan": plan }));
    }
    if steps.is_empty() {
        return out.line("Nothing would be done.");
    }
    steps.iter().try_for_each(|(text, _)| out.line(format_args!("Would {text}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_a_line() {
        let (mut out, captured) = Output::captured();
        print_plan(&[("delete x".to_owned(), json!({}))], &mut out).unwrap();
        print_plan(&[], &mut out).unwrap();
        out.flush().unwrap();
        assert_eq!(captured.stdout(), "Would delete x.\nNothing would be done.\n");
    }
}
