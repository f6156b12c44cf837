//! The entrance of the fuzz target.

use komainu_ports::{DetonationRequest, RunAs};
use komainu_trace::GuestIsa;

use crate::message;
use crate::qmp::QmpReader;

/// Any bytes as what QEMU says, whole and cut, then as what the process of a run answers.
pub fn qmp(bytes: &[u8]) {
    let whole = QmpReader::default().push(bytes);
    let mut reader = QmpReader::default();
    let mut cut = Ok(Vec::new());
    for piece in bytes.chunks(3) {
        match (reader.push(piece), &mut cut) {
            (Ok(more), Ok(heard)) => heard.extend(more),
            (Err(nonsense), _) => {
                cut = Err(nonsense);
                break;
            }
            (Ok(_), Err(_)) => break,
        }
    }
    assert_eq!(cut, whole, "the same however it is cut");
    let request = DetonationRequest {
        id: "fuzz".to_owned(),
        sample: Vec::new(),
        file_name: "sample".to_owned(),
        arguments: Vec::new(),
        isa: GuestIsa::Arm,
        run_as: RunAs::User,
        runs_for_max: std::time::Duration::from_secs(1),
        quiet_for_max: None,
        seed: None,
    };
    if let Ok(Ok(detonation)) = message::receive_outcome(&mut &bytes[..], &request) {
        assert!(detonation.cut.iter().flat_map(|text| text.chars()).all(|letter| !letter.is_control()));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_few_answers_to_begin_with() {
        for said in [
            &b""[..],
            b"{\"QMP\": {}}\r\n{\"return\": {}, \"id\": 1}\n",
            b"{\"event\": \"SHUTDOWN\"}\n[",
            b"{}\n{\"return\": 1}\n",
            b"\x08\0\0\0\x0e{\"broken\":\"x\"}",
        ] {
            super::qmp(said);
        }
    }
}
