//! The packet filter rules that hold the devices, as text for `nft -f`.
//!
//! One table, `inet komainu_relay`, which is replaced as a whole and at once: there is no moment without rules. Nothing
//! in it depends on a process that runs: when none does, strangers reach no device and no device reaches anything.
//!
//! What a packet of a device meets, in this order: its interface and source are checked before the kernel looks for a
//! connection (`raw`); answers to strangers and connections for the sinkhole go to the sockets of the sensor
//! (`divert`); what is for this machine is dropped but for those (`input`); what is for others is dropped but for
//! answers to strangers and connections to the maker's cloud (`forward`). Everything is dropped that no rule lets pass.
//!
//! While a device is examined (`examined`), all of this is closed as in quarantine, and only one user of this machine
//! reaches it: what that user begins gets a mark on its connection, and answers are let in by that mark.

use std::collections::BTreeSet;
use std::fmt::Write;

use komainu_model::{Appliance, ApplianceIndex, EgressProfile, RelayMode, RelayTransport};
use komainu_ports::PacketFate;

use crate::day::{BEGUN, BEGUN_ELEMENT, DAY_S, Day, NUMBERS};
use crate::inventory::Inventory;
use crate::rights::ExaminerUids;

/// The table. It is ours alone.
pub(crate) const TABLE: &str = "inet komainu_relay";

/// The mark of packets that go to the sensor's own sockets, and the routing table that takes them there.
pub(crate) const MARK: u32 = 0x6b6f;
pub(crate) const ROUTING_TABLE: u32 = 27_503;

/// The mark of connections between whoever examines a device and the device.
const EXAMINER_MARK: u32 = 0x6b65;

/// Where the sensor listens, on the loopback interface or for devices only. Above the ports that Linux hands out by
/// itself (`net.ipv4.ip_local_port_range`), so that they are free.
pub(crate) const RELAY_PORT: u16 = 61_040;
pub(crate) const SINKHOLE_PORT: u16 = 61_041;
pub(crate) const DNS_PORT: u16 = 61_042;
pub(crate) const NTP_PORT: u16 = 61_043;

/// The group (of `nfnetlink_log`) that tells of packets.
pub(crate) const LOG_GROUP: u16 = 61_040;

/// Bytes of a packet that are told: its headers, and where a connection to the sinkhole would begin.
const LOG_BYTES: u16 = 128;

/// Packets of a device that are told, of each fate: enough to see what it does, too few to fill the logs with one device's
/// flood. All are counted.
const TOLD_PER_S_MAX: u16 = 5;
const TOLD_AT_ONCE_MAX: u16 = 100;

/// Addresses of a maker's cloud at the same time.
const VENDOR_ADDRESSES_MAX: u16 = 1_024;

/// Questions for names or the time that a device may ask in a second.
const QUESTIONS_PER_S_MAX: u16 = 50;

/// The rules for an inventory where there were none before. `examiner` is the number of the user as whom the first device
/// is examined; each has its own.
pub fn ruleset(inventory: &Inventory, examiner: ExaminerUids) -> String {
    next_ruleset(inventory, &BTreeSet::new(), examiner, &Day::default())
}

/// The rules for an inventory. Devices in `quarantined` are so from the first moment, none is examined, and `day` goes on.
pub(crate) fn next_ruleset(
    inventory: &Inventory,
    quarantined: &BTreeSet<ApplianceIndex>,
    examiner: ExaminerUids,
    day: &Day,
) -> String {
    let mut rules = Rules { text: String::new(), examiner };
    rules.line(0, "# Made by `komainu sensor relay rules` from the inventory; changes are lost.");
    // Deleting what is not there is an error, adding what is there is none.
    rules.line(0, format!("add table {TABLE}"));
    rules.line(0, format!("delete table {TABLE}"));
    rules.line(0, format!("table {TABLE} {{"));
    rules.quarantine_set(inventory, quarantined);
    rules.day(inventory, day);
    for (index, device) in inventory.indexed() {
        rules.objects(index, device, day);
    }
    for (index, device) in inventory.indexed() {
        rules.device_chains(index, device);
    }
    rules.base_chains(inventory);
    rules.line(0, "}");
    rules.text
}

/// The text that lets a device reach addresses, from now on for as long as the set says. Adding what is there would not
/// begin its time anew.
pub(crate) fn allow(index: ApplianceIndex, addresses: &[std::net::Ipv4Addr]) -> String {
    let set = format!("element {TABLE} d{}_vendor", number(index));
    let mut text = String::new();
    for address in addresses {
        for verb in ["add", "delete", "add"] {
            writeln!(text, "{verb} {set} {{ {address} }}").expect("a string takes everything");
        }
    }
    text
}

/// The text that begins a new day: all bytes may be sent again. Destinations have a day of their own each.
pub(crate) fn begin_day() -> String {
    format!(
        "reset quotas table {TABLE}\nflush set {TABLE} {BEGUN}\nadd element {TABLE} {BEGUN} {{ {BEGUN_ELEMENT} }}\n"
    )
}

/// The text that puts a device into quarantine (`add`) or ends it (`delete`).
pub(crate) fn quarantine(verb: &str, device: &Appliance) -> String {
    format!("{verb} element {TABLE} quarantined {{ \"{}\" }}\n", device.interface)
}

/// The text that begins (`add`) or ends (`delete`) that a device is examined.
pub(crate) fn examination(verb: &str, device: &Appliance) -> String {
    format!("{verb} element {TABLE} examined {{ \"{}\" }}\n", device.interface)
}

/// Devices are counted from 1 in names of chains: that is what people do who read them.
fn number(index: ApplianceIndex) -> u32 {
    u32::from(index.0) + 1
}

/// The beginning of what the packet filter tells: which device, and what became of the packet.
fn log_prefix(number: u32, fate: PacketFate) -> String {
    format!("{number} {}", fate.as_str())
}

/// What [`log_prefix`] made.
pub(crate) fn parse_log_prefix(prefix: &str) -> Option<(ApplianceIndex, PacketFate)> {
    let (number, word) = prefix.split_once(' ')?;
    let index = number.parse::<u16>().ok()?.checked_sub(1)?;
    let fate = PacketFate::ALL.into_iter().find(|fate| fate.as_str() == word)?;
    Some((ApplianceIndex(index), fate))
}

struct Rules {
    text: String,
    examiner: ExaminerUids,
}

impl Rules {
    fn line(&mut self, depth: usize, line: impl AsRef<str>) {
        for _ in 0..depth {
            self.text.push('\t');
        }
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    fn chain(&mut self, name: &str, rules: &[String]) {
        self.line(1, format!("chain {name} {{"));
        for rule in rules {
            self.line(2, rule);
        }
        self.line(1, "}");
    }

    fn base_chain(&mut self, name: &str, hook: &str, policy: &str, rules: &[String]) {
        let mut all = vec![format!("type {hook}; policy {policy};")];
        all.extend_from_slice(rules);
        self.chain(name, &all);
    }

    fn quarantine_set(&mut self, inventory: &Inventory, quarantined: &BTreeSet<ApplianceIndex>) {
        self.line(1, "set quarantined {");
        self.line(2, "type ifname");
        let names: Vec<String> = inventory
            .indexed()
            .filter(|(index, _)| quarantined.contains(index))
            .map(|(_, device)| format!("\"{}\"", device.interface))
            .collect();
        if !names.is_empty() {
            self.line(2, format!("elements = {{ {} }}", names.join(", ")));
        }
        self.line(1, "}");
        // Nobody examines when the rules are loaded.
        self.line(1, "set examined {");
        self.line(2, "type ifname");
        self.line(1, "}");
    }

    /// How long the day lasts, and whose numbers are whose. No packet meets them: they are for those who replace the rules.
    fn day(&mut self, inventory: &Inventory, day: &Day) {
        self.line(1, format!("set {BEGUN} {{"));
        self.line(2, "type mark");
        self.line(2, "flags timeout");
        self.line(2, format!("timeout {DAY_S}s"));
        self.line(2, format!("elements = {{ {BEGUN_ELEMENT} expires {}s }}", day.left_s));
        self.line(1, "}");
        let numbers =
            inventory.indexed().map(|(index, device)| format!("\"{}\" : {}", device.interface, number(index)));
        let numbers: Vec<String> = numbers.collect();
        self.line(1, format!("map {NUMBERS} {{"));
        self.line(2, "type ifname : mark");
        if !numbers.is_empty() {
            self.line(2, format!("elements = {{ {} }}", numbers.join(", ")));
        }
        self.line(1, "}");
    }

    /// Counters, quotas and sets of a device.
    fn objects(&mut self, index: ApplianceIndex, device: &Appliance, day: &Day) {
        let n = number(index);
        self.line(1, format!("# {n}: {}", device.name));
        for fate in PacketFate::ALL {
            self.line(1, format!("counter d{n}_{} {{ }}", fate.as_str()));
        }
        for name in ["stray", "kernel_in", "kernel_out"] {
            self.line(1, format!("counter d{n}_{name} {{ }}"));
        }
        let used = day.bytes(index);
        self.line(1, format!("quota d{n}_day {{ over {} bytes used {used} bytes }}", device.limits.bytes_per_day));
        self.line(1, format!("set d{n}_destinations {{"));
        self.line(2, "type ipv4_addr");
        self.line(2, "flags dynamic,timeout");
        self.line(2, "timeout 1d");
        self.line(2, format!("size {}", device.limits.destinations_per_day));
        let known = day.destinations(index, device.limits.destinations_per_day);
        let known: Vec<String> = known.iter().map(|(address, left_s)| format!("{address} expires {left_s}s")).collect();
        if !known.is_empty() {
            self.line(2, format!("elements = {{ {} }}", known.join(", ")));
        }
        self.line(1, "}");
        self.line(1, format!("set d{n}_vendor {{"));
        self.line(2, "type ipv4_addr");
        self.line(2, "flags timeout");
        self.line(2, "timeout 1h");
        self.line(2, format!("size {VENDOR_ADDRESSES_MAX}"));
        self.line(1, "}");
    }

    fn device_chains(&mut self, index: ApplianceIndex, device: &Appliance) {
        let n = number(index);
        for fate in PacketFate::ALL {
            self.fate_chain(n, fate);
        }
        self.chain(&format!("d{n}_stray"), &[format!("counter name \"d{n}_stray\" drop")]);
        // What is over breaks off the rule, and the next one takes it.
        let rate = device.limits.connections_per_s;
        self.chain(
            &format!("d{n}_caps"),
            &[
                format!("limit rate over {rate}/second burst {rate} packets goto d{n}_limited"),
                format!("add @d{n}_destinations {{ ip daddr }} return"),
                format!("goto d{n}_limited"),
            ],
        );
        self.raw_chain(n, device);
        self.divert_chain(n, device);
        self.input_chain(n, device);
        self.forward_chain(n, device);
        self.output_chain(index, device);
    }

    /// Counts a packet, tells of it, and drops it unless it is let out. Not every packet of a flood is told.
    fn fate_chain(&mut self, n: u32, fate: PacketFate) {
        let word = fate.as_str();
        self.chain(
            &format!("d{n}_{word}"),
            &[
                format!("counter name \"d{n}_{word}\""),
                format!(
                    "limit rate {TOLD_PER_S_MAX}/second burst {TOLD_AT_ONCE_MAX} packets log prefix \"{}\" group \
                     {LOG_GROUP} snaplen {LOG_BYTES}",
                    log_prefix(n, fate)
                ),
                if fate == PacketFate::Allowed { "accept".into() } else { "drop".into() },
            ],
        );
    }

    /// Before the kernel looks for connections. What no neighbour means for us (asking for an address, announcing
    /// itself) is dropped without a word.
    fn raw_chain(&mut self, n: u32, device: &Appliance) {
        self.chain(
            &format!("d{n}_raw"),
            &[
                // Whether it answers the examiner is known when the kernel has looked for the connection.
                format!("iifname @examined ip saddr {} accept", device.address),
                format!("iifname @quarantined goto d{n}_quarantined"),
                format!("ip6 daddr ff00::/8 goto d{n}_stray"),
                format!("meta nfproto != ipv4 goto d{n}_foreign"),
                format!("ip saddr 0.0.0.0 goto d{n}_stray"),
                format!("ip saddr != {} goto d{n}_foreign", device.address),
                format!("fib daddr type {{ broadcast, multicast }} goto d{n}_stray"),
                "accept".into(),
            ],
        );
    }

    /// Answers to strangers go to the socket that speaks with the stranger's address. Only to that one: a listening
    /// socket would take whatever the device begins.
    fn divert_chain(&mut self, n: u32, device: &Appliance) {
        let mut rules = vec![
            format!("iifname @examined ct direction reply ct state established ct mark {EXAMINER_MARK:#x} accept"),
            format!("iifname @examined goto d{n}_quarantined"),
            format!(
                "ct direction reply ct state established meta l4proto {{ tcp, udp }} socket transparent 1 socket \
                 wildcard 0 meta mark set {MARK:#x} accept"
            ),
        ];
        if device.egress == EgressProfile::SinkholeAll {
            rules.extend([
                "meta l4proto != tcp return".into(),
                "ct direction != original return".into(),
                "ct state invalid return".into(),
                format!("ct state new jump d{n}_caps"),
                format!("quota name \"d{n}_day\" goto d{n}_limited"),
                format!("meta l4proto tcp tproxy ip to 127.0.0.1:{SINKHOLE_PORT} meta mark set {MARK:#x} accept"),
            ]);
        }
        self.chain(&format!("d{n}_divert"), &rules);
    }

    /// What is for this machine. Only the rules of `divert` set the mark.
    fn input_chain(&mut self, n: u32, device: &Appliance) {
        let mut rules = vec![
            format!("iifname @examined ct direction reply ct state established ct mark {EXAMINER_MARK:#x} accept"),
            format!("iifname @examined goto d{n}_quarantined"),
            format!("meta mark {MARK:#x} accept"),
        ];
        if answers_names(device.egress) {
            let questions = format!("ct status dnat udp dport {{ {DNS_PORT}, {NTP_PORT} }}");
            let rate = format!("limit rate over {QUESTIONS_PER_S_MAX}/second burst {QUESTIONS_PER_S_MAX} packets");
            rules.push(format!("{questions} {rate} goto d{n}_limited"));
            rules.push(format!("{questions} accept"));
        }
        rules.push(format!("ct direction reply goto d{n}_stray"));
        rules.push(format!("ct state {{ invalid, related }} goto d{n}_stray"));
        rules.push(format!("goto d{n}_to_sensor"));
        self.chain(&format!("d{n}_input"), &rules);
    }

    fn forward_chain(&mut self, n: u32, device: &Appliance) {
        let mut rules = vec![
            format!("ct direction reply ct state established ct status dnat counter name \"d{n}_kernel_out\" accept"),
            // Late packets of connections that are over, and what the kernel's helpers would let in besides.
            format!("ct direction reply goto d{n}_stray"),
            format!("ct state {{ invalid, related }} goto d{n}_stray"),
        ];
        if device.egress == EgressProfile::VendorCloud {
            let ports = list(device.vendor_ports.iter());
            rules.push(format!(
                "oifname \"{}\" ip daddr @d{n}_vendor tcp dport {{ {ports} }} goto d{n}_cloud",
                device.outer_interface
            ));
            self.chain(
                &format!("d{n}_cloud"),
                &[
                    format!("quota name \"d{n}_day\" goto d{n}_limited"),
                    "ct state established accept".into(),
                    format!("jump d{n}_caps"),
                    format!("goto d{n}_allowed"),
                ],
            );
        }
        rules.push(format!("goto d{n}_blocked"));
        self.chain(&format!("d{n}_forward"), &rules);
    }

    /// What this machine says to a device: answers, connections of strangers to what is exposed, and its own look at
    /// shared folders, whose answers come to the guard's sockets only. Whoever else is on this machine reaches it as
    /// little as a stranger does.
    fn output_chain(&mut self, index: ApplianceIndex, device: &Appliance) {
        let n = number(index);
        let mut rules = vec![
            format!(
                "oifname @examined meta skuid {} ip daddr {} ct direction original ct mark set {EXAMINER_MARK:#x} accept",
                self.examiner.of(index).uid,
                device.address
            ),
            // Packets of a connection that is being closed belong to no user any more.
            format!("oifname @examined ct direction original ct state established ct mark {EXAMINER_MARK:#x} accept"),
            "oifname @examined drop".into(),
            "oifname @quarantined drop".into(),
            "ct direction reply accept".into(),
        ];
        for transport in [RelayTransport::Tcp, RelayTransport::Udp] {
            if let Some(ports) = exposed(device, transport, RelayMode::User) {
                let transport = transport.as_str();
                rules.push(format!("ip daddr {} {transport} dport {{ {ports} }} accept", device.address));
            }
        }
        if let Some(share) = &device.share {
            // Only with an address of this machine: nothing here widens what strangers reach.
            let (address, port) = (device.address, share.port);
            rules.push(format!("fib saddr type local ip daddr {address} tcp dport {port} accept"));
        }
        rules.push("drop".into());
        self.chain(&format!("d{n}_output"), &rules);
    }

    fn base_chains(&mut self, inventory: &Inventory) {
        let from_devices = |what: &str| -> Vec<String> {
            inventory
                .indexed()
                .map(|(index, device)| format!("iifname \"{}\" goto d{}_{what}", device.interface, number(index)))
                .collect()
        };
        self.base_chain("prerouting_raw", "filter hook prerouting priority raw", "accept", &from_devices("raw"));

        let mut divert = from_devices("divert");
        divert.extend(inventory.devices().iter().flat_map(relayed));
        self.base_chain("prerouting_divert", "filter hook prerouting priority mangle", "accept", &divert);

        let mut nat = Vec::new();
        for device in inventory.devices() {
            if answers_names(device.egress) {
                nat.push(format!("iifname \"{}\" udp dport 53 redirect to :{DNS_PORT}", device.interface));
                nat.push(format!("iifname \"{}\" udp dport 123 redirect to :{NTP_PORT}", device.interface));
            }
            for transport in [RelayTransport::Tcp, RelayTransport::Udp] {
                if let Some(ports) = exposed(device, transport, RelayMode::Kernel) {
                    nat.push(format!(
                        "iifname \"{}\" {} {} dport {{ {ports} }} dnat ip to {}",
                        device.outer_interface,
                        called(device),
                        transport.as_str(),
                        device.address
                    ));
                }
            }
        }
        self.base_chain("prerouting_nat", "nat hook prerouting priority dstnat", "accept", &nat);

        let clouds: Vec<String> = inventory
            .devices()
            .iter()
            .filter(|device| device.egress == EgressProfile::VendorCloud)
            .map(|device| format!("oifname \"{}\" ip saddr {} masquerade", device.outer_interface, device.address))
            .collect();
        self.base_chain("postrouting_nat", "nat hook postrouting priority srcnat", "accept", &clouds);

        let mut input = from_devices("input");
        input.push(format!("udp dport {{ {DNS_PORT}, {NTP_PORT} }} drop"));
        self.base_chain("input", "filter hook input priority filter", "accept", &input);

        let mut forward: Vec<String> = ["iifname @examined", "oifname @examined", "oifname @quarantined"]
            .map(|which| format!("{which} drop"))
            .into();
        forward.extend(from_devices("forward"));
        for (index, device) in inventory.indexed() {
            let n = number(index);
            let (outer, inner) = (&device.outer_interface, &device.interface);
            for transport in [RelayTransport::Tcp, RelayTransport::Udp] {
                if let Some(ports) = exposed(device, transport, RelayMode::Kernel) {
                    forward.push(format!(
                        "iifname \"{outer}\" oifname \"{inner}\" ct direction original ct status dnat ip daddr {} \
                         {} dport {{ {ports} }} counter name \"d{n}_kernel_in\" accept",
                        device.address,
                        transport.as_str()
                    ));
                }
            }
            if device.egress == EgressProfile::VendorCloud {
                forward.push(format!(
                    "iifname \"{outer}\" oifname \"{inner}\" ct direction reply ct state established accept"
                ));
            }
        }
        self.base_chain("forward", "filter hook forward priority filter", "drop", &forward);

        let mut output: Vec<String> = inventory
            .indexed()
            .map(|(index, device)| format!("oifname \"{}\" goto d{}_output", device.interface, number(index)))
            .collect();
        // A socket that speaks with somebody else's address must not begin anything but towards devices.
        output.push("meta nfproto ipv4 fib saddr type != local ct direction original drop".into());
        self.base_chain("output", "filter hook output priority filter", "accept", &output);
    }
}

/// The rules by which strangers come to the sensor's socket. Without one that listens they come nowhere.
fn relayed(device: &Appliance) -> Vec<String> {
    let mut rules = Vec::new();
    for transport in [RelayTransport::Tcp, RelayTransport::Udp] {
        let Some(ports) = exposed(device, transport, RelayMode::User) else { continue };
        let here = format!(
            "iifname \"{}\" {} {} dport {{ {ports} }}",
            device.outer_interface,
            called(device),
            transport.as_str()
        );
        rules.push(format!("{here} tproxy ip to 127.0.0.1:{RELAY_PORT} meta mark set {MARK:#x} accept"));
        rules.push(format!("{here} drop"));
    }
    rules
}

/// Which destinations mean the device.
fn called(device: &Appliance) -> String {
    match device.public_address {
        Some(address) => format!("ip daddr {address}"),
        None => "meta nfproto ipv4 fib daddr type local".to_owned(),
    }
}

fn exposed(device: &Appliance, transport: RelayTransport, relay: RelayMode) -> Option<String> {
    let ports = device.ports.iter().filter(|port| (port.transport, port.relay) == (transport, relay));
    let list = list(ports.map(|exposed| &exposed.port));
    (!list.is_empty()).then_some(list)
}

fn list<'a>(ports: impl Iterator<Item = &'a u16>) -> String {
    let mut ports: Vec<u16> = ports.copied().collect();
    ports.sort_unstable();
    ports.dedup();
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

const fn answers_names(egress: EgressProfile) -> bool {
    match egress {
        EgressProfile::Blocked => false,
        EgressProfile::SinkholeDnsNtp | EgressProfile::VendorCloud | EgressProfile::SinkholeAll => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_of_the_example_are_those_of_the_file() {
        let inventory = Inventory::parse(crate::inventory::tests::EXAMPLE).unwrap();
        let examiner = ExaminerUids::new(61_044, 65_534).unwrap();
        let rules = next_ruleset(&inventory, &[ApplianceIndex(1)].into(), examiner, &Day::default());
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ruleset.nft");
        if std::env::var_os("KOMAINU_UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &rules).unwrap();
        }
        assert_eq!(rules, std::fs::read_to_string(path).unwrap(), "KOMAINU_UPDATE_GOLDEN=1 writes the file anew");
    }

    #[test]
    fn prefixes_are_read_as_they_were_written() {
        for fate in PacketFate::ALL {
            let index = ApplianceIndex(63);
            assert_eq!(parse_log_prefix(&log_prefix(number(index), fate)), Some((index, fate)));
        }
        for wrong in ["", "0 blocked", "1 nothing", "1", "70000 blocked"] {
            assert_eq!(parse_log_prefix(wrong), None, "{wrong:?}");
        }
    }
}
