"""Model cards: README.md of a model folder, made from its files, in which a person's own words stay."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, StrictUndefined

from ali_plugin.config.model_config import ModelConfig
from ali_plugin.folder import released
from ali_plugin.folder.checked import Checked, check
from ali_plugin.folder.evaluation_record import Figure
from ali_plugin.folder.model_folder import CARD_NAME, RECONSTRUCTIONS_NAME, SAMPLES_NAME
from ali_plugin.folder.training_record import TrainingRecord
from ali_plugin.hub import card_text
from ali_plugin.support import atomic
from ali_plugin.support.paths import model_cards
from ali_plugin.support.strict_json import read_text
from ali_registry import Architecture, Dataset, Registry, UnknownName
from ali_registry.text import printable

TEMPLATE = "card.md.jinja"
TASK = "unconditional-image-generation"
SNIPPET_ID = re.compile(r'from_pretrained\("([\w.-]+/[\w.-]+)"')
ARGUMENTS = ("model_name", "eval_results", "ignore_metadata_errors", "self")  # of the client's class, not of a card
UNNAMED = "USER/NAME"


def write(folder: Path, repo_id: str | None = None, *, license: str | None = None,
          registry: Registry | None = None) -> str:  # fmt: skip
    """Make or refresh a folder's README.md and return its text; see ``text``."""
    made = text(check(folder, registry), repo_id, license=license)
    atomic.write(folder / CARD_NAME, made)
    return made


def text(model: Checked, repo_id: str | None = None, *, theirs: str | None = None, license: str | None = None) -> str:
    """The card of a model folder. What stands outside of the marked sections of its README.md stays as it is,
    and so do metadata that are not about the model's files; a section whose marks were removed stays away.

    Args:
        repo_id: where the model is published; None for what the present card says, or its name if it is released.
        theirs: the card on the Hub, which is continued where nobody has written in the folder's own.
        license: identifier of the Hub's list, in place of the present one.

    Raises:
        CardError: the metadata of the present card cannot be read.
    """
    path = model.path / CARD_NAME
    own = read_text(path) if path.exists() else ""
    present = theirs if theirs and not _written_by_hand(own) else own
    if repo_id is None:
        named = SNIPPET_ID.search(present)
        repo_id = named[1] if named and named[1] != UNNAMED else released.name_of(model.path)
    front = f"---\n{_yaml(_metadata(model, present, repo_id, license))}\n---\n"
    body = _refreshed(card_text.split(present)[1], _sections(model, repo_id))
    return (front.replace("\n", "\r\n") if "\r\n" in present else front) + body


def _yaml(data: ModelCardData) -> str:
    metadata: Any = data  # whose methods have no types
    return card_text.dump(metadata.to_dict()).rstrip()


def _refreshed(body: str, sections: Mapping[str, str]) -> str:
    """The body with its marked sections replaced; all of them at the end of one that has no marks.

    Every card begins with marks for all sections, empty ones too, so that one without marks was taken out.
    """
    if card_text.sections(body):
        return card_text.replaced(body, sections)
    kept = f"{body.rstrip()}\n\n" if body.strip() else ""
    ends = "\r\n" if "\r\n" in body else "\n"
    return (kept + "\n".join(sections.values())).replace("\r\n", "\n").replace("\n", ends)


def _written_by_hand(card: str) -> bool:
    body = card_text.split(card)[1]
    return bool(card_text.replaced(body, dict.fromkeys((part.name for part in card_text.sections(body)), "")).strip())


def _metadata(model: Checked, present: str, repo_id: str | None, license: str | None) -> ModelCardData:
    config, training, figures, registry = model.config, model.training, model.figures, model.registry
    kept = _present_metadata(present)
    for ours in ("model-index", "library_name", "pipeline_tag", *ARGUMENTS):
        kept.pop(ours, None)
    licensed = kept.pop("license", None)
    datasets = sorted({*([training.dataset] if training else []), *(figure.dataset for figure in figures)})
    tags = ["ali", "bigan", "adversarially-learned-inference", *([config.architecture] if config.architecture else [])]
    hosts = ["diffusers"] if model.is_pipeline else []
    own: dict[str, Any] = {
        "license": license or licensed or _license(training, registry),
        "library_name": "ali-plugin",
        "pipeline_tag": TASK if len(config.data_shape) == 3 else None,
        "tags": list(dict.fromkeys([*tags, *_texts(kept.pop("tags", [])), *hosts])),
        "datasets": list(dict.fromkeys([*(_hub_name(name, registry) for name in datasets),
                                        *_texts(kept.pop("datasets", []))])) or None,
    }  # fmt: skip
    results = [_result(figure, registry) for figure in figures]
    name = _name(config, repo_id) if results else None
    data = ModelCardData(**own, model_name=name, eval_results=results or None)
    for key, value in kept.items():
        data[key] = value
    return data


def _present_metadata(card: str) -> dict[str, Any]:
    front = card_text.split(card)[0]
    return card_text.metadata(front) if front else {}


def _result(figure: Figure, registry: Registry) -> EvalResult:
    return EvalResult(
        task_type=TASK,
        dataset_type=_hub_name(figure.dataset, registry),
        dataset_name=printable(figure.dataset),
        dataset_split=printable(figure.split),
        metric_type=printable(figure.figure),
        metric_name=printable(f"{figure.metric}: {figure.figure}"),
        metric_value=figure.value,
        metric_args={"protocol": printable(figure.protocol), "seed": figure.seed},
    )


def _name(config: ModelConfig, repo_id: str | None) -> str:
    return repo_id.rpartition("/")[2] if repo_id else f"ali-{config.architecture or 'model'}"


def _sections(model: Checked, repo_id: str | None) -> dict[str, str]:
    config, registry = model.config, model.registry
    rendered = _template().render(
        name=_name(config, repo_id),
        repo_id=repo_id or UNNAMED,
        config=config,
        shape="x".join(map(str, config.data_shape)),
        pictures=len(config.data_shape) == 3,
        pipeline=model.is_pipeline,
        reference=_reference(config, registry),
        parameters=model.parameters,
        training=model.training,
        distributions=sorted({"ali-plugin", *(plugin.distribution for plugin in config.plugins)}),
        licence=_dataset_licence(model.training, registry),
        figures=model.figures,
        samples=SAMPLES_NAME if SAMPLES_NAME in model.files else None,
        reconstructions=RECONSTRUCTIONS_NAME if RECONSTRUCTIONS_NAME in model.files else None,
    )
    return {part.name: rendered[part.start : part.stop] for part in card_text.sections(rendered)}


@cache
def _template() -> Any:
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        autoescape=True, finalize=card_text.markdown,
    )  # fmt: skip
    environment.filters |= {"verbatim": card_text.verbatim, "shell": card_text.shell}
    return environment.from_string((model_cards() / TEMPLATE).read_text(encoding="utf-8"))


def _reference(config: ModelConfig, registry: Registry) -> str:
    try:
        return registry.get(Architecture, config.architecture or "").reference
    except UnknownName:
        return ""


def _dataset(name: str, registry: Registry) -> Dataset | None:
    try:
        return registry.get(Dataset, name)
    except UnknownName:
        return None


def _dataset_licence(training: TrainingRecord | None, registry: Registry) -> str:
    found = _dataset(training.dataset, registry) if training else None
    return found.licence if found else ""


def _license(training: TrainingRecord | None, registry: Registry) -> str:
    """The Hub's identifier for weights learned from MIT-licensed data; otherwise it is for a person to say."""
    return "mit" if _dataset_licence(training, registry).startswith("MIT") else "unknown"


def _hub_name(name: str, registry: Registry) -> str:
    """A dataset's id on the Hub, where its record names one."""
    found = _dataset(name, registry)
    return printable((found.id_on_hub(name) if found else "") or name)


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]
