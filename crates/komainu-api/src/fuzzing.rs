//! Entrances for the fuzz targets.

/// A batch of records, a report of health and a path, as a sensor may send them, and a path of VirusTotal's API: no panic,
/// and what was let in is lines of JSON.
pub fn sensor_request(bytes: &[u8]) {
    crate::sensors::fuzz(bytes);
    crate::virustotal::fuzz(bytes);
}
