"""Canaries planted in every secret are found in no argv, no log, no frame, no state and no tape."""

import json
from pathlib import Path
from typing import Any

import pytest

from support import ask, program
from support.emulator import KEY, Emulator
from support.parrot import Parrot

TOKEN = "canary-api-token-5f1c"
PASSWORD = "canary-password-71aa"
SECRET = "canary-secret-access-key-a93d"
SESSION = "canary-session-token-0b7e//+=="
CANARIES = (TOKEN, PASSWORD, SECRET, SESSION)

SPEC = ask.spec(
    env={
        "JUPYTERHUB_API_TOKEN": TOKEN,
        "JPY_API_TOKEN": TOKEN,
        "DB_PASSWORD": PASSWORD,
        "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/user/ada/",
    }
)
STATIC = {"kind": "static", "access_key_id": "AKIACANARY", "secret_access_key": SECRET, "session_token": SESSION}


def assert_clean(where: str, text: str) -> None:
    """No canary stands in the text."""
    for canary in CANARIES:
        assert canary not in text, f"{canary} in {where}: {text}"
        assert json.dumps(canary)[1:-1] not in text, f"{canary} in {where}"


def assert_clean_run(done: program.Finished) -> None:
    """No canary stands in what a run wrote."""
    assert_clean("stdout", done.stdout)
    assert_clean("stderr", done.stderr)


def assert_clean_folder(folder: Path) -> None:
    """No canary, signature or account number stands on a tape."""
    tapes = list(folder.iterdir())
    assert tapes
    for tape in tapes:
        text = tape.read_text()
        assert_clean(tape.name, text)
        assert "Signature=" not in text
        assert "123456789012" not in text
        assert KEY[1] not in text


def every_request(state: object) -> list[dict[str, Any]]:
    """One request of each verb."""
    settings = ask.config()
    return [
        ask.start(timeout_ms=700, spec=SPEC, config=settings),
        ask.poll(ask.target(state), ask.target(None, user="grace"), timeout_ms=700),
        ask.stop(state, timeout_ms=700),
        ask.gc(timeout_ms=700),
        {**ask.check(), "timeout_ms": 700},
    ]


def test_a_start_that_succeeds_shows_no_secret(emulator: Emulator, tmp_path: Path) -> None:
    env = emulator.env(CLOUDSPAWNER_LOG="trace", CLOUDSPAWNER_RECORD=str(tmp_path / "tape"))
    with program.Serve(env) as serve:
        command_line = Path(f"/proc/{serve.process.pid}/cmdline").read_bytes().decode()
        state = serve.ask(ask.start(spec=SPEC), ack=True)["state"]
        serve.ask(ask.poll(ask.target(state), ask.target()))
        serve.ask(ask.stop(state))
        serve.close_stdin()
        done = serve.finish()
    assert_clean("argv", command_line)
    assert_clean_run(done)
    assert_clean_folder(tmp_path / "tape")
    assert TOKEN in json.dumps(emulator.bodies("RunTask")), "the server itself needs it"


@pytest.mark.parametrize("fault", ["early_stop", "capacity", "throttle", "error_500", "reply_lost", "html"])
def test_a_start_that_meets_a_fault_shows_no_secret(emulator: Emulator, tmp_path: Path, fault: str) -> None:
    emulator.fault("RunTask", fault)
    env = emulator.env(CLOUDSPAWNER_LOG="trace", CLOUDSPAWNER_RECORD=str(tmp_path / "tape"))
    done = program.run("start", ask.start(spec=SPEC), env)
    assert done.exit_code == (1 if fault == "early_stop" else 0)
    assert_clean_run(done)
    assert_clean_folder(tmp_path / "tape")


@pytest.mark.parametrize("code", ["InvalidSignatureException", "ClientException", "ServerException", "AccessDeniedException"])
def test_a_cloud_that_repeats_what_it_was_sent_makes_no_secret_known(tmp_path: Path, code: str) -> None:
    with Parrot(code=code, status=500 if code == "ServerException" else 400) as parrot:
        env = {
            "PATH": "/usr/bin:/bin", "AWS_ENDPOINT_URL": parrot.url, "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ACCESS_KEY_ID": "AKIACANARY", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": SESSION,
            "CLOUDSPAWNER_LOG": "trace", "CLOUDSPAWNER_RECORD": str(tmp_path / "tape"),
        }  # fmt: skip
        arn = "arn:aws:ecs:eu-west-1:123456789012:task/notebooks/" + "0" * 32
        data = {
            "key": "k",
            "ref": arn,
            "attempted_at_ms": 1,
            "region": "eu-west-1",
            "endpoint": parrot.url,
            "cluster": "notebooks",
        }
        for request in every_request({"v": 1, "backend": "fargate", "data": data}):
            assert_clean_run(program.run(request["verb"], request, env))
        assert SESSION in "".join(parrot.heard), "or this test proves nothing"
        assert_clean_folder(tmp_path / "tape")


def test_explicit_credentials_are_not_shown_by_a_cloud_that_repeats_them(tmp_path: Path) -> None:
    with Parrot() as parrot:
        env = {
            "PATH": "/usr/bin:/bin",
            "AWS_ENDPOINT_URL": parrot.url,
            "CLOUDSPAWNER_LOG": "trace",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        with program.Serve({**env, "CLOUDSPAWNER_RECORD": str(tmp_path / "tape")}) as serve:
            for request in every_request(None):
                request["params"]["credentials"] = STATIC
                number = serve.begin(request)
                serve.last(number)
            serve.close_stdin()
            done = serve.finish()
        assert SESSION in "".join(parrot.heard)
        assert_clean_run(done)
        assert_clean_folder(tmp_path / "tape")


def test_a_role_and_its_web_identity_token_are_not_shown(tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN)
    with Parrot() as parrot:
        env = {
            "PATH": "/usr/bin:/bin", "AWS_ENDPOINT_URL": parrot.url, "AWS_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(token_file), "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/hub",
            "CLOUDSPAWNER_LOG": "trace", "CLOUDSPAWNER_RECORD": str(tmp_path / "tape"),
        }  # fmt: skip
        for request in every_request(None):
            assert_clean_run(program.run(request["verb"], request, env, timeout=60))
        assert any(TOKEN in heard for heard in parrot.heard)
        assert list((tmp_path / "tape").iterdir()) == []


@pytest.mark.parametrize("output", [SECRET, '{"Version": 1, "SecretAccessKey": "' + SECRET + '"}', '{"' + SECRET + '": 1}'])
def test_what_a_credential_process_prints_is_not_shown(tmp_path: Path, output: str) -> None:
    script = tmp_path / "process"
    script.write_text(f"#!/bin/sh\ncat <<'END'\n{output}\nEND\necho '{PASSWORD}' >&2\nexit 0\n")
    script.chmod(0o755)
    config = tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = {script}\n")
    env = {
        "PATH": "/usr/bin:/bin",
        "AWS_CONFIG_FILE": str(config),
        "AWS_EC2_METADATA_DISABLED": "true",
        "CLOUDSPAWNER_LOG": "trace",
    }
    done = program.run("gc", ask.gc(timeout_ms=5000), env)
    assert done.error["code"] == "unauthenticated"
    assert_clean_run(done)


def test_a_container_authorization_token_is_not_shown(tmp_path: Path) -> None:
    with Parrot() as parrot:
        env = {
            "PATH": "/usr/bin:/bin", "AWS_ENDPOINT_URL": parrot.url, "AWS_CONTAINER_CREDENTIALS_FULL_URI": parrot.url + "/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": TOKEN, "CLOUDSPAWNER_LOG": "trace", "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip
        done = program.run("gc", ask.gc(timeout_ms=5000), env)
        assert any(TOKEN in heard for heard in parrot.heard)
        assert done.exit_code == 1
        assert_clean_run(done)
