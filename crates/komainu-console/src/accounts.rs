//! What admins do with operators, in the console and on the command line alike.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use komainu_model::{OperatorName, Role, Timestamp};
use komainu_ports::{
    AccountStore, AccountsError, Actor, AuditAction, AuditEntry, AuditOutcome, AuditSize, Clock, IdSource, Link,
    LinkPurpose, Operator, OperatorChange, OperatorState, TokenDigest,
};
use parking_lot::Mutex;

use crate::password::Passwords;

/// Random bytes of a password that nobody chose: 80 bits cannot be guessed, and their 20 digits can be typed.
const ADDED_PASSWORD_BYTES: usize = 10;

/// How long a link for signing in counts: as long as it takes to go over to a browser.
const SIGN_IN_LINK_VALID: Duration = Duration::from_secs(15 * 60);

/// Links for signing in that count at the same time; a new one takes the place of the oldest.
const SIGN_IN_LINKS_MAX: usize = 64;

/// Whether anybody signs in with a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordRule {
    /// Whoever has one.
    Allowed,
    /// Nobody: all come through the OpenID provider, or by a link of whoever has the data folder.
    Refused,
}

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
    rule: PasswordRule,
    /// Links for signing in that were not used yet: for whom, and until when. They are gone with the server.
    sign_in_links: Mutex<BTreeMap<TokenDigest, (OperatorName, Timestamp)>>,
}

impl Accounts {
    /// Accounts in this store; `url` is where people reach the console, without a slash at its end.
    pub fn new(
        store: Arc<dyn AccountStore>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
        url: String,
        rule: PasswordRule,
    ) -> Arc<Self> {
        Arc::new(Self { store, clock, ids, url, rule, sign_in_links: Mutex::default() })
    }

    /// Where people reach the console, without a slash at its end.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Refuses when nobody signs in with a password.
    pub(crate) fn ask_for_passwords(&self) -> Result<(), AccountsError> {
        match self.rule {
            PasswordRule::Allowed => Ok(()),
            PasswordRule::Refused => Err(AccountsError::NoPasswords),
        }
    }

    pub(crate) fn store(&self) -> &dyn AccountStore {
        &*self.store
    }

    /// How many lines the audit trail has.
    pub fn audit_size(&self) -> Result<AuditSize, AccountsError> {
        self.store.audit_size()
    }

    /// All operators, in the order of their names.
    pub fn operators(&self) -> Result<Vec<Operator>, AccountsError> {
        self.store.operators()
    }

    /// All links that count still, in the order of their names.
    pub fn links(&self) -> Result<Vec<Link>, AccountsError> {
        self.store.links(self.clock.now())
    }

    /// A link for the first operator, if there is none yet and operators have passwords; earlier ones do not count any more.
    pub fn first_link(&self) -> Result<Option<OneTimeLink>, AccountsError> {
        match self.link(&LinkPurpose::First, AuditAction::FirstLink, &By::COMMAND_LINE) {
            Err(AccountsError::NotFirst | AccountsError::NoPasswords) => Ok(None),
            link => link.map(Some),
        }
    }

    /// A link with which somebody becomes an operator.
    pub fn invite(&self, name: &OperatorName, role: Role, by: &By) -> Result<OneTimeLink, AccountsError> {
        self.link(&LinkPurpose::Invitation { name: name.clone(), role }, AuditAction::Invite, by)
    }

    /// Makes somebody an operator at once, with a password that nobody chose; gives the password, which is shown once and not
    /// kept. Where nobody signs in with a password, a link for signing in lets them in all the same. Hashes two passwords, which takes some tenths of a second.
    pub fn add(&self, name: &OperatorName, role: Role, by: &By) -> Result<String, AccountsError> {
        let password = hex::encode(&self.ids.secret()[..ADDED_PASSWORD_BYTES]);
        // Nobody else waits for these turns: they are of this moment.
        let Ok(hash) = Passwords::new(&*self.ids).hash(&password, &*self.ids) else {
            return Err(AccountsError::NotLetIn(name.clone()));
        };
        let token = digest_of(&hex::encode(self.ids.secret()));
        let audit = by.did(AuditAction::Invite, &format!("{name} {role}"), self.clock.now());
        self.store.put_link(token, &LinkPurpose::Invitation { name: name.clone(), role }, &audit)?;
        let audit = by.did(AuditAction::Welcome, name.as_str(), self.clock.now());
        self.store.use_link(&token, name, &hash, &audit)?;
        Ok(password)
    }

    /// A link with which an operator chooses another password.
    pub fn reset(&self, name: &OperatorName, by: &By) -> Result<OneTimeLink, AccountsError> {
        self.link(&LinkPurpose::Reset { name: name.clone() }, AuditAction::Reset, by)
    }

    /// A link with which an operator signs in once without their password, for whoever has the data folder and could give
    /// them another one anyway. Refused for those who use one-time codes, and for disabled ones.
    pub fn sign_in_link(&self, name: &OperatorName, by: &By) -> Result<OneTimeLink, AccountsError> {
        let operator = self.store.operator(name)?.ok_or_else(|| AccountsError::Missing(name.clone()))?;
        if operator.totp.is_some() || operator.state == OperatorState::Disabled {
            return Err(AccountsError::NotLetIn(name.clone()));
        }
        let (token, now) = (hex::encode(self.ids.secret()), self.clock.now());
        let expires_at = now.plus(SIGN_IN_LINK_VALID);
        self.store.note(&by.did(AuditAction::SignInLink, name.as_str(), now))?;
        let mut links = self.sign_in_links.lock();
        links.retain(|_, (_, until)| *until > now);
        while links.len() >= SIGN_IN_LINKS_MAX {
            let oldest = links.iter().min_by_key(|(_, (_, until))| *until).map(|(token, _)| *token);
            oldest.map(|token| links.remove(&token));
        }
        links.insert(digest_of(&token), (name.clone(), expires_at));
        Ok(OneTimeLink { url: format!("{}/enter?token={token}", self.url), expires_at })
    }

    /// For whom a link for signing in is, if it counts.
    pub(crate) fn invited_in(&self, token: &TokenDigest, now: Timestamp) -> Option<OperatorName> {
        self.sign_in_links.lock().get(token).filter(|(_, until)| *until > now).map(|(name, _)| name.clone())
    }

    /// The same, and uses the link up.
    pub(crate) fn use_sign_in_link(&self, token: &TokenDigest, now: Timestamp) -> Option<OperatorName> {
        self.sign_in_links.lock().remove(token).filter(|(_, until)| *until > now).map(|(name, _)| name)
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

    /// Adds a line to the audit trail about something that was done elsewhere.
    pub fn note(&self, by: &By, action: AuditAction, subject: &str) -> Result<(), AccountsError> {
        self.store.note(&by.did(action, subject, self.clock.now()))
    }

    fn link(&self, purpose: &LinkPurpose, action: AuditAction, by: &By) -> Result<OneTimeLink, AccountsError> {
        self.ask_for_passwords()?;
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
