"""docs/security.md tells of every permission in the shipped policies, and of no other."""

import json
import re
from pathlib import Path

from support.binaries import REPOSITORY

PAGE = REPOSITORY / "docs" / "security.md"
ACTION = re.compile(r"`((?:[a-z0-9-]+:[A-Z]\w*\*?)|(?:Microsoft\.\w+(?:/\w+)+)|\*)`")


def actions(policy: Path) -> set[str]:
    """What a policy of AWS's or a role of Azure's names."""
    document = json.loads(policy.read_text())
    if "Actions" in document:
        return set(document["Actions"])
    named = [statement["Action"] for statement in document.get("Statement", [])]
    return {action for one in named for action in ([one] if isinstance(one, str) else one)}


def test_every_action_of_a_shipped_policy_is_told_and_no_other() -> None:
    files = sorted((REPOSITORY / "deployments").rglob("*.json"))
    shipped = set().union(*(actions(file) for file in files if "node_modules" not in file.parts))
    told = set(ACTION.findall(PAGE.read_text().split("## Which permission is for what")[1]))
    assert len(shipped) >= 25
    assert told == shipped


def test_every_shipped_policy_is_linked() -> None:
    page = PAGE.read_text()
    for file in (REPOSITORY / "deployments").rglob("*.json"):
        if actions(file):
            assert f"(../{file.relative_to(REPOSITORY)})" in page
