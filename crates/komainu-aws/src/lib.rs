//! The wire format of AWS's control plane, as clients of AWS speak it.
//!
//! In go an HTTP request's parts (method, raw path, raw query, headers, body); out come who signed it ([`sigv4`]),
//! which operation it asks for ([`Service::route`]), and that operation's typed input ([`Input`]). In go a typed
//! output ([`Output`]) or an error ([`error`]); out comes a response body. The shapes are generated from the service
//! models in the botocore package by `cargo xtask codegen`: names and types only.
//!
//! Nothing here opens a socket, asks for the time, or knows what an operation does.

pub mod error;
mod form;
mod generated;
mod http;
mod input;
mod operation;
mod output;
pub mod sigv4;
mod value;
mod xml;

pub use form::FORM_PARAMETERS_MAX;
pub use generated::{iot, iot_data, sns, sts};
pub use http::{decode_component, decode_form_component, parse_form, parse_query};
pub use input::{Binding, Input, InputError, Place, Request};
pub use operation::{Operation, Protocol, Routed, Service};
pub use output::{Output, query_response};
pub use value::{Blob, EpochSeconds};
