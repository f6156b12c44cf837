//! What the lake has to know of a batch: a compact form that lives until the lake has taken it.
//!
//! Entries follow each other. The first byte says what one is; numbers are big-endian.
//!
//! | first byte | then |
//! |---|---|
//! | `01` | whose and when the following are: account, region, device, each as its length in one byte and UTF-8; milliseconds since 1970 in 8 bytes |
//! | `02` | a value: the metric like a name above; the length in 4 bytes, and the value as `value` writes it |
//! | `03` | a contact: the host like a name above, with a name's labels in reverse; the port in 2 bytes |

use komainu_model::{AccountId, Contact, Datapoint, Metric, Region, ReporterName, Scope, Timestamp};
use komainu_ports::{Reported, StoreError};

use super::{Damage, decode_remote, decode_value};

/// A body that has so many bytes gets no further entry: so many are decoded and handed to the lake at a time. The longest entry
/// has 4,096 words of 1,024 bytes.
const FULL_BYTES: usize = 256 * 1024;

const DEVICE: u8 = 1;
const VALUE: u8 = 2;
const CONTACT: u8 = 3;

/// Entries that are being written.
#[derive(Debug, Default)]
pub(crate) struct FedBody {
    bytes: Vec<u8>,
    entries: u64,
    /// Whose entries stand at the end, and of when.
    last: Option<(Scope, ReporterName, i64)>,
}

impl FedBody {
    /// Adds a value in its compact form.
    pub(crate) fn value(&mut self, scope: &Scope, reporter: &ReporterName, at: i64, metric: &Metric, value: &[u8]) {
        self.begin(scope, reporter, at);
        self.bytes.push(VALUE);
        self.name(metric.as_str());
        let length = u32::try_from(value.len()).expect("a value is shorter than 4 GiB");
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(value);
        self.entries += 1;
    }

    /// Adds a contact, its host as [`super::remote_key`] writes it.
    pub(crate) fn contact(&mut self, scope: &Scope, reporter: &ReporterName, at: i64, host: &str, port: u16) {
        self.begin(scope, reporter, at);
        self.bytes.push(CONTACT);
        self.name(host);
        self.bytes.extend_from_slice(&port.to_be_bytes());
        self.entries += 1;
    }

    /// Whether it should be kept before more is added.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= FULL_BYTES
    }

    /// What was written.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many values and contacts.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    fn begin(&mut self, scope: &Scope, reporter: &ReporterName, at: i64) {
        let is_same = |(of, whose, when): &(Scope, ReporterName, i64)| *when == at && whose == reporter && of == scope;
        if self.last.as_ref().is_some_and(is_same) {
            return;
        }
        self.bytes.push(DEVICE);
        self.name(scope.account.as_str());
        self.name(scope.region.as_str());
        self.name(reporter.as_str());
        self.bytes.extend_from_slice(&at.to_be_bytes());
        self.last = Some((scope.clone(), reporter.clone(), at));
    }

    fn name(&mut self, name: &str) {
        let length = u8::try_from(name.len()).expect("names have 253 bytes at most");
        self.bytes.push(length);
        self.bytes.extend_from_slice(name.as_bytes());
    }
}

/// Reads what a [`FedBody`] has written.
pub(crate) fn decode_fed(body: &[u8]) -> Result<Vec<(Scope, Reported)>, StoreError> {
    let damaged = |reason: &str| Damage(reason.to_owned()).of("report for the lake");
    let mut reader = Reader(body);
    let mut device: Option<(Scope, ReporterName, Timestamp)> = None;
    let mut reported = Vec::new();
    while let Some([kind]) = reader.chunk::<1>() {
        if kind == DEVICE {
            device = Some(reader.device().ok_or_else(|| damaged("a device cannot be read"))?);
            continue;
        }
        let (scope, reporter, at) = device.clone().ok_or_else(|| damaged("it begins with no device"))?;
        let entry = match kind {
            VALUE => {
                let (metric, value) = reader.value().ok_or_else(|| damaged("a value cannot be read"))?;
                Reported::Value(Datapoint { reporter, metric, value: decode_value(value)?, at })
            }
            CONTACT => {
                let (host, port) = reader.contact().ok_or_else(|| damaged("a contact cannot be read"))?;
                let remote = decode_remote(host, port)?;
                Reported::Contact(Contact { reporter, remote, first_at: at, last_at: at, count: 1 })
            }
            _ => return Err(damaged("an entry is of no kind that is known")),
        };
        reported.push((scope, entry));
    }
    Ok(reported)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*chunk)
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn name(&mut self) -> Option<&'a str> {
        let [length] = self.chunk()?;
        std::str::from_utf8(self.bytes(length.into())?).ok()
    }

    fn device(&mut self) -> Option<(Scope, ReporterName, Timestamp)> {
        let account = AccountId::parse(self.name()?).ok()?;
        let region = Region::parse(self.name()?).ok()?;
        let reporter = ReporterName::parse(self.name()?).ok()?;
        let at = Timestamp::from_unix_millis(i64::from_be_bytes(self.chunk()?));
        Some((Scope { account, region }, reporter, at))
    }

    fn value(&mut self) -> Option<(Metric, &'a [u8])> {
        let metric = Metric::parse(self.name()?).ok()?;
        let length = u32::from_be_bytes(self.chunk()?);
        Some((metric, self.bytes(usize::try_from(length).ok()?)?))
    }

    fn contact(&mut self) -> Option<(&'a str, u16)> {
        Some((self.name()?, u16::from_be_bytes(self.chunk()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_damaged_is_told() {
        let mut body = FedBody::default();
        let scope =
            Scope { account: AccountId::parse("123456789012").unwrap(), region: Region::parse("eu-west-1").unwrap() };
        let reporter = ReporterName::parse("camera").unwrap();
        body.value(&scope, &reporter, 5, &Metric::parse("m").unwrap(), &[1, 7]);
        body.contact(&scope, &reporter, 5, "192.0.2.1", 443);
        assert_eq!((body.entries(), decode_fed(body.bytes()).unwrap().len()), (2, 2));
        let whole = body.bytes();
        // After the device, and after the value.
        let boundaries = [0, whole.len() - 22, whole.len() - 13];
        for length in 0..whole.len() {
            let is_whole = boundaries.contains(&length);
            assert_eq!(decode_fed(&whole[..length]).is_ok(), is_whole, "{length} of {}", whole.len());
        }
        assert!(decode_fed(&[4]).is_err());
        assert!(decode_fed(&[VALUE, 1, b'm', 0, 0, 0, 0]).is_err());
    }
}
