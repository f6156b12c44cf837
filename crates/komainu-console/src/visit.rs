//! One request, as pages see it.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::Method;
use komainu_model::{Language, Role, Timestamp};
use komainu_ports::{Actor, AuditAction, AuditEntry, Operator, Session};

use crate::fields::{Fields, local_path};
use crate::form_key::FormKey;
use crate::routes::{self, Labels};
use crate::{By, Console};
use komainu_texts::Texts;

/// What a page is asked for with.
pub(crate) struct Visit {
    pub(crate) console: Arc<Console>,
    /// When it came. A page asks for no other time.
    pub(crate) now: Timestamp,
    /// From where.
    pub(crate) address: IpAddr,
    /// What the browser calls itself, cut to what a session keeps.
    pub(crate) agent: String,
    /// The path, without the query.
    pub(crate) path: String,
    /// The path with the query.
    pub(crate) place: String,
    pub(crate) labels: Labels,
    pub(crate) query: Fields,
    /// What a form brought; empty when there is none.
    pub(crate) form: Fields,
    pub(crate) language: Language,
    pub(crate) texts: &'static Texts,
    pub(crate) theme: Theme,
    /// For the forms of the page.
    pub(crate) form_key: FormKey,
    /// The cookie of a browser that is known, as it came.
    pub(crate) browser: String,
    /// The cookie of somebody who is on the way back from the OpenID provider, as it came.
    pub(crate) flow: String,
}

/// Whether pages are dark or light.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Theme {
    /// As the browser wishes.
    Auto,
    /// Dark.
    Dark,
    /// Light.
    Light,
}

impl Theme {
    pub(crate) const ALL: [Self; 3] = [Self::Auto, Self::Dark, Self::Light];

    /// The word for it in cookies and forms.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Dark => "dark",
            Self::Light => "light",
        }
    }

    /// What a cookie or a form says; everything else leaves it to the browser.
    pub(crate) fn parse(text: &str) -> Self {
        Self::ALL.into_iter().find(|theme| theme.as_str() == text).unwrap_or(Self::Auto)
    }
}

/// Who asks, when a route asks for somebody.
pub(crate) struct SignedIn {
    pub(crate) operator: Operator,
    pub(crate) session: Session,
}

impl SignedIn {
    /// Whether they may do what this role may.
    pub(crate) fn may(&self, role: Role) -> bool {
        self.operator.role >= role
    }
}

impl Visit {
    /// A text in the language of this visit.
    pub(crate) fn text(&self, key: &'static str) -> &'static str {
        self.texts.text(key)
    }

    /// A text with its places filled in.
    pub(crate) fn filled(&self, key: &'static str, places: &[(&str, &str)]) -> String {
        self.texts.filled(key, places)
    }

    /// A part of the path that the route names.
    pub(crate) fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(of, _)| *of == name).map_or("", |(_, value)| value)
    }

    /// Where to go back to from a form elsewhere: here, if this is a page. A form is not sent again by itself, and where it is
    /// sent to may be none.
    pub(crate) fn way_back(&self) -> &str {
        let is_page = routes::find(&Method::GET, &self.path).is_ok();
        local_path(&self.place).filter(|_| is_page).unwrap_or("/")
    }

    /// Who does something, for the audit trail.
    pub(crate) fn by(&self, who: &SignedIn) -> By {
        By { actor: Actor::Operator(who.operator.name.clone()), address: Some(self.address) }
    }

    /// The line of the audit trail for something that is done now.
    pub(crate) fn did(&self, who: &SignedIn, action: AuditAction, subject: &str) -> AuditEntry {
        self.by(who).did(action, subject, self.now)
    }
}
