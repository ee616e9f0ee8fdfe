//! Questions to the person at the terminal. Asked on stderr, and only where somebody can answer.

use anyhow::Context as _;
use dialoguer::theme::{ColorfulTheme, SimpleTheme, Theme};
use dialoguer::{Confirm, FuzzySelect};

use super::{Hinted, Output, explained};
use crate::client::{Admin, ClientOptions};

/// What somebody who gives up a question has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing was chosen")]
pub(crate) struct NothingChosen;

fn theme() -> Box<dyn Theme> {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if no_colour { Box::new(SimpleTheme) } else { Box::new(ColorfulTheme::default()) }
}

/// Lets the person pick one of `items` by typing parts of it. Only where [`Output::can_ask`].
pub(crate) fn pick(question: &str, items: Vec<String>, out: &mut Output) -> anyhow::Result<String> {
    out.flush()?;
    let theme = theme();
    let chosen = FuzzySelect::with_theme(&*theme)
        .with_prompt(question)
        .items(&items)
        .default(0)
        .interact_opt()
        .context("could not ask")?;
    Ok(chosen.and_then(|index| items.into_iter().nth(index)).ok_or(NothingChosen)?)
}

/// Asks for a yes; anything else is a no. Only where [`Output::can_ask`].
fn confirm(question: &str, out: &mut Output) -> anyhow::Result<bool> {
    out.flush()?;
    let theme = theme();
    let answer = Confirm::with_theme(&*theme).with_prompt(question).default(false).interact_opt();
    Ok(answer.context("could not ask")? == Some(true))
}

/// Asks before what can't be undone, unless `yes` answered ahead or nobody is there to answer.
///
/// # Errors
/// [`NothingChosen`] if the answer is no.
pub(crate) fn confirm_unless(yes: bool, question: &str, out: &mut Output) -> anyhow::Result<()> {
    if yes || !out.can_ask() || confirm(question, out)? { Ok(()) } else { Err(NothingChosen.into()) }
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
