//! Topics and subscriptions, from request to response, and the links in messages.

use komainu_model::{Delivery, NotificationKind, SubscriptionToken, Timestamp};
use komainu_ports::Store;

use crate::client::{Answer, Ask};
use crate::world::{NOW_S, World};

const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:alarms";
const ENCODED_TOPIC: &str = "arn%3Aaws%3Asns%3Aeu-west-1%3A123456789012%3Aalarms";

async fn call(world: &World, form: &str) -> Answer {
    world.ask(&Ask::form(&format!("{form}&Version=2010-03-31")).signed("sns")).await
}

async fn done(world: &World, form: &str) -> String {
    let answer = call(world, form).await;
    assert_eq!(answer.status, 200, "{form}: {answer:?}");
    answer.body
}

async fn refused(world: &World, form: &str) -> (u16, String) {
    let answer = call(world, form).await;
    (answer.status, answer.code())
}

/// The text of the first element of this name.
fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let (_, after) = xml.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {xml}"));
    after.split_once(&format!("</{name}>")).unwrap().0
}

/// A world with the topic `alarms` and a subscription that waits; and the token in the message that asks.
async fn with_subscription(protocol: &str, endpoint: &str) -> (World, SubscriptionToken) {
    let world = World::new();
    assert_eq!(element(&done(&world, "Action=CreateTopic&Name=alarms").await, "TopicArn"), TOPIC);
    let form = format!("Action=Subscribe&TopicArn={ENCODED_TOPIC}&Protocol={protocol}&Endpoint={endpoint}");
    assert_eq!(element(&done(&world, &form).await, "SubscriptionArn"), "pending confirmation");
    let token = match &outbox(&world)[0].notification.kind {
        NotificationKind::SubscriptionConfirmation { token, .. } => token.clone(),
        other => panic!("{other:?}"),
    };
    (world, token)
}

fn outbox(world: &World) -> Vec<Delivery> {
    world.store.deliveries_due(Timestamp::from_unix_seconds(NOW_S + 10), 100).unwrap()
}

async fn follow(world: &World, target: &str, accept: &str) -> Answer {
    world.ask(&Ask::new("GET", target, b"").header("accept", accept)).await
}

fn confirm_link(token: &SubscriptionToken) -> String {
    format!("/?Action=ConfirmSubscription&TopicArn={ENCODED_TOPIC}&Token={}", token.as_str())
}

#[tokio::test]
async fn a_person_confirms_and_leaves_by_the_links() {
    let (world, token) = with_subscription("email", "ops%40example.com").await;
    let list = format!("Action=ListSubscriptionsByTopic&TopicArn={ENCODED_TOPIC}");
    assert_eq!(element(&done(&world, &list).await, "SubscriptionArn"), "PendingConfirmation");

    let page = follow(&world, &confirm_link(&token), "text/html,*/*").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.body.contains("<h1>Subscription confirmed</h1>"), "{}", page.body);
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    let arn = element(&done(&world, &list).await, "SubscriptionArn").to_owned();
    assert!(arn.starts_with(&format!("{TOPIC}:")), "{arn}");

    let published = done(&world, &format!("Action=Publish&TopicArn={ENCODED_TOPIC}&Message=hello&Subject=s")).await;
    let sent =
        outbox(&world).into_iter().find(|sent| matches!(sent.notification.kind, NotificationKind::Message { .. }));
    let sent = sent.expect("the message is in the outbox");
    assert_eq!(element(&published, "MessageId"), &*sent.notification.message_id);
    assert_eq!(sent.endpoint, "ops@example.com");

    let leave = format!("/?Action=Unsubscribe&SubscriptionArn={}&Token={}", arn.replace(':', "%3A"), token.as_str());
    let answer = follow(&world, &leave, "*/*").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/xml")));
    assert!(answer.body.starts_with("<UnsubscribeResponse xmlns="), "{}", answer.body);
    assert_eq!(element(&done(&world, &list).await, "SubscriptionArn"), "PendingConfirmation");
    let farewells = outbox(&world);
    let is_farewell =
        |sent: &&Delivery| matches!(sent.notification.kind, NotificationKind::UnsubscribeConfirmation { .. });
    assert_eq!(farewells.iter().filter(is_farewell).count(), 1);
    // And back again; mail programs may also leave with one click.
    assert_eq!(follow(&world, &confirm_link(&token), "text/html").await.status, 200);
    let one_click = world.ask(&Ask::new("POST", &leave, b"List-Unsubscribe=One-Click")).await;
    assert_eq!(one_click.status, 200);
    assert_eq!(element(&done(&world, &list).await, "SubscriptionArn"), "PendingConfirmation");
}

#[tokio::test]
async fn a_program_confirms_without_and_with_a_signature() {
    let (world, token) = with_subscription("https", "https%3A%2F%2Fexample.com%2Fhook").await;
    let answer = follow(&world, &confirm_link(&token), "*/*").await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.body.starts_with("<ConfirmSubscriptionResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\">")
    );
    let arn = element(&answer.body, "SubscriptionArn").to_owned();
    assert_eq!(answer.header("x-amzn-requestid"), Some(element(&answer.body, "RequestId")));

    let form = format!(
        "Action=ConfirmSubscription&TopicArn={ENCODED_TOPIC}&Token={}&AuthenticateOnUnsubscribe=true",
        token.as_str()
    );
    assert_eq!(element(&done(&world, &form).await, "SubscriptionArn"), arn);
    // From now on a link does not end it, and an operator does.
    let leave = format!("/?Action=Unsubscribe&SubscriptionArn={arn}&Token={}", token.as_str());
    let answer = follow(&world, &leave, "*/*").await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "authorizationerror"));
    let answer = follow(&world, &leave, "text/html").await;
    assert!(answer.status == 403 && answer.body.contains("This link does not work"), "{answer:?}");
    done(&world, &format!("Action=Unsubscribe&SubscriptionArn={arn}")).await;
    assert!(!done(&world, "Action=ListSubscriptions").await.contains("<member>"));
}

#[tokio::test]
async fn links_that_are_not_ours_do_nothing() {
    let (world, token) = with_subscription("email", "ops%40example.com").await;
    let other = "f".repeat(64);
    let check = async |target: &str, status: u16, code: &str| {
        let answer = follow(&world, target, "*/*").await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{target}");
    };
    let topic = ENCODED_TOPIC;
    check(&format!("/?Action=ConfirmSubscription&TopicArn={topic}&Token={other}"), 400, "invalidparameter").await;
    check(&format!("/?Action=ConfirmSubscription&TopicArn={topic}&Token=x"), 400, "invalidparameter").await;
    check(&format!("/?Action=ConfirmSubscription&TopicArn={topic}"), 400, "invalidparameter").await;
    check(&format!("/?Action=ConfirmSubscription&Token={other}"), 400, "invalidparameter").await;
    check(&format!("{}&AuthenticateOnUnsubscribe=true", confirm_link(&token)), 403, "authorizationerror").await;
    let foreign = confirm_link(&token).replace("123456789012", "999999999999");
    check(&foreign, 404, "notfound").await;
    let elsewhere = confirm_link(&token).replace("eu-west-1", "us-east-1");
    check(&elsewhere, 404, "notfound").await;
    let subscription = format!("{TOPIC}:00000000-0000-4000-8000-000000000000");
    check(&format!("/?Action=Unsubscribe&SubscriptionArn={subscription}&Token={other}"), 404, "notfound").await;
    // What is not made for links needs a signature.
    assert_eq!(follow(&world, "/?Action=DeleteTopic&TopicArn=x", "*/*").await.status, 200);
    let answer = world.ask(&Ask::form(&format!("Action=DeleteTopic&TopicArn={topic}"))).await;
    assert_eq!(answer.code(), "missingauthenticationtoken");
    assert!(done(&world, "Action=ListTopics").await.contains(TOPIC));
    // Hostile text is shown as text.
    let page = follow(&world, "/?Action=ConfirmSubscription&TopicArn=%3Cscript%3E&Token=x", "text/html").await;
    assert!(!page.body.contains("<script>"), "{}", page.body);
}

#[tokio::test]
async fn the_pages_behind_links_speak_as_a_browser_asks() {
    let (world, token) = with_subscription("email", "ops%40example.com").await;
    let ask = async |target: &str, language: &str| {
        let asked = Ask::new("GET", target, b"").header("accept", "text/html").header("accept-language", language);
        world.ask(&asked).await
    };
    let check = |page: &Answer, language: &str, has: &str| {
        assert_eq!(page.header("content-language"), Some(language));
        let html = format!("<html lang=\"{language}\">");
        assert!(page.body.contains(&html) && page.body.contains(has), "{}", page.body);
    };
    let broken = confirm_link(&token).replace("Token=", "Token=x");
    check(&ask(&broken, "ja").await, "ja", "このリンクは使えません");
    check(&ask(&broken, "fr").await, "en", "This link does not work");
    check(&ask(&confirm_link(&token), "ja,en;q=0.5").await, "ja", "購読を確認しました");
}

#[tokio::test]
async fn errors_have_the_names_of_sns() {
    let (world, _) = with_subscription("email", "ops%40example.com").await;
    let nowhere = format!("{ENCODED_TOPIC}2");
    let check = async |form: &str, status: u16, code: &str| {
        assert_eq!(refused(&world, form).await, (status, code.to_owned()), "{form}");
    };
    let topic = ENCODED_TOPIC;
    check(&format!("Action=Publish&TopicArn={nowhere}&Message=x"), 404, "notfound").await;
    check(&format!("Action=Publish&TopicArn={topic}&Message="), 400, "invalidparameter").await;
    check("Action=Publish&PhoneNumber=1&Message=x", 400, "invalidparameter").await;
    check("Action=Publish&Message=x", 400, "invalidparameter").await;
    check("Action=CreateTopic&Name=a%20b", 400, "invalidparameter").await;
    check("Action=CreateTopic&Name=a.fifo", 400, "invalidparameter").await;
    check(&format!("Action=Subscribe&TopicArn={topic}&Protocol=sms&Endpoint=1"), 400, "invalidparameter").await;
    check(&format!("Action=Subscribe&TopicArn={topic}&Protocol=email"), 400, "invalidparameter").await;
    check(&format!("Action=ListTagsForResource&ResourceArn={nowhere}"), 404, "resourcenotfound").await;
    check(&format!("Action=PublishBatch&TopicArn={topic}&PublishBatchRequestEntries="), 400, "emptybatchrequest").await;
    let entry = "PublishBatchRequestEntries.member.1.Id=a%20b&PublishBatchRequestEntries.member.1.Message=x";
    check(&format!("Action=PublishBatch&TopicArn={topic}&{entry}"), 400, "invalidbatchentryid").await;
    check("Action=ListTopics&NextToken=%21", 400, "invalidparameter").await;
    check("Action=GetSubscriptionAttributes&SubscriptionArn=x", 400, "invalidparameter").await;
}

#[tokio::test]
async fn attributes_tags_and_batches() {
    let (world, _) = with_subscription("email", "ops%40example.com").await;
    let topic = ENCODED_TOPIC;
    done(&world, &format!("Action=SetTopicAttributes&TopicArn={topic}&AttributeName=DisplayName&AttributeValue=Fleet"))
        .await;
    let shown = done(&world, &format!("Action=GetTopicAttributes&TopicArn={topic}")).await;
    assert!(shown.contains("<entry><key>DisplayName</key><value>Fleet</value></entry>"), "{shown}");
    assert!(shown.contains("<entry><key>SubscriptionsPending</key><value>1</value></entry>"), "{shown}");

    done(&world, &format!("Action=TagResource&ResourceArn={topic}&Tags.member.1.Key=k&Tags.member.1.Value=v")).await;
    let tags = done(&world, &format!("Action=ListTagsForResource&ResourceArn={topic}")).await;
    assert!(tags.contains("<Tags><member><Key>k</Key><Value>v</Value></member></Tags>"), "{tags}");
    done(&world, &format!("Action=UntagResource&ResourceArn={topic}&TagKeys.member.1=k")).await;

    let entry = |n: u32, rest: &str| {
        format!("&PublishBatchRequestEntries.member.{n}.Id=e{n}&PublishBatchRequestEntries.member.{n}.{rest}")
    };
    let form = format!("Action=PublishBatch&TopicArn={topic}{}{}", entry(1, "Message=x"), entry(2, "Message="));
    let outcome = done(&world, &form).await;
    assert_eq!(element(element(&outcome, "Successful"), "Id"), "e1");
    let failed = element(&outcome, "Failed");
    assert_eq!((element(failed, "Id"), element(failed, "Code")), ("e2", "InvalidParameter"));
    assert_eq!(element(failed, "SenderFault"), "true");

    done(&world, &format!("Action=DeleteTopic&TopicArn={topic}")).await;
    assert_eq!(refused(&world, &format!("Action=GetTopicAttributes&TopicArn={topic}")).await.1, "notfound");
}

#[tokio::test]
async fn the_signing_certificate_is_found_under_its_name_only() {
    let world = World::new();
    let pem = "-----BEGIN CERTIFICATE-----\n";
    let sha256 = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, pem.as_bytes()));
    let found = follow(&world, &format!("/SimpleNotificationService-{sha256}.pem"), "*/*").await;
    assert_eq!((found.status, found.body.as_str()), (200, pem));
    assert_eq!(found.header("content-type"), Some("application/x-pem-file"));
    let other = follow(&world, &format!("/SimpleNotificationService-{}.pem", "0".repeat(64)), "*/*").await;
    assert_ne!(other.status, 200);
}
