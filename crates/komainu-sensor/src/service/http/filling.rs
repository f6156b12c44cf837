//! What a page says of itself and of the time: `${address}` and the like in a body.

use std::net::SocketAddr;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Bytes of `Host` that are repeated to whoever said it. A longer one is no address.
const HOST_BYTES_MAX: usize = 64;

/// What is known when a page is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// In microseconds since 1970.
    pub(super) now: i64,
    /// Where the client reached the persona.
    pub(super) server: Option<SocketAddr>,
}

/// Whether there is something to fill in.
pub(super) fn has_gaps(body: &[u8]) -> bool {
    body.windows(2).any(|two| two == b"${")
}

/// A body with its gaps filled. `host` is the header field, which a device behind another address is known by.
pub(super) fn filled(body: &[u8], host: Option<&[u8]>, moment: Moment) -> Vec<u8> {
    let mut filled = Vec::with_capacity(body.len() + 128);
    let mut rest = body;
    while let Some(at) = rest.windows(2).position(|two| two == b"${") {
        let (before, gap) = rest.split_at(at);
        filled.extend_from_slice(before);
        let end = gap.iter().position(|byte| *byte == b'}');
        match end.and_then(|end| Some((end, value(&gap[2..end], host, moment)?))) {
            Some((end, value)) => {
                filled.extend_from_slice(value.as_bytes());
                rest = &gap[end + 1..];
            }
            // Scripts have such things, too.
            None => {
                filled.extend_from_slice(b"${");
                rest = &gap[2..];
            }
        }
    }
    filled.extend_from_slice(rest);
    filled
}

fn value(name: &[u8], host: Option<&[u8]>, moment: Moment) -> Option<String> {
    let time = || TimeZone::UTC.to_datetime(Timestamp::from_microsecond(moment.now).unwrap_or_default());
    Some(match name {
        b"host" => host_of(host, moment),
        b"address" => {
            let host = host_of(host, moment);
            // The colons of an address of IPv6 are in brackets.
            match host.rsplit_once(':') {
                Some((address, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => address.to_owned(),
                Some(_) | None => host,
            }
        }
        b"year" => time().year().to_string(),
        b"month" => time().month().to_string(),
        b"day" => time().day().to_string(),
        b"hour" => time().hour().to_string(),
        b"minute" => time().minute().to_string(),
        b"second" => time().second().to_string(),
        _ => return None,
    })
}

/// The address by which the client knows the persona, and its port unless that is 80.
fn host_of(host: Option<&[u8]>, moment: Moment) -> String {
    let is_of_address = |byte: &u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(byte);
    match host {
        Some(host) if (1..=HOST_BYTES_MAX).contains(&host.len()) && host.iter().all(is_of_address) => {
            String::from_utf8_lossy(host).into_owned()
        }
        Some(_) | None => match moment.server {
            Some(server) if server.port() == 80 && server.is_ipv4() => server.ip().to_string(),
            Some(server) => server.to_string(),
            None => "192.168.1.1".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps() {
        let check = |body: &str, host: Option<&str>, expected: &str| {
            let moment = Moment { now: 784_111_777_000_000, server: Some("192.0.2.1:80".parse().unwrap()) };
            let filled = filled(body.as_bytes(), host.map(str::as_bytes), moment);
            assert_eq!(String::from_utf8(filled).unwrap(), expected, "{body}");
        };
        check("http://${host}/a rtsp://${address}:554/", Some("a.b:81"), "http://a.b:81/a rtsp://a.b:554/");
        check("${address}", Some("[2001:db8::1]:80"), "[2001:db8::1]");
        check("${host}", Some("<script>"), "192.0.2.1");
        check("${host}", Some(""), "192.0.2.1");
        check("${host}", None, "192.0.2.1");
        check("${year}-${month}-${day} ${hour}:${minute}:${second}", None, "1994-11-6 8:49:37");
        check("`${x}` ${ $ ${host", None, "`${x}` ${ $ ${host");
    }
}
