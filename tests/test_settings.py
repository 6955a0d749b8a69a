"""Options of what is registered: --set, --config, and what becomes of them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim import Optimizer

import tiny
from ali_plugin import Architecture, Objective, Optimiser, Option, TrainingDefaults, hookimpl
from ali_plugin.config import settings
from ali_plugin.errors import ALIError, ConfigError, OptionError, WeightsError
from ali_plugin.model import ALI
from ali_plugin.objectives.ali import ALIGame
from ali_plugin.objectives.game import Batch, Player, parameters
from ali_plugin.objectives.optimisers import SGD, Adam, AdamW, StableAdamW
from ali_plugin.training import checkpoint
from ali_plugin.training.assemble import assemble
from ali_plugin.training.callbacks.callback import Callback, Run
from ali_plugin.training.checkpoint_state import kept
from ali_plugin.training.choices import chosen
from ali_plugin.training.config import TrainConfig
from ali_plugin.training.configure import configure
from ali_plugin.training.graph import KEPT, WARM_UP, GraphedUpdate
from ali_plugin.training.run import plan, prepare
from ali_plugin.training.trainer import Trainer
from ali_registry import InvalidRecord, Registry, build_registry, default_registry
from conftest import TINY, Ali

SMALL = ("--steps", 2, *TINY)


class Paced(Optimizer):
    """An optimiser of a plugin, which keeps a plain number and a tensor."""

    def __init__(self, given: Any, *, lr: float, betas: tuple[float, float], capturable: bool, pace: float) -> None:
        super().__init__(given, {"lr": lr * pace, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    state = self.state[parameter]
                    state["moves"] = state.get("moves", 0) + 1
                    state["sum"] = state.get("sum", torch.zeros_like(parameter)) + parameter.grad
                    parameter -= group["lr"] * state["sum"] / int(state["moves"])


class PhasedGame(ALIGame):
    """A game with a net of its own, four players that move in their own ways, and a phase."""

    def __init__(self, model: ALI, width: int, note: str) -> None:
        super().__init__(model)
        size = model.config.latent_size
        self.probe = nn.Sequential(nn.Linear(size, width), nn.BatchNorm1d(width), nn.Linear(width, size))
        self.second = False

    def players(self) -> dict[str, Sequence[nn.Parameter] | Player]:  # type: ignore[override]
        return {
            "discriminator": Player(parameters(self.discriminator), "sgd", {"weight_decay": 0.1}, rate=2.0),
            "encoder": Player(parameters(self.encoder), "paced", rate=0.5, betas=(0.0, None)),
            "decoder": parameters(self.decoder),
            "probe": Player(parameters(self.probe), AdamWithoutRate, betas=(0.3, 0.4)),
        }

    def schedule(self, step: int, total_steps: int) -> None:
        self.second = step >= 5

    def modules(self) -> dict[str, nn.Module]:
        return {"probe": self.probe}

    def gradients(self, batch: Batch) -> dict[str, Tensor]:
        figures = super().gradients(batch)
        if self.second:
            z = self.model.encode(batch.x).mean.detach()
            loss = mse_loss(self.probe(z), torch.ones_like(z))
            loss.backward(inputs=parameters(self.probe))
            figures["loss_probe"] = loss.detach()
        return figures


def AdamWithoutRate(given: Any, *, lr: float, betas: tuple[float, float], capturable: bool) -> Optimizer:  # noqa: N802
    return Adam(given, lr, betas)


class Plugin:
    @hookimpl
    def register_objectives(self, register: Callable[[Objective], None]) -> None:
        options = {"width": Option(default=4, low=1, high=9, summary="of the probe"), "note": "none"}
        register(Objective(name="phased", build=PhasedGame, options=options))

    @hookimpl
    def register_optimisers(self, register: Callable[[Optimiser], None]) -> None:
        register(Optimiser(name="paced", build=Paced, options={"pace": 1.0}))


@pytest.fixture(scope="module")
def registry() -> Registry:
    return build_registry([], [tiny, Plugin()])


def trainer(out: Path, registry: Registry, resume: bool = False, **options: Any) -> Trainer:
    chosen = {"architecture": "tiny", "objective": "phased", "steps": 10, "device": "cpu", "batch_size": 8,
              "checkpoint_every": 4, "ema": 0.9, **options}  # fmt: skip
    return prepare(chosen, out, resume=resume, registry=registry)


def test_players_move_in_their_own_ways(registry: Registry, tmp_path: Path) -> None:
    made = trainer(tmp_path / "run", registry, lr="linear:0.01->0.001", beta2="linear:0.5->0.9")
    step = made.training_step
    assert [type(o) for o in step.optimisers.values()] == [SGD, Paced, Adam, Adam]
    assert step.optimisers["discriminator"].param_groups[0]["weight_decay"] == 0.1
    step.schedule(5, 10)
    groups = {name: optimiser.param_groups[0] for name, optimiser in step.optimisers.items()}
    assert {name: round(group["lr"], 6) for name, group in groups.items()} == {
        "discriminator": 0.011, "encoder": 0.00275, "decoder": 0.0055, "probe": 0.0055
    }  # fmt: skip
    assert groups["encoder"]["betas"] == (0.0, 0.7)
    assert groups["decoder"]["betas"] == (0.5, 0.7)
    assert groups["probe"]["betas"] == (0.3, 0.4)


def test_a_game_of_several_phases_and_optimisers_continues_bit_for_bit(registry: Registry, tmp_path: Path) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    trainer(whole, registry).run()
    first = trainer(halves, registry)
    first.callbacks = [Stop()]
    first.run()
    trainer(halves, registry, resume=True).run()
    files = [checkpoint.found(folder)[-1] / checkpoint.TENSORS for folder in (whole, halves)]
    assert files[0].parent.name.endswith("10")
    assert files[0].read_bytes() == files[1].read_bytes()
    saved = load_file(files[0])
    assert "game_average.probe.0.weight" in saved
    assert not torch.equal(saved["game_average.probe.0.weight"], saved["game.probe.0.weight"])
    assert int(saved["optimiser.encoder.0.moves:int"]) == 10


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("optimiser.encoder.0.moves:int", torch.tensor(1.0)),
        ("optimiser.encoder.0.moves:int", torch.zeros(2, dtype=torch.int64)),
        ("optimiser.encoder.0.moves:list", torch.tensor(1)),
        ("optimiser.encoder.0.sum", torch.zeros(99_999)),
        ("optimiser.encoder.0.a b", torch.zeros(1)),
        ("optimiser.encoder.99.sum", torch.zeros(1)),
        ("optimiser.encoder.0.sum", torch.zeros(1, dtype=torch.int8)),
        ("optimiser.discriminator.0.exp_avg", torch.zeros(1)),
        ("optimiser.discriminator.0.momentum_buffer", torch.zeros(1)),
        ("optimiser.decoder.0.momentum_buffer", torch.zeros(1)),
        ("game_average.probe.0.weight", torch.zeros(1)),
        ("game_average.probe.x", torch.zeros(1)),
        ("game_average.probe.0.weight", None),
    ],
)
def test_a_checkpoint_of_other_optimisers_is_compared_too(
    name: str, tensor: Tensor | None, phased: Path, registry: Registry, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(phased, tmp_path / "run"))
    file = checkpoint.found(run)[-1] / checkpoint.TENSORS
    tensors = {key: value for key, value in load_file(file).items() if key != name}
    save_file(tensors if tensor is None else {**tensors, name: tensor}, file)
    with pytest.raises(WeightsError, match=re.escape(name)):
        trainer(run, registry, resume=True)


@pytest.fixture(scope="module")
def phased(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phased") / "run"
    made = trainer(out, registry)
    made.callbacks = [Stop()]
    made.run()
    return out


@pytest.mark.parametrize("slot", [[1], {"a": 1}, "text", 2**70])
def test_what_no_checkpoint_takes(slot: Any) -> None:
    with pytest.raises(WeightsError, match="an optimiser keeps"):
        kept("slot", slot)
    with pytest.raises(WeightsError, match="an optimiser keeps"):
        kept("a.b", torch.zeros(1))


class Stop(Callback):
    """Ends a run at its first checkpoint."""

    def on_checkpoint(self, trainer: Run, path: Path) -> None:
        trainer.stop()


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", Adam), ("adamw", AdamW), ("stable-adamw", StableAdamW), ("sgd", SGD)]
)
def test_the_run_s_optimiser(name: str, kind: type, registry: Registry, tmp_path: Path) -> None:
    options: dict[str, Any] = {"optimiser": name, "settings": {"optimiser": {"weight_decay": 0.25}}, "objective": "ali"}
    for optimiser in trainer(tmp_path / "run", registry, **options).training_step.optimisers.values():
        assert type(optimiser) is kind
        assert optimiser.param_groups[0]["weight_decay"] == 0.25


def test_nets_of_a_game_are_compiled(registry: Registry, tmp_path: Path) -> None:
    made = trainer(tmp_path / "run", registry, compile=True)
    nets = [*made.model.children(), *made.training_step.game.modules().values()]
    assert len(nets) == 4
    assert all(net._compiled_call_impl is not None for net in nets)


def test_each_kind_of_step_has_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is captured when, on any machine: the capture itself needs a GPU."""
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: None)
    log: list[tuple[str, int]] = []
    kind = 0

    class Graph:
        def __init__(self) -> None:
            self.kind = kind

        def replay(self) -> None:
            log.append(("replay", self.kind))

    def eager(batch: Batch) -> dict[str, Tensor]:
        log.append(("eager", kind))
        return {}

    graphed = GraphedUpdate(eager, torch.device("cpu"), lambda: kind)
    monkeypatch.setattr(graphed, "_aside", eager)
    monkeypatch.setattr(graphed, "_capture", lambda batch: (Graph(), {}))
    batch = Batch(torch.zeros(2, 2))
    for step in range(10):
        kind = step % 2
        graphed(batch)
    assert log == [("eager", 0), ("eager", 1)] * WARM_UP + [("replay", 0), ("replay", 1)] * 2
    for kind in range(2, 2 + KEPT):  # noqa: B007 - read by the update
        graphed(batch)
    log.clear()
    kind = 0
    graphed(batch)
    assert log == [("eager", 0)]  # its graph was the oldest one, and is gone


def test_settings_of_a_recipe(registry: Registry) -> None:
    recipe = TrainingDefaults(dataset="stripes", objective="relativistic", lr="cosine:1->0.1", settings={
        "objective": {"gamma": 0.5}, "discriminator": {"width": 5}, "optimiser": {"eps": 1e-6}})  # fmt: skip
    made = Architecture(name="mine", encoder="tiny", decoder="tiny", discriminator="tiny", data_shape=tiny.SHAPE,
                        latent_size=tiny.LATENT, training=recipe)  # fmt: skip

    class Mine:
        @hookimpl
        def register_architectures(self, register: Callable[[Architecture], None]) -> None:
            register(made)

    own = build_registry([], [tiny, Plugin(), Mine()])
    config = configure({"architecture": "mine"}, own)
    assert (config.objective, config.lr) == ("relativistic", "cosine:1->0.1")
    assert config.settings["objective"]["gamma"] == 0.5
    assert config.settings["discriminator"] == {"width": 5}
    other = configure({"architecture": "mine", "objective": "ali", "optimiser": "sgd",
                       "settings": {"discriminator.width": 7}}, own)  # fmt: skip
    assert other.settings == {
        "discriminator": {"width": 7}, "optimiser": {"weight_decay": 0.0, "nesterov": False}
    }  # fmt: skip


def test_averages_with_a_half_life(registry: Registry, tmp_path: Path) -> None:
    step = trainer(tmp_path / "run", registry, ema=None, ema_half_life="linear:0->64@0.5").training_step
    assert step.average is not None
    found = []
    for t in (0, 50, 99):
        step.schedule(t, 100)
        found.append(step.average.decay)
    assert found == [0.0, 0.5 ** (8 / 64), 0.5 ** (8 / 64)]


OPTIONS = {"truth": True, "whole": Option(default=3, low=1, high=5), "real": Option(default=0.5, low=0, high=1),
           "text": "a", "pick": Option(default="a", choices=("a", "b")), "list": (1, 2),
           "moving": Option(default=0.5, low=0, scheduled=True), "reals": (0.5,)}  # fmt: skip
RECORD = Objective(name="thing", build="a:b", options=OPTIONS)


@pytest.mark.parametrize(
    ("word", "value"),
    [("truth=false", False), ("whole=5", 5), ("real=1", 1.0), ("real=1e-3", 0.001), ("text=", ""), ("text=1", "1"),
     ("pick=b", "b"), ("list=4,5,6", [4, 5, 6]), ("list=[7]", [7]), ("moving=2", 2.0), ("text=a=b", "a=b"),
     ("moving=cosine:1->0", "cosine:1->0"), ("moving=step:1->0@0.75", "step:1->0@0.75"), ("reals=1,2.5", [1, 2.5])],
)  # fmt: skip
def test_words(word: str, value: Any) -> None:
    given = settings.parse([f"objective.{word}"])["objective"]
    found = settings.checked(RECORD, given)
    assert list(found.values()) == [value]
    assert type(next(iter(found.values()))) is type(value)
    again = settings.words({"objective": found})
    assert settings.checked(RECORD, settings.parse(again)["objective"]) == found


@pytest.mark.parametrize(
    ("word", "message"),
    [("truth=1", "objective.truth is 1, not true or false"), ("truth=yes", "not true or false"),
     ("whole=6", "not an integer from 1 to 5"), ("whole=0", "from 1 to 5"), ("whole=2.0", "not an integer"),
     ("whole=true", "not an integer"), ("whole=", "not an integer"), ("real=nan", "not a number from 0 to 1"),
     ("real=inf", "not a number"), ("real=1.01", "from 0 to 1"), ("real=x", "not a number"), ("real=null", "None, not"),
     ("pick=c", "'c', not 'a' or 'b'"), ("list=a,b", "not a list"), ("list=1.5", "not a list"),
     ("reals=1,nan", "is [1, nan], not a list of numbers"), ("reals=[Infinity]", "not a list"),
     ("reals=true", "not a list"),
     ("moving=-1", "of at least 0"), ("moving=cosine:1->-1", "-1.0, not a number of at least 0"),
     ("moving=jump:1->2", "no number and no schedule"),
     ("moving=step:1->2", "after a share of the run"), ("wole=1", "has no option 'wole'; did you mean 'whole'?"),
     ("zzz=1", "has no option 'zzz'; it has truth, whole"), ("whole=" + "9" * 5000, "not an integer"),
     ("real=" + "[" * 100000, "not a number")],
)  # fmt: skip
def test_bad_words(word: str, message: str) -> None:
    with pytest.raises(OptionError) as raised:
        settings.checked(RECORD, settings.parse([f"objective.{word}"])["objective"])
    assert message in str(raised.value)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(
    ("word", "message"),
    [("gamma", "takes ROOM.NAME=VALUE"), ("gamma=1", "there is no setting 'gamma'"), ("=1", "there is no setting ''"),
     ("optimizer.eps=1", "did you mean 'optimiser.eps'?"), ("objective.=1", "there is no setting 'objective.'"),
     ("", "takes ROOM.NAME=VALUE")],
)  # fmt: skip
def test_no_settings(word: str, message: str) -> None:
    with pytest.raises(OptionError, match=r"setting|takes") as raised:
        settings.parse([word])
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "options",
    [{"x": Option}, {"x": Option(default=1, needs=("y",))}, {"bad name": 1}, ["x"], {"x": {1, 2}}, {1: 2}],
)
def test_records_with_bad_options(options: Any) -> None:
    with pytest.raises(InvalidRecord):
        Objective(name="thing", build="a:b", options=options)


@pytest.mark.parametrize(
    "option", [{"default": 0, "low": 1}, {"default": "c", "choices": ("a",)}, {"default": float("nan")}]
)
def test_defaults_have_to_be_allowed(option: dict[str, Any]) -> None:
    with pytest.raises(InvalidRecord):
        Option(**option)


def test_parts_have_options_too(registry: Registry) -> None:
    model = ALI.from_architecture("tiny", arguments={"discriminator": {"width": 3}}, registry=registry)
    assert model.part("discriminator").get_parameter("layers.0.weight").shape[0] == 3
    with pytest.raises(OptionError, match="discriminator 'tiny' has no option 'with'; did you mean 'width'"):
        ALI.from_architecture("tiny", arguments={"discriminator": {"with": 3}}, registry=registry)
    with pytest.raises(OptionError, match="width is '3', not an integer"):
        ALI.from_architecture("tiny", arguments={"discriminator": {"width": "3"}}, registry=registry)


GIVEN = ("--objective", "relativistic", "--set", "objective.gamma=cosine:1->0.1", "--set", "objective.packing=2",
         "--set", "encoder.init_std=0.03", "--optimiser", "adamw", "--set", "optimiser.weight_decay=0",
         "--lr", "cosine:1e-3->1e-4", "--ema-half-life", 1000)  # fmt: skip


def test_settings_are_kept_and_repeated(tmp_path: Path, ali: Ali) -> None:
    run, again = tmp_path / "run", tmp_path / "again"
    assert ali("train", *SMALL, *GIVEN, "--out", run).code == 0
    kept = json.loads((run / "train_config.json").read_text())
    assert kept["settings"]["objective"]["gamma"] == "cosine:1->0.1"
    assert kept["settings"]["objective"]["penalty_every"] == 1  # defaults are written out, whatever they become
    assert kept["settings"]["encoder"] == {"init_std": 0.03}
    config = json.loads((run / "config.json").read_text())
    assert config["encoder"]["arguments"] == {"init_std": 0.03}
    assert config["discriminator"]["arguments"] == {"init_std": 0.02, "packing": 2}
    command = json.loads((run / "training.json").read_text())["command"]
    assert "--set 'objective.gamma=cosine:1->0.1'" in command
    assert command in (run / "README.md").read_text()
    assert ali(*shlex.split(command)[1:], "--device", "cpu", "--out", again).code == 0
    weights = [(folder / "model.safetensors").read_bytes() for folder in (run, again)]
    assert weights[0] == weights[1]
    third = tmp_path / "third"
    assert ali("train", "--config", run / "train_config.json", "--out", third).code == 0
    assert (third / "model.safetensors").read_bytes() == weights[0]
    assert (third / "train_config.json").read_text() == (run / "train_config.json").read_text()
    assert ali("train", "--resume", "--out", run, "--steps", 3, "--set", "objective.packing=2").code == 0
    refused = ali("train", "--resume", "--out", run, "--steps", 4, "--set", "objective.gamma=1")
    assert refused.code == 1
    assert "the run was started with objective.gamma 'cosine:1->0.1', not 1.0" in refused.err
    for other in (("--optimiser", "sgd"), ("--lr", "0.1"), ("--set", "encoder.init_std=0.1")):
        assert "the run was started with" in ali("train", "--resume", "--out", run, *other).err


def test_a_file_of_choices(tmp_path: Path, ali: Ali) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        'steps = 2\nbatch_size = 20\nlr = 1\ndevice = "cpu"\n"encoder.init_std" = 0.5\n[objective]\nname = "hinge"\n'
        "gamma = 2\n[settings]\noptimiser.eps = 1e-6\n[settings.decoder]\ninit_std = 0.25\n"
    )
    found = chosen({"lr": 0.5, "steps": None, "settings": ("objective.gamma=3",)}, file)
    assert {key: value for key, value in found.items() if key != "settings"} == {
        "steps": 2, "batch_size": 20, "lr": 0.5, "device": "cpu", "objective": "hinge"
    }  # fmt: skip
    assert found["settings"] == {
        "objective": {"gamma": "3"}, "encoder": {"init_std": 0.5}, "decoder": {"init_std": 0.25},
        "optimiser": {"eps": 1e-6},
    }  # fmt: skip
    assert chosen({"epochs": 3}, file).keys() & {"epochs", "steps"} == {"epochs"}
    made = json.loads(ali("train", "--config", file, "--dry-run", "--json", "--out", tmp_path / "run").out)
    assert made["config"]["settings"]["objective"]["gamma"] == 2.0
    assert made["config"]["architecture"] == "fashion"


@pytest.mark.parametrize(
    ("text", "message"),
    [("steps = 'two'", "steps is 'two', not int"), ("steps = true", "steps is True, not int"),
     ("stps = 2", "has no option 'stps'; did you mean 'steps'"), ("lr = [1]", "lr is [1], not float or str"),
     ("steps = ", "is no TOML"), ("settings = 3", "settings is 3, not a table"), ("objective.gama = 1", "'gama'"),
     ("settings.optimizer.eps = 1", "did you mean 'optimiser.eps'"), ("objective.gamma = '1'", "has no option 'gamma'"),
     ("objective.name = 3", "objective is 3, not str"), ("condition = 'yes'", "condition is 'yes', not bool"),
     ("precision = 'fp16'", "precision is 'fp16', not auto or float32 or tf32 or bf16"),
     ("a = " + "[" * 3000, "is no TOML"),
     ("settings.encoder.init_std = 'wide'", "encoder.init_std is 'wide', not a number"),
     ("'objective.gamma' = 1\n[objective]\ngamma = 2", "'objective.gamma' is there twice"),
     ("[settings]\n'decoder.init_std' = 1\ndecoder.init_std = 1", "'decoder.init_std' is there twice")],
)  # fmt: skip
def test_bad_files(text: str, message: str, tmp_path: Path, ali: Ali) -> None:
    file = tmp_path / "run.toml"
    file.write_text(text)
    result = ali("train", "--config", file, "--out", tmp_path / "run", "--dry-run")
    assert result.code == 1
    assert message in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("room", "named", "given"), [("objective", "relativistic", "hinge"), ("optimiser", "adam", "sgd")]
)
def test_settings_of_a_file_are_of_what_it_names(room: str, named: str, given: str, tmp_path: Path, ali: Ali) -> None:
    """The file of a run has all defaults of its game, with which another one would be no such game."""
    config = configure({"architecture": "fashion", "objective": "relativistic", "steps": 2}, default_registry())
    file = tmp_path / "train_config.json"
    file.write_text(config.to_json())
    result = ali("train", "--config", file, f"--{room}", given, "--dry-run", "--out", tmp_path / "run")
    assert result.code == 1
    assert f"has settings of {room} {named!r}, not of {given!r}" in result.err
    assert result.err.count("\n") == 1
    file.write_text(json.dumps({"settings": {room: config.settings[room]}}))  # of no name
    assert chosen({room: given}, file)[room] == given


def test_missing_and_odd_files(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1]")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    for file in (tmp_path / "none.toml", tmp_path / "a.json", tmp_path / "b.toml", tmp_path):
        with pytest.raises(ConfigError):
            chosen({}, file)
    with pytest.raises(ConfigError, match=r"give a TOML file, or the train_config\.json of a run"):
        chosen({}, tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--objective", "ali", "--set", "objective.gamma=1"], "objective 'ali' has no option 'gamma'"),
        (["--set", "objective.gamma=-1"], "objective.gamma is -1, not a number from 0 to 1e+06"),
        (["--set", "objective.cycle_x=1e39"], "objective.cycle_x is 1e+39, not a number from 0 to 1e+06"),
        (["--set", "objective.contrast=cosine:0->2e6"], "not a number from 0 to 1e+06"),
        (["--set", "objective.packing=3"], "objective.packing is 3, which does not divide the 20 samples"),
        (["--set", "objective.packing=2", "--devices", 10, "--set", "objective.packing=4"], "divide the 2 samples"),
        (["--set", "objective.packing=2", "--set", "discriminator.packing=4"], "say objective.packing"),
        (["--objective", "ali", "--set", "discriminator.packing=4"], "judges pairs one by one"),
        (["--objective", "vae", "--set", "discriminator.unary=true"], "objective 'vae' takes no scores of x and z"),
        (["--set", "objective.gamma=0", "--set", "objective.penalty_every=8"], "nothing without objective.gamma; set"),
        (["--set", "objective.gamma=step:0->0@0.5", "--set", "objective.penalty=r1"], "penalty is 'r1', which does"),
        (["--set", "objective.cycle_norm=l1"], "without objective.cycle_x or objective.cycle_features; set that"),
        (["--set", "objective.temperature=1"], "nothing without objective.contrast"),
        (["--set", "objective.augment=colour,flip"], "objective.augment has 'flip'"),
        (["--set", "objective.penalty=r3"], "objective.penalty is 'r3', not 'r1' or 'r2' or 'both'"),
        (["--arch", "mixture", "--set", "objective.augment=colour"], "augment is for pictures"),
        (["--arch", "mixture", "--set", "objective.symmetric=true"], "symmetric is for pictures"),
        (["--lr", "cosine:1->0"], "--lr is 0.0, it has to be positive"),
        (["--lr", "fast"], "--lr: 'fast' is no number and no schedule"),
        (["--beta2", "cosine:0.9->1"], "--beta2 is cosine:0.9->1, it has to be at least 0 and below 1"),
        (["--ema", "0.9", "--ema-half-life", "10"], "--ema or --ema-half-life, one of them"),
        (["--optimiser", "adamm"], "did you mean 'adam'"),
        (["--optimiser", "sgd", "--set", "optimiser.eps=1"], "optimiser 'sgd' has no option 'eps'"),
        (["--optimiser", "sgd", "--beta1", "0", "--set", "optimiser.nesterov=true"], "cannot be built"),
    ],
)
def test_bad_settings_of_a_run(arguments: list[str], message: str, tmp_path: Path, ali: Ali) -> None:
    words = ["--objective", "relativistic", *arguments]
    result = ali("train", *words, "--batch-size", 20, "--steps", 1, "--device", "cpu", "--out", tmp_path / "run")
    assert result.code == 1, result.out
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_what_a_recipe_says_of_a_penalty_goes_with_it(tmp_path: Path) -> None:
    """Who leaves the penalty out is not told of what else is said of it, neither now nor by the file of that run."""
    asked = {"architecture": "garments", "settings": ("objective.gamma=0",)}
    config = configure(chosen(asked), default_registry())
    options = config.settings["objective"]
    assert (options["gamma"], options["penalty_every"], options["penalty_share"]) == (0.0, 1, 1.0)
    assert options["cycle_x"] == "cosine:10->25"
    file = tmp_path / "train_config.json"
    file.write_text(config.to_json())
    assert configure(chosen({}, file), default_registry()) == config


@pytest.mark.parametrize(
    ("objective", "options", "message"),
    [
        ("hinge", {}, "discriminator 'tiny' has no option 'unary'; leave it out with --set objective.unary=false"),
        ("relativistic", {"packing": 2}, "discriminator 'tiny' has no option 'packing'"),
        ("relativistic", {"symmetric": True}, "discriminator 'tiny' has no option 'symmetric'"),
        ("alice", {"cycle_features": 1}, "discriminator 'tiny' gives no features of x"),
    ],
)
def test_what_a_discriminator_does_not_offer(
    objective: str, options: dict[str, Any], message: str, registry: Registry, tmp_path: Path
) -> None:
    asked = {"architecture": "tiny", "objective": objective, "steps": 1, "settings": {"objective": options}}
    with pytest.raises(OptionError) as raised:
        plan(asked, tmp_path / "run", False, registry=registry)
    assert message in str(raised.value)


@pytest.mark.parametrize("objective", ["relativistic", "hinge", "alice"])
def test_nets_of_a_plugin_play_every_game(objective: str, registry: Registry, tmp_path: Path) -> None:
    options = {"unary": False, "gamma": 0.1, "cycle_x": 1, "cycle_z": 1, "noise": 0.1}
    asked = {"architecture": "tiny", "objective": objective, "steps": 3, "batch_size": 8, "device": "cpu",
             "settings": {"objective": options}}  # fmt: skip
    prepare(asked, tmp_path / "run", registry=registry).run()
    line = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"penalty", "cycle_x", "cycle_z", "loss_generator"} <= line.keys()


def test_a_lazy_game_continues_bit_for_bit(registry: Registry, tmp_path: Path) -> None:
    options: dict[str, Any] = {"objective": "relativistic", "optimiser": "stable-adamw", "settings": {"objective": {
        "penalty_every": 3, "gamma": "cosine:1->0.1", "noise": "linear:0.2->0@0.6", "cycle_z": 1.0}}}  # fmt: skip
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    trainer(whole, registry, **options).run()
    first = trainer(halves, registry, **options)
    first.callbacks = [Stop()]
    first.run()
    trainer(halves, registry, resume=True, **options).run()
    files = [checkpoint.found(folder)[-1] / checkpoint.TENSORS for folder in (whole, halves)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_show_lists_options(ali: Ali) -> None:
    shown = json.loads(ali("show", "relativistic", "--json").out)[0]
    assert shown["options"]["gamma"] == {
        "default": "1.0", "kind": "a number from 0 to 1e+06, or a schedule of such",
        "summary": "of the gradient penalties R1 and R2",
    }  # fmt: skip
    text = ali("show", "adamw").out
    assert "--set optimiser.NAME=VALUE" in text
    assert "weight_decay" in text


def test_an_older_run_has_no_settings(registry: Registry, tmp_path: Path) -> None:
    config = configure({"architecture": "tiny", "steps": 2}, registry)
    old = {key: value for key, value in json.loads(config.to_json()).items()
           if key not in ("settings", "optimiser", "ema_half_life")}  # fmt: skip
    (tmp_path / "train_config.json").write_text(json.dumps(old))
    read = TrainConfig.from_file(tmp_path / "train_config.json")
    assert read.optimiser == "adam"
    damaged: Any
    for damaged in ("x", {"objective": 3}, {"nothing": {"x": 1}}, []):
        (tmp_path / "train_config.json").write_text(json.dumps({**old, "settings": damaged}))
        with pytest.raises(ALIError, match="setting"):
            TrainConfig.from_file(tmp_path / "train_config.json")
    assert Trainer(assemble(read, registry), tmp_path / "run").run().steps == 2


def test_errors_are_named() -> None:
    assert issubclass(OptionError, ALIError)
