"""How many calls a thousand instances cost: the pages of one list, not one call each; and one token a credential.

Counts alone; how long things take is the benches' business.
"""

from typing import Any

import pytest

from support import ask, program
from support.azure import APP, Azure
from support.states import azure_running

Json = dict[str, Any]

SERVERS = 1000
READS_MORE = 2
"""What a refresh may cost beside the pages of its list."""


def refresh(azure: Azure, serve: program.Serve, targets: list[Json], timeout_ms: int = 20_000) -> tuple[Json, list[str]]:
    """The calls of one look at all of them, and what was told."""
    azure.azure_admin("calls/reset", {})
    config = azure.config(redirect_listen="127.0.0.1:0")
    servers = serve.ask(azure.ask("poll", config=config, targets=targets, max_age_ms=0))["servers"]
    counts: Json = azure.azure_admin("calls")
    return counts, [server["phase"] for server in servers]


@pytest.mark.parametrize("page", [25, 100])
def test_a_thousand_instances_cost_the_pages_of_one_list(page: int) -> None:
    with Azure("--azure-page-size", str(page), "--azure-quotas", "documented") as azure:
        targets = azure_running(azure, SERVERS)
        with program.Serve(azure.env()) as serve:
            for looks in range(3):
                calls, phases = refresh(azure, serve, targets)
                assert set(phases) == {"running"}
                counts = calls["counts"]
                assert counts.pop("token", 0) == (looks == 0), "one token serves all"
                assert counts.pop("computes.list") == SERVERS // page
                assert sum(counts.values()) <= READS_MORE, counts
                assert calls["throttled"] == 0


def test_where_the_list_tells_no_state_each_instance_is_read_once_within_the_quota() -> None:
    count = 200
    with Azure("--azure-list-without-state", "--azure-quotas", "documented") as azure:
        targets = azure_running(azure, count)
        with program.Serve(azure.env()) as serve:
            calls, phases = refresh(azure, serve, targets)
    assert set(phases) == {"running"}
    assert calls["counts"] == {"token": 1, "computes.list": count // 25, "computes.get": count}
    assert calls["throttled"] == 0


def test_those_of_whom_nothing_is_known_come_first_in_the_next_look() -> None:
    with Azure("--azure-list-without-state") as azure:
        targets = azure_running(azure, 30)
        known: set[int] = set()
        with program.Serve(azure.env()) as serve:
            for _ in range(5):
                # As where a quota is used up: ten reads are answered, the others are not.
                azure.azure_admin("faults", method="DELETE")
                azure.azure_fault("computes.get", "access_denied", skip=10, count=None)
                _, phases = refresh(azure, serve, targets)
                known |= {number for number, phase in enumerate(phases) if phase != "unknown"}
    assert len(known) == 30


def test_a_credential_is_asked_for_one_token_whatever_is_done_with_it() -> None:
    with Azure("--azure-app", ":".join(APP), "--azure-app", "44444444-4444-4444-4444-444444444444:second") as azure:
        config = azure.config(redirect_listen="127.0.0.1:0")
        other = {**azure.credentials(), "client_id": "44444444-4444-4444-4444-444444444444", "client_secret": "second"}
        with program.Serve(azure.env()) as serve:
            for number, credentials in enumerate([azure.credentials(), other], 1):
                whose = ask.server(f"user{number}")
                begun = [
                    serve.begin(azure.ask("start", config=config, credentials=credentials, server=ask.server(user)))
                    for user in (whose["user"], "grace", "bob")
                ]
                (state, *_) = [serve.last(number)["result"]["state"] for number in begun]
                for _ in range(5):
                    target = {"server": whose, "state": state}
                    poll = azure.ask("poll", config=config, credentials=credentials, targets=[target], max_age_ms=0)
                    assert serve.ask(poll)["servers"][0]["phase"] == "running"
                serve.ask(azure.ask("stop", config=config, credentials=credentials, server=whose, state=state))
                assert azure.azure_calls("token") == number
