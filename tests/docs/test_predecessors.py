"""The pages for whoever comes from a predecessor promise no setting that is not there, and leave none of theirs out."""

import re

import fargatespawner
from cloudspawner import AMLSpawner, FargateSpawner
from jupyterhub.spawner import Spawner

from support.binaries import REPOSITORY

NAME = re.compile(r"`(\w+)`")


def section(page: str, title: str) -> str:
    """One section of a page."""
    return (REPOSITORY / "docs" / page).read_text().split(f"## {title}\n")[1].split("\n## ")[0]


def test_every_trait_of_fargatespawner_stays_and_is_told() -> None:
    theirs = set(fargatespawner.FargateSpawner.class_own_traits(config=True))
    told = set(NAME.findall(section("coming-from-fargatespawner.md", "What stays")))
    assert theirs
    assert theirs <= told & set(FargateSpawner.class_traits(config=True))


def test_every_trait_in_the_way_to_simple_ones_is_there() -> None:
    rows = section("coming-from-fargatespawner.md", "A configuration of your own").splitlines()
    told = {name for row in rows if row.startswith("| ") for name in NAME.findall(row.split("|")[2])}
    assert len(told) >= 12
    assert told <= set(FargateSpawner.class_traits(config=True)) | set(Spawner.class_traits(config=True))


def test_every_variable_that_is_said_to_count_is_named_by_the_spawner() -> None:
    told = set(re.findall(r"`([A-Z_]{4,})`", section("coming-from-aml_jupyterhub.md", "What stays"))) - {"HOST"}
    package = REPOSITORY / "python-shim" / "src" / "cloudspawner"
    named = set(re.findall(r"\b[A-Z_]{4,}\b", (package / "azure_ml.py").read_text()))
    assert len(told) == 11
    assert told <= named


def test_the_traits_of_aml_jupyterhub_stay() -> None:
    assert {"mount_userspace", "mount_userspace_location"} <= set(AMLSpawner.class_traits(config=True))
