"""The watch over devices' shared folders, with Debian's Samba as the devices and smbclient as the stranger.

The parties are those of relay.py. Needs root, `ip`, `nft`, `smbd`, `smbpasswd`, `smbclient`. Run it from the root of the
repository after a build:

    python3 tests/relay/shares.py [CHECK…]
"""

import hashlib
import os
import signal
import subprocess
import sys

import relay
from relay import DEVICE_2, PUBLIC, PUBLIC_2, STRANGER, equal, run, wait_until

# A user that Debian has everywhere. Samba has passwords of its own.
USER, PASSWORD, OTHER_PASSWORD = "games", "left on purpose", "to look only"

PORCH_SHARE = '\n[device.share]\nname = "public"\ninterval_s = 5\n'
FRIDGE_SHARE = (
    '\n[device.share]\nname = ["media", "absent"]\nuser = "games"\npassword_file = "fridge.password"\ninterval_s = 5\n'
)


class Samba:
    """Debian's Samba as a device."""

    def __init__(self, space, folder, share, password, guest):
        self.space, self.home, self.folder = space, folder / f"{share}-samba", folder / share
        self.share, self.guest, self.process = share, guest, None
        self.home.mkdir()
        self.folder.mkdir()
        self.folder.chmod(0o777)
        self.configuration = self.home / "smb.conf"
        self.write("")
        enter = ("smbpasswd", "-c", self.configuration, "-a", "-s", USER)
        run(*enter, text=f"{password}\n{password}\n")

    def write(self, more):
        folders = ("private dir", "lock directory", "state directory", "cache directory", "pid directory", "ncalrpc dir")
        lines = [f"{key} = {self.home}" for key in folders]
        guest = "guest ok = yes" if self.guest else "guest ok = no"
        self.configuration.write_text(
            "[global]\nserver role = standalone server\nmap to guest = bad user\nguest account = nobody\n"
            "server min protocol = NT1\nload printers = no\ndisable spoolss = yes\ndisable netbios = yes\n"
            f"passdb backend = smbpasswd:{self.home}/passwords\nsmb ports = 445\nlog file = {self.home}/log\n{more}\n"
            + "\n".join(lines)
            + f"\n[{self.share}]\npath = {self.folder}\n{guest}\nread only = no\nforce create mode = 0666\n"
        )

    def start(self, more=""):
        self.write(more)
        command = ("smbd", "--foreground", "--no-process-group", "--debug-stdout", "-s", self.configuration)
        with open(self.home / "stdout", "a") as log:
            self.process = self.space.start(*command, stdout=log, stderr=log, start_new_session=True)
        wait_until("Samba", lambda: self.space.reaches("127.0.0.1", 445))

    def stop(self):
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


class ShareScene(relay.Scene):
    def prepare(self):
        super().prepare()
        porch, fridge = relay.INVENTORY.split("\n[[device]]\nname = \"fridge\"")
        porch = porch.replace("\nports = [", '\nports = [\n    { port = 445, transport = "tcp" },', 1)
        inventory = porch + PORCH_SHARE + "\n[[device]]\nname = \"fridge\"" + fridge + FRIDGE_SHARE
        (self.folder / "devices.toml").write_text(inventory)
        (self.folder / "fridge.password").write_text(OTHER_PASSWORD + "\n")
        self.porch = Samba(self.device, self.folder, "public", PASSWORD, guest=True)
        self.fridge = Samba(self.device_2, self.folder, "media", OTHER_PASSWORD, guest=False)
        (self.porch.folder / "before.txt").write_text("it was there before\n")

    def changes(self, device="porch"):
        return [line["share"] for line in self.lines("share") if line["share"]["device"] == device]

    def change(self, path, change, device="porch"):
        found = lambda: [one for one in self.changes(device) if (one["path"], one["change"]) == (path, change)]
        return wait_until(f"{path} {change}", found)[-1]

    def said(self, text):
        return text in self.log.read_text()

    def state(self, device):
        path = self.data / "sensor/shares" / f"{device}.json"
        return path.read_text() if path.exists() else ""

    def smbclient(self, *arguments):
        whole = ["ip", "netns", "exec", self.stranger.name, "smbclient", f"//{PUBLIC}/public", *arguments]
        done = subprocess.run([str(one) for one in whole], capture_output=True, text=True, timeout=relay.LIMIT_S, check=False)
        equal(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def close(self):
        for samba in (self.porch, self.fridge):
            samba.stop()
        super().close()


CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def digest(contents):
    return hashlib.sha256(contents).hexdigest()


@check
def what_is_there_at_first_is_no_alarm(scene):
    scene.porch.start()
    scene.fridge.start()
    scene.start()
    wait_until("the first look at both devices", lambda: digest(b"it was there before\n") in scene.state("porch") and scene.state("fridge"))
    equal(scene.lines("share"), [])
    for secret in (OTHER_PASSWORD, PASSWORD):
        equal(secret in scene.log.read_text(), False, "a password is logged")
    equal(scene.said("share_not_shown"), True, "that one of two shares is not there is told")


@check
def a_file_over_encrypted_smb_is_an_artifact_of_its_session(scene):
    contents = b"a harmless file\0" + bytes(range(256)) * 700
    left = scene.folder / "left.bin"
    left.write_bytes(contents)
    scene.smbclient("-U", f"{USER}%{PASSWORD}", "-m", "SMB3", "--client-protection=encrypt", "-c", f"put {left} left.bin")
    line = scene.change("public/left.bin", "new")
    equal((line["sha256"], line["bytes"], line["stored"]), (digest(contents), len(contents), True))
    summaries = [one for one in scene.lines("honeypot") if one.get("app_proto") == "smb"]
    equal(line["session"], [one["honeypot"]["session"]["id"] for one in summaries])
    equal(line["source"], [STRANGER])
    artifacts = [one for one in scene.lines("artifact") if one["artifact"]["sha256"] == digest(contents)]
    equal([one["artifact"]["via"] for one in artifacts], ["share"], "nobody else could read it")
    equal(artifacts[0]["flow_id"], summaries[0]["flow_id"])
    out = scene.folder / "exported.bin"
    scene.komainu("sensor", "artifacts", "export", digest(contents), "--out", out, "--data", scene.data)
    equal(out.read_bytes() == contents, True, "the artifact has the same bytes")


@check
def a_guest_leaves_a_file(scene):
    left = scene.folder / "guest.txt"
    left.write_text("left by a guest\n")
    scene.smbclient("-N", "-c", f"mkdir deep; cd deep; put {left} guest.txt")
    line = scene.change("public/deep/guest.txt", "new")
    equal((line["sha256"], line["source"][0]), (digest(b"left by a guest\n"), STRANGER))


@check
def changed_touched_and_removed(scene):
    file = scene.porch.folder / "before.txt"
    os.utime(file)
    (scene.porch.folder / "left.bin").write_bytes(b"other contents")
    line = scene.change("public/left.bin", "changed")
    equal((line["sha256"], line["bytes"], line["stored"]), (digest(b"other contents"), 14, True))
    (scene.porch.folder / "left.bin").unlink()
    line = scene.change("public/left.bin", "removed")
    equal((line["sha256"], "stored" in line), (digest(b"other contents"), False))
    equal([one for one in scene.changes() if one["path"] == "public/before.txt"], [], "a file that was only touched")
    kept = scene.komainu("sensor", "artifacts", "list", "--data", scene.data)
    equal(digest(b"it was there before\n") in kept, False, "what was there at first is an artifact")


@check
def an_account_looks_where_strangers_do_not_come(scene):
    equal(scene.stranger.reaches(PUBLIC_2, 445), False, "a stranger reaches the port of the share")
    equal(scene.middle.reaches(DEVICE_2, 445), False, "another program of the sensor reaches it")
    scene.stranger.python(relay.VISIT, PUBLIC_2, 80, "GET /drop HTTP/1.0\r\n\r\n")
    (scene.fridge.folder / "by-web.txt").write_text("by another way\n")
    line = scene.change("media/by-web.txt", "new", "fridge")
    sha256 = digest(b"by another way\n")
    equal(line["sha256"], sha256)
    listed = lambda: scene.komainu("sensor", "share", "list", "fridge", "--data", scene.data).splitlines()
    wait_until("the file in the list", lambda: f"{sha256}          15  media/by-web.txt" in listed())
    visits = [one["honeypot"]["session"]["id"] for one in scene.lines("honeypot") if one["dest_port"] == 80]
    equal((line["session"], line["source"]), (visits, [STRANGER]))


@check
def a_share_that_was_gone_is_compared_with_what_was_there(scene):
    scene.porch.stop()
    wait_until("that it is gone", lambda: scene.said("cannot be seen"))
    (scene.porch.folder / "meanwhile.txt").write_text("meanwhile\n")
    before = len(scene.changes())
    scene.porch.start()
    scene.change("public/meanwhile.txt", "new")
    equal(len(scene.changes()), before + 1)


@check
def a_killed_worker_knows_what_was_there(scene):
    before, readies = len(scene.changes()), scene.readies()
    os.kill(scene.worker(), signal.SIGKILL)
    (scene.porch.folder / "killed.txt").write_text("while nobody looked\n")
    wait_until("another worker", lambda: scene.readies() > readies)
    line = scene.change("public/killed.txt", "new")
    equal((line["session"], line["sessions_incomplete"]), ([], True))
    equal(len(scene.changes()), before + 1, "nothing is told a second time")


@check
def smb1_alone_is_told(scene):
    scene.porch.stop()
    scene.porch.start("server max protocol = NT1\nclient max protocol = NT1")
    wait_until("that it is SMB1", lambda: scene.said("smb1_only"))


def main():
    scene = ShareScene()
    try:
        return relay.run_checks("shares", scene, CHECKS, sys.argv[1:], lambda: [scene.log])
    finally:
        scene.close()


if __name__ == "__main__":
    sys.exit(main())
