// Tables that sort by a click on a heading and filter by what is typed, and the tables of this page.

// columns: {title, value(row), text(row), bar(row), help}. `value` sorts; a text sorts upwards first, a number
// downwards. `bar` is a share of the widest bar, 0..1; with `diverging` a negative one grows to the left of the middle.
class Table {
  constructor(columns, rows, sortBy) {
    Object.assign(this, { columns, rows, filter: "", phase: "", column: columns[sortBy], down: true });
    this.heads = columns.map((column) => h("th", { scope: "col", class: columnClass(column), title: column.help },
      h("button", { type: "button", onclick: () => this.sort(column) }, column.title)));
    this.body = h("tbody");
    this.count = h("output", { class: "count" });
    this.element = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" },
      h("table", {}, h("thead", {}, h("tr", {}, this.heads)), this.body));
    this.draw();
  }

  sort(column) {
    this.down = this.column === column ? !this.down : Boolean(column.number);
    this.column = column;
    this.draw();
  }

  shown() {
    const words = this.filter.toLowerCase().split(/\s+/).filter(Boolean);
    const { value } = this.column;
    return this.rows.filter((row) => {
      if (this.phase && phaseOf(row.phase) !== this.phase) return false;
      const text = `${row.name} ${row.phase ?? ""} ${row.shapes ?? ""} ${row.dtype ?? ""}`.toLowerCase();
      return words.every((word) => text.includes(word));
    }).sort((a, b) => {
      const [p, q] = [value(a), value(b)];
      const order = typeof p === "string" ? p.localeCompare(q, "en", { numeric: true }) : number(p) - number(q);
      return this.down ? -order : order;
    });
  }

  draw() {
    const rows = this.shown();
    this.heads.forEach((head, i) => head.setAttribute("aria-sort",
      this.columns[i] !== this.column ? "none" : this.down ? "descending" : "ascending"));
    this.body.replaceChildren(...rows.map((row) => h("tr", { class: row.phase ? `phase-${phaseOf(row.phase)}` : "" },
      this.columns.map((column, i) => tableCell(column, row, i)))));
    const seconds = total(rows, (row) => row.seconds);
    this.count.textContent =
      `${format.count(rows.length)} of ${format.count(this.rows.length)} rows, ${format.seconds(seconds)}`;
  }

  // A search field and a choice of the phase, above the table.
  tools() {
    const present = kPhases.filter((phase) => this.rows.some((row) => phaseOf(row.phase) === phase));
    return h("div", { class: "tools" },
      h("input", { type: "search", placeholder: "Filter by name or shape", "aria-label": "Filter by name or shape",
        oninput: (event) => { this.filter = event.target.value; this.draw(); } }),
      h("select", { "aria-label": "Phase", onchange: (event) => { this.phase = event.target.value; this.draw(); } },
        h("option", { value: "" }, "all phases"), present.map((phase) => h("option", { value: phase }, phase))),
      this.count);
  }
}

const columnClass = (column) => (column.number ? "number" : column.kind ?? "");

function tableCell(column, row, index) {
  const kind = columnClass(column);
  let content = column.text(row);
  if (column.bar) {
    const share = Math.max(-1, Math.min(1, number(column.bar(row))));
    const sides = !column.diverging ? "" : share < 0 ? " both gain" : " both loss";
    const bar = h("i", { class: `share${sides}`, style: `--share:${Math.abs(share)}` });
    content = h("span", { class: "barred" }, bar, h("b", {}, content));
  }
  if (index === 0) return h("th", { scope: "row", class: kind }, content);
  return h("td", { class: kind, title: kind === "code" ? content : null }, content);
}

const textColumn = (title, value, more = {}) => ({ title, value, text: value, ...more });
const numberColumn = (title, value, text, more = {}) =>
  ({ title, value, text: (row) => text(value(row), row), number: true, ...more });
const kNone = "\u2013";
const orNone = (text) => (value) => (number(value) === 0 ? kNone : text(value));

// The shapes of an operation, with its type where that is not the model's.
const shapesText = (row) => (row.dtype && row.dtype !== profile.dtype ? `${row.dtype} ${row.shapes}` : row.shapes);

function drawOperations() {
  const rows = profile.operations, most = largest(rows, (row) => row.seconds) || 1;
  const columns = [
    textColumn("Operation", (row) => row.name),
    textColumn("Phase", (row) => row.phase, { kind: "phase" }),
    textColumn("Shapes", shapesText, { kind: "code" }),
    numberColumn("Calls", (row) => row.calls, orNone(format.count), { help: "in one step" }),
    numberColumn("Time", (row) => row.seconds, format.seconds,
      { bar: (row) => row.seconds / most, help: "in one step, operations inside it taken out" }),
    numberColumn("Share", (row) => row.share, format.percent),
    numberColumn("Of roof", (row) => row.roofline, orNone(format.percent),
      { bar: (row) => row.roofline, help: "time at the roof of this machine / time" }),
    textColumn("Bound by", (row) => (row.flops > 0 || row.bytes > 0 ? row.bound : kNone)),
    numberColumn("GFLOP/s", (row) => row.gflops, orNone(digits)),
    numberColumn("GB/s", (row) => row.gb_s, orNone(digits)),
    numberColumn("FLOP/byte", (row) => row.intensity, orNone(digits), { help: "arithmetic intensity" }),
    numberColumn("One call", (row) => row.median_s, orNone(format.seconds), { help: "median" }),
    numberColumn("Peak memory", (row) => row.peak_bytes, orNone(format.bytes),
      { help: "highest allocation above the step's start while it ran" }),
  ];
  const table = new Table(columns, rows, columns.findIndex((column) => column.title === "Time"));
  section("operations", "Operations", "Click a heading to sort.", table.tools(), table.element);
}

function drawLayers() {
  const layerTime = (row) => total(["forward_s", "backward_s", "recompute_s", "optimizer_s"], (part) => row[part]);
  const rows = profile.layers.map((row) =>
    ({ ...row, seconds: layerTime(row), label: row.name || "outside the layers" }));
  const was = new Map((before?.layers ?? []).map((row) => [row.name, layerTime(row)]));
  const most = largest(rows, (row) => row.seconds) || 1;
  const order = new Map(rows.map((row, i) => [row, i]));
  const part = (title, name) => (rows.some((row) => row[name] > 0)
    ? [numberColumn(title, (row) => row[name], orNone(format.seconds))] : []);
  const columns = [
    { title: "Layer", value: (row) => order.get(row), text: (row) => row.label },
    textColumn("Kind", (row) => row.kind || kNone),
    ...part("Forward", "forward_s"), ...part("Recompute", "recompute_s"), ...part("Backward", "backward_s"),
    ...part("Optimizer", "optimizer_s"),
    numberColumn("Time", (row) => row.seconds, format.seconds, { bar: (row) => row.seconds / most }),
    ...(before ? [numberColumn("Before", (row) => was.get(row.name) ?? 0, orNone(format.seconds)),
      numberColumn("Change", (row) => row.seconds - (was.get(row.name) ?? 0), (value, row) =>
        was.has(row.name) ? format.signed(value, format.seconds) : "new")] : []),
    numberColumn("FLOPs", (row) => row.flops, orNone(format.flops)),
    numberColumn("GFLOP/s", (row) => (row.seconds > 0 ? row.flops / row.seconds / 1e9 : 0), orNone(digits)),
    numberColumn("Bytes", (row) => row.bytes, orNone(format.bytes)),
  ];
  const layers = new Table(columns, rows, 0);
  layers.down = false;
  layers.draw();

  const phaseRows = profile.phases.map((row) => ({ ...row, phase: row.name }));
  const phases = new Table([
    { title: "Phase", value: (row) => phaseRank(row.name), text: (row) => row.name, kind: "phase" },
    numberColumn("Time", (row) => row.seconds, format.seconds, { bar: (row) => row.share }),
    numberColumn("Share", (row) => row.share, format.percent),
    numberColumn("FLOPs", (row) => row.flops, orNone(format.flops)),
    numberColumn("GFLOP/s", (row) => (row.seconds > 0 ? row.flops / row.seconds / 1e9 : 0), orNone(digits)),
    numberColumn("Bytes", (row) => row.bytes, orNone(format.bytes)),
  ], phaseRows, 0);
  phases.down = false;
  phases.draw();
  section("parts", "Layers and phases", "", h("h3", {}, "By layer"), layers.element,
    h("h3", {}, "By phase"), phases.element);
}
