"""An Azure that answers with what it was given, such as Microsoft's own examples; of the world it knows only the tags of a PUT."""

import json
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from support.local_server import LocalServer

Json = dict[str, Any]

PLACEHOLDERS = ("nextLink",)
"""What stands in the examples where a URL belongs; such a member of an answer is left out."""
STORAGE = {
    "/roleAssignments/": "role",
    "/userAssignedIdentities/": "identity",
    "/datastores/": "datastore",
    "/fileServices/default/shares/": "share",
    "/fileServices/default/shares": "shares",
    "/fileServices/default": "default",
}
"""What a part of a path says of the operation; the first counts."""
ABSENT: Json = {"status": 404, "body": {"error": {"code": "ResourceNotFound", "message": "It is not there."}}}


class Canned(LocalServer):
    """An HTTP server on loopback until the end of the `with` block; a token is given to everybody."""

    def __init__(self) -> None:
        """Starts it."""
        canned = self
        self.answers: dict[str, list[Json]] = {}
        self.asked: list[str] = []
        self.bodies: list[Json] = []
        self.requests: list[Json] = []
        self._tags: Json = {}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer()

            def do_PUT(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def do_PATCH(self) -> None:
                self._answer()

            def do_DELETE(self) -> None:
                self._answer()

            def _answer(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                status, headers, body = canned._answer(self.command, urlsplit(self.path), self.rfile.read(length))
                text = b"" if body is None else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(text))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler)

    def give(self, operation: str, status: int, answer: Json | None = None) -> None:
        """What the next call of an operation is answered with, in the form of an example's `responses`.

        The last answer is given again and again.
        """
        self.answers.setdefault(operation, []).append({"status": status, **(answer or {})})

    def _answer(self, method: str, address: SplitResult, sent: bytes) -> tuple[int, Json, Any]:
        path = address.path
        if path.endswith("/token"):
            return 200, {}, {"token_type": "Bearer", "expires_in": 3599, "access_token": "canned-token"}
        operation = operation_of(method, path)
        self.asked.append(operation)
        body = json.loads(sent) if sent else None
        self.requests.append({"method": method, "path": path, "query": dict(parse_qsl(address.query)), "body": body})
        if operation == "put":
            self.bodies.append(body)
            self._tags = self.bodies[-1]["tags"]
        waiting = self.answers.get(operation, [ABSENT])
        answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        body = answer.get("body")
        if isinstance(body, dict):
            body = {name: value for name, value in body.items() if value not in PLACEHOLDERS}
            if operation == "get" and "error" not in body:
                body["tags"] = self._tags
        return answer["status"], answer.get("headers", {}), body


def operation_of(method: str, path: str) -> str:
    """A short name: get, put, delete, list, start, stop, updateDataMounts; `workspace`, `workspaces` or `vmSizes`.

    Of storage the method and `share`, `shares`, `default` (the file service), `identity`, `role` or `datastore`; `account` is
    whatever is asked of a storage account itself.
    """
    if not path.startswith("/subscriptions/"):
        return "account"
    of_storage = next((name for part, name in STORAGE.items() if part in path), None)
    if of_storage:
        return f"{method} {of_storage}"
    if path.endswith(("/workspaces", "/vmSizes")):
        return path.rpartition("/")[2]
    _, computes, instance = path.partition("/computes")
    if not computes:
        return "workspace" if method == "GET" else f"{method} workspace"
    if method == "POST":
        return path.rpartition("/")[2]
    return method.lower() if instance else "list"
