"""Makes the guest's own loopback the cloud at its usual ports: each HOST:PORT=PORT goes on to that port of the host's loopback."""

import asyncio
import contextlib
import sys


async def copy(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    """Until there is no more."""
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            to.write(data)
            await to.drain()
    to.close()


async def relay(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection."""
    behind = await asyncio.open_connection("10.0.2.2", port)
    await asyncio.gather(copy(reader, behind[1]), copy(behind[0], writer))


async def main() -> None:
    """All listeners; says so when they listen."""
    for rule in sys.argv[1:]:
        where, port = rule.split("=")
        host, own = where.split(":")
        await asyncio.start_server(lambda r, w, port=int(port): relay(port, r, w), host, int(own))
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
