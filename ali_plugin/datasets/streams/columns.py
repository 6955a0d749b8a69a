"""The columns of a set of the Hub that hold pictures and classes: named, or found by what they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ali_plugin.datasets.streams.choice import Choice
from ali_plugin.errors import DataError, OptionError
from ali_registry.text import printable

USUAL_IMAGE = ("image", "img", "picture", "photo")
USUAL_LABEL = ("label", "labels", "class", "target", "fine_label")
SHOWN = 8


@dataclass(frozen=True)
class Columns:
    """Attributes:
    image, label: their names; no label where there is none or none is wanted.
    classes: names of the classes, where the column has them.
    """

    image: str
    label: str | None
    classes: tuple[str, ...]

    @classmethod
    def of(cls, features: Mapping[str, Any], choice: Choice, who: str) -> Columns:
        """Those of a set.

        Args:
            features: of ``datasets``, by column.
            who: names the set in errors.

        Raises:
            DataError: no column has pictures, several might, or the classes are text.
            OptionError: a named column is not there, or has no pictures.
        """
        image = _image(features, choice.image, who)
        label = _label(features, choice.label, who)
        names = getattr(features[label], "names", None) if label else None
        return cls(image, label, tuple(printable(name, 200) for name in names or ()))


def _image(features: Mapping[str, Any], named: str | None, who: str) -> str:
    found = [name for name, feature in features.items() if _is_picture(feature)]
    if named is not None:
        _refuse_unknown(features, named, "image", who)
        if named not in found and _kind(features[named]) != "binary":
            raise OptionError(f"column {named!r} of {who} is {_kind(features[named])}, no pictures; " + (
                f"name one of {_list(found)} with :image=" if found else "no other column has any"))  # fmt: skip
        return named
    if not found:
        raise DataError(f"{who} has no pictures; its columns are {_list(features, features)}")
    usual = [name for name in USUAL_IMAGE if name in found]
    if len(found) > 1 and not usual:
        raise DataError(f"{who} has several columns of pictures ({_list(found)}); name one with :image=")
    return (usual or found)[0]


def _label(features: Mapping[str, Any], named: str | None, who: str) -> str | None:
    if named == "":
        return None
    if named is not None:
        _refuse_unknown(features, named, "label", who)
        label = named
    else:
        classes = [name for name, feature in features.items() if _kind(feature) == "classes"]
        usual = [name for name in USUAL_LABEL if name in (classes or features)]
        if len(classes) > 1 and not usual:
            raise DataError(f"{who} has several columns of classes ({_list(classes)}); name one with :label=, or none "
                            "by :label= alone")  # fmt: skip
        if not (usual or classes):
            return None
        label = (usual or classes)[0]
    if (kind := _kind(features[label])) not in ("classes", "numbers"):
        raise DataError(f"the label column {label!r} of {who} is {kind}, no class numbers; name another with :label=, "
                        "or none by :label= alone")  # fmt: skip
    return label


def _refuse_unknown(features: Mapping[str, Any], named: str, role: str, who: str) -> None:
    if named not in features:
        raise OptionError(f"{who} has no column {named!r} for :{role}=; it has {_list(features)}")


def _is_picture(feature: Any) -> bool:
    bare = isinstance(feature, Mapping) and set(feature) == {"bytes", "path"}  # where nothing says what it is for
    return bare or type(feature).__name__ == "Image"


def _kind(feature: Any) -> str:
    """What a column holds, in a word."""
    if hasattr(feature, "names"):
        return "classes"
    kind = str(getattr(feature, "dtype", type(feature).__name__))
    if kind.startswith(("int", "uint", "bool")):
        return "numbers"
    return "text" if "string" in kind else printable(kind, 60)


def _list(names: Any, features: Mapping[str, Any] | None = None) -> str:
    shown = [
        f"{printable(name, 60)}{f' ({_kind(features[name])})' if features else ''}" for name in list(names)[:SHOWN]
    ]
    return ", ".join(shown) + (", ..." if len(names) > SHOWN else "")
