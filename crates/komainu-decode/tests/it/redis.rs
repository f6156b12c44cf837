//! Redis' serialisation protocol.

use komainu_decode::redis::{Event, Reader};
use komainu_decode::{Decoder, Fact, FileEvent, Place, Side};

use crate::conversation::{Protocol, client, recorded, server};

const REDIS: Protocol = Protocol { reader: || Box::new(Reader::default()), event, is_stream: true };

fn event(fact: &Fact<'_>) -> String {
    match fact {
        Fact::Redis(Event::Command { name, arguments, arguments_count }) => {
            let mut line = name.escape_ascii().to_string();
            for argument in *arguments {
                line.push_str(&format!(" {}", argument.begin.escape_ascii()));
                if argument.begin.len() as u64 != argument.bytes {
                    line.push_str(&format!("({})", argument.bytes));
                }
            }
            if *arguments_count != arguments.len() as u64 {
                line.push_str(&format!(" of {arguments_count}"));
            }
            line
        }
        Fact::Redis(Event::Error { message }) => format!("error {}", message.escape_ascii()),
        _ => String::new(),
    }
}

#[test]
fn commands() {
    REDIS.check(
        &[
            client("*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$4\r\na\r\nb\r\nPING\r\n\r\nset y \"1 2\"\n*0\r\n*1\r\n$0\r\n\r\n"),
            server("+OK\r\n+PONG\r\n+OK\r\n"),
        ],
        &["SET x a\\r\\nb", "PING", "set y 1 2"],
    );
    let many = format!("*11\r\n{}", "$1\r\na\r\n".repeat(11));
    REDIS.check(&[client(many)], &["a a a a a a a a a of 10"]);
    let long = "x".repeat(100_000);
    let facts = REDIS.facts(&[client(format!("*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$100000\r\n{long}\r\nPING\r\n"))]);
    assert_eq!(facts[0].1, format!("SET x {}(100000)", &long[..1024]));
    assert_eq!(facts[1].1, "PING");
    REDIS.check(&[client("system.exec 'id -u'\r\n")], &["system.exec id -u", "command id -u"]);
}

#[test]
fn logins() {
    REDIS.check(
        &[
            client("AUTH wrong\r\nAUTH u right\r\nHELLO 3 SETNAME me AUTH default p\r\nHELLO 9 AUTH a b\r\n"),
            server("-WRONGPASS no\r\n+OK\r\n%1\r\n+server\r\n%1\r\n+redis\r\n*0\r\n-NOPROTO no\r\n"),
            client("AUTH last\r\n"),
        ],
        &[
            "AUTH wrong",
            "AUTH u right",
            "HELLO 3 SETNAME me AUTH default p",
            "HELLO 9 AUTH a b",
            "error WRONGPASS no",
            "login '' 'wrong' refused",
            "login 'u' 'right' accepted",
            "login 'default' 'p' accepted",
            "error NOPROTO no",
            "login 'a' 'b' unanswered",
            "AUTH last",
            "login '' 'last' unanswered",
        ],
    );
}

#[test]
fn replies_are_skipped_by_their_structure() {
    REDIS.check(
        &[
            client("A\r\nB\r\nC\r\nD\r\nE\r\nF\r\nAUTH p\r\n"),
            // Values that look like replies stand within strings.
            server("$9\r\n-ERR no\r\n\r\n$-1\r\n*2\r\n*1\r\n+x\r\n-ERR inner\r\n"),
            server(">2\r\n+push\r\n+x\r\n|1\r\n+ttl\r\n:1\r\n#t\r\n~1\r\n,1.5\r\n"),
            server("*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n=7\r\ntxt:abc\r\n"),
            server("+OK\r\n"),
        ],
        &["A", "B", "C", "D", "E", "F", "AUTH p", "login '' 'p' accepted"],
    );
}

#[test]
fn what_is_broken() {
    REDIS.check(&[client("*x\r\nPING\r\n")], &["GaveUp array_length_unreadable"]);
    REDIS.check(&[client("*1\r\nPING\r\nPING\r\n")], &["GaveUp word_length_unreadable"]);
    REDIS.check(&[client("*1\r\n$9999999999\r\n")], &["GaveUp word_length_unreadable"]);
    REDIS.check(&[client("*2\r\n$1\r\na\r\n")], &["Tolerated command_cut_off"]);
    REDIS.check(&[server("what\r\n+OK\r\n")], &["GaveUp reply_unreadable"]);
    REDIS.check(&[server("*1\r\n".repeat(40))], &["GaveUp replies_too_deep"]);
    let long = "x".repeat(10_000);
    REDIS.check(&[client(format!("{long}\r\nPING\r\n"))], &["Bound line_too_long", "PING"]);
    REDIS.check(
        &[client("AUTH p\r\n"), server(format!("+{long}\r\n-ERR x\r\n"))],
        &["AUTH p", "Bound reply_line_too_long", "login '' 'p' accepted", "error ERR x"],
    );
}

#[test]
fn answers_that_are_not_paired() {
    REDIS.check(
        &[
            client("SUBSCRIBE a b\r\nAUTH p\r\n"),
            server("*3\r\n+subscribe\r\n+a\r\n:1\r\n*3\r\n+subscribe\r\n+b\r\n:2\r\n+OK\r\n"),
        ],
        &["SUBSCRIBE a b", "AUTH p", "login '' 'p' unanswered"],
    );
    let facts = REDIS.facts(&[client("PING\r\n".repeat(2000))]);
    assert_eq!(facts.iter().filter(|(_, line)| line == "Bound too_many_commands_without_reply").count(), 1);
    assert_eq!(facts.iter().filter(|(_, line)| line == "PING").count(), 2000);
}

#[test]
fn a_replica_gets_a_file() {
    let sync = client("*3\r\n$5\r\nPSYNC\r\n$1\r\n?\r\n$2\r\n-1\r\n");
    REDIS.check(
        &[sync.clone(), server("\n+FULLRESYNC 1 0\r\n$5\r\nab\r\nc*1\r\n$4\r\nping\r\n")],
        &["PSYNC ? -1", "file 0 begins  RedisReplication of 5", "file 0 at 0: ab\\r\\nc", "file 0 ends complete"],
    );
    let mark = "0123456789".repeat(4);
    REDIS.check(
        &[sync.clone(), server(format!("+FULLRESYNC 1 0\r\n$EOF:{mark}\r\nREDIS01234{mark}+OK\r\n"))],
        &["PSYNC ? -1", "file 0 begins  RedisReplication", "file 0 at 0: REDIS01234", "file 0 ends complete"],
    );
    REDIS.check(
        &[sync, server(format!("+FULLRESYNC 1 0\r\n$EOF:{mark}\r\nREDIS0123456789"))],
        &["PSYNC ? -1", "file 0 begins  RedisReplication", "file 0 at 0: REDIS0123456789", "file 0 ends incomplete"],
    );
}

#[test]
fn gaps() {
    let mut facts = Vec::new();
    let mut observer = |_: Place, fact: Fact<'_>| match fact {
        Fact::File(FileEvent::Part { offset, bytes, .. }) => facts.push(format!("{offset} {}", bytes.escape_ascii())),
        Fact::File(FileEvent::End { is_complete, .. }) => facts.push(format!("end {is_complete}")),
        other => facts.push(event(&other)),
    };
    let mut reader = Reader::default();
    // Within a word.
    reader.data(Side::Client, b"*2\r\n$4\r\nECHO\r\n$10\r\nabc", &mut observer);
    reader.gap(Side::Client, 4, &mut observer);
    reader.data(Side::Client, b"hij\r\nPING\r\n*2\r\n$4", &mut observer);
    // Not within a word.
    reader.gap(Side::Client, 20, &mut observer);
    reader.data(Side::Client, b"xyz\r\nrest\r\n*1\r\n$5\r\nPSYNC\r\n", &mut observer);
    reader.end(&mut observer);
    assert_eq!(facts, ["", "ECHO abc(10)", "PING", "", "PSYNC"]);

    let mut facts = Vec::new();
    let mut observer = |_: Place, fact: Fact<'_>| match fact {
        Fact::File(FileEvent::Part { offset, bytes, .. }) => facts.push(format!("{offset} {}", bytes.escape_ascii())),
        Fact::File(FileEvent::End { is_complete, .. }) => facts.push(format!("end {is_complete}")),
        _ => {}
    };
    let mut reader = Reader::default();
    reader.data(Side::Client, b"SYNC\r\n", &mut observer);
    reader.data(Side::Server, b"+FULLRESYNC\r\n$10\r\nab", &mut observer);
    reader.gap(Side::Server, 4, &mut observer);
    reader.data(Side::Server, b"ghij", &mut observer);
    reader.end(&mut observer);
    assert_eq!(facts, ["0 ab", "6 ghij", "end false"]);
}

#[test]
fn real_clients_and_servers() {
    REDIS.check(
        &recorded(include_str!("../conversations/redis_cli.txt")),
        &[
            "COMMAND DOCS",
            "error NOAUTH Authentication required.",
            "COMMAND",
            "error NOAUTH Authentication required.",
            "PING",
            "error NOAUTH Authentication required.",
            "AUTH wrong",
            "error WRONGPASS invalid username-password pair or user is disabled.",
            "login '' 'wrong' refused",
            "AUTH foobared",
            "login '' 'foobared' accepted",
            "HELLO 3 AUTH default foobared",
            "login 'default' 'foobared' accepted",
            "CONFIG SET dir /tmp",
            "error ERR CONFIG SET failed (possibly related to argument \\'dir\\') - can\\'t set protected config",
            "SET x \\n\\n*/1 * * * * echo ours\\n\\n",
            "CONFIG GET dir",
            "HGETALL nothing",
            "EVAL return {1,{2,3},redis.error_reply(\\\"no\\\")} 0",
            "NOSUCH a b",
            "error ERR unknown command \\'NOSUCH\\', with args beginning with: \\'a\\' \\'b\\' ",
        ],
    );
    let replica = recorded(include_str!("../conversations/redis_replica.txt"));
    REDIS.check_cuts(&replica);
    let facts = REDIS.facts(&replica);
    let file: Vec<&str> = facts.iter().map(|(_, line)| line.as_str()).filter(|line| line.starts_with("file")).collect();
    assert!(
        matches!(file[..], ["file 0 begins  RedisReplication", part, "file 0 ends complete"]
            if part.starts_with("file 0 at 0: REDIS0010")),
        "{file:?}"
    );
}

#[test]
fn whatever_comes_is_read_in_peace() {
    REDIS.check_damaged(recorded(include_str!("../conversations/redis_cli.txt")));
    REDIS.check_damaged(recorded(include_str!("../conversations/redis_replica.txt")));
}
