//! URLs that are fetched: less than RFC 3986 permits, so that nobody can mean another host than we understand.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::WhyNot;
use super::address::is_port_permitted;

/// Bytes of a URL. Those of droppers are short.
const URL_BYTES_MAX: usize = 2048;

/// Bytes of a host's name, and of a label of it (RFC 1035, 2.3.4).
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Ends of names that are of a network and not of the internet (RFC 6761, RFC 6762, RFC 8375, and what is used as such).
const LOCAL_DOMAINS: &[&str] = &[
    "localhost",
    "localdomain",
    "local",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "arpa",
    "test",
    "invalid",
    "onion",
];

/// Where a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) scheme: Scheme,
    /// User and password, as they stand in a URL of FTP.
    pub(crate) user: Option<(Vec<u8>, Vec<u8>)>,
    pub(crate) host: Host,
    pub(crate) port: u16,
    /// From the slash on, with the query, without the fragment.
    pub(crate) path: String,
}

/// How it is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
    Ftp,
    Tftp,
}

/// Who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// In small letters, of two labels at least, without a dot at the end.
    Name(String),
    Address(IpAddr),
}

impl Scheme {
    const ALL: [Self; 4] = [Self::Http, Self::Https, Self::Ftp, Self::Tftp];

    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Ftp => "ftp",
            Self::Tftp => "tftp",
        }
    }

    pub(crate) const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Ftp => 21,
            Self::Tftp => 69,
        }
    }
}

impl Location {
    /// Understands a URL, or says why it is not fetched.
    pub(crate) fn parse(url: &[u8]) -> Result<Self, WhyNot> {
        let is_printable = url.iter().all(|byte| (b'!'..=b'~').contains(byte));
        if url.len() > URL_BYTES_MAX || !is_printable {
            return Err(WhyNot::Form);
        }
        let url = std::str::from_utf8(url).map_err(|_| WhyNot::Form)?;
        // A `$` is a variable of a shell in whose place nobody has put anything.
        if url.contains(['$', '`', '\\', '"', '<', '>', '^', '{', '}', '|']) {
            return Err(WhyNot::Form);
        }
        let (scheme, rest) = url.split_once("://").ok_or(WhyNot::Form)?;
        let scheme =
            Scheme::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(scheme)).ok_or(WhyNot::Scheme)?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let (user, host_and_port) = match authority.rsplit_once('@') {
            Some((user, host)) if scheme == Scheme::Ftp => (Some(user_and_password(user)?), host),
            Some(_) => return Err(WhyNot::UserInfo),
            None => (None, authority),
        };
        let (host, port) = split_port(host_and_port)?;
        let port = match port {
            None | Some("") => scheme.default_port(),
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().map_err(|_| WhyNot::Form)?,
            Some(_) => return Err(WhyNot::Form),
        };
        if !is_port_permitted(port) {
            return Err(WhyNot::Port);
        }
        Ok(Self { scheme, user, host: Host::parse(host)?, port, path })
    }

    /// Where a redirect leads: its own words, seen from here.
    pub(crate) fn redirected(&self, to: &str) -> Result<Self, WhyNot> {
        let origin = || format!("{}://{}:{}", self.scheme.name(), self.host, self.port);
        let to = to.trim();
        // What stands before the first of `/?#` is a scheme if there is a colon in it (RFC 3986, 4.1).
        let first = &to[..to.find(['/', '?', '#']).unwrap_or(to.len())];
        let next = if first.contains(':') {
            Self::parse(to.as_bytes())?
        } else if to.starts_with("//") {
            Self::parse(format!("{}:{to}", self.scheme.name()).as_bytes())?
        } else if to.starts_with('/') {
            Self::parse(format!("{}{to}", origin()).as_bytes())?
        } else {
            let path = self.path.split('?').next().unwrap_or_default();
            let folder = &path[..path.rfind('/').map_or(0, |slash| slash + 1)];
            Self::parse(format!("{}{folder}{to}", origin()).as_bytes())?
        };
        match next.scheme {
            Scheme::Http | Scheme::Https => Ok(next),
            Scheme::Ftp | Scheme::Tftp => Err(WhyNot::Scheme),
        }
    }

    /// The path without its first slash and with its percent signs undone, for protocols that have no URLs.
    pub(crate) fn file(&self) -> Result<Vec<u8>, WhyNot> {
        let file = percent_decoded(&self.path[1..]).ok_or(WhyNot::Form)?;
        // A line end in it would be a command of the attacker's to a third party.
        let is_safe = !file.is_empty() && file.iter().all(|byte| *byte >= b' ' && *byte != 0x7F);
        if is_safe { Ok(file) } else { Err(WhyNot::Form) }
    }

    /// The last part of the path, as a name of what is there.
    pub(crate) fn file_name(&self) -> &str {
        let path = self.path.split('?').next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }

    /// Host and port, as the header `Host` has them.
    pub(crate) fn host_header(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the password: it is in the URL that was recorded.
        write!(formatter, "{}://{}{}", self.scheme.name(), self.host_header(), self.path)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(formatter),
            Self::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]"),
        }
    }
}

impl Host {
    fn parse(host: &str) -> Result<Self, WhyNot> {
        if let Some(inside) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            // A zone (RFC 6874) names an interface of ours.
            let address: Ipv6Addr = inside.parse().map_err(|_| WhyNot::AddressSpelling)?;
            return Ok(Self::Address(address.into()));
        }
        if let Ok(address) = host.parse() {
            return Ok(Self::Address(IpAddr::V4(address)));
        }
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let last = name.rsplit('.').next().unwrap_or_default();
        // `2130706433`, `0x7f.1` and `0177.0.0.1` are addresses to the C library; a domain that is a number does not exist.
        if !last.is_empty() && (last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x")) {
            return Err(WhyNot::AddressSpelling);
        }
        let is_label = |label: &str| {
            (1..=LABEL_BYTES_MAX).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        let is_name = name.len() <= NAME_BYTES_MAX && name.contains('.') && name.split('.').all(is_label);
        if !is_name || LOCAL_DOMAINS.contains(&last) {
            return Err(WhyNot::HostName);
        }
        Ok(Self::Name(name))
    }
}

fn split_port(host_and_port: &str) -> Result<(&str, Option<&str>), WhyNot> {
    if let Some(end) = host_and_port.find(']') {
        let (host, rest) = host_and_port.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(WhyNot::Form),
        };
    }
    match host_and_port.split_once(':') {
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((host_and_port, None)),
    }
}

fn user_and_password(text: &str) -> Result<(Vec<u8>, Vec<u8>), WhyNot> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let decoded = |text| {
        let bytes = percent_decoded(text)?;
        bytes.iter().all(|byte| *byte >= b' ' && *byte != 0x7F).then_some(bytes)
    };
    decoded(user).zip(decoded(password)).ok_or(WhyNot::UserInfo)
}

/// Undoes `%41`; none when a percent sign is not followed by two digits.
fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>()?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        decoded.push(u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()?);
        rest = after;
    }
    Some(decoded)
}

/// Any bytes as a URL, and as a redirect's target: no panic, the same when it is read again, and never an address in
/// disguise.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_bytes(bytes: &[u8]) {
    let from = Location::parse(b"http://192.0.2.1/a/b").expect("it is a URL");
    let redirected = std::str::from_utf8(bytes).ok().and_then(|text| from.redirected(text).ok());
    for location in Location::parse(bytes).ok().into_iter().chain(redirected) {
        if let Host::Name(name) = &location.host {
            assert!(name.contains('.') && name.bytes().all(|byte| byte.is_ascii_graphic()) && name != "localhost");
            assert!(name.parse::<IpAddr>().is_err());
        }
        let again = Location::parse(location.to_string().as_bytes()).expect("what is shown is a URL");
        assert_eq!((&again.host, again.port, &again.path), (&location.host, location.port, &location.path));
        if let Ok(file) = location.file() {
            assert!(!file.iter().any(u8::is_ascii_control));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(url: &str, expected: Result<&str, WhyNot>) {
        let shown = Location::parse(url.as_bytes()).map(|location| location.to_string());
        assert_eq!(shown.as_deref().map_err(|why| *why), expected, "{url}");
    }

    #[test]
    fn urls_that_are_understood() {
        check("http://8.8.8.8/a", Ok("http://8.8.8.8/a"));
        check("HTTP://Example.COM", Ok("http://example.com/"));
        check("http://example.com.:8080/a?b#c", Ok("http://example.com:8080/a?b"));
        check("https://example.com:443/", Ok("https://example.com/"));
        check("http://example.com?x=/y", Ok("http://example.com/?x=/y"));
        check("http://[2a00::1]:8080/", Ok("http://[2a00::1]:8080/"));
        check("ftp://u:p%40@example.com/x", Ok("ftp://example.com/x"));
        check("tftp://8.8.8.8/x", Ok("tftp://8.8.8.8/x"));
        check("http://example.com:/", Ok("http://example.com/"));
        let ftp = Location::parse(b"ftp://u:p%40@example.com/a%20b").unwrap();
        assert_eq!(ftp.user, Some((b"u".to_vec(), b"p@".to_vec())));
        assert_eq!(ftp.file(), Ok(b"a b".to_vec()));
    }

    #[test]
    fn urls_that_are_refused() {
        for url in ["", "a", "//a.b/", "http:/a.b/", "http://a.b/ c", "http://a.b/\u{e9}", "http://a.b/$x"] {
            check(url, Err(WhyNot::Form));
        }
        check("http://a.b\\@c.d/", Err(WhyNot::Form));
        check("http://a.b:99999/", Err(WhyNot::Form));
        check("http://a.b:+80/", Err(WhyNot::Form));
        check("http://[2a00::1]x/", Err(WhyNot::Form));
        check(&format!("http://a.b/{}", "c".repeat(URL_BYTES_MAX)), Err(WhyNot::Form));
        for url in ["file:///etc/passwd", "gopher://a.b/", "javascript://a.b/", "ftps://a.b/"] {
            check(url, Err(WhyNot::Scheme));
        }
        for url in ["http://a@b.c/", "http://8.8.8.8:80@127.0.0.1/", "tftp://a@b.c/", "ftp://a%0d@b.c/"] {
            check(url, Err(WhyNot::UserInfo));
        }
        let spellings = [
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "127.1",
            "0x7f.0.0.1",
            "127.0.0.01",
            "1.2.3.4.5",
            "256.1.1.1",
            "[fe80::1%25eth0]",
            "[fe80::1%eth0]",
            "[v1.a]",
            "8.8.8.8.",
        ];
        for host in spellings {
            let expected = if host == "[::1" { WhyNot::Form } else { WhyNot::AddressSpelling };
            let told = Location::parse(format!("http://{host}/").as_bytes()).unwrap_err();
            assert!(told == expected || host == "{host}: {told:?}");
        }
        for host in ["localhost", "printer", "a.local", "a.localhost", "x.lan", "a..b", ".a.b", "-.internal", "a%2e.b"]
        {
            check(&format!("http://{host}/"), Err(WhyNot::HostName));
        }
        for port in [0, 22, 25, 465, 587, 3306] {
            check(&format!("http://a.b:{port}/"), Err(WhyNot::Port));
        }
        let file = |path: &str| Location::parse(format!("ftp://a.b/{path}").as_bytes()).unwrap().file();
        for path in ["", "a%0d%0aDELE%20b", "a%00", "a%4", "a%zz"] {
            assert_eq!(file(path), Err(WhyNot::Form), "{path}");
        }
    }

    #[test]
    fn redirects() {
        let check = |to: &str, expected: Result<&str, WhyNot>| {
            let from = Location::parse(b"https://a.b:8443/c/d?e=f").unwrap();
            let shown = from.redirected(to).map(|location| location.to_string());
            assert_eq!(shown.as_deref().map_err(|why| *why), expected, "{to}");
        };
        check("http://x.y/z", Ok("http://x.y/z"));
        check("//x.y/z", Ok("https://x.y/z"));
        check("/z", Ok("https://a.b:8443/z"));
        check("z", Ok("https://a.b:8443/c/z"));
        check("z?u=http://x", Ok("https://a.b:8443/c/z?u=http://x"));
        check("ftp://x.y/z", Err(WhyNot::Scheme));
        check("file:///z", Err(WhyNot::Scheme));
        check("http:z", Err(WhyNot::Form));
        check("http://localhost/", Err(WhyNot::HostName));
        check("//127.1/", Err(WhyNot::AddressSpelling));
        check("http://x.y:25/", Err(WhyNot::Port));
    }

    proptest! {
        #[test]
        fn whatever_is_named(words in prop::collection::vec(0..WORDS.len(), 0..12)) {
            let text: String = words.into_iter().map(|word| WORDS[word]).collect();
            check_bytes(text.as_bytes());
            check_bytes(format!("http://{text}").as_bytes());
        }
    }

    /// What URLs are made of.
    const WORDS: &[&str] = &[
        "http://",
        "ftp://",
        "//",
        "/",
        ".",
        "..",
        ":",
        "@",
        "[",
        "]",
        "::1",
        "%25",
        "%0d",
        "%",
        "#",
        "?",
        "0x7f",
        "127",
        "a",
        "example",
        "localhost",
        "80",
        "2130706433",
        "\\",
        " ",
        "\u{e9}",
    ];
}
