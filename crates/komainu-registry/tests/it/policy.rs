//! Policies, from the document to the answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use komainu_model::{
    AccountId, CertificateId, Region, Scope, Thing, ThingName, ThingPrincipalType, ThingTypeName, Timestamp,
};
use komainu_registry::policy::{
    Action, CertificateFacts, CertificateField, CompiledPolicies, ConnectionContext, NameAttribute, PolicyDocument,
    connection_thing,
};
use proptest::prelude::*;

const ARN: &str = "arn:aws:iot:us-east-1:123456789012:";

fn scope() -> Scope {
    Scope { account: AccountId::parse("123456789012").unwrap(), region: Region::parse("us-east-1").unwrap() }
}

fn thing() -> Thing {
    Thing {
        name: ThingName::parse("lamp").unwrap(),
        id: "f9a5c2d4-0000-4000-8000-000000000000".into(),
        type_name: Some(ThingTypeName::parse("Bulb").unwrap()),
        attributes: BTreeMap::from([("Site".to_owned(), "Ulm/3".to_owned())]),
        version: 1,
        created_at: Timestamp::default(),
    }
}

fn certificate() -> CertificateFacts {
    let subject = |attribute, values: &[&str]| {
        (CertificateField::Subject(attribute), values.iter().map(|value| (*value).to_owned()).collect())
    };
    CertificateFacts {
        id: CertificateId::from_sha256([0xab; 32]),
        fields: BTreeMap::from([
            subject(NameAttribute::CommonName, &["lamp-7"]),
            subject(NameAttribute::OrganizationalUnit, &["north", "south"]),
            subject(NameAttribute::Title, &["*"]),
        ]),
    }
}

/// The policies `documents` for the client `lamp`, which speaks for the thing `lamp`, from 192.0.2.7.
fn compile(documents: &[&str]) -> CompiledPolicies {
    compile_for(documents, "lamp", Some(&thing()))
}

fn compile_for(documents: &[&str], client_id: &str, thing: Option<&Thing>) -> CompiledPolicies {
    let documents: Vec<_> = documents
        .iter()
        .map(|text| Arc::new(PolicyDocument::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))))
        .collect();
    let (scope, certificate) = (scope(), certificate());
    let context = ConnectionContext {
        scope: &scope,
        client_id: Some(client_id),
        source_ip: Some("::ffff:192.0.2.7".parse().unwrap()),
        thing,
        certificate: Some(&certificate),
    };
    CompiledPolicies::compile(&documents, &context)
}

fn statement(effect: &str, action: &str, resource: &str) -> String {
    let resource = if resource == "*" { "*".to_owned() } else { format!("{ARN}{resource}") };
    format!(r#"{{"Effect":"{effect}","Action":"{action}","Resource":"{resource}"}}"#)
}

fn document(statements: &[String]) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))
}

#[test]
fn the_walkthroughs_policy_allows_everything() {
    let policies = compile(&[&document(&[statement("Allow", "iot:*", "*")])]);
    for action in Action::ALL {
        assert!(policies.allows(action, "anything/at/all"), "{action:?}");
        assert!(policies.allows_everything(action), "{action:?}");
    }
}

#[test]
fn nothing_is_allowed_by_default() {
    for policies in [compile(&[]), compile(&[&document(&[statement("Deny", "iot:*", "*")])])] {
        for action in Action::ALL {
            assert!(!policies.allows(action, "a"), "{action:?}");
            assert!(!policies.allows_everything(action), "{action:?}");
        }
    }
}

#[test]
fn actions_are_patterns_in_any_case() {
    use Action::{Connect, Publish, Receive, RetainPublish, Subscribe};
    let cases: &[(&str, &[Action])] = &[
        ("iot:Publish", &[Publish]),
        ("IOT:publish", &[Publish]),
        ("iot:*Publish", &[Publish, RetainPublish]),
        ("iot:Re*", &[Receive, RetainPublish]),
        ("iot:?ubscribe", &[Subscribe]),
        ("iot:*", &Action::ALL),
        ("*", &Action::ALL),
        ("iot*:*", &Action::ALL),
        ("iot:Connect", &[Connect]),
        ("iot:GetThingShadow", &[]),
        ("s3:*", &[]),
        ("iot:Publis", &[]),
    ];
    for (pattern, expected) in cases {
        let policies = compile(&[&document(&[statement("Allow", pattern, "*")])]);
        let allowed: Vec<_> = Action::ALL.into_iter().filter(|action| policies.allows(*action, "a")).collect();
        assert_eq!(allowed, *expected, "{pattern}");
    }
}

#[test]
fn resources_are_patterns() {
    #[track_caller]
    fn check(action: Action, resource: &str, asked: &str, expected: bool) {
        let policies = compile(&[&document(&[statement("Allow", action.as_str(), resource)])]);
        assert_eq!(policies.allows(action, asked), expected, "{resource} asked for {asked}");
    }
    use Action::{Connect, Publish, Receive, Subscribe};
    check(Publish, "topic/a/b", "a/b", true);
    check(Publish, "topic/a/b", "a/b/", false);
    check(Publish, "topic/a/b", "A/b", false);
    check(Publish, "topic/a/*", "a/b/c", true);
    check(Publish, "topic/a/*", "a/", true);
    check(Publish, "topic/a/*", "a", false);
    check(Publish, "topic/*/c", "a/b/c", true);
    check(Publish, "topic/a/?/c", "a/b/c", true);
    check(Publish, "topic/a/?/c", "a/bb/c", false);
    check(Publish, "topic/a/?/c", "a/ü/c", true);
    check(Publish, "topic*", "a", true);
    check(Publish, "*", "a", true);
    // MQTT's wildcards are literal.
    check(Subscribe, "topicfilter/a/+/c", "a/+/c", true);
    check(Subscribe, "topicfilter/a/+/c", "a/b/c", false);
    check(Subscribe, "topicfilter/a/#", "a/#", true);
    check(Subscribe, "topicfilter/a/#", "a/b", false);
    check(Subscribe, "topicfilter/a/*", "a/#", true);
    // Each kind of resource is for its actions.
    check(Receive, "topic/a", "a", true);
    check(Receive, "topicfilter/a", "a", false);
    check(Subscribe, "topic/a", "a", false);
    check(Connect, "client/lamp", "lamp", true);
    check(Connect, "topic/lamp", "lamp", false);
    check(Connect, "client/", "lamp", false);
    check(Publish, "topic/client/lamp", "client/lamp", true);
    // What variables insert.
    check(Publish, "topic/${iot:ClientId}/x", "lamp/x", true);
    check(Publish, "topic/${iot:ClientId}/x", "other/x", false);
    check(Publish, "topic/${aws:SourceIp}", "192.0.2.7", true);
    check(Publish, "topic/${iot:Connection.Thing.ThingName}/*", "lamp/x", true);
    check(Publish, "topic/${iot:Connection.Thing.ThingTypeName}", "Bulb", true);
    check(Publish, "topic/${iot:Connection.Thing.Attributes[Site]}", "Ulm/3", true);
    check(Publish, "topic/${iot:Connection.Thing.Attributes[site]}", "Ulm/3", false);
    check(Publish, "topic/${iot:Connection.Thing.IsAttached}", "true", true);
    check(Publish, "topic/${iot:CertificateId}", &"ab".repeat(32), true);
    check(Publish, "topic/${iot:Certificate.Subject.CommonName}", "lamp-7", true);
    check(Publish, "topic/${iot:Certificate.Subject.OrganizationalUnit}", "north", true);
    check(Publish, "topic/${iot:Certificate.Subject.OrganizationalUnit}", "south", false);
    check(Publish, "topic/${iot:Certificate.Subject.OrganizationalUnit.1}", "south", true);
    check(Publish, "topic/${iot:Certificate.Subject.OrganizationalUnit.2}", "", false);
    check(Publish, "topic/${iot:Certificate.Subject.OrganizationalUnit.List}/x", "south/x", true);
    check(Publish, "topic/${iot:Certificate.Subject.OrganizationalUnit.List}/x", "west/x", false);
    // Escapes.
    check(Publish, "topic/${*}", "*", true);
    check(Publish, "topic/${*}", "a", false);
    check(Publish, "topic/${?}${$}", "?$", true);
    // A variable without a value matches nothing, not the empty text and not itself.
    check(Publish, "topic/${iot:Unknown}x*", "x", false);
    check(Publish, "topic/${iot:Unknown}*", "${iot:Unknown}", false);
    check(Publish, "topic/${iot:Certificate.Subject.Surname}*", "x", false);
    // An attribute with a wildcard has no value.
    check(Publish, "topic/${iot:Certificate.Subject.Title}", "*", false);
}

#[test]
fn arn_heads_are_matched_part_by_part() {
    #[track_caller]
    fn check(resource: &str, asked: &str, expected: bool) {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"iot:Publish","Resource":"{resource}"}}}}"#
        );
        assert_eq!(compile(&[&text]).allows(Action::Publish, asked), expected, "{resource} asked for {asked}");
    }
    check("arn:aws:iot:us-east-1:123456789012:topic/a", "a", true);
    check("arn:aws:iot:eu-west-1:123456789012:topic/a", "a", false);
    check("arn:aws:iot:us-east-1:000000000000:topic/a", "a", false);
    check("arn:aws:sns:us-east-1:123456789012:topic/a", "a", false);
    check("arn:aws:iot:*:*:topic/a", "a", true);
    check("arn:aws:iot:us-*-1:1234567890??:topic/a", "a", true);
    check("arn:aws:iot:*", "a", true);
    check("arn:aws:iot:eu-*", "a", false);
    check("arn:*", "a", true);
    // The account's wildcard must not take the beginning of the topic.
    check("arn:aws:iot:us-east-1:*:topic/a", "x:topic/a", false);
    check("arn:aws:iot:us-east-1:123456789012:*", "a:b", true);
}

#[test]
fn a_client_id_brings_no_wildcards() {
    let text = document(&[
        statement("Allow", "iot:Publish", "topic/${iot:ClientId}/x"),
        statement("Allow", "iot:Connect", "client/${iot:ClientId}"),
    ]);
    for (client_id, others) in [("*", "a"), ("?", "a"), ("${*}", "*"), ("a*", "ab"), ("}${aws:SourceIp}", "192.0.2.7")]
    {
        let policies = compile_for(&[&text], client_id, None);
        assert!(policies.allows(Action::Publish, &format!("{client_id}/x")), "{client_id}");
        assert!(!policies.allows(Action::Publish, &format!("{others}/x")), "{client_id}");
        assert!(!policies.allows(Action::Connect, others), "{client_id}");
    }
}

#[test]
fn denying_wins_whatever_the_order() {
    let allow = statement("Allow", "iot:*", "*");
    let deny = statement("Deny", "iot:Publish", "topic/a/secret/*");
    let both = [document(&[allow.clone(), deny.clone()]), document(&[deny.clone(), allow.clone()])];
    let apart = [document(&[allow]), document(&[deny])];
    let compiled = [
        compile(&[&both[0]]),
        compile(&[&both[1]]),
        compile(&[&apart[0], &apart[1]]),
        compile(&[&apart[1], &apart[0]]),
    ];
    for policies in compiled {
        assert!(!policies.allows(Action::Publish, "a/secret/x"));
        assert!(policies.allows(Action::Publish, "a/other"));
        assert!(policies.allows(Action::Receive, "a/secret/x"));
        assert!(!policies.allows_everything(Action::Publish));
    }
}

/// AWS IoT developer guide: a Deny for `topicfilter/a/restricted/*` does not stop a subscription to `a/#`; the guard
/// is `iot:Receive`, which is asked for each delivery.
#[test]
fn a_wider_filter_is_not_stopped_but_its_messages_are() {
    let policies = compile(&[&document(&[
        statement("Allow", "iot:*", "*"),
        statement("Deny", "iot:Subscribe", "topicfilter/a/restricted/*"),
        statement("Deny", "iot:Receive", "topic/a/restricted/*"),
    ])]);
    assert!(!policies.allows(Action::Subscribe, "a/restricted/#"));
    assert!(policies.allows(Action::Subscribe, "a/#"));
    assert!(!policies.allows(Action::Receive, "a/restricted/b"));
    assert!(policies.allows(Action::Receive, "a/free"));
}

#[test]
fn without_a_thing_its_variables_match_nothing() {
    let text = document(&[
        statement("Allow", "iot:Publish", "topic/${iot:Connection.Thing.ThingName}*"),
        statement("Allow", "iot:Receive", "topic/${iot:Connection.Thing.IsAttached}"),
    ]);
    let policies = compile_for(&[&text], "lamp", None);
    for topic in ["lamp", "", "${iot:Connection.Thing.ThingName}"] {
        assert!(!policies.allows(Action::Publish, topic), "{topic}");
    }
    assert!(policies.allows(Action::Receive, "false"));
}

#[test]
fn variables_are_plain_text_in_old_documents() {
    let text = r#"{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Action":"iot:Publish",
        "Resource":"arn:aws:iot:us-east-1:123456789012:topic/${iot:ClientId}"}]}"#;
    let policies = compile(&[text]);
    assert!(policies.allows(Action::Publish, "${iot:ClientId}"));
    assert!(!policies.allows(Action::Publish, "lamp"));
}

#[test]
fn conditions_are_settled_for_the_connection() {
    #[track_caller]
    fn check(condition: &str, holds: bool) {
        for (effect, expected) in [("Allow", holds), ("Deny", !holds)] {
            let text = format!(
                r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"iot:Connect","Resource":"*"}},
                {{"Effect":"{effect}","Action":"iot:{}","Resource":"*","Condition":{condition}}}]}}"#,
                if effect == "Allow" { "Publish" } else { "Connect" }
            );
            let policies = compile(&[&text]);
            let action = if effect == "Allow" { Action::Publish } else { Action::Connect };
            assert_eq!(policies.allows(action, "a"), expected, "{effect} when {condition}");
        }
    }
    check(r#"{"Bool":{"iot:Connection.Thing.IsAttached":["true"]}}"#, true);
    check(r#"{"Bool":{"iot:Connection.Thing.IsAttached":false}}"#, false);
    check(r#"{"StringEquals":{"iot:ClientId":"lamp"}}"#, true);
    check(r#"{"StringEquals":{"iot:ClientId":["a","lamp"]}}"#, true);
    check(r#"{"StringEquals":{"iot:ClientId":"l*"}}"#, false);
    check(r#"{"StringEquals":{"iot:ClientId":"LAMP"}}"#, false);
    check(r#"{"StringEqualsIgnoreCase":{"iot:ClientId":"LAMP"}}"#, true);
    check(r#"{"StringNotEquals":{"iot:ClientId":"lamp"}}"#, false);
    check(r#"{"StringNotEquals":{"iot:ClientId":["lamp","other"]}}"#, false);
    check(r#"{"StringNotEquals":{"iot:ClientId":"other"}}"#, true);
    check(r#"{"StringLike":{"iot:ClientId":"l*p"}}"#, true);
    check(r#"{"StringLike":{"iot:ClientId":"${iot:Connection.Thing.ThingName}"}}"#, true);
    check(r#"{"StringNotLike":{"iot:ClientId":"l*p"}}"#, false);
    check(r#"{"StringEquals":{"iot:Connection.Thing.ThingTypeName":"Bulb"}}"#, true);
    check(r#"{"StringEquals":{"iot:Connection.Thing.Attributes[Site]":"Ulm/3"}}"#, true);
    check(r#"{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#, true);
    check(r#"{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","192.0.2.7"]}}"#, true);
    check(r#"{"IpAddress":{"aws:SourceIp":"2001:db8::/32"}}"#, false);
    check(r#"{"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#, false);
    check(r#"{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#, true);
    // Keys without a value.
    check(r#"{"StringEquals":{"iot:Connection.Thing.Attributes[none]":"x"}}"#, false);
    check(r#"{"StringNotEquals":{"iot:Connection.Thing.Attributes[none]":"x"}}"#, true);
    check(r#"{"StringEqualsIfExists":{"iot:Connection.Thing.Attributes[none]":"x"}}"#, true);
    check(r#"{"Null":{"iot:Connection.Thing.Attributes[none]":"true"}}"#, true);
    check(r#"{"Null":{"iot:Connection.Thing.Attributes[Site]":"true"}}"#, false);
    check(r#"{"Null":{"iot:Connection.Thing.Attributes[Site]":"false"}}"#, true);
    check(r#"{"Bool":{"iot:ClientId":"true"}}"#, false);
    // Keys with several values.
    check(r#"{"ForAnyValue:StringEquals":{"iot:Certificate.Subject.OrganizationalUnit.List":"south"}}"#, true);
    check(r#"{"ForAllValues:StringEquals":{"iot:Certificate.Subject.OrganizationalUnit.List":"south"}}"#, false);
    check(r#"{"ForAllValues:StringLike":{"iot:Certificate.Subject.OrganizationalUnit.List":"*th"}}"#, true);
    check(r#"{"ForAnyValue:StringEquals":{"iot:Certificate.Subject.Surname.List":"x"}}"#, false);
    // All operators and all keys must hold.
    check(r#"{"Bool":{"iot:Connection.Thing.IsAttached":"true"},"StringEquals":{"iot:ClientId":"x"}}"#, false);
    check(r#"{"StringEquals":{"iot:ClientId":"lamp","iot:Connection.Thing.ThingName":"x"}}"#, false);
}

#[test]
fn a_negated_condition_without_its_value_allows_nothing_and_denies() {
    let condition = r#"{"StringNotEquals":{"iot:ClientId":"${iot:Certificate.Subject.Surname}"}}"#;
    let text = |effect: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"iot:Connect","Resource":"*"}},
            {{"Effect":"{effect}","Action":"*","Resource":"*","Condition":{condition}}}]}}"#
        )
    };
    assert!(!compile(&[&text("Allow")]).allows(Action::Publish, "a"));
    assert!(!compile(&[&text("Deny")]).allows(Action::Connect, "a"));
}

#[test]
fn malformed_documents_are_refused_with_the_reason() {
    #[track_caller]
    fn check(text: &str, reason: &str) {
        let error = PolicyDocument::parse(text).expect_err(text);
        assert!(error.reason.contains(reason), "{text}: {error}");
    }
    let with = |member: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"iot:*","Resource":"*",{member}}}}}"#
        )
    };
    check("", "EOF");
    check("[]", "expected struct");
    check("{}", "missing field `Statement`");
    check(r#"{"Statement":[]}"#, "empty list");
    check(r#"{"Version":"2020-01-01","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#, "version");
    check(r#"{"Statement":{"Effect":"allow","Action":"*","Resource":"*"}}"#, "effect");
    check(r#"{"Statement":{"Effect":"Allow","Resource":"*"}}"#, "missing field `Action`");
    check(r#"{"Statement":{"Effect":"Allow","Action":"*"}}"#, "missing field `Resource`");
    check(r#"{"Statement":{"Effect":"Allow","Action":[],"Resource":"*"}}"#, "empty list");
    check(r#"{"Statement":{"Effect":"Allow","Action":"Publish","Resource":"*"}}"#, "action");
    check(r#"{"Statement":{"Effect":"Allow","Action":"iot:Pub lish","Resource":"*"}}"#, "action");
    check(r#"{"Statement":{"Effect":"Allow","Action":{"a":1},"Resource":"*"}}"#, "expected a string");
    check(r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"topic/a"}}"#, "resource");
    check(r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:iot:r:a"}}"#, "resource");
    check(r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:iot:r:a:"}}"#, "resource");
    check(&with(r#""Principal":"*""#), "unknown field `Principal`");
    check(&with(r#""NotAction":"iot:Connect""#), "unknown field `NotAction`");
    check(&with(r#""Effect":"Deny""#), "duplicate field `Effect`");
    check(&with(r#""Condition":{"DateLessThan":{"aws:CurrentTime":"2030-01-01T00:00:00Z"}}"#), "DateLessThan");
    check(&with(r#""Condition":{"Bool":{"iot:Connection.Thing.IsAttached":"yes"}}"#), "boolean");
    check(&with(r#""Condition":{"IpAddress":{"aws:SourceIp":"300.0.0.1"}}"#), "IP address");
    check(&with(r#""Condition":{"Bool":{"a":"true","a":"false"}}"#), "stands twice");
    check(&with(r#""Condition":{"StringEquals":{"iot:ClientId":[]}}"#), "empty list");
    check(&with(r#""Condition":{"StringEquals":{"iot:ClientId":"${iot:ClientId"}}"#), "not closed");
    let lists = "${iot:Certificate.Subject.Country.List}".repeat(2);
    check(&with(&format!(r#""Condition":{{"StringEquals":{{"iot:ClientId":"{lists}"}}}}"#)), ".List");
    check(&with(&format!(r#""Sid":"{}""#, "x".repeat(2048))), "2048");
    check(&" ".repeat(404_601), "404600");
    check(&"[".repeat(2000), "");
}

#[test]
fn white_space_does_not_count() {
    let text = document(&[statement("Allow", "*", "*")]).replace(',', &format!(",{}", " ".repeat(3000)));
    assert!(compile(&[&text]).allows(Action::Connect, "a"));
}

#[test]
fn what_is_not_known_in_a_document_in_use_never_allows() {
    let (scope, certificate) = (scope(), certificate());
    let context = ConnectionContext {
        scope: &scope,
        client_id: Some("lamp"),
        source_ip: None,
        thing: None,
        certificate: Some(&certificate),
    };
    let allow = Arc::new(PolicyDocument::parse(&document(&[statement("Allow", "iot:Connect", "*")])).unwrap());
    let in_use = |text: &str| {
        let documents = [allow.clone(), Arc::new(PolicyDocument::parse_in_use(text))];
        let policies = CompiledPolicies::compile(&documents, &context);
        (policies.allows(Action::Connect, "a"), policies.allows(Action::Publish, "a"))
    };
    let unknown = |effect: &str| {
        format!(
            r#"{{"Statement":{{"Effect":"{effect}","Action":"*","Resource":"*","Condition":{{"Newer":{{"a":"b"}}}}}}}}"#
        )
    };
    assert_eq!(in_use(&unknown("Allow")), (true, false));
    assert_eq!(in_use(&unknown("Deny")), (false, false));
    assert_eq!(in_use("{"), (false, false));
}

#[test]
fn the_things_name_is_the_client_id_unless_attached_exclusively() {
    use ThingPrincipalType::{ExclusiveThing, NonExclusiveThing};
    let (lamp, mut door) = (thing(), thing());
    door.name = ThingName::parse("door").unwrap();
    let name = |attached: &[(&Thing, ThingPrincipalType)], client_id| {
        connection_thing(attached.iter().copied(), client_id).map(|thing| thing.name.as_str().to_owned())
    };
    let shared = [(&lamp, NonExclusiveThing), (&door, NonExclusiveThing)];
    assert_eq!(name(&shared, Some("door")).as_deref(), Some("door"));
    assert_eq!(name(&shared, Some("window")), None);
    assert_eq!(name(&shared, None), None);
    assert_eq!(name(&[(&lamp, ExclusiveThing)], Some("window")).as_deref(), Some("lamp"));
}

/// The definition of a match, tried in every way.
fn naive_matches(pattern: &[char], text: &[char]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (Some('*'), _) => {
            naive_matches(&pattern[1..], text) || (!text.is_empty() && naive_matches(pattern, &text[1..]))
        }
        (Some('?'), Some(_)) => naive_matches(&pattern[1..], &text[1..]),
        (Some(expected), Some(found)) => expected == found && naive_matches(&pattern[1..], &text[1..]),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

proptest! {
    /// Any set of statements answers as the definition: some statement allows, and none denies.
    #[test]
    fn answers_as_defined(
        statements in prop::collection::vec((any::<bool>(), 0usize..5, "(topic/|topicfilter/|client/|\\*|t\\*)[ab*?/+#]{0,4}"), 0..5),
        action in 0usize..5,
        asked in "[ab/+#]{0,6}",
    ) {
        let action = Action::ALL[action];
        let texts: Vec<_> = statements
            .iter()
            .map(|(allow, of, resource)| {
                let effect = if *allow { "Allow" } else { "Deny" };
                let resource = if resource == "*" { "**" } else { resource };
                statement(effect, Action::ALL[*of].as_str(), resource)
            })
            .collect();
        let whole: Vec<char> = format!("{}{asked}", action.resource_prefix()).chars().collect();
        let is_about = |allow: bool| {
            statements.iter().any(|(allows, of, resource)| {
                let pattern: Vec<char> = resource.chars().collect();
                *allows == allow && Action::ALL[*of] == action && naive_matches(&pattern, &whole)
            })
        };
        let policies = if texts.is_empty() { compile(&[]) } else { compile(&[&document(&texts)]) };
        prop_assert_eq!(policies.allows(action, &asked), is_about(true) && !is_about(false));
    }

    /// No text makes the reader panic, and what it takes can be asked.
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*", resource in "(arn:aws:iot:\\*:\\*:topic/)?(\\PC|\\$\\{iot:ClientId\\}){0,20}") {
        let _ = PolicyDocument::parse(&text);
        let escaped = serde_json::to_string(&resource).unwrap();
        let text = format!(r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"*","Resource":{escaped}}}}}"#);
        if PolicyDocument::parse(&text).is_ok() {
            compile(&[&text]).allows(Action::Publish, &resource);
        }
    }
}
