//! `links`: puts Kafka's script names into a directory, so that what a tutorial or a script types finds kafka-rs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use super::help::Example;
use super::support::{Exit, Hinted, Output, OutputArgs, Style, print_plan};
use super::{Run, TOOLS};

/// Make links named as Kafka's scripts (kafka-topics.sh, kafka-topics, ...)
#[derive(Debug, clap::Parser)]
pub(super) struct Links {
    /// Directory for the links; it is made if it is missing
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    dir: PathBuf,
    /// Replace files of these names even if they are not links to kafka-rs
    #[arg(long)]
    force: bool,
    /// Only show what would be linked
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl Run for Links {
    const EXAMPLES: &'static [Example] =
        &[("Find kafka-topics.sh and the others in a directory of the PATH", "kafka-rs links ~/.local/bin")];

    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        let program = std::env::current_exe().context("could not find this program's own file")?;
        let names: Vec<String> = script_names().collect();
        // Checked before anything is changed: either all links are made or none.
        if !self.force
            && let Some(taken) = names.iter().map(|name| self.dir.join(name)).find(|path| is_foreign(path))
        {
            return Err(Hinted::error(
                format!("{} exists and is not a link to kafka-rs", taken.display()),
                "choose another directory, or replace what is there with --force",
            ));
        }
        if self.dry_run {
            let step = |name: &String| {
                let path = self.dir.join(name);
                (
                    format!("link {} to {}", path.display(), program.display()),
                    json!({"link": path.display().to_string(), "to": program.display().to_string()}),
                )
            };
            print_plan(&names.iter().map(step).collect::<Vec<_>>(), out)?;
            return Ok(Exit::Success);
        }
        fs::create_dir_all(&self.dir)
            .with_context(|| format!("could not make the directory {}", self.dir.display()))?;
        for name in &names {
            let path = self.dir.join(name);
            link(&program, &path).with_context(|| format!("could not make the link {}", path.display()))?;
        }
        if out.style() == Style::Json {
            out.json(&json!({"version": 1, "program": program.display().to_string(), "directory": self.dir.display().to_string(), "links": names}))?;
            return Ok(Exit::Success);
        }
        out.line(format_args!("{} links to {} in {}", names.len(), program.display(), self.dir.display()))?;
        Ok(Exit::Success)
    }
}

/// `kafka-topics.sh`, `kafka-topics` and `kafka-topics.bat` for each tool that Kafka has too.
fn script_names() -> impl Iterator<Item = String> {
    let scripts = TOOLS.iter().filter_map(|tool| tool.script);
    scripts.flat_map(|script| [format!("{script}.sh"), script.to_owned(), format!("{script}.bat")])
}

/// Whether something is at `path` that this command did not put there.
fn is_foreign(path: &Path) -> bool {
    match fs::read_link(path) {
        Ok(target) => target.file_stem().is_none_or(|name| name != super::PROGRAM),
        Err(_) => path.symlink_metadata().is_ok(),
    }
}

/// Makes or replaces one link, in one step: a shell that looks the name up always finds one.
fn link(program: &Path, path: &Path) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let fresh = path.with_file_name(name);
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(program, &fresh)?;
    #[cfg(not(unix))]
    fs::hard_link(program, &fresh)?;
    fs::rename(&fresh, path)
}
