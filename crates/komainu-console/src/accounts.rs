//! What admins do with operators, in the console and on the command line alike.

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::digest;
use komainu_model::{OperatorName, Role, Timestamp};
use komainu_ports::{
    AccountStore, AccountsError, Actor, AuditAction, AuditEntry, AuditOutcome, Clock, IdSource, Link, LinkPurpose,
    Operator, OperatorChange, OperatorState, TokenDigest,
};

/// Who does something, for the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// Who.
    pub actor: Actor,
    /// From where, if it came over the network.
    pub address: Option<IpAddr>,
}

impl By {
    /// Whoever has the data folder.
    pub const COMMAND_LINE: Self = Self { actor: Actor::CommandLine, address: None };

    /// The line of the audit trail for something that is done.
    pub(crate) fn did(&self, action: AuditAction, subject: &str, at: Timestamp) -> AuditEntry {
        let Self { actor, address } = self.clone();
        AuditEntry { at, actor, address, action, subject: subject.to_owned(), outcome: AuditOutcome::Done }
    }
}

/// A link that somebody is given, to be used once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneTimeLink {
    /// Where it leads. Whoever has it, has what it is for: it is shown once and not kept.
    pub url: String,
    /// Until when it counts.
    pub expires_at: Timestamp,
}

/// Operators, as admins see them.
pub struct Accounts {
    store: Arc<dyn AccountStore>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    url: String,
}

impl Accounts {
    /// Accounts in this store; `url` is where people reach the console, without a slash at its end.
    pub fn new(store: Arc<dyn AccountStore>, clock: Arc<dyn Clock>, ids: Arc<dyn IdSource>, url: String) -> Arc<Self> {
        Arc::new(Self { store, clock, ids, url })
    }

    pub(crate) fn store(&self) -> &dyn AccountStore {
        &*self.store
    }

    /// All operators, in the order of their names.
    pub fn operators(&self) -> Result<Vec<Operator>, AccountsError> {
        self.store.operators()
    }

    /// All links that count still, in the order of their names.
    pub fn links(&self) -> Result<Vec<Link>, AccountsError> {
        self.store.links(self.clock.now())
    }

    /// A link for the first operator, if there is none yet; earlier ones do not count any more.
    pub fn first_link(&self) -> Result<Option<OneTimeLink>, AccountsError> {
        match self.link(&LinkPurpose::First, AuditAction::FirstLink, &By::COMMAND_LINE) {
            Err(AccountsError::NotFirst) => Ok(None),
            link => link.map(Some),
        }
    }

    /// A link with which somebody becomes an operator.
    pub fn invite(&self, name: &OperatorName, role: Role, by: &By) -> Result<OneTimeLink, AccountsError> {
        self.link(&LinkPurpose::Invitation { name: name.clone(), role }, AuditAction::Invite, by)
    }

    /// A link with which an operator chooses another password.
    pub fn reset(&self, name: &OperatorName, by: &By) -> Result<OneTimeLink, AccountsError> {
        self.link(&LinkPurpose::Reset { name: name.clone() }, AuditAction::Reset, by)
    }

    /// Lets an operator do other things.
    pub fn set_role(&self, name: &OperatorName, role: Role, by: &By) -> Result<(), AccountsError> {
        let subject = format!("{name} {role}");
        let audit = by.did(AuditAction::ChangeRole, &subject, self.clock.now());
        self.store.change_operator(name, &OperatorChange::Role(role), &audit)
    }

    /// Lets an operator in, or not.
    pub fn set_state(&self, name: &OperatorName, state: OperatorState, by: &By) -> Result<(), AccountsError> {
        let action = match state {
            OperatorState::Enabled => AuditAction::Enable,
            OperatorState::Disabled => AuditAction::Disable,
        };
        let audit = by.did(action, name.as_str(), self.clock.now());
        self.store.change_operator(name, &OperatorChange::State(state), &audit)
    }

    fn link(&self, purpose: &LinkPurpose, action: AuditAction, by: &By) -> Result<OneTimeLink, AccountsError> {
        let token = hex::encode(self.ids.secret());
        let subject = match purpose {
            LinkPurpose::First => String::new(),
            LinkPurpose::Invitation { name, role } => format!("{name} {role}"),
            LinkPurpose::Reset { name } => name.to_string(),
        };
        let audit = by.did(action, &subject, self.clock.now());
        let link = self.store.put_link(digest_of(&token), purpose, &audit)?;
        Ok(OneTimeLink { url: format!("{}/welcome?token={token}", self.url), expires_at: link.expires_at })
    }
}

/// The digest under which a token is known to the store.
pub(crate) fn digest_of(token: &str) -> TokenDigest {
    let sha256 = digest::digest(&digest::SHA256, token.as_bytes());
    TokenDigest::from_sha256(sha256.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}
