"""A set of pictures on the Hugging Face Hub, as ``datasets`` finds its files: ``USER/NAME[:CONFIG]``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from logging import ERROR
from typing import Any

from ali_plugin.datasets.split import Split
from ali_plugin.datasets.streams.choice import Choice
from ali_plugin.datasets.streams.columns import Columns
from ali_plugin.datasets.streams.parquet import ParquetShard, parquet_file
from ali_plugin.errors import ALIError, DataError, HubError, OptionError
from ali_plugin.support.extras import need
from ali_plugin.support.limits import MAX_SIZE
from ali_plugin.support.progress import track
from ali_plugin.support.strict_json import short
from ali_registry.text import printable

ID = re.compile(r"[\w-][\w.-]{0,95}/[\w.-]{1,96}", re.ASCII)
STREAM = "stream"
NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)
}  # fmt: skip
"""What sets call their splits."""
HELP = "set HF_TOKEN, or run `hf auth login`"


@dataclass(frozen=True)
class Address:
    """What ``hf:USER/NAME[:CONFIG][:stream][:image=X][:label=Y]`` says after its first colon."""

    repo: str
    config: str | None
    streams: bool
    choice: Choice

    @classmethod
    def of(cls, words: str) -> Address:
        """Read it; OptionError where it names no set."""
        choice = Choice.of(words)
        repo, *rest = choice.others or ("",)
        if not ID.fullmatch(repo):
            raise OptionError(
                f"--dataset hf:{short(words, 100)} names no set; write hf:USER/NAME or hf:USER/NAME:CONFIG"
            )
        configs = [word for word in rest if word != STREAM]
        if len(configs) > 1 or "" in configs:
            raise OptionError(
                f"--dataset hf:{short(words, 100)} says more than hf:USER/NAME:CONFIG, :stream, :image= and :label="
            )
        return cls(repo, configs[0] if configs else None, STREAM in rest, choice)


class HubSet:
    """A set, with its columns and the files of its splits.

    Raises:
        HubError: it is not there, needs a token, or the Hub cannot be reached.
        DataError: its files are no parquet, or have no pictures.
        OptionError: it has no such config or column.
        MissingExtra: ``datasets`` is not installed.
    """

    def __init__(self, address: Address) -> None:
        self.address, self.who = address, f"the set {address.repo!r} of the Hub"
        library = need("datasets", "a set of the Hub", "hf")
        library.disable_progress_bars()
        library.logging.set_verbosity_error()
        with _ours(self), _quiet():
            builder = library.load_dataset_builder(address.repo, address.config)
            files = {str(split): [str(file) for file in found] for split, found in builder.config.data_files.items()}
            if any(not file.endswith(".parquet") for found in files.values() for file in found):
                raise DataError(
                    f"{self.who} has files that are no parquet; convert it (push_to_hub of `datasets` does)"
                )
            self.files = files
            self.columns = Columns.of(builder.info.features or self._features(library), address.choice, self.who)

    def own(self, split: Split) -> str | None:
        """What the set calls a split, None where it has none."""
        return next((name for name in NAMES[split] if name in self.files), None)

    def shards(self, split: str) -> list[ParquetShard]:
        """The files of one of its splits."""
        files = self.files[split]
        opened = track(files, f"reading the footers of {len(files)} shards", len(files))
        with _ours(self):
            return [self._shard(file) for file in opened]

    def class_count(self, shards: list[ParquetShard]) -> int:
        """Number of classes, 0 where there are none; where only numbers say them, all of them are read."""
        if self.columns.label is None:
            return 0
        if self.columns.classes:
            return len(self.columns.classes)
        highest = max(int(shard.labels().max()) for shard in shards)
        if highest < 0:
            raise DataError(f"the label column {self.columns.label!r} of {self.who} has no class numbers from 0")
        if highest >= MAX_SIZE:
            raise DataError(f"the label column {self.columns.label!r} of {self.who} goes up to {highest}; classes are "
                            f"numbered from 0 to {MAX_SIZE - 1}; name another with :label=, or none by :label= alone"
                            )  # fmt: skip
        return highest + 1

    def _shard(self, file: str) -> ParquetShard:
        return ParquetShard(_name(file), partial(_opened, self, file), self.columns.image, self.columns.label)

    def _features(self, library: Any) -> Any:
        """The columns as the first file has them, where the set's card does not say."""
        first = next(file for found in self.files.values() for file in found)
        with parquet_file(_name(first), partial(_opened, self, first)) as file:
            return library.Features.from_arrow_schema(file.schema_arrow)


def _name(file: str) -> str:
    """Of a file within its set."""
    return re.sub(r"^hf://datasets/[^@]*@[^/]*/", "", file)


@contextmanager
def _opened(of: HubSet, file: str) -> Iterator[Any]:
    """A file of the set, which comes as it is read: the Hub may fail at any time."""
    fsspec = need("fsspec", "a set of the Hub", "hf")
    with _ours(of), fsspec.open(file, "rb") as content:
        yield content


@contextmanager
def _ours(of: HubSet) -> Iterator[None]:
    """What the Hub and ``datasets`` raise as errors of ours, in a line that says what to do."""
    from huggingface_hub import errors

    try:
        yield
    except ALIError:
        raise
    except Exception as error:
        text, kinds = printable(error, 300), {type(one).__name__ for one in _chain(error)}
        if isinstance(error, errors.GatedRepoError) or "GatedRepoError" in kinds or "gated" in text:
            raise HubError(f"{of.who} is gated: accept its terms on its page and give a token that may read it; {HELP}"
                           ) from error  # fmt: skip
        refused = (one for one in _chain(error) if isinstance(one, errors.HfHubHTTPError)
                   and not isinstance(one, errors.RepositoryNotFoundError))  # fmt: skip
        if any(one.response.status_code == 401 for one in refused):
            raise HubError(f"the Hub does not know the token that is set, asked for {of.who}; {HELP}") from error
        if kinds & {"DatasetNotFoundError", "RepositoryNotFoundError"}:
            raise HubError(f"{of.who} does not exist, or is private and needs a token; {HELP}") from error
        if kinds & {"EmptyDatasetError", "DataFilesNotFoundError"}:
            raise DataError(f"{of.who} has no data files") from error
        if isinstance(error, ValueError) and "onfig" in text:
            raise OptionError(f"{of.who}: {text}") from error
        http = errors.HfHubHTTPError.__bases__[0]  # of the client's library, whose name its major versions differ in
        if isinstance(error, (OSError, http)):
            raise HubError(f"{of.who} cannot be reached: {text}") from error
        raise DataError(f"{of.who} cannot be read: {type(error).__name__}: {text}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """No remarks of the client's, such as on a card without metadata."""
    from huggingface_hub.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity(ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
