"""The local Hub, seen through the real client and, where that hides the protocol, over bare HTTP."""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple

import huggingface_hub
import pytest
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hub import card
from hub.actions import (
    call,
    commits,
    create,
    delete,
    download,
    failure,
    files,
    load_card,
    mismatches,
    propose,
    push_card,
    put,
    put_at_once,
    refs,
    snapshot,
    upload,
)
from hub.client import Client
from hub.faults import Fault
from hub.fixtures import LocalHub, RawFile, running

REPO = "alice/model"
MEGABYTE = 1 << 20
# The card's own push and check went to the live site before version 2.2, whatever HF_ENDPOINT said.
CARD_HONOURS_ENDPOINT = tuple(map(int, huggingface_hub.__version__.split(".")[:2])) >= (2, 2)


# --- Helpers --------------------------------------------------------------------------


class People:
    """A process for each token, for all tests of this module; the client's home folder is emptied for each test."""

    def __init__(self, hub: LocalHub, homes: Path) -> None:
        self.hub, self.homes = hub, homes
        self._started: dict[str | None, Client] = {}

    def home(self, token: str | None) -> Path:
        return self.homes / str(token)

    def __call__(self, token: str | None = None) -> Client:
        if token not in self._started:
            self._started[token] = self.hub.client(self.home(token), token)
        return self._started[token]

    def forget(self) -> None:
        """What the clients have kept."""
        for home in self.homes.iterdir():
            shutil.rmtree(home)


@pytest.fixture(scope="module")
def started(hub_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    local = LocalHub(hub_server)
    yield People(local, tmp_path_factory.mktemp("homes"))
    local.close()


@pytest.fixture
def client_of(hub: LocalHub, started: People) -> People:
    """Gives the process of who has a token, or of somebody without one."""
    started.forget()
    return started


@pytest.fixture
def writer(hub: LocalHub, client_of: People) -> Client:
    """A client of the user who owns `REPO`, which exists and is empty."""
    client = client_of(hub.writer.token)
    client(create, REPO)
    return client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder: a card, a configuration, weights, something nested, something empty."""
    folder = tmp_path / "folder"
    contents = {
        "README.md": b"---\nlicense: mit\nlibrary_name: ali-plugin\n---\n# Model\n",
        "config.json": b'{"latent": 64}\n',
        "model.safetensors": noise(300_000),
        "samples/first.png": noise(5_000),
        "empty.txt": b"",
    }
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def read(root: Path) -> dict[str, bytes]:
    """What a folder holds, apart from the client's notes and what every repository begins with."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".cache" not in path.parts and path.name != ".gitattributes"
    }


def visits(hub: LocalHub, method: str, part: str) -> list[dict[str, Any]]:
    return [entry for entry in hub.log() if entry["method"] == method and part in entry["path"]]


class Page(NamedTuple):
    status: int
    headers: Message
    content: bytes


def fetch(
    hub: LocalHub,
    path: str,
    method: str = "GET",
    body: bytes | Iterator[bytes] | None = None,
    headers: dict[str, str] | None = None,
) -> Page:
    """A bare request, redirects not followed; a `body` that is an iterator is sent in chunks."""
    connection = http.client.HTTPConnection(hub.endpoint.removeprefix("http://"), timeout=10)
    with closing(connection):
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return Page(response.status, response.headers, response.read())


def post(hub: LocalHub, path: str, value: object) -> Page:
    return fetch(hub, path, "POST", json.dumps(value).encode(), bearer(hub))


def commit(hub: LocalHub, *files: dict[str, str]) -> Page:
    """A commit as it is, without the client's attempts to spare it."""
    lines: list[object] = [{"key": "header", "value": {"summary": "Raw"}}]
    lines += [{"key": "file", "value": file} for file in files]
    body = b"\n".join(json.dumps(line).encode() for line in lines)
    return fetch(hub, f"/api/models/{REPO}/commit/main", "POST", body, bearer(hub))


def bearer(hub: LocalHub) -> dict[str, str]:
    return {"Authorization": f"Bearer {hub.writer.token}"}


def local(link: str) -> str:
    """The path of a link to the Hub or its storage."""
    return "/" + link.split("/", 3)[3]


def cached_blobs(home: Path) -> list[Path]:
    return [path for path in home.rglob("blobs/*") if path.is_file()]


# --- Publishing and fetching -----------------------------------------------------------------------


def test_a_folder_becomes_one_commit_and_comes_back_identical(
    client_of: People, writer: Client, folder: Path, tmp_path: Path
) -> None:
    uploaded = writer(upload, REPO, folder)
    assert writer(commits, REPO) == ["Upload folder using huggingface_hub", "initial commit"]
    anybody = client_of()
    found = anybody(snapshot, REPO)
    assert found.name == uploaded
    assert read(found) == read(folder)
    assert read(anybody(snapshot, REPO, local_dir=tmp_path / "local")) == read(folder)


def test_an_unchanged_folder_makes_no_second_commit(hub: LocalHub, writer: Client, folder: Path) -> None:
    first = writer(upload, REPO, folder)
    assert writer(upload, REPO, folder) == first
    assert len(visits(hub, "POST", "/commit/")) == 1
    (folder / "config.json").write_text('{"latent": 128}\n')
    assert writer(upload, REPO, folder) != first
    assert len(writer(commits, REPO)) == 3
    # The weights were there already: they are neither sent nor named again.
    assert len(visits(hub, "PUT", "/_storage/")) == 1


def test_files_are_stored_as_the_repository_says(writer: Client, folder: Path) -> None:
    writer(upload, REPO, folder)
    rows = {row.path: row for row in writer(call, "get_paths_info", REPO, ["model.safetensors", "config.json"])}
    weights = (folder / "model.safetensors").read_bytes()
    assert rows["model.safetensors"].lfs.sha256 == hashlib.sha256(weights).hexdigest()
    assert rows["model.safetensors"].size == len(weights)
    assert rows["config.json"].lfs is None
    content = (folder / "config.json").read_bytes()
    assert rows["config.json"].blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def test_the_tree_tells_who_changed_what_last(writer: Client) -> None:
    first = writer(put, REPO, "samples/first.txt", b"1")
    second = writer(put, REPO, "samples/second.txt", b"2")
    writer(put, REPO, "config.json", b"{}")
    rows = writer(call, "get_paths_info", REPO, ["samples", "samples/first.txt", "absent"], expand=True)
    assert {row.path: row.last_commit.oid for row in rows} == {"samples": second, "samples/first.txt": first}


def test_the_other_kinds_of_repository(hub: LocalHub, writer: Client, folder: Path, tmp_path: Path) -> None:
    writer(call, "create_repo", "numbers", repo_type="dataset")
    writer(upload, "alice/numbers", folder, repo_type="dataset")
    found = writer(call, "snapshot_download", "alice/numbers", repo_type="dataset")
    assert read(Path(found)) == read(folder)
    assert writer(call, "dataset_info", "alice/numbers").id == "alice/numbers"
    assert writer(files, REPO) == [".gitattributes"]  # the model is another repository


@pytest.mark.parametrize("parts", [1, 4])
def test_large_files_go_up_whole_or_in_parts(hub: LocalHub, writer: Client, parts: int) -> None:
    content = noise(100_000)
    if parts > 1:
        hub.configure(multipart_threshold=50_000, part_size=30_000)
    writer(put, REPO, "model.safetensors", content)
    assert writer(download, REPO, "model.safetensors") == content
    puts = visits(hub, "PUT", "/_storage/")
    assert len(puts) == parts
    assert len(visits(hub, "POST", "/_storage/uploads/")) == (parts > 1)
    assert len(visits(hub, "POST", "/objects/verify")) == 1
    # The storage is another host: links carry their permission, and the token stays with the Hub.
    assert not any(entry["authorized"] for entry in hub.log() if entry["path"].startswith("/_storage/"))
    assert all(entry["authorized"] for entry in visits(hub, "POST", "/api/"))


def test_fifty_megabytes_resume_where_the_connection_broke(hub: LocalHub, writer: Client, tmp_path: Path) -> None:
    content = noise(50 * MEGABYTE)
    writer(put, REPO, "model.safetensors", content)
    hub.inject(Fault("cut", "^/_storage/", method="GET", nth=(1,), at=25 * MEGABYTE))
    assert writer(download, REPO, "model.safetensors") == content
    # The client keeps what it received in pieces of ten megabytes.
    assert [entry["range"] for entry in visits(hub, "GET", "/_storage/")] == [None, f"bytes={20 * MEGABYTE}-"]


def test_deletions(writer: Client, folder: Path) -> None:
    writer(upload, REPO, folder)
    writer(delete, REPO, "config.json")
    writer(delete, REPO, "samples/")
    assert writer(files, REPO) == [".gitattributes", "README.md", "empty.txt", "model.safetensors"]
    with pytest.raises(EntryNotFoundError, match="doesn't exist"):
        writer(delete, REPO, "config.json")


def test_concurrent_commits_all_count(writer: Client) -> None:
    names = [f"{number}.txt" for number in range(8)]
    writer(put_at_once, REPO, names)
    assert writer(files, REPO) == [".gitattributes", *names]
    assert len(writer(commits, REPO)) == 9


def test_long_listings_come_in_pages(hub: LocalHub, writer: Client, folder: Path) -> None:
    writer(upload, REPO, folder)
    hub.configure(page_size=2)
    assert writer(files, REPO) == sorted([".gitattributes", *read(folder)])
    assert len(visits(hub, "GET", "/tree/")) == 4  # six files and a folder
    hub.configure(page_size=1)
    assert len(writer(commits, REPO)) == 2


# --- Who may do what -------------------------------------------------------------------------------


def test_a_private_repository_exists_for_its_owner_only(hub: LocalHub, client_of: People) -> None:
    owner = client_of(hub.writer.token)
    owner(create, REPO, private=True)
    owner(put, REPO, "secret.txt", b"secret")
    assert owner(call, "whoami")["name"] == "alice"
    reader = client_of(hub.reader.token)
    assert reader(download, REPO, "secret.txt") == b"secret"
    with pytest.raises(HfHubHTTPError, match="403"):
        reader(put, REPO, "mine.txt", b"")
    nobody = client_of()
    stranger = client_of(hub.stranger.token)
    for outsider in (nobody, stranger):
        with pytest.raises(RepositoryNotFoundError):
            outsider(download, REPO, "secret.txt")
        with pytest.raises(RepositoryNotFoundError):
            outsider(call, "auth_check", REPO)
        assert not outsider(call, "repo_exists", REPO)
    owner(call, "update_repo_settings", REPO, private=False)
    assert nobody(download, REPO, "secret.txt") == b"secret"


def test_an_unknown_token_is_refused_even_for_public_files(client_of: People, writer: Client) -> None:
    writer(put, REPO, "public.txt", b"public")
    forger = client_of("hf_invented")
    with pytest.raises(HfHubHTTPError, match="401") as caught:
        forger(download, REPO, "public.txt")
    assert not isinstance(caught.value, RepositoryNotFoundError)
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        forger(call, "whoami")


def test_creating_and_deleting(hub: LocalHub, writer: Client) -> None:
    with pytest.raises(HfHubHTTPError, match="409"):
        writer(create, REPO)
    assert writer(create, REPO, exist_ok=True) == f"{hub.endpoint}/{REPO}"
    with pytest.raises(HfHubHTTPError, match="403"):
        writer(create, "bob/model")
    writer(call, "delete_repo", REPO)
    with pytest.raises(RepositoryNotFoundError):
        writer(files, REPO)


def test_files_of_a_gated_repository_are_for_its_owner(hub: LocalHub, client_of: People, writer: Client) -> None:
    writer(put, REPO, "gated.txt", b"gated")
    writer(call, "update_repo_settings", REPO, gated="manual")
    stranger = client_of(hub.stranger.token)
    with pytest.raises(GatedRepoError):
        stranger(call, "auth_check", REPO)
    assert stranger(call, "model_info", REPO).gated == "manual"
    assert writer(download, REPO, "gated.txt") == b"gated"


# --- Revisions -------------------------------------------------------------------------------------


def test_tags_branches_and_commits(writer: Client) -> None:
    first = writer(put, REPO, "config.json", b"first")
    writer(call, "create_tag", REPO, tag="v1.0")
    writer(call, "create_branch", REPO, branch="next/one")
    writer(put, REPO, "config.json", b"next", revision="next/one")
    writer(put, REPO, "config.json", b"second")
    revisions = {None: b"second", "v1.0": b"first", first: b"first", first[:7]: b"first", "next/one": b"next"}
    assert {revision: writer(download, REPO, "config.json", revision) for revision in revisions} == revisions
    assert writer(refs, REPO) == {"branches": ["main", "next/one"], "tags": ["v1.0"], "pull_requests": []}
    with pytest.raises(HfHubHTTPError, match="409"):
        writer(call, "create_tag", REPO, tag="v1.0")
    writer(call, "create_tag", REPO, tag="v1.0", exist_ok=True)
    writer(call, "delete_tag", REPO, tag="v1.0")
    writer(call, "delete_branch", REPO, branch="next/one")
    assert writer(refs, REPO) == {"branches": ["main"], "tags": [], "pull_requests": []}
    with pytest.raises(RevisionNotFoundError):
        writer(call, "model_info", REPO, revision="v1.0")
    with pytest.raises(EntryNotFoundError):
        writer(download, REPO, "absent.txt")


def test_a_stranger_can_only_propose(hub: LocalHub, client_of: People, writer: Client) -> None:
    writer(put, REPO, "config.json", b"old")
    stranger = client_of(hub.stranger.token)
    with pytest.raises(HfHubHTTPError, match="403"):
        stranger(put, REPO, "config.json", b"new")
    revision, proposed = stranger(propose, REPO, "config.json", b"new")
    assert revision == "refs/pr/1"
    assert stranger(download, REPO, "config.json", revision) == b"new"
    assert stranger(snapshot, REPO, revision).name == proposed
    assert writer(download, REPO, "config.json") == b"old"
    assert writer(refs, REPO)["pull_requests"] == ["1"]
    assert writer(commits, REPO, revision) == ["Propose", "Add config.json", "initial commit"]


def test_a_commit_on_a_stale_parent_is_refused(writer: Client) -> None:
    old = writer(put, REPO, "config.json", b"1")
    new = writer(put, REPO, "config.json", b"2", parent_commit=old)
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as caught:
        writer(put, REPO, "config.json", b"3", parent_commit=old)
    assert caught.value.response.status_code == 412
    writer(put, REPO, "config.json", b"3", parent_commit=new)


# --- Cards -----------------------------------------------------------------------------------------

GOOD_CARD = """---
license: mit
library_name: ali-plugin
tags: [ali]
model-index:
- name: ali-cifar10
  results:
  - task: {type: image-generation}
    dataset: {type: cifar10, name: CIFAR-10}
    metrics:
    - {type: fid, value: 30.5}
---
# A card
"""


def test_a_card_is_published_read_and_shown(writer: Client) -> None:
    if CARD_HONOURS_ENDPOINT:
        writer(push_card, REPO, GOOD_CARD)
    else:
        writer(put, REPO, "README.md", GOOD_CARD.encode())
    assert writer(load_card, REPO)["license"] == "mit"
    info = writer(call, "model_info", REPO, files_metadata=True)
    assert info.card_data.eval_results[0].metric_value == 30.5
    assert set(info.tags) == {"ali-plugin", "ali", "license:mit"}
    assert {file.rfilename: file.size for file in info.siblings}["README.md"] == len(
        writer(download, REPO, "README.md")
    )


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("license: my-own", '"license" (=my-own)'),
        ("license: 3", '"license" must be a string or a list'),
        ("tags: ali", None),
        ("tags: [1]", '"tags" must be'),
        ("- a list", "must be a mapping"),
        ("a: [", "not YAML"),
        ("model-index: {}", '"model-index" must be a list'),
        ("model-index: [{name: x}]", '"model-index[0].results" must be present'),
        (
            "model-index: [{name: x, results: [{task: {type: t}, metrics: [{type: fid}]}]}]",
            "metrics[0].value",
        ),
    ],
)
def test_cards_that_the_hub_refuses(data: str, complaint: str | None) -> None:
    try:
        found = card.problems(card.metadata(f"---\n{data}\n---\n# A card\n"))
    except card.CardError as error:
        found = [str(error)]
    assert len(found) == (complaint is not None)
    assert complaint is None or complaint in found[0]


def test_a_bad_card_stops_a_push_before_anything_is_sent(hub: LocalHub, writer: Client, folder: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: my-own\n---\n")
    with pytest.raises(ValueError, match="license identifiers"):
        writer(upload, REPO, folder)
    assert not visits(hub, "PUT", "/_storage/")
    assert writer(commits, REPO) == ["initial commit"]


# --- Faults ----------------------------------------------------------------------------------------


def test_a_passing_failure_is_tried_again(hub: LocalHub, writer: Client) -> None:
    faults = {
        "unavailable": Fault("status", "/preupload/", nth=(1,), status=503),
        "busy": Fault("status", "/preupload/", nth=(1,), status=429, headers={"Retry-After": "0"}),
        "dropped": Fault("drop", "/preupload/", nth=(1,)),
        "reset": Fault("drop", "/preupload/", nth=(1,), reset=True),
    }
    for name, fault in faults.items():
        hub.inject(fault)
        writer(put, REPO, name, b"")
    statuses = [entry["status"] for entry in visits(hub, "POST", "/preupload/")]
    assert statuses == [503, 200, 429, 200, None, 200, None, 200]
    assert writer(files, REPO) == sorted([".gitattributes", *faults])


def test_a_lasting_failure_is_reported(hub: LocalHub, writer: Client) -> None:
    hub.inject(Fault("status", "/commit/|/api/models/", status=500))
    with pytest.raises(HfHubHTTPError, match="500"):
        writer(call, "model_info", REPO)
    hub.inject(Fault("status", "/commit/", status=412))
    with pytest.raises(HfHubHTTPError, match="412"):
        writer(put, REPO, "config.json", b"{}")
    hub.inject()
    assert writer(commits, REPO) == ["initial commit"]


def test_a_lost_answer_hides_a_commit_that_happened(hub: LocalHub, writer: Client) -> None:
    hub.inject(Fault("lose", "/commit/"))
    assert writer(failure, put, REPO, "config.json", b"{}")[0] == "RemoteProtocolError"
    hub.inject()
    assert writer(commits, REPO)[0] == "Add config.json"
    writer(put, REPO, "config.json", b"{}")
    assert len(writer(commits, REPO)) == 2


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        (Fault("cut", "^/_storage/", at=1000, reset=True), "ReadError"),
        (Fault("truncate", "^/_storage/", at=1000), "OSError"),
    ],
    ids=["reset", "truncated"],
)
def test_a_broken_download_leaves_no_broken_cache(
    hub: LocalHub, client_of: People, writer: Client, fault: Fault, raised: str
) -> None:
    content = noise(200_000)
    writer(put, REPO, "model.safetensors", content)
    hub.inject(fault)
    assert writer(failure, download, REPO, "model.safetensors")[0] == raised
    assert cached_blobs(client_of.home(hub.writer.token)) == []
    hub.inject()
    assert writer(download, REPO, "model.safetensors") == content


def test_the_client_does_not_notice_a_corrupt_byte(hub: LocalHub, writer: Client) -> None:
    content = noise(200_000)
    writer(put, REPO, "model.safetensors", content)
    hub.inject(Fault("corrupt", "^/_storage/", at=70_000))
    found = writer(download, REPO, "model.safetensors")
    assert [at for at in range(len(content)) if found[at] != content[at]] == [70_000]
    assert writer(mismatches, REPO) == ["model.safetensors"]
    hub.inject()
    assert writer(download, REPO, "model.safetensors") == found  # and it stays in the cache
    assert writer(download, REPO, "model.safetensors", force_download=True) == content
    assert writer(mismatches, REPO) == []


def test_connections_can_be_dropped_and_answers_delayed(hub: LocalHub) -> None:
    path = "/api/models/alice/model"
    hub.write(REPO, {"config.json": RawFile(b"{}")})
    hub.inject(Fault("drop", path, nth=(1,)), Fault("drop", path, nth=(2,), reset=True), Fault("delay", seconds=0.3))
    with pytest.raises(http.client.RemoteDisconnected):
        fetch(hub, path)
    with pytest.raises(ConnectionResetError):
        fetch(hub, path)
    begin = time.monotonic()
    assert fetch(hub, path).status == 200
    assert time.monotonic() - begin >= 0.3
    assert [entry["status"] for entry in hub.log()] == [None, None, 200]


def test_a_fault_that_does_not_exist_is_refused(hub: LocalHub) -> None:
    page = post(hub, "/_control/faults", [{"action": "explode"}])
    assert page.status == 400
    assert b"explode" in page.content
    assert post(hub, "/_control/faults", [{"action": "cut", "offset": 3}]).status == 400


# --- Without a network, and with a hostile one -----------------------------------------------------


def test_offline_serves_what_is_cached(hub: LocalHub, client_of: People, writer: Client, folder: Path) -> None:
    writer(upload, REPO, folder)
    writer(snapshot, REPO)
    offline = hub.client(client_of.home(hub.writer.token), HF_HUB_OFFLINE="1")
    before = len(hub.log())
    assert read(offline(snapshot, REPO)) == read(folder)
    assert offline(download, REPO, "config.json") == (folder / "config.json").read_bytes()
    with pytest.raises(LocalEntryNotFoundError):
        offline(download, REPO, "absent.txt")
    assert len(hub.log()) == before


def test_hostile_names_reach_the_client_as_they_are(hub: LocalHub, client_of: People, tmp_path: Path) -> None:
    victim = client_of()
    for number, name in enumerate(["../escaped.txt", "a/../../escaped.txt", f"{tmp_path}/escaped.txt"]):
        repo = f"mallory/{number}"
        hub.write(repo, {name: RawFile(b"hostile")})
        assert name in victim(call, "list_repo_files", repo)
        with pytest.raises(ValueError, match="Invalid filename"):
            victim(call, "snapshot_download", repo, local_dir=tmp_path / "local")
    assert not list(tmp_path.rglob("escaped.txt"))


def test_an_lfs_file_may_lie_about_its_size(hub: LocalHub, writer: Client) -> None:
    hub.write(REPO, {"model.safetensors": RawFile(b"small", lfs=True, size=10 * MEGABYTE)})
    assert writer(call, "get_paths_info", REPO, "model.safetensors")[0].size == 10 * MEGABYTE
    assert writer(failure, download, REPO, "model.safetensors")[0] == "OSError"


# --- The protocol itself ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "status", "content"),
    [
        (None, 200, b"0123456789"),
        ("bytes=3-", 206, b"3456789"),
        ("bytes=3-5", 206, b"345"),
        ("bytes=-4", 206, b"6789"),
        ("bytes=8-99", 206, b"89"),
        ("bytes=10-", 416, b""),
        ("lines=1-2", 200, b"0123456789"),
    ],
)
def test_ranges(hub: LocalHub, wanted: str | None, status: int, content: bytes) -> None:
    written = hub.write(REPO, {"digits.txt": RawFile(b"0123456789")})
    headers = {} if wanted is None else {"Range": wanted}
    response = fetch(hub, f"/{REPO}/resolve/main/digits.txt", headers=headers)
    assert (response.status, response.content) == (status, content)
    if status != 416:
        assert response.headers["X-Repo-Commit"] == written
    head = fetch(hub, f"/{REPO}/resolve/main/digits.txt", "HEAD", headers=headers)
    assert (head.status, head.headers["Content-Length"]) == (status, str(len(content)))


def test_storage_links_cannot_be_invented(hub: LocalHub) -> None:
    hub.write(REPO, {"model.safetensors": RawFile(b"weights", lfs=True)})
    page = fetch(hub, f"/{REPO}/resolve/main/model.safetensors")
    assert page.status == 302
    link = local(page.headers["Location"])
    assert fetch(hub, link).content == b"weights"
    assert fetch(hub, link.split("?")[0]).status == 403
    assert fetch(hub, link[:-1]).status == 403


def test_the_log_never_holds_a_token(hub: LocalHub, writer: Client) -> None:
    writer(put, REPO, "model.safetensors", noise(1000))
    log = json.dumps(hub.log())
    assert '"authorized": true' in log
    assert hub.writer.token not in log
    assert "signature" not in log


def test_the_storage_takes_only_what_was_announced(hub: LocalHub) -> None:
    hub.write(REPO, {})
    content = noise(3 * MEGABYTE)
    announced = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}
    batch = post(hub, f"/{REPO}.git/info/lfs/objects/batch", {"objects": [announced]})
    link = local(json.loads(batch.content)["objects"][0]["actions"]["upload"]["href"])
    assert fetch(hub, link, "PUT", b"something else").status == 400
    assert post(hub, f"/{REPO}.git/info/lfs/objects/verify", announced).status == 422
    with closing(http.client.HTTPConnection(hub.endpoint.removeprefix("http://"))) as interrupted:
        interrupted.putrequest("PUT", link)
        interrupted.putheader("Content-Length", str(len(content)))
        interrupted.endheaders(content[:-1])
    assert post(hub, f"/{REPO}.git/info/lfs/objects/verify", announced).status == 422
    pieces = (content[at : at + 70_001] for at in range(0, len(content), 70_001))
    assert fetch(hub, link, "PUT", pieces).status == 200
    assert post(hub, f"/{REPO}.git/info/lfs/objects/verify", announced).status == 200


def test_a_commit_that_changes_nothing_is_a_commit(hub: LocalHub) -> None:
    hub.write(REPO, {"empty.txt": RawFile(b"")})
    made = [commit(hub, *changes) for changes in ([{"path": "empty.txt", "content": ""}], [])]
    history = json.loads(fetch(hub, f"/api/models/{REPO}/commits/main").content)
    assert [entry["id"] for entry in history[1::-1]] == [json.loads(page.content)["commitOid"] for page in made]
    assert len(history) == 4


@pytest.mark.parametrize("path", ["../up.txt", "/absolute.txt", "a//b.txt", ".git/config", "a\\b.txt"])
def test_a_commit_cannot_leave_the_repository(hub: LocalHub, path: str) -> None:
    hub.write(REPO, {})
    page = commit(hub, {"path": path, "content": ""})
    assert page.status == 400
    assert b"Invalid path" in page.content


def test_a_refused_request_leaves_the_connection_usable(hub: LocalHub) -> None:
    hub.write(REPO, {"digits.txt": RawFile(b"0123456789")})
    with closing(http.client.HTTPConnection(hub.endpoint.removeprefix("http://"), timeout=10)) as connection:
        connection.request("POST", f"/api/models/{REPO}/commit/main", noise(100_000))
        refused = connection.getresponse()
        assert (refused.status, refused.headers["X-Error-Code"]) == (401, "RepoNotFound")
        refused.read()
        connection.request("GET", f"/{REPO}/resolve/main/digits.txt")
        assert connection.getresponse().read() == b"0123456789"


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    content = noise(1000)
    with running(tmp_path / "root") as address:
        written = LocalHub(address).write(REPO, {"model.bin": RawFile(content, lfs=True)})
    with running(tmp_path / "root") as address:
        hub = LocalHub(address)
        page = fetch(hub, f"/{REPO}/resolve/{written[:10]}/model.bin")
        assert fetch(hub, local(page.headers["Location"])).content == content


def test_the_environment_holds_nothing_of_the_users(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "https_proxy"):
        monkeypatch.setenv(name, "theirs")
    env = hub.env(tmp_path, HF_HUB_ETAG_TIMEOUT="3")
    assert "theirs" not in env.values()
    assert (env["HF_ENDPOINT"], env["HF_HOME"], env["HF_HUB_ETAG_TIMEOUT"]) == (
        hub.endpoint,
        str(tmp_path),
        "3",
    )
    assert hub.env(tmp_path, "hf_mine")["HF_TOKEN"] == "hf_mine"
