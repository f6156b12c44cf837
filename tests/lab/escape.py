"""Attempts to get out of the jail, each made by a harmless program in place of QEMU (tests/lab/escape/escape.c).

Canaries stand outside: listeners on the host's loopback (TCP, UDP, Unix sockets), a file, a process. An attempt that
reaches one, or gets what the jail must not give, fails the check. The same program runs without the jail as well, as an
ordinary user, and must reach the canaries: a suite that cannot fail shows nothing. Needs Linux, a C compiler with static
libraries (Debian: gcc, libc6-dev), and root for all of it; without root the suite runs as the user who starts it.
Run it from the root of the repository after a build:

    python3 tests/lab/escape.py                    everything but the guests
    python3 tests/lab/escape.py NAME…              some attempts
    python3 tests/lab/escape.py guests [ISA…]      all attempts inside guests, as the sample of `komainu sandbox run`; needs
                                                   kits (KITS, target/kits), QEMU and cross compilers
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from guest import COMPILERS, KITS

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
KOMAINU = os.environ.get("KOMAINU", str(ROOT / "target/debug/komainu"))
SOURCE = HERE / "escape/escape.c"

# Not fewer, whatever is taken out of the list.
ATTEMPTS_MIN = 40
# Of users that no machine has (Debian Policy 9.2.2).
TEST_UID = 61_777
# As whom the jail runs when root starts it and there is no account komainu-sandbox.
JAIL_UID = 61_300
# Seconds of an attempt in its jail, and of the jail's start and end beside it, on a machine that is busy.
JAIL_S, GRACE_S = 4, 40
MEMORY_MIB, SCRATCH_MIB = 512, 4
# What a jail may show of a flood, for each of its two outputs (komainu sandbox jail), and a little of our own.
SHOWN_BYTES_MAX = (1 << 20) + 4096
# Held by the launcher before it became the program, which is counted with it.
LAUNCHER_MIB_MAX = 16

# Seconds that the attempts have in a guest, and that its boot, its end and its record may take beside, on a busy machine.
GUEST_S, GUEST_GRACE_S = 90, 150
# As many settings as a sample may have arguments, its name of an attempt included.
GUEST_SETTINGS = ["tcp4", "tcp6", "udp4", "udp6", "address", "abstract", "file"]

# What needs no jail to be refused, on most machines or everywhere: not asked of the control run.
ENDLESS = ["hog-processor", "sleep-for-ever"]
# Each reaches something as an ordinary user without a jail, on every machine.
REACHED_WITHOUT_JAIL = [
    "tcp-loopback4", "tcp-mapped", "udp-loopback4", "host-address", "netlink-routes", "unix-abstract", "unix-path",
    "given-socket-renamed", "read-canary", "read-passwd", "read-own-maps", "write-canary", "write-outside", "walk-up",
    "walk-link", "trace-self", "trace-process", "read-process", "kill-process", "kill-parent", "signal-thread",
    "limit-process", "fork-bomb", "vfork-once", "clone-sharing", "daemonise", "run-shell", "run-self", "run-file",
    "run-memory", "run-by-number", "thread-bomb", "memory-bomb", "shared-memory-bomb", "memory-file-bomb",
    "system-v-memory", "scratch-bomb", "scratch-files-bomb", "pipe-bomb", "socket-pair-bomb", "descriptor-bomb",
    "timer-bomb", "session-keys", "message-queue", "legacy-layout", "dump-core", "left-descriptors", "known-host",
    "left-environment", "left-session", "signals-by-descriptor", "outlive-parent", "make-setuid",
]
# The jail holds because nothing comes of it: the attempt says that its flood was taken; what was shown of it is bounded.
JUDGED_OUTSIDE = ["flood-output"]


class Canaries:
    """What stands outside, and whether it was touched."""

    def __init__(self, folder, uid):
        self.folder, self.touched = folder, []
        self.marks = threading.Lock()
        self.sockets = []
        self.settings = {}
        for key, family, kind, address in [
            ("tcp4", socket.AF_INET, socket.SOCK_STREAM, "0.0.0.0"),
            ("tcp6", socket.AF_INET6, socket.SOCK_STREAM, "::1"),
            ("udp4", socket.AF_INET, socket.SOCK_DGRAM, "0.0.0.0"),
            ("udp6", socket.AF_INET6, socket.SOCK_DGRAM, "::1"),
        ]:
            try:
                canary = socket.socket(family, kind)
                canary.bind((address, 0))
            except OSError:
                # A machine without IPv6 has no such canary.
                self.settings[key] = 9
                continue
            self.settings[key] = canary.getsockname()[1]
            self.watch(key, canary, kind)
        name = f"komainu-escape-{os.getpid()}-{id(self)}"
        self.settings["abstract"] = name
        # One name may be taken once for each type.
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            canary = socket.socket(socket.AF_UNIX, kind)
            canary.bind(f"\0{name}")
            self.watch("abstract", canary, kind)
        self.settings["socket"] = str(folder / "socket")
        canary = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        canary.bind(self.settings["socket"])
        os.chmod(self.settings["socket"], 0o777)
        self.watch("socket", canary, socket.SOCK_STREAM)
        self.file = folder / "canary"
        self.settings["file"] = str(self.file)
        self.settings["folder"] = str(folder)
        # Whoever is user `uid` outside may change it: the jail is all that keeps it from being changed.
        self.uid = uid
        self.reset()
        self.settings["address"] = own_address()
        self.process = None
        self.start_process()

    def reset(self):
        self.file.write_text("CANARY\n")
        os.chmod(self.file, 0o666)
        for left in self.folder.glob("escaped"):
            left.unlink()

    def start_process(self):
        """A process of the same user as the jail's, which notes signals."""
        code = (
            "import signal, sys, time\n"
            "signal.signal(signal.SIGUSR1, lambda *_: sys.exit(42))\n"
            "print('ready', flush=True)\n"
            "time.sleep(600)\n"
        )
        self.process = subprocess.Popen(
            as_user(self.uid) + [python(), "-c", code], stdout=subprocess.PIPE, cwd="/", start_new_session=True
        )
        assert self.process.stdout.readline() == b"ready\n", "the canary process does not start"
        self.settings["pid"] = self.process.pid
        self.settings["parent"] = os.getpid()

    def watch(self, name, canary, kind):
        self.sockets.append(canary)
        if kind == socket.SOCK_STREAM:
            canary.listen(16)

        def listen():
            with contextlib.suppress(OSError):
                while True:
                    if kind == socket.SOCK_STREAM:
                        canary.accept()[0].close()
                    else:
                        canary.recv(64)
                    with self.marks:
                        self.touched.append(name)

        threading.Thread(target=listen, daemon=True).start()

    def arguments(self):
        return [f"{key}={value}" for key, value in self.settings.items()]

    def problems(self):
        """What was touched since the last time."""
        with self.marks:
            problems = [f"the canary {name} was reached" for name in self.touched]
            self.touched.clear()
        if self.file.read_text() != "CANARY\n":
            problems.append("the canary's file was changed")
        if list(self.folder.glob("escaped")):
            problems.append("a file was written outside")
        if self.process.poll() is not None:
            problems.append(f"the canary process ended: {self.process.returncode}")
            self.start_process()
        self.reset()
        return problems

    def close(self):
        for canary in self.sockets:
            # Whoever listens in another thread is woken by it.
            with contextlib.suppress(OSError):
                canary.shutdown(socket.SHUT_RDWR)
            canary.close()
        (self.folder / "socket").unlink()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def python():
    """One that other users may run: the one that runs this may lie in somebody's home."""
    return "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable


def own_address():
    """An address of this machine's that is not on its loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        # Nothing is sent: a datagram socket that is connected knows from where it would send.
        with contextlib.suppress(OSError):
            asked.connect(("203.0.113.1", 9))
            return asked.getsockname()[0]
    return "127.0.0.2"


def as_user(uid):
    """How a command is begun so that it runs as this user."""
    if os.geteuid() == uid:
        return []
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all", "--"]


def build(folder, name="gcc"):
    program = folder / f"escape-{name}"
    compiler = shutil.which(name)
    assert compiler, f"there is no {name}: install it, with its static libraries"
    command = [compiler, "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-pthread", "-o", program, SOURCE]
    subprocess.run(command, check=True, timeout=120)
    program.chmod(0o755)
    return program


def names(program):
    listed = subprocess.run([program, "list"], capture_output=True, text=True, timeout=20, check=True).stdout.split()
    assert len(listed) >= ATTEMPTS_MIN and len(set(listed)) == len(listed), f"only {len(listed)} attempts"
    return listed


def attempt_in_jail(name, program, canaries, uid, komainu):
    """Makes one attempt in a jail; says what came of it and what was wrong."""
    command = as_user(uid) + [
        str(komainu), "sandbox", "jail", f"--memory={MEMORY_MIB}", f"--scratch={SCRATCH_MIB}", f"--seconds={JAIL_S}",
        str(program), name, *canaries.arguments(),
    ]
    # The environment has something that must not be seen in the jail, and is the caller's otherwise.
    environment = {"PATH": "/usr/bin:/bin", "CANARY": "leaked", "LD_LIBRARY_PATH": "/nowhere"}
    begun = time.monotonic()
    done = subprocess.run(
        command, capture_output=True, timeout=JAIL_S + GRACE_S, cwd=canaries.folder, env=environment,
        stdin=subprocess.DEVNULL,
    )
    took = time.monotonic() - begun
    end = re.search(rb"^jail: (.*), ended by (.*); (\d+) ms of processor time, (\d+) KiB of memory", done.stderr, re.M)
    problems = canaries.problems()
    if not end:
        return "no jail", [f"there was no jail: {done.stderr[-400:]!r}"]
    how, by, memory_kib = end[1].decode(), end[2].decode(), int(end[4])
    said = [line for line in done.stdout.decode(errors="replace").splitlines() if line.startswith(f"{name} ")]
    if len(done.stdout) > SHOWN_BYTES_MAX:
        problems.append(f"{len(done.stdout)} bytes of output were shown")
    if memory_kib > (MEMORY_MIB + LAUNCHER_MIB_MAX) << 10:
        problems.append(f"it held {memory_kib} KiB of memory")
    if name in ENDLESS:
        verdict = f"contained by its time, after {took:.1f} s"
        if by != "the end of its time":
            problems.append(f"it was not ended by its time, but by {by}: {how}")
    elif name in JUDGED_OUTSIDE:
        verdict = f"contained at {len(done.stdout)} bytes shown"
        if how != "exit status 1" or b"bytes of output are not shown" not in done.stderr:
            problems.append(f"its flood was not bounded: {how}")
    elif said:
        verdict = said[-1].removeprefix(f"{name} ")
        if len(said) != 1 or not verdict.startswith("contained "):
            problems.append(verdict)
    elif how.startswith("signal "):
        number = int(how.removeprefix("signal "))
        verdict = f"contained by {signal.Signals(number).name}"
        # The filter of system calls; abort(3) of the first process of a namespace; the bound of memory or time.
        if number not in (signal.SIGSYS, signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT):
            problems.append(f"an end that nobody expects: {how}")
    else:
        verdict = "?"
        problems.append(f"it said nothing: {how}, {done.stdout[-200:]!r} {done.stderr[-200:]!r}")
    return verdict, problems


def processes_of(program):
    """Processes of the test's program that are still there."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cmdline").read_bytes().startswith(str(program).encode()):
                found.append(int(entry.name))
    return found


def suite(label, program, wanted, canaries, uid, komainu):
    """Makes each attempt in a jail of its own. One line each."""
    failed = 0
    for name in wanted:
        try:
            verdict, problems = attempt_in_jail(name, program, canaries, uid, komainu)
        except subprocess.TimeoutExpired:
            verdict, problems = "no end", ["the jail did not end in time"]
        left = processes_of(program)
        if left:
            problems.append(f"processes are left behind: {left}")
        cores = [path.name for path in canaries.folder.glob("core*")]
        if cores:
            problems.append(f"a core dump is left behind: {cores}")
        failed += bool(problems)
        outcome = "FAILED" if problems else "ok"
        print(f"check escape {label} {name} ... {outcome} ({verdict}{'; ' if problems else ''}{'; '.join(problems)})")
    return failed


def control(program, canaries, uid):
    """The same program without a jail, as an ordinary user: it must reach the canaries."""
    # As standard error a socket of the type that is never given to a jail; and a descriptor that is left over.
    given, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with given, peer, open(os.devnull, "rb") as left:
        done = subprocess.run(
            as_user(uid) + [str(program), "every", *canaries.arguments()],
            stdout=subprocess.PIPE, stderr=given, stdin=subprocess.DEVNULL, timeout=500, cwd=canaries.folder,
            env={"CANARY": "leaked"}, pass_fds=[left.fileno()], start_new_session=True,
        ).stdout.decode(errors="replace")
    escaped = {line.split()[0] for line in done.splitlines() if re.match(r"[a-z0-9-]+ escaped ", line)}
    touched = canaries.problems()
    missing = [name for name in REACHED_WITHOUT_JAIL if name not in escaped]
    print(f"check escape control without-a-jail ... {'FAILED' if missing or not touched else 'ok'} "
          f"({len(escaped)} attempts reach something; touched: {', '.join(sorted(set(touched)))})")
    if missing:
        print(f"  these reach nothing even without a jail, so their check shows nothing: {', '.join(missing)}")
    return bool(missing or not touched)


def in_guest(isa, run_as, folder, canaries, komainu):
    """Makes every attempt as a sample in a guest; says what was seen and what was wrong."""
    program = build(folder, f"{COMPILERS[isa]}-gcc")
    out = folder / f"out-{isa}-{run_as}"
    settings = [f"{key}={canaries.settings[key]}" for key in GUEST_SETTINGS]
    command = [
        str(komainu), "sandbox", "run", str(program), f"--isa={isa}", f"--as={run_as}", f"--seconds={GUEST_S}",
        "--quiet=0", f"--out={out}", "--", "every", *settings,
    ]
    environment = {
        "PATH": os.environ["PATH"], "KOMAINU__SANDBOX__KITS": str(KITS.absolute()),
        "KOMAINU__SANDBOX__SNAPSHOTS": str(folder / "snapshots"),
    }
    done = subprocess.run(
        command, capture_output=True, timeout=GUEST_S + GUEST_GRACE_S, cwd=folder, env=environment,
        stdin=subprocess.DEVNULL,
    )
    problems = canaries.problems()
    recorded = b"".join(path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file())
    if done.returncode:
        problems.append(f"it was not run: {(done.stdout + done.stderr)[-400:]!r}")
    # A silent canary shows nothing unless the attempts were made: they name this address, and their own files.
    elif b"169.254.169.254" not in done.stdout + recorded:
        problems.append("its attempts are not in the record")
    said = done.stdout.decode(errors="replace").splitlines()
    return said[0] if said else "nothing", problems


def guests(wanted, folder, komainu, uid):
    failed = count = 0
    for isa in wanted or [isa for isa in COMPILERS if (KITS / isa / "kit.json").is_file()]:
        for run_as in ("user", "root"):
            canaries = Canaries(folder, uid)
            try:
                seen, problems = in_guest(isa, run_as, folder, canaries, komainu)
            except subprocess.TimeoutExpired:
                seen, problems = "no end", ["it did not end in time"]
            finally:
                canaries.close()
            failed += bool(problems)
            count += 1
            outcome = "FAILED" if problems else "ok"
            print(f"check escape guest {isa} as-{run_as} ... {outcome} ({'; '.join([seen, *problems])})")
    if not count:
        failed += 1
        print(f"check escape guest ... FAILED (there is no kit in {KITS})")
    return count, failed


def main():
    asked = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    is_root = os.geteuid() == 0
    failed = count = 0
    # Not below /tmp of a user's own, and readable: the jail's user must come to the program.
    with tempfile.TemporaryDirectory(prefix="komainu-escape-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o777)
        komainu = folder / "komainu"
        # Where other users may read it.
        shutil.copy(KOMAINU, komainu)
        komainu.chmod(0o755)
        if asked[:1] == ["guests"]:
            count, failed = guests(asked[1:], folder, komainu, JAIL_UID if is_root else os.geteuid())
            print(f"escape: {count - failed} passed, {failed} failed")
            return failed != 0
        program = build(folder)
        listed = names(program)
        wanted = [one for one in listed if not asked or one in asked]
        # Started by root, it runs as the user of the sandbox; started by a user, as that one.
        runs = [("started-by-root", 0, JAIL_UID), ("started-by-a-user", TEST_UID, TEST_UID)] if is_root else [
            ("started-by-a-user", os.geteuid(), os.geteuid())]
        for label, starter, inner in runs:
            canaries = Canaries(folder, inner)
            try:
                failed += suite(label, program, wanted, canaries, starter, komainu)
                count += len(wanted)
            finally:
                canaries.close()
        if not asked:
            canaries = Canaries(folder, TEST_UID if is_root else os.geteuid())
            try:
                failed += control(program, canaries, TEST_UID if is_root else os.geteuid())
                count += 1
            finally:
                canaries.close()
    print(f"escape: {count - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
