//! What can be wrong with where a subscription should point to.

use std::fmt;

use crate::EgressDenied;

/// Why messages cannot be sent to an endpoint. Displays as a fragment for programs; pages say it in the words of their readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointProblem {
    /// A mail address that is too long.
    MailLong {
        /// How long it may be.
        bytes_max: usize,
    },
    /// A mail address without `@`.
    NoMail,
    /// What stands before the `@`.
    MailName(String),
    /// What stands behind the `@`.
    MailDomain(String),
    /// A URL that is too long.
    UrlLong {
        /// How long it may be.
        bytes_max: usize,
    },
    /// A character that no URL has.
    UrlCharacter(char),
    /// A URL that begins otherwise.
    UrlStart {
        /// How it must begin: `https://`.
        scheme: &'static str,
    },
    /// A URL with a fragment.
    UrlFragment,
    /// The port of the URL.
    Port(String),
    /// The IPv6 address of the URL.
    Ipv6(String),
    /// The IPv4 address of the URL.
    Ipv4(String),
    /// The host of the URL.
    HostName(String),
    /// The host and port of the URL.
    Host(String),
    /// Nothing is sent there.
    Denied(EgressDenied),
}

impl fmt::Display for EndpointProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MailLong { bytes_max } => write!(f, "a mail address has at most {bytes_max} bytes"),
            Self::NoMail => f.write_str("a mail address has the form name@domain"),
            Self::MailName(name) => write!(f, "{name:?} is not the first part of a mail address"),
            Self::MailDomain(domain) => write!(f, "{domain:?} is not the domain of a mail address"),
            Self::UrlLong { bytes_max } => write!(f, "a URL has at most {bytes_max} bytes"),
            Self::UrlCharacter(bad) => write!(f, "{bad:?} must be percent-encoded in a URL"),
            Self::UrlStart { scheme } => write!(f, "the URL must begin with {scheme}"),
            Self::UrlFragment => f.write_str("a URL to send to has no fragment"),
            Self::Port(port) => write!(f, "{port:?} is not a port"),
            Self::Ipv6(host) => write!(f, "{host:?} is not an IPv6 address"),
            Self::Ipv4(host) => write!(f, "{host:?} is not an IPv4 address"),
            Self::HostName(host) => write!(f, "{host:?} is not a host name"),
            Self::Host(host) => write!(f, "{host:?} is not a host"),
            Self::Denied(denied) => write!(f, "messages are not sent there: {denied}"),
        }
    }
}
