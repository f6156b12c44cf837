//! The buffers of a request and of a response.

use std::collections::HashMap;

use komainu_decode::Headers;
use komainu_decode::http::{Request, Response};

use super::{Buffer, RuleSet};

/// The buffers of a request's head that rules ask for.
pub(crate) fn request_buffers(set: &RuleSet, request: &Request<'_>) -> Vec<(Buffer, Vec<u8>)> {
    let mut buffers = Vec::new();
    let mut add = |buffer: Buffer, value: &dyn Fn() -> Option<Vec<u8>>| {
        if set.uses(&[buffer]) {
            buffers.extend(value().map(|value| (buffer, value)));
        }
    };
    let (target, authority) = split_authority(request.target);
    let header = |name: &str| joined(request.headers, name);
    add(Buffer::HttpMethod, &|| Some(request.method.to_vec()));
    add(Buffer::HttpUri, &|| Some(normal_target(target)));
    add(Buffer::HttpUriRaw, &|| Some(request.target.to_vec()));
    add(Buffer::HttpProtocol, &|| Some(request.version.to_vec()));
    add(Buffer::HttpRequestLine, &|| Some(request.line.to_vec()));
    add(Buffer::HttpHeader, &|| Some(normal_headers(request.headers)));
    add(Buffer::HttpHeaderRaw, &|| Some(request.headers.lines().to_vec()));
    add(Buffer::HttpHeaderNames, &|| {
        let mut names = b"\r\n".to_vec();
        for (name, _) in request.headers.iter() {
            names.extend_from_slice(name);
            names.extend_from_slice(b"\r\n");
        }
        names.extend_from_slice(b"\r\n");
        Some(names)
    });
    add(Buffer::HttpCookie, &|| header("Cookie"));
    add(Buffer::HttpUserAgent, &|| header("User-Agent"));
    add(Buffer::HttpHost, &|| {
        let host = authority.map(<[u8]>::to_vec).or_else(|| header("Host"))?;
        Some(without_port(&host).to_ascii_lowercase())
    });
    add(Buffer::HttpReferer, &|| header("Referer"));
    add(Buffer::HttpContentType, &|| header("Content-Type"));
    buffers
}

/// The buffers of a response's head.
pub(crate) fn response_buffers(response: &Response<'_>) -> Vec<(Buffer, Vec<u8>)> {
    let code = response.status.map(|status| (Buffer::HttpStatCode, status.to_string().into_bytes()));
    code.into_iter().chain([(Buffer::HttpStatMsg, response.reason.to_vec())]).collect()
}

/// The values of all fields of that name; none when there is no such field.
fn joined(headers: Headers<'_>, name: &str) -> Option<Vec<u8>> {
    let named = headers.iter().filter(|(its, _)| its.eq_ignore_ascii_case(name.as_bytes()));
    let values: Vec<&[u8]> = named.map(|(_, value)| value).collect();
    (!values.is_empty()).then(|| values.join(&b", "[..]))
}

/// A line for each field but cookies: one space behind the colon, the values of a name that comes again on the line of
/// the first.
fn normal_headers(headers: Headers<'_>) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case(b"cookie")) {
        let index = *known.entry(name.to_ascii_lowercase()).or_insert(lines.len());
        match lines.get_mut(index) {
            Some(line) => line.extend_from_slice(&[&b", "[..], value].concat()),
            None => lines.push([name, &b": "[..], value].concat()),
        }
    }
    lines.iter().flat_map(|line| [&line[..], &b"\r\n"[..]]).flatten().copied().collect()
}

/// A target without scheme and authority (RFC 9112, 3.2.2), and the authority, where a request to a proxy has them.
fn split_authority(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    let scheme = target.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    match target[scheme..].strip_prefix(b"://") {
        Some(rest) if scheme > 0 => {
            let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
            let authority = &rest[..end];
            let user = authority.iter().rposition(|byte| *byte == b'@').map_or(0, |at| at + 1);
            (&rest[end..], Some(&authority[user..]))
        }
        Some(_) | None => (target, None),
    }
}

/// Percent signs are taken off once, in path and query. In the path `\` is `/`, several `/` are one, and the segments `.`
/// and `..` are resolved (RFC 3986, 5.2.4), as Suricata has it unless it is configured otherwise.
fn normal_target(target: &[u8]) -> Vec<u8> {
    let end = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at(end);
    let mut normal = resolved(&without_percents(path));
    normal.extend(without_percents(query));
    normal
}

fn resolved(path: &[u8]) -> Vec<u8> {
    let is_separator = |byte: &u8| matches!(byte, b'/' | b'\\');
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut is_folder = false;
    for segment in path.split(is_separator) {
        is_folder = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let mut normal = Vec::with_capacity(path.len());
    if path.first().is_some_and(is_separator) {
        normal.push(b'/');
    }
    normal.extend(kept.join(&b'/'));
    if is_folder && !kept.is_empty() {
        normal.push(b'/');
    }
    normal
}

/// `%41` is `A`; what is no such thing stays as it is.
fn without_percents(target: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut plain = Vec::with_capacity(target.len());
    let mut rest = target;
    while let [first, behind @ ..] = rest {
        rest = behind;
        if let (b'%', [high, low, behind @ ..]) = (*first, behind)
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            plain.push(high << 4 | low);
            rest = behind;
        } else {
            plain.push(*first);
        }
    }
    plain
}

fn without_port(host: &[u8]) -> &[u8] {
    let colon = host.iter().rposition(|byte| *byte == b':');
    match colon {
        Some(colon) if host[colon + 1..].iter().all(u8::is_ascii_digit) => &host[..colon],
        Some(_) | None => host,
    }
}
