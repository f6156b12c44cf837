//! What goes wrong, as pages that say what to do next. This is the one table of statuses.

use hyper::StatusCode;
use komainu_model::{Role, Timestamp};
use komainu_ports::{AccessKeyError, AccountsError, RecordsError, SamplesError, StoreError};
use maud::html;

use crate::pages::oidc::NotVouched;
use crate::reply::Reply;
use crate::visit::{SignedIn, Visit};
use crate::{password, shell, time};

/// Why there is no page.
#[derive(Debug)]
pub(crate) enum Problem {
    /// There is none with this address.
    NotFound,
    /// It is not there to be sent something, or only for that.
    WrongMethod,
    /// It is for those who are signed in.
    SignInFirst,
    /// It is for those with this role.
    NeedsRole(Role),
    /// The form was not made by this console for this browser, or too long ago.
    FormNotOurs,
    /// What was sent is no form.
    FormUnreadable,
    /// A form is larger than any of ours.
    TooLarge,
    /// A form did not come in time.
    TooSlow,
    /// Somebody was wrong too often; they may try again then.
    TooMany {
        /// When.
        again_at: Timestamp,
    },
    /// An operator did more than people do; they may go on then.
    TooFast {
        /// When.
        again_at: Timestamp,
    },
    /// A one-time link does not count.
    LinkGone,
    /// It is for those who sign in with a password.
    NoPasswords,
    /// Somebody does not come in through the OpenID provider.
    NotVouched(NotVouched),
    /// Others are served.
    Busy,
    /// What it needs cannot be read or written.
    Unavailable(AccountsError),
    /// What was stored about attacks and devices cannot be read or written.
    OutOfOrder(Box<dyn std::error::Error + Send + Sync>),
    /// A bug of ours.
    Failed,
}

impl From<password::Busy> for Problem {
    fn from(password::Busy: password::Busy) -> Self {
        Self::Busy
    }
}

impl From<RecordsError> for Problem {
    fn from(error: RecordsError) -> Self {
        match error {
            // Removed to make room while it was looked at.
            RecordsError::Missing { .. } => Self::NotFound,
            error @ RecordsError::Unavailable { .. } => Self::OutOfOrder(Box::new(error)),
        }
    }
}

impl From<AccountsError> for Problem {
    fn from(error: AccountsError) -> Self {
        match error {
            AccountsError::Missing(_) => Self::NotFound,
            AccountsError::LinkGone | AccountsError::NotFirst => Self::LinkGone,
            AccountsError::NotLetIn(_) => Self::SignInFirst,
            AccountsError::NoPasswords | AccountsError::OfProvider(_) => Self::NoPasswords,
            error @ (AccountsError::Exists(_)
            | AccountsError::LastAdmin(_)
            | AccountsError::Full(_)
            | AccountsError::Unavailable { .. }) => Self::Unavailable(error),
        }
    }
}

impl From<SamplesError> for Problem {
    fn from(error: SamplesError) -> Self {
        match error {
            SamplesError::Missing(_) => Self::NotFound,
            error @ (SamplesError::TooLarge { .. } | SamplesError::Unavailable { .. }) => {
                Self::OutOfOrder(Box::new(error))
            }
        }
    }
}

impl From<AccessKeyError> for Problem {
    fn from(error: AccessKeyError) -> Self {
        match error {
            AccessKeyError::NotFound { .. } => Self::NotFound,
            AccessKeyError::Invalid(_) => Self::FormUnreadable,
            error @ (AccessKeyError::AlreadyExists { .. }
            | AccessKeyError::StillActive { .. }
            | AccessKeyError::TooMany
            | AccessKeyError::Store(_)) => Self::OutOfOrder(Box::new(error)),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            // It stood in an address that somebody wrote.
            StoreError::BadPageToken => Self::NotFound,
            error @ (StoreError::Damaged { .. } | StoreError::Unavailable { .. }) => Self::OutOfOrder(Box::new(error)),
        }
    }
}

impl Problem {
    /// The page that says it, to whom it may concern.
    pub(crate) fn page(&self, visit: &Visit, who: Option<&SignedIn>) -> Reply {
        let text = |key| visit.text(key).to_owned();
        let (status, title, advice) = match self {
            Self::SignInFirst => return Reply::on_to(&crate::pages::sign_in::path(visit)),
            Self::NotFound => (StatusCode::NOT_FOUND, text("problem.not-found"), text("problem.not-found-advice")),
            Self::WrongMethod => {
                (StatusCode::METHOD_NOT_ALLOWED, text("problem.wrong-method"), text("problem.not-found-advice"))
            }
            Self::NeedsRole(role) => {
                let role = visit.texts.word("role", role.as_str()).unwrap_or(role.as_str());
                let advice = visit.filled("problem.needs-role-advice", &[("role", role)]);
                (StatusCode::FORBIDDEN, text("problem.needs-role"), advice)
            }
            Self::FormNotOurs => {
                (StatusCode::FORBIDDEN, text("problem.form-not-ours"), text("problem.form-not-ours-advice"))
            }
            Self::FormUnreadable => {
                (StatusCode::BAD_REQUEST, text("problem.form-unreadable"), text("problem.form-not-ours-advice"))
            }
            Self::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, text("problem.too-large"), text("problem.too-large-advice"))
            }
            Self::TooSlow => {
                (StatusCode::REQUEST_TIMEOUT, text("problem.too-slow"), text("problem.form-not-ours-advice"))
            }
            Self::TooMany { again_at } => {
                let advice = visit.filled("problem.too-many-advice", &[("time", &time::text(*again_at))]);
                (StatusCode::TOO_MANY_REQUESTS, text("problem.too-many"), advice)
            }
            Self::TooFast { again_at } => {
                let advice = visit.filled("problem.too-fast-advice", &[("time", &time::text(*again_at))]);
                (StatusCode::TOO_MANY_REQUESTS, text("problem.too-fast"), advice)
            }
            Self::LinkGone => (StatusCode::GONE, text("problem.link-gone"), text("problem.link-gone-advice")),
            Self::NoPasswords => {
                (StatusCode::FORBIDDEN, text("problem.no-passwords"), text("problem.no-passwords-advice"))
            }
            Self::NotVouched(why) => (why.status(), why.title(visit), why.advice(visit)),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, text("problem.busy"), text("problem.busy-advice")),
            Self::Unavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, text("problem.unavailable"), text("problem.unavailable-advice"))
            }
            Self::OutOfOrder(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, text("problem.out-of-order"), text("problem.unavailable-advice"))
            }
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, text("problem.failed"), text("problem.failed-advice")),
        };
        let content = html! {
            section.card.problem {
                p.status-code { (status.as_u16()) }
                h2 { (title) }
                p { (advice) }
                @match self {
                    Self::NotVouched(_) => p { a.button href="/sign-in" { (visit.text("oidc.again")) } },
                    _ => p { a.button href="/" { (visit.text("problem.to-start")) } },
                }
            }
        };
        let reply = shell::page_with_status(status, visit, who, &title, content);
        match self {
            // Seconds; by then the window is over for everybody.
            Self::TooMany { .. } | Self::TooFast { .. } => reply.with(hyper::header::RETRY_AFTER, "900"),
            Self::Busy => reply.with(hyper::header::RETRY_AFTER, "2"),
            _ => reply,
        }
    }
}
