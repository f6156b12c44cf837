//! What becomes an indicator, what never does, and for how long it is one.

mod list;
mod policy;
mod shared;

use std::net::IpAddr;
use std::time::Duration;

use komainu_model::{
    Indicator, IndicatorCandidate, IndicatorId, IndicatorRefusal, IndicatorSource, IndicatorState, IndicatorValue,
    Provenance, Timestamp,
};
use uuid::Uuid;

pub use list::{LIST_BYTES_MAX, LIST_ENTRIES_MAX, ListFormat, ReadList, read_list};
pub use policy::{IndicatorPolicy, Objection};

/// So many origins are kept with one indicator; of further ones it is counted how many they were. The first ones stay: they
/// are what people were told about.
pub const PROVENANCE_MAX: usize = 64;
/// The longest note or reason, in characters.
pub const NOTE_CHARS_MAX: usize = 500;
/// The longest time that an indicator may be given to count: ten years.
pub const VALID_FOR_MAX: Duration = Duration::from_secs(3650 * 24 * 3600);

/// What an acceptable candidate leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lesson {
    /// Devices were not judged by it so far; what they reported before has to be looked through.
    New(Indicator),
    /// They are judged by it already.
    Known(Indicator),
}

/// The identity of an indicator: the same for the same value, wherever and whenever it is taught.
pub fn indicator_id(value: &IndicatorValue) -> IndicatorId {
    const NAMESPACE: Uuid = Uuid::from_u128(0x6b6f_6d61_696e_7500_8000_696e_6469_6361);
    IndicatorId::from_bytes(*Uuid::new_v5(&NAMESPACE, value.to_string().as_bytes()).as_bytes())
}

/// What a candidate leads to, or why it does not become an indicator. `known` is the indicator that is there already,
/// `is_own` knows the addresses of the fleet and of the sensors.
///
/// What an operator has taken back, only an operator brings again. Teaching again makes it last longer, never shorter, and
/// never less sure.
pub fn learn(
    policy: &IndicatorPolicy,
    is_own: &dyn Fn(IpAddr) -> bool,
    known: Option<&Indicator>,
    candidate: &IndicatorCandidate,
    now: Timestamp,
) -> Result<Lesson, IndicatorRefusal> {
    let is_operator = candidate.source == IndicatorSource::Operator;
    match policy.objection(&candidate.value, is_own) {
        None => {}
        Some(Objection::Never(reason)) => return Err(reason),
        Some(Objection::WithoutReview(reason)) if !(is_operator && candidate.reviewed) => {
            return Err(IndicatorRefusal::NeedsReview(Box::new(reason)));
        }
        Some(Objection::WithoutReview(reason)) => {
            if matches!(candidate.value, IndicatorValue::Address { port: None, .. }) {
                return Err(IndicatorRefusal::NeedsPort(Box::new(reason)));
            }
        }
    }
    if !is_operator && matches!(known.map(|known| &known.state), Some(IndicatorState::Revoked { .. })) {
        return Err(IndicatorRefusal::Revoked);
    }
    let valid_for = candidate.valid_for.unwrap_or(policy.valid_for).min(VALID_FOR_MAX);
    let valid_until = now.plus(valid_for);
    let Some(known) = known else {
        return Ok(Lesson::New(Indicator {
            id: indicator_id(&candidate.value),
            value: candidate.value.clone(),
            threat: candidate.threat,
            confidence: candidate.confidence,
            source: candidate.source.clone(),
            provenance: candidate.provenance.iter().filter(|origin| !origin.is_empty()).cloned().collect(),
            provenance_dropped: 0,
            first_seen: now,
            valid_from: now,
            valid_until,
            state: IndicatorState::Active,
            note: candidate.note.as_deref().map(shortened),
        }));
    };
    let mut indicator = known.clone();
    indicator.confidence = indicator.confidence.max(candidate.confidence);
    if let Some(origin) = &candidate.provenance {
        add_origin(&mut indicator, origin);
    }
    if let Some(note) = &candidate.note {
        indicator.note = Some(shortened(note));
    }
    if known.state == IndicatorState::Active {
        indicator.valid_until = indicator.valid_until.max(valid_until);
        return Ok(Lesson::Known(indicator));
    }
    indicator.valid_until = valid_until;
    indicator.valid_from = now;
    indicator.state = IndicatorState::Active;
    Ok(Lesson::New(indicator))
}

/// The indicator as it is when somebody takes it back.
pub fn revoked(indicator: &Indicator, reason: Option<&str>, now: Timestamp) -> Indicator {
    let state = IndicatorState::Revoked { at: now, reason: reason.map(shortened) };
    Indicator { state, ..indicator.clone() }
}

/// The indicator as it is when its time is over; `None` while it is not.
pub fn expired(indicator: &Indicator, now: Timestamp) -> Option<Indicator> {
    let is_over = indicator.state == IndicatorState::Active && indicator.valid_until <= now;
    is_over.then(|| Indicator { state: IndicatorState::Expired, ..indicator.clone() })
}

fn add_origin(indicator: &mut Indicator, origin: &Provenance) {
    if origin.is_empty() || indicator.provenance.iter().any(|known| known.is_same_origin(origin)) {
        return;
    }
    if indicator.provenance.len() < PROVENANCE_MAX {
        indicator.provenance.push(origin.clone());
    } else {
        indicator.provenance_dropped += 1;
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(NOTE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use komainu_model::{Confidence, DetonationId, SampleDigest, Threat};

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_400_000);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn candidate(value: &str) -> IndicatorCandidate {
        IndicatorCandidate {
            value: IndicatorValue::parse(value).unwrap(),
            threat: Threat::CommandAndControl,
            confidence: Confidence::new(80).unwrap(),
            source: IndicatorSource::Operator,
            provenance: None,
            valid_for: None,
            note: None,
            reviewed: false,
        }
    }

    fn by_laboratory(value: &str, sample: u8) -> IndicatorCandidate {
        let detonation = DetonationId::parse(&format!("detonation-{sample}")).unwrap();
        let provenance = Provenance {
            sample: Some(SampleDigest::from_sha256([sample; 32])),
            detonation: Some(detonation.clone()),
            session: None,
            sensor: None,
            at: NOW,
        };
        IndicatorCandidate {
            source: IndicatorSource::Detonation(detonation),
            provenance: Some(provenance),
            ..candidate(value)
        }
    }

    fn learned(
        known: Option<&Indicator>,
        candidate: &IndicatorCandidate,
        now: Timestamp,
    ) -> Result<Lesson, IndicatorRefusal> {
        learn(&IndicatorPolicy::default(), &|_| false, known, candidate, now)
    }

    fn new(lesson: Result<Lesson, IndicatorRefusal>) -> Indicator {
        match lesson {
            Ok(Lesson::New(indicator)) => indicator,
            other => panic!("{other:?} is not new"),
        }
    }

    fn known(lesson: Result<Lesson, IndicatorRefusal>) -> Indicator {
        match lesson {
            Ok(Lesson::Known(indicator)) => indicator,
            other => panic!("{other:?} is not known"),
        }
    }

    #[test]
    fn taught_twice_it_is_one_with_two_origins() {
        let first = new(learned(None, &by_laboratory("45.9.148.3:23", 1), NOW));
        let later = NOW.plus(DAY);
        let second = known(learned(Some(&first), &by_laboratory("45.9.148.3:23", 2), later));
        let third = known(learned(Some(&second), &by_laboratory("45.9.148.3:23", 1), later));
        assert_eq!((first.id, third.id), (indicator_id(&first.value), first.id));
        assert_eq!((third.provenance.len(), third.first_seen), (2, NOW));
        assert_eq!(third.valid_until, later.plus(IndicatorPolicy::default().valid_for));
    }

    #[test]
    fn origins_are_bounded() {
        let mut indicator = new(learned(None, &by_laboratory("45.9.148.3", 0), NOW));
        for sample in 1..=100 {
            indicator = known(learned(Some(&indicator), &by_laboratory("45.9.148.3", sample), NOW));
        }
        assert_eq!((indicator.provenance.len(), indicator.provenance_dropped), (PROVENANCE_MAX, 101 - 64));
        assert_eq!(indicator.provenance[0].sample, Some(SampleDigest::from_sha256([0; 32])));
    }

    #[test]
    fn only_an_operator_brings_back_what_an_operator_took_back() {
        let first = new(learned(None, &by_laboratory("45.9.148.3", 1), NOW));
        let gone = revoked(&first, Some("ours"), NOW);
        assert_eq!(learned(Some(&gone), &by_laboratory("45.9.148.3", 2), NOW), Err(IndicatorRefusal::Revoked));
        let again = new(learned(Some(&gone), &candidate("45.9.148.3"), NOW));
        assert_eq!((again.state, again.provenance.len()), (IndicatorState::Active, 1));
    }

    #[test]
    fn it_grows_old_and_comes_back() {
        let wanted = IndicatorCandidate { valid_for: Some(DAY), ..candidate("45.9.148.3") };
        let indicator = new(learned(None, &wanted, NOW));
        assert_eq!(expired(&indicator, NOW.plus(DAY / 2)), None);
        let old = expired(&indicator, NOW.plus(DAY)).unwrap();
        assert_eq!(old.state, IndicatorState::Expired);
        let again = new(learned(Some(&old), &wanted, NOW.plus(DAY * 3)));
        assert_eq!((again.valid_from, again.valid_until), (NOW.plus(DAY * 3), NOW.plus(DAY * 4)));
    }

    #[test]
    fn what_many_share_needs_a_person_and_a_port() {
        let check = |value: &str, reviewed: bool, expected: Option<&str>| {
            let wanted = IndicatorCandidate { reviewed, ..candidate(value) };
            match (learned(None, &wanted, NOW), expected) {
                (Ok(_), None) => {}
                (Err(reason), Some(expected)) => assert!(reason.to_string().contains(expected), "{value}: {reason}"),
                (other, _) => panic!("{value}: {other:?}"),
            }
        };
        check("8.8.8.8:53", false, Some("public resolver"));
        check("8.8.8.8", true, Some("with a port"));
        check("8.8.8.8:53", true, None);
        check("104.16.1.1:443", false, Some("Cloudflare"));
        check("10.1.2.3:23", true, Some("private"));
        check("203.0.113.66:23", true, Some("documentation"));
        let mut wanted = by_laboratory("104.16.1.1:443", 1);
        wanted.reviewed = true;
        assert!(learned(None, &wanted, NOW).is_err(), "a program has reviewed nothing");
    }
}
