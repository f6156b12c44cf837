"""Personas' HTTPS, SOAP, Digest, Docker and RTSP: curl, openssl, upnpc, nmap, ffprobe, and what is written down of them."""

import hashlib
import json
import re
import subprocess

from harness import LIMIT_S, Sensor, check, equal, run, wait_until

SECRET = "not-this-one-0815"


def output(*command, data=None, statuses=(0,)):
    """What a program prints, whose exit status must be one of those."""
    command = [str(word) for word in command]
    done = subprocess.run(command, input=data, capture_output=True, timeout=2 * LIMIT_S, check=False)
    if done.returncode not in statuses:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return (done.stdout + done.stderr).decode(errors="replace")


def curl(sensor, path, *more, port=80, scheme="http"):
    """What curl got: status, headers, body, and the port that it came from."""
    told = '\n{"status": %{http_code}, "port": %{local_port}}'
    command = ["curl", "--silent", "--show-error", "--insecure", "--max-time", str(LIMIT_S), "--include"]
    command += ["--write-out", told, *more, f"{scheme}://127.0.0.1:{sensor.port(port)}{path}"]
    answer, _, said = output(*command).rpartition("\n")
    # Of several answers, as to a challenge, the last one.
    head, _, body = answer.rpartition("\r\n\r\n")
    said = json.loads(said)
    return said["status"], head.rpartition("HTTP/1.1 ")[2], body, said["port"]


def logins(sensor, port):
    return [(one["user"], one["accepted"]) for one in sensor.session(port)[0]["auth"]]


def of_type(lines, event_type):
    return [line for line in lines if line["event_type"] == event_type]


def never_written(sensor, *secrets):
    for name in ("eve.json", "honeypot.json"):
        text = (sensor.data / "sensor" / name).read_text()
        for secret in secrets:
            equal(secret in text, False, f"{secret} in {name}")


def soap(action, arguments=""):
    return f'<e:Envelope xmlns:e="x"><e:Body><u:{action}>{arguments}</u:{action}></e:Body></e:Envelope>'


@check
def pages_over_tls(sensor):
    for version in ("--tlsv1.2", "--tls-max=1.3"):
        options = ["--tlsv1.2", "--tls-max", "1.2"] if version == "--tlsv1.2" else ["--tlsv1.3"]
        status, head, body, port = curl(sensor, "/login.html", *options, port=443, scheme="https")
        equal((status, "Server: mini_httpd" in head, "HL-C220" in body), (200, True, True))
        summary, eve, _ = sensor.session(port)
        (http,) = of_type(eve, "http")
        equal((http["http"]["url"], http["http"]["status"], http["app_proto"]), ("/login.html", 200, "http"))
        (flow,) = of_type(eve, "flow")
        equal(flow["app_proto"], "tls")
        equal(len(of_type(eve, "tls")), 1)
        equal(summary["fingerprints"]["ja4"].startswith("t1"), True, summary["fingerprints"])
        equal(of_type(eve, "anomaly"), [])


@check
def uploads_over_tls_are_artifacts(sensor):
    upload = b"a text over TLS\n" * 40_000
    path = sensor.folder / "upload.txt"
    path.write_bytes(upload)
    _, _, _, port = curl(sensor, "/upgrade.cgi", "--form", f"file=@{path}", port=443, scheme="https")
    summary, _, _ = sensor.session(port)
    sha256 = hashlib.sha256(upload).hexdigest()
    equal(sha256 in [one["sha256"] for one in summary["artifacts"]], True, summary["artifacts"])
    equal(sensor.artifact(sha256), upload)


@check
def the_certificate_stays_the_same(sensor):
    def certificate():
        address = f"127.0.0.1:{sensor.port(443)}"
        said = output("openssl", "s_client", "-connect", address, "-servername", "x", data=b"", statuses=(0, 1))
        return re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", said, re.S).group()

    first = certificate()
    shown = output("openssl", "x509", "-noout", "-subject", "-dates", "-text", data=first.encode())
    equal("CN = HL-C220" in shown and "O = Harbourlight" in shown, True, shown)
    equal("notBefore=Aug  1 00:00:00 2017" in shown and "notAfter=Aug  1 00:00:00 2037" in shown, True, shown)
    equal("Public-Key: (2048 bit)" in shown, True, shown)
    sensor.stop()
    sensor.start()
    equal(certificate(), first)


@check
def who_speaks_no_tls(sensor):
    with sensor.connect(443) as client:
        port = client.getsockname()[1]
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        equal(client.recv(100)[:1], b"\x15", "an alert")
    summary, _, _ = sensor.session(port)
    equal(summary["session"]["ended"], "closed")
    old = ["-connect", f"127.0.0.1:{sensor.port(443)}", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]
    equal("SSL alert number" in output("openssl", "s_client", *old, data=b"", statuses=(0, 1)), True)


@check
def digest_and_forms(sensor):
    path = "/cgi-bin/snapshot.cgi"
    for options, expected in ((["--user", f"admin:{SECRET}"], 401), (["--user", "root:xc3511"], 503)):
        status, _, _, port = curl(sensor, path, "--digest", *options)
        equal(status, expected)
        user = options[1].partition(":")[0]
        equal((user, expected == 503) in logins(sensor, port), True, options)
    for password, accepted in ((SECRET, False), ("xc3511", True)):
        form = ["--data-urlencode", "username=root", "--data-urlencode", f"password={password}"]
        status, head, _, port = curl(sensor, "/login.cgi", *form)
        equal((status, "Location: /main.html" in head), (302, accepted))
        equal(logins(sensor, port), [("root", accepted)])
    never_written(sensor, SECRET, "xc3511")


@check
def a_device_is_no_proxy(sensor):
    proxy = ["--proxy", f"http://127.0.0.1:{sensor.port(80)}", "--proxytunnel"]
    command = ["curl", "--silent", "--write-out", "%{http_connect}", *proxy, "http://192.0.2.9/"]
    equal("405" in output(*command, statuses=(56, 7)), True)
    command = ["curl", "--silent", "--write-out", "%{http_code}", *proxy[:2], "http://192.0.2.9/"]
    equal(output(*command)[-3:], "400")


@check
def onvif(sensor):
    def ask(action, *more):
        kind = ["--header", "Content-Type: application/soap+xml; charset=utf-8"]
        return curl(sensor, "/onvif/device_service", *kind, "--data", soap(action), *more)

    status, _, body, port = ask("GetDeviceInformation")
    equal((status, "<tds:Model>HL-C220</tds:Model>" in body), (200, True))
    sensor.session(port)
    equal(f"http://127.0.0.1:{sensor.port(80)}/onvif/media_service" in ask("GetCapabilities")[2], True)
    equal("<tt:DateTimeType>NTP</tt:DateTimeType>" in ask("GetSystemDateAndTime")[2], True)
    equal(ask("GetUsers")[0], 401)
    equal("<tt:Username>admin</tt:Username>" in ask("GetUsers", "--digest", "--user", "admin:admin")[2], True)
    equal("rtsp://127.0.0.1:554/live/ch0" in ask("GetStreamUri", "--digest", "--user", "admin:admin")[2], True)
    equal(ask("Nonsense")[0], 400)


@check
def ffprobe_sees_a_picture(sensor):
    def url(login):
        return f"rtsp://{login}127.0.0.1:{sensor.port(554)}/live/ch0"

    common = ["ffprobe", "-hide_banner", "-loglevel", "error", "-rw_timeout", str(LIMIT_S * 1_000_000)]
    shown = output(*common, "-show_entries", "stream=codec_name,profile,width,height", url("root:xc3511@"))
    for part in ("codec_name=h264", "profile=Constrained Baseline", "width=640", "height=480"):
        equal(part in shown, True, shown)
    equal("401 Unauthorized" in output(*common, url(f"root:{SECRET}@"), statuses=(1,)), True)
    decoded = ["ffmpeg", "-hide_banner", "-loglevel", "warning", "-i", url("root:xc3511@"), "-frames:v", "12"]
    equal("error" in output(*decoded, "-f", "null", "-").lower(), False)

    def seen():
        auth = [one for line in sensor.lines("honeypot.json") for one in line.get("honeypot", {}).get("auth", [])]
        return {("root", True), ("root", False)} <= {(one["user"], one["accepted"]) for one in auth}

    wait_until("both logins", seen)
    never_written(sensor, SECRET)


@check
def nmap_looks_around(sensor):
    def scripts(port, names):
        wanted = ",".join(f"+{name}" for name in names.split())
        return output("nmap", "-sT", "-Pn", "-n", "-p", sensor.port(port), "--script", wanted, "127.0.0.1")

    shown = scripts(554, "rtsp-methods rtsp-url-brute")
    equal("OPTIONS, DESCRIBE, SETUP, TEARDOWN, PLAY" in shown and "127.0.0.1/live/ch0" in shown, True, shown)
    equal("commonName=HL-C220" in scripts(443, "ssl-cert"), True)
    shown = scripts(80, "http-title http-server-header")
    equal("HL-C220 Network Camera" in shown and "mini_httpd/1.19" in shown, True, shown)


@check
def upnpc_finds_a_gateway(sensor):
    with Sensor(sensor.folder / "router", persona="router") as router:
        url = f"http://127.0.0.1:{router.port(49152)}/gatedesc.xml"
        shown = output("upnpc", "-u", url, "-s")
        equal("Status : Connected" in shown and "ExternalIPAddress = 100.66.41.7" in shown, True, shown)
        shown = output("upnpc", "-u", url, "-l", statuses=(0, 1, 2))
        equal("8000->192.168.1.120:80" in shown, True, shown)
        shown = output("upnpc", "-u", url, "-a", "192.0.2.5", "22", "2222", "TCP", statuses=(0, 1, 2))
        equal("is redirected to internal" in shown, True, shown)
        equal("UPNP_DeletePortMapping() returned : 0" in output("upnpc", "-u", url, "-d", "2222", "TCP"), True)

        def added():
            http = [line["http"] for line in router.lines("eve.json") if line["event_type"] == "http"]
            return [one for one in http if one["url"] == "/upnp/control/WANIPConn1" and one["http_method"] == "POST"]

        wait_until("the requests of upnpc", added)
        status, head, _, _ = curl(router, "/", port=7547)
        equal((status, 'WWW-Authenticate: Digest realm="BL-N300"' in head), (401, True))
        equal(curl(router, "/", "--digest", "--user", "admin:admin", port=7547)[0], 200)
        header = ["--header", "SOAPAction: urn:dslforum-org:service:Time:1#SetNTPServers"]
        status, _, body, _ = curl(router, "/UD/act?1", *header, "--data", soap("SetNTPServers"), port=7547)
        equal((status, "SetNTPServersResponse" in body), (200, True))


@check
def an_open_docker(sensor):
    with Sensor(sensor.folder / "nas", persona="nas") as nas:
        equal(curl(nas, "/_ping", port=2375)[2], "OK")
        version = json.loads(curl(nas, "/v1.24/version", port=2375)[2])
        equal(version["ApiVersion"], "1.41")
        kind = ["--header", "Content-Type: application/json"]
        wanted = json.dumps({"Image": "alpine", "Cmd": ["echo", "komainu"]})
        _, _, body, _ = curl(nas, "/images/create?fromImage=alpine", "--request", "POST", port=2375)
        equal("Downloaded newer image" in body, True)
        status, _, body, port = curl(nas, "/containers/create?name=k", *kind, "--data", wanted, port=2375)
        equal((status, len(json.loads(body)["Id"])), (201, 64))
        summary, _, _ = nas.session(port)
        sha256 = hashlib.sha256(wanted.encode()).hexdigest()
        equal(sha256 in [one["sha256"] for one in summary["artifacts"]], True, summary["artifacts"])
        container = json.loads(body)["Id"]
        equal(curl(nas, f"/containers/{container}/start", "--request", "POST", port=2375)[0], 204)
        status, _, body, _ = curl(nas, f"/containers/{container}/exec", *kind, "--data", "{}", port=2375)
        equal((status, len(json.loads(body)["Id"])), (201, 64))
        equal(len(json.loads(curl(nas, "/v1.41/containers/json", port=2375)[2])), 1)
        equal(curl(nas, "/nowhere", port=2375)[0], 404)


run(Sensor)
