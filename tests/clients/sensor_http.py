"""A persona's web pages: curl, requests that are none, and what is written down of them."""

import hashlib
import json
import subprocess

from harness import LIMIT_S, Sensor, check, equal, run

UPLOAD = b"not a firmware, but a text\n" * 3000


def curl(sensor, path, *more, port=80):
    """What curl got: status, headers, body, and the port that it came from."""
    told = '\n{"status": %{http_code}, "port": %{local_port}}'
    command = ["curl", "--silent", "--show-error", "--max-time", str(LIMIT_S), "--include", "--write-out", told]
    command += [*more, f"http://127.0.0.1:{sensor.port(port)}{path}"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{command} failed ({done.returncode}): {done.stderr}")
    answer, _, said = done.stdout.rpartition(b"\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    said = json.loads(said)
    return said["status"], head, body, said["port"]


def of_type(lines, event_type):
    return [line[event_type] for line in lines if line["event_type"] == event_type]


@check
def pages(sensor):
    status, head, body, port = curl(sensor, "/?from=curl", "--user-agent", "check/1.0")
    equal((status, b"Server: mini_httpd/1.19 19dec2003" in head, b"HL-C220" in body), (200, True, True))
    summary, eve, _ = sensor.session(port)
    (http,) = of_type(eve, "http")
    equal((http["http_method"], http["url"], http["status"]), ("GET", "/?from=curl", 200))
    equal(http["http_user_agent"], "check/1.0")
    equal(summary["fingerprints"]["http_user_agent"], "check/1.0")
    (flow,) = of_type(eve, "flow")
    equal(flow["bytes_toclient"], len(head) + 4 + len(body))
    equal(curl(sensor, "/nowhere")[0], 404)
    equal(curl(sensor, "/rootDesc.xml")[2].startswith(b"<?xml"), True)
    equal(curl(sensor, "/", "--head")[2], b"")


@check
def a_login(sensor):
    path = "/cgi-bin/sysinfo.cgi"
    status, head, _, _ = curl(sensor, path)
    equal((status, b'WWW-Authenticate: Basic realm="HL-C220"' in head), (401, True))
    status, _, _, port = curl(sensor, path, "--user", "admin:wrong-0815")
    equal(status, 401)
    summary, _, _ = sensor.session(port)
    equal([(one["user"], one["accepted"]) for one in summary["auth"]], [("admin", False)])
    status, _, body, port = curl(sensor, path, "--user", "root:xc3511")
    equal((status, b"serial=" in body), (200, True))
    summary, _, _ = sensor.session(port)
    equal([(one["user"], one["accepted"]) for one in summary["auth"]], [("root", True)])
    for name in ("eve.json", "honeypot.json"):
        text = (sensor.data / "sensor" / name).read_text()
        for secret in ("wrong-0815", "xc3511", "YWRtaW46d3JvbmctMDgxNQ"):
            equal(secret in text, False, f"{secret} in {name}")


@check
def uploads_are_artifacts(sensor):
    sha256 = hashlib.sha256(UPLOAD).hexdigest()
    path = sensor.folder / "upload.txt"
    path.write_bytes(UPLOAD)
    for options in (
        ["--data-binary", f"@{path}"],
        ["--data-binary", f"@{path}", "--header", "Transfer-Encoding: chunked"],
        ["--form", f"file=@{path}"],
        ["--upload-file", str(path)],
        ["--data-binary", f"@{path}", "--header", "Expect: 100-continue"],
    ):
        _, _, _, port = curl(sensor, "/upgrade.cgi", *options)
        summary, eve, _ = sensor.session(port)
        equal(sha256 in [one["sha256"] for one in summary["artifacts"]], True, options)
        equal(sha256 in [one.get("sha256") for one in of_type(eve, "fileinfo")], True, options)
    equal(sensor.artifact(sha256), UPLOAD)


@check
def requests_that_are_none(sensor):
    for request, expected in (
        (b"GET /setup.cgi?next=a b;c HTTP/1.1\r\nbroken\r\n\r\n", b"HTTP/1.1 404"),
        (b"\x00\xff\xfe\r\n\r\n", b"HTTP/1.1 404"),
        (b"GET /\r\n", b"HTTP/1.1 200"),
        (b"A" * 20_000, b"HTTP/1.1 400"),
    ):
        with sensor.connect(80) as client:
            port = client.getsockname()[1]
            client.sendall(request)
            equal(client.recv(100)[:12], expected, request[:40])
        summary, _, _ = sensor.session(port)
        equal(summary["bytes_toserver"], len(request))


run(Sensor)
