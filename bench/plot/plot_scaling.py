#!/usr/bin/env python3
"""Draws what bench/scaling measured: how time and memory of a model grow.

  scaling-length.svg      time a token and peak memory of a training step of one sequence, against its length T
  scaling-throughput.svg  tokens a second: training against the batch and the vocabulary, generation against the place
                          in the text; a line for each number of threads

  bench/plot/plot_scaling.py build/scaling.json --out docs/images
  bench/plot/plot_scaling.py build/scaling.json --out build --format png
"""

import argparse
import json
import math
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, NullLocator

from style import COLOURS, INK, MUTED, save, spread_labels

GB = 1e9


def read(path):
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        if result["format"] != "vigor-scaling-1":
            raise ValueError(f"its format is {result['format']!r}")
        return result
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"plot_scaling: {path} is no file of bench/scaling: {error!r}")


def series(result, sweep, x_key, y_of, **wanted):
    """-> xs, ys of the sweep's points whose options are as wanted (None: the option is absent), by growing x."""
    found = []
    for point in result["points"]:
        options = point["options"]
        if point["sweep"] == sweep and all(options.get(key) == value for key, value in wanted.items()):
            found.append((options[x_key], y_of(point)))
    found.sort()
    return [x for x, _ in found], [y for _, y in found]


def plain(value, _=None):
    return f"{value:,.0f}"


def thousands(value, _=None):
    return f"{value / 1000:.0f}k" if value >= 10000 else f"{value / 1000:.1f}k"


def draw_lines(ax, lines, title, x_title, x_format=plain, y_format=plain, top=0):
    """lines: (label, xs, ys, dashed). The x axis is logarithmic with a tick at every point; the y axis goes from 0 to
    above all values and `top`."""
    ends, ticks = [], set()
    for (label, xs, ys, dashed), colour in zip(lines, COLOURS):
        if not xs:
            continue
        ax.plot(xs, ys, "o--" if dashed else "o-", color=colour, linewidth=2, markersize=4.5, markeredgecolor="white")
        ends.append((xs[-1], ys[-1], f"{label} {y_format(ys[-1])}".strip(), colour))
        ticks |= set(xs)
    if not ends:
        ax.text(0.5, 0.5, f"{title}:\nnot measured", transform=ax.transAxes, ha="center", color=MUTED)
        ax.axis("off")
        return
    ax.set_xscale("log", base=2)
    ax.set_xticks(sorted(ticks), [x_format(tick) for tick in sorted(ticks)])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_ylim(0, max(top, 1.12 * max(max(ys) for _, xs, ys, _ in lines if xs)))
    ax.yaxis.set_major_formatter(FuncFormatter(y_format))
    octaves = math.log2(max(ticks) / min(ticks))
    room = 0.03 * max(len(text) for _, _, text, _ in ends)  # for the labels at the ends, as a part of the width
    ax.set_xlim(min(ticks) / 2 ** (0.05 * octaves), max(ticks) * 2 ** (room * octaves))
    spread_labels(ax, ends)
    ax.grid(axis="x", visible=False)
    ax.set_title(title, loc="left", fontsize=10.5, color=INK)
    ax.set_xlabel(x_title)


def draw_length(result):
    def milliseconds(point):
        return 1e3 * point["result"]["step_s"] / (point["options"]["batch"] * point["options"]["seq"])

    def gigabytes(point):
        return point["result"]["peak_rss_bytes"] / GB

    figure, (time_axes, memory_axes) = plt.subplots(1, 2, figsize=(10.4, 3.9), layout="constrained")
    for ax, y_of, title, top in (
        (time_axes, milliseconds, "training, ms a token", 0),
        (memory_axes, gigabytes, "peak memory of the process, GB", 9),
    ):
        lines = [
            ("stored", *series(result, "length", "seq", y_of, recompute=None), False),
            ("recomputed", *series(result, "length", "seq", y_of, recompute=True), True),
        ]
        draw_lines(ax, lines, title, "T, tokens of one sequence", plain, lambda value, _=None: f"{value:.2g}", top)
    for limit in (4, 8):
        memory_axes.axhline(limit, color=MUTED, linewidth=1, linestyle=":")
        memory_axes.text(0.01, limit + 0.12, f"{limit} GB", transform=memory_axes.get_yaxis_transform(), color=MUTED, fontsize=9)
    figure.suptitle(f"{result['model']}, batch 1", x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure


def draw_throughput(result):
    def training(point):
        return point["result"]["tokens_per_s"]

    threads = sorted({point["options"]["threads"] for point in result["points"]}, reverse=True)

    def by_threads(sweep, x_key):
        names = [f"{count} thread{'s' if count > 1 else ''}:" for count in threads]
        return [(name, *series(result, sweep, x_key, training, threads=count), False) for name, count in zip(names, threads)]

    figure, axes = plt.subplots(1, 3, figsize=(13.2, 3.9), layout="constrained")
    draw_lines(axes[0], by_threads("batch", "batch"), "training, tokens/s", "batch, sequences of 256 tokens")
    draw_lines(axes[1], by_threads("vocabulary", "vocab-size"), "training, tokens/s, batch 4 x 256", "V, vocabulary", thousands)
    draw_lines(axes[2], by_threads("generation", "positions"), "generation, tokens/s", "tokens before")
    figure.suptitle(result["model"], x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="of bench/scaling")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--format", choices=["svg", "png", "pdf"], default="svg")
    args = parser.parse_args()
    result = read(args.file)
    for name, draw in (("length", draw_length), ("throughput", draw_throughput)):
        save(draw(result), args.out / f"scaling-{name}.{args.format}")


if __name__ == "__main__":
    main()
