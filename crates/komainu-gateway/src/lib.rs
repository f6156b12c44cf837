//! The device gateway: MQTT over TLS, authorised by IoT policies and measured for detection.

mod access;
mod broker;
mod limits;

pub use limits::Limits;
