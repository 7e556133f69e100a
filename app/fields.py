"""Pictures in and out of Gradio's components by way of memory, not of its cache on disk.

Gradio's own conversion decodes whatever comes and saves every picture that it shows, which for a
camera means a file per frame. Here what comes in stays the bytes that were sent, for
``read_picture`` to check and decode, and what goes out is a data URL.

The conversions are replaced on the component at hand (a subclass would make Gradio write a stub
file beside this one). Gradio makes a component anew when an event returns an update for it, such
as ``gr.skip()``: events must return plain values for these.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import numpy as np
from gradio.components.gallery import GalleryData, GalleryImage
from gradio.data_classes import ImageData

MAX_UPLOAD = 24 * 2**20  # bytes; photos of phones have 2 to 15 MB
QUALITY = 95  # JPEG, of photos
FRAME_QUALITY = 85  # JPEG, of camera pictures and thumbnails


def photo_field(quality: int = QUALITY, **options: Any) -> gr.Image:
    """An image component: events get the bytes of a file, and return (H, W, 3) uint8 or None."""
    field = gr.Image(**options)
    _take_bytes(field)
    field.postprocess = lambda rgb: None if rgb is None else image_data(rgb, quality)
    return field


def upload_button(**options: Any) -> gr.UploadButton:
    """A button that hands the bytes of one uploaded picture to its event."""
    button = gr.UploadButton(file_count="single", file_types=["image"], **options)
    _take_bytes(button)
    return button


def picture_strip(
    value: Sequence[tuple[np.ndarray, str]] = (), quality: int = FRAME_QUALITY, **options: Any
) -> gr.Gallery:
    """A gallery to look at and choose from; events return (picture, caption) pairs."""

    def show(pictures: Sequence[tuple[np.ndarray, str]]) -> GalleryData:
        return GalleryData(
            root=[
                GalleryImage(image=image_data(rgb, quality), caption=caption)
                for rgb, caption in pictures
            ]
        )

    gallery = gr.Gallery(interactive=False, **options)
    gallery.postprocess = show
    gallery.value = show(value).model_dump()
    return gallery


def image_data(rgb: np.ndarray, quality: int) -> ImageData:
    """(H, W, 3) uint8 RGB as a JPEG in a data URL, without loss of colour resolution."""
    chroma = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality, *chroma])
    text = base64.b64encode(data).decode("ascii")
    return ImageData(
        url=f"data:image/jpeg;base64,{text}", orig_name="try-on.jpg", mime_type="image/jpeg"
    )


def payload_bytes(payload: Any) -> bytes | None:
    """The bytes of the file that the page sent, whole and not looked into.

    Raises:
        gr.Error: nothing usable was sent, or the upload is no longer kept.
    """
    if payload is None:
        return None
    if payload.url and payload.url.startswith("data:"):
        return _decoded(payload.url)
    try:
        # Gradio has checked that the path lies in its upload folder.
        return Path(payload.path).read_bytes()
    except (OSError, TypeError, ValueError) as error:
        raise _refused("The photo is no longer kept here. Please choose it again.") from error


def _decoded(url: str) -> bytes:
    if len(url) > MAX_UPLOAD * 4 // 3 + 100:
        raise _refused(f"The picture is larger than {MAX_UPLOAD // 2**20} MB.")
    try:
        return base64.b64decode(url.partition(",")[2], validate=True)
    except binascii.Error as error:
        raise _refused("The picture arrived damaged. Please try again.") from error


def _refused(message: str) -> gr.Error:
    return gr.Error(message, title="Sorry", print_exception=False)


def _take_bytes(component: gr.Image | gr.UploadButton) -> None:
    component.preprocess = payload_bytes
    component.async_move_resource_to_block_cache = _uploads_only(
        component.async_move_resource_to_block_cache
    )


def _uploads_only(move: Callable) -> Callable:
    """Gradio would fetch a web address given in place of a file; this server fetches nothing."""

    async def checked(name: str | Path | None) -> str | None:
        if name is not None and "://" in str(name):
            raise _refused("Web addresses are not fetched. Please upload the photo itself.")
        return await move(name)

    return checked
