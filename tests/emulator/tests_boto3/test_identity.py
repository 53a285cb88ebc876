"""Who may call: signatures, policies, STS, and the endpoints where code in AWS finds its keys."""

import datetime
import json
import os
import subprocess
import urllib.error
import urllib.request

import boto3
import botocore.auth
import pytest

from emulated import KEY, binary, refused, run


def list_tasks(client):
    return lambda: client.list_tasks(cluster="notebooks")


# Signatures


def test_a_key_that_nobody_has_is_not_recognized(emulator):
    client = emulator.client(key=("AKIAUNKNOWN", "x"))
    refused(list_tasks(client), "UnrecognizedClientException", "security token")
    refused(emulator.client("sts", key=("AKIAUNKNOWN", "x")).get_caller_identity, "InvalidClientTokenId", status=403)


def test_a_wrong_secret_gives_a_wrong_signature(emulator):
    refused(list_tasks(emulator.client(key=(KEY[0], "wrong"))), "InvalidSignatureException", "does not match")
    sts = emulator.client("sts", key=(KEY[0], "wrong"))
    refused(sts.get_caller_identity, "SignatureDoesNotMatch", status=403)


def test_a_changed_body_breaks_the_signature(emulator, ecs):
    def change(request, **_):
        request.data = request.body.replace(b"notebooks", b"otherbook") if request.body else request.body
        request.body = request.data

    ecs.meta.events.register("before-send.ecs.*", change)
    refused(list_tasks(ecs), "InvalidSignatureException")


def test_another_regions_signature_is_refused(emulator):
    refused(list_tasks(emulator.client(region="us-east-1")), "InvalidSignatureException", "region")


@pytest.mark.parametrize(("minutes", "text"), [(-6, "expired"), (6, "not yet current")])
def test_a_clock_that_is_wrong_by_more_than_five_minutes_is_refused(emulator, monkeypatch, minutes, text):
    right = botocore.auth.get_current_datetime
    shift = datetime.timedelta(minutes=minutes)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *a, **k: right(*a, **k) + shift)
    refused(list_tasks(emulator.client()), "InvalidSignatureException", text)


def test_an_unsigned_call_is_refused(emulator):
    target = {
        "x-amz-target": "AmazonEC2ContainerServiceV20141113.ListTasks",
        "content-type": "application/x-amz-json-1.1",
    }
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(emulator.url, b"{}", target))
    assert json.loads(caught.value.read())["__type"] == "MissingAuthenticationTokenException"


def test_only_loopback_is_listened_on():
    done = subprocess.run([binary(), "--listen", "0.0.0.0:0"], capture_output=True, text=True, timeout=10)
    assert done.returncode != 0
    assert "loopback" in done.stderr


# Policies


@pytest.fixture
def limited(start_emulator, tmp_path):
    """A client whose policy has neither ecs:ListTasks nor ecs:TagResource, as in fargatespawner's documentation."""
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["ecs:RunTask", "ecs:StopTask", "ecs:DescribeTasks"],
                "Resource": ["arn:aws:ecs:*:*:task-definition/notebook:*", "arn:aws:ecs:*:*:task/notebooks/*"],
                "Condition": {"ArnEquals": {"ecs:cluster": "arn:aws:ecs:eu-west-1:123456789012:cluster/notebooks"}},
            }
        ],
    }
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(policy))
    emulator = start_emulator("--run", "simulate", "--key", f"AKIALIMITED:secret:{file}", "--role", f"limited:{file}")
    return emulator, emulator.client(key=("AKIALIMITED", "secret"))


def test_what_a_policy_does_not_allow_is_denied(limited):
    _, client = limited
    arn = run(client)["taskArn"]
    client.describe_tasks(cluster="notebooks", tasks=[arn])
    client.stop_task(cluster="notebooks", task=arn)
    user = "User: arn:aws:iam::123456789012:user/akialimited is not authorized to perform: "
    refused(list_tasks(client), "AccessDeniedException", user + "ecs:ListTasks on resource: ")
    tagged = lambda: run(client, tags=[{"key": "k", "value": "v"}])  # noqa: E731
    refused(tagged, "AccessDeniedException", "because no identity-based policy allows the ecs:TagResource action")
    refused(lambda: run(client, cluster="other"), "AccessDeniedException", "ecs:RunTask")


def test_a_definition_with_a_role_needs_pass_role(limited):
    _, client = limited
    overrides = {"taskRoleArn": "arn:aws:iam::123456789012:role/task"}
    refused(lambda: run(client, overrides=overrides), "AccessDeniedException", "iam:PassRole")


def test_a_roles_policy_binds_its_keys(limited):
    emulator, _ = limited
    sts = emulator.client("sts", key=("AKIALIMITED", "secret"))
    refused(
        lambda: sts.assume_role(RoleArn="arn:aws:iam::123456789012:role/limited", RoleSessionName="hub"),
        "AccessDenied", "sts:AssumeRole", status=403,
    )  # fmt: skip


# STS


def test_caller_identity_names_the_user(emulator):
    identity = emulator.client("sts").get_caller_identity()
    assert (identity["Account"], identity["Arn"]) == ("123456789012", "arn:aws:iam::123456789012:user/akiaemulator")


def assume(emulator):
    arn = "arn:aws:iam::123456789012:role/hub"
    answer = emulator.client("sts").assume_role(RoleArn=arn, RoleSessionName="session")
    keys = answer["Credentials"]
    return (keys["AccessKeyId"], keys["SecretAccessKey"]), keys["SessionToken"], answer


def test_the_keys_of_an_assumed_role_need_their_token(emulator):
    key, token, answer = assume(emulator)
    assert answer["AssumedRoleUser"]["Arn"] == "arn:aws:sts::123456789012:assumed-role/hub/session"
    run(emulator.client(key=key, token=token))
    identity = emulator.client("sts", key=key, token=token).get_caller_identity()
    assert identity["Arn"].endswith(":assumed-role/hub/session")
    refused(list_tasks(emulator.client(key=key)), "UnrecognizedClientException")
    refused(list_tasks(emulator.client(key=key, token="other")), "UnrecognizedClientException")
    refused(list_tasks(emulator.client(token="for-a-user")), "UnrecognizedClientException")


def test_keys_expire(emulator):
    emulator.settings(credentials_lifetime_ms=0)
    key, token, _ = assume(emulator)
    refused(list_tasks(emulator.client(key=key, token=token)), "ExpiredTokenException", "expired")
    refused(emulator.client("sts", key=key, token=token).get_caller_identity, "ExpiredToken", status=403)


def test_sts_refuses_what_it_must(emulator):
    sts = emulator.client("sts")
    refused(lambda: sts.assume_role(RoleArn="no-arn-but-long-enough", RoleSessionName="hub"), "ValidationError")
    refused(lambda: sts.get_session_token(), "InvalidAction")
    emulator.fault("AssumeRole", "throttle")
    refused(lambda: assume(emulator), "Throttling")


# Where code in AWS finds its keys: boto3's own providers


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """An environment in which no provider finds anything."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    return monkeypatch


def session_runs(emulator, method: str):
    session = boto3.Session()
    credentials = session.get_credentials()
    assert credentials.method == method
    run(session.client("ecs", endpoint_url=emulator.url))
    return credentials


def test_the_container_endpoint_gives_keys(emulator, bare):
    bare.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", emulator.ready["credentials_url"])
    credentials = session_runs(emulator, "container-role")
    assert credentials.token


def test_the_container_endpoint_can_want_a_token(start_emulator, bare):
    emulator = start_emulator("--run", "simulate", "--credentials-token", "let-me-in")
    bare.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", emulator.ready["credentials_url"])
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(emulator.ready["credentials_url"])
    bare.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "let-me-in")
    session_runs(emulator, "container-role")


def test_the_metadata_service_gives_keys_by_version_2_alone(emulator, bare):
    bare.delenv("AWS_EC2_METADATA_DISABLED")
    bare.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", emulator.url)
    bare.setenv("AWS_EC2_METADATA_V1_DISABLED", "true")
    session_runs(emulator, "iam-role")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{emulator.url}/latest/meta-data/iam/security-credentials/")


def test_a_web_identity_gives_keys_without_a_signature(emulator, bare, tmp_path):
    (tmp_path / "token").write_text("a.b.c")
    bare.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    bare.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/web")
    bare.setenv("AWS_ENDPOINT_URL_STS", emulator.url)
    session_runs(emulator, "assume-role-with-web-identity")
    refused(
        lambda: emulator.client("sts").assume_role_with_web_identity(
            RoleArn="nonsense-but-long-enough", RoleSessionName="hub", WebIdentityToken="abcd"
        ),
        "ValidationError",
    )


def test_a_profile_can_assume_a_role(emulator, bare, tmp_path):
    (tmp_path / "config").write_text(
        "[profile hub]\nrole_arn = arn:aws:iam::123456789012:role/hub\nsource_profile = base\n"
        f"endpoint_url = {emulator.url}\n"
    )
    (tmp_path / "credentials").write_text(f"[base]\naws_access_key_id = {KEY[0]}\naws_secret_access_key = {KEY[1]}\n")
    bare.setenv("AWS_ENDPOINT_URL_STS", emulator.url)
    bare.setenv("AWS_PROFILE", "hub")
    session_runs(emulator, "assume-role")
