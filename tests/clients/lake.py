"""The lake of a real server: what sensors hand in and devices report is counted once, whoever is killed meanwhile."""

import collections
import csv
import io
import json
import threading
import time

from handing_in import NAME, Hub, session
from harness import ACCOUNT, REGION, Mqtt, check, equal, run, wait_until

BATCHES = 60
SESSIONS = 20
HOSTILE = "\x1b[2J\u202e<script>,\"\n\x00"
METRICS = ["aws:all-bytes-out", "aws:listening-tcp-ports"]


@check
def attacks_are_counted_once_whoever_is_killed(hub):
    stopped = threading.Event()
    statuses = collections.Counter()

    def hand_all_in():
        for sequence in range(BATCHES):
            lines = [session(sequence * SESSIONS + number) for number in range(SESSIONS)]
            while not stopped.is_set():
                status = hub.hand_in(1, sequence, lines)
                statuses[status] += 1
                if status == 200:
                    break
                time.sleep(0.05)
            # Now and then a sensor does not hear that it was answered.
            if sequence % 7 == 0:
                statuses[hub.hand_in(1, sequence, lines)] += 1

    handing_in = threading.Thread(target=hand_all_in)
    handing_in.start()
    try:
        kills = 0
        while handing_in.is_alive() and kills < 8:
            time.sleep(0.4 + 0.17 * kills)
            hub.kill()
            hub.start()
            kills += 1
        handing_in.join(120)
        equal(handing_in.is_alive(), False, "everything was handed in")
    finally:
        stopped.set()
        handing_in.join()
    print(f"  {kills} times killed, answers {dict(statuses)}")
    # What was kept and not counted before the server was killed is counted when it starts.
    wait_until("all attacks", lambda: hub.count("attacks") >= BATCHES * SESSIONS)
    every_attack_is_there(hub)
    hub.stop()
    every_attack_is_there(hub)
    hub.start()
    every_attack_is_there(hub)


def every_attack_is_there(hub):
    numbers = range(BATCHES * SESSIONS)
    total = len(numbers)
    equal(hub.count("attacks"), total)
    equal(hub.count("observables", "--where", "kind=credential"), total)
    by_country = {row["country"]: row["count"] for row in hub.rows("attacks", "--by", "country")}
    equal(by_country, dict(collections.Counter(["CN", "US", "JP"][number % 3] for number in numbers)))
    by_day = hub.rows("attacks", "--every", "day", "--distinct", "source")
    equal(sum(row["count"] for row in by_day), total)
    sources = {f"2025-11-{day + 1:02}T00:00:00Z": len({n % 50 for n in numbers if n % 20 == day}) for day in range(20)}
    equal({row["time"]: row["distinct_source"] for row in by_day}, sources)
    one = hub.rows("attacks", "--where", "source=192.0.2.7", "--where", "port>=80", "--where", "country!=CN")
    equal(one[0]["count"], sum(n % 50 == 7 and n % 2 == 1 and n % 3 != 0 for n in numbers))
    equal(hub.count("attacks", "--since", "2025-11-05", "--until", "2025-11-06"), sum(n % 20 == 4 for n in numbers))
    top = hub.rows("observables", "--by", "value", "--where", "kind=credential", "--top", "3")
    counts = collections.Counter(f"root:pass{number % 7}" for number in numbers)
    equal([(row["value"], row["count"]) for row in top], sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:3])
    equal({row["sensor"] for row in hub.rows("attacks", "--by", "sensor")}, {NAME}, "whatever lines say")


@check
def rows_are_listed_and_exported(hub):
    latest = hub.rows("attacks", "--list", "--limit", "5")
    equal(len(latest), 5)
    equal(all(row["time"].startswith("2025-11-20T") for row in latest), True, latest)
    equal([row["time"] for row in latest], sorted((row["time"] for row in latest), reverse=True))
    total = hub.count("attacks")
    exported = hub.command("attacks", "--export")
    equal(len(list(csv.DictReader(io.StringIO(exported)))), total)
    out = hub.folder / "attacks.ndjson"
    hub.command("attacks", "--export", "--json", "--where", "port=23", "--out", out)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    equal((len(lines), {line["port"] for line in lines}), (hub.count("attacks", "--where", "port=23"), {23}))
    equal(out.stat().st_mode & 0o777, 0o600)
    equal("cannot write" in hub.refused("attacks", "--export", "--out", str(out)), True)
    status = {row["table"]: row["rows"] for row in hub.rows("lake", "status")}
    equal(status["attacks"], total)


@check
def hostile_texts_come_out_as_they_went_in_and_move_no_terminal(hub):
    lines = [session(0, commands=[{"line": HOSTILE}, {"line": "x" * 10_000}], notes=["hostile"])]
    equal(hub.hand_in(2, 0, lines), 200)
    of_commands = ["observables", "--list", "--where", "kind=command"]
    values = [row["value"] for row in hub.rows(*of_commands)]
    equal(sorted(values), sorted([HOSTILE, "x" * 4096]))
    table = hub.command(*of_commands)
    equal(any(letter in table for letter in "\x1b\u202e\x00"), False, table)
    read = [row["value"] for row in csv.DictReader(io.StringIO(hub.command(*of_commands, "--format", "csv"), newline=""))]
    equal(sorted(read), sorted(values))
    # What cannot be read costs itself, and is told.
    broken = session(1)
    broken["line"]["src_ip"] = "somewhere"
    before = hub.count("attacks")
    equal(hub.hand_in(2, 1, [broken, session(2)]), 200)
    equal(hub.count("attacks"), before + 1)
    wait_until("a word about it", lambda: "hub.attacks_not_counted" in hub.log.read_text())


@check
def questions_that_make_no_sense_are_refused(hub):
    equal("there is no column `contry` in attacks; it has: time, source" in hub.refused("attacks", "--by", "contry"), True)
    equal("`port` is a number" in hub.refused("attacks", "--where", "port^=2"), True)
    equal("5 columns are more than 4" in hub.refused("attacks", "--by", "source,country,asn,sensor,port"), True)
    equal("write how long ago" in hub.refused("attacks", "--since", "soon"), True)


@check
def reports_come_into_the_lake_once_whoever_is_killed(hub):
    iot = hub.boto("iot")
    profile, everything = "lake", f"arn:aws:iot:{REGION}:{ACCOUNT}:all/things"
    iot.create_security_profile(
        securityProfileName=profile, additionalMetricsToRetainV2=[{"metric": metric} for metric in METRICS]
    )
    iot.attach_security_profile(securityProfileName=profile, securityProfileTargetArn=everything)
    files = hub.anybody()
    reports = 0
    for again in range(4):
        device = Mqtt(hub, files, "lamp").connect()
        for outcome in ("accepted", "rejected"):
            device.subscribe(f"$aws/things/lamp/defender/metrics/json/{outcome}")
        for number in range(10):
            report = {
                "header": {"report_id": 1 + again * 100 + number, "version": "1.0"},
                "metrics": {
                    "network_stats": {"bytes_in": 1, "bytes_out": 100, "packets_in": 1, "packets_out": 1},
                    "listening_tcp_ports": {"ports": [{"port": 22}, {"port": 80}], "total": 2},
                    "tcp_connections": {
                        "established_connections": {"connections": [{"remote_addr": "203.0.113.7:443"}], "total": 1}
                    },
                },
            }
            device.publish("$aws/things/lamp/defender/metrics/json", json.dumps(report))
            equal(device.next().topic.endswith("/accepted"), True)
            reports += 1
        device.drop()
        # What was accepted is durable, and is on its way to the lake.
        hub.kill()
        hub.start()
    of_lamp = ["--where", "device=lamp"]
    ports = ["devices", "datapoints", *of_lamp, "--where", f"metric={METRICS[1]}"]
    wait_until("all reports", lambda: hub.count("devices", "connections", *of_lamp) >= reports)
    time.sleep(2)
    equal(hub.count("devices", "connections", *of_lamp), reports)
    equal(hub.count("devices", "datapoints", *of_lamp, "--where", f"metric={METRICS[0]}"), reports)
    equal({row["item"]: row["count"] for row in hub.rows(*ports, "--by", "item")}, {"22": reports, "80": reports})


run(Hub, configuration="[intel]\ndocumentation_addresses = true\n")
