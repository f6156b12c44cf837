//! The links in messages: confirming and ending a subscription without a signature. The token in the link is the right.
//!
//! People see a small page, programs get SNS's XML. A GET changes state here, as it does at SNS: the links are what
//! mail programs, `curl` and SNS's subscribers know. That mail filters follow links is met by the last message of a
//! subscription that was ended by a link: it carries the way back.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue,
    REFERRER_POLICY,
};
use hyper::{Method, Request, Response, StatusCode};
use komainu_aws::{Output, Service, parse_query, query_response, sns};
use komainu_model::{Arn, Language, Region, Scope};
use komainu_respond::Unsubscriber;
use komainu_texts::Texts;
use maud::{DOCTYPE, PreEscaped, html};
use tracing::{info, warn};

use crate::Api;
use crate::error::{ApiError, ErrorKind};
use crate::request::respond;

/// What a link did.
struct Followed {
    did: Did,
    /// The members of SNS's result.
    result: Option<String>,
    /// The name of the topic, for people.
    topic: String,
    /// The subscription.
    arn: Arn,
}

#[derive(Clone, Copy)]
enum Did {
    Confirm,
    Unsubscribe,
}

impl Did {
    /// SNS's name for it.
    fn operation(self) -> &'static str {
        match self {
            Self::Confirm => "ConfirmSubscription",
            Self::Unsubscribe => "Unsubscribe",
        }
    }
}

/// What a page says: its title and its sentences.
struct Said {
    title: &'static str,
    text: String,
}

impl Followed {
    /// What people are told.
    fn said(&self, language: Language) -> Said {
        let (texts, topic) = (Texts::of(language), [("topic", self.topic.as_str())]);
        match self.did {
            Did::Confirm => {
                Said { title: texts.text("link.confirmed"), text: texts.filled("link.confirmed-text", &topic) }
            }
            Did::Unsubscribe => {
                Said { title: texts.text("link.unsubscribed"), text: texts.filled("link.unsubscribed-text", &topic) }
            }
        }
    }
}

/// What people are told about a link that does not work: what they can do. Why exactly stands in the log.
fn refused(language: Language, status: StatusCode) -> Said {
    let texts = Texts::of(language);
    let text = match status {
        StatusCode::NOT_FOUND => texts.text("link.refused-gone"),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => texts.text("link.refused-signature"),
        StatusCode::TOO_MANY_REQUESTS => texts.text("link.refused-later"),
        other if other.is_server_error() => texts.text("link.refused-later"),
        _ => texts.text("link.refused-incomplete"),
    };
    Said { title: texts.text("link.refused"), text: text.to_owned() }
}

/// Does what a link asks for, by the form in its query string.
type Follow = fn(&Api, &[(String, String)]) -> Result<Followed, ApiError>;

/// Answers a request for a link of ours; `None` when it is not one.
pub(crate) async fn answer<B>(api: &Arc<Api>, request: &Request<B>, request_id: &str) -> Option<Response<Full<Bytes>>> {
    // The one-click unsubscription of mail programs is a POST to the same link (RFC 8058).
    let is_link = matches!(*request.method(), Method::GET | Method::POST) && request.uri().path() == "/";
    let form = parse_query(request.uri().query().filter(|_| is_link)?)?;
    let action = value(&form, "Action").ok()?;
    let follow: Follow = match action {
        "ConfirmSubscription" => confirm,
        "Unsubscribe" => unsubscribe,
        _ => return None,
    };
    let done = {
        let api = api.clone();
        tokio::task::spawn_blocking(move || follow(&api, &form)).await
    };
    let followed = done.unwrap_or_else(|error| Err(ApiError::internal(error)));
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let is_browser = accept.is_some_and(|accept| accept.contains("text/html"));
    let wished = request.headers().get(ACCEPT_LANGUAGE).and_then(|wish| wish.to_str().ok());
    let language = komainu_texts::wished(wished.unwrap_or_default());
    Some(match &followed {
        Ok(followed) => {
            info!(operation = followed.did.operation(), subscription = %followed.arn, request_id, "link followed");
            if is_browser {
                page(StatusCode::OK, language, &followed.said(language))
            } else {
                xml(followed, request_id)
            }
        }
        Err(error) => {
            let (code, status) = error.code_and_status(Service::Sns);
            warn!(code, cause = error.message, request_id, "link refused");
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            if is_browser {
                page(status, language, &refused(language, status))
            } else {
                let is_sender_fault = status.is_client_error();
                let namespace = Service::Sns.xml_namespace();
                let body = komainu_aws::error::query(namespace, code, &error.message, is_sender_fault, request_id);
                protected(respond(status, "text/xml", body))
            }
        }
    })
}

fn confirm(api: &Api, form: &[(String, String)]) -> Result<Followed, ApiError> {
    let topic = super::topic_arn(value(form, "TopicArn")?)?;
    let token = super::token(value(form, "Token")?)?;
    if form.iter().any(|(name, value)| name == "AuthenticateOnUnsubscribe" && value == "true") {
        let reason = "AuthenticateOnUnsubscribe needs a signed request.";
        return Err(ApiError::new(ErrorKind::Unauthorized, reason));
    }
    let scope = scope_of(api, &topic)?;
    let arn =
        api.control.decide(&scope, |view| Ok::<_, ApiError>(view.topics.confirm(&topic, &token, false, view.now)?))?;
    let output = sns::ConfirmSubscriptionResponse { subscription_arn: Some(arn.to_string()) };
    Ok(Followed { did: Did::Confirm, result: output.write(), topic: topic.resource().to_owned(), arn })
}

fn unsubscribe(api: &Api, form: &[(String, String)]) -> Result<Followed, ApiError> {
    let arn = super::subscription(value(form, "SubscriptionArn")?)?;
    let by = Unsubscriber::Link { token: super::token(value(form, "Token")?)?, message_id: api.ids.uuid().into() };
    let scope = scope_of(api, &arn)?;
    api.control.decide(&scope, |view| Ok::<_, ApiError>(((), view.topics.unsubscribe(&arn, by, view.now)?)))?;
    let topic = arn.resource().split(':').next().unwrap_or_default();
    Ok(Followed { did: Did::Unsubscribe, result: None, topic: topic.to_owned(), arn })
}

/// The scope that a link's ARN is of. Only the installation's own account has topics.
fn scope_of(api: &Api, arn: &Arn) -> Result<Scope, ApiError> {
    let not_found = || ApiError::not_found("Topic does not exist");
    if arn.account() != api.control.account().as_str() {
        return Err(not_found());
    }
    let region = Region::parse(arn.region()).map_err(|_| not_found())?;
    Ok(Scope { account: api.control.account().clone(), region })
}

fn value<'a>(form: &'a [(String, String)], name: &str) -> Result<&'a str, ApiError> {
    let found = form.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
    found.ok_or_else(|| super::invalid(name, "it is missing"))
}

fn xml(followed: &Followed, request_id: &str) -> Response<Full<Bytes>> {
    let namespace = Service::Sns.xml_namespace();
    let body = query_response(namespace, followed.did.operation(), followed.result.as_deref(), request_id);
    protected(respond(StatusCode::OK, "text/xml", body))
}

const STYLE: &str = "
:root { color-scheme: light dark; --page: #f2f4f7; --card: #fff; --rule: #dde2e9; --ink: #161d27; --soft: #47525f; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14171c; --card: #1e232b; --rule: #333b47; --ink: #eef1f5; --soft: #a9b4c2; }
}
body { margin: 0; background: var(--page); font: 16px/1.55 -apple-system, 'Segoe UI', Roboto, Arial, sans-serif; }
main { max-width: 520px; margin: 12vh auto 0; padding: 28px 32px 30px; background: var(--card); color: var(--soft);
  border: 1px solid var(--rule); border-radius: 12px; overflow-wrap: anywhere; }
b { font-size: 13px; letter-spacing: .08em; }
h1 { margin: 14px 0 8px; color: var(--ink); font-size: 23px; line-height: 1.3; }
p { margin: 0; }
@media (max-width: 560px) { main { margin: 16px; padding: 22px; } }
";

/// A page for people, in their language.
fn page(status: StatusCode, language: Language, said: &Said) -> Response<Full<Bytes>> {
    let page = html! {
        (DOCTYPE)
        html lang=(language.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (said.title) " · Komainu" }
                style { (PreEscaped(STYLE)) }
            }
            body { main { b { "KOMAINU" } h1 { (said.title) } p { (said.text) } } }
        }
    };
    let mut response = protected(respond(status, "text/html; charset=utf-8", page.into_string()));
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response.headers_mut().insert(CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
    response
}

/// The link is a secret: it is not kept in caches and not told to others.
fn protected(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    response
}
