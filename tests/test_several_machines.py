"""Runs of several machines, here of several agents of torchrun on one: the same run, whoever dies or comes late."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml  # type: ignore[import-untyped]  # comes with huggingface_hub
from safetensors.torch import load_file

from ali_plugin.errors import FolderError, OptionError, ProcessesFailed
from ali_plugin.training import checkpoint, distributed, launcher
from ali_plugin.training.batches import share
from ali_plugin.training.launched import Launched
from conftest import TINY, Ali, Result, program
from test_distributed import WORKER, run_workers, workers_of

# With the store that its agents share, a machine that comes late waits for ever for the address of the first one.
OWN_STORE = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "OMP_NUM_THREADS": "1"}
SOON = "join_timeout=300,last_call_timeout=1,keep_alive_interval=1,keep_alive_max_attempt=3"
WAITING = 600.0  # seconds; a process takes many to start on a busy machine


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("localhost", 0))
        port: int = bound.getsockname()[1]
        return port


class Agents:
    """Agents of one run, started as on machines of its own each; they end with the test."""

    def __init__(self, nodes: str) -> None:
        self._port = free_port()
        self._launch = [sys.executable, "-m", "torch.distributed.run", "--nnodes", nodes, "--nproc-per-node", "1",
                        "--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{self._port}", "--rdzv-id", "tests",
                        "--rdzv-conf", SOON, "--local-addr", "localhost", "--max-restarts", "3"]  # fmt: skip
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *command: str) -> subprocess.Popen[str]:
        """One more machine; a session of its own, so that all of it can die at once."""
        agent = subprocess.Popen([*self._launch, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                 text=True, start_new_session=True, env={**os.environ, **OWN_STORE})  # fmt: skip
        self.started.append(agent)
        return agent

    def start_first(self, *command: str) -> subprocess.Popen[str]:
        """The machine at which all meet: the one that is there before any other, as all have one address here."""
        agent = self.start(*command)
        wait_for(self._is_met, agent)
        return agent

    def _is_met(self) -> bool:
        with socket.socket() as tried:
            return tried.connect_ex(("localhost", self._port)) == 0

    def end(self) -> None:
        for agent in self.started:
            if agent.poll() is None:
                die(agent)
            agent.wait()
            assert agent.stderr is not None
            agent.stderr.close()


@pytest.fixture
def agents(request: pytest.FixtureRequest) -> Iterator[Agents]:
    made = Agents(request.param)
    yield made
    made.end()


def wait_for(what: Callable[[], object], agent: subprocess.Popen[str]) -> None:
    end = time.monotonic() + WAITING
    while not what():
        assert time.monotonic() < end
        assert agent.poll() is None, agent.communicate()[1]
        time.sleep(0.02)


def steps_of(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def processes_of(run: Path) -> int:
    """How many made the newest checkpoint."""
    saved = checkpoint.found(run)[-1:]
    return sum(name.startswith("random.cpu.") for name in load_file(saved[0] / checkpoint.TENSORS)) if saved else 0


@pytest.mark.slow
@pytest.mark.parametrize("agents", ["2"], indirect=True)
@pytest.mark.parametrize("architecture", ["plain", "batch-norm"])
def test_two_nodes_make_the_run_of_one(agents: Agents, architecture: str, tmp_path: Path) -> None:
    run_workers(1, tmp_path / "1", architecture)
    started = [agents.start(str(WORKER), str(tmp_path / "2"), architecture) for _ in range(2)]
    for agent in started:
        assert agent.wait(WAITING) == 0, agent.communicate()[1]
    one, two = (load_file(tmp_path / n / architecture / "model.safetensors") for n in "12")
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=2e-4, atol=2e-6, msg=name)


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the workers through /proc")


def for_ever(run: Path) -> list[str]:
    """What an agent starts: a run that only its end ends, with a checkpoint every few seconds."""
    options = ["--arch", "mixture", "--batch-size", "20", "--log-every", "50", "--sample-every", "1000",
               "--checkpoint-every", "200", "--device", "cpu", "--steps", str(10**7), "--out", str(run)]  # fmt: skip
    return ["--no-python", *program(), "train", *options]


def die(machine: subprocess.Popen[str]) -> None:
    for process in (machine.pid, *workers_of(machine.pid)):
        os.kill(process, signal.SIGKILL)


def wait_for_checkpoint(run: Path, agent: subprocess.Popen[str]) -> Path:
    """One more; returns the last before it."""
    before = checkpoint.found(run)[-1]
    wait_for(lambda: checkpoint.found(run)[-1] != before, agent)
    return before


@pytest.mark.slow
@needs_proc
@pytest.mark.parametrize("agents", ["1:2"], indirect=True)
def test_a_late_joiner_a_dead_process_and_a_dead_agent(agents: Agents, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = agents.start(*for_ever(run))
    wait_for(lambda: processes_of(run) == 1, first)
    second = agents.start(*for_ever(run))
    wait_for(lambda: processes_of(run) == 2, first)
    worker = workers_of(first.pid)[-1]
    os.kill(worker, signal.SIGKILL)  # a process dies, both agents start theirs again
    wait_for(lambda: workers_of(first.pid) not in ([], [worker]), first)
    wait_for_checkpoint(run, first)
    assert processes_of(run) == 2
    die(second)
    wait_for(lambda: processes_of(run) == 1, first)
    before = wait_for_checkpoint(run, first)
    os.kill(first.pid, signal.SIGTERM)
    first.wait(WAITING)
    made = steps_of(run)  # and the steps at which a process was told to end
    assert made == sorted(set(made))
    assert [step for step in made if step % 50 == 0] == list(range(50, made[-1] + 1, 50))
    assert made[-1] == checkpoint.last_step(run) > int(before.name.removeprefix("step-"))
    assert (run / "model.safetensors").exists()


@pytest.mark.slow
@needs_proc
@pytest.mark.parametrize("agents", ["2"], indirect=True)
def test_a_dead_machine_is_waited_for_and_the_first_is_missed(agents: Agents, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first, second = agents.start_first(*for_ever(run)), agents.start(*for_ever(run))
    wait_for(lambda: processes_of(run) == 2, first)
    die(second)
    third = agents.start(*for_ever(run))
    wait_for_checkpoint(run, first)
    assert third.poll() is None
    assert processes_of(run) == 2
    die(first)  # at which all meet
    assert third.wait(WAITING) != 0
    before = checkpoint.last_step(run)
    again, _ = agents.start_first(*for_ever(run)), agents.start(*for_ever(run))
    wait_for_checkpoint(run, again)
    made = steps_of(run)
    assert made == sorted(set(made))
    assert checkpoint.last_step(run) > before


EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "several-machines"


def fake(folder: Path, name: str, script: str) -> None:
    """A program of a cluster that is not here."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/bash\n{script}\n")
    (folder / name).chmod(0o755)


def two_machines(way: str, port: int, out: Path, bin: Path) -> list[tuple[list[str], dict[str, str]]]:
    """What each machine, or the batch node, runs in the folder of the examples, with what is in its environment."""
    words = [*TINY, "--steps", "10", "--out", str(out)]
    if way == "torchrun":
        return [(["bash", "torchrun.sh", f"localhost:{port}", "2", "tests", *words], {"PROCESSES": "1"})] * 2
    if way == "slurm":
        fake(bin, "scontrol", 'test "$1 $2" = "show hostnames" && echo localhost && echo other')
        fake(bin, "srun", '"$@" & first=$!; "$@"; second=$?; wait $first && exit $second')
        job = {"SLURM_JOB_ID": str(port - 20000), "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_NUM_NODES": "2"}
        return [(["bash", "slurm.sbatch", *words], {**job, "SLURM_GPUS_ON_NODE": "1"})]
    task = yaml.safe_load((EXAMPLES / "skypilot.yaml").read_text())
    script = task["run"].replace(":29500", f":{port}")
    node = {"SKYPILOT_NODE_IPS": "localhost\nother", "SKYPILOT_NUM_NODES": str(task["num_nodes"]),
            "SKYPILOT_NUM_GPUS_PER_NODE": "1", "SKYPILOT_TASK_ID": "sky-1", "OPTIONS": shlex.join(words)}  # fmt: skip
    return [(["bash", "-c", script], {**node, "SKYPILOT_NODE_RANK": rank}) for rank in "01"]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["torchrun", "slurm", "skypilot"])
def test_the_examples_train_on_two_machines(way: str, tmp_path: Path) -> None:
    out, port = tmp_path / "run", 20000 + free_port() % 20000
    fake(tmp_path / "bin", "ali", shlex.join(program()) + ' "$@"')
    agent = [sys.executable, "-m", "torch.distributed.run", "--local-addr", "localhost"]
    fake(tmp_path / "bin", "torchrun", shlex.join(agent) + ' "$@"')
    path = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    started = [subprocess.Popen(command, cwd=EXAMPLES, env={**os.environ, **path, **given}, stderr=subprocess.PIPE,
                                stdout=subprocess.DEVNULL, text=True, start_new_session=True)
               for command, given in two_machines(way, port, out, tmp_path / "bin")]  # fmt: skip
    try:
        for machine in started:
            _, said = machine.communicate(timeout=WAITING)
            assert machine.returncode == 0, said
    finally:
        for machine in started:
            if machine.poll() is None:
                os.killpg(machine.pid, signal.SIGTERM)
    assert processes_of(out) == 2
    assert steps_of(out) == [5, 10]


def test_errors_that_would_come_again_are_not_tried_again(tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [*program(), "train", "--arch", "fashion", "--devices", "2", "--steps", "20", *TINY, "--lr", "1e8",
               "--out", str(run)]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, timeout=WAITING)
    assert ended.returncode == 1
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 3, ended.stderr  # of each process, and of the program
    assert errors[-1].startswith("error: the run's processes failed: TrainingDiverged: ")


ONE_TELLS = """
import json, os, pathlib, sys, time
with open({tries!r}, "a") as file:
    file.write("x")
if os.environ["RANK"] == "0":
    told = {{"message": {{"message": "DataError: a shard is cut off", "extraInfo": {{"timestamp": "1"}}}}}}
    pathlib.Path(os.environ["TORCHELASTIC_ERROR_FILE"]).write_text(json.dumps(told))
    time.sleep(60)
time.sleep(1)
sys.exit(1)
"""


def test_an_error_of_a_process_counts_that_others_were_quicker_to_end_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What told of an error has not ended yet when PyTorch finds that another, which lost it, has."""
    script, tries, temporary = tmp_path / "process.py", tmp_path / "tries", tmp_path / "temporary"
    script.write_text(ONE_TELLS.format(tries=str(tries)))
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(launcher, "python_module", lambda *_: [sys.executable, str(script)])
    with pytest.raises(ProcessesFailed, match="the run's processes failed: DataError: a shard is cut off"):
        launcher.launch(2, [])
    assert tries.read_text() == "xx"
    assert not list(temporary.iterdir())


LAUNCHED = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29400"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({**LAUNCHED, "TORCHELASTIC_RUN_ID": "job-7"}, "job-7"),
        ({**LAUNCHED, "TORCHELASTIC_RUN_ID": "none"}, ""),
        ({**LAUNCHED, "TORCHELASTIC_RUN_ID": " "}, ""),
        (LAUNCHED, ""),
        ({"TORCHELASTIC_RUN_ID": "left behind"}, ""),
        ({"RANK": "0", "WORLD_SIZE": "1", "TORCHELASTIC_RUN_ID": "alone yet"}, "alone yet"),
        ({**LAUNCHED, "TORCHELASTIC_ERROR_FILE": "/tmp/x/none_k3/attempt_2/1/error.json"}, "/tmp/x/none_k3"),
        ({**LAUNCHED, "TORCHELASTIC_ERROR_FILE": "error.json"}, ""),
    ],
)
def test_the_launcher_s_name_of_a_run(environment: dict[str, str], expected: str) -> None:
    assert Launched.from_environment(environment).launch == expected


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch, ali: Ali, tmp_path: Path) -> Callable[[str, int], Result]:
    """Train in ``run`` so many steps as a launch of that name does."""

    def train(launch: str, steps: int) -> Result:
        monkeypatch.setenv("WORLD_SIZE", "1")
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", launch)
        return ali("train", *TINY, "--steps", steps, "--out", tmp_path / "run")

    return train


def test_a_launch_takes_up_its_own_run_and_no_other(launched: Callable[[str, int], Result], tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert launched("job-7", 10).code == 0
    assert launched("job-7", 20).code == 0
    assert steps_of(run) == [5, 10, 15, 20]
    for other in ("job-8", "none", "job"):
        refused = launched(other, 30)
        assert refused.code == 1
        assert "continue its run with --resume" in refused.err
    assert steps_of(run) == [5, 10, 15, 20]
    (run / ".launch").write_bytes(b"\xff" * 9)
    assert launched("job-7", 30).code == 1


def test_a_launch_begins_its_run_again_that_has_no_checkpoint_yet(
    launched: Callable[[str, int], Result], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert launched("job-7", 10).code == 0
    shutil.rmtree(run / "checkpoints")
    assert (run / "best").is_dir()
    assert launched("job-8", 10).code == 1
    assert steps_of(run) == [5, 10]
    again = launched("job-7", 5)
    assert again.code == 0, again.err
    assert steps_of(run) == [5]


def test_a_run_that_a_person_goes_on_with_is_no_launch_s_any_more(
    launched: Callable[[str, int], Result], ali: Ali, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert launched("job-7", 10).code == 0
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    assert ali("train", "--resume", "--steps", 20, "--out", tmp_path / "run").code == 0
    assert launched("job-7", 30).code == 1


@pytest.mark.slow
def test_a_launch_that_is_refused_stays_refused_when_it_is_started_again(trained: Path) -> None:
    before = steps_of(trained)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "1", "--max-restarts", "1",
               "--master-port", str(free_port()), "--no-python", *program(), "train", *TINY]  # fmt: skip
    ended = subprocess.run([*command, "--out", str(trained)], capture_output=True, text=True, timeout=WAITING)
    assert ended.returncode == 1
    said = [line for line in ended.stderr.splitlines() if line.startswith("error:")]  # torchrun shows the last again
    assert len(said) == 2, ended.stderr
    assert all("continue its run with --resume" in line for line in said)
    assert steps_of(trained) == before


def test_another_process_that_has_ended_is_no_fault_of_a_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer\nsecond line")

    for name in ("all_reduce", "all_gather", "barrier"):
        monkeypatch.setattr(torch.distributed, name, fail)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "get_backend", lambda: "gloo")
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.ones(2)
    optimisers = {"all": torch.optim.SGD([parameter])}
    for talk in (
        lambda: distributed.average_gradients(optimisers),
        lambda: distributed.mean_over_processes(torch.ones(1)),
        lambda: distributed.gather(torch.ones(1)),
        distributed.barrier,
    ):
        with pytest.raises(ProcessesFailed, match=r"has ended or does not answer .*closed by peer\)$"):
            talk()
    with pytest.raises(ProcessesFailed), distributed.talking():
        distributed.sum_over_processes(torch.ones(1))  # of a net's own batch norm
    with pytest.raises(RuntimeError, match="size mismatch"), distributed.talking():
        raise RuntimeError("size mismatch")


@pytest.mark.parametrize(
    ("batch_size", "processes", "labelled", "said"),
    [
        (5, 2, None, "--batch-size is 5, which 2 processes cannot share equally; take a multiple of 2"),
        (2, 4, None, "--batch-size is 2, which 4 processes"),
        (20, 4, 10, "--labels is 10, which 4 processes"),
        (20, 4, 3, "--labels is 3, which 4 processes"),
    ],
)
def test_rows_that_processes_cannot_share(batch_size: int, processes: int, labelled: int | None, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        share(batch_size, processes, labelled)


def test_rows_that_processes_can_share() -> None:
    assert share(20, 4, 500) == 5
    assert share(20, 4, 8) == 5
    assert share(7, 1, 3) == 7


def test_folders_that_machines_do_not_share(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = torch.tensor(30), torch.tensor(0)
    monkeypatch.setattr(distributed, "gather", lambda value: list(seen))
    with pytest.raises(FolderError, match="of steps 0 and 30; --out has to be a folder that all machines share"):
        distributed.refuse_other_step(30, "runs/fashion")
