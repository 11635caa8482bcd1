// What every part of the page uses: the profiles, making elements, writing numbers, the phases, notes at the pointer.
const { profile, before } = JSON.parse(document.getElementById("profiles").textContent);

// h("td", {class: "number"}, child, "text"): an HTML element; s(...): an SVG element. Text is only ever set as text, so
// no name in a profile can become markup.
const make = (element, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null));
  return element;
};
const h = (tag, attributes = {}, ...children) => make(document.createElement(tag), attributes, children);
const s = (tag, attributes = {}, ...children) =>
  make(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const number = (value) => (Number.isFinite(value) ? value : 0);
const largest = (list, value) => list.reduce((most, item) => Math.max(most, number(value(item))), 0);
const total = (list, value) => list.reduce((sum, item) => sum + number(value(item)), 0);

// Three digits, in the unit that keeps the number between 1 and 1000: 1.65 s, 42.1 ms, 980 MB.
function digits(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return value.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 ? 2 : 3);
}
function scaled(value, units, unit) {
  const [factor, prefix] = units.find(([size]) => Math.abs(value) >= size * 0.9995) ?? units[units.length - 1];
  return `${digits(value / factor)}\u00a0${prefix}${unit}`;
}
const kLarge = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]];
const kSmall = [[1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"]];
const format = {
  seconds: (value) => (number(value) === 0 ? "0\u00a0s" : scaled(value, kSmall, "s")),
  bytes: (value) => scaled(number(value), kLarge, "B"),
  flops: (value) => scaled(number(value), kLarge, "FLOP"),
  gflops: (value) => scaled(number(value) * 1e9, kLarge, "FLOP/s"),
  bandwidth: (value) => scaled(number(value) * 1e9, kLarge, "B/s"),
  percent: (value) => `${(number(value) * 100).toFixed(Math.abs(number(value)) < 0.9995 ? 1 : 0)}\u00a0%`,
  count: (value) => Math.round(number(value)).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f"),
  plain: (value) => digits(number(value)),
  signed: (value, text) => (value > 0 ? "+" : value < 0 ? "\u2212" : "\u00b1") + text(Math.abs(value)),
  // "1.16× faster" from seconds before and after; a change below half a percent is none.
  speed(was, is) {
    if (!(was > 0) || !(is > 0)) return "";
    if (Math.abs(was / is - 1) < 0.005) return "as fast";
    return was > is ? `${digits(was / is)}\u00d7 faster` : `${digits(is / was)}\u00d7 slower`;
  },
};

// In the order of a step. The style sheet gives each class phase-<name> its colour as --phase.
const kPhases = ["data", "forward", "recompute", "backward", "optimizer", "other"];
const phaseOf = (name) => (kPhases.includes(name) ? name : "other");
const phaseRank = (name) => kPhases.indexOf(phaseOf(name));

// An operation is the same in two profiles when all of this is.
const operationKey = (row) => [row.name, row.phase, row.shapes, row.dtype].join("\n");

// The note beside the pointer or the focused mark: a title and lines of [name, value].
const tip = document.getElementById("tip");
function showTip(box, title, lines, note) {
  tip.replaceChildren(h("b", {}, title), ...(note ? [h("p", {}, note)] : []),
    h("dl", {}, lines.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
  tip.hidden = false;
  const size = tip.getBoundingClientRect(), gap = 12, width = document.documentElement.clientWidth;
  const right = box.right + gap + size.width < width;
  const left = right ? box.right + gap : box.left - gap - size.width;
  const top = Math.min(Math.max(box.top, gap), innerHeight - size.height - gap);
  tip.style.left = `${Math.max(4, Math.min(left, width - size.width - 4))}px`;
  tip.style.top = `${top}px`;
}
const hideTip = () => { tip.hidden = true; };

// Shows a note while the mark is under the pointer or has the focus; show() places it at the mark.
const shows = new WeakMap();
addEventListener("scroll", () => (shows.get(document.activeElement) ?? hideTip)(), { passive: true });
function noteOn(mark, show) {
  shows.set(mark, show);
  mark.addEventListener("pointerenter", show);
  mark.addEventListener("focus", show);
  mark.addEventListener("pointerleave", hideTip);
  mark.addEventListener("blur", hideTip);
}

// Draws a chart again whenever its place becomes wider or narrower.
function responsive(host, draw) {
  let width = 0;
  const update = () => {
    const now = Math.floor(host.clientWidth);
    if (now === width || now === 0) return;
    width = now;
    draw(width);
  };
  new ResizeObserver(update).observe(host);
  update();
}

// How wide a text will be, in whatever font this browser has.
const pen = document.createElement("canvas").getContext("2d");
function textWidth(text, size) {
  pen.font = `${size}px ${getComputedStyle(document.body).fontFamily}`;
  return pen.measureText(text).width;
}

// Ticks of a linear axis from 0 on: at most `count` round steps.
function linearTicks(high, count) {
  const rough = high / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough) ?? rough;
  const ticks = [];
  for (let i = 0; i * step <= high * 1.0001; ++i) ticks.push(i * step);
  return ticks;
}

// A row of buttons, one a phase, that switch it off and on: the legend of a chart and its filter.
function phaseLegend(rows, change) {
  const hidden = new Set();
  const present = kPhases.filter((phase) => rows.some((row) => phaseOf(row.phase) === phase));
  return h("div", { class: "legend", role: "group", "aria-label": "Phases shown" }, present.map((phase) =>
    h("button", {
      type: "button", class: `chip phase-${phase}`, "aria-pressed": "true",
      onclick: (event) => {
        if (!hidden.delete(phase)) hidden.add(phase);
        event.currentTarget.setAttribute("aria-pressed", String(!hidden.has(phase)));
        change(hidden);
      },
    }, h("i"), phase)));
}

// A section of the page with its heading and one line that says how to read it.
function section(id, title, explanation, ...children) {
  const place = h("section", { id }, h("h2", {}, title), explanation ? h("p", { class: "how" }, explanation) : null,
    children);
  document.querySelector("main").append(place);
  document.querySelector("nav").append(h("a", { href: `#${id}` }, title));
  return place;
}
