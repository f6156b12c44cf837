//! What an examination tells: one line of JSON for each step that is over. It is read by the process that writes the
//! event logs, as hostile as what a device says.

use std::fmt;

use komainu_model::ResetAction;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Bytes of a text: enough for the beginning of a greeting, twice.
const TEXT_BYTES_MAX: usize = 300;

/// Lines of an examination: the actions, the question whether it is ready, the differences. With their bytes, all of
/// them fit into a pipe (64 KiB, pipe(7)): whoever does not read them holds nobody up.
pub(crate) const FINDINGS_MAX: usize = 80;

/// Bytes of a line: of its two texts each byte may be escaped.
pub(crate) const LINE_BYTES_MAX: usize = 2 * 1024;

/// A step of an examination that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Which.
    pub(crate) step: StepName,
    /// Whether it went well.
    pub(crate) ok: bool,
    /// How long it took, in milliseconds.
    pub(crate) ms: u64,
    /// Why it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// In what the device differs from its baseline; each difference is a finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) difference: Option<String>,
}

/// The steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StepName {
    Webhook,
    SnmpPoe,
    Command,
    Ready,
    Baseline,
}

impl StepName {
    pub(super) const fn of(action: &ResetAction) -> Self {
        match action {
            ResetAction::Webhook(_) => Self::Webhook,
            ResetAction::SnmpPoe(_) => Self::SnmpPoe,
            ResetAction::Command(_) => Self::Command,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::SnmpPoe => "snmp_poe",
            Self::Command => "command",
            Self::Ready => "ready",
            Self::Baseline => "baseline",
        }
    }
}

impl Finding {
    pub(super) fn ok(step: StepName, began: Instant) -> Self {
        Self { step, ok: true, ms: ms(began), error: None, difference: None }
    }

    pub(super) fn failed(step: StepName, began: Instant, error: &str) -> Self {
        Self { step, ok: false, ms: ms(began), error: Some(shown(error.as_bytes())), difference: None }
    }

    pub(super) fn differs(began: Instant, difference: &str) -> Self {
        let difference = Some(shown(difference.as_bytes()));
        Self { step: StepName::Baseline, ok: false, ms: ms(began), error: None, difference }
    }

    /// The line, without its end.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("a finding has only texts and numbers")
    }

    /// Reads a line; none when it is none of ours. Texts are cut and made printable: whoever wrote them may be in a
    /// device's hands.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let mut finding: Self = serde_json::from_slice(line).ok()?;
        for text in [&mut finding.error, &mut finding.difference].into_iter().flatten() {
            *text = shown(text.as_bytes());
        }
        Some(finding)
    }
}

/// For people.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = if self.ok { "ok" } else { "FAILED" };
        write!(f, "{}: {outcome}, {}.{:03} s", self.step.as_str(), self.ms / 1000, self.ms % 1000)?;
        for text in [&self.error, &self.difference].into_iter().flatten() {
            write!(f, ": {text}")?;
        }
        Ok(())
    }
}

fn ms(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Bytes as printable ASCII, cut. What is not printable is `\xNN`; what is shown already is not changed.
pub(super) fn shown(bytes: &[u8]) -> String {
    const CUT: &str = "...";
    let mut text = String::new();
    // Each is one character at least.
    for byte in bytes.iter().take(TEXT_BYTES_MAX + 1) {
        match byte {
            b' '..=b'~' => text.push(char::from(*byte)),
            byte => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(TEXT_BYTES_MAX - CUT.len());
        text.push_str(CUT);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let began = Instant::now();
        for finding in [
            Finding::ok(StepName::SnmpPoe, began),
            Finding::failed(StepName::Webhook, began, "status 500 \u{1b}[2J"),
            Finding::differs(began, "port 23 is open and was not"),
            Finding::differs(began, &"ä".repeat(1000)),
        ] {
            assert_eq!(Finding::parse(finding.to_line().as_bytes()), Some(finding));
        }
    }

    #[test]
    fn what_is_no_finding_is_none() {
        let check = |line: &str| assert_eq!(Finding::parse(line.as_bytes()), None, "{line}");
        check("");
        check("[]");
        check(r#"{"step":"release","ok":true,"ms":1}"#);
        check(r#"{"step":"ready","ok":true,"ms":-1}"#);
        check(r#"{"step":"ready","ok":true,"ms":1,"device":"another"}"#);
    }

    #[test]
    fn texts_are_printable_and_short() {
        let hostile = format!(r#"{{"step":"ready","ok":false,"ms":1,"error":"\u001b[2J\n{}"}}"#, "ä".repeat(1000));
        let error = Finding::parse(hostile.as_bytes()).unwrap().error.unwrap();
        assert!(error.starts_with(r"\x1b[2J\x0a\xc3\xa4"), "{error}");
        assert!(error.len() <= TEXT_BYTES_MAX && error.ends_with("..."), "{} bytes", error.len());
    }

    #[test]
    fn all_lines_of_an_examination_fit_into_a_pipe() {
        let long = Finding::differs(Instant::now(), &"\"".repeat(1000));
        let line = Finding { ms: u64::MAX, ..long }.to_line();
        assert!((line.len() + 1) * FINDINGS_MAX <= 64 * 1024 && line.len() < LINE_BYTES_MAX, "{} bytes", line.len());
    }
}
