"""A person's day in a real browser, on both clouds: log in, choose, wait, a start that fails, a server, a stop, and once more.

The pictures are in the folder that CLOUDSPAWNER_PICTURES names, else in pytest's own.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from support import both_clouds, chromium
from support.azure import Azure
from support.chromium import Chromium
from support.emulator import Emulator
from support.hub import Hub, wait_for

pytestmark = pytest.mark.e2e

ADA = "ada@emulator.onmicrosoft.com"
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def clouds() -> Iterator[tuple[Emulator, Azure]]:
    """A local ECS and a local Azure, slow enough to be looked at."""
    with both_clouds.clouds(provisioning_ms=4000, creating_ms=4000) as both:
        yield both


@pytest.fixture
def hub(clouds: tuple[Emulator, Azure], tmp_path: Path) -> Iterator[Hub]:
    """The deployment's hub."""
    with both_clouds.hub_of(*clouds, tmp_path / "hub", 'c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}') as hub:
        yield hub


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chromium]:
    """The person's."""
    chromium.needed()
    with Chromium(Path(os.environ.get("CLOUDSPAWNER_PICTURES") or tmp_path / "pictures")) as browser:
        yield browser


def choose(browser: Chromium, profile: str) -> None:
    """Chooses by keyboard alone, as everybody can: the arrows move between the profiles, Enter sends the form."""
    browser.find("input[name=profile]")
    radio = browser.driver.switch_to.active_element
    for _ in range(30):
        if radio.get_attribute("name") == "profile":
            break
        radio.send_keys(Keys.TAB)
        radio = browser.driver.switch_to.active_element
    for _ in range(5):
        if radio.get_attribute("value") == profile:
            return
        radio.send_keys(Keys.ARROW_DOWN)
        radio = browser.driver.switch_to.active_element
    raise AssertionError(f"the keyboard does not reach {profile}")


def stop_at_home(browser: Chromium, hub: Hub) -> None:
    """Stops the server by the button of the hub's home page."""
    browser.open(f"{hub.url}/hub/home")
    browser.click("#stop")
    wait_for("the server has ended", lambda: hub.server(ADA) is None)


def on_fargate(ecs: Emulator, hub: Hub, browser: Chromium) -> None:
    """The form by keyboard, a start that fails, one that works, a stop."""
    memory = "select[name='profile-option-large--memory']"
    assert not browser.find(memory).is_displayed(), "the options of another profile"
    choose(browser, "large")
    assert browser.find(memory).is_displayed()
    assert browser.find("label[for=cloudspawner-1-0]").text == "Memory"
    browser.picture("1-form")
    assert browser.complaints() == []

    # A start that fails.
    ecs.fault("RunTask", "early_stop", stop_code="TaskFailedToStart", stopped_reason=f"CannotPullContainerError: {HOSTILE}")
    browser.find("#spawn_form button[type=submit]").send_keys(Keys.ENTER)
    browser.wait_for_text("image could not be fetched")
    browser.open(f"{hub.url}/hub/spawn-pending/{ADA}")
    browser.wait_for_text("Spawn failed")
    browser.click("details > summary")
    assert f"CannotPullContainerError: {HOSTILE}" in browser.text(), "as text"
    browser.picture("2-failed")
    assert browser.complaints() == []
    browser.click("#start")

    # The form says it again; then the start works.
    browser.wait_for_text("Last time")
    assert browser.find("input[value=large]").is_selected(), "what was chosen the last time"
    browser.picture("3-last-time")
    assert browser.complaints() == []
    for count in (1, 2):
        browser.click("#spawn_form button[type=submit]")
        if count == 1:
            browser.wait_for_text("waiting for capacity")
            browser.click("#progress-details summary")
            browser.picture("4-progress")
            assert browser.complaints() == []
        browser.wait(lambda: "/user/" in browser.driver.current_url, "the server")
        assert len(ecs.alive()) == 1
        stop_at_home(browser, hub)
        browser.open(f"{hub.url}/hub/spawn")
        assert "Last time" not in browser.text()
    assert ecs.alive() == []


def on_azure(azure: Azure, hub: Hub, browser: Chromium) -> None:
    """A start that fails, one that runs, a stop, and once more with the same instance."""
    azure.azure_fault("computes.put", "quota_exceeded")
    choose(browser, "machine")
    browser.click("#spawn_form button[type=submit]")
    browser.wait_for_text("quota")
    browser.picture("5-azure-failed")
    for count in (1, 2):
        browser.open(f"{hub.url}/hub/spawn")
        choose(browser, "machine")
        browser.click("#spawn_form button[type=submit]")
        if count == 1:
            browser.wait_for_text("Your machine is being created (0:0")
            browser.picture("6-azure-progress")
            assert browser.complaints() == []
        wait_for("the server is ready", lambda: hub.is_ready(ADA))
        (instance,) = azure.instances()
        address = str(instance["address"])
        browser.wait(lambda address=address: address in browser.driver.current_url, "the instance")
        if count == 2:
            browser.find("#jp-main-dock-panel")
            browser.picture("7-azure-lab")
        stop_at_home(browser, hub)
    assert azure.azure_calls("computes.put") == 2


def test_a_persons_day_on_both_clouds(clouds: tuple[Emulator, Azure], hub: Hub, browser: Chromium) -> None:
    ecs, azure = clouds
    browser.open(hub.url)
    browser.click("a[href*=oauth_login]")
    browser.find("input[name=username]").send_keys("ada", Keys.ENTER)
    on_fargate(ecs, hub, browser)
    on_azure(azure, hub, browser)
