"""The way to the notebook: one listener leads each person to their own instance, after a restart too, and nobody elsewhere."""

import http.client
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from support import program
from support.azure import Azure
from support.emulator import wait_until
from support.ports import free_port

Json = dict[str, Any]


@pytest.fixture
def azure() -> Iterator[Azure]:
    """A local Azure whose instances have the service's own addresses."""
    with Azure() as running:
        yield running


def ask(azure: Azure, listen: str, user: str, **changes: object) -> Json:
    """A start of a person's server."""
    config = azure.config(redirect_listen=listen, **changes)
    request = azure.ask("start", config=config, server={"hub": "prod", "user": user, "name": ""})
    request["params"]["spec"]["service_prefix"] = f"/hub/base/user/{user}/"
    return request


def answer(url: str, path: str) -> tuple[int, str | None]:
    """Status and Location of one request."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("GET", path)
        told = connection.getresponse()
        return told.status, told.headers["Location"]
    finally:
        connection.close()


def test_each_prefix_leads_to_its_own_instance_and_an_unknown_one_nowhere(azure: Azure) -> None:
    listen = f"127.0.0.1:{free_port()}"
    with program.Serve(azure.env()) as serve:
        started = {user: serve.ask(ask(azure, listen, user)) for user in ("ada", "bob")}
        (url,) = {result["url"] for result in started.values()}
        assert url == f"http://{listen}"
        for user, result in started.items():
            target = result["target_url"]
            assert target.startswith(f"https://{result['state']['data']['ref']}.")
            for path in (f"/hub/base/user/{user}/", f"/hub/base/user/{user}/lab/tree/x?y=1"):
                assert answer(url, path) == (302, target)
        for path in ("/", "/hub/base/user/eve/", "/hub/base/user/ad", "/user/ada/"):
            assert answer(url, path) == (404, None), path
    states = {user: result["state"] for user, result in started.items()}
    with program.Serve(azure.env()) as again:
        targets = [{"server": None, "state": state} for state in states.values()]
        config = azure.config(redirect_listen=listen)
        polled = again.ask(azure.ask("poll", config=config, targets=targets))["servers"]
        assert [server["url"] for server in polled] == [url, url]
        assert answer(url, "/hub/base/user/ada/") == (302, started["ada"]["target_url"])


def test_where_the_proxy_runs_elsewhere_the_hub_gets_the_address_that_it_reaches(azure: Azure) -> None:
    with program.Serve(azure.env()) as serve:
        result = serve.ask(ask(azure, f"127.0.0.1:{free_port()}", "ada", redirect_url="http://hub.internal:9001/"))
    assert result["url"] == "http://hub.internal:9001"


def test_a_program_whose_hub_has_gone_leaves_the_address_to_the_next_one_while_it_still_stops_a_server(azure: Azure) -> None:
    listen = f"127.0.0.1:{free_port()}"
    config = azure.config(redirect_listen=listen)
    with program.Serve(azure.env()) as old:
        started = old.ask(ask(azure, listen, "ada"))
        # A start that was cancelled as it announced its instance: that may still appear, and the stop waits for it.
        data = {
            **started["state"]["data"],
            "ref": None,
            "url": None,
            "key": started["state"]["data"]["key"][:-1] + "a",
            "attempt": "a-2",
            "attempted_at_ms": round(time.time() * 1000),
        }
        bob, state = {"hub": "prod", "user": "bob", "name": ""}, {**started["state"], "data": data}
        stop = old.begin(azure.ask("stop", config=config, server=bob, state=state))
        calls = azure.azure_calls("computes.list")
        wait_until(lambda: azure.azure_calls("computes.list") > calls, 10)
        old.close_stdin()
        with program.Serve(azure.env()) as new:
            target = {"server": None, "state": started["state"]}
            polled = new.ask(azure.ask("poll", config=config, targets=[target], timeout_ms=5_000))["servers"]
            assert [server["phase"] for server in polled] == ["running"], polled
            assert answer(started["url"], "/hub/base/user/ada/") == (302, started["target_url"])
        assert old.last_or_none(stop) is None, "the stop goes on"
        old.process.kill()
