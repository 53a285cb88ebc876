"""What a person is told: on the form of a named server, where a choice is refused, and where the server ends at once."""

import re
import sys
from collections.abc import Callable

import pytest
import requests

from support.browser import Page
from support.emulator import Emulator
from support.hub import Hub, wait_for

pytestmark = pytest.mark.e2e

PROFILES = f"""
c.JupyterHub.allow_named_servers = True
c.FargateSpawner.profile_list = [
    {{"display_name": "<b>Broken</b>", "slug": "broken", "spawner_override": {{
        "cmd": [{sys.executable!r}, "-c", "import os; print('boom <b> ' + os.environ['JUPYTERHUB_API_TOKEN']); raise SystemExit(3)"],
    }}}},
]
c.Spawner.args = []
c.Spawner.http_timeout = 2
"""


def send(hub: Hub, session: requests.Session, where: str, **fields: str) -> requests.Response:
    """Sends the form of a server's spawn page."""
    form = Page(session.get(f"{hub.url}/hub/spawn/{where}", timeout=30))
    return session.post(form.action, data={**form.fields, **fields}, timeout=90)


def test_the_last_lines_of_a_named_server_that_ends_at_once_are_above_its_next_form(
    world: Emulator, hub_of: Callable[[str], Hub]
) -> None:
    with hub_of(PROFILES) as hub:
        session = hub.log_in("ada")
        refused = send(hub, session, "ada/gpu", profile="<script>")
        assert refused.status_code == 400
        assert "profile &#39;&lt;script&gt;&#39; is not offered; choose one of broken" in refused.text
        assert "&lt;b&gt;Broken&lt;/b&gt;" in refused.text
        assert world.tasks() == []

        send(hub, session, "ada/gpu", profile="broken")

        def told() -> list[str]:
            form = session.get(f"{hub.url}/hub/spawn/ada/gpu", timeout=30).text
            return re.findall(r"boom .*", form) if "Last time (" in form else []

        (line,) = wait_for("the form tells", told, 20, 0.5)
        assert line.startswith("boom &lt;b&gt; REDACTED<"), "as text, and without the server's token"
        assert "Last time (" not in session.get(f"{hub.url}/hub/spawn/ada", timeout=30).text, "another server's"
