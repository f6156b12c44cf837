//! What a guest looks like, which is another appliance in each run: guests that are all alike are easily known again.

use komainu_model::Timestamp;
use komainu_ports::{DetonationRequest, RunAs};
use komainu_trace::RawText;
use komainu_trace::agent::Job;
use sha2::{Digest, Sha256};

use crate::limits::{ARGUMENT_BYTES_MAX, ARGUMENTS_MAX, FILE_NAME_BYTES_MAX, RUNS_FOR_MAX, SAMPLE_BYTES_MAX};

/// The look of one guest. All of it follows from the seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look {
    /// What time it is in it.
    pub(crate) clock: Timestamp,
    /// What its kernel's random numbers begin with.
    pub(crate) entropy: [u8; 32],
    /// The address of its network interface.
    pub(crate) mac: [u8; 6],
    /// What it is called.
    pub(crate) host_name: &'static str,
    /// The last number of its address in 192.168.1.0/24.
    pub(crate) address: u8,
    /// What the simulated Internet begins with.
    pub(crate) network_seed: u64,
}

/// How appliances are called that nobody has given a name, or somebody a usual one.
const HOST_NAMES: &[&str] =
    &["router", "gateway", "dvr", "ipcam", "modem", "ap", "nas", "camera", "localhost", "home", "OpenWrt", "linux"];

/// The first halves of the addresses of makers of routers, cameras and recorders.
const MAKERS: &[[u8; 3]] = &[
    [0x50, 0xc7, 0xbf],
    [0x1c, 0x7e, 0xe5],
    [0x00, 0xe0, 0xfc],
    [0x44, 0x19, 0xb6],
    [0x3c, 0xef, 0x8c],
    [0x00, 0x1d, 0xaa],
    [0x20, 0x4e, 0x7f],
    [0xc8, 0x3a, 0x35],
];

/// With a seed, the clock stands between 2024-01-01 and a year later.
const SEEDED_CLOCK_BEGIN_S: i64 = 1_704_067_200;
const SEEDED_CLOCK_SPAN_S: u64 = 365 * 86_400;

impl Look {
    /// The look that follows from `seed`; its clock is `now`, if that is given.
    pub(crate) fn new(seed: u64, now: Option<Timestamp>) -> Self {
        let part = |label: &str| -> [u8; 32] {
            Sha256::new_with_prefix(seed.to_be_bytes()).chain_update(label.as_bytes()).finalize().into()
        };
        let number = |label: &str| {
            let [a, b, c, d, e, f, g, h, ..] = part(label);
            u64::from_be_bytes([a, b, c, d, e, f, g, h])
        };
        let choice = |label: &str, of: usize| usize::try_from(number(label) % of as u64).unwrap_or(0);
        let [a, b, c] = MAKERS[choice("maker", MAKERS.len())];
        let [d, e, f, ..] = part("mac");
        // Below the span, so it is a year at most.
        let offset_s = i64::try_from(number("clock") % SEEDED_CLOCK_SPAN_S).unwrap_or(0);
        Self {
            clock: now.unwrap_or_else(|| Timestamp::from_unix_seconds(SEEDED_CLOCK_BEGIN_S + offset_s)),
            entropy: part("entropy"),
            mac: [a, b, c, d, e, f],
            host_name: HOST_NAMES[choice("host name", HOST_NAMES.len())],
            address: u8::try_from(2 + choice("address", 252)).unwrap_or(2),
            network_seed: number("network"),
        }
    }
}

/// The folder in the guest in which the sample lies: one that both accounts can write to, as droppers choose it.
const FOLDER: &str = "/tmp";

/// The router of every guest, which is its resolver too.
const ROUTER: &str = "192.168.1.1";

/// The job of the guest's agent.
pub(crate) fn job(request: &DetonationRequest, look: &Look) -> Job {
    let [a, b, c, d, e, f] = look.mac;
    let text = |text: &str| RawText::from(text);
    let name = format!("./{}", request.file_name);
    Job {
        as_root: request.run_as == RunAs::Root,
        name: text(&format!("{FOLDER}/{}", request.file_name)),
        folder: text(FOLDER),
        arguments: std::iter::once(&name).chain(&request.arguments).map(|argument| text(argument)).collect(),
        clock_s: u64::try_from(look.clock.unix_seconds()).ok(),
        seed: hex::encode(look.entropy),
        host_name: look.host_name.to_owned(),
        mac: format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"),
        address: format!("192.168.1.{}/24", look.address),
        gateway: ROUTER.to_owned(),
        resolvers: vec![ROUTER.to_owned()],
        ..Job::default()
    }
}

/// What is wrong with a request, before anything is started for it.
pub(crate) fn problem(request: &DetonationRequest) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let name = &request.file_name;
    if request.sample.is_empty() || request.sample.len() > SAMPLE_BYTES_MAX {
        return Some(format!("it has {} bytes; 1 to {SAMPLE_BYTES_MAX} are possible", request.sample.len()));
    }
    let is_folder = matches!(&**name, "." | "..");
    if name.is_empty() || name.len() > FILE_NAME_BYTES_MAX || is_folder || !name.bytes().all(is_plain) {
        let most = FILE_NAME_BYTES_MAX;
        return Some(format!("`{}` is no name of 1 to {most} letters, digits, `.`, `_` and `-`", name.escape_debug()));
    }
    let is_long = |argument: &String| argument.len() > ARGUMENT_BYTES_MAX;
    if request.arguments.len() > ARGUMENTS_MAX || request.arguments.iter().any(is_long) {
        return Some(format!("it can have {ARGUMENTS_MAX} arguments of {ARGUMENT_BYTES_MAX} bytes at most"));
    }
    if request.arguments.iter().any(|argument| argument.contains('\0')) {
        return Some("an argument cannot have a zero byte".to_owned());
    }
    if request.runs_for_max.is_zero() || request.runs_for_max > RUNS_FOR_MAX {
        return Some(format!("it can run for up to {} s", RUNS_FOR_MAX.as_secs()));
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use komainu_trace::GuestIsa;

    use super::*;

    fn request() -> DetonationRequest {
        DetonationRequest {
            id: "one".into(),
            sample: b"#!/bin/sh\n".to_vec(),
            file_name: "bot.arm".into(),
            arguments: vec!["a b".into(), "x=1\nmode=root".into()],
            isa: GuestIsa::Arm,
            run_as: RunAs::User,
            runs_for_max: Duration::from_secs(60),
            quiet_for_max: None,
            seed: None,
        }
    }

    #[test]
    fn a_look_follows_from_its_seed_alone() {
        assert_eq!(Look::new(1, None), Look::new(1, None));
        let (one, other) = (Look::new(1, None), Look::new(2, None));
        assert_ne!(one.entropy, other.entropy);
        assert_ne!(one.mac, other.mac);
        assert_ne!(one.network_seed, other.network_seed);
        assert_ne!(one.clock, other.clock);
        for seed in 0..1_000 {
            let look = Look::new(seed, None);
            assert!((2..=253).contains(&look.address) && look.mac[0] & 3 == 0, "{look:?}");
        }
    }

    #[test]
    fn a_job_has_the_look_and_the_request() {
        let now = Timestamp::from_unix_seconds(1_800_000_000);
        let job = job(&request(), &Look::new(7, Some(now)));
        assert_eq!(job.name, "/tmp/bot.arm".into());
        let expected: [RawText; 3] = ["./bot.arm".into(), "a b".into(), "x=1\nmode=root".into()];
        assert_eq!(job.arguments, expected);
        assert_eq!((job.as_root, job.clock_s), (false, Some(1_800_000_000)));
    }

    #[test]
    fn what_is_beyond_a_bound_is_refused() {
        let check = |change: fn(&mut DetonationRequest), expected: Option<&str>| {
            let mut request = request();
            change(&mut request);
            let problem = problem(&request);
            assert_eq!(problem.is_some(), expected.is_some(), "{problem:?}");
            assert!(problem.unwrap_or_default().contains(expected.unwrap_or_default()));
        };
        check(|_| (), None);
        check(|request| request.sample.clear(), Some("0 bytes"));
        check(|request| request.sample = vec![0; SAMPLE_BYTES_MAX + 1], Some("bytes"));
        check(|request| request.file_name = "../init".into(), Some("is no name"));
        check(|request| request.file_name = "..".into(), Some("is no name"));
        check(|request| request.file_name.clear(), Some("is no name"));
        check(|request| request.file_name = "a".repeat(65), Some("is no name"));
        check(|request| request.arguments = vec![String::new(); 9], Some("arguments"));
        check(|request| request.arguments = vec!["a".repeat(129)], Some("arguments"));
        check(|request| request.arguments = vec!["\0".into()], Some("zero byte"));
        check(|request| request.runs_for_max = Duration::ZERO, Some("900 s"));
        check(|request| request.runs_for_max = Duration::from_secs(901), Some("900 s"));
    }
}
