//! `komainu operators`: who uses the console, from the command line.

use std::fmt;

use clap::{Subcommand, ValueEnum};
use komainu_console::{Accounts, By, OneTimeLink};
use komainu_model::{OperatorName, Role};
use komainu_ports::{Credential, Link, LinkPurpose, Operator, OperatorState};
use serde::{Deserialize, Serialize};

use crate::admin::{AdminReply, AdminRequest, calendar_time};
use crate::{DataArgs, ask};

#[derive(Debug, Subcommand)]
pub(crate) enum OperatorsCommand {
    /// Make a link with which somebody becomes an operator. It counts once, for a day.
    Invite {
        /// The name under which they sign in, 1 to 64 characters of `a-z 0-9 . _ - @`.
        name: String,
        /// What they may do.
        #[arg(long, value_enum, default_value_t = RoleName::Viewer)]
        role: RoleName,
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Make somebody an operator at once, with a password that is shown once: for machines that nobody sits at.
    Add {
        /// The name under which they sign in, 1 to 64 characters of `a-z 0-9 . _ - @`.
        name: String,
        /// What they may do.
        #[arg(long, value_enum, default_value_t = RoleName::Viewer)]
        role: RoleName,
        #[command(flatten)]
        folder: DataArgs,
    },
    /// List operators, and links that were not used yet.
    List {
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Make a link with which an operator chooses another password; their one-time codes end with it.
    Reset {
        /// Who.
        name: String,
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Make a link with which an operator signs in without their password. It counts once, for 15 minutes, and not for
    /// those who use one-time codes.
    SignIn {
        /// Who.
        name: String,
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Let an operator in no more, and end their sessions.
    Disable {
        /// Who.
        name: String,
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Let an operator in again.
    Enable {
        /// Who.
        name: String,
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Change what an operator may do.
    Role {
        /// Who.
        name: String,
        /// What they may do.
        #[arg(value_enum)]
        role: RoleName,
        #[command(flatten)]
        folder: DataArgs,
    },
}

/// A role, as it is named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RoleName {
    /// Looks.
    Viewer,
    /// Works: answers alarms, changes profiles, hands samples in.
    Analyst,
    /// Says who may do what.
    Admin,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Viewer => Self::Viewer,
            RoleName::Analyst => Self::Analyst,
            RoleName::Admin => Self::Admin,
        }
    }
}

/// What is asked of the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum OperatorsRequest {
    /// Make a link for somebody new.
    Invite { name: String, role: RoleName },
    /// Make somebody one, with a password that nobody chose.
    Add { name: String, role: RoleName },
    /// List them.
    List,
    /// Make a link for another password.
    Reset { name: String },
    /// Make a link with which somebody signs in.
    SignIn { name: String },
    /// Let somebody in no more.
    Disable { name: String },
    /// Let somebody in again.
    Enable { name: String },
    /// Change what somebody may do.
    Role { name: String, role: RoleName },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum OperatorsReply {
    /// A link for somebody; this is the only time it is shown.
    Link { name: String, url: String, expires_unix_s: i64 },
    /// Somebody is an operator; this is the only time their password is shown.
    Added { name: String, role: String, password: String },
    /// Everybody, in the order of their names, and the links.
    All { operators: Vec<OperatorLine>, links: Vec<LinkLine> },
    /// It is done.
    Changed { name: String, what: String },
}

/// An operator as they are listed. Times are in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct OperatorLine {
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) is_enabled: bool,
    pub(crate) has_codes: bool,
    /// The provider through which they sign in, as it calls itself; none for those with a password.
    pub(crate) provider: Option<String>,
    pub(crate) signed_in_unix_s: Option<i64>,
}

/// A link that was not used yet. Times are in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LinkLine {
    /// For whom and for what.
    pub(crate) purpose: String,
    pub(crate) expires_unix_s: i64,
}

impl fmt::Display for OperatorsReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link { name, url, expires_unix_s } => {
                writeln!(f, "a link for {name}, which counts once, until {}:", calendar_time(*expires_unix_s))?;
                writeln!(f, "  {url}")
            }
            Self::Added { name, role, password } => {
                writeln!(f, "{name} is an operator now, as {role}; this password is not shown again:")?;
                writeln!(f, "  {password}")
            }
            Self::All { operators, links } => {
                if operators.is_empty() {
                    writeln!(f, "no operators; `komainu serve` prints a link for the first one")?;
                } else {
                    let (name, role, state, codes) = ("NAME", "ROLE", "STATE", "CODES");
                    writeln!(f, "{name:<32} {role:<8} {state:<9} {codes:<6} {:<20} BY", "SIGNED IN LAST (UTC)")?;
                }
                for operator in operators {
                    let state = if operator.is_enabled { "enabled" } else { "disabled" };
                    let codes = if operator.has_codes { "yes" } else { "no" };
                    let signed_in = operator.signed_in_unix_s.map_or("never".to_owned(), calendar_time);
                    let (name, role) = (&operator.name, &operator.role);
                    let by = operator.provider.as_deref().unwrap_or("password");
                    writeln!(f, "{name:<32} {role:<8} {state:<9} {codes:<6} {signed_in:<20} {by}")?;
                }
                links.iter().try_for_each(|link| {
                    writeln!(f, "link for {}, until {}", link.purpose, calendar_time(link.expires_unix_s))
                })
            }
            Self::Changed { name, what } => writeln!(f, "{name} {what}"),
        }
    }
}

/// Carries a request out. Blocks.
pub(crate) fn carry_out(request: OperatorsRequest, accounts: &Accounts) -> anyhow::Result<OperatorsReply> {
    let by = &By::COMMAND_LINE;
    let link = |name: OperatorName, link: OneTimeLink| OperatorsReply::Link {
        name: name.to_string(),
        url: link.url,
        expires_unix_s: link.expires_at.unix_seconds(),
    };
    let changed =
        |name: OperatorName, what: &str| OperatorsReply::Changed { name: name.to_string(), what: what.to_owned() };
    Ok(match request {
        OperatorsRequest::Invite { name, role } => {
            let name = OperatorName::parse(&name)?;
            let made = accounts.invite(&name, role.into(), by)?;
            link(name, made)
        }
        OperatorsRequest::Add { name, role } => {
            let (name, role) = (OperatorName::parse(&name)?, Role::from(role));
            let password = accounts.add(&name, role, by)?;
            OperatorsReply::Added { name: name.to_string(), role: role.to_string(), password }
        }
        OperatorsRequest::Reset { name } => {
            let name = OperatorName::parse(&name)?;
            let made = accounts.reset(&name, by)?;
            link(name, made)
        }
        OperatorsRequest::SignIn { name } => {
            let name = OperatorName::parse(&name)?;
            let made = accounts.sign_in_link(&name, by)?;
            link(name, made)
        }
        OperatorsRequest::List => OperatorsReply::All {
            operators: accounts.operators()?.into_iter().map(operator_line).collect(),
            links: accounts.links()?.into_iter().map(link_line).collect(),
        },
        OperatorsRequest::Disable { name } => {
            let name = OperatorName::parse(&name)?;
            accounts.set_state(&name, OperatorState::Disabled, by)?;
            changed(name, "is disabled")
        }
        OperatorsRequest::Enable { name } => {
            let name = OperatorName::parse(&name)?;
            accounts.set_state(&name, OperatorState::Enabled, by)?;
            changed(name, "is enabled")
        }
        OperatorsRequest::Role { name, role } => {
            let (name, role) = (OperatorName::parse(&name)?, Role::from(role));
            accounts.set_role(&name, role, by)?;
            changed(name, &format!("is {role} now"))
        }
    })
}

fn operator_line(operator: Operator) -> OperatorLine {
    OperatorLine {
        name: operator.name.to_string(),
        role: operator.role.to_string(),
        is_enabled: operator.state == OperatorState::Enabled,
        has_codes: operator.totp.is_some(),
        provider: match operator.credential {
            Credential::Password(_) => None,
            Credential::Provider(identity) => Some(identity.issuer),
        },
        signed_in_unix_s: operator.signed_in_at.map(|at| at.unix_seconds()),
    }
}

fn link_line(link: Link) -> LinkLine {
    let purpose = match link.purpose {
        LinkPurpose::First => "the first operator".to_owned(),
        LinkPurpose::Invitation { name, role } => format!("{name}, invited as {role}"),
        LinkPurpose::Reset { name } => format!("{name}, for another password"),
    };
    LinkLine { purpose, expires_unix_s: link.expires_at.unix_seconds() }
}

/// Carries out a command.
pub(crate) fn run(command: OperatorsCommand) -> anyhow::Result<()> {
    let (folder, request) = match command {
        OperatorsCommand::Invite { name, role, folder } => (folder, OperatorsRequest::Invite { name, role }),
        OperatorsCommand::Add { name, role, folder } => (folder, OperatorsRequest::Add { name, role }),
        OperatorsCommand::List { folder } => (folder, OperatorsRequest::List),
        OperatorsCommand::Reset { name, folder } => (folder, OperatorsRequest::Reset { name }),
        OperatorsCommand::SignIn { name, folder } => (folder, OperatorsRequest::SignIn { name }),
        OperatorsCommand::Disable { name, folder } => (folder, OperatorsRequest::Disable { name }),
        OperatorsCommand::Enable { name, folder } => (folder, OperatorsRequest::Enable { name }),
        OperatorsCommand::Role { name, role, folder } => (folder, OperatorsRequest::Role { name, role }),
    };
    let reply: AdminReply = ask(&folder, AdminRequest::Operators(request))?;
    print!("{reply}");
    Ok(())
}
