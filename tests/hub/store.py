"""Repositories on disk: settings and refs in one JSON file, every commit in a file of its own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from .blobs import Blobs, git_oid, pointer

REPO_ID = re.compile(r"[A-Za-z0-9][\w-]*/[A-Za-z0-9_][\w.-]{0,95}")
SHORT_OID = re.compile("[0-9a-f]{7,40}")
MAIN = "refs/heads/main"

# As in every new repository of the Hub, a .gitattributes decides which files go through LFS.
LFS_PATTERNS = (
    *("*.bin", "*.ckpt", "*.gz", "*.npy", "*.npz", "*.onnx", "*.pickle", "*.pkl", "*.pt", "*.pth"),
    *("*.safetensors", "*.tar", "*.tar.*", "*.zip", "*tfevents*"),
)
GITATTRIBUTES = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS).encode()


@dataclass(frozen=True)
class File:
    """A file of a commit. `size` is what the Hub says it is: a hostile repository may lie."""

    sha256: str
    size: int
    oid: str
    lfs: bool


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str | None
    author: str
    title: str
    message: str
    date: str
    tree: Mapping[str, File]


@dataclass
class Repo:
    kind: str
    id: str
    private: bool
    gated: str | bool = False
    created: str = ""
    refs: dict[str, str] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        return self.id.split("/")[0]

    @property
    def page(self) -> str:
        """The repository's own path on the site."""
        return f"/{self.id}" if self.kind == "models" else f"/{self.kind}/{self.id}"


class Store:
    """Everything the server keeps. Hold `lock` around reading a repository and changing it."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.blobs = Blobs(root / "blobs")
        self.lock = threading.RLock()

    def clear(self) -> None:
        with self.lock:
            for folder in self.root.iterdir():
                shutil.rmtree(folder)

    def find(self, kind: str, repo_id: str) -> Repo | None:
        # An id that nobody could have created names nothing, and must not become a path.
        if not REPO_ID.fullmatch(repo_id):
            return None
        path = self._folder(kind, repo_id) / "repo.json"
        return Repo(**json.loads(path.read_text())) if path.exists() else None

    def create(self, kind: str, repo_id: str, private: bool = False) -> Repo:
        """A new repository with the first commit that the Hub makes in each."""
        repo = Repo(kind, repo_id, private, created=now())
        tree = {".gitattributes": self.add_file(GITATTRIBUTES)}
        self.commit(repo, MAIN, None, tree, author="system", title="initial commit")
        return repo

    def save(self, repo: Repo) -> None:
        write_json(self._folder(repo.kind, repo.id) / "repo.json", asdict(repo))

    def delete(self, repo: Repo) -> None:
        shutil.rmtree(self._folder(repo.kind, repo.id))

    def add_file(self, content: bytes) -> File:
        return File(self.blobs.add([content]), len(content), git_oid(content), lfs=False)

    def lfs_file(self, sha256: str, size: int) -> File:
        """A stored content as an LFS file that says it has `size` bytes."""
        return File(sha256, size, git_oid(pointer(sha256, size)), lfs=True)

    def commit(
        self,
        repo: Repo,
        ref: str,
        parent: Commit | None,
        tree: Mapping[str, File],
        author: str,
        title: str,
        message: str = "",
    ) -> Commit:
        """Record `tree` as a commit on `parent` and move `ref` to it."""
        record = {
            "parent": parent and parent.oid,
            "author": author,
            "title": title,
            "message": message,
            "date": now(),
            "tree": {path: asdict(file) for path, file in tree.items()},
        }
        oid = hashlib.sha1(json.dumps(record, sort_keys=True).encode()).hexdigest()
        write_json(self._folder(repo.kind, repo.id) / "commits" / f"{oid}.json", record)
        repo.refs[ref] = oid
        self.save(repo)
        return self.load(repo, oid)

    def load(self, repo: Repo, oid: str) -> Commit:
        record = json.loads((self._folder(repo.kind, repo.id) / "commits" / f"{oid}.json").read_text())
        record["tree"] = {path: File(**file) for path, file in record["tree"].items()}
        return Commit(oid=oid, **record)

    def resolve(self, repo: Repo, revision: str) -> Commit | None:
        """The commit that a branch, a tag, a full ref or the beginning of a commit's id stands for."""
        for ref in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if ref in repo.refs:
                return self.load(repo, repo.refs[ref])
        if SHORT_OID.fullmatch(revision):
            matches = list((self._folder(repo.kind, repo.id) / "commits").glob(f"{revision}*.json"))
            if len(matches) == 1:
                return self.load(repo, matches[0].stem)
        return None

    def history(self, repo: Repo, commit: Commit) -> Iterator[Commit]:
        """`commit` and its ancestors, newest first."""
        while True:
            yield commit
            if commit.parent is None:
                return
            commit = self.load(repo, commit.parent)

    def _folder(self, kind: str, repo_id: str) -> Path:
        return self.root / "repos" / kind / repo_id


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write_json(path: Path, value: object) -> None:
    """Write a file that a reader finds whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(value, indent=1))
    os.replace(draft, path)
