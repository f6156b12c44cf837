//! How a device is brought back after an incident, and how it is found out whether it is as it was.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Seconds for all surveys of one examination: three of at most 300 s, and the rests between them.
pub const SURVEYS_S_MAX: u32 = 960;

/// Seconds that an examination may take beside what its steps and surveys may: for processes to start and to end.
const EXAMINATION_MARGIN_S: u32 = 30;

/// What is done with a device that is in quarantine after an incident, in this order: the actions, the question whether
/// it is ready, the comparison with its baseline. Only when all of it went well is the quarantine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetPlan {
    /// What is done, one after the other; the first that fails is the last.
    pub actions: Vec<ResetStep>,
    /// Whether it is done by itself after an incident.
    pub automatic: bool,
    /// When the device counts as ready; none: at once.
    pub ready: Option<ReadyProbe>,
    /// Whether it must be as its baseline says.
    pub baseline: bool,
    /// How often it is tried by itself within 24 hours.
    pub attempts_per_day: u32,
}

impl Default for ResetPlan {
    /// Nothing is done; the device must be as its baseline says. Three attempts tell a switch that is busy from a device
    /// that is taken over again and again.
    fn default() -> Self {
        Self { actions: Vec::new(), automatic: false, ready: None, baseline: true, attempts_per_day: 3 }
    }
}

/// An action and its bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetStep {
    /// What is done.
    pub action: ResetAction,
    /// Seconds until it counts as failed.
    pub timeout_s: u32,
}

/// What brings a device back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResetAction {
    /// A request over HTTP or HTTPS, to a switched socket, a hypervisor, the device itself.
    Webhook(ResetWebhook),
    /// A port of a switch that feeds the device stops doing so for a while (POWER-ETHERNET-MIB, RFC 3621).
    SnmpPoe(PoePort),
    /// A program and its arguments; no shell reads them.
    Command(Vec<String>),
}

impl ResetAction {
    /// The word in inventories and records.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::SnmpPoe(_) => "snmp_poe",
            Self::Command(_) => "command",
        }
    }
}

/// A request that brings a device back. Any status from 200 to 299 means that it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetWebhook {
    /// Where to; `http` or `https`.
    pub url: String,
    /// How.
    pub method: WebhookMethod,
    /// What is sent.
    pub body: Option<String>,
    /// Headers, each with its value.
    pub headers: Vec<(String, String)>,
    /// The file with what stands behind `Authorization: Bearer`.
    pub bearer_token_file: Option<PathBuf>,
}

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookMethod {
    /// GET.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
}

/// A port of a switch that feeds a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoePort {
    /// Where the switch answers SNMP.
    pub switch: SocketAddr,
    /// The file with the community that may write.
    pub community_file: PathBuf,
    /// `pethPsePortGroupIndex`.
    pub group: u32,
    /// `pethPsePortIndex`.
    pub port: u32,
    /// Seconds without power.
    pub off_s: u32,
}

/// When a device counts as ready: as soon as a TCP port takes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadyProbe {
    /// Which.
    pub port: u16,
    /// Seconds until it is asked for the first time: a device that has not gone down yet still answers.
    pub delay_s: u32,
    /// Seconds from then on until it counts as failed.
    pub timeout_s: u32,
}

impl ResetPlan {
    /// The files with secrets that it needs.
    pub fn secret_files(&self) -> impl Iterator<Item = &Path> {
        self.actions.iter().filter_map(|step| match &step.action {
            ResetAction::Webhook(webhook) => webhook.bearer_token_file.as_deref(),
            ResetAction::SnmpPoe(poe) => Some(poe.community_file.as_path()),
            ResetAction::Command(_) => None,
        })
    }

    /// Seconds after which an examination by this plan has gone wrong.
    pub fn time_s_max(&self) -> u64 {
        let actions: u64 = self.actions.iter().map(|step| u64::from(step.timeout_s)).sum();
        let ready = self.ready.map_or(0, |ready| u64::from(ready.delay_s) + u64::from(ready.timeout_s));
        actions + ready + u64::from(SURVEYS_S_MAX) + u64::from(EXAMINATION_MARGIN_S)
    }
}

/// What whoever examines a device is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExaminationTask {
    /// Carry out the plan.
    Reset,
    /// Compare the device with its baseline.
    Compare,
    /// Say how it is now: that will be its baseline.
    Survey,
}

/// What an examination came to. It is the exit status of the process that examines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Examined {
    /// Everything is as it should be.
    Clean,
    /// Something did not work; it may when it is tried again.
    Failed,
    /// The device is not as its baseline says, or nobody knows how it should be.
    Differs,
}

impl Examined {
    /// The exit status. Neither that of a program that failed otherwise nor that of a panic.
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Failed => 20,
            Self::Differs => 21,
        }
    }

    /// What an exit status says. Any other than those above has failed.
    pub const fn of_exit_status(status: Option<i32>) -> Self {
        match status {
            Some(0) => Self::Clean,
            Some(21) => Self::Differs,
            _ => Self::Failed,
        }
    }
}

/// What nobody may see who need not; it is not shown by mistake.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes it.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// Gives it to whoever needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_statuses_say_what_was_meant() {
        for examined in [Examined::Clean, Examined::Failed, Examined::Differs] {
            assert_eq!(Examined::of_exit_status(Some(examined.exit_status().into())), examined);
        }
        // A signal, a panic, an error at the start.
        for status in [None, Some(101), Some(1)] {
            assert_eq!(Examined::of_exit_status(status), Examined::Failed);
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert!(!format!("{:?}", Secret::new("public".into())).contains("public"));
    }
}
