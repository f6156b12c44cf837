//! The couriers against servers that answer by script.

mod mails;
mod samples;
mod smtp;
mod webhooks;

use std::sync::Arc;

use komainu_model::{NotificationSignature, Timestamp};
use komainu_ports::{Authority, AuthorityError, CertificateSubject, IssuedCertificate, IssuedKeyPair};

use super::*;
use crate::LocalAuthority;

const PUBLIC_URL: &str = "https://komainu.example:4433";

/// Couriers that use this mail server.
fn couriers(smtp: Option<SmtpConfig>) -> CourierSet {
    let config = CourierConfig { public_url: PUBLIC_URL.to_owned(), smtp, webhook: WebhookConfig::default() };
    CourierSet::new(config, Arc::new(NoAuthority)).unwrap()
}

/// A real authority; its key takes a while to make.
fn authority() -> Arc<LocalAuthority> {
    let dir = tempfile::tempdir().unwrap();
    Arc::new(LocalAuthority::open(dir.path(), Timestamp::from_unix_seconds(1_795_400_000)).unwrap())
}

/// For tests in which nothing is signed for real.
struct NoAuthority;

impl Authority for NoAuthority {
    fn issue_with_new_key(
        &self,
        _: &CertificateSubject,
        _: Timestamp,
    ) -> Result<(IssuedCertificate, IssuedKeyPair), AuthorityError> {
        Err(AuthorityError::Failed { doing: "testing", reason: "not here".to_owned() })
    }

    fn issue_for_request(&self, _: &str, _: Timestamp) -> Result<IssuedCertificate, AuthorityError> {
        Err(AuthorityError::Failed { doing: "testing", reason: "not here".to_owned() })
    }

    fn root_pem(&self) -> Arc<str> {
        "root".into()
    }

    fn sign_notification(&self, _: NotificationSignature, _: &[u8]) -> Result<Vec<u8>, AuthorityError> {
        Ok(b"signature".to_vec())
    }

    fn notification_certificate_pem(&self) -> Arc<str> {
        "certificate".into()
    }
}

fn assert_retry(outcome: DeliveryOutcome, expected: &str) {
    match outcome {
        DeliveryOutcome::Retry { error } => assert!(error.contains(expected), "{error}"),
        other => panic!("expected a retry ({expected}), got {other:?}"),
    }
}

fn assert_gone(outcome: DeliveryOutcome, expected: &str) {
    match outcome {
        DeliveryOutcome::Gone { error } => assert!(error.contains(expected), "{error}"),
        other => panic!("expected a refusal ({expected}), got {other:?}"),
    }
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused_at_the_start() {
    let make = |change: &dyn Fn(&mut CourierConfig)| {
        let smtp = SmtpConfig {
            host: "mail.example.com".to_owned(),
            port: 587,
            tls: SmtpTls::StartTls,
            login: None,
            from: "komainu@example.com".to_owned(),
            language: Language::English,
            extra_roots_file: None,
            timeout: Duration::from_secs(5),
        };
        let mut config =
            CourierConfig { public_url: PUBLIC_URL.to_owned(), smtp: Some(smtp), webhook: WebhookConfig::default() };
        change(&mut config);
        CourierSet::new(config, Arc::new(NoAuthority)).err().map(|error| error.to_string())
    };
    assert_eq!(make(&|_| {}), None);
    let check = |change: &dyn Fn(&mut CourierConfig), expected: &str| {
        let error = make(change).expect(expected);
        assert!(error.contains(expected), "{error}");
    };
    fn smtp(config: &mut CourierConfig) -> &mut SmtpConfig {
        config.smtp.as_mut().expect("it has one")
    }
    let login = || Some(SmtpLogin { user: "komainu".to_owned(), password_file: "/nonexistent".into() });
    check(&|config| config.public_url = "komainu.example".to_owned(), "not a http or https URL");
    check(&|config| config.public_url = "https://a b".to_owned(), "not a http or https URL");
    check(&|config| smtp(config).from = "nobody".to_owned(), "the sender of mails");
    check(&|config| smtp(config).login = login(), "cannot read the password");
    check(&|config| smtp(config).extra_roots_file = Some("/nonexistent".into()), "cannot read mail server root");
    check(&|config| config.webhook.extra_roots_file = Some("/nonexistent".into()), "cannot read webhook root");
    let unprotected = |config: &mut CourierConfig| {
        smtp(config).login = login();
        smtp(config).tls = SmtpTls::None;
    };
    check(&unprotected, "would travel unprotected");
}
