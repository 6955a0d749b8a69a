"""Pytest fixtures: a server for the session, an empty Hub for every test.

def test_push(hub: LocalHub, tmp_path: Path) -> None:
    env = hub.env(tmp_path, hub.writer.token)          # for a command in a process of its own
    subprocess.run(["ali", "push", "run", "alice/model"], env=env, check=True)
    client = hub.client(tmp_path, hub.reader.token)    # or for a function of this module
    assert client(files_of, "alice/model") == [...]
    hub.inject(Fault("status", "/commit/", status=412))
    assert hub.log()[-1]["status"] == 200
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from .client import TESTS, Client
from .faults import Fault
from .hub import Account

WRITER = Account("alice", "write", "hf_alice_may_write")
READER = Account("alice", "read", "hf_alice_may_read")
STRANGER = Account("bob", "write", "hf_bob_may_write")


@dataclass(frozen=True)
class RawFile:
    """Content for `LocalHub.write`; `size` is what an LFS file claims, None for the truth."""

    content: bytes
    lfs: bool = False
    size: int | None = None


@dataclass
class LocalHub:
    """A Hub to test against. `writer` and `reader` are one user's tokens, `stranger` is another user."""

    endpoint: str
    writer: Account = WRITER
    reader: Account = READER
    stranger: Account = STRANGER
    _clients: list[Client] = field(default_factory=list)

    def env(self, home: Path, token: str | None = None, **extra: str) -> dict[str, str]:
        """The environment of a process whose Hub this is; nothing of the user's own setup leaks in."""
        foreign = re.compile(r"(HF_|HUGGING).*|.*_PROXY", re.IGNORECASE)
        ours = {name: value for name, value in os.environ.items() if not foreign.fullmatch(name)}
        ours["HF_ENDPOINT"] = self.endpoint
        ours["HF_HOME"] = str(home)
        for switch in ("DISABLE_XET", "DISABLE_TELEMETRY", "DISABLE_PROGRESS_BARS"):
            ours[f"HF_HUB_{switch}"] = "1"
        if token is not None:
            ours["HF_TOKEN"] = token
        return {**ours, **extra}

    def client(self, home: Path, token: str | None = None, **extra: str) -> Client:
        """A process to run client code in; it ends with the test."""
        client = Client(self.env(home, token, **extra))
        self._clients.append(client)
        return client

    def inject(self, *faults: Fault) -> None:
        """Make these the faults in force; without arguments, none."""
        self._control("faults", [asdict(fault) for fault in faults])

    def log(self) -> list[dict[str, Any]]:
        """The requests so far: method, path, query, status (None: no answer), authorized, range."""
        log: list[dict[str, Any]] = self._control("log")
        return log

    def configure(self, **settings: int) -> None:
        """Change fields of `hub.Settings` until the next reset."""
        self._control("settings", settings)

    def write(self, repo: str, files: Mapping[str, RawFile], kind: str = "models") -> str:
        """Commit files unchecked, creating the repository if need be; returns the commit's id."""
        given = {
            path: {"content": base64.b64encode(file.content).decode(), "lfs": file.lfs, "size": file.size}
            for path, file in files.items()
        }
        commit: str = self._control("write", {"kind": kind, "repo": repo, "files": given})["commit"]
        return commit

    def reset(self) -> None:
        """Forget all repositories, faults, settings and the log."""
        self._control("reset", {})

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def _control(self, name: str, value: object = None) -> Any:
        data = None if value is None else json.dumps(value).encode()
        with urllib.request.urlopen(f"{self.endpoint}/_control/{name}", data, timeout=30) as response:
            return json.load(response)


@contextmanager
def running(root: Path, *options: str) -> Iterator[str]:
    """The address of a server process that ends with the block."""
    command = [sys.executable, "-m", "hub.server", "--root", str(root), *options]
    for account in (WRITER, READER, STRANGER):
        command += ["--account", f"{account.user}:{account.role}:{account.token}"]
    with subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            if not address:
                raise RuntimeError(f"The Hub did not start: exit status {process.wait()}")
            yield address
        finally:
            process.kill()


@pytest.fixture(scope="session")
def hub_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that runs as long as the session."""
    with running(tmp_path_factory.mktemp("hub")) as address:
        yield address


@pytest.fixture
def hub(hub_server: str) -> Iterator[LocalHub]:
    """An empty Hub."""
    hub = LocalHub(hub_server)
    hub.reset()
    try:
        yield hub
    finally:
        hub.close()


@pytest.fixture(scope="module")
def writer_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home folder of ``writer``."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def writer(hub_server: str, writer_home: Path) -> Iterator[Client]:
    """A process of alice, who may write, for all tests of a module."""
    local = LocalHub(hub_server)
    yield local.client(writer_home, local.writer.token)
    local.close()


@pytest.fixture(scope="module")
def anybody(hub_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A process of somebody without a token, for all tests of a module; give each load a ``cache_dir`` of its own."""
    local = LocalHub(hub_server)
    yield local.client(tmp_path_factory.mktemp("anybody"))
    local.close()
