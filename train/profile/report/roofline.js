// The roofline: what each operation reaches against what this machine could reach at its arithmetic intensity.
// https://doi.org/10.1145/1498765.1498785
function drawRoofline() {
  const rows = profile.operations.filter(onRoofline);
  const chart = h("div", { class: "chart" });
  let hidden = new Set(), width = 0;
  const redraw = () => chart.replaceChildren(rooflineChart(rows, hidden, width));
  const legend = phaseLegend(rows, (phases) => { hidden = phases; redraw(); });
  section("roofline", "Roofline",
    "Each circle is one operation and shape; its area is its time in the step, its distance below the line what it " +
    "leaves unused. Left of the bend the memory is the limit, right of it the arithmetic. Arrow keys walk from point " +
    "to point." + (before ? " A line leads from where an operation was before." : ""), legend, chart);
  if (rows.length === 0) chart.append(h("p", { class: "empty" }, "No operation with FLOPs or bytes was recorded."));
  else responsive(chart, (now) => { width = now; redraw(); });
}

// The axes need not reach operations that take less than this part of the longest; those may stand at its edge.
const kMinor = 1e-2;
const onRoofline = (row) => row.seconds > 0 && (row.flops > 0 || row.bytes > 0);

function rooflineChart(rows, hidden, width) {
  const small = width < 620, height = small ? 380 : Math.round(Math.min(560, Math.max(420, width * 0.48)));
  const scale = rooflineScale(rows, width, height, small);
  const shown = rows.filter((row) => !hidden.has(phaseOf(row.phase)));
  const was = new Map((before ? before.operations : []).filter(onRoofline).map((row) => [operationKey(row), row]));
  const points = shown.map((row) => ({ row, was: was.get(operationKey(row)), ...scale.place(row) }))
    .sort((a, b) => b.radius - a.radius);  // small ones on top

  const roofs = roofNames(points, scale);
  const marks = points.map((point) => rooflinePoint(point, scale));
  if (marks.length) marks[0].querySelector(".point").setAttribute("tabindex", "0");
  const plot = s("svg", {
    viewBox: `0 0 ${width} ${height}`, width, height, role: "group",
    "aria-label": `Roofline with ${points.length} operations`,
    onkeydown: (event) => walk(event, [...plot.querySelectorAll(".point")]),
  }, rooflineAxes(scale), marks, roofs.map(roofName), rooflineLabels(points, roofs, scale, small ? 4 : 12));
  return plot;
}

// Pixels of both logarithmic axes. An operation without FLOPs has no place on them: it stands in a column on the left,
// as high as its bandwidth reaches on the memory line where that leaves the column, so that the distance to the line
// means the same there.
function rooflineScale(rows, width, height, small) {
  const { fma_gflops: peak, read_gb_s: read } = profile.machine;
  const all = rows.concat(before ? before.operations.filter(onRoofline) : []);
  const counted = all.filter((row) => row.flops > 0);
  const intensities = counted.filter((row) => row.bytes > 0).map((row) => row.flops / row.bytes);
  const ridge = peak > 0 && read > 0 ? peak / read : 1;
  const x0 = Math.min(ridge / 10, ...intensities) / 2, x1 = Math.max(ridge * 10, ...intensities) * 2.5;
  const moving = all.some((row) => !(row.flops > 0));
  const speed = (row) => (row.flops > 0 ? row.flops : row.bytes * x0) / row.seconds / 1e9;
  const longest = Math.max(...all.map((row) => row.seconds));
  const speeds = all.filter((row) => row.seconds > longest * kMinor).map(speed);
  const y0 = Math.min(...speeds, peak > 0 ? peak / 30 : 1) / 2, y1 = Math.max(...speeds, peak || 0) * 2;
  const box = { left: small ? 46 : 62, right: width - 10, top: 10, bottom: height - 46 };
  const plotLeft = box.left + (moving ? (small ? 44 : 78) : 0);
  const at = (value, low, high, from, to) => from + (to - from) * Math.log(value / low) / Math.log(high / low);
  const x = (value) => at(value, x0, x1, plotLeft, box.right);
  const y = (value) => at(value, y0, y1, box.bottom, box.top);
  const most = small ? 20 : 30;
  const place = (row) => ({
    x: row.flops > 0 ? (row.bytes > 0 ? x(row.flops / row.bytes) : box.right) : (box.left + plotLeft) / 2,
    y: Math.max(box.top, Math.min(box.bottom, y(speed(row)))),
    radius: Math.max(3.5, most * Math.sqrt(row.seconds / longest)),
  });
  return { x, y, x0, x1, y0, y1, box, plotLeft, moving, peak, read, ridge, place, small };
}

function rooflineAxes(scale) {
  const { x, y, x0, x1, y0, y1, box, plotLeft, moving, peak, read, ridge, small } = scale;
  const parts = [];
  const ticks = (low, high) => {
    const decades = Math.log10(high / low), list = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); ++power)
      for (const factor of decades < 2.5 ? [1, 2, 5] : [1]) list.push(factor * 10 ** power);
    return list.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
  };
  const text = (value) => (value >= 1 ? format.count(value) : String(Number(value.toPrecision(2))));
  for (const tick of ticks(y0, y1)) {
    parts.push(s("line", { class: "grid", x1: box.left, x2: box.right, y1: y(tick), y2: y(tick) }),
      s("text", { class: "tick", x: box.left - 8, y: y(tick) + 4, "text-anchor": "end" }, text(tick)));
  }
  for (const tick of ticks(x0, x1)) {
    parts.push(s("line", { class: "grid", x1: x(tick), x2: x(tick), y1: box.top, y2: box.bottom }),
      s("text", { class: "tick", x: x(tick), y: box.bottom + 17, "text-anchor": "middle" }, text(tick)));
  }
  parts.push(
    s("text", { class: "axis", x: (plotLeft + box.right) / 2, y: box.bottom + 37, "text-anchor": "middle" },
      "arithmetic intensity, FLOP a byte"),
    s("text", { class: "axis", "text-anchor": "middle",
      transform: `translate(12 ${(box.top + box.bottom) / 2}) rotate(-90)` }, "GFLOP/s"));
  if (moving) {
    parts.push(s("line", { class: "edge", x1: plotLeft, x2: plotLeft, y1: box.top, y2: box.bottom }),
      s("text", { class: "tick", x: (box.left + plotLeft) / 2, y: box.bottom + 17, "text-anchor": "middle" },
        small ? "0" : "no FLOPs"));
  }
  if (!(peak > 0) || !(read > 0)) return parts;  // the machine was not measured

  const bend = [x(ridge), y(peak)], low = Math.max(x0, y0 / read);
  const start = moving && low === x0 ? `${box.left} ${y(low * read)}L` : "";
  parts.push(s("path", { class: "roof", d: `M${start}${x(low)} ${y(low * read)}L${bend}L${box.right} ${bend[1]}` }));
  for (const { gb_s } of bandwidths(scale).slice(1)) {
    const from = Math.max(x0, y0 / gb_s), to = Math.min(peak / gb_s, x1);
    parts.push(s("line", { class: "cache-roof", x1: x(from), y1: y(from * gb_s), x2: x(to), y2: y(to * gb_s) }));
  }
  return parts;
}

// The memory, and the caches that are clearly faster than what comes after them with about the size that each holds.
function bandwidths({ read, small }) {
  const list = [{ gb_s: read, name: `memory ${digits(read)} GB/s` }];
  if (small) return list;  // a narrow plot has no room for more
  for (const { bytes, gb_s } of [...(profile.machine.reads ?? [])].reverse()) {
    if (gb_s > 1.4 * list[list.length - 1].gb_s && list.length < 4)
      list.push({ gb_s, name: `cache, ${aboutBytes(bytes)}: ${digits(gb_s)} GB/s` });
  }
  return list;
}

// Where the names of the roofs stand: along their lines, where no point is if there is such a place.
function roofNames(points, scale) {
  const { x, y, x0, y0, box, peak, read } = scale;
  if (!(peak > 0) || !(read > 0)) return [];
  const clear = (cx, cy, reach) =>
    points.every((point) => Math.hypot(point.x - cx, point.y - cy) > point.radius + reach);
  const along = (text, cache, from, to) => {
    const [dx, dy] = [to[0] - from[0], to[1] - from[1]], length = Math.hypot(dx, dy), width = textWidth(text, 12);
    const middle = (start) => [0.15, 0.5, 0.85].map((part) => (start + width * part) / length)
      .map((part) => [from[0] + dx * part + dy / length * 11, from[1] + dy * part - dx / length * 11]);
    const starts = [10, 0.2 * length, 0.4 * length, 0.6 * length].filter((start) => start + width < length);
    const start = starts.find((place) => middle(place).every(([cx, cy]) => clear(cx, cy, width / 6))) ?? 10;
    return { text, cache, angle: Math.atan2(dy, dx) * 180 / Math.PI,
      x: from[0] + dx * start / length, y: from[1] + dy * start / length,
      boxes: middle(start).map(([cx, cy]) => [cx - width / 6, cy - 9, cx + width / 6, cy + 9]) };
  };
  const flat = [Math.min(x(peak / read), box.right - textWidth(peakText(peak), 12) - 12), y(peak)];
  return [along(peakText(peak), false, flat, [box.right, y(peak)]), ...bandwidths(scale).map(({ gb_s, name }, i) => {
    const from = Math.max(x0, y0 / gb_s);
    return along(name, i > 0, [x(from), y(from * gb_s)], [x(peak / gb_s), y(peak)]);
  })];
}
const roofName = ({ text, cache, x, y, angle }) => s("text", { class: cache ? "roof-name cache" : "roof-name",
  transform: `translate(${x} ${y}) rotate(${angle}) translate(0 -7)` }, text);
const aboutBytes = (bytes) => format.bytes(Number(bytes.toPrecision(1))).replace(/\.0+/, "");
const peakText = (peak) => `arithmetic ${digits(peak)} GFLOP/s`;

function rooflinePoint(point, scale) {
  const { row, was } = point;
  const mark = s("g", { class: `phase-${phaseOf(row.phase)}` });
  if (was) {
    const old = scale.place(was);
    mark.append(s("line", { class: "moved", x1: old.x, y1: old.y, x2: point.x, y2: point.y }),
      s("circle", { class: "was", cx: old.x, cy: old.y, r: 3.5 }));
  }
  const circle = s("circle", { class: "point", cx: point.x, cy: point.y, r: point.radius, tabindex: "-1", role: "img",
    "aria-label":
      `${row.name}, ${row.phase}: ${format.seconds(row.seconds)}, ${format.percent(row.roofline)} of its roof` });
  noteOn(circle, () =>
    showTip(circle.getBoundingClientRect(), `${row.name} · ${row.phase}`, operationLines(row, was), row.shapes));
  mark.append(circle);
  return mark;
}

// What the note of an operation says; `was` is the same operation in the earlier profile.
function operationLines(row, was) {
  const lines = [
    ["time a step", `${format.seconds(row.seconds)} (${format.percent(row.share)})`],
    ["calls", `${format.count(row.calls)}, median ${format.seconds(row.median_s)}`],
  ];
  if (row.flops > 0) lines.push(["arithmetic", `${format.flops(row.flops)}, ${format.gflops(row.gflops)}`]);
  if (row.bytes > 0) lines.push(["memory", `${format.bytes(row.bytes)}, ${format.bandwidth(row.gb_s)}`]);
  if (row.flops > 0 && row.bytes > 0) lines.push(["intensity", `${digits(row.flops / row.bytes)} FLOP/byte`]);
  if (row.flops > 0 || row.bytes > 0)
    lines.push(["of its roof", `${format.percent(row.roofline)}, bound by ${row.bound}`]);
  if (was) lines.push(["before", `${format.seconds(was.seconds)} (${format.speed(was.seconds, row.seconds)})`]);
  return lines;
}

// Names of the largest points, each where it covers no other name and no circle; without such a place, none.
function rooflineLabels(points, roofs, scale, most) {
  const { box, plotLeft, peak, read } = scale;
  const overlap = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
  const taken = points.slice(0, 40).map(({ x, y, radius }) =>
    [x - radius * 0.85, y - radius * 0.85, x + radius * 0.85, y + radius * 0.85]);
  for (const roof of roofs) taken.push(...roof.boxes);
  if (peak > 0 && read > 0) {  // no name is crossed by the limits
    for (let x = box.left; x < box.right; x += 8) {
      const part = Math.max(0, (x - plotLeft) / (box.right - plotLeft));
      const at = scale.x0 * (scale.x1 / scale.x0) ** part;
      taken.push([x, scale.y(Math.min(peak, at * read)) - 2, x + 8, scale.y(Math.min(peak, at * read)) + 2]);
    }
  }
  for (const { was } of points) {
    const old = was ? scale.place(was) : null;
    if (old) taken.push([old.x - 4, old.y - 4, old.x + 4, old.y + 4]);
  }
  const names = [], named = [];
  for (const { x, y, radius, row } of points) {
    if (names.length >= most) break;
    if (named.some((other) => other.name === row.name && Math.hypot(other.x - x, other.y - y) < 90)) continue;
    const width = textWidth(row.name, 12) + 4, slant = radius * 0.7 + 4, left = x > plotLeft ? plotLeft : box.left;
    const places = [[radius + 5, 0, 0], [-radius - 5, 0, 1], [0, -radius - 10, 0.5], [0, radius + 11, 0.5],
      [slant, slant + 6, 0], [-slant, slant + 6, 1], [slant, -slant - 6, 0], [-slant, -slant - 6, 1]];
    for (const [dx, dy, anchor] of places) {
      const from = Math.max(left, Math.min(box.right - width, x + dx - width * anchor)), middle = y + dy;
      const area = [from, middle - 8, from + width, middle + 8];
      const own = Math.hypot(Math.max(from - x, 0, x - from - width), Math.max(area[1] - y, 0, y - area[3])) < radius;
      if (own || area[1] < box.top || area[3] > box.bottom || taken.some((other) => overlap(area, other))) continue;
      taken.push(area);
      named.push({ name: row.name, x, y });
      names.push(s("text", { class: "name", x: from + 2, y: middle + 4 }, row.name));
      break;
    }
  }
  return names;
}

// Arrow keys move the focus along a list of marks, of which only the current one is a tab stop.
function walk(event, marks) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step || marks.length === 0) return;
  event.preventDefault();
  const from = Math.max(0, marks.indexOf(document.activeElement));
  const next = marks[(from + step + marks.length) % marks.length];
  for (const mark of marks) mark.setAttribute("tabindex", mark === next ? "0" : "-1");
  next.focus();
}
