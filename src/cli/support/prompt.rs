//! Questions to the person at the terminal. Asked on stderr, and only where somebody can answer.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use anyhow::Context as _;
use dialoguer::theme::{ColorfulTheme, SimpleTheme, Theme};
use dialoguer::{Confirm, FuzzySelect};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use super::{Hinted, Output, explained, nearest};
use crate::client::{Admin, ClientOptions};

/// What somebody who gives up a question has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing was chosen")]
pub(crate) struct NothingChosen;

/// The answer to a question before what can't be undone was no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing was changed")]
pub(crate) struct Declined;

/// Ctrl-C at a question: the tool ends without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted;

/// Whether a question is on the screen. Who takes it away tidies up.
static ASKING: AtomicBool = AtomicBool::new(false);

/// What the terminal was like when the question was asked.
static MODES: Mutex<Option<Termios>> = Mutex::new(None);

/// Shows the question, and gives the terminal back as it was also after Ctrl-C.
fn ask<T>(interact: impl FnOnce() -> dialoguer::Result<T>) -> anyhow::Result<T> {
    survive_interrupts();
    *MODES.lock().unwrap_or_else(PoisonError::into_inner) = tcgetattr(io::stdin()).ok();
    ASKING.store(true, Ordering::SeqCst);
    let answer = interact();
    if !ASKING.swap(false, Ordering::SeqCst) {
        // The process is being ended.
        loop {
            std::thread::park();
        }
    }
    match answer {
        Err(dialoguer::Error::IO(error)) if error.kind() == io::ErrorKind::Interrupted => {
            io::stderr().write_all(SHOWN_AGAIN)?;
            Err(Interrupted.into())
        }
        answer => answer.context("could not ask"),
    }
}

/// The cursor is hidden, and stands at the end of what was asked.
const SHOWN_AGAIN: &[u8] = b"\x1b[?25h\n";

/// From now on Ctrl-C does not end the process before the terminal is tidy.
fn survive_interrupts() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let (listening, is_listening) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            runtime.block_on(async {
                let interrupts = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
                let Ok(mut interrupts) = interrupts else { return };
                let _ = listening.send(());
                while interrupts.recv().await.is_some() {
                    // Who asks hears of Ctrl-C only while waiting for a key: before and after it is a signal.
                    let asking = ASKING.swap(false, Ordering::SeqCst);
                    if asking {
                        tidy_up();
                    }
                    if asking || !super::signals::are_listened_to() {
                        #[expect(
                            clippy::disallowed_methods,
                            reason = "who is at work here would not see an error; it holds no files"
                        )]
                        std::process::exit(INTERRUPTED);
                    }
                }
            });
        });
        // Where that failed Ctrl-C ends the process, as always.
        let _ = is_listening.recv();
    });
}

fn tidy_up() {
    if let Some(modes) = MODES.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, modes);
    }
    let _ = io::stderr().write_all(SHOWN_AGAIN);
}

/// The exit code after Ctrl-C, as [`super::Exit::Interrupted`].
const INTERRUPTED: i32 = 130;

fn theme() -> Box<dyn Theme> {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if no_colour { Box::new(SimpleTheme) } else { Box::new(ColorfulTheme::default()) }
}

/// Lets the person pick one of `items` by typing parts of it. Only where [`Output::can_ask`].
pub(crate) fn pick(question: &str, items: Vec<String>, out: &mut Output) -> anyhow::Result<String> {
    out.flush()?;
    let theme = theme();
    let chosen =
        ask(|| FuzzySelect::with_theme(&*theme).with_prompt(question).items(&items).default(0).interact_opt())?;
    Ok(chosen.and_then(|index| items.into_iter().nth(index)).ok_or(NothingChosen)?)
}

/// Asks for a yes; anything else is a no. Only where [`Output::can_ask`].
fn confirm(question: &str, out: &mut Output) -> anyhow::Result<bool> {
    out.flush()?;
    let theme = theme();
    let answer = ask(|| Confirm::with_theme(&*theme).with_prompt(question).default(false).interact_opt())?;
    Ok(answer == Some(true))
}

/// Asks before what can't be undone, unless `yes` answered ahead or nobody is there to answer.
///
/// # Errors
/// [`Declined`] if the answer is no.
pub(crate) fn confirm_unless(yes: bool, question: &str, out: &mut Output) -> anyhow::Result<()> {
    if yes || !out.can_ask() || confirm(question, out)? { Ok(()) } else { Err(Declined.into()) }
}

/// Lets the person pick one of these groups.
pub(crate) fn pick_group(groups: Vec<String>, out: &mut Output) -> anyhow::Result<String> {
    if groups.is_empty() {
        return Err(Hinted::error(
            "there are no such groups",
            "`kafka-rs groups --list` lists the groups of all types",
        ));
    }
    pick("Group", groups, out)
}

/// Says at a terminal that a topic is not there, and which may have been meant: who reads or writes it may create it.
pub(crate) async fn remark_if_unknown(topic: &str, options: ClientOptions, out: &mut Output) -> anyhow::Result<()> {
    if !out.is_for_people() {
        return Ok(());
    }
    // Brokers don't tell of topics that who asks may not see.
    let hidden = if options.security.is_some() { ", or this user may not see it" } else { "" };
    let topics = Admin::new(options).list_topics().await.map_err(explained)?;
    let mut names = topics.iter().map(|known| known.name.as_str());
    if names.clone().any(|name| name == topic) {
        return Ok(());
    }
    match nearest(topic, names.by_ref()) {
        Some(near) => out.note(format_args!("there is no topic {topic} yet{hidden}; did you mean {near}?"))?,
        None => out.note(format_args!("there is no topic {topic} yet{hidden}"))?,
    }
    Ok(())
}

/// Lets the person pick one of the cluster's topics.
pub(crate) async fn pick_topic(options: ClientOptions, out: &mut Output) -> anyhow::Result<String> {
    let topics = Admin::new(options).list_topics().await.map_err(explained)?;
    let names: Vec<_> = topics.into_iter().filter(|topic| !topic.is_internal).map(|topic| topic.name).collect();
    if names.is_empty() {
        return Err(Hinted::error("there are no topics yet", "name a new one with --topic"));
    }
    pick("Topic", names, out)
}
