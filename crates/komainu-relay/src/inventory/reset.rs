//! `[device.reset]` of an inventory: what is done with a device that is in quarantine after an incident. It may name
//! secrets, and is not handed to the process that talks to strangers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use komainu_model::{PoePort, ReadyProbe, ResetAction, ResetPlan, ResetStep, ResetWebhook, WebhookMethod};
use serde::{Deserialize, Serialize};

use super::{InventoryError, wrong};

/// Actions of a device.
const ACTIONS_MAX: usize = 16;

/// Words of a command, and headers of a request.
const WORDS_MAX: usize = 64;

/// Bytes of a word of a command, of a URL, of a header's value.
const WORD_BYTES_MAX: usize = 4 * 1024;

/// Bytes of what a request sends.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Seconds that one wait may be set to: a device that takes longer is looked after by hand.
const WAIT_S_MAX: u32 = 3_600;

/// Attempts of a day that may be asked for.
const ATTEMPTS_MAX: u32 = 100;

/// How long a port stays without power unless it is said: long enough for the capacitors of a small device.
const OFF_S: u32 = 5;

/// What a plan says, as it stands in inventories and is handed to whoever examines.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ResetText {
    automatic: bool,
    baseline: bool,
    attempts_per_day: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    ready: Option<ReadyText>,
    actions: Vec<StepText>,
}

impl Default for ResetText {
    fn default() -> Self {
        Self::of(&ResetPlan::default())
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadyText {
    port: u16,
    #[serde(default = "ReadyText::delay_s")]
    delay_s: u32,
    #[serde(default = "ReadyText::timeout_s")]
    timeout_s: u32,
}

impl ReadyText {
    /// A device that is told to restart still answers for a moment.
    const fn delay_s() -> u32 {
        5
    }

    /// Small devices are up within a minute or two.
    const fn timeout_s() -> u32 {
        180
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepText {
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<WebhookText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snmp_poe: Option<PoeText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Vec<String>>,
    #[serde(default = "StepText::timeout_s")]
    timeout_s: u32,
}

impl StepText {
    const fn timeout_s() -> u32 {
        30
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookText {
    url: String,
    #[serde(default)]
    method: MethodText,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bearer_token_file: Option<PathBuf>,
}

#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum MethodText {
    Get,
    #[default]
    Post,
    Put,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PoeText {
    switch: SocketAddr,
    community_file: PathBuf,
    /// `GROUP.PORT`, the index of `pethPsePortTable`.
    port: String,
    #[serde(default)]
    version: VersionText,
    #[serde(default = "PoeText::off_s")]
    off_s: u32,
}

impl PoeText {
    const fn off_s() -> u32 {
        OFF_S
    }
}

#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
enum VersionText {
    #[default]
    #[serde(rename = "2c")]
    V2c,
}

impl ResetText {
    /// Checks it. `at` is where it stands.
    pub(crate) fn plan(self, at: &str) -> Result<ResetPlan, InventoryError> {
        let field = |name: &str| format!("{at}.{name}");
        if self.actions.len() > ACTIONS_MAX {
            return Err(wrong(field("actions"), format!("has more than {ACTIONS_MAX} entries")));
        }
        if self.attempts_per_day == 0 || self.attempts_per_day > ATTEMPTS_MAX {
            return Err(wrong(field("attempts_per_day"), format!("must be 1 to {ATTEMPTS_MAX}")));
        }
        if self.automatic && !self.baseline && self.actions.is_empty() {
            let problem = "is true, but nothing is done or compared: the device would be released as it is";
            return Err(wrong(field("automatic"), problem));
        }
        let ready = self.ready.map(|ready| ready.probe(&field("ready"))).transpose()?;
        let mut actions = Vec::new();
        for (index, step) in self.actions.into_iter().enumerate() {
            actions.push(step.step(&format!("{at}.actions[{index}]"))?);
        }
        Ok(ResetPlan {
            actions,
            automatic: self.automatic,
            ready,
            baseline: self.baseline,
            attempts_per_day: self.attempts_per_day,
        })
    }

    /// The text that says the same.
    pub(crate) fn of(plan: &ResetPlan) -> Self {
        Self {
            automatic: plan.automatic,
            baseline: plan.baseline,
            attempts_per_day: plan.attempts_per_day,
            ready: plan.ready.map(|ReadyProbe { port, delay_s, timeout_s }| ReadyText { port, delay_s, timeout_s }),
            actions: plan.actions.iter().map(StepText::of).collect(),
        }
    }
}

impl ReadyText {
    fn probe(self, at: &str) -> Result<ReadyProbe, InventoryError> {
        let Self { port, delay_s, timeout_s } = self;
        if port == 0 {
            return Err(wrong(format!("{at}.port"), "is 0"));
        }
        if delay_s > WAIT_S_MAX {
            return Err(wrong(format!("{at}.delay_s"), format!("must be {WAIT_S_MAX} at most")));
        }
        wait(&format!("{at}.timeout_s"), timeout_s)?;
        Ok(ReadyProbe { port, delay_s, timeout_s })
    }
}

impl StepText {
    fn step(self, at: &str) -> Result<ResetStep, InventoryError> {
        wait(&format!("{at}.timeout_s"), self.timeout_s)?;
        let action = match (self.webhook, self.snmp_poe, self.command) {
            (Some(webhook), None, None) => ResetAction::Webhook(webhook.webhook(&format!("{at}.webhook"))?),
            (None, Some(poe), None) => ResetAction::SnmpPoe(poe.port(&format!("{at}.snmp_poe"), self.timeout_s)?),
            (None, None, Some(words)) => ResetAction::Command(command(&format!("{at}.command"), words)?),
            _ => return Err(wrong(at, "must have one of webhook, snmp_poe and command")),
        };
        Ok(ResetStep { action, timeout_s: self.timeout_s })
    }

    fn of(step: &ResetStep) -> Self {
        let (mut webhook, mut snmp_poe, mut command) = (None, None, None);
        match &step.action {
            ResetAction::Webhook(action) => webhook = Some(WebhookText::of(action)),
            ResetAction::SnmpPoe(action) => snmp_poe = Some(PoeText::of(action)),
            ResetAction::Command(words) => command = Some(words.clone()),
        }
        Self { webhook, snmp_poe, command, timeout_s: step.timeout_s }
    }
}

impl WebhookText {
    fn webhook(self, at: &str) -> Result<ResetWebhook, InventoryError> {
        let host = self.url.strip_prefix("http://").or_else(|| self.url.strip_prefix("https://"));
        let is_url = host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'));
        if !is_url || self.url.len() > WORD_BYTES_MAX || self.url.contains(|c: char| c.is_control() || c == ' ') {
            return Err(wrong(format!("{at}.url"), "must begin with http:// or https:// and name a host"));
        }
        if self.body.as_ref().is_some_and(|body| body.len() > BODY_BYTES_MAX) {
            return Err(wrong(format!("{at}.body"), format!("must be {BODY_BYTES_MAX} bytes at most")));
        }
        if self.headers.len() > WORDS_MAX {
            return Err(wrong(format!("{at}.headers"), format!("has more than {WORDS_MAX} entries")));
        }
        for (name, value) in &self.headers {
            // RFC 9110, 5.6.2 and 5.5.
            let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
            if !is_name || value.len() > WORD_BYTES_MAX || value.contains(char::is_control) {
                return Err(wrong(format!("{at}.headers"), format!("has {name:?}, which is no header")));
            }
        }
        Ok(ResetWebhook {
            url: self.url,
            method: match self.method {
                MethodText::Get => WebhookMethod::Get,
                MethodText::Post => WebhookMethod::Post,
                MethodText::Put => WebhookMethod::Put,
            },
            body: self.body,
            headers: self.headers.into_iter().collect(),
            bearer_token_file: self.bearer_token_file,
        })
    }

    fn of(webhook: &ResetWebhook) -> Self {
        Self {
            url: webhook.url.clone(),
            method: match webhook.method {
                WebhookMethod::Get => MethodText::Get,
                WebhookMethod::Post => MethodText::Post,
                WebhookMethod::Put => MethodText::Put,
            },
            body: webhook.body.clone(),
            headers: webhook.headers.iter().cloned().collect(),
            bearer_token_file: webhook.bearer_token_file.clone(),
        }
    }
}

impl PoeText {
    fn port(self, at: &str, timeout_s: u32) -> Result<PoePort, InventoryError> {
        let Self { switch, community_file, port, version: VersionText::V2c, off_s } = self;
        // Both are from 1 on (RFC 3621, 3).
        let number = |text: &str| text.parse::<u32>().ok().filter(|number| (1..=0x7FFF_FFFF).contains(number));
        let index = port.split_once('.').and_then(|(group, port)| Some((number(group)?, number(port)?)));
        let Some((group, port)) = index else {
            return Err(wrong(format!("{at}.port"), "must be GROUP.PORT, as in \"1.4\""));
        };
        if off_s == 0 || off_s >= timeout_s {
            return Err(wrong(
                format!("{at}.off_s"),
                format!("must be 1 at least and less than timeout_s ({timeout_s})"),
            ));
        }
        Ok(PoePort { switch, community_file, group, port, off_s })
    }

    fn of(poe: &PoePort) -> Self {
        Self {
            switch: poe.switch,
            community_file: poe.community_file.clone(),
            port: format!("{}.{}", poe.group, poe.port),
            version: VersionText::V2c,
            off_s: poe.off_s,
        }
    }
}

fn command(at: &str, words: Vec<String>) -> Result<Vec<String>, InventoryError> {
    if words.len() > WORDS_MAX || words.iter().any(|word| word.len() > WORD_BYTES_MAX || word.contains('\0')) {
        return Err(wrong(at, format!("must be {WORDS_MAX} words at most, each of {WORD_BYTES_MAX} bytes at most")));
    }
    if !words.first().is_some_and(|program| program.starts_with('/')) {
        return Err(wrong(at, "must begin with the whole path of a program"));
    }
    Ok(words)
}

fn wait(at: &str, seconds: u32) -> Result<(), InventoryError> {
    if (1..=WAIT_S_MAX).contains(&seconds) { Ok(()) } else { Err(wrong(at, format!("must be 1 to {WAIT_S_MAX}"))) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A plan that uses everything a plan has.
    pub(crate) const EXAMPLE: &str = r#"
automatic = true
attempts_per_day = 2
ready = { port = 80, delay_s = 3, timeout_s = 90 }
actions = [
    { webhook = { url = "http://192.0.2.10/relay/0", method = "PUT", body = "cycle", headers = { X-Socket = "4" }, bearer_token_file = "/etc/komainu/socket-token" } },
    { snmp_poe = { switch = "192.0.2.11:161", community_file = "/etc/komainu/community", port = "1.4", version = "2c", off_s = 8 }, timeout_s = 60 },
    { command = ["/usr/local/bin/cycle", "porch; rm"], timeout_s = 5 },
]
"#;

    fn parse(text: &str) -> Result<ResetPlan, InventoryError> {
        toml::from_str::<ResetText>(text).map_err(InventoryError::Form)?.plan("device[0].reset")
    }

    #[test]
    fn a_plan_is_read_and_handed_on() {
        let plan = parse(EXAMPLE).unwrap();
        assert_eq!((plan.baseline, plan.automatic, plan.attempts_per_day, plan.actions.len()), (true, true, 2, 3));
        assert_eq!(plan.actions[0].timeout_s, 30);
        assert_eq!(plan.secret_files().count(), 2);
        assert_eq!(plan.time_s_max(), 30 + 60 + 5 + 93 + 990);
        let handed_on = serde_json::to_string(&ResetText::of(&plan)).unwrap();
        assert_eq!(serde_json::from_str::<ResetText>(&handed_on).unwrap().plan("").unwrap(), plan);
    }

    #[test]
    fn mistakes_are_told_by_their_field() {
        let check = |from: &str, to: &str, expected: &str| {
            assert!(EXAMPLE.contains(from), "{from}");
            let error = parse(&EXAMPLE.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: {error}");
        };
        check("http://192.0.2.10", "ftp://192.0.2.10", "reset.actions[0].webhook.url must begin");
        check("http://192.0.2.10/", "http:///", "reset.actions[0].webhook.url must begin");
        check("\"PUT\"", "\"DELETE\"", "not valid");
        check("X-Socket", "\"X Socket\"", "reset.actions[0].webhook.headers has");
        check("\"1.4\"", "\"4\"", "reset.actions[1].snmp_poe.port must be");
        check("\"1.4\"", "\"0.4\"", "reset.actions[1].snmp_poe.port must be");
        check("\"2c\"", "\"3\"", "not valid");
        check("off_s = 8", "off_s = 60", "reset.actions[1].snmp_poe.off_s must be");
        check("\"/usr/local/bin/cycle\", ", "", "reset.actions[2].command must begin");
        check("timeout_s = 5 ", "timeout_s = 0 ", "reset.actions[2].timeout_s must be");
        check("command =", "webhook = { url = \"http://a\" }, command =", "reset.actions[2] must have one of");
        check("port = 80", "port = 0", "reset.ready.port is 0");
        check("timeout_s = 90", "timeout_s = 4000", "reset.ready.timeout_s must be");
        check("attempts_per_day = 2", "attempts_per_day = 0", "reset.attempts_per_day must be");
        let nothing = parse("automatic = true\nbaseline = false").unwrap_err().to_string();
        assert!(nothing.contains("reset.automatic is true"), "{nothing}");
    }
}
