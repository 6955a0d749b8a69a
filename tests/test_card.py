"""Model cards: what the Hub understands of them, and that a person's words stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard, ModelCardData

from ali_plugin import ALI, ALIError
from ali_plugin.errors import CardError
from ali_plugin.folder import evaluation_record as record
from ali_plugin.folder.checked import check
from ali_plugin.folder.evaluation_record import Figure
from ali_plugin.folder.training_record import TrainingRecord
from ali_plugin.hub import card
from conftest import Ali

MSE = Figure("reconstruction", "mse", 0.25, "cifar10", "test", "x | z | x, 50 samples", 3)


def yaml_of(text: str) -> dict[str, Any]:
    """The metadata of a card as the client reads them."""
    data: Any = ModelCard(text).data
    return dict(data.to_dict())


def metadata(text: str) -> ModelCardData:
    """The metadata of a card as the client's own class, which checks them."""
    return ModelCardData(**yaml_of(text))


def edit(folder: Path, old: str, new: str) -> None:
    path = folder / "README.md"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_run_ends_with_a_card(trained: Path) -> None:
    made = ModelCard.load(trained / "README.md")
    data = yaml_of(str(made))
    assert data["library_name"] == "ali-plugin"
    assert data["pipeline_tag"] == "unconditional-image-generation"
    assert data["license"] == "mit"
    assert data["datasets"] == ["zalando-datasets/fashion_mnist"]
    assert {"ali", "bigan", "fashion"} <= set(data["tags"])
    assert "model-index" not in data
    for shown in ("![samples](samples.png)", "![reconstructions](reconstructions.png)", "from_pretrained(", "--seed 0",
                  "30 steps", "torch 2", "ali-plugin 0", "processor", "limits"):  # fmt: skip
        assert shown in made.text
    assert "## Evaluation" not in made.text


def test_the_command_of_the_card_repeats_the_run(trained: Path, tmp_path: Path, ali: Ali) -> None:
    training = TrainingRecord.from_folder(trained)
    assert training is not None
    assert (training.steps, training.planned, training.seed) == (30, 30, 0)
    again = tmp_path / "again"
    assert ali("-q", *training.command.split()[1:], "--device", "cpu", "--out", again).code == 0
    assert (again / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()


def test_every_figure_with_its_data_and_protocol(trained: Path) -> None:
    other = Figure("representation", "accuracy", 0.5, "fashion-mini", "test", "nearest neighbour", 0)
    record.keep(trained, [MSE, other])
    results = metadata(card.write(trained, "me/mine")).eval_results or []
    found = {(r.metric_type, r.metric_value, r.dataset_name, r.dataset_type, r.dataset_split) for r in results}
    assert found == {
        ("mse", 0.25, "cifar10", "uoft-cs/cifar10", "test"),
        ("accuracy", 0.5, "fashion-mini", "zalando-datasets/fashion_mnist", "test"),
    }
    assert {r.metric_args["protocol"] for r in results if r.metric_args} == {MSE.protocol, other.protocol}
    text = (trained / "README.md").read_text()
    assert "| reconstruction | mse | 0.25 | cifar10, test | x / z / x, 50 samples | 3 |" in text
    assert "- name: mine\n" in text


def test_figures_are_merged_and_leave_with_their_weights(trained: Path) -> None:
    record.keep(trained, [MSE])
    record.keep(trained, [Figure("reconstruction", "psnr", 9.0, "cifar10", "test", "p", 0),
                      Figure("reconstruction", "mse", float("inf"), "cifar10", "test", "p", 0)])  # fmt: skip
    assert [figure.figure for figure in record.read(trained)] == ["psnr"]
    assert "| reconstruction | psnr |" in card.write(trained)
    ALI.from_architecture("fashion").save_pretrained(trained)
    assert record.read(trained) == []
    assert "psnr" not in card.write(trained)


def test_own_words_and_metadata_survive(trained: Path) -> None:
    edit(trained, "<!-- ali: use -->", "My first model, trained at home.\n\n<!-- ali: use -->")
    edit(trained, "license: mit", "license: cc-by-4.0\nlanguage: de")
    edit(trained, "- bigan\n", "- bigan\n- my-tag\n")
    text = (trained / "README.md").read_text()
    start, end = text.index("<!-- ali: limits -->"), text.index("<!-- /ali: limits -->")
    (trained / "README.md").write_text(text[:start] + "Only for me.\n" + text[end + len("<!-- /ali: limits -->\n") :])
    record.keep(trained, [MSE])
    made = card.write(trained, "me/mine")
    assert "My first model, trained at home.\n\n<!-- ali: use -->" in made
    assert "Only for me." in made
    assert "Intended use and limits" not in made  # what was taken out stays out
    assert 'from_pretrained("me/mine")' in made
    data = yaml_of(made)
    assert (data["license"], data["language"]) == ("cc-by-4.0", "de")
    assert "my-tag" in data["tags"]
    assert data["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.25
    assert card.write(trained) == made  # it knows where it was published, and nothing else changes


def test_a_readme_of_somebodys_own_is_kept(trained: Path) -> None:
    (trained / "README.md").write_text("# Hello\n\nThis is mine.\n")
    made = card.write(trained)
    assert "---\n# Hello\n\nThis is mine.\n\n<!-- ali: summary -->" in made
    assert card.write(trained) == made


@pytest.mark.parametrize("front", ["a: [", "- a list", "tags: !!python/object/apply:os.system [ls]"])
def test_metadata_that_cannot_be_read_are_not_overwritten(trained: Path, front: str) -> None:
    before = f"---\n{front}\n---\n# Hello\n"
    (trained / "README.md").write_text(before)
    with pytest.raises(CardError, match=r"metadata on top of README\.md cannot be read"):
        card.write(trained)
    assert (trained / "README.md").read_text() == before


def test_the_command(trained: Path, ali: Ali) -> None:
    before = (trained / "README.md").read_text()
    shown = ali("card", trained, "--license", "cc0-1.0")
    assert shown.out == before.replace("license: mit", "license: cc0-1.0")
    assert json.loads(ali("card", trained, "--json").out)["text"] == before
    assert (trained / "README.md").read_text() == before
    assert ali("card", trained, "--write", "--license", "cc0-1.0").code == 0
    assert (trained / "README.md").read_text() == shown.out
    ali("evaluate", trained, "--metric", "reconstruction")
    assert "| reconstruction | psnr |" in ali("card", trained).out


@pytest.mark.parametrize("name", ["evaluation.json", "training.json"])
@pytest.mark.parametrize("content", ["{", "[1]", "{}", '[{"metric": 1}]', "[" * 5000, "1e999"])
def test_damaged_records(trained: Path, name: str, content: str) -> None:
    (trained / name).write_text(content)
    with pytest.raises(ALIError, match=name):
        card.text(check(trained))


def test_models_without_a_run(untrained: Path) -> None:
    made = card.write(untrained)
    assert metadata(made).license == "unknown"
    assert "## Training" not in made
    assert "![" not in made
