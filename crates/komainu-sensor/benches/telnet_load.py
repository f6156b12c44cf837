"""What Telnet sessions cost a sensor: processor time for each, memory for each that is held.

    cargo build --release
    python3 crates/komainu-sensor/benches/telnet_load.py target/release/komainu
    python3 crates/komainu-sensor/benches/telnet_load.py --pid PID --port 2223      # another honeypot that runs already

Each session logs in as root, runs one command, waits for its answer and leaves. Everything is on the loopback interface;
sources are taken from 127.0.0.0/8, so that no bound for one source is met. It needs as many open files as
sessions are held, and a few more, in each of the two programs (`ulimit -n`).
"""

import argparse
import asyncio
import os
import pathlib
import signal
import subprocess
import tempfile
import time

COMMAND = b"/bin/busybox KOMAINU\r\n"
ANSWER = b"applet not found"
TICKS = os.sysconf("SC_CLK_TCK")


def source(number):
    """An address of the loopback network for each connection, in networks of their own."""
    return f"127.{1 + number % 250}.{number // 250 % 250}.{1 + number % 200}"


async def until(reader, *ends):
    said = b""
    while not any(end in said for end in ends):
        more = await asyncio.wait_for(reader.read(4096), 60)
        if not more:
            raise ConnectionError(f"closed after {said!r}")
        said += more


async def log_in(number, port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source(number), 0))
    await until(reader, b"ogin:")
    writer.write(b"root\r\n")
    await until(reader, b"assword:")
    writer.write(b"xc3511\r\n")
    await until(reader, b"# ", b"$ ")
    return reader, writer


async def session(number, port):
    reader, writer = await log_in(number, port)
    writer.write(COMMAND)
    await until(reader, ANSWER)
    writer.close()


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


async def measure(pid, session, log_in, sessions, at_a_time, held, batch=200):
    """Prints what sessions cost a process: `session(number)` is a whole one, `log_in(number)` stays."""
    print(f"idle: {rss_mib(pid):.1f} MiB")
    numbers, failed = iter(range(sessions)), 0

    async def work():
        nonlocal failed
        for number in numbers:
            try:
                await session(number)
            except (OSError, asyncio.TimeoutError) as error:
                failed += 1
                print(f"failed: {error}")

    spent, began = cpu_s(pid), time.monotonic()
    await asyncio.gather(*(work() for _ in range(at_a_time)))
    took, spent = time.monotonic() - began, cpu_s(pid) - spent
    each = spent / sessions * 1000
    print(f"{sessions} sessions, {failed} failed: {sessions / took:.0f}/s, {each:.3f} ms of processor time each")
    before, waiting = rss_mib(pid), []
    for begin in range(0, held, batch):
        waiting += await asyncio.gather(*(log_in(number) for number in range(begin, min(begin + batch, held))))
    after = rss_mib(pid)
    print(f"{held} held: {before:.1f} -> {after:.1f} MiB, {(after - before) / max(held, 1) * 1024:.1f} KiB each")
    return waiting


async def load(pid, given):
    port = given.port
    waiting = await measure(
        pid,
        lambda number: session(number, port),
        lambda number: log_in(number, port),
        given.sessions,
        given.at_a_time,
        given.held,
    )
    for _, writer in waiting:
        writer.close()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("komainu", nargs="?", help="the program to start")
    arguments.add_argument("--pid", type=int, help="of a honeypot that runs already")
    arguments.add_argument("--port", type=int, default=21023)
    arguments.add_argument("--sessions", type=int, default=2_000)
    arguments.add_argument("--at-a-time", type=int, default=100)
    arguments.add_argument("--held", type=int, default=19_800)
    given = arguments.parse_args()
    if given.pid:
        asyncio.run(load(given.pid, given))
        return
    with tempfile.TemporaryDirectory() as folder:
        configuration = pathlib.Path(folder, "komainu.toml")
        configuration.write_text("[sensor]\nconnections_max = 50000\n")
        command = [given.komainu, "sensor", "--persona", "camera", "--listen", "127.0.0.1", "--port-offset", "21000"]
        command += ["--data", folder, "--config", str(configuration)]
        began = time.monotonic()
        program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        while program.stdout.readline().strip() not in ("ready", ""):
            pass
        try:
            print(f"ready after {time.monotonic() - began:.2f} s")
            asyncio.run(session(0, given.port))
            print(f"first session after {time.monotonic() - began:.2f} s")
            asyncio.run(load(program.pid, given))
        finally:
            program.send_signal(signal.SIGTERM)
            program.wait(60)
        records = [*pathlib.Path(folder, "sensor").glob("*.json*")]
        print(f"records: {sum(path.stat().st_size for path in records) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
