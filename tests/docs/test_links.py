"""Every link between the pages leads somewhere."""

import re
from pathlib import Path

import pytest

from support.binaries import REPOSITORY

FOLDERS = ("docs", "deployments", "benches", "python-shim", "tests")
PAGES = sorted([*REPOSITORY.glob("*.md"), *(page for folder in FOLDERS for page in (REPOSITORY / folder).rglob("*.md"))])
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]*))?\)")
FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """A page's headings as GitHub makes anchors of them: lower case, spaces as "-", and no other signs."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text()):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        assert target.is_relative_to(REPOSITORY)
        if anchor:
            assert anchor in anchors(target), f"{path}#{anchor}"


def test_the_readme_leads_to_every_page_in_docs() -> None:
    linked = {path for path, _ in LINK.findall((REPOSITORY / "README.md").read_text())}
    assert {f"docs/{page.name}" for page in (REPOSITORY / "docs").glob("*.md")} <= linked
