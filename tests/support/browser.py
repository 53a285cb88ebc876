"""What a browser does to log in by Entra ID: follow links and redirects, keep cookies, submit a form."""

from __future__ import annotations

from html import unescape
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import requests


class Page(HTMLParser):
    """The links and the fields of a page."""

    def __init__(self, answer: requests.Response) -> None:
        super().__init__()
        assert answer.ok, (answer.status_code, answer.url, answer.text[:2000])
        self.url = answer.url
        self.links: list[str] = []
        self.fields: dict[str, str] = {}
        self.feed(answer.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes a link or a field."""
        given = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in given:
            self.links.append(urljoin(self.url, unescape(given["href"])))
        elif tag == "input" and "name" in given:
            self.fields[given["name"]] = given.get("value", "")


def sign_in_form(hub_url: str, session: requests.Session) -> Page:
    """From the hub's front door to Entra ID's form."""
    front = Page(session.get(hub_url, timeout=30))
    (link,) = [link for link in front.links if "oauth_login" in link]
    return Page(session.get(link, timeout=30))


def log_in(hub_url: str, name: str) -> requests.Session:
    """Somebody who has logged in by Entra ID; the hub then starts their server."""
    session = requests.Session()
    form = sign_in_form(hub_url, session)
    answer = session.post(form.url, data={**form.fields, "username": name}, timeout=90)
    assert answer.ok, answer.text
    assert urlsplit(answer.url).path.startswith(("/hub/spawn-pending/", "/user/")), answer.url
    return session
