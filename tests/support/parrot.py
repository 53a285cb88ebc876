"""A cloud that repeats in its error whatever it was sent, headers and all, as real services sometimes do."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType


class Parrot:
    """An HTTP server on loopback until the end of the `with` block; every answer is an error that repeats the request."""

    def __init__(self, *, code: str = "InvalidSignatureException", status: int = 400):
        """Starts it."""
        parrot = self
        self.heard: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                request = f"{self.path}\n{self.headers}\n{self.rfile.read(length).decode()}"
                parrot.heard.append(request)
                body = json.dumps({"__type": code, "message": f"The request should have been {request}"}).encode()
                self.send_response(status)
                self.send_header("content-type", "application/x-amz-json-1.1")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                self.do_POST()

            def do_PUT(self) -> None:
                self.do_POST()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def __enter__(self) -> "Parrot":
        """The server itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends it."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
