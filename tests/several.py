"""Several commands of ``ali`` in one process of their own, which imports torch once for all of them.

For what a process is needed for, but not one for each command: another environment, another encoding.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

TESTS = Path(__file__).parent


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: bytes
    err: bytes


def each(
    *commands: Sequence[object],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    python: Path | str = sys.executable,
) -> list[Ended]:
    """Run commands one after the other, as ``ali WORDS``, each with the streams of the process to itself.

    Args:
        env: the environment of the process; this one's if None.
        python: the interpreter, of an environment where ali-plugin is installed.
    """
    with TemporaryDirectory() as folder:
        words = json.dumps([[str(word) for word in command] for command in commands])
        done = subprocess.run(
            [str(python), str(TESTS / "several.py"), folder, words],
            env=env, cwd=cwd, capture_output=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        return [_ended(Path(folder), number) for number in range(len(commands))]


def _ended(folder: Path, number: int) -> Ended:
    code, out, err = ((folder / f"{number}.{name}").read_bytes() for name in ("code", "out", "err"))
    return Ended(int(code), out, err)


def main(folder: Path, commands: list[list[str]]) -> None:
    del sys.path[0]  # the folder of the tests, which the program does not see
    from ali_cli.main import main as ali

    for number, words in enumerate(commands):
        for stream, name in ((1, "out"), (2, "err")):
            file = os.open(folder / f"{number}.{name}", os.O_WRONLY | os.O_CREAT)
            os.dup2(file, stream)
            os.close(file)
        sys.argv = ["ali", *words]
        try:
            ali()
        except SystemExit as end:
            (folder / f"{number}.code").write_text(str(int(end.code or 0)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
