use komainu_decode::smb::{
    Change, Command, Detail, Dialect, Event, Exchange, Negotiate, Open, Rpc, SessionSetup, ShareType, Status, Target,
};
use serde::{Serialize, Serializer};

use super::{AnyRecord, Text};

/// Exchanges and calls go to `eve.json`; reads and writes that succeed are left out, for the files that they carry are
/// told of elsewhere. What EVE has no words for goes to the log of our own.
pub(super) fn records(event: &Event<'_>) -> Vec<AnyRecord> {
    let record = match event {
        Event::Exchange(exchange) if is_told(exchange) => AnyRecord::eve("smb", &Smb::of(exchange)),
        Event::Exchange(_) => return Vec::new(),
        Event::Rpc(rpc) => AnyRecord::eve("smb", &Smb { dcerpc: Some(Dcerpc::of(rpc)), ..Smb::pipe(&rpc.pipe) }),
        Event::SessionRequest { called, calling } => {
            let (called, calling) = (Text(called), Text(calling));
            AnyRecord::honeypot("smb", &Transport::SessionRequest { called, calling })
        }
        Event::SessionAnswer { is_accepted } => {
            AnyRecord::honeypot("smb", &Transport::SessionAnswer { accepted: *is_accepted })
        }
        Event::Encrypted { session_id } => {
            AnyRecord::honeypot("smb", &Transport::Encrypted { session_id: *session_id })
        }
        Event::Compressed => AnyRecord::honeypot("smb", &Transport::Compressed),
    };
    vec![record]
}

fn is_told(exchange: &Exchange<'_>) -> bool {
    let is_transfer = matches!(exchange.detail, Detail::Read { .. } | Detail::Write { .. });
    !is_transfer || exchange.status.is_some_and(|status| !status.is_success())
}

/// The value of `smb` in the log of our own.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
enum Transport<'a> {
    SessionRequest { called: Text<'a>, calling: Text<'a> },
    SessionAnswer { accepted: bool },
    Encrypted { session_id: u64 },
    Compressed,
}

/// The value of `smb` in `eve.json`.
#[derive(Debug, Default, Serialize)]
struct Smb<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    dialect: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tree_id: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    client_dialects: Vec<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_guid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_guid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_read_size: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_write_size: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ntlmssp: Option<Ntlmssp<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Native<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Native<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Service<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    named_pipe: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disposition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accessed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fuid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rename: Option<Rename<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_info: Option<SetInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subcmd: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dcerpc: Option<Dcerpc>,
}

#[derive(Debug, Serialize)]
struct Ntlmssp<'a> {
    domain: Text<'a>,
    user: Text<'a>,
    host: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

#[derive(Debug, Serialize)]
struct Native<'a> {
    native_os: Text<'a>,
    native_lm: Text<'a>,
}

#[derive(Debug, Serialize)]
struct Service<'a> {
    request: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Text<'a>>,
}

#[derive(Debug, Serialize)]
struct Rename<'a> {
    from: Text<'a>,
    to: Text<'a>,
}

#[derive(Debug, Serialize)]
struct SetInfo {
    class: &'static str,
    info_level: String,
}

#[derive(Debug, Serialize)]
struct Dcerpc {
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opnum: Option<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interfaces: Vec<Interface>,
    #[serde(skip_serializing_if = "Option::is_none")]
    req: Option<Stub>,
    #[serde(skip_serializing_if = "Option::is_none")]
    res: Option<Stub>,
    call_id: u32,
}

#[derive(Debug, Serialize)]
struct Interface {
    uuid: String,
    version: String,
}

#[derive(Debug, Serialize)]
struct Stub {
    frag_cnt: u32,
    stub_data_size: u16,
}

/// Text of the attacker's, or of ours.
#[derive(Debug)]
enum Shown<'a> {
    Theirs(Text<'a>),
    Ours(String),
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Theirs(text) => text.serialize(serializer),
            Self::Ours(text) => text.serialize(serializer),
        }
    }
}

impl<'a> Smb<'a> {
    fn of(exchange: &'a Exchange<'_>) -> Self {
        let mut body = Self {
            dialect: exchange.dialect.map(dialect),
            command: Some(command(exchange.command)),
            session_id: Some(exchange.session_id),
            tree_id: Some(exchange.tree_id),
            ..Self::default()
        };
        if let Some(status) = exchange.status {
            let (name, code) = status_of(status);
            body.status = Some(name);
            body.status_code = Some(code);
        }
        body.detail(exchange);
        body
    }

    fn pipe(name: &'a [u8]) -> Self {
        Self { named_pipe: (!name.is_empty()).then_some(Text(name)), ..Self::default() }
    }

    fn detail(&mut self, exchange: &'a Exchange<'_>) {
        match &exchange.detail {
            Detail::Negotiate(negotiate) => self.negotiate(negotiate),
            Detail::SessionSetup(setup) => self.session_setup(setup),
            Detail::TreeConnect { path, service_asked, service, share_type } => {
                match share_type {
                    Some(ShareType::Pipe) => self.named_pipe = Some(Text(path)),
                    Some(_) | None => self.share = Some(Text(path)),
                }
                match exchange.command {
                    Command::V1(_) => {
                        let response = (!service.is_empty()).then_some(Text(service));
                        self.service = Some(Service { request: Text(service_asked), response });
                    }
                    Command::V2(_) => self.share_type = share_type.map(share_type_name),
                }
            }
            Detail::Open(open) => self.open(open),
            Detail::Close { name } | Detail::Path { name } => self.name(name),
            Detail::Read { .. } | Detail::Write { .. } | Detail::Other => {}
            Detail::Rename { from, to } => {
                if matches!(exchange.command, Command::V2(_)) {
                    self.set_info = Some(set_info("SMB2_FILE_RENAME_INFO".to_owned()));
                }
                self.rename = Some(Rename { from: Text(from), to: Text(to) });
            }
            Detail::SetInfo { name, change } => {
                self.name(name);
                self.set_info = Some(set_info(match change {
                    Change::Delete(_) => "SMB2_FILE_DISPOSITION_INFO".to_owned(),
                    Change::End(_) => "SMB2_FILE_ENDOFFILE_INFO".to_owned(),
                    Change::Level { level, .. } => level.to_string(),
                }));
                if let Change::Delete(is_set) = change {
                    self.access = Some(if *is_set { DELETE_ON_CLOSE } else { NORMAL });
                }
            }
            Detail::Find { pattern, directory } => {
                self.filename = Some(Text(pattern));
                self.directory = (!directory.is_empty()).then_some(Text(directory));
            }
            Detail::Transaction { subcommand, name } => {
                self.name(name);
                self.subcmd = subcommand.map(|subcommand| subcommand_of(exchange.command, subcommand));
            }
            Detail::Control { code } => self.function = Some(function(*code)),
        }
    }

    fn name(&mut self, name: &'a [u8]) {
        self.filename = (!name.is_empty()).then_some(Text(name));
    }

    fn negotiate(&mut self, negotiate: &'a Negotiate<'_>) {
        let names = negotiate.names.iter().map(|name| Shown::Theirs(Text(name)));
        let revisions = negotiate.revisions.iter().map(|one| Shown::Ours(dialect(Dialect::Revision(*one))));
        self.client_dialects = names.chain(revisions).collect();
        self.client_guid = negotiate.client_guid.map(uuid);
        self.server_guid = negotiate.server_guid.map(uuid);
        self.max_read_size = negotiate.read_bytes_max;
        self.max_write_size = negotiate.write_bytes_max;
    }

    fn session_setup(&mut self, setup: &'a SessionSetup<'_>) {
        if setup.mechanism.is_some() {
            let version = setup.ntlm_version.map(|(major, minor, build)| format!("{major}.{minor} build {build}"));
            self.ntlmssp = Some(Ntlmssp {
                domain: Text(&setup.domain),
                user: Text(&setup.user),
                host: Text(&setup.workstation),
                version,
            });
        }
        self.request = native(&setup.native_os, &setup.native_lm);
        self.response = native(&setup.server_native_os, &setup.server_native_lm);
    }

    fn open(&mut self, open: &'a Open<'_>) {
        const OPTION_DELETE_ON_CLOSE: u32 = 0x1000;
        // An empty name is the root of the share.
        let name = Text(if open.name.is_empty() { b"<share_root>" } else { &open.name });
        match open.target {
            Target::File if open.is_directory => self.directory = Some(name),
            Target::File => self.filename = Some(name),
            Target::Pipe | Target::PipePath => {
                self.filename = Some(name);
                self.named_pipe = Some(name);
            }
        }
        self.share = (!open.share.is_empty()).then_some(Text(&open.share));
        self.disposition = open
            .disposition
            .map(|disposition| disposition.name().map_or_else(|| disposition.0.to_string(), str::to_owned));
        self.access =
            open.options.map(|options| if options & OPTION_DELETE_ON_CLOSE != 0 { DELETE_ON_CLOSE } else { NORMAL });
        if let Some(times) = open.times {
            let [created, accessed, modified, changed] = times.map(unix_seconds);
            (self.created, self.accessed, self.modified, self.changed) = (created, accessed, modified, changed);
        }
        self.size = open.file_bytes;
        self.fuid = open.file_id.map(uuid);
    }
}

const DELETE_ON_CLOSE: &str = "delete on close";
const NORMAL: &str = "normal";

fn native<'a>(os: &'a [u8], lm: &'a [u8]) -> Option<Native<'a>> {
    (!os.is_empty() || !lm.is_empty()).then_some(Native { native_os: Text(os), native_lm: Text(lm) })
}

fn set_info(info_level: String) -> SetInfo {
    SetInfo { class: "FILE_INFO", info_level }
}

fn share_type_name(share_type: ShareType) -> &'static str {
    match share_type {
        ShareType::Disk => "FILE",
        ShareType::Pipe => "PIPE",
        ShareType::Printer => "PRINT",
        ShareType::Unknown(_) => "UNKNOWN",
    }
}

fn dialect(dialect: Dialect) -> String {
    match dialect {
        Dialect::Named(name) => name.to_owned(),
        Dialect::Revision(0x02FF) => "2.??".to_owned(),
        Dialect::Revision(revision) => format!("{:x}.{:02x}", revision >> 8, revision & 0xFF),
    }
}

fn command(command: Command) -> String {
    match (command.name(), command) {
        (Some(name), _) => name.to_owned(),
        (None, Command::V1(code)) => format!("UNKNOWN_{code:02x}"),
        (None, Command::V2(code)) => format!("UNKNOWN_{code:04x}"),
    }
}

fn status_of(status: Status) -> (String, String) {
    match status {
        Status::Nt(code) => {
            let name = status.name().map_or_else(|| code.to_string(), str::to_owned);
            (name, format!("{code:#x}"))
        }
        Status::Dos { class: 0, .. } => ("SUCCESS".to_owned(), "0x0".to_owned()),
        Status::Dos { class, code } => (format!("UNKNOWN_{class:02x}_{code:04x}"), format!("0x{code:04x}")),
    }
}

/// MS-CIFS, 2.2.2.2.
fn subcommand_of(command: Command, subcommand: u16) -> String {
    let name = match (command, subcommand) {
        (Command::V1(0x25), 0x26) => "TRANS_TRANSACT_NMPIPE",
        (Command::V1(0x25), 0x53) => "TRANS_WAIT_NMPIPE",
        (Command::V1(0x25), 0x54) => "TRANS_CALL_NMPIPE",
        (Command::V1(0x32), 0x03) => "QUERY_FS_INFO",
        (Command::V1(0x32), 0x05) => "QUERY_PATH_INFO",
        (Command::V1(0x32), 0x06) => "SET_PATH_INFO",
        (Command::V1(0x32), 0x07) => "QUERY_FILE_INFO",
        (Command::V1(0x32), 0x08) => "SET_FILE_INFO",
        (Command::V1(0x32), 0x0D) => "CREATE_DIRECTORY",
        (Command::V1(0x32), 0x0E) => "SESSION_SETUP",
        (Command::V1(0x32), 0x10) => "GET_DFS_REFERRAL",
        (Command::V1(0xA0), 0x02) => "NT_TRANSACT_IOCTL",
        (Command::V1(0xA0), 0x04) => "NT_TRANSACT_NOTIFY_CHANGE",
        (Command::V1(0xA0), 0x05) => "NT_TRANSACT_RENAME",
        (Command::V1(0xA0), 0x06) => "NT_TRANSACT_QUERY_SECURITY_DESC",
        _ => return format!("UNKNOWN_{subcommand:04x}"),
    };
    name.to_owned()
}

/// MS-FSCC, 2.3, and MS-SMB2, 2.2.31.
fn function(code: u32) -> String {
    let name = match code {
        0x0006_0194 => "FSCTL_DFS_GET_REFERRALS",
        0x0006_01B0 => "FSCTL_DFS_GET_REFERRALS_EX",
        0x0009_0064 => "FSCTL_CREATE_OR_GET_OBJECT_ID",
        0x0009_00A4 => "FSCTL_SET_REPARSE_POINT",
        0x0009_00A8 => "FSCTL_GET_REPARSE_POINT",
        0x0011_0018 => "FSCTL_PIPE_WAIT",
        0x0011_400C => "FSCTL_PIPE_PEEK",
        0x0011_C017 => "FSCTL_PIPE_TRANSCEIVE",
        0x0014_0078 => "FSCTL_SRV_REQUEST_RESUME_KEY",
        0x0014_01D4 => "FSCTL_LMR_REQUEST_RESILIENCY",
        0x0014_01FC => "FSCTL_QUERY_NETWORK_INTERFACE_INFO",
        0x0014_0204 => "FSCTL_VALIDATE_NEGOTIATE_INFO",
        0x0014_4064 => "FSCTL_SRV_ENUMERATE_SNAPSHOTS",
        0x0014_40F2 => "FSCTL_SRV_COPYCHUNK",
        _ => return format!("{code:#x}"),
    };
    name.to_owned()
}

/// A FILETIME in seconds since 1970; none when it is before, or not set.
fn unix_seconds(filetime: u64) -> Option<u64> {
    const SECONDS_1601_TO_1970: u64 = 11_644_473_600;
    (filetime / 10_000_000).checked_sub(SECONDS_1601_TO_1970)
}

fn uuid(bytes: [u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

impl Dcerpc {
    fn of(rpc: &Rpc<'_>) -> Self {
        let kind = Some(rpc_kind(rpc.kind));
        let is_request = matches!(rpc.kind, 0 | 11 | 14 | 16 | 18 | 19);
        let (request, response) = if is_request { (kind, None) } else { (None, kind) };
        let stub = || Some(Stub { frag_cnt: 1, stub_data_size: rpc.stub_bytes });
        Self {
            request,
            response,
            opnum: rpc.operation,
            interfaces: rpc
                .interfaces
                .iter()
                .map(|one| Interface { uuid: uuid(one.uuid), version: format!("{}.{}", one.version.0, one.version.1) })
                .collect(),
            req: if rpc.kind == 0 { stub() } else { None },
            res: if rpc.kind == 2 { stub() } else { None },
            call_id: rpc.call_id,
        }
    }
}

/// C706, 12.6.4.
fn rpc_kind(kind: u8) -> String {
    let name = match kind {
        0 => "REQUEST",
        2 => "RESPONSE",
        3 => "FAULT",
        11 => "BIND",
        12 => "BINDACK",
        13 => "BINDNAK",
        14 => "ALTER_CONTEXT",
        15 => "ALTER_CONTEXT_RESP",
        16 => "AUTH3",
        17 => "SHUTDOWN",
        18 => "CO_CANCEL",
        19 => "ORPHANED",
        _ => return format!("UNKNOWN_{kind}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use komainu_decode::FileNumber;
    use komainu_decode::smb::{Disposition, Mechanism, NtlmMessage, RpcInterface};

    use super::*;

    fn check(event: &Event<'_>, expected: &str) {
        let [record] = &records(event)[..] else { panic!("one record") };
        assert_eq!((record.event_type, crate::eve::sorted(&record.body)), ("smb", expected.replace('\n', "")));
    }

    fn exchange(command: Command, status: u32, detail: Detail<'_>) -> Event<'_> {
        Event::Exchange(Exchange {
            command,
            status: Some(Status::Nt(status)),
            message_id: 3,
            session_id: 77,
            tree_id: 5,
            dialect: Some(Dialect::Revision(0x0311)),
            detail,
        })
    }

    #[test]
    fn a_negotiation() {
        let negotiate = Negotiate {
            names: vec![b"NT LM 0.12"[..].into()],
            revisions: vec![0x0202, 0x0311],
            server_guid: Some(*b"0123456789abcdef"),
            write_bytes_max: Some(65536),
            ..Negotiate::default()
        };
        check(
            &exchange(Command::V2(0), 0, Detail::Negotiate(Box::new(negotiate))),
            r#"{"client_dialects":["NT LM 0.12","2.02","3.11"],"command":"SMB2_COMMAND_NEGOTIATE_PROTOCOL",
"dialect":"3.11","max_write_size":65536,"server_guid":"30313233-3435-3637-3839-616263646566","session_id":77,
"status":"STATUS_SUCCESS","status_code":"0x0","tree_id":5}"#,
        );
    }

    #[test]
    fn a_login() {
        let setup = SessionSetup {
            ntlm: Some(NtlmMessage::Authenticate),
            mechanism: Some(Mechanism::Ntlmssp),
            user: b"ro\xffot"[..].into(),
            domain: b"WORK"[..].into(),
            native_os: b"Unix"[..].into(),
            ntlm_version: Some((6, 1, 7601)),
            ..SessionSetup::default()
        };
        check(
            &exchange(Command::V1(0x73), 0xC000_006D, Detail::SessionSetup(Box::new(setup))),
            r#"{"command":"SMB1_COMMAND_SESSION_SETUP_ANDX","dialect":"3.11",
"ntlmssp":{"domain":"WORK","host":"","user":"ro\\xffot","version":"6.1 build 7601"},
"request":{"native_lm":"","native_os":"Unix"},"session_id":77,"status":"STATUS_LOGON_FAILURE",
"status_code":"0xc000006d","tree_id":5}"#,
        );
    }

    #[test]
    fn a_share() {
        let connect = || Detail::TreeConnect {
            path: b"\\\\camera\\IPC$"[..].into(),
            service_asked: b"?????"[..].into(),
            service: b"IPC"[..].into(),
            share_type: Some(ShareType::Pipe),
        };
        check(
            &exchange(Command::V2(3), 0, connect()),
            r#"{"command":"SMB2_COMMAND_TREE_CONNECT","dialect":"3.11","named_pipe":"\\\\camera\\IPC$","session_id":77,
"share_type":"PIPE","status":"STATUS_SUCCESS","status_code":"0x0","tree_id":5}"#,
        );
        check(
            &exchange(Command::V1(0x75), 0, connect()),
            r#"{"command":"SMB1_COMMAND_TREE_CONNECT_ANDX","dialect":"3.11","named_pipe":"\\\\camera\\IPC$",
"service":{"request":"?????","response":"IPC"},"session_id":77,"status":"STATUS_SUCCESS","status_code":"0x0",
"tree_id":5}"#,
        );
    }

    #[test]
    fn an_opening() {
        let open = Open {
            share: b"\\\\camera\\IPC$"[..].into(),
            name: b"/share/notes.txt"[..].into(),
            target: Target::PipePath,
            disposition: Some(Disposition(1)),
            options: Some(0),
            ..Open::default()
        };
        check(
            &exchange(Command::V2(5), 0xC000_0034, Detail::Open(Box::new(open))),
            r#"{"access":"normal","command":"SMB2_COMMAND_CREATE","dialect":"3.11","disposition":"FILE_OPEN",
"filename":"/share/notes.txt","named_pipe":"/share/notes.txt","session_id":77,"share":"\\\\camera\\IPC$",
"status":"STATUS_OBJECT_NAME_NOT_FOUND","status_code":"0xc0000034","tree_id":5}"#,
        );
        let root = Open {
            is_directory: true,
            options: Some(0x1001),
            times: Some([116_444_736_020_000_000, 0, 0, 0]),
            file_id: Some([1; 16]),
            file_bytes: Some(4096),
            ..Open::default()
        };
        check(
            &exchange(Command::V2(5), 0, Detail::Open(Box::new(root))),
            r#"{"access":"delete on close","command":"SMB2_COMMAND_CREATE","created":2,"dialect":"3.11",
"directory":"<share_root>","fuid":"01010101-0101-0101-0101-010101010101","session_id":77,"size":4096,
"status":"STATUS_SUCCESS","status_code":"0x0","tree_id":5}"#,
        );
    }

    #[test]
    fn changes() {
        check(
            &exchange(Command::V2(17), 0, Detail::Rename { from: b"a"[..].into(), to: b"b"[..].into() }),
            r#"{"command":"SMB2_COMMAND_SET_INFO","dialect":"3.11","rename":{"from":"a","to":"b"},"session_id":77,
"set_info":{"class":"FILE_INFO","info_level":"SMB2_FILE_RENAME_INFO"},"status":"STATUS_SUCCESS","status_code":"0x0",
"tree_id":5}"#,
        );
        check(
            &exchange(Command::V2(17), 0, Detail::SetInfo { name: b"a"[..].into(), change: Change::Delete(true) }),
            r#"{"access":"delete on close","command":"SMB2_COMMAND_SET_INFO","dialect":"3.11","filename":"a",
"session_id":77,"set_info":{"class":"FILE_INFO","info_level":"SMB2_FILE_DISPOSITION_INFO"},
"status":"STATUS_SUCCESS","status_code":"0x0","tree_id":5}"#,
        );
        check(
            &exchange(Command::V1(0x32), 1, Detail::Transaction { subcommand: Some(0x0E), name: b""[..].into() }),
            r#"{"command":"SMB1_COMMAND_TRANS2","dialect":"3.11","session_id":77,"status":"1","status_code":"0x1",
"subcmd":"SESSION_SETUP","tree_id":5}"#,
        );
        check(
            &exchange(Command::V2(11), 0, Detail::Control { code: 0x0011_C017 }),
            r#"{"command":"SMB2_COMMAND_IOCTL","dialect":"3.11","function":"FSCTL_PIPE_TRANSCEIVE","session_id":77,
"status":"STATUS_SUCCESS","status_code":"0x0","tree_id":5}"#,
        );
    }

    #[test]
    fn a_call() {
        let uuid = [0x4b, 0x32, 0x4f, 0xc8, 0x16, 0x70, 0x01, 0xd3, 0x12, 0x78, 0x5a, 0x47, 0xbf, 0x6e, 0xe1, 0x88];
        let call = |kind, interfaces, operation, stub_bytes| {
            Event::Rpc(Rpc { kind, call_id: 1, pipe: b"srvsvc"[..].into(), interfaces, operation, stub_bytes })
        };
        check(
            &call(11, vec![RpcInterface { uuid, version: (3, 0) }], None, 0),
            r#"{"dcerpc":{"call_id":1,"interfaces":[{"uuid":"4b324fc8-1670-01d3-1278-5a47bf6ee188","version":"3.0"}],
"request":"BIND"},"named_pipe":"srvsvc"}"#,
        );
        check(
            &call(0, Vec::new(), Some(16), 32),
            r#"{"dcerpc":{"call_id":1,"opnum":16,"req":{"frag_cnt":1,"stub_data_size":32},"request":"REQUEST"},
"named_pipe":"srvsvc"}"#,
        );
        check(
            &call(2, Vec::new(), None, 144),
            r#"{"dcerpc":{"call_id":1,"res":{"frag_cnt":1,"stub_data_size":144},"response":"RESPONSE"},
"named_pipe":"srvsvc"}"#,
        );
    }

    #[test]
    fn what_carries_the_messages() {
        check(
            &Event::SessionRequest { called: b"*SMBSERVER"[..].into(), calling: b"HOST"[..].into() },
            r#"{"called":"*SMBSERVER","calling":"HOST","event":"session_request"}"#,
        );
        check(&Event::SessionAnswer { is_accepted: true }, r#"{"accepted":true,"event":"session_answer"}"#);
        check(&Event::Encrypted { session_id: 7 }, r#"{"event":"encrypted","session_id":7}"#);
        check(&Event::Compressed, r#"{"event":"compressed"}"#);
    }

    #[test]
    fn only_transfers_that_fail() {
        let write =
            |status| exchange(Command::V2(9), status, Detail::Write { file: Some(FileNumber(0)), offset: 0, bytes: 9 });
        assert_eq!(records(&write(0)).len(), 0);
        assert_eq!(records(&write(0xC000_007F)).len(), 1);
    }
}
