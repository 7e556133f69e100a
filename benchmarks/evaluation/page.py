"""The report as one HTML file with its pictures inside. They show real people: keep it to yourself.

The file is written where the user asks and must not be published or committed.
"""

import base64
import html
from typing import Any, NamedTuple

import cv2
import numpy as np

from benchmarks.evaluation.rows import BETTER_HIGH

_STYLE = """body{font:14px/1.4 system-ui,sans-serif;margin:2em;max-width:1200px}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .7em;text-align:right;
border-bottom:1px solid #ddd}th:first-child,td:first-child{text-align:left}
td.best{font-weight:bold}small{color:#666}.strip{display:flex;gap:6px;margin:.5em 0 1em}
figure{margin:0}figcaption{font-size:12px;color:#444}img{height:256px}"""


class Strip(NamedTuple):
    """A row of pictures."""

    title: str
    pictures: list[tuple[str, np.ndarray]]  # caption and (H, W, 3) uint8


def page(report: dict[str, Any], strips: list[Strip]) -> str:
    """The whole document."""
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>dmvton eval</title>",
        f"<style>{_STYLE}</style><h1>dmvton eval</h1>",
        "<p><b>The pictures show real people: do not publish this file.</b></p>",
        f"<p>Protocol {html.escape(report['protocol'])}, weights {html.escape(report['weights'])}. "
        "Mean, 95% interval in brackets; samples / persons in the last column. Arrows say which "
        "way is better, bold is the best contender that changes the picture.</p>",
    ]
    for part, contenders in report["parts"].items():
        parts += [f"<h2>{html.escape(part)}</h2>", _table(contenders)]
    parts.append("<h2>Notes</h2><ul>")
    parts += [f"<li>{html.escape(note)}</li>" for note in report["notes"]]
    parts.append("</ul><h2>Pictures</h2>")
    parts += [_strip(strip) for strip in strips]
    return "\n".join([*parts, "</html>"])


def _table(contenders: dict[str, dict[str, dict]]) -> str:
    names = list(contenders)
    measures = [m for m in BETTER_HIGH if any(m in contenders[n] for n in names)]
    head = "".join(f"<th>{html.escape(n)}</th>" for n in names)
    rows = [f"<table><tr><th>measure</th>{head}<th>N</th></tr>"]
    for measure in measures:
        figures = {n: contenders[n][measure] for n in names if measure in contenders[n]}
        sign = 1 if BETTER_HIGH[measure] else -1
        rivals = [n for n in figures if n != "no-op"]
        best = max(rivals, key=lambda n: sign * figures[n]["value"], default=None)
        cells = "".join(_cell(figures.get(n), n == best) for n in names)
        arrow = "&uarr;" if sign > 0 else "&darr;"
        first = next(iter(figures.values()))
        count = f"<td>{first['n']} / {first['groups']}</td>"
        rows.append(f"<tr><td>{measure} {arrow}</td>{cells}{count}</tr>")
    return "".join([*rows, "</table>"])


def _cell(figure: dict | None, best: bool) -> str:
    if figure is None:
        return "<td>-</td>"
    mark = " class='best'" if best else ""
    low, high = figure["low"], figure["high"]
    return f"<td{mark}>{figure['value']:.4g} <small>[{low:.4g}, {high:.4g}]</small></td>"


def _strip(strip: Strip) -> str:
    figures = "".join(
        f"<figure><img src='{_data(image)}' alt='{html.escape(caption)}'>"
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for caption, image in strip.pictures
    )
    return f"<h3>{html.escape(strip.title)}</h3><div class='strip'>{figures}</div>"


def _data(image: np.ndarray) -> str:
    zoom = min(1.0, 256 / image.shape[0])
    small = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 88])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
