//! What can be looked for elsewhere: addresses, names, URLs and so on, out of texts.
//!
//! Version numbers, names of files and names of symbols look much like addresses and domains. The rules here would rather
//! miss an odd one than bury a report: docs/triage.md has them in words.

mod credentials;

use std::collections::{BTreeSet, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use sha2::{Digest as _, Sha256};

pub(crate) use credentials::{LETTERS_MIN as CREDENTIAL_LETTERS_MIN, Words};

use crate::limits::FINDINGS_PER_KIND_MAX;
use crate::report::Finding;
use crate::text::shown;

/// Schemes of URLs.
const SCHEMES: [&str; 12] =
    ["http", "https", "ftp", "tftp", "tcp", "udp", "ws", "wss", "irc", "stratum+tcp", "stratum+ssl", "socks5"];

/// Beginnings of paths on Linux.
const PATHS: [&str; 22] = [
    "/proc/",
    "/dev/",
    "/etc/",
    "/tmp",
    "/var/",
    "/usr/",
    "/bin/",
    "/sbin/",
    "/root",
    "/home",
    "/lib/",
    "/mnt/",
    "/sys/",
    "/run/",
    "/opt/",
    "/data/",
    "/system/",
    "/www/",
    "/cgi-bin/",
    "/boot/",
    "/flash",
    "/overlay",
];

/// What a login asks or answers; parts of it, as bots look for them.
const PROMPTS: [&str; 9] = [
    "ogin:",
    "assword:",
    "assword",
    "ncorrect",
    "sername:",
    "ccess denied",
    "BusyBox v",
    "applet not found",
    "ccount:",
];

/// Beginnings of commands that fetch, run or clean up.
const COMMANDS: [&str; 18] = [
    "/bin/busybox ",
    "busybox ",
    "wget ",
    "curl ",
    "tftp ",
    "ftpget ",
    "chmod ",
    "rm -",
    "killall ",
    "pkill ",
    "iptables ",
    "nohup ",
    "crontab ",
    "echo -ne ",
    "cat /proc/",
    "mount -o ",
    "kill -9 ",
    "cd /tmp",
];

/// Domains of the top that are believed: all of countries, and those others that are in use. Names of other kinds (`main`,
/// `name`, `data`) are in every program. `example` is nobody's (RFC 2606), and stands for others in examples.
const TOPS: &str = "com net org info biz xyz top online site club shop live pro mobi asia cloud host space tech fun icu vip \
    work app dev link click world life email cyou buzz rest bond monster sbs quest cfd ltd group today agency network zone \
    onion bit i2p local lan arpa edu gov mil int ac ad ae af ag ai al ao aq ar at au aw ax az ba bb bd be bf bg bh bi bj bm \
    bn bo br bs bt bw by bz ca cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm dz ec ee eg er es et eu fi fj \
    fk fm fo fr ga gd ge gf gg gh gi gl gm gn gp gq gr gt gu gw gy hk hn hr ht hu id ie il im io iq ir it je jm jo jp ke kg \
    kh ki km kn kp kr kw ky kz lb lc li lk lr ls lt lu lv ly ma mc me mg mh mk ml mm mn mp mq mr ms mt mu mv mw mx my mz na \
    nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pr pt pw py qa re ro ru rw sa sb sc sd se sg si sk sl sm sn sr \
    ss st su sv sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz ua ug uk us uy uz va vc ve vg vi vn vu ws ye yt za \
    zm zw cc in rs md so sh am la ps pm do is as example";

/// Those that are endings of files as well: believed only with a name of at least three parts.
const ENDINGS: [&str; 22] = [
    "so", "sh", "py", "rs", "md", "mk", "am", "la", "ps", "pm", "do", "st", "cc", "pl", "in", "is", "as", "bz", "ml",
    "dev", "int", "id",
];

/// What is in front of the name of a program that asks, then prompts, then commands.
static WORDS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let words = std::iter::once("User-Agent: ").chain(PROMPTS).chain(COMMANDS);
    AhoCorasick::new(words).expect("a few short texts are an automaton, as a test shows")
});

static TOP_SET: LazyLock<HashSet<&[u8]>> = LazyLock::new(|| TOPS.split_ascii_whitespace().map(str::as_bytes).collect());

/// Bytes of a URL that are looked at.
const URL_BYTES_MAX: usize = 1_024;

/// What is found in one sample.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) found: Vec<Finding>,
    pub(crate) left_out: u64,
    seen: BTreeSet<(&'static str, String)>,
}

impl Findings {
    /// Looks through one text. Returns whether anything was found that a configuration would have: an address, a name or a
    /// URL.
    pub(crate) fn look(&mut self, text: &[u8], offset: usize, source: &str) -> bool {
        let before = self.found.len();
        let has = |byte| memchr::memchr(byte, text).is_some();
        let mut is_endpoint = false;
        if has(b'.') {
            is_endpoint |= self.ipv4(text, offset, source);
            is_endpoint |= self.domains(text, offset, source);
        }
        if has(b':') {
            is_endpoint |= self.urls(text, offset, source);
            self.ipv6(text, offset, source);
        }
        if has(b'/') {
            self.paths(text, offset, source);
        }
        if has(b'@') {
            self.emails(text, offset, source);
        }
        if text.starts_with(b"Mozilla/") {
            self.add("user-agent", text, offset, source);
        }
        self.words(text, offset, source);
        self.wallets(text, offset, source);
        is_endpoint && self.found.len() > before
    }

    /// Adds what was found. False when it is known already.
    pub(crate) fn add(&mut self, kind: &'static str, value: &[u8], offset: usize, source: &str) -> bool {
        let value = shown(value);
        let key = (kind, value);
        if self.seen.contains(&key) {
            return false;
        }
        let of_kind = self.seen.range((kind, String::new())..).take_while(|(other, _)| *other == kind);
        if of_kind.take(FINDINGS_PER_KIND_MAX).count() >= FINDINGS_PER_KIND_MAX {
            self.left_out += 1;
            return false;
        }
        self.found.push(Finding {
            kind: kind.into(),
            value: key.1.clone(),
            offset: offset as u64,
            source: source.to_owned(),
        });
        self.seen.insert(key);
        true
    }

    fn ipv4(&mut self, text: &[u8], offset: usize, source: &str) -> bool {
        let mut found = false;
        let mut at = 0;
        while let Some(start) = text[at..].iter().position(u8::is_ascii_digit).map(|place| at + place) {
            match ipv4_at(text, start) {
                Some((length, true)) => {
                    found |= self.add("ipv4", &text[start..start + length], offset + start, source);
                    at = start + length;
                }
                Some((length, false)) => at = start + length,
                None => {
                    at = text[start..]
                        .iter()
                        .position(|byte| !byte.is_ascii_digit())
                        .map_or(text.len(), |end| start + end)
                }
            }
        }
        found
    }

    fn ipv6(&mut self, text: &[u8], offset: usize, source: &str) {
        let is_part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
        let mut at = 0;
        while let Some(start) = text[at..].iter().position(is_part).map(|place| at + place) {
            let length = text[start..].iter().position(|byte| !is_part(byte)).unwrap_or(text.len() - start);
            let token = &text[start..start + length];
            at = start + length;
            let is_alone = start == 0 || !text[start - 1].is_ascii_alphanumeric();
            let is_alone = is_alone && text.get(at).is_none_or(|byte| !byte.is_ascii_alphanumeric());
            if is_alone
                && token.len() >= 7
                && token.iter().filter(|byte| **byte == b':').count() >= 3
                && let Some(address) = std::str::from_utf8(token).ok().and_then(|token| token.parse::<Ipv6Addr>().ok())
                && address.segments()[0] != 0
            {
                self.add("ipv6", token, offset + start, source);
            }
        }
    }

    fn domains(&mut self, text: &[u8], offset: usize, source: &str) -> bool {
        let mut found = false;
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let mut at = 0;
        while let Some(start) = text[at..].iter().position(is_part).map(|place| at + place) {
            let length = text[start..].iter().position(|byte| !is_part(byte)).unwrap_or(text.len() - start);
            at = start + length;
            let before = &text[..start];
            let is_component = before.ends_with(b"/") && !before.ends_with(b"//");
            if !is_component && !before.ends_with(b"@") && is_domain(&text[start..at]) {
                let port = port_at(text, at);
                found |= self.add("domain", &text[start..at + port], offset + start, source);
                at += port;
            }
        }
        found
    }

    fn urls(&mut self, text: &[u8], offset: usize, source: &str) -> bool {
        let mut found = false;
        for place in memchr::memmem::find_iter(text, b"://") {
            let scheme_start = text[..place].iter().rposition(|byte| !byte.is_ascii_alphanumeric() && *byte != b'+');
            let start = scheme_start.map_or(0, |before| before + 1);
            let scheme = &text[start..place];
            if !SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known.as_bytes())) {
                continue;
            }
            let is_end = |byte: &u8| !byte.is_ascii_graphic() || b"\"'<>`|;\\^{}".contains(byte);
            let rest = &text[place + 3..text.len().min(place + URL_BYTES_MAX)];
            let end = place + 3 + rest.iter().position(is_end).unwrap_or(rest.len());
            let host = &text[place + 3..end];
            let host = &host[..host.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(host.len())];
            // What is to be filled in is no host.
            let is_host =
                host.len() >= 3 && host.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._:@[]".contains(byte));
            if is_host && host.iter().any(|byte| b".:".contains(byte)) {
                let url = text[start..end].trim_ascii_end();
                let url = url.strip_suffix(b")").or_else(|| url.strip_suffix(b",")).unwrap_or(url);
                found |= self.add("url", url, offset + start, source);
            }
        }
        found
    }

    fn paths(&mut self, text: &[u8], offset: usize, source: &str) {
        let mut at = 0;
        while let Some(start) = memchr::memchr(b'/', &text[at..]).map(|place| at + place) {
            let is_end = |byte: &u8| !byte.is_ascii_graphic() || b"\"'<>`|;,:()&$*?".contains(byte);
            let end = text[start..].iter().position(is_end).map_or(text.len(), |end| start + end);
            at = end.max(start + 1);
            let is_beginning = start == 0 || is_end(&text[start - 1]) || text[start - 1] == b'=';
            let path = &text[start..end];
            if is_beginning && path.len() >= 4 && PATHS.iter().any(|known| path.starts_with(known.as_bytes())) {
                self.add("path", path, offset + start, source);
            }
        }
    }

    fn emails(&mut self, text: &[u8], offset: usize, source: &str) {
        for place in memchr::memchr_iter(b'@', text) {
            let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"._+-".contains(byte);
            let start = text[..place].iter().rposition(|byte| !is_part(byte)).map_or(0, |before| before + 1);
            let end =
                text[place + 1..].iter().position(|byte| !is_part(byte)).map_or(text.len(), |end| place + 1 + end);
            if place - start >= 2 && is_domain(&text[place + 1..end]) {
                self.add("email", &text[start..end], offset + start, source);
            }
        }
    }

    fn words(&mut self, text: &[u8], offset: usize, source: &str) {
        let (mut is_prompt, mut is_command) = (false, false);
        for found in WORDS.find_overlapping_iter(text) {
            match found.pattern().as_usize() {
                0 => {
                    self.add("user-agent", &text[found.end()..], offset + found.end(), source);
                }
                number if number <= PROMPTS.len() => is_prompt |= text.len() <= found.len() + 16,
                _ => is_command = true,
            }
        }
        if is_prompt {
            self.add("prompt", text, offset, source);
        }
        if is_command {
            self.add("command", text, offset, source);
        }
    }

    fn wallets(&mut self, text: &[u8], offset: usize, source: &str) {
        if text.len() < 26 {
            return;
        }
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric();
        let mut at = 0;
        while let Some(start) = text[at..].iter().position(is_part).map(|place| at + place) {
            at = text[start..].iter().position(|byte| !is_part(byte)).map_or(text.len(), |end| start + end);
            if is_wallet(&text[start..at]) {
                self.add("wallet", &text[start..at], offset + start, source);
            }
        }
    }
}

/// A dotted quad, perhaps with a port, that begins here: its length, and whether it is an address rather than a version.
/// None when it is no quad.
pub(crate) fn ipv4_at(text: &[u8], start: usize) -> Option<(usize, bool)> {
    let is_part = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    // One byte more than an address and a full stop have.
    let length = text[start..].iter().take(17).take_while(|byte| is_part(byte)).count();
    let token = &text[start..start + length];
    let token = token.strip_suffix(b".").unwrap_or(token);
    if token.len() > 15 || token.len() < 7 {
        return None;
    }
    let address: Ipv4Addr = std::str::from_utf8(token).ok()?.parse().ok()?;
    let octets = address.octets();
    let port = port_at(text, start + token.len());
    let before = &text[..start];
    let follows = text.get(start + token.len()).copied();
    let after_word = before.last().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte));
    // `Chrome/60.0.1.2`, but not `//60.0.1.2`.
    let after_slash = before.ends_with(b"/") && !before.ends_with(b"//");
    let before_word = port == 0 && follows.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let small = octets.iter().filter(|octet| **octet < 10).count() >= 3;
    // Resolvers and examples are all the same four times.
    let is_resolver = octets.iter().all(|octet| *octet == octets[0]);
    let lower = before[before.len().saturating_sub(8)..].to_ascii_lowercase();
    let says_version = lower.ends_with(b"version ") || lower.ends_with(b" v") || lower.ends_with(b"ver ");
    let is_private = matches!(octets, [10, ..] | [127, ..]);
    let is_version = small && !is_resolver && !is_private && port == 0;
    let is_address = !after_word
        && !after_slash
        && !before_word
        && !says_version
        && !is_version
        && octets[0] != 0
        && octets != [255; 4];
    Some((token.len() + port, is_address))
}

/// How long a colon and a port are that stand here; 0 when there are none.
fn port_at(text: &[u8], at: usize) -> usize {
    let Some(digits) = text.get(at..).and_then(|rest| rest.strip_prefix(b":")) else { return 0 };
    let length = digits.iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
    let port = std::str::from_utf8(&digits[..length]).ok().and_then(|digits| digits.parse::<u16>().ok());
    if port.is_some_and(|port| port > 0) { 1 + length } else { 0 }
}

/// Whether a word is the name of a host as one would look it up.
pub(crate) fn is_domain(word: &[u8]) -> bool {
    if word.len() > 253 || word.len() < 4 || word.iter().any(u8::is_ascii_uppercase) {
        return false;
    }
    let labels: Vec<&[u8]> = word.split(|byte| *byte == b'.').collect();
    let (Some(top), Some(second)) = (labels.last(), labels.len().checked_sub(2).and_then(|second| labels.get(second)))
    else {
        return false;
    };
    let is_label = |label: &&[u8]| {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        !label.is_empty()
            && label.len() < 64
            && !label.starts_with(b"-")
            && !label.ends_with(b"-")
            && label.iter().all(is_part)
    };
    let is_top = TOP_SET.contains(*top);
    let is_ending = ENDINGS.iter().any(|ending| ending.as_bytes() == *top);
    let has_letter = second.iter().any(u8::is_ascii_lowercase);
    is_top && labels.iter().all(is_label) && has_letter && second.len() >= 2 && (!is_ending || labels.len() >= 3)
}

/// An address of Bitcoin, whose check sum is right, or one that looks like one of Monero.
fn is_wallet(word: &[u8]) -> bool {
    const BASE58: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    if word.len() == 95 && matches!(word[..2], [b'4', b'0'..=b'9' | b'A' | b'B']) {
        return word.iter().all(|byte| BASE58.contains(byte));
    }
    if word.starts_with(b"bc1") && matches!(word.len(), 42 | 62) {
        return word[3..].iter().all(|byte| b"qpzry9x8gf2tvdw0s3jn54khce6mua7l".contains(byte));
    }
    if !(26..=35).contains(&word.len()) || !matches!(word[0], b'1' | b'3') {
        return false;
    }
    let mut number = [0_u8; 25];
    for byte in word {
        let Some(mut carry) = BASE58.iter().position(|known| known == byte) else { return false };
        for digit in number.iter_mut().rev() {
            carry += 58 * usize::from(*digit);
            *digit = (carry & 0xff) as u8;
            carry >>= 8;
        }
    }
    Sha256::digest(Sha256::digest(&number[..21]))[..4] == number[21..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let mut findings = Findings::default();
        findings.look(text.as_bytes(), 0, "plain");
        let seen: Vec<_> = findings.found.iter().map(|one| format!("{} {}", one.kind, one.value)).collect();
        assert_eq!(seen, expected, "{text}");
    }

    #[test]
    fn addresses_are_no_versions() {
        check("198.51.100.7", &["ipv4 198.51.100.7"]);
        check("connect 198.51.100.7:23 now", &["ipv4 198.51.100.7:23"]);
        check("8.8.8.8", &["ipv4 8.8.8.8"]);
        check("10.0.0.1", &["ipv4 10.0.0.1"]);
        check("2.6.32.5", &[]);
        check("1.2.3.4:80", &["ipv4 1.2.3.4:80"]);
        check("Version 198.51.100.7", &[]);
        check("Chrome/198.51.100.7 x", &[]);
        check("1.3.6.1.4.1.311", &[]);
        check("256.1.1.1", &[]);
        check("0.0.0.0", &[]);
        check("2001:db8::17", &["ipv6 2001:db8::17"]);
        check("[2001:db8:0:1::17]:443", &["ipv6 2001:db8:0:1::17"]);
        check("00:11:22:33:44:55", &[]);
        check("12:30:15", &[]);
    }

    #[test]
    fn names_are_no_files() {
        check("c2.example.com", &["domain c2.example.com"]);
        check("c2.example.com:1312", &["domain c2.example.com:1312"]);
        check("libc.so", &[]);
        check("install.sh", &[]);
        check("cnc.bot.sh", &["domain cnc.bot.sh"]);
        check(".data.rel.ro", &[]);
        check("runtime.main", &[]);
        check("/usr/lib/foo.com/x", &["path /usr/lib/foo.com/x"]);
        check("xn--bcher-kva.example.org", &["domain xn--bcher-kva.example.org"]);
    }

    #[test]
    fn the_rest_is_found_where_it_is() {
        check("http://198.51.100.7/bins/arm7;", &["ipv4 198.51.100.7", "url http://198.51.100.7/bins/arm7"]);
        check("http://%s/x", &[]);
        check("/dev/watchdog", &["path /dev/watchdog"]);
        check("cat /proc/cpuinfo", &["path /proc/cpuinfo", "command cat /proc/cpuinfo"]);
        check("mail someone@example.com", &["email someone@example.com"]);
        check("User-Agent: Mozilla/5.0 (X)", &["user-agent Mozilla/5.0 (X)"]);
        check("assword:", &["prompt assword:"]);
        check("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", &["wallet 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"]);
        check("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb", &[]);
    }

    #[test]
    fn nothing_is_told_twice_or_without_end() {
        let mut findings = Findings::default();
        for number in 0..200 {
            findings.look(format!("198.51.100.{}", number % 100).as_bytes(), number, "plain");
        }
        assert_eq!(findings.found.len(), FINDINGS_PER_KIND_MAX);
        assert_eq!(findings.left_out, 72);
    }
}
