//! What a page refers to, on the same server.

use std::sync::LazyLock;

use regex::Regex;

/// Links that are taken out of one page.
const LINKS_MAX: usize = 400;

/// Bytes of a path.
const PATH_BYTES_MAX: usize = 512;

/// Ends of names of files. What else a path leads to may do something, and a device must not be changed by looking at it.
const KINDS: &[&str] = &[
    "html", "htm", "shtml", "js", "css", "png", "gif", "jpg", "jpeg", "ico", "svg", "xml", "txt", "json", "woff",
    "woff2", "ttf", "swf",
];

/// Parts of names of pages that do something.
const VERBS: &[&str] = &[
    "reboot", "restart", "reset", "restore", "default", "upgrade", "update", "delete", "format", "logout", "shutdown",
];

/// Where links stand in HTML, CSS and the descriptions of UPnP.
static LINK: LazyLock<Regex> = LazyLock::new(|| {
    let text = r#"(?ix)
        \b (?: src | href | location (?: \.href )? ) \s{0,8} = \s{0,8} ["']? ([^"'\s>]+)
        | \b url \( \s{0,8} ["']? ([^"')\s]+)
        | ; \s{0,8} url \s{0,8} = \s{0,8} ['"]? ([^"'\s>]+)
        | < (?: SCPDURL | url | presentationURL ) > \s{0,8} ([^<\s]+)
    "#;
    Regex::new(text).expect("the pattern is valid")
});

/// The paths on the same server that a page at `base` refers to; `origin` is what such links may begin with.
pub(super) fn links(page: &[u8], base: &str, origin: &str) -> Vec<String> {
    let page = String::from_utf8_lossy(page);
    let found = LINK.captures_iter(&page).filter_map(|found| found.iter().skip(1).flatten().next());
    let mut links = Vec::new();
    for path in found.filter_map(|link| path(link.as_str(), base, origin)) {
        if links.len() >= LINKS_MAX {
            break;
        }
        if !links.contains(&path) {
            links.push(path);
        }
    }
    links
}

/// Where a link leads, if it is on the same server and harmless.
pub(super) fn path(link: &str, base: &str, origin: &str) -> Option<String> {
    let link = link.split(['?', '#']).next().unwrap_or_default();
    let link = link.strip_prefix(origin).filter(|rest| rest.starts_with('/')).unwrap_or(link);
    // What has a scheme, or begins with a host, is elsewhere (RFC 3986, 4.2).
    let first = link.split('/').next().unwrap_or_default();
    if link.is_empty() || first.contains(':') || link.starts_with("//") {
        return None;
    }
    let whole = if link.starts_with('/') {
        link.to_owned()
    } else {
        format!("{}{link}", &base[..base.rfind('/').map_or(0, |slash| slash + 1)])
    };
    if whole.len() > PATH_BYTES_MAX || !whole.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/').skip(1) {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let path = format!("/{}", parts.join("/"));
    let small = path.to_ascii_lowercase();
    let is_file = small.ends_with('/') || small.rsplit_once('.').is_some_and(|(_, kind)| KINDS.contains(&kind));
    let does_something = VERBS.iter().any(|verb| small.contains(verb));
    (is_file && !does_something).then_some(path)
}

/// Any bytes as a page: no panic, and each link is a path.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_bytes(page: &[u8]) {
    let links = links(page, "/a/b.html", "http://192.0.2.1");
    assert!(links.len() <= LINKS_MAX && links.iter().all(|link| link.starts_with('/')));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn links_of_pages() {
        let check = |page: &str, expected: &[&str]| {
            assert_eq!(links(page.as_bytes(), "/a/b.html", "http://192.0.2.1"), expected, "{page}");
        };
        check("<img SRC='c.png'><script src=/d.js></script>", &["/a/c.png", "/d.js"]);
        check("<a href=\"../e.html?x=1#y\">", &["/e.html"]);
        check("<a href=\"http://192.0.2.1/f.html\"><a href=\"http://192.0.2.10/f.html\">", &["/f.html"]);
        check("body { background: url( 'g.gif' ) }", &["/a/g.gif"]);
        check("<meta http-equiv=refresh content=\"0; url=/h.html\">", &["/h.html"]);
        check("<SCPDURL>/scpd.xml</SCPDURL><controlURL>/ctl</controlURL>", &["/scpd.xml"]);
        check("window.location.href = \"/i/\";", &["/i/"]);
        check("<a href='x.png'><a href='x.png'>", &["/a/x.png"]);
    }

    #[test]
    fn links_that_are_not_followed() {
        let check = |link: &str| assert_eq!(path(link, "/", "http://192.0.2.1"), None, "{link}");
        for link in ["", "#top", "javascript:x.html", "mailto:a@b.html", "//x.y/z.html", "https://x.y/z.html"] {
            check(link);
        }
        for link in ["/cgi-bin/reboot.cgi", "/reboot.html", "/logout.html", "/set.asp", "/a b.html", "/\u{e9}.html"] {
            check(link);
        }
        check(&format!("/{}.html", "a".repeat(PATH_BYTES_MAX)));
        assert_eq!(path("../../../a.js", "/b/", "").as_deref(), Some("/a.js"));
    }

    proptest! {
        #[test]
        fn whatever_a_page_is(words in prop::collection::vec(0..WORDS.len(), 0..40)) {
            let page: String = words.into_iter().map(|word| WORDS[word]).collect();
            check_bytes(page.as_bytes());
        }
    }

    /// What pages are made of.
    const WORDS: &[&str] = &[
        "<a href=",
        "src='",
        "\"",
        "'",
        ">",
        " ",
        "url(",
        ")",
        "<url>",
        "; url=",
        "/",
        "..",
        ".html",
        ".js",
        "?",
        "#",
        ":",
        "http://192.0.2.1",
        "\u{e9}",
        "x",
    ];
}
