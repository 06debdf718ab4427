"""A chat on the library ``websockets``, with the broadcast that it offers for the purpose.

The first message is the name, all others are said to everybody else.
"""

import asyncio

from websockets.asyncio.server import ServerConnection, broadcast, serve

clients: set[ServerConnection] = set()


async def talk(client: ServerConnection) -> None:
    """Talk to one client until it goes."""
    name = await client.recv(decode=True)
    await client.send(f"* welcome, {name}")
    clients.add(client)
    broadcast(clients - {client}, f"* {name} joined")
    async for text in client:
        broadcast(clients - {client}, f"{name}: {text!s}")
    clients.remove(client)


async def main() -> None:
    """Serve until the process is told to end."""
    async with serve(talk, "127.0.0.1", 0, compression=None, backlog=1024) as server:
        print("{}:{}".format(*next(iter(server.sockets)).getsockname()), flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
