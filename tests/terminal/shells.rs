//! zsh completes at a terminal alone.

use crate::pty::Terminal;
use crate::support::Broker;

#[test]
fn zsh_completes_options_and_topics() {
    if std::process::Command::new("zsh").arg("--version").output().is_err() {
        eprintln!("skipped: zsh is not installed");
        return;
    }
    let broker = Broker::start();
    crate::run(&["topics", "--bootstrap-server", broker.address(), "--create", "--topic", "completed-orders"]);
    let mut terminal = Terminal::program(120, &["zsh", "-f", "-i"]);
    terminal.press(
        "PS1='ready> '; autoload -Uz compinit && compinit -u -D; source completions/_kafka-rs; echo is-\"\"set\n",
    );
    terminal.wait_for("is-set").wait_for("ready> ");
    terminal.press("kafka-rs topics --descr\t").wait_for("--describe");
    terminal.press(&format!("--bootstrap-server {} --topic compl\t", broker.address())).wait_for("completed-orders");
    terminal.press("\x15exit\n");
    terminal.end();
}
