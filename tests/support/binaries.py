"""Finds what cargo built."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def find(name: str, variable: str) -> str:
    """The path in the environment variable, else the newer of the release and the debug build."""
    given = os.environ.get(variable)
    if given:
        return given
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    built = [path for profile in ("release", "debug") if (path := target / profile / name).is_file()]
    if not built:
        raise FileNotFoundError(f"no {name} under {target}: build it with cargo, or set {variable}")
    return str(max(built, key=lambda path: path.stat().st_mtime))


def clean_environment(**more: str) -> dict[str, str]:
    """An environment without any credentials, settings or metadata service of this machine."""
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "LANG": "C.UTF-8",
        "HOME": "/nonexistent",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        **more,
    }
