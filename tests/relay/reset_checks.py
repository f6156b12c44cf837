"""Checks of what follows an incident: the reset of a device, its baseline, the end of its quarantine.

They are part of relay.py, whose names they are given.
"""

import os
import pathlib
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
POWER_PORT, SNMP_PORT, EXAMINER = 61080, 61081, "61045"

# Connects again and again, until it is ended; says how often it was answered.
HAMMER = """
import socket, sys, signal
answered = tried = 0
def end(*_):
    print(answered, tried, flush=True); sys.exit(0)
signal.signal(signal.SIGTERM, end)
print('up', flush=True)
while True:
    tried += 1
    try:
        c = socket.create_connection((sys.argv[1], 80), 0.2); c.settimeout(0.5); c.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')
        answered += bool(c.recv(10))
        c.close()
    except OSError: pass
"""


def checks(relay):
    """The checks, with what relay.py has."""
    wait_until, equal = relay.wait_until, relay.equal

    class Reset:
        """The second device, with a plan, a socket that feeds it, and a sensor that puts it into quarantine."""

        def __init__(self, scene, plan, automatic=True):
            self.scene = scene
            self.folder = scene.folder / "reset"
            self.folder.mkdir(exist_ok=True)
            (self.folder / "more").unlink(missing_ok=True)
            self.running = []
            self.saw = self.folder / "device.log"
            (self.folder / "token").write_text("socket-token\n")
            (self.folder / "token").chmod(0o600)
            (self.folder / "community").write_text("writes\n")
            scene.stop()
            if scene.data.exists():
                for attempts in (scene.data / "resets").glob("*.json"):
                    attempts.unlink()
            head = f"[device.reset]\nautomatic = {str(automatic).lower()}\n"
            (scene.folder / "devices.toml").write_text(relay.INVENTORY + head + plan)
            scene.configure('on_incident = "quarantine"\n')

        def __enter__(self):
            # What ran as the device before is in the way.
            self.scene.devices[1].kill()
            self.scene.devices[1].wait()
            device = ("ip", "netns", "exec", self.scene.device_2.name, sys.executable, HERE / "device.py", self.saw)
            self.start(self.scene.middle, sys.executable, HERE / "power.py", POWER_PORT, self.folder, *device)
            try:
                self.scene.start()
            except BaseException:
                self.end()
                raise
            return self

        def end(self):
            for process in self.running:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

        def start(self, space, *command):
            process = space.start(*command, stdout=subprocess.PIPE, start_new_session=True)
            self.running.append(process)
            process.stdout.readline()
            return process

        def __exit__(self, *_):
            self.scene.stop()
            self.end()
            (self.scene.folder / "devices.toml").write_text(relay.INVENTORY)
            self.scene.configure("")
            self.scene.start_device_2()
            self.scene.start()
            self.scene.relay("release", "fridge")

        def incident(self):
            """The device turns to somebody."""
            code = "c = socket.create_connection((sys.argv[1], 6667)); c.close(); print('ok')"
            equal(self.scene.device_2.python(code, relay.THIRD), "ok")

        def element(self, name):
            return '"s2"' in self.scene.middle.nft("list", "set", "inet", "komainu_relay", name)

        def steps(self):
            lines = [line["reset"] for line in self.scene.lines("reset")]
            return [line for line in lines if line["reason"] == "incident"]

        def ended(self, before, outcome, limit_s=120):
            """Waits for the end of a reset; gives back its steps."""
            look = lambda: [x for x in self.steps()[before:] if x.get("outcome")]
            wait_until(f"the end `{outcome}`", look, limit_s)
            equal(look()[0]["outcome"], outcome, self.steps()[before:])
            return self.steps()[before:]

    def webhook(path="cycle", timeout_s=10):
        return (
            f'{{ webhook = {{ url = "http://127.0.0.1:{POWER_PORT}/{path}", body = "cycle", headers = {{ X-Socket = "4" }}, '
            f'bearer_token_file = "%s" }}, timeout_s = {timeout_s} }}'
        )

    def plan(scene, *actions, more=""):
        token = scene.folder / "reset/token"
        actions = ", ".join(action.replace("%s", str(token)) for action in actions)
        return f"ready = {{ port = 80, delay_s = 0, timeout_s = 20 }}\nactions = [{actions}]\n{more}"

    def examiners():
        lines = relay.run("ps", "-o", "pid=,stat=", "-U", EXAMINER, check=False).splitlines()
        # What has ended and was not waited for is nothing any more.
        return [pid for pid, state in map(str.split, lines) if not state.startswith("Z")]

    def a_device_is_reset_and_released_after_an_incident(scene):
        with Reset(scene, plan(scene, webhook(), '{ command = ["/bin/sleep", "3"], timeout_s = 20 }')) as reset:
            equal("the baseline is stored" in scene.relay("baseline", "fridge"), True)
            equal("as its baseline says" in scene.relay("baseline", "fridge"), True)
            equal((scene.data / "baselines/fridge.json").stat().st_mode & 0o777, 0o600)
            visit = lambda: scene.stranger.python(relay.VISIT_IF_OPEN, relay.PUBLIC_2)
            wait_until("the device", lambda: visit() == "HTTP/1.0 200 OK")
            before = len(reset.steps())
            reset.incident()
            wait_until("that it is examined", lambda: reset.element("examined"))
            saw = len(reset.saw.read_text().splitlines())
            hammer = scene.stranger.start(sys.executable, "-c", HAMMER, relay.PUBLIC_2, stdout=subprocess.PIPE)
            inside = scene.middle.start(sys.executable, "-c", HAMMER, relay.DEVICE_2, stdout=subprocess.PIPE)
            hostile = scene.hostile(scene.device_2, "e0", relay.DEVICE_2, relay.GATEWAY_2, relay.DEVICE)
            try:
                for process in (hammer, inside):
                    process.stdout.readline()
                wait_until("that it is ready", lambda: [x for x in reset.steps()[before:] if x["step"] == "ready"])
                equal(reset.element("examined"), True, "it is examined")
                for process in (hammer, inside):
                    process.terminate()
                    answered, tried = map(int, process.communicate()[0].split())
                    equal((answered, tried > 3), (0, True), "connections while it is examined")
            finally:
                for process in (hammer, inside, hostile):
                    process.kill()
                    process.wait()
            steps = reset.ended(before, "released")
            expected = [("webhook", True), ("command", True), ("ready", True), ("baseline", True), ("release", True)]
            equal([(x["step"], x["ok"]) for x in steps], expected, steps)
            equal({(x["device"], x["reason"], x["release_state"]) for x in steps}, {("fridge", "incident", "released")})
            equal(scene.leaked(), (0, 0), "packets that got out")
            sources = {line.split()[2] for line in reset.saw.read_text().splitlines()[saw:]}
            equal(sources, {relay.GATEWAY_2}, "who reached the device while it was examined")
            equal((reset.element("examined"), reset.element("quarantined")), (False, False))
            wait_until("the device", lambda: visit() == "HTTP/1.0 200 OK")
            # The same destination again is another incident.
            before = len(reset.steps())
            reset.incident()
            reset.ended(before, "released")

    def a_device_that_differs_stays_closed(scene):
        with Reset(scene, plan(scene, webhook())) as reset:
            scene.relay("baseline", "fridge", "--accept")
            (reset.folder / "more").write_text("2323")
            before = len(reset.steps())
            reset.incident()
            steps = reset.ended(before, "differs")
            differences = [x["difference"] for x in steps if "difference" in x]
            equal(differences, ['port 2323 is open and was not; it says "ExampleCam login: "'], steps)
            equal((reset.element("examined"), reset.element("quarantined")), (False, True))
            equal(scene.stranger.python(relay.VISIT_IF_OPEN, relay.PUBLIC_2), "ConnectionResetError")
            # Neither a new start nor the operator's own comparison opens it.
            scene.sensor.kill()
            scene.sensor.wait()
            scene.start()
            said = scene.relay("baseline", "fridge", check=False)
            equal("port 2323 is open" in said, True, said)
            equal(reset.element("quarantined"), True)
            # When the owner takes it for good it is released by hand.
            scene.relay("baseline", "fridge", "--accept")
            said = scene.relay("reset", "fridge")
            equal([line.split(":")[0] for line in said.splitlines()], ["webhook", "ready", "baseline", "fridge"])
            equal(reset.element("quarantined"), False)

    def a_switch_takes_the_power_away_for_a_while(scene):
        action = (
            f'{{ snmp_poe = {{ switch = "127.0.0.1:{SNMP_PORT}", community_file = "{scene.folder}/reset/community", '
            'port = "1.%d", off_s = 2 }, timeout_s = 20 }'
        )
        with Reset(scene, plan(scene, action % 4, more="baseline = false\n"), automatic=False) as reset:
            (reset.folder / "snmpd.conf").write_text(
                f"agentaddress udp:127.0.0.1:{SNMP_PORT}\nrwcommunity writes 127.0.0.1\nrocommunity reads 127.0.0.1\n"
                f"pass .1.3.6.1.2.1.105.1.1.1.3 {sys.executable} {HERE / 'poe.py'} {reset.folder}\n"
            )
            # Its own folder for what it keeps, and no descriptions, which Debian does not have.
            snmpd = ("env", f"SNMP_PERSISTENT_DIR={reset.folder}", "MIBS=", "snmpd", "-f", "-C", "-c", reset.folder / "snmpd.conf")
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
            reset.running.append(scene.middle.start(*snmpd, "-p", reset.folder / "snmpd.pid", **quiet))
            ask = ("snmpget", "-v2c", "-c", "reads", "-r", "0", f"127.0.0.1:{SNMP_PORT}", "1.3.6.1.2.1.105.1.1.1.3.1.4")
            asked = lambda: relay.run("ip", "netns", "exec", scene.middle.name, *ask, check=False)
            wait_until("the switch", lambda: asked().strip().endswith("INTEGER: 1"))
            scene.relay("quarantine", "fridge")
            said = scene.relay("reset", "fridge")
            equal(said.splitlines()[0].startswith("snmp_poe: ok"), True, said)
            changes = [line.split() for line in (reset.folder / "poe.log").read_text().splitlines()]
            equal([value for value, _ in changes], ["2", "1"])
            equal(float(changes[1][1]) - float(changes[0][1]) >= 1.9, True, changes)
            equal(reset.element("quarantined"), False)
            # Whoever may only read changes nothing, and the device stays closed.
            (reset.folder / "community").write_text("reads\n")
            said = scene.relay("reset", "fridge", check=False)
            equal("snmp_poe: FAILED" in said and "the power was not taken away" in said, True, said)
            equal(reset.element("quarantined"), True)

    def an_action_that_fails_or_hangs_leaves_the_device_closed(scene):
        hangs = '{ command = ["/bin/sh", "-c", "sleep 600 & sleep 600"], timeout_s = 2 }'
        for actions, expected in (
            ((webhook("broken"),), "the answer has the status 500"),
            ((webhook("hang", 1),), "not done within 1 s"),
            ((hangs, webhook()), "not done within 2 s"),
        ):
            with Reset(scene, plan(scene, *actions, more="baseline = false\nattempts_per_day = 1\n")) as reset:
                before = len(reset.steps())
                reset.incident()
                steps = reset.ended(before, "given_up")
                equal([(x["ok"], x.get("error")) for x in steps], [(False, expected), (False, None)])
                equal((reset.element("examined"), reset.element("quarantined")), (False, True))
                equal(examiners(), [], "processes of whoever examined")

    def whoever_is_killed_while_a_device_is_examined_opens_nothing(scene):
        slow = '{ command = ["/bin/sleep", "600"], timeout_s = 300 }'
        with Reset(scene, plan(scene, slow, more="baseline = false\n")) as reset:
            reset.incident()
            closed = lambda: scene.stranger.python(relay.VISIT_IF_OPEN, relay.PUBLIC_2) != "HTTP/1.0 200 OK"
            # Who examines, the program that it runs, and no rights for either.
            wait_until("the examiner", lambda: len(examiners()) == 2)
            for pid in examiners():
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
                fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
                rights = (fields["CapEff"], fields["CapPrm"], fields["NoNewPrivs"], fields["Groups"].strip())
                equal(rights, ("0" * 16, "0" * 16, "1", ""))
                environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                equal({name.split(b"=")[0] for name in environment if name}, {b"PATH"})
            worker = scene.readies()
            os.kill(scene.worker(), signal.SIGKILL)
            wait_until("another worker", lambda: scene.readies() > worker)
            equal((closed(), reset.element("examined")), (True, True))
            scene.sensor.kill()
            scene.sensor.wait()
            wait_until("the end of the examiner", lambda: not examiners())
            equal((closed(), reset.element("quarantined")), (True, True))
            scene.try_everything(2)
            equal(scene.leaked(), (0, 0), "packets that got out")
            # The next guard begins the reset again; an operator who closes the device meanwhile has the last word.
            scene.start()
            wait_until("the examiner", lambda: len(examiners()) == 2)
            scene.relay("quarantine", "fridge")
            os.kill(int(examiners()[0]), signal.SIGKILL)
            wait_until("the end of the examination", lambda: not reset.element("examined"))
            equal(examiners(), [], "processes that the examiner left behind")
            equal((closed(), reset.element("quarantined")), (True, True))

    return [
        a_device_is_reset_and_released_after_an_incident,
        a_device_that_differs_stays_closed,
        a_switch_takes_the_power_away_for_a_while,
        an_action_that_fails_or_hangs_leaves_the_device_closed,
        whoever_is_killed_while_a_device_is_examined_opens_nothing,
    ]
