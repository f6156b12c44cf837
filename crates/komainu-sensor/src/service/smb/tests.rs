//! Conversations with the server, and what the decoder of the sensor's records makes of them.

use komainu_decode::smb::{Detail, Event, Reader, Target};
use komainu_decode::{Decoder, Fact, FileEvent, Place, Side};
use proptest::prelude::*;

use super::login::SessionKey;
use super::server::Broken;
use super::signing::{Preauth, Signer};
use super::wire::{Out, length_u16, length_u32, u16_at, u32_at, wide};
use super::*;
use crate::persona::Persona;
use crate::service::Service;

const NOW: i64 = 1_700_000_000_000_000;

fn recorder() -> Arc<Smb> {
    let persona = Persona::load("recorder").unwrap();
    let mut services = persona.doors().iter().filter_map(|door| match &door.service {
        Service::Smb(smb) => Some(smb.clone()),
        _ => None,
    });
    services.next().unwrap()
}

/// A persona with these lines behind `[smb]`; or what is wrong with it.
fn persona(lines: &str) -> Result<Arc<Smb>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    let head = "name = \"mine\"\ntype = \"nas\"\ncpu = \"armv7\"\nhost_name = \"mine\"\n";
    let account = "[[account]]\nuser = \"admin\"\npassword = \"Password\"\n";
    std::fs::write(&path, format!("{head}{account}[smb]\nports = [445]\n{lines}")).unwrap();
    let persona = Persona::load(path.to_str().unwrap()).map_err(|error| format!("{error:?}"))?;
    match &persona.doors()[0].service {
        Service::Smb(smb) => Ok(smb.clone()),
        other => panic!("{other:?}"),
    }
}

/// A client and the server, with a decoder beside them.
struct Talk {
    server: Server,
    reader: Reader,
    told: Vec<String>,
    written: Vec<u8>,
    session_id: u64,
    tree_id: u32,
    next_message: u64,
}

impl Talk {
    fn new(persona: Arc<Smb>) -> Self {
        let server = Server::new(persona, 1, NOW);
        let (told, written) = (Vec::new(), Vec::new());
        Self { server, reader: Reader::default(), told, written, session_id: 0, tree_id: 0, next_message: 0 }
    }

    /// With a login as a guest and a share.
    fn on(share: &str) -> Self {
        let mut talk = Self::new(recorder());
        talk.negotiate(&[0x0311]);
        assert_eq!(talk.log_in(), 0);
        assert_eq!(talk.connect(share), 0);
        talk
    }

    /// Says a message and gives back the answer, both without the header of the session service.
    fn say(&mut self, message: &[u8]) -> Vec<u8> {
        let said = [&length_u32(message.len()).to_be_bytes()[..], message].concat();
        self.read(Side::Client, &said);
        self.server.take(&said);
        let answer = self.server.turn(NOW).unwrap().unwrap();
        self.read(Side::Server, &answer);
        assert_eq!(self.server.turn(NOW), None);
        answer.get(4..).unwrap_or_default().to_vec()
    }

    fn read(&mut self, side: Side, bytes: &[u8]) {
        let (told, written) = (&mut self.told, &mut self.written);
        self.reader.data(side, bytes, &mut |_: Place, fact: Fact<'_>| match fact {
            Fact::File(FileEvent::Part { bytes, .. }) => written.extend_from_slice(bytes),
            Fact::File(FileEvent::Begin { name, via, .. }) => {
                told.push(format!("{via:?} {}", String::from_utf8_lossy(name)));
            }
            Fact::Smb(Event::Exchange(exchange)) => match exchange.detail {
                Detail::TreeConnect { path, .. } => told.push(format!("tree {}", String::from_utf8_lossy(&path))),
                Detail::Open(open) if open.target != Target::File => {
                    let name = String::from_utf8_lossy(&open.name).into_owned();
                    told.push(format!("{:?} {name} {:?}", open.target, exchange.status.unwrap()));
                }
                _ => {}
            },
            Fact::Login(login) => told.push(format!("login {:?}", login.accepted)),
            Fact::Oddity(oddity) => told.push(format!("odd: {}", oddity.what)),
            _ => {}
        });
    }

    /// Says a request of SMB2; gives back the status and the body of the answer.
    fn ask(&mut self, command: u16, body: &[u8]) -> (u32, Vec<u8>) {
        let request = self.request(command, 0, body);
        let answer = self.say(&request);
        self.session_id = u64::from_le_bytes(answer[40..48].try_into().unwrap());
        self.tree_id = u32_at(&answer, 36).unwrap();
        (u32_at(&answer, 8).unwrap(), answer[64..].to_vec())
    }

    fn request(&mut self, command: u16, flags: u32, body: &[u8]) -> Vec<u8> {
        let mut out = Out::new();
        out.bytes(b"\xFESMB").u16(64).u16(1).u32(0).u16(command).u16(10).u32(flags).u32(0);
        out.u64(self.next_message).u32(0).u32(self.tree_id).u64(self.session_id).zeros(16).bytes(body);
        self.next_message += 1;
        out.take()
    }

    fn negotiate(&mut self, dialects: &[u16]) -> (u32, u16) {
        let mut body = Out::new();
        body.u16(36).u16(length_u16(dialects.len())).zeros(32);
        for dialect in dialects {
            body.u16(*dialect);
        }
        let (status, answer) = self.ask(0, body.as_slice());
        (status, u16_at(&answer, 4).unwrap_or(0))
    }

    /// Logs in as `user` without a password.
    fn log_in(&mut self) -> u32 {
        let (status, answer) = self.ask(1, &session_setup(b"NTLMSSP\0\x01\0\0\0\x05\x02\0\0"));
        assert_eq!(status, 0xC000_0016);
        assert!(answer.windows(12).any(|part| part == b"NTLMSSP\0\x02\0\0\0"), "a challenge");
        let user = wide("user");
        let mut message = Out::new();
        message.bytes(b"NTLMSSP\0").u32(3).zeros(8).u16(1).u16(1).u32(64).zeros(8);
        message.u16(length_u16(user.len())).u16(0).u32(65).zeros(16).u32(1).u8(7).bytes(&user);
        self.ask(1, &session_setup(message.as_slice())).0
    }

    fn connect(&mut self, share: &str) -> u32 {
        self.ask(3, &tree_connect(share)).0
    }

    /// Opens; gives back the status and the FileId.
    fn create(&mut self, name: &str, disposition: u32, options: u32) -> (u32, Vec<u8>) {
        let (status, answer) = self.ask(5, &create(name, disposition, options));
        (status, answer.get(64..80).unwrap_or_default().to_vec())
    }

    fn write(&mut self, file: &[u8], offset: u64, bytes: &[u8]) -> u32 {
        let mut body = Out::new();
        body.u16(49).u16(112).u32(length_u32(bytes.len())).u64(offset).bytes(file).zeros(16).bytes(bytes);
        self.ask(9, body.as_slice()).0
    }

    fn read_file(&mut self, file: &[u8], offset: u64, count: u32) -> (u32, Vec<u8>) {
        let mut body = Out::new();
        body.u16(49).u16(0).u32(count).u64(offset).bytes(file).zeros(17);
        let (status, answer) = self.ask(8, body.as_slice());
        (status, answer.get(16..).unwrap_or_default().to_vec())
    }

    fn close(&mut self, file: &[u8]) -> u32 {
        let mut body = Out::new();
        body.u16(24).u16(0).u32(0).bytes(file);
        self.ask(6, body.as_slice()).0
    }

    fn set(&mut self, file: &[u8], class: u8, value: &[u8]) -> u32 {
        let mut body = Out::new();
        body.u16(33).u8(1).u8(class).u32(length_u32(value.len())).u16(96).u16(0).u32(0).bytes(file).bytes(value);
        self.ask(17, body.as_slice()).0
    }

    /// The names in a directory; `again` begins anew.
    fn list(&mut self, directory: &[u8], pattern: &str) -> Result<Vec<String>, u32> {
        let pattern = wide(pattern);
        let mut body = Out::new();
        body.u16(33).u8(12).u8(1).u32(0).bytes(directory).u16(96).u16(length_u16(pattern.len())).u32(65_536);
        let (status, answer) = self.ask(14, body.bytes(&pattern).as_slice());
        if status != 0 {
            return Err(status);
        }
        let mut names = Vec::new();
        let mut at = 8;
        loop {
            let length = u32_at(&answer, at + 8).unwrap() as usize;
            names.push(wire::text_of_wide(&answer[at + 12..at + 12 + length]));
            match u32_at(&answer, at).unwrap() as usize {
                0 => return Ok(names),
                next => at += next,
            }
        }
    }
}

fn tree_connect(share: &str) -> Vec<u8> {
    let path = wide(&format!("\\\\server\\{share}"));
    let mut body = Out::new();
    body.u16(9).u16(0).u16(72).u16(length_u16(path.len())).bytes(&path);
    body.take()
}

fn session_setup(blob: &[u8]) -> Vec<u8> {
    let mut body = Out::new();
    body.u16(25).zeros(10).u16(88).u16(length_u16(blob.len())).u64(0).bytes(blob);
    body.take()
}

fn create(name: &str, disposition: u32, options: u32) -> Vec<u8> {
    let name = wide(name);
    let mut body = Out::new();
    body.u16(57).zeros(22).u32(0x0012_019F).u32(0).u32(7).u32(disposition).u32(options);
    body.u16(120).u16(length_u16(name.len())).zeros(8).bytes(&name);
    body.take()
}

const OPEN: u32 = 1;
const MAKE: u32 = 2;
const OVERWRITE_IF: u32 = 5;
const DIRECTORY: u32 = 1;

#[test]
fn the_newest_dialect_that_both_know() {
    let check = |dialect_max: &str, offered: &[u16], expected: (u32, u16)| {
        let persona = persona(&format!("dialect_max = \"{dialect_max}\"\n")).unwrap();
        assert_eq!(Talk::new(persona).negotiate(offered), expected, "{dialect_max} {offered:x?}");
    };
    let all = [0x0202, 0x0210, 0x0300, 0x0302, 0x0311];
    check("3.1.1", &all, (0, 0x0311));
    check("3.0", &all, (0, 0x0300));
    check("2.1", &all, (0, 0x0210));
    check("2.0.2", &all, (0, 0x0202));
    check("2.0.2", &[0x0311], (0xC000_00BB, 0));
    check("3.1.1", &[], (0xC000_00BB, 0));
}

#[test]
fn a_file_is_left_and_taken_again() {
    let mut talk = Talk::on("HDD");
    let (status, file) = talk.create("new.txt", OVERWRITE_IF, 0);
    assert_eq!(status, 0);
    assert_eq!(talk.write(&file, 0, b"hello "), 0);
    assert_eq!(talk.write(&file, 6, b"world"), 0);
    assert_eq!(talk.read_file(&file, 0, 100), (0, b"hello world".to_vec()));
    assert_eq!(talk.read_file(&file, 6, 3), (0, b"wor".to_vec()));
    assert_eq!(talk.read_file(&file, 11, 1).0, 0xC000_0011);
    assert_eq!(talk.read_file(&file, 0, 65_537).0, 0xC000_000D, "more than was offered");
    assert_eq!(talk.close(&file), 0);
    assert_eq!(talk.close(&file), 0xC000_0128);
    let expected = ["login Some(true)", "tree \\\\server\\HDD", "SmbWrite new.txt", "SmbRead new.txt"];
    let told: Vec<&str> = talk.told.iter().map(String::as_str).collect();
    assert!(told.ends_with(&expected[1..]), "{told:?}");
    assert!(!told.iter().any(|line| line.starts_with("odd")), "{told:?}");
    assert!(talk.written.starts_with(b"hello world"), "the decoder has it as it was written");
}

#[test]
fn names_are_changed_and_deleted() {
    let mut talk = Talk::on("hdd");
    let (_, root) = talk.create("", OPEN, DIRECTORY);
    let (_, folder) = talk.create("Folder", MAKE, DIRECTORY);
    let (_, file) = talk.create("a.txt", MAKE, 0);
    let rename = |name: &str| {
        let name = wide(name);
        let mut value = Out::new();
        value.zeros(16).u32(length_u32(name.len())).bytes(&name);
        value.take()
    };
    assert_eq!(talk.set(&file, 10, &rename("readme.txt")), 0xC000_0035, "it is there");
    assert_eq!(talk.set(&file, 10, &rename("folder\\b.txt")), 0, "case does not count");
    assert_eq!(talk.set(&folder, 10, &rename("folder\\deeper")), 0xC000_000D, "not into itself");
    assert_eq!(talk.list(&root, "*").unwrap(), [".", "..", "readme.txt", "Folder"]);
    assert_eq!(talk.list(&folder, "b*").unwrap(), ["b.txt"]);
    assert_eq!(talk.set(&folder, 13, &[1]), 0xC000_0101, "not empty");
    assert_eq!(talk.set(&file, 13, &[1]), 0);
    assert_eq!(talk.create("folder\\b.txt", OPEN, 0).0, 0xC000_0056, "it goes away");
    assert_eq!(talk.close(&file), 0);
    assert_eq!(talk.create("folder\\b.txt", OPEN, 0).0, 0xC000_0034);
    assert_eq!(talk.list(&folder, "b*"), Err(0xC000_000F));
    assert_eq!(talk.set(&root, 13, &[1]), 0xC000_0121);
}

#[test]
fn what_cannot_be_opened() {
    let check = |name: &str, disposition: u32, options: u32, expected: u32| {
        assert_eq!(Talk::on("hdd").create(name, disposition, options).0, expected, "{name}");
    };
    check("gone.txt", OPEN, 0, 0xC000_0034);
    check("gone\\a.txt", MAKE, 0, 0xC000_003A);
    check("..\\etc\\passwd", OPEN, 0, 0xC000_003B);
    check("readme.txt", MAKE, 0, 0xC000_0035);
    check("readme.txt", OPEN, DIRECTORY, 0xC000_0103);
    check("readme.txt\\a", MAKE, 0, 0xC000_003A);
    check("readme.txt:stream", MAKE, 0, 0xC000_0033);
    check("a*", MAKE, 0, 0xC000_0033);
    check("", OPEN, 0x40, 0xC000_00BA);
    check(&"a".repeat(256), MAKE, 0, 0xC000_0033);
    check(&"a\\".repeat(1000), MAKE, 0, 0xC000_003A);
    check("readme.txt", 6, 0, 0xC000_000D);
}

#[test]
fn a_share_that_is_not_writable() {
    let lines = "[[smb.share]]\nname = \"d\"\npath = \"/d\"\n[[smb.share.file]]\nname = \"a\"\nbody = \"b\"\n";
    let mut talk = Talk::new(persona(lines).unwrap());
    talk.negotiate(&[0x0202]);
    talk.log_in();
    assert_eq!(talk.connect("nothing"), 0xC000_00CC);
    assert_eq!(talk.connect("d"), 0);
    assert_eq!(talk.create("new", MAKE, 0).0, 0xC000_0022);
    assert_eq!(talk.create("a", OPEN, 0).0, 0xC000_0022, "to write");
    let mut body = create("a", OPEN, 0);
    body[24..28].copy_from_slice(&1_u32.to_le_bytes());
    let (status, answer) = talk.ask(5, &body);
    assert_eq!(status, 0);
    let file = &answer[64..80];
    assert_eq!(talk.read_file(file, 0, 10), (0, b"b".to_vec()));
    assert_eq!(talk.write(file, 0, b"c"), 0xC000_0022);
    assert_eq!(talk.set(file, 13, &[1]), 0xC000_0022);
}

#[test]
fn a_path_on_the_share_of_pipes_is_not_found_and_told() {
    let mut talk = Talk::on("IPC$");
    assert_eq!(talk.create("srvsvc", OPEN, 0).0, 0);
    assert_eq!(talk.create("/mnt/hdd/share/notes.txt", OPEN, 0).0, 0xC000_0034);
    let told = &talk.told[talk.told.len() - 2..];
    let expected = ["Pipe srvsvc Nt(0)", "PipePath /mnt/hdd/share/notes.txt Nt(3221225524)"];
    assert_eq!(told, expected);
}

#[test]
fn a_chain_goes_on_with_its_file() {
    let mut talk = Talk::on("hdd");
    let mut chain = Vec::new();
    let last = {
        let mut body = Out::new();
        body.u16(24).u16(0).u32(0).bytes(&[0xFF; 16]);
        body.take()
    };
    let write = |bytes: &[u8]| {
        let mut body = Out::new();
        body.u16(49).u16(112).u32(length_u32(bytes.len())).u64(0).bytes(&[0xFF; 16]).zeros(16).bytes(bytes);
        body.take()
    };
    let requests = [(5, 0, create("c.txt", MAKE, 0)), (9, 4, write(b"chained")), (6, 4, last)];
    for (index, (command, flags, body)) in requests.iter().enumerate() {
        let mut request = talk.request(*command, *flags, body);
        if index + 1 < requests.len() {
            request.resize(request.len().next_multiple_of(8), 0);
            let next = length_u32(request.len()).to_le_bytes();
            request[20..24].copy_from_slice(&next);
        }
        chain.extend(request);
    }
    let answer = talk.say(&chain);
    let mut at = 0;
    let mut statuses = Vec::new();
    loop {
        statuses.push((u16_at(&answer, at + 12).unwrap(), u32_at(&answer, at + 8).unwrap()));
        match u32_at(&answer, at + 20).unwrap() as usize {
            0 => break,
            next => at += next,
        }
    }
    assert_eq!(statuses, [(5, 0), (9, 0), (6, 0)]);
    assert_eq!(talk.written, b"chained");
    // Where the first fails, the others do.
    assert_eq!(u32_at(&talk.say(&chain), 8).unwrap(), 0xC000_0035);
}

#[test]
fn everything_has_a_bound() {
    let mut talk = Talk::on("hdd");
    let mut made = 0;
    loop {
        let (status, file) = talk.create(&format!("f{made}"), MAKE, 0);
        if status != 0 {
            assert_eq!((made, status), (64, 0xC000_007F), "files");
            break;
        }
        talk.close(&file);
        made += 1;
    }
    let (_, file) = talk.create("f0", OPEN, 0);
    assert_eq!(talk.write(&file, (32 << 20) - 1, b"x"), 0);
    assert_eq!(talk.write(&file, 32 << 20, b"x"), 0xC000_007F, "bytes of a file");
    assert_eq!(talk.write(&file, u64::MAX, b"x"), 0xC000_007F);
    assert_eq!(talk.set(&file, 20, &u64::MAX.to_le_bytes()), 0xC000_007F);
    let opened = (0..100).filter(|_| talk.create("f1", OPEN, 0).0 == 0).count();
    assert_eq!(opened, 63, "open files");
    let connected = (0..100).filter(|_| talk.connect("hdd") == 0).count();
    assert_eq!(connected, 31, "shares");
    // A message that is longer than the session service can say ends the conversation.
    talk.server.take(&[0, 0x02, 0, 0]);
    assert_eq!(talk.server.turn(NOW), Some(Err(Broken)));
}

#[test]
fn what_is_not_kept_reads_as_zeros_and_has_its_size() {
    let persona = recorder();
    let mut talk = Talk::new(persona.clone());
    talk.negotiate(&[0x0210]);
    talk.log_in();
    talk.connect("hdd");
    let (_, file) = talk.create("big", MAKE, 0);
    let piece = vec![7; 64 * 1024];
    for index in 0..(20 << 20) / piece.len() as u64 {
        assert_eq!(talk.write(&file, index * piece.len() as u64, &piece), 0);
    }
    assert_eq!(talk.read_file(&file, (16 << 20) - 1, 2), (0, vec![7, 0]));
    assert_eq!(talk.read_file(&file, (20 << 20) - 1, 10), (0, vec![0]));
    // What is cut off can be used again.
    assert_eq!(talk.set(&file, 20, &5_u64.to_le_bytes()), 0);
    assert_eq!(talk.write(&file, 10, b"x"), 0);
    assert_eq!(talk.read_file(&file, 0, 100), (0, b"\x07\x07\x07\x07\x07\0\0\0\0\0x".to_vec()));
    let left = |persona: &Smb| format!("{:?}", persona.memory);
    let full = format!("{:?}", Memory::new(MEMORY_BYTES_MAX));
    assert_ne!(left(&persona), full);
    drop(talk);
    assert_eq!(left(&persona), full, "a connection that is over gives its memory back");
}

#[test]
fn without_guests_a_password_must_be_known() {
    let mut talk = Talk::new(persona("guest = false\n").unwrap());
    talk.negotiate(&[0x0311]);
    assert_eq!(talk.log_in(), 0xC000_006D);
    talk.session_id = 1;
    assert_eq!(talk.connect("IPC$"), 0xC000_0203);
}

#[test]
fn mistakes_of_a_persona_are_told() {
    let check = |lines: &str, expected: &str| {
        let told = persona(lines).unwrap_err();
        assert!(told.contains(expected), "{lines}: {told}");
    };
    check("server_name = \"a-name-that-is-too-long\"\n", "smb.server_name");
    check("dialect_max = \"4\"\n", "dialect_max");
    let share = "[[smb.share]]\nname = \"a\"\npath = \"/a\"\n";
    check(&format!("{share}{share}"), "smb.share[1].name");
    check("[[smb.share]]\nname = \"ipc$\"\npath = \"/a\"\n", "smb.share[0].name");
    check("[[smb.share]]\nname = \"a\"\npath = \"a\"\n", "smb.share[0].path");
    check(&format!("{share}[[smb.share.file]]\nname = \"a/b\"\nbody = \"\"\n"), "smb.share[0].file[0].name");
    check(&format!("{share}[[smb.share.file]]\nname = \"a\"\n"), "neither");
}

/// A message of SMB1 that logs in without a name and says what follows.
fn v1(command: u8, words: &[u8], bytes: &[u8], user_id: u16, tree_id: u16) -> Vec<u8> {
    let mut out = Out::new();
    out.bytes(b"\xFFSMB").u8(command).u32(0).u8(0x18).u16(0x4001).zeros(12).u16(tree_id).u16(9).u16(user_id).u16(1);
    out.u8((words.len() / 2) as u8).bytes(words).u16(length_u16(bytes.len())).bytes(bytes);
    out.take()
}

#[test]
fn an_old_client_logs_in_and_leaves_a_file() {
    let mut talk = Talk::new(recorder());
    let answer = talk.say(&v1(0x72, &[], b"\x02LANMAN1.0\0\x02NT LM 0.12\0", 0, 0));
    assert_eq!((u16_at(&answer, 33), answer[32]), (Some(1), 17), "the second dialect");
    let mut words = Out::new();
    words.u16(0xFF).u16(0).u16(0xFFFF).u16(2).u16(0).u32(0).u16(0).u16(0).u32(0).u32(0x54);
    let answer = talk.say(&v1(0x73, words.as_slice(), b"\0\0Unix\0Samba\0", 0, 0));
    let user_id = u16_at(&answer, 28).unwrap();
    assert_eq!((u32_at(&answer, 5), u16_at(&answer, 37)), (Some(0), Some(1)), "a guest");
    assert!(answer.ends_with(b"Unix\0Samba 3.6.25\0WORKGROUP\0"));
    let mut words = Out::new();
    words.u16(0xFF).u16(0).u16(0).u16(1);
    let answer = talk.say(&v1(0x75, words.as_slice(), b"\0\\\\server\\HDD\0?????\0", user_id, 0));
    let tree_id = u16_at(&answer, 24).unwrap();
    assert!(answer.ends_with(b"A:\0NTFS\0"));
    let mut words = Out::new();
    words.u16(0xFF).u16(0).u8(0).u16(6).u32(0).u32(0).u32(0x0012_019F).u64(0).u32(0).u32(7).u32(5).u32(0).u32(2).u8(0);
    let answer = talk.say(&v1(0xA2, words.as_slice(), b"\\a.txt\0", user_id, tree_id));
    assert_eq!(u32_at(&answer, 5), Some(0));
    let file = u16_at(&answer, 38).unwrap();
    let mut words = Out::new();
    words.u16(0xFF).u16(0).u16(file).u32(0).u32(0).u16(0).u16(0).u16(0).u16(5).u16(59);
    let answer = talk.say(&v1(0x2F, words.as_slice(), b"hello", user_id, tree_id));
    assert_eq!((u32_at(&answer, 5), u16_at(&answer, 37)), (Some(0), Some(5)));
    let mut words = Out::new();
    words.u16(0xFF).u16(0).u16(file).u32(1).u16(100).u16(0).u32(0).u16(0);
    let answer = talk.say(&v1(0x2E, words.as_slice(), b"", user_id, tree_id));
    assert!(answer.ends_with(b"ello"));
    assert_eq!(talk.written, b"helloello", "written, then read");
    let answer = talk.say(&v1(0x06, &[0, 0], b"\x04\\a.txt\0", user_id, tree_id));
    assert_eq!(u32_at(&answer, 5), Some(0));
    let answer = talk.say(&v1(0x10, &[], b"\x04\\a.txt\0", user_id, tree_id));
    assert_eq!(u32_at(&answer, 5), Some(0xC000_0034));
    assert!(!talk.told.iter().any(|line| line.starts_with("odd")), "{:?}", talk.told);
}

#[test]
fn the_session_service_is_granted() {
    let mut server = Server::new(recorder(), 1, NOW);
    let request = [&[0x81, 0, 0, 68][..], &[b' '; 68]].concat();
    server.take(&request[..30]);
    assert_eq!(server.turn(NOW), None);
    server.take(&request[30..]);
    assert_eq!(server.turn(NOW), Some(Ok(vec![0x82, 0, 0, 0])));
    server.take(b"\0\0\0\x04GET ");
    assert_eq!(server.turn(NOW), Some(Err(Broken)));
}

/// What real clients said to a persona: smbclient 4.17 in two dialects, which leaves a file of five bytes, and rpcclient.
const RECORDED: [&[u8]; 3] = [
    include_bytes!("../../../../../fuzz/seeds/smb_server/smbclient_smb3"),
    include_bytes!("../../../../../fuzz/seeds/smb_server/smbclient_smb1"),
    include_bytes!("../../../../../fuzz/seeds/smb_server/rpcclient"),
];

#[test]
fn recorded_clients_are_served_again() {
    let check = |said: &[u8], file: &str, name: &[u8]| {
        let answers = check_conversation(&recorder(), said, 3);
        let mut talk = Talk::new(recorder());
        let mut rest = said;
        while let [0, high, middle, low, ..] = *rest {
            let length = u32::from_be_bytes([0, high, middle, low]) as usize;
            talk.say(&rest[4..4 + length]);
            rest = &rest[4 + length..];
        }
        assert!(!talk.told.iter().any(|line| line.starts_with("odd")), "{:?}", talk.told);
        assert_eq!(talk.told.iter().any(|line| line == file), !file.is_empty(), "{:?}", talk.told);
        assert!(answers.windows(name.len()).any(|part| part == name));
    };
    let [smb3, smb1, rpc] = RECORDED;
    check(smb3, "SmbWrite h.txt", b"hello");
    check(smb1, "SmbWrite \\h.txt", b"hello");
    check(rpc, "", &wide("C:\\mnt\\hdd\\share"));
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces(
        which in 0..RECORDED.len(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..12),
        size in 1_usize..400,
        tail in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut said = RECORDED[which].to_vec();
        said.extend(tail);
        for (at, byte) in changes {
            let at = at.index(said.len());
            said[at] = byte;
        }
        let answers = check_conversation(&recorder(), &said, size);
        // The records are made of both sides.
        let mut reader = Reader::default();
        let mut nobody = |_: Place, _: Fact<'_>| {};
        reader.data(Side::Client, &said, &mut nobody);
        reader.data(Side::Server, &answers, &mut nobody);
        reader.end(&mut nobody);
    }

    #[test]
    fn any_command_of_smb1(
        command in any::<u8>(),
        words in proptest::collection::vec(any::<u8>(), 0..100),
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut setup = Out::new();
        setup.u16(0xFF).u16(0).u16(0xFFFF).u16(2).u16(0).u32(0).u16(0).u16(0).u32(0).u32(0x54);
        let mut tree = Out::new();
        tree.u16(0xFF).u16(0).u16(0).u16(1);
        let even = &words[..words.len() & !1];
        let said = [
            v1(0x72, &[], b"\x02NT LM 0.12\0", 0, 0),
            v1(0x73, setup.as_slice(), b"\0\0\0\0", 0, 0),
            v1(0x75, tree.as_slice(), b"\0\\\\server\\HDD\0?????\0", 1, 0),
            v1(command, even, &bytes, 1, 2),
        ];
        let said = said.map(|message| [&length_u32(message.len()).to_be_bytes()[..], &message].concat()).concat();
        check_conversation(&recorder(), &said, 7);
    }
}

#[test]
fn whoever_insists_on_signed_messages_gets_and_sends_no_others() {
    const SIGNED: u32 = 8;
    const ACCESS_DENIED: u32 = 0xC000_0022;
    let signer = Signer::new(Dialect::V210, &SessionKey([3; 16]), &Preauth::default());
    let mut talk = Talk::new(recorder());
    talk.negotiate(&[0x0210]);
    let id = talk.server.begin_session().unwrap().into();
    talk.server.let_in(id);
    let session = talk.server.session_mut(id).unwrap();
    (session.signer, session.must_sign) = (Some(signer.clone()), true);
    talk.session_id = id;
    assert_eq!(talk.connect("hdd"), ACCESS_DENIED, "a request that is not signed");
    let mut request = talk.request(3, SIGNED, &tree_connect("hdd"));
    signer.sign(&mut request);
    let answer = talk.say(&request);
    assert_eq!((u32_at(&answer, 8), u32_at(&answer, 16).map(|flags| flags & SIGNED)), (Some(0), Some(SIGNED)));
    assert!(signer.has_signed(&answer));
    *request.last_mut().unwrap() ^= 1;
    assert_eq!(u32_at(&talk.say(&request), 8), Some(ACCESS_DENIED), "a request that somebody has changed");
}
