"""Strangers that visit all the time, until they are ended: `strangers.py SESSIONS_PER_S ADDRESS…`. Says how it went then.

Each session goes to one of the addresses: a page, a login, an echo, or a search by SSDP. One that finds nobody is as good
as any other: whoever is visited is killed meanwhile.
"""

import asyncio
import collections
import json
import random
import signal
import socket
import sys

SESSIONS_PER_S, ADDRESSES = float(sys.argv[1]), sys.argv[2:]
WAIT_S = 5
# At the same time. A device that answers nothing must not make them ever more.
AT_ONCE_MAX = 200
counted = collections.Counter()


async def stream(address, port, said):
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(said)
        writer.write_eof()
        return await reader.read()
    finally:
        writer.close()


async def search(address):
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setblocking(False)
        await loop.sock_sendto(udp, b"M-SEARCH * HTTP/1.1\r\n" + b" " * 200 + b"\r\n\r\n", (address, 1900))
        return await loop.sock_recv(udp, 2048)


async def visit():
    address = random.choice(ADDRESSES)
    kind = random.choice(["page", "page", "login", "echo", "search"])
    ways = {
        "page": lambda: stream(address, 80, b"GET / HTTP/1.0\r\n\r\n"),
        "login": lambda: stream(address, 23, b"admin\r\nadmin\r\n"),
        "echo": lambda: stream(address, 7, bytes(random.randrange(100_000))),
        "search": lambda: search(address),
    }
    try:
        said = await asyncio.wait_for(ways[kind](), WAIT_S)
        counted["answered" if said else "closed"] += 1
    except (OSError, asyncio.TimeoutError):
        counted["failed"] += 1


async def main():
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    print("up", flush=True)
    running = set()
    while not ended.is_set():
        if len(running) < AT_ONCE_MAX:
            one = asyncio.create_task(visit())
            running.add(one)
            one.add_done_callback(running.discard)
        try:
            await asyncio.wait_for(ended.wait(), random.expovariate(SESSIONS_PER_S))
        except asyncio.TimeoutError:
            pass
    await asyncio.gather(*running)
    print(json.dumps(counted), flush=True)


asyncio.run(main())
