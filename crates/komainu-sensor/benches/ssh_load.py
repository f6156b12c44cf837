"""What SSH sessions cost a sensor: processor time for each login with one command.

    cargo build --release
    python3 -m venv VENV; VENV/bin/pip install asyncssh
    VENV/bin/python crates/komainu-sensor/benches/ssh_load.py target/release/komainu
    VENV/bin/python crates/komainu-sensor/benches/ssh_load.py --pid PID --port 2222      # another honeypot

Each session logs in as root with a password, runs one command, reads its output and leaves; everything is on the loopback
interface, from many sources of 127.0.0.0/8.
"""

import argparse
import asyncio
import pathlib
import signal
import subprocess
import tempfile
import time

import asyncssh

from telnet_load import cpu_s, rss_mib, source


HOST_KEYS = ["ssh-ed25519"]


async def log_in(number, port):
    return await asyncssh.connect(
        "127.0.0.1", port, username="root", password="admin", known_hosts=None, client_keys=None, agent_path=None,
        local_addr=(source(number), 0), config=None, login_timeout=60, server_host_key_algs=HOST_KEYS,
    )


async def session(number, port):
    async with await log_in(number, port) as connection:
        done = await connection.run("uname -a", check=True)
        assert "Linux" in done.stdout, done.stdout


async def measure(pid, port, sessions, at_a_time, held):
    print(f"idle: {rss_mib(pid):.1f} MiB")
    numbers = iter(range(sessions))

    async def work():
        for number in numbers:
            await session(number, port)

    spent, began = cpu_s(pid), time.monotonic()
    await asyncio.gather(*(work() for _ in range(at_a_time)))
    took, spent = time.monotonic() - began, cpu_s(pid) - spent
    print(f"{sessions} sessions: {sessions / took:.0f}/s, {spent / sessions * 1000:.3f} ms of processor time each")
    before, waiting = rss_mib(pid), []
    for begin in range(0, held, 100):
        waiting += await asyncio.gather(*(log_in(number, port) for number in range(begin, min(begin + 100, held))))
    after = rss_mib(pid)
    print(f"{held} held: {before:.1f} -> {after:.1f} MiB, {(after - before) / max(held, 1) * 1024:.1f} KiB each")
    for connection in waiting:
        connection.abort()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("komainu", nargs="?", help="the program to start")
    arguments.add_argument("--pid", type=int, help="of a honeypot that runs already")
    arguments.add_argument("--port", type=int, default=12022)
    arguments.add_argument("--sessions", type=int, default=1_000)
    arguments.add_argument("--at-a-time", type=int, default=50)
    arguments.add_argument("--held", type=int, default=1_000)
    arguments.add_argument("--host-key", default="ssh-ed25519", help="its algorithm: ssh-ed25519 as OpenSSH wants it, rsa-sha2-256")
    given = arguments.parse_args()
    HOST_KEYS[:] = [given.host_key]
    if given.pid:
        asyncio.run(measure(given.pid, given.port, given.sessions, given.at_a_time, given.held))
        return
    with tempfile.TemporaryDirectory() as folder:
        configuration = pathlib.Path(folder, "komainu.toml")
        configuration.write_text("[sensor]\nconnections_max = 50000\n")
        command = [given.komainu, "sensor", "--persona", "router", "--listen", "127.0.0.1", "--port-offset", "12000"]
        command += ["--data", folder, "--config", str(configuration)]
        program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        while program.stdout.readline().strip() not in ("ready", ""):
            pass
        try:
            asyncio.run(measure(program.pid, given.port, given.sessions, given.at_a_time, given.held))
        finally:
            program.send_signal(signal.SIGTERM)
            program.wait(60)


if __name__ == "__main__":
    main()
