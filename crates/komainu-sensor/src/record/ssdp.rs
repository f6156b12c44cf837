//! What a device says of itself by SSDP (UPnP Device Architecture 1.1, 1.3), asked directly and not by multicast.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};
use toml::{Table, Value};

/// How long answers are awaited: a device may wait as long as it is told by `MX`, one second.
const PATIENCE: Duration = Duration::from_secs(3);

/// Answers that are looked at: a router has a dozen.
const ANSWERS_MAX: usize = 64;

/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 4096;

/// What a device announced.
#[derive(Debug, Default)]
pub(super) struct Announced {
    port: u16,
    server: Option<String>,
    location: Option<String>,
    /// Types by the UUIDs of the devices that have them.
    devices: BTreeMap<String, BTreeSet<String>>,
    /// Paths of descriptions on the device itself, by port.
    pub(super) pages: BTreeMap<u16, Vec<String>>,
}

/// Asks a device for everything.
pub(super) async fn ask(device: SocketAddr) -> Announced {
    let mut announced = Announced { port: device.port(), ..Announced::default() };
    let any = if device.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
    let Ok(socket) = UdpSocket::bind((any, 0)).await else { return announced };
    let request =
        format!("M-SEARCH * HTTP/1.1\r\nHOST: {device}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n");
    if socket.send_to(request.as_bytes(), device).await.is_err() {
        return announced;
    }
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = [0; ANSWER_BYTES_MAX];
    for _ in 0..ANSWERS_MAX {
        let Ok(Ok((bytes, from))) = timeout_at(deadline, socket.recv_from(&mut buffer)).await else { break };
        if from.ip() == device.ip() {
            announced.take(&buffer[..bytes], device.ip());
        }
    }
    announced
}

impl Announced {
    fn take(&mut self, answer: &[u8], device: IpAddr) {
        let text = String::from_utf8_lossy(answer);
        let header = |name: &str| {
            let lines = text.lines().filter_map(|line| line.split_once(':'));
            lines
                .filter(|(its, _)| its.trim().eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim().to_owned())
                .next()
        };
        if !text.starts_with("HTTP/1.1 200") {
            return;
        }
        self.server = self.server.take().or_else(|| header("SERVER"));
        if let Some(location) = header("LOCATION") {
            // A device may announce only itself: nobody else is asked.
            let rest = location.strip_prefix("http://").unwrap_or_default();
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let end = host.parse::<SocketAddr>().ok().or_else(|| Some((host.parse::<IpAddr>().ok()?, 80).into()));
            if let Some(end) = end.filter(|end| end.ip() == device) {
                let pages = self.pages.entry(end.port()).or_default();
                if !path.is_empty() && !pages.iter().any(|known| known == path) {
                    pages.push(path.to_owned());
                }
                self.location.get_or_insert_with(|| format!("http://{{address}}:{}{path}", end.port()));
            }
        }
        if let Some((uuid, rest)) = header("USN").as_deref().and_then(|usn| usn.strip_prefix("uuid:")?.split_once("::"))
        {
            self.devices.entry(uuid.to_owned()).or_default().insert(rest.to_owned());
        }
    }

    /// The port, and what a persona's section has of it.
    pub(super) fn section(&self) -> Option<(u16, Table)> {
        let (server, location) = (self.server.clone()?, self.location.clone()?);
        let device = |(uuid, types): (&String, &BTreeSet<String>)| {
            let types = types.iter().map(|one| Value::from(one.as_str())).collect();
            let table = [("uuid".to_owned(), Value::from(uuid.as_str())), ("types".to_owned(), Value::Array(types))];
            Value::Table(Table::from_iter(table))
        };
        let section = [
            ("server".to_owned(), Value::from(server)),
            ("location".to_owned(), Value::from(location)),
            ("device".to_owned(), Value::Array(self.devices.iter().map(device).collect())),
        ];
        Some((self.port, Table::from_iter(section)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(answer: &str) -> Announced {
        let mut announced = Announced { port: 1900, ..Announced::default() };
        announced.take(answer.as_bytes(), "192.0.2.1".parse().unwrap());
        announced
    }

    #[test]
    fn what_a_device_announces() {
        let answer = "HTTP/1.1 200 OK\r\nLOCATION: http://192.0.2.1:5000/rootDesc.xml\r\nServer: Linux UPnP/1.0 x/1\r\n\
            USN: uuid:abc::upnp:rootdevice\r\n\r\n";
        let announced = told(answer);
        assert_eq!(announced.pages, BTreeMap::from([(5000, vec!["/rootDesc.xml".to_owned()])]));
        let (port, section) = announced.section().unwrap();
        assert_eq!((port, section["server"].as_str()), (1900, Some("Linux UPnP/1.0 x/1")));
        assert_eq!(section["device"][0]["types"][0].as_str(), Some("upnp:rootdevice"));
    }

    #[test]
    fn nobody_else_is_announced() {
        for location in ["http://192.0.2.2/x", "https://192.0.2.1/x", "http://a.b/x", "", "http://192.0.2.1:99999/x"] {
            let announced = told(&format!("HTTP/1.1 200 OK\r\nLOCATION: {location}\r\nSERVER: x\r\n\r\n"));
            assert!(announced.pages.is_empty() && announced.section().is_none(), "{location}");
        }
        assert!(told("NOTIFY * HTTP/1.1\r\nLOCATION: http://192.0.2.1/x\r\n").pages.is_empty());
    }
}
