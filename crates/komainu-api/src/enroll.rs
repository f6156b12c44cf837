//! Enrolling a device in one step: what an operator otherwise does with five operations.

use std::fmt;
use std::sync::Arc;

use komainu_model::{
    Arn, CertificateId, Change, InvalidName, PolicyName, PolicyTarget, Record, Scope, ThingName, ThingPrincipalType,
};
use komainu_ports::{Authority, AuthorityError, CertificateSubject, Clock, IdSource, StoreError};
use komainu_registry::{CreatePolicy, CreateThing, Decision, Registry, RegistryError};

use crate::control::{ControlPlane, View};
use crate::iot::certificates::{COMMON_NAME, issued};
use crate::{Api, sensors};

/// The policy of enrolled devices. It is made with the first one; operators may change it as any other.
const POLICY: &str = "KomainuDevice";

/// The policy of enrolled sensors.
const SENSOR_POLICY: &str = "KomainuSensor";

/// The longest common name of a certificate (`ub-common-name`, RFC 5280 appendix A); names of things may be longer.
const COMMON_NAME_CHARS_MAX: usize = 64;

/// What an enrolled device needs to connect. It shows itself without its key.
#[derive(Clone)]
pub struct EnrolledDevice {
    /// The thing.
    pub name: ThingName,
    /// Its ARN.
    pub thing_arn: Arn,
    /// Its certificate.
    pub certificate: CertificateId,
    /// The certificate's ARN.
    pub certificate_arn: Arn,
    /// The policy that counts for it.
    pub policy: PolicyName,
    /// The certificate, PEM.
    pub certificate_pem: Arc<str>,
    /// The key, PEM. It is kept nowhere else.
    pub private_key_pem: Arc<str>,
    /// The root certificate that the device should trust, PEM.
    pub root_pem: Arc<str>,
}

impl fmt::Debug for EnrolledDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolledDevice").field("certificate_arn", &self.certificate_arn).finish_non_exhaustive()
    }
}

/// Why a device was not enrolled. Then nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The name is not one of a thing.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The certificate was not made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A rule of the registry is against it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// It could not be written down.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Api {
    /// Registers the thing `name`, makes a key and an active certificate that speaks for this thing only, and lets the
    /// policy `KomainuDevice` count for it; all or nothing. A thing that is there already gets a further certificate.
    /// Blocks.
    pub fn enroll(&self, scope: &Scope, name: &str) -> Result<EnrolledDevice, EnrollError> {
        self.enroll_as(Role::Device, scope, name)
    }

    /// The same for a sensor: the policy `KomainuSensor` counts for it, which allows it to hand in its own records and
    /// nothing else. Blocks.
    pub fn enroll_sensor(&self, scope: &Scope, name: &str) -> Result<EnrolledDevice, EnrollError> {
        self.enroll_as(Role::Sensor, scope, name)
    }

    fn enroll_as(&self, role: Role, scope: &Scope, name: &str) -> Result<EnrolledDevice, EnrollError> {
        enroll(&self.control, &*self.authority, &*self.clock, &*self.ids, role, scope, name)
    }
}

/// What is enrolled.
#[derive(Debug, Clone, Copy)]
enum Role {
    Device,
    Sensor,
}

impl Role {
    const fn policy(self) -> &'static str {
        match self {
            Self::Device => POLICY,
            Self::Sensor => SENSOR_POLICY,
        }
    }

    fn document(self, scope: &Scope) -> String {
        match self {
            Self::Device => device_policy(scope),
            Self::Sensor => sensor_policy(scope),
        }
    }
}

fn enroll(
    control: &ControlPlane,
    authority: &dyn Authority,
    clock: &dyn Clock,
    ids: &dyn IdSource,
    role: Role,
    scope: &Scope,
    name: &str,
) -> Result<EnrolledDevice, EnrollError> {
    let name = ThingName::parse(name)?;
    let policy = PolicyName::parse(role.policy())?;
    let common_name = if name.as_str().len() <= COMMON_NAME_CHARS_MAX { name.as_str() } else { COMMON_NAME };
    let subject = CertificateSubject { common_name: common_name.to_owned() };
    let (certificate, keys) = authority.issue_with_new_key(&subject, clock.now())?;
    let new = issued(&certificate, true);
    let thing_id: Arc<str> = ids.uuid().into();

    control.decide::<_, EnrollError>(scope, |view| {
        let mut steps = Steps::new(view, &name, &policy);
        if view.registry.thing(&name).is_err() {
            let wanted = CreateThing { name: name.clone(), type_name: None, attributes: Default::default() };
            steps.take(|registry| registry.create_thing(&wanted, thing_id, view.now))?;
        }
        if view.registry.policy(&policy).is_err() {
            let wanted =
                CreatePolicy { name: policy.clone(), document: role.document(scope).into(), tags: Default::default() };
            steps.take(|registry| registry.create_policy(&wanted, view.now))?;
        }
        steps.take(|registry| registry.register_certificate(&new, view.now))?;
        steps.take(|registry| registry.attach_thing_principal(&name, new.id, ThingPrincipalType::ExclusiveThing))?;
        steps.take(|registry| registry.attach_policy(&policy, &PolicyTarget::Certificate(new.id)))?;
        let device = EnrolledDevice {
            thing_arn: view.registry.thing_arn(&name),
            name: name.clone(),
            certificate: new.id,
            certificate_arn: view.registry.certificate_arn(&new.id),
            policy: policy.clone(),
            certificate_pem: certificate.pem.clone(),
            private_key_pem: keys.private_key_pem.clone(),
            root_pem: authority.root_pem(),
        };
        Ok((device, steps.changes))
    })
}

/// Decisions that build on each other and are carried out together.
struct Steps {
    /// What the decisions look at: a registry with nothing but what they are about, as it will be.
    registry: Registry,
    changes: Vec<Change>,
}

impl Steps {
    fn new(view: &View<'_>, thing: &ThingName, policy: &PolicyName) -> Self {
        let scope = view.registry.scope();
        let mut registry = Registry::new(scope.clone());
        let thing = view.registry.thing(thing).ok().map(|thing| Record::Thing(thing.clone()));
        let policy = view.registry.policy(policy).ok().map(|policy| Record::Policy(policy.clone()));
        for record in thing.into_iter().chain(policy) {
            registry.apply(&Change::Put(scope.clone(), record));
        }
        Self { registry, changes: Vec::new() }
    }

    fn take<T>(&mut self, decide: impl FnOnce(&Registry) -> Decision<T>) -> Result<(), RegistryError> {
        let (_, changes) = decide(&self.registry)?;
        changes.iter().for_each(|change| self.registry.apply(change));
        self.changes.extend(changes);
        Ok(())
    }
}

/// What enrolled devices may do: connect under their own name, alone or with a suffix, speak and listen on their own
/// topics (those of AWS's services under `$aws/things/NAME/`, and any under `NAME/`), and on the topics that all devices
/// share, which begin with a slash. They reach no other device's topics, so none can report in another's name.
///
/// The certificate is attached exclusively, so the thing's name is known whatever client id a program chooses.
fn device_policy(scope: &Scope) -> String {
    let arn = |resource: &str| {
        let resource = resource.replace("NAME", "${iot:Connection.Thing.ThingName}");
        format!("\"{}\"", scope.arn("iot", resource))
    };
    let resources = |kind: &str| {
        let resources = ["$aws/things/NAME/*", "NAME/*", "/*"].map(|topic| arn(&format!("{kind}/{topic}")));
        resources.join(",\n        ")
    };
    format!(
        r#"{{
  "Version": "2012-10-17",
  "Statement": [
    {{
      "Effect": "Allow",
      "Action": "iot:Connect",
      "Resource": [
        {},
        {}
      ]
    }},
    {{
      "Effect": "Allow",
      "Action": ["iot:Publish", "iot:RetainPublish", "iot:Receive"],
      "Resource": [
        {}
      ]
    }},
    {{
      "Effect": "Allow",
      "Action": "iot:Subscribe",
      "Resource": [
        {}
      ]
    }}
  ]
}}
"#,
        arn("client/NAME"),
        arn("client/NAME-*"),
        resources("topic"),
        resources("topicfilter"),
    )
}

/// What enrolled sensors may do: hand in records under their own name. They may not connect as devices do, and nothing
/// is ever published to the topic that names this right.
fn sensor_policy(scope: &Scope) -> String {
    let right = sensors::right("${iot:Connection.Thing.ThingName}");
    let right = scope.arn("iot", format!("topic/{right}"));
    format!(
        r#"{{
  "Version": "2012-10-17",
  "Statement": [
    {{
      "Effect": "Allow",
      "Action": "iot:Publish",
      "Resource": "{right}"
    }}
  ]
}}
"#
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use komainu_detect::ValidationRules;
    use komainu_model::{AccountId, CertificateStatus, NotificationSignature, Region, Timestamp};
    use komainu_ports::{Directory, IssuedCertificate, IssuedKeyPair, ManualClock, MemoryStore, SeededIds, Store};
    use komainu_registry::policy::{
        Action, CertificateFacts, CompiledPolicies, ConnectionContext, PolicyDocument, connection_thing,
    };
    use komainu_respond::RespondRules;

    use super::*;
    use crate::ControlRules;

    /// Makes certificates that are numbers; nothing here reads one.
    #[derive(Default)]
    struct NumberedCertificates(AtomicU8);

    impl Authority for NumberedCertificates {
        fn issue_with_new_key(
            &self,
            subject: &CertificateSubject,
            now: Timestamp,
        ) -> Result<(IssuedCertificate, IssuedKeyPair), AuthorityError> {
            let number = self.0.fetch_add(1, Ordering::SeqCst);
            let certificate = IssuedCertificate {
                der: vec![number],
                pem: format!("certificate {number} of {}", subject.common_name).into(),
                not_before: now,
                not_after: now,
            };
            let keys = IssuedKeyPair { public_key_pem: "public".into(), private_key_pem: "private".into() };
            Ok((certificate, keys))
        }

        fn issue_for_request(&self, _: &str, _: Timestamp) -> Result<IssuedCertificate, AuthorityError> {
            unreachable!("enrolling makes the key itself")
        }

        fn root_pem(&self) -> Arc<str> {
            "root".into()
        }

        fn sign_notification(&self, _: NotificationSignature, _: &[u8]) -> Result<Vec<u8>, AuthorityError> {
            unreachable!("enrolling tells nobody")
        }

        fn notification_certificate_pem(&self) -> Arc<str> {
            unreachable!("enrolling tells nobody")
        }
    }

    struct World {
        store: Arc<MemoryStore>,
        clock: Arc<ManualClock>,
        control: Arc<ControlPlane>,
        authority: NumberedCertificates,
    }

    impl World {
        fn new() -> Self {
            let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(ManualClock::default()));
            let rules = ControlRules {
                account: scope().account,
                behaviors: ValidationRules::default(),
                notifications: RespondRules::default(),
            };
            let ids = Arc::new(SeededIds::new(1));
            let control = ControlPlane::open(rules, store.clone(), clock.clone(), ids).unwrap();
            Self { store, clock, control, authority: NumberedCertificates::default() }
        }

        fn enroll(&self, name: &str) -> Result<EnrolledDevice, EnrollError> {
            self.enroll_as(Role::Device, name)
        }

        fn enroll_as(&self, role: Role, name: &str) -> Result<EnrolledDevice, EnrollError> {
            enroll(&self.control, &self.authority, &*self.clock, &SeededIds::new(7), role, &scope(), name)
        }

        /// Asks a device's policies whether they allow an action of a client.
        fn allows(&self, device: &EnrolledDevice, client_id: Option<&str>, action: Action, resource: &str) -> bool {
            let principal = self.control.principal(&device.certificate).unwrap();
            let documents: Vec<_> =
                principal.policies.iter().map(|text| Arc::new(PolicyDocument::parse(text).unwrap())).collect();
            let facts = CertificateFacts { id: device.certificate, fields: Default::default() };
            let scope = scope();
            let things = principal.things.iter().map(|attached| (&attached.thing, attached.kind));
            let context = ConnectionContext {
                scope: &scope,
                client_id,
                source_ip: None,
                thing: connection_thing(things, client_id),
                certificate: Some(&facts),
            };
            CompiledPolicies::compile(&documents, &context).allows(action, resource)
        }
    }

    fn scope() -> Scope {
        Scope { account: AccountId::parse("123456789012").unwrap(), region: Region::parse("us-east-1").unwrap() }
    }

    #[test]
    fn an_enrolled_device_has_everything_it_needs() {
        let world = World::new();
        let device = world.enroll("MyDevice").unwrap();
        assert_eq!(&*device.certificate_pem, "certificate 0 of MyDevice");
        assert_eq!((&*device.private_key_pem, &*device.root_pem), ("private", "root"));
        assert!(!format!("{device:?}").contains("private\""));
        let principal = world.control.principal(&device.certificate).unwrap();
        assert_eq!(principal.certificate.status, CertificateStatus::Active);
        assert_eq!(principal.things[0].thing.name, device.name);
        assert_eq!(principal.policies.len(), 1);
    }

    #[test]
    fn a_device_that_is_enrolled_again_has_two_certificates() {
        let world = World::new();
        let first = world.enroll("MyDevice").unwrap();
        let second = world.enroll("MyDevice").unwrap();
        assert_ne!(first.certificate, second.certificate);
        for device in [first, second] {
            assert_eq!(world.control.principal(&device.certificate).unwrap().things.len(), 1);
        }
    }

    #[test]
    fn nothing_is_left_of_an_enrolment_that_failed() {
        let world = World::new();
        assert!(matches!(world.enroll("no name of a thing"), Err(EnrollError::Name(_))));
        world.store.break_medium();
        assert!(matches!(world.enroll("MyDevice"), Err(EnrollError::Store(_))));
        world.store.mend_medium();
        assert_eq!(world.store.load().unwrap().len(), 0);
        world.control.read(&scope(), |view| assert!(!view.registry.has_thing_named("MyDevice")));
    }

    #[test]
    fn a_long_name_does_not_fit_into_a_certificate() {
        let world = World::new();
        let device = world.enroll(&"n".repeat(65)).unwrap();
        assert_eq!(&*device.certificate_pem, format!("certificate 0 of {COMMON_NAME}"));
    }

    #[test]
    fn the_policy_reaches_no_other_devices_topics() {
        let world = World::new();
        let device = world.enroll("lamp").unwrap();
        let check = |action, resource: &str, expected| {
            assert_eq!(world.allows(&device, Some("lamp-rogue"), action, resource), expected, "{action:?} {resource}");
        };
        use Action::{Connect, Publish, Receive, RetainPublish, Subscribe};
        check(Connect, "lamp", true);
        check(Connect, "lamp-rogue", true);
        check(Connect, "lamp2", false);
        check(Connect, "door", false);
        for topic in ["$aws/things/lamp/defender/metrics/json", "lamp/light", "/rogue/agent"] {
            for action in [Publish, RetainPublish, Receive, Subscribe] {
                check(action, topic, true);
            }
        }
        check(Subscribe, "$aws/things/lamp/defender/metrics/+/accepted", true);
        check(Subscribe, "/#", true);
        for filter in ["#", "+/light", "$aws/things/+/defender/metrics/json/accepted", "$aws/events/#"] {
            check(Subscribe, filter, false);
        }
        for topic in ["$aws/things/door/defender/metrics/json", "$aws/things/lamp2/x", "door/light", "lamp2/light"] {
            for action in [Publish, RetainPublish, Receive, Subscribe] {
                check(action, topic, false);
            }
        }
    }

    #[test]
    fn a_sensor_may_hand_in_its_records_and_nothing_else() {
        let world = World::new();
        let sensor = world.enroll_as(Role::Sensor, "tokyo").unwrap();
        assert_eq!(sensor.policy.as_str(), "KomainuSensor");
        let check = |client_id, action, resource: &str, expected| {
            assert_eq!(world.allows(&sensor, client_id, action, resource), expected, "{action:?} {resource}");
        };
        check(None, Action::Publish, "$komainu/sensors/tokyo/ingest", true);
        check(None, Action::Publish, "$komainu/sensors/osaka/ingest", false);
        check(None, Action::RetainPublish, "$komainu/sensors/tokyo/ingest", false);
        check(Some("tokyo"), Action::Connect, "tokyo", false);
        for topic in ["tokyo/status", "/all", "$aws/things/tokyo/defender/metrics/json"] {
            for action in [Action::Publish, Action::RetainPublish, Action::Receive, Action::Subscribe] {
                check(Some("tokyo"), action, topic, false);
            }
        }
        let device = world.enroll("tokyo").unwrap();
        assert_eq!(device.policy.as_str(), "KomainuDevice", "a thing may be both, each with a certificate of its own");
        assert!(!world.allows(&device, None, Action::Publish, "$komainu/sensors/tokyo/ingest"));
    }
}
