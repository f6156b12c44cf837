//! What the simulated Internet saw, as facts.

use std::collections::HashMap;
use std::net::SocketAddr;

use komainu_trace::network::{FlowNumber, NetworkAct};

use super::guest::{destination, destination_ip};
use super::{Category, Fact, Field, Log};
use crate::evidence::Run;

/// The most connections of a run whose other end is remembered; a scan has thousands.
const FLOWS_MAX: usize = 65_536;

/// What is remembered of a connection.
struct Flow {
    to: SocketAddr,
    name: Option<String>,
}

/// Reads what the simulated Internet saw of a run.
pub(super) fn read(run: &Run, log: &mut Log) {
    let mut flows: HashMap<FlowNumber, Flow> = HashMap::new();
    for event in &run.network {
        let at_us = event.at_us.saturating_sub(run.network_before_us);
        if let NetworkAct::Connect { flow, to, name, .. } = &event.act {
            if flows.len() < FLOWS_MAX {
                flows.insert(*flow, Flow { to: *to, name: name.as_ref().map(ToString::to_string) });
            } else {
                log.lose("connections with a known other end", 1);
            }
        }
        if let NetworkAct::Lost { what, count } = &event.act {
            log.lose(&format!("simulated Internet: {what}"), *count);
            continue;
        }
        // What the device itself does before the sample is started is not the sample's.
        if event.at_us < run.network_before_us {
            continue;
        }
        if let Some(fact) = fact(&event.act, run, &flows) {
            log.add(Fact { at_us, ..fact });
        }
    }
}

fn fact(act: &NetworkAct, run: &Run, flows: &HashMap<FlowNumber, Flow>) -> Option<Fact> {
    let on = |category, action: &str, flow: &FlowNumber| {
        let fact = Fact::new(category, action).with_number(Field::Flow, i64::try_from(flow.0).unwrap_or(i64::MAX));
        match flows.get(flow) {
            Some(known) => destination(fact, known.to).with_known(Field::DestinationHostname, known.name.as_deref()),
            None => fact,
        }
    };
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    Some(match act {
        NetworkAct::Dhcp { host_name, .. } => Fact::new(Category::Network, "dhcp")
            .with_known(Field::Host, host_name.as_ref().map(ToString::to_string).as_deref()),
        NetworkAct::Name { name, kind, server, answers } => {
            let first = answers.first().map(ToString::to_string);
            destination(Fact::new(Category::Dns, "query"), *server)
                .with(Field::QueryName, &name.to_string())
                .with(Field::RecordType, kind)
                .with(Field::Resolver, if server.ip() == run.resolver { "own" } else { "foreign" })
                .with_flag(Field::Answered, !answers.is_empty())
                .with_known(Field::Content, first.as_deref())
        }
        NetworkAct::Time { server } => destination(Fact::new(Category::Network, "time"), *server),
        NetworkAct::Connect { flow, accepted, .. } => {
            on(Category::Network, "connect", flow).with(Field::Protocol, "tcp").with_flag(Field::Accepted, *accepted)
        }
        NetworkAct::Sent { flow, bytes, head } => on(Category::Network, "sent", flow)
            .with_number(Field::Bytes, count(*bytes))
            .with(Field::Content, &head.to_string()),
        NetworkAct::Answered { flow, bytes, head, by } => on(Category::Network, "answered", flow)
            .with_number(Field::Bytes, count(*bytes))
            .with(Field::Content, &head.to_string())
            .with(Field::Service, by),
        NetworkAct::Closed { flow, sent_bytes, received_bytes, .. } => on(Category::Network, "closed", flow)
            .with_number(Field::Bytes, count(*sent_bytes))
            .with_number(Field::ReceivedBytes, count(*received_bytes)),
        NetworkAct::Tls { flow, server_name, ja3, completed } => on(Category::Network, "tls", flow)
            .with_known(Field::ServerName, server_name.as_ref().map(ToString::to_string).as_deref())
            .with_known(Field::Ja3, ja3.as_deref())
            .with_flag(Field::Success, *completed),
        NetworkAct::Http { flow, method, target, host, user_agent, status, body_bytes, body_sha256 } => {
            on(Category::Http, "request", flow)
                .with(Field::Method, &method.to_string())
                .with(Field::Url, &target.to_string())
                .with_known(Field::Host, host.as_ref().map(ToString::to_string).as_deref())
                .with_known(Field::UserAgent, user_agent.as_ref().map(ToString::to_string).as_deref())
                .with_number(Field::Status, i64::from(*status))
                .with_number(Field::Bytes, count(*body_bytes))
                .with_known(Field::Sha256, body_sha256.as_deref())
        }
        NetworkAct::Login { flow, service, user, password, accepted } => on(Category::Login, "login", flow)
            .with(Field::Service, service)
            .with(Field::UserName, &user.to_string())
            .with(Field::Password, &password.to_string())
            .with_flag(Field::Accepted, *accepted),
        NetworkAct::Command { flow, service, line } => {
            on(Category::Network, "command", flow).with(Field::Service, service).with(Field::Content, &line.to_string())
        }
        NetworkAct::Content { flow, name, sha256, bytes } => on(Category::Network, "content", flow)
            .with_known(Field::TargetFilename, name.as_ref().map(ToString::to_string).as_deref())
            .with(Field::Sha256, sha256)
            .with_number(Field::Bytes, count(*bytes)),
        NetworkAct::Played { flow, script, step } => {
            on(Category::Network, "played", flow).with(Field::Script, script).with(Field::Step, step)
        }
        NetworkAct::Datagram { to, name, bytes, head, .. } => {
            destination(Fact::new(Category::Network, "datagram"), *to)
                .with_known(Field::DestinationHostname, name.as_ref().map(ToString::to_string).as_deref())
                .with(Field::Protocol, "udp")
                .with_number(Field::Bytes, count(*bytes))
                .with(Field::Content, &head.to_string())
        }
        NetworkAct::Packet { protocol, to, bytes } => destination_ip(Fact::new(Category::Network, "packet"), *to)
            .with_number(Field::Protocol, i64::from(*protocol))
            .with_number(Field::Bytes, count(*bytes)),
        NetworkAct::Counted { kind, port, packets, bytes, addresses, examples, for_us, forged_sources } => {
            let per_second = u128::from(*packets) * 1_000_000 / u128::from((*for_us).max(1_000_000));
            let mut fact = Fact::new(Category::Network, "counted")
                .with(Field::Protocol, kind)
                .with_number(Field::Packets, count(*packets))
                .with_number(Field::Bytes, count(*bytes))
                .with_number(Field::Addresses, count(*addresses))
                .with_number(Field::PacketsPerSecond, i64::try_from(per_second).unwrap_or(i64::MAX))
                .with_number(Field::Milliseconds, count(for_us / 1000))
                .with_flag(Field::ForgedSources, *forged_sources);
            if let Some(port) = port {
                fact = fact.with_number(Field::DestinationPort, i64::from(*port));
            }
            match examples.first() {
                Some(first) => destination_ip(fact, *first),
                None => fact,
            }
        }
        NetworkAct::Targets { port, attempts, addresses, examples, .. } => {
            let fact = Fact::new(Category::Network, "targets")
                .with(Field::Protocol, "tcp")
                .with_number(Field::DestinationPort, i64::from(*port))
                .with_number(Field::Packets, count(*attempts))
                .with_number(Field::Addresses, count(*addresses));
            match examples.first() {
                Some(first) => destination_ip(fact, *first),
                None => fact,
            }
        }
        NetworkAct::GeneratedNames { names, examples } => Fact::new(Category::Network, "generated names")
            .with_number(Field::Packets, count(*names))
            .with_known(Field::Content, examples.first().map(ToString::to_string).as_deref()),
        NetworkAct::Ssh { flow, identification, hassh } => on(Category::Network, "ssh", flow)
            .with(Field::Service, "ssh")
            .with(Field::Content, &identification.to_string())
            .with_known(Field::Ja3, hassh.as_deref()),
        NetworkAct::Proxied { flow, target, via } => {
            on(Category::Network, "proxied", flow).with(Field::Service, via).with(Field::Content, &target.to_string())
        }
        NetworkAct::Lost { .. } => return None,
    })
}
