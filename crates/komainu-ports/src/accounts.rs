//! Operators of the console: who they are, how they come in, and what they did.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use komainu_model::{Language, OperatorName, Role, Timestamp};

/// The SHA-256 of a token. The token itself is shown to one person or kept by one browser, and never written down: who
/// reads the store cannot come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The digest with these bytes.
    pub const fn from_sha256(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    /// Its bytes.
    pub const fn sha256(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A password as it is kept: argon2id in PHC form. It never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Takes what the hashing made.
    pub const fn from_phc(phc: String) -> Self {
        Self(phc)
    }

    /// The PHC form, for verifying and for storing.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// What one-time codes are made of: 160 bits, as RFC 4226 section 4 recommends. Codes can only be checked with the secret
/// itself, so it is kept as it is. It never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpSecret([u8; 20]);

impl TotpSecret {
    /// The secret with these bytes.
    pub const fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// Its bytes, for checking codes and for storing.
    pub const fn expose(&self) -> &[u8; 20] {
        &self.0
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret(…)")
    }
}

/// Who somebody is to an OpenID provider. A name may be given to somebody else one day; this never is (OpenID Connect Core
/// 1.0, section 2, `sub`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderIdentity {
    /// The provider, as it calls itself: an address of at most [`ISSUER_BYTES_MAX`].
    pub issuer: String,
    /// Who, in its words: at most [`SUBJECT_BYTES_MAX`], not empty.
    pub subject: String,
}

/// Bytes of a provider's name for itself; they are addresses, and longer ones are none that people configure.
pub const ISSUER_BYTES_MAX: usize = 512;

/// Bytes of a provider's name for somebody (OpenID Connect Core 1.0, section 2: 255 characters of ASCII).
pub const SUBJECT_BYTES_MAX: usize = 255;

/// By what an operator shows who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A password that is kept here.
    Password(PasswordHash),
    /// The word of a provider; they have no password and no one-time codes here.
    Provider(ProviderIdentity),
}

impl Credential {
    /// The password, if it is one.
    pub const fn password(&self) -> Option<&PasswordHash> {
        match self {
            Self::Password(password) => Some(password),
            Self::Provider(_) => None,
        }
    }
}

/// Somebody who uses the console. Nobody is ever removed: names in the audit trail stay those of one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The name under which they sign in.
    pub name: OperatorName,
    /// What they may do.
    pub role: Role,
    /// Whether they may come in.
    pub state: OperatorState,
    /// By what they show who they are.
    pub credential: Credential,
    /// The secret of their one-time codes, if they use them.
    pub totp: Option<TotpSecret>,
    /// The language they chose; without it their browser says.
    pub language: Option<Language>,
    /// When they came first.
    pub created_at: Timestamp,
    /// When they signed in last.
    pub signed_in_at: Option<Timestamp>,
}

/// Whether an operator may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OperatorState {
    /// They may.
    Enabled,
    /// They may not, until somebody enables them.
    Disabled,
}

/// A change of one operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorChange {
    /// They may do other things. Refused for those who come through a provider: it says what they may do.
    Role(Role),
    /// Their provider says that they may do other things. This counts for the last admin as well: whoever may do less must not
    /// come in as somebody who may do more, and the command line can make another admin.
    ProvidedRole(Role),
    /// They may come in or not. All sessions of a disabled one end.
    State(OperatorState),
    /// They have another password. All their sessions but this one end. Refused, as are codes, for those who come through a
    /// provider.
    Password(PasswordHash, TokenDigest),
    /// They use one-time codes from now on; the code of this step was used to show it.
    Totp(TotpSecret, TotpStep),
    /// They use none any more.
    NoTotp,
    /// They chose another language, or leave it to their browser.
    Language(Option<Language>),
}

/// The number of a span of 30 seconds since 1970 in which a one-time code counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TotpStep(pub u64);

/// What a one-time link is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkPurpose {
    /// Whoever has it becomes the first operator, an admin, under a name of their choice. It counts while there is none.
    First,
    /// Whoever has it becomes this operator.
    Invitation {
        /// Under this name.
        name: OperatorName,
        /// With this role.
        role: Role,
    },
    /// This operator chooses another password; their one-time codes and all their sessions end.
    Reset {
        /// Who.
        name: OperatorName,
    },
}

impl LinkPurpose {
    /// For whom it is, if that is said.
    pub const fn name(&self) -> Option<&OperatorName> {
        match self {
            Self::First => None,
            Self::Invitation { name, .. } | Self::Reset { name } => Some(name),
        }
    }
}

/// A one-time link that was not used yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What it is for. There is one at most for each name, and one for the first operator: a new one replaces it.
    pub purpose: LinkPurpose,
    /// Until when it counts.
    pub expires_at: Timestamp,
}

/// Somebody for whom a provider vouches, and who was not here before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    /// Who they are to the provider.
    pub identity: ProviderIdentity,
    /// The name that they get.
    pub name: OperatorName,
    /// What they may do.
    pub role: Role,
}

/// Somebody signs in.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// The token that their browser keeps.
    pub token: TokenDigest,
    /// Who.
    pub operator: OperatorName,
    /// What was verified. If it is another one by now, nobody comes in.
    pub credential: Credential,
    /// The step of the one-time code that was verified, if they use codes.
    pub totp_step: Option<TotpStep>,
    /// From where.
    pub address: IpAddr,
    /// What their browser calls itself, at most 256 bytes.
    pub agent: String,
}

/// A browser in which somebody is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its token.
    pub token: TokenDigest,
    /// Who.
    pub operator: OperatorName,
    /// From where they signed in.
    pub address: IpAddr,
    /// What their browser calls itself.
    pub agent: String,
    /// Since when.
    pub created_at: Timestamp,
    /// When it was used last, to the minute: [`AccountLimits::seen_every`].
    pub seen_at: Timestamp,
}

/// What was done, as the audit trail has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuditAction {
    /// A link for the first operator was made.
    FirstLink,
    /// Somebody was invited.
    Invite,
    /// A link for another password was made.
    Reset,
    /// A link with which somebody signs in without their password was made.
    SignInLink,
    /// A link was used: somebody is an operator now, or has another password.
    Welcome,
    /// Somebody signed in.
    SignIn,
    /// Somebody came through the provider.
    SignInProvider,
    /// Somebody signed out of one browser.
    SignOut,
    /// Somebody ended sessions of theirs in other browsers.
    EndSessions,
    /// An operator's role was changed.
    ChangeRole,
    /// An operator was disabled.
    Disable,
    /// An operator was enabled.
    Enable,
    /// Somebody changed their password.
    ChangePassword,
    /// Somebody uses one-time codes from now on.
    AddTotp,
    /// Somebody uses none any more.
    RemoveTotp,
    /// Somebody chose a language.
    ChangeLanguage,
    /// A security profile was made.
    CreateProfile,
    /// A security profile was changed.
    ChangeProfile,
    /// A security profile was deleted.
    DeleteProfile,
    /// A topic was made.
    CreateTopic,
    /// An address was subscribed to a topic.
    Subscribe,
    /// A subscription was ended.
    Unsubscribe,
    /// A test message was sent to a topic.
    TestTopic,
    /// An indicator was added by hand.
    AddIndicator,
    /// An indicator was taken back.
    RevokeIndicator,
    /// A sample is to be looked at once more.
    ExamineAgain,
    /// An access key was made.
    MakeKey,
    /// An access key was revoked.
    RevokeKey,
    /// A revoked access key was deleted.
    DeleteKey,
    /// Somebody said what they found out about an alarm.
    VerifyAlarm,
    /// Somebody let a behavior of a security profile tell nobody of its alarms.
    SuppressAlerts,
    /// Somebody let it tell again.
    ResumeAlerts,
    /// Somebody took the packets of a session.
    TakeCapture,
    /// Somebody asked for what their role does not allow, or with a form that is not ours.
    Trespass,
}

impl AuditAction {
    /// All of them.
    pub const ALL: [Self; 34] = [
        Self::FirstLink,
        Self::Invite,
        Self::Reset,
        Self::SignInLink,
        Self::Welcome,
        Self::SignIn,
        Self::SignInProvider,
        Self::SignOut,
        Self::EndSessions,
        Self::ChangeRole,
        Self::Disable,
        Self::Enable,
        Self::ChangePassword,
        Self::AddTotp,
        Self::RemoveTotp,
        Self::ChangeLanguage,
        Self::CreateProfile,
        Self::ChangeProfile,
        Self::DeleteProfile,
        Self::CreateTopic,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::TestTopic,
        Self::AddIndicator,
        Self::RevokeIndicator,
        Self::ExamineAgain,
        Self::MakeKey,
        Self::RevokeKey,
        Self::DeleteKey,
        Self::VerifyAlarm,
        Self::SuppressAlerts,
        Self::ResumeAlerts,
        Self::TakeCapture,
        Self::Trespass,
    ];

    /// The word for it in files and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FirstLink => "first-link",
            Self::Invite => "invite",
            Self::Reset => "reset",
            Self::SignInLink => "sign-in-link",
            Self::Welcome => "welcome",
            Self::SignIn => "sign-in",
            Self::SignInProvider => "sign-in-provider",
            Self::SignOut => "sign-out",
            Self::EndSessions => "end-sessions",
            Self::ChangeRole => "change-role",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::ChangePassword => "change-password",
            Self::AddTotp => "add-totp",
            Self::RemoveTotp => "remove-totp",
            Self::ChangeLanguage => "change-language",
            Self::CreateProfile => "create-profile",
            Self::ChangeProfile => "change-profile",
            Self::DeleteProfile => "delete-profile",
            Self::CreateTopic => "create-topic",
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::TestTopic => "test-topic",
            Self::AddIndicator => "add-indicator",
            Self::RevokeIndicator => "revoke-indicator",
            Self::ExamineAgain => "examine-again",
            Self::MakeKey => "make-key",
            Self::RevokeKey => "revoke-key",
            Self::DeleteKey => "delete-key",
            Self::VerifyAlarm => "verify-alarm",
            Self::SuppressAlerts => "suppress-alerts",
            Self::ResumeAlerts => "resume-alerts",
            Self::TakeCapture => "take-capture",
            Self::Trespass => "trespass",
        }
    }
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// An operator, signed in.
    Operator(OperatorName),
    /// Whoever has the data folder, on the command line; or the server itself at its start.
    CommandLine,
    /// The OpenID provider, by what it said of somebody.
    Provider,
    /// Somebody who was not signed in.
    Stranger,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuditOutcome {
    /// It was done.
    Done,
    /// It was refused.
    Refused,
}

/// A line of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// From where, if it came over the network.
    pub address: Option<IpAddr>,
    /// What.
    pub action: AuditAction,
    /// To whom or what: a name, or what a stranger typed as one. At most [`AUDIT_SUBJECT_BYTES_MAX`], hostile.
    pub subject: String,
    /// How it went.
    pub outcome: AuditOutcome,
}

/// Bytes of a subject in the audit trail; a longer one is cut. Names of operators have 64, paths a few more.
pub const AUDIT_SUBJECT_BYTES_MAX: usize = 256;

/// How many lines of the audit trail are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AuditSize {
    /// About operators and the command line.
    pub entries: u64,
    /// About strangers.
    pub strangers: u64,
}

/// The place of a line in the audit trail; later lines have higher ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditNumber(pub u64);

/// Bounds of the store of accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountLimits {
    /// Operators, and links that wait: the staff of a large security centre several times over. All are listed on one page.
    pub operators_max: usize,
    /// How long a link counts: a working day and a night.
    pub link_valid: Duration,
    /// Sessions of one operator at the same time; at the bound the one that was not used for the longest ends.
    pub sessions_per_operator_max: usize,
    /// A session ends when it is not used for so long: a shift.
    pub session_idle_max: Duration,
    /// A session ends after so long in any case: once a week a password is asked for.
    pub session_age_max: Duration,
    /// How exactly the last use of a session is known: each note of it is a write.
    pub seen_every: Duration,
    /// Lines of the audit trail about operators and the command line, some 150 bytes each; at the bound the oldest go.
    pub audit_entries_max: u64,
    /// Lines about strangers; at the bound the oldest of these go. They have a bound of their own, so that nobody who is not
    /// signed in can push out what operators did.
    pub audit_strangers_max: u64,
    /// How long a line of the audit trail is kept.
    pub audit_kept: Duration,
}

impl Default for AccountLimits {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        Self {
            operators_max: 1_000,
            link_valid: 24 * HOUR,
            sessions_per_operator_max: 16,
            session_idle_max: 12 * HOUR,
            session_age_max: 7 * 24 * HOUR,
            seen_every: Duration::from_secs(60),
            audit_entries_max: 1_000_000,
            audit_strangers_max: 200_000,
            audit_kept: 730 * 24 * HOUR,
        }
    }
}

/// Keeps operators, their links and sessions, and the audit trail. Calls may block. Durable on return. Whatever is
/// decided here holds also when two come at once. The line of the audit trail that comes with a change is written if the
/// change was made, and with it; its time is that of the change.
pub trait AccountStore: Send + Sync {
    /// An operator.
    fn operator(&self, name: &OperatorName) -> Result<Option<Operator>, AccountsError>;

    /// All operators, in the order of their names.
    fn operators(&self) -> Result<Vec<Operator>, AccountsError>;

    /// Whoever this is to a provider, if they were here before.
    fn operator_of(&self, identity: &ProviderIdentity) -> Result<Option<Operator>, AccountsError>;

    /// Makes somebody an operator because a provider vouches for them. A name that somebody has is refused, whoever that is.
    fn admit(&self, newcomer: &Newcomer, audit: &AuditEntry) -> Result<Operator, AccountsError>;

    /// The secret by which the console knows browsers again; `fresh` becomes it when there is none.
    fn browser_secret(&self, fresh: [u8; 32]) -> Result<[u8; 32], AccountsError>;

    /// Keeps a link; it replaces an earlier one for the same name. Refused are: one for the first operator when there is
    /// one, an invitation of somebody who is one, a reset for somebody who is none or comes through a provider.
    fn put_link(&self, token: TokenDigest, purpose: &LinkPurpose, audit: &AuditEntry) -> Result<Link, AccountsError>;

    /// A link that counts.
    fn link(&self, token: &TokenDigest, now: Timestamp) -> Result<Link, AccountsError>;

    /// All links that count, in the order of their names.
    fn links(&self, now: Timestamp) -> Result<Vec<Link>, AccountsError>;

    /// Uses a link up; `name` is the one that the first operator chose and must be that of the link otherwise.
    fn use_link(
        &self,
        token: &TokenDigest,
        name: &OperatorName,
        password: &PasswordHash,
        audit: &AuditEntry,
    ) -> Result<Operator, AccountsError>;

    /// Changes an operator. The last enabled admin stays one, unless their provider says otherwise.
    fn change_operator(
        &self,
        name: &OperatorName,
        change: &OperatorChange,
        audit: &AuditEntry,
    ) -> Result<(), AccountsError>;

    /// Begins a session. A one-time code counts once: its step must be later than that of the last one.
    fn begin_session(&self, new: &NewSession, audit: &AuditEntry) -> Result<(), AccountsError>;

    /// A session that holds, with its operator; notes that it was used.
    fn session(&self, token: &TokenDigest, now: Timestamp) -> Result<Option<(Session, Operator)>, AccountsError>;

    /// The sessions of an operator that hold, the one that was used last first.
    fn sessions(&self, name: &OperatorName, now: Timestamp) -> Result<Vec<Session>, AccountsError>;

    /// Ends a session of an operator. Whether there was one.
    fn end_session(&self, name: &OperatorName, token: &TokenDigest, audit: &AuditEntry) -> Result<bool, AccountsError>;

    /// Ends all sessions of an operator.
    fn end_sessions(&self, name: &OperatorName, audit: &AuditEntry) -> Result<(), AccountsError>;

    /// Adds a line to the audit trail.
    fn note(&self, entry: &AuditEntry) -> Result<(), AccountsError>;

    /// Lines of the audit trail before this one (all, without one), the newest first, at most `count`.
    fn audit(&self, before: Option<AuditNumber>, count: usize)
    -> Result<Vec<(AuditNumber, AuditEntry)>, AccountsError>;

    /// How many lines of the audit trail are kept.
    fn audit_size(&self) -> Result<AuditSize, AccountsError>;
}

/// Why something about accounts cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// There is no such operator.
    #[error("operator {0} is not known")]
    Missing(OperatorName),
    /// There is one already.
    #[error("operator {0} exists")]
    Exists(OperatorName),
    /// There is a first operator already.
    #[error("there is an operator: only admins invite others")]
    NotFirst,
    /// Nobody could say any more who may do what.
    #[error("operator {0} is the last admin who can sign in")]
    LastAdmin(OperatorName),
    /// The link was used, is too old, was replaced or was never made.
    #[error("the link does not count any more")]
    LinkGone,
    /// The operator is disabled, or has another password or other codes than those that were verified, or the code was used, or
    /// a link would spare them their codes.
    #[error("operator {0} cannot sign in with this")]
    NotLetIn(OperatorName),
    /// The operator comes through a provider, which says what they may do; they have no password and no codes here.
    #[error(
        "operator {0} signs in through the OpenID provider, which says what they may do; they have no password here"
    )]
    OfProvider(OperatorName),
    /// Nobody signs in with a password.
    #[error("nobody signs in with a password here (console.oidc.passwords)")]
    NoPasswords,
    /// As many operators and links are there as may be.
    #[error("there are {0} operators and links, and no more may be")]
    Full(usize),
    /// The medium failed; trying again may help.
    #[error("accounts are unavailable while {doing}")]
    Unavailable {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}
