"""People's files, as JupyterHub and its admin meet them."""

from __future__ import annotations

from typing import Any

import pytest

from cloudspawner import AMLSpawner, ConfigurationError
from cloudspawner.wire import ProgramError
from conftest import STARTED, STATE, Fake, MakeSpawner

START = [["state", STATE], ["ack"], ["result", STARTED]]
STORAGE = {"file_system_id": "fs-0123abcd"}
SHARE = {"share": {"name": "fsap-0123abcd", "kind": "efs", "created": False}}
OWN = {
    "kind": "efs",
    "path": "/home/jovyan",
    "read_only": False,
    "per_user": True,
    "storage_id": "jupyterhub",
    "mount_optional": False,
}


async def start_params(make_spawner: MakeSpawner, fake: Fake, user: str = "ada", **traits: Any) -> dict[str, Any]:
    fake.plays(start=START)
    await make_spawner(user, **traits).start()
    (frame,) = fake.sent("start")
    params: dict[str, Any] = frame["params"]
    return params


async def test_nothing_is_mounted_unless_the_admin_says_so(make_spawner: MakeSpawner, fake: Fake) -> None:
    params = await start_params(make_spawner, fake)
    assert params["spec"]["mounts"] == []
    assert "storage" not in params["config"]


async def test_a_persons_own_storage_is_mounted_at_the_home_of_the_image(make_spawner: MakeSpawner, fake: Fake) -> None:
    params = await start_params(make_spawner, fake, mount_userspace=True, storage=STORAGE)
    assert params["spec"]["mounts"] == [OWN]
    assert params["config"]["storage"] == STORAGE


async def test_more_mounts_are_filled_in_and_expanded(make_spawner: MakeSpawner, fake: Fake) -> None:
    data = {"path": "/data/{username}", "per_user": False, "read_only": True, "access_point_id": "fsap-0123abcd"}
    traits = {"mount_userspace": True, "mount_userspace_location": "/work", "mount_optional": True, "storage_id": "lab"}
    params = await start_params(make_spawner, fake, "A", mounts=[data], storage={"root": "/{username}"}, **traits)
    own = {**OWN, "path": "/work", "storage_id": "lab", "mount_optional": True}
    assert params["spec"]["mounts"] == [own, {**own, **data, "path": "/data/-41"}]
    assert params["config"]["storage"] == {"root": "/-41"}


async def test_a_template_that_names_nothing_fails_the_start(make_spawner: MakeSpawner, fake: Fake) -> None:
    with pytest.raises(ConfigurationError, match=r"FargateSpawner\.mounts"):
        await start_params(make_spawner, fake, mounts=[{"path": "/{nobody}"}])


def test_on_azure_it_is_a_file_share_below_the_home() -> None:
    assert AMLSpawner.mount_kind == "azure_files"
    assert AMLSpawner.mount_userspace_location.default_value == "~/userfiles"


@pytest.mark.parametrize(
    ("server", "traits"),
    [("", {"storage": STORAGE}), ("gpu", {"storage": STORAGE, "delete_storage": True}), ("", {"delete_storage": True})],
)
async def test_a_person_who_is_deleted_keeps_their_storage_by_default_and_a_named_server_never_takes_it(
    make_spawner: MakeSpawner, fake: Fake, server: str, traits: dict[str, Any]
) -> None:
    await make_spawner(name=server, **traits).delete_forever()
    assert not fake.sent("share")


async def test_storage_goes_with_the_person_where_the_admin_asked_for_it(make_spawner: MakeSpawner, fake: Fake) -> None:
    fake.plays(share=[["result", SHARE]])
    spawner = make_spawner(delete_storage=True, storage=STORAGE, hub_id="prod", aws_region="eu-west-1")
    await spawner.delete_forever()
    (frame,) = fake.sent("share")
    assert frame["params"] == {
        "backend": "fargate",
        "config": {"region": "eu-west-1", "clusters": ["hub"], "container_name": "notebook", "storage": STORAGE},
        "credentials": None,
        "hub": "prod",
        "storage_id": "jupyterhub",
        "user": "ada",
        "action": "delete",
        "to": None,
    }


async def test_who_has_no_storage_has_nothing_to_delete_or_rename(make_spawner: MakeSpawner, fake: Fake) -> None:
    fake.plays(share=[["error", {"code": "not_found", "message": "none"}]])
    spawner = make_spawner(delete_storage=True, storage=STORAGE)
    await spawner.delete_forever()
    assert await spawner.rename_storage("ada", "lovelace") is None


async def test_a_renamed_person_takes_their_storage_along(make_spawner: MakeSpawner, fake: Fake) -> None:
    fake.plays(share=[["result", SHARE]])
    assert await make_spawner("lovelace", storage=STORAGE).rename_storage("ada", "lovelace") == SHARE["share"]
    (frame,) = fake.sent("share")
    assert (frame["params"]["user"], frame["params"]["action"], frame["params"]["to"]) == ("ada", "rename", "lovelace")


async def test_a_refusal_is_told(make_spawner: MakeSpawner, fake: Fake) -> None:
    fake.plays(share=[["error", {"code": "conflict", "message": "both have storage"}]])
    with pytest.raises(ProgramError, match="both have storage"):
        await make_spawner(storage=STORAGE).rename_storage("ada", "lovelace")
