//! What a local operator can do without an access key: enrol devices and sensors, and manage access keys.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use komainu_api::{Api, ControlPlane, EnrolledDevice as Enrolled};
use komainu_console::{Accounts, By, MonthlyParts, Publications};
use komainu_engines::DataFolder;
use komainu_lab::Intake;
use komainu_model::{AccessKeyId, AccessKeyNote, AccessKeyStatus, Scope, SecretKey};
use komainu_pipeline::Indicators;
use komainu_ports::{
    AccessKeys, AuditAction, Clock, ListedAccessKey, SensorArtifacts, SensorHealth, SensorRollCall, SensorStatus,
};

use crate::admin::{AccessKeyLine, AdminReply, AdminRequest, EnrolledDevice, SensorHealthLine, SensorLine};
use crate::config::Config;
use crate::indicators::{self, IndicatorsReply, IndicatorsRequest};
use crate::lake_demo::ServedLakes;
use crate::monthly;
use crate::operators;
use crate::publications::PublicationFiles;
use crate::samples;
use crate::serve::{Foundation, LOCK_HINT};

/// Carries out what a local operator asks for.
pub(crate) struct Operator {
    api: Arc<Api>,
    control: Arc<ControlPlane>,
    indicators: Arc<Indicators>,
    artifacts: Arc<dyn SensorArtifacts>,
    intake: Arc<Intake>,
    accounts: Arc<Accounts>,
    monthly: MonthlyParts,
    clock: Arc<dyn Clock>,
    /// Where enrolled devices belong.
    scope: Scope,
    /// Held while no server holds it.
    _folder: Option<DataFolder>,
}

impl Operator {
    /// The operator of a running server, whose data folder is this.
    pub(crate) fn of_server(foundation: Foundation, publications: Arc<dyn Publications>, data: &Path) -> Arc<Self> {
        Arc::new(Self::of(foundation, publications, data, None))
    }

    fn of(
        foundation: Foundation,
        publications: Arc<dyn Publications>,
        data: &Path,
        folder: Option<DataFolder>,
    ) -> Self {
        let Foundation { scope, control, indicators, artifacts, intake, accounts, api, clock, .. } = foundation;
        let monthly = MonthlyParts {
            lakes: Arc::new(ServedLakes::new(foundation.lake, data)),
            scope: scope.clone(),
            history: foundation.store,
            samples: foundation.samples,
            indicators: foundation.threat.indicators,
            publications,
        };
        Self { api, control, indicators, artifacts, intake, accounts, monthly, clock, scope, _folder: folder }
    }

    /// The operator of a data folder on which no server runs.
    pub(crate) fn open(config: &Config, data: &Path) -> anyhow::Result<Arc<Self>> {
        let folder = DataFolder::open(data).context(LOCK_HINT)?;
        let foundation = Foundation::lay(config, &folder, None)?;
        let publications = PublicationFiles::open(&config.statistics, foundation.clock.clone());
        Ok(Arc::new(Self::of(foundation, publications, data, Some(folder))))
    }

    /// Carries out one request. Blocks.
    pub(crate) fn carry_out(&self, request: AdminRequest) -> AdminReply {
        self.try_to(request).unwrap_or_else(|error| AdminReply::Refused { reason: format!("{error:#}") })
    }

    fn try_to(&self, request: AdminRequest) -> anyhow::Result<AdminReply> {
        Ok(match request {
            AdminRequest::Samples(request) => {
                AdminReply::Samples(samples::carry_out(request, &*self.artifacts, &*self.intake)?)
            }
            AdminRequest::Operators(request) => AdminReply::Operators(operators::carry_out(request, &self.accounts)?),
            AdminRequest::Monthly { month, language } => {
                let document = monthly::carry_out(&self.monthly, &month, &language, self.clock.now())?;
                AdminReply::Monthly { document }
            }
            AdminRequest::Enroll { name } => AdminReply::Enrolled(enrolled(&self.api.enroll(&self.scope, &name)?)),
            AdminRequest::EnrollSensor { name } => {
                AdminReply::Enrolled(enrolled(&self.api.enroll_sensor(&self.scope, &name)?))
            }
            AdminRequest::ListSensors => {
                AdminReply::Sensors(self.api.sensors(&self.scope).into_iter().map(sensor_line).collect())
            }
            AdminRequest::Indicators(IndicatorsRequest::Guard { topic }) => {
                let guarded = self.api.guard_by_indicators(&self.scope, topic.as_deref())?;
                let topic = guarded.topic.map(|topic| topic.to_string());
                AdminReply::Indicators(IndicatorsReply::Guarded { profile: guarded.profile.to_string(), topic })
            }
            AdminRequest::Indicators(request) => {
                AdminReply::Indicators(indicators::carry_out(&self.indicators, &self.scope, request)?)
            }
            AdminRequest::CreateAccessKey { given, role, note } => {
                let (role, note) = (role.into(), AccessKeyNote::parse(&note)?);
                let key = match given {
                    Some((id, secret)) => {
                        self.control.create_as(AccessKeyId::parse(&id)?, SecretKey::parse(&secret)?, role, note)?
                    }
                    None => self.control.create(role, note)?,
                };
                self.accounts.note(&By::COMMAND_LINE, AuditAction::MakeKey, key.id.as_str())?;
                AdminReply::AccessKeyCreated { id: key.id.to_string(), secret: key.secret.expose().to_owned() }
            }
            AdminRequest::ListAccessKeys => {
                let line = |key: ListedAccessKey| AccessKeyLine {
                    id: key.id.to_string(),
                    role: key.role.to_string(),
                    status: match key.status {
                        AccessKeyStatus::Active => "active".to_owned(),
                        AccessKeyStatus::Revoked => "revoked".to_owned(),
                    },
                    created_unix_s: key.created_at.unix_seconds(),
                    used_unix_s: key.used_at.map(|at| at.unix_seconds()),
                    note: key.note.to_string(),
                };
                AdminReply::AccessKeys(self.control.list().into_iter().map(line).collect())
            }
            AdminRequest::RevokeAccessKey { id } => {
                let id = AccessKeyId::parse(&id)?;
                self.control.revoke(&id)?;
                self.accounts.note(&By::COMMAND_LINE, AuditAction::RevokeKey, id.as_str())?;
                AdminReply::AccessKeyRevoked { id: id.to_string() }
            }
            AdminRequest::DeleteAccessKey { id } => {
                let id = AccessKeyId::parse(&id)?;
                self.control.delete(&id)?;
                self.accounts.note(&By::COMMAND_LINE, AuditAction::DeleteKey, id.as_str())?;
                AdminReply::AccessKeyDeleted { id: id.to_string() }
            }
        })
    }
}

/// What a device or sensor that was enrolled needs, as texts.
pub(crate) fn enrolled(device: &Enrolled) -> EnrolledDevice {
    EnrolledDevice {
        name: device.name.to_string(),
        thing_arn: device.thing_arn.to_string(),
        certificate_arn: device.certificate_arn.to_string(),
        policy_name: device.policy.to_string(),
        certificate_pem: device.certificate_pem.to_string(),
        private_key_pem: device.private_key_pem.to_string(),
        root_pem: device.root_pem.to_string(),
    }
}

fn sensor_line(sensor: SensorStatus) -> SensorLine {
    let SensorStatus { name, last_seen, is_online, health, artifacts, captures, records, .. } = sensor;
    SensorLine {
        name: name.to_string(),
        is_online,
        last_seen_unix_s: last_seen.map(|at| at.unix_seconds()),
        health: health.map(health_line),
        records: records.as_ref().map_or(0, |records| records.lines),
        batches_missing: records.as_ref().map_or(0, |records| records.batches_missing),
        batches_removed: records.as_ref().map_or(0, |records| records.batches_removed),
        artifacts,
        captures,
    }
}

fn health_line(health: SensorHealth) -> SensorHealthLine {
    SensorHealthLine {
        version: health.version,
        connections: health.connections,
        connections_total: health.connections_total,
        refused: health.refused,
        spool_bytes: health.spool_bytes,
        spool_age_s: health.spool_age_s,
        lines_lost: health.lines_lost,
        captures: health.captures,
        captures_bytes: health.captures_bytes,
        captures_dropped: health.captures_dropped,
        doors: health.doors,
    }
}
