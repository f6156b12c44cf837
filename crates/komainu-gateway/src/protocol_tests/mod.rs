//! What a client sees: the broker behind its byte stream, packet by packet.
//!
//! `docs/mqtt-conformance.md` names, for every statement of the specifications that a server must keep, the test here
//! that shows it. Tests that wait for seconds run in virtual time; those that wait for the writer's thread do not.

mod connect;
mod durability;
mod pressure;
mod publish;
mod service;
mod sessions;
mod subscribe;
mod world;

/// The tests that `docs/mqtt-conformance.md` names exist.
#[test]
fn the_documentation_names_tests_that_exist() {
    let sources: &[(&str, &str)] = &[
        ("connect", include_str!("connect.rs")),
        ("durability", include_str!("durability.rs")),
        ("pressure", include_str!("pressure.rs")),
        ("publish", include_str!("publish.rs")),
        ("service", include_str!("service.rs")),
        ("sessions", include_str!("sessions.rs")),
        ("subscribe", include_str!("subscribe.rs")),
        ("decode::tests", include_str!("../decode/tests.rs")),
        ("flow::tests", include_str!("../flow.rs")),
        ("router::tests", include_str!("../router.rs")),
        ("topic::tests", include_str!("../topic.rs")),
    ];
    let page = include_str!("../../../../docs/mqtt-conformance.md");
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit());
    let mut named = 0;
    for row in rows {
        for name in row.split('`').filter(|part| part.contains("::") && !part.starts_with("encode::")) {
            let (module, test) = name.rsplit_once("::").unwrap();
            let source = sources.iter().find(|(known, _)| *known == module).unwrap_or_else(|| panic!("{name}"));
            assert!(source.1.contains(&format!("fn {test}(")), "{name}");
            named += 1;
        }
    }
    assert!(named > 150, "{named}");
}
