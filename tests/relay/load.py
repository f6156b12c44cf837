"""Sessions through the relay, as many as there can be: `load.py ADDRESS PORT SESSIONS AT_ONCE`. Says how many a second.

Each is a connection, a request, the whole answer, and the end.
"""

import asyncio
import sys
import time

ADDRESS, PORT, SESSIONS, AT_ONCE = sys.argv[1], *map(int, sys.argv[2:5])


async def worker(numbers, failed):
    for _ in numbers:
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection(ADDRESS, PORT), 20)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            if not await asyncio.wait_for(reader.read(), 20):
                failed.append("empty")
            writer.close()
        except (OSError, asyncio.TimeoutError) as error:
            failed.append(type(error).__name__)


async def main():
    failed = []
    numbers = iter(range(SESSIONS))
    began = time.monotonic()
    await asyncio.gather(*(worker(numbers, failed) for _ in range(AT_ONCE)))
    took = time.monotonic() - began
    print(f"{SESSIONS} sessions, {len(failed)} failed, {SESSIONS / took:.0f} a second", flush=True)
    if failed:
        print(f"first failures: {failed[:5]}", flush=True)


asyncio.run(main())
