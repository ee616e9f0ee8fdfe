//! `completions`: the scripts that teach a shell to complete kafka-rs's command lines.
//!
//! The scripts are thin: at each press of the key they ask `kafka-rs __complete`, which knows the options from the
//! parser's own definitions and the topics from the broker. So they never age, and work for every linked name.

use std::io::Write as _;

use super::support::{Exit, Output};
use super::{PROGRAM, Run, TOOLS};

/// Print the script for your shell's completion
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
bash:  echo 'eval \"$(kafka-rs completions bash)\"' >> ~/.bashrc
zsh:   kafka-rs completions zsh > /a/directory/of/your/fpath/_kafka-rs
fish:  kafka-rs completions fish > ~/.config/fish/conf.d/kafka-rs.fish

The links that `kafka-rs links` makes are completed too, which is why the shell has to read the script when it starts. \
Names of topics are completed too: they are asked from the broker of --bootstrap-server, or localhost:9092.")]
pub(super) struct Completions {
    /// Shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// The shells that have a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Shell {
    /// GNU bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}

impl Run for Completions {
    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        out.stdout().write_all(script(self.shell).as_bytes())?;
        Ok(Exit::Success)
    }
}

fn script(shell: Shell) -> String {
    let template = match shell {
        Shell::Bash => include_str!("completions/kafka-rs.bash"),
        Shell::Zsh => include_str!("completions/kafka-rs.zsh"),
        Shell::Fish => include_str!("completions/kafka-rs.fish"),
    };
    let scripts = TOOLS.iter().filter_map(|tool| tool.script).flat_map(|name| [name.to_owned(), format!("{name}.sh")]);
    let names: Vec<String> = std::iter::once(PROGRAM.to_owned()).chain(scripts).collect();
    template.replace("@NAMES@", &names.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_name_every_way_to_call_a_tool() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            assert!(script.contains("kafka-topics kafka-topics.sh"), "{shell:?}: {script}");
            assert!(!script.contains("@NAMES@"), "{shell:?}: a mark is left over");
        }
    }
}
