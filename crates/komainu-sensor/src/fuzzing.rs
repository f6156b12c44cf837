//! Entrances for the fuzz targets; compiled with `--cfg fuzzing` only.

use std::sync::LazyLock;

use crate::persona::Persona;
use crate::service::{Service, adb, ftp, http, mqtt, redis, rtsp, smb, ssh};

static CAMERA: LazyLock<Persona> = LazyLock::new(|| Persona::load("camera").expect("it is built in"));
static INTERCOM: LazyLock<Persona> = LazyLock::new(|| Persona::load("intercom").expect("it is built in"));
static RECORDER: LazyLock<Persona> = LazyLock::new(|| Persona::load("recorder").expect("it is built in"));
static NAS: LazyLock<Persona> = LazyLock::new(|| Persona::load("nas").expect("it is built in"));

/// Says bytes to the web server, the streams or the broker of a persona; the first byte chooses which.
pub fn web(bytes: &[u8]) {
    let Some((&first, said)) = bytes.split_first() else { return };
    let persona = if first & 1 == 0 { &CAMERA } else { &INTERCOM };
    let is_web = |service: &&Service| matches!(service, Service::Http(_) | Service::Mqtt(_) | Service::Rtsp(_));
    let services: Vec<_> = persona.doors().iter().map(|door| &door.service).filter(is_web).collect();
    match services[usize::from(first >> 1) % services.len()] {
        Service::Http(persona) => http::check_bytes(persona, said),
        Service::Mqtt(persona) => mqtt::check_bytes(persona, said),
        Service::Rtsp(persona) => rtsp::check_bytes(persona, said),
        _ => {}
    }
}

/// Says bytes to a program behind a login over SSH, to FTP, to the debug bridge or to Redis; the first byte chooses which.
pub fn remote(bytes: &[u8]) {
    let Some((&first, said)) = bytes.split_first() else { return };
    let persona = if first & 3 == 2 { &INTERCOM } else { &NAS };
    for door in persona.doors() {
        match (first & 3, &door.service) {
            (0, Service::Ssh(persona)) => ssh::check_bytes(persona, said),
            (1, Service::Ftp(persona)) => ftp::check_bytes(persona, said),
            (2, Service::Adb(persona)) => adb::check_bytes(persona, said),
            (3, Service::Redis(persona)) => redis::check_bytes(persona, said),
            (_, _) => {}
        }
    }
}

/// Types bytes into the shell of a session, line by line; the first byte chooses the device.
pub fn shell(bytes: &[u8]) {
    if let Some((&first, lines)) = bytes.split_first() {
        crate::shell::check_lines(lines, u64::from(first));
    }
}

/// Says bytes to a file server as a client of SMB.
pub fn smb(bytes: &[u8]) {
    for door in RECORDER.doors() {
        if let Service::Smb(persona) = &door.service {
            smb::check_conversation(persona, bytes, 3);
            return;
        }
    }
}

/// Says datagrams, separated by 0x1E, to every service of personas that answers such.
pub fn datagrams(bytes: &[u8]) {
    let said: Vec<&[u8]> = bytes.split(|byte| *byte == 0x1E).collect();
    crate::datagrams::check_said(&said);
}

/// Reads any bytes as the answer of a web server; the first byte says in which pieces.
pub fn http_answer(bytes: &[u8]) {
    if let Some((&first, answer)) = bytes.split_first() {
        crate::http_answer::check_bytes(answer, usize::from(first));
    }
}

/// Reads any bytes as a URL that an attacker named, and as where a server redirects to.
pub fn fetch_url(bytes: &[u8]) {
    crate::fetch::check_url(bytes);
}

/// Reads any bytes as replies of an FTP server.
pub fn ftp_reply(bytes: &[u8]) {
    crate::fetch::check_ftp_reply(bytes);
}

/// Reads any bytes as a page of a device.
pub fn page_links(bytes: &[u8]) {
    crate::record::check_links(bytes);
}

/// Takes bytes for the beginning of a stream of an outpost, and for datagrams in one.
pub fn tunnel(bytes: &[u8]) {
    crate::tunnel::check_bytes(bytes);
    crate::tunnel::check_pieces(bytes);
}

/// Takes bytes for a device's question for a name, and for one for the time; answers what is one.
pub fn sinkhole(bytes: &[u8]) {
    if let Some(question) = crate::relay::dns::question(bytes) {
        let addresses = vec![std::net::Ipv4Addr::LOCALHOST; 20];
        let answer = crate::relay::dns::answer(&question, &crate::relay::dns::Answer::At(addresses));
        assert!(answer.len() <= bytes.len() + 8 * 16, "an answer is little longer than its question");
    }
    if let Some(answer) = crate::relay::ntp::answer(bytes, komainu_model::Timestamp::from_unix_millis(0)) {
        assert!(answer.len() <= bytes.len(), "an answer is not longer than its question");
    }
}

/// Takes bytes for what a port of a device answers when it is examined, for what whoever examines tells, and for a
/// baseline.
pub fn reset_texts(bytes: &[u8]) {
    crate::reset::check_bytes(bytes);
}
