//! Accounts in memory: the double for tests. It looks through everything each time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use komainu_model::{OperatorName, Role, Timestamp};

use crate::accounts::{
    AccountLimits, AccountStore, AccountsError, Actor, AuditEntry, AuditNumber, AuditSize, Credential, Link,
    LinkPurpose, NewSession, Newcomer, Operator, OperatorChange, OperatorState, PasswordHash, ProviderIdentity,
    Session, TokenDigest, TotpStep,
};

/// An [`AccountStore`] that is forgotten when it is dropped.
#[derive(Debug)]
pub struct MemoryAccounts {
    limits: AccountLimits,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    operators: BTreeMap<OperatorName, Operator>,
    totp_steps: BTreeMap<OperatorName, TotpStep>,
    links: BTreeMap<TokenDigest, Link>,
    sessions: BTreeMap<TokenDigest, Session>,
    audit: BTreeMap<AuditNumber, AuditEntry>,
    audit_last: u64,
    browser_secret: Option<[u8; 32]>,
}

impl MemoryAccounts {
    /// Nobody yet.
    pub fn new(limits: AccountLimits) -> Self {
        Self { limits, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holds(&self, session: &Session, now: Timestamp) -> bool {
        now.since(session.seen_at) < self.limits.session_idle_max
            && now.since(session.created_at) < self.limits.session_age_max
    }
}

impl Kept {
    fn note(&mut self, entry: &AuditEntry, limits: &AccountLimits) {
        self.audit_last += 1;
        self.audit.insert(AuditNumber(self.audit_last), entry.clone());
        let since = entry.at.minus(limits.audit_kept);
        self.audit.retain(|_, kept| kept.at >= since);
        let (mut strangers, mut others) = (0, 0);
        let newest_first = self.audit.iter().rev();
        let over = newest_first.filter(|(_, line)| match line.actor {
            Actor::Stranger => {
                strangers += 1;
                strangers > limits.audit_strangers_max
            }
            Actor::Operator(_) | Actor::CommandLine | Actor::Provider => {
                others += 1;
                others > limits.audit_entries_max
            }
        });
        let over: Vec<_> = over.map(|(number, _)| *number).collect();
        for number in over {
            self.audit.remove(&number);
        }
    }

    fn of_provider(&self, identity: &ProviderIdentity) -> Option<&Operator> {
        let is_it = |operator: &&Operator| matches!(&operator.credential, Credential::Provider(of) if of == identity);
        self.operators.values().find(is_it)
    }

    /// Operators, and invitations that wait.
    fn places_taken(&self) -> usize {
        let invited = |link: &&Link| matches!(link.purpose, LinkPurpose::Invitation { .. });
        self.operators.len() + self.links.values().filter(invited).count()
    }

    fn other_admins(&self, name: &OperatorName) -> bool {
        self.operators
            .values()
            .any(|other| other.name != *name && other.role == Role::Admin && other.state == OperatorState::Enabled)
    }
}

impl AccountStore for MemoryAccounts {
    fn operator(&self, name: &OperatorName) -> Result<Option<Operator>, AccountsError> {
        Ok(self.kept().operators.get(name).cloned())
    }

    fn operators(&self) -> Result<Vec<Operator>, AccountsError> {
        Ok(self.kept().operators.values().cloned().collect())
    }

    fn operator_of(&self, identity: &ProviderIdentity) -> Result<Option<Operator>, AccountsError> {
        Ok(self.kept().of_provider(identity).cloned())
    }

    fn admit(&self, newcomer: &Newcomer, audit: &AuditEntry) -> Result<Operator, AccountsError> {
        let kept = &mut *self.kept();
        let Newcomer { identity, name, role } = newcomer;
        if kept.operators.contains_key(name) || kept.of_provider(identity).is_some() {
            return Err(AccountsError::Exists(name.clone()));
        }
        if kept.places_taken() >= self.limits.operators_max {
            return Err(AccountsError::Full(self.limits.operators_max));
        }
        let operator = Operator {
            name: name.clone(),
            role: *role,
            state: OperatorState::Enabled,
            credential: Credential::Provider(identity.clone()),
            totp: None,
            language: None,
            created_at: audit.at,
            signed_in_at: None,
        };
        kept.operators.insert(name.clone(), operator.clone());
        kept.note(audit, &self.limits);
        Ok(operator)
    }

    fn browser_secret(&self, fresh: [u8; 32]) -> Result<[u8; 32], AccountsError> {
        Ok(*self.kept().browser_secret.get_or_insert(fresh))
    }

    fn put_link(&self, token: TokenDigest, purpose: &LinkPurpose, audit: &AuditEntry) -> Result<Link, AccountsError> {
        let kept = &mut *self.kept();
        match purpose {
            LinkPurpose::First if !kept.operators.is_empty() => return Err(AccountsError::NotFirst),
            LinkPurpose::Invitation { name, .. } if kept.operators.contains_key(name) => {
                return Err(AccountsError::Exists(name.clone()));
            }
            LinkPurpose::Reset { name } => match kept.operators.get(name).map(|operator| &operator.credential) {
                None => return Err(AccountsError::Missing(name.clone())),
                Some(Credential::Provider(_)) => return Err(AccountsError::OfProvider(name.clone())),
                Some(Credential::Password(_)) => {}
            },
            LinkPurpose::First | LinkPurpose::Invitation { .. } => {}
        }
        kept.links.retain(|_, link| link.expires_at > audit.at && link.purpose.name() != purpose.name());
        if matches!(purpose, LinkPurpose::Invitation { .. }) && kept.places_taken() >= self.limits.operators_max {
            return Err(AccountsError::Full(self.limits.operators_max));
        }
        let link = Link { purpose: purpose.clone(), expires_at: audit.at.plus(self.limits.link_valid) };
        kept.links.insert(token, link.clone());
        kept.note(audit, &self.limits);
        Ok(link)
    }

    fn link(&self, token: &TokenDigest, now: Timestamp) -> Result<Link, AccountsError> {
        let kept = self.kept();
        let link = kept.links.get(token).filter(|link| link.expires_at > now).ok_or(AccountsError::LinkGone)?;
        Ok(link.clone())
    }

    fn links(&self, now: Timestamp) -> Result<Vec<Link>, AccountsError> {
        let mut links: Vec<_> = self.kept().links.values().filter(|link| link.expires_at > now).cloned().collect();
        links.sort_by(|one, other| one.purpose.name().cmp(&other.purpose.name()));
        Ok(links)
    }

    fn use_link(
        &self,
        token: &TokenDigest,
        name: &OperatorName,
        password: &PasswordHash,
        audit: &AuditEntry,
    ) -> Result<Operator, AccountsError> {
        let kept = &mut *self.kept();
        let link = kept.links.get(token).filter(|link| link.expires_at > audit.at).ok_or(AccountsError::LinkGone)?;
        if link.purpose.name().is_some_and(|of_link| of_link != name) {
            return Err(AccountsError::LinkGone);
        }
        let new_role = match link.purpose {
            LinkPurpose::First if !kept.operators.is_empty() => return Err(AccountsError::NotFirst),
            LinkPurpose::First => Some(Role::Admin),
            LinkPurpose::Invitation { .. } if kept.operators.contains_key(name) => {
                return Err(AccountsError::Exists(name.clone()));
            }
            LinkPurpose::Invitation { role, .. } => Some(role),
            LinkPurpose::Reset { .. } => None,
        };
        kept.links.remove(token);
        if let Some(role) = new_role {
            let operator = Operator {
                name: name.clone(),
                role,
                state: OperatorState::Enabled,
                credential: Credential::Password(password.clone()),
                totp: None,
                language: None,
                created_at: audit.at,
                signed_in_at: None,
            };
            kept.operators.insert(name.clone(), operator);
        }
        kept.totp_steps.remove(name);
        kept.sessions.retain(|_, session| session.operator != *name);
        let operator = kept.operators.get_mut(name).ok_or_else(|| AccountsError::Missing(name.clone()))?;
        operator.credential = Credential::Password(password.clone());
        operator.totp = None;
        let operator = operator.clone();
        kept.note(audit, &self.limits);
        Ok(operator)
    }

    fn change_operator(
        &self,
        name: &OperatorName,
        change: &OperatorChange,
        audit: &AuditEntry,
    ) -> Result<(), AccountsError> {
        let kept = &mut *self.kept();
        let has_other_admins = kept.other_admins(name);
        let operator = kept.operators.get_mut(name).ok_or_else(|| AccountsError::Missing(name.clone()))?;
        let is_of_provider = matches!(operator.credential, Credential::Provider(_));
        let is_last = operator.role == Role::Admin && operator.state == OperatorState::Enabled && !has_other_admins;
        match change {
            OperatorChange::Role(_) | OperatorChange::Password(..) | OperatorChange::Totp(..) if is_of_provider => {
                return Err(AccountsError::OfProvider(name.clone()));
            }
            OperatorChange::ProvidedRole(_) if !is_of_provider => return Err(AccountsError::NotLetIn(name.clone())),
            OperatorChange::Role(role) if is_last && *role != Role::Admin => {
                return Err(AccountsError::LastAdmin(name.clone()));
            }
            OperatorChange::State(OperatorState::Disabled) if is_last => {
                return Err(AccountsError::LastAdmin(name.clone()));
            }
            OperatorChange::Role(role) | OperatorChange::ProvidedRole(role) => operator.role = *role,
            OperatorChange::State(state) => {
                operator.state = *state;
                if *state == OperatorState::Disabled {
                    kept.sessions.retain(|_, session| session.operator != *name);
                }
            }
            OperatorChange::Password(password, token) => {
                operator.credential = Credential::Password(password.clone());
                kept.sessions.retain(|kept, session| session.operator != *name || kept == token);
            }
            OperatorChange::Totp(secret, step) => {
                operator.totp = Some(secret.clone());
                kept.totp_steps.insert(name.clone(), *step);
            }
            OperatorChange::NoTotp => {
                operator.totp = None;
                kept.totp_steps.remove(name);
            }
            OperatorChange::Language(language) => operator.language = *language,
        }
        kept.note(audit, &self.limits);
        Ok(())
    }

    fn begin_session(&self, new: &NewSession, audit: &AuditEntry) -> Result<(), AccountsError> {
        let kept = &mut *self.kept();
        let name = &new.operator;
        let refused = || AccountsError::NotLetIn(name.clone());
        let operator = kept.operators.get_mut(name).ok_or_else(refused)?;
        let is_same = operator.credential == new.credential && operator.totp.is_some() == new.totp_step.is_some();
        if operator.state == OperatorState::Disabled || !is_same {
            return Err(refused());
        }
        if let Some(step) = new.totp_step {
            if kept.totp_steps.get(name).is_some_and(|last| *last >= step) {
                return Err(refused());
            }
            kept.totp_steps.insert(name.clone(), step);
        }
        operator.signed_in_at = Some(audit.at);
        let held: Vec<_> = kept.sessions.iter().filter(|(_, session)| !self.holds(session, audit.at)).collect();
        let over: Vec<_> = held.into_iter().map(|(token, _)| *token).collect();
        for token in over {
            kept.sessions.remove(&token);
        }
        let mine = |session: &&Session| session.operator == *name;
        while kept.sessions.values().filter(mine).count() >= self.limits.sessions_per_operator_max {
            let oldest = kept.sessions.values().filter(mine).min_by_key(|session| (session.seen_at, session.token));
            let Some(oldest) = oldest.map(|session| session.token) else { break };
            kept.sessions.remove(&oldest);
        }
        let session = Session {
            token: new.token,
            operator: name.clone(),
            address: new.address,
            agent: new.agent.clone(),
            created_at: audit.at,
            seen_at: audit.at,
        };
        kept.sessions.insert(new.token, session);
        kept.note(audit, &self.limits);
        Ok(())
    }

    fn session(&self, token: &TokenDigest, now: Timestamp) -> Result<Option<(Session, Operator)>, AccountsError> {
        let kept = &mut *self.kept();
        let Some(session) = kept.sessions.get_mut(token).filter(|session| self.holds(session, now)) else {
            return Ok(None);
        };
        if now.since(session.seen_at) >= self.limits.seen_every {
            session.seen_at = now;
        }
        let operator = kept.operators.get(&session.operator);
        Ok(operator.map(|operator| (session.clone(), operator.clone())))
    }

    fn sessions(&self, name: &OperatorName, now: Timestamp) -> Result<Vec<Session>, AccountsError> {
        let kept = self.kept();
        let mine = kept.sessions.values().filter(|session| session.operator == *name && self.holds(session, now));
        let mut mine: Vec<_> = mine.cloned().collect();
        mine.sort_by_key(|session| (std::cmp::Reverse(session.seen_at), session.token));
        Ok(mine)
    }

    fn end_session(&self, name: &OperatorName, token: &TokenDigest, audit: &AuditEntry) -> Result<bool, AccountsError> {
        let kept = &mut *self.kept();
        let was_there = kept.sessions.get(token).is_some_and(|session| session.operator == *name);
        if was_there {
            kept.sessions.remove(token);
            kept.note(audit, &self.limits);
        }
        Ok(was_there)
    }

    fn end_sessions(&self, name: &OperatorName, audit: &AuditEntry) -> Result<(), AccountsError> {
        let kept = &mut *self.kept();
        kept.sessions.retain(|_, session| session.operator != *name);
        kept.note(audit, &self.limits);
        Ok(())
    }

    fn note(&self, entry: &AuditEntry) -> Result<(), AccountsError> {
        self.kept().note(entry, &self.limits);
        Ok(())
    }

    fn audit(
        &self,
        before: Option<AuditNumber>,
        count: usize,
    ) -> Result<Vec<(AuditNumber, AuditEntry)>, AccountsError> {
        let kept = self.kept();
        let lines = kept.audit.iter().rev().filter(|(number, _)| before.is_none_or(|before| **number < before));
        Ok(lines.take(count).map(|(number, entry)| (*number, entry.clone())).collect())
    }

    fn audit_size(&self) -> Result<AuditSize, AccountsError> {
        let kept = self.kept();
        let strangers = kept.audit.values().filter(|entry| entry.actor == Actor::Stranger).count() as u64;
        Ok(AuditSize { entries: kept.audit.len() as u64 - strangers, strangers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance_accounts::check_account_store;

    #[test]
    fn is_a_store_of_accounts() {
        check_account_store(&|limits| Box::new(MemoryAccounts::new(limits)));
    }
}
