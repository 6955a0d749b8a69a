"""The Hub's state, and who may do what with it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from .faults import FaultPlan
from .store import Commit, Repo, Store
from .wire import HubError, Request

BAD_TOKEN = "Invalid credentials in Authorization header"  # the client compares this very text


@dataclass(frozen=True)
class Account:
    """A token, whose it is, and whether it may `write` or only `read`."""

    user: str
    role: str
    token: str


@dataclass(frozen=True)
class Settings:
    """Sizes that a test makes small, so that small files exercise what large ones do."""

    page_size: int = 1000
    multipart_threshold: int = 1 << 30
    part_size: int = 16 << 20


@dataclass
class Hub:
    store: Store
    accounts: Iterable[Account]
    defaults: Settings
    endpoint: str
    # Files come from another host name than the pages, so that the client must drop its token on the way.
    storage: str
    settings: Settings = field(init=False)
    faults: FaultPlan = field(default_factory=FaultPlan)
    log: list[dict[str, object]] = field(default_factory=list)
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def __post_init__(self) -> None:
        self.settings = self.defaults

    def account(self, request: Request) -> Account | None:
        """Who asks; nobody without a token. An unknown token is refused even where none is needed."""
        header = request.headers.get("Authorization")
        if header is None:
            return None
        for account in self.accounts:
            if hmac.compare_digest(header.encode(), f"Bearer {account.token}".encode()):
                return account
        raise HubError(401, BAD_TOKEN)

    def readable(self, request: Request, kind: str, repo_id: str) -> Repo:
        """The repository, if the asker may know of it: a private one looks just like a missing one."""
        account = self.account(request)
        repo = self.store.find(kind, repo_id)
        if repo is not None and (not repo.private or (account and account.user == repo.owner)):
            return repo
        if account is None:
            raise HubError(401, "Invalid username or password.", "RepoNotFound")
        raise HubError(404, "Repository not found", "RepoNotFound")

    def downloadable(self, request: Request, kind: str, repo_id: str) -> Repo:
        """The repository, if the asker may have its files: those of a gated one are for its owner."""
        repo = self.readable(request, kind, repo_id)
        account = self.account(request)
        if repo.gated and (account is None or account.user != repo.owner):
            status = 401 if account is None else 403
            raise HubError(status, f"Access to {repo.id} is restricted.", "GatedRepo")
        return repo

    def writer(self, request: Request) -> Account:
        account = self.account(request)
        if account is None:
            raise HubError(401, "Invalid username or password.", "RepoNotFound")
        if account.role != "write":
            raise HubError(403, "You must use a token with the write role for this.")
        return account

    def writable(self, request: Request, kind: str, repo_id: str, proposal: bool = False) -> Repo:
        """The repository, if the asker may change it, or with `proposal` only open a pull request."""
        repo = self.readable(request, kind, repo_id)
        if self.writer(request).user != repo.owner and not proposal:
            raise HubError(403, f"You have no right to write to {repo.id}.")
        return repo

    def commit(self, repo: Repo, revision: str) -> Commit:
        commit = self.store.resolve(repo, revision)
        if commit is None:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    def sign(self, path: str) -> str:
        """A link to the file storage that carries its own permission."""
        return f"{self.storage}{path}?signature={self._signature(path)}"

    def check_signature(self, request: Request) -> None:
        given = request.query.get("signature", [""])[0]
        if not hmac.compare_digest(given.encode(), self._signature(request.path).encode()):
            raise HubError(403, "SignatureDoesNotMatch")

    def _signature(self, path: str) -> str:
        return hmac.new(self._key, path.encode(), hashlib.sha256).hexdigest()
