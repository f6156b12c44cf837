//! Any request as one of an AWS service: no panic, and what is found is what the path says.
#![no_main]

use komainu_aws::{
    EpochSeconds, Input, Request, Service, decode_component, iot, iot_data, parse_form, parse_query, sns,
};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // The first line is method, path and query; what follows an empty line is the body.
    let split = data.windows(2).position(|pair| pair == b"\n\n").unwrap_or(data.len());
    let (head, body) = (&data[..split], data.get(split + 2..).unwrap_or_default());
    let Ok(head) = std::str::from_utf8(head) else { return };
    let (method, target) = head.split_once(' ').unwrap_or(("GET", head));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = parse_query(query).unwrap_or_default();
    let _ = parse_form(body);
    let _ = query.iter().map(|(_, value)| EpochSeconds::parse(value)).count();

    let mut labels = Vec::new();
    for service in Service::ALL {
        let Some(routed) = service.route(method, path) else { continue };
        // Every label stands in the template, and none swallowed a separator that was not encoded.
        for (label, value) in &routed.labels {
            assert!(routed.operation.uri.contains(&format!("{{{label}")));
            assert!(decode_component(path).is_some_and(|path| path.contains(value.as_str())));
        }
        labels = routed.labels;
    }
    let request = Request { labels: &labels, query: &query, headers: &[], body };
    // Inputs with everything there is: nested shapes, maps, numbers, times, payloads, forms.
    let _ = iot::UpdateSecurityProfileRequest::read(&request);
    let _ = iot::CreateThingGroupRequest::read(&request);
    let _ = iot::ListViolationEventsRequest::read(&request);
    let _ = iot_data::PublishRequest::read(&request);
    let _ = sns::CreateTopicInput::read(&request);
    let _ = sns::PublishBatchInput::read(&request);
});
