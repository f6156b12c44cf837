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

import asyncssh

from telnet_load import measure, source


async def log_in(number, given):
    return await asyncssh.connect(
        "127.0.0.1", given.port, username="root", password="admin", known_hosts=None, client_keys=None,
        agent_path=None, local_addr=(source(number), 0), config=None, login_timeout=60,
        server_host_key_algs=[given.host_key],
    )


async def session(number, given):
    async with await log_in(number, given) as connection:
        done = await connection.run("uname -a", check=True)
        assert "Linux" in done.stdout, done.stdout


async def load(pid, given):
    waiting = await measure(
        pid,
        lambda number: session(number, given),
        lambda number: log_in(number, given),
        given.sessions,
        given.at_a_time,
        given.held,
        batch=100,
    )
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
    arguments.add_argument("--host-key", default="ssh-ed25519", help="rsa-sha2-256 is the other one")
    given = arguments.parse_args()
    if given.pid:
        asyncio.run(load(given.pid, given))
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
            asyncio.run(load(program.pid, given))
        finally:
            program.send_signal(signal.SIGTERM)
            program.wait(60)


if __name__ == "__main__":
    main()
