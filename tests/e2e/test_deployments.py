"""The Azure deployments as they stand in their folders: people log in, get an instance, land in its JupyterLab."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from support import browser, deployments
from support.azure import Azure
from support.emulator import path as emulator_path
from support.hub import Hub, wait_for
from support.ports import free_port

# One worker has all of them, since some share a hub.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("deployments")]

ADA = "ada@emulator.onmicrosoft.com"


def hub_of(name: str, azure: Azure, folder: Path) -> Hub:
    """A hub of a deployment in front of a local Azure."""
    authority = f"{azure.azure['authority']}/{azure.azure['tenant']}/oauth2/v2.0"
    # After the deployment's own, what is this machine's: where the hub and the cloud are.
    config = f"""
        bind_url = c.JupyterHub.bind_url
        load_subconfig({str(deployments.config(name))!r})
        c.JupyterHub.bind_url = bind_url
        c.AzureAdOAuthenticator.authorize_url = "{authority}/authorize"
        c.AzureAdOAuthenticator.token_url = "{authority}/token"
        c.AMLSpawner.authority_host = {azure.azure["authority"]!r}
        c.AMLSpawner.management_endpoint = {azure.azure["management"]!r}
        c.AMLSpawner.redirect_listen = "127.0.0.1:{free_port()}"
    """
    hub = Hub(folder, deployments.filled(name, azure), config, traits="")
    hub.env["HOST"] = f"127.0.0.1:{hub.port}"
    return hub


@pytest.fixture(scope="module")
def entra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Azure, Hub]]:
    """The deployment with log-in, for the tests of this file together."""
    delays = "creating=600,setting_up=300,starting=300,stopping=200"
    folder = tmp_path_factory.mktemp("hub")
    with (
        Azure(*deployments.BOUND, delays=delays, run="process") as azure,
        hub_of("azure_ad_auth_spawn_on_aml", azure, folder) as hub,
    ):
        yield azure, hub


def story(hub: Hub, session: requests.Session, name: str) -> list[dict[str, object]]:
    """What the page shows while the server starts, up to its end."""
    url = f"{hub.url}/hub/api/users/{name}/server/progress"
    token = session.cookies.get("_xsrf", path="/hub/")
    with session.get(url, params={"_xsrf": token}, stream=True, timeout=90) as answer:
        assert answer.ok, answer.text
        lines = [line for line in answer.iter_lines() if line.startswith(b"data:")]
    return [json.loads(line.removeprefix(b"data:")) for line in lines]


def test_somebody_who_cancels_at_entra_id_is_told_so_and_gets_nothing(entra: tuple[Azure, Hub]) -> None:
    azure, hub = entra
    session = requests.Session()
    form = browser.sign_in_form(hub.url, session)
    answer = session.post(form.action, data={**form.fields, "decline": "1"}, timeout=30)
    assert answer.status_code == 400
    assert "the user canceled the authentication" in answer.text
    assert azure.instances() == []


def test_somebody_logs_in_by_entra_id_chooses_a_size_and_lands_in_the_jupyterlab_of_their_own_instance_which_is_used_again(
    entra: tuple[Azure, Hub],
) -> None:
    azure, hub = entra
    session = browser.log_in(hub.url, "ada")
    assert browser.choose(hub.url, session, size="Large") == ["Small", "Large"]
    events = story(hub, session, ADA)
    assert any(str(event["message"]).startswith("Your machine is being created (0:") for event in events)
    assert events[-1]["ready"] is True
    assert events[-1]["url"] == f"/user/{ADA}/"

    landed = session.get(f"{hub.url}/user/{ADA}/", timeout=30)
    assert "jupyter-config-data" in landed.text
    (instance,) = azure.instances()
    assert urlsplit(landed.url).hostname == instance["address"]
    auth_state = hub.api("GET", f"users/{ADA}").json()["auth_state"]
    assert (instance["owner"], instance["owner_object_id"]) == (ADA, auth_state["user"]["oid"])
    assert instance["vm_size"] == "Standard_DS12_v2"

    assert hub.unspawn(ADA).status_code in (202, 204)
    wait_for("the hub knows of no server", lambda: hub.server(ADA) is None)
    assert [i["state"] for i in azure.instances()] == ["Stopped"]
    browser.choose(hub.url, session, size="Large")
    assert story(hub, session, ADA)[-1]["ready"] is True
    assert "jupyter-config-data" in session.get(f"{hub.url}/user/{ADA}/", timeout=30).text
    assert [i["name"] for i in azure.instances()] == [instance["name"]]
    assert azure.azure_calls("computes.put") == 1

    log = hub.log()
    secrets = [auth_state[f"{kind}_token"] for kind in ("access", "refresh", "id")]
    secrets += [hub.env["AAD_CLIENT_SECRET"], hub.env["JUPYTERHUB_CRYPT_KEY"]]
    assert [secret for secret in secrets if secret in log] == []
    assert re.findall(r"\beyJ[\w-]+\.[\w-]+", log) == [], "a signed token of any kind"
    assert re.findall(r"\bcode=(?!\[secret\])\w", log) == []


def test_without_a_log_in_any_name_gets_an_instance(tmp_path: Path) -> None:
    with Azure(*deployments.BOUND) as azure, hub_of("no_auth_spawn_on_aml", azure, tmp_path) as hub:
        session = hub.log_in("ada")
        wait_for("the server is ready", lambda: hub.is_ready("ada"))
        answer = session.get(f"{hub.url}/user/ada/", allow_redirects=False, timeout=30)
        (instance,) = azure.instances()
        assert answer.status_code == 302
        assert answer.headers["location"] == f"https://{instance['name']}.eastus.instances.azureml.ms/lab"


def test_the_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    run = deployments.FOLDER / "demo" / "run.py"
    words = [sys.executable, str(run), "--cloud", "azure", "--emulator", emulator_path(), "--port", "0", "--json"]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    demo = subprocess.Popen([*words, "--delays", "creating=200"], stdout=subprocess.PIPE, text=True, env=env)
    assert demo.stdout is not None
    with demo.stdout as lines:
        told = json.loads(lines.readline())
        session = browser.log_in(told["url"], "ada")
        browser.choose(told["url"], session, size="Small")

        def lab() -> int | None:
            (instance,) = requests.get(f"{told['emulator']}/_emulator/azure/instances", timeout=30).json()
            pid: int | None = instance["pid"] if instance["state"] == "Running" else None
            return pid

        pid = wait_for("the instance runs", lab)
        world = requests.get(f"{told['emulator']}/_emulator/azure/storage", timeout=30).json()
        assert [share["metadata"]["cloudspawner_user"] for share in world["shares"]] == [ADA]
        assert session.get(f"{told['url']}/hub/home", timeout=30).ok
        # Somebody who is impatient presses Ctrl-C again.
        for number in (signal.SIGTERM, signal.SIGINT):
            demo.send_signal(number)
        assert demo.wait(60) == 0
    assert list(tmp_path.iterdir()) == []
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(requests.ConnectionError):
        requests.get(told["url"], timeout=5)
