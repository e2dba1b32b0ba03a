"""Draws a dashboard with the layout and the dark theme of Grafana."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator
from PIL import Image

from tools.dashboard_picture.prometheus import Series

_BACKGROUND, _PANEL, _GRID, _TEXT, _FAINT = "#111217", "#181b1f", "#2c3235", "#ccccdc", "#8e8e99"
_COLOURS = ("#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#f2495c", "#b877d9", "#8ab8ff", "#ffa6b0", "#96d98d")
_COLUMNS = 24
"""Columns of Grafana's grid."""
_WIDTH, _ROW, _HEADER = 15.0, 0.43, 0.55
"""Inches: width of the picture, height of a grid row, height of the title."""
_GAP = 0.05
_LEGEND_WIDTH = 56
"""Characters per line of a legend."""
_TICK = 180.0
"""Seconds between ticks of the time axis."""
_TIMES = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a graph, with its name in the legend."""

    name: str
    points: tuple[tuple[float, float], ...]


def to_line(series: Series, legend: str) -> Line:
    """Convert a series, named by the panel's legend: `{{label}}` is replaced with the label's value."""
    name = re.sub(r"{{\s*(\w+)\s*}}", lambda match: series.labels.get(match[1], ""), legend)
    return Line(name, series.points)


def draw(
    dashboard: Mapping[str, Any], graphs: Mapping[int, Sequence[Line]], span: tuple[float, float], target: Path
) -> None:
    """Write the dashboard as a PNG. `graphs` are the lines of each panel by its ID, `span` is the time range."""
    panels = dashboard["panels"]
    height = _HEADER + _ROW * max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = Figure(figsize=(_WIDTH, height), dpi=100, facecolor=_BACKGROUND)
    middle = 1 - _HEADER / 2 / height
    figure.text(0.008, middle, dashboard["title"], color=_TEXT, fontsize=16, va="center")
    figure.text(
        0.992,
        middle,
        f"Last {round((span[1] - span[0]) / 60)} minutes",
        color=_FAINT,
        fontsize=12,
        va="center",
        ha="right",
    )
    for panel in panels:
        _draw_panel(figure, height, panel, graphs[panel["id"]], span)
    figure.savefig(target, facecolor=_BACKGROUND)
    # The picture has few colours: a palette reduces its size to a quarter.
    with Image.open(target) as picture:
        small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(target, optimize=True)


def _draw_panel(
    figure: Figure, height: float, panel: Mapping[str, Any], lines: Sequence[Line], span: tuple[float, float]
) -> None:
    """Draw a panel. Coordinates are inches from the upper left corner of the picture."""
    at = panel["gridPos"]
    column = _WIDTH / _COLUMNS
    left, top = at["x"] * column + _GAP, _HEADER + at["y"] * _ROW + _GAP
    wide, high = at["w"] * column - 2 * _GAP, at["h"] * _ROW - 2 * _GAP

    def box(x: float, y: float, w: float, h: float) -> tuple[float, float, float, float]:
        return x / _WIDTH, 1 - (y + h) / height, w / _WIDTH, h / height

    x, y, w, h = box(left, top, wide, high)
    figure.add_artist(Rectangle((x, y), w, h, facecolor=_PANEL, edgecolor=_GRID, linewidth=1, zorder=-1))
    figure.text(x + 0.006, y + h - 0.24 / height, panel["title"], color=_TEXT, fontsize=12, va="center")
    if not lines:
        figure.text(x + w / 2, y + h / 2, "No data", color=_FAINT, fontsize=14, ha="center", va="center")
        return
    columns = _legend_columns(lines)
    legend = 0.24 * math.ceil(len(lines) / columns) + 0.12
    axes = figure.add_axes(box(left + 0.75, top + 0.5, wide - 0.95, high - 0.5 - 0.32 - legend))
    axes.set_xlim(*span)
    _draw_lines(axes, panel, lines)
    handles, names = axes.get_legend_handles_labels()
    position = (x + 0.004, y + 0.06 / height)
    legend_style: dict[str, Any] = {"ncols": columns, "fontsize": 10, "frameon": False, "labelcolor": _TEXT}
    spacing: dict[str, Any] = {"handlelength": 1.0, "columnspacing": 1.2, "borderaxespad": 0.0, "borderpad": 0.0}
    figure.legend(handles, names, loc="lower left", bbox_to_anchor=position, **legend_style, **spacing)


def _legend_columns(lines: Sequence[Line]) -> int:
    lengths = [len(line.name) + 4 for line in lines]
    return len(lines) if sum(lengths) <= _LEGEND_WIDTH else max(1, _LEGEND_WIDTH // max(lengths))


def _draw_lines(axes: Axes, panel: Mapping[str, Any], lines: Sequence[Line]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    for index, line in enumerate(lines):
        times, values = zip(*line.points, strict=True)
        axes.plot(times, values, color=_COLOURS[index % len(_COLOURS)], linewidth=1.4, label=line.name)
    highest = max((value for line in lines for _, value in line.points if math.isfinite(value)), default=0.0)
    axes.set_ylim(bottom=defaults["min"], top=(highest or 1) * 1.15)
    axes.set_facecolor(_PANEL)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.tick_params(colors=_FAINT, labelsize=10, length=0)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: formatted(value, defaults["unit"])))
    axes.xaxis.set_major_locator(MultipleLocator(_TICK))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda at, _: f"{datetime.datetime.fromtimestamp(at, datetime.UTC):%H:%M}")
    )
    for spine in axes.spines.values():
        spine.set_visible(False)


def formatted(value: float, unit: str) -> str:
    """Format a value as Grafana does for this unit: `ops`, `s`, `percentunit` or `short`."""
    if unit == "s":
        factor, suffix = next(((f, s) for f, s in _TIMES if abs(value) >= f), (1.0, "s"))
        return f"{value / factor:.3g} {suffix}"
    if unit == "percentunit":
        return f"{value:.0%}"
    number = f"{value / 1000:.3g} K" if value >= 1000 else f"{value:.3g}"
    return f"{number} ops/s" if unit == "ops" else number
