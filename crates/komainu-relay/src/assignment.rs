//! What whoever examines a device is told: one line of JSON on its standard input, which then stays open as long as
//! whoever started it is there.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use komainu_model::{ApplianceName, ExaminationTask, ResetPlan, Secret};
use serde::{Deserialize, Serialize};

use crate::inventory::reset::ResetText;

/// Bytes of an assignment: that of a baseline, escaped at the worst, and what a plan may be.
const ASSIGNMENT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Grows with each change of what is said here; both sides are one program.
const VERSION: u32 = 1;

/// What is to be done with which device.
#[derive(Debug)]
pub struct Assignment {
    /// The device's name.
    pub device: ApplianceName,
    /// Where it is.
    pub address: Ipv4Addr,
    /// What is to be done.
    pub task: ExaminationTask,
    /// Whether people read what is found, not a program.
    pub is_shown: bool,
    /// How it is brought back.
    pub plan: ResetPlan,
    /// What is in the files that the plan names.
    pub secrets: BTreeMap<PathBuf, Secret>,
    /// How the device should be, as an earlier survey wrote it. Nobody has read it meanwhile.
    pub baseline: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AssignmentText {
    version: u32,
    device: String,
    address: Ipv4Addr,
    task: TaskText,
    is_shown: bool,
    plan: ResetText,
    secrets: BTreeMap<PathBuf, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    baseline: Option<String>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TaskText {
    Reset,
    Compare,
    Survey,
}

impl Assignment {
    /// Reads the line.
    pub fn read(input: &mut impl BufRead) -> io::Result<Self> {
        let mut line = Vec::new();
        input.take(ASSIGNMENT_BYTES_MAX).read_until(b'\n', &mut line)?;
        let text: AssignmentText = serde_json::from_slice(&line)?;
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        if text.version != VERSION {
            return Err(wrong("the assignment is of another version"));
        }
        Ok(Self {
            device: ApplianceName::parse(&text.device).map_err(|error| wrong(&error.to_string()))?,
            address: text.address,
            task: match text.task {
                TaskText::Reset => ExaminationTask::Reset,
                TaskText::Compare => ExaminationTask::Compare,
                TaskText::Survey => ExaminationTask::Survey,
            },
            is_shown: text.is_shown,
            plan: text.plan.plan("plan").map_err(|error| wrong(&error.to_string()))?,
            secrets: text.secrets.into_iter().map(|(path, secret)| (path, Secret::new(secret))).collect(),
            baseline: text.baseline,
        })
    }

    /// The line.
    pub(crate) fn to_line(&self) -> Vec<u8> {
        let text = AssignmentText {
            version: VERSION,
            device: self.device.to_string(),
            address: self.address,
            task: match self.task {
                ExaminationTask::Reset => TaskText::Reset,
                ExaminationTask::Compare => TaskText::Compare,
                ExaminationTask::Survey => TaskText::Survey,
            },
            is_shown: self.is_shown,
            plan: ResetText::of(&self.plan),
            secrets: self.secrets.iter().map(|(path, secret)| (path.clone(), secret.expose().to_owned())).collect(),
            baseline: self.baseline.clone(),
        };
        // Paths of inventories are text, since a TOML file is.
        let mut line = serde_json::to_vec(&text).expect("an assignment has only texts and numbers");
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let plan = toml::from_str::<ResetText>(crate::inventory::reset::tests::EXAMPLE).unwrap().plan("").unwrap();
        let assignment = Assignment {
            device: ApplianceName::parse("porch").unwrap(),
            address: Ipv4Addr::new(192, 168, 77, 2),
            task: ExaminationTask::Reset,
            is_shown: true,
            secrets: [(PathBuf::from("/etc/komainu/community"), Secret::new("private".into()))].into(),
            baseline: Some("{\"version\":1,\n\"ports\":[]}".into()),
            plan,
        };
        let mut line = assignment.to_line();
        line.extend(b"what comes later");
        let mut rest = line.as_slice();
        let read = Assignment::read(&mut rest).unwrap();
        assert_eq!(
            (&read.plan, &read.secrets, &read.baseline),
            (&assignment.plan, &assignment.secrets, &assignment.baseline)
        );
        assert_eq!((read.device, read.address, read.task), (assignment.device, assignment.address, assignment.task));
        assert!(read.is_shown);
        assert_eq!(rest, b"what comes later");
    }

    #[test]
    fn what_is_cut_is_refused() {
        for text in ["", "{}", "{\"version\":1"] {
            assert!(Assignment::read(&mut text.as_bytes()).is_err(), "{text}");
        }
    }
}
