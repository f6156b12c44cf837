"""A guest of a kit, driven as the sandbox drives it, for checks that look at the agent alone.

The frames are those of docs/guest-agent.md. What the guest says is kept as it came, which is the form in which
`komainu sandbox trace` reads it.
"""

import gzip
import json
import os
import pathlib
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
KITS = pathlib.Path(os.environ.get("KOMAINU_KITS", ROOT / "target/kits"))

JOB, SAMPLE, RUN, DUMP, STOP = 1, 2, 3, 4, 5
HELLO, FORMAT, READY, STARTED, TRACE, FILE, MEMORY, EXITED, FINISHED, NOTE = range(0x81, 0x8B)

# The prefixes of Debian's cross compilers.
COMPILERS = {
    "arm": "arm-linux-gnueabi",
    "arm64": "aarch64-linux-gnu",
    "mips": "mips-linux-gnu",
    "mipsel": "mipsel-linux-gnu",
    "x86": "i686-linux-gnu",
    "x86_64": "x86_64-linux-gnu",
    "powerpc": "powerpc-linux-gnu",
    "sh4": "sh4-linux-gnu",
    "riscv64": "riscv64-linux-gnu",
    "sparc64": "sparc64-linux-gnu",
    "m68k": "m68k-linux-gnu",
}


def compile_for(isa, source, to):
    """Compiles one C file, static and small."""
    command = [f"{COMPILERS[isa]}-gcc", "-std=gnu11", "-Os", "-static", "-w", "-o", str(to), str(source)]
    subprocess.run(command, check=True, timeout=120)
    return to


def with_init(root, agent, to):
    """A root file system whose first process is `agent`: the kernel unpacks a second archive over the first."""
    body = pathlib.Path(agent).read_bytes()

    def entry(name, mode, data):
        fields = [1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + name + b"\0"
        head += b"\0" * (-len(head) % 4)
        return head + data + b"\0" * (-len(data) % 4)

    archive = entry(b"init", 0o100755, body) + entry(b"TRAILER!!!", 0, b"")
    to.write_bytes(pathlib.Path(root).read_bytes() + gzip.compress(archive, 1))
    return to


class Guest:
    """One guest from its boot on."""

    def __init__(self, isa, scratch, agent=None, limit_s=120):
        kit = json.loads((KITS / isa / "kit.json").read_text())
        self.until = time.monotonic() + limit_s
        self.stream = bytearray()
        self.read_to = 0
        root = KITS / isa / "root.cpio.gz"
        if agent:
            root = with_init(root, agent, pathlib.Path(scratch) / f"{isa}.cpio.gz")
        ours, theirs = socket.socketpair()
        frames, guests_frames = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.port, self.frames = ours, frames
        bus = {"mmio": "device", "pci": "pci", "ccw": "ccw"}[kit["virtio"]]
        command = [kit["qemu"], *kit["machine"], "-m", str(kit["memory_mib"]), "-nodefaults", "-nographic", "-no-reboot"]
        command += ["-kernel", str(KITS / isa / "kernel"), "-initrd", str(root), "-append", kit["command_line"]]
        command += ["-serial", f"file:{scratch}/{isa}.console", "-monitor", "none"]
        command += ["-device", f"virtio-serial-{bus}", "-chardev", f"socket,id=agent,fd={theirs.fileno()}"]
        command += ["-device", "virtserialport,chardev=agent,name=komainu.agent"]
        command += ["-netdev", f"dgram,id=net,local.type=fd,local.str={guests_frames.fileno()}"]
        command += ["-device", f"virtio-net-{bus},netdev=net"]
        command += ["-device", f"virtio-rng-{bus}"]
        self.qemu = subprocess.Popen(command, pass_fds=[theirs.fileno(), guests_frames.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        guests_frames.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.qemu.kill()
        self.qemu.wait(timeout=30)
        self.port.close()
        self.frames.close()

    def send(self, kind, payload=b""):
        self.port.settimeout(max(0.1, self.until - time.monotonic()))
        self.port.sendall(bytes([kind]) + len(payload).to_bytes(4, "little") + payload)

    def frame(self):
        """The next frame: its kind and payload. Raises when the guest is silent until the limit."""
        while True:
            have = len(self.stream) - self.read_to
            if have >= 5:
                length = int.from_bytes(self.stream[self.read_to + 1 : self.read_to + 5], "little")
                if have >= 5 + length:
                    start = self.read_to + 5
                    self.read_to = start + length
                    return self.stream[start - 5], bytes(self.stream[start : start + length])
            self.port.settimeout(max(0.01, self.until - time.monotonic()))
            got = self.port.recv(65536)
            if not got:
                raise EOFError("the guest closed its port")
            self.stream += got

    def until_kind(self, wanted):
        """Reads up to a frame of this kind and gives all frames that came, that one last."""
        seen = []
        while not seen or seen[-1][0] != wanted:
            seen.append(self.frame())
        return seen

    def start(self, sample, **keys):
        """Sends a job, the sample and the word to run it. A key with several values is a list."""
        lines = []
        for key, values in keys.items():
            for value in values if isinstance(values, list) else [values]:
                lines.append(f"{key}={value}\n")
        self.send(JOB, "".join(lines).encode())
        for at in range(0, len(sample), 65536):
            self.send(SAMPLE, sample[at : at + 65536])
        self.send(RUN)
