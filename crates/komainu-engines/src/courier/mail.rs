//! A mail as it travels: headers and parts (RFC 5322, RFC 2045).

use std::time::{Duration, UNIX_EPOCH};

use komainu_model::{Delivery, Language, NotificationKind, Timestamp};
use lettre::Message;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder, MultiPart, SinglePart};

use super::letter::{Letter, html, text};
use super::links::Links;
use super::words::visible;

/// The sender's name when the topic has no display name.
const SENDER_NAME: &str = "Komainu";
/// The longest line that a mail may have, without its end (RFC 5322, 2.1.1).
const LINE_BYTES_MAX: usize = 998;

/// The mail of a delivery to a person.
pub(crate) fn of_letter(
    delivery: &Delivery,
    links: &Links,
    from: &Mailbox,
    language: Language,
) -> Result<Message, String> {
    let letter = Letter::of(delivery, links, language);
    let mut builder = envelope(delivery, &letter.subject, from)?;
    // RFC 3282. What publishers write may be in another language; the frame around it is ours.
    builder = builder.raw_header(header("Content-Language", language.tag()));
    if let Some(url) = &letter.unsubscribe {
        builder = builder.raw_header(url_header("List-Unsubscribe", url)?);
        // Mail programs then unsubscribe with a POST, which mail filters do not send (RFC 8058).
        if url.starts_with("https://") {
            builder = builder.raw_header(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"));
        }
    }
    if let Some(thread) = &letter.thread {
        builder = builder.references(format!("<{thread}@{}>", from.email.domain()));
    }
    // The boundary only has to be absent from the parts; a fixed one makes the same delivery the same mail.
    let parts = MultiPart::alternative()
        .boundary(format!("komainu-{}", delivery.id))
        .singlepart(SinglePart::builder().content_type(ContentType::TEXT_PLAIN).body(text::render(&letter)))
        .singlepart(SinglePart::builder().content_type(ContentType::TEXT_HTML).body(html::render(&letter)));
    builder.multipart(parts).map_err(|error| error.to_string())
}

/// The mail of a delivery to a program: SNS's JSON as its text.
pub(crate) fn of_json(delivery: &Delivery, json: &str, from: &Mailbox) -> Result<Message, String> {
    let subject = match &delivery.notification.kind {
        NotificationKind::Message { subject: Some(subject), .. } => visible(subject),
        NotificationKind::Message { subject: None, .. } => "AWS Notification Message".to_owned(),
        NotificationKind::SubscriptionConfirmation { .. } => "AWS Notification - Subscription Confirmation".to_owned(),
        NotificationKind::UnsubscribeConfirmation { .. } => "AWS Notification - Unsubscribe Confirmation".to_owned(),
    };
    let builder = envelope(delivery, &subject, from)?.header(ContentType::TEXT_PLAIN);
    builder.body(json.to_owned()).map_err(|error| error.to_string())
}

/// The headers that all mails have.
fn envelope(delivery: &Delivery, subject: &str, from: &Mailbox) -> Result<MessageBuilder, String> {
    let to: Mailbox = delivery.endpoint.parse().map_err(|error| format!("recipient is not an address: {error}"))?;
    let sender = delivery.notification.sender_name.as_deref().map_or_else(|| SENDER_NAME.to_owned(), visible);
    let header =
        |name: &'static str, value: &str| HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned());
    Ok(Message::builder()
        .from(Mailbox::new(Some(sender), from.email.clone()))
        .to(to)
        .subject(subject)
        .date(system_time(delivery.notification.at))
        .message_id(Some(format!("<{}@{}>", delivery.id, from.email.domain())))
        // Out-of-office answers to alarms help nobody (RFC 3834).
        .raw_header(header("Auto-Submitted", "auto-generated")))
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// A header with a URL of ours in angle brackets (RFC 2369). It is not folded: a URL has no place for that.
fn url_header(name: &'static str, url: &str) -> Result<HeaderValue, String> {
    if !url.bytes().all(|b| b.is_ascii_graphic()) || name.len() + url.len() + 4 > LINE_BYTES_MAX {
        return Err(format!("the public URL does not fit into the header {name}"));
    }
    let value = format!("<{url}>");
    Ok(HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), value.clone(), value))
}

/// A time that a Date header can say: 1970 to 9999.
fn system_time(at: Timestamp) -> std::time::SystemTime {
    let latest = Timestamp::from_unix_seconds(253_402_300_799);
    let held = at.clamp(Timestamp::from_unix_seconds(0), latest);
    UNIX_EPOCH + Duration::from_secs(held.unix_seconds().unsigned_abs())
}
