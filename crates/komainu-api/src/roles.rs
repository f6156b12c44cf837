//! The one table of what holders of access keys may do: the least role for each operation of AWS's protocols.
//!
//! A viewer looks. An analyst works: says what is normal, answers alarms, says who is told of them, publishes. An admin says
//! who may connect, and what belongs to the fleet. An operation that does not stand here is for admins.

use komainu_aws::Service;
use komainu_model::Role;

use crate::Caller;
use crate::error::{ApiError, ErrorKind};

/// Names of operations, by their services.
type Operations = &'static [(Service, &'static [&'static str])];

/// The operations that viewers may do: those that change nothing.
const VIEWER: Operations = &[
    (
        Service::Iot,
        &[
            "DescribeCertificate",
            "DescribeEndpoint",
            "DescribeSecurityProfile",
            "DescribeThing",
            "DescribeThingGroup",
            "DescribeThingType",
            "GetPolicy",
            "GetPolicyVersion",
            "ListActiveViolations",
            "ListAttachedPolicies",
            "ListCertificates",
            "ListMetricValues",
            "ListPolicies",
            "ListPolicyVersions",
            "ListPrincipalThings",
            "ListPrincipalThingsV2",
            "ListSecurityProfiles",
            "ListSecurityProfilesForTarget",
            "ListTagsForResource",
            "ListTargetsForPolicy",
            "ListTargetsForSecurityProfile",
            "ListThingGroups",
            "ListThingGroupsForThing",
            "ListThingPrincipals",
            "ListThingPrincipalsV2",
            "ListThings",
            "ListThingsInThingGroup",
            "ListThingTypes",
            "ListViolationEvents",
            "ValidateSecurityProfileBehaviors",
        ],
    ),
    (
        Service::Sns,
        &[
            "GetSubscriptionAttributes",
            "GetTopicAttributes",
            "ListSubscriptions",
            "ListSubscriptionsByTopic",
            "ListTagsForResource",
            "ListTopics",
        ],
    ),
    (Service::Sts, &["GetCallerIdentity"]),
];

/// Besides, the operations that analysts may do.
const ANALYST: Operations = &[
    (
        Service::Iot,
        &[
            "AttachSecurityProfile",
            "CreateSecurityProfile",
            "DeleteSecurityProfile",
            "DetachSecurityProfile",
            "PutVerificationStateOnViolation",
            "UpdateSecurityProfile",
        ],
    ),
    (Service::IotData, &["DeleteConnection", "Publish"]),
    (
        Service::Sns,
        &[
            "ConfirmSubscription",
            "CreateTopic",
            "DeleteTopic",
            "Publish",
            "PublishBatch",
            "SetSubscriptionAttributes",
            "SetTopicAttributes",
            "Subscribe",
            "TagResource",
            "Unsubscribe",
            "UntagResource",
        ],
    ),
];

/// Besides, the operations for admins alone.
const ADMIN: Operations = &[(
    Service::Iot,
    &[
        "AddThingToThingGroup",
        "AttachPolicy",
        "AttachThingPrincipal",
        "CreateCertificateFromCsr",
        "CreateKeysAndCertificate",
        "CreatePolicy",
        "CreatePolicyVersion",
        "CreateThing",
        "CreateThingGroup",
        "CreateThingType",
        "DeleteCertificate",
        "DeletePolicy",
        "DeletePolicyVersion",
        "DeleteThing",
        "DeleteThingGroup",
        "DeleteThingType",
        "DeprecateThingType",
        "DetachPolicy",
        "DetachThingPrincipal",
        "RegisterCertificateWithoutCA",
        "RemoveThingFromThingGroup",
        "SetDefaultPolicyVersion",
        "TagResource",
        "UntagResource",
        "UpdateCertificate",
        "UpdateThing",
        "UpdateThingGroup",
        "UpdateThingGroupsForThing",
        "UpdateThingType",
    ],
)];

/// All operations by their least role.
const TABLE: [(Role, Operations); 3] = [(Role::Viewer, VIEWER), (Role::Analyst, ANALYST), (Role::Admin, ADMIN)];

/// The least role that may do an operation.
pub(crate) fn of_operation(service: Service, operation: &str) -> Role {
    let names = |(of, names): &(Service, &[&str])| *of == service && names.contains(&operation);
    TABLE.iter().find(|(_, services)| services.iter().any(names)).map_or(Role::Admin, |(role, _)| *role)
}

/// Lets those pass who may speak to the broker over WebSocket: there they publish, and read what devices say.
pub(crate) fn check_broker(caller: &Caller) -> Result<(), ApiError> {
    if caller.role < Role::Analyst { Err(refused(caller, "iot:Connect", Role::Analyst)) } else { Ok(()) }
}

/// Says which role an operation needs, as AWS says who may not do what.
pub(crate) fn refusal(caller: &Caller, service: Service, operation: &str, least: Role) -> ApiError {
    let service = match service {
        Service::Iot | Service::IotData => "iot",
        Service::Sns => "SNS",
        Service::Sts => "sts",
    };
    refused(caller, &format!("{service}:{operation}"), least)
}

fn refused(caller: &Caller, action: &str, least: Role) -> ApiError {
    let Caller { scope, key, role } = caller;
    let account = &scope.account;
    let message = format!(
        "User: arn:aws:iam::{account}:user/{key} is not authorized to perform: {action} because its access key has the \
         role {role} and this needs the role {least}"
    );
    ApiError::new(ErrorKind::AccessDenied, message)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::dispatch::Handlers;

    #[test]
    fn every_operation_has_one_role_and_every_line_is_an_operation() {
        let mut lines: BTreeMap<(Service, &str), Role> = BTreeMap::new();
        for (role, services) in TABLE {
            for (service, names) in services {
                for name in *names {
                    assert_eq!(lines.insert((*service, *name), role), None, "{name} stands twice");
                }
            }
        }
        let handlers = Handlers::new();
        let operations: Vec<_> = handlers.by_name.keys().copied().collect();
        assert_eq!(lines.keys().copied().collect::<Vec<_>>(), operations);
        for ((service, name), role) in lines {
            assert_eq!(of_operation(service, name), role, "{name}");
            let is_read = ["List", "Describe", "Get", "Validate"].iter().any(|word| name.starts_with(word));
            assert_eq!(role == Role::Viewer, is_read, "{name}");
        }
        assert_eq!(of_operation(Service::Sts, "Publish"), Role::Admin);
    }

    #[test]
    fn the_documentation_has_the_table() {
        let page = include_str!("../../../docs/access-keys.md");
        for (role, services) in TABLE {
            let line = page.lines().find(|line| line.starts_with(&format!("| {role} |"))).unwrap();
            for name in services.iter().flat_map(|(_, names)| *names) {
                assert!(line.contains(&format!("`{name}`")), "docs/access-keys.md lacks {name} for {role}");
            }
        }
    }
}
