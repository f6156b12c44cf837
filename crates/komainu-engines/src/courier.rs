//! The couriers: mail over SMTP, signed POSTs to webhooks.
//!
//! In: a [`Delivery`] of the outbox. Out: one attempt within a bounded time, and whether it is done, worth another
//! attempt, or refused for good. What a mail says is in `letter`, how SNS's envelope is written and signed in
//! `envelope`. Nothing is queued or retried here; the pipeline does that.

mod envelope;
mod guard;
mod letter;
mod links;
mod mail;
mod smtp;
mod webhook;
mod words;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use komainu_model::{Delivery, EgressRules, Language, Protocol};
use komainu_ports::{Authority, BoxFuture, Courier, DeliveryOutcome};

use self::links::Links;
use self::smtp::SmtpCourier;
use self::webhook::WebhookCourier;
pub(crate) use self::words::visible;

/// The longest error that is kept of an attempt, in characters; servers may answer with pages.
const ERROR_CHARS_MAX: usize = 300;

/// How messages leave the house.
#[derive(Debug, Clone)]
pub struct CourierConfig {
    /// Where this server's API is, as the readers of messages reach it: `https://komainu.example:4433`. Links for
    /// confirming and unsubscribing begin with it, and so does the address of the signing certificate.
    pub public_url: String,
    /// The mail server; without one, mails wait and are given up like those to a mail server that is down.
    pub smtp: Option<SmtpConfig>,
    /// How webhooks are called.
    pub webhook: WebhookConfig,
}

/// The mail server that takes our mails.
#[derive(Debug, Clone)]
pub struct SmtpConfig {
    /// Its host name or address.
    pub host: String,
    /// Its port: 25, 587 (submission), 465 (submission over TLS).
    pub port: u16,
    /// How the connection is protected.
    pub tls: SmtpTls,
    /// Who we are, when it wants to know. Not sent over an unprotected connection to another machine.
    pub login: Option<SmtpLogin>,
    /// The sender's address: `komainu@example.com`.
    pub from: String,
    /// In which language mails speak to people. What programs get does not depend on it.
    pub language: Language,
    /// Root certificates (PEM) that are trusted beside the machine's own, for a mail server with a private one.
    pub extra_roots_file: Option<PathBuf>,
    /// How long one attempt may take.
    pub timeout: Duration,
}

/// How the connection to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// Not at all: for a mail server on this machine.
    None,
    /// By STARTTLS, or not used.
    StartTls,
    /// From the first byte.
    Tls,
}

/// Who we are for the mail server.
#[derive(Debug, Clone)]
pub struct SmtpLogin {
    /// The user.
    pub user: String,
    /// The file with the password; white space around it does not count.
    pub password_file: PathBuf,
}

/// How webhooks are called.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// Where webhooks may be; judged again at each connection, after the name was resolved.
    pub egress: EgressRules,
    /// Root certificates (PEM) that are trusted beside the machine's own, for webhooks with a private one.
    pub extra_roots_file: Option<PathBuf>,
    /// How long one attempt may take. SNS waits 15 seconds.
    pub timeout: Duration,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self { egress: EgressRules::default(), extra_roots_file: None, timeout: Duration::from_secs(15) }
    }
}

/// Why the couriers cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CourierConfigError {
    /// A file cannot be read.
    #[error("cannot read {what} `{path}`")]
    File {
        /// What is in the file.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A setting does not make sense.
    #[error("{setting} is not usable: {reason}")]
    Setting {
        /// Which setting.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// All couriers; each delivery goes to the one of its protocol.
pub struct CourierSet {
    links: Links,
    authority: Arc<dyn Authority>,
    smtp: Option<SmtpCourier>,
    webhook: WebhookCourier,
}

impl CourierSet {
    /// Makes the couriers. `authority` signs what goes to programs. Nothing is connected to yet.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime: the pool of connections to the mail server has a task of its own.
    pub fn new(config: CourierConfig, authority: Arc<dyn Authority>) -> Result<Self, CourierConfigError> {
        let is_url = |url: &str| {
            let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() && b != b'"'))
        };
        if !is_url(&config.public_url) {
            let reason = format!("{:?} is not a http or https URL", config.public_url);
            return Err(CourierConfigError::Setting { setting: "the public URL", reason });
        }
        Ok(Self {
            links: Links::new(&config.public_url),
            authority,
            smtp: config.smtp.map(SmtpCourier::new).transpose()?,
            webhook: WebhookCourier::new(&config.webhook)?,
        })
    }

    async fn deliver_mail(&self, delivery: &Delivery) -> DeliveryOutcome {
        let Some(smtp) = &self.smtp else { return retry("no mail server is configured") };
        let mail = match delivery.protocol {
            Protocol::EmailJson => match envelope::json(delivery, &self.links, &*self.authority) {
                Ok(json) => mail::of_json(delivery, &json, smtp.from()),
                Err(error) => return retry(error),
            },
            Protocol::Email | Protocol::Http | Protocol::Https => {
                mail::of_letter(delivery, &self.links, smtp.from(), smtp.language())
            }
        };
        match mail {
            Ok(mail) => smtp.send(mail).await,
            // The address was checked when it subscribed, so this is a mail that will never be one.
            Err(error) => gone(error),
        }
    }
}

impl Courier for CourierSet {
    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, DeliveryOutcome> {
        Box::pin(async move {
            match delivery.protocol {
                Protocol::Email | Protocol::EmailJson => self.deliver_mail(delivery).await,
                Protocol::Http | Protocol::Https => self.webhook.deliver(delivery, &self.links, &*self.authority).await,
            }
        })
    }
}

/// An attempt that failed and may succeed later.
fn retry(error: impl std::fmt::Display) -> DeliveryOutcome {
    DeliveryOutcome::Retry { error: one_line(&error.to_string()) }
}

/// An attempt that was refused for good.
fn gone(error: impl std::fmt::Display) -> DeliveryOutcome {
    DeliveryOutcome::Gone { error: one_line(&error.to_string()) }
}

/// What a server answered, fit for a log line.
fn one_line(text: &str) -> String {
    words::visible(text.trim()).chars().take(ERROR_CHARS_MAX).collect()
}

/// An error with its causes: `error sending request: connection refused`.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

/// Reads a configured file that is named by a setting.
fn read_file(what: &'static str, path: &std::path::Path) -> Result<Vec<u8>, CourierConfigError> {
    std::fs::read(path).map_err(|source| CourierConfigError::File { what, path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
