"""Conditions of a conditional model (section 4.4): vectors of zeros and ones, from labels or from names."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ali_plugin.config.model_config import ModelConfig
from ali_plugin.errors import OptionError, PartMismatch

Labels = int | str | Sequence[int | str] | Tensor


def from_labels(labels: Tensor, size: int) -> Tensor:
    """Class numbers (B,) as one-hot, attributes (B, A) as they are: (B, size), float32.

    Raises:
        PartMismatch: the labels are of another size. Labels on a GPU are to be checked before (``refuse_outside``),
            as reading them would make the host wait.
    """
    if labels.device.type == "cpu":
        refuse_outside(labels, size)
    if labels.ndim == 1:
        return one_hot(labels, size).float()
    return labels.float()


def refuse_outside(labels: Tensor, size: int) -> None:
    """Raise PartMismatch where labels, class numbers (B,) or attributes (B, A), make no condition of this size."""
    if labels.ndim == 1:
        if len(outside := labels[(labels < 0) | (labels >= size)]):
            raise PartMismatch(
                f"a label is {outside[0].item()}, the model takes a condition of {size}: classes 0 to {size - 1}"
            )
        return
    if labels.shape[1] != size:
        raise PartMismatch(f"the data have {labels.shape[1]} attributes, the model takes a condition of {size}")


def parse(text: str, config: ModelConfig) -> Tensor:
    """A condition (size,) from the names or numbers of the elements that are on, "Smiling,Young" or "3".

    A text that is the name of an element as a whole is that element. Among others, a name that has a comma is put
    into double quotes, as in CSV: ``"Paris, France",Young``; a double quote inside them is doubled. Upper and lower
    case matter only where names differ in nothing else.

    Raises:
        OptionError: the model is unconditional, or has no such element.
    """
    if not config.condition_size:
        raise OptionError("the model takes no condition")
    condition = torch.zeros(config.condition_size, dtype=torch.float32)
    words = [text] if text in config.condition_names else _words(text)
    for word in words:
        condition[_index(word, config)] = 1
    return condition


def of_labels(labels: Labels, config: ModelConfig) -> Tensor:
    """Conditions (B, size) from whatever says what each sample is.

    Args:
        labels: a class number or name, a sequence of them, a tensor of class numbers (B,), or the conditions
            themselves (B, size).

    Raises:
        OptionError: the model is unconditional, or has no such element.
        PartMismatch: the conditions are of another size.
    """
    if not config.condition_size:
        raise OptionError("the model takes no condition")
    if isinstance(labels, Tensor) and labels.ndim > 1:
        return from_labels(labels, config.condition_size)
    each = labels.tolist() if isinstance(labels, Tensor) else labels
    named = [each] if isinstance(each, int | str) else each
    return torch.stack([_of_label(label, config) for label in named])


def alone(elements: Tensor, config: ModelConfig) -> Tensor:
    """The elements (B,), each alone: (B, size). All of a large condition at once would be a square of its size."""
    return one_hot(elements, config.condition_size).float()


def _of_label(label: int | str, config: ModelConfig) -> Tensor:
    """A number is a class number, also where classes have numbers for names."""
    if isinstance(label, str):
        return parse(label, config)
    if not 0 <= label < config.condition_size:
        raise OptionError(f"the model's condition has no element {label}; its elements are 0 to "
                          f"{config.condition_size - 1}")  # fmt: skip
    return alone(torch.tensor([label]), config)[0]


def _words(text: str) -> list[str]:
    try:
        rows = list(csv.reader([text], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise OptionError(f'condition {text!r} cannot be read: {error}; quote a name as in "a, b",c') from error
    return [word.strip() for row in rows for word in row if word.strip()]


def _index(word: str, config: ModelConfig) -> int:
    names = list(config.condition_names)
    if word in names:
        return names.index(word)
    alike = [i for i, name in enumerate(names) if _plain(name) == _plain(word)]
    if len(alike) > 1:
        offers = " or ".join(repr(names[i]) for i in alike)
        raise OptionError(f"the model's condition has several elements like {word!r}; write {offers}")
    if alike:
        return alike[0]
    if word.isascii() and word.isdecimal() and len(word) < 10 and int(word) < config.condition_size:
        return int(word)
    known = ", ".join(map(_quoted, names[:12])) + (", ..." if len(names) > 12 else "")
    offer = f"it has {known}" if known else f"its elements are 0 to {config.condition_size - 1}"
    raise OptionError(f"the model's condition has no element {word!r}; {offer}")


def _plain(name: str) -> str:
    """A name as a person compares it: whatever the case, and however its accents are composed."""
    return unicodedata.normalize("NFC", name).casefold().strip()


def _quoted(name: str) -> str:
    """A name as ``parse`` reads it."""
    return '"' + name.replace('"', '""') + '"' if "," in name or '"' in name else name
