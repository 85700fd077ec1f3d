"""Settings from files: which files, what is in them, and which of them wins.

Option > variable (``UNDERPASS_OPEN__RELAY``) > project file > user's file > default. The project
file is ``underpass.toml``, or ``[tool.underpass]`` in ``pyproject.toml``, in the working directory
or the nearest directory above it up to the project's root; the user's is
``underpass.toml`` in the configuration directory, or the file that ``UNDERPASS_CONFIG`` names. All
mistakes of all files are told together.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import msgspec

from underpass.api.places import config_dir
from underpass.cli.errors import ExposureBeyondPolicy, SettingsInvalid
from underpass.cli.projects import excess
from underpass.cli.tables import TABLES
from underpass.model.errors_run import ForeignOwner, LooseMode
from underpass.model.nearest import or_nearest

FILE = "underpass.toml"
SIZE_LIMIT = 256 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """One file that has settings for us."""

    path: Path
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By table, then by setting as the file names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the files say, checked."""

    user: Source
    project: Source | None

    def defaults(self, table: str) -> dict[str, Any]:
        """Values by the names of click's parameters, the project's before the user's."""
        own = self.project.tables.get(table, {}) if self.project else {}
        merged = {**self.user.tables.get(table, {}), **own}
        return {name.replace("-", "_"): value for name, value in merged.items()}


def load_settings(
    directory: Path | None = None, environ: Mapping[str, str] = os.environ
) -> Settings:
    """Read the files that are there.

    Raises ``SettingsInvalid`` with every mistake, ``ExposureBeyondPolicy`` for a project file that
    goes too far, ``ForeignOwner`` and ``LooseMode`` for a file that others can write.
    """
    mistakes: list[str] = []
    user_path = _user_path(environ)
    user = _read(user_path, mistakes) if user_path.is_file() else Source(user_path)
    project = None
    if (found := _project_path(directory or Path.cwd(), user_path)) is not None:
        project = _read(found, mistakes)
        if "projects" in project.tables:
            mistakes.append(f"{found}: [projects] is the user's own and belongs in {user_path}")
    if mistakes:
        raise SettingsInvalid("; ".join(mistakes))
    may = frozenset(user.tables.get("projects", {}).get("may", ()))
    own = user.tables.get("open", {})
    if project is not None and (wishes := excess(project.tables, may, own)):
        raise ExposureBeyondPolicy(str(project.path), "; ".join(wishes), str(user_path))
    return Settings(user, project)


class SettingsCommand(click.Command):
    """A command whose options have defaults in a table of the files.

    Variables are named ``UNDERPASS_`` + table + ``__`` + option. Help is shown whatever the files
    say.
    """

    def __init__(self, *args: Any, table: str, **kwargs: Any) -> None:
        prefix = "UNDERPASS_" + table.upper().replace(".", "__") + "_"
        kwargs["context_settings"] = {"auto_envvar_prefix": prefix}
        super().__init__(*args, **kwargs)
        self.table = table

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        ours = args[: args.index("--")] if "--" in args else args
        # Nor does completion need them: a file with a mistake would be told at each Tab.
        if not {"-h", "--help"}.intersection(ours) and not extra.get("resilient_parsing"):
            self._refuse_strange_variables(os.environ)
            extra["default_map"] = load_settings().defaults(self.table)
        return super().make_context(info_name, args, parent, **extra)

    def _refuse_strange_variables(self, environ: Mapping[str, str]) -> None:
        """A variable that sets nothing was meant to: as a file's setting, it is told."""
        prefix = f"{self.context_settings['auto_envvar_prefix']}_"
        known = {
            str(param.name).upper()
            for param in self.params
            if isinstance(param, click.Option) and param.allow_from_autoenv
        }
        given = [name.removeprefix(prefix) for name in environ if name.startswith(prefix)]
        mistakes = [
            f"{prefix}{name[:64]} is no setting{or_nearest(name, known)}"
            for name in sorted(given)
            if name not in known
        ]
        if mistakes:
            raise SettingsInvalid("; ".join(mistakes))


def _user_path(environ: Mapping[str, str]) -> Path:
    named = environ.get("UNDERPASS_CONFIG")
    return Path(named) if named else config_dir(environ) / FILE


def _project_path(directory: Path, user_path: Path) -> Path | None:
    for place in (directory, *directory.parents):
        for path in (place / FILE, place / "pyproject.toml"):
            if path.is_file() and path != user_path and _is_ours(path):
                return path
        if (place / ".git").exists() or place == Path.home():
            break
    return None


def _is_ours(path: Path) -> bool:
    if path.name == FILE:
        return True
    return b"[tool.underpass" in path.read_bytes()[:SIZE_LIMIT]


def _read(path: Path, mistakes: list[str]) -> Source:
    _require_trusted(path)
    try:
        text = path.read_bytes()
        if len(text) > SIZE_LIMIT:
            raise ValueError(f"is longer than {SIZE_LIMIT} bytes")
        document = tomllib.loads(text.decode())
    except (OSError, ValueError) as error:
        mistakes.append(f"{path}: {error}")
        return Source(path)
    if path.name == "pyproject.toml":
        document = document.get("tool", {}).get("underpass", {})
    tables: dict[str, Mapping[str, Any]] = {}
    for name, content in _tables(document, path, mistakes):
        try:
            tables[name] = msgspec.to_builtins(msgspec.convert(content, TABLES[name]))
        except msgspec.ValidationError as error:
            mistakes.append(f"{path}: [{name}] {str(error)[:1].lower()}{str(error)[1:]}")
    return Source(path, tables)


def _tables(
    document: Mapping[str, Any], path: Path, mistakes: list[str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, content in document.items():
        nested = isinstance(content, dict) and name not in TABLES
        inner = {f"{name}.{key}": value for key, value in content.items()} if nested else {}
        for table, value in (inner or {name: content}).items():
            if table in TABLES and isinstance(value, dict):
                yield table, value
            else:
                mistakes.append(f"{path}: {table} is no table of settings")


def _require_trusted(path: Path) -> None:
    found = path.stat()
    if found.st_uid not in (os.getuid(), 0):
        raise ForeignOwner(str(path), found.st_uid)
    if found.st_mode & 0o002:
        raise LooseMode(str(path), f"{found.st_mode & 0o7777:04o}", "o-w")
