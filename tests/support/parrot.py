"""A cloud that repeats in its error whatever it was sent, headers and all, as real services sometimes do."""

import json
from http.server import BaseHTTPRequestHandler

from support.local_server import LocalServer


class Parrot(LocalServer):
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

        super().__init__(Handler)
