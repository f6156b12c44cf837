//! Where devices connect to.

use komainu_aws::iot;

use crate::dispatch::{Operations, blocking};
use crate::error::ApiError;
use crate::{Api, Caller};

pub(super) fn operations() -> Operations {
    vec![("DescribeEndpoint", blocking(describe_endpoint))]
}

/// All endpoints are one host here. AWS's clients expect a host name without a port.
fn describe_endpoint(
    api: &Api,
    _caller: &Caller,
    input: iot::DescribeEndpointRequest,
) -> Result<iot::DescribeEndpointResponse, ApiError> {
    match input.endpoint_type.as_deref() {
        None | Some("iot:Data-ATS" | "iot:Data" | "iot:CredentialProvider" | "iot:Jobs") => {
            Ok(iot::DescribeEndpointResponse { endpoint_address: Some(api.config.device_endpoint.clone()) })
        }
        Some(other) => Err(ApiError::invalid(format_args!(
            "endpointType {other:?} is none of iot:Data-ATS, iot:Data, iot:CredentialProvider, iot:Jobs"
        ))),
    }
}
