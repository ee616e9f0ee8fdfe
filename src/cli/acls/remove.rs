//! Taking rules away: which ones, asked first, then done.

use serde_json::json;

use super::{
    Acls, EXECUTION, Rules, called, entry_lines, entry_text, json_of, order, pattern_text, print_plan, print_table,
};
use crate::cli::support::{JavaError, Output, Style, confirm_unless};
use crate::client::Admin;
use crate::client::admin::{AclBinding, AclEntry, AclFilter, ResourcePattern};

impl Acls {
    pub(super) async fn remove(&self, rules: &Rules, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
        let mut filters: Vec<AclFilter> =
            rules.iter().flat_map(|(pattern, entries)| filters_of(pattern, entries)).collect();
        if self.dry_run || out.can_ask() && !self.force {
            let found = find(&filters, admin, out).await?;
            if self.dry_run {
                let steps: Vec<_> = found.iter().map(step).collect();
                return Ok(print_plan(&steps, out)?);
            }
            if !found.is_empty() {
                out.for_question(|out| print_table(&found, out))?;
                confirm_unless(false, &question(found.len()), out)?;
            }
            // These and no others: more may have come while the question stood.
            filters = found
                .into_iter()
                .map(|AclBinding { pattern, entry }| AclFilter { pattern, entry: Some(entry) })
                .collect();
        } else if !self.force
            && let Some((pattern, entries)) = rules.first()
        {
            return Err(cannot_ask(pattern, entries, out)?);
        }
        let mut removed = Vec::new();
        if !filters.is_empty() {
            for result in admin.delete_acls(&filters).await.map_err(called("deleteAcls"))? {
                removed.extend(result.map_err(|error| JavaError::api(&error).wrapped_in(EXECUTION))?);
            }
        }
        match out.style() {
            Style::Kafka => {}
            Style::Table => out.line(format_args!("Removed {}.", counted(removed.len())))?,
            Style::Json => {
                let removed: Vec<_> = removed.iter().map(json_of).collect();
                out.json(&json!({ "version": 1, "removed": removed }))?;
            }
        }
        Ok(())
    }
}

fn filters_of(pattern: &ResourcePattern, entries: &[AclEntry]) -> Vec<AclFilter> {
    let filter = |entry| AclFilter { pattern: pattern.clone(), entry };
    if entries.is_empty() { vec![filter(None)] } else { entries.iter().cloned().map(Some).map(filter).collect() }
}

/// The rules that will go, each once; says where there are none.
async fn find(filters: &[AclFilter], admin: &Admin, out: &mut Output) -> anyhow::Result<Vec<AclBinding>> {
    let mut all: Vec<AclBinding> = Vec::new();
    for filter in filters {
        let found = admin.describe_acls(filter).await.map_err(called("describeAcls"))?;
        if found.is_empty() {
            let entry = filter.entry.as_ref().map(|entry| format!("{} of ", entry_text(entry))).unwrap_or_default();
            out.note(format_args!("no rule matches {entry}{}", pattern_text(&filter.pattern)))?;
        }
        for binding in found {
            if !all.contains(&binding) {
                all.push(binding);
            }
        }
    }
    all.sort_by(|a, b| order(a).cmp(&order(b)));
    Ok(all)
}

fn step(binding: &AclBinding) -> (String, serde_json::Value) {
    let (entry, pattern) = (entry_text(&binding.entry), pattern_text(&binding.pattern));
    (format!("remove {entry} from {pattern}"), json!({ "remove": json_of(binding) }))
}

fn question(count: usize) -> String {
    if count == 1 { "Remove this rule?".to_owned() } else { format!("Remove these {count} rules?") }
}

fn counted(count: usize) -> String {
    if count == 1 { "1 rule".to_owned() } else { format!("{count} rules") }
}

/// Kafka's tool asks on the terminal, and falls over where there is none. Removing unasked would be worse.
fn cannot_ask(pattern: &ResourcePattern, entries: &[AclEntry], out: &mut Output) -> anyhow::Result<anyhow::Error> {
    let resource = pattern_text(pattern);
    if out.style() == Style::Kafka {
        if entries.is_empty() {
            out.line(format_args!("Are you sure you want to delete all ACLs for resource filter `{resource}`? (y/n)"))?;
        } else {
            out.line("Are you sure you want to remove ACLs: ")?;
            out.line(format_args!(" {}", entry_lines(entries.iter())))?;
            out.line(format_args!(" from resource filter `{resource}`? (y/n)"))?;
        }
    }
    let message = "Cannot invoke \"java.io.Console.readLine()\" because the return value of \
                   \"java.lang.System.console()\" is null";
    Ok(JavaError::new("java.lang.NullPointerException", message)
        .with_plain("nobody is there to be asked")
        .with_hint(Some("--force removes without asking".to_owned()))
        .into())
}
