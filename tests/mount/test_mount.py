"""The script, unchanged, on a real kernel's SMB client, against a real SMB server and the emulated identity and vault."""

import base64
import shlex
import subprocess

import pytest

from mount.conftest import needs
from support import program
from support.binaries import REPOSITORY
from support.people_with_shares import SCRIPT, VAULT, World
from support.ports import free_port

PLACE = "/home/azureuser/userfiles"


def test_shellcheck_finds_nothing():
    needs("shellcheck")
    scripts = [SCRIPT, REPOSITORY / "tests/mount/guest_init.sh"]
    found = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
    assert found.stdout == ""


def test_a_person_writes_a_file_that_is_there_after_a_restart(world: World):
    first = world.mount(world.arguments(world.ada))
    assert (first.code, first.stdout) == (0, "cifs\n"), first.stderr
    assert first.stderr == "mount of adas-home: it is mounted at /home/azureuser/userfiles\n"
    wrote = world.as_owner(
        "echo 'a day of work' >userfiles/notes.txt && ln -s notes.txt userfiles/link && stat -c '%u %a' userfiles/*"
    )
    assert wrote.stdout.splitlines() == ["1000 777", "1000 700"], wrote.stderr
    world.instance.restart()
    again = world.mount(world.arguments(world.ada))
    assert again.code == 0, again.stderr
    assert world.as_owner("cat userfiles/link").stdout == "a day of work\n"


def assert_fails(world: World, arguments: list[str], code: int, *reasons: str, stdin: str = "") -> None:
    """It exits with this code and one line that tells why; nothing is mounted and no key is left."""
    ran = world.mount(arguments, stdin)
    assert ran.code == code, ran.stderr
    assert ran.stderr.count("\n") == 1, ran.stderr
    for reason in ("error: ", *reasons):
        assert reason in ran.stderr
    assert ran.stdout == ""


def test_what_goes_over_the_network_is_encrypted_by_smb_3_1_1(world: World):
    assert world.mount(world.arguments(world.ada)).code == 0
    session = world.files.sessions()
    assert "SMB3_11" in session
    assert "AES-128-GCM" in session or "AES-128-CCM" in session, session
    mounted = world.instance.run("grep cifs /proc/mounts").stdout
    for option in ("vers=3.1.1", "seal", "soft", "nosuid", "nodev", "actimeo=30", "mfsymlinks", "serverino", "echo_interval=30"):
        assert option in mounted.replace(" ", ",").split(","), mounted


def test_a_second_run_finds_it_mounted_and_one_for_something_else_is_refused(world: World):
    assert world.mount(world.arguments(world.ada)).code == 0
    world.azure.azure_admin("calls/reset", {})
    second = world.mount(world.arguments(world.ada))
    assert (second.code, second.stderr) == (0, f"mount of adas-home: it is mounted at {PLACE} already\n")
    assert world.azure.azure_calls("secrets.get") == 0
    read_only = world.mount(world.arguments(world.ada, "--read-only"))
    assert (read_only.code, "and not ro" in read_only.stderr) == (9, True)
    other = world.mount(world.arguments(world.ada, share="another"))
    assert (other.code, "adas-home is mounted at" in other.stderr) == (9, True)
    assert other.stdout == "cifs\n"


def test_a_read_only_share_takes_no_file(world: World):
    assert world.mount(world.arguments(world.ada, "--read-only", mount_point="/run/data")).code == 0
    wrote = world.as_owner("echo x >/run/data/x")
    assert "Read-only file system" in wrote.stderr


def test_a_wrong_key_is_told(world: World):
    world.put_secret("adas-key", "d3Jvbmc=")
    try:
        assert_fails(world, world.arguments(world.ada), 7, "refuses the credential", "the wrong key")
    finally:
        world.put_secret("adas-key", world.ada.key)


def test_a_server_that_cannot_be_reached_is_told_in_time(world: World):
    port, key = str(free_port()), f"{world.ada.key}\n"
    closed = world.arguments(world.ada, credential="stdin", port=port, patience="3")
    assert_fails(world, closed, 6, f"cannot be reached at port {port}", stdin=key)
    unknown = world.arguments(world.ada, credential="stdin", server="nowhere.invalid", patience="3")
    assert_fails(world, unknown, 6, "no address is known for nowhere.invalid", stdin=key)


def test_a_share_that_is_not_there_is_told(world: World):
    assert_fails(world, world.arguments(world.ada, share="no-such-share"), 8, "the account adasfiles has no share no-such-share")


def test_an_identity_that_the_instance_does_not_have_gives_no_token(world: World):
    foreign = world.arguments(world.ada, client_id=world.bob.client_id)
    assert_fails(world, foreign, 4, world.bob.client_id, "HTTP 400", "assigned to this instance?")
    silent = world.arguments(world.ada, imds=f"http://10.0.2.2:{free_port()}", patience="2")
    assert_fails(world, silent, 4, "HTTP 000")


def test_a_key_that_the_vault_does_not_give_is_told(world: World):
    address = world.arguments(world.ada)[world.arguments(world.ada).index("--vault-secret") + 1]
    absent = world.arguments(world.ada, vault_secret=address.replace("adas-key", "no-key"), patience="15")
    assert_fails(world, absent, 5, "Key Vault does not give")
    world.put_secret("adas-key", "two\nlines")
    try:
        assert_fails(world, world.arguments(world.ada), 5, "more than one line")
    finally:
        world.put_secret("adas-key", world.ada.key)


def test_one_persons_instance_opens_nothing_of_another_persons(world: World):
    own = world.arguments(world.ada)
    others_key = world.arguments(world.bob, client_id=world.ada.client_id, patience="15")
    assert_fails(world, others_key, 5, "HTTP 403", "Key Vault Secrets User")
    others_share = world.arguments(world.ada, share=world.bob.share)
    assert_fails(world, others_share, 7, "not this share's")
    own_key_for_others_account = world.arguments(
        world.ada, account=world.bob.account, share=world.bob.share, vault_secret=own[own.index("--vault-secret") + 1]
    )
    assert_fails(world, own_key_for_others_account, 7, "refuses the credential")


def test_what_is_busy_for_a_moment_is_asked_again(world: World):
    world.azure.azure_fault("managed_identity", "error_503")
    world.azure.azure_fault("secrets.get", "throttle")
    ran = world.mount(world.arguments(world.ada))
    assert ran.code == 0, ran.stderr


def test_an_optional_share_that_fails_is_a_warning_and_nobody_writes_beside_it(world: World):
    ran = world.mount(world.arguments(world.ada, "--optional", share="no-such-share"))
    assert (ran.code, ran.stdout, ran.stderr.count("\n")) == (0, "", 1)
    assert "warning: the account adasfiles has no share" in ran.stderr
    assert "Permission denied" in world.as_owner("echo lost >userfiles/notes.txt").stderr


def test_what_a_mount_hides_is_told(world: World):
    world.as_owner("mkdir userfiles && echo x >userfiles/old.txt")
    ran = world.mount(world.arguments(world.ada))
    assert (ran.code, f"warning: {PLACE} is not empty" in ran.stderr) == (0, True)


def test_a_key_comes_by_stdin_with_the_script_itself_before_it(world: World):
    arguments = world.arguments(world.ada, credential="stdin")
    assert_fails(world, arguments, 5, "empty", stdin="\n")
    assert_fails(world, arguments, 7, "refuses", stdin="d3Jvbmc=\n")
    pipe = f"{{ cat /run/mount.sh; printf '%s\\n' {world.ada.key}; }} | bash -s -- {shlex.join(arguments)}"
    ran = world.instance.run(pipe)
    assert ran.code == 0, ran.stderr
    assert world.as_owner("ls userfiles >/dev/null && echo it is there").stdout == "it is there\n"


def test_a_key_is_never_run_as_a_command(world: World):
    arguments = shlex.join(world.arguments(world.ada, credential="none"))
    ran = world.instance.run(f"{{ cat /run/mount.sh; echo 'touch /run/was-run'; }} | bash -s -- {arguments}; ls /run/was-run")
    assert (ran.stdout, ran.stderr.count("mount of adas-home: error: --credential is none of")) == ("", 1)


def test_the_programs_own_start_up_script_mounts_at_the_usual_ports_and_runs_the_admins(world: World):
    azure = world.azure
    storage = {
        "account": world.ada.account,
        "credential": "key_vault",
        "vault_secret": f"https://{VAULT}/secrets/adas-key",
        "vault_identity": world.ada.identity,
        "account_key_opens_every_share": True,
    }
    ask = azure.ask("start", config=azure.config(storage=storage, startup_script="#!/bin/sh\nls -d ~azureuser/userfiles\n"))
    mount = {"kind": "azure_files", "path": "~/userfiles", "per_user": False, "share": world.ada.share}
    ask["params"]["spec"]["mounts"] = [mount]
    started = program.run("start", ask, azure.env())
    scripts = azure.bodies("computes.put")[-1]["properties"]["properties"]["setupScripts"]["scripts"]
    assert scripts["startupScript"].get("scriptArguments") is None, started
    script = base64.b64decode(scripts["startupScript"]["scriptData"]).decode()
    world.usual_ports()
    try:
        trust = f"export CURL_CA_BUNDLE=/run/{world.tls.certificate.name} HOME=/root"
        ran = world.instance.run(f"{trust}; printf %s {shlex.quote(script)} >/run/startup && bash /run/startup")
        wrote = world.as_owner("echo 'by its own script' >userfiles/own.txt && grep -c userfiles /proc/mounts")
    finally:
        world.instance.restart()
    assert (ran.code, ran.stdout, ran.stderr) == (0, f"{PLACE}\n", f"mount of adas-home: it is mounted at {PLACE}\n")
    assert wrote.stdout == "1\n", wrote.stderr


WATCH = """
for program in curl mount.cifs mount timeout python3 findmnt getent setpriv; do
    real=$(PATH=/usr/sbin:/usr/bin:/sbin:/bin command -v $program)
    printf '#!/bin/bash\\n{ echo %s "$@"; env; stat -c "%%U %%a %%n" /run/cloudspawner-mount.*/*; } >>/run/seen 2>/dev/null\\nexec %s "$@"\\n' \
        $program $real >/usr/local/sbin/$program
done
chmod +x /usr/local/sbin/*
"""


def test_no_program_sees_a_key_or_a_token_in_its_arguments_or_environment(world: World):
    world.instance.run(WATCH)
    try:
        ran = world.mount(world.arguments(world.ada))
        seen = world.instance.run("cat /run/seen").stdout
        left = world.instance.run(f"grep -rlF {world.ada.key} /run /tmp /home /proc/mounts")
    finally:
        world.instance.run("rm -f /usr/local/sbin/* /run/seen")
    assert ran.code == 0, ran.stderr
    assert "curl --disable" in seen
    assert "root 600 /run/cloudspawner-mount." in seen
    for secret in (world.ada.key, "eyJ"):
        assert secret not in seen + ran.stdout + ran.stderr
    assert left.stdout == ""


TICKETS = """
echo 'echo "$0 $*" >>/run/asked; mkdir -p /run/azfilesauth; exit '{code} >/usr/local/sbin/azfilesauthmanager
echo 'echo "$0 $*" >>/run/asked' >/usr/local/sbin/systemctl
printf '#!/bin/bash\\necho "mount $*" >>/run/asked; exec /bin/mount "$@"\\n' >/usr/local/sbin/mount
chmod +x /usr/local/sbin/*
"""


@pytest.mark.parametrize(("code", "reason"), [(0, "the kernel finds no ticket"), (1, "azfilesauthmanager gets no ticket")])
def test_an_identity_goes_by_microsofts_ticket_and_without_one_that_is_told(world: World, code: int, reason: str):
    world.instance.run(TICKETS.format(code=code))
    try:
        assert_fails(world, world.arguments(world.ada, credential="identity", patience="60" if code == 0 else "6"), 4, reason)
        asked = world.instance.run("cat /run/asked").stdout
    finally:
        world.instance.run("rm -f /usr/local/sbin/* /run/asked")
    assert f"azfilesauthmanager set https://adasfiles.file.core.windows.net --imds-client-id {world.ada.client_id}\n" in asked
    if code == 0:
        assert "systemctl enable --now --quiet azfilesrefresh" in asked
        assert f"sec=krb5,cruid=0,username={world.ada.client_id}" in asked


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("account", "a,guest"),
        ("account", ""),
        ("share", "../other"),
        ("share", "a--b"),
        ("mount-point", "relative"),
        ("mount-point", "/a/../etc"),
        ("mount-point", "~bob/x"),
        ("mount-point", "/a b"),
        ("owner", "root,uid=0"),
        ("credential", "password"),
        ("client-id", "x&resource=y"),
        ("vault-secret", "http://notebooks-kv.vault.azure.net/secrets/x"),
        ("vault-secret", "https://notebooks-kv.vault.azure.net/secrets/x?y"),
        ("server", "a/b"),
        ("port", "0"),
        ("port", "445,guest"),
        ("imds", "file:///etc/shadow"),
        ("patience", "600"),
        ("unknown", "x"),
    ],
)
def test_an_argument_that_is_not_plain_is_refused_by_its_name(name: str, value: str):
    usual = {
        "account": "adasfiles",
        "share": "adas-home",
        "mount-point": "~/userfiles",
        "credential": "key_vault",
        "client-id": "11111111-1111-1111-1111-111111111111",
        "vault-secret": "https://notebooks-kv.vault.azure.net/secrets/adas-key",
    }
    arguments = [word for item in {**usual, name: value}.items() for word in (f"--{item[0]}", item[1])]
    ran = subprocess.run(["bash", SCRIPT, "--optional", *arguments], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert f"--{name}" in ran.stderr or "an argument is unknown" in ran.stderr
