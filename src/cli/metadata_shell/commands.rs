//! The commands of the shell, with the texts of Kafka's.

use std::fmt::Write as _;
use std::rc::Rc;

use serde_json::{Value, json};

use super::glob::{self, Found};
use super::tree::Node;

/// A command: its name, what it is for, what it takes, and whether it is for the prompt alone.
struct Command {
    name: &'static str,
    about: &'static str,
    takes: &'static str,
    prompt_only: bool,
}

const COMMANDS: &[Command] = &[
    Command { name: "cat", about: "Show the contents of metadata files.", takes: "targets", prompt_only: false },
    Command { name: "cd", about: "Set the current working directory.", takes: "[target]", prompt_only: true },
    Command { name: "exit", about: "Exit the metadata shell.", takes: "", prompt_only: true },
    Command {
        name: "find",
        about: "Search for nodes in the directory hierarchy.",
        takes: "[paths]",
        prompt_only: false,
    },
    Command { name: "help", about: "Display this help message.", takes: "", prompt_only: true },
    Command { name: "history", about: "Print command history.", takes: "[numEntriesToShow]", prompt_only: true },
    Command { name: "ls", about: "List metadata nodes.", takes: "[targets]", prompt_only: false },
    Command { name: "man", about: "Show the help text for a specific command.", takes: "cmd", prompt_only: true },
    Command { name: "pwd", about: "Print the current working directory.", takes: "", prompt_only: true },
    Command {
        name: "tree",
        about: "Show the contents of metadata nodes in a tree structure.",
        takes: "targets",
        prompt_only: false,
    },
];

/// Lines of history that are kept, as in Kafka's shell.
const HISTORY: usize = 500;

/// Where the shell is.
pub(super) struct Shell {
    root: Rc<Node>,
    directory: String,
    history: Vec<String>,
    /// Lines that are no longer kept.
    forgotten: usize,
    over: bool,
    /// At the prompt there are more commands.
    at_prompt: bool,
}

impl Shell {
    pub(super) fn new(root: Rc<Node>) -> Self {
        Self { root, directory: "/".to_owned(), history: Vec::new(), forgotten: 0, over: false, at_prompt: false }
    }

    /// Whether `exit` was typed.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Runs a line that was typed at the prompt; returns what it prints.
    pub(super) fn line(&mut self, line: &str, columns: Option<usize>) -> String {
        self.at_prompt = true;
        if !line.trim().is_empty() {
            if self.history.len() == HISTORY {
                self.history.remove(0);
                self.forgotten += 1;
            }
            self.history.push(line.to_owned());
        }
        self.run(&words(line), columns)
    }

    /// Runs a command; returns what it prints.
    pub(super) fn run(&mut self, words: &[String], columns: Option<usize>) -> String {
        let end = words.iter().rposition(|word| !word.is_empty()).map_or(0, |last| last + 1);
        let Some((name, arguments)) = words.get(..end).and_then(<[String]>::split_first) else {
            return String::new();
        };
        let known: Vec<_> = COMMANDS.iter().filter(|command| self.at_prompt || !command.prompt_only).collect();
        let Some(command) = known.iter().find(|command| command.name == name) else {
            let names: Vec<_> = known.iter().map(|command| format!("'{}'", command.name)).collect();
            return format!("invalid choice: '{name}' (choose from {})\n", names.join(", "));
        };
        if let Err(mistake) = check_count(command, arguments) {
            return mistake + "\n";
        }
        match command.name {
            "cat" => self.each(arguments, "cat", "No such file or directory.", cat),
            "tree" => self.each(arguments, "tree", "No such file or directory.", |found, _, text| {
                found.node.print(0, text);
            }),
            "find" => self.each(&effective(arguments), "find", "no such file or directory.", |found, path, text| {
                list_below(&found.node, path, text);
            }),
            "ls" => self.ls(&effective(arguments), columns),
            "cd" => self.cd(arguments.first().map_or("/", String::as_str)),
            "history" => self.history(arguments.first().map(String::as_str)),
            "man" => man(arguments.first().map_or("", String::as_str)),
            "pwd" => format!("{}\n", self.directory),
            "help" => help(),
            _ => {
                self.over = true;
                String::new()
            }
        }
    }

    /// Runs a command, and tells what it found as JSON.
    pub(super) fn run_for_json(&self, words: &[String]) -> Result<Value, String> {
        let known = || COMMANDS.iter().filter(|command| !command.prompt_only);
        let name = words.first().map_or("", String::as_str);
        let Some(command) = known().find(|command| command.name == name) else {
            let names: Vec<_> = known().map(|command| format!("'{}'", command.name)).collect();
            return Err(format!("invalid choice: '{name}' (choose from {})", names.join(", ")));
        };
        let arguments = words.get(1..).unwrap_or_default();
        check_count(command, arguments)?;
        let (mut nodes, mut absent) = (Vec::new(), Vec::new());
        for path in effective(arguments) {
            let found = self.find(&path);
            if found.is_empty() {
                absent.push(path);
            }
            nodes.extend(found.iter().map(|found| object(command.name, found)));
        }
        Ok(json!({"version": 1, "command": command.name, "nodes": nodes, "absent": absent}))
    }

    /// What the last word of a line may become: where it begins, and the words. Directories end with a slash.
    pub(super) fn completions(&self, line: &str) -> (usize, Vec<String>) {
        let begin = line.rfind([' ', '\t']).map_or(0, |space| space + 1);
        let (before, word) = (line.get(..begin).unwrap_or_default(), line.get(begin..).unwrap_or_default());
        let of_commands = || COMMANDS.iter().map(|command| command.name.to_owned());
        let mut words: Vec<String> = match before.split_whitespace().next() {
            None | Some("man") => of_commands().collect(),
            Some("cat" | "cd" | "find" | "ls" | "tree") => {
                let (directory, _) = word.rfind('/').map_or(("", word), |slash| word.split_at(slash + 1));
                let found = self.find(if directory.is_empty() { "." } else { directory });
                let children = found.iter().filter_map(|found| match &*found.node {
                    Node::Directory(children) => Some(children),
                    Node::File(_) => None,
                });
                let path = |(name, node): (&String, &Rc<Node>)| {
                    let end = if matches!(**node, Node::Directory(_)) { "/" } else { "" };
                    format!("{directory}{name}{end}")
                };
                children.flat_map(|children| children.iter().map(path)).collect()
            }
            Some(_) => Vec::new(),
        };
        words.retain(|known| known.starts_with(word));
        (begin, words)
    }

    fn find(&self, path: &str) -> Vec<Found> {
        glob::find(&self.root, &self.directory, path)
    }

    fn each(&self, paths: &[String], name: &str, absent: &str, show: impl Fn(&Found, &str, &mut String)) -> String {
        let mut text = String::new();
        for path in paths {
            let found = self.find(path);
            if found.is_empty() {
                text.push_str(&format!("{name}: {path}: {absent}\n"));
            }
            found.iter().for_each(|found| show(found, path, &mut text));
        }
        text
    }

    fn ls(&self, paths: &[String], columns: Option<usize>) -> String {
        let mut text = String::new();
        let mut files = Vec::new();
        let mut directories = Vec::new();
        for path in paths {
            let found = self.find(path);
            if found.is_empty() {
                text.push_str(&format!("ls: {path}: no such file or directory.\n"));
            }
            for found in found {
                match &*found.node {
                    Node::File(_) => files.push(found.name().to_owned()),
                    Node::Directory(children) => {
                        directories.push((found.name().to_owned(), children.keys().cloned().collect::<Vec<_>>()));
                    }
                }
            }
        }
        entries("", &files, columns, &mut text);
        let with_names = !files.is_empty() || directories.len() > 1;
        let mut first = files.is_empty();
        for (name, children) in directories {
            let mut head = String::new();
            if with_names {
                head = format!("{}{name}:", if first { "" } else { "\n" });
                first = false;
            }
            entries(&head, &children, columns, &mut text);
        }
        text
    }

    fn cd(&mut self, target: &str) -> String {
        let mut text = String::new();
        let found = self.find(target);
        if found.is_empty() {
            return format!("cd: {target}: no such directory.\n");
        }
        for found in found {
            match &*found.node {
                Node::Directory(_) => self.directory = found.absolute(),
                Node::File(_) => text.push_str(&format!("cd: {target}: not a directory.\n")),
            }
        }
        text
    }

    fn history(&self, count: Option<&str>) -> String {
        let count = match count.map(str::parse::<i32>) {
            None => usize::MAX,
            Some(Ok(count)) => usize::try_from(count).unwrap_or(0),
            Some(Err(_)) => {
                let given = count.unwrap_or_default();
                return format!(
                    "argument numEntriesToShow: could not convert '{given}' to Integer (For input string: \"{given}\")\n"
                );
            }
        };
        let skipped = self.history.len().saturating_sub(count);
        let mut text = String::new();
        for (index, line) in self.history.iter().enumerate().skip(skipped) {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{:5}  {line}", self.forgotten + index);
        }
        text
    }
}

/// A node as a command shows it.
fn object(command: &str, found: &Found) -> Value {
    let path = found.absolute();
    match (command, &*found.node) {
        ("find", node) => {
            let mut text = String::new();
            list_below(node, &path, &mut text);
            json!({"path": path, "below": text.lines().skip(1).collect::<Vec<_>>()})
        }
        ("ls", Node::Directory(children)) => json!({"path": path, "children": children.keys().collect::<Vec<_>>()}),
        ("ls", Node::File(_)) => json!({"path": path, "children": null}),
        ("cat", Node::Directory(_)) => json!({"path": path, "content": null}),
        (_, node) => json!({"path": path, "content": content(node)}),
    }
}

/// All that is in a node; text that is JSON itself as such.
fn content(node: &Node) -> Value {
    match node {
        Node::File(text) => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
        Node::Directory(children) => children.iter().map(|(name, child)| (name.clone(), content(child))).collect(),
    }
}

/// The words of a line; quotes keep spaces together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in line.chars() {
        match (letter, quote) {
            ('\'' | '"', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (letter, Some(open)) if letter == open => quote = None,
            (' ' | '\t', None) => words.extend(word.take()),
            (letter, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// Whether there are as many arguments as the command takes.
fn check_count(command: &Command, arguments: &[String]) -> Result<(), String> {
    let (least, most) = match (command.name, command.takes) {
        ("cat" | "tree", _) => (1, usize::MAX),
        ("find" | "ls", _) => (0, usize::MAX),
        ("man", _) => (1, 1),
        (_, "") => (0, 0),
        _ => (0, 1),
    };
    match arguments.get(most) {
        _ if arguments.len() < least => Err("too few arguments".to_owned()),
        Some(extra) => Err(format!("unrecognized arguments: '{extra}'")),
        None => Ok(()),
    }
}

/// The paths that are meant: empty ones are none, and none is where the shell is.
fn effective(paths: &[String]) -> Vec<String> {
    let paths: Vec<String> = paths.iter().filter(|path| !path.is_empty()).cloned().collect();
    if paths.is_empty() { vec![".".to_owned()] } else { paths }
}

fn cat(found: &Found, path: &str, text: &mut String) {
    match &*found.node {
        Node::Directory(_) => text.push_str(&format!("cat: {path}: Is a directory\n")),
        Node::File(content) => text.push_str(&format!("{content}\n")),
    }
}

fn list_below(node: &Node, path: &str, text: &mut String) {
    text.push_str(path);
    text.push('\n');
    if let Node::Directory(children) = node {
        for (name, child) in children {
            let below = if path == "/" { format!("/{name}") } else { format!("{path}/{name}") };
            list_below(child, &below, text);
        }
    }
}

/// Prints names, in as many columns as the terminal has room for.
fn entries(head: &str, names: &[String], columns: Option<usize>, text: &mut String) {
    if names.is_empty() {
        return;
    }
    if !head.is_empty() {
        text.push_str(head);
        text.push('\n');
    }
    let widths = column_widths(names, columns);
    let lines = names.len().div_ceil(widths.len());
    for line in 0..lines {
        let mut shown = String::new();
        for (column, width) in widths.iter().enumerate() {
            let Some(name) = names.get(line + column * lines) else { continue };
            shown.push_str(name);
            if column + 1 < widths.len() {
                shown.extend(std::iter::repeat_n(' ', width.saturating_sub(name.chars().count())));
            }
        }
        text.push_str(&shown);
        text.push('\n');
    }
}

/// The widths of as many columns as fit.
fn column_widths(names: &[String], columns: Option<usize>) -> Vec<usize> {
    let screen = columns.unwrap_or(0);
    for count in (2..=(screen / 4)).rev() {
        let lines = names.len().div_ceil(count);
        let mut widths = vec![0; count];
        for (index, name) in names.iter().enumerate() {
            if let Some(width) = widths.get_mut(index / lines) {
                *width = (*width).max(name.chars().count() + 2);
            }
        }
        if widths.last() != Some(&0) && widths.iter().sum::<usize>() <= screen {
            return widths;
        }
    }
    vec![0]
}

fn man(name: &str) -> String {
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) => {
            format!("{name}: {}\n\nusage: {}\n", command.about, format!("{name} {}", command.takes).trim_end())
        }
        None => format!("man: unknown command {name}. Type help to get a list of commands.\n"),
    }
}

fn help() -> String {
    let mut text = "Welcome to the Apache Kafka metadata shell.\n\n".to_owned();
    for command in COMMANDS {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {:<28}{}", format!("{} {}", command.name, command.takes), command.about);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::metadata_shell::{load, tree};

    fn shell(file: &str) -> Shell {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/metadata").join(file);
        Shell::new(tree::root(&load::load(&path).unwrap()))
    }

    #[test]
    fn commands_and_paths_are_completed() {
        let mut shell = shell("kafka-4.3.1-snapshot.checkpoint");
        let words = |shell: &Shell, line: &str| shell.completions(line).1.join(" ");
        assert_eq!(words(&shell, "c"), "cat cd");
        assert_eq!(words(&shell, "man h"), "help history");
        assert_eq!(shell.completions("ls im"), (3, vec!["image/".to_owned()]));
        assert_eq!(words(&shell, "cat /image/provenance /image/prov"), "/image/provenance");
        assert_eq!(words(&shell, "tree image/topics/byN"), "image/topics/byName/");
        assert_eq!(words(&shell, "ls nowhere/"), "");
        assert_eq!(words(&shell, "history i"), "");
        shell.at_prompt = true;
        shell.run(&["cd".to_owned(), "image".to_owned()], None);
        assert_eq!(words(&shell, "ls fea"), "features/");
        assert_eq!(words(&shell, "ls ../l"), "../local/");
    }

    #[test]
    fn json_tells_what_is_absent() {
        let shell = shell("kafka-4.3.1-snapshot.checkpoint");
        let found = |line: &str| shell.run_for_json(&words(line));
        let cat = found("cat image/scram nope image/configs/BROKER/min.insync.replicas").unwrap();
        let file = "/image/configs/BROKER/min.insync.replicas";
        let nodes = json!([{"path": "/image/scram", "content": null}, {"path": file, "content": 1}]);
        assert_eq!(cat, json!({"version": 1, "command": "cat", "nodes": nodes, "absent": ["nope"]}));
        assert_eq!(found("ls image/configs").unwrap()["nodes"][0]["children"][0], "BROKER");
        assert_eq!(found("tree image/configs").unwrap()["nodes"][0]["content"]["BROKER"]["min.insync.replicas"], 1);
        assert_eq!(found("find image/scram").unwrap()["nodes"][0]["below"][0], "/image/scram/SCRAM-SHA-256");
        assert!(found("pwd").unwrap_err().starts_with("invalid choice: 'pwd'"));
        assert_eq!(found("cat").unwrap_err(), "too few arguments");
    }

    /// What Kafka's own shell printed of this snapshot.
    #[test]
    fn a_snapshot_of_kafkas_is_shown_as_kafkas_shell_shows_it() {
        let mut shell = shell("kafka-4.3.1-snapshot.checkpoint");
        let mut run = |line: &str| shell.run(&words(line), None);
        assert_eq!(run("ls"), "image\nlocal\n");
        assert_eq!(
            run("cat image/cluster/brokers/1"),
            "BrokerRegistration(id=1, epoch=14, incarnationId=QISc3O0-S7qO4Xd4ugN68Q, \
             listeners=[Endpoint(listenerName='PLAINTEXT', securityProtocol=PLAINTEXT, host='127.0.0.1', port=19592)], \
             supportedFeatures={eligible.leader.replicas.version: 0-1, group.version: 0-1, kraft.version: 0-1, \
             metadata.version: 7-30, share.version: 0-1, streams.version: 0-1, transaction.version: 0-2}, \
             rack=Optional.empty, fenced=true, inControlledShutdown=true, isMigratingZkBroker=false, \
             directories=[86HqEjEO_IykrLPCor2s0A], cordonedDirectories=[])\n"
        );
        assert_eq!(
            run("cat image/topics/byName/*/2"),
            "PartitionRegistration(replicas=[1], directories=[86HqEjEO_IykrLPCor2s0A], isr=[], removingReplicas=[], \
             addingReplicas=[], elr=[1], lastKnownElr=[1], leader=-1, leaderRecoveryState=RECOVERED, leaderEpoch=1, \
             partitionEpoch=1)\n"
        );
        assert_eq!(
            run("tree image/acls"),
            "byId:\n  qPCl-afdR9qLwzPwBhdPqw:\n    StandardAcl[resourceType=TOPIC, resourceName=t1, patternType=LITERAL, \
             principal=User:bob, host=*, operation=READ, permissionType=ALLOW]\n"
        );
        assert_eq!(run("cat image/features/metadataVersion"), "Optional[4.3-IV0]\n");
        assert_eq!(run("cat image/provenance"), "offset 27, epoch 1, time 2026-11-21T02:53:15.685Z[UTC]\n");
        assert_eq!(
            run("tree image/configs"),
            "BROKER:\n  min.insync.replicas:\n    1\nBROKER:1:\n  log.cleaner.threads:\n    2\nCLIENT_METRICS:m:\n  \
             interval.ms:\n    1000\nTOPIC:t1:\n  cleanup.policy:\n    compact\n  retention.ms:\n    1000\n"
        );
        assert_eq!(run("tree image/clientQuotas/clientId*c*"), "consumer_byte_rate:\n  1000.0\n");
        assert_eq!(run("ls image/cluster/brokers/1 image/cluster"), "1\n\ncluster:\nbrokers\ncontrollers\n");
        assert_eq!(run("find image/scram"), "image/scram\nimage/scram/SCRAM-SHA-256\nimage/scram/SCRAM-SHA-512\n");
        assert_eq!(run("cat nope /image"), "cat: nope: No such file or directory.\ncat: /image: Is a directory\n");
        assert_eq!(run("tree"), "too few arguments\n");
        assert_eq!(run("pwd"), "invalid choice: 'pwd' (choose from 'cat', 'find', 'ls', 'tree')\n");
    }

    #[test]
    fn a_log_is_read_as_well() {
        for file in ["kafka-4.3.1.log", "kafka-3.9.1.log", "kafka-4.3.1-bootstrap.checkpoint"] {
            assert!(
                shell(file).run(&words("cat image/features/metadataVersion"), None).starts_with("Optional["),
                "{file}"
            );
        }
    }

    #[test]
    fn the_prompt_has_a_directory_and_a_history() {
        let mut shell = shell("kafka-4.3.1-snapshot.checkpoint");
        assert_eq!(shell.line("cd image/topics", None), "");
        assert_eq!(shell.line("pwd", None), "/image/topics\n");
        assert_eq!(shell.line("ls", Some(80)), "byId  byName\n");
        assert_eq!(shell.line("cd /image/provenance", None), "cd: /image/provenance: not a directory.\n");
        assert_eq!(shell.line("cd ../nope", None), "cd: ../nope: no such directory.\n");
        assert_eq!(shell.line("history 2", None), "    4  cd ../nope\n    5  history 2\n");
        assert_eq!(shell.line("pwd x", None), "unrecognized arguments: 'x'\n");
        assert!(shell.line("help", None).contains("  ls [targets]"));
        assert_eq!(shell.line("man nope", None), "man: unknown command nope. Type help to get a list of commands.\n");
        assert!(!shell.is_over());
        shell.line("exit", None);
        assert!(shell.is_over());
    }

    #[test]
    fn names_stand_in_columns() {
        let names: Vec<String> = ["a", "bb", "ccc", "d"].map(str::to_owned).into();
        let mut text = String::new();
        entries("", &names, Some(16), &mut text);
        assert_eq!(text, "a    bb   ccc  d\n".replace("a    bb   ccc  d", &text[..text.len() - 1]));
        assert_eq!(column_widths(&names, Some(16)), [3, 4, 5, 3]);
        assert_eq!(column_widths(&names, Some(10)), [4, 5]);
        assert_eq!(column_widths(&names, None), [0]);
    }
}
