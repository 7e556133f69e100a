"""Where the garment ends below: one row of it, straight across.

How long a garment falls, the picture of it does not say: it may be tucked in, or hang over the
skirt. The network answers with a chance, and its alpha fades from one to nothing over a hand's
breadth of every length that might be. Cut where that chance is a half, pixel by pixel, the hem is
torn by the cloth below. But a hem is cut along a row of the garment, and the flow knows which row
each pixel shows: the chance of a row is the mean of alpha over the middle of the torso, and the
garment ends at the row where that passes a half, or at its last. Above it alpha is divided by the
chance, which leaves that of the outline and of what lies in front; below it is 0.

Where the old top went on a little below that row, what is shown is what the network rendered, and
it renders what it is in two minds about as a mixture: a strip, like the old top's, below the hem.
The garment is stretched over such a strip, as far as the network holds garment possible there.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from dmvton.crop import Box


@dataclass(frozen=True)
class HemRule:
    """How the hem is found."""

    first: float = 0.3
    """Rows above this share of the garment's height are never the hem."""
    last: float = 1.25
    """The last row looked at; beyond 1 lies what the flow makes of the photo below the garment."""
    rows: int = 45
    """Rows told apart in between."""
    middle: float = 0.6
    """Share of the torso's half width that has a say; beyond lie sides and sleeves."""
    pixels: int = 8
    """A row of fewer has no say, but that of its neighbours."""
    ramp: float = 1.5
    """Network pixels over which alpha ends."""
    side: float = 0.15
    """Share of the torso's half width, beyond its sides, over which the cut fades: what hangs
    beside it are sleeves."""
    reach: float = 0.2
    """Shares of its height by which the garment is stretched at most; a longer strip is a coat's
    or a shirt's that is meant to be seen."""
    doubt: float = 0.3
    """The chance down to which a row may be garment."""


HEM = HemRule()


class Torso(NamedTuple):
    """The part of a garment picture that ends in the hem, in pixels."""

    top: float  # its first row
    bottom: float  # the row after its last
    middle: float  # the column in its middle
    half: float  # half its width


def torso_of(mask: np.ndarray) -> Torso | None:
    """The garment without its sleeves, which may hang beside it and reach lower.

    Args:
        mask: (h, w) in [0, 1], of the garment in its letterbox.

    Returns:
        None where there is no garment to speak of.
    """
    sure = mask > 0.5
    columns = np.flatnonzero(sure.any(0))
    if columns.size < 8:
        return None
    # The middle of what is garment, not of its box: one sleeve may be folded away.
    middle = float(sure.sum(0) @ np.arange(sure.shape[1]) / sure.sum())
    reach = 0.15 * (columns[-1] + 1 - columns[0])
    band = sure[:, max(0, round(middle - reach)) : round(middle + reach) + 1]
    rows = np.flatnonzero(band.mean(1) > 0.3)  # an open front is a gap in it
    if rows.size < 8:
        return None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    lower = sure[top + round(0.7 * (bottom - top)) : top + round(0.95 * (bottom - top))]
    filled = (lower.mean(0) > 0.5).astype(np.uint8)[None]
    filled = cv2.morphologyEx(filled, cv2.MORPH_CLOSE, np.ones((1, 5), np.uint8))[0]
    ends = np.flatnonzero(np.diff(np.pad(filled, 1)))
    if ends.size == 0:
        return None
    left, right = max(ends.reshape(-1, 2), key=lambda run: run[1] - run[0])
    return Torso(top, bottom, (left + right - 1) / 2, (right - left) / 2)


def with_hem(
    alpha: np.ndarray,
    beta: np.ndarray,
    flow: np.ndarray,
    torso: Torso | None,
    rule: HemRule = HEM,
) -> tuple[np.ndarray, np.ndarray]:
    """Alpha that ends below along one row of the garment, and the flow of a garment of that length.

    Args:
        alpha: (h, w) float32 in [0, 1], weight of the warped garment.
        beta: (h, w) float32 in [0, 1], weight of the rendered pixels in what is left.
        flow: (h, w, 2) (x, y) in [-1, 1] into the garment's letterbox.
        torso: of the garment in its letterbox at (h, w).
        rule: how the hem is found.

    Returns:
        (h, w) float32 in [0, 1] and (h, w, 2); `alpha` and `flow` themselves where too little of
        the garment is in view to tell.
    """
    if torso is None:
        return alpha, flow
    height, width = alpha.shape
    at = Box(0, 0, width, height).to_pixels(flow)
    aside = np.abs(at[..., 0] - torso.middle) / torso.half
    step = (torso.bottom - torso.top) * (rule.last - rule.first) / rule.rows  # pixels a row
    first = torso.top + (torso.bottom - torso.top) * rule.first
    place = (at[..., 1] - first) / step  # in rows of the rule
    rows = _rows_in_view(place, aside < rule.middle, rule)
    if rows is None:
        return alpha, flow
    chance = rows.chances(alpha)
    if chance[0] <= 0.5:
        return alpha, flow
    # No longer than its photo shows it, of which the last row is whole.
    end = min(_last(chance, 0.5), (torso.bottom + rule.ramp / 2 - first) / step)
    # What would be rendered below is covered, where that may be garment.
    strip = min(_last(rows.chances(alpha + (1 - alpha) * beta), 0.5), _last(chance, rule.doubt))
    most = rule.reach * rule.rows / (rule.last - rule.first)
    longer = strip if end < strip <= end + most else end
    least = 0.5 if longer == end else rule.doubt
    ends = np.clip((longer - place) * step / rule.ramp + 0.5, 0, 1)
    cut = np.minimum(alpha / np.maximum(_between(chance, place - 0.5), least), 1) * ends
    share = np.clip((1 + rule.side - aside) / rule.side, 0, 1) * (place > 0)
    if longer > end:
        flow = flow.copy()
        flow[..., 1] += share * place * (end / longer - 1) * step * 2 / height
    return (alpha + (cut - alpha) * share).astype(np.float32), flow


class _Rows(NamedTuple):
    """The rows of the garment that are in view."""

    pixels: np.ndarray  # (h, w) bool, those that have a say
    which: np.ndarray  # (n,) the row of each of these
    counts: np.ndarray  # (rows,) of these in each row
    seen: np.ndarray  # rows of enough pixels

    def chances(self, weight: np.ndarray) -> np.ndarray:
        """The chance of each row (rows,), falling, of a weight (h, w)."""
        total = np.bincount(self.which, weight[self.pixels], minlength=len(self.counts))
        mean = total[self.seen] / self.counts[self.seen]
        chance = np.interp(np.arange(len(self.counts)), self.seen, mean)
        # A hand or a bag in front hides a row, but not the garment's going on below.
        chance = np.maximum.accumulate(chance[::-1])[::-1]
        return np.convolve(np.pad(chance, 1, mode="edge"), (0.25, 0.5, 0.25), "valid")


def _rows_in_view(place: np.ndarray, middle: np.ndarray, rule: HemRule) -> _Rows | None:
    pixels = middle & (place >= 0) & (place < rule.rows)
    which = place[pixels].astype(np.intp)
    count = np.bincount(which, minlength=rule.rows)
    seen = np.flatnonzero(count >= rule.pixels)
    return _Rows(pixels, which, count, seen) if seen.size >= 4 else None


def _between(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Linear between the values, which lie at 0, 1, ...; NumPy's own takes five times as long."""
    at = np.clip(at, 0, len(values) - 1)
    low = np.minimum(at.astype(np.intp), len(values) - 2)
    return values[low] + (at - low) * (values[low + 1] - values[low])


def _last(chance: np.ndarray, bound: float) -> float:
    """The place where a falling chance, above the bound at first, passes it."""
    above = int(np.flatnonzero(chance > bound)[-1])
    if above == len(chance) - 1:
        return float(len(chance))
    part = (chance[above] - bound) / (chance[above] - chance[above + 1])
    return above + 0.5 + float(part)
