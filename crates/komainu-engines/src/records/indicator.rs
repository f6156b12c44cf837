//! Indicators, refused candidates and matches, as they are stored. An indicator's identity and value are in columns.

use komainu_model::{
    Confidence, DetonationId, FeedName, Indicator, IndicatorId, IndicatorMatch, IndicatorRefusal, IndicatorSource,
    IndicatorState, IndicatorValue, Provenance, RefusedCandidate, Remote, RemoteHost, SampleDigest, SensorName,
    SessionId, SightingWay, Threat, Timestamp,
};
use komainu_ports::StoreError;
use serde::{Deserialize, Serialize};

use super::{Damage, to_json};

/// Writes the body of an indicator.
pub(crate) fn encode_indicator(indicator: &Indicator) -> String {
    to_json(&StoredIndicator::from(indicator))
}

/// Reads an indicator.
pub(crate) fn decode_indicator(id: &[u8], value: &str, body: &str) -> Result<Indicator, StoreError> {
    let stored = serde_json::from_str::<StoredIndicator>(body).map_err(Damage::from);
    let indicator = stored.and_then(|stored| stored.into_indicator(read_id(id)?, IndicatorValue::parse(value)?));
    indicator.map_err(|damage| damage.of("indicator"))
}

/// Reads the identity and the value of an indicator.
pub(crate) fn decode_indicator_key(id: &[u8], value: &str) -> Result<(IndicatorId, IndicatorValue), StoreError> {
    let read = || Ok((read_id(id)?, IndicatorValue::parse(value)?));
    read().map_err(|damage: Damage| damage.of("indicator"))
}

/// Writes the body of a refused candidate.
pub(crate) fn encode_refused(refused: &RefusedCandidate) -> String {
    to_json(&StoredRefused {
        value: refused.value.to_string(),
        source: StoredSource::from(&refused.source),
        provenance: refused.provenance.as_ref().map(StoredProvenance::from),
        reason: refused.reason.to_string(),
    })
}

/// Reads a refused candidate.
pub(crate) fn decode_refused(id: &[u8], at: Timestamp, body: &str) -> Result<RefusedCandidate, StoreError> {
    let read = || -> Result<RefusedCandidate, Damage> {
        let stored: StoredRefused = serde_json::from_str(body)?;
        Ok(RefusedCandidate {
            id: read_id(id)?,
            value: IndicatorValue::parse(&stored.value)?,
            source: stored.source.try_into()?,
            provenance: stored.provenance.map(Provenance::try_from).transpose()?,
            reason: IndicatorRefusal::of_sentence(&stored.reason),
            at,
        })
    };
    read().map_err(|damage| damage.of("refused candidate"))
}

/// Somebody as the key of a contact: an address, or a name with its labels in reverse, so that the names below a name follow
/// it. Beside it the port, 0 when none was said.
pub(crate) fn remote_key(remote: &Remote) -> (String, u16) {
    let host = match &remote.host {
        RemoteHost::Address(address) => address.to_string(),
        RemoteHost::Name(name) => reversed(name.as_str()),
    };
    (host, remote.port.unwrap_or(0))
}

/// Reads what [`remote_key`] wrote.
pub(crate) fn decode_remote(host: &str, port: u16) -> Result<Remote, StoreError> {
    let read = Remote::parse(host).ok().filter(|remote| matches!(remote.host, RemoteHost::Address(_)));
    let remote = match read {
        Some(remote) => Ok(remote),
        None => Remote::parse(&reversed(host)),
    };
    let remote = remote.map_err(|invalid| Damage::from(invalid).of("contact"))?;
    Ok(Remote { port: Some(port).filter(|port| *port != 0), ..remote })
}

/// The labels of a name in reverse.
pub(crate) fn reversed(name: &str) -> String {
    let labels: Vec<&str> = name.rsplit('.').collect();
    labels.join(".")
}

/// Reads the word for how a sighting became known.
pub(crate) fn decode_way(word: &str) -> Result<SightingWay, Damage> {
    let known = SightingWay::ALL.into_iter().find(|way| way.as_str() == word);
    known.ok_or_else(|| Damage(format!("its way {word:?} is not known")))
}

/// Reads an identity out of a column.
pub(crate) fn read_id(id: &[u8]) -> Result<IndicatorId, Damage> {
    let bytes = id.try_into().map_err(|_| Damage(format!("its identity has {} bytes", id.len())))?;
    Ok(IndicatorId::from_bytes(bytes))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredIndicator {
    threat: String,
    confidence: u8,
    source: StoredSource,
    provenance: Vec<StoredProvenance>,
    provenance_dropped: u64,
    first_seen_ms: i64,
    valid_from_ms: i64,
    valid_until_ms: i64,
    state: StoredState,
    note: Option<String>,
}

/// An indicator inside another record.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredNamedIndicator {
    id: String,
    value: String,
    indicator: StoredIndicator,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum StoredState {
    Active,
    Expired,
    Revoked { at_ms: i64, reason: Option<String> },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum StoredSource {
    Detonation(String),
    Operator,
    Feed(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredProvenance {
    sample: Option<String>,
    detonation: Option<String>,
    session: Option<String>,
    sensor: Option<String>,
    at_ms: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredRefused {
    value: String,
    source: StoredSource,
    provenance: Option<StoredProvenance>,
    reason: String,
}

/// A match inside another record.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredMatch {
    indicator: String,
    remote: String,
    way: String,
    seen_at_ms: i64,
    sample: Option<String>,
}

impl From<&Indicator> for StoredIndicator {
    fn from(indicator: &Indicator) -> Self {
        Self {
            threat: indicator.threat.as_str().to_owned(),
            confidence: indicator.confidence.percent(),
            source: StoredSource::from(&indicator.source),
            provenance: indicator.provenance.iter().map(StoredProvenance::from).collect(),
            provenance_dropped: indicator.provenance_dropped,
            first_seen_ms: indicator.first_seen.unix_millis(),
            valid_from_ms: indicator.valid_from.unix_millis(),
            valid_until_ms: indicator.valid_until.unix_millis(),
            state: match &indicator.state {
                IndicatorState::Active => StoredState::Active,
                IndicatorState::Expired => StoredState::Expired,
                IndicatorState::Revoked { at, reason } => {
                    StoredState::Revoked { at_ms: at.unix_millis(), reason: reason.clone() }
                }
            },
            note: indicator.note.clone(),
        }
    }
}

impl StoredIndicator {
    fn into_indicator(self, id: IndicatorId, value: IndicatorValue) -> Result<Indicator, Damage> {
        Ok(Indicator {
            id,
            value,
            threat: Threat::parse(&self.threat)?,
            confidence: Confidence::new(self.confidence)?,
            source: self.source.try_into()?,
            provenance: self.provenance.into_iter().map(Provenance::try_from).collect::<Result<_, _>>()?,
            provenance_dropped: self.provenance_dropped,
            first_seen: Timestamp::from_unix_millis(self.first_seen_ms),
            valid_from: Timestamp::from_unix_millis(self.valid_from_ms),
            valid_until: Timestamp::from_unix_millis(self.valid_until_ms),
            state: match self.state {
                StoredState::Active => IndicatorState::Active,
                StoredState::Expired => IndicatorState::Expired,
                StoredState::Revoked { at_ms, reason } => {
                    IndicatorState::Revoked { at: Timestamp::from_unix_millis(at_ms), reason }
                }
            },
            note: self.note,
        })
    }
}

impl From<&Indicator> for StoredNamedIndicator {
    fn from(indicator: &Indicator) -> Self {
        let (id, value) = (indicator.id.to_string(), indicator.value.to_string());
        Self { id, value, indicator: StoredIndicator::from(indicator) }
    }
}

impl TryFrom<StoredNamedIndicator> for Indicator {
    type Error = Damage;

    fn try_from(stored: StoredNamedIndicator) -> Result<Self, Damage> {
        let (id, value) = (IndicatorId::parse(&stored.id)?, IndicatorValue::parse(&stored.value)?);
        stored.indicator.into_indicator(id, value)
    }
}

impl From<&IndicatorSource> for StoredSource {
    fn from(source: &IndicatorSource) -> Self {
        match source {
            IndicatorSource::Detonation(id) => Self::Detonation(id.to_string()),
            IndicatorSource::Operator => Self::Operator,
            IndicatorSource::Feed(name) => Self::Feed(name.to_string()),
        }
    }
}

impl TryFrom<StoredSource> for IndicatorSource {
    type Error = Damage;

    fn try_from(stored: StoredSource) -> Result<Self, Damage> {
        Ok(match stored {
            StoredSource::Detonation(id) => Self::Detonation(DetonationId::parse(&id)?),
            StoredSource::Operator => Self::Operator,
            StoredSource::Feed(name) => Self::Feed(FeedName::parse(&name)?),
        })
    }
}

impl From<&Provenance> for StoredProvenance {
    fn from(provenance: &Provenance) -> Self {
        Self {
            sample: provenance.sample.map(|sample| sample.to_string()),
            detonation: provenance.detonation.as_ref().map(ToString::to_string),
            session: provenance.session.as_ref().map(ToString::to_string),
            sensor: provenance.sensor.as_ref().map(ToString::to_string),
            at_ms: provenance.at.unix_millis(),
        }
    }
}

impl TryFrom<StoredProvenance> for Provenance {
    type Error = Damage;

    fn try_from(stored: StoredProvenance) -> Result<Self, Damage> {
        Ok(Self {
            sample: stored.sample.as_deref().map(SampleDigest::parse).transpose()?,
            detonation: stored.detonation.as_deref().map(DetonationId::parse).transpose()?,
            session: stored.session.as_deref().map(SessionId::parse).transpose()?,
            sensor: stored.sensor.as_deref().map(SensorName::parse).transpose()?,
            at: Timestamp::from_unix_millis(stored.at_ms),
        })
    }
}

impl From<&IndicatorMatch> for StoredMatch {
    fn from(found: &IndicatorMatch) -> Self {
        Self {
            indicator: found.indicator.to_string(),
            remote: found.remote.to_string(),
            way: found.way.as_str().to_owned(),
            seen_at_ms: found.seen_at.unix_millis(),
            sample: found.sample.map(|sample| sample.to_string()),
        }
    }
}

impl TryFrom<StoredMatch> for IndicatorMatch {
    type Error = Damage;

    fn try_from(stored: StoredMatch) -> Result<Self, Damage> {
        Ok(Self {
            indicator: IndicatorId::parse(&stored.indicator)?,
            remote: Remote::parse(&stored.remote)?,
            way: decode_way(&stored.way)?,
            seen_at: Timestamp::from_unix_millis(stored.seen_at_ms),
            sample: stored.sample.as_deref().map(SampleDigest::parse).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_in_reverse() {
        let check = |text: &str, host: &str, port: u16| {
            let remote = Remote::parse(text).unwrap();
            assert_eq!(remote_key(&remote), (host.to_owned(), port));
            assert_eq!(decode_remote(host, port).unwrap(), remote);
        };
        check("203.0.113.66:23", "203.0.113.66", 23);
        check("2001:db8::1", "2001:db8::1", 0);
        check("a.c2.example.net:80", "net.example.c2.a", 80);
        assert!(decode_remote("nonsense", 0).is_err());
    }
}
