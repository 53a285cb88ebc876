"""Starts a named server for somebody over JupyterHub's REST API and tells how it comes up; needs nothing but Python.

    JUPYTERHUB_API_TOKEN=… python start_server.py ada training

Exit codes: 0 the server is ready, and its URL is the last line; 1 it is not, and the reason is.
"""

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any
from urllib.parse import quote


class Api:
    """The hub's REST API, for the holder of a token."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url.rstrip("/"), token

    def ask(self, method: str, path: str, body: object = None) -> HTTPResponse:
        """One request. Raises urllib.error.HTTPError where the hub refuses."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/{path}", data=data, headers=headers, method=method)
        # The hub sends a line each 8 s while it has no news ("keepalive_interval" of its progress handler).
        answer: HTTPResponse = urllib.request.urlopen(request, timeout=60)
        return answer

    def events(self, path: str) -> Iterator[dict[str, Any]]:
        """What an event stream says, as it comes."""
        with self.ask("GET", path) as lines:
            for line in lines:
                if line.startswith(b"data:"):
                    yield json.loads(line.removeprefix(b"data:"))


def start(api: Api, user: str, server: str, options: dict[str, Any]) -> bool:
    """Starts the server, if it is not there yet, and tells of it to the end; whether it is ready."""
    person = f"users/{quote(user, safe='')}"
    try:
        api.ask("POST", person).close()
    except urllib.error.HTTPError as error:
        if error.code != 409:  # there is such a user already
            raise
    with api.ask("GET", person) as answer:
        there = json.load(answer)["servers"].get(server, {})
    path = f"{person}/servers/{quote(server, safe='')}"
    if not there.get("ready"):
        api.ask("POST", path, options).close()
    last: dict[str, Any] = {}
    for last in api.events(f"{path}/progress"):
        print(last["url"] if last.get("ready") else last["message"], flush=True)
    return bool(last.get("ready"))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Start a named server for somebody over JupyterHub's REST API.")
    parser.add_argument("user", help="who gets it; made where the hub does not know the name")
    parser.add_argument("server", help="its name: lower-case letters, digits and '-'")
    parser.add_argument("--api-url", default=os.environ.get("JUPYTERHUB_API_URL", "http://127.0.0.1:8081/hub/api"))
    parser.add_argument("--options", type=json.loads, default={}, help='what a person would choose: {"profile": "large"}')
    arguments = parser.parse_args()
    api = Api(arguments.api_url, os.environ["JUPYTERHUB_API_TOKEN"])
    try:
        return 0 if start(api, arguments.user, arguments.server, arguments.options) else 1
    except urllib.error.HTTPError as error:
        # The hub says why in a sentence, as where the choice is not offered.
        with error:
            print(f"{error.code}: {json.load(error).get('message', error.reason)}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
