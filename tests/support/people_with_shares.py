"""Two people of a local Azure, each with a storage account, a share, an identity, a key in the vault and an instance of their own."""

import base64
import json
import shlex
import urllib.request
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from support.azure import APP, Azure, Json
from support.binaries import REPOSITORY
from support.file_server import FileServer
from support.instance import HOST, Instance, Ran
from support.tls import TlsFront

SCRIPT = REPOSITORY / "src/mount/azure_files/mount.sh"
RELAY = REPOSITORY / "tests/mount/guest_relay.py"
VAULT = "notebooks-kv.vault.azure.net"
SECRETS_OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
"""Azure's built-in roles for Key Vault."""
LEFT = "grep -ho cifs /proc/mounts; compgen -G '/run/cloudspawner-mount.*/'"
"""What is mounted, and the folder of the key, which should be gone."""


@dataclass
class Person:
    """What is a person's own."""

    name: str
    identity: str
    client_id: str
    key: str

    @property
    def account(self) -> str:
        """The storage account."""
        return f"{self.name}sfiles"

    @property
    def share(self) -> str:
        """The share."""
        return f"{self.name}s-home"


class World:
    """Azure, its files by SMB, and one instance: Ada's."""

    def __init__(self, folder: Path) -> None:
        """Starts all of it, or nothing."""
        with ExitStack() as parts:
            self._start(folder, parts)
            self._parts = parts.pop_all()

    def _start(self, folder: Path, parts: ExitStack) -> None:
        names = ("ada", "bob")
        accounts = [option for name in names for option in ("--azure-storage-account", f"{name}sfiles")]
        self.azure = parts.enter_context(Azure(*accounts, check_model=False))
        self._group = f"/subscriptions/{self.azure.azure['subscription']}/resourceGroups/{self.azure.azure['resource_group']}"
        self._vault = f"{self._group}/providers/Microsoft.KeyVault/vaults/notebooks-kv"
        self._hub = self._token("https://management.azure.com")
        self._hub_of_vault = self._token("https://vault.azure.net")
        claims = self._hub.split(".")[1]
        self._assign(self._vault, SECRETS_OFFICER, json.loads(base64.urlsafe_b64decode(claims + "=="))["oid"])
        self.ada, self.bob = (self._person(name) for name in names)
        people = (self.ada, self.bob)
        keys, owners = {p.account: p.key for p in people}, {p.share: p.account for p in people}
        self.files = parts.enter_context(FileServer(keys, owners))
        self.tls = parts.enter_context(TlsFront(folder, VAULT, self.azure.azure["management"]))
        hosts = [VAULT, *(f"{p.account}.file.core.windows.net" for p in people)]
        self.instance = parts.enter_context(Instance(hosts, [SCRIPT, self.tls.certificate]))

    def __enter__(self) -> "World":
        """The world itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends all of it."""
        self._parts.close()

    def arguments(self, person: Person, *flags: str, **change: str) -> list[str]:
        """The script's arguments for a person on Ada's instance: by Key Vault, with what is to be different."""
        values = {
            "account": person.account,
            "share": person.share,
            "mount_point": "~/userfiles",
            "credential": "key_vault",
            "client_id": person.client_id,
            "vault_secret": f"https://{VAULT}:{self.tls.port}/secrets/{person.name}s-key",
            "port": str(self.files.port),
            "imds": f"http://{HOST}:{self.port_of_azure}/instances/adas-box",
            "patience": "60",
            **change,
        }
        return [*flags, *(word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", value))]

    def mount(self, arguments: list[str], stdin: str = "") -> Ran:
        """Runs the script as Azure does: the file itself, as root; its stdout tells what it left."""
        command = f"CURL_CA_BUNDLE=/run/{self.tls.certificate.name} bash /run/{SCRIPT.name} {shlex.join(arguments)}"
        command = f"printf %s {shlex.quote(stdin)} | {command}" if stdin else command
        return self.instance.run(f"{command}; code=$?; {LEFT}; exit $code")

    def as_owner(self, script: str) -> Ran:
        """Runs something as the instance's user, in the home."""
        return self.instance.run(
            f"cd ~azureuser && setpriv --reuid 1000 --regid 1000 --clear-groups bash -c {shlex.quote(script)}"
        )

    def put_secret(self, name: str, value: str) -> None:
        """Writes a secret, as the hub does."""
        self._call("PUT", f"/secrets/{name}?api-version=7.4", self._hub_of_vault, {"value": value})

    def usual_ports(self) -> None:
        """From now until a restart the guest finds the cloud where it is in Azure: nothing needs to be told to a script."""
        rules = f"127.0.0.1:445={self.files.port} 127.0.0.1:443={self.tls.port} 169.254.169.254:80={self.port_of_azure}"
        script = f"""
            ip address add 169.254.169.254/32 dev lo
            hosts=$(sed 's/^10.0.2.2 /127.0.0.1 /' /etc/hosts) && printf '%s\\n' "$hosts" >/etc/hosts
            coproc python3 -I -c {shlex.quote(RELAY.read_text())} {rules} 2>/run/relay
            read -r ready <&"${{COPROC[0]}}" && [[ $ready == ready ]]
        """
        relays = self.instance.run(script)
        assert (relays.code, relays.stderr) == (0, ""), relays.stderr

    @property
    def port_of_azure(self) -> int:
        """Where the metadata service is."""
        return int(self.azure.azure["management"].rsplit(":", 1)[1])

    def _person(self, name: str) -> Person:
        path = f"{self._group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/cs-{name}?api-version=2023-01-31"
        identity = self._call("PUT", path, self._hub, {"location": "eastus"})
        accounts = f"{self._group}/providers/Microsoft.Storage/storageAccounts"
        keys = self._call("POST", f"{accounts}/{name}sfiles/listKeys?api-version=2023-05-01", self._hub)
        person = Person(name, identity["id"], identity["properties"]["clientId"], keys["keys"][0]["value"])
        self._assign(f"{self._vault}/secrets/{name}s-key", SECRETS_USER, identity["properties"]["principalId"])
        self.put_secret(f"{name}s-key", person.key)
        box = f"{self._group}/providers/Microsoft.MachineLearningServices/workspaces/notebooks/computes/{name}s-box"
        body = {"computeType": "ComputeInstance", "properties": {"vmSize": "STANDARD_DS2_V2"}}
        own = {"type": "UserAssigned", "userAssignedIdentities": {identity["id"]: {}}}
        whole = {"location": "eastus", "identity": own, "properties": body}
        self._call("PUT", f"{box}?api-version=2025-12-01", self._hub, whole)
        return person

    def _assign(self, scope: str, role: str, principal: str) -> None:
        subscription = self.azure.azure["subscription"]
        role = f"/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"
        path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}?api-version=2022-04-01"
        whole = {"roleDefinitionId": role, "principalId": principal, "principalType": "ServicePrincipal"}
        self._call("PUT", path, self._hub, {"properties": whole})

    def _token(self, audience: str) -> str:
        form = f"client_id={APP[0]}&client_secret={APP[1]}&grant_type=client_credentials&scope={audience}/.default"
        address = f"{self.azure.azure['authority']}/{self.azure.azure['tenant']}/oauth2/v2.0/token"
        with urllib.request.urlopen(address, form.encode(), timeout=30) as answer:
            token: str = json.loads(answer.read())["access_token"]
        return token

    def _call(self, method: str, path: str, token: str, body: Json | None = None) -> Json:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = json.dumps(body or {}).encode()
        request = urllib.request.Request(self.azure.azure["management"] + path, data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: Json = json.loads(answer.read())
        return found
