//! Any text as a policy document: no panic, the same answer every time, and nothing that cannot be read allows anything.
#![no_main]

use std::sync::Arc;

use komainu_model::{AccountId, Region, Scope};
use komainu_registry::policy::{Action, CompiledPolicies, ConnectionContext, PolicyDocument};

libfuzzer_sys::fuzz_target!(|text: &str| {
    // What is before the first line break is the resource that is asked for.
    let (resource, document) = text.split_once('\n').unwrap_or(("pump/status", text));
    let is_json = serde_json::from_str::<serde_json::Value>(document).is_ok();
    let scope = Scope {
        account: AccountId::parse("123456789012").expect("an account"),
        region: Region::parse("eu-west-1").expect("a region"),
    };
    let context = ConnectionContext {
        scope: &scope,
        client_id: Some("pump"),
        source_ip: Some([192, 0, 2, 1].into()),
        thing: None,
        certificate: None,
    };
    let compile = || CompiledPolicies::compile(&[Arc::new(PolicyDocument::parse_in_use(document))], &context);
    let (one, other) = (compile(), compile());
    for action in Action::ALL {
        let is_allowed = one.allows(action, resource);
        assert_eq!(is_allowed, other.allows(action, resource));
        assert!(is_json || !is_allowed, "what is no JSON allowed {action:?}");
    }
    let _ = PolicyDocument::parse(document);
});
