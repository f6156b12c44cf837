//! What two runs of a sample showed, without what differs by chance: one as an ordinary user and one as root, or two with
//! the same seed.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use komainu_ports::Detonation;
use komainu_trace::guest::{GuestAct, GuestEvent};
use komainu_trace::network::NetworkAct;
use komainu_trace::{GuestItem, GuestReader, RawText};

/// Things of one run that are compared. More are more of the same.
const SHOWN_MAX: usize = 16_384;

/// What connecting is called.
const CONNECT: &str = "connect to";

/// How much of a stream is read at once.
const READ_BYTES: usize = 1 << 20;

/// One thing that a run showed: without times, without numbers of processes, descriptors and ports of the guest's side.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shown {
    /// It did something of this kind.
    Act(&'static str),
    /// It did something to a file: what, and which.
    File(&'static str, RawText),
    /// It became a program.
    Program(RawText),
    /// It connected or sent to there, or listened there.
    Address(&'static str, SocketAddr),
    /// It asked for a name.
    Name(RawText),
    /// It asked for something by HTTP, tried a login, or gave a line.
    Said(&'static str, RawText),
}

/// Two runs, compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What only the first one showed.
    pub first_only: BTreeSet<Shown>,
    /// What only the second one showed.
    pub second_only: BTreeSet<Shown>,
    /// How much both showed.
    pub both: usize,
}

impl Comparison {
    /// Compares two runs.
    pub fn new(first: &Detonation, second: &Detonation) -> Self {
        let set = |run: &Detonation| shown(run).into_iter().collect::<BTreeSet<_>>();
        let (first, second) = (set(first), set(second));
        Self {
            first_only: first.difference(&second).cloned().collect(),
            second_only: second.difference(&first).cloned().collect(),
            both: first.intersection(&second).count(),
        }
    }

    /// Whether both showed the same.
    pub fn is_same(&self) -> bool {
        self.first_only.is_empty() && self.second_only.is_empty()
    }
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Act(kind) => write!(f, "{kind}"),
            Self::File(what, path) => write!(f, "{what} {path}"),
            Self::Program(path) => write!(f, "run {path}"),
            Self::Address(what, address) => write!(f, "{what} {address}"),
            Self::Name(name) => write!(f, "look up {name}"),
            Self::Said(what, text) => write!(f, "{what} {text}"),
        }
    }
}

/// What a run showed, in the order in which it was told: the guest's acts, then the network's. At most 16,384 things.
pub fn shown(run: &Detonation) -> Vec<Shown> {
    let mut all = Vec::new();
    let mut reader = GuestReader::default();
    let pieces = run.guest.chunks(READ_BYTES);
    let items = pieces.flat_map(|piece| reader.push(piece));
    for item in items {
        if let GuestItem::Event { event, .. } = item {
            let shown = of_guest(event);
            // A connect that was under way when memory was looked at is begun once more by the kernel, or is not: by chance.
            let is_begun_again = matches!(shown, Some(Shown::Address(CONNECT, _))) && shown.as_ref() == all.last();
            if !is_begun_again {
                all.extend(shown);
            }
        }
        if all.len() >= SHOWN_MAX {
            break;
        }
    }
    all.extend(run.network.iter().filter_map(|event| of_network(&event.act)));
    all.truncate(SHOWN_MAX);
    all
}

fn of_guest(event: GuestEvent) -> Option<Shown> {
    Some(match event.act {
        GuestAct::Fork { .. } => Shown::Act("fork"),
        GuestAct::Exec { path, .. } => Shown::Program(path),
        GuestAct::Rename { comm } => Shown::Said("rename to", comm),
        GuestAct::Open { path, .. } => Shown::File("open", path),
        GuestAct::Unlink { path } => Shown::File("remove", path),
        GuestAct::Move { to, .. } => Shown::File("move to", to),
        GuestAct::MakeFolder { path } => Shown::File("make folder", path),
        GuestAct::ChangeMode { path, .. } => Shown::File("change rights of", path),
        GuestAct::ChangeFolder { path } => Shown::File("go to", path),
        GuestAct::Look { path } => Shown::File("look at", path),
        GuestAct::Mount { target, .. } => Shown::File("mount", target),
        GuestAct::Socket { .. } => Shown::Act("make socket"),
        GuestAct::Connect { to } => Shown::Address(CONNECT, to),
        GuestAct::Bind { at } => Shown::Address("bind", at),
        GuestAct::Listen { .. } => Shown::Act("listen"),
        GuestAct::Send { to: Some(to), .. } => Shown::Address("send to", to),
        GuestAct::Send { to: None, .. } => Shown::Act("send"),
        GuestAct::Kill { .. } => Shown::Act("kill"),
        GuestAct::Trace { .. } => Shown::Act("ptrace"),
        GuestAct::Control { .. } => Shown::Act("prctl"),
        GuestAct::DeviceControl { .. } => Shown::Act("ioctl"),
        GuestAct::Module { name } => Shown::Said("module", name),
        GuestAct::ChangeUser { .. } => Shown::Act("change user"),
        GuestAct::Sleep { .. } => Shown::Act("sleep"),
        GuestAct::Machine { call } => Shown::Said("machine", call),
        GuestAct::Call { name, .. } => Shown::Said("call", name),
        // How often it wrote, and which process ended when, is chance.
        GuestAct::Write { .. } | GuestAct::Exit { .. } | GuestAct::Lost { .. } => return None,
    })
}

fn of_network(act: &NetworkAct) -> Option<Shown> {
    Some(match act {
        NetworkAct::Name { name, .. } => Shown::Name(name.clone()),
        NetworkAct::Connect { to, .. } => Shown::Address("tcp to", *to),
        NetworkAct::Datagram { to, .. } => Shown::Address("udp to", *to),
        NetworkAct::Http { method, target, .. } => {
            Shown::Said("http", RawText([&*method.0, b" ", &*target.0].concat()))
        }
        NetworkAct::Login { user, password, .. } => {
            Shown::Said("login", RawText([&*user.0, b" / ", &*password.0].concat()))
        }
        NetworkAct::Command { line, .. } => Shown::Said("command", line.clone()),
        NetworkAct::Content { sha256, .. } => Shown::Said("content", sha256.as_str().into()),
        NetworkAct::Tls { .. } => Shown::Act("tls"),
        // What follows from the above, or is only a number.
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use komainu_trace::network::{FlowNumber, NetworkEvent};

    use super::*;
    use crate::message::tests::detonation;

    fn run(ports: &[u16]) -> Detonation {
        let connect = |port: &u16| NetworkEvent {
            at_us: u64::from(*port),
            act: NetworkAct::Connect {
                flow: FlowNumber(u64::from(*port)),
                from_port: 1_000 + port,
                to: SocketAddr::from(([203, 0, 113, 7], *port)),
                name: None,
                accepted: true,
            },
        };
        Detonation { network: ports.iter().map(connect).collect(), ..detonation() }
    }

    #[test]
    fn what_only_one_run_shows_is_told() {
        let compared = Comparison::new(&run(&[23, 80]), &run(&[80, 443, 80]));
        let texts = |set: &BTreeSet<Shown>| set.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts(&compared.first_only), ["tcp to 203.0.113.7:23"]);
        assert_eq!(texts(&compared.second_only), ["tcp to 203.0.113.7:443"]);
        assert_eq!((compared.both, compared.is_same()), (1, false));
        assert!(Comparison::new(&run(&[1, 2]), &run(&[2, 1])).is_same());
    }

    #[test]
    fn what_is_compared_is_bounded() {
        let many = run(&vec![1; SHOWN_MAX + 1]);
        assert_eq!(shown(&many).len(), SHOWN_MAX);
    }
}
