//! Entrances for the fuzz targets.

/// A batch of records, a report of health and a path, as a sensor may send them, and a path of VirusTotal's API: no panic,
/// and what was let in is lines of JSON.
pub fn sensor_request(bytes: &[u8]) {
    crate::sensors::fuzz(bytes);
    crate::virustotal::fuzz(bytes);
}

/// A path of what others read over HTTP, and a query: no panic, and what is answered has the form that is described.
pub fn read_query(bytes: &[u8]) {
    crate::reading::fuzz(bytes);
}

/// Batches of a sensor, separated by 0x1E: sessions are put together of them without a panic, within their bounds and in the
/// order of their times.
pub fn session_record(bytes: &[u8]) {
    crate::sensors::fuzz_sessions(bytes);
}
