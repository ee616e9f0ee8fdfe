//! What is asked before rules and delegation tokens go. A script answers as Apache Kafka 4.3 does, of these rules and this token.

use kafka_rs::protocol::ApiKey;
use kafka_rs::protocol::messages::delete_acls_response::{DeleteAclsFilterResult, DeleteAclsMatchingAcl};
use kafka_rs::protocol::messages::describe_acls_response::{AclDescription, DescribeAclsResource};
use kafka_rs::protocol::messages::describe_delegation_token_response::DescribedDelegationToken;
use kafka_rs::protocol::messages::{
    DeleteAclsRequest, DeleteAclsResponse, DescribeAclsRequest, DescribeAclsResponse, DescribeDelegationTokenRequest,
    DescribeDelegationTokenResponse, ExpireDelegationTokenRequest, ExpireDelegationTokenResponse,
};

use super::masked;
use super::pty::{CTRL_C, Ended, Terminal};
use crate::scripted::{Asked, ScriptedBroker};

const TOPIC: i8 = 2;
const LITERAL: i8 = 3;
const ALLOW: i8 = 3;

/// What stands for the token.
const SECRET: &[u8] = b"secret";
const SECRET_IN_BASE64: &str = "c2VjcmV0";

/// Topic, principal, operation.
const RULES: [(&str, &str, i8); 3] =
    [("payments", "User:eve", 3), ("orders", "User:eve", 8), ("orders", "User:bob", 4)];

/// The rules of one topic, those of who was named first.
fn rules(topic: Option<&str>) -> Vec<DescribeAclsResource> {
    let acl = |(_, principal, operation): &(&str, &str, i8)| AclDescription {
        principal: (*principal).to_owned(),
        host: "*".to_owned(),
        operation: *operation,
        permission_type: ALLOW,
        ..Default::default()
    };
    let acls: Vec<_> = RULES.iter().filter(|(of, ..)| Some(*of) == topic).map(acl).collect();
    let resource = DescribeAclsResource {
        resource_type: TOPIC,
        resource_name: topic.unwrap_or_default().to_owned(),
        pattern_type: LITERAL,
        acls,
        ..Default::default()
    };
    if resource.acls.is_empty() { Vec::new() } else { vec![resource] }
}

/// All that exact filters find.
fn deleted(request: DeleteAclsRequest) -> DeleteAclsResponse {
    let result = |filter: kafka_rs::protocol::messages::delete_acls_request::DeleteAclsFilter| {
        let matching = DeleteAclsMatchingAcl {
            resource_type: filter.resource_type_filter,
            resource_name: filter.resource_name_filter.unwrap(),
            pattern_type: filter.pattern_type_filter,
            principal: filter.principal_filter.unwrap(),
            host: filter.host_filter.unwrap(),
            operation: filter.operation,
            permission_type: filter.permission_type,
            ..Default::default()
        };
        DeleteAclsFilterResult { matching_acls: vec![matching], ..Default::default() }
    };
    DeleteAclsResponse { filter_results: request.filters.into_iter().map(result).collect(), ..Default::default() }
}

fn tokens() -> DescribeDelegationTokenResponse {
    let token = DescribedDelegationToken {
        principal_type: "User".to_owned(),
        principal_name: "alice".to_owned(),
        token_id: "morning-report".to_owned(),
        hmac: SECRET.into(),
        ..Default::default()
    };
    DescribeDelegationTokenResponse { tokens: vec![token], ..Default::default() }
}

fn script(asked: &Asked) -> Option<Vec<u8>> {
    match asked.start.api {
        ApiKey::DescribeAcls => {
            let request: DescribeAclsRequest = asked.body();
            let resources = rules(request.resource_name_filter.as_deref());
            asked.answer::<DescribeAclsRequest>(&DescribeAclsResponse { resources, ..Default::default() })
        }
        ApiKey::DeleteAcls => asked.answer::<DeleteAclsRequest>(&deleted(asked.body())),
        ApiKey::DescribeDelegationToken => asked.answer::<DescribeDelegationTokenRequest>(&tokens()),
        ApiKey::ExpireDelegationToken => {
            asked.answer::<ExpireDelegationTokenRequest>(&ExpireDelegationTokenResponse::default())
        }
        _ => None,
    }
}

fn answered(broker: &ScriptedBroker, line: &str, answer: &str) -> Ended {
    let words: Vec<&str> = line.split(' ').chain(["--bootstrap-server", broker.address()]).collect();
    let mut terminal = Terminal::kafka_rs(100, &words);
    terminal.wait_for("\x1b[?25l").press(answer);
    terminal.end()
}

/// Goal: all rules that will go are shown, one question is about all of them, and a no takes none away.
#[test]
fn rules_are_shown_before_they_go() {
    let broker = ScriptedBroker::start(script);
    let line = "acls --remove --topic orders --topic payments --topic nothing";
    answered(&broker, line, "n").assert_code(1).assert_clean().assert_shows("acls-remove-no.100", masked);
    answered(&broker, line, CTRL_C).assert_code(130).assert_clean();
    assert!(broker.asked::<DeleteAclsRequest>().is_empty());
    answered(&broker, line, "y").assert_code(0).assert_clean().assert_shows("acls-remove-yes.100", masked);
    // What was shown goes, by its own name: a filter could find more by now.
    let mut gone: Vec<_> =
        broker.asked::<DeleteAclsRequest>().into_iter().flat_map(|request| request.filters).collect();
    gone.sort_by_key(|filter| filter.operation);
    let gone: Vec<_> = gone
        .iter()
        .map(|filter| (filter.resource_name_filter.as_deref(), filter.principal_filter.as_deref(), filter.operation))
        .collect();
    let expected = [("payments", "User:eve", 3), ("orders", "User:bob", 4), ("orders", "User:eve", 8)];
    assert_eq!(gone, expected.map(|(topic, who, operation)| (Some(topic), Some(who), operation)));
}

/// Goal: where there is nothing to remove nothing is asked.
#[test]
fn nothing_is_asked_where_no_rule_would_go() {
    let broker = ScriptedBroker::start(script);
    let words = ["acls", "--remove", "--topic", "nothing", "--bootstrap-server", broker.address()];
    Terminal::kafka_rs(100, &words).end().assert_code(0).assert_clean().assert_shows("acls-remove-none.100", masked);
    assert!(broker.asked::<DeleteAclsRequest>().is_empty());
}

/// Goal: what a question is about is on the terminal, and what programs read in their file alone.
#[test]
fn what_a_question_is_about_is_no_data() {
    let broker = ScriptedBroker::start(script);
    let file = tempfile::NamedTempFile::new().unwrap();
    let line = format!(
        "$KAFKA_RS acls --remove --topic payments --output json --bootstrap-server {} >{}",
        broker.address(),
        file.path().display()
    );
    let mut terminal = Terminal::shell(100, &line);
    terminal.wait_for("User:eve").wait_for("\x1b[?25l").press("y");
    terminal.end().assert_code(0).assert_clean();
    let document: serde_json::Value = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
    assert_eq!(document["removed"][0]["principal"], "User:eve");
}

/// Goal: the token is named by its id and its owner, before it ends at once; one that ends later is no question.
#[test]
fn a_token_is_named_before_it_ends() {
    let broker = ScriptedBroker::start(script);
    let settings = tempfile::NamedTempFile::new().unwrap();
    let line = |secret: &str, period: &str| {
        let file = settings.path().display();
        format!("delegation-tokens --expire --hmac {secret} --expiry-time-period {period} --command-config {file}")
    };
    let asked_first = line(SECRET_IN_BASE64, "-1");
    answered(&broker, &asked_first, "n").assert_code(1).assert_clean().assert_shows("token-expire-no.100", masked);
    answered(&broker, &line(SECRET_IN_BASE64, "0"), "n").assert_code(1);
    let unknown = answered(&broker, &line("bm9uZQ==", "-1"), "n");
    unknown.assert_code(1).assert_clean().assert_shows("token-expire-unknown.100", masked);
    assert!(broker.asked::<ExpireDelegationTokenRequest>().is_empty());
    answered(&broker, &asked_first, "y").assert_code(0).assert_clean().assert_shows("token-expire-yes.100", masked);
    let later = format!("{} --bootstrap-server {}", line(SECRET_IN_BASE64, "60000"), broker.address());
    Terminal::kafka_rs(100, &later.split(' ').collect::<Vec<_>>()).end().assert_code(0).assert_clean();
    let periods: Vec<_> = broker.asked::<ExpireDelegationTokenRequest>();
    let periods: Vec<_> = periods.iter().map(|request| request.expiry_time_period_ms).collect();
    assert_eq!(periods, [-1, 60_000]);
}
