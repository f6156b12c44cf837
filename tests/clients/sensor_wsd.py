"""The camera persona, found by a client of WS-Discovery that everybody can install, from a network beside it.

The client takes the port of WS-Discovery itself, so both have a network of their own, with a link between them.
"""

import json
import os
import pathlib
import subprocess
import sys

OWN_NETWORK = "KOMAINU_OWN_NETWORK"

if OWN_NETWORK not in os.environ:
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = ["unshare", "--net", *rights, sys.executable, *sys.argv]
    os.execvpe(command[0], command, os.environ | {OWN_NETWORK: "1"})
SENSOR, CLIENT = "198.51.100.1", "198.51.100.7"
PROGRAM = pathlib.Path(__file__).parent / "programs/wsdiscovery_search.py"


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


ip("link", "set", "lo", "up")
client = subprocess.Popen(
    ["unshare", "--net", sys.executable, str(PROGRAM), "wsd1", CLIENT, SENSOR],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
)  # fmt: skip
# `unshare` becomes the program, in its new network.
assert client.stdout.readline() == "up\n", "the client has not begun"
ip("link", "add", "wsd0", "type", "veth", "peer", "name", "wsd1", "netns", str(client.pid))
ip("address", "add", f"{SENSOR}/24", "dev", "wsd0")
ip("link", "set", "wsd0", "up")

from harness import KOMAINU, LIMIT_S, Sensor, check, equal, run, wait_until  # noqa: E402


class OwnSensor(Sensor):
    """A sensor on all addresses of the network, with the persona's own ports."""

    def start(self):
        command = [KOMAINU, "sensor", "--data", self.data, "--config", self.configuration]
        command += ["--persona", self.persona, "--listen", "0.0.0.0"]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_until("`ready`", lambda: self.is_ready() or self.process.poll() is not None)
        if self.process.poll() is not None:
            raise AssertionError(f"the sensor ended ({self.process.returncode}):\n{self.log.read_text()[-3000:]}")


@check
def python_finds_a_camera(sensor):
    said, _ = client.communicate("begin\n", timeout=LIMIT_S)
    seen = json.loads(said)
    camera = [f"http://{SENSOR}/onvif/device_service", "NetworkVideoTransmitter"]
    # An answer is longer than a probe, but the program sends each probe several times, which makes room for one.
    equal(seen["stranger"], [camera], "whoever is not known")
    equal((seen["everybody"], seen["cameras"]), ([camera], [camera]))
    equal(seen["printers"], [], "whoever looks for something else")
    equal("onvif://www.onvif.org/hardware/HL-C220" in seen["scopes"], True, seen["scopes"])
    is_probe = lambda line: (line["event_type"], line["src_ip"]) == ("ws_discovery", CLIENT)  # noqa: E731
    wait_until("the searches", lambda: any(is_probe(line) for line in sensor.lines("honeypot.json")))


run(OwnSensor, configuration='[sensor]\nid = "check"\n', persona="camera")
