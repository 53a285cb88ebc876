"""A real browser: Debian's Chromium without a screen, and axe-core for what people with a screen reader or a keyboard meet."""

from __future__ import annotations

import os
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

# Impacts by axe's own scale: minor, moderate, serious, critical.
_SERIOUS = {"serious", "critical"}


def needed() -> None:
    """Skips where there is no browser; in CI there is one."""
    if missing := [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]:
        assert not os.environ.get("CI"), f"{missing} should be installed by .ci/run"
        pytest.skip(f"{' and '.join(missing)} are not installed")


class Chromium:
    """A browser for the length of a `with` block; each picture it takes goes into a folder."""

    def __init__(self, pictures: Path) -> None:
        """Starts it."""
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or "chromium"
        # Tests run as root in containers, whose /dev/shm is small.
        for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "window-size=1000,1100", "disable-gpu"):
            options.add_argument(f"--{argument}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options=options, service=service)
        self._pictures = pictures
        pictures.mkdir(parents=True, exist_ok=True)
        self._axe = resources.files("selenium_axe_python").joinpath("axe-core/axe.min.js").read_text()

    def __enter__(self) -> Chromium:
        """The browser itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Ends it; where the test failed, with a last picture."""
        try:
            if kind is not None:
                self.picture("failed")
                print(self.driver.current_url, self.text()[:2000])
        finally:
            self.driver.quit()

    def open(self, url: str) -> None:
        """Goes to an address."""
        self.driver.get(url)

    def find(self, selector: str) -> WebElement:
        """What a CSS selector finds, once it is there."""
        return self.wait(lambda: next(iter(self.driver.find_elements(By.CSS_SELECTOR, selector)), None), selector)

    def click(self, selector: str) -> None:
        """Clicks on it."""
        self.find(selector).click()

    def wait(self, look: Any, what: str, seconds: float = 60) -> Any:
        """Waits until something is true, and gives it; a page that is just being replaced is looked at again."""
        ignored = (Exception,)
        return WebDriverWait(self.driver, seconds, 0.05, ignored).until(lambda _: look(), f"{what} at {self.driver.current_url}")

    def wait_for_text(self, text: str) -> None:
        """Waits until the page shows it."""
        self.wait(lambda: text in self.text(), text)

    def text(self) -> str:
        """What the page shows."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    def picture(self, name: str) -> None:
        """Takes a picture of the page."""
        self.driver.save_screenshot(str(self._pictures / f"{name}.png"))

    def complaints(self) -> list[str]:
        """What axe-core finds serious, but for JupyterHub's own: its buttons' colours, the progress bar's name."""
        # In one script: a page that waits for a server may be replaced between two.
        violations = self.driver.execute_async_script(
            self._axe + ";const done = arguments[0]; axe.run({exclude: ['.btn', '#progress-bar']}).then(r => done(r.violations))"
        )
        return [f"{v['id']}: {v['help']}: {[node['html'] for node in v['nodes']]}" for v in violations if v["impact"] in _SERIOUS]
