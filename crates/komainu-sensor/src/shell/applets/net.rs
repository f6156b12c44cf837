//! Applets that deal with the network. They reach nothing and nobody; what they were asked for is told.

use std::time::Duration;

use super::{Call, shown};
use crate::shell::files;
use crate::shell::run::{Run, Status};
use crate::shell::{Note, ShellEvent};

/// How long a refused connection takes, and one that nobody answers.
const REFUSED_AFTER: Duration = Duration::from_millis(180);
const TIMEOUT_AFTER: Duration = Duration::from_secs(5);

/// The longest URL that is told, in bytes.
const URL_BYTES_MAX: usize = 2_048;

fn tell(run: &mut Run<'_>, program: &'static str, mut url: Vec<u8>, to: &[u8]) {
    url.truncate(URL_BYTES_MAX);
    let folder = run.folder();
    let to = match to {
        b"" | b"-" => Vec::new(),
        path => run.files().place(&folder, path, true).unwrap_or_else(|_| files::join(&folder, path)),
    };
    run.tell(ShellEvent::Fetch { program, url, to });
}

/// Scheme (with `http` where none is given), host with port, path.
fn parts(url: &[u8]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let at = url.windows(3).position(|window| window == b"://");
    let (scheme, rest) = match at {
        Some(at) => (url.get(..at).unwrap_or_default(), url.get(at + 3..).unwrap_or_default()),
        None => (b"http".as_slice(), url),
    };
    let end = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let path = if path.is_empty() { b"/" } else { path };
    (scheme.to_vec(), host.to_vec(), path.to_vec())
}

/// A host without user and port, and the port.
fn host_and_port(host: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    let host = host.iter().rposition(|&byte| byte == b'@').map_or(host, |at| host.get(at + 1..).unwrap_or_default());
    match host.iter().rposition(|&byte| byte == b':') {
        Some(at) if !host.ends_with(b"]") => {
            (host.get(..at).unwrap_or_default().to_vec(), host.get(at + 1..).map(<[u8]>::to_vec))
        }
        _ => (host.to_vec(), None),
    }
}

fn is_address(host: &[u8]) -> bool {
    std::str::from_utf8(host).ok().is_some_and(|host| host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok())
}

/// A connection that does not come about: names are not known, addresses refuse.
fn fail_to_connect(run: &mut Run<'_>, call: &Call<'_>, host: &[u8]) -> Status {
    if !is_address(host) {
        run.wait(TIMEOUT_AFTER)?;
        call.complain(run, format!("bad address '{}'", shown(host)));
        return Ok(1);
    }
    run.wait(REFUSED_AFTER)?;
    call.complain(run, format!("can't connect to remote host ({}): Connection refused", shown(host)));
    Ok(1)
}

pub(super) fn wget(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let long = [
        ("continue", b'c'),
        ("quiet", b'q'),
        ("server-response", b'S'),
        ("output-document=", b'O'),
        ("output-file=", b'o'),
        ("directory-prefix=", b'P'),
        ("proxy=", b'Y'),
        ("user-agent=", b'U'),
        ("timeout=", b'T'),
        ("tries=", b't'),
        ("header=", b'\x01'),
        ("post-data=", b'\x01'),
        ("post-file=", b'\x01'),
        ("spider", b'\x02'),
        ("no-check-certificate", b'\x02'),
        ("passive-ftp", b'\x02'),
        ("no-cache", b'\x02'),
        ("no-verbose", b'\x02'),
        ("no-clobber", b'\x02'),
        ("no-host-directories", b'\x02'),
        ("no-parent", b'\x02'),
    ];
    let Some(options) = call.options_with_long(run, "cqSO:o:P:Y:U:T:t:n::", &long) else { return Ok(1) };
    if options.rest.is_empty() {
        return call.usage(run);
    }
    for url in &options.rest {
        let (scheme, host, path) = parts(url);
        if !matches!(scheme.as_slice(), b"http" | b"https" | b"ftp" | b"ftps") {
            call.complain(run, [b"not an http or ftp url: ", url.as_slice()].concat());
            return Ok(1);
        }
        let last = files::split(&path).1;
        let last = last.split(|&byte| byte == b'?').next().unwrap_or_default();
        let name = if last.is_empty() { b"index.html" } else { last };
        let to = match (options.value(b'O'), options.value(b'P')) {
            (Some(name), _) => name.to_vec(),
            (None, Some(folder)) => files::join(folder, name),
            (None, None) => name.to_vec(),
        };
        tell(run, "wget", [scheme.as_slice(), b"://", &host, &path].concat(), &to);
        let (name, port) = host_and_port(&host);
        if is_address(&name) && !options.has(b'q') {
            let default: &[u8] = match scheme.as_slice() {
                b"https" => b"443",
                b"ftp" | b"ftps" => b"21",
                _ => b"80",
            };
            let shown_host = shown(host.rsplit(|&byte| byte == b'@').next().unwrap_or_default());
            let port = shown(port.as_deref().unwrap_or(default));
            run.err(format!("Connecting to {shown_host} ({}:{port})\n", shown(&name)));
        }
        fail_to_connect(run, call, &name)?;
    }
    Ok(1)
}

/// `curl` is not there, but what it was asked for is told.
pub(crate) fn tell_curl(run: &mut Run<'_>, words: &[Vec<u8>]) {
    let (mut url, mut to) = (None, Vec::new());
    let mut rest = words.iter().skip(1);
    while let Some(word) = rest.next() {
        match word.as_slice() {
            b"-o" | b"--output" => to = rest.next().cloned().unwrap_or_default(),
            b"-O" | b"--remote-name" => to = b"\0".to_vec(),
            b"-A" | b"-H" | b"-d" | b"-X" | b"-m" | b"-u" | b"-x" | b"--connect-timeout" | b"--max-time" => {
                rest.next();
            }
            [b'-', letters @ ..] if letters.ends_with(b"O") && !letters.starts_with(b"-") => to = b"\0".to_vec(),
            [b'-', letters @ ..] if letters.ends_with(b"o") && !letters.starts_with(b"-") => {
                to = rest.next().cloned().unwrap_or_default();
            }
            [b'-', ..] => {}
            _ => url = url.or_else(|| Some(word.clone())),
        }
    }
    if let Some(url) = url {
        let (scheme, host, path) = parts(&url);
        if to == b"\0" {
            to = files::split(&path).1.to_vec();
        }
        tell(run, "curl", [scheme.as_slice(), b"://", &host, &path].concat(), &to);
    }
}

pub(super) fn tftp(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "l:r:gpb:") else { return Ok(1) };
    let [host, rest @ ..] = options.rest.as_slice() else { return call.usage(run) };
    let (local, remote) = (options.value(b'l').map(<[u8]>::to_vec), options.value(b'r').map(<[u8]>::to_vec));
    let Some(name) = remote.clone().or(local.clone()) else { return call.usage(run) };
    if options.has(b'g') == options.has(b'p') {
        return call.usage(run);
    }
    let local = local.unwrap_or_else(|| files::split(&name).1.to_vec());
    let port = rest.first().map(|port| [b":", port.as_slice()].concat()).unwrap_or_default();
    if options.has(b'g') {
        let slash: &[u8] = if name.starts_with(b"/") { b"" } else { b"/" };
        tell(run, "tftp", [b"tftp://".as_slice(), host, &port, slash, &name].concat(), &local);
    } else {
        run.note(Note::Connected);
    }
    if !is_address(host) {
        return fail_to_connect(run, call, host);
    }
    run.wait(TIMEOUT_AFTER)?;
    call.complain(run, "timeout");
    Ok(1)
}

pub(super) fn ftp(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let letters = if call.applet == "ftpget" { "cvu:p:P:" } else { "vu:p:P:" };
    let long = [("continue", b'c'), ("verbose", b'v'), ("username=", b'u'), ("password=", b'p'), ("port=", b'P')];
    let Some(options) = call.options_with_long(run, letters, &long) else { return Ok(1) };
    let (host, local, remote) = match options.rest.as_slice() {
        [host, both] => (host, both, both),
        [host, one, two] if call.applet == "ftpget" => (host, one, two),
        [host, one, two] => (host, two, one),
        _ => return call.usage(run),
    };
    if call.applet == "ftpget" {
        let user = match (options.value(b'u'), options.value(b'p')) {
            (Some(user), Some(password)) => [user, b":", password, b"@"].concat(),
            (Some(user), None) => [user, b"@"].concat(),
            _ => Vec::new(),
        };
        let port = options.value(b'P').map(|port| [b":", port].concat()).unwrap_or_default();
        let slash: &[u8] = if remote.starts_with(b"/") { b"" } else { b"/" };
        tell(run, "ftpget", [b"ftp://".as_slice(), &user, host, &port, slash, remote].concat(), local);
    } else {
        run.note(Note::Connected);
    }
    fail_to_connect(run, call, host)
}

pub(super) fn connect(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let letters = if call.applet == "nc" { "lp:w:i:f:e:nuvsk" } else { "+al:" };
    let Some(options) = call.options(run, letters) else { return Ok(1) };
    if options.has(b'l') && call.applet == "nc" {
        run.note(Note::Listened);
        run.wait(TIMEOUT_AFTER)?;
        return Ok(0);
    }
    let Some(host) = options.rest.first() else { return call.usage(run) };
    if call.applet == "nc" && options.rest.len() < 2 {
        return call.usage(run);
    }
    run.note(Note::Connected);
    fail_to_connect(run, call, host)
}

pub(super) fn serve(run: &mut Run<'_>, _: &Call<'_>) -> Status {
    run.note(Note::Listened);
    Ok(0)
}

pub(super) fn ping(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "c:w:W:s:I:i:qt:46nm:p:") else { return Ok(1) };
    let Some(host) = options.rest.first() else { return call.usage(run) };
    run.wait(TIMEOUT_AFTER)?;
    if !is_address(host) {
        match call.applet {
            "nslookup" => call.complain(run, format!("can't resolve '{}'", shown(host))),
            _ => call.complain(run, format!("bad address '{}'", shown(host))),
        }
        return Ok(1);
    }
    let host = shown(host);
    if call.applet == "ping" {
        let count = options.value(b'c').and_then(super::number).unwrap_or(4);
        run.out(format!(
            "PING {host} ({host}): 56 data bytes\n\n--- {host} ping statistics ---\n{count} packets transmitted, 0 \
                packets \
             received, 100% packet loss\n"
        ));
    }
    Ok(1)
}

/// Made from the address, so that it stays the same: of a maker of small devices.
fn hardware_address(run: &Run<'_>) -> String {
    let [_, _, c, d] = run.machine.address.octets();
    format!("00:12:{:02X}:{:02X}:{c:02X}:{d:02X}", 0x16 ^ d, 0x4a ^ c)
}

fn broadcast(run: &Run<'_>) -> std::net::Ipv4Addr {
    let [a, b, c, _] = run.machine.address.octets();
    std::net::Ipv4Addr::new(a, b, c, 255)
}

fn gateway(run: &Run<'_>) -> std::net::Ipv4Addr {
    let [a, b, c, _] = run.machine.address.octets();
    std::net::Ipv4Addr::new(a, b, c, 1)
}

pub(super) fn ifconfig(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let words: Vec<&Vec<u8>> = call.arguments.iter().filter(|word| *word != b"-a").collect();
    if words.len() > 1 {
        return Ok(0);
    }
    let name = words.first().map(|name| shown(name));
    let (address, hardware) = (run.machine.address, hardware_address(run));
    let uptime = run.machine.uptime_s + run.now.as_secs();
    let (received, sent) = (uptime * 131, uptime * 57);
    let mib = |bytes: u64| format!("{}.{} MiB", bytes >> 20, (bytes >> 10) % 1024 * 10 / 1024);
    let eth0 = format!(
        "eth0      Link encap:Ethernet  HWaddr {hardware}  \n          inet addr:{address}  Bcast:{}  \
            Mask:255.255.255.0\n          \
         UP BROADCAST RUNNING MULTICAST  MTU:1500  Metric:1\n          RX packets:{} errors:0 dropped:0 overruns:0 \
         frame:0\n          TX packets:{} errors:0 dropped:0 overruns:0 carrier:0\n          collisions:0 txqueuelen:1000 \n          \
         RX bytes:{received} ({})  TX bytes:{sent} ({})\n\n",
        broadcast(run),
        uptime / 3,
        uptime / 7,
        mib(received),
        mib(sent)
    );
    let lo = "lo        Link encap:Local Loopback  \n          inet addr:127.0.0.1  Mask:255.0.0.0\n          UP \
        LOOPBACK \
              RUNNING  MTU:65536  Metric:1\n          RX packets:0 errors:0 dropped:0 overruns:0 frame:0\n          TX \
              packets:0 errors:0 dropped:0 overruns:0 carrier:0\n          collisions:0 txqueuelen:1000 \n          RX \
              bytes:0 (0.0 B)  TX bytes:0 (0.0 B)\n\n";
    match name.as_deref() {
        None => {
            run.out(eth0);
            run.out(lo);
        }
        Some("eth0") => run.out(eth0),
        Some("lo") => run.out(lo),
        Some(name) => {
            call.complain(run, format!("{name}: error fetching interface information: Device not found"));
            return Ok(1);
        }
    }
    Ok(0)
}

pub(super) fn ip(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let words: Vec<String> =
        call.arguments.iter().map(|word| shown(word)).filter(|word| !word.starts_with('-')).collect();
    let (address, gateway) = (run.machine.address, gateway(run));
    let hardware = hardware_address(run).to_lowercase();
    let is_link = match words.first().map(String::as_str) {
        Some("a" | "ad" | "addr" | "address") => false,
        Some("l" | "li" | "link") => true,
        Some("r" | "ro" | "route") => {
            let [a, b, c, _] = address.octets();
            run.out(format!("default via {gateway} dev eth0 \n{a}.{b}.{c}.0/24 dev eth0 scope link  src {address} \n"));
            return Ok(0);
        }
        Some("n" | "neigh") => {
            run.out(format!("{gateway} dev eth0 lladdr 9c:a3:aa:10:22:01 ref 1 used 0/0/0 probes 1 REACHABLE\n"));
            return Ok(0);
        }
        _ => return call.usage(run),
    };
    let inet = |text: String| if is_link { String::new() } else { text };
    run.out(format!(
        "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue qlen 1000\n    link/loopback 00:00:00:00:00:00 brd \
         00:00:00:00:00:00\n{}2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc fq_codel qlen 1000\n    link/ether \
         {hardware} brd ff:ff:ff:ff:ff:ff\n{}",
        inet("    inet 127.0.0.1/8 scope host lo\n       valid_lft forever preferred_lft forever\n".to_owned()),
        inet(format!(
            "    inet {address}/24 brd {} scope global eth0\n       valid_lft forever preferred_lft forever\n",
            broadcast(run)
        )),
    ));
    Ok(0)
}

pub(super) fn route(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "+neA:") else { return Ok(1) };
    if !options.rest.is_empty() {
        return Ok(0);
    }
    let (gateway, is_numeric) = (gateway(run), options.has(b'n'));
    let [a, b, c, _] = run.machine.address.octets();
    let (default, none) = if is_numeric { ("0.0.0.0", "0.0.0.0") } else { ("default", "*") };
    run.out(format!(
        "Kernel IP routing table\nDestination     Gateway         Genmask         Flags Metric Ref    Use Iface\n\
            {default:<15} \
         {:<15} 0.0.0.0         UG    0      0        0 eth0\n{:<15} {none:<15} 255.255.255.0   U     0      0        0 eth0\n",
        gateway.to_string(),
        format!("{a}.{b}.{c}.0"),
    ));
    Ok(0)
}

pub(super) fn arp(run: &mut Run<'_>, _: &Call<'_>) -> Status {
    let gateway = gateway(run);
    run.out(format!("? ({gateway}) at 9c:a3:aa:10:22:01 [ether]  on eth0\n"));
    Ok(0)
}

pub(super) fn netstat(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "laentuwxrWp") else { return Ok(1) };
    if options.has(b'r') {
        let numeric = [b"-n".to_vec()];
        let arguments: &[Vec<u8>] = if options.has(b'n') { &numeric } else { &[] };
        return route(run, &Call { applet: "route", arguments });
    }
    let (lists, all) = (options.has(b'l'), options.has(b'a'));
    let title = match (lists, all) {
        (true, _) => "(only servers)",
        (_, true) => "(servers and established)",
        _ => "(w/o servers)",
    };
    let program = if options.has(b'p') { "PID/Program name    " } else { "" };
    let mut out = format!(
        "Active Internet connections {title}\nProto Recv-Q Send-Q Local Address           Foreign Address         \
            State       {program}\n"
    );
    let has_tcp = !options.has(b'u') && !options.has(b'x') || options.has(b't');
    if has_tcp && (lists || all) {
        for (port, owner) in [(80, "548/httpd"), (23, "611/telnetd"), (554, "530/streamer")] {
            let owner = if options.has(b'p') { format!("{owner:<19}") } else { String::new() };
            out.push_str(&format!(
                "tcp        0      0 {:<23} 0.0.0.0:*               LISTEN      {owner}\n",
                format!("0.0.0.0:{port}")
            ));
        }
    }
    run.out(out);
    Ok(0)
}
