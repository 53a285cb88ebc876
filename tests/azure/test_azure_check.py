"""The doctor on Azure: who the hub is, whether its redirect's address is free, and what only a start can show."""

import socket
from typing import Any

from support import program
from support.azure import APP, Azure

Json = dict[str, Any]


def named(checks: list[Json]) -> dict[str, Json]:
    """Findings by their names."""
    return {check["name"]: check for check in checks}


def test_it_tells_who_the_hub_is_and_what_cannot_be_tried() -> None:
    with Azure() as azure:
        found = named(program.run("check", azure.ask("check"), azure.env()).result["checks"])
        assert all(check["ok"] for check in found.values())
        assert f"app {APP[0]}" in found["identity"]["message"]
        assert f"tenant {azure.azure['tenant']}" in found["identity"]["message"]
        assert "aml_role.json" in found["not tried"]["hint"]
        wrong = {**azure.credentials(), "client_secret": "canary-of-a-secret"}
        found = named(program.run("check", azure.ask("check", credentials=wrong), azure.env()).result["checks"])
        assert not found["identity"]["ok"]
        assert "canary" not in str(found)


def test_an_address_that_another_program_has_is_told_to_the_hub() -> None:
    with Azure() as azure, socket.create_server(("127.0.0.1", 0)) as taken, program.Serve(azure.env()) as serve:
        config = {**azure.config(), "redirect_listen": f"127.0.0.1:{taken.getsockname()[1]}"}
        found = named(serve.ask(azure.ask("check", config=config))["checks"])
        assert (found["redirect"]["ok"], "taken" in found["redirect"]["message"]) == (False, True)
