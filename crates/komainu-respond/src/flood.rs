//! A flood of mails is itself an incident: it buries the first alarm, and it gets the sender blocked.
//!
//! Within an hour a subscription gets a bounded number of mails. What comes then is held back and told in one mail,
//! the digest, at the end of the hour: how many messages there were, and the first lines of them. The digest is an
//! ordinary entry of the outbox that is put again with each message it takes in, so a restart loses none of it; the
//! count of the hour is in memory and starts anew. `email-json` is read by programs and is not held back.

use std::collections::BTreeMap;
use std::time::Duration;

use komainu_model::{
    Delivery, DeliveryId, DeliveryState, HELD_BACK_ATTRIBUTE, Notification, NotificationKind, Protocol, SubscriptionId,
    Timestamp,
};
use uuid::Uuid;

use crate::message::shortened;

/// The time over which mails are counted.
const WINDOW: Duration = Duration::from_secs(3600);
/// So many messages are listed in a digest; the rest is counted.
const DIGEST_LINES_MAX: u64 = 50;
/// The longest line of a digest.
const DIGEST_LINE_CHARS_MAX: usize = 160;

/// How many mails each subscription got in its current hour.
#[derive(Debug, Clone, Default)]
pub(crate) struct MailBudgets(BTreeMap<SubscriptionId, Window>);

#[derive(Debug, Clone)]
struct Window {
    started_at: Timestamp,
    mails: u32,
    digest: Option<Delivery>,
}

impl Window {
    fn starting(at: Timestamp) -> Self {
        Self { started_at: at, mails: 0, digest: None }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        // A clock that went back ends the hour, too: nothing may be held back for longer than an hour.
        now.since(self.started_at) >= WINDOW || now < self.started_at
    }
}

impl MailBudgets {
    /// The budgets of these subscriptions only, to decide with.
    pub(crate) fn of<'a>(&self, subscriptions: impl Iterator<Item = &'a SubscriptionId>) -> Self {
        Self(subscriptions.filter_map(|id| Some((id.clone(), self.0.get(id)?.clone()))).collect())
    }

    /// Gives the mail back, or the digest that it went into; counts it.
    pub(crate) fn admit(&mut self, mail: Delivery, mails_max: u32) -> Delivery {
        if mail.protocol != Protocol::Email {
            return mail;
        }
        let now = mail.created_at;
        let window = self.0.entry(mail.subscription.clone()).or_insert_with(|| Window::starting(now));
        if window.is_over(now) {
            *window = Window::starting(now);
        }
        let admitted = if window.mails < mails_max { mail } else { digest(window, &mail, mails_max) };
        self.count(&admitted);
        admitted
    }

    /// Whether another mail may go to this subscription now.
    pub(crate) fn has_room(&self, subscription: &SubscriptionId, mails_max: u32, now: Timestamp) -> bool {
        self.0.get(subscription).is_none_or(|window| window.is_over(now) || window.mails < mails_max)
    }

    /// Counts a delivery that was put into the outbox.
    pub(crate) fn count(&mut self, delivery: &Delivery) {
        if delivery.protocol != Protocol::Email || delivery.attempts > 0 {
            return;
        }
        let now = delivery.created_at;
        let window = self.0.entry(delivery.subscription.clone()).or_insert_with(|| Window::starting(now));
        if held_back(delivery) > 0 {
            if delivery.id == digest_id(&delivery.subscription, window.started_at) {
                window.digest = Some(delivery.clone());
            }
            return;
        }
        if window.is_over(now) {
            *window = Window::starting(now);
        }
        window.mails = window.mails.saturating_add(1);
    }

    /// Forgets a subscription.
    pub(crate) fn forget(&mut self, subscription: &SubscriptionId) {
        self.0.remove(subscription);
    }
}

/// The digest of the window with `mail` taken in.
fn digest(window: &Window, mail: &Delivery, mails_max: u32) -> Delivery {
    let id = digest_id(&mail.subscription, window.started_at);
    let taken_in = window.digest.as_ref().map_or(0, held_back);
    let so_far = match window.digest.as_ref().map(|digest| &digest.notification.kind) {
        Some(NotificationKind::Message { message, .. }) => message.clone(),
        _ => format!(
            "{mails_max} mails went to you on this topic within an hour. To keep your inbox usable, Komainu held the \
             following back and tells you about them here:\n"
        ),
    };
    let count = taken_in + 1;
    let text = if count <= DIGEST_LINES_MAX {
        format!("{so_far}\n- {}", line(mail))
    } else {
        let lines = match so_far.rsplit_once("\n… ") {
            Some((lines, _and_more)) if taken_in > DIGEST_LINES_MAX => lines,
            _ => &so_far,
        };
        format!("{lines}\n… and {} more.", count - DIGEST_LINES_MAX)
    };
    let what = if count == 1 { "message" } else { "messages" };
    let topic = mail.notification.topic.resource();
    let kind = NotificationKind::Message {
        subject: Some(shortened(&format!("[Komainu] {count} more {what} on {topic}"), crate::SUBJECT_CHARS_MAX)),
        message: text,
        attributes: BTreeMap::from([(HELD_BACK_ATTRIBUTE.to_owned(), ("Number".to_owned(), count.to_string()))]),
        alert: None,
    };
    let due = window.started_at.plus(WINDOW);
    Delivery {
        notification: Notification { message_id: id.as_str().into(), kind, ..mail.notification.clone() },
        state: DeliveryState::Due(due),
        id,
        ..mail.clone()
    }
}

/// One line about a message.
fn line(mail: &Delivery) -> String {
    let NotificationKind::Message { subject, message, .. } = &mail.notification.kind else { return String::new() };
    let about = subject.as_deref().unwrap_or(message);
    let about: String = about.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let at = jiff::Timestamp::from_millisecond(mail.created_at.unix_millis()).unwrap_or_default();
    format!("{} UTC  {}", at.strftime("%H:%M:%S"), shortened(about.trim(), DIGEST_LINE_CHARS_MAX))
}

/// How many messages a digest stands for; 0 when it is none.
fn held_back(delivery: &Delivery) -> u64 {
    match &delivery.notification.kind {
        NotificationKind::Message { attributes, .. } => {
            attributes.get(HELD_BACK_ATTRIBUTE).and_then(|(_, count)| count.parse().ok()).unwrap_or(0)
        }
        NotificationKind::SubscriptionConfirmation { .. } | NotificationKind::UnsubscribeConfirmation { .. } => 0,
    }
}

/// One digest for one subscription and hour.
fn digest_id(subscription: &SubscriptionId, window_started_at: Timestamp) -> DeliveryId {
    let name = format!("{subscription} digest {}", window_started_at.unix_millis());
    let uuid = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
    DeliveryId::parse(&uuid.to_string()).expect("a UUID shows itself in lower case with hyphens")
}
