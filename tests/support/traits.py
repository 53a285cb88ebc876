"""The table of traits in docs/traits.md, from the classes themselves: `python tests/support/traits.py` writes it there."""

from pathlib import Path

from cloudspawner.azure_ml import AzureMl
from cloudspawner.azure_mounts import AzureMountTraits
from cloudspawner.checking import CheckTraits
from cloudspawner.choosing import ChoosingTraits
from cloudspawner.fargate import Fargate, FargateSpawnerSecretAccessKeyAuthentication
from cloudspawner.housekeeping import HousekeepingTraits
from cloudspawner.spawner import CloudSpawner
from cloudspawner.storage import StorageTraits

PAGE = Path(__file__).resolve().parents[2] / "docs" / "traits.md"
BEGIN = "<!-- traits: made by tests/support/traits.py; a test compares them -->\n"
END = "<!-- end of traits -->\n"
PARTS = {CloudSpawner: (CheckTraits, ChoosingTraits, HousekeepingTraits, StorageTraits), AzureMl: (AzureMountTraits,)}


def table() -> str:
    """A table for each class, sorted by trait."""
    parts = []
    for kind in (Fargate, FargateSpawnerSecretAccessKeyAuthentication, AzureMl, CloudSpawner):
        own = kind.class_own_traits(config=True)
        for part in PARTS.get(kind, ()):
            own |= part.class_own_traits(config=True)
        rows = [f"| `{name}` | {' '.join((trait.help or '').split())} |" for name, trait in sorted(own.items())]
        name = getattr(kind, "class_name", kind.__name__)
        title = f"`c.{name}`" + (", for every cloud" if kind is CloudSpawner else "")
        parts.append("\n".join([title, "", "| trait | meaning |", "|---|---|", *rows, "", ""]))
    return "\n".join(parts)


def rewritten(page: str) -> str:
    """The page with today's table."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text()))
