"""A fresh environment to install plugins into, without installing torch and ali-plugin once more.

It sees the packages of the environment that runs the tests through a .pth file, which also follows that
one's own .pth files (an editable ali-plugin, say). What is installed into it stays in it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from several import Ended, each


@dataclass(frozen=True)
class FreshEnvironment:
    """A virtual environment in ``folder``."""

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> FreshEnvironment:
        """Make it; takes a fraction of a second."""
        venv.create(folder, with_pip=False, symlinks=True)
        environment = cls(folder)
        lines = [f"import site; site.addsitedir({path!r})" for path in {sysconfig.get_path(k) for k in PATHS}]
        (environment.site_packages / "running.pth").write_text("\n".join(lines) + "\n")
        return environment

    @property
    def site_packages(self) -> Path:
        """Where its own distributions are."""
        return Path(sysconfig.get_path("purelib", vars={"base": str(self.folder)}))

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def run(
        self, *command: object, cwd: Path | None = None, check: bool = True, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``python -m COMMAND...`` in it."""
        done = subprocess.run(
            [str(self.python), "-m", *map(str, command)],
            cwd=cwd,
            env={**(env or os.environ), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INDEX": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    def install(self, project: Path, *options: str) -> None:
        """Build a project with the backend that is here and install it, without its dependencies."""
        self.run("pip", "install", "--quiet", "--no-deps", "--no-build-isolation", *options, project)

    def ali(
        self, *arguments: object, cwd: Path | None = None, check: bool = True, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the real command line in it."""
        return self.run("ali_cli", *arguments, cwd=cwd, check=check, env=env)

    def each(self, *commands: Sequence[object], env: Mapping[str, str] | None = None) -> list[Ended]:
        """Run the command line several times in one process of it."""
        return each(*commands, env=env, python=self.python)


PATHS = ("purelib", "platlib")
assert sys.platform != "win32", "the layout of environments differs there"
