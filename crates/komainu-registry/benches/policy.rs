//! What authorising one publish costs, and what compiling the policies of one connection costs.

use std::sync::Arc;

use divan::{Bencher, black_box};
use komainu_model::{AccountId, Region, Scope};
use komainu_registry::policy::{Action, CompiledPolicies, ConnectionContext, PolicyDocument};

fn main() {
    divan::main();
}

/// The walkthrough's policy.
const EVERYTHING: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}"#;

/// A policy as careful people write it.
const CAREFUL: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Action":"iot:Connect","Resource":"arn:aws:iot:us-east-1:123456789012:client/${iot:ClientId}"},
    {"Effect":"Allow","Action":["iot:Publish","iot:Receive"],"Resource":[
        "arn:aws:iot:us-east-1:123456789012:topic/$aws/things/${iot:ClientId}/*",
        "arn:aws:iot:us-east-1:123456789012:topic/site/*/${iot:ClientId}/*/data"]},
    {"Effect":"Deny","Action":"iot:Publish","Resource":"arn:aws:iot:us-east-1:123456789012:topic/*/secret"}]}"#;

fn compile(text: &str) -> CompiledPolicies {
    let scope = Scope {
        account: AccountId::parse("123456789012").expect("it is an account"),
        region: Region::parse("us-east-1").expect("it is a region"),
    };
    let context = ConnectionContext {
        scope: &scope,
        client_id: Some("device-0001"),
        source_ip: Some([192, 0, 2, 7].into()),
        thing: None,
        certificate: None,
    };
    let document = PolicyDocument::parse(text).expect("it is a policy");
    CompiledPolicies::compile(&[Arc::new(document)], &context)
}

#[divan::bench]
fn read_and_compile_everything() -> CompiledPolicies {
    compile(black_box(EVERYTHING))
}

#[divan::bench]
fn read_and_compile_careful() -> CompiledPolicies {
    compile(black_box(CAREFUL))
}

#[divan::bench]
fn allows_everything(bencher: Bencher) {
    let policies = compile(EVERYTHING);
    bencher.bench_local(|| black_box(&policies).allows(Action::Publish, black_box("site/ulm/device-0001/3/data")));
}

#[divan::bench(args = [
    "$aws/things/device-0001/defender/metrics/json",
    "site/ulm/device-0001/3/data",
    "site/ulm/device-0002/3/data",
])]
fn allows_careful(bencher: Bencher, topic: &str) {
    let policies = compile(CAREFUL);
    bencher.bench_local(|| black_box(&policies).allows(Action::Publish, black_box(topic)));
}
