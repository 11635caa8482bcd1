// Time by layer: the step, its phases, their layers, the operations of each; as wide as the time they took.

// The tree of one step. Operations that call others keep only their own time; time in no operation is a part, too.
function timeTree(from) {
  const node = (name, phase, parent) =>
    ({ name, phase, parent, seconds: 0, calls: 0, shapes: new Set(), children: new Map() });
  const root = node("step", "other", null);
  const child = (parent, key, name, phase) => {
    if (!parent.children.has(key)) parent.children.set(key, node(name, phase, parent));
    return parent.children.get(key);
  };
  const events = mainThread(from.timeline);
  for (const { event, own } of ownTimes(events)) {
    const phase = phaseOf(event.phase);
    let place = child(root, phase, phase, phase);
    if (event.layer) place = child(place, `layer ${event.layer}`, event.layer, phase);
    place = child(place, `operation ${event.name}`, event.name, phase);
    place.calls += 1;
    if (event.shapes) place.shapes.add(event.shapes);
    for (let up = place; up; up = up.parent) up.seconds += own;
  }
  const idle = largest(events, (event) => event.start + event.seconds) - events[0].start - root.seconds;
  if (idle > root.seconds * 1e-3) {
    child(root, "idle", "between operations", "other").seconds = idle;
    root.seconds += idle;
  }
  layOut(root, from);
  return root;
}

// The thread that did most of the work: the parts of the tree must not overlap.
function mainThread(timeline) {
  const busy = new Map();
  for (const event of timeline) busy.set(event.thread, (busy.get(event.thread) ?? 0) + event.seconds);
  const main = [...busy].sort((a, b) => b[1] - a[1])[0]?.[0];
  return timeline.filter((event) => event.thread === main).sort((a, b) => a.start - b.start || b.seconds - a.seconds);
}

// Each event with its seconds less those of the events inside it. `events` are by start, outer before inner.
function ownTimes(events) {
  const end = ({ event }) => event.start + event.seconds;
  const open = [], list = events.map((event) => ({ event, own: event.seconds }));
  for (const item of list) {
    while (open.length && end(open.at(-1)) <= item.event.start) open.pop();
    if (open.length) open.at(-1).own -= item.event.seconds;
    open.push(item);
  }
  for (const item of list) item.own = Math.max(0, item.own);
  return list;
}

// Gives every node its depth and its span of the whole width: phases and layers in the order of the model, operations
// by time.
function layOut(root, from) {
  const layers = new Map(from.layers.map((layer, i) => [layer.name, { rank: i, kind: layer.kind }]));
  const rank = (node) => (node.depth === 1 ? phaseRank(node.phase) + (node.name === "between operations" ? 0.5 : 0)
    : layers.get(node.name)?.rank ?? Infinity);
  Object.assign(root, { depth: 0, x0: 0, x1: 1 });
  const open = [root];
  while (open.length) {
    const node = open.pop();
    const parts = [...node.children.values()];
    for (const part of parts) part.depth = node.depth + 1;
    parts.sort((a, b) => (rank(a) - rank(b)) || b.seconds - a.seconds);
    let x = node.x0;
    for (const part of parts) {
      part.kind = part.children.size ? layers.get(part.name)?.kind : "";
      part.x0 = x;
      x += node.seconds > 0 ? (node.x1 - node.x0) * part.seconds / node.seconds : 0;
      part.x1 = x;
      open.push(part);
    }
    node.parts = parts;
  }
}

function drawIcicle() {
  const chart = h("div", { class: "icicle" }), path = h("p", { class: "path", "aria-live": "polite" });
  const choice = before ? segmented("Profile shown", ["after", "before"], (name) =>
    show(name === "before" ? before : profile)) : null;
  section("layers", "Time by layer",
    "One step, as wide as it took: phase, layer, operation. Click a part to widen it, click what is above it to go " +
    "back; with the keyboard arrows move, Enter widens, Escape goes back.", choice, chart, path);
  function show(from) {
    if (from.timeline.length === 0) chart.replaceChildren(h("p", { class: "empty" }, "This profile has no timeline."));
    else new Icicle(chart, path, timeTree(from));
  }
  show(profile);
}

// "7" of "layers.7".
const shortName = (node) => node.name.split(".").pop();

class Icicle {
  constructor(host, path, root) {
    Object.assign(this, { host, path, root, cells: new Map(), focus: root });
    host.replaceChildren();
    const open = [root];
    let depth = 0;
    while (open.length) {
      const node = open.shift();
      depth = Math.max(depth, node.depth);
      host.append(this.cell(node));
      open.push(...node.parts);
    }
    host.style.setProperty("--rows", depth + 1);
    this.zoom(root);
    responsive(host, () => this.place());
  }

  cell(node) {
    const cell = h("button", {
      type: "button", tabindex: "-1",
      class: `cell depth-${node.depth} phase-${node.phase}`, style: `--row:${node.depth}`,
      "aria-label": `${node.name}, ${format.seconds(node.seconds)}, ${this.share(node)}`,
      onclick: () => this.zoom(node), onkeydown: (event) => this.key(event, node),
    }, h("span", {}, node.name), h("abbr", { "aria-hidden": "true" }, shortName(node)),
      h("small", {}, format.seconds(node.seconds)));
    noteOn(cell, () => showTip(cell.getBoundingClientRect(), this.names(node).join(" › "), this.lines(node),
      [...node.shapes].slice(0, 4).join("\n")));
    this.cells.set(node, cell);
    return cell;
  }

  share(node) { return `${format.percent(node.seconds / (this.root.seconds || 1))} of the step`; }
  names(node) {
    const names = [];
    for (let up = node; up; up = up.parent) names.unshift(up.name);
    return names.length > 1 ? names.slice(1) : names;
  }
  lines(node) {
    const lines = [["time", format.seconds(node.seconds)], ["share", this.share(node)]];
    if (node.kind) lines.push(["kind", node.kind]);
    if (node.calls) lines.push(["calls", format.count(node.calls)]);
    return lines;
  }

  // Widens a node to the whole chart; its ancestors stay above it as the way back.
  zoom(node) {
    this.zoomed = node === this.zoomed && node.parent ? node.parent : node;
    const names = this.names(this.zoomed).join(" › ");
    this.path.textContent = `Shown: ${names}, ${format.seconds(this.zoomed.seconds)}, ${this.share(this.zoomed)}`;
    this.setFocus(node, false);
    this.place();
  }

  place() {
    const { x0, x1 } = this.zoomed, span = x1 - x0 || 1, width = this.host.clientWidth;
    for (const [node, cell] of this.cells) {
      const left = Math.max(0, (node.x0 - x0) / span), right = Math.min(1, (node.x1 - x0) / span);
      const inside = right > left + 1e-9 || node === this.zoomed;
      cell.hidden = !inside;
      if (!inside) continue;
      cell.style.left = `${left * 100}%`;
      cell.style.width = `${(right - left) * 100}%`;
      const pixels = (right - left) * width, name = 18 + textWidth(node.name, 13);
      cell.dataset.fits = pixels >= name + 8 + textWidth(format.seconds(node.seconds), 13) ? "both"
        : node.depth === 2 ? (pixels >= textWidth(shortName(node), 12) + 3 ? "short" : "none")
        : pixels >= Math.min(70, name) ? "name" : "none";
    }
  }

  setFocus(node, move = true) {
    this.cells.get(this.focus)?.setAttribute("tabindex", "-1");
    this.focus = node;
    this.cells.get(node).setAttribute("tabindex", "0");
    if (move) this.cells.get(node).focus();
  }

  key(event, node) {
    const siblings = (node.parent?.parts ?? [node]).filter((part) => !this.cells.get(part).hidden);
    const i = siblings.indexOf(node);
    const next = {
      ArrowLeft: siblings[i - 1], ArrowRight: siblings[i + 1], ArrowUp: node.parent,
      ArrowDown: node.parts.find((part) => !this.cells.get(part).hidden),
    };
    if (event.key === "Escape") {
      if (!this.zoomed.parent) return;
      this.zoom(this.zoomed.parent);
      this.setFocus(this.zoomed);
    } else if (event.key in next) {
      event.preventDefault();
      if (next[event.key]) this.setFocus(next[event.key]);
    }
  }
}

// A choice of one of several, as a row of buttons.
function segmented(label, names, change) {
  const buttons = names.map((name, i) => h("button", {
    type: "button", class: "choice", "aria-pressed": String(i === 0),
    onclick: () => {
      for (const button of buttons) button.setAttribute("aria-pressed", String(button.textContent === name));
      change(name);
    },
  }, name));
  return h("div", { class: "segmented", role: "group", "aria-label": label }, buttons);
}
