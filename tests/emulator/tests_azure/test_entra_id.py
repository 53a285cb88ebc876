"""Entra ID: tokens of every kind, and its refusals."""

import base64
import hashlib
import json

import pytest
from azure_emulated import APP, MANAGEMENT, SECRET

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
OWN_SCOPE = f"openid profile offline_access api://{APP}/access_as_user"


def claims(token: str) -> dict:
    middle = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))


def unsigned(**body) -> str:
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, body)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in [*parts, b"x"])


def refused(answer, number: int, error: str, status: int = 400, suberror=None):
    assert answer.status == status, answer
    body = answer.json
    assert (body["error"], body["error_codes"], body.get("suberror")) == (error, [number], suberror)
    assert body["error_description"].startswith(f"AADSTS{number}: ")
    assert {"timestamp", "trace_id", "correlation_id", "error_uri"} <= set(body)


def test_an_applications_token_is_signed_by_the_published_key(emulator):
    jwt = pytest.importorskip("jwt")
    configuration = emulator.http("GET", f"/{emulator.tenant}/v2.0/.well-known/openid-configuration").json
    (key,) = emulator.http("GET", configuration["jwks_uri"]).json["keys"]
    answer = emulator.token_answer(grant_type="client_credentials", scope=f"{MANAGEMENT}/.default").json
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3599)
    assert "refresh_token" not in answer
    public = jwt.PyJWK(key).key
    body = jwt.decode(answer["access_token"], public, algorithms=["RS256"], audience=MANAGEMENT)
    assert (body["tid"], body["appid"], body["idtyp"]) == (emulator.tenant, APP, "app")
    assert body["exp"] - body["iat"] == 3599
    assert "scp" not in body


def test_a_user_signs_in_by_the_form_and_gets_all_tokens(emulator):
    query = f"client_id={APP}&response_type=code&redirect_uri=http://127.0.0.1:1/cb&scope=openid&state=x"
    page = emulator.http("GET", f"/{emulator.tenant}/oauth2/v2.0/authorize?{query}")
    assert "<form" in page.text
    assert 'name="state" value="x"' in page.text
    form = {**dict(pair.split("=") for pair in query.split("&")), "username": "ada"}
    answer = emulator.http("POST", f"/{emulator.tenant}/oauth2/v2.0/authorize", form=form)
    assert answer.status == 302
    assert "state=x" in answer.headers["location"]
    tokens = emulator.sign_in("ada", OWN_SCOPE, nonce="n")
    access, identity = claims(tokens["access_token"]), claims(tokens["id_token"])
    assert (access["aud"], access["scp"], access["ver"]) == (APP, "access_as_user", "2.0")
    assert access["preferred_username"] == "ada@emulator.onmicrosoft.com"
    assert (identity["aud"], identity["nonce"], identity["oid"]) == (APP, "n", access["oid"])
    assert claims(emulator.sign_in("ada", OWN_SCOPE)["access_token"])["oid"] == access["oid"]


def test_a_user_who_cancels_is_sent_back_with_an_error(emulator):
    form = {"client_id": APP, "response_type": "code", "redirect_uri": "http://127.0.0.1:1/cb", "state": "x", "decline": "1"}
    answer = emulator.http("POST", f"/{emulator.tenant}/oauth2/v2.0/authorize", form=form)
    back = answer.headers["location"]
    assert "error=access_denied&error_description=" in back
    assert back.endswith("&state=x")


def test_what_the_app_asks_for_stands_escaped_on_the_form(emulator):
    query = f"client_id={APP}&response_type=code&redirect_uri=http://127.0.0.1:1/cb&scope=openid+%3Cb%3E"
    page = emulator.http("GET", f"/{emulator.tenant}/oauth2/v2.0/authorize?{query}").text
    assert "<li>openid</li><li>&lt;b&gt;</li>" in page
    assert "<b>" not in page


def test_a_code_works_once_and_only_with_its_verifier(emulator):
    challenge = base64.urlsafe_b64encode(hashlib.sha256(b"verifier").digest()).decode().rstrip("=")
    path = (
        f"/{emulator.tenant}/oauth2/v2.0/authorize?client_id={APP}&response_type=code&scope=openid&login_hint=ada"
        f"&redirect_uri=http://127.0.0.1:1/cb&code_challenge_method=S256&code_challenge={challenge}"
    )
    form = {"grant_type": "authorization_code", "redirect_uri": "http://127.0.0.1:1/cb"}

    def code() -> str:
        return emulator.http("GET", path).headers["location"].partition("code=")[2]

    refused(emulator.token_answer(**form, code=code(), code_verifier="other"), 501481, "invalid_grant")
    once = code()
    assert emulator.token_answer(**form, code=once, code_verifier="verifier").status == 200
    refused(emulator.token_answer(**form, code=once, code_verifier="verifier"), 54005, "invalid_grant")
    refused(emulator.token_answer(**form, code="never"), 9002313, "invalid_grant")


def test_a_refresh_token_gives_a_token_for_resource_manager(emulator):
    tokens = emulator.sign_in("ada", OWN_SCOPE)
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    answer = emulator.token_answer(**form, scope=f"{MANAGEMENT}/user_impersonation offline_access")
    body = claims(answer.json["access_token"])
    assert (body["aud"], body["scp"], body["upn"]) == (MANAGEMENT, "user_impersonation", "ada@emulator.onmicrosoft.com")
    assert emulator.put("ada-first", token=answer.json["access_token"]).status == 201
    assert emulator.instance("ada-first")["owner"] == "ada@emulator.onmicrosoft.com"
    emulator.settings(refresh_token_lifetime_ms=0)
    refused(emulator.token_answer(**form), 700082, "invalid_grant")


def on_behalf_of(emulator, assertion: str):
    return emulator.token_answer(
        grant_type=JWT_BEARER, requested_token_use="on_behalf_of", assertion=assertion,
        scope=f"{MANAGEMENT}/user_impersonation offline_access",
    )  # fmt: skip


def test_on_behalf_of_gives_the_users_token_for_resource_manager(emulator):
    tokens = emulator.sign_in("ada", OWN_SCOPE)
    answer = on_behalf_of(emulator, tokens["access_token"]).json
    assert claims(answer["access_token"])["upn"] == "ada@emulator.onmicrosoft.com"
    assert answer["refresh_token"]
    graph = emulator.sign_in("ada", "openid User.Read")
    refused(on_behalf_of(emulator, graph["access_token"]), 500131, "invalid_grant")
    refused(on_behalf_of(emulator, unsigned(aud=APP)), 50013, "invalid_grant")
    refused(on_behalf_of(emulator, "no token"), 50027, "invalid_grant")
    emulator.settings(token_lifetime_ms=0)
    expired = emulator.sign_in("ada", OWN_SCOPE)
    refused(on_behalf_of(emulator, expired["access_token"]), 500133, "invalid_grant")


def test_some_users_must_consent_or_sign_in_again_first(emulator):
    emulator.settings(consent_needed=["ada"], interaction_needed=["bob"])
    ada, bob = (emulator.sign_in(user, OWN_SCOPE) for user in ("ada", "bob"))
    refused(on_behalf_of(emulator, ada["access_token"]), 65001, "invalid_grant", suberror="consent_required")
    answer = on_behalf_of(emulator, bob["access_token"])
    refused(answer, 50076, "interaction_required", suberror="basic_action")
    assert "access_token" in json.loads(answer.json["claims"])
    form = {"grant_type": "refresh_token", "refresh_token": ada["refresh_token"]}
    answer = emulator.token_answer(**form, scope=f"{MANAGEMENT}/.default")
    refused(answer, 65001, "invalid_grant", suberror="consent_required")
    assert emulator.token_answer(**form).status == 200
    again = emulator.sign_in("ada", OWN_SCOPE, prompt="consent")
    assert on_behalf_of(emulator, again["access_token"]).status == 200


def test_an_app_may_show_an_outside_token_in_place_of_its_secret(emulator):
    form = {"grant_type": "client_credentials", "scope": f"{MANAGEMENT}/.default", "client_secret": "",
            "client_assertion_type": ASSERTION_TYPE}  # fmt: skip
    good = unsigned(aud="api://AzureADTokenExchange", iss="https://cluster", sub="hub")
    assert emulator.token_answer(**form, client_assertion=good).status == 200
    for assertion, number in (("x", 50027), (unsigned(aud="other"), 700212), (unsigned(aud="x", exp=1), 700024)):
        refused(emulator.token_answer(**form, client_assertion=assertion), number, "invalid_client", 401)


def test_refusals_of_the_token_endpoint(emulator):
    form = {"grant_type": "client_credentials", "scope": f"{MANAGEMENT}/.default"}
    refused(emulator.token_answer(**form, client_secret="wrong"), 7000215, "invalid_client", 401)
    refused(emulator.token_answer(**form, client_secret=""), 7000218, "invalid_client", 401)
    refused(emulator.token_answer(**form, client_id="other"), 700016, "unauthorized_client")
    refused(emulator.token_answer(tenant="elsewhere", **form), 90002, "invalid_request")
    refused(emulator.token_answer(grant_type="password"), 70003, "unsupported_grant_type")
    refused(emulator.token_answer(**{**form, "scope": "x"}), 1002012, "invalid_scope")
    answer = emulator.http("GET", "/elsewhere/v2.0/.well-known/openid-configuration")
    refused(answer, 90002, "invalid_tenant")
    basic = base64.b64encode(f"{APP}:{SECRET}".encode()).decode()
    path = f"/{emulator.tenant}/oauth2/v2.0/token"
    assert emulator.http("POST", path, form=form, headers={"Authorization": f"Basic {basic}"}).status == 200


@pytest.mark.parametrize(
    ("path", "header"),
    [("/metadata/identity/oauth2/token", {"Metadata": "true"}), ("/msi/token", {"X-IDENTITY-HEADER": "any"})],
)
def test_a_managed_identity_gets_its_token(emulator, path, header):
    path = f"{path}?api-version=2018-02-01&resource={MANAGEMENT}/"
    answer = emulator.http("GET", path, headers=header).json
    assert emulator.arm("GET", emulator.workspace, token=answer["access_token"]).status == 200
    assert answer["client_id"] == APP
    assert answer["expires_on"].isdigit()
    assert emulator.http("GET", path).status == 400
    assert emulator.http("GET", f"{path}&client_id=other", headers=header).json["error"] == "invalid_request"
