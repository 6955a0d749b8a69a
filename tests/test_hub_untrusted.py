"""A Hub that lies, dawdles or breaks: what it answers is checked before it is used, and every wait has an end."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ali_plugin import ALI, ALIError
from ali_plugin.errors import HubError
from ali_plugin.hub.download import split_id
from conftest import program
from hub.blobs import git_oid
from hub.client import Client
from hub.faults import Action, Fault
from hub.fixtures import LocalHub, RawFile
from hub_tasks import ali, in_haste, load, refusal
from several import each

pytestmark = pytest.mark.usefixtures("hub")  # an empty Hub without faults for every test
REPO = "alice/model"
SLOW = pytest.mark.slow  # the client tries again for half a minute


@pytest.fixture(scope="module")
def writer(writer: Client) -> Client:
    """One that has started: what is timed is the upload alone."""
    writer(ali, "--version")
    return writer


@pytest.fixture
def published(hub: LocalHub, untrained_once: Path) -> str:
    """The commit of a model in ``REPO``."""
    return hub.write(REPO, {path.name: RawFile(path.read_bytes(), path.suffix == ".safetensors")
                            for path in untrained_once.iterdir()})  # fmt: skip


def outside(folder: Path) -> set[str]:
    """All that lies beside a cache, not in it."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_relative_to(folder / "cache")}


def weights_in(cache: Path) -> list[Path]:
    """Files of a cache as large as weights; the client makes and removes small ones beside them, also meanwhile."""
    found = []
    for folder, _, names in os.walk(cache):  # which passes over what has gone
        for path in (Path(folder, name) for name in names):
            with suppress(FileNotFoundError):
                if path.stat().st_size > 10_000:
                    found.append(path)
    return found


# --- Names that are paths ---------------------------------------------------------------------------

PATHS = ("../../../../escaped", "/tmp/ali-escaped", "..", ".", "a/b", "a\\b", "~", "x" * 300, "a b", "%2e%2e%2f")


BAD_REVISIONS = ["../../x", "a/../../x", "..", "/abs", "a//b", ".hidden", "a/.b", "x.lock", "a/", "x\0y", "x\ny",
                 "a\\..\\b", "C:\\x", "x" * 300, "a..b", "~", "-x"]  # fmt: skip


@pytest.mark.parametrize("revision", BAD_REVISIONS)
def test_revisions_that_are_paths(hub: LocalHub, anybody: Client, tmp_path: Path, revision: str) -> None:
    with pytest.raises(HubError, match=r"is no (revision|Hub id)"):
        split_id(REPO, revision)
    with pytest.raises(ALIError):
        anybody(load, REPO, revision=revision, cache_dir=tmp_path / "cache")
    assert anybody(ali, "pull", f"{REPO}@{revision}", "--out", tmp_path / "pulled").code == 1
    assert anybody(ali, "push", "--revision", revision, tmp_path, REPO).code == 1
    assert hub.log() == []
    assert outside(tmp_path) == set()


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/1", "feature/x_y-z", "0" * 40, "a@b", "issue#3"])
def test_revisions_that_are_none_but_names(revision: str) -> None:
    assert split_id(REPO, revision) == (REPO, revision)


@pytest.mark.parametrize("header", ["ETag", "X-Linked-ETag", "X-Repo-Commit"])
@pytest.mark.parametrize("value", PATHS)
def test_headers_that_are_paths(
    hub: LocalHub, anybody: Client, published: str, tmp_path: Path, header: str, value: str
) -> None:
    text = f'"{value}"' if "ETag" in header else value
    hub.inject(Fault("headers", "/resolve/", headers={header: text}))
    said = anybody(refusal, REPO, cache_dir=tmp_path / "cache")
    assert "the Hub names a" in said
    assert len(said) < 500
    assert outside(tmp_path) == set()
    assert weights_in(tmp_path / "cache") == []
    assert not Path("/tmp/ali-escaped").exists()
    hub.inject()
    assert anybody(load, REPO, cache_dir=tmp_path / "cache")


@pytest.mark.parametrize("value", [*PATHS, "", "0" * 39, "A" * 40, None, 7, ["0" * 40], "0" * 40 + "\n"])
def test_commits_of_the_listing_that_are_none(
    hub: LocalHub, anybody: Client, published: str, tmp_path: Path, value: Any
) -> None:
    hub.inject(Fault("body", "/api/models/", content=json.dumps({"id": REPO, "sha": value, "siblings": []})))
    assert "the Hub names a commit" in anybody(refusal, REPO, cache_dir=tmp_path / "cache")
    assert "error:" in anybody(ali, "push", tmp_path, REPO).err
    assert outside(tmp_path) == set()
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_another_commit_than_the_listing_s(hub: LocalHub, anybody: Client, published: str, tmp_path: Path) -> None:
    hub.inject(Fault("headers", "/resolve/", headers={"X-Repo-Commit": "0" * 40}))
    assert "another commit" in anybody(refusal, REPO, cache_dir=tmp_path / "cache")
    hub.inject(Fault("body", "/api/models/", content=json.dumps({"id": REPO, "sha": "1" * 40, "siblings": []})))
    assert "was asked for" in anybody(refusal, REPO, revision=published, cache_dir=tmp_path / "cache")


@pytest.mark.parametrize("size", ["0", "3", "18446744073709551615", "-1", "many"])
def test_a_size_that_is_not_the_listing_s(
    hub: LocalHub, anybody: Client, published: str, tmp_path: Path, size: str
) -> None:
    hub.inject(Fault("headers", "/resolve/.*/model.safetensors", headers={"X-Linked-Size": size}))
    said = anybody(refusal, REPO, cache_dir=tmp_path / "cache")
    assert "model.safetensors has" in said
    assert "its listing" in said
    assert weights_in(tmp_path / "cache") == []
    hub.inject()
    assert anybody(load, REPO, cache_dir=tmp_path / "cache")


# --- Digests always ---------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["abc-1", "no-digest", "0" * 32, "0" * 64, "f" * 40])
@pytest.mark.parametrize("fault", ["corrupt", "truncate", "sound"])
def test_tags_that_are_no_digest(
    hub: LocalHub, anybody: Client, published: str, untrained_once: Path, tmp_path: Path, tag: str, fault: str
) -> None:
    cache = tmp_path / "cache"
    headers = Fault("headers", "/resolve/.*/model.safetensors", method="HEAD", headers={"X-Linked-ETag": f'"{tag}"'})
    if fault == "sound":
        hub.inject(headers)
        assert anybody(load, REPO, cache_dir=cache) == load(untrained_once)
        assert anybody(load, REPO, cache_dir=cache, local_files_only=True) == load(untrained_once)
        (weights,) = weights_in(cache)[:1]
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.resolve().write_bytes(content)
        assert "was damaged and is removed" in anybody(refusal, REPO, cache_dir=cache, local_files_only=True)
        assert weights_in(cache) == []
        return
    hub.inject(headers, Fault("corrupt" if fault == "corrupt" else "truncate", "^/_storage/", at=70_000))
    assert "run it again" in anybody(refusal, REPO, cache_dir=cache)
    assert weights_in(cache) == []
    assert "is not complete in the cache" in anybody(refusal, REPO, cache_dir=cache, local_files_only=True)
    hub.inject(headers)
    assert anybody(load, REPO, cache_dir=cache) == load(untrained_once)


def listed(model: Path, **changes: Any) -> str:
    """A listing of a model's files in which the weights' row is changed."""
    rows = [{"rfilename": path.name, "size": path.stat().st_size, "blobId": git_oid(path.read_bytes())}
            for path in model.iterdir()]  # fmt: skip
    rows = [{**row, **(changes if row["rfilename"] == "model.safetensors" else {})} for row in rows]
    return json.dumps({"id": REPO, "sha": "2" * 40, "siblings": rows})


BAD_ROWS: list[dict[str, Any]] = [
    {"size": None}, {"size": -1}, {"size": "7"}, {"size": 1e300}, {"size": 1 << 62}, {"blobId": None},
    {"blobId": "../x"}, {"blobId": "0" * 41}, {"blobId": 7}, {"lfs": {"size": 1, "sha256": "x", "pointerSize": 1}},
    {"lfs": {"size": None, "sha256": "0" * 64, "pointerSize": 1}}, {"lfs": {}, "blobId": "X" * 40},
    {"lfs": 7}, {"rfilename": None}, {"rfilename": ["x"]},
]  # fmt: skip


@pytest.mark.parametrize("row", BAD_ROWS, ids=str)
def test_rows_of_the_listing_that_cannot_be_checked(
    hub: LocalHub, anybody: Client, published: str, untrained_once: Path, tmp_path: Path, row: dict[str, Any]
) -> None:
    hub.inject(Fault("body", "/api/models/", content=listed(untrained_once, **row)))
    said = anybody(refusal, REPO, cache_dir=tmp_path / "cache")
    assert "\n" not in said
    assert weights_in(tmp_path / "cache") == []


def test_killed_before_the_check_leaves_nothing_damaged(
    hub: LocalHub, anybody: Client, published: str, untrained_once: Path, tmp_path: Path
) -> None:
    """The content is compared on its way, so that there is no time in which the cache holds what is damaged."""
    hub.inject(Fault("corrupt", "^/_storage/", at=70_000), Fault("delay", "^/_storage/", seconds=0.2))
    for wait in (0.1, 0.4, 0.8):
        env = hub.env(tmp_path / "home")
        code = "import sys; from ali_plugin import ALI; ALI.from_pretrained(sys.argv[1])"
        process = subprocess.Popen([sys.executable, "-c", code, REPO], env=env, stderr=subprocess.DEVNULL)
        while not any("_storage" in entry["path"] for entry in hub.log()) and process.poll() is None:
            time.sleep(0.02)
        time.sleep(wait)
        process.kill()
        process.wait()
        whole = [path for path in weights_in(tmp_path / "home" / "hub") if "incomplete" not in path.name]
        assert whole == []
    hub.inject()
    assert anybody(load, REPO, cache_dir=tmp_path / "home" / "hub") == load(untrained_once)


def test_a_cut_download_is_continued_and_checked(hub: LocalHub, anybody: Client, tmp_path: Path) -> None:
    ALI.from_architecture("fashion", latent_size=3000).save_pretrained(tmp_path / "big")
    files = {path.name: RawFile(path.read_bytes(), path.suffix == ".safetensors")
             for path in (tmp_path / "big").iterdir()}  # fmt: skip
    assert len(files["model.safetensors"].content) > 25 << 20
    hub.write(REPO, files)
    hub.inject(Fault("cut", "^/_storage/", method="GET", nth=(1,), at=15 << 20),
               Fault("corrupt", "^/_storage/", method="GET", nth=(2,), at=100))  # fmt: skip
    assert anybody(load, REPO, cache_dir=tmp_path / "cache") == load(tmp_path / "big")
    assert [entry["range"] for entry in hub.log() if "_storage" in entry["path"]][:3] == [None, "bytes=10485760-", None]


def test_records_from_elsewhere_are_not_believed(
    hub: LocalHub, published: str, untrained_once: Path, tmp_path: Path
) -> None:
    own = hub.client(tmp_path / "home", ALI_CACHE=str(tmp_path / "own"))
    cache = tmp_path / "cache"
    own(load, REPO, cache_dir=cache)
    (record,) = (tmp_path / "own" / "hub").iterdir()
    (weights,) = weights_in(cache)[:1]
    blob = weights.resolve()
    content, times = bytearray(blob.read_bytes()), blob.stat()
    content[-1] ^= 1
    blob.write_bytes(content)
    os.utime(blob, ns=(times.st_atime_ns, times.st_mtime_ns))  # which anybody can set
    assert "was damaged" in own(refusal, REPO, cache_dir=cache, local_files_only=True)
    for text in ("", "{", "[]", "{}", '{"model.safetensors": 3}', '{"model.safetensors": ["../x", 1, 1, 1, 1, 1]}',
                 "[" * 9000, "\ufeff{}", '{"model.safetensors": [null, 1, 1, 1, 1, 1]}', "x" * (2 << 20)):  # fmt: skip
        record.write_text(text)
        assert own(load, REPO, cache_dir=cache) == load(untrained_once)
    record.unlink()
    record.mkdir()
    assert own(load, REPO, cache_dir=cache) == load(untrained_once)


def test_a_branch_that_lost_its_commit_with_the_power_is_mended(
    anybody: Client, published: str, untrained_once: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    anybody(load, REPO, cache_dir=cache)
    (branch,) = cache.rglob("refs/main")
    assert branch.read_text() == published
    branch.write_text("")
    assert "which it is not; remove" in anybody(refusal, REPO, cache_dir=cache, local_files_only=True)
    assert anybody(load, REPO, cache_dir=cache) == load(untrained_once)
    assert branch.read_text() == published


def test_a_cache_that_cannot_be_compared(hub: LocalHub, anybody: Client, published: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    anybody(load, REPO, cache_dir=cache)
    (pointer,) = cache.rglob("snapshots/*/model.safetensors")
    content = pointer.read_bytes()
    pointer.unlink()
    pointer.write_bytes(content)  # as on file systems without links
    fresh = hub.client(tmp_path / "home", ALI_CACHE=str(tmp_path / "fresh"))
    assert "nothing tells what" in fresh(refusal, REPO, cache_dir=cache, local_files_only=True)
    fresh(load, REPO, cache_dir=cache)
    assert fresh(load, REPO, cache_dir=cache, local_files_only=True)


# --- Bounded time and memory ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.json", "README.md", "training.json", "samples.png"])
def test_files_that_are_too_large_are_not_fetched(
    hub: LocalHub, anybody: Client, published: str, tmp_path: Path, name: str
) -> None:
    hub.write(REPO, {name: RawFile(b"x", lfs=True, size=2 << 30)})
    assert f"{name} has 2147483648 bytes" in anybody(refusal, REPO, cache_dir=tmp_path / "cache")
    assert not [entry for entry in hub.log() if "/resolve/" in entry["path"]]


def test_a_file_that_goes_on_beyond_its_size(hub: LocalHub, anybody: Client, published: str, tmp_path: Path) -> None:
    hub.inject(Fault("endless", "/resolve/.*config.json", content="{" * 60))
    assert "sends more than" in anybody(refusal, REPO, cache_dir=tmp_path / "cache")
    hub.inject(Fault("endless", "^/_storage/", content="{" * 60))
    assert "sends more than" in anybody(refusal, REPO, cache_dir=tmp_path / "other")
    assert weights_in(tmp_path / "other") == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault("endless", "/api/models/", content="[" * 60),
        Fault("headers", "/api/models/", headers={"Content-Length": str(1 << 40)}),
        Fault("headers", "/api/models/", headers={"Content-Length": "9" * 5000}),
        Fault("headers", "/api/models/", headers={"Content-Encoding": "gzip"}),
        Fault("body", "/api/models/", content="[" * 1_000_000),
        Fault("body", "/api/models/", content='{"siblings": 7}'),
        Fault("body", "/api/models/", content="\0"),
        Fault("status", "/api/models/", status=302, headers={"Location": "/api/models/alice/model"}),
        Fault("status", "/resolve/", status=302, headers={"Location": "/alice/model/resolve/main/config.json"}),
        Fault("status", "/api/models/", status=429, headers={"Retry-After": "86400"}),
        Fault("status", "/resolve/", status=429, headers={"Retry-After": "86400"}),
        Fault("status", "/resolve/", status=503, headers={"Retry-After": "9" * 5000}),
        Fault("status", "/resolve/", status=429, headers={"RateLimit": '"api";r=0;t=86400'}),
        Fault("status", "^/_storage/", status=429, headers={"Retry-After": "86400"}),
    ],
    ids=lambda fault: f"{fault.action} {fault.path} {str(dict(fault.headers))[:40]} {fault.content[:9]!r}",
)
def test_answers_without_an_end(hub: LocalHub, anybody: Client, published: str, tmp_path: Path, fault: Fault) -> None:
    hub.inject(fault)
    begun = time.monotonic()
    said = anybody(refusal, REPO, cache_dir=tmp_path / "cache")
    assert time.monotonic() - begun < 20
    assert "\n" not in said
    assert len(said) < 700


@pytest.mark.parametrize(
    "fault",
    [
        Fault("delay", "/api/models/", seconds=100),
        Fault("delay", "/resolve/.*config.json", method="HEAD", seconds=100),
        Fault("delay", "/resolve/.*config.json", method="GET", seconds=100),
        Fault("trickle", "/api/models/", seconds=1),
        Fault("trickle", "/resolve/.*config.json", seconds=1),
    ],
    ids=lambda fault: f"{fault.action} {fault.method} {fault.path}",
)
@pytest.mark.slow
def test_a_hub_that_never_answers(hub: LocalHub, published: str, tmp_path: Path, fault: Fault) -> None:
    hub.inject(fault)
    env = hub.env(tmp_path / "home")
    begun = time.monotonic()
    command = [*program(), "pull", REPO, "--out", str(tmp_path / "pulled")]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=150)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("error: ")
    assert time.monotonic() - begun < 100
    assert not (tmp_path / "pulled").exists()


def storing(action: Action, **more: Any) -> Fault:
    """What goes wrong with an upload."""
    return Fault(action, "^/_storage/", method="PUT", **more)


@pytest.mark.parametrize(
    "faults",
    [
        [storing("status", status=307, headers={"Location": "/_storage/again"})],
        [storing("status", status=503, headers={"Retry-After": "0"})],
        [storing("drop")],
        [storing("lose")],
        [storing("delay", seconds=3), storing("status", status=500)],
    ],
    ids=lambda faults: " ".join(fault.action for fault in faults),
)
def test_an_upload_that_is_asked_for_again_and_again_has_an_end(
    hub: LocalHub, writer: Client, untrained: Path, faults: list[Fault]
) -> None:
    hub.inject(*faults)
    begun = time.monotonic()
    ended = writer(in_haste, 1.0, "push", untrained, REPO)
    assert time.monotonic() - begun < 20
    assert ended.code == 1
    assert ended.err.count("error: ") == 1
    assert len([entry for entry in hub.log() if entry["method"] == "PUT"]) <= 22
    hub.inject()
    assert writer(ali, "push", untrained, REPO).code == 0


def test_an_upload_in_crumbs_has_an_end(hub: LocalHub, writer: Client, untrained: Path) -> None:
    weights = (untrained / "model.safetensors").read_bytes()
    parts = {str(n + 1): f"{hub.endpoint}/_storage/{n}" for n in range(-(-len(weights) // 64))}
    upload = {"href": f"{hub.endpoint}/_storage/all", "header": {"chunk_size": "64", **parts}}
    row = {"oid": hashlib.sha256(weights).hexdigest(), "size": len(weights), "actions": {"upload": upload}}
    hub.inject(Fault("body", "/objects/batch", content=json.dumps({"transfer": "multipart", "objects": [row]})),
               storing("delay", seconds=0.05),
               storing("status", status=200, headers={"ETag": '"x"'}))  # fmt: skip
    begun = time.monotonic()
    ended = writer(in_haste, 1.0, "push", untrained, REPO)
    assert time.monotonic() - begun < 20
    assert ended.code == 1
    assert "too slow to send the rest; run it again later" in ended.err


@pytest.mark.parametrize(
    "value", ["a=caf\xe9", "a=" + "x" * 60_000, "a=b; Domain=.localhost; Path=/", "=", "a=\x01b", "\xff" * 900]
)
def test_cookies_do_not_break_the_calls_that_follow(
    hub: LocalHub, anybody: Client, published: str, untrained_once: Path, tmp_path: Path, value: str
) -> None:
    hub.inject(Fault("headers", headers={"Set-Cookie": value}))
    for number in range(3):  # of which each would send what the one before it was given
        assert anybody(load, REPO, cache_dir=tmp_path / str(number)) == load(untrained_once)
    hub.inject()
    assert anybody(load, REPO, cache_dir=tmp_path / "cache") == load(untrained_once)


# --- Text and secrets -------------------------------------------------------------------------------

HOSTILE = "\x1b[31mred\x1b]0;title\x07\r\nerror: forged\u202e\u2028[/x][red]"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, pytest.param(500, marks=SLOW)])
def test_what_a_server_says_is_one_line_of_text(
    hub: LocalHub, anybody: Client, published: str, tmp_path: Path, status: int
) -> None:
    warning = {"X-HF-Warning": "topic; \x1b[31mred \x07bell"}
    hub.inject(Fault("status", "/api/models/", status=status, headers={"Retry-After": "0"}),
               Fault("headers", headers={"X-Error-Message": "a \x1b[31mred\x07", **warning}),
               Fault("body", content=json.dumps({"error": HOSTILE * 5000})))  # fmt: skip
    ended = anybody(ali, "pull", REPO, "--out", tmp_path / "pulled")
    assert ended.code == 1
    assert not set("\x1b\x07\r\u202e\u2028") & set(ended.err + ended.out)
    assert sum(line.startswith("error:") for line in ended.err.splitlines()) == 1
    assert max(map(len, ended.err.splitlines())) < 2100


@pytest.mark.parametrize(
    ("password", "status"),
    [("p%40ss%2Fword", 200), ("a:b:c-secret", 404), pytest.param("s3cret-pass", 401, marks=SLOW),
     pytest.param("p%40ss%2Fword", 503, marks=SLOW), pytest.param("a:b:c-secret", 503, marks=SLOW)],
)  # fmt: skip
def test_a_password_in_the_endpoint_is_shown_nowhere(
    hub: LocalHub, untrained: Path, tmp_path: Path, password: str, status: int
) -> None:
    endpoint = hub.endpoint.replace("://", f"://user:{password}@")
    if status != 200:
        hub.inject(Fault("status", "/api/", status=status, headers={"Retry-After": "0"}))
    env = {**hub.env(tmp_path / "home", hub.writer.token), "HF_ENDPOINT": endpoint, "HF_HUB_VERBOSITY": "debug"}
    ended = each(["push", untrained, REPO], ["pull", REPO, "--out", tmp_path / "x"], env=env)
    said = "".join((end.out + end.err).decode() for end in ended)
    assert said
    for secret in (password, password.replace("%40", "@").replace("%2F", "/"), hub.writer.token):
        assert secret not in said
