//! A port of a switch stops to feed a device for a while: `pethPsePortAdminEnable` of POWER-ETHERNET-MIB (RFC 3621, 3) is
//! set to `false(2)` and then to `true(1)`, and read each time.

use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use komainu_model::{PoePort, Secret};
use snmp2::{AsyncSession, Oid, Value};
use tokio::time::{Instant, sleep, timeout};

/// `pethPsePortAdminEnable`, to which the group and the port are added.
const ADMIN_ENABLE: [u64; 11] = [1, 3, 6, 1, 2, 1, 105, 1, 1, 1, 3];

/// `TruthValue` (RFC 2579).
const ON: i64 = 1;
const OFF: i64 = 2;

/// How long a switch may take to answer one question, and how often it is asked again: datagrams get lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
const QUESTIONS_MAX: u32 = 3;

/// What remains for bringing the power back when the time is over.
const LAST_WORD: Duration = Duration::from_secs(10);

/// Takes the power away and gives it back. Once it is away it is given back, whatever happens, also beyond `time`.
pub(super) async fn cycle(port: &PoePort, community: &Secret, time: Duration) -> Result<(), String> {
    let deadline = Instant::now() + time;
    let too_late = || format!("not done within {} s", time.as_secs());
    let off = tokio::time::timeout_at(deadline, set(port, community, OFF)).await.unwrap_or_else(|_| Err(too_late()));
    if off.is_ok() {
        sleep(Duration::from_secs(port.off_s.into())).await;
    }
    // It may be off even when nobody has said so.
    let on_until = deadline.max(Instant::now() + LAST_WORD);
    let on = tokio::time::timeout_at(on_until, set(port, community, ON)).await.unwrap_or_else(|_| Err(too_late()));
    match (off, on) {
        (Ok(()), Ok(())) => Ok(()),
        (Err(error), _) => Err(format!("the power was not taken away: {error}")),
        (Ok(()), Err(error)) => Err(format!("THE POWER IS AWAY and was not given back: {error}")),
    }
}

/// Sets the port and sees whether it is so.
async fn set(port: &PoePort, community: &Secret, value: i64) -> Result<(), String> {
    let mut error = String::new();
    for _ in 0..QUESTIONS_MAX {
        // The session has its buffers of 64 KiB in itself.
        match timeout(ANSWER_TIMEOUT, Box::pin(set_once(port, community, value))).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(problem)) => error = problem,
            Err(_elapsed) => error = format!("{} does not answer", port.switch),
        }
    }
    Err(error)
}

async fn set_once(port: &PoePort, community: &Secret, value: i64) -> Result<(), String> {
    let index = [u64::from(port.group), u64::from(port.port)];
    let numbers = [ADMIN_ENABLE.as_slice(), &index].concat();
    let oid = Oid::from(&numbers).map_err(|_| "the port has no number")?;
    let said = |error: snmp2::Error| format!("{} is not understood: {error}", port.switch);
    // By the number of a question its answer is known: one that can be guessed could be answered by anybody.
    let mut first = [0; 4];
    SystemRandom::new().fill(&mut first).map_err(|_| "there are no random numbers")?;
    let number = i32::from_be_bytes(first) & 0x3FFF_FFFF;
    let session = AsyncSession::new_v2c(port.switch, community.expose().as_bytes(), number).await;
    let mut session = session.map_err(|error| format!("{} cannot be asked: {error}", port.switch))?;
    let answer = session.set(&[(&oid, Value::Integer(value))]).await.map_err(said)?;
    if answer.error_status != 0 {
        return Err(format!("{} refuses with error status {}", port.switch, answer.error_status));
    }
    let mut answer = session.get(&oid).await.map_err(said)?;
    match answer.varbinds.next() {
        Some((_, Value::Integer(now))) if now == value => Ok(()),
        Some((_, Value::Integer(now))) => Err(format!("the port is set to {now}, not to {value}")),
        Some(_) | None => Err("the port has no such setting".into()),
    }
}
