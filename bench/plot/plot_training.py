#!/usr/bin/env python3
"""Draws a training run from vigor's metrics (one JSON object a line): loss and perplexity, tokens/s, learning rate.

Read keys: step, loss, tokens_per_s, lr, eval_loss; all but step may be missing from a line, other keys and lines
without a step are skipped. Where a resumed run wrote a step twice, the later line counts.
Several runs are drawn on top of each other, each labelled with its name.

  python bench/plot/plot_training.py runs/i3/metrics.jsonl --out docs/images/training.svg --title "i3-80m, 300 steps"
  python bench/plot/plot_training.py dense=runs/a/metrics.jsonl low-rank=runs/b/metrics.jsonl --out compare.svg
"""

import argparse
import json
import math
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, MaxNLocator

from style import COLOURS, INK, MUTED, save, spread_labels


class Run:
    def __init__(self, argument):
        name, separator, path = argument.partition("=")
        self.path = Path(path if separator else argument)
        self.name = name if separator else self.path.parent.name or self.path.stem
        by_step = {}
        for number, line in enumerate(self.path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                record = json.loads(line)
            except ValueError:
                sys.exit(f"{self.path}: line {number} is not JSON")
            if "step" in record:
                by_step.setdefault(record["step"], {}).update(record)
        self.records = [by_step[step] for step in sorted(by_step)]
        if not self.series("loss")[0]:
            sys.exit(f"{self.path}: no line has both step and loss")

    def series(self, key):
        """-> steps, values of the lines that have a finite value for the key."""
        found = [(r["step"], r[key]) for r in self.records if isinstance(r.get(key), (int, float))]
        found = [(step, value) for step, value in found if math.isfinite(value)]
        return [step for step, _ in found], [value for _, value in found]


def smooth(values):
    """Moving average over about a twentieth of the run.

    Centred, and narrower where the steep beginning leaves no room on the left, so that the curve does not lag behind;
    at the flat end it keeps its left half, so the last value is a mean and not one noisy step.
    """
    half = len(values) // 40
    totals = [0.0]
    for value in values:
        totals.append(totals[-1] + value)
    result = []
    for i in range(len(values)):
        reach = min(half, i)
        begin, end = i - reach, min(i + reach + 1, len(values))
        result.append((totals[end] - totals[begin]) / (end - begin))
    return result


def draw_loss(ax, runs):
    ends = []
    for run, colour in zip(runs, COLOURS):
        steps, losses = run.series("loss")
        smoothed = smooth(losses)
        ax.plot(steps, losses, color=colour, alpha=0.22, linewidth=0.9)
        ax.plot(steps, smoothed, color=colour, linewidth=2, solid_capstyle="round")
        name = run.name if len(runs) > 1 else "training"
        ends.append((steps[-1], smoothed[-1], f"{name} {smoothed[-1]:.2f}", colour))
        eval_steps, eval_losses = run.series("eval_loss")
        if eval_steps:
            ax.plot(eval_steps, eval_losses, "o", color=colour, markersize=5.5, markeredgecolor="white", zorder=4)
            name = f"{run.name}, held out" if len(runs) > 1 else "held out"
            ends.append((eval_steps[-1], eval_losses[-1], f"{name} {eval_losses[-1]:.2f}", colour))
    spread_labels(ax, ends)
    ax.set_ylabel("loss (nats per token)")
    ax.yaxis.set_major_locator(MaxNLocator(8))
    add_perplexity_scale(ax)
    return max(len(text) for _, _, text, _ in ends)


def add_perplexity_scale(ax):
    """Perplexity is exp(loss): the same curve, read on a second scale."""
    scale = ax.secondary_yaxis("right")
    low, high = ax.get_ylim()
    ticks = [digit * 10**power for power in range(6) for digit in (1, 2, 5)]
    ticks = [tick for tick in ticks if low <= math.log(tick) <= high]
    scale.set_yticks([math.log(tick) for tick in ticks], [f"{tick:,}" for tick in ticks])
    scale.tick_params(length=0, colors=MUTED, pad=2)
    scale.spines["right"].set_visible(False)
    scale.set_ylabel("perplexity", color=MUTED)


def draw_small(ax, runs, key, title, number_format):
    highest = 0.0
    for run, colour in zip(runs, COLOURS):
        steps, values = run.series(key)
        if not steps:
            continue
        highest = max(highest, max(values))
        ax.plot(steps, values, color=colour, linewidth=1.6)
    ax.set_title(title, loc="left", fontsize=10, color=INK)
    ax.set_ylim(0, 1.15 * highest or 1.0)
    ax.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number_format(value)))
    if highest == 0.0:
        ax.text(0.5, 0.5, "not recorded", transform=ax.transAxes, ha="center", color=MUTED)


def scientific(value):
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}" if value else "0"


def draw(runs, title):
    figure = plt.figure(figsize=(9.2, 6.2), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=[2.4, 1])
    loss_axes = figure.add_subplot(grid[0, :])
    speed_axes = figure.add_subplot(grid[1, 0])
    rate_axes = figure.add_subplot(grid[1, 1])
    label_length = draw_loss(loss_axes, runs)
    draw_small(speed_axes, runs, "tokens_per_s", "tokens / s", lambda value: f"{value:,.0f}")
    draw_small(rate_axes, runs, "lr", "learning rate", scientific)
    last = max(run.records[-1]["step"] for run in runs)
    for ax in (loss_axes, speed_axes, rate_axes):
        # Room on the right of the upper panel for the labels at the ends of its lines.
        ax.set_xlim(0, last * (1.03 + 0.0125 * label_length if ax is loss_axes else 1.02))
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        ax.grid(axis="x", visible=False)
    for ax in (speed_axes, rate_axes):
        ax.set_xlabel("step")
    if title:
        loss_axes.set_title(title, loc="left", fontsize=12.5, fontweight="bold", pad=10)
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="[NAME=]METRICS", help=f"at most {len(COLOURS)}")
    parser.add_argument("--out", type=Path, required=True, help="file to write: .svg, .png or .pdf")
    parser.add_argument("--title", default="")
    args = parser.parse_args()
    if len(args.runs) > len(COLOURS):
        parser.error(f"at most {len(COLOURS)} runs can be told apart; got {len(args.runs)}")
    save(draw([Run(argument) for argument in args.runs], args.title), args.out)


if __name__ == "__main__":
    main()
