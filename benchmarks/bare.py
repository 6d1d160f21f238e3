"""The bare ASGI hello, the ceiling of any ASGI server here: `python -m benchmarks.bare uvicorn|granian|hypercorn PORT`.

One worker process, HTTP/1.1, uvloop, no access log: as the edge runs.
"""

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]

_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain;charset=UTF-8"), (b"content-length", b"14")],
}
_BODY = {"type": "http.response.body", "body": b"Hello, world!\n"}


async def hello(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """The ASGI application."""
    if scope["type"] == "http":
        await send(_START)
        await send(_BODY)


def serve(server: str, port: int) -> None:
    """Serve `hello` until the process ends. Raises ImportError if the server is not installed."""
    if server == "uvicorn":
        import uvicorn

        uvicorn.run(
            hello, port=port, loop="uvloop", http="httptools", log_level="error", access_log=False, lifespan="off"
        )
    elif server == "granian":
        from granian import Granian
        from granian.constants import Interfaces, Loops

        Granian(
            "benchmarks.bare:hello", port=port, interface=Interfaces.ASGINL, loop=Loops.uvloop, log_enabled=False
        ).serve()
    elif server == "hypercorn":
        import asyncio

        import uvloop
        from hypercorn.asyncio import serve as hypercorn_serve
        from hypercorn.config import Config

        config = Config()
        config.bind = [f"127.0.0.1:{port}"]
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(hypercorn_serve(hello, config))  # type: ignore[arg-type]
    else:
        raise ValueError(f"no such server: {server}")


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
