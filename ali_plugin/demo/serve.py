"""The page on this machine: bound to 127.0.0.1, and nothing asked of a network unless a link is."""

from __future__ import annotations

import errno
import io
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass

from ali_plugin.demo.page import page
from ali_plugin.demo.studio import Studio
from ali_plugin.errors import DeviceError, OptionError
from ali_plugin.support.extras import need

HOST = "127.0.0.1"
LARGEST = "64mb"  # of a file that is sent


@dataclass(frozen=True)
class Served:
    """Where the page is.

    Attributes:
        link: for everybody, None where nobody asked for it or it could not be had.
    """

    url: str
    link: str | None


def free_port(port: int) -> int:
    """The port, or one that is free for 0; before the work that goes before a page is served.

    Raises:
        OptionError: it is in use, or not for this person.
    """
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was just left may be taken again
        try:
            tried.bind((HOST, port))
        except OSError as error:
            why = "in use" if error.errno == errno.EADDRINUSE else f"not to be had ({error.strerror})"
            raise OptionError(f"port {port} is {why}; name another with --port, or 0 for any that is free") from error
        return int(tried.getsockname()[1])


@contextmanager
def serving(studio: Studio, port: int, share: bool = False) -> Iterator[Served]:
    """The page, served by threads of this process as long as the block lasts.

    Args:
        share: ask Gradio's servers for a link for everybody.

    Raises:
        MissingExtra: Gradio is not installed.
        OptionError: the port is in use by now.
        DeviceError: this machine cannot be reached by itself.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when it is imported, too
    gradio = need("gradio", "ali demo", "demo")
    plain = gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    blocks = page(studio)
    try:
        with redirect_stdout(io.StringIO()):  # which is for the address
            _, url, link = blocks.launch(
                server_name=HOST, server_port=port, share=share, theme=plain, footer_links=[], max_file_size=LARGEST,
                prevent_thread_lock=True, quiet=True, inline=False, inbrowser=False, ssr_mode=False, mcp_server=False,
                enable_monitoring=False,
            )  # fmt: skip
    except OSError as error:
        raise OptionError(f"port {port} is in use by now; name another with --port") from error
    except ValueError as error:
        raise DeviceError(
            f"{HOST} cannot be reached from this machine; a proxy may stand between: NO_PROXY={HOST}"
        ) from error
    try:
        yield Served(url, link)
    finally:
        blocks.close(verbose=False)
