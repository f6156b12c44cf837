use std::sync::Arc;

use hyper::Method;
use komainu_ports::MemoryLake;

use super::*;
use crate::Console;
use crate::request::tests::{ask, console_with, english_of_japanese, form_key};

fn post(console: &Arc<Console>, role: Role, path: &str, form: &str) -> (u16, String) {
    ask(console, Some(role), Method::POST, path, &format!("form_key={}&{form}", form_key(role)))
}

#[test]
fn analysts_add_and_take_back() {
    let console = console_with(Arc::new(MemoryLake::default()));
    let check = |role: Role, path: &str, form: &str, status: u16, has: &str| {
        let (found, text) = post(&console, role, path, form);
        assert_eq!(found, status, "{role} {form}: {text}");
        assert!(text.contains(has), "{role} {form} has no {has:?}: {text}");
    };
    let value = IndicatorValue::parse("45.83.64.1:23/tcp").unwrap();
    let path = format!("/indicators/{}", indicator_id(&value));
    let good = "value=45%5B.%5D83.64.1:23/tcp&threat=command-and-control&note=%3Cb%3Eseen%E2%80%AE&days=";
    check(Role::Viewer, "/indicators", good, 403, "");
    check(Role::Analyst, "/indicators", "value=nonsense&threat=mining&note=x", 200, "role=\"alert\"");
    check(Role::Analyst, "/indicators", "value=45.83.64.1&threat=mining&note=", 200, "role=\"alert\"");
    check(Role::Analyst, "/indicators", "value=45.83.64.1&threat=mining&note=x&days=0", 200, "role=\"alert\"");
    check(Role::Analyst, "/indicators", "value=192.168.1.1&threat=mining&note=x", 200, "role=\"alert\"");
    check(Role::Analyst, "/indicators", good, 303, &format!("{path}?said=indicator-added"));
    check(Role::Analyst, "/indicators", good, 303, "said=indicator-known");
    let (status, text) = ask(&console, Some(Role::Viewer), Method::GET, &path, "");
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("45[.]83[.]64[.]1:23/tcp") && text.contains("&lt;b&gt;seen\\u{202e}"), "{text}");
    let (_, text) = ask(&console, Some(Role::Viewer), Method::GET, "/search?q=45%5B.%5D83.64.1:23/tcp", "");
    assert!(text.contains(&path), "{text}");
    let refused = ["10.0.0.1", "1.1.1.1", "[bad", "a.example.com", "x.onion", "198.18.0.1", "224.0.0.1"];
    for value in refused {
        let form = format!("form_key={}&value={value}&threat=mining&note=x", form_key(Role::Analyst));
        let role = Some(Role::Analyst);
        assert_eq!(english_of_japanese(&console, role, Method::POST, "/indicators", &form), [""; 0], "{value}");
    }
    for path in [path.as_str(), "/indicators", "/indicators/refused"] {
        assert_eq!(english_of_japanese(&console, Some(Role::Analyst), Method::GET, path, ""), [""; 0], "{path}");
    }
    let revoke = format!("{path}/revoke");
    check(Role::Viewer, &revoke, "reason=ours", 403, "");
    check(Role::Analyst, &revoke, "reason=", 200, "role=\"alert\"");
    check(Role::Analyst, &revoke, "reason=ours", 303, "said=indicator-revoked");
    let (_, text) = ask(&console, Some(Role::Admin), Method::GET, "/admin/audit", "");
    assert_eq!(text.matches("45.83.64.1:23/tcp").count(), 3, "{text}");
}

#[test]
fn the_list_is_filtered() {
    let console = console_with(Arc::new(MemoryLake::default()));
    for value in ["45.83.64.1:23/tcp", "45.83.64.2", "c2.bad-name.net"] {
        let form = format!("value={value}&threat=c2&note=x");
        assert_eq!(post(&console, Role::Analyst, "/indicators", &form).0, 303, "{value}");
    }
    let check = |query: &str, expected: usize| {
        let (status, text) = ask(&console, Some(Role::Viewer), Method::GET, &format!("/indicators{query}"), "");
        assert_eq!((status, text.matches("class=\"head\"").count()), (200, expected), "{query}: {text}");
    };
    check("", 3);
    check("?type=name", 1);
    check("?type=address", 2);
    check("?by=operator", 3);
    check("?by=feed", 0);
    check("?state=revoked", 0);
    check("?q=45.83.64.2", 1);
    check("?q=BAD-NAME", 1);
    check("?q=%3Cscript%3E", 0);
    for path in ["/indicators/refused", "/indicators?after=nonsense", "/indicators/xyz"] {
        let (status, _) = ask(&console, Some(Role::Viewer), Method::GET, path, "");
        assert_eq!(status, if path.ends_with("refused") { 200 } else { 404 }, "{path}");
    }
}
