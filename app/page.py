"""The demo's page: garments beside two tabs, one for the camera and one for photos."""

from typing import Any, NamedTuple

import gradio as gr

from app.body_limit import BodyLimit
from app.events import CHOOSE_PHOTO, Events
from app.fields import FRAME_QUALITY, MAX_UPLOAD, photo_field, picture_strip, upload_button
from app.gallery import STATIC, offered_garments
from app.layers import DRESSED, VIEWS
from app.session import LIMITS, Sessions
from dmvton.tryon import TryOn

STREAMS = 4  # cameras served at a time; more wait until one stops
STREAM_EVERY = 0.04  # seconds; the page sends the next picture only after the last one's answer
CACHE_CHECK, CACHE_AGE = 60, 900  # seconds; uploads older than this are deleted
_REQUEST_LIMIT = 2 * MAX_UPLOAD  # bytes; a photo grows by a third on its way
_CAMERA = {
    "width": {"ideal": 640},
    "height": {"ideal": 480},
    "facingMode": "user",
}

_TITLE = """<h1>Try it on</h1>
<p>Choose a garment, then use the camera or a photo. Pictures go to the computer that runs this page
and no further, and are deleted within minutes.</p>"""
_LIVE_HELP = "Press the camera, allow it, then press Record. Stand back: head to hips in view."


class _Garments(NamedTuple):
    gallery: gr.Gallery
    upload: gr.UploadButton
    worn: gr.Markdown


class _Live(NamedTuple):
    camera: gr.Image
    shown: gr.Image
    view: gr.Radio
    status: gr.Markdown
    snap: gr.Button
    snapshot: gr.Image
    note: gr.Markdown


class _Photo(NamedTuple):
    person: gr.Image
    result: gr.Image
    example: gr.Button
    status: gr.Markdown
    layers: gr.Gallery


def build(engine: TryOn) -> gr.Blocks:
    """The page over a loaded engine, not yet served."""
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
                    live = _live()
                with gr.Tab("Photo", id="photo"):
                    photo = _photo()
        _connect_garments(events, garments, photo)
        _connect_photo(events, photo)
        _connect_live(events, live)
        page.load(events.worn, None, garments.worn, api_visibility="private")
        page.load(None, None, live.note, js=_static("camera.js"), api_visibility="private")
        page.unload(events.leave)
    # Bounds the requests that wait; a camera has one waiting at most, its newest.
    return page.queue(max_size=32, default_concurrency_limit=1)


def launch_options() -> dict[str, Any]:
    """How ``launch`` serves the page: nothing from or to elsewhere, bounded, no traceback."""
    return {
        "theme": gr.themes.Soft(
            primary_hue="indigo",
            font=["system-ui", "sans-serif"],
            font_mono=["ui-monospace", "monospace"],
        ),
        "css": _static("demo.css"),
        "app_kwargs": {"middleware": [_middleware()]},
        "max_file_size": MAX_UPLOAD,
        "max_threads": 2 * STREAMS,
        "state_session_capacity": LIMITS.streams,
        "show_error": False,
        "share": False,
        "footer_links": [],
        "run_history": False,
        "ssr_mode": False,
        "mcp_server": False,
        "enable_monitoring": False,
        "quiet": True,
    }


def _middleware() -> Any:
    from starlette.middleware import Middleware  # comes with gradio

    return Middleware(BodyLimit, limit=_REQUEST_LIMIT)


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
    return _Garments(gallery, upload, worn)


def _live() -> _Live:
    note = gr.Markdown("", elem_id="camera-note")
    status = gr.Markdown(_LIVE_HELP, elem_id="live-status")
    with gr.Row(elem_classes="pair"):
        camera = photo_field(
            label="Camera",
            sources=["webcam"],
            streaming=True,
            height=400,
            webcam_options=gr.WebcamOptions(mirror=True, constraints={"video": _CAMERA}),
            buttons=[],
            elem_id="camera",
        )
        shown = photo_field(
            FRAME_QUALITY,
            label="With the garment",
            height=400,
            interactive=False,
            buttons=["fullscreen"],
            elem_id="shown",
        )
    with gr.Row(elem_id="controls"):
        view = gr.Radio(
            list(VIEWS), value=DRESSED, show_label=False, container=False, scale=4, elem_id="view"
        )
        snap = gr.Button("Snapshot", variant="primary", min_width=120, elem_id="snap")
    snapshot = photo_field(
        label="Snapshot",
        interactive=False,
        height=320,
        buttons=["download", "fullscreen"],
        elem_id="snapshot",
    )
    return _Live(camera, shown, view, status, snap, snapshot, note)


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
    again = {"fn": events.dress_photo, "inputs": photo.person, **quiet, "concurrency_id": "photo"}
    outputs = [photo.result, photo.layers, photo.status]
    chosen = garments.gallery.select(events.choose, None, garments.worn, **quiet)
    chosen.then(outputs=outputs, **again)
    added = garments.upload.upload(
        events.add_garment,
        garments.upload,
        [garments.gallery, garments.worn],
        show_progress="minimal",
        api_visibility="private",
    )
    added.then(outputs=outputs, **again)


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


def _connect_live(events: Events, live: _Live) -> None:
    live.camera.stream(
        events.dress_frame,
        [live.camera, live.view],
        [live.shown, live.status],
        stream_every=STREAM_EVERY,
        concurrency_limit=STREAMS,
        concurrency_id="live",
        show_progress="hidden",
        api_visibility="private",
    )
    live.snap.click(
        events.snapshot, None, live.snapshot, show_progress="hidden", api_visibility="private"
    )
