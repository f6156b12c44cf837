"""Runs programs that make trouble through `komainu sandbox run`, for each processor that has a kit.

Usage: sandbox.py [ISA...], for all processors that have a kit when none is named. KOMAINU names the program,
KOMAINU_KITS the folder of the kits. Each run must end in time with a result that makes sense; what the simulated Internet
and the guest's kernel saw must be in it.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from guest import KITS, compile_for

HERE = pathlib.Path(__file__).resolve().parent
KOMAINU = pathlib.Path(os.environ.get("KOMAINU", HERE.parents[1] / "target/debug/komainu")).absolute()

# A run may take its own time, and this for a guest that boots first and for one that hands in what is left.
GRACE_S = 120


class Failed(Exception):
    """Something is not as it must be."""


def must(condition, what):
    if not condition:
        raise Failed(what)


class Sandbox:
    """`komainu sandbox`, with folders of its own."""

    def __init__(self, program, scratch):
        self.program, self.scratch = program, pathlib.Path(scratch)
        config = self.scratch / "komainu.toml"
        # Named from the working folder, as the default is.
        kits, snapshots = json.dumps(KITS.resolve().name), json.dumps(str(self.scratch / "snapshots"))
        config.write_text(f"[sandbox]\nkits = {kits}\nsnapshots = {snapshots}\n")
        self.environment = {"PATH": os.environ["PATH"], "KOMAINU_CONFIG": str(config)}

    def ask(self, *arguments, limit_s=60):
        done = subprocess.run(
            [self.program, "sandbox", *arguments],
            env=self.environment, cwd=KITS.resolve().parent, capture_output=True, text=True, timeout=limit_s, check=False,
        )
        must(done.returncode == 0, f"sandbox {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def run(self, sample, isa, *arguments, run_as="user", seconds=20, quiet=5, more=()):
        command = ["run", str(sample), "--isa", isa, "--as", run_as, "--json", f"--seconds={seconds}", f"--quiet={quiet}"]
        begin = time.monotonic()
        lines = self.ask(*command, *more, "--", *arguments, limit_s=2 * (seconds + GRACE_S)).splitlines()
        runs = [json.loads(line) for line in lines]
        return (runs if run_as == "both" else runs[0]), time.monotonic() - begin

    def isas(self):
        lines = self.ask("isas").splitlines()
        return [line.split()[0] for line in lines if not line[8:].lstrip().startswith("no:")]


def paths(run, change):
    return {file["path"] for file in run["files"] if file["change"] == change}


def kinds(run):
    return {event["event"] for event in run["network"]}


# Each trouble, as whom, how it may end, and what else must hold.
TROUBLES = [
    ("early", "user", {"exited"}, lambda run: must(run["ran_for_s"] < 10, "it ended at once")),
    ("forks", "user", {"exited", "quiet", "time_over"}, lambda run: must(run["guest_bytes"] > 0, "something is seen")),
    ("kills", "root", {"exited"}, lambda run: must("kill" in run["shown"], "the signal is seen")),
    ("reboots", "root", {"guest_gone"}, lambda run: must(run["guest_bytes"] > 0, "what was seen before is there")),
    ("fills", "user", {"exited", "quiet", "time_over"}, lambda run: must("/tmp/full" in paths(run, "created"), "the file is told")),
    ("closes", "user", {"exited"}, lambda run: must("/tmp/closed" in paths(run, "created"), "the file is told")),
    ("allocates", "user", {"exited", "quiet", "time_over"}, lambda run: must(run["memory_bytes_max"] < 600 << 20, "it is bounded")),
    ("speaks", "user", {"exited"}, lambda run: must({"name", "connect", "http"} <= kinds(run), f"it spoke: {kinds(run)}")),
    ("drops", "user", {"exited"}, lambda run: must({"/tmp/dropped", "/tmp/folder"} <= paths(run, "created"), "both are told")),
    ("unlinks", "user", {"exited"}, lambda run: must("remove /tmp/trouble" in run["shown"], "it is seen")),
    ("spins", "user", {"quiet"}, lambda run: must(run["ran_for_s"] < 15, "it ended early")),
    ("waits", "user", {"quiet"}, lambda run: must(run["ran_for_s"] < 15, "it ended early")),
]


def check_isa(sandbox, isa):
    folder = sandbox.scratch / isa
    folder.mkdir()
    sample = compile_for(isa, HERE / "programs/trouble.c", folder / "trouble")
    for trouble, run_as, ends, more in TROUBLES:
        run, took = sandbox.run(sample, isa, trouble, run_as=run_as)
        must(run["end"] in ends, f"{isa} {trouble} ends with {run['end']}, {run['why']}")
        must(run["packets_bytes"] >= 24, "there is a file of packets")
        try:
            more(run)
        except Failed as failed:
            raise Failed(f"{isa} {trouble}: {failed}; notes {run['notes']}, cut {run['cut']}") from failed
        print(
            f"{isa:8} {trouble:10} {run['end']:10} ran {run['ran_for_s']:5.1f} s, started after {run['restored_in_s']:.2f} s,"
            f" {run['cpu_s']:.2f} CPU-s, {run['memory_bytes_max'] >> 20} MiB, all {took:.1f} s", flush=True,
        )


def check_seed(sandbox, isa):
    sample = sandbox.scratch / isa / "trouble"
    runs = [sandbox.run(sample, isa, "speaks", more=("--seed", "7"))[0] for _ in range(2)]
    must(runs[0]["shown"] == runs[1]["shown"], "the same seed shows the same")
    other, _ = sandbox.run(sample, isa, "speaks", more=("--seed", "8"))
    must(other["network"] != runs[0]["network"], "another seed shows another network")


def check_both(sandbox, isa):
    runs, _ = sandbox.run(sandbox.scratch / isa / "trouble", isa, "kills", run_as="both")
    must([run["as"] for run in runs] == ["user", "root"], "there are two runs")


def check_not_run(sandbox, isa):
    sample = sandbox.scratch / isa / "foreign"
    # A header that no kernel takes: an ELF file of a processor that there is not.
    sample.write_bytes(b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x02\x00\xff\xff" + bytes(64))
    run, _ = sandbox.run(sample, isa)
    must(run["end"] in {"not_run", "exited"}, f"a foreign program ends with {run['end']}")


def check_folder(sandbox, isa):
    out = sandbox.scratch / isa / "out"
    sandbox.run(sandbox.scratch / isa / "trouble", isa, "drops", more=("--out", str(out)))
    names = {path.name for path in out.iterdir()}
    wanted = {"detonation.json", "guest.stream", "network.jsonl", "packets.pcap", "contents", "files", "files.jsonl", "memory"}
    must(names == wanted, f"the folder has {names}")
    dropped = {line["path"]: line for line in map(json.loads, (out / "files.jsonl").read_text().splitlines())}
    content = out / "files" / dropped["/tmp/dropped"]["sha256"]
    must(content.read_bytes() == b"#!/bin/sh\nexit 0\n", "the dropped file is there")
    must(not content.stat().st_mode & 0o111, "and cannot be run")


def main():
    wanted = sys.argv[1:]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="komainu-sandbox-") as scratch:
        # Where the user of the jail may go.
        pathlib.Path(scratch).chmod(0o755)
        sandbox = Sandbox(KOMAINU, scratch)
        there = sandbox.isas()
        must(there, "there is a guest")
        missing = set(wanted) - set(there)
        must(not missing, f"there is no guest for {missing}")
        for isa in wanted or there:
            for check in (check_isa, check_seed, check_both, check_not_run, check_folder):
                name = check.__name__.removeprefix("check_").replace("isa", "troubles")
                begin = time.monotonic()
                try:
                    check(sandbox, isa)
                    print(f"check sandbox {isa} {name} ... ok, {time.monotonic() - begin:.1f} s", flush=True)
                except (Failed, subprocess.TimeoutExpired) as error:
                    failed += 1
                    print(f"check sandbox {isa} {name} ... FAILED: {error}", flush=True)
        snapshots = sandbox.ask("snapshots").splitlines()
        must(len(snapshots) == 2 * len(wanted or there), f"two snapshots for each processor: {snapshots}")
    return failed != 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failed:
        sys.exit(f"check sandbox ... FAILED: {failed}")
