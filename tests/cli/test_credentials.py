"""Where credentials, region and endpoint come from: the official chain, or what a request names.

The container's relative URI and SSO have fixed addresses: `test_credential_services.py` tries them.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from support import ask, program
from support.emulator import KEY, Emulator

NO_KEYS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}


def check_works(env: dict[str, str], credentials: object = None) -> None:
    """A signed call succeeds."""
    result = program.run("gc", ask.gc(credentials=credentials, timeout_ms=15_000), env).result
    assert result == {"stale": [], "removed": [], "errors": []}


def check_fails(env: dict[str, str], code: str, credentials: object = None) -> str:
    """A call fails with this code; its message."""
    error = program.run("gc", ask.gc(credentials=credentials, timeout_ms=15_000), env).error
    assert error["code"] == code, error
    message: str = error["message"]
    return message


def files(tmp_path: Path, config: str = "", credentials: str = "") -> dict[str, str]:
    """The shared files."""
    (tmp_path / "config").write_text(config)
    (tmp_path / "credentials").write_text(credentials)
    return {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}


def keys(profile: str = "default") -> str:
    """A profile with the emulator's keys."""
    return f"[{profile}]\naws_access_key_id = {KEY[0]}\naws_secret_access_key = {KEY[1]}\n"


def test_the_environment(emulator: Emulator) -> None:
    check_works(emulator.env())


def test_the_shared_credentials_file(emulator: Emulator, tmp_path: Path) -> None:
    check_works(emulator.env(**NO_KEYS, **files(tmp_path, credentials=keys())))


def test_a_profile_that_aws_profile_names(emulator: Emulator, tmp_path: Path) -> None:
    shared = files(tmp_path, "[profile hub]\nregion = eu-west-1\n", keys("hub"))
    check_works(emulator.env(**NO_KEYS, **shared, AWS_PROFILE="hub", AWS_REGION=""))


def test_a_credential_process(emulator: Emulator, tmp_path: Path) -> None:
    script = tmp_path / "process"
    script.write_text(f"#!/bin/sh\necho '{json.dumps({'Version': 1, 'AccessKeyId': KEY[0], 'SecretAccessKey': KEY[1]})}'\n")
    script.chmod(0o755)
    check_works(emulator.env(**NO_KEYS, **files(tmp_path, f"[default]\ncredential_process = {script}\n")))


def test_a_profile_that_assumes_a_role(emulator: Emulator, tmp_path: Path) -> None:
    config = "[profile hub]\nrole_arn = arn:aws:iam::123456789012:role/hub\nsource_profile = base\nregion = eu-west-1\n"
    shared = files(tmp_path, config, keys("base"))
    check_works(emulator.env(**NO_KEYS, **shared, AWS_PROFILE="hub"))
    assert emulator.calls("AssumeRole") == 1


def test_a_web_identity(emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a.web.identity")
    role = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"), "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/hub"}
    check_works(emulator.env(**NO_KEYS, **role))
    assert emulator.calls("AssumeRoleWithWebIdentity") == 1


def test_a_container_role_by_full_uri(emulator: Emulator) -> None:
    check_works(emulator.env(**NO_KEYS, AWS_CONTAINER_CREDENTIALS_FULL_URI=emulator.ready["credentials_url"]))


def test_a_container_role_by_full_uri_with_a_token_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("sesame")
    with Emulator("--credentials-token", "sesame") as emulator:
        uri = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": emulator.ready["credentials_url"]}
        check_works(emulator.env(**NO_KEYS, **uri, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(tmp_path / "token")))
        check_works(emulator.env(**NO_KEYS, **uri, AWS_CONTAINER_AUTHORIZATION_TOKEN="sesame"))
        check_fails(emulator.env(**NO_KEYS, **uri), "unauthenticated")


def test_an_instance_profile_by_imds_version_2(emulator: Emulator) -> None:
    imds = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": emulator.url, "AWS_EC2_METADATA_DISABLED": ""}
    check_works(emulator.env(**NO_KEYS, **imds))


@pytest.mark.parametrize("role", [None, "arn:aws:iam::123456789012:role/hub"], ids=["as it is", "with a role to assume"])
@pytest.mark.parametrize("kind", ["static", "profile", "ecs_role", "ec2_instance_profile"])
def test_explicit_credentials_of_each_kind(emulator: Emulator, tmp_path: Path, kind: str, role: str | None) -> None:
    credentials: dict[str, Any] = {
        "static": {"access_key_id": KEY[0], "secret_access_key": KEY[1], "session_token": None},
        "profile": {"name": "hub"},
        "ecs_role": {},
        "ec2_instance_profile": {},
    }[kind]
    env = emulator.env(
        **files(tmp_path, credentials=keys("hub")),
        AWS_CONTAINER_CREDENTIALS_FULL_URI=emulator.ready["credentials_url"],
        AWS_EC2_METADATA_SERVICE_ENDPOINT=emulator.url,
        AWS_EC2_METADATA_DISABLED="",
        AWS_ACCESS_KEY_ID="AKIAWRONG",
        AWS_SECRET_ACCESS_KEY="the chain must not be asked",
    )
    check_works(env, {"kind": kind, **credentials, **({"assume_role_arn": role} if role else {})})
    assert emulator.calls("AssumeRole") == (1 if role else 0)


ROLE = {"kind": "default", "assume_role_arn": "arn:aws:iam::123456789012:role/hub"}


@pytest.mark.parametrize("kind", ["throttle", "error_503", "cut_before"])
def test_a_role_that_sts_cannot_give_just_now_is_asked_for_again(emulator: Emulator, kind: str) -> None:
    # aws-config itself asks three times.
    emulator.fault("AssumeRole", kind, count=4)
    check_works(emulator.env(), ROLE)
    assert emulator.calls("AssumeRole") == 5


@pytest.mark.parametrize("kind", ["throttle", "error_503", "cut_before"])
def test_a_role_that_sts_gives_at_no_time_is_no_proof_that_it_may_not_be_had(emulator: Emulator, kind: str) -> None:
    emulator.fault("AssumeRole", kind, count=None)
    error = program.run("gc", ask.gc(credentials=ROLE, timeout_ms=4_000), emulator.env()).error
    # The last answer, or that the time was up while aws-config asked again.
    assert error["code"] in {"unavailable", "deadline"}, error
    assert error["retry"] == "later"


def test_a_role_that_may_not_be_assumed_is_told_at_once(emulator: Emulator) -> None:
    emulator.fault("AssumeRole", "access_denied", count=None)
    check_fails(emulator.env(), "unauthenticated", ROLE)
    assert emulator.calls("AssumeRole") == 1


def test_the_ecs_endpoint_comes_before_the_general_one(emulator: Emulator) -> None:
    check_works(emulator.env(AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_ENDPOINT_URL_ECS=emulator.url))


def test_an_endpoint_of_the_profile(emulator: Emulator, tmp_path: Path) -> None:
    shared = files(tmp_path, f"[default]\nregion = eu-west-1\nendpoint_url = {emulator.url}\n", keys())
    check_works(emulator.env(**NO_KEYS, **shared, AWS_ENDPOINT_URL="", AWS_REGION=""))


def test_no_credentials_are_unauthenticated(emulator: Emulator) -> None:
    assert "credentials" in check_fails(emulator.env(**NO_KEYS), "unauthenticated")
    assert emulator.requests() == []


def test_no_credentials_leave_no_doubt_that_nothing_was_created(emulator: Emulator) -> None:
    error = program.run("start", ask.start(), emulator.env(**NO_KEYS)).error
    assert (error["code"], error["cleanup"], error["retry"]) == ("unauthenticated", "none", "after_fix")


@pytest.mark.parametrize(
    "key", [{"AWS_ACCESS_KEY_ID": "AKIANOBODY"}, {"AWS_SECRET_ACCESS_KEY": "wrong"}, {"AWS_SESSION_TOKEN": "old"}]
)
def test_wrong_keys_are_unauthenticated(emulator: Emulator, key: dict[str, str]) -> None:
    check_fails(emulator.env(**key), "unauthenticated")


def test_no_region_is_an_invalid_config_that_names_region(emulator: Emulator) -> None:
    request = ask.start(config=ask.config(region=None))
    error = program.run("start", request, emulator.env(AWS_REGION="")).error
    assert error["code"] == "invalid_config"
    assert "config.region" in error["message"]


def test_a_region_of_the_environment_or_the_profile_is_enough(emulator: Emulator, tmp_path: Path) -> None:
    request = ask.gc(config=ask.config(region=None))
    assert program.run("gc", request, emulator.env()).result["errors"] == []
    shared = files(tmp_path, "[default]\nregion = eu-west-1\n")
    assert program.run("gc", request, emulator.env(AWS_REGION="", **shared)).result["errors"] == []


def test_serve_fetches_new_credentials_where_the_old_ones_are_refused(emulator: Emulator, tmp_path: Path) -> None:
    script = tmp_path / "process"
    good = json.dumps({"Version": 1, "AccessKeyId": KEY[0], "SecretAccessKey": KEY[1]})
    bad = good.replace(KEY[0], "AKIAROTATED")
    script.write_text(
        f"#!/bin/sh\necho x >> {tmp_path}/count\nif test -e {tmp_path}/good; then echo '{good}'; else echo '{bad}'; fi\n"
    )
    script.chmod(0o755)
    env = emulator.env(**NO_KEYS, **files(tmp_path, f"[default]\ncredential_process = {script}\n"))
    with program.Serve(env) as serve:
        status = serve.ask(ask.poll(ask.target()))["servers"][0]
        assert (status["phase"], status["error"]["code"]) == ("unknown", "unauthenticated")
        (tmp_path / "good").touch()
        assert serve.ask(ask.poll(ask.target()))["servers"][0]["phase"] == "gone"


def test_serve_renews_credentials_before_they_expire_and_keeps_those_that_last(tmp_path: Path) -> None:
    with Emulator() as emulator:
        env = emulator.env(**NO_KEYS, AWS_CONTAINER_CREDENTIALS_FULL_URI=emulator.ready["credentials_url"])
        emulator.settings(credentials_lifetime_ms=2000)
        with program.Serve(env) as serve:
            state = serve.ask(ask.start())["state"]
            emulator.settings(credentials_lifetime_ms=3_600_000)
            for _ in range(3):
                assert serve.ask(ask.poll(ask.target(state)))["servers"][0]["phase"] == "running"


def test_session_credentials_that_ended_are_renewed_in_serve(tmp_path: Path) -> None:
    with Emulator("--credentials-lifetime-ms", "0") as emulator:
        env = emulator.env(**NO_KEYS, AWS_CONTAINER_CREDENTIALS_FULL_URI=emulator.ready["credentials_url"])
        with program.Serve(env) as serve:
            status = serve.ask(ask.poll(ask.target()))["servers"][0]
            assert (status["phase"], status["error"]["code"]) == ("unknown", "unauthenticated")
            emulator.settings(credentials_lifetime_ms=3_600_000)
            assert serve.ask(ask.poll(ask.target()))["servers"][0]["phase"] == "gone"
