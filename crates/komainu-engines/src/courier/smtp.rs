//! Mails to the mail server.

use std::time::Duration;

use komainu_model::Language;
use komainu_ports::DeliveryOutcome;
use lettre::message::Mailbox;
use lettre::transport::smtp::PoolConfig;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{CourierConfigError, SmtpConfig, SmtpTls, gone, read_file, retry, with_causes};

/// So many connections to the mail server stand at the same time.
const CONNECTIONS_MAX: u32 = 4;
/// A connection that waits for the next mail is closed after this; servers close theirs after a few minutes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Answers that speak of the recipient or of this mail, so that trying again gives the same: mailbox unknown, user
/// not local, name not allowed, transaction failed, domain accepts no mail (RFC 5321, 4.2.3; RFC 7504). Others with a
/// 5 speak of us (login, commands) or pass by (mailbox full), and an operator may set them right.
const REFUSED_FOR_GOOD: [u16; 5] = [550, 551, 553, 554, 556];

/// Carries mails to one mail server.
pub(crate) struct SmtpCourier {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    language: Language,
    timeout: Duration,
}

impl SmtpCourier {
    pub(crate) fn new(config: SmtpConfig) -> Result<Self, CourierConfigError> {
        let unusable = |setting, reason: String| CourierConfigError::Setting { setting, reason };
        let address = config.from.parse().map_err(|error| {
            let reason = format!("{:?} is not a mail address: {error}", config.from);
            unusable("the sender of mails", reason)
        })?;
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
            .port(config.port)
            .tls(tls(&config)?)
            .timeout(Some(config.timeout))
            .pool_config(PoolConfig::new().max_size(CONNECTIONS_MAX).idle_timeout(IDLE_TIMEOUT));
        if let Some(login) = config.login {
            if config.tls == SmtpTls::None && !is_this_machine(&config.host) {
                let reason = "the password would travel unprotected; use STARTTLS or TLS";
                return Err(unusable("the login at the mail server", reason.to_owned()));
            }
            let password = read_file("the password of the mail server", &login.password_file)?;
            let password = String::from_utf8(password)
                .map_err(|_| unusable("the password of the mail server", "the file is not UTF-8".to_owned()))?;
            builder = builder.credentials(Credentials::new(login.user, password.trim().to_owned()));
        }
        Ok(Self {
            transport: builder.build(),
            from: Mailbox::new(None, address),
            language: config.language,
            timeout: config.timeout,
        })
    }

    /// In which language mails speak to people.
    pub(crate) fn language(&self) -> Language {
        self.language
    }

    /// The sender's address.
    pub(crate) fn from(&self) -> &Mailbox {
        &self.from
    }

    pub(crate) async fn send(&self, mail: Message) -> DeliveryOutcome {
        let error = match tokio::time::timeout(self.timeout, self.transport.send(mail)).await {
            Ok(Ok(_accepted)) => return DeliveryOutcome::Done,
            Ok(Err(error)) => error,
            Err(_elapsed) => return retry(format_args!("the mail server took longer than {:?}", self.timeout)),
        };
        let code = error.status().map(u16::from);
        if error.is_permanent() && code.is_some_and(|code| REFUSED_FOR_GOOD.contains(&code)) {
            gone(with_causes(&error))
        } else {
            retry(with_causes(&error))
        }
    }
}

fn tls(config: &SmtpConfig) -> Result<Tls, CourierConfigError> {
    let unusable = |reason: String| CourierConfigError::Setting { setting: "mail server TLS", reason };
    let wrap: fn(TlsParameters) -> Tls = match config.tls {
        SmtpTls::None => return Ok(Tls::None),
        SmtpTls::StartTls => Tls::Required,
        SmtpTls::Tls => Tls::Wrapper,
    };
    let mut parameters = TlsParameters::builder(config.host.clone());
    if let Some(path) = &config.extra_roots_file {
        let pem = read_file("mail server root certificates", path)?;
        for root in CertificateDer::pem_slice_iter(&pem) {
            let root = root.map_err(|error| unusable(format!("{} is not PEM: {error}", path.display())))?;
            let root = Certificate::from_der(root.to_vec()).map_err(|error| unusable(error.to_string()))?;
            parameters = parameters.add_root_certificate(root);
        }
    }
    parameters.build_rustls().map(wrap).map_err(|error| unusable(with_causes(&error)))
}

fn is_this_machine(host: &str) -> bool {
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || literal.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
