//! `delegation-tokens`: credentials that somebody hands on to programs (KIP-48). Kafka's `kafka-delegation-tokens.sh`.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Run;
use super::support::{
    ConnectArgs, Exit, Hinted, IgnoredWords, JavaError, Output, OutputArgs, Style, UsageError, block_on,
    confirm_unless, print_plan, report_failure,
};
use crate::client::admin::{DelegationToken, Principal};
use crate::client::{Admin, ClientError};

/// Make, renew, end and show delegation tokens
#[derive(Debug, Clone, Default, clap::Parser)]
#[command(after_help = "\
kafka-rs delegation-tokens --create --command-config admin.properties   make a token that lives as long as it may
kafka-rs delegation-tokens --describe --command-config admin.properties   show the tokens that you own
kafka-rs delegation-tokens --expire --hmac HMAC --expiry-time-period -1   end a token now

Periods are in milliseconds; -1 stands for the longest that the brokers allow, with --expire for at once.")]
pub(super) struct DelegationTokens {
    /// Make a token
    #[arg(long, help_heading = "Actions")]
    create: bool,
    /// Put off the end of a token
    #[arg(long, help_heading = "Actions")]
    renew: bool,
    /// Set the end of a token
    #[arg(long, help_heading = "Actions")]
    expire: bool,
    /// Show tokens
    #[arg(long, help_heading = "Actions")]
    describe: bool,

    /// How long the token can be renewed
    #[arg(long, value_name = "MS")]
    max_life_time_period: Option<String>,
    /// Until when it is put off, from now
    #[arg(long, value_name = "MS")]
    renew_time_period: Option<String>,
    /// When it ends, from now
    #[arg(long, value_name = "MS")]
    expiry_time_period: Option<String>,
    /// The token, by its secret
    #[arg(long, value_name = "HMAC")]
    hmac: Option<String>,
    /// Whose token it is, as User:alice [default: who asks]
    #[arg(long, value_name = "TYPE:NAME")]
    owner_principal: Vec<String>,
    /// Who else may renew it
    #[arg(long, value_name = "TYPE:NAME")]
    renewer_principal: Vec<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Don't ask before a token ends at once
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    _ignored: IgnoredWords,
}

/// What to do, with what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Create { owner: Option<Principal>, renewers: Vec<Principal>, max_life_time: i64 },
    Renew { hmac: String, period: i64 },
    Expire { hmac: String, period: i64 },
    Describe { owners: Vec<Principal> },
}

const EXECUTION: &str = "java.util.concurrent.ExecutionException";

impl Run for DelegationTokens {
    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        let action = self.check()?;
        if self.dry_run && !matches!(action, Action::Describe { .. }) {
            print_plan(&[plan(&action)], out)?;
            return Ok(Exit::Success);
        }
        let admin = Admin::new(self.connect.admin_options(out)?);
        block_on(async {
            match action {
                Action::Create { owner, renewers, max_life_time } => {
                    create(owner.as_ref(), &renewers, max_life_time, &admin, out).await
                }
                Action::Renew { hmac, period } => renew(&hmac, period, &admin, out).await,
                Action::Expire { hmac, period } => {
                    if period <= 0 && out.can_ask() && !self.yes {
                        confirm_unless(false, &question(&hmac, &admin).await?, out)?;
                    }
                    expire(&hmac, period, &admin, out).await
                }
                Action::Describe { owners } => describe(&owners, &admin, out).await,
            }
        })?;
        Ok(Exit::Success)
    }

    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        mistake.report(called_as, out)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        let Some(error) = error.downcast_ref::<JavaError>() else { return report_failure(error, out) };
        error.report(out, |error, out| out.note(error))?;
        Ok(Exit::Failure)
    }
}

fn called(call: &'static str) -> impl Fn(ClientError) -> JavaError {
    move |error| JavaError::call(call, &error).wrapped_in(EXECUTION)
}

impl DelegationTokens {
    /// The action, if the options make sense. The order and the texts are Kafka's.
    fn check(&self) -> anyhow::Result<Action> {
        if [self.create, self.renew, self.expire, self.describe].into_iter().filter(|given| *given).count() != 1 {
            return Err(UsageError::because(
                "Command must include exactly one action: --create, --renew, --expire or --describe",
            ));
        }
        if self.connect.command_config.is_none() {
            return Err(UsageError::missing("command-config"));
        }
        let needed: &[(&str, bool)] = if self.create {
            &[("max-life-time-period", self.max_life_time_period.is_some())]
        } else if self.renew {
            &[("hmac", self.hmac.is_some()), ("renew-time-period", self.renew_time_period.is_some())]
        } else if self.expire {
            &[("hmac", self.hmac.is_some()), ("expiry-time-period", self.expiry_time_period.is_some())]
        } else {
            &[]
        };
        if let Some((option, _)) = needed.iter().find(|(_, given)| !given) {
            return Err(UsageError::missing(option));
        }
        let hmac = self.hmac.clone().unwrap_or_default();
        if self.create {
            let max_life_time = period(self.max_life_time_period.as_deref(), "max-life-time-period")?;
            let owner = principals(&self.owner_principal)?.into_iter().next();
            return Ok(Action::Create { owner, renewers: principals(&self.renewer_principal)?, max_life_time });
        }
        if self.renew {
            return Ok(Action::Renew { hmac, period: period(self.renew_time_period.as_deref(), "renew-time-period")? });
        }
        if self.expire {
            let period = period(self.expiry_time_period.as_deref(), "expiry-time-period")?;
            return Ok(Action::Expire { hmac, period });
        }
        Ok(Action::Describe { owners: principals(&self.owner_principal)? })
    }
}

fn period(text: Option<&str>, option: &str) -> anyhow::Result<i64> {
    let text = text.unwrap_or_default();
    text.parse().map_err(|_| UsageError::because(format!("Cannot parse argument '{text}' of option {option}")))
}

fn principals(texts: &[String]) -> anyhow::Result<Vec<Principal>> {
    let principal = |text: &String| {
        let text = text.trim();
        match text.split_once(':') {
            Some((of, name)) if !of.is_empty() && !name.is_empty() => {
                Ok(Principal { principal_type: of.to_owned(), name: name.to_owned() })
            }
            _ => {
                let message = format!("expected a string in format principalType:principalName but got {text}");
                Err(JavaError::illegal_argument(message).with_hint(Some(format!("write User:{text}"))).into())
            }
        }
    };
    texts.iter().map(principal).collect()
}

fn plan(action: &Action) -> (String, Value) {
    match action {
        Action::Create { owner, renewers, max_life_time } => {
            let owner = owner.as_ref().map(ToString::to_string);
            let whom = owner.clone().unwrap_or_else(|| "who asks".to_owned());
            let renewers: Vec<_> = renewers.iter().map(ToString::to_string).collect();
            let step = json!({ "create": { "owner": owner, "renewers": renewers, "maxLifeTimeMs": max_life_time } });
            (format!("make a token for {whom}"), step)
        }
        Action::Renew { period, .. } => {
            (format!("renew the token for {period} ms"), json!({ "renew": { "periodMs": period } }))
        }
        Action::Expire { period, .. } if *period <= 0 => {
            ("end the token now".to_owned(), json!({ "expire": { "periodMs": period } }))
        }
        Action::Expire { period, .. } => {
            (format!("end the token in {period} ms"), json!({ "expire": { "periodMs": period } }))
        }
        Action::Describe { .. } => ("show tokens".to_owned(), Value::Null),
    }
}

/// `[User:a, User:b]`
fn list(principals: &[Principal]) -> String {
    let texts: Vec<_> = principals.iter().map(ToString::to_string).collect();
    format!("[{}]", texts.join(", "))
}

/// `2026-11-28T01:06`, in the local time zone.
fn date(milliseconds: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(milliseconds).map(|time| time.to_zoned(jiff::tz::TimeZone::system()));
    time.map_or_else(|_| milliseconds.to_string(), |time| time.strftime("%Y-%m-%dT%H:%M").to_string())
}

async fn create(
    owner: Option<&Principal>,
    renewers: &[Principal],
    max_life_time: i64,
    admin: &Admin,
    out: &mut Output,
) -> anyhow::Result<()> {
    if out.style() == Style::Kafka {
        out.line(format_args!(
            "Calling create token operation with renewers :{} , max-life-time-period :{max_life_time}",
            list(renewers)
        ))?;
    }
    let token =
        admin.create_delegation_token(owner, renewers, max_life_time).await.map_err(called("createDelegationToken"))?;
    match out.style() {
        Style::Kafka => {
            out.line(format_args!("Created delegation token with tokenId : {}\n", token.token_id))?;
            print_lines(&[token], out)?;
        }
        Style::Table => print_table(&[token], out)?,
        Style::Json => out.json(&json!({ "version": 1, "created": json_of(&token) }))?,
    }
    Ok(())
}

async fn describe(owners: &[Principal], admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
    if out.style() == Style::Kafka {
        if owners.is_empty() {
            out.line("Calling describe token operation for current user.")?;
        } else {
            out.line(format_args!("Calling describe token operation for owners: {}", list(owners)))?;
        }
    }
    let wanted = (!owners.is_empty()).then_some(owners);
    let tokens = admin.describe_delegation_tokens(wanted).await.map_err(called("describeDelegationToken"))?;
    match out.style() {
        Style::Kafka => {
            out.line(format_args!("Total number of tokens : {}", tokens.len()))?;
            print_lines(&tokens, out)?;
        }
        Style::Table if tokens.is_empty() => out.note("no tokens")?,
        Style::Table => print_table(&tokens, out)?,
        Style::Json => {
            let tokens: Vec<_> = tokens.iter().map(json_of).collect();
            out.json(&json!({ "version": 1, "tokens": tokens }))?;
        }
    }
    Ok(())
}

async fn renew(hmac: &str, period: i64, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
    if out.style() == Style::Kafka {
        out.line(format_args!("Calling renew token operation with hmac :{hmac} , renew-time-period :{period}"))?;
    }
    let end = admin.renew_delegation_token(&secret(hmac)?, period).await.map_err(called("renewDelegationToken"))?;
    completed("renew", end, out)
}

async fn expire(hmac: &str, period: i64, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
    if out.style() == Style::Kafka {
        out.line(format_args!("Calling expire token operation with hmac :{hmac} , expire-time-period :{period}"))?;
    }
    let end = admin.expire_delegation_token(&secret(hmac)?, period).await.map_err(called("expireDelegationToken"))?;
    completed("expire", end, out)
}

/// Says which token it is: nobody knows one by its secret.
async fn question(hmac: &str, admin: &Admin) -> anyhow::Result<String> {
    let secret = secret(hmac)?;
    let tokens = admin.describe_delegation_tokens(None).await.map_err(called("describeDelegationToken"))?;
    Ok(match tokens.iter().find(|token| token.hmac == secret) {
        Some(token) => format!("End token {} of {} now? Who uses it is shut out.", token.token_id, token.owner),
        None => "End this token now, which is none of those that you may see? Who uses it is shut out.".to_owned(),
    })
}

fn secret(hmac: &str) -> anyhow::Result<Vec<u8>> {
    STANDARD.decode(hmac).map_err(|error| {
        Hinted::error(format!("--hmac is no base64: {error}"), "copy the HMAC as --create has printed it")
    })
}

fn completed(what: &str, end: i64, out: &mut Output) -> anyhow::Result<()> {
    use std::io::Write as _;
    match out.style() {
        // Kafka's tool ends no line here.
        Style::Kafka => {
            write!(out.stdout(), "Completed {what} operation. New expiry date : {}", date(end))?;
        }
        Style::Table => out.line(format_args!("The token ends at {}.", date(end)))?,
        Style::Json => out.json(&json!({ "version": 1, "expiryTimestamp": end }))?,
    }
    Ok(())
}

fn cells(token: &DelegationToken) -> [String; 8] {
    [
        token.token_id.clone(),
        STANDARD.encode(&token.hmac),
        token.owner.to_string(),
        token.requester.to_string(),
        list(&token.renewers),
        date(token.issue_timestamp),
        date(token.expiry_timestamp),
        date(token.max_timestamp),
    ]
}

const HEADER: [&str; 8] = ["TOKENID", "HMAC", "OWNER", "REQUESTER", "RENEWERS", "ISSUEDATE", "EXPIRYDATE", "MAXDATE"];

/// Kafka's columns: a row begins with a line end, and the last one has none.
fn text(tokens: &[DelegationToken]) -> String {
    let row = |[id, hmac, owner, requester, renewers, issued, expires, most]: [&str; 8]| {
        format!("{id:<15} {hmac:<30} {owner:<15} {requester:<15} {renewers:<25} {issued:<15} {expires:<15} {most:<15}")
    };
    let mut text = row(HEADER);
    text.push('\n');
    for token in tokens {
        let cells = cells(token);
        text.push('\n');
        text.push_str(&row(cells.each_ref().map(String::as_str)));
        text.push('\n');
    }
    text
}

fn print_lines(tokens: &[DelegationToken], out: &mut Output) -> io::Result<()> {
    use std::io::Write as _;
    write!(out.stdout(), "{}", text(tokens))
}

fn print_table(tokens: &[DelegationToken], out: &mut Output) -> io::Result<()> {
    let header = ["Token", "HMAC", "Owner", "Made by", "Renewers", "Made", "Ends", "Ends for good"];
    out.table(&header, tokens.iter().map(|token| cells(token).to_vec()).collect())
}

fn json_of(token: &DelegationToken) -> Value {
    let renewers: Vec<_> = token.renewers.iter().map(ToString::to_string).collect();
    json!({
        "tokenId": token.token_id,
        "hmac": STANDARD.encode(&token.hmac),
        "owner": token.owner.to_string(),
        "requester": token.requester.to_string(),
        "renewers": renewers,
        "issueTimestamp": token.issue_timestamp,
        "expiryTimestamp": token.expiry_timestamp,
        "maxTimestamp": token.max_timestamp,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn check(words: &str) -> Result<Action, String> {
        let words = std::iter::once("delegation-tokens").chain(words.split_whitespace());
        let command =
            super::super::support::with_kafkas_option_rules(<DelegationTokens as clap::CommandFactory>::command());
        let matches = command.try_get_matches_from(words).unwrap();
        let args = <DelegationTokens as clap::FromArgMatches>::from_arg_matches(&matches).unwrap();
        args.check().map_err(|error| error.to_string())
    }

    #[test]
    fn options_that_do_not_fit_are_told_in_kafkas_words() {
        let action = "Command must include exactly one action: --create, --renew, --expire or --describe";
        for (words, message) in [
            ("--command-config f", action),
            ("--command-config f --create --describe", action),
            ("--describe", "Missing required argument \"[command-config]\""),
            ("--command-config f --create", "Missing required argument \"[max-life-time-period]\""),
            ("--command-config f --renew", "Missing required argument \"[hmac]\""),
            ("--command-config f --expire", "Missing required argument \"[hmac]\""),
            (
                "--command-config f --create --max-life-time-period x",
                "Cannot parse argument 'x' of option max-life-time-period",
            ),
            (
                "--command-config f --describe --owner-principal bob",
                "expected a string in format principalType:principalName but got bob",
            ),
        ] {
            assert_eq!(check(words).unwrap_err(), message);
        }
        let bob = Principal { principal_type: "User".to_owned(), name: "bob".to_owned() };
        assert_eq!(
            check("--command-config f --create --max-life-time-period -1 --renewer-principal User:bob"),
            Ok(Action::Create { owner: None, renewers: vec![bob], max_life_time: -1 })
        );
        assert!(DelegationTokens::try_parse_from(["delegation-tokens"]).is_ok());
    }

    #[test]
    fn tokens_stand_in_kafkas_columns() {
        let admin = Principal { principal_type: "User".to_owned(), name: "admin".to_owned() };
        let token = DelegationToken {
            token_id: "abc".to_owned(),
            hmac: b"nope".to_vec(),
            owner: admin.clone(),
            requester: admin,
            renewers: Vec::new(),
            issue_timestamp: 0,
            expiry_timestamp: 0,
            max_timestamp: 0,
        };
        let empty = "TOKENID         HMAC                           OWNER           REQUESTER       RENEWERS                  \
                     ISSUEDATE       EXPIRYDATE      MAXDATE        \n";
        assert_eq!(text(&[]), empty);
        let text = text(&[token]);
        let day = date(0);
        assert_eq!(
            text.strip_prefix(empty).unwrap(),
            format!(
                "\nabc             bm9wZQ==                       User:admin      User:admin      []                        \
                 {day} {day} {day}\n"
            )
        );
    }
}
