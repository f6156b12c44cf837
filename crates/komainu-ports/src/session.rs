//! Where MQTT sessions and retained messages are written down.
