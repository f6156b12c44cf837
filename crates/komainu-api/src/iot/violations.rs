//! Violations and measured values.

use komainu_aws::{EpochSeconds, iot};
use komainu_model::{
    ActiveViolation, Metric, ProfileName, ReporterName, Timestamp, VerificationState, ViolationEvent,
    ViolationEventType, ViolationId,
};
use komainu_ports::{ActiveViolationQuery, CriteriaKind, DatapointQuery, Page, PageToken, ViolationEventQuery};

use super::behaviors::{confidence_word, show_behavior, show_value};
use super::convert::seconds;
use super::profiles::refuse_dimension;
use crate::dispatch::{Operations, blocking};
use crate::error::ApiError;
use crate::paging::page_limit;
use crate::{Api, Caller};

/// The longest description of a verification, in characters (AWS IoT API reference, PutVerificationStateOnViolation).
const VERIFICATION_CHARS_MAX: usize = 1000;

pub(super) fn operations() -> Operations {
    vec![
        ("ListActiveViolations", blocking(list_active_violations)),
        ("ListMetricValues", blocking(list_metric_values)),
        ("ListViolationEvents", blocking(list_violation_events)),
        ("PutVerificationStateOnViolation", blocking(put_verification_state_on_violation)),
    ]
}

fn list_active_violations(
    api: &Api,
    caller: &Caller,
    input: iot::ListActiveViolationsRequest,
) -> Result<iot::ListActiveViolationsResponse, ApiError> {
    let query = ActiveViolationQuery {
        reporter: input.thing_name.as_deref().map(ReporterName::parse).transpose()?,
        profile: input.security_profile_name.as_deref().map(ProfileName::parse).transpose()?,
        criteria: input.behavior_criteria_type.as_deref().map(read_criteria_kind).transpose()?,
        include_suppressed: input.list_suppressed_alerts.unwrap_or(false),
        verification: input.verification_state.as_deref().map(read_verification).transpose()?,
    };
    let page = api.store.active_violations(&caller.scope, &query, &read_page(input.max_results, input.next_token)?)?;
    Ok(iot::ListActiveViolationsResponse {
        active_violations: Some(page.items.iter().map(show_active).collect()),
        next_token: page.next.map(|token| token.0),
    })
}

fn list_violation_events(
    api: &Api,
    caller: &Caller,
    input: iot::ListViolationEventsRequest,
) -> Result<iot::ListViolationEventsResponse, ApiError> {
    let (from, to) = read_times(input.start_time, input.end_time)?;
    let query = ViolationEventQuery {
        from,
        to,
        reporter: input.thing_name.as_deref().map(ReporterName::parse).transpose()?,
        profile: input.security_profile_name.as_deref().map(ProfileName::parse).transpose()?,
        criteria: input.behavior_criteria_type.as_deref().map(read_criteria_kind).transpose()?,
        include_suppressed: input.list_suppressed_alerts.unwrap_or(false),
        verification: input.verification_state.as_deref().map(read_verification).transpose()?,
    };
    let page = api.store.violation_events(&caller.scope, &query, &read_page(input.max_results, input.next_token)?)?;
    Ok(iot::ListViolationEventsResponse {
        violation_events: Some(page.items.iter().map(show_event).collect()),
        next_token: page.next.map(|token| token.0),
    })
}

fn put_verification_state_on_violation(
    api: &Api,
    caller: &Caller,
    input: iot::PutVerificationStateOnViolationRequest,
) -> Result<iot::PutVerificationStateOnViolationResponse, ApiError> {
    // The operation has no error for what is not there.
    let unknown = || ApiError::invalid(format!("violation {:?} does not exist", input.violation_id));
    let violation = ViolationId::parse(&input.violation_id).map_err(|_| unknown())?;
    let state = read_verification(&input.verification_state)?;
    let description = input.verification_state_description.as_deref();
    if description.is_some_and(|text| text.chars().count() > VERIFICATION_CHARS_MAX) {
        let message = format!("verificationStateDescription is longer than {VERIFICATION_CHARS_MAX} characters");
        return Err(ApiError::invalid(message));
    }
    if !api.store.verify_violation(&caller.scope, &violation, state, description)? {
        return Err(unknown());
    }
    Ok(iot::PutVerificationStateOnViolationResponse {})
}

fn list_metric_values(
    api: &Api,
    caller: &Caller,
    input: iot::ListMetricValuesRequest,
) -> Result<iot::ListMetricValuesResponse, ApiError> {
    refuse_dimension(input.dimension_name.as_deref())?;
    let (from, to) = read_times(input.start_time, input.end_time)?;
    let query = DatapointQuery {
        reporter: ReporterName::parse(&input.thing_name)?,
        metric: Metric::parse(&input.metric_name)?,
        from,
        to,
    };
    let page = api.store.datapoints(&caller.scope, &query, &read_page(input.max_results, input.next_token)?)?;
    let values = page.items.iter().map(|datapoint| iot::MetricDatum {
        timestamp: Some(seconds(datapoint.at)),
        value: Some(show_value(&datapoint.value)),
    });
    Ok(iot::ListMetricValuesResponse {
        metric_datum_list: Some(values.collect()),
        next_token: page.next.map(|token| token.0),
    })
}

/// The store's page; its tokens travel as they are.
fn read_page(max_results: Option<i32>, next_token: Option<String>) -> Result<Page, ApiError> {
    Ok(Page { after: next_token.map(PageToken), limit: page_limit("maxResults", max_results)? })
}

fn read_times(start: EpochSeconds, end: EpochSeconds) -> Result<(Timestamp, Timestamp), ApiError> {
    if start > end {
        return Err(ApiError::invalid("startTime must not be after endTime"));
    }
    let read = |time: EpochSeconds| Timestamp::from_unix_millis(time.unix_millis());
    Ok((read(start), read(end)))
}

fn read_criteria_kind(word: &str) -> Result<CriteriaKind, ApiError> {
    match word {
        "STATIC" => Ok(CriteriaKind::Static),
        "STATISTICAL" => Ok(CriteriaKind::Statistical),
        "MACHINE_LEARNING" => Ok(CriteriaKind::MachineLearning),
        _ => {
            let expected = "behaviorCriteriaType must be STATIC, STATISTICAL or MACHINE_LEARNING";
            Err(ApiError::invalid(format!("{expected}, not {word:?}")))
        }
    }
}

fn read_verification(word: &str) -> Result<VerificationState, ApiError> {
    match word {
        "FALSE_POSITIVE" => Ok(VerificationState::FalsePositive),
        "BENIGN_POSITIVE" => Ok(VerificationState::BenignPositive),
        "TRUE_POSITIVE" => Ok(VerificationState::TruePositive),
        "UNKNOWN" => Ok(VerificationState::Unknown),
        _ => {
            let expected = "verificationState must be FALSE_POSITIVE, BENIGN_POSITIVE, TRUE_POSITIVE or UNKNOWN";
            Err(ApiError::invalid(format!("{expected}, not {word:?}")))
        }
    }
}

fn verification_word(state: VerificationState) -> &'static str {
    match state {
        VerificationState::FalsePositive => "FALSE_POSITIVE",
        VerificationState::BenignPositive => "BENIGN_POSITIVE",
        VerificationState::TruePositive => "TRUE_POSITIVE",
        VerificationState::Unknown => "UNKNOWN",
    }
}

fn event_word(kind: ViolationEventType) -> &'static str {
    match kind {
        ViolationEventType::InAlarm => "in-alarm",
        ViolationEventType::AlarmCleared => "alarm-cleared",
        ViolationEventType::AlarmInvalidated => "alarm-invalidated",
    }
}

fn show_active(violation: &ActiveViolation) -> iot::ActiveViolation {
    iot::ActiveViolation {
        violation_id: Some(violation.id.to_string()),
        thing_name: Some(violation.reporter.to_string()),
        security_profile_name: Some(violation.profile.to_string()),
        behavior: Some(show_behavior(&violation.behavior)),
        last_violation_value: violation.last_value.as_ref().map(show_value),
        violation_event_additional_info: violation.confidence.map(show_confidence),
        verification_state: Some(verification_word(violation.verification).to_owned()),
        verification_state_description: violation.verification_description.clone(),
        last_violation_time: Some(seconds(violation.last_at)),
        violation_start_time: Some(seconds(violation.started_at)),
    }
}

fn show_event(event: &ViolationEvent) -> iot::ViolationEvent {
    iot::ViolationEvent {
        violation_id: Some(event.violation.to_string()),
        thing_name: Some(event.reporter.to_string()),
        security_profile_name: Some(event.profile.to_string()),
        behavior: Some(show_behavior(&event.behavior)),
        metric_value: event.value.as_ref().map(show_value),
        violation_event_additional_info: event.confidence.map(show_confidence),
        violation_event_type: Some(event_word(event.kind).to_owned()),
        verification_state: Some(verification_word(event.verification).to_owned()),
        verification_state_description: event.verification_description.clone(),
        violation_event_time: Some(seconds(event.at)),
    }
}

fn show_confidence(level: komainu_model::ConfidenceLevel) -> iot::ViolationEventAdditionalInfo {
    iot::ViolationEventAdditionalInfo { confidence_level: Some(confidence_word(level).to_owned()) }
}
