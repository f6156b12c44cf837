"""Roles of access keys, the pages under Admin, and what other tools read."""

import json
import pathlib
import re
import socket
import tempfile

import botocore.exceptions
import openapi_spec_validator
import requests
from handing_in import Hub, session
from harness import check, equal, free_port, run
from prometheus_client.parser import text_string_to_metric_families
from visitors import Console, says

class Collector:
    """A collector of syslog that reads messages with counted octets (RFC 6587, section 3.4.1)."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(30)
        self.port = self.listener.getsockname()[1]

    def messages(self, count):
        connection, _ = self.listener.accept()
        connection.settimeout(30)
        with connection, connection.makefile("rb") as stream:
            return [stream.read(int(self.length(stream))).decode() for _ in range(count)]

    @staticmethod
    def length(stream):
        digits = b""
        while (byte := stream.read(1)) != b" ":
            digits += byte
        return digits


class Place(Console, Hub):
    """A server with a console, at which a sensor hands in what checks write."""


METRICS = free_port()
COLLECTOR = Collector()
ECS_FILE = pathlib.Path(tempfile.mkdtemp(prefix="komainu-ecs-")) / "ecs.ndjson"


def key(server, role, note=""):
    """An access key with this role."""
    printed = server.command("keys", "create", "--role", role, "--note", note)
    return re.findall(r"=(\S+)", printed)[:2]


def refused(code, act, needs):
    """Fails unless AWS's client is refused with this code, and told which role is needed."""
    try:
        answer = act()
    except botocore.exceptions.ClientError as error:
        equal(error.response["Error"]["Code"], code, error)
        equal(error.response["ResponseMetadata"]["HTTPStatusCode"], 403, error)
        if f"needs the role {needs}" not in str(error):
            raise AssertionError(f"the role {needs} is not named: {error}") from error
        return
    raise AssertionError(f"{code} was expected, and it was done: {answer}")


@check
def access_keys_have_roles(server):
    viewer, analyst, admin = (key(server, role, f"check of {role}") for role in ("viewer", "analyst", "admin"))
    behaviors = [{"name": "quiet", "metric": "aws:num-messages-sent",
                  "criteria": {"comparisonOperator": "less-than", "value": {"count": 5}, "durationSeconds": 300}}]
    iot = server.boto("iot", key=viewer)
    iot.list_things()
    iot.list_active_violations()
    refused("AccessDeniedException", lambda: iot.create_thing(thingName="lamp"), "admin")
    refused("AccessDeniedException",
            lambda: iot.create_security_profile(securityProfileName="calm", behaviors=behaviors), "analyst")
    sns = server.boto("sns", key=viewer)
    sns.list_topics()
    refused("AuthorizationError", lambda: sns.create_topic(Name="alarms"), "analyst")
    data = server.boto("iot-data", key=viewer)
    refused("AccessDeniedException", lambda: data.publish(topic="a", payload=b"b"), "analyst")
    server.boto("sts", key=viewer).get_caller_identity()

    iot = server.boto("iot", key=analyst)
    iot.create_security_profile(securityProfileName="calm", behaviors=behaviors)
    refused("AccessDeniedException", lambda: iot.create_thing(thingName="lamp"), "admin")
    refused("AccessDeniedException", lambda: iot.create_keys_and_certificate(setAsActive=True), "admin")
    server.boto("sns", key=analyst).create_topic(Name="alarms")
    server.boto("iot-data", key=analyst).publish(topic="a", payload=b"b")
    server.boto("iot", key=admin).create_thing(thingName="lamp")

    # VirusTotal's clients: who looks may not hand in.
    sent = {"x-apikey": ":".join(viewer)}
    equal(requests.get(f"{server.endpoint_url}/api/v3/files/{'0a' * 32}", headers=sent, timeout=30).status_code, 404)
    answer = requests.get(f"{server.endpoint_url}/api/v3/files/upload_url", headers=sent, timeout=30)
    equal((answer.status_code, answer.json()["error"]["code"]), (403, "ForbiddenError"))

    listed = server.command("keys", "list")
    for each, role in ((viewer, "viewer"), (analyst, "analyst"), (admin, "admin")):
        line = next(line for line in listed.splitlines() if line.startswith(each[0]))
        equal((line.split()[1:3], line.endswith(f"check of {role}"), line.split()[4] != "-"),
              ([role, "active"], True, True), line)
        equal(each[1] in listed, False, "a secret is listed")
    server.command("keys", "revoke", viewer[0])
    server.command("keys", "delete", viewer[0])
    equal(viewer[0] in server.command("keys", "list"), False)


@check
def keys_are_made_and_revoked_in_the_console(server):
    browser = server.browser("aiko", "admin")
    made = browser.post("/admin/keys", {"role": "viewer", "note": "Grafana <b>"})
    equal((made.status_code, made.headers["cache-control"]), (200, "no-store"))
    secret = re.search(r"AWS_SECRET_ACCESS_KEY=([^<\s]+)", made.text)[1]
    named = re.search(r"AWS_ACCESS_KEY_ID=(\w+)", made.text)[1]
    server.boto("iot", key=(named, secret)).list_things()
    page = says(browser.get("/admin/keys"), "Grafana <b>", 200)
    equal(secret in page.text, False, "the secret is shown again")
    equal(secret in server.log.read_text(), False, "the secret is in the log")
    says(browser.post(f"/admin/keys/{named}/delete", {}, page="/admin/keys"), "Revoke it first", 409)
    says(browser.post(f"/admin/keys/{named}/revoke", {}, page="/admin/keys"), "opens nothing", 200)
    try:
        server.boto("iot", key=(named, secret)).list_things()
        raise AssertionError("a revoked key opens the control plane")
    except botocore.exceptions.ClientError as error:
        equal(error.response["Error"]["Code"], "UnrecognizedClientException")
    says(browser.post(f"/admin/keys/{named}/delete", {}, page="/admin/keys"), "deleted", 200)
    equal(named in browser.get("/admin/keys").text, False)
    trail = browser.get("/admin/audit")
    for action in ("made an access key", "revoked an access key", "deleted an access key"):
        says(trail, action)
    equal(server.browser("ren", "analyst").get("/admin/keys").status_code, 403)


@check
def health_and_retention_are_shown(server):
    browser = server.browser("aiko", "admin")
    page = says(browser.get("/admin/health"), "Listeners", 200)
    for name in ("listen.api", "listen.mqtts", "console.listen", "listen.metrics"):
        says(page, name)
    page = says(browser.get("/admin/retention"), "hub.records_bytes_max", 200)
    says(page, "threat/records")
    for path in ("/admin/health", "/admin/retention"):
        equal(len(browser.get(path).content) < 150_000, True, path)
        equal(server.browser("ren", "analyst").get(path).status_code, 403)
        says(browser.post("/account/language", {"language": "ja"}, page="/account"), "アカウント")
        says(browser.get("/admin/health"), "待ち受け", 200)
        browser.post("/account/language", {"language": "en"}, page="/account")


@check
def metrics_are_what_prometheus_reads(server):
    answer = requests.get(f"http://127.0.0.1:{METRICS}/metrics", timeout=30)
    equal((answer.status_code, answer.headers["content-type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    samples = {(each.name, *each.labels.values()): each.value for family in families.values() for each in family.samples}
    equal(families["komainu_deliveries"].type, "counter")
    equal(samples["komainu_violations_active",], 0)
    equal(samples["komainu_lake_rows", "attacks"], 0)
    equal(samples["process_resident_memory_bytes",] > 1e6, True)
    equal(set(samples) >= {("komainu_samples", "waiting"), ("komainu_sensors", "silent"), ("komainu_warning", "disk-full")}, True)
    equal(requests.get(f"http://127.0.0.1:{METRICS}/", timeout=30).status_code, 404)
    equal(requests.post(f"http://127.0.0.1:{METRICS}/metrics", timeout=30).status_code, 405)


@check
def others_read_attacks_and_alarms(server):
    viewer = key(server, "viewer", "reads")

    def get(path, key=viewer, **query):
        headers = {"x-apikey": ":".join(key)} if key else {}
        return requests.get(f"{server.endpoint_url}/api/v1/{path}", params=query, headers=headers, timeout=60)

    description = get("openapi.json", key=None).json()
    openapi_spec_validator.validate(description)
    equal({path.rpartition("/")[2] for path in description["paths"]},
          {"attacks", "observables", "alarms", "sensors", "indicators"})
    for name, path in description["paths"].items():
        answer = get(name.removeprefix("/api/v1/"))
        equal((answer.status_code, "items" in answer.json()), (200, True), name)
        answer = get(name.removeprefix("/api/v1/"), format="csv")
        equal((answer.status_code, answer.headers["content-type"].split(";")[0]), (200, "text/csv"), name)
        equal({parameter["in"] for parameter in path["get"]["parameters"]}, {"query"})
    equal(get("attacks").json(), {"items": [{"count": 0}], "rows": 0})
    equal(get("attacks", by="country,port", since="7d", every="day", top=5).json(), {"items": [], "rows": 0})
    for wrong in ({"by": "colour"}, {"where": "x"}, {"list": 0}, {"since": "soon"}, {"nothing": 1}, {"list": 5, "top": 1}):
        answer = get("attacks", **wrong)
        equal((answer.status_code, answer.json()["error"]["code"]), (400, "malformed"), wrong)
    equal(get("nothing").status_code, 404)
    equal(get("attacks", key=None).json()["error"]["code"], "no-key")
    equal(get("attacks", key=(viewer[0], "x" * 40)).json()["error"]["code"], "wrong-key")


@check
def attacks_and_alarms_are_told(server):
    """As lines of ECS into a file, and by syslog over TCP with counted octets."""
    equal(server.hand_in(1, 1, [session(3), session(4)]), 200)
    messages = COLLECTOR.messages(2)
    told = []
    for message in messages:
        line = re.match(r"<134>1 [0-9TZ:.-]+ \S+ komainu - attack - (\{.*\})$", message)[1]
        told.append(json.loads(line))
        equal((told[-1]["event"]["kind"], told[-1]["event"]["dataset"]), ("event", "komainu.attack"), line)
        equal((told[-1]["observer"]["name"], told[-1]["network"]["protocol"]), ("tokyo", "telnet"), line)
    equal({each["source"]["ip"] for each in told}, {"192.0.2.3", "192.0.2.4"})
    equal([json.loads(line) for line in ECS_FILE.read_text().splitlines()], told)
    # The same batch again is known, and is not told again.
    equal(server.hand_in(1, 1, [session(3), session(4)]), 200)
    equal(len(ECS_FILE.read_text().splitlines()), 2)
    says(server.browser("aiko", "admin").get("/admin/health"), "Lines for other systems", 200)
    answer = requests.get(f"http://127.0.0.1:{METRICS}/metrics", timeout=30)
    equal('komainu_output_lines_total{outcome="written"} 4' in answer.text, True, answer.text)


run(Place, configuration=f"""
[listen]
metrics = "127.0.0.1:{METRICS}"
[output]
file = "{ECS_FILE}"
syslog = "tcp://127.0.0.1:{COLLECTOR.port}"
""")
