"""The origins all peers share: a TCP origin and an nginx that answers 1 KiB from memory."""

from __future__ import annotations

import shutil
import sys
from functools import partial
from pathlib import Path

from bench.processes import Program, free_port, listens

NGINX = """
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log crit;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  default_type text/plain;
  keepalive_requests 1000000000;
  keepalive_timeout 3600;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /bulk {{ root {folder}; sendfile on; }}
    location / {{ return 200 "{body}"; }}
  }}
}}
"""


BULK_PATH = "/bulk"
BULK_SIZE = 1 << 30
"""The bulk body is a sparse file: a GiB of zeros that takes no room."""


def missing() -> str | None:
    """Why the origins cannot run here, or None."""
    for program, package in (("nginx", "nginx-light"), ("wrk", "wrk")):
        if find(program) is None:
            return f"{program} is missing: apt-get install {package}"
    return None


def find(program: str) -> str | None:
    """The program's path; system programs are found without sbin in PATH, too."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")


class Origins:
    """Both origins, running until `stop`."""

    def __init__(self, folder: Path) -> None:
        self.tcp_port = free_port()
        self.http_port = free_port()
        config = folder / "nginx.conf"
        config.write_text(NGINX.format(folder=folder, port=self.http_port, body="x" * 1024))
        with (folder / "bulk").open("wb") as bulk:
            bulk.truncate(BULK_SIZE)
        tcp = [sys.executable, str(Path(__file__).with_name("tcp_origin.py")), str(self.tcp_port)]
        nginx = [find("nginx") or "nginx", "-c", str(config), "-e", str(folder / "nginx.err")]
        self._programs: list[Program] = []
        try:
            for argv, port in ((tcp, self.tcp_port), (nginx, self.http_port)):
                program = Program(argv, folder / f"origin-{port}.log")
                self._programs.append(program)
                program.wait_until(partial(listens, "127.0.0.1", port))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        for program in self._programs:
            program.stop()
