"""Where a run's figures, pictures and config go beside its own files: TensorBoard, Trackio, Weights & Biases.

Watching never ends a run: one that cannot begin says so before the first step, and what cannot be sent later is warned
of once.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from textwrap import indent
from typing import Any, ClassVar

from ali_plugin.errors import ALIError, FolderError, OptionError
from ali_plugin.folder.model_folder import RECONSTRUCTIONS_NAME, SAMPLES_NAME
from ali_plugin.support.extras import need
from ali_plugin.training.callbacks.callback import Callback, Run
from ali_plugin.training.run_folder import SAMPLES, TENSORBOARD, WANDB, WANDB_RUN
from ali_registry.text import as_text, printable

PROJECT = "ali-plugin"  # under which Trackio and Weights & Biases list runs


class Logger(Callback):
    """What the loggers share: a kind of it opens, writes, shows, closes. Its extra has its name, as has ``--log``.

    Raises:
        MissingExtra: it is not installed.
    """

    name: ClassVar[str]

    def __init__(self) -> None:
        self._module = need(self.name, f"--log {self.name}", self.name)
        self._writer: Any = None  # None: it could not be opened

    def open(self, trainer: Run, config: dict[str, Any]) -> Any:
        """Begin, or go on with what a continued run has begun; what the library writes with."""
        raise NotImplementedError

    def write(self, figures: dict[str, float], step: int) -> None:
        """Figures of a log line, but the step."""
        raise NotImplementedError

    def show(self, title: str, picture: Path, step: int) -> None:
        """A picture file of a step."""
        raise NotImplementedError

    def close(self) -> None:
        """End, with all of it kept."""
        raise NotImplementedError

    def on_start(self, trainer: Run) -> None:
        with self._telling(OptionError):
            self._writer = self.open(trainer, asdict(trainer.config))

    def on_log(self, trainer: Run, figures: dict[str, float]) -> None:
        if self._writer is not None:
            with self._telling(FolderError):
                self.write({name: value for name, value in figures.items() if name != "step"}, trainer.step)

    def on_sample(self, trainer: Run) -> None:
        for name in (SAMPLES_NAME, RECONSTRUCTIONS_NAME) if self._writer is not None else ():
            picture = trainer.out / SAMPLES / f"step-{trainer.step:09d}-{name}"
            if picture.is_file():  # data without pictures leave none, and neither does a full disk
                with self._telling(FolderError):
                    self.show(Path(name).stem, picture, trainer.step)

    def on_end(self, trainer: Run) -> None:
        if self._writer is not None:
            with self._telling(FolderError):
                self.close()

    @contextlib.contextmanager
    def _telling(self, kind: type[ALIError]) -> Iterator[None]:
        """Whatever the library raises, a service that has gone among it, as an error of this kind."""
        try:
            yield
        except (ALIError, OSError):
            raise
        except Exception as error:
            raise kind(f"--log {self.name}: {printable(as_text(error), 400)}") from error


class TensorBoard(Logger):
    """Writes to ``RUN/tensorboard``."""

    name = "tensorboard"

    def __init__(self) -> None:
        super().__init__()
        from torch.utils.tensorboard import SummaryWriter

        self._make: Any = SummaryWriter
        self._excepthook = threading.excepthook

    def open(self, trainer: Run, config: dict[str, Any]) -> Any:
        threading.excepthook = self._tolerate
        writer = self._make(str(trainer.out / TENSORBOARD), purge_step=trainer.step or None)
        writer.add_text("config", indent(json.dumps(config, indent=2), "    "))  # Markdown's code
        return writer

    def _tolerate(self, raised: threading.ExceptHookArgs) -> None:
        """Where its thread cannot write, the next ``on_log`` is told: no traceback for the person."""
        if not (issubclass(raised.exc_type, OSError) and type(raised.thread).__module__.startswith("tensorboard.")):
            self._excepthook(raised)

    def write(self, figures: dict[str, float], step: int) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def show(self, title: str, picture: Path, step: int) -> None:
        self._writer.add_image(title, _pixels(picture), step, dataformats="HWC")

    def on_end(self, trainer: Run) -> None:
        threading.excepthook = self._excepthook
        super().on_end(trainer)

    def close(self) -> None:
        self._writer.close()


class Trackio(Logger):
    """Writes to Trackio's folder on this machine, or where its own variables (TRACKIO_SERVER_URL, ...) say."""

    name = "trackio"

    def __init__(self) -> None:
        super().__init__()
        self._said: list[str] = []
        self._showwarning: Callable[..., None] = warnings.showwarning

    def open(self, trainer: Run, config: dict[str, Any]) -> Any:
        self._showwarning, warnings.showwarning = warnings.showwarning, self._hear
        with _unheard():
            return self._module.init(
                PROJECT, _name_of(trainer.out), config=config, resume="allow" if trainer.step else "never", embed=False
            )

    def _hear(self, message: Warning | str, category: type[Warning], filename: str, *rest: Any, **named: Any) -> None:
        """It raises nothing but warns, from its threads, too; the next ``on_log`` tells the person."""
        if Path(filename).is_relative_to(Path(self._module.__file__).parent):
            self._said.append(str(message))
        else:
            self._showwarning(message, category, filename, *rest, **named)

    def write(self, figures: dict[str, float], step: int) -> None:
        self._writer.log(figures, step=step)
        self._tell()

    def show(self, title: str, picture: Path, step: int) -> None:
        self._writer.log({title: self._module.Image(str(picture))}, step=step)
        self._tell()

    def close(self) -> None:
        try:
            with _unheard():
                self._module.finish()
        finally:
            warnings.showwarning = self._showwarning
        self._tell()

    def _tell(self) -> None:
        said, self._said = self._said, []
        if said:
            raise FolderError(f"--log trackio: {printable(said[0], 400)}")


class Wandb(Logger):
    """Sends to Weights & Biases; with WANDB_MODE=offline it stays in ``RUN/wandb``, for ``wandb sync``."""

    name = "wandb"

    def open(self, trainer: Run, config: dict[str, Any]) -> Any:
        folder = trainer.out / WANDB
        if folder.is_symlink():
            raise FolderError(f"{folder} is a link, behind which nothing is replaced; --log wandb keeps nothing")
        known = _wandb_id(folder) if trainer.step else None
        settings = self._module.Settings(silent=True, console="off")  # the terminal is the run's
        self._module.setup(settings)
        try:
            run = self._module.init(
                project=None if self._module.setup().settings.project else PROJECT,
                name=trainer.out.resolve().name, dir=str(trainer.out), config=config,
                id=known, resume="allow" if known else None, settings=settings,
            )  # fmt: skip
        except self._module.errors.UsageError as error:
            raise OptionError(
                f"--log wandb: {printable(error, 400)} WANDB_MODE=offline keeps the run in {folder} instead."
            ) from error
        # A run that goes back to its last checkpoint has steps again, which their own count of steps does not allow.
        run.define_metric("*", step_metric="step")
        return run

    def write(self, figures: dict[str, float], step: int) -> None:
        self._writer.log({**figures, "step": step})

    def show(self, title: str, picture: Path, step: int) -> None:
        self._writer.log({title: self._module.Image(str(picture)), "step": step})

    def close(self) -> None:
        self._writer.finish()


def _wandb_id(folder: Path) -> str | None:
    """That of the newest run in its folder; their names begin with the time."""
    found = [named for path in folder.glob("*") if (named := re.fullmatch(WANDB_RUN, path.name))]
    return max(found, key=lambda named: named["time"])["id"] if found else None


def _name_of(out: Path) -> str:
    """The folder's name, and what tells it from one of this name elsewhere."""
    place = out.resolve()
    return f"{printable(place.name, 60)}-{zlib.crc32(str(place).encode()) & 0xFFFF:04x}"


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Nothing goes to stdout, which is for the result."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _pixels(picture: Path) -> Any:
    """A picture file of the run as uint8 (H, W, 3)."""
    import numpy as np

    from ali_plugin.pictures.decode import read_whole

    return np.asarray(read_whole(picture, longest=1 << 16))
