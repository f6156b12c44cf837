"""Personas that answer datagrams, visited by the programs that people use, in a network of this script's own.

The network has one interface, on which everything reaches itself: ports are as devices have them, and what goes to
everybody (multicast) stays here.
"""

import hashlib
import os
import pathlib
import random
import socket
import subprocess
import sys

OWN_NETWORK = "KOMAINU_OWN_NETWORK"

if OWN_NETWORK not in os.environ:
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = ["unshare", "--net", *rights, sys.executable, *sys.argv]
    os.execvpe(command[0], command, os.environ | {OWN_NETWORK: "1"})
subprocess.run(["ip", "link", "set", "lo", "up", "multicast", "on"], check=True)
# Without a route, what goes to everybody goes nowhere.
subprocess.run(["ip", "route", "add", "239.0.0.0/8", "dev", "lo"], check=True)

from harness import KOMAINU, LIMIT_S, ROOT, Sensor, check, equal, run, wait_until  # noqa: E402

PERSONA = ROOT / "crates/komainu-sensor/tests/data/datagrams.toml"
# Ports of the persona that take datagrams.
PORTS = (69, 161, 1900, 3702, 5060, 5683)
SEARCH = b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n'


class OwnSensor(Sensor):
    """A sensor on all addresses of the network, with the persona's own ports."""

    offset = 0

    def start(self):
        command = [KOMAINU, "sensor", "--data", self.data, "--config", self.configuration]
        command += ["--persona", str(PERSONA), "--listen", "0.0.0.0"]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_until("`ready`", lambda: self.is_ready() or self.process.poll() is not None)
        if self.process.poll() is not None:
            raise AssertionError(f"the sensor ended ({self.process.returncode}):\n{self.log.read_text()[-3000:]}")

    def of_type(self, name, event_type):
        return [line for line in self.lines(name) if line["event_type"] == event_type]


def output(*command, status=0):
    """What a program prints; its exit status must be `status`, or any where that is None."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL)
    if status is not None:
        equal(done.returncode, status, f"{command}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def has(text, *parts):
    for part in parts:
        equal(part in text, True, f"{part!r} in {text}")


def get_acquainted(address="127.0.0.1"):
    """Opens a connection: after that, the sensor knows that this address is where it says it is."""
    with socket.create_connection(("127.0.0.1", 23), LIMIT_S, (address, 0)) as known:
        equal(len(known.recv(1)), 1)


@check
def the_start_shows_datagrams(sensor):
    listed = [line.split()[:4] for line in sensor.log.read_text().splitlines() if line.startswith("  everything")]
    for service, port in (("tftp", 69), ("snmp", 161), ("ssdp", 1900), ("wsd", 3702), ("coap", 5683), ("sip", 5060)):
        equal(["everything", service, "udp", f"0.0.0.0:{port}"] in listed, True, listed)
    equal(["everything", "sip", "tcp", "0.0.0.0:5060"] in listed, True, listed)


@check
def strangers_never_get_more_than_they_say(sensor):
    """Hundreds of questions from addresses that never opened a connection, some broken, to every port."""
    chance = random.Random(1)
    questions = [
        SEARCH,
        SEARCH.replace(b"ssdp:all", b"upnp:rootdevice"),
        probe("dn:NetworkVideoTransmitter"),
        b"\x00\x01/etc/config\x00octet\x00blksize\x001400\x00tsize\x000\x00",
        b"\x00\x01nothing\x00octet\x00",
        b"\x00\x02/tmp/a\x00octet\x00",
        b"\x00\x03\x00\x01data",
        b"\x00\x04\x00\x01",
        bytes.fromhex("302602010104067075626c6963a519020101020100020132300e300c06082b06010201010100" + "0500"),
        bytes.fromhex("302902010104067075626c6963a01c02040000000102010002010030" + "0e300c06082b060102010101000500"),
        bytes.fromhex("301f02010104067075626c6963a112020101020100020100300730050601" + "2b0500"),
        b"\x40\x01\x00\x01\xbb.well-known\x04core",
        b"\x40\x01\x00\x01\xb3log",
        b"\x40\x00\x00\x01",
        sip_request("OPTIONS"),
        sip_request("REGISTER"),
        sip_request("INVITE"),
        b"",
        bytes(1400),
    ]
    strangers = {(port, number): stranger(port, f"127.0.{2 + number}.1") for port in PORTS for number in range(25)}
    said, heard = dict.fromkeys(strangers, 0), dict.fromkeys(strangers, 0)
    for number in range(900):
        question = bytearray(questions[number % len(questions)])
        if number >= len(questions) * len(PORTS) and question:
            question[chance.randrange(len(question))] = chance.randrange(256)
        key = (PORTS[number // len(questions) % len(PORTS)], chance.randrange(25))
        said[key] += strangers[key].send(bytes(question))
        heard[key] += heard_by(strangers[key])
    for port in PORTS:
        wait_until("the sensor to take what was said", lambda port=port: is_taken(port))
    sensor.stop()
    for key, one in strangers.items():
        heard[key] += heard_by(one)
        equal(heard[key] <= said[key], True, f"{key} said {said[key]} bytes and heard {heard[key]}")
        one.close()
    flows = [line["flow"] for line in sensor.of_type("eve.json", "flow")]
    equal(sum(flow["bytes_toserver"] for flow in flows), sum(said.values()), "all was recorded")
    equal(sum(flow["bytes_toclient"] for flow in flows), sum(heard.values()), "and nothing else was said")
    equal(sum(heard.values()) > 1000, True, heard)
    withheld = sensor.of_type("honeypot.json", "reply_withheld")
    equal({line["dest_port"] for line in withheld} >= {69, 161, 1900, 3702, 5683}, True)
    natural = sum(line["reply_withheld"]["reply_bytes"] for line in withheld)
    print(f"     {sum(said.values())} bytes in, {sum(heard.values())} out; {natural} withheld at first sight", flush=True)
    sensor.start()


def stranger(port, address):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind((address, 0))
    one.connect(("127.0.0.1", port))
    one.setblocking(False)
    return one


def heard_by(one):
    """Bytes of the answers that are here."""
    heard = 0
    while True:
        try:
            heard += len(one.recv(65535))
        except BlockingIOError:
            return heard


def is_taken(port):
    """Whether nothing waits in the sensor's socket: its receive queue, as the kernel shows it."""
    wanted = f":{port:04X}"
    for line in pathlib.Path("/proc/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(wanted) and fields[2].endswith(":0000"):
            return fields[4].split(":")[1] == "00000000"
    raise AssertionError(f"nothing is open at port {port}")


def sip_request(method):
    return (
        f"{method} sip:100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK1;rport\r\n"
        f"From: <sip:a@b>;tag=1\r\nTo: <sip:100@c>\r\nCall-ID: 1\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\n\r\n"
    ).encode()


def probe(types):
    return (
        '<?xml version="1.0" encoding="UTF-8"?><e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope" '
        'xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
        'xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery" '
        'xmlns:dn="http://www.onvif.org/ver10/network/wsdl"><e:Header><w:MessageID>uuid:7</w:MessageID>'
        "<w:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>"
        "<w:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action></e:Header>"
        f"<e:Body><d:Probe><d:Types>{types}</d:Types></d:Probe></e:Body></e:Envelope>"
    ).encode()


@check
def tftp_leaves_a_file_whoever_sends_it(sensor):
    folder = sensor.folder / "tftp"
    folder.mkdir()
    for number, send in enumerate((tftp_hpa, busybox_tftp, curl_tftp)):
        # One is as long as its blocks: an empty one ends it.
        contents = bytes([number]) * (512 * 40 if number == 0 else 30_000)
        path = folder / f"left-{number}"
        path.write_bytes(contents)
        send(path)
        sha256 = hashlib.sha256(contents).hexdigest()
        artifacts = lambda: [line["artifact"] for line in sensor.of_type("honeypot.json", "artifact")]  # noqa: E731
        mine = wait_until("the artifact", lambda: [one for one in artifacts() if one["sha256"] == sha256])  # noqa: B023
        equal((mine[0]["bytes"], mine[0]["stored"], mine[0]["via"]), (len(contents), True, "tftp_upload"))
        equal(sensor.artifact(sha256), contents)


def tftp_hpa(path):
    output("tftp", "-m", "binary", "127.0.0.1", "-c", "put", str(path), "/tmp/left-0")


def busybox_tftp(path):
    output("busybox", "tftp", "-p", "-l", str(path), "-r", "left-1", "127.0.0.1")


def curl_tftp(path):
    output("curl", "--silent", "--show-error", "-T", str(path), "tftp://127.0.0.1/left-2")


@check
def tftp_shows_a_file_to_who_is_known(sensor):
    get_acquainted()
    path = sensor.folder / "got"
    output("tftp", "-m", "binary", "127.0.0.1", "-c", "get", "/etc/config", str(path))
    equal(path.read_text(), "hostname=everything\n")
    equal(output("curl", "--silent", "tftp://127.0.0.1//etc/config"), "hostname=everything\n")
    has(output("tftp", "127.0.0.1", "-c", "get", "nothing", str(path), status=None), "File not found")


@check
def net_snmp_walks_through_the_objects(sensor):
    get_acquainted()
    options = ("-On", "-m", "", "-r", "1", "-t", "5")
    walked = output("snmpwalk", "-v2c", "-c", "public", *options, "127.0.0.1", "1.3.6.1")
    has(
        walked,
        '.1.3.6.1.2.1.1.1.0 = STRING: "A gate that tells more of itself than anybody asked for"',
        ".1.3.6.1.2.1.1.2.0 = OID: .1.3.6.1.4.1.8072.3.2.10",
        ".1.3.6.1.2.1.1.3.0 = Timeticks: ",
        ".1.3.6.1.2.1.2.1.0 = INTEGER: 1",
        ".1.3.6.1.2.1.2.2.1.5.1 = Gauge32: 4294967295",
        ".1.3.6.1.2.1.2.2.1.10.1 = Counter32: 90311",
        ".1.3.6.1.2.1.4.20.1.1.127.0.0.1 = IpAddress: 127.0.0.1",
        "No more variables left in this MIB View",
    )
    equal(sum(line.startswith(".1.3.6.1.") for line in walked.splitlines()), 10, walked)
    has(output("snmpwalk", "-v1", "-c", "public", *options, "127.0.0.1", "1.3.6.1"), '.1.3.6.1.2.1.1.5.0 = STRING: "everything"')
    has(output("snmpbulkwalk", "-v2c", "-c", "public", *options, "127.0.0.1", "1.3.6.1"), ".1.3.6.1.2.1.2.2.1.2.1 = STRING: \"lo\"")
    name = "1.3.6.1.2.1.1.5.0"
    has(output("snmpget", "-v2c", "-c", "public", *options, "127.0.0.1", name), 'STRING: "everything"')
    has(output("snmpget", "-v2c", "-c", "public", *options, "127.0.0.1", "1.3.6.1.9.0"), "No Such Object")
    has(output("snmpset", "-v2c", "-c", "public", *options, "127.0.0.1", name, "s", "x", status=2), "noAccess")
    has(output("snmpget", "-v2c", "-c", "wrong", "-On", "-m", "", "-r", "0", "-t", "1", "127.0.0.1", name, status=1), "Timeout")
    # A login is told when it is answered, or when its flow is over and it was not.
    sensor.stop()
    sensor.start()
    logins = [line["login"].get("accepted") for line in sensor.of_type("honeypot.json", "login")]
    equal({True, None} <= set(logins), True, logins)


@check
def snmp_says_to_strangers_that_it_is_too_big(sensor):
    # Longer than the question: the first three words of a system.
    got = output(
        "snmpget", "-v2c", "-c", "public", "-On", "-m", "", "-r", "0", "-t", "5",
        "--clientaddr=127.0.0.99", "127.0.0.1", "1.3.6.1.2.1.1.1.0", status=2,
    )  # fmt: skip
    has(got, "tooBig")


@check
def version_3_of_snmp_shows_an_engine_that_knows_no_user(sensor):
    get_acquainted()
    user = ("-u", "operator", "-l", "authPriv", "-a", "SHA", "-A", "not-this-one-0815", "-x", "AES", "-X", "not-this-one-0815")
    walk = lambda user, *more: output("snmpwalk", "-v3", "-On", "-m", "", *user, *more, status=1)  # noqa: E731
    has(walk(user, "-r", "0", "-t", "5", "127.0.0.1"), "Unknown user name")
    has(walk(("-u", "guest", "-l", "noAuthNoPriv"), "-r", "0", "-t", "5", "127.0.0.1"), "Unknown user name")
    seen = output("nmap", "-n", "-Pn", "-sU", "-p", "161", "--script", "snmp-info", "--host-timeout", "60", "127.0.0.1")
    has(seen, "enterprise: net-snmp", "engineIDFormat: mac", "engineIDData: 0012170a4f26", "snmpEngineBoots: 7")
    # A stranger has said enough when it asks again.
    stranger = ("--clientaddr=127.0.0.97", "127.0.0.1")
    has(walk(user, "-r", "0", "-t", "1", *stranger), "Timeout")
    has(walk(user, "-r", "3", "-t", "1", *stranger), "Unknown user name")
    look = lambda: {(x["login"]["user"], x["login"].get("mechanism"), x["login"].get("accepted"))  # noqa: E731
                    for x in sensor.of_type("honeypot.json", "login") if x["login"].get("user")}  # fmt: skip
    expected = {("operator", "usm", False), ("guest", None, False)}
    wait_until("the users that were tried", lambda: expected <= look())
    withheld = [x for x in sensor.of_type("honeypot.json", "reply_withheld") if x["src_ip"] == "127.0.0.97"]
    equal(len(withheld) > 0, True, "what a stranger was not told at first is written down")


@check
def libcoap_lists_and_reads(sensor):
    get_acquainted()
    ask = lambda *more: output("coap-client-notls", "-B", "5", *more)  # noqa: E731
    listed = ask("-m", "get", "coap://127.0.0.1/.well-known/core")
    has(listed, '</state>;rt="light"', "</log>")
    equal(ask("-m", "get", "coap://127.0.0.1/state").strip(), "off")
    has(ask("-m", "get", "coap://127.0.0.1/log"), "A text that is longer", "The end.")
    has(ask("-m", "get", "-b", "64", "coap://127.0.0.1/log"), "The end.")
    has(ask("-m", "get", "coap://127.0.0.1/nothing"), "4.04")
    ask("-m", "put", "-e", "on", "coap://127.0.0.1/state")
    has(ask("-m", "delete", "coap://127.0.0.1/state"), "4.05")
    # Of a stranger there is no room for it; it is told so.
    has(ask("-a", "127.0.0.98", "-m", "get", "coap://127.0.0.1/.well-known/core"), "5.03")


@check
def sipsak_finds_a_telephone(sensor):
    has(output("sipsak", "-vv", "-s", "sip:100@127.0.0.1:5060"), "SIP/2.0 200 OK", "Allow: INVITE")
    register = ("sipsak", "-U", "-s", "sip:100@127.0.0.1", "-C", "sip:100@127.0.0.1:9999", "-vv", "-u", "100")
    has(output(*register, "-a", "1234"), "authorizing", "OK")
    has(output(*register, "-a", "1235", status=1), "403 Forbidden")
    has(output("sipsak", "-E", "tcp", "-vv", "-s", "sip:100@127.0.0.1:5060"), "SIP/2.0 200 OK")


@check
def upnpc_finds_the_gate_by_asking_everybody(sensor):
    get_acquainted()
    has(output("upnpc", "-m", "127.0.0.1", "-l", status=None), "http://127.0.0.1:80/gate.xml", "InternetGatewayDevice")


@check
def nmap_knows_what_it_is(sensor):
    get_acquainted()
    nmap = lambda *more: output("nmap", "-n", "-Pn", "--host-timeout", "60", *more, "127.0.0.1")  # noqa: E731
    has(nmap("-sU", "-p", "161", "--script", "snmp-sysdescr"), "161/udp open", "A gate that tells more of itself")
    has(nmap("-sU", "-p", "1900", "--script", "upnp-info"), "1900/udp open", "Komainu/1")
    has(nmap("-sU", "-p", "5683", "--script", "coap-resources"), "5683/udp open", "/state")
    has(nmap("-sU", "-p", "5060", "--script", "sip-methods"), "5060/udp open", "INVITE")
    has(nmap("-p", "5060", "--script", "sip-methods"), "5060/tcp open", "INVITE")
    has(nmap("-sU", "-p", "3702", "--script", "wsdd-discover"), "3702/udp open", "http://127.0.0.1/onvif/device_service")


run(OwnSensor, configuration='[sensor]\nid = "check"\n')
