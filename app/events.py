"""What happens on the demo's page: each event is a function that can be called without the page.

Errors that a visitor can act on are said in a sentence, and what was shown before goes or stays as
fits; nothing that a visitor does ends in a traceback. The live view is not here: its frames go
over ``WS /v1/stream``, and only the id of what is worn comes from these events.
"""

import html
import time
from collections.abc import Sequence

import gradio as gr
import numpy as np

from app.gallery import EXAMPLE_PERSON, GarmentPhoto
from app.layers import LAYERS, layer_pictures
from app.session import Session, Sessions
from dmvton.errors import DmvtonError, NoPersonError
from dmvton.image_io import Source, read_picture

Thumbnails = list[tuple[np.ndarray, str]]
Worn = tuple[str, str]  # a line about what is worn, and its id for the live view

NO_PERSON = "Nobody found. The picture should show one person from the front, head to hips."
CHOOSE_PHOTO = "Choose a photo of a person, or take one with the camera."


class Events:
    """The page's events over one engine; ``request`` tells the visitors apart."""

    def __init__(self, sessions: Sessions, garments: Sequence[GarmentPhoto]):
        """Offer these garments, at least one; new visitors wear the first."""
        self.sessions, self.garments = sessions, list(garments)

    def offered(self) -> Thumbnails:
        """The gallery of a new visitor."""
        return [(photo.thumbnail, photo.name) for photo in self.garments]

    def choose(self, chosen: gr.SelectData, request: gr.Request) -> Worn:
        """A garment of the gallery was pressed."""
        session = self._session(request)
        choice = [*self.garments, *session.own]
        if not 0 <= chosen.index < len(choice):
            gr.Warning("This garment is no longer kept here. Please add it again.", title="Gone")
        else:
            try:
                session.wear(choice[chosen.index])
            except DmvtonError as error:
                _warn(error)
        return _wearing(session)

    def add_garment(self, source: Source | None, request: gr.Request) -> tuple[Thumbnails, *Worn]:
        """A garment photo was uploaded; returns the gallery and what is worn now."""
        session = self._session(request)
        if source is not None:
            try:
                session.add_garment(source)
            except DmvtonError as error:
                _warn(error)
        own = [(photo.thumbnail, photo.name) for photo in session.own]
        return self.offered() + own, *_wearing(session)

    def dress_photo(
        self, source: Source | None, request: gr.Request
    ) -> tuple[np.ndarray | None, Thumbnails, str]:
        """The photo or the garment changed; returns result, layers and a line about them."""
        session = self._session(request)
        if source is None:
            return None, [], CHOOSE_PHOTO
        try:
            garment = session.garment()
            rgb = read_picture(source, self.sessions.engine.limits.photo).rgb
        except DmvtonError as error:
            _warn(error)
            return None, [], _sentence(error)
        started = time.perf_counter()
        try:
            result = self.sessions.engine.tryon(rgb, garment)
        except NoPersonError:
            gr.Info(NO_PERSON, title="No person")
            return rgb, [], f"{NO_PERSON} The photo is unchanged."
        except DmvtonError as error:
            _warn(error)
            return None, [], _sentence(error)
        spent = (time.perf_counter() - started) * 1000
        height, width = rgb.shape[:2]
        layers = [(picture, LAYERS[name]) for name, picture in layer_pictures(result).items()]
        return result.image, layers, f"{width} × {height} pixels in {spent:.0f} ms"

    def example_person(self) -> np.ndarray:
        """A photo for those who have none at hand."""
        return read_picture(EXAMPLE_PERSON).rgb

    def worn(self, request: gr.Request) -> Worn:
        """What the visitor wears; asked by a new page, and by a live view whose garment is gone."""
        return _wearing(self._session(request))

    def leave(self, request: gr.Request) -> None:
        """The page was closed."""
        self.sessions.drop(_key(request))
        self.sessions.expire()

    def _session(self, request: gr.Request) -> Session:
        """The visitor's session; a new one wears the first garment."""
        session = self.sessions.get(_key(request))
        if session.worn is None:
            try:
                session.wear(self.garments[0])
            except DmvtonError as error:
                _warn(error)
        return session


def _key(request: gr.Request) -> str:
    # A client of the API may send no key, or a long one.
    return str(request.session_hash)[:64]


def _wearing(session: Session) -> Worn:
    if session.worn is None:
        return "Choose a garment.", ""
    return f"Wearing: **{session.name}**", session.wear(session.worn)


def _sentence(error: DmvtonError) -> str:
    """The error's own words, one line, as a sentence."""
    words = " ".join(str(error).split())
    return html.escape(words[:1].upper() + words[1:], quote=False)


def _warn(error: DmvtonError) -> None:
    gr.Warning(_sentence(error), title="That did not work")
