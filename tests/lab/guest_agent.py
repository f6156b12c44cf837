"""The agent in a real guest, for every processor whose kit is there: what it tells of harmless programs of ours.

    KOMAINU_KITS=target/kits python tests/lab/guest_agent.py [--record DIR] [ISA...]

The agent is compiled from `guest/agent.c` and laid over the kit's root file system, so that it is this one which is
checked. `--record` keeps the streams that the tests of `komainu-trace` read.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import traceback

import guest

ROOT = pathlib.Path(__file__).resolve().parents[2]
KOMAINU = os.environ.get("KOMAINU", str(ROOT / "target/debug/komainu"))

# The kernel of this processor has neither probes nor tracepoints of system calls.
WITHOUT_PROBES = {"m68k"}

NETWORK = {
    "hostname": "camera",
    "mac": "02:00:00:12:34:56",
    "address": "192.168.1.23/24",
    "gateway": "192.168.1.1",
    "dns": "192.168.1.1",
    "address6": "fd00::23/64",
    "gateway6": "fd00::1",
}


def told(stream):
    """What `komainu sandbox trace` makes of a stream: its lines of JSON."""
    command = [KOMAINU, "sandbox", "trace", "--json", "-"]
    out = subprocess.run(command, input=bytes(stream), capture_output=True, check=True, timeout=60).stdout
    return [json.loads(line) for line in out.splitlines()]


def has(lines, **wanted):
    """Whether a line has all these values."""
    return any(all(line.get(key) == value for key, value in wanted.items()) for line in lines)


def need(lines, **wanted):
    if not has(lines, **wanted):
        events = "\n".join(json.dumps(line) for line in lines)
        raise AssertionError(f"nothing tells of {wanted} in\n{events[:20000]}")


def notes(frames):
    return [payload.decode(errors="replace") for kind, payload in frames if kind == guest.NOTE]


def acts(isa, scratch, agent, mode, record):
    """Every kind of act is told, with its values."""
    program = guest.compile_for(isa, ROOT / "tests/lab/programs/acts.c", scratch / "acts")
    with guest.Guest(isa, scratch, agent) as g:
        prepared = notes(g.until_kind(guest.READY))
        g.start(program.read_bytes(), mode=mode, name="/tmp/acts", argv=["acts", "first argument"],
                clock=1_790_000_000, seed="00ff" * 16, **NETWORK)
        g.until_kind(guest.FINISHED)
    if record:
        (record / f"{isa}-{mode}.stream").write_bytes(g.stream)
    lines = told(g.stream)
    need(lines, event="hello", isa=isa)
    need(lines, event="exec", path="/tmp/acts")
    need(lines, event="connect", to="203.0.113.7:23")
    need(lines, event="connect", to="[2001:db8::7]:8080")
    need(lines, event="rename", comm="other-name")
    need(lines, event="file", path="/tmp/folder/kept.txt", change="created", content="left behind by acts\\x0a")
    need(lines, event="finished", why="ended", events_overwritten=0)
    if isa in WITHOUT_PROBES:
        return f"no probes on this processor: {len(lines)} lines"
    assert not prepared, prepared
    need(lines, event="exec", path="/tmp/acts", arguments=["acts", "first argument"])
    need(lines, event="exec", path="/bin/busybox", arguments=["echo", "from", "a child"])
    need(lines, event="make_folder", path="/tmp/folder")
    need(lines, **{"event": "move", "from": "/tmp/dropped.txt", "to": "/tmp/folder/kept.txt"})
    need(lines, event="change_mode", path="/tmp/folder/kept.txt", mode=0o755)
    need(lines, event="unlink", path="/tmp/gone.txt")
    need(lines, event="look", path="/etc/passwd")
    need(lines, event="open", path="/nowhere", result=-2)
    need(lines, event="write", bytes=20, head="left behind by acts\\x0a")
    need(lines, event="socket", family=2, kind=1)
    need(lines, event="bind", at="127.0.0.1:48101")
    need(lines, event="listen")
    need(lines, event="send", to="203.0.113.7:5353", bytes=18, head="a datagram of acts")
    need(lines, event="sleep", ns=20_000_000)
    need(lines, event="kill", signal=0)
    need(lines, event="trace", request=0)
    need(lines, event="exit", status=0x700)
    if mode == "root":
        need(lines, event="mount", source="tracefs", target="/mnt", kind="tracefs")
    return f"{len(lines)} lines"


def as_user(isa, scratch, agent, record):
    return acts(isa, scratch, agent, "user", record)


def as_root(isa, scratch, agent, record):
    return acts(isa, scratch, agent, "root", record)


def stay(isa, scratch, agent, way, mode, seconds):
    """Runs the program that stays, for this long, then asks for its memory and ends it."""
    program = guest.compile_for(isa, ROOT / "tests/lab/programs/stays.c", scratch / "stays")
    with guest.Guest(isa, scratch, agent) as g:
        g.until_kind(guest.READY)
        g.start(program.read_bytes(), mode=mode, name="/tmp/stays", argv=["stays", way])
        g.until_kind(guest.STARTED)
        frames = []
        until = time.monotonic() + seconds
        limit, g.until = g.until, until
        try:
            while True:
                frames.append(g.frame())
        except TimeoutError:
            g.until = limit
        if any(kind == guest.FINISHED for kind, _ in frames):
            return frames, 0.0
        began = time.monotonic()
        g.send(guest.DUMP)
        g.send(guest.STOP)
        frames += g.until_kind(guest.FINISHED)
        return frames, time.monotonic() - began


def memory(isa, scratch, agent, _record):
    """A text that is decoded in memory is in the dump, and in no file."""
    frames, took = stay(isa, scratch, agent, "sleep", "user", 1)
    assert b"decoded in memory" not in (scratch / "stays").read_bytes()
    found = [payload for kind, payload in frames if kind == guest.MEMORY and b"decoded in memory" in payload]
    assert found, "the text is in no piece of memory"
    return f"dumped and stopped in {took:.2f} s"


def busy(isa, scratch, agent, _record):
    """However a sample keeps the guest busy, as user and as root, the agent stops it and says how it ended."""
    said = []
    for way, why in [("flood", "stopped"), ("fork", "stopped"), ("disk", "stopped"), ("memory", "ended")]:
        for mode in ["user", "root"]:
            frames, took = stay(isa, scratch, agent, way, mode, 8)
            end = dict(line.split("=", 1) for line in frames[-1][1].decode().splitlines())
            assert end["why"] == why, (way, mode, end)
            assert took < 20, (way, mode, took)
            # What is allowed at once, for each second, and what comes before the brake acts.
            seconds = int(end["at_ns"]) / 1e9
            assert int(end["trace_bytes"]) < (8 << 20) + (384 << 10) * seconds, (way, mode, end)
        said.append(f"{way} {took:.1f} s")
    return ", ".join(said)


def main():
    words = sys.argv[1:]
    record = None
    if words[:1] == ["--record"]:
        record = pathlib.Path(words[1])
        words = words[2:]
    isas = words or [isa for isa in guest.COMPILERS if (guest.KITS / isa / "kit.json").exists()]
    if not isas:
        sys.exit(f"no kit in {guest.KITS}; `cargo xtask kits` builds them")
    failed = 0
    for isa in isas:
        for check in [as_user, as_root, memory, busy]:
            with tempfile.TemporaryDirectory() as folder:
                scratch = pathlib.Path(folder)
                began = time.monotonic()
                try:
                    agent = guest.compile_for(isa, ROOT / "guest/agent.c", scratch / "agent")
                    said = check(isa, scratch, agent, record)
                    took = time.monotonic() - began
                    print(f"check agent {isa} {check.__name__} ... ok, {took:.1f} s: {said}", flush=True)
                except Exception:
                    failed += 1
                    print(f"check agent {isa} {check.__name__} ... FAILED\n{traceback.format_exc()}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
