"""What a browser does to log in by Entra ID: follow links and redirects, keep cookies, submit a form."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import requests


class Page(HTMLParser):
    """The links of a page, and its form: where it goes, the fields, the choices."""

    def __init__(self, answer: requests.Response) -> None:
        super().__init__()
        assert answer.ok, (answer.status_code, answer.url, answer.text[:2000])
        self.url = self.action = answer.url
        self.links: list[str] = []
        self.choices: list[str] = []
        self.fields: dict[str, str] = {}
        self.feed(answer.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes what is of use."""
        given = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in given:
            self.links.append(urljoin(self.url, given["href"]))
        elif tag == "form" and "action" in given:
            self.action = urljoin(self.url, given["action"])
        elif tag == "option":
            self.choices.append(given.get("value", ""))
        elif tag == "input" and "name" in given:
            self.fields[given["name"]] = given.get("value", "")


def sign_in_form(hub_url: str, session: requests.Session) -> Page:
    """From the hub's front door to Entra ID's form."""
    front = Page(session.get(hub_url, timeout=30))
    (link,) = [link for link in front.links if "oauth_login" in link]
    return Page(session.get(link, timeout=30))


def log_in(hub_url: str, name: str) -> requests.Session:
    """Somebody who has logged in by Entra ID."""
    session = requests.Session()
    form = sign_in_form(hub_url, session)
    answer = session.post(form.action, data={**form.fields, "username": name}, timeout=90)
    assert answer.ok, answer.text
    assert urlsplit(answer.url).path.startswith("/hub/spawn"), answer.url
    return session


def choose(hub_url: str, session: requests.Session, **choice: str) -> list[str]:
    """Starts their server by the hub's form; gives what was there to choose from."""
    form = Page(session.get(f"{hub_url}/hub/spawn", timeout=30))
    answer = session.post(form.action, data={**form.fields, **choice}, timeout=90)
    assert urlsplit(answer.url).path.startswith(("/hub/spawn-pending/", "/user/")), (answer.url, answer.text)
    return form.choices
