//! A persona made from a device: its own prompts, pages and greetings, as any client gets them.
//!
//! In: the address of a device whose owner wants it recorded, and ports. Out: a persona's files, checked as a sensor checks
//! them, and notes of what could not be taken over. Nothing is asked for that needs a login, nothing is sent but what an
//! ordinary client sends before one, and nothing whose name sounds as if it changed the device.
//!
//! All of it is bounded: [`PORTS_MAX`] ports, each for [`PORT_TIMEOUT`]; pages as [`site`] says.

mod identifying;
mod links;
mod probe;
mod site;
mod ssdp;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use toml::{Table, Value};

pub use self::identifying::Identifying;
#[cfg(fuzzing)]
pub(crate) use self::links::check_bytes as check_links;
use self::probe::Seen;
use self::site::Site;
use self::ssdp::Announced;
use crate::persona::{self, PERSONA_FILE};

/// Ports that are asked.
const PORTS_MAX: usize = 64;

/// Ports that are asked at the same time: small devices serve few clients.
const AT_ONCE_MAX: usize = 4;

/// How long one port may take, with all of its pages.
const PORT_TIMEOUT: Duration = Duration::from_secs(120);

/// What personas of devices listen on: the ports that are asked by default.
pub const RECORDED_PORTS: &[u16] = &[
    21, 22, 23, 80, 81, 443, 445, 554, 1883, 2323, 5000, 5060, 5555, 6379, 7547, 8000, 8080, 8081, 8443, 8554, 8899,
    34567, 37777, 49152,
];

/// What is to be recorded.
#[derive(Debug, Clone)]
pub struct RecordPlan {
    /// The device.
    pub address: IpAddr,
    /// Its ports that are asked, 64 at most.
    pub ports: Vec<u16>,
    /// Where it is asked for descriptions (SSDP), by UDP; none does not ask.
    pub ssdp_port: Option<u16>,
    /// What the persona is called: a word.
    pub name: String,
}

/// A persona that was made from a device.
#[derive(Debug)]
pub struct Recorded {
    /// Its files by their names; `persona.toml` is the one that names the others.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Ports that were open, and what they became.
    pub ports: Vec<(u16, &'static str)>,
    /// What the persona does not do as the device does.
    pub notes: Vec<String>,
    /// What tells this one device from others of its kind.
    pub identifying: Vec<Identifying>,
}

/// Why a device cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Too many.
    #[error("{count} ports are more than the {PORTS_MAX} that are asked at once")]
    Ports {
        /// How many were asked for.
        count: usize,
    },
    /// The name has spaces, or is empty.
    #[error("{name:?} is no word")]
    Name {
        /// What was asked for.
        name: String,
    },
    /// No port is open.
    #[error("{address} answers on none of the ports that were asked")]
    Nothing {
        /// Of which device.
        address: IpAddr,
    },
    /// What was recorded is no persona.
    #[error("what was recorded cannot be a persona")]
    Persona(#[from] persona::PersonaError),
}

/// Asks a device.
pub async fn record_persona(plan: &RecordPlan) -> Result<Recorded, RecordError> {
    let is_word =
        !plan.name.is_empty() && !plan.name.contains(|letter: char| letter.is_whitespace() || letter.is_control());
    if !is_word {
        return Err(RecordError::Name { name: plan.name.clone() });
    }
    let mut ports = plan.ports.clone();
    ports.sort_unstable();
    ports.dedup();
    if ports.len() > PORTS_MAX {
        return Err(RecordError::Ports { count: ports.len() });
    }
    let announced = match plan.ssdp_port {
        Some(port) => ssdp::ask((plan.address, port).into()).await,
        None => Announced::default(),
    };
    // Where the device says that its description is, is asked too.
    ports.extend(announced.pages.keys().filter(|port| !plan.ports.contains(port)).take(1));
    let seen = look_at_all(plan.address, ports, &announced).await;
    if seen.is_empty() {
        return Err(RecordError::Nothing { address: plan.address });
    }
    Written::new(plan.name.clone(), seen, &announced).finish()
}

async fn look_at_all(address: IpAddr, ports: Vec<u16>, announced: &Announced) -> BTreeMap<u16, Seen> {
    let permits = Arc::new(Semaphore::new(AT_ONCE_MAX));
    let mut looking = JoinSet::new();
    for port in ports {
        let permits = permits.clone();
        let pages = announced.pages.get(&port).cloned().unwrap_or_default();
        looking.spawn(async move {
            let _permit = permits.acquire().await.expect("the semaphore is never closed");
            let seen = timeout(PORT_TIMEOUT, probe::look((address, port).into(), pages)).await;
            Some((port, seen.unwrap_or(None)?))
        });
    }
    let mut seen = BTreeMap::new();
    while let Some(looked) = looking.join_next().await {
        seen.extend(looked.ok().flatten());
    }
    seen
}

/// A persona that is being written.
struct Written {
    name: String,
    host_name: Option<String>,
    /// Sections by their names; a list is of tables (`[[http]]`).
    sections: Table,
    files: BTreeMap<String, Vec<u8>>,
    ports: Vec<(u16, &'static str)>,
    notes: Vec<String>,
}

impl Written {
    fn new(name: String, seen: BTreeMap<u16, Seen>, announced: &Announced) -> Self {
        let (sections, files) = (Table::new(), BTreeMap::new());
        let mut written = Self { name, host_name: None, sections, files, ports: Vec::new(), notes: Vec::new() };
        let mut sites: Vec<(Site, Vec<u16>)> = Vec::new();
        for (port, seen) in seen {
            match seen {
                Seen::Web(site) => {
                    written.notes.extend(site.notes.iter().map(|note| format!("port {port}: {note}")));
                    // The same on two ports is one server.
                    match sites.iter_mut().find(|(known, _)| known.is_same(&site)) {
                        Some((_, ports)) => ports.push(port),
                        None => sites.push((site, vec![port])),
                    }
                }
                Seen::Telnet { issue, login_prompt } => written.telnet(port, &issue, &login_prompt),
                Seen::Rtsp(rtsp) => written.rtsp(port, rtsp),
                Seen::Greeting(greeting) => written.greeting(port, &greeting),
                Seen::Silent => written.raw(port, &[]),
            }
        }
        for (site, ports) in sites {
            written.web(site, &ports);
        }
        written.ssdp(announced);
        written
    }

    /// A section that a protocol has once, if a persona can have these values; on a further port, its values must be the
    /// same.
    fn single(&mut self, name: &'static str, port: u16, mut section: Table) -> bool {
        let mut ports = match self.sections.get(name) {
            None => Vec::new(),
            Some(known) => {
                let mut known = known.as_table().cloned().unwrap_or_default();
                let ports = known.remove("ports");
                if known != section {
                    return false;
                }
                ports.and_then(|ports| ports.as_array().cloned()).unwrap_or_default()
            }
        };
        ports.push(i64::from(port).into());
        section.insert("ports".into(), ports.into());
        let is_possible = self.is_possible(name, Value::Table(section.clone()));
        if is_possible {
            self.sections.insert(name.into(), section.into());
            self.ports.push((port, name));
        }
        is_possible
    }

    /// Whether a persona can have a section. Devices say things that personas cannot; one of them must not make all of
    /// the persona useless.
    fn is_possible(&self, name: &str, section: Value) -> bool {
        let text = self.text(&Table::from_iter([(name.to_owned(), section)]));
        let mut files = self.files.clone();
        files.insert(PERSONA_FILE.into(), text.into_bytes());
        persona::check(&self.name, &files).is_ok()
    }

    fn telnet(&mut self, port: u16, issue: &str, login_prompt: &str) {
        let host = login_prompt.strip_suffix(" login: ").filter(|host| !host.contains(char::is_whitespace));
        if let Some(host) = host.filter(|host| !host.is_empty()) {
            self.host_name = Some(host.to_owned());
        }
        let section = Table::from_iter([
            ("issue".to_owned(), Value::from(issue)),
            ("login_prompt".to_owned(), Value::from(login_prompt)),
        ]);
        if !self.single("telnet", port, section) {
            self.notes.push(format!("port {port}: a second telnet, with other prompts, became raw"));
            self.raw(port, format!("{issue}{login_prompt}").replace('\n', "\r\n").as_bytes());
        }
    }

    fn greeting(&mut self, port: u16, greeting: &[u8]) {
        let line = String::from_utf8_lossy(greeting);
        let first = line.lines().next().unwrap_or_default();
        let banner = |text: &str| Table::from_iter([("banner".to_owned(), Value::from(text))]);
        let is_written = if first.starts_with("SSH-") {
            self.single("ssh", port, banner(first))
        } else if let Some(text) = first.strip_prefix("220 ").filter(|text| !text.contains("SMTP")) {
            line.lines().count() == 1 && self.single("ftp", port, banner(text))
        } else {
            false
        };
        if !is_written {
            self.raw(port, greeting);
        }
    }

    fn rtsp(&mut self, port: u16, section: Table) {
        let server = section.get("server").and_then(Value::as_str).unwrap_or("of no name").to_owned();
        if !self.single("rtsp", port, section) {
            self.notes.push(format!("port {port}: RTSP, server {server}, became raw"));
            self.raw(port, &[]);
        }
    }

    /// A port where nothing is understood.
    fn raw(&mut self, port: u16, greeting: &[u8]) {
        let section = Table::from_iter([
            ("ports".to_owned(), Value::Array(vec![i64::from(port).into()])),
            ("banner_hex".to_owned(), Value::from(hex::encode(greeting))),
        ]);
        self.push("raw", section);
        self.ports.push((port, "raw"));
    }

    fn push(&mut self, name: &'static str, section: Table) {
        let list = self.sections.entry(name).or_insert_with(|| Value::Array(Vec::new()));
        list.as_array_mut().expect("sections of these names are lists").push(section.into());
    }

    fn web(&mut self, site: Site, ports: &[u16]) {
        let is_tls = site.is_tls();
        let (mut section, files) = site.into_section(ports[0]);
        let key = if is_tls { "tls_ports" } else { "ports" };
        let list = ports.iter().map(|port| Value::from(i64::from(*port))).collect();
        section.insert(key.into(), Value::Array(list));
        let before = self.files.clone();
        self.files.extend(files);
        if self.is_possible("http", Value::Array(vec![section.clone().into()])) {
            self.push("http", section);
            self.ports.extend(ports.iter().map(|port| (*port, "http")));
            return;
        }
        self.files = before;
        for port in ports {
            self.notes.push(format!("port {port}: a web server that a persona cannot be became raw"));
            self.raw(*port, &[]);
        }
    }

    fn ssdp(&mut self, announced: &Announced) {
        let Some((port, section)) = announced.section() else { return };
        if !self.single("ssdp", port, section) {
            self.notes.push(format!("port {port}/udp: SSDP is not taken over"));
        }
    }

    /// The TOML of a persona with some sections.
    fn text(&self, sections: &Table) -> String {
        let host_name = self.host_name.clone().unwrap_or_else(|| self.name.clone());
        let head = Table::from_iter([
            ("name".to_owned(), Value::from(self.name.as_str())),
            ("type".to_owned(), Value::from("device")),
            ("host_name".to_owned(), Value::from(host_name)),
            ("cpu".to_owned(), Value::from("armv7")),
        ]);
        format!(
            "# Recorded from a device. What no client sees is chosen: type, cpu, and who is let in ([[account]]).\n{head}\n{sections}"
        )
    }

    fn finish(mut self) -> Result<Recorded, RecordError> {
        let text = self.text(&self.sections);
        self.files.insert(PERSONA_FILE.into(), text.into_bytes());
        persona::check(&self.name, &self.files)?;
        let identifying = identifying::in_files(&self.files);
        self.ports.sort_unstable();
        Ok(Recorded { files: self.files, ports: self.ports, notes: self.notes, identifying })
    }
}

#[cfg(test)]
mod tests;
