"""Names of shards as people write them: a folder, or a path with brace lists such as ``{000..009}`` and ``{a,b}``."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ali_plugin.datasets.listing import is_hidden
from ali_plugin.errors import DataError, OptionError
from ali_plugin.support.strict_json import short

MOST = 100_000  # shards
_LIST = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d{1,18})\.\.(\d{1,18})")


def expanded(text: str) -> list[str]:
    """All names that a path with brace lists stands for, in its order, as a shell would have them.

    Raises:
        OptionError: a brace has no partner or no list in it, or the names are too many.
    """
    rest, parts = text, list[list[str]]()
    while found := _LIST.search(rest):
        parts += [[rest[: found.start()]], _of_list(found[1], text)]
        rest = rest[found.end() :]
    parts.append([rest])
    if any(brace in plain for (plain,) in parts[::2] for brace in "{}"):
        raise OptionError(f"{short(repr(text), 200)} has a brace without its partner; write {{000..009}} or {{a,b}}")
    names = [""]
    for choices in parts:
        if len(names) * len(choices) > MOST:
            raise OptionError(f"{short(repr(text), 200)} names more than {MOST} shards")
        names = [name + choice for name in names for choice in choices]
    return names


def shard_files(place: Path, ending: str) -> list[Path]:
    """The shards that ``--data-dir`` names: those of a folder, by name, or of a path with brace lists.

    Raises:
        DataError: there are none, or one of them is not there.
        OptionError: one is named twice, or the braces are none.
    """
    if os.path.isdir(place):  # Path.is_dir raises where a list is longer than a name may be
        try:
            found = sorted(path for path in place.iterdir() if path.suffix == ending and not is_hidden(path.name))
        except OSError as error:
            raise DataError(f"the folder {str(place)!r} cannot be read: {error.strerror or error}") from error
        if not found:
            raise DataError(f"the folder {str(place)!r} has no shards (*{ending})")
        return found
    names = [str(place)] if os.path.isfile(place) else expanded(str(place))
    if len(set(names)) < len(names):
        raise OptionError(f"{str(place)!r} names a shard twice")
    files = [Path(name) for name in names]
    if missing := [path for path in files if not os.path.isfile(path)]:
        there = "does not exist" if len(files) == 1 else f"does not exist, {len(missing)} of {len(files)} shards do not"
        raise DataError(f"the shard {str(missing[0])!r} {there}; name a folder of {ending} files, or a list such as "
                        f"'shards/{{000..009}}{ending}', with --data-dir")  # fmt: skip
    return files


def _of_list(inside: str, text: str) -> list[str]:
    if found := _RANGE.fullmatch(inside):
        first, last = int(found[1]), int(found[2])
        padded = any(len(end) > 1 and end.startswith("0") for end in found.groups())
        width = max(map(len, found.groups())) if padded else 0
        if abs(last - first) >= MOST:
            raise OptionError(f"{short(repr(text), 200)} names more than {MOST} shards")
        step = 1 if first <= last else -1
        return [f"{number:0{width}}" for number in range(first, last + step, step)]
    if "," not in inside:
        raise OptionError(
            f"{short(repr(text), 200)}: {{{short(inside, 60)}}} is no list; write {{000..009}} or {{a,b}}"
        )
    return inside.split(",")
