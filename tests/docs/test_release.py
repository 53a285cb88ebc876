"""The release script as a dry run, in a repository of its own: what it would do, and what keeps it from doing so."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support import ask, program
from support.binaries import REPOSITORY, clean_environment
from support.parrot import Parrot

FILES = ("Cargo.toml", "CHANGELOG.md", "tools/release.sh")
VERSION = "0.1.0"


def git(folder: Path, *arguments: str) -> None:
    """Runs git as nobody in particular."""
    who = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """What the script reads, committed."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    text = (tmp_path / "Cargo.toml").read_text()
    (tmp_path / "Cargo.toml").write_text(text.replace(text.split('version = "')[1].split('"')[0], VERSION, 1))
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "all")
    return tmp_path


def release(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A dry run."""
    command = [str(folder / "tools" / "release.sh"), "--dry-run", *arguments]
    return subprocess.run(command, cwd=folder, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False)


def test_a_dry_run_tells_every_step_and_does_none(repository: Path) -> None:
    done = release(repository, "aarch64-unknown-linux-gnu")
    assert (done.returncode, done.stderr) == (0, "")
    steps = [line[2:] for line in done.stdout.splitlines() if line.startswith("+ ")]
    assert steps[0] == "make test"
    assert any("maturin build --release --out ../dist --sdist" in step for step in steps)
    assert any("--target aarch64-unknown-linux-gnu" in step for step in steps)
    assert steps[-1] == f"git tag -a v{VERSION} -m cloudspawner {VERSION}"
    assert sorted(path.name for path in repository.iterdir()) == [".git", "CHANGELOG.md", "Cargo.toml", "tools"]
    tags = subprocess.run(["git", "tag"], cwd=repository, capture_output=True, text=True, check=True).stdout
    assert tags == ""


def test_what_is_not_committed_is_not_released(repository: Path) -> None:
    (repository / "new").touch()
    done = release(repository)
    assert (done.returncode, done.stdout) == (1, "")
    assert "not committed" in done.stderr


def test_a_version_that_the_changelog_does_not_tell_of_is_not_released(repository: Path) -> None:
    (repository / "CHANGELOG.md").write_text("# Changelog\n")
    git(repository, "commit", "-qam", "forgotten")
    done = release(repository)
    assert (done.returncode, done.stderr) == (1, f'release: CHANGELOG.md has no section "## {VERSION}"\n')


def test_a_version_is_released_once(repository: Path) -> None:
    git(repository, "tag", f"v{VERSION}")
    assert "is tagged already" in release(repository).stderr


def ours() -> str:
    """The version in Cargo.toml."""
    return (REPOSITORY / "Cargo.toml").read_text().split('version = "')[1].split('"')[0]


def test_the_program_tells_its_release() -> None:
    said = subprocess.run(
        [program.path(), "--version"], env=clean_environment(), capture_output=True, text=True, check=True
    ).stdout
    assert said == f"cloudspawner {ours()}\n"
    page = subprocess.run([program.path(), "man"], env=clean_environment(), capture_output=True, text=True, check=True).stdout
    assert f"cloudspawner {ours()}" in page


def test_the_clouds_own_records_can_tell_the_release() -> None:
    with Parrot() as parrot:
        env = clean_environment(AWS_ENDPOINT_URL=parrot.url, AWS_ACCESS_KEY_ID="AKIA", AWS_SECRET_ACCESS_KEY="secret")
        program.run("gc", ask.gc(), env)
        assert all(f"user-agent: cloudspawner/{ours()}\n" in heard for heard in parrot.heard)
        assert parrot.heard


def test_the_changelog_begins_with_the_version_that_is_next() -> None:
    first = next(line for line in (REPOSITORY / "CHANGELOG.md").read_text().splitlines() if line.startswith("## "))
    assert first == f"## {ours()}"
