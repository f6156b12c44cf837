//! A Redis server without a password (RESP, version 2), as droppers look for: they have it write what they set into a
//! file of the system, by its own means of saving.
//!
//! [`Dialogue`] is the whole of it without sockets: bytes in, [`Step`]s out.

mod request;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use komainu_decode::FileVia;
use serde::Deserialize;

use self::request::{Taken, take};
use crate::link::Link;
use crate::persona::{Device, PersonaError};
use crate::service::upload::Record;
use crate::session::Ending;
use crate::shell::{ShellEvent, join, note_of};

/// Keys of one connection. A further one is not kept.
const KEYS_MAX: usize = 1_024;

/// What keys and values of one connection hold, in bytes. What is beyond is answered as if memory were full.
const DATA_BYTES_MAX: usize = 4 << 20;

/// Settings of one connection that were changed. Droppers change two.
const SETTINGS_MAX: usize = 64;

/// The longest name and value of a setting, in bytes.
const SETTING_BYTES_MAX: usize = 4_096;

/// Times that a connection has its keys saved as an artifact. More are answered only.
const SAVES_MAX: u32 = 32;

/// What the server says when its memory is full.
const OUT_OF_MEMORY: &str = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";

/// A server of keys and values.
#[derive(Debug)]
pub(crate) struct Redis {
    version: String,
    /// Clients are let in with it; none asks for none.
    password: Option<String>,
    kernel: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedisText {
    pub(crate) ports: Vec<u16>,
    #[serde(default = "version")]
    version: String,
    password: Option<String>,
}

fn version() -> String {
    "5.0.7".into()
}

impl Redis {
    /// Checks what a persona says; `at` is where it says it.
    pub(crate) fn check(text: RedisText, at: &str, device: &Device<'_>) -> Result<Self, PersonaError> {
        if text.version.is_empty() || !text.version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(device.wrong(format!("{at}.version"), "must be numbers and points"));
        }
        Ok(Self { version: text.version, password: text.password, kernel: device.machine.kernel.clone() })
    }
}

/// Speaks with a client until the connection ends.
pub(crate) async fn serve(link: &mut Link, persona: &Arc<Redis>, seed: u64) -> Ending {
    let mut dialogue = Dialogue::new(persona.clone(), seed);
    loop {
        let bytes = match link.read().await {
            Ok(bytes) => bytes,
            Err(ending) => return ending,
        };
        dialogue.waiting.extend_from_slice(&bytes);
        while let Some(step) = dialogue.step(link.age().as_secs()) {
            for record in step.records {
                record.write(link);
            }
            match link.write(&step.reply).await {
                Err(ending) => return ending,
                Ok(()) if step.is_last => return Ending::Closed,
                Ok(()) => {}
            }
        }
    }
}

/// Says requests to a server.
#[cfg(fuzzing)]
pub(crate) fn check_bytes(persona: &Arc<Redis>, bytes: &[u8]) {
    let whole = told(persona, bytes, bytes.len().max(1));
    assert_eq!(told(persona, bytes, 3), whole, "cutting changes nothing");
}

/// What is answered to requests in pieces of `size` bytes, and what is recorded.
#[cfg(fuzzing)]
fn told(persona: &Arc<Redis>, bytes: &[u8], size: usize) -> (Vec<u8>, Vec<Record>) {
    let mut dialogue = Dialogue::new(persona.clone(), 1);
    let (mut reply, mut records) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(size) {
        dialogue.waiting.extend_from_slice(piece);
        while let Some(step) = dialogue.step(0) {
            reply.extend(step.reply);
            records.extend(step.records);
            let Dialogue { keys, held, settings, .. } = &dialogue;
            assert_eq!(keys.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>(), *held);
            assert!(*held <= DATA_BYTES_MAX && keys.len() <= KEYS_MAX && settings.len() <= SETTINGS_MAX);
            if step.is_last {
                return (reply, records);
            }
        }
    }
    (reply, records)
}

/// What follows from some requests.
#[derive(Debug, Default)]
struct Step {
    reply: Vec<u8>,
    records: Vec<Record>,
    is_last: bool,
}

/// A connection.
struct Dialogue {
    persona: Arc<Redis>,
    seed: u64,
    waiting: Vec<u8>,
    /// There is nothing new to see in it before it has so many bytes.
    needed: usize,
    is_in: bool,
    keys: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What the keys hold, in bytes.
    held: usize,
    settings: BTreeMap<Vec<u8>, Vec<u8>>,
    saves: u32,
    files: u32,
}

impl Dialogue {
    fn new(persona: Arc<Redis>, seed: u64) -> Self {
        let is_in = persona.password.is_none();
        let settings = [
            ("appendonly", "no"),
            ("databases", "16"),
            ("dbfilename", "dump.rdb"),
            ("dir", "/var/lib/redis"),
            ("maxmemory", "0"),
            ("protected-mode", "no"),
            ("rdbcompression", "yes"),
            ("save", "900 1 300 10 60 10000"),
            ("slave-read-only", "yes"),
        ];
        let settings = settings.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let (waiting, keys) = (Vec::new(), BTreeMap::new());
        Self { persona, seed, waiting, needed: 1, is_in, keys, held: 0, settings, saves: 0, files: 0 }
    }

    /// Answers the requests that are whole, as many as make a reply of some size or one file; none when there is none.
    fn step(&mut self, now_s: u64) -> Option<Step> {
        if self.waiting.len() < self.needed {
            return None;
        }
        self.needed = 1;
        let mut waiting = std::mem::take(&mut self.waiting);
        let (mut rest, mut step) = (waiting.as_slice(), Step::default());
        // A file is as large as all keys together, and a few bytes ask for it.
        let files = self.files;
        while !step.is_last && step.reply.len() < request::BULK_BYTES_MAX && self.files == files {
            match take(rest) {
                Taken::More { bytes } => {
                    self.needed = bytes;
                    break;
                }
                Taken::Broken(why) => {
                    step.reply.extend_from_slice(format!("-ERR Protocol error: {why}\r\n").as_bytes());
                    step.is_last = true;
                }
                Taken::Request { words, used } => {
                    rest = &rest[used..];
                    if !words.is_empty() {
                        let words: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
                        self.request(&words, now_s, &mut step);
                    }
                }
            }
        }
        let used = waiting.len() - rest.len();
        let has_effect = used > 0 || step.is_last;
        waiting.drain(..used);
        self.waiting = waiting;
        has_effect.then_some(step)
    }

    fn request(&mut self, words: &[&[u8]], now_s: u64, step: &mut Step) {
        let [name, arguments @ ..] = words else { return };
        let out = &mut step.reply;
        let upper = name.to_ascii_uppercase();
        match (upper.as_slice(), arguments) {
            (b"AUTH", [.., password]) => match &self.persona.password {
                None => say(out, "-ERR Client sent AUTH, but no password is set\r\n"),
                Some(known) if known.as_bytes() == *password => {
                    self.is_in = true;
                    say(out, "+OK\r\n");
                }
                Some(_) => say(out, "-ERR invalid password\r\n"),
            },
            (b"QUIT", _) => {
                say(out, "+OK\r\n");
                step.is_last = true;
            }
            (_, _) if !self.is_in => say(out, "-NOAUTH Authentication required.\r\n"),
            (b"PING", []) => say(out, "+PONG\r\n"),
            (b"PING", [text]) | (b"ECHO", [text]) => bulk(out, text),
            (b"SELECT", [_]) | (b"CLIENT", [_, _, ..]) | (b"REPLCONF", _) => say(out, "+OK\r\n"),
            (b"COMMAND", _) => say(out, "*0\r\n"),
            (b"INFO", _) => bulk(out, self.information(now_s).as_bytes()),
            (b"DBSIZE", []) => number(out, self.keys.len()),
            (b"TIME" | b"LASTSAVE", []) => number(out, now_s as usize),
            (b"CONFIG", [verb, rest @ ..]) => self.configure(verb, rest, out),
            (b"SET", [key, value, ..]) => self.set(key, value, out),
            (b"GET", [key]) => match self.keys.get(*key) {
                Some(value) => bulk(out, value),
                None => say(out, "$-1\r\n"),
            },
            (b"EXISTS", keys @ [_, ..]) => number(out, keys.iter().filter(|key| self.keys.contains_key(**key)).count()),
            (b"TYPE", [key]) => say(out, if self.keys.contains_key(*key) { "+string\r\n" } else { "+none\r\n" }),
            (b"DEL" | b"UNLINK", keys @ [_, ..]) => {
                let removed = keys.iter().filter(|key| self.remove(key)).count();
                number(out, removed);
            }
            (b"KEYS", [_]) => {
                say(out, &format!("*{}\r\n", self.keys.len()));
                for key in self.keys.keys() {
                    bulk(out, key);
                }
            }
            (b"SCAN", [_, ..]) => {
                say(out, &format!("*2\r\n$1\r\n0\r\n*{}\r\n", self.keys.len()));
                for key in self.keys.keys() {
                    bulk(out, key);
                }
            }
            (b"FLUSHALL" | b"FLUSHDB", _) => {
                self.keys.clear();
                self.held = 0;
                say(out, "+OK\r\n");
            }
            (b"SAVE", []) => {
                self.save(&mut step.records);
                say(out, "+OK\r\n");
            }
            (b"BGSAVE", _) => {
                self.save(&mut step.records);
                say(out, "+Background saving started\r\n");
            }
            // Nothing is connected to: where to is what counts.
            (b"SLAVEOF" | b"REPLICAOF", [host, port]) => {
                if !host.eq_ignore_ascii_case(b"no") {
                    let detail = [host, b":".as_slice(), port].concat();
                    step.records.push(Record::Remark { what: "replica_of", detail });
                }
                say(out, "+OK\r\n");
            }
            (b"MODULE", [verb, path, ..]) if verb.eq_ignore_ascii_case(b"LOAD") => {
                step.records.push(Record::Remark { what: "loaded_module", detail: path.to_vec() });
                say(out, "-ERR Error loading the extension. Please check the server logs.\r\n");
            }
            (b"MODULE", [verb]) if verb.eq_ignore_ascii_case(b"LIST") => say(out, "*0\r\n"),
            (b"EVAL" | b"EVALSHA", [..]) => {
                say(out, "-ERR Error compiling script (new function): user_script:1: syntax error\r\n");
            }
            (
                b"PING" | b"ECHO" | b"SELECT" | b"CLIENT" | b"CONFIG" | b"SET" | b"GET" | b"EXISTS" | b"TYPE" | b"DEL"
                | b"UNLINK" | b"KEYS" | b"SCAN" | b"SLAVEOF" | b"REPLICAOF" | b"MODULE" | b"AUTH" | b"DBSIZE" | b"SAVE",
                _,
            ) => {
                let name = String::from_utf8_lossy(name).to_lowercase();
                say(out, &format!("-ERR wrong number of arguments for '{name}' command\r\n"));
            }
            (_, _) => {
                let mut text = format!("-ERR unknown command `{}`, with args beginning with: ", shown(name));
                for argument in arguments.iter().take(8) {
                    let _ = write!(text, "`{}`, ", shown(argument));
                }
                say(out, &(text + "\r\n"));
            }
        }
    }

    fn configure(&mut self, verb: &[u8], arguments: &[&[u8]], out: &mut Vec<u8>) {
        match (verb.to_ascii_uppercase().as_slice(), arguments) {
            (b"GET", [name]) => {
                let is_all = *name == b"*";
                let found: Vec<_> =
                    self.settings.iter().filter(|(known, _)| is_all || known.eq_ignore_ascii_case(name)).collect();
                say(out, &format!("*{}\r\n", found.len() * 2));
                for (name, value) in found {
                    bulk(out, name);
                    bulk(out, value);
                }
            }
            (b"SET", [name, value]) => {
                let is_room = self.settings.len() < SETTINGS_MAX || self.settings.contains_key(*name);
                if !is_room || name.len() > SETTING_BYTES_MAX || value.len() > SETTING_BYTES_MAX {
                    return say(out, "-ERR Unsupported CONFIG parameter\r\n");
                }
                self.settings.insert(name.to_ascii_lowercase(), value.to_vec());
                say(out, "+OK\r\n");
            }
            (b"REWRITE" | b"RESETSTAT", []) => say(out, "+OK\r\n"),
            (_, _) => say(out, "-ERR Unknown subcommand or wrong number of arguments for 'config'.\r\n"),
        }
    }

    fn set(&mut self, key: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let before = self.keys.get(key).map_or(0, |before| key.len() + before.len());
        let held = self.held - before + key.len() + value.len();
        if held > DATA_BYTES_MAX || before == 0 && self.keys.len() >= KEYS_MAX {
            return say(out, OUT_OF_MEMORY);
        }
        self.held = held;
        self.keys.insert(key.to_vec(), value.to_vec());
        say(out, "+OK\r\n");
    }

    fn remove(&mut self, key: &[u8]) -> bool {
        let Some(value) = self.keys.remove(key) else { return false };
        self.held -= key.len() + value.len();
        true
    }

    /// What a real one would have written into its file is, apart from the file's own form, what was set.
    fn save(&mut self, records: &mut Vec<Record>) {
        let contents: Vec<u8> = self.keys.values().flat_map(|value| [value.as_slice(), b"\n"].concat()).collect();
        self.saves += 1;
        if contents.is_empty() || self.saves > SAVES_MAX {
            return;
        }
        let setting = |name: &[u8]| self.settings.get(name).map_or(b"".as_slice(), Vec::as_slice);
        let name = join(setting(b"dir"), setting(b"dbfilename"));
        records.extend(note_of(&name).map(|note| Record::Shell(ShellEvent::Noted(note))));
        let file = self.files;
        self.files = self.files.wrapping_add(1);
        records.push(Record::FileBegin { file, name, via: FileVia::RedisSave });
        records.push(Record::FilePart { file, offset: 0, bytes: contents });
        records.push(Record::FileEnd { file, is_complete: true });
    }

    fn information(&self, now_s: u64) -> String {
        let Redis { version, kernel, .. } = &*self.persona;
        let up_s = 871_204 + now_s;
        let run_id = format!("{:016x}{:016x}", self.seed, self.seed.rotate_left(17));
        let mut text = format!(
            "# Server\r\nredis_version:{version}\r\nredis_git_sha1:00000000\r\nredis_git_dirty:0\r\n\
             redis_mode:standalone\r\nos:Linux {kernel} armv7l\r\narch_bits:32\r\nmultiplexing_api:epoll\r\n\
             process_id:611\r\nrun_id:{run_id}deadbeef\r\ntcp_port:6379\r\nuptime_in_seconds:{up_s}\r\n\
             uptime_in_days:{}\r\nexecutable:/usr/bin/redis-server\r\nconfig_file:/etc/redis/redis.conf\r\n\r\n\
             # Clients\r\nconnected_clients:1\r\nblocked_clients:0\r\n\r\n\
             # Memory\r\nused_memory:{}\r\nmaxmemory:0\r\n\r\n\
             # Persistence\r\nloading:0\r\nrdb_changes_since_last_save:{}\r\naof_enabled:0\r\n\r\n\
             # Replication\r\nrole:master\r\nconnected_slaves:0\r\n\r\n\
             # Keyspace\r\n",
            up_s / 86_400,
            574_328 + self.held,
            self.keys.len(),
        );
        if !self.keys.is_empty() {
            let _ = write!(text, "db0:keys={},expires=0,avg_ttl=0\r\n", self.keys.len());
        }
        text
    }
}

fn say(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    say(out, &format!("${}\r\n", bytes.len()));
    out.extend_from_slice(bytes);
    say(out, "\r\n");
}

fn number(out: &mut Vec<u8>, number: usize) {
    say(out, &format!(":{number}\r\n"));
}

/// What a client sent, in an error: without line ends, which would be another reply.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(128)]);
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dialogue(password: Option<&str>) -> Dialogue {
        let persona = Redis { version: "5.0.7".into(), password: password.map(Into::into), kernel: "3.10.14".into() };
        Dialogue::new(Arc::new(persona), 1)
    }

    fn talk(dialogue: &mut Dialogue, said: &[u8]) -> (String, Vec<Record>) {
        let (mut reply, mut records) = (Vec::new(), Vec::new());
        for piece in said.chunks(3) {
            dialogue.waiting.extend_from_slice(piece);
            while let Some(step) = dialogue.step(0) {
                reply.extend(step.reply);
                records.extend(step.records);
                if step.is_last {
                    reply.extend_from_slice(b"<end>");
                    return (String::from_utf8_lossy(&reply).into_owned(), records);
                }
            }
        }
        (String::from_utf8_lossy(&reply).into_owned(), records)
    }

    fn check(said: &str, expected: &str) {
        assert_eq!(talk(&mut dialogue(None), said.as_bytes()).0, expected, "{said:?}");
    }

    #[test]
    fn requests_in_both_forms() {
        check("PING\r\n", "+PONG\r\n");
        check("*1\r\n$4\r\nping\r\n*2\r\n$4\r\nECHO\r\n$3\r\na\r\n\r\n", "+PONG\r\n$3\r\na\r\n\r\n");
        check("SET a \"b c\\n\"\r\nGET a\r\nGET b\r\n", "+OK\r\n$4\r\nb c\n\r\n$-1\r\n");
        check("SET a b\r\nDEL a c\r\nKEYS *\r\n", "+OK\r\n:1\r\n*0\r\n");
        check("QUIT\r\nPING\r\n", "+OK\r\n<end>");
        check("*1\r\n!\r\n", "-ERR Protocol error: expected '$', got '!'\r\n<end>");
        check("*99999999\r\n", "-ERR Protocol error: invalid multibulk length\r\n<end>");
        check("\r\n", "");
        check("XYZZY a\r\n", "-ERR unknown command `XYZZY`, with args beginning with: `a`, \r\n");
        check("GET\r\n", "-ERR wrong number of arguments for 'get' command\r\n");
        check("CONFIG GET dir\r\n", "*2\r\n$3\r\ndir\r\n$14\r\n/var/lib/redis\r\n");
        assert!(talk(&mut dialogue(None), b"INFO\r\n").0.contains("redis_version:5.0.7\r\n"));
    }

    #[test]
    fn what_is_saved_is_an_artifact() {
        let said = b"FLUSHALL\r\nSET x \"\\n\\n* * * * * echo komainu\\n\\n\"\r\nCONFIG SET dir /var/spool/cron\r\n\
                     CONFIG SET dbfilename root\r\nSAVE\r\n";
        let (reply, records) = talk(&mut dialogue(None), said);
        assert_eq!(reply, "+OK\r\n".repeat(5));
        let name = b"/var/spool/cron/root".to_vec();
        assert!(records.contains(&Record::FileBegin { file: 0, name, via: FileVia::RedisSave }), "{records:?}");
        let bytes = b"\n\n* * * * * echo komainu\n\n\n".to_vec();
        assert!(records.contains(&Record::FilePart { file: 0, offset: 0, bytes }), "{records:?}");
    }

    #[test]
    fn each_file_is_recorded_before_the_next_is_made() {
        let mut dialogue = dialogue(None);
        dialogue.waiting.extend_from_slice(b"SET a b\r\nSAVE\r\nSAVE\r\nPING\r\n");
        let parts =
            |step: &Step| step.records.iter().filter(|record| matches!(record, Record::FilePart { .. })).count();
        let steps: Vec<_> = std::iter::from_fn(|| dialogue.step(0)).map(|step| parts(&step)).collect();
        assert_eq!(steps, [1, 1, 0]);
    }

    #[test]
    fn a_long_number_is_the_same_in_pieces() {
        let said = format!("*1\r\n${:0>30}\r\nPING\r\n", 4);
        let mut whole = dialogue(None);
        whole.waiting.extend_from_slice(said.as_bytes());
        assert_eq!(whole.step(0).unwrap().reply, b"+PONG\r\n");
        assert_eq!(talk(&mut dialogue(None), said.as_bytes()).0, "+PONG\r\n");
    }

    #[test]
    fn a_password() {
        let mut dialogue = dialogue(Some("foobared"));
        assert_eq!(talk(&mut dialogue, b"PING\r\n").0, "-NOAUTH Authentication required.\r\n");
        assert_eq!(
            talk(&mut dialogue, b"AUTH x\r\nAUTH foobared\r\nPING\r\n").0,
            "-ERR invalid password\r\n+OK\r\n+PONG\r\n"
        );
    }

    #[test]
    fn nothing_is_connected_to() {
        let (reply, records) = talk(&mut dialogue(None), b"SLAVEOF 192.0.2.9 6379\r\nMODULE LOAD /tmp/x.so\r\n");
        assert!(reply.starts_with("+OK\r\n-ERR Error loading the extension"), "{reply}");
        assert_eq!(records[0], Record::Remark { what: "replica_of", detail: b"192.0.2.9:6379".to_vec() });
        assert_eq!(records[1], Record::Remark { what: "loaded_module", detail: b"/tmp/x.so".to_vec() });
    }

    #[test]
    fn keys_are_bounded() {
        let mut dialogue = dialogue(None);
        for number in 0..KEYS_MAX + 1 {
            talk(&mut dialogue, format!("SET {number} x\r\n").as_bytes());
        }
        assert_eq!(dialogue.keys.len(), KEYS_MAX);
        assert_eq!(talk(&mut dialogue, b"SET y x\r\n").0, OUT_OF_MEMORY);
        assert_eq!(talk(&mut dialogue, b"FLUSHALL\r\nSET y x\r\n").0, "+OK\r\n+OK\r\n");
    }

    proptest! {
        #[test]
        fn whatever_is_said_is_survived(
            said in proptest::collection::vec(
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..20),
                    proptest::sample::select(vec![b"*2\r\n$3\r\nGET\r\n".to_vec(), b"$-1\r\n".to_vec(), b"SET a \"".to_vec()]),
                ],
                0..20,
            ),
        ) {
            let mut dialogue = dialogue(None);
            talk(&mut dialogue, &said.concat());
        }
    }
}
