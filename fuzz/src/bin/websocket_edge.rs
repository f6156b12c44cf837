//! Any bytes as a WebSocket client's after the upgrade: as for `mqtt_edge`, with frames around.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_gateway::fuzzing::websocket(bytes));
