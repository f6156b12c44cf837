"""A persona's MQTT broker: mosquitto's clients, nmap, and what is written down of them."""

import hashlib
import subprocess

from harness import LIMIT_S, Sensor, check, equal, run, wait_until

SECRET = "not-this-one-0815"


def mosquitto(sensor, program, *more, port=1883, status=0):
    """What one of mosquitto's clients printed."""
    command = [program, "-h", "127.0.0.1", "-p", str(sensor.port(port)), *more]
    done = subprocess.run(command, capture_output=True, timeout=LIMIT_S, check=False)
    equal(done.returncode, status, done.stderr)
    return (done.stdout + done.stderr).decode()


def summaries(sensor):
    return [line["honeypot"] for line in sensor.lines("honeypot.json") if line["event_type"] == "honeypot"]


def digests(sensor):
    """Of everything that was left."""
    return {one["sha256"] for summary in summaries(sensor) for one in summary.get("artifacts", [])}


@check
def subscribers_see_the_device(sensor):
    for version in ("mqttv31", "mqttv311", "mqttv5"):
        options = ["-V", version, "-t", "#", "-t", "$SYS/#", "-v", "-C", "4", "-i", f"check-{version}"]
        shown = mosquitto(sensor, "mosquitto_sub", *options)
        equal("tl-v40/door/lock locked" in shown, True, shown)
        equal("$SYS/broker/version mosquitto version 1.4.15" in shown, True, shown)


@check
def messages_are_recorded_and_go_nowhere(sensor):
    for version in ("mqttv311", "mqttv5"):
        for qos in ("0", "1", "2"):
            message = f"a harmless message, {version}, {qos}"
            options = ["-V", version, "-q", qos, "-t", "tl-v40/door/set", "-m", message, "-r"]
            mosquitto(sensor, "mosquitto_pub", *options)
            sha256 = hashlib.sha256(message.encode()).hexdigest()
            wait_until("the message", lambda sha256=sha256: sha256 in digests(sensor))
    published = [line["mqtt"] for line in sensor.lines("eve.json") if line["event_type"] == "mqtt"]
    equal(any(one.get("publish", {}).get("topic") == "tl-v40/door/set" for one in published), True)
    # Another client is not shown what the first ones left.
    shown = mosquitto(sensor, "mosquitto_sub", "-t", "tl-v40/door/#", "-v", "-C", "2")
    equal("harmless" in shown, False, shown)


@check
def logins(sensor):
    mosquitto(sensor, "mosquitto_pub", "-u", "admin", "-P", SECRET, "-t", "a", "-m", "b", status=5)
    mosquitto(sensor, "mosquitto_pub", "-u", "admin", "-P", "123456", "-t", "a", "-m", "b")

    def told():
        return {(one["user"], one["accepted"]) for summary in summaries(sensor) for one in summary.get("auth", [])}

    wait_until("both logins", lambda: {("admin", False), ("admin", True)} <= told())
    for name in ("eve.json", "honeypot.json"):
        equal(SECRET in (sensor.data / "sensor" / name).read_text(), False, name)


@check
def over_tls(sensor):
    # The certificate is the device's own: a client that checks it trusts it first.
    address = f"127.0.0.1:{sensor.port(8883)}"
    said = subprocess.run(
        ["openssl", "s_client", "-connect", address], input=b"", capture_output=True, timeout=LIMIT_S, check=False
    ).stdout.decode()
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    path = sensor.folder / "device.pem"
    path.write_text(begin + said.split(begin)[1].split(end)[0] + end + "\n")
    options = ["--cafile", str(path), "--insecure", "-t", "tl-v40/door/lock", "-C", "1"]
    equal(mosquitto(sensor, "mosquitto_sub", *options, port=8883), "locked\n")

    def told():
        flows = {line["flow_id"] for line in sensor.lines("eve.json") if line.get("app_proto") == "tls"}
        return any(line["event_type"] == "mqtt" and line["flow_id"] in flows for line in sensor.lines("eve.json"))

    wait_until("MQTT inside TLS", told)


@check
def nmap_subscribes(sensor):
    port = str(sensor.port(1883))
    command = ["nmap", "-sT", "-Pn", "-n", "-p", port, "--script", "+mqtt-subscribe", "127.0.0.1"]
    shown = subprocess.run(command, capture_output=True, timeout=LIMIT_S, check=True).stdout.decode()
    equal("tl-v40/door/lock: locked" in shown and "mosquitto version 1.4.15" in shown, True, shown)


run(Sensor, persona="intercom")
