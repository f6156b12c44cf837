//! The canonical request: what is hashed and signed.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::SignedParts;

/// Everything but RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const ENCODED_IN_PATH: &AsciiSet = &ENCODED.remove(b'/');

/// The canonical requests that the signature may have been made over.
///
/// One for a request with an `Authorization` header. Clients of the MQTT endpoint sign the host with or without the
/// port, whatever their WebSocket library puts into the `Host` header, so a presigned request has further candidates;
/// the host's name is in each.
pub(super) fn requests(
    request: &SignedParts<'_>,
    signed_headers: &[String],
    payload_hash: &str,
    is_presigned: bool,
) -> Vec<String> {
    let path = percent_encode(normalize_path(request.path).as_bytes(), ENCODED_IN_PATH).to_string();
    let query = query(request.query, is_presigned);
    let host = header_value(request, "host");
    let mut hosts = vec![host.clone()];
    if is_presigned {
        match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => hosts.push(name.to_owned()),
            _ => hosts.push(format!("{host}:443")),
        }
    }
    let names = signed_headers.join(";");
    hosts
        .into_iter()
        .map(|host| {
            let mut canonical = format!("{}\n{path}\n{query}\n", request.method);
            for name in signed_headers {
                canonical.push_str(name);
                canonical.push(':');
                match name.as_str() {
                    "host" => canonical.push_str(&host),
                    _ => canonical.push_str(&header_value(request, name)),
                }
                canonical.push('\n');
            }
            canonical + "\n" + &names + "\n" + payload_hash
        })
        .collect()
}

/// The path without empty, `.` and `..` segments; a slash at the end stays.
pub(super) fn normalize_path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let end = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

/// The parameters sorted by name, then value, each encoded in the one canonical way; without the signature itself.
fn query(raw: &str, is_presigned: bool) -> String {
    let encode = |text: &str| {
        let decoded: Vec<u8> = percent_decode_str(text).collect();
        percent_encode(&decoded, ENCODED).to_string()
    };
    let mut pairs: Vec<(String, String)> = raw
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| !(is_presigned && *name == "X-Amz-Signature"))
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// The values of a header, each with its white space collapsed, joined by commas.
fn header_value(request: &SignedParts<'_>, name: &str) -> String {
    let values = request
        .headers
        .iter()
        .filter(|(header, _)| *header == name)
        .map(|(_, value)| String::from_utf8_lossy(value).split_ascii_whitespace().collect::<Vec<_>>().join(" "));
    values.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalized_as_botocore_does() {
        let check = |path: &str, expected: &str| assert_eq!(normalize_path(path), expected, "{path}");
        check("", "/");
        check("/", "/");
        check("//", "/");
        check("/a/b/", "/a/b/");
        check("/a//b", "/a/b");
        check("/a/./b/../c", "/a/c");
        check("/../a", "/a");
        check("/a%2Fb", "/a%2Fb");
    }

    #[test]
    fn queries_are_sorted_and_encoded_once() {
        let check = |raw: &str, expected: &str| assert_eq!(query(raw, true), expected, "{raw}");
        check("b=2&a=1&a=0", "a=0&a=1&b=2");
        check("a=%2f%20&b", "a=%2F%20&b=");
        check("t=a+b", "t=a%2Bb");
        check("X-Amz-Signature=1&X-Amz-Date=2", "X-Amz-Date=2");
        check("", "");
        assert_eq!(query("X-Amz-Signature=1", false), "X-Amz-Signature=1");
    }
}
