"""Sets of the Hub by their names: real parquet files on the local Hub, in the cache and as streams."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub.client import Client
from hub.faults import Fault
from hub.fixtures import LocalHub, RawFile
from hub_tasks import ali, stream_of
from shards import picture

IMAGE, CLASSES = {"_type": "Image"}, {"names": ["bag", "hat", "shoe"], "_type": "ClassLabel"}
NUMBER, TEXT = {"dtype": "int64", "_type": "Value"}, {"dtype": "string", "_type": "Value"}
COUNT = 60


def parquet(rows: dict[str, list[Any]], features: dict[str, Any], group: int = 16) -> bytes:
    """A parquet file as `datasets` writes it: the features are in the schema."""
    told = {"huggingface": json.dumps({"info": {"features": features}})}
    kinds = {"Image": pa.struct({"bytes": pa.binary(), "path": pa.string()}), "ClassLabel": pa.int64()}
    columns = {name: pa.array(rows[name], kinds.get(of["_type"], pa.string() if of == TEXT else pa.int64()))
               for name, of in features.items()}  # fmt: skip
    table = pa.table(columns).replace_schema_metadata(told)
    content = io.BytesIO()
    pq.write_table(table, content, row_group_size=group)
    return content.getvalue()


def rows(numbers: range, label: Any = lambda n: n % 3, image: str = "image") -> dict[str, list[Any]]:
    return {image: [{"bytes": picture(n), "path": None} for n in numbers], "label": [label(n) for n in numbers]}


def shards(features: dict[str, Any], split: str = "train", count: int = COUNT, **how: Any) -> dict[str, RawFile]:
    """Two files of a split."""
    half = count // 2
    parts = range(half), range(half, count)
    return {
        f"data/{split}-{i:05}-of-00002.parquet": RawFile(parquet(rows(part, **how), features), lfs=True)
        for i, part in enumerate(parts)
    }


SET = {"image": IMAGE, "label": CLASSES}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("decoded")


@pytest.fixture(scope="module")
def client(hub_server: str, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One process for all tests, since `datasets` takes its time to start; each set has a name of its own."""
    hub = LocalHub(hub_server)
    yield hub.client(tmp_path_factory.mktemp("home"), ALI_CACHE=str(cache), OMP_NUM_THREADS="1")
    hub.close()


def kept_in(cache: Path) -> set[str]:
    return {path.name for path in cache.glob("hf-*")}


def words(name: str, out: Path, *more: object) -> list[object]:
    return ["-q", "train", "--dataset", f"hf:{name}", "--batch-size", 5, "--device", "cpu", "--sample-every", 1000,
            "--out", out, *more]  # fmt: skip


def test_a_set_fills_the_cache_or_streams_and_both_have_the_same_samples(
    hub: LocalHub, client: Client, tmp_path: Path
) -> None:
    hub.write("alice/things", shards(SET), "datasets")
    kept = client(stream_of, "hf:alice/things")
    assert (kept.kind, kept.classes, len(set(kept.numbers))) == ("DataSplit", ("bag", "hat", "shoe"), COUNT - 2 * 3)
    assert kept.labels == [n % 3 for n in kept.numbers]
    assert client(stream_of, "hf:alice/things") == kept
    stream = client(stream_of, "hf:alice/things:stream")
    assert (stream.kind, stream.classes) == ("StreamSplit", kept.classes)
    assert stream.numbers == kept.numbers
    assert stream.labels == kept.labels
    assert len(set(stream.drawn)) == 50
    assert set(stream.drawn) <= set(kept.numbers)
    assert not set(kept.numbers) & {*client(stream_of, "hf:alice/things", "test").numbers}


def test_a_dry_run_fetches_no_pictures(hub: LocalHub, client: Client, cache: Path, tmp_path: Path) -> None:
    hub.write("alice/planned", shards(SET) | shards(SET, "test", 12), "datasets")
    before = kept_in(cache)
    plan = client(ali, *words("alice/planned", tmp_path / "run", "--epochs", 2, "--dry-run", "--json"))
    assert plan.code == 0, plan.err
    assert json.loads(plan.out)["steps"] == 2 * (57 // 5)
    assert kept_in(cache) == before
    assert not (tmp_path / "run").exists()


def test_a_run_streams_and_is_continued(hub: LocalHub, client: Client, cache: Path, tmp_path: Path) -> None:
    hub.write("alice/trained", shards(SET), "datasets")
    before, out = kept_in(cache), tmp_path / "run"
    ended = client(ali, *words("alice/trained:stream", out, "--steps", 2, "--condition"))
    assert ended.code == 0, ended.err
    assert "alice/trained" in (out / "README.md").read_text()
    ended = client(ali, "-q", "train", "--resume", "--out", out, "--steps", 3)
    assert ended.code == 0, ended.err
    assert kept_in(cache) == before


@pytest.mark.slow
def test_a_kept_set_trains_and_is_evaluated(hub: LocalHub, client: Client, cache: Path, tmp_path: Path) -> None:
    hub.write("alice/kept", shards(SET) | shards(SET, "test", 12), "datasets")
    before, out = kept_in(cache), tmp_path / "run"
    for arguments in (
        words("alice/kept", out, "--steps", 2),
        ["evaluate", out, "--metric", "reconstruction", "--json"],
    ):
        ended = client(ali, *arguments)
        assert ended.code == 0, ended.err
    assert len(kept_in(cache) - before) == 2  # train and test; validation is held out of train


@pytest.mark.slow
def test_a_set_beyond_the_disk_streams_and_the_run_keeps_that(
    hub: LocalHub, client: Client, cache: Path, tmp_path: Path
) -> None:
    hub.write("alice/large", shards(SET), "datasets")
    before = kept_in(cache)
    ended = client(ali_on_a_small_disk, *words("alice/large", tmp_path / "run", "--steps", 1))
    assert ended.code == 0, ended.err
    assert json.loads((tmp_path / "run" / "train_config.json").read_text())["dataset"] == "hf:alice/large:stream"
    ended = client(ali, "-q", "train", "--resume", "--out", tmp_path / "run", "--steps", 2)
    assert ended.code == 0, ended.err
    assert kept_in(cache) == before


def ali_on_a_small_disk(*arguments: object) -> Any:
    from ali_plugin.datasets.streams import hub_cache

    share, hub_cache.DISK_SHARE = hub_cache.DISK_SHARE, 0.0
    try:
        return ali(*arguments)
    finally:
        hub_cache.DISK_SHARE = share


def test_columns_are_named_or_found_or_refused(hub: LocalHub, client: Client) -> None:
    both = {"photo": IMAGE, "label": TEXT, "kind": NUMBER, "scan": IMAGE}
    part = rows(range(30), str, image="photo")
    content = parquet({**part, "kind": list(range(30)), "scan": part["photo"]}, both)
    hub.write("alice/odd", {"data/train.parquet": RawFile(content, lfs=True)}, "datasets")
    found = client(stream_of, "hf:alice/odd:label=kind:image=scan")
    assert (found.classes, found.labels) == (tuple(map(str, range(30))), found.numbers)
    assert client(stream_of, "hf:alice/odd:label=").labels == []
    for said, text in {
        "": "the label column 'label' of the set 'alice/odd' of the Hub is text, no class numbers",
        ":label=breed": "has no column 'breed' for :label=; it has photo, label, kind, scan",
        ":image=kind:label=": "column 'kind' of the set 'alice/odd' of the Hub is numbers, no pictures",
        ":a:b": "says more than hf:USER/NAME:CONFIG",
    }.items():
        assert text in client(stream_of, f"hf:alice/odd{said}").error
    assert "names no set; write hf:USER/NAME" in client(stream_of, "hf:alice").error
    assert "names no set" in client(stream_of, "hf").error


def test_what_is_wrong_with_a_set_is_one_line_and_nothing_is_written(
    hub: LocalHub, client: Client, tmp_path: Path
) -> None:
    whole = shards(SET)
    first = "data/train-00000-of-00002.parquet"
    content = whole[first].content
    texts: dict[str, list[Any]] = {"text": ["a"] * 9, "label": [0] * 9}
    second = "data/train-00001-of-00002.parquet"
    part, named = range(30, 60), rows(range(30, 60), image="photo")
    sets = {
        "renamed": (whole | {second: RawFile(parquet(named, {"photo": IMAGE, "label": CLASSES}), lfs=True)},
                    "1-of-00002.parquet' has no column 'image', as others of its set have; it has photo, label"),
        "unlabelled": (whole | {second: RawFile(parquet(rows(part), {"image": IMAGE}), lfs=True)},
                       "1-of-00002.parquet' has no column 'label'"),
        "worded": (whole | {second: RawFile(parquet(rows(part, str), SET | {"label": TEXT}), lfs=True)},
                   "the label column 'label' of the shard 'data/train-00001-of-00002.parquet' is string, no class"),
        "counted": (shards(SET | {"label": NUMBER}, label=lambda n: n << 40),
                    "goes up to 64871186038784; classes are numbered from 0 to 65535"),
        "cut": (whole | {first: RawFile(content[: len(content) // 2], lfs=True)}, "0-of-00002.parquet' is cut off"),
        "zero": (whole | {first: RawFile(b"", lfs=True)}, "0-of-00002.parquet' is empty"),
        "norows": (whole | {first: RawFile(parquet(rows(range(0)), SET), lfs=True)}, "0-of-00002.parquet' is empty"),
        "texts": ({"train.parquet": RawFile(parquet(texts, {"text": TEXT, "label": CLASSES}), lfs=True)},
                  "has no pictures; its columns are text (text), label (classes)"),
        "tables": ({"train.csv": RawFile(b"a,b\n1,2\n")}, "has files that are no parquet"),
        "nothing": ({"README.md": RawFile(b"# nothing")}, "has no data files"),
        "tests": (shards(SET, "test"), "has no split 'train'; it has test"),
    }  # fmt: skip
    for name, (files, text) in sets.items():
        hub.write(f"alice/{name}", files, "datasets")
        ended = client(ali, *words(f"alice/{name}", tmp_path / "run", "--steps", 1))
        assert (ended.code, ended.err.count("\n")) == (1, 1), f"{name}: {ended.err}"
        assert text in ended.err, name
    ended = client(ali, *words("alice/absent", tmp_path / "run", "--steps", 1))
    assert "does not exist, or is private and needs a token; set HF_TOKEN" in ended.err
    assert ended.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_set_that_needs_a_token(hub: LocalHub, client: Client, tmp_path: Path) -> None:
    hub.write("alice/gated", shards(SET), "datasets")
    client(gate, "alice/gated", hub.writer.token)
    ended = client(ali, *words("alice/gated", tmp_path / "run", "--steps", 1))
    assert ended.err.count("\n") == 1
    assert "the set 'alice/gated' of the Hub is gated: accept its terms on its page and give a token" in ended.err
    assert not (tmp_path / "run").exists()


def test_a_token_that_is_none(hub: LocalHub, client: Client, tmp_path: Path) -> None:
    hub.write("alice/open", shards(SET), "datasets")
    ended = client(ali_with_token, "hf_of_nobody", *words("alice/open", tmp_path / "run", "--steps", 1))
    assert (ended.code, ended.err.count("\n")) == (1, 1), ended.err
    assert "the Hub does not know the token that is set" in ended.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("action", ["drop", "status"])
def test_a_hub_that_goes_away_while_a_run_reads_is_no_fault_of_a_shard(
    action: Literal["drop", "status"], hub: LocalHub, client: Client, tmp_path: Path
) -> None:
    hub.write("alice/lost", shards(SET), "datasets")
    hub.inject(Fault(action, "alice/lost/resolve/.*parquet", "GET", nth=tuple(range(3, 999))))
    try:
        ended = client(ali_in_no_time, *words("alice/lost:stream", tmp_path / "run", "--steps", 1))
    finally:
        hub.inject()
    assert (ended.code, ended.err.count("\n")) == (1, 1), ended.err
    assert "the set 'alice/lost' of the Hub cannot be reached" in ended.err


def ali_in_no_time(*arguments: object) -> Any:
    """With a client that does not sleep between its tries."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", lambda seconds: None)
        return ali(*arguments)


def ali_with_token(token: str, *arguments: object) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", token)
        return ali(*arguments)


def gate(repo: str, token: str) -> None:
    from huggingface_hub import HfApi

    HfApi(token=token).update_repo_settings(repo, gated="manual", repo_type="dataset")
