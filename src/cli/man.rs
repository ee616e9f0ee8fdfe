//! `man`: the manual pages, made from the same definitions as the parser.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use anyhow::Context as _;
use clap::Command;

use super::help::{self, Example};
use super::support::{Exit, Hinted, Output};
use super::{PROGRAM, Run, find, meant_tools, root_command};

/// Show the manual of kafka-rs or of a tool
#[derive(Debug, clap::Parser)]
pub(super) struct Man {
    /// Tool whose manual is shown
    #[arg(value_name = "TOOL")]
    tool: Option<String>,
    /// Write all pages as files into this directory instead
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath, conflicts_with = "tool")]
    dir: Option<PathBuf>,
}

impl Run for Man {
    const EXAMPLES: &'static [Example] = &[
        ("Read about a tool", "kafka-rs man topics"),
        ("Put all pages where man finds them", "kafka-rs man --dir ~/.local/share/man/man1"),
    ];

    const NEEDS_NO_WORDS: bool = true;

    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        if let Some(dir) = &self.dir {
            return write_pages(dir, out);
        }
        let name = match self.tool.as_deref() {
            None => None,
            Some(name) => {
                let Some(tool) = find(name) else {
                    let hint = match meant_tools(name).join(" or ").as_str() {
                        "" => "`kafka-rs --help` lists the tools".to_owned(),
                        near => format!("did you mean {near}? `kafka-rs --help` lists the tools"),
                    };
                    return Err(Hinted::error(format!("there is no tool named {name}"), hint));
                };
                Some(tool.name)
            }
        };
        let page = render(name)?;
        if !(out.stdout_is_terminal() && show(&page)) {
            out.stdout().write_all(&page)?;
        }
        Ok(Exit::Success)
    }
}

fn write_pages(dir: &Path, out: &mut Output) -> anyhow::Result<Exit> {
    fs::create_dir_all(dir).with_context(|| format!("could not make the directory {}", dir.display()))?;
    let names = visible_tools().map(Some).chain([None]);
    let mut count = 0;
    for name in names {
        let path = dir.join(format!("{}.1", page_name(name)));
        fs::write(&path, render(name)?).with_context(|| format!("could not write {}", path.display()))?;
        count += 1;
    }
    out.line(format_args!("{count} pages in {}", dir.display()))?;
    Ok(Exit::Success)
}

fn visible_tools() -> impl Iterator<Item = &'static str> {
    super::TOOLS.iter().map(|tool| tool.name).filter(|name| !name.starts_with("__"))
}

fn page_name(tool: Option<&str>) -> String {
    match tool {
        Some(tool) => format!("{PROGRAM}-{tool}"),
        None => PROGRAM.to_owned(),
    }
}

/// The page of a tool, or of the whole program, as troff.
fn render(tool: Option<&str>) -> anyhow::Result<Vec<u8>> {
    let command = match tool.and_then(find) {
        Some(tool) => {
            let command: Command = tool.command();
            command.bin_name(format!("{PROGRAM} {}", tool.name)).display_name(page_name(Some(tool.name)))
        }
        None => root_command(),
    };
    let texts = tool.and_then(find).map(|tool| help::texts(&(tool.command)(), tool.examples));
    let (examples, notes) = texts.map(|texts| (texts.examples, texts.notes)).unwrap_or_default();
    let has_notes = notes.is_some();
    // The notes alone: examples have a section of their own here.
    let command = command.after_help(notes.unwrap_or_default());
    let commands: Vec<Command> = command.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    let command = command.disable_help_flag(true).disable_help_subcommand(true);
    // No date: the page must be the same whenever it is made.
    let man = clap_mangen::Man::new(command).date("").source(PROGRAM);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if tool.is_none() {
        man.render_subcommands_section(&mut page)?;
    } else {
        // They have no pages of their own.
        commands.iter().try_for_each(|command| render_command(command, &mut page))?;
    }
    render_examples(&examples, &mut page)?;
    if has_notes {
        man.render_extra_section(&mut page)?;
    }
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// A command of a tool: what it does, and its options.
fn render_command(command: &Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    writeln!(page, ".SH {}", troff(&command.get_name().to_uppercase()))?;
    if let Some(about) = command.get_about() {
        writeln!(page, "{}", troff(&about.to_string()))?;
    }
    let mut options = Vec::new();
    let command = command.clone().disable_help_flag(true).disable_help_subcommand(true);
    clap_mangen::Man::new(command).render_options_section(&mut options)?;
    for line in String::from_utf8_lossy(&options).lines().filter(|line| *line != ".SH OPTIONS") {
        writeln!(page, "{line}")?;
    }
    Ok(())
}

fn render_examples(examples: &[(String, String)], page: &mut Vec<u8>) -> std::io::Result<()> {
    if examples.is_empty() {
        return Ok(());
    }
    writeln!(page, ".SH EXAMPLES")?;
    for (what, line) in examples {
        writeln!(page, ".PP\n{}:\n.PP\n.RS 4\n.nf\n{}\n.fi\n.RE", troff(what), troff(line))?;
    }
    Ok(())
}

/// Text that troff takes as it is.
fn troff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

/// Hands the page to `man`; whether that worked.
fn show(page: &[u8]) -> bool {
    let Ok(mut viewer) = Process::new("man").args(["-l", "-"]).stdin(Stdio::piped()).spawn() else { return false };
    if let Some(mut stdin) = viewer.stdin.take() {
        // A reader who leaves the viewer early is no failure.
        let _ = stdin.write_all(page);
    }
    viewer.wait().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_options_of_all_commands() {
        for name in visible_tools() {
            let page = String::from_utf8(render(Some(name)).unwrap()).unwrap();
            let tool = find(name).unwrap().command();
            for command in tool.get_subcommands() {
                let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
                for option in shown.filter_map(clap::Arg::get_long) {
                    assert!(page.contains(&troff(&format!("--{option}"))), "{name} {}: --{option}", command.get_name());
                }
            }
        }
    }
}
