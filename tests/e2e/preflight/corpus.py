"""Which programs there are, and what preflight must say of each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.e2e.node_clients import installed, node22
from tests.e2e.preflight.programs import HERE, Place, Program, app, tool, unprivileged

PYTHON = sys.executable


def _files(place: Place) -> None:
    files = place.home / "files"
    files.mkdir()
    (files / "plan.txt").write_text("secret plan")
    (files / "below").mkdir()


def _page(place: Place) -> None:
    _files(place)
    (place.home / "files" / "index.html").write_text("<title>Welcome</title><h1>It works!</h1>")


def _owned(place: Place) -> None:
    """For programs that will not run as root: what they write is theirs."""
    if os.geteuid() == 0:
        for path in (place.home, *place.home.rglob("*")):
            shutil.chown(path, "nobody", "nogroup")
        for above in place.home.parents[:3]:
            above.chmod(above.stat().st_mode | 0o011)


def _run(place: Place, *words: str, text: str = "") -> None:
    done = subprocess.run(
        (*unprivileged(), tool(words[0]), *words[1:]),
        input=text.encode(),
        check=False,
        capture_output=True,
        cwd=place.home,
        env={**os.environ, **place.own},
        timeout=40,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")


# Web servers


def nginx(place: Place) -> tuple[str, ...]:
    return ("nginx", "-c", str(place.home / "nginx.conf"), "-p", str(place.home), "-e", "stderr")


def _nginx(place: Place) -> None:
    h = place.home
    temporary = "".join(
        f"{name}_temp_path {h}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (h / "nginx.conf").write_text(
        f"daemon off; pid {h}/pid; error_log stderr; worker_processes 1; events {{}}\n"
        f"{'user root;' if os.geteuid() == 0 else ''}\n"
        f"http {{ access_log off; {temporary}\n"
        f"server {{ listen 127.0.0.1:{place.port}; root {h}/files; autoindex on; }} }}\n"
    )


def lighttpd(place: Place) -> tuple[str, ...]:
    return ("lighttpd", "-D", "-f", str(place.home / "lighttpd.conf"))


def _lighttpd(place: Place) -> None:
    (place.home / "lighttpd.conf").write_text(
        'server.modules = ( "mod_dirlisting" )\n'
        f'server.document-root = "{place.home}/files"\n'
        f'server.bind = "127.0.0.1"\nserver.port = {place.port}\n'
        'index-file.names = ( "index.html" )\ndir-listing.activate = "enable"\n'
    )


def apache(place: Place) -> tuple[str, ...]:
    return ("apache2", "-DFOREGROUND", "-f", str(place.home / "apache.conf"))


def _apache(place: Place) -> None:
    h = place.home
    modules = "".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
        for name in ("mpm_event", "authz_core", "dir", "autoindex")
    )
    (h / "apache.conf").write_text(
        f"ServerRoot {h}\nServerName localhost\nListen 127.0.0.1:{place.port}\nPidFile {h}/pid\n"
        f"ErrorLog /dev/stderr\nDefaultRuntimeDir {h}\nMutex posixsem\n{modules}"
        f"DocumentRoot {h}/files\nUser nobody\nGroup nogroup\n"
        f"<Directory {h}/files>\nOptions +Indexes\nRequire all granted\n</Directory>\n"
    )


def python_server(place: Place) -> tuple[str, ...]:
    words = (PYTHON, "-m", "http.server", str(place.port), "--bind", "127.0.0.1")
    return (*words, "--directory", str(place.home / "files"))


def php(place: Place) -> tuple[str, ...]:
    return ("php", "-S", f"127.0.0.1:{place.port}", "-t", str(place.home / "files"))


def both(*steps: object) -> object:
    def prepare(place: Place) -> None:
        for step in steps:
            step(place)  # type: ignore[operator]

    return prepare


# Databases


def _postgresql(method: str) -> object:
    def prepare(place: Place) -> None:
        _owned(place)
        secret = place.home / "password"
        secret.write_text("only the owner knows")
        _owned(place)
        words = ("initdb", "-D", str(place.home / "data"), "-U", "postgres", "--no-sync")
        _run(place, *words, "-A", method, f"--pwfile={secret}")
        # For wherever visitors come from: by itself initdb lets in loopback alone.
        with (place.home / "data" / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all all {method}\n")

    return prepare


def postgresql(place: Place) -> tuple[str, ...]:
    words = ("postgres", "-D", str(place.home / "data"), "-p", str(place.port), "-F")
    return (*words, "-k", str(place.home), "-h", "127.0.0.1")


def _mariadb(password: str) -> object:
    def prepare(place: Place) -> None:
        data = place.home / "data"
        (data / "mysql").mkdir(parents=True)
        _owned(place)
        tables = ("mysql_system_tables.sql", "mysql_system_tables_data.sql")
        sql = "USE mysql;\nSET @auth_root_socket = NULL, @skip_auth_anonymous = 1;\n"
        sql += "".join((Path("/usr/share/mysql") / name).read_text() for name in tables)
        options = ("--no-defaults", "--bootstrap", f"--datadir={data}", "--skip-log-bin")
        _run(place, "mariadbd", *options, text=sql)
        if password:
            (place.home / "init.sql").write_text(
                f"CREATE USER root@'%' IDENTIFIED BY '{password}';\n"
            )
            _owned(place)

    return prepare


def mariadb(place: Place) -> tuple[str, ...]:
    words = ("mariadbd", "--no-defaults", f"--datadir={place.home}/data", "--skip-log-bin")
    init = place.home / "init.sql"
    more = (f"--init-file={init}",) if init.exists() else ("--skip-grant-tables",)
    where = (f"--port={place.port}", "--bind-address=127.0.0.1", f"--socket={place.home}/s")
    return (*words, *where, "--skip-networking=0", *more)


def redis(*options: str) -> object:
    return lambda place: (
        *("redis-server", "--port", str(place.port), "--bind", "127.0.0.1", "--save", ""),
        *("--protected-mode", "no", *options),
    )


# What has an interface of its own


def jupyter(token: str) -> object:
    return lambda place: (
        *(PYTHON, "-m", "jupyter_server", "--allow-root", "--no-browser", "--ip=127.0.0.1"),
        *(f"--port={place.port}", f"--IdentityProvider.token={token}"),
        *("--ServerApp.port_retries=0", f"--ServerApp.root_dir={place.home}"),
    )


def shellinabox(place: Place) -> tuple[str, ...]:
    words = ("shellinaboxd", "-t", "-p", str(place.port), "--localhost-only", "--no-beep")
    return (*words, "-s", "/:nobody:nogroup:/tmp:/bin/true")


def chromium(place: Place) -> tuple[str, ...]:
    words = ("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run")
    profile = f"--user-data-dir={place.home / 'profile'}"
    return (*words, profile, f"--remote-debugging-port={place.port}", "about:blank")


def node(place: Place) -> tuple[str, ...]:
    return ("node", f"--inspect=127.0.0.1:{place.port}", "-e", "setInterval(() => {}, 1e6)")


def node_page(place: Place) -> tuple[str, ...]:
    page = "require('http').createServer((q, a) => a.end('<title>hello</title>'))"
    return ("node", "-e", f"{page}.listen({place.port}, '127.0.0.1')")


def debugpy(place: Place) -> tuple[str, ...]:
    words = (PYTHON, "-m", "debugpy", "--listen", f"127.0.0.1:{place.port}")
    return (*words, "-c", "import time; time.sleep(600)")


def go(name: str) -> object:
    return lambda place: (str(place.home / f"go-{name}"), f"127.0.0.1:{place.port}")


def _go(name: str) -> object:
    def prepare(place: Place) -> None:
        words = (
            tool("go"),
            "build",
            "-o",
            str(place.home / f"go-{name}"),
            str(HERE / f"{name}.go"),
        )
        subprocess.run(words, check=True, capture_output=True, timeout=100)

    return prepare


def etcd(place: Place) -> tuple[str, ...]:
    url = f"http://127.0.0.1:{place.port}"
    clients = ("--listen-client-urls", url, "--advertise-client-urls", url)
    peers = ("--listen-peer-urls", f"http://127.0.0.1:{place.other}")
    return ("etcd", "--data-dir", str(place.home / "data"), *clients, *peers)


def podman_socket(place: Place) -> tuple[str, ...]:
    where = ("--storage-driver=vfs", f"--root={place.home}/r", f"--runroot={place.home}/run")
    return ("podman", *where, "system", "service", "--time=0", f"unix://{place.home}/s")


def podman_port(place: Place) -> tuple[str, ...]:
    where = ("--storage-driver=vfs", f"--root={place.home}/r", f"--runroot={place.home}/run")
    return ("podman", *where, "system", "service", "--time=0", f"tcp:127.0.0.1:{place.port}")


def sshd(place: Place) -> tuple[str, ...]:
    options = (f"-oPidFile={place.home}/pid", "-oListenAddress=127.0.0.1", "-oUsePAM=no")
    return (
        "/usr/sbin/sshd",
        "-D",
        "-f/dev/null",
        f"-h{place.home}/key",
        f"-p{place.port}",
        *options,
    )


def _sshd(place: Place) -> None:
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    words = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place.home / "key"))
    subprocess.run(words, check=True, capture_output=True)


def adminer(place: Place) -> tuple[str, ...]:
    return ("php", "-S", f"127.0.0.1:{place.port}", "-t", "/usr/share/adminer/adminer")


def inspector(setting: str) -> object:
    def start(place: Place) -> tuple[str, ...]:
        home = installed()
        launcher = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
        ports = (f"CLIENT_PORT={place.port}", f"SERVER_PORT={place.other}")
        quiet = ("MCP_AUTO_OPEN_ENABLED=false", "MCP_INSPECTOR_SECRET_STORE=memory")
        return ("env", *ports, *quiet, setting, node22(home), str(home / launcher))

    return start


def _program(name: str, start: object, *finds: str, **more: object) -> Program:
    return Program(name, start, finds, **more)  # type: ignore[arg-type]


TCP = "tcp://127.0.0.1:{port}"

DANGEROUS = (
    # Shells and notebooks
    _program("shellinabox", shellinabox, "shell-shellinabox"),
    _program("jupyter", jupyter(""), "notebook-jupyter"),
    # Debuggers
    app("flask-debug", "debugger-werkzeug"),
    app("werkzeug-console", "debugger-werkzeug"),
    app("django-debug", "debugger-django"),
    _program("chromium", chromium, "debugger-devtools"),
    _program("node-inspect", node, "debugger-devtools"),
    _program("debugpy", debugpy, "debugger-debugpy", origin=TCP),
    _program("debugpy-as-web", debugpy, "debugger-debugpy"),
    _program("go-pprof", go("pprof"), "debugger-pprof", prepare=_go("pprof")),
    # Databases
    _program("redis", redis(), "database-redis", origin=TCP),
    _program("redis-as-web", redis(), "database-redis"),
    _program(
        "memcached",
        lambda place: ("memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", str(place.port)),
        "database-memcached",
        origin=TCP,
    ),
    _program(
        "postgresql-trust",
        postgresql,
        "database-postgresql",
        origin=TCP,
        prepare=_postgresql("trust"),
        drops=True,
    ),
    _program("mariadb", mariadb, "database-mysql", origin=TCP, prepare=_mariadb(""), drops=True),
    _program("etcd", etcd, "database-etcd"),
    _program("adminer", adminer, "admin-adminer"),
    # Machines
    _program(
        "podman-socket", podman_socket, "machine-docker", origin="unix://{home}/s", ready="socket"
    ),
    _program("podman-port", podman_port, "machine-docker", origin=TCP),
    # Files
    _program("python-files", python_server, "files-listed", prepare=_files),
    _program("nginx-files", nginx, "files-listed", prepare=both(_files, _nginx)),
    _program("lighttpd-files", lighttpd, "files-listed", prepare=both(_files, _lighttpd)),
    _program("apache-files", apache, "files-listed", prepare=both(_files, _apache, _owned)),
    _program("go-files", go("files"), "files-listed", prepare=both(_files, _go("files"))),
    # What agents are run by
    _program("npm-inspector", inspector("DANGEROUSLY_OMIT_AUTH=true"), "agent-mcp-inspector"),
    # MCP servers, in every era
    app("mcp-sessions", "mcp-tools"),
    app("mcp-sessionless", "mcp-tools"),
    app("mcp-stateless", "mcp-tools"),
    app("mcp-events", "mcp-tools"),
)

HARMLESS = (
    app("one-page"),
    app("about-werkzeug"),
    app("tools-json"),
    app("json-rpc"),
    app("flask-plain"),
    app("django-plain"),
    app("fastapi-login"),
    app("starlette-login"),
    app("aiohttp-redirect"),
    app("mcp-token"),
    app("metrics"),
    _program("npm-inspector-token", inspector("NODE_ENV=production")),
    _program("jupyter-token", jupyter("only-the-owner-knows")),
    _program("python-page", python_server, prepare=_page),
    _program("nginx-page", nginx, prepare=both(_page, _nginx)),
    _program("lighttpd-page", lighttpd, prepare=both(_page, _lighttpd)),
    _program("apache-page", apache, prepare=both(_page, _apache, _owned)),
    _program("php-page", php, prepare=_page),
    _program("node-page", node_page),
    _program("go-page", go("files"), prepare=both(_page, _go("files"))),
    _program("redis-password", redis("--requirepass", "only-the-owner-knows"), origin=TCP),
    _program(
        "postgresql-scram",
        postgresql,
        origin=TCP,
        prepare=_postgresql("scram-sha-256"),
        drops=True,
    ),
    _program(
        "mariadb-password", mariadb, origin=TCP, prepare=_mariadb("only the owner"), drops=True
    ),
    _program("sshd", sshd, origin=TCP, prepare=_sshd),
    _program("web-as-tcp", node_page, origin=TCP),
)
