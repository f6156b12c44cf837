//! Signing in to the console through an OpenID provider: what is configured.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use komainu_console::{PasswordRule, ProviderRules, SignInProvider};
use komainu_engines::{OidcConfig, OidcConfigError, OidcProvider, check_issuer};
use komainu_model::Role;
use serde::{Deserialize, Serialize};

use crate::operators::RoleName;

/// Values that give a role, all in all; each is compared with those of everybody who comes.
const VALUES_MAX: usize = 1_000;
/// Bytes of one of them, and of a claim's name.
const VALUE_BYTES_MAX: usize = 256;
/// Characters of what the button says of the provider: more do not fit on it.
const NAME_CHARS_MAX: usize = 40;
/// Scopes that are asked for.
const SCOPES_MAX: usize = 32;
/// Bytes of a scope, and of the name that we have at the provider.
const WORD_BYTES_MAX: usize = 256;

/// The OpenID provider through which operators sign in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OidcSection {
    /// What the provider calls itself; without it, there is none.
    pub(crate) issuer: Option<String>,
    /// Who we are to it.
    pub(crate) client_id: Option<String>,
    /// A file with our secret there; without it we are a public client.
    pub(crate) client_secret_file: Option<PathBuf>,
    /// What people call it.
    pub(crate) name: String,
    /// What is asked for.
    pub(crate) scopes: Vec<String>,
    /// The claim by which roles are given.
    pub(crate) roles_claim: String,
    /// Which of its values give which role.
    pub(crate) roles: BTreeMap<RoleName, Vec<String>>,
    /// The role of those to whom no value gives one.
    pub(crate) default_role: Option<RoleName>,
    /// The claim that names people.
    pub(crate) username_claim: String,
    /// A file with root certificates (PEM) that are trusted besides the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// Whether anybody signs in with a password as well.
    pub(crate) passwords: bool,
}

impl Default for OidcSection {
    fn default() -> Self {
        Self {
            issuer: None,
            client_id: None,
            client_secret_file: None,
            name: "OpenID".to_owned(),
            scopes: ["openid", "profile", "email"].map(str::to_owned).to_vec(),
            roles_claim: "groups".to_owned(),
            roles: BTreeMap::new(),
            default_role: None,
            username_claim: "preferred_username".to_owned(),
            ca_file: None,
            passwords: true,
        }
    }
}

impl OidcSection {
    /// Refuses what makes no sense.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let Some(issuer) = &self.issuer else {
            if *self != Self::default() {
                bail!("console.oidc.issuer is missing, and other keys of console.oidc are set");
            }
            return Ok(());
        };
        check_issuer(issuer)?;
        let is_word = |text: &str| {
            !text.is_empty() && text.len() <= WORD_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !self.client_id.as_deref().is_some_and(is_word) {
            bail!("console.oidc.client_id is missing, or is not one word");
        }
        let name_chars = self.name.chars().count();
        if self.name.trim().is_empty() || name_chars > NAME_CHARS_MAX || self.name.chars().any(char::is_control) {
            bail!("console.oidc.name must have 1 to {NAME_CHARS_MAX} characters");
        }
        if !self.scopes.iter().any(|scope| scope == "openid") {
            bail!("console.oidc.scopes must have \"openid\" among them");
        }
        if self.scopes.len() > SCOPES_MAX || !self.scopes.iter().all(|scope| is_word(scope)) {
            bail!("console.oidc.scopes must be {SCOPES_MAX} words at most");
        }
        for (key, claim) in [("roles_claim", &self.roles_claim), ("username_claim", &self.username_claim)] {
            if claim.is_empty() || claim.len() > VALUE_BYTES_MAX {
                bail!("console.oidc.{key} must have 1 to {VALUE_BYTES_MAX} bytes");
            }
        }
        self.check_roles()
    }

    fn check_roles(&self) -> anyhow::Result<()> {
        let mut seen = BTreeSet::new();
        for value in self.roles.values().flatten() {
            if value.is_empty() || value.len() > VALUE_BYTES_MAX {
                bail!("console.oidc.roles: {value:?} must have 1 to {VALUE_BYTES_MAX} bytes");
            }
            if !seen.insert(value) {
                bail!("console.oidc.roles: {value:?} gives two roles, or stands there twice");
            }
        }
        if seen.len() > VALUES_MAX {
            bail!("console.oidc.roles has more than {VALUES_MAX} values");
        }
        if seen.is_empty() && self.default_role.is_none() {
            bail!("nobody could come in: set console.oidc.roles or console.oidc.default_role");
        }
        Ok(())
    }

    /// Whether anybody signs in with a password.
    pub(crate) const fn password_rule(&self) -> PasswordRule {
        if self.passwords { PasswordRule::Allowed } else { PasswordRule::Refused }
    }

    /// The provider, which is not asked yet; none without one. Reads files, so it blocks, within a runtime.
    pub(crate) fn open(&self) -> Result<Option<SignInProvider>, OidcConfigError> {
        let Some(issuer) = self.issuer.clone() else { return Ok(None) };
        let provider = OidcProvider::new(OidcConfig {
            issuer,
            client_id: self.client_id.clone().unwrap_or_default(),
            client_secret_file: self.client_secret_file.clone(),
            scopes: self.scopes.clone(),
            username_claim: self.username_claim.clone(),
            roles_claim: self.roles_claim.clone(),
            ca_file: self.ca_file.clone(),
        })?;
        let rules = ProviderRules {
            name: self.name.clone(),
            roles: self.roles.iter().map(|(role, values)| (Role::from(*role), values.clone())).collect(),
            default_role: self.default_role.map(Role::from),
        };
        Ok(Some(SignInProvider { provider: Arc::new(provider), rules }))
    }
}
