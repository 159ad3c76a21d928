"""A tina4 application: its WebSocket server with what TINA4_WS_* says of the backplane. A client is told its id and joins the
room of its query (?room=r). Commands come as JSON, a line each, on standard input; each is answered with a line when done:
{"to": "all"|"path"|"room", "name": N, "text": T | "b64": B, "exclude": id}."""
import asyncio
import base64
import json
import os
import sys

from tina4_python.websocket import WebSocketServer
from tina4_python.websocket.backplane import NATSBackplane, create_backplane

PATHS = ["/chat", "/other"]


async def serve(conn):
    if "room" in conn.params:
        conn.join_room(conn.params["room"])
    await conn.send(json.dumps({"id": conn.id}))
    await conn._run()


async def carry_out(manager, c):
    message = c["text"] if "text" in c else base64.b64decode(c["b64"])
    exclude = c.get("exclude")
    if c["to"] == "room":
        await manager.broadcast_to_room(c["name"], message, exclude=exclude)
    else:
        await manager.broadcast(message, exclude=exclude, path=c.get("name"))


def wire(manager, backplane):
    """What the manager does itself with its first broadcast. It makes its carrier inside the running loop, and that of NATS
    fails there ("Cannot run the event loop while another loop is running"): so it is made before and handed over here."""
    manager._backplane_started = True
    manager._backplane = backplane
    manager._backplane_loop = asyncio.get_running_loop()
    backplane.subscribe(manager._backplane_channel, manager._on_backplane_message)


async def main(nats):
    server = WebSocketServer("127.0.0.1", int(sys.argv[1]))
    for path in PATHS:
        server.route(path, serve)
    await server.start()
    if nats:
        wire(server.manager, nats)
    # It connects to its backplane with its first broadcast (B-31), so here is one for nobody.
    await server.manager.broadcast("connect", path="/nobody")
    print(json.dumps({"instance": server.manager._instance_id}), flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        await carry_out(server.manager, json.loads(line))
        print("{}", flush=True)
    await server.stop()


carrier = create_backplane() if os.environ["TINA4_WS_BACKPLANE"] == "nats" else None
assert carrier is None or isinstance(carrier, NATSBackplane)
asyncio.run(main(carrier))
