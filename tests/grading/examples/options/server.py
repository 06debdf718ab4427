"""An asyncio chat server."""

import argparse
import asyncio
import time

writers = {}


async def handle(reader, writer):
    """Serve one client: its first line is the name."""
    name = (await reader.readline()).decode(errors="replace").strip()
    if not name or name in writers:
        writer.write(b"!nickname in use\n")
        writer.close()
        return
    writers[name] = writer
    writer.write(f"+connected, {len(writers)} online\n".encode())
    tell(f"{time.ctime()} * {name} has joined", name)
    try:
        while line := (await reader.readline()).decode(errors="replace").rstrip("\n"):
            if line == "#names":
                writer.write(f"names: {' '.join(sorted(writers))}\n".encode())
            elif line.startswith("#to "):
                _, to, text = line.split(" ", 2)
                if to in writers:
                    writers[to].write(f"{time.ctime()} *{name}* {text}\n".encode())
            elif line == "#quit":
                break
            else:
                tell(f"{time.ctime()} <{name}> {line}", name)
    except (OSError, ValueError):
        pass
    del writers[name]
    tell(f"{time.ctime()} * {name} has quit")
    writer.close()


def tell(line, skip=None):
    """Write a line to everybody but one."""
    for name, writer in writers.items():
        if name != skip:
            writer.write((line + "\n").encode())


async def main():
    """Run the server."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-p", "--port", type=int, default=6000)
    parser.add_argument("-v", "--verbose", action="store_true")
    options = parser.parse_args()
    server = await asyncio.start_server(handle, "127.0.0.1", options.port)
    print(f"{time.ctime()} listening on {options.port}")
    async with server:
        await server.serve_forever()


try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("bye")
