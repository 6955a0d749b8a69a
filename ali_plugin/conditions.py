"""Conditions of a conditional model (section 4.4): vectors of zeros and ones, from labels or from names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ali_plugin.config import ModelConfig
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

    Raises:
        OptionError: the model is unconditional, or has no such element.
    """
    if not config.condition_size:
        raise OptionError("the model takes no condition")
    condition = torch.zeros(config.condition_size, dtype=torch.float32)
    for word in filter(None, (part.strip() for part in text.split(","))):
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
    return torch.stack([parse(str(label), config) for label in named])


def alone(elements: Tensor, config: ModelConfig) -> Tensor:
    """The elements (B,), each alone: (B, size). All of a large condition at once would be a square of its size."""
    return one_hot(elements, config.condition_size).float()


def _index(word: str, config: ModelConfig) -> int:
    names = [name.lower() for name in config.condition_names]
    if word.lower() in names:
        return names.index(word.lower())
    if word.isdecimal() and int(word) < config.condition_size:
        return int(word)
    known = ", ".join(config.condition_names[:12]) + (", ..." if len(config.condition_names) > 12 else "")
    offer = f"it has {known}" if known else f"its elements are 0 to {config.condition_size - 1}"
    raise OptionError(f"the model's condition has no element {word!r}; {offer}")
