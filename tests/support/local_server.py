"""An HTTP server on loopback for the length of a `with` block; what it answers is its handler's business."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import TypeVar

SomeServer = TypeVar("SomeServer", bound="LocalServer")


class LocalServer:
    """Runs in a thread of its own until the end of the block."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        """Starts it."""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def __enter__(self: SomeServer) -> SomeServer:
        """The server itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends it."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
