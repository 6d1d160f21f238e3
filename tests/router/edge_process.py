"""The edge worker with a tiny application in the data plane's place: `python -m tests.router.edge_process`.

Started like `router.worker`, with the control channel on descriptor 3. It takes messages, sockets and signals exactly
as the real one; only what answers for the data plane's names is small.
"""

import json
from collections.abc import Callable

from dataplane.messages import Catalog
from router.app import Receive, Scope, Send
from router.worker import run


class TinyDataPlane:
    def __init__(self, public_db_url: str, token_key: bytes, on_response: Callable[[str, int, float], None]) -> None:
        self.url = public_db_url
        self.version = 0
        self.on_response = on_response

    def apply(self, catalog: Catalog) -> None:
        self.version = catalog.version

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"].upper()})
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        shown = {"path": scope["path"], "catalog": self.version, "body": body.decode(), "scheme": scope["scheme"]}
        content = json.dumps(shown).encode()
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))],
            }
        )
        await send({"type": "http.response.body", "body": content})
        self.on_response("db-test", 200, 0.001)

    async def aclose(self) -> None:
        pass


if __name__ == "__main__":
    run(TinyDataPlane)
