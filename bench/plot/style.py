"""How all our plots look: colours, lines, and labels at the ends of lines in place of legends."""

import matplotlib

matplotlib.use("Agg")

INK, MUTED, GRID = "#1f2328", "#656d76", "#e6e8eb"
COLOURS = ["#0b62c4", "#c4500b", "#1a7f4b", "#7a3fb5"]
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "vigor",  # the same data give the same file
}
matplotlib.rcParams.update(STYLE)


def label_end(ax, x, y, text, colour):
    """The label sits at the end of its line, so that no legend is needed."""
    ax.annotate(
        text, (x, y), xytext=(6, 0), textcoords="offset points", color=colour, fontsize=9.5, fontweight="bold",
        va="center", annotation_clip=False,
    )


def spread_labels(ax, ends):
    """Places end labels (x, y, text, colour), pushed apart where two lines end at almost the same height."""
    low, high = ax.get_ylim()
    gap = 0.055 * (high - low)
    previous = None
    for x, y, text, colour in sorted(ends, key=lambda end: end[1]):
        y = y if previous is None else max(y, previous + gap)
        label_end(ax, x, y, text, colour)
        previous = y


def save(figure, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    stamps = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}  # no date: the same data give the same file
    figure.savefig(path, dpi=160, metadata=stamps.get(path.suffix))
    print(f"wrote {path}")
