"""Plots of what happened, for a notebook: ``goque.plots``. Not for: colours (``palette``), or arithmetic (``bins``).

Each takes a batch, a queue or a frame of ``history``, draws on ``ax`` or on new axes, and returns the axes. None of
them shows anything: a notebook does that by itself. However many runs there are, as much is drawn as the eye can tell
apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from goque.errors import InvalidInput
from goque.model.durations import in_words
from goque.model.states import Status
from goque.notebook import bins
from goque.notebook.palette import (
    LOOKS,
    areas,
    explain,
    in_lengths,
    in_time,
    new_axes,
    painted,
    points,
    say_nothing_ran,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["durations", "memory", "throughput", "timeline", "waits"]

DAY_S = 86400.0
MOST_BARS = 1_500
"""Up to so many runs each has a bar of its own; beyond, bars would be thinner than what can be seen."""
MOST_POINTS = 1_500
MOST_MARKS = 150
STEPS = 240
_NOTHING = "nothing has run yet"


def timeline(data: Any, ax: Axes | None = None) -> Axes:
    """When each worker ran what: a bar per run, or, of very many, how busy each worker was.

    Args:
        data: a batch, a queue, or a frame of ``history`` with its columns status, worker, started_at and run_s.
        ax: axes to draw on; new ones if None.

    Raises:
        InvalidInput: no such data, or matplotlib is not installed.
    """
    runs = _runs(data, "status", "worker", "host", "started_at", "run_s")
    names, starts, ends = _by_worker(runs)
    single = len(runs) <= MOST_BARS
    ax = new_axes(ax, "timeline" if single else "timeline: how busy each worker was", 1.4 + 0.5 * min(len(names), 12))
    if runs.empty:
        return say_nothing_ran(ax, _NOTHING)
    from matplotlib.collections import PolyCollection

    status, worker = runs["status"].to_numpy(), runs["worker"].to_numpy()
    drawn = _bars(status, worker, starts, ends) if single else _bands(status, worker, starts, ends)
    polygons, middles, heights = drawn
    for name in LOOKS:
        if found := polygons.get(name):
            outline = 0.4 if single else 0.0
            ax.add_collection(PolyCollection(found, **{**painted(name, ax), "linewidth": outline}, label=name))
    if not single:
        _mark_failures(ax, status, worker, ends, dict(zip(np.unique(worker), heights, strict=True)))
    thin = -(-len(names) // 24)
    ax.set_yticks(middles[::thin], names[::thin], fontsize="small")
    ax.set_ylim(max(heights) + 0.3, -0.3)
    ax.grid(visible=False, axis="y")
    margin = (ends.max() - starts.min()) * 0.01 or 0.5
    ax.set_xlim((starts.min() - margin) / DAY_S, (ends.max() + margin) / DAY_S)
    in_time(ax)
    explain(ax, areas(ax, status))
    return ax


def throughput(data: Any, ax: Axes | None = None) -> Axes:
    """How many runs ended in each step of time, by how they ended. ``data`` and ``ax`` are as in ``timeline``."""
    runs = _runs(data, "status", "started_at", "finished_at")
    runs = runs[runs["finished_at"].notna()]
    ax = new_axes(ax, "throughput")
    if runs.empty:
        return say_nothing_ran(ax, "nothing has ended yet")
    ended, status = _moments(runs["finished_at"]), runs["status"].to_numpy()
    edges, length = bins.steps(
        min(ended.min(), _moments(runs["started_at"]).min()), ended.max(), bins.suiting(len(runs))
    )
    unit, factor = ("second", 1) if len(runs) >= ended.max() - edges[0] else ("minute", 60)
    _stacked(ax, ended, status, edges, factor / length, edges / DAY_S)
    ax.set_xlim(edges[0] / DAY_S, edges[-1] / DAY_S)
    ax.set_ylabel(f"runs per {unit}", fontsize="small")
    ax.set_title(
        f"throughput, in steps of {in_words(length)}", loc="left", fontsize="medium", fontweight="bold", pad=24
    )
    in_time(ax)
    explain(ax, areas(ax, status))
    return ax


def durations(data: Any, ax: Axes | None = None) -> Axes:
    """How long runs took that have ended, with median and 95 %. ``data`` and ``ax`` are as in ``timeline``."""
    runs = _runs(data, "status", "started_at", "run_s")
    runs = runs[runs["run_s"].notna() & (runs["status"] != Status.PROCESSING)]
    ax = new_axes(ax, "durations")
    if runs.empty:
        return say_nothing_ran(ax, "nothing has ended yet")
    lengths, status = runs["run_s"].to_numpy(), runs["status"].to_numpy()
    edges, factors = bins.spread(lengths, bins.suiting(len(runs)) // 2 + 4)
    _stacked(ax, np.clip(lengths, edges[0], edges[-1]), status, edges, 1, edges)
    if factors:
        ax.set_xscale("log")
    ax.set_xlim(edges[0], edges[-1])
    in_lengths(ax.xaxis)
    ax.set_ylabel("runs", fontsize="small")
    explain(ax, [*areas(ax, status), *_marks(ax, lengths)])
    return ax


def waits(data: Any, ax: Axes | None = None) -> Axes:
    """How long runs waited from ready to started, when they started. ``data`` and ``ax`` are as in ``timeline``."""
    return _over_time(data, ax, "wait_s", "waits: from ready to started", "")


def memory(data: Any, ax: Axes | None = None) -> Axes:
    """How much memory runs took at their peak, when they started. ``data`` and ``ax`` are as in ``timeline``."""
    return _over_time(data, ax, "max_rss_mb", "memory: peak of each run", "MB")


def _over_time(data: Any, ax: Axes | None, column: str, title: str, unit: str) -> Axes:
    """A point per run, or, of very many, the median and the spread in each step; failures are always points."""
    runs = _runs(data, "status", "started_at", column)
    runs = runs[runs[column].notna()]
    ax = new_axes(ax, title)
    if runs.empty:
        return say_nothing_ran(ax, _NOTHING)
    at, values, status = _moments(runs["started_at"]), runs[column].to_numpy(), runs["status"].to_numpy()
    days = at / DAY_S
    if len(runs) <= MOST_POINTS:
        handles = points(ax, days, values, status, np.ones(len(runs), dtype=bool))
    else:
        failed = _some(status == Status.ERROR)
        handles = [*_spread_over_time(ax, at, values), *points(ax, days, values, status, failed)]
    ax.set_ylim(bottom=0)
    if unit:
        ax.set_ylabel(unit, fontsize="small")
    else:
        in_lengths(ax.yaxis, float(values.max()))
    in_time(ax)
    explain(ax, handles)
    return ax


def _spread_over_time(ax: Axes, at: Any, values: Any) -> list[Any]:
    edges, _ = bins.steps(at.min(), at.max(), 120)
    middles, found = bins.quantiles(at, values, edges, (0.05, 0.5, 0.95, 1.0))
    days, colour, ink = middles / DAY_S, LOOKS[Status.DONE].colour, ax.xaxis.label.get_color()
    band = ax.fill_between(days, found[:, 0], found[:, 2], color=colour, alpha=0.4, linewidth=0, label="5 % to 95 %")
    (middle,) = ax.plot(days, found[:, 1], color=ink, linewidth=1.8, zorder=4, label="median")
    (most,) = ax.plot(days, found[:, 3], color=ink, linewidth=0.9, linestyle=":", label="maximum")
    return [middle, band, most]


def _stacked(ax: Axes, values: Any, status: Any, edges: Any, factor: float, along: Any) -> None:
    """A histogram of the values, one status upon the other."""
    from matplotlib.ticker import MaxNLocator

    base = np.zeros(len(edges) - 1)
    for name in LOOKS:
        if (mask := status == name).any():
            top = base + np.histogram(values[mask], edges)[0] * factor
            ax.stairs(top, along, baseline=base, fill=True, label=name, **painted(name, ax))
            base = top
    ax.set_ylim(0, base.max() * 1.08)
    ax.yaxis.set_major_locator(MaxNLocator(6, integer=factor == 1))


def _marks(ax: Axes, lengths: Any) -> Iterator[Any]:
    colour = ax.xaxis.label.get_color()
    for word, quantile, line in (("median", 0.5, "-"), ("95 %", 0.95, "--")):
        at = float(np.quantile(lengths, quantile))
        yield ax.axvline(at, color=colour, linewidth=1.2, linestyle=line, label=f"{word} {in_words(at)}")


def _bars(status: Any, worker: Any, starts: Any, ends: Any) -> tuple[dict[str, list[Any]], Any, list[float]]:
    """A rectangle per run in the lanes of its worker: polygons by status, middles and lower ends of the workers."""
    least = (ends.max() - starts.min()) / 1500  # about a pixel, so that the shortest run can be seen
    polygons: dict[str, list[Any]] = {}
    middles, bottoms, top = [], [], 0.0
    for one in np.unique(worker):
        mine = np.flatnonzero(worker == one)
        lanes = bins.lanes(starts[mine], ends[mine])
        height = 1.0 / (max(lanes) + 1)
        for place, lane in zip(mine, lanes, strict=True):
            left, right = starts[place] / DAY_S, max(ends[place], starts[place] + least) / DAY_S
            upper, lower = top + lane * height, top + (lane + 0.92) * height
            corners = [(left, upper), (right, upper), (right, lower), (left, lower)]
            polygons.setdefault(str(status[place]), []).append(corners)
        middles.append(top + 0.5)
        bottoms.append(top + 1.0)
        top += 1.25
    return polygons, np.array(middles), bottoms


def _bands(status: Any, worker: Any, starts: Any, ends: Any) -> tuple[dict[str, list[Any]], Any, list[float]]:
    """How many runs each worker had going in each step, stacked by status: polygons, middles, lower ends."""
    edges, _ = bins.steps(starts.min(), ends.max(), STEPS)
    along = np.repeat(edges, 2)[1:-1] / DAY_S
    polygons: dict[str, list[Any]] = {}
    middles, bottoms, top = [], [], 0.0
    for one in np.unique(worker):
        mine = worker == one
        counts = {
            name: bins.busy(starts[of], ends[of], edges) for name in LOOKS if (of := mine & (status == name)).any()
        }
        most = sum(counts.values()).max() or 1.0
        base = np.full(len(edges) - 1, top + 1.0)
        for name, count in counts.items():
            upper = base - count / most
            outline = [*zip(along, np.repeat(upper, 2), strict=True)]
            outline += [*zip(along[::-1], np.repeat(base, 2)[::-1], strict=True)]
            polygons.setdefault(name, []).append(outline)
            base = upper
        middles.append(top + 0.5)
        bottoms.append(top + 1.0)
        top += 1.25
    return polygons, np.array(middles), bottoms


def _mark_failures(ax: Axes, status: Any, worker: Any, ends: Any, bottoms: dict[Any, float]) -> None:
    """A mark where a run failed, since the area of a short one cannot be seen; one for all of a step."""
    failed = status == Status.ERROR
    if not failed.any():
        return
    edges, length = bins.steps(ends.min(), ends.max(), STEPS // 2)
    place = np.searchsorted(edges, ends[failed], side="right") - 1
    marks = sorted({(bottoms[one], edges[at] + length / 2) for one, at in zip(worker[failed], place, strict=True)})
    look = LOOKS[Status.ERROR]
    ax.scatter(
        [at / DAY_S for _, at in marks], [bottom - 1.07 for bottom, _ in marks],
        marker=look.marker, color=look.colour, s=14, linewidths=0, clip_on=False, zorder=3,
    )  # fmt: skip


def _some(mask: Any) -> Any:
    """As many of these as do not hide the rest."""
    places = np.flatnonzero(mask)
    kept = np.zeros(len(mask), dtype=bool)
    kept[places[:: -(-len(places) // MOST_MARKS) or 1]] = True
    return kept


def _by_worker(runs: pd.DataFrame) -> tuple[list[str], Any, Any]:
    """What each worker is called, in the order of their numbers, and when runs began and ended, in seconds."""
    starts = _moments(runs["started_at"])
    hosts = runs.groupby("worker")["host"].first().fillna("?")
    several = hosts.nunique() > 1
    names = [f"{host} · {worker}" if several else f"worker {worker}" for worker, host in hosts.items()]
    return names, starts, starts + runs["run_s"].to_numpy()


def _runs(data: Any, *columns: str) -> pd.DataFrame:
    """These columns of the runs that began."""
    if isinstance(data, pd.DataFrame):
        if missing := [name for name in columns if name not in data]:
            raise InvalidInput(
                f"the frame has no column {', '.join(missing)}; pass one of history(), or these columns too"
            )
        frame = data[list(columns)]
    elif callable(history := getattr(data, "history", None)):
        frame = history(columns=list(columns))
    else:
        raise InvalidInput(f"data is a batch, a queue or a frame of history(), not {type(data).__name__}")
    known = frame[list(columns)].dropna(subset=[name for name in ("started_at", "worker") if name in columns])
    return known.assign(status=known["status"].astype(object))


def _moments(moments: pd.Series[Any]) -> Any:
    """Seconds since 1970."""
    return moments.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[us]").astype("int64") / 1e6
