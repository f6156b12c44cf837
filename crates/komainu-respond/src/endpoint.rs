//! Where subscriptions may point to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use komainu_model::{EgressRules, EndpointProblem, Protocol};

use crate::RespondError;
use crate::error::invalid;

/// The longest mail address (RFC 5321, 4.5.3.1: a path has 256 bytes with its two brackets).
const MAIL_BYTES_MAX: usize = 254;
/// The longest local part of a mail address (RFC 5321, 4.5.3.1.1).
const MAIL_LOCAL_BYTES_MAX: usize = 64;
/// The longest URL.
const URL_BYTES_MAX: usize = 2048;

/// Takes the protocols that messages can travel by.
pub(crate) fn parse_protocol(text: &str) -> Result<Protocol, RespondError> {
    match text {
        "email" => Ok(Protocol::Email),
        "email-json" => Ok(Protocol::EmailJson),
        "http" => Ok(Protocol::Http),
        "https" => Ok(Protocol::Https),
        "sms" | "sqs" | "lambda" | "application" | "firehose" => {
            let reason = format!("{text} is a service of AWS; supported are email, email-json, http and https");
            Err(invalid("Protocol", reason))
        }
        _ => Err(invalid("Protocol", "supported are email, email-json, http and https")),
    }
}

/// Checks that messages by `protocol` can travel to `endpoint`.
pub(crate) fn check(protocol: Protocol, endpoint: &str, egress: &EgressRules) -> Result<(), RespondError> {
    let checked = match protocol {
        Protocol::Email | Protocol::EmailJson => check_mail(endpoint),
        Protocol::Http => check_url(endpoint, "http://", egress),
        Protocol::Https => check_url(endpoint, "https://", egress),
    };
    checked.map_err(RespondError::Endpoint)
}

/// An endpoint as it is shown: without the user and the password that a URL may carry.
pub fn shown_endpoint(endpoint: &str) -> String {
    let Some((scheme, rest)) = endpoint.split_once("://") else { return endpoint.to_owned() };
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    match rest[..authority_end].rfind('@') {
        Some(at) => format!("{scheme}://****:****{}", &rest[at..]),
        None => endpoint.to_owned(),
    }
}

/// A mail address of the plain kind: `local@domain` in ASCII, the local part unquoted.
fn check_mail(address: &str) -> Result<(), EndpointProblem> {
    if address.len() > MAIL_BYTES_MAX {
        return Err(EndpointProblem::MailLong { bytes_max: MAIL_BYTES_MAX });
    }
    let (local, domain) = address.rsplit_once('@').ok_or(EndpointProblem::NoMail)?;
    // RFC 5322 `dot-atom`.
    let is_atom_char = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    let is_atom = |atom: &str| !atom.is_empty() && atom.chars().all(is_atom_char);
    if local.len() > MAIL_LOCAL_BYTES_MAX || !local.split('.').all(is_atom) {
        return Err(EndpointProblem::MailName(local.to_owned()));
    }
    if !is_host_name(domain) || domain.ends_with('.') {
        return Err(EndpointProblem::MailDomain(domain.to_owned()));
    }
    Ok(())
}

/// A URL with this scheme, a host that may be sent to, perhaps a user, a port, a path and a query.
fn check_url(url: &str, scheme: &'static str, egress: &EgressRules) -> Result<(), EndpointProblem> {
    if url.len() > URL_BYTES_MAX {
        return Err(EndpointProblem::UrlLong { bytes_max: URL_BYTES_MAX });
    }
    if let Some(bad) = url.chars().find(|c| !c.is_ascii_graphic() || "\"<>\\^`{|}".contains(*c)) {
        return Err(EndpointProblem::UrlCharacter(bad));
    }
    let rest = url.strip_prefix(scheme).ok_or(EndpointProblem::UrlStart { scheme })?;
    if rest.contains('#') {
        return Err(EndpointProblem::UrlFragment);
    }
    let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_user, after)| after);
    let (host, port) = split_port(host_and_port)?;
    if let Some(port) = port
        && !port.parse::<u16>().is_ok_and(|number| number > 0 && port.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err(EndpointProblem::Port(port.to_owned()));
    }
    let address = if let Some(v6) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| EndpointProblem::Ipv6(host.to_owned()))?)
    } else if is_numeric(host) {
        // `http://2130706433/` and `http://0x7f.1/` are 127.0.0.1 to URL parsers; only the plain form is taken.
        Some(host.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| EndpointProblem::Ipv4(host.to_owned()))?)
    } else if is_host_name(host) {
        None
    } else {
        return Err(EndpointProblem::HostName(host.to_owned()));
    };
    match address {
        Some(address) => egress.check(address).map_err(EndpointProblem::Denied),
        None => Ok(()),
    }
}

/// Host and port of `host`, `host:port`, `[v6]`, `[v6]:port`.
fn split_port(text: &str) -> Result<(&str, Option<&str>), EndpointProblem> {
    let host_end = match text.find(']') {
        Some(bracket) => bracket + 1,
        None => text.find(':').unwrap_or(text.len()),
    };
    match (&text[..host_end], &text[host_end..]) {
        (host, "") => Ok((host, None)),
        (host, after) => match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None => Err(EndpointProblem::Host(text.to_owned())),
        },
    }
}

/// Whether URL parsers take the host for an IPv4 address: its last label is a number (WHATWG URL, "ends in a number").
fn is_numeric(host: &str) -> bool {
    let last = host.strip_suffix('.').unwrap_or(host).rsplit('.').next().unwrap_or_default();
    let is_hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let all_digits = !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
    all_digits || is_hex.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Labels of letters, digits, underscores and inner hyphens. One label is enough: `mailhost`.
fn is_host_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(protocol: Protocol, endpoint: &str) -> Option<String> {
        check(protocol, endpoint, &EgressRules::default()).err().map(|error| error.to_string())
    }

    #[test]
    fn mail_addresses() {
        for good in ["a@b", "ops+iot@example.com", "o'neil@mail.example.co.uk", "user@localhost", "a.b.c@x-y.example"] {
            assert_eq!(refused(Protocol::Email, good), None, "{good}");
            assert_eq!(refused(Protocol::EmailJson, good), None, "{good}");
        }
        let long_local = format!("{}@example.com", "a".repeat(65));
        let long = format!("a@{}", ["b"; 200].join("."));
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a b@c",
            "a@b c",
            "a@b\r\nBcc: x@y",
            "a\n@b",
            "a@b@",
            "<a@b>",
            "a@-b.c",
            "a..b@c",
            ".a@c",
            "\"a b\"@c",
            "a@b..c",
            "ä@b.c",
            "a@ä.c",
            "a@b,c@d",
            "a@[127.0.0.1]",
            "a@b.",
            &long_local,
            &long,
        ] {
            assert!(refused(Protocol::Email, bad).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn urls() {
        for good in [
            "https://example.com",
            "https://example.com/",
            "https://example.com:8443/hook?x=1&y=%20",
            "https://user:pa55@example.com/hook",
            "https://10.0.0.7/hook",
            "https://[2001:db8::7]:443/",
            "https://hook",
            "https://example.com./",
            "https://127.0.0.1:9000/",
            "https://a_b.example/@x:y",
        ] {
            assert_eq!(refused(Protocol::Https, good), None, "{good}");
        }
        assert_eq!(refused(Protocol::Http, "http://example.com"), None);
        for (bad, expected) in [
            ("http://example.com", "must begin with https://"),
            ("HTTPS://example.com", "must begin with https://"),
            ("ftp://example.com", "must begin with https://"),
            ("https://", "is not a host name"),
            ("https:///x", "is not a host name"),
            ("https://exa mple.com", "percent-encoded"),
            ("https://example.com/\r\nHost: x", "percent-encoded"),
            ("https://exämple.com", "percent-encoded"),
            ("https://example.com\\@169.254.169.254/", "percent-encoded"),
            ("https://example.com/#x", "no fragment"),
            ("https://example.com:0/", "is not a port"),
            ("https://example.com:65536/", "is not a port"),
            ("https://example.com:+80/", "is not a port"),
            ("https://example.com:/", "is not a port"),
            ("https://[::1/", "is not a port"),
            ("https://[::1]x/", "is not a host"),
            ("https://[x]/", "is not an IPv6"),
            ("https://169.254.169.254/latest/meta-data", "a link-local address"),
            ("https://user@169.254.169.254/", "a link-local address"),
            ("https://a@b@169.254.169.254/", "a link-local address"),
            ("https://[::ffff:169.254.169.254]/", "a link-local address"),
            ("https://2852039166/", "is not an IPv4"),
            ("https://0xa9fea9fe/", "is not an IPv4"),
            ("https://169.254.43518/", "is not an IPv4"),
            ("https://0251.0376.0251.0376/", "is not an IPv4"),
            ("https://0.0.0.0/", "an unspecified"),
        ] {
            let error = refused(Protocol::Https, bad).unwrap_or_else(|| panic!("{bad:?} is taken"));
            assert!(error.contains(expected), "{bad:?}: {error}");
        }
        assert!(refused(Protocol::Https, &format!("https://example.com/{}", "x".repeat(2048))).is_some());
    }

    #[test]
    fn protocols_of_aws_are_refused_by_name() {
        assert!(parse_protocol("sqs").unwrap_err().to_string().contains("sqs is a service of AWS"));
        assert!(parse_protocol("smoke").unwrap_err().to_string().contains("supported are"));
        assert_eq!(parse_protocol("email-json"), Ok(Protocol::EmailJson));
    }
}
