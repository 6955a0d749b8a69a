"""``python -m ali_cli`` is ``ali``, for launchers such as torchrun."""

from ali_cli.main import main

if __name__ == "__main__":
    main()
