"""ali demo"""

from __future__ import annotations

import threading

import click

from ali_cli.paths import MODEL
from ali_cli.settings import device_option, hide_progress_if_quiet, json_option, scorer_options
from ali_cli.terminal import note, print_json, say


@click.command(epilog="\b\nExamples:\n  ali demo runs/garments\n"
                      "  ali demo runs/garments --port 8000 --scorer latent")  # fmt: skip
@click.argument("model", type=MODEL)
@click.option("--port", type=click.IntRange(0, 65535), default=7860, show_default=True,
              help="Of 127.0.0.1; 0 takes one that is free.")  # fmt: skip
@click.option("--share", is_flag=True, help="Ask Gradio's servers for a link that everybody can open, too.")
@scorer_options
@device_option
@json_option
def command(
    model: str, port: int, share: bool, scorer: str, chosen: tuple[str, ...], device: str, as_json: bool
) -> None:
    """Open MODEL in a browser on this machine: draw and vary samples, look at pictures, walk between two.

    Pictures are uploaded or pasted; the page shows their code, reconstruction and score. It is served until Ctrl-C.
    Without --share nothing leaves the machine, and nobody else reaches the page.
    """
    from ali_plugin.config import settings
    from ali_plugin.demo.serve import free_port, serving
    from ali_plugin.demo.studio import Studio
    from ali_plugin.support.extras import need

    hide_progress_if_quiet()
    port = free_port(port)
    need("gradio", "ali demo", "demo")
    studio = Studio.of(model, scorer, settings.parse(chosen, settings.SCORER).get("scorer", {}), device)
    try:
        with serving(studio, port, share) as served:
            if share and served.link is None:
                note("there is no link for everybody: Gradio's servers gave none")
            print_json({"url": served.url, "link": served.link}) if as_json else say(served.link or served.url)
            note("Ctrl-C ends it")
            threading.Event().wait()
    except KeyboardInterrupt:
        return
