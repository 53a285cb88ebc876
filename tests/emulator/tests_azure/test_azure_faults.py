"""Faults on demand."""

import http.client
import time

import pytest
from azure_emulated import MANAGEMENT, wait_for


def test_refusals_on_demand(emulator):
    for kind, status, code in (
        ("throttle", 429, "TooManyRequests"),
        ("error_500", 500, "InternalServerError"),
        ("error_503", 503, "ServerTimeout"),
        ("access_denied", 403, "AuthorizationFailed"),
        ("expired_token", 401, "ExpiredAuthenticationToken"),
    ):
        emulator.fault("computes.list", kind)
        answer = emulator.arm("GET", f"{emulator.workspace}/computes")
        assert (answer.status, answer.code) == (status, code)
        assert ("retry-after" in answer.headers) == (status == 429)
        assert emulator.arm("GET", f"{emulator.workspace}/computes").status == 200


def test_token_requests_can_fail_too(emulator):
    form = {"grant_type": "client_credentials", "scope": f"{MANAGEMENT}/.default"}
    for kind, status, number in (
        ("access_denied", 401, 7000215),
        ("expired_token", 401, 7000222),
        ("throttle", 429, 90055),
        ("error_503", 503, 90033),
    ):
        emulator.fault("token", kind)
        answer = emulator.token_answer(**form)
        assert (answer.status, answer.json["error_codes"]) == (status, [number])
    assert emulator.token_answer(**form).status == 200


def test_connections_can_be_cut_before_and_after_the_effect(emulator):
    emulator.fault("computes.put", "cut_before")
    with pytest.raises(http.client.RemoteDisconnected):
        emulator.put("ada-first")
    assert emulator.admin("instances") == []
    emulator.fault("computes.put", "reply_lost")
    with pytest.raises(http.client.RemoteDisconnected):
        emulator.put("ada-first")
    assert emulator.instance("ada-first")["name"] == "ada-first"
    emulator.fault("computes.get", "truncated")
    with pytest.raises(http.client.IncompleteRead):
        emulator.get("ada-first")


def test_a_proxys_page_a_slow_answer_and_none(emulator):
    emulator.fault("workspaces.get", "html", status=502)
    answer = emulator.arm("GET", emulator.workspace)
    assert (answer.status, answer.headers["content-type"]) == (502, "text/html; charset=utf-8")
    emulator.fault("workspaces.get", "slow", delay_ms=200)
    started = time.monotonic()
    assert emulator.arm("GET", emulator.workspace).status == 200
    assert time.monotonic() - started >= 0.2
    emulator.fault("workspaces.get", "hang")
    with pytest.raises(TimeoutError):
        emulator.arm("GET", emulator.workspace, timeout=0.5)


def test_a_fault_may_wait_and_may_want_a_text(emulator):
    emulator.fault("computes.put", "error_500", skip=1, count=1)
    assert [emulator.put(f"ada-{n}x").status for n in range(3)] == [201, 500, 201]
    emulator.fault("computes.get", "error_500", count=None, body_contains="ada-1x")
    assert emulator.arm("GET", emulator.compute("ada-0x")).status == 200
    assert emulator.arm("GET", emulator.compute("ada-1x")).status == 500


def test_a_setup_can_fail(emulator):
    emulator.settings(delays={"setting_up": 40})
    emulator.fault("computes.put", "setup_failed", code="SetupError", message="No.")
    emulator.put("ada-first")
    read = emulator.wait_for_state("ada-first", "SetupFailed")["properties"]
    assert read["provisioningState"] == "Failed"
    assert read["properties"]["errors"][0]["error"] == {"code": "SetupError", "message": "No."}
    emulator.fault("computes.put", "setup_failed")
    emulator.put("ada-second", setupScripts={"scripts": {"startupScript": {"scriptData": "bHM="}}})
    emulator.wait_for_state("ada-second", "UserSetupFailed")


def test_an_instance_can_stay_in_its_state(emulator):
    emulator.fault("computes.put", "stuck")
    answer = emulator.put("ada-first")
    time.sleep(0.3)
    assert emulator.state("ada-first") == "Creating"
    headers = {"Authorization": f"Bearer {emulator.token()}"}
    status = emulator.http("GET", answer.headers["azure-asyncoperation"], headers=headers).json
    assert status["status"] == "InProgress"
    assert emulator.arm("DELETE", emulator.compute("ada-first"), underlyingResourceAction="Delete").status == 202
    wait_for(lambda: emulator.arm("GET", emulator.compute("ada-first")).status == 404)


def test_a_start_or_stop_can_fail(emulator):
    emulator.running("ada-first")
    emulator.fault("computes.stop", "operation_failed", code="Busy", message="Not now.")
    answer = emulator.arm("POST", f"{emulator.compute('ada-first')}/stop")
    headers = {"Authorization": f"Bearer {emulator.token()}"}
    failed = wait_for(lambda: (got := emulator.http("GET", answer.headers["location"], headers=headers)).status != 202 and got)
    assert (failed.status, failed.code) == (409, "Busy")
    details = emulator.wait_for_state("ada-first", "Running")["properties"]["properties"]
    assert details["lastOperation"]["operationStatus"] == "StopFailed"


def test_a_quota_can_be_used_up(emulator):
    emulator.fault("computes.put", "quota_exceeded")
    assert emulator.put("ada-first").code == "QuotaExceeded"
    assert emulator.put("ada-first").status == 201
