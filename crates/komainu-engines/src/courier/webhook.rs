//! Messages to programs: POST over HTTP and HTTPS.

use std::time::Duration;

use komainu_model::{Delivery, EgressRules, NotificationKind};
use komainu_ports::{Authority, DeliveryOutcome};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, StatusCode, Url};

use super::envelope::{self, message_type};
use super::guard::{GuardedResolver, check_literal, denial};
use super::links::{Links, subscription_arn};
use super::{CourierConfigError, WebhookConfig, gone, read_file, retry, with_causes};

/// How long a connection may take to stand, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections that wait for further messages are closed after this.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// An answer like `403` may be a mistake that is being repaired; after so many attempts it is taken for the answer.
const REFUSED_ATTEMPTS_MAX: u32 = 3;

/// Carries messages to webhooks.
pub(crate) struct WebhookCourier {
    client: Client,
    egress: EgressRules,
}

impl WebhookCourier {
    pub(crate) fn new(config: &WebhookConfig) -> Result<Self, CourierConfigError> {
        let unusable =
            |error: reqwest::Error| CourierConfigError::Setting { setting: "webhook TLS", reason: with_causes(&error) };
        let mut builder = Client::builder()
            .user_agent(concat!("Komainu/", env!("CARGO_PKG_VERSION")))
            // A redirect would lead past what was subscribed and confirmed.
            .redirect(reqwest::redirect::Policy::none())
            // A proxy would resolve names where nobody judges their addresses.
            .no_proxy()
            .retry(reqwest::retry::never())
            .dns_resolver(GuardedResolver { egress: config.egress })
            .connect_timeout(CONNECT_TIMEOUT.min(config.timeout))
            .timeout(config.timeout)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(2);
        if let Some(path) = &config.extra_roots_file {
            let pem = read_file("webhook root certificates", path)?;
            builder = builder.tls_certs_merge(Certificate::from_pem_bundle(&pem).map_err(unusable)?);
        }
        Ok(Self { client: builder.build().map_err(unusable)?, egress: config.egress })
    }

    pub(crate) async fn deliver(
        &self,
        delivery: &Delivery,
        links: &Links,
        authority: &dyn Authority,
    ) -> DeliveryOutcome {
        let url = match Url::parse(&delivery.endpoint) {
            Ok(url) => url,
            Err(error) => return gone(format_args!("endpoint is not a URL: {error}")),
        };
        if let Err(denied) = check_literal(&url, &self.egress) {
            return gone(format_args!("messages are not sent there: {denied}"));
        }
        let body = match (&delivery.notification.kind, delivery.raw) {
            (NotificationKind::Message { message, .. }, true) => message.clone(),
            _ => match envelope::json(delivery, links, authority) {
                Ok(json) => json,
                Err(error) => return retry(error),
            },
        };
        let request = self.client.post(url).headers(headers(delivery)).body(body);
        // The answer's body is not read: dropping the response closes the connection if there is more of it.
        match request.send().await {
            Ok(response) => outcome(response.status(), delivery.attempts),
            Err(error) => match denial(&error) {
                Some(denied) => gone(format_args!("messages are not sent there: {denied}")),
                // The URL may carry a password and is known to whoever reads the error.
                None => retry(with_causes(&error.without_url())),
            },
        }
    }
}

/// SNS's headers.
fn headers(delivery: &Delivery) -> HeaderMap {
    let notification = &delivery.notification;
    let mut headers = HeaderMap::new();
    let mut put = |name: &'static str, value: &str| {
        // ARNs and ids have no characters that a header cannot have.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    put("x-amz-sns-message-type", message_type(&notification.kind));
    put("x-amz-sns-message-id", &notification.message_id);
    put("x-amz-sns-topic-arn", notification.topic.as_str());
    match notification.kind {
        NotificationKind::SubscriptionConfirmation { .. } => {}
        NotificationKind::Message { .. } | NotificationKind::UnsubscribeConfirmation { .. } => {
            put("x-amz-sns-subscription-arn", &subscription_arn(delivery));
        }
    }
    if delivery.raw {
        put("x-amz-sns-rawdelivery", "true");
    }
    // SNS says text/plain of its JSON, and receivers have learned to expect that.
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    headers
}

/// What an answer means after `failed_attempts` earlier failures.
fn outcome(status: StatusCode, failed_attempts: u32) -> DeliveryOutcome {
    let answer = format!("the endpoint answered {status}");
    if status.is_success() {
        DeliveryOutcome::Done
    } else if status == StatusCode::GONE {
        gone(answer)
    } else if status.is_redirection() {
        retry(format_args!("{answer}; redirects are not followed"))
    } else if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY) {
        retry(answer)
    } else if status.is_client_error() && failed_attempts + 1 >= REFUSED_ATTEMPTS_MAX {
        gone(format_args!("{answer}, {REFUSED_ATTEMPTS_MAX} times in a row or after other failures"))
    } else {
        retry(answer)
    }
}
