//! Personas: what a sensor pretends to be.
//!
//! A persona is a TOML file and the files that it names. Some are built in; a file of one's own has the same form
//! (docs/sensors.md). It is checked whole when it is read, so that a mistake is told at the start and not by a device
//! that behaves oddly.

mod file;
mod mount;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use komainu_decode::Transport;

use crate::service::Service;
use crate::session::{Target, TargetKind};
use crate::shell::Machine;
use crate::tls::Tls;

/// Bytes of a persona's TOML file, and of each file that it names: pages of devices are small, and all of them are in
/// memory.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The built-in personas: each one's name and its files.
const BUILT_IN: &[(&str, Files)] =
    &[("camera", CAMERA), ("intercom", INTERCOM), ("nas", NAS), ("recorder", RECORDER), ("router", ROUTER)];

type Files = &'static [(&'static str, &'static [u8])];

/// The file that makes a folder a persona.
pub(crate) const PERSONA_FILE: &str = "persona.toml";

const CAMERA: Files = &[
    (PERSONA_FILE, include_bytes!("../personas/camera/persona.toml")),
    ("login.html", include_bytes!("../personas/camera/login.html")),
    ("device.xml", include_bytes!("../personas/camera/device.xml")),
];

const INTERCOM: Files = &[
    (PERSONA_FILE, include_bytes!("../personas/intercom/persona.toml")),
    ("login.html", include_bytes!("../personas/intercom/login.html")),
];

const NAS: Files = &[
    (PERSONA_FILE, include_bytes!("../personas/nas/persona.toml")),
    ("login.html", include_bytes!("../personas/nas/login.html")),
];

const RECORDER: Files = &[
    (PERSONA_FILE, include_bytes!("../personas/recorder/persona.toml")),
    ("login.html", include_bytes!("../personas/recorder/login.html")),
    ("device.xml", include_bytes!("../personas/recorder/device.xml")),
];

const ROUTER: Files = &[
    (PERSONA_FILE, include_bytes!("../personas/router/persona.toml")),
    ("login.html", include_bytes!("../personas/router/login.html")),
    ("igd.xml", include_bytes!("../personas/router/igd.xml")),
    ("service.xml", include_bytes!("../personas/router/service.xml")),
];

/// What a sensor pretends to be.
#[derive(Debug)]
pub struct Persona {
    name: String,
    target: Arc<Target>,
    doors: Vec<Door>,
}

/// A port of a persona.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) port: u16,
    pub(crate) transport: Transport,
    pub(crate) service: Service,
    /// What it is carried over; none for TCP or UDP itself.
    pub(crate) tls: Option<Arc<Tls>>,
}

/// Who is let in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accounts(Arc<[(Vec<u8>, Vec<u8>)]>);

impl Accounts {
    pub(crate) fn has(&self, user: &[u8], password: &[u8]) -> bool {
        self.0.iter().any(|(known, its)| known == user && its == password)
    }

    /// The passwords of a user, for logins that do not show theirs; case of the user's name does not count there.
    pub(crate) fn passwords_of<'a>(&'a self, user: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(|(known, _)| known.eq_ignore_ascii_case(user)).map(|(_, its)| its.as_slice())
    }

    /// Those that a test is about.
    #[cfg(test)]
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(user, password)| (user.as_bytes().to_vec(), password.as_bytes().to_vec())).collect())
    }
}

/// What the services of a persona have in common while they are checked.
pub(crate) struct Device<'a> {
    /// What was asked for, for errors.
    persona: &'a str,
    source: &'a Source<'a>,
    /// The persona's name.
    pub(crate) name: String,
    pub(crate) host_name: String,
    pub(crate) model: Option<String>,
    pub(crate) firmware: Option<String>,
    pub(crate) accounts: Accounts,
    pub(crate) machine: Arc<Machine>,
}

impl Device<'_> {
    /// A file that the persona names.
    pub(crate) fn file(&self, name: &str) -> Result<Vec<u8>, PersonaError> {
        self.source.file(name)
    }

    /// Says what is wrong with a value.
    pub(crate) fn wrong(&self, field: impl Into<String>, problem: impl Into<String>) -> PersonaError {
        PersonaError::Field { name: self.persona.to_owned(), field: field.into(), problem: problem.into() }
    }
}

/// Why a persona cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PersonaError {
    /// Neither built in nor a file.
    #[error("there is no persona {name:?}: it is neither a file nor one of the built-in {}", Persona::built_in_names().join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The TOML file is not in the form of a persona.
    #[error("persona {name} is not valid")]
    Form {
        /// Which persona.
        name: String,
        /// Where and why.
        #[source]
        source: toml::de::Error,
    },
    /// A value makes no sense.
    #[error("persona {name}: {field} {problem}")]
    Field {
        /// Which persona.
        name: String,
        /// The path of the value, such as `http[0].page[2].status`.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Persona {
    /// The names of the built-in personas.
    pub fn built_in_names() -> Vec<&'static str> {
        BUILT_IN.iter().map(|(name, _)| *name).collect()
    }

    /// A built-in persona by its name, or one from a TOML file.
    pub fn load(name_or_file: &str) -> Result<Self, PersonaError> {
        if let Some((name, files)) = BUILT_IN.iter().find(|(name, _)| *name == name_or_file) {
            return file::persona(name, &Source::BuiltIn(files));
        }
        let path = Path::new(name_or_file);
        if !path.is_file() {
            return Err(PersonaError::Unknown { name: name_or_file.to_owned() });
        }
        file::persona(name_or_file, &Source::Disk(path))
    }

    /// One that answers datagrams of every protocol that there is.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of_all_datagrams() -> Self {
        const FILES: Files = &[(PERSONA_FILE, include_bytes!("../tests/data/datagrams.toml"))];
        file::persona("datagrams", &Source::BuiltIn(FILES)).expect("its file has the form of a persona")
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its ports, and what answers there, such as `telnet`.
    pub fn ports(&self) -> impl Iterator<Item = (u16, &'static str)> {
        self.doors.iter().map(|door| (door.port, door.service.name()))
    }

    pub(crate) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    pub(crate) fn doors(&self) -> &[Door] {
        &self.doors
    }
}

/// Says whether files that are on no disk yet are a persona; `name` is for errors.
pub(crate) fn check(name: &str, files: &BTreeMap<String, Vec<u8>>) -> Result<Persona, PersonaError> {
    file::persona(name, &Source::Memory(files))
}

/// Where a persona's files are.
enum Source<'a> {
    BuiltIn(Files),
    Disk(&'a Path),
    Memory(&'a BTreeMap<String, Vec<u8>>),
}

impl Source<'_> {
    fn persona_file(&self) -> Result<Vec<u8>, PersonaError> {
        match self {
            Self::BuiltIn(_) | Self::Memory(_) => self.file(PERSONA_FILE),
            Self::Disk(path) => read(path),
        }
    }

    /// A file that the persona names.
    fn file(&self, name: &str) -> Result<Vec<u8>, PersonaError> {
        match self {
            Self::BuiltIn(files) => match files.iter().find(|(known, _)| *known == name) {
                Some((_, bytes)) => Ok(bytes.to_vec()),
                None => Err(PersonaError::Io { path: name.into(), source: io::ErrorKind::NotFound.into() }),
            },
            Self::Memory(files) => match files.get(name) {
                Some(bytes) => Ok(bytes.clone()),
                None => Err(PersonaError::Io { path: name.into(), source: io::ErrorKind::NotFound.into() }),
            },
            Self::Disk(path) => read(&path.parent().unwrap_or(Path::new("")).join(name)),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, PersonaError> {
    let failed = |source| PersonaError::Io { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn the_built_in_personas_are_valid() {
        for name in Persona::built_in_names() {
            let persona = Persona::load(name).unwrap();
            assert_eq!(persona.name(), name);
            assert!(persona.ports().any(|(port, service)| (port, service) == (80, "http")), "{name}");
        }
    }

    #[test]
    fn the_documented_example_is_valid() {
        let text = include_str!("../../../docs/sensors.md");
        let example = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("doorbell.toml");
        std::fs::write(&path, example).unwrap();
        std::fs::write(folder.path().join("index.html"), "<html></html>").unwrap();
        let persona = Persona::load(path.to_str().unwrap()).unwrap();
        let (udp, tcp): (Vec<_>, Vec<_>) = persona.doors().iter().partition(|door| door.transport == Transport::Udp);
        let ports = |doors: Vec<&Door>| doors.iter().map(|door| (door.port, door.service.name())).collect::<Vec<_>>();
        let streams = [
            (23, "telnet"),
            (22, "ssh"),
            (80, "http"),
            (443, "http"),
            (21, "ftp"),
            (139, "smb"),
            (445, "smb"),
            (5555, "adb"),
            (6379, "redis"),
            (1883, "mqtt"),
            (8883, "mqtt"),
            (554, "rtsp"),
            (5060, "sip"),
            (37777, "raw"),
        ];
        assert_eq!(ports(tcp), streams);
        let datagrams = [(69, "tftp"), (5683, "coap"), (5060, "sip"), (1900, "ssdp"), (3702, "wsd"), (161, "snmp")];
        assert_eq!(ports(udp), datagrams);
    }

    #[test]
    fn mistakes_are_told_by_their_field() {
        let check = |text: &str, expected: &str| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("mine.toml");
            let head = "name = \"mine\"\ntype = \"ip_camera\"\ncpu = \"armv7\"\nhost_name = \"mine\"\n";
            std::fs::write(&path, format!("{head}{text}")).unwrap();
            let error = Persona::load(path.to_str().unwrap()).unwrap_err();
            let mut told = error.to_string();
            let mut source = error.source();
            while let Some(error) = source {
                told += &format!(": {error}");
                source = error.source();
            }
            assert!(told.contains(expected), "{text:?}: {told}");
        };
        check("colour = 1\n", "unknown field `colour`");
        check("[telnet]\nports = [70000]\n", "ports");
        check("", "port");
        check("[telnet]\nports = [0]\n", "telnet.ports has port 0");
        check("[telnet]\nports = [23]\n[[raw]]\nports = [23]\n", "raw[0].ports has port 23 a second time");
        check("[telnet]\nports = []\n", "telnet.ports is empty");
        check("[telnet]\nports = [23]\ntries_max = 0\n", "telnet.tries_max");
        check("[[http]]\nports = [80]\n[[http.page]]\npath = \"a\"\n", "http[0].page[0].path");
        check("[[http]]\nports = [80]\n[[http.page]]\npath = \"/\"\nstatus = 99\n", "http[0].page[0].status");
        check("[[http]]\nports = [80]\n[[http.page]]\npath = \"/\"\nfile = \"gone\"\n", "gone");
        check("[[http]]\nports = [80]\n[[http.page]]\npath = \"/\"\nfile = \"a\"\nbody = \"b\"\n", "both");
        check("[[http]]\nports = [80]\nheaders = { \"A\" = \"b\\r\\nC: d\" }\n", "http[0].headers");
        let wrong = |section: &str, rest: &str, expected: &str| {
            check(&format!("[{section}]\nports = [1000]\n{rest}"), expected);
        };
        wrong("ssdp", "server = \"a\"\nlocation = \"b\"\ndevice = []\n", "ssdp.device must have 1 to 64 types");
        wrong("ssdp", "server = \"a\\n\"\nlocation = \"b\"\ndevice = []\n", "ssdp.server");
        wrong("wsd", "uuid = \"a b\"\naddress = \"c\"\n", "wsd.uuid");
        wrong("tftp", "[[tftp.file]]\npath = \"a\"\n", "tftp.file[0] must have one of body and file");
        wrong("coap", "[[coap.resource]]\npath = \"a\"\n", "coap.resource[0].path");
        wrong("sip", "user_agent = \"a\\r\"\n", "sip.user_agent");
        let object = |text: &str| format!("[[snmp.object]]\n{text}\n");
        wrong("snmp", &object("oid = \"1.x\"\ntype = \"uptime\""), "snmp.object[0].oid must be numbers");
        wrong("snmp", &object("oid = \"1.3\"\ntype = \"string\"\nvalue = 3"), "snmp.object[0].value must be a text");
        wrong("snmp", &object("oid = \"1.3\"\ntype = \"uptime\"").repeat(2), "snmp.object has 1.3 a second time");
        check("[[http]]\n", "http[0].ports is empty");
        check("[[http]]\ntls_ports = [0]\n", "http[0].tls_ports has port 0");
        check("[[http]]\nports = [80]\n[[http.page]]\npath = \"/a*b*\"\n", "http[0].page[0].path");
        check("[[http]]\nports = [80]\n[[http.page]]\npath = \"/\"\nrealm = '\"'\n", "http[0].page[0].realm");
        check("[[http]]\nports = [80]\n[[http.page]]\npath = \"/\"\nsoap_argument = 'a'\n", "soap_argument");
        check(
            "[[http]]\nports = [80]\n[[http.page]]\npath = \"/\"\nform = { user = 'a', password = 'b' }\n",
            "needs both form and refused",
        );
        check("[tls]\nvalid_years = 51\n[[raw]]\nports = [1]\n", "tls.valid_years");
        check("[tls]\nvalid_from = \"2014-13-01\"\n[[raw]]\nports = [1]\n", "tls.valid_from");
        check("[tls]\ncommon_name = \"\"\n[[raw]]\nports = [1]\n", "tls.common_name");
        check("[rtsp]\nports = [554]\nrealm = \"a\"\npaths = [\"b\"]\n", "rtsp.paths");
        check("[mqtt]\nports = [1]\n[[mqtt.topic]]\ntopic = \"#\"\nmessage = \"\"\n", "mqtt.topic[0].topic");
        check("[[raw]]\nports = [1]\nbanner_hex = \"0\"\n", "raw[0].banner_hex");
        assert!(matches!(Persona::load("no-such-thing"), Err(PersonaError::Unknown { .. })));
    }
}
