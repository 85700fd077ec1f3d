"""ssh -R: OpenSSH with a server of our own on a high port; nothing outside the scratch folder."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from pathlib import Path

from bench.origins import find
from bench.peers.base import Address, Peer, Tunnel, Workplace
from bench.processes import free_port, listens
from bench.visitor import Door

SERVER = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/client_key.pub
PidFile {folder}/sshd.pid
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
GatewayPorts clientspecified
ClientAliveInterval 15
ClientAliveCountMax 2
MaxStartups 100
"""
CLIENT = """
IdentityFile {folder}/client_key
IdentitiesOnly yes
UserKnownHostsFile {folder}/known_hosts
StrictHostKeyChecking accept-new
BatchMode yes
ExitOnForwardFailure yes
ServerAliveInterval 15
ServerAliveCountMax 2
LogLevel ERROR
"""


class Ssh(Peer):
    name = "ssh -R"
    note = "OpenSSH, link encrypted; ends when its link is lost"

    def __init__(self, workplace: Workplace) -> None:
        super().__init__(workplace)
        self.port = free_port()
        self.folder = workplace.path("ssh")

    @classmethod
    def missing(cls) -> str | None:
        absent = next((name for name in ("sshd", "ssh", "ssh-keygen") if not find(name)), None)
        return f"{absent} is missing: apt-get install openssh-server" if absent else None

    def start_server(self) -> None:
        if not self.folder.exists():
            self._prepare()
        # sshd refuses to start under a relative name.
        sshd = find("sshd") or "/usr/sbin/sshd"
        self.server = self.program("sshd", sshd, "-D", "-e", "-f", str(self.folder / "sshd_config"))
        self.server.wait_until(lambda: listens(*self.link_address))

    @property
    def link_address(self) -> Address:
        return "127.0.0.1", self.port

    def start_client(self, origin_port: int, link: Address) -> Tunnel:
        port = free_port()
        forward = f"127.0.0.1:{port}:127.0.0.1:{origin_port}"
        options = "-F", str(self.folder / "ssh_config"), "-p", str(link[1]), "-N", "-R", forward
        ssh = shutil.which("ssh") or "ssh"
        client = self.program("ssh", ssh, *options, f"{getpass.getuser()}@{link[0]}")
        return Tunnel(Door("127.0.0.1", port), client)

    def _prepare(self) -> None:
        self.folder.mkdir()
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        for key in ("host_key", "client_key"):
            kind = "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / key)
            subprocess.run(["ssh-keygen", *kind], check=True, stdin=subprocess.DEVNULL)
        for name, text in (("sshd_config", SERVER), ("ssh_config", CLIENT)):
            (self.folder / name).write_text(text.format(port=self.port, folder=self.folder))
