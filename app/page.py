"""The demo's page: garments beside two tabs, one for the camera and one for photos."""

from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from app.body_limit import BodyLimit
from app.engine import Engine, EngineLimits
from app.events import CHOOSE_PHOTO, Events
from app.fields import MAX_UPLOAD, photo_field, picture_strip, upload_button
from app.gallery import STATIC, offered_garments
from app.server.application import create_app
from app.server.settings import ServerSettings
from app.session import Sessions
from app.uploads import UploadRoom
from app.web.mount import DevicePage
from dmvton.tryon import TryOn

STREAMS = 4  # cameras served at a time; further ones try again until one stops
CACHE_CHECK, CACHE_AGE = 60, 300  # seconds; uploads older than this are deleted
_REQUEST_LIMIT = 2 * MAX_UPLOAD  # bytes; a photo grows by a third on its way
_DRAIN_S = 3.0  # seconds; an open page holds a connection that never ends by itself

_TITLE = """<h1>Try it on</h1>
<p>Choose a garment, then use the camera or a photo. Pictures go to the computer that runs this page
and no further, and are deleted within minutes.</p>"""
# The script is an ES module beside the page; the page hands it the id of what is worn.
_START_LIVE = """
const lost = () => document.querySelector("#again").click();
globalThis.dmvton = import(new URL("live/main.js", document.baseURI))
  .then(({ LiveView }) => new LiveView(element.querySelector(".live"), lost));
"""
_WEAR_LIVE = "async (id) => { (await globalThis.dmvton).wear(id); }"


class _Garments(NamedTuple):
    gallery: gr.Gallery
    upload: gr.UploadButton
    worn: gr.Markdown
    worn_id: gr.Textbox
    again: gr.Button


class _Photo(NamedTuple):
    person: gr.Image
    result: gr.Image
    example: gr.Button
    status: gr.Markdown
    layers: gr.Gallery


def application(tryon: TryOn, workers: int | None = None, site: Path | None = None) -> FastAPI:
    """The page and the engine's own routes, in one process.

    Args:
        tryon: loaded with one thread a worker.
        workers: threads of the engine; None is the cores that this process may use.
        site: a built on-device page, to be served at /device/.

    Raises:
        UsageError: no page was built there.
    """
    settings = ServerSettings(drain_s=_DRAIN_S)
    app = create_app(tryon, settings, EngineLimits(streams=STREAMS), workers)
    app.mount("/live", StaticFiles(directory=STATIC / "live"))
    if site is not None:
        app.mount("/device", DevicePage(site))
    gr.mount_gradio_app(app, build(app.state.door.engine), path="/", **_options())
    app.add_middleware(UploadRoom)
    app.add_middleware(BodyLimit, limit=_REQUEST_LIMIT)
    return app


def build(engine: Engine) -> gr.Blocks:
    """The page over an engine, not yet served."""
    events = Events(Sessions(engine), offered_garments())
    with gr.Blocks(
        title="dmvton: try it on",
        analytics_enabled=False,
        delete_cache=(CACHE_CHECK, CACHE_AGE),
    ) as page:
        gr.HTML(_TITLE, elem_id="title")
        with gr.Row(elem_id="desk"):
            with gr.Column(scale=1, min_width=230, elem_id="garments"):
                garments = _garments(events)
            with gr.Column(scale=4, min_width=320), gr.Tabs():
                with gr.Tab("Camera", id="camera"):
                    gr.HTML(
                        html_template=_static("live/view.html"),
                        js_on_load=_START_LIVE,
                        apply_default_css=False,
                        elem_id="live",
                    )
                with gr.Tab("Photo", id="photo"):
                    photo = _photo()
        _connect_garments(events, garments, photo)
        _connect_photo(events, photo)
        for asked in (page.load, garments.again.click):
            worn = asked(
                events.worn,
                None,
                [garments.worn, garments.worn_id],
                show_progress="hidden",
                api_visibility="private",
            )
            worn.then(None, garments.worn_id, js=_WEAR_LIVE, api_visibility="private")
        page.unload(events.leave)
    # Bounds the requests that wait.
    return page.queue(max_size=32, default_concurrency_limit=1)


def _options() -> dict[str, Any]:
    """How the page is served: nothing from or to elsewhere, bounded, no traceback."""
    return {
        "theme": gr.themes.Soft(
            primary_hue="indigo",
            font=["system-ui", "sans-serif"],
            font_mono=["ui-monospace", "monospace"],
        ),
        "css": _static("demo.css"),
        "max_file_size": MAX_UPLOAD,
        "show_error": False,
        "footer_links": [],
        "run_history": False,
        "ssr_mode": False,
        "mcp_server": False,
        "enable_monitoring": False,
    }


def _static(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def _garments(events: Events) -> _Garments:
    gallery = picture_strip(
        events.offered(),
        label="Garments",
        columns=2,
        height="auto",
        object_fit="cover",
        allow_preview=False,
        selected_index=0,
        show_label=False,
        buttons=[],
        elem_id="gallery",
    )
    worn = gr.Markdown("", elem_id="worn")
    upload = upload_button(label="Your own garment photo", size="sm", elem_id="add-garment")
    # For the script of the live view, not for people.
    worn_id = gr.Textbox(visible="hidden", elem_id="worn-id")
    again = gr.Button(visible="hidden", elem_id="again")
    return _Garments(gallery, upload, worn, worn_id, again)


def _photo() -> _Photo:
    with gr.Row(elem_classes="pair"):
        with gr.Column(min_width=240):
            person = photo_field(
                label="Person",
                sources=["upload", "webcam", "clipboard"],
                height=440,
                webcam_options=gr.WebcamOptions(mirror=False),
                buttons=[],
                elem_id="person",
            )
            example = gr.Button("Use an example photo", size="sm", elem_id="example")
        with gr.Column(min_width=240):
            result = photo_field(
                label="With the garment",
                interactive=False,
                height=440,
                buttons=["download", "fullscreen"],
                elem_id="result",
            )
            status = gr.Markdown(CHOOSE_PHOTO, elem_id="photo-status")
    with gr.Accordion("What it is made of", open=True, elem_id="made-of"):
        layers = picture_strip(
            columns=4,
            height="auto",
            object_fit="contain",
            show_label=False,
            buttons=[],
            elem_id="layers",
        )
    return _Photo(person, result, example, status, layers)


def _connect_garments(events: Events, garments: _Garments, photo: _Photo) -> None:
    quiet = {"show_progress": "hidden", "api_visibility": "private", "trigger_mode": "always_last"}
    worn = [garments.worn, garments.worn_id]
    chosen = garments.gallery.select(events.choose, None, worn, **quiet)
    added = garments.upload.upload(
        events.add_garment,
        garments.upload,
        [garments.gallery, *worn],
        show_progress="minimal",
        api_visibility="private",
    )
    for change in (chosen, added):
        change.then(None, garments.worn_id, js=_WEAR_LIVE, api_visibility="private")
        change.then(
            events.dress_photo,
            photo.person,
            [photo.result, photo.layers, photo.status],
            concurrency_id="photo",
            **quiet,
        )


def _connect_photo(events: Events, photo: _Photo) -> None:
    photo.person.change(
        events.dress_photo,
        photo.person,
        [photo.result, photo.layers, photo.status],
        api_name="try_on",
        concurrency_id="photo",
        trigger_mode="always_last",
        show_progress="minimal",
        show_progress_on=photo.result,
    )
    photo.example.click(
        events.example_person, None, photo.person, show_progress="hidden", api_visibility="private"
    )
