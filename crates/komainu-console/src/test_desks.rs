//! The control plane's part in tests of pages: profiles as the core decides on them, and one topic.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use komainu_detect::{NewProfile, Part, ProfileError, ProfileLimit, ProfileUpdate, Profiles, ValidationRules};
use komainu_model::{
    AccountId, CertificateId, Change, DeliveryId, DeliveryState, DetectTarget, EndpointProblem, GroupName,
    MetricToRetain, ProfileName, ProfileProblem, Protocol, Region, ReporterName, Scope, SecurityProfile,
    SubscriptionId, SubscriptionState, ThingName, Timestamp, TopicName,
};
use komainu_ports::{
    DeliveryContent, DeliverySummary, DeviceProfiles, Directory, Page, Paged, Principal, ProfileDesk, ProfileDeskError,
    ProfileDraft, StoreError, SubscriptionSummary, TopicDesk, TopicDeskError, TopicRefusal, TopicSummary,
};

pub(crate) fn scope() -> Scope {
    Scope { account: AccountId::parse("000000000000").unwrap(), region: Region::parse("local").unwrap() }
}

/// Profiles of a fleet with one group, `cameras`, of one thing, `camera-1`.
pub(crate) struct TestProfiles(Mutex<Profiles>);

impl Default for TestProfiles {
    fn default() -> Self {
        Self(Mutex::new(Profiles::new(scope(), ValidationRules::default())))
    }
}

const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);

impl Directory for TestProfiles {
    fn generation(&self) -> u64 {
        1
    }

    fn principal(&self, _: &CertificateId) -> Option<Arc<Principal>> {
        None
    }

    fn device(&self, _: &Scope, reporter: &ReporterName) -> DeviceProfiles {
        let registered = reporter.as_str() == "camera-1";
        let groups = registered.then(|| GroupName::parse("cameras").unwrap()).into_iter().collect();
        DeviceProfiles { registered, groups, profiles: Vec::new() }
    }

    fn profiles(&self) -> Vec<(Scope, Arc<SecurityProfile>)> {
        self.0.lock().unwrap().iter().map(|profile| (scope(), profile.clone())).collect()
    }
}

impl TestProfiles {
    fn decide(
        &self,
        decide: impl FnOnce(&Profiles) -> Result<Vec<Change>, ProfileError>,
    ) -> Result<(), ProfileDeskError> {
        let mut profiles = self.0.lock().unwrap();
        let changes = decide(&profiles).map_err(|error| match error {
            ProfileError::Invalid { problems } => ProfileDeskError::Invalid(problems),
            ProfileError::NotFound { .. } => ProfileDeskError::Missing,
            ProfileError::AlreadyExists { .. } => ProfileDeskError::Exists,
            ProfileError::VersionConflict { found, .. } => ProfileDeskError::Changed(found),
            ProfileError::LimitExceeded { what: ProfileLimit::Profiles, max } => {
                ProfileDeskError::Invalid(vec![ProfileProblem::TooManyProfiles { count_max: max }])
            }
            ProfileError::LimitExceeded { what: ProfileLimit::OfTarget, max } => {
                ProfileDeskError::Invalid(vec![ProfileProblem::TooManyOfTarget { count_max: max }])
            }
        })?;
        changes.iter().for_each(|change| profiles.apply(change));
        Ok(())
    }
}

fn retained(draft: &ProfileDraft) -> Vec<MetricToRetain> {
    draft.metrics_to_retain.iter().map(|metric| MetricToRetain { metric: metric.clone(), export: false }).collect()
}

impl ProfileDesk for TestProfiles {
    fn profile(&self, _: &Scope, name: &ProfileName) -> Option<Arc<SecurityProfile>> {
        self.0.lock().unwrap().describe(name).ok().cloned()
    }

    fn short_windows_allowed(&self) -> bool {
        false
    }

    fn groups(&self, _: &Scope, _: usize) -> Vec<GroupName> {
        vec![GroupName::parse("cameras").unwrap()]
    }

    fn things_of(&self, _: &Scope, targets: &BTreeSet<DetectTarget>, limit: usize) -> (Vec<ThingName>, u64) {
        let things: Vec<ThingName> =
            if targets.is_empty() { vec![] } else { vec![ThingName::parse("camera-1").unwrap()] };
        let count = things.len() as u64;
        (things.into_iter().take(limit).collect(), count)
    }

    fn create_profile(&self, _: &Scope, draft: &ProfileDraft) -> Result<(), ProfileDeskError> {
        self.decide(|profiles| {
            let new = NewProfile {
                name: draft.name.clone(),
                description: Some(draft.description.clone()),
                behaviors: draft.behaviors.clone(),
                alert_targets: Vec::new(),
                metrics_to_retain: retained(draft),
                metrics_export: None,
            };
            let (profile, _) = profiles.create(new, NOW)?;
            Ok(profiles.retarget(&profile, draft.targets.clone())?.1)
        })
    }

    fn replace_profile(&self, _: &Scope, draft: &ProfileDraft, expected_version: u64) -> Result<(), ProfileDeskError> {
        self.decide(|profiles| {
            let update = ProfileUpdate {
                expected_version: Some(expected_version),
                description: Some(draft.description.clone()),
                behaviors: Part::Replace(draft.behaviors.clone()),
                metrics_to_retain: Part::Replace(retained(draft)),
                ..ProfileUpdate::default()
            };
            let (profile, _) = profiles.update(&draft.name, update, NOW)?;
            Ok(profiles.retarget(&profile, draft.targets.clone())?.1)
        })
    }

    fn delete_profile(&self, _: &Scope, name: &ProfileName, expected_version: u64) -> Result<(), ProfileDeskError> {
        self.decide(|profiles| Ok(profiles.delete(name, Some(expected_version))?.1))
    }
}

/// One topic, `alarms`, with one subscription and one message that was given up.
#[derive(Default)]
pub(crate) struct TestTopics {
    /// What was done, in words.
    pub(crate) done: Mutex<Vec<String>>,
}

impl TestTopics {
    fn note(&self, what: String) {
        self.done.lock().unwrap().push(what);
    }
}

fn uuid(text: &str) -> String {
    format!("00000000-0000-4000-8000-0000000000{text}")
}

impl TopicDesk for TestTopics {
    fn topics(&self, scope: &Scope, after: Option<&TopicName>, _: usize) -> Vec<TopicSummary> {
        let name = TopicName::parse("alarms").unwrap();
        self.topic(scope, &name).into_iter().filter(|topic| after.is_none_or(|after| topic.name > *after)).collect()
    }

    fn topic(&self, scope: &Scope, name: &TopicName) -> Option<TopicSummary> {
        (name.as_str() == "alarms").then(|| TopicSummary {
            name: name.clone(),
            arn: scope.arn("sns", name),
            sender_name: None,
            confirmed: 1,
            pending: 0,
            created_at: NOW,
        })
    }

    fn subscriptions(
        &self,
        _: &Scope,
        _: &TopicName,
        after: Option<&SubscriptionId>,
        _: usize,
    ) -> Vec<SubscriptionSummary> {
        let one = SubscriptionSummary {
            id: SubscriptionId::parse(&uuid("01")).unwrap(),
            protocol: Protocol::Https,
            endpoint: "https://****:****@example.com/<b>\u{202e}".to_owned(),
            state: SubscriptionState::Confirmed { authenticate_on_unsubscribe: false },
            is_filtered: false,
            created_at: NOW,
        };
        if after.is_some() { Vec::new() } else { vec![one] }
    }

    fn deliveries(&self, _: &Scope, _: &TopicName, page: &Page) -> Result<Paged<DeliverySummary>, StoreError> {
        if page.after.is_some() {
            return Err(StoreError::BadPageToken);
        }
        let dead = DeliverySummary {
            id: DeliveryId::parse(&uuid("02")).unwrap(),
            protocol: Protocol::Https,
            endpoint: "https://example.com/".to_owned(),
            content: DeliveryContent::Message(Some("Alarm <i>".to_owned())),
            attempts: 12,
            state: DeliveryState::Dead(NOW),
            last_error: Some("status 500: <script>".to_owned()),
            created_at: NOW,
        };
        Ok(Paged { items: vec![dead], next: None })
    }

    fn create_topic(&self, _: &Scope, name: &str) -> Result<TopicName, TopicDeskError> {
        self.note(format!("create {name}"));
        TopicName::parse(name).map_err(|error| TopicDeskError::Refused(TopicRefusal::Name(error)))
    }

    fn subscribe(
        &self,
        _: &Scope,
        topic: &TopicName,
        protocol: &str,
        endpoint: &str,
    ) -> Result<SubscriptionId, TopicDeskError> {
        self.note(format!("subscribe {topic} {protocol} {endpoint}"));
        match endpoint.contains('@') {
            true => Ok(SubscriptionId::parse(&uuid("03")).unwrap()),
            false => Err(TopicDeskError::Refused(TopicRefusal::Endpoint(EndpointProblem::NoMail))),
        }
    }

    fn unsubscribe(&self, _: &Scope, topic: &TopicName, id: &SubscriptionId) -> Result<(), TopicDeskError> {
        self.note(format!("unsubscribe {topic} {id}"));
        Ok(())
    }

    fn publish(&self, _: &Scope, topic: &TopicName, subject: &str, _: &str) -> Result<(), TopicDeskError> {
        self.note(format!("publish {topic} {subject}"));
        Ok(())
    }
}
