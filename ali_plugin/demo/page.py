"""The page: Gradio's components, and what they ask of the studio."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from ali_plugin.demo.studio import SAMPLES, Studio
from ali_plugin.errors import ALIError
from ali_plugin.hub.card_text import markdown
from ali_plugin.support.extras import need
from ali_plugin.support.limits import MAX_SEED
from ali_registry.text import printable

CLEANED = (600, 3600)  # seconds: how often pictures that people have sent are removed, and how old they are by then
STRENGTH = 0.4
HEIGHT = 320  # pixels
BUTTONS = ["download", "fullscreen"]  # and none that shares a picture with others
LARGEST_SEED = min(MAX_SEED, 2**32 - 1)  # that a browser's numbers hold


def page(studio: Studio) -> Any:
    """A ``gradio.Blocks``.

    Raises:
        MissingExtra: Gradio is not installed.
    """
    gradio = need("gradio", "a demo", "demo")
    title = f"{studio.name}: adversarially learned inference"
    with gradio.Blocks(title=title, analytics_enabled=False, delete_cache=CLEANED) as blocks:
        gradio.Markdown(f"# {markdown(studio.name)}")
        chosen = _condition(gradio, studio)
        with gradio.Tab("Samples"):
            _samples(gradio, studio, chosen, blocks)
        if studio.encodes:
            with gradio.Tab("A picture"):
                _picture(gradio, studio, chosen)
            with gradio.Tab("Between two"):
                _walk(gradio, studio, chosen)
    return blocks


def _condition(gradio: Any, studio: Studio) -> Any:
    """What all of it is conditioned on; a state that holds nothing, of a model without conditions."""
    if not studio.elements:
        return gradio.State([])
    return gradio.Dropdown(
        studio.elements, value=studio.elements[:1], multiselect=True, label="Condition", elem_id="condition"
    )


def _samples(gradio: Any, studio: Studio, chosen: Any, blocks: Any) -> None:
    codes = gradio.State(None)
    with gradio.Row():
        seed = gradio.Number(0, label="Seed", precision=0, minimum=0, maximum=LARGEST_SEED, elem_id="seed")
        draw = gradio.Button("Draw", variant="primary", elem_id="draw")
        strength = gradio.Slider(0, 1, STRENGTH, label="How far to vary", elem_id="strength")
        picked = gradio.Number(
            1, label="Chosen sample, from 1", precision=0, minimum=1, maximum=SAMPLES, elem_id="chosen"
        )
        vary = gradio.Button("Vary the chosen one", elem_id="vary")
    samples = gradio.Gallery(label="Samples; click on one to choose it", columns=8, format="png", elem_id="samples",
                             buttons=BUTTONS, allow_preview=False, interactive=False)  # fmt: skip

    def drawn(seed: int | None, chosen: list[str]) -> Any:
        return *studio.draw(seed or 0, chosen), 1

    def varied(codes: Any, picked: int | None, strength: float, seed: int | None, chosen: list[str]) -> Any:
        z = codes if codes is not None else studio.draw(seed or 0, chosen)[0]
        return *studio.vary(z[(picked or 1) - 1], strength, (seed or 0) + 1, chosen), 1

    def pick(event: Any) -> int:
        return int(event.index) + 1

    # Gradio finds out by the annotation what to hand over.
    pick.__annotations__["event"] = gradio.SelectData
    shown = [codes, samples, picked]
    changes = [draw.click, blocks.load, *([chosen.change] if studio.elements else [])]
    gradio.on(changes, _told(gradio, drawn), [seed, chosen], shown)
    vary.click(_told(gradio, varied), [codes, picked, strength, seed, chosen], shown)
    samples.select(pick, None, picked)


def _picture(gradio: Any, studio: Studio, chosen: Any) -> None:
    with gradio.Row():
        given = _upload(gradio, "A picture: drop, upload or paste it", "picture")
        seen = _shown(gradio, "As the model sees it", "seen")
        again = _shown(gradio, "Its reconstruction", "reconstruction")
    score = gradio.Textbox(label=f"Score ({printable(studio.scorer, 60)}); higher is stranger", elem_id="score")
    code = gradio.Textbox(label="Its code z, the mean of q(z|x)", lines=4, elem_id="code")

    def looked(picture: str | None, chosen: list[str]) -> Any:
        if picture is None:
            return None, None, "", ""
        look = studio.look(picture, chosen)
        return look.shown, look.again, f"{look.score:.4g}", "  ".join(f"{value:.3f}" for value in look.code.tolist())

    changes = [given.change, *([chosen.change] if studio.elements else [])]
    gradio.on(changes, _told(gradio, looked), [given, chosen], [seen, again, score, code])


def _walk(gradio: Any, studio: Studio, chosen: Any) -> None:
    with gradio.Row():
        ends = [_upload(gradio, f"The {which} picture", which) for which in ("first", "second")]
    go = gradio.Button("Walk", variant="primary", elem_id="walk")
    path = _shown(gradio, "From the first to the second", "path")

    def walked(first: str | None, second: str | None, chosen: list[str]) -> Any:
        if first is None or second is None:
            raise gradio.Error("a walk goes from one picture to another: give two", print_exception=False)
        return studio.walk(first, second, chosen)

    go.click(_told(gradio, walked), [*ends, chosen], path)


def _upload(gradio: Any, label: str, name: str) -> Any:
    """A picture as the file that it is, which goes through the one door for pictures."""
    return gradio.Image(label=label, type="filepath", image_mode=None, sources=["upload", "clipboard"], height=HEIGHT,
                        elem_id=name)  # fmt: skip


def _shown(gradio: Any, label: str, name: str) -> Any:
    return gradio.Image(label=label, format="png", interactive=False, height=HEIGHT, buttons=BUTTONS, elem_id=name)


def _told(gradio: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose errors the person sees."""

    @wraps(function)
    def told(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except ALIError as error:
            raise gradio.Error(printable(error, 500), print_exception=False) from error

    return told
