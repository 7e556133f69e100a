"""``dmvton video``: put a garment photo on the person in a video."""

import os
import secrets
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from tqdm import tqdm

from app.arguments import Parser, add_network, load_network
from app.engine.follow import Follower
from dmvton.errors import ImageError, NoPersonError, OutputError
from dmvton.image_io import read_picture
from dmvton.tryon import dress


class _Kind(NamedTuple):
    """How a container is written."""

    container: str
    codec: str
    options: dict[str, str]


_X264 = {"crf": "18", "preset": "veryfast"}
_VP9 = {"crf": "28", "b": "0", "deadline": "realtime", "cpu-used": "6"}
_KINDS = {
    ".mp4": _Kind("mp4", "libx264", _X264),
    ".mov": _Kind("mov", "libx264", _X264),
    ".mkv": _Kind("matroska", "libx264", _X264),
    ".webm": _Kind("webm", "libvpx-vp9", _VP9),
}
# Containers that hold a video and nothing that points elsewhere: playlists could name any file or
# address.
_READABLE = ("mov,mp4", "matroska,webm", "avi", "mpegts", "flv", "asf", "mpeg", "ogg")
_BT709 = 1  # of AVColorSpace
_HD = 720  # rows from which on video that does not say its matrix is taken as BT.709


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; errors are raised as ``dmvton.errors``."""
    args = _parser().parse_args(argv)
    kind, output = _checked_output(args.output)
    photo = read_picture(args.garment)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C
    with _opened(Path(args.video)) as source:
        tryon = load_network(args)
        follower = Follower(tryon, tryon.garment(photo))
        with _written(output, kind) as target:
            frames, dressed = _convert(source, target, kind, follower, not args.quiet)
            if not dressed:
                raise NoPersonError(
                    f"{args.video}: nobody with a visible torso in any of {frames} frames; use a "
                    "video of one upright person from the front, head to hips"
                )
    print(f"{output}: {frames} frames, {dressed} with the garment on")
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="dmvton video",
        description="Put a garment photo on the person in a video; size, frame times and sound "
        "stay as they are.",
    )
    parser.add_argument("video", metavar="IN", help="video of one person, hips to head in view")
    parser.add_argument("garment", metavar="GARMENT", help="photo of one garment, any background")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help=f"{', '.join(_KINDS)}")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_network(parser)
    return parser


def _checked_output(name: str) -> tuple[_Kind, Path]:
    """How to write, once it is known that it can be written there.

    Raises:
        OutputError: unknown ending, or a place that cannot be written to.
    """
    path = Path(name)
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise OutputError(f"{path}: ending not known; use one of {', '.join(_KINDS)}")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path}: exists and is not a file; give another name")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise OutputError(
            f"{path}: folder {path.parent} does not exist or is read-only; choose another"
        )
    return kind, path


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A video file with its picture stream.

    Raises:
        ImageError: there is none, or it is no video.
    """
    if not path.is_file():
        raise ImageError(f"{path}: no such file; give the path of a video")
    with path.open("rb") as file:
        try:
            # From an open file: FFmpeg is given no name that it could take as an address.
            container = av.open(file, options={"protocol_whitelist": ""})
        except (av.FFmpegError, ValueError) as error:
            raise ImageError(
                f"{path}: cannot be read as a video ({error}); convert it to MP4 and try again"
            ) from error
        with container:
            if not container.format.name.startswith(_READABLE):
                raise ImageError(
                    f"{path}: is of kind {container.format.name}; convert it to MP4 and try again"
                )
            if not container.streams.video:
                raise ImageError(f"{path}: has no picture; give a video, not a sound file")
            yield container


@contextmanager
def _written(path: Path, kind: _Kind) -> Iterator[Any]:
    """A container beside ``path`` that takes its place once all went well.

    Raises:
        OutputError: it cannot be written; nothing half-written is left.
    """
    real = Path(os.path.realpath(path))
    temporary = real.with_name(f".dmvton-{secrets.token_hex(6)}.tmp")
    try:
        with av.open(str(temporary), "w", format=kind.container) as container:
            yield container
        os.replace(temporary, real)
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{path}: cannot be written ({reason})") from error
    finally:
        temporary.unlink(missing_ok=True)


def _convert(
    source: Any, target: Any, kind: _Kind, follower: Follower, progress: bool
) -> tuple[int, int]:
    """Dress every frame and copy every sound.

    Returns:
        The number of frames, and of those with the garment on.
    """
    video = source.streams.video[0]
    video.thread_type = "AUTO"
    sounds = source.streams.audio
    writer = _Writer(target, kind, video, sounds)
    bar = tqdm(total=_length(source, video), unit="frame", disable=not progress, desc="video")
    frames = dressed = 0
    with bar:
        for packet in source.demux([video, *sounds]):
            if packet.stream is not video:
                if packet.dts is not None:
                    writer.add_sound(packet)
                continue
            for frame in _decoded(packet, frames):
                dressed += writer.write(frame, follower)
                frames += 1
                bar.update()
        writer.finish()
    return frames, dressed


def _length(source: Any, video: Any) -> int | None:
    """How many frames to expect, if that can be known."""
    if video.frames:
        return video.frames
    if source.duration and video.average_rate:
        return round(source.duration / av.time_base * float(video.average_rate))
    return None


def _decoded(packet: Any, done: int) -> list[Any]:
    try:
        return packet.decode()
    except av.FFmpegError as error:
        raise ImageError(
            f"the video is damaged after frame {done} ({error}); copy or convert it again"
        ) from error


class _Writer:
    """Encodes frames with the times, the shape of pixels and the colours of the input."""

    def __init__(self, target: Any, kind: _Kind, video: Any, sounds: Sequence[Any]):
        self._target, self._kind, self._video, self._sounds = target, kind, video, sounds
        self._copied: dict[Any, Any] = {}
        self._out: Any = None
        self._count = 0
        self._early: list[Any] = []

    def add_sound(self, packet: Any) -> None:
        """Copy a packet of sound.

        Those that come before the first picture wait for it: the container's head, which is
        written first, must know the pictures' size.
        """
        if self._out is None:
            self._early.append(packet)
        else:
            packet.stream = self._copied[packet.stream]
            self._target.mux(packet)

    def write(self, frame: Any, follower: Follower) -> bool:
        """Dress and encode one frame; returns whether somebody was in view."""
        matrix = "itu709" if _is_bt709(frame) else "itu601"
        rgb = frame.to_ndarray(format="rgb24", src_colorspace=matrix)
        upright = np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)))
        view = follower.look(upright)
        garment = follower.garment
        picture = upright if view is None else dress(upright, view, garment).image
        if self._out is None:
            self._out = self._opened(picture.shape[1], picture.shape[0], frame.rotation)
        if (picture.shape[1], picture.shape[0]) != (self._out.width, self._out.height):
            raise ImageError("the video changes its size on the way; convert it to one size first")
        encoded = av.VideoFrame.from_ndarray(picture, format="rgb24")
        encoded = encoded.reformat(format=self._out.pix_fmt, dst_colorspace=matrix)
        encoded.time_base = self._out.time_base
        encoded.pts = self._time(frame)
        self._count += 1
        self._target.mux(self._out.encode(encoded))
        while self._early:
            self.add_sound(self._early.pop(0))
        return view is not None

    def finish(self) -> None:
        """Write what the encoder still holds.

        Raises:
            ImageError: there was no frame.
        """
        if self._out is None:
            raise ImageError("the video holds no frame that can be decoded; convert it again")
        self._target.mux(self._out.encode(None))

    def _opened(self, width: int, height: int, rotation: int) -> Any:
        video = self._video
        rate = video.average_rate or video.guessed_rate or Fraction(30)
        out = self._target.add_stream(self._kind.codec, rate=rate, options=self._kind.options)
        out.width, out.height = width, height
        # Half-size colour planes need even sides.
        out.pix_fmt = "yuv444p" if width % 2 or height % 2 else "yuv420p"
        out.time_base = out.codec_context.time_base = video.time_base
        given = video.codec_context
        for name in ("colorspace", "color_primaries", "color_trc"):
            setattr(out.codec_context, name, getattr(given, name))
        aspect = video.sample_aspect_ratio
        if aspect and rotation % 180 == 0:
            out.codec_context.sample_aspect_ratio = aspect
        self._copied = {sound: self._copy_of(sound) for sound in self._sounds}
        return out

    def _copy_of(self, sound: Any) -> Any:
        """The stream that the sound's packets go to, as they are."""
        try:
            return self._target.add_stream_from_template(sound)
        except (av.FFmpegError, ValueError) as error:
            raise OutputError(
                f"a {self._kind.container} file cannot hold this sound ({error}); "
                "write an .mkv file instead"
            ) from error

    def _time(self, frame: Any) -> int:
        if frame.pts is not None:
            return frame.pts
        rate = self._video.average_rate or Fraction(30)
        return round(self._count / rate / self._video.time_base)


def _is_bt709(frame: Any) -> bool:
    """Which matrix the frame's colours were made with; players guess in the same way."""
    if int(frame.colorspace) == 2:  # not said
        return frame.height >= _HD
    return int(frame.colorspace) == _BT709
