//! Which operation a request asks for.

use crate::generated::{iot, iot_data, sns, sts};
use crate::http::decode_component;

/// An AWS service that Komainu speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// AWS IoT's control plane.
    Iot,
    /// AWS IoT's data plane over HTTP.
    IotData,
    /// Simple Notification Service.
    Sns,
    /// Security Token Service.
    Sts,
}

/// How a service's requests and responses are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Method and path name the operation; bodies are JSON.
    RestJson,
    /// A form names the operation; responses are XML.
    Query,
}

/// One operation of a service, as the service model has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Its name, `CreateThing`.
    pub name: &'static str,
    /// The HTTP method.
    pub method: &'static str,
    /// The path with its labels, `/things/{thingName}`; a label `{name+}` takes all that is left.
    pub uri: &'static str,
}

/// An operation that was found by method and path, with the decoded values of the path's labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routed {
    /// The operation.
    pub operation: &'static Operation,
    /// Label and value, in the path's order.
    pub labels: Vec<(&'static str, String)>,
}

/// More segments than any path of the service models has.
const PATH_SEGMENTS_MAX: usize = 32;

impl Service {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Iot, Self::IotData, Self::Sns, Self::Sts];

    /// The service a credential scope names.
    pub fn from_signing_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.signing_name() == name)
    }

    /// The name in credential scopes.
    pub const fn signing_name(self) -> &'static str {
        match self {
            Self::Iot => "iot",
            Self::IotData => "iotdata",
            Self::Sns => "sns",
            Self::Sts => "sts",
        }
    }

    /// How its requests and responses are written.
    pub const fn protocol(self) -> Protocol {
        match self {
            Self::Iot | Self::IotData => Protocol::RestJson,
            Self::Sns | Self::Sts => Protocol::Query,
        }
    }

    /// The XML namespace of its responses; empty for services that speak JSON.
    pub const fn xml_namespace(self) -> &'static str {
        match self {
            Self::Iot | Self::IotData => "",
            Self::Sns => sns::XML_NAMESPACE,
            Self::Sts => sts::XML_NAMESPACE,
        }
    }

    /// Every operation of its model, whether Komainu has it or not.
    pub const fn operations(self) -> &'static [Operation] {
        match self {
            Self::Iot => iot::OPERATIONS,
            Self::IotData => iot_data::OPERATIONS,
            Self::Sns => sns::OPERATIONS,
            Self::Sts => sts::OPERATIONS,
        }
    }

    /// The operation with this name.
    pub fn operation(self, name: &str) -> Option<&'static Operation> {
        self.operations().iter().find(|operation| operation.name == name)
    }

    /// The operation that method and raw path ask for, for services whose paths name the operation.
    ///
    /// Segments are matched as they came and labels are decoded once, afterwards, so that an encoded slash never
    /// becomes a separator. Where a literal and a label both match, the literal wins.
    pub fn route(self, method: &str, raw_path: &str) -> Option<Routed> {
        let segments: Vec<&str> = raw_path.strip_prefix('/')?.split('/').take(PATH_SEGMENTS_MAX + 1).collect();
        if segments.len() > PATH_SEGMENTS_MAX {
            return None;
        }
        let operation = self
            .operations()
            .iter()
            .filter(|operation| operation.method == method)
            .filter_map(|operation| Some((specificity(operation.uri, &segments)?, operation)))
            .max_by_key(|(specificity, _)| *specificity)?
            .1;
        Some(Routed { operation, labels: read_labels(operation.uri, &segments)? })
    }
}

/// How many segments match literally, the leftmost ones counting most; `None` when the path does not match.
fn specificity(uri: &str, segments: &[&str]) -> Option<u64> {
    let mut score = 0;
    let mut segments = segments.iter();
    for pattern in uri.strip_prefix('/')?.split('/') {
        let segment = segments.next()?;
        score *= 2;
        match label_of(pattern) {
            // The label takes the rest of the path.
            Some((_, true)) => return (!segment.is_empty()).then_some(score << segments.len()),
            Some((_, false)) if segment.is_empty() => return None,
            Some((_, false)) => {}
            None if *segment == pattern => score += 1,
            None => return None,
        }
    }
    segments.next().is_none().then_some(score)
}

fn read_labels(uri: &'static str, segments: &[&str]) -> Option<Vec<(&'static str, String)>> {
    uri.strip_prefix('/')?
        .split('/')
        .enumerate()
        .filter_map(|(at, pattern)| label_of(pattern).map(|(label, is_greedy)| (at, label, is_greedy)))
        .map(|(at, label, is_greedy)| {
            let raw = if is_greedy { segments[at..].join("/") } else { segments[at].to_owned() };
            Some((label, decode_component(&raw)?))
        })
        .collect()
}

/// The label that a segment of a template is, and whether it takes the rest of the path.
fn label_of(pattern: &str) -> Option<(&str, bool)> {
    let label = pattern.strip_prefix('{')?.strip_suffix('}')?;
    Some(label.strip_suffix('+').map_or((label, false), |label| (label, true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(service: Service, method: &str, path: &str, expected: Option<(&str, &[&str])>) {
        let routed = service.route(method, path);
        let found = routed.as_ref().map(|routed| {
            (routed.operation.name, routed.labels.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>())
        });
        assert_eq!(found, expected.map(|(name, labels)| (name, labels.to_vec())), "{method} {path}");
    }

    #[test]
    fn paths_find_operations() {
        use Service::{Iot, IotData};
        check(Iot, "POST", "/things/a%3Ab", Some(("CreateThing", &["a:b"])));
        check(Iot, "PATCH", "/things/x", Some(("UpdateThing", &["x"])));
        check(Iot, "GET", "/things", Some(("ListThings", &[])));
        check(Iot, "PUT", "/thing-groups/addThingToThingGroup", Some(("AddThingToThingGroup", &[])));
        check(
            Iot,
            "POST",
            "/attached-policies/arn%3Aaws%3Aiot%2Fx",
            Some(("ListAttachedPolicies", &["arn:aws:iot/x"])),
        );
        check(Iot, "GET", "/policies/p/version/2", Some(("GetPolicyVersion", &["p", "2"])));
        check(
            Iot,
            "DELETE",
            "/destinations/arn:aws:iot/a/b",
            Some(("DeleteTopicRuleDestination", &["arn:aws:iot/a/b"])),
        );
        check(IotData, "POST", "/topics/rogue%2Fagent", Some(("Publish", &["rogue/agent"])));
        check(IotData, "GET", "/things/x/shadow", Some(("GetThingShadow", &["x"])));
    }

    #[test]
    fn other_paths_find_nothing() {
        use Service::Iot;
        for path in
            ["", "/", "things", "/things/", "/things//", "//things/x", "/things/x/y/z", "/no/such", "/things/%ff"]
        {
            check(Iot, "POST", path, None);
        }
        check(Iot, "TRACE", "/things/x", None);
        check(Iot, "GET", &"/a".repeat(100_000), None);
    }

    #[test]
    fn an_encoded_slash_is_not_a_separator() {
        check(Service::Iot, "GET", "/policies%2Fp", None);
        check(Service::Iot, "GET", "/policies/p%2Fversion", Some(("GetPolicy", &["p/version"])));
    }

    #[test]
    fn labels_are_decoded_once() {
        check(Service::Iot, "GET", "/things/%252F", Some(("DescribeThing", &["%2F"])));
    }

    /// Every operation of every model is found by its own template.
    #[test]
    fn every_rest_operation_is_reachable() {
        for service in [Service::Iot, Service::IotData] {
            for operation in service.operations() {
                let routed = service.route(operation.method, operation.uri).unwrap();
                assert_eq!(routed.operation.name, operation.name);
            }
        }
    }
}
