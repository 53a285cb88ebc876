"""Azure Files' SMB side as a test needs it: Samba on loopback that takes nothing but SMB 3.1.1 with encryption."""

import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from support.emulator import wait_until

UNIX_USERS = ("games", "news", "mail", "uucp")
"""Each account of Azure's is one of these of Debian's; Samba wants one that is there."""

CONFIG = """
[global]
server role = standalone server
interfaces = lo
bind interfaces only = yes
smb ports = {port}
disable netbios = yes
server min protocol = SMB3_11
smb encrypt = required
map to guest = never
load printers = no
username map = {folder}/users
passdb backend = tdbsam:{folder}/passwords
private dir = {folder}
lock directory = {folder}
state directory = {folder}
cache directory = {folder}
pid directory = {folder}
ncalrpc dir = {folder}
log file = {folder}/log
"""


class FileServer:
    """One smbd; accounts and shares are Azure's, a share is its account's alone."""

    def __init__(self, accounts: dict[str, str], shares: dict[str, str]) -> None:
        """Starts it.

        Args:
            accounts: their keys.
            shares: their accounts.
        """
        # Not the test's own folder: other users must get in.
        self.folder = Path(tempfile.mkdtemp(prefix="smb-"))
        self.folder.chmod(0o755)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        users = dict(zip(accounts, UNIX_USERS, strict=False))
        config = CONFIG.format(port=self.port, folder=self.folder)
        for share, account in shares.items():
            place = self.folder / share
            place.mkdir()
            shutil.chown(place, users[account])
            config += f"[{share}]\npath = {place}\nread only = no\nvalid users = {users[account]}\n"
        self.config = self.folder / "smb.conf"
        self.config.write_text(config)
        (self.folder / "users").write_text("".join(f"{unix} = {account}\n" for account, unix in users.items()))
        for account, key in accounts.items():
            command = ["smbpasswd", "-c", str(self.config), "-s", "-a", users[account]]
            subprocess.run(command, input=f"{key}\n{key}\n", text=True, check=True, capture_output=True)
        self._process = subprocess.Popen(
            ["smbd", "--foreground", "--configfile", str(self.config)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until(self._answers)

    def __enter__(self) -> "FileServer":
        """The server itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends it."""
        self._process.terminate()
        self._process.wait(20)
        shutil.rmtree(self.folder)

    def sessions(self) -> str:
        """What smbstatus tells of who is connected, and how."""
        command = ["smbstatus", "--configfile", str(self.config), "--processes"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
