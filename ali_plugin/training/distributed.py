"""Several processes, one run: each takes its rows of every batch, and gradients are averaged.

A launcher (torchrun, or ours) tells each process its rank through the environment. Batch norm sees the rows of all
processes, so that N processes make the run of one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from ali_plugin.errors import ALIError, DeviceError, FolderError, HubError, OptionError, ProcessesFailed
from ali_plugin.support.devices import resolve_device
from ali_plugin.training.launched import ADVICE, Launched
from ali_registry.text import printable

PASSING = (ProcessesFailed, HubError)  # errors of ours that another try may not meet
JOIN = timedelta(minutes=5)  # for all processes to start

ALONE = Launched()
_place: ContextVar[Launched] = ContextVar("place", default=ALONE)


def rank() -> int:
    """Number of this process in the run that it has joined, 0 where there is only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes make the run that this one has joined."""
    return dist.get_world_size() if dist.is_initialized() else 1


def launch_name() -> str:
    """What the launcher calls this run, so that processes which start again or later know it; "" for none."""
    return _place.get().launch


def local_device(device: torch.device) -> torch.device:
    """The device of this process: its own GPU, where the run is on GPUs."""
    if device.type == "cuda" and device.index is None and world_size() > 1:
        return torch.device("cuda", _place.get().local_rank)
    return device


def refuse_shared_gpu(device: torch.device, processes: int) -> None:
    """Raise where so many processes of this machine cannot have a GPU each; on a CPU they need none.

    Raises:
        OptionError: the device is one certain GPU.
        DeviceError: there are fewer GPUs than processes.
    """
    if device.type != "cuda" or processes == 1:
        return
    if device.index is not None:
        raise OptionError(f"--device is {device}, one GPU for {processes} processes; --device cuda gives each its own")
    if processes > torch.cuda.device_count():
        raise DeviceError(f"{processes} processes need a GPU each, this machine has {torch.cuda.device_count()}; "
                          "take fewer --devices, or --device cpu")  # fmt: skip


@contextmanager
def process_group(device: str | None) -> Iterator[None]:
    """Join the other processes of the run, if there are any, for work on a device (by name; None: the best).

    Raises:
        OptionError: the launcher's variables in the environment cannot be.
        DeviceError: this process has no GPU of its own.
        ProcessesFailed: the others do not come.
    """
    place = Launched.from_environment()
    token = _place.set(place)
    joined = False
    try:
        if place.world_size > 1 and not dist.is_initialized():
            _join(place, device)
            joined = True
        yield
    except ALIError as error:
        if not isinstance(error, PASSING):
            _tell_launcher(error)  # first: when this process leaves the group the others end, and the launcher ends it
        raise
    finally:
        if joined:
            dist.destroy_process_group()
        _place.reset(token)


def _tell_launcher(error: ALIError) -> None:
    """Say that another try would end likewise; nothing is said where no launcher listens."""
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    with suppress(OSError):  # of a full disk, say, where the error itself is what has to be told
        get_error_handler().record_exception(error)


@contextmanager
def talking() -> Iterator[None]:
    """Send messages to the other processes, which may have died, in this block.

    Raises:
        ProcessesFailed: in place of what PyTorch raises then, which would be blamed on the plugin whose net it was in.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo/" not in str(error):  # which names its source file
            raise
        text = printable(str(error).partition("\n")[0], 300)
        raise ProcessesFailed(f"another process of the run has ended or does not answer ({text})") from error


def _join(place: Launched, device: str | None) -> None:
    # A GPU without a number is not touched to see whether it is there: each process would take memory of the first.
    gpu = device in (None, "auto", "cuda") and torch.cuda.is_available()
    where = torch.device("cuda") if gpu else resolve_device(device or "auto")
    refuse_shared_gpu(where, place.local_rank + 1)
    own = None
    if where.type == "cuda":
        own = where if where.index is not None else torch.device("cuda", place.local_rank)
        torch.cuda.set_device(own)
    try:
        store, _, _ = next(rendezvous("env://", timeout=JOIN))
        store.set_timeout(dist.default_pg_timeout)  # joining may fail soon, a message may have to wait for a picture
        dist.init_process_group(
            "gloo" if own is None else "nccl",
            store=PrefixStore("ali", store),
            rank=place.rank,
            world_size=place.world_size,
            device_id=own,  # else NCCL guesses it
        )
    except (RuntimeError, ValueError) as error:  # DistNetworkError and its kin are RuntimeErrors
        raise ProcessesFailed(
            f"process {place.rank} of {place.world_size} cannot join the others at {os.environ['MASTER_ADDR']}:"
            f"{os.environ['MASTER_PORT']} ({str(error).splitlines()[0]}); {ADVICE} RANK, WORLD_SIZE and MASTER_ADDR"
        ) from error


def average_gradients(optimisers: Mapping[str, torch.optim.Optimizer]) -> None:
    """Replace every gradient by its mean over the processes, in one message."""
    if not dist.is_initialized():
        return
    parameters = [p for o in optimisers.values() for group in o.param_groups for p in group["params"]]
    moving = [(parameter, parameter.grad) for parameter in parameters if parameter.grad is not None]
    if not moving:
        return
    flat = torch.cat([gradient.flatten() for _, gradient in moving])
    with talking():
        dist.all_reduce(flat)
    flat /= world_size()
    means = flat.split([gradient.numel() for _, gradient in moving])
    for (parameter, gradient), mean in zip(moving, means, strict=True):
        if gradient.is_contiguous() and gradient.dtype == flat.dtype:
            parameter.grad = mean.view_as(gradient)  # not copied back
        else:  # fused optimisers take it for granted that a gradient lies in memory as its parameter does
            gradient.copy_(mean.view_as(gradient))


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of a tensor over the processes."""
    if dist.is_initialized():
        with talking():
            dist.all_reduce(values)
        values /= world_size()
    return values


def gather(value: Tensor) -> list[Tensor]:
    """A CPU tensor of every process, of the same shape in all, by rank."""
    if not dist.is_initialized():
        return [value]
    here = value.to(_device_of_messages())
    found = [torch.empty_like(here) for _ in range(world_size())]
    with talking():
        dist.all_gather(found, here)
    return [tensor.cpu() for tensor in found]


def refuse_other_step(step: int, folder: str) -> None:
    """Raise FolderError where the processes would go on from different steps: not all see the same folder."""
    steps = sorted({int(tensor) for tensor in gather(torch.tensor(step))})
    if len(steps) > 1:
        raise FolderError(
            f"the run's processes find different checkpoints in {folder!r}, of steps {steps[0]} and {steps[-1]}; "
            "--out has to be a folder that all machines share"
        )


def _device_of_messages() -> torch.device:
    """Where tensors have to be that this run's processes send each other."""
    return torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")


def barrier() -> None:
    """Wait until every process is here."""
    if dist.is_initialized():
        with talking():
            dist.barrier()


class SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over the processes, and of its gradient on the way back.

    PyTorch's own, ``torch.distributed.nn.functional.all_reduce``, is deprecated; newer versions refuse to compile it.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return sum_over_processes(gradient)  # which can be differentiated once more


def sum_over_processes(value: Tensor) -> Tensor:
    """The differentiable sum of a tensor over the processes."""
    return cast(Tensor, SumOverProcesses.apply(value))


class SynchronisedBatchNorm(nn.Module):
    """Batch norm over the rows of all processes, on any device (PyTorch's own needs GPUs).

    It shares the parameters and buffers of the layer that it stands for, under the same names: none where that has
    none. Where there are no running statistics, evaluation takes those of the rows of this process.
    """

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self.eps, self.momentum = norm.eps, norm.momentum
        for name, buffer in norm.named_buffers():
            self.register_buffer(name, buffer)
        self.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        buffers = dict(self.named_buffers())
        if self.training:
            mean, variance, count = self._of_batch(wide, world_size())
            if "running_mean" in buffers:
                self._follow(buffers, mean.detach(), variance.detach() * count / (count - 1))
        elif "running_mean" in buffers:
            mean, variance = buffers["running_mean"], buffers["running_var"]
        else:
            mean, variance, _ = self._of_batch(wide, 1)
        scale = torch.rsqrt(variance + self.eps)
        scale = scale if self.weight is None else self.weight * scale
        shift = -mean * scale if self.bias is None else self.bias - mean * scale
        shape = (1, -1, *[1] * (x.ndim - 2))
        return (wide * scale.view(shape) + shift.view(shape)).to(x.dtype)

    def _of_batch(self, x: Tensor, processes: int) -> tuple[Tensor, Tensor, int]:
        """Mean and variance (C,) over the rows of that many processes, and how many values they are of."""
        total = sum_over_processes if processes > 1 else torch.Tensor.clone
        dims = [0, *range(2, x.ndim)]
        count = x.numel() // x.shape[1] * processes
        if self.training and count < 2:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {tuple(x.shape)}")
        mean = total(x.sum(dims)) / count
        centred = x - mean.view(1, -1, *[1] * (x.ndim - 2))
        return mean, total(centred.square().sum(dims)) / count, count

    @torch.no_grad()
    def _follow(self, running: Mapping[str, Tensor], mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics by the momentum; without one they are the mean over all batches."""
        batches = running["num_batches_tracked"].add_(1)
        # A tensor on the device, which is not read here: that would wait for the device.
        share = 1 / batches.to(mean.dtype) if self.momentum is None else torch.full_like(mean[0], self.momentum)
        running["running_mean"].lerp_(mean.to(running["running_mean"].dtype), share)
        running["running_var"].lerp_(variance.to(running["running_var"].dtype), share)


def synchronise_batch_norm(module: nn.Module) -> None:
    """Put a synchronised layer in the place of every batch norm below a module, if there are other processes."""
    if not dist.is_initialized():
        return
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            module.register_module(name, SynchronisedBatchNorm(child))
        else:
            synchronise_batch_norm(child)
