"""What the Hub demands of the metadata on top of a README.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml  # type: ignore[import-untyped]  # comes with huggingface_hub

FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*$", re.DOTALL | re.MULTILINE)

LICENSES = """
afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0
bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5
cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0
cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0
etalab-2.0 eupl-1.1 fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0 grok2-community
h-research intel-research isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4
lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openrail openrail++ osl-3.0 other pddl postgresql
unknown unlicense wtfpl zlib
"""
TEXTS = ("library_name", "license_link", "license_name", "pipeline_tag")
TEXT_LISTS = ("base_model", "datasets", "language", "license", "metrics", "tags")


class CardError(ValueError):
    """The top of a README.md that is no metadata."""


def metadata(readme: str) -> dict[str, Any]:
    """The metadata of a README.md; empty if it has none."""
    match = FRONT_MATTER.match(readme)
    if match is None:
        return {}
    try:
        data = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        raise CardError(f"The metadata is not YAML: {error}") from error
    if not isinstance(data, dict | None):
        raise CardError("The metadata must be a mapping.")
    return data or {}


def problems(data: dict[str, Any]) -> list[str]:
    """Everything that the Hub would refuse in this metadata, one sentence each."""
    found = [f'"{key}" must be a string' for key in TEXTS if key in data and not isinstance(data[key], str)]
    for key in TEXT_LISTS:
        if not is_texts(data.get(key, [])):
            found.append(f'"{key}" must be a string or a list of strings')
    licenses = data.get("license", [])
    for name in licenses if isinstance(licenses, list) else [licenses]:
        if isinstance(name, str) and name not in LICENSES.split():
            found.append(f'"license" (={name}) must be one of the Hub\'s license identifiers, or "other"')
    if "model-index" in data:
        found += model_index_problems(data["model-index"])
    return found


def model_index_problems(index: Any) -> Iterator[str]:
    if not isinstance(index, list):
        yield '"model-index" must be a list'
        return
    for i, model in enumerate(index):
        yield from missing(model, f"model-index[{i}]", name=str, results=list)
        for j, result in enumerate(elements(model, "results")):
            at = f"model-index[{i}].results[{j}]"
            yield from missing(result, at, task=dict, metrics=list)
            if isinstance(result, dict):
                yield from missing(result.get("task"), f"{at}.task", type=str)
                if "dataset" in result:
                    yield from missing(result["dataset"], f"{at}.dataset", type=str, name=str)
            for k, metric in enumerate(elements(result, "metrics")):
                yield from missing(metric, f"{at}.metrics[{k}]", type=str, value=object)


def missing(mapping: Any, at: str, /, **fields: type) -> Iterator[str]:
    """What keeps `mapping` from being one with these fields."""
    for name, kind in fields.items():
        found = mapping.get(name) if isinstance(mapping, dict) else None
        if found is None or not isinstance(found, kind):
            yield f'"{at}.{name}" must be present' + (f" and a {kind.__name__}" if kind is not object else "")


def elements(value: Any, key: str) -> list[Any]:
    inner = value.get(key) if isinstance(value, dict) else None
    return inner if isinstance(inner, list) else []


def is_texts(value: Any) -> bool:
    return all(isinstance(text, str) for text in (value if isinstance(value, list) else [value]))
