//! Signing in through the OpenID provider: on the way there, and back.

use std::error::Error;

use hyper::StatusCode;
use komainu_model::{OperatorName, Role};
use komainu_ports::{
    AccountsError, Actor, AuditAction, AuditEntry, AuditOutcome, Newcomer, Operator, OperatorChange, OperatorState,
    ProviderError, ProviderIdentity, TokenFault, Vouched,
};
use tracing::{info, warn};

use crate::fields::local_path;
use crate::pages::sign_in::{begin_session, let_in, limited};
use crate::problem::Problem;
use crate::provider::{Arrivals, FLOW_AGE, Flow};
use crate::reply::Reply;
use crate::request::unavailable;
use crate::routes::Answered;
use crate::shown::shown;
use crate::visit::Visit;
use crate::{By, cookie, events};

/// Where the provider sends browsers back to, behind the address of the console.
const BACK_TO: &str = "/oidc/callback";

/// Why somebody does not come in through the provider. Each says on its page what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotVouched {
    /// They did not agree, or the provider did not let them.
    Denied,
    /// The provider could not, for a reason of its own.
    ProviderFailed,
    /// The answer is for no question of this browser, was used already, or comes too late.
    NotAsked,
    /// The provider does not answer.
    Unavailable,
    /// The provider and the configuration do not fit together.
    Misfit,
    /// What came from the provider cannot be relied on.
    Untrusted,
    /// Clocks differ.
    Clock,
    /// Nothing that the provider said gives a role.
    NoRole,
    /// They are disabled.
    Disabled,
    /// Somebody else has the name.
    NameTaken,
    /// The provider gives no name that can be one here.
    NameUnfit,
    /// As many operators are there as may be.
    Full,
}

impl NotVouched {
    /// All of them, for the test.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 12] = [
        Self::Denied,
        Self::ProviderFailed,
        Self::NotAsked,
        Self::Unavailable,
        Self::Misfit,
        Self::Untrusted,
        Self::Clock,
        Self::NoRole,
        Self::Disabled,
        Self::NameTaken,
        Self::NameUnfit,
        Self::Full,
    ];

    /// The word for it in keys of texts, in the log and in the audit trail.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::ProviderFailed => "provider-failed",
            Self::NotAsked => "not-asked",
            Self::Unavailable => "provider-unavailable",
            Self::Misfit => "provider-misfit",
            Self::Untrusted => "untrusted",
            Self::Clock => "clock",
            Self::NoRole => "no-role",
            Self::Disabled => "disabled",
            Self::NameTaken => "name-taken",
            Self::NameUnfit => "name-unfit",
            Self::Full => "full",
        }
    }

    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::NotAsked => StatusCode::BAD_REQUEST,
            Self::Denied | Self::NoRole | Self::Disabled | Self::NameUnfit | Self::Full => StatusCode::FORBIDDEN,
            Self::NameTaken => StatusCode::CONFLICT,
            Self::ProviderFailed | Self::Misfit | Self::Untrusted | Self::Clock => StatusCode::BAD_GATEWAY,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(crate) fn title(self, visit: &Visit) -> String {
        filled(visit, visit.texts.word("oidc-title", self.as_str()))
    }

    pub(crate) fn advice(self, visit: &Visit) -> String {
        filled(visit, visit.texts.word("oidc-advice", self.as_str()))
    }
}

fn filled(visit: &Visit, text: Option<&str>) -> String {
    text.unwrap_or_default().replace("{provider}", visit.console.provider_name().unwrap_or_default())
}

/// What people call the provider of somebody: its name, or what it calls itself when it is none of now.
pub(crate) fn through(visit: &Visit, identity: &ProviderIdentity) -> String {
    visit.console.provider_name().map_or_else(|| shown(&identity.issuer), str::to_owned)
}

/// On to the provider.
pub(crate) fn begin(visit: &Visit) -> Answered {
    let arrivals = arrivals(visit)?;
    let then = local_path(visit.query.one("then")).unwrap_or("/");
    let flow = arrivals.flows.begin(visit.console.ids.secret(), then, visit.now);
    let request = arrivals.flows.request(&flow, back_to(visit));
    let Ok(_turn) = arrivals.turns.try_acquire() else { return Err(Problem::Busy) };
    let address = arrivals.provider.address(&request, visit.now);
    let address = address.map_err(|error| refused_by(visit, &error))?;
    let cookie = cookie::keep(cookie::FLOW, &arrivals.flows.cookie(&flow), FLOW_AGE, visit.console.cookies);
    Ok(Reply::on_to(&address).with_cookie(&cookie))
}

/// Back from the provider: lets in whoever it vouches for. Each attempt counts for the address, as those with passwords do, since
/// it has the provider asked.
pub(crate) fn arrive(visit: &Visit) -> Answered {
    let arrivals = arrivals(visit)?;
    let attempts = &visit.console.attempts;
    attempts.begin_unnamed(visit.address, visit.now).map_err(|too_many| limited(visit, too_many))?;
    let flow =
        arrivals.flows.of_cookie(&visit.flow, visit.now).ok_or_else(|| refused(visit, NotVouched::NotAsked, ""))?;
    let Ok(_turn) = arrivals.turns.try_acquire() else { return Err(Problem::Busy) };
    if !arrivals.flows.use_up(&flow, visit.query.one("state"), visit.now) {
        return Err(refused(visit, NotVouched::NotAsked, ""));
    }
    let vouched = vouched(visit, arrivals, &flow)?;
    let operator = admitted(visit, arrivals, &vouched)?;
    let Some(token) = begin_session(visit, &operator, AuditAction::SignInProvider)? else {
        // Since it was looked up, somebody disabled them.
        return Err(refused(visit, NotVouched::Disabled, operator.name.as_str()));
    };
    attempts.was_right_unnamed(visit.address);
    let operator = &operator.name;
    info!(event = events::SIGNED_IN, %operator, address = %visit.address, "signed in through the OpenID provider");
    Ok(let_in(visit, &token, &flow.then).with_cookie(&cookie::forget(cookie::FLOW, visit.console.cookies)))
}

/// On to where a browser signs out of the provider as well.
pub(crate) fn sign_out(visit: &Visit) -> Answered {
    let back_to = visit.console.accounts.url();
    let address = arrivals(visit)?.provider.sign_out_address(back_to).ok_or(Problem::NotFound)?;
    Ok(Reply::on_to(&address))
}

fn arrivals(visit: &Visit) -> Result<&Arrivals, Problem> {
    visit.console.arrivals.as_ref().ok_or(Problem::NotFound)
}

fn back_to(visit: &Visit) -> String {
    format!("{}{BACK_TO}", visit.console.accounts.url())
}

/// What the provider says of whoever is back.
fn vouched(visit: &Visit, arrivals: &Arrivals, flow: &Flow) -> Result<Vouched, Problem> {
    let query = &visit.query;
    let issuer = Some(query.one("iss")).filter(|issuer| !issuer.is_empty());
    let by = |error: ProviderError| refused_by(visit, &error);
    arrivals.provider.check_issuer(issuer, visit.now).map_err(by)?;
    match query.one("error") {
        "" => {}
        // RFC 6749, section 4.1.2.1, and OpenID Connect Core 1.0, section 3.1.2.6: what a person did or may not.
        "access_denied"
        | "login_required"
        | "consent_required"
        | "interaction_required"
        | "account_selection_required" => return Err(refused(visit, NotVouched::Denied, "")),
        _ => return Err(refused(visit, NotVouched::ProviderFailed, "")),
    }
    let answer = arrivals.flows.answer(flow, query.one("code"), back_to(visit));
    arrivals.provider.redeem(&answer, visit.now).map_err(by)
}

/// The operator who this is, as the provider says it today.
fn admitted(visit: &Visit, arrivals: &Arrivals, vouched: &Vouched) -> Result<Operator, Problem> {
    let known = visit.console.store().operator_of(&vouched.identity)?;
    let name = vouched.name.as_ref().and_then(|name| OperatorName::parse(&name.trim().to_lowercase()).ok());
    let of_whom = known.as_ref().map(|operator| &operator.name).or(name.as_ref()).map_or("", OperatorName::as_str);
    let refuse = |why| refused(visit, why, of_whom);
    let Some(role) = arrivals.rules.role_of(&vouched.values) else { return Err(refuse(NotVouched::NoRole)) };
    if known.as_ref().is_some_and(|operator| operator.state == OperatorState::Disabled) {
        return Err(refuse(NotVouched::Disabled));
    }
    if let Some(operator) = known {
        return with_role(visit, operator, role);
    }
    let name = name.clone().ok_or_else(|| refuse(NotVouched::NameUnfit))?;
    let newcomer = Newcomer { identity: vouched.identity.clone(), name: name.clone(), role };
    let audit = by_provider(visit).did(AuditAction::Welcome, &format!("{name} {role}"), visit.now);
    match visit.console.store().admit(&newcomer, &audit) {
        Ok(operator) => Ok(operator),
        // They may have come from two browsers at once.
        Err(AccountsError::Exists(_)) => match visit.console.store().operator_of(&vouched.identity)? {
            Some(operator) => with_role(visit, operator, role),
            None => Err(refuse(NotVouched::NameTaken)),
        },
        Err(AccountsError::Full(_)) => Err(refuse(NotVouched::Full)),
        Err(error) => Err(error.into()),
    }
}

/// The operator with the role that the provider's word gives now.
fn with_role(visit: &Visit, operator: Operator, role: Role) -> Result<Operator, Problem> {
    if operator.role == role {
        return Ok(operator);
    }
    let subject = format!("{} {role}", operator.name);
    let audit = by_provider(visit).did(AuditAction::ChangeRole, &subject, visit.now);
    visit.console.store().change_operator(&operator.name, &OperatorChange::ProvidedRole(role), &audit)?;
    Ok(Operator { role, ..operator })
}

fn by_provider(visit: &Visit) -> By {
    By { actor: Actor::Provider, address: Some(visit.address) }
}

/// What the provider, or asking it, went wrong with. The log says it; a visitor sees what to do.
fn refused_by(visit: &Visit, error: &ProviderError) -> Problem {
    let why = match error {
        ProviderError::Unavailable { .. } => NotVouched::Unavailable,
        ProviderError::Misfit { .. } => NotVouched::Misfit,
        ProviderError::Token(TokenFault::Time) => NotVouched::Clock,
        ProviderError::CodeRefused { .. } => NotVouched::NotAsked,
        ProviderError::WrongIssuer | ProviderError::Token(_) => NotVouched::Untrusted,
    };
    told(visit, why, error.word(), Some(error), "");
    Problem::NotVouched(why)
}

/// Somebody does not come in.
fn refused(visit: &Visit, why: NotVouched, name: &str) -> Problem {
    told(visit, why, why.as_str(), None, name);
    Problem::NotVouched(why)
}

/// Tells the log and the audit trail. A name stands there when a provider gave it.
fn told(visit: &Visit, why: NotVouched, reason: &str, error: Option<&ProviderError>, name: &str) {
    if let Some(suppressed) = visit.console.budgets.provider.take_now() {
        let (cause, address) = (error.map(|error| error.to_string() + &causes(error)), visit.address);
        warn!(event = events::PROVIDER_REFUSED, reason, cause, %address, suppressed, "not let in by the provider");
    }
    // What nobody asked for is what strangers send at will.
    if why == NotVouched::NotAsked && error.is_none() {
        return;
    }
    let entry = AuditEntry {
        at: visit.now,
        actor: Actor::Stranger,
        address: Some(visit.address),
        action: AuditAction::SignInProvider,
        subject: format!("{reason} {name}").trim_end().to_owned(),
        outcome: AuditOutcome::Refused,
    };
    if let Err(error) = visit.console.store().note(&entry) {
        unavailable(&visit.console, &error);
    }
}

/// Why, to the bottom.
fn causes(error: &dyn Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
