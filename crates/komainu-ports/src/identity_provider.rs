//! Signing in through an OpenID provider: the authorization code flow of OpenID Connect Core 1.0, as a browser and the
//! console go through it.

use std::error::Error;
use std::fmt;

use komainu_model::Timestamp;

use crate::accounts::ProviderIdentity;

/// Values of the claim with roles that are kept of one person; a directory may put somebody into a few hundred groups.
pub const VOUCHED_VALUES_MAX: usize = 1_024;

/// What a browser is sent to the provider with. All of it is ASCII that an address holds as it is.
#[derive(Clone, PartialEq, Eq)]
pub struct SignInRequest {
    /// Comes back with the answer, and shows that this browser asked.
    pub state: String,
    /// Comes back in the token, and shows that the token is for this question.
    pub nonce: String,
    /// The secret of RFC 7636, whose digest the provider is told: only who has it can use the answer.
    pub verifier: String,
    /// Where the browser is sent back to.
    pub back_to: String,
}

/// What a browser came back with, and what was asked.
#[derive(Clone, PartialEq, Eq)]
pub struct CodeAnswer {
    /// The provider's code. Hostile until the provider takes it.
    pub code: String,
    /// As it was in the question.
    pub nonce: String,
    /// As it was in the question.
    pub verifier: String,
    /// As it was in the question.
    pub back_to: String,
}

impl fmt::Debug for SignInRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignInRequest").field("back_to", &self.back_to).finish_non_exhaustive()
    }
}

impl fmt::Debug for CodeAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeAnswer").field("back_to", &self.back_to).finish_non_exhaustive()
    }
}

/// What a provider says of somebody. It is trusted for that, and hostile as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    /// Who they are to it.
    pub identity: ProviderIdentity,
    /// The value of the claim that names them, if there is one; at most 256 bytes.
    pub name: Option<String>,
    /// The values of the claim by which roles are given, at most [`VOUCHED_VALUES_MAX`] of at most 256 bytes each.
    pub values: Vec<String>,
}

/// An OpenID provider. Calls block, for some ten seconds at most, and can be made on any thread that may. It keeps what the
/// provider says of itself, for a while.
pub trait IdentityProvider: Send + Sync {
    /// The address to which a browser is sent.
    fn address(&self, request: &SignInRequest, now: Timestamp) -> Result<String, ProviderError>;

    /// Fails unless an answer that says to come from this issuer can be the provider's (RFC 9207): another one is refused, and
    /// so is none when the provider announces that it says it.
    fn check_issuer(&self, issuer: Option<&str>, now: Timestamp) -> Result<(), ProviderError>;

    /// Has the provider say whose code this is. The token is checked before anything of it counts.
    fn redeem(&self, answer: &CodeAnswer, now: Timestamp) -> Result<Vouched, ProviderError>;

    /// Where a browser signs out of the provider as well, and is sent to `back_to` from; none if the provider says nothing of
    /// that, or nothing is known of it yet.
    fn sign_out_address(&self, back_to: &str) -> Option<String>;
}

/// Why nobody is vouched for.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It does not answer, or with what is no answer; trying again may help.
    #[error("the OpenID provider is unavailable while {doing}")]
    Unavailable {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// It and the configuration do not fit together; nothing but changing one of them helps.
    #[error("the OpenID provider and the configuration do not fit together: {reason}")]
    Misfit {
        /// What does not.
        reason: String,
    },
    /// It does not take the code: it was used, is too old, or was never given.
    #[error("the OpenID provider does not accept the code: {reason}")]
    CodeRefused {
        /// What it said, made visible and cut.
        reason: String,
    },
    /// The answer says to be another provider's.
    #[error("the answer comes from another issuer, or does not say from which")]
    WrongIssuer,
    /// What it said cannot be relied on.
    #[error("the token of the OpenID provider does not count: {0}")]
    Token(#[from] TokenFault),
}

/// What is wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenFault {
    /// It is no token, or lacks what each has.
    #[error("it cannot be read")]
    Malformed,
    /// It is signed in a way that shows nothing.
    #[error("its algorithm is not one that is accepted")]
    Algorithm,
    /// It is signed with a key that the provider does not publish.
    #[error("its key is not one of the provider's")]
    Key,
    /// Its signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// It is another provider's.
    #[error("its issuer is another one")]
    Issuer,
    /// It is for somebody else than us.
    #[error("it is for somebody else")]
    Audience,
    /// It was asked for by somebody else than us.
    #[error("somebody else asked for it")]
    Party,
    /// It is over, or not yet: clocks differ.
    #[error("it does not count at this time: clocks may differ")]
    Time,
    /// It belongs to another question.
    #[error("its nonce is another one")]
    Nonce,
    /// What the provider says beside it is about somebody else.
    #[error("what is said beside it is about somebody else")]
    Subject,
}

impl ProviderError {
    /// The word for it in the log and in the audit trail.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "provider-unavailable",
            Self::Misfit { .. } => "provider-misfit",
            Self::CodeRefused { .. } => "code-refused",
            Self::WrongIssuer => "wrong-issuer",
            Self::Token(TokenFault::Malformed) => "token-malformed",
            Self::Token(TokenFault::Algorithm) => "token-algorithm",
            Self::Token(TokenFault::Key) => "token-key",
            Self::Token(TokenFault::Signature) => "token-signature",
            Self::Token(TokenFault::Issuer) => "token-issuer",
            Self::Token(TokenFault::Audience) => "token-audience",
            Self::Token(TokenFault::Party) => "token-party",
            Self::Token(TokenFault::Time) => "token-time",
            Self::Token(TokenFault::Nonce) => "token-nonce",
            Self::Token(TokenFault::Subject) => "token-subject",
        }
    }
}
