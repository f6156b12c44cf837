//! The form of a persona's TOML file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::{Accounts, Door, Http, Page, Persona, PersonaError, Raw, Service, Source, Target, TargetKind, Telnet};
use crate::shell::{Cpu, Machine};

/// The most of what a client says at a raw port that can be kept, in bytes: it is in memory.
const RAW_BYTES_MAX: usize = 1024 * 1024;

/// What small servers say when there is no such page.
const NOT_FOUND: &str =
    "<HTML><HEAD><TITLE>404 Not Found</TITLE></HEAD>\n<BODY><H4>404 Not Found</H4>\nFile not found.\n</BODY></HTML>\n";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonaText {
    name: String,
    r#type: String,
    model: Option<String>,
    firmware: Option<String>,
    host_name: String,
    cpu: CpuText,
    kernel: Option<String>,
    busybox: Option<String>,
    #[serde(default)]
    account: Vec<AccountText>,
    telnet: Option<TelnetText>,
    #[serde(default)]
    http: Vec<HttpText>,
    #[serde(default)]
    raw: Vec<RawText>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CpuText {
    Armv5,
    Armv7,
    Aarch64,
    Mips,
    Mipsel,
    Sh4,
    Powerpc,
    X86,
    #[serde(rename = "x86_64")]
    X86_64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountText {
    user: String,
    password: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TelnetText {
    ports: Vec<u16>,
    #[serde(default)]
    issue: String,
    login_prompt: Option<String>,
    #[serde(default = "password_prompt")]
    password_prompt: String,
    #[serde(default = "refusal")]
    refusal: String,
    /// BusyBox's login waits three seconds (loginutils/login.c, FAIL_DELAY).
    #[serde(default = "refusal_delay_ms")]
    refusal_delay_ms: u64,
    #[serde(default)]
    greeting: String,
    #[serde(default)]
    accept_after: u32,
    #[serde(default = "tries_max")]
    tries_max: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpText {
    ports: Vec<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    keep_alive: bool,
    #[serde(default)]
    page: Vec<PageText>,
    not_found: Option<PageText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PageText {
    #[serde(default)]
    path: String,
    method: Option<String>,
    #[serde(default = "status")]
    status: u16,
    #[serde(rename = "type", default = "content_type")]
    content_type: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    file: Option<String>,
    realm: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawText {
    ports: Vec<u16>,
    #[serde(default)]
    banner_hex: String,
    #[serde(default = "raw_bytes_max")]
    bytes_max: usize,
}

fn password_prompt() -> String {
    "Password: ".into()
}

fn refusal() -> String {
    "Login incorrect".into()
}

const fn refusal_delay_ms() -> u64 {
    3_000
}

const fn tries_max() -> u32 {
    3
}

const fn status() -> u16 {
    200
}

fn content_type() -> String {
    "text/html".into()
}

const fn raw_bytes_max() -> usize {
    64 * 1024
}

/// Reads and checks a persona; `name` is what was asked for.
pub(super) fn persona(name: &str, source: &Source<'_>) -> Result<Persona, PersonaError> {
    let bytes = source.persona_file()?;
    let text: PersonaText =
        toml::from_slice(&bytes).map_err(|source| PersonaError::Form { name: name.to_owned(), source })?;
    Checker { name, source, ports: BTreeSet::new(), doors: Vec::new() }.persona(text)
}

struct Checker<'a> {
    name: &'a str,
    source: &'a Source<'a>,
    ports: BTreeSet<u16>,
    doors: Vec<Door>,
}

impl Checker<'_> {
    fn wrong<T>(&self, field: impl Into<String>, problem: impl Into<String>) -> Result<T, PersonaError> {
        Err(PersonaError::Field { name: self.name.to_owned(), field: field.into(), problem: problem.into() })
    }

    fn persona(mut self, text: PersonaText) -> Result<Persona, PersonaError> {
        for (field, value) in [("name", &text.name), ("type", &text.r#type), ("host_name", &text.host_name)] {
            if value.is_empty() || value.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
                return self.wrong(field, "must be a word");
            }
        }
        let accounts = Accounts(text.account.into_iter().map(|one| (one.user.into(), one.password.into())).collect());
        if let Some(telnet) = text.telnet {
            let mut machine = Machine::new(cpu(text.cpu), &text.host_name);
            if let Some(kernel) = text.kernel {
                machine.kernel = kernel;
            }
            if let Some(busybox) = text.busybox {
                machine.busybox_version = busybox;
            }
            self.telnet(telnet, &text.host_name, accounts.clone(), machine)?;
        }
        for (index, http) in text.http.into_iter().enumerate() {
            self.http(http, index, accounts.clone())?;
        }
        for (index, raw) in text.raw.into_iter().enumerate() {
            self.raw(raw, index)?;
        }
        if self.doors.is_empty() {
            return self.wrong("telnet, http and raw", "are missing: a persona needs a port");
        }
        let target = Target {
            kind: TargetKind::Emulated,
            persona: Some(text.name.clone()),
            device_type: Some(text.r#type),
            model: text.model,
            firmware: text.firmware,
        };
        Ok(Persona { name: text.name, target: Arc::new(target), doors: self.doors })
    }

    fn telnet(
        &mut self,
        text: TelnetText,
        host_name: &str,
        accounts: Accounts,
        machine: Machine,
    ) -> Result<(), PersonaError> {
        if text.tries_max == 0 {
            return self.wrong("telnet.tries_max", "must be at least 1");
        }
        let telnet = Telnet {
            issue: on_terminal(&text.issue),
            login_prompt: text.login_prompt.unwrap_or_else(|| format!("{host_name} login: ")).into(),
            password_prompt: text.password_prompt.into(),
            refusal: on_terminal(&text.refusal),
            refusal_delay: Duration::from_millis(text.refusal_delay_ms),
            greeting: on_terminal(&text.greeting),
            accounts,
            accept_after: text.accept_after,
            tries_max: text.tries_max,
            machine: Arc::new(machine),
        };
        self.open("telnet.ports", &text.ports, &Service::Telnet(Arc::new(telnet)))
    }

    fn http(&mut self, text: HttpText, index: usize, accounts: Accounts) -> Result<(), PersonaError> {
        let at = format!("http[{index}]");
        let mut pages: BTreeMap<Vec<u8>, Vec<Page>> = BTreeMap::new();
        for (number, page) in text.page.into_iter().enumerate() {
            let at = format!("{at}.page[{number}]");
            if !page.path.starts_with('/') {
                return self.wrong(format!("{at}.path"), "must begin with /");
            }
            let path = page.path.clone().into_bytes();
            let page = self.page(page, &at)?;
            pages.entry(path).or_default().push(page);
        }
        let not_found = match text.not_found {
            Some(page) => self.page(page, &format!("{at}.not_found"))?,
            None => Page::plain(404, NOT_FOUND),
        };
        let headers = self.headers(text.headers, &at)?;
        let http = Http { headers, keep_alive: text.keep_alive, accounts, pages, not_found };
        self.open(&format!("{at}.ports"), &text.ports, &Service::Http(Arc::new(http)))
    }

    fn page(&self, page: PageText, at: &str) -> Result<Page, PersonaError> {
        if !(200..=599).contains(&page.status) {
            return self.wrong(format!("{at}.status"), "must be from 200 to 599");
        }
        let body = match (page.body, page.file) {
            (Some(_), Some(_)) => return self.wrong(at, "has both body and file"),
            (Some(body), None) => body.into_bytes(),
            (None, Some(file)) => self.source.file(&file)?,
            (None, None) => Vec::new(),
        };
        for (field, value) in [("type", Some(&page.content_type)), ("realm", page.realm.as_ref())] {
            if value.is_some_and(|value| !is_header_value(value) || value.contains('"')) {
                return self.wrong(format!("{at}.{field}"), "must be printable and without quotes");
            }
        }
        Ok(Page {
            method: page.method.map(String::into_bytes),
            status: page.status,
            content_type: page.content_type,
            headers: self.headers(page.headers, at)?,
            body: body.into(),
            realm: page.realm,
        })
    }

    fn headers(&self, headers: BTreeMap<String, String>, at: &str) -> Result<Vec<(String, String)>, PersonaError> {
        for (name, value) in &headers {
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            if name.is_empty() || !name.bytes().all(is_name) || !is_header_value(value) {
                return self.wrong(format!("{at}.headers.{name}"), "cannot be a header of HTTP");
            }
        }
        Ok(headers.into_iter().collect())
    }

    fn raw(&mut self, text: RawText, index: usize) -> Result<(), PersonaError> {
        let at = format!("raw[{index}]");
        let Ok(banner) = hex::decode(&text.banner_hex) else {
            return self.wrong(format!("{at}.banner_hex"), "must be pairs of hexadecimal digits");
        };
        if text.bytes_max > RAW_BYTES_MAX {
            return self.wrong(format!("{at}.bytes_max"), format!("must be at most {RAW_BYTES_MAX}"));
        }
        let raw = Raw { banner, bytes_max: text.bytes_max };
        self.open(&format!("{at}.ports"), &text.ports, &Service::Raw(Arc::new(raw)))
    }

    fn open(&mut self, field: &str, ports: &[u16], service: &Service) -> Result<(), PersonaError> {
        if ports.is_empty() {
            return self.wrong(field, "is empty");
        }
        for port in ports {
            if *port == 0 {
                return self.wrong(field, "has port 0");
            }
            if !self.ports.insert(*port) {
                return self.wrong(field, format!("has port {port} a second time"));
            }
            self.doors.push(Door { port: *port, service: service.clone() });
        }
        Ok(())
    }
}

const fn cpu(text: CpuText) -> Cpu {
    match text {
        CpuText::Armv5 => Cpu::Armv5,
        CpuText::Armv7 => Cpu::Armv7,
        CpuText::Aarch64 => Cpu::Aarch64,
        CpuText::Mips => Cpu::Mips,
        CpuText::Mipsel => Cpu::Mipsel,
        CpuText::Sh4 => Cpu::Sh4,
        CpuText::Powerpc => Cpu::Powerpc,
        CpuText::X86 => Cpu::X86,
        CpuText::X86_64 => Cpu::X86_64,
    }
}

/// Text with the line ends of a terminal.
fn on_terminal(text: &str) -> Vec<u8> {
    text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes()
}

fn is_header_value(value: &str) -> bool {
    value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}
