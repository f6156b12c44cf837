//! The operations of AWS IoT's data plane over HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use komainu_aws::{Input, Request, iot_data};
use komainu_model::{CertificateId, ClientId, DisconnectReason};
use komainu_ports::{OutboundMessage, PeerInfo, QualityOfService};

use crate::dispatch::{Operations, blocking, waiting};
use crate::error::ApiError;
use crate::{Api, Caller};

pub(crate) fn operations() -> Operations {
    vec![("DeleteConnection", blocking(delete_connection)), ("Publish", waiting(publish))]
}

async fn publish(api: Arc<Api>, caller: Caller, input: iot_data::PublishRequest) -> Result<(), ApiError> {
    let message = message_of(input)?;
    Ok(api.broker.publish(caller.scope, message).await?)
}

/// Publishes for a device that came with its certificate instead of a signature.
pub(crate) async fn publish_as_device(
    api: &Api,
    certificate: CertificateId,
    peer: PeerInfo,
    request: &Request<'_>,
) -> Result<(), ApiError> {
    let message = message_of(iot_data::PublishRequest::read(request)?)?;
    Ok(api.broker.publish_as(certificate, peer, message).await?)
}

fn message_of(input: iot_data::PublishRequest) -> Result<OutboundMessage, ApiError> {
    let qos = match input.qos {
        None | Some(0) => QualityOfService::AtMostOnce,
        Some(1) => QualityOfService::AtLeastOnce,
        Some(other) => return Err(ApiError::invalid(format!("qos must be 0 or 1, not {other}"))),
    };
    let payload_is_utf8 = match input.payload_format_indicator.as_deref() {
        None => None,
        Some("UNSPECIFIED_BYTES") => Some(false),
        Some("UTF8_DATA") => Some(true),
        Some(other) => {
            let message = format!("payloadFormatIndicator must be UNSPECIFIED_BYTES or UTF8_DATA, not {other:?}");
            return Err(ApiError::invalid(message));
        }
    };
    let correlation_data = match input.correlation_data {
        None => None,
        Some(text) => {
            let bytes = STANDARD.decode(text).map_err(|_| ApiError::invalid("correlationData is not base64"))?;
            Some(Bytes::from(bytes))
        }
    };
    let expiry_s = match input.message_expiry {
        None => None,
        Some(seconds) => {
            let range = || ApiError::invalid("messageExpiry must be a number of seconds, at least 1");
            Some(u32::try_from(seconds).ok().filter(|seconds| *seconds > 0).ok_or_else(range)?)
        }
    };
    Ok(OutboundMessage {
        topic: input.topic.into(),
        payload: input.payload.map(|payload| Bytes::from(payload.0)).unwrap_or_default(),
        qos,
        retain: input.retain.unwrap_or(false),
        content_type: input.content_type.map(Into::into),
        response_topic: input.response_topic.map(Into::into),
        correlation_data,
        expiry_s,
        payload_is_utf8,
        user_properties: input.user_properties.as_deref().map(parse_user_properties).transpose()?.unwrap_or_default(),
    })
}

/// User properties come as `[{"name":"value"},{"name":"other value"}]`; a name may come twice. The AWS CLI takes them
/// as a string and sends that as JSON once more.
fn parse_user_properties(json: &str) -> Result<Vec<(String, String)>, ApiError> {
    let wrong = |_| ApiError::invalid("userProperties must be a JSON array of objects with one string each");
    let inner = serde_json::from_str::<String>(json);
    let json = inner.as_deref().unwrap_or(json);
    let properties: Vec<BTreeMap<String, String>> = serde_json::from_str(json).map_err(wrong)?;
    Ok(properties.into_iter().flatten().collect())
}

fn delete_connection(api: &Api, caller: &Caller, input: iot_data::DeleteConnectionRequest) -> Result<(), ApiError> {
    for (member, is_asked) in
        [("cleanSession", input.clean_session), ("preventWillMessage", input.prevent_will_message)]
    {
        if is_asked == Some(true) {
            return Err(ApiError::invalid(format!("{member} is not available yet in Komainu")));
        }
    }
    let client = ClientId::parse(&input.client_id)?;
    if api.broker.disconnect(&caller.scope, &client, DisconnectReason::ApiInitiatedDisconnect) {
        Ok(())
    } else {
        Err(ApiError::not_found(format!("client {client} is not connected")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(change: impl FnOnce(&mut iot_data::PublishRequest)) -> Result<OutboundMessage, String> {
        let mut input = iot_data::PublishRequest { topic: "t".to_owned(), ..Default::default() };
        change(&mut input);
        message_of(input).map_err(|error| error.message)
    }

    #[test]
    fn messages_take_every_property() {
        let message = read(|input| {
            input.qos = Some(1);
            input.correlation_data = Some("AAE=".to_owned());
            input.message_expiry = Some(60);
            input.payload_format_indicator = Some("UTF8_DATA".to_owned());
            input.user_properties = Some(r#"[{"a":"1"},{"a":"2"}]"#.to_owned());
        })
        .unwrap();
        assert_eq!(message.qos, QualityOfService::AtLeastOnce);
        assert_eq!(message.correlation_data.as_deref(), Some(&[0u8, 1][..]));
        assert_eq!((message.expiry_s, message.payload_is_utf8), (Some(60), Some(true)));
        let pairs = [("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
        assert_eq!(message.user_properties, pairs);
        let of_the_cli = read(|input| input.user_properties = Some(r#""[{\"a\":\"1\"},{\"a\":\"2\"}]""#.to_owned()));
        assert_eq!(of_the_cli.unwrap().user_properties, pairs);
    }

    #[test]
    fn errors_name_the_member() {
        let check = |change: fn(&mut iot_data::PublishRequest), expected: &str| {
            assert_eq!(read(change).unwrap_err(), expected);
        };
        check(|input| input.qos = Some(2), "qos must be 0 or 1, not 2");
        check(|input| input.message_expiry = Some(0), "messageExpiry must be a number of seconds, at least 1");
        check(|input| input.correlation_data = Some("?".to_owned()), "correlationData is not base64");
        check(
            |input| input.user_properties = Some("{}".to_owned()),
            "userProperties must be a JSON array of objects with one string each",
        );
    }
}
