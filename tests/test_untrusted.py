"""Folders that somebody has tampered with: each ends in an ALIError, soon and without taking memory."""

from __future__ import annotations

import json
import os
import resource
import struct
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ali_plugin import ALI, ALIError
from ali_plugin.support.strict_json import MAX_DEPTH, parse

CONFIG, WEIGHTS = "config.json", "model.safetensors"
# The limit is far above what an example takes (some 20 ms), and far below a loop or a download that hangs.
BOUNDED = settings(
    max_examples=150,
    deadline=timedelta(seconds=10),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(autouse=True)
def bounded_memory(untrained_once: Path) -> Iterator[None]:
    ALI.from_pretrained(untrained_once)  # what a sound folder takes is taken
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    # In KiB; the examples' own 8 MB files wait for the garbage collector, what they claim is gigabytes.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600 << 10


def load(folder: Path) -> ALI | str:
    """The model, or the text of the ALIError."""
    try:
        return ALI.from_pretrained(folder)
    except ALIError as error:
        text = str(error)
    assert len(text) < 1000
    assert text.isprintable()
    return text


def refused(folder: Path) -> str:
    """The text of the ALIError."""
    text = load(folder)
    assert isinstance(text, str)
    return text


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def write_weights(folder: Path, header: bytes, data: bytes) -> None:
    (folder / WEIGHTS).unlink(missing_ok=True)
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(header)) + header + data)


# --- Weights ---------------------------------------------------------------------------------------


@BOUNDED
@given(length=st.integers(0, 20_000))
def test_truncated_weights(untrained: Path, untrained_once: Path, length: int) -> None:
    (untrained / WEIGHTS).unlink()
    with (untrained_once / WEIGHTS).open("rb") as file:
        (untrained / WEIGHTS).write_bytes(file.read(length))
    assert WEIGHTS in refused(untrained)


@BOUNDED
@given(flips=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 7)), min_size=1, max_size=4, unique=True))
def test_flipped_bits_in_the_header(untrained: Path, untrained_once: Path, flips: list[tuple[int, int]]) -> None:
    content = bytearray((untrained_once / WEIGHTS).read_bytes())
    for position, bit in flips:
        content[position] ^= 1 << bit
    (untrained / WEIGHTS).unlink()
    (untrained / WEIGHTS).write_bytes(content)
    loaded = load(untrained)  # blanks and the free text of __metadata__ may change: then the model is whole
    assert isinstance(loaded, ALI) or WEIGHTS in loaded


SIZES = st.one_of(st.integers(-2, 5), st.sampled_from([1 << 31, 1 << 40, (1 << 63) - 1, 1 << 64, 10**30]), st.just(1.5))
ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F64", "BF16", "I64", "I8", "BOOL", "F8_E4M3", "U64", "X", ""]),
        "shape": st.lists(SIZES, max_size=6),
        "data_offsets": st.lists(st.one_of(SIZES, st.integers(0, 9_000_000)), min_size=1, max_size=3),
    }
)


@BOUNDED
@given(data=st.data())
def test_absurd_headers(untrained: Path, untrained_once: Path, data: st.DataObject) -> None:
    header, content = header_of(untrained_once / WEIGHTS)
    for name in data.draw(st.lists(st.sampled_from(sorted(set(header) - {"__metadata__"})), min_size=1, max_size=3)):
        entry = data.draw(ENTRY)
        kept = data.draw(st.sets(st.sampled_from(sorted(entry)), max_size=2))
        header[name] = {key: header[name][key] if key in kept and key in header[name] else entry[key] for key in entry}
    write_weights(untrained, json.dumps(header).encode(), content)
    if json.loads(json.dumps(header)) != header_of(untrained_once / WEIGHTS)[0]:
        assert WEIGHTS in refused(untrained)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"{" * 100_000, "damaged"),
        (b'{"a":' * 100_000, "damaged"),
        (b" " * (17 << 20), "damaged"),
        (json.dumps({f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(100_000)}).encode(),
         "lacks"),
        (b'{"__metadata__": {"a": "b"}}', "lacks"),
        (b"\xff\xfe", "damaged"),
        (b"null", "damaged"),
    ],
    ids=["braces", "deep", "huge", "many", "none", "no text", "null"],
)  # fmt: skip
def test_hostile_headers(untrained: Path, header: bytes, message: str) -> None:
    write_weights(untrained, header, b"")
    assert message in refused(untrained)


@pytest.mark.parametrize(("kind", "width"), [("I32", 4), ("U8", 1), ("F8_E4M3", 1), ("C64", 8), ("I64", 8)])
def test_numbers_of_another_kind(untrained: Path, untrained_once: Path, kind: str, width: int) -> None:
    header, _ = header_of(untrained_once / WEIGHTS)
    header.pop("__metadata__", None)
    end = 0
    for name, entry in header.items():
        if "weight" in name:
            entry["dtype"] = kind
        size = {"F32": 4, "I64": 8}.get(entry["dtype"], width)
        for length in entry["shape"]:
            size *= length
        entry["data_offsets"] = [end, end := end + size]
    write_weights(untrained, json.dumps(header).encode(), bytes(end))
    text = refused(untrained)
    assert "damaged" in text or f"holds {kind} numbers" in text


def test_a_header_that_claims_what_the_config_claims(untrained: Path, untrained_once: Path) -> None:
    """Config and header may agree on a terabyte; the file has to hold it."""
    config = json.loads((untrained / CONFIG).read_text())
    (untrained / CONFIG).write_text(json.dumps({**config, "latent_size": 65536, "condition_size": 65536}))
    header, content = header_of(untrained_once / WEIGHTS)
    write_weights(untrained, json.dumps(header).replace("32", "65536").encode(), content)
    assert WEIGHTS in refused(untrained)


def test_other_formats_are_named(untrained: Path) -> None:
    (untrained / WEIGHTS).unlink()
    (untrained / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert "pickled weights are there, which are never read" in refused(untrained)
    (untrained / "model.safetensors.index.json").write_text("{}")
    assert "the weights are in shards" in refused(untrained)


# --- Config ----------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    ["fashion", "../../etc/passwd", "cifar10", "a" * 5000, "\x1b[31mred", "fashion\n", "", "..", "Fashion"]
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), NAMES),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        "encoder",
        "decoder",
        "discriminator",
        "latent_size",
        "data_shape",
        "architecture",
        "condition_size",
        "classes",
        "plugins",
        "schema_version",
        "library_version",
        "auto_map",
    ]
)
PART = st.fixed_dictionaries({"name": NAMES, "arguments": st.dictionaries(st.sampled_from(["init_std", "x"]), JSON)})


@BOUNDED
@given(key=KEYS, value=st.one_of(JSON, SIZES, PART, st.lists(SIZES, max_size=4)))
def test_mutated_configs(untrained: Path, untrained_once: Path, key: str, value: object) -> None:
    config = json.loads((untrained_once / CONFIG).read_text())
    (untrained / CONFIG).write_text(json.dumps({**config, key: value}))
    loaded = load(untrained)  # what nobody builds by, such as a version, may be another
    assert isinstance(loaded, str) or loaded.config.data_shape == (1, 28, 28)


@BOUNDED
@given(start=st.integers(0, 500), length=st.integers(0, 30), put=st.binary(max_size=20))
def test_configs_with_other_bytes(untrained: Path, untrained_once: Path, start: int, length: int, put: bytes) -> None:
    content = (untrained_once / CONFIG).read_bytes()
    (untrained / CONFIG).write_bytes(content[:start] + put + content[start + length :])
    loaded = load(untrained)
    assert isinstance(loaded, str) or loaded.config.data_shape == (1, 28, 28)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 1}', "1e999", "-1e999", "NaN", "Infinity", "9" * 5000, "9" * 100_000, "1" + "0" * 19,
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "[" * 100_000, '{"a":' * 50_000, "", "{", "[1,]", '"\\ud800',
    ],
)  # fmt: skip
def test_json_that_is_refused(text: str) -> None:
    with pytest.raises(ALIError, match=r"^here is ") as caught:
        parse(text, "here")
    assert len(str(caught.value)) < 300


def test_json_that_is_read() -> None:
    assert parse('{"a": [1, -2.5e3, "\\u00e4", null, true, {"b": {}}]}', "here") == {
        "a": [1, -2500.0, "ä", None, True, {"b": {}}]
    }


# --- Files that are none ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, "README.md", "training.json", "evaluation.json"])
def test_links_out_of_the_folder(untrained: Path, untrained_once: Path, name: str) -> None:
    target = untrained_once / (name if name in (CONFIG, WEIGHTS) else CONFIG)
    (untrained / name).unlink(missing_ok=True)
    (untrained / name).symlink_to(target)
    assert "is a link out of its folder" in refused(untrained)


def test_links_within_the_folder_and_in_circles(untrained: Path) -> None:
    (untrained / WEIGHTS).rename(untrained / "weights")
    (untrained / WEIGHTS).symlink_to("weights")
    assert ALI.from_pretrained(untrained).encoder is not None
    (untrained / WEIGHTS).unlink()
    (untrained / WEIGHTS).symlink_to(WEIGHTS)
    assert WEIGHTS in refused(untrained)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_pipes_and_folders(untrained: Path, name: str) -> None:
    (untrained / name).unlink()
    os.mkfifo(untrained / name)
    assert "no regular file" in refused(untrained)  # to open it would wait for ever
    (untrained / name).unlink()
    (untrained / name).mkdir()
    assert name in refused(untrained)
