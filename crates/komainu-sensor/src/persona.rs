//! Personas: what a sensor pretends to be.
//!
//! A persona is a TOML file and the files that it names. Some are built in; a file of one's own has the same form
//! (docs/sensors.md). It is checked whole when it is read, so that a mistake is told at the start and not by a device
//! that behaves oddly.

mod file;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::session::{Target, TargetKind};
use crate::shell::Machine;

/// Bytes of a persona's TOML file, and of each file that it names: pages of devices are small, and all of them are in
/// memory.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The built-in personas: each one's name and its files.
const BUILT_IN: &[(&str, Files)] = &[("camera", CAMERA), ("recorder", RECORDER), ("router", ROUTER)];

type Files = &'static [(&'static str, &'static [u8])];

/// The file that makes a folder a persona.
const PERSONA_FILE: &str = "persona.toml";

const CAMERA: Files = &[
    (PERSONA_FILE, include_bytes!("../personas/camera/persona.toml")),
    ("login.html", include_bytes!("../personas/camera/login.html")),
    ("device.xml", include_bytes!("../personas/camera/device.xml")),
];

const RECORDER: Files = &[
    (PERSONA_FILE, include_bytes!("../personas/recorder/persona.toml")),
    ("login.html", include_bytes!("../personas/recorder/login.html")),
];

const ROUTER: Files = &[
    (PERSONA_FILE, include_bytes!("../personas/router/persona.toml")),
    ("login.html", include_bytes!("../personas/router/login.html")),
    ("igd.xml", include_bytes!("../personas/router/igd.xml")),
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
    pub(crate) service: Service,
}

/// What answers at a port.
#[derive(Debug, Clone)]
pub(crate) enum Service {
    Telnet(Arc<Telnet>),
    Http(Arc<Http>),
    Raw(Arc<Raw>),
}

impl Service {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Telnet(_) => "telnet",
            Self::Http(_) => "http",
            Self::Raw(_) => "raw",
        }
    }
}

/// A login dialogue and a shell behind it.
#[derive(Debug)]
pub(crate) struct Telnet {
    /// Shown before the first prompt.
    pub(crate) issue: Vec<u8>,
    pub(crate) login_prompt: Vec<u8>,
    pub(crate) password_prompt: Vec<u8>,
    pub(crate) refusal: Vec<u8>,
    pub(crate) refusal_delay: Duration,
    /// Shown after a login, before the first prompt of the shell.
    pub(crate) greeting: Vec<u8>,
    pub(crate) accounts: Accounts,
    /// The try of a connection that is accepted whatever it says; 0 for none.
    pub(crate) accept_after: u32,
    /// The try of a connection after which it is closed.
    pub(crate) tries_max: u32,
    pub(crate) machine: Arc<Machine>,
}

/// Who is let in.
#[derive(Debug, Clone)]
pub(crate) struct Accounts(Arc<[(Vec<u8>, Vec<u8>)]>);

impl Accounts {
    pub(crate) fn has(&self, user: &[u8], password: &[u8]) -> bool {
        self.0.iter().any(|(known, its)| known == user && its == password)
    }
}

/// A web server.
#[derive(Debug)]
pub(crate) struct Http {
    /// Headers of each answer.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) keep_alive: bool,
    pub(crate) accounts: Accounts,
    pages: BTreeMap<Vec<u8>, Vec<Page>>,
    not_found: Page,
}

/// A page of a web server.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// None: each.
    method: Option<Vec<u8>>,
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Arc<[u8]>,
    /// Shown only to those who log in (Basic, RFC 7617).
    pub(crate) realm: Option<String>,
}

impl Page {
    /// A page of the server's own.
    pub(crate) fn plain(status: u16, body: &str) -> Self {
        let (method, headers, realm) = (None, Vec::new(), None);
        Self { method, status, content_type: "text/html".into(), headers, body: body.as_bytes().into(), realm }
    }
}

impl Http {
    /// The page at a path, without its query.
    pub(crate) fn page(&self, method: &[u8], path: &[u8]) -> &Page {
        let pages = self.pages.get(path).map(Vec::as_slice).unwrap_or_default();
        let fits = |page: &&Page| page.method.as_ref().is_none_or(|its| its.eq_ignore_ascii_case(method));
        pages.iter().find(fits).unwrap_or(&self.not_found)
    }
}

/// A port where something is said at most, and everything is recorded.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) banner: Vec<u8>,
    /// Bytes that are kept of what a client says.
    pub(crate) bytes_max: usize,
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

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its ports, and what answers there: `telnet`, `http` or `raw`.
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

/// Where a persona's files are.
enum Source<'a> {
    BuiltIn(Files),
    Disk(&'a Path),
}

impl Source<'_> {
    fn persona_file(&self) -> Result<Vec<u8>, PersonaError> {
        match self {
            Self::BuiltIn(_) => self.file(PERSONA_FILE),
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
            assert!(persona.ports().any(|(port, service)| (port, service) == (23, "telnet")), "{name}");
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
        assert_eq!(persona.ports().collect::<Vec<_>>(), [(23, "telnet"), (80, "http"), (37777, "raw")]);
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
        check("[[raw]]\nports = [1]\nbanner_hex = \"0\"\n", "raw[0].banner_hex");
        assert!(matches!(Persona::load("no-such-thing"), Err(PersonaError::Unknown { .. })));
    }
}
