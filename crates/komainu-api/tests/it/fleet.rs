//! Things, groups, certificates and policies, from request to response.

use serde_json::{Value, json};

use crate::client::{Answer, Ask};
use crate::world::{NOW_S, World};

const SCOPE: &str = "arn:aws:iot:eu-west-1:123456789012";
/// A P-256 certificate that signed itself.
const CERTIFICATE: &str = include_str!("../data/lamp.cert.pem");
const CERTIFICATE_ID: &str = "105658f8c8798250485a6ca96361b5ef4856d7b5d1ffef6486a25d8ac883b96c";
const DOCUMENT: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}"#;

async fn call(world: &World, method: &str, target: &str, body: Value) -> Answer {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    world.ask(&Ask::new(method, target, &body).signed("iot")).await
}

async fn call_with_principal(world: &World, method: &str, target: &str, principal: &str) -> Answer {
    world.ask(&Ask::new(method, target, b"").header("x-amzn-principal", principal).signed("iot")).await
}

/// The answer's JSON, `null` for an empty body.
fn json_of(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    if answer.body.is_empty() { Value::Null } else { answer.json() }
}

async fn done(world: &World, method: &str, target: &str, body: Value) -> Value {
    json_of(&call(world, method, target, body).await)
}

async fn refused(world: &World, method: &str, target: &str, body: Value) -> (u16, String) {
    let answer = call(world, method, target, body).await;
    (answer.status, answer.code())
}

fn error(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn certificate_arn() -> String {
    format!("{SCOPE}:cert/{CERTIFICATE_ID}")
}

/// What stands in the path for a target's ARN.
fn encoded(arn: &str) -> String {
    percent_encoding::percent_encode(arn.as_bytes(), percent_encoding::NON_ALPHANUMERIC).to_string()
}

async fn register(world: &World) {
    let input = json!({"certificatePem": CERTIFICATE, "status": "ACTIVE"});
    let made = done(world, "POST", "/certificate/register-no-ca", input).await;
    assert_eq!(made, json!({"certificateArn": certificate_arn(), "certificateId": CERTIFICATE_ID}));
}

#[tokio::test]
async fn a_thing_lives() {
    let world = World::new();
    let input = json!({"attributePayload": {"attributes": {"site": "ulm"}}});
    let made = done(&world, "POST", "/things/lamp", input.clone()).await;
    let id = made["thingId"].as_str().unwrap().to_owned();
    let arn = format!("{SCOPE}:thing/lamp");
    assert_eq!(made, json!({"thingName": "lamp", "thingArn": arn, "thingId": id}));
    assert_eq!(done(&world, "POST", "/things/lamp", input).await["thingId"], id, "the same again");
    let other = call(&world, "POST", "/things/lamp", json!({})).await;
    assert_eq!((other.status, other.code()), error(409, "resourcealreadyexistsexception"));
    assert_eq!((&other.json()["resourceId"], &other.json()["resourceArn"]), (&json!(id), &json!(arn)));

    let update = json!({"attributePayload": {"attributes": {"room": "3"}, "merge": true}, "expectedVersion": 1});
    assert_eq!(done(&world, "PATCH", "/things/lamp", update.clone()).await, json!({}));
    assert_eq!(refused(&world, "PATCH", "/things/lamp", update).await, error(409, "versionconflictexception"));
    let expected = json!({"thingName": "lamp", "thingArn": arn, "thingId": id, "defaultClientId": "lamp",
        "attributes": {"site": "ulm", "room": "3"}, "version": 2});
    assert_eq!(done(&world, "GET", "/things/lamp", Value::Null).await, expected);

    let invalid = error(400, "invalidrequestexception");
    for input in [
        json!({"billingGroupName": "b"}),
        json!({"thingTypeName": "no type's name"}),
        json!({"attributePayload": {"attributes": {"a b": "c"}}}),
    ] {
        assert_eq!(refused(&world, "POST", "/things/door", input.clone()).await, invalid, "{input}");
    }
    assert_eq!(refused(&world, "POST", "/things/a%20b", json!({})).await, invalid);
    let unknown_type = json!({"thingTypeName": "Bulb"});
    assert_eq!(refused(&world, "POST", "/things/door", unknown_type).await, error(404, "resourcenotfoundexception"));

    let wrong_version = refused(&world, "DELETE", "/things/lamp?expectedVersion=1", Value::Null).await;
    assert_eq!(wrong_version, error(409, "versionconflictexception"));
    for _ in 0..2 {
        assert_eq!(done(&world, "DELETE", "/things/lamp", Value::Null).await, json!({}));
    }
    assert_eq!(refused(&world, "GET", "/things/lamp", Value::Null).await, error(404, "resourcenotfoundexception"));
}

#[tokio::test]
async fn things_come_in_pages() {
    let world = World::new();
    done(&world, "POST", "/thing-types/Bulb", json!({})).await;
    for (name, input) in [
        ("c", json!({"thingTypeName": "Bulb"})),
        ("a", json!({"attributePayload": {"attributes": {"site": "ulm-1"}}})),
        ("b", json!({})),
    ] {
        done(&world, "POST", &format!("/things/{name}"), input).await;
    }
    let names = |page: &Value| {
        page["things"].as_array().unwrap().iter().map(|thing| thing["thingName"].clone()).collect::<Vec<_>>()
    };
    let first = done(&world, "GET", "/things?maxResults=2", Value::Null).await;
    assert_eq!(names(&first), ["a", "b"]);
    let expected = json!({"thingName": "a", "thingArn": format!("{SCOPE}:thing/a"), "attributes": {"site": "ulm-1"},
        "version": 1});
    assert_eq!(first["things"][0], expected);
    let token = first["nextToken"].as_str().unwrap();
    // The list may change between two pages.
    done(&world, "DELETE", "/things/b", Value::Null).await;
    let second = done(&world, "GET", &format!("/things?maxResults=2&nextToken={token}"), Value::Null).await;
    assert_eq!((names(&second), second.get("nextToken")), (vec![json!("c")], None));
    let by_type = done(&world, "GET", "/things?thingTypeName=Bulb", Value::Null).await;
    assert_eq!(names(&by_type), ["c"]);
    let by_value = "/things?attributeName=site&attributeValue=ulm&usePrefixAttributeValue=true";
    assert_eq!(names(&done(&world, "GET", by_value, Value::Null).await), ["a"]);
    for wrong in ["maxResults=0", "maxResults=251", "nextToken=%3F"] {
        let refusal = refused(&world, "GET", &format!("/things?{wrong}"), Value::Null).await;
        assert_eq!(refusal, error(400, "invalidrequestexception"), "{wrong}");
    }
}

#[tokio::test]
async fn a_thing_type_lives() {
    let world = World::new();
    let properties = json!({"thingTypeDescription": "Lamps", "searchableAttributes": ["site"]});
    let made = done(&world, "POST", "/thing-types/Bulb", json!({"thingTypeProperties": properties})).await;
    let arn = format!("{SCOPE}:thingtype/Bulb");
    assert_eq!((&made["thingTypeName"], &made["thingTypeArn"]), (&json!("Bulb"), &json!(arn)));
    assert_eq!(done(&world, "POST", "/thing-types/Bulb/deprecate", json!({})).await, json!({}));
    let expected = json!({"thingTypeName": "Bulb", "thingTypeArn": arn, "thingTypeId": made["thingTypeId"],
        "thingTypeProperties": properties,
        "thingTypeMetadata": {"deprecated": true, "deprecationDate": NOW_S as f64, "creationDate": NOW_S as f64}});
    assert_eq!(done(&world, "GET", "/thing-types/Bulb", Value::Null).await, expected);
    let deprecated = refused(&world, "POST", "/things/lamp", json!({"thingTypeName": "Bulb"})).await;
    assert_eq!(deprecated, error(400, "invalidrequestexception"));
    done(&world, "POST", "/thing-types/Bulb/deprecate", json!({"undoDeprecate": true})).await;
    done(&world, "PATCH", "/thing-types/Bulb", json!({"thingTypeProperties": {"thingTypeDescription": "x"}})).await;
    let listed = done(&world, "GET", "/thing-types?thingTypeName=Bulb", Value::Null).await;
    assert_eq!(listed["thingTypes"][0]["thingTypeProperties"]["thingTypeDescription"], "x");
    let too_early = refused(&world, "DELETE", "/thing-types/Bulb", Value::Null).await;
    assert_eq!(too_early, error(400, "invalidrequestexception"));
}

#[tokio::test]
async fn groups_hold_things_and_are_judged() {
    let world = World::new();
    let parent = done(&world, "POST", "/thing-groups/all", json!({"tags": [{"Key": "k", "Value": "v"}]})).await;
    let arn = |name: &str| format!("{SCOPE}:thinggroup/{name}");
    assert_eq!((&parent["thingGroupName"], &parent["thingGroupArn"]), (&json!("all"), &json!(arn("all"))));
    let properties = json!({"thingGroupDescription": "d", "attributePayload": {"attributes": {"a": "b"}}});
    let input = json!({"parentGroupName": "all", "thingGroupProperties": properties});
    let made = done(&world, "POST", "/thing-groups/lamps", input).await;
    let expected = json!({"thingGroupName": "lamps", "thingGroupArn": arn("lamps"),
        "thingGroupId": made["thingGroupId"], "version": 1, "thingGroupProperties": properties,
        "thingGroupMetadata": {"creationDate": NOW_S as f64, "parentGroupName": "all",
            "rootToParentThingGroups": [{"groupName": "all", "groupArn": arn("all")}]}});
    assert_eq!(done(&world, "GET", "/thing-groups/lamps", Value::Null).await, expected);
    let update = json!({"thingGroupProperties": {"thingGroupDescription": "e"}, "expectedVersion": 1});
    assert_eq!(done(&world, "PATCH", "/thing-groups/lamps", update).await, json!({"version": 2}));

    done(&world, "POST", "/things/lamp", json!({})).await;
    let by_arn = json!({"thingGroupArn": arn("lamps"), "thingArn": format!("{SCOPE}:thing/lamp")});
    assert_eq!(done(&world, "PUT", "/thing-groups/addThingToThingGroup", by_arn).await, json!({}));
    for wrong in [
        json!({"thingGroupName": "lamps"}),
        json!({"thingGroupName": "lamps", "thingArn": "arn:aws:iot:us-east-1:123456789012:thing/lamp"}),
        json!({"thingGroupName": "all", "thingGroupArn": arn("lamps"), "thingName": "lamp"}),
    ] {
        let refusal = refused(&world, "PUT", "/thing-groups/addThingToThingGroup", wrong.clone()).await;
        assert_eq!(refusal, error(400, "invalidrequestexception"), "{wrong}");
    }
    let group = |name: &str| json!({"groupName": name, "groupArn": arn(name)});
    let of_thing = done(&world, "GET", "/things/lamp/thing-groups", Value::Null).await;
    assert_eq!(of_thing, json!({"thingGroups": [group("lamps")]}));
    let all = "/thing-groups/all/things";
    assert_eq!(done(&world, "GET", all, Value::Null).await, json!({"things": []}));
    assert_eq!(done(&world, "GET", &format!("{all}?recursive=true"), Value::Null).await, json!({"things": ["lamp"]}));
    for (query, expected) in [
        ("", json!([group("all"), group("lamps")])),
        ("?parentGroup=all", json!([group("lamps")])),
        ("?recursive=false", json!([group("all")])),
        ("?namePrefixFilter=la", json!([group("lamps")])),
    ] {
        let listed = done(&world, "GET", &format!("/thing-groups{query}"), Value::Null).await;
        assert_eq!(listed, json!({"thingGroups": expected}), "{query}");
    }

    // A group that is deleted is no longer anybody's target.
    let behavior = json!({"name": "b", "metric": "aws:num-messages-sent", "criteria": {"comparisonOperator":
        "less-than", "value": {"count": 1}, "durationSeconds": 300}});
    done(&world, "POST", "/security-profiles/p", json!({"behaviors": [behavior]})).await;
    let target = encoded(&arn("lamps"));
    done(&world, "PUT", &format!("/security-profiles/p/targets?securityProfileTargetArn={target}"), Value::Null).await;
    let invalid = error(400, "invalidrequestexception");
    assert_eq!(refused(&world, "DELETE", "/thing-groups/all", Value::Null).await, invalid, "it has a child");
    assert_eq!(done(&world, "DELETE", "/thing-groups/lamps", Value::Null).await, json!({}));
    let targets = done(&world, "GET", "/security-profiles/p/targets", Value::Null).await;
    assert_eq!(targets["securityProfileTargets"], json!([]));
    assert_eq!(done(&world, "DELETE", "/thing-groups/all", Value::Null).await, json!({}));
}

#[tokio::test]
async fn a_thing_moves_between_groups() {
    let world = World::new();
    for path in ["/things/lamp", "/thing-groups/a", "/thing-groups/b"] {
        done(&world, "POST", path, json!({})).await;
    }
    let update = |add: &[&str], remove: &[&str]| json!({"thingName": "lamp", "thingGroupsToAdd": add, "thingGroupsToRemove": remove});
    let path = "/thing-groups/updateThingGroupsForThing";
    done(&world, "PUT", path, update(&["a"], &[])).await;
    let unknown = refused(&world, "PUT", path, update(&["none"], &["a"])).await;
    assert_eq!(unknown, error(404, "resourcenotfoundexception"));
    assert_eq!(done(&world, "GET", "/thing-groups/a/things", Value::Null).await, json!({"things": ["lamp"]}));
    done(&world, "PUT", path, update(&["b"], &["a"])).await;
    assert_eq!(done(&world, "GET", "/thing-groups/b/things", Value::Null).await, json!({"things": ["lamp"]}));
    let remove = json!({"thingGroupName": "b", "thingName": "lamp"});
    done(&world, "PUT", "/thing-groups/removeThingFromThingGroup", remove).await;
    let left = done(&world, "GET", "/things/lamp/thing-groups", Value::Null).await;
    assert_eq!(left, json!({"thingGroups": []}));
}

#[tokio::test]
async fn a_certificate_of_somebody_elses_authority_lives() {
    let world = World::new();
    register(&world).await;
    let input = json!({"certificatePem": CERTIFICATE});
    let again = call(&world, "POST", "/certificate/register-no-ca", input).await;
    assert_eq!((again.status, again.code()), error(409, "resourcealreadyexistsexception"));
    assert_eq!(again.json()["resourceArn"], certificate_arn());

    let path = format!("/certificates/{CERTIFICATE_ID}");
    let expected = json!({"certificateDescription": {"certificateArn": certificate_arn(),
        "certificateId": CERTIFICATE_ID, "certificateMode": "SNI_ONLY", "certificatePem": CERTIFICATE,
        "status": "ACTIVE", "ownedBy": "123456789012", "customerVersion": 1, "generationId": "1",
        "creationDate": NOW_S as f64, "lastModifiedDate": NOW_S as f64,
        "validity": {"notBefore": 1_795_408_837.0, "notAfter": 2_573_008_837.0}}});
    assert_eq!(done(&world, "GET", &path, Value::Null).await, expected);
    let listed = done(&world, "GET", "/certificates?pageSize=1", Value::Null).await;
    let expected = json!({"certificates": [{"certificateArn": certificate_arn(), "certificateId": CERTIFICATE_ID,
        "certificateMode": "SNI_ONLY", "status": "ACTIVE", "creationDate": NOW_S as f64}]});
    assert_eq!(listed, expected);

    let state = error(406, "certificatestateexception");
    assert_eq!(refused(&world, "DELETE", &path, Value::Null).await, state, "it is active");
    for status in ["PENDING_TRANSFER", "REGISTER_INACTIVE", "active"] {
        let refusal = refused(&world, "PUT", &format!("{path}?newStatus={status}"), Value::Null).await;
        assert_eq!(refusal, error(400, "invalidrequestexception"), "{status}");
    }
    done(&world, "PUT", &format!("{path}?newStatus=REVOKED"), Value::Null).await;
    assert_eq!(refused(&world, "PUT", &format!("{path}?newStatus=ACTIVE"), Value::Null).await, state);
    done(&world, "DELETE", &path, Value::Null).await;
    assert_eq!(refused(&world, "GET", &path, Value::Null).await, error(404, "resourcenotfoundexception"));
    assert_eq!(refused(&world, "GET", "/certificates/12", Value::Null).await, error(400, "invalidrequestexception"));
}

#[tokio::test]
async fn what_is_no_certificate_is_not_registered() {
    let world = World::new();
    let der_after = CERTIFICATE.replacen("MIIBrz", "MIIBrj", 1);
    for pem in [
        "",
        "no PEM",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n",
        &CERTIFICATE.repeat(2),
        &der_after,
        &"-".repeat(70_000),
    ] {
        let refusal = refused(&world, "POST", "/certificate/register-no-ca", json!({"certificatePem": pem})).await;
        assert_eq!(refusal, error(400, "certificatevalidationexception"), "{pem:.60}");
    }
}

#[tokio::test]
async fn a_certificate_is_registered_in_one_region() {
    let world = World::new();
    register(&world).await;
    let body = json!({"certificatePem": CERTIFICATE}).to_string();
    let ask = Ask::new("POST", "/certificate/register-no-ca", body.as_bytes());
    let answer = world.ask(&ask.for_region("us-east-1").signed("iot")).await;
    assert_eq!((answer.status, answer.code()), error(409, "resourcealreadyexistsexception"));
    assert_eq!(answer.json()["resourceArn"], certificate_arn());
}

#[tokio::test]
async fn a_certificate_speaks_for_things() {
    let world = World::new();
    register(&world).await;
    for name in ["lamp", "door"] {
        done(&world, "POST", &format!("/things/{name}"), json!({})).await;
    }
    let arn = certificate_arn();
    let attach = |thing: &str, query: &str| format!("/things/{thing}/principals{query}");
    let answer = call_with_principal(&world, "PUT", &attach("lamp", ""), &arn).await;
    assert_eq!(json_of(&answer), json!({}));
    let exclusive = attach("door", "?thingPrincipalType=EXCLUSIVE_THING");
    let answer = call_with_principal(&world, "PUT", &exclusive, &arn).await;
    assert_eq!((answer.status, answer.code()), error(400, "invalidrequestexception"));
    for (principal, expected) in [
        ("cognito:someone", error(400, "invalidrequestexception")),
        ("arn:aws:iot:us-east-1:123456789012:cert/00", error(400, "invalidrequestexception")),
        (&format!("{SCOPE}:cert/{}", "0".repeat(64)), error(404, "resourcenotfoundexception")),
    ] {
        let answer = call_with_principal(&world, "PUT", &attach("door", ""), principal).await;
        assert_eq!((answer.status, answer.code()), expected, "{principal}");
    }
    let of_thing = done(&world, "GET", "/things/lamp/principals", Value::Null).await;
    assert_eq!(of_thing, json!({"principals": [arn]}));
    let of_thing = done(&world, "GET", "/things/lamp/principals-v2", Value::Null).await;
    let expected = json!([{"principal": arn, "thingPrincipalType": "NON_EXCLUSIVE_THING"}]);
    assert_eq!(of_thing, json!({"thingPrincipalObjects": expected}));
    let of_principal = json_of(&call_with_principal(&world, "GET", "/principals/things", &arn).await);
    assert_eq!(of_principal, json!({"things": ["lamp"]}));
    let of_principal = json_of(&call_with_principal(&world, "GET", "/principals/things-v2", &arn).await);
    let expected = json!([{"thingName": "lamp", "thingPrincipalType": "NON_EXCLUSIVE_THING"}]);
    assert_eq!(of_principal, json!({"principalThingObjects": expected}));

    let invalid = error(400, "invalidrequestexception");
    assert_eq!(refused(&world, "DELETE", "/things/lamp", Value::Null).await, invalid);
    let path = format!("/certificates/{CERTIFICATE_ID}");
    done(&world, "PUT", &format!("{path}?newStatus=INACTIVE"), Value::Null).await;
    let conflict = refused(&world, "DELETE", &format!("{path}?forceDelete=true"), Value::Null).await;
    assert_eq!(conflict, error(409, "deleteconflictexception"));
    json_of(&call_with_principal(&world, "DELETE", &attach("lamp", ""), &arn).await);
    done(&world, "DELETE", "/things/lamp", Value::Null).await;
}

#[tokio::test]
async fn a_policy_lives() {
    let world = World::new();
    let arn = format!("{SCOPE}:policy/p");
    let made = done(&world, "POST", "/policies/p", json!({"policyDocument": DOCUMENT})).await;
    let expected = json!({"policyName": "p", "policyArn": arn, "policyDocument": DOCUMENT, "policyVersionId": "1"});
    assert_eq!(made, expected);
    let exists = error(409, "resourcealreadyexistsexception");
    assert_eq!(refused(&world, "POST", "/policies/p", json!({"policyDocument": DOCUMENT})).await, exists);
    let malformed = error(400, "malformedpolicyexception");
    assert_eq!(refused(&world, "POST", "/policies/q", json!({"policyDocument": "{}"})).await, malformed);
    let expected = json!({"policyName": "p", "policyArn": arn, "policyDocument": DOCUMENT, "defaultVersionId": "1",
        "generationId": "1", "creationDate": NOW_S as f64, "lastModifiedDate": NOW_S as f64});
    assert_eq!(done(&world, "GET", "/policies/p", Value::Null).await, expected);

    let versions = "/policies/p/version";
    let second = json!({"policyDocument": DOCUMENT});
    let made = done(&world, "POST", &format!("{versions}?setAsDefault=true"), second.clone()).await;
    let expected = json!({"policyArn": arn, "policyDocument": DOCUMENT, "policyVersionId": "2",
        "isDefaultVersion": true});
    assert_eq!(made, expected);
    let got = done(&world, "GET", &format!("{versions}/1"), Value::Null).await;
    assert_eq!((&got["policyVersionId"], &got["isDefaultVersion"]), (&json!("1"), &json!(false)));
    done(&world, "PATCH", &format!("{versions}/1"), Value::Null).await;
    let conflict = error(409, "deleteconflictexception");
    assert_eq!(refused(&world, "DELETE", &format!("{versions}/1"), Value::Null).await, conflict);
    assert_eq!(refused(&world, "DELETE", "/policies/p", Value::Null).await, conflict);
    for wrong in ["x", "%2B1", "4294967296"] {
        let refusal = refused(&world, "GET", &format!("{versions}/{wrong}"), Value::Null).await;
        assert_eq!(refusal, error(400, "invalidrequestexception"), "{wrong}");
    }
    for _ in 0..3 {
        done(&world, "POST", versions, second.clone()).await;
    }
    let limit = error(409, "versionslimitexceededexception");
    assert_eq!(refused(&world, "POST", versions, second).await, limit);
    let listed = done(&world, "GET", versions, Value::Null).await;
    let expected = json!({"versionId": "1", "isDefaultVersion": true, "createDate": NOW_S as f64});
    assert_eq!((listed["policyVersions"].as_array().unwrap().len(), &listed["policyVersions"][0]), (5, &expected));
    for number in 2..=5 {
        done(&world, "DELETE", &format!("{versions}/{number}"), Value::Null).await;
    }
    done(&world, "DELETE", "/policies/p", Value::Null).await;
    let not_found = error(404, "resourcenotfoundexception");
    assert_eq!(refused(&world, "GET", "/policies/p", Value::Null).await, not_found);
}

#[tokio::test]
async fn policies_are_attached_to_targets() {
    let world = World::new();
    register(&world).await;
    done(&world, "POST", "/thing-groups/lamps", json!({})).await;
    for name in ["p", "q"] {
        done(&world, "POST", &format!("/policies/{name}"), json!({"policyDocument": DOCUMENT})).await;
    }
    let group_arn = format!("{SCOPE}:thinggroup/lamps");
    let arn = certificate_arn();
    for (policy, target) in [("p", &arn), ("q", &arn), ("p", &group_arn)] {
        done(&world, "PUT", &format!("/target-policies/{policy}"), json!({"target": target})).await;
    }
    let policy = |name: &str| json!({"policyName": name, "policyArn": format!("{SCOPE}:policy/{name}")});
    let path = format!("/attached-policies/{}", encoded(&arn));
    let first = done(&world, "POST", &format!("{path}?pageSize=1"), Value::Null).await;
    assert_eq!(first["policies"], json!([policy("p")]));
    let marker = first["nextMarker"].as_str().unwrap();
    let second = done(&world, "POST", &format!("{path}?pageSize=1&marker={marker}"), Value::Null).await;
    assert_eq!(second, json!({"policies": [policy("q")]}));
    let first = done(&world, "POST", "/policy-targets/p?pageSize=1", Value::Null).await;
    assert_eq!(first["targets"], json!([arn]));
    let marker = first["nextMarker"].as_str().unwrap();
    let second = done(&world, "POST", &format!("/policy-targets/p?marker={marker}"), Value::Null).await;
    assert_eq!(second, json!({"targets": [group_arn]}));
    let policies = done(&world, "GET", "/policies?isAscendingOrder=true", Value::Null).await;
    assert_eq!(policies, json!({"policies": [policy("p"), policy("q")]}));

    done(&world, "POST", "/target-policies/q", json!({"target": arn})).await;
    let left = done(&world, "POST", &path, Value::Null).await;
    assert_eq!(left, json!({"policies": [policy("p")]}));
    let invalid = error(400, "invalidrequestexception");
    for target in [format!("{SCOPE}:thing/lamp"), "arn:aws:iot:us-east-1:123456789012:thinggroup/lamps".to_owned()] {
        let refusal = refused(&world, "PUT", "/target-policies/p", json!({"target": target})).await;
        assert_eq!(refusal, invalid, "{target}");
    }
}

#[tokio::test]
async fn resources_have_tags() {
    let world = World::new();
    done(&world, "POST", "/thing-groups/lamps", json!({"tags": [{"Key": "a", "Value": "1"}]})).await;
    let arn = format!("{SCOPE}:thinggroup/lamps");
    let tag = json!({"resourceArn": arn, "tags": [{"Key": "b", "Value": "2"}, {"Key": "c"}]});
    assert_eq!(done(&world, "POST", "/tags", tag).await, json!({}));
    assert_eq!(done(&world, "POST", "/untag", json!({"resourceArn": arn, "tagKeys": ["a"]})).await, json!({}));
    let listed = done(&world, "GET", &format!("/tags?resourceArn={}", encoded(&arn)), Value::Null).await;
    assert_eq!(listed, json!({"tags": [{"Key": "b", "Value": "2"}, {"Key": "c", "Value": ""}]}));
    let tag = |resource: &str| json!({"resourceArn": format!("{SCOPE}:{resource}"), "tags": [{"Key": "k"}]});
    let not_found = error(404, "resourcenotfoundexception");
    assert_eq!(refused(&world, "POST", "/tags", tag("policy/none")).await, not_found);
    let invalid = error(400, "invalidrequestexception");
    assert_eq!(refused(&world, "POST", "/tags", tag("thing/lamp")).await, invalid);
    let twice = json!({"resourceArn": arn, "tags": [{"Key": "k"}, {"Key": "k"}]});
    assert_eq!(refused(&world, "POST", "/tags", twice).await, invalid);
    let many: Vec<_> = (0..49).map(|number| json!({"Key": format!("k{number}")})).collect();
    let limit = error(410, "limitexceededexception");
    assert_eq!(refused(&world, "POST", "/tags", json!({"resourceArn": arn, "tags": many})).await, limit);
}

#[tokio::test]
async fn devices_are_told_one_host() {
    let world = World::new();
    let host = json!({"endpointAddress": "localhost"});
    for query in ["", "?endpointType=iot%3AData-ATS", "?endpointType=iot%3AData", "?endpointType=iot%3AJobs"] {
        assert_eq!(done(&world, "GET", &format!("/endpoint{query}"), Value::Null).await, host, "{query}");
    }
    let unknown = refused(&world, "GET", "/endpoint?endpointType=iot%3ADeviceAdvisor", Value::Null).await;
    assert_eq!(unknown, error(400, "invalidrequestexception"));
}
