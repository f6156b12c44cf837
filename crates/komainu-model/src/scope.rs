//! Whose state it is: every name a user can give is a name within one account and one region.

use std::fmt;
use std::sync::Arc;

use crate::id::{InvalidName, NameProblem, check_name};

/// An AWS account number: twelve decimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(Arc<str>);

impl AccountId {
    /// Takes twelve decimal digits.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName { kind: "account id", problem: NameProblem::Form { expected: "twelve decimal digits" } })
        }
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An AWS region name such as `us-east-1`. Any name of that shape is allowed: a region here is a name space.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(Arc<str>);

impl Region {
    /// Takes 1 to 32 characters of `a-z 0-9 -`.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        check_name("region", text, 32, "a-z 0-9 -", |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')?;
        Ok(Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One account in one region: the name space of everything a user can name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// The account.
    pub account: AccountId,
    /// The region.
    pub region: Region,
}

impl Scope {
    /// The ARN of `resource` (`thing/MyDevice`) of `service` (`iot`) in this scope.
    pub fn arn(&self, service: &str, resource: impl fmt::Display) -> Arn {
        Arn(format!("arn:aws:{service}:{}:{}:{resource}", self.region, self.account).into())
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An Amazon resource name, `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`, at most 2,048 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arn(Arc<str>);

impl Arn {
    /// Checks that `text` has the six parts of an ARN and no control characters.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let form = NameProblem::Form { expected: "of the form arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE" };
        check_name("ARN", text, 2048, "printable characters", |c| !c.is_control())?;
        let mut parts = text.splitn(6, ':');
        let is_arn = parts.next() == Some("arn") && parts.nth(4).is_some_and(|resource| !resource.is_empty());
        if is_arn { Ok(Self(text.into())) } else { Err(InvalidName { kind: "ARN", problem: form }) }
    }

    /// The ARN as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part at `index`, counted from 0 (`arn`) to 5 (the resource).
    fn part(&self, index: usize) -> &str {
        self.0.splitn(6, ':').nth(index).unwrap_or_default()
    }

    /// The service, `iot`.
    pub fn service(&self) -> &str {
        self.part(2)
    }

    /// The region; empty for global resources.
    pub fn region(&self) -> &str {
        self.part(3)
    }

    /// The account; empty for resources without one.
    pub fn account(&self) -> &str {
        self.part(4)
    }

    /// The resource, `thing/MyDevice`.
    pub fn resource(&self) -> &str {
        self.part(5)
    }

    /// The resource, when the ARN is of `service` in `scope`.
    pub fn resource_in(&self, service: &str, scope: &Scope) -> Option<&str> {
        (self.service() == service
            && self.region() == scope.region.as_str()
            && self.account() == scope.account.as_str())
        .then(|| self.resource())
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
