//! `completions`: the scripts that teach a shell to complete kafka-rs's command lines.
//!
//! The scripts are thin: at each press of the key they ask `kafka-rs __complete`, which knows the options from the
//! parser's own definitions and the topics from the broker. So they never age, and work for every linked name.

use std::io::Write as _;

use super::help::Example;
use super::support::{Exit, Output};
use super::{PROGRAM, Run, TOOLS};

/// Print the script for your shell's completion
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
bash:  echo 'eval \"$(kafka-rs completions bash)\"' >> ~/.bashrc
zsh:   kafka-rs completions zsh > /a/directory/of/your/fpath/_kafka-rs
fish:  kafka-rs completions fish > ~/.config/fish/conf.d/kafka-rs.fish
PowerShell:  kafka-rs completions powershell | Out-String | Invoke-Expression    (a line for your $PROFILE)

The links that `kafka-rs links` makes are completed too, which is why the shell has to read the script when it starts. \
So are topics, groups and brokers, asked from the cluster of --bootstrap-server, or of localhost:9092, if it answers at \
once, and the keys of settings with their values.")]
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
    /// PowerShell 5.1 or newer
    #[value(name = "powershell", alias = "pwsh")]
    #[expect(clippy::enum_variant_names, reason = "its name")]
    PowerShell,
}

impl Run for Completions {
    const EXAMPLES: &'static [Example] = &[
        ("Write the script where bash reads it", "kafka-rs completions bash > /etc/bash_completion.d/kafka-rs"),
        ("Write it where your zsh reads it", "kafka-rs completions zsh > ~/.zfunc/_kafka-rs"),
    ];

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
        Shell::PowerShell => include_str!("completions/kafka-rs.ps1"),
    };
    let scripts = TOOLS.iter().filter_map(|tool| tool.script).flat_map(|name| match shell {
        Shell::PowerShell => [name.to_owned(), format!("{name}.bat")],
        _ => [name.to_owned(), format!("{name}.sh")],
    });
    let names: Vec<String> = std::iter::once(PROGRAM.to_owned()).chain(scripts).collect();
    let names = match shell {
        Shell::PowerShell => names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", "),
        _ => names.join(" "),
    };
    template.replace("@NAMES@", &names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_name_every_way_to_call_a_tool() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
            let script = script(shell);
            let names = match shell {
                Shell::PowerShell => "'kafka-topics', 'kafka-topics.bat'",
                _ => "kafka-topics kafka-topics.sh",
            };
            assert!(script.contains(names), "{shell:?}: {script}");
            assert!(!script.contains("@NAMES@"), "{shell:?}: a mark is left over");
        }
    }
}
