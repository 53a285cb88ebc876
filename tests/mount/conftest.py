"""One world for all tests of this folder: a boot takes seconds."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.people_with_shares import World

PROGRAMS = {
    "linux.uml": "user-mode-linux",
    "slirp-fullbolt": "slirp",
    "smbd": "samba",
    "mount.cifs": "cifs-utils",
    "request-key": "keyutils",
    "modprobe": "kmod",
    "curl": "curl",
    "openssl": "openssl",
    "shellcheck": "shellcheck",
}
"""What the tests run, and Debian's packages of it."""

os.environ["PATH"] += ":/usr/sbin:/sbin"
# Where some of it is, for people who are not root, too.


def pytest_configure() -> None:
    """Installs what is missing, where that is possible."""
    missing = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        # RUNLEVEL: Debian's packages start their services, unless the machine says that it is in single-user mode.
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        for command in (["update", "-q"], ["install", "-qy", "--no-install-recommends", *missing]):
            subprocess.run(["apt-get", *command], env=quiet, capture_output=True, check=False)


def needs(*programs: str) -> None:
    """Skips, and says so, where a program is not here."""
    missing = [PROGRAMS[program] for program in programs if not shutil.which(program)]
    if missing:
        pytest.skip(f"NOT RUN, nothing is proven about mounts: install {' '.join(missing)}")


@pytest.fixture(scope="session")
def whole_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Started once."""
    needs(*PROGRAMS)
    if os.geteuid() != 0:
        pytest.skip("NOT RUN, nothing is proven about mounts: Samba's users need root")
    folder: Path = tmp_path_factory.mktemp("world")
    with World(folder) as world:
        yield world


@pytest.fixture
def world(whole_world: World) -> Iterator[World]:
    """The world with nothing mounted."""
    yield whole_world
    whole_world.instance.run("umount -a -t cifs; rm -rf /home/azureuser/*")
