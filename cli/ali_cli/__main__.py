"""``python -m ali_cli`` is ``ali``, for launchers such as torchrun."""

import sys


def run() -> None:
    """As the program, which does not look for modules in the working folder either."""
    if not sys.flags.safe_path:
        del sys.path[0]  # where ``python -m`` has put that folder; a click.py in it would be run
    from ali_cli.main import main

    main()


if __name__ == "__main__":
    run()
