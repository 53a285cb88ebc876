"""The tapes in the repository: every registered backend has all of them, and each is replayed without a network."""

import json
import re

import pytest

from support import program, tapes
from support.azure import APP
from support.emulator import KEY

SECRETS = [APP[1], KEY[0], KEY[1], tapes.API_TOKEN, "Bearer ", "AWS4-HMAC-SHA256", "access_token"]
JWT = re.compile(r"eyJ[\w-]+\.")


def backends() -> list[str]:
    """What the program says that it has."""
    with program.Serve(tapes.OFFLINE) as serve:
        names: list[str] = serve.hello["backends"]
        return names


def test_every_registered_backend_has_its_tapes() -> None:
    for backend in backends():
        for scene in tapes.SCENES:
            assert list((tapes.folder(backend, scene) / "exchanges").glob("*.json")), f"record {backend} {scene}"


@pytest.mark.parametrize("scene", tapes.SCENES)
@pytest.mark.parametrize("backend", ["azure_ml", "fargate"])
def test_a_tape_is_replayed_without_a_network_and_tells_what_it_told(backend: str, scene: str) -> None:
    told = json.loads((tapes.folder(backend, scene) / "frames.json").read_text())
    assert tapes.replay(backend, scene) == told, "if the difference is wanted: tests/tapes/README.md"


def test_no_tape_holds_a_secret() -> None:
    files = [file for file in tapes.FOLDER.glob("*/**/*") if file.is_file()]
    assert files
    for file in files:
        text = file.read_text()
        assert [secret for secret in SECRETS if secret in text] == [], file
        assert not JWT.search(text), file
        assert "127.0.0.1" not in text, "the tapes are of the public clouds, as far as anybody can tell"
