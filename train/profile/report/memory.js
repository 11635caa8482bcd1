// Memory over the step: what the allocator had handed out after every change, with the phases below.
function drawMemory() {
  const chart = h("div", { class: "chart" }), reading = h("p", { class: "path", "aria-live": "polite" });
  const { memory } = profile;
  const where = [memory.peak_operation, memory.peak_layer].filter(Boolean).join(" in ");
  section("memory", "Memory over the step",
    `From ${format.bytes(memory.start_bytes)} at the start to ${format.bytes(memory.peak_bytes)} at the peak` +
    `${where ? `, reached by ${where}` : ""}. Move along it, or use the arrow keys, to see what ran.`, chart, reading);
  if (memory.timeline.length === 0) chart.append(h("p", { class: "empty" }, "This profile has no memory samples."));
  else responsive(chart, (width) => chart.replaceChildren(memoryChart(width, reading)));
}

function memoryChart(width, reading) {
  const small = width < 620, height = small ? 240 : 300;
  const box = { left: small ? 46 : 62, right: width - 10, top: 26, bottom: height - 40 };
  const curves = [before, profile].filter((one) => one?.memory.timeline.length);
  const end = largest(curves, stepEnd) || 1;
  const most = largest(curves, (one) => Math.max(one.memory.peak_bytes, samplePeak(one)[1])) || 1;
  const high = most * 1.1, ticks = linearTicks(high, small ? 4 : 6);
  const x = (seconds) => box.left + (box.right - box.left) * seconds / end;
  const y = (bytes) => box.bottom - (box.bottom - box.top) * bytes / high;

  const parts = ticks.map((tick) => [
    s("line", { class: "grid", x1: box.left, x2: box.right, y1: y(tick), y2: y(tick) }),
    s("text", { class: "tick", x: box.left - 8, y: y(tick) + 4, "text-anchor": "end" }, format.bytes(tick)),
  ]);
  for (const tick of linearTicks(end, small ? 4 : 8)) {
    const anchor = tick > end * 0.97 ? "end" : "middle";
    parts.push(s("text", { class: "tick", x: x(tick), y: box.bottom + 32, "text-anchor": anchor },
      format.seconds(tick)));
  }
  for (const span of phaseSpans(profile.timeline)) {
    const [left, right] = [x(span.start), x(span.end)];
    parts.push(s("rect", { class: `span phase-${span.phase}`, x: left, y: box.bottom + 5,
      width: Math.max(0.5, right - left), height: 8 }, s("title", {}, span.phase)));
  }
  if (before?.memory.timeline.length) parts.push(s("path", { class: "curve was", d: stairs(before, x, y) }));
  const line = stairs(profile, x, y);
  parts.push(s("path", { class: "area", d: `${line}V${box.bottom}H${x(profile.memory.timeline[0][0])}Z` }),
    s("path", { class: "curve", d: line }));
  for (const one of curves) parts.push(peakMark(one, x, y, box));
  if (curves.length > 1) parts.push(curveNames(box));

  const events = mainThread(profile.timeline);
  const cursor = s("line", { class: "cursor", y1: box.top, y2: box.bottom, visibility: "hidden" });
  let at = 0;
  const move = (index) => {
    const samples = profile.memory.timeline;
    at = Math.max(0, Math.min(samples.length - 1, index));
    cursor.setAttribute("x1", x(samples[at][0]));
    cursor.setAttribute("x2", x(samples[at][0]));
    cursor.setAttribute("visibility", "visible");
    reading.textContent = memoryReading(samples[at], events);
  };
  reading.textContent = `Peak at ${memoryReading(samplePeak(profile), events)}`;
  const plot = s("svg", {
    viewBox: `0 0 ${width} ${height}`, width, height, tabindex: "0", role: "group",
    "aria-label": `Memory over the step, ${profile.memory.timeline.length} samples`,
    onpointermove: (event) => {
      const seconds = (event.clientX - plot.getBoundingClientRect().left - box.left) / (box.right - box.left) * end;
      move(profile.memory.timeline.findLastIndex(([time]) => time <= seconds));
    },
    onkeydown: (event) => {
      const steps = { ArrowRight: 1, ArrowLeft: -1, PageDown: 50, PageUp: -50, Home: -Infinity, End: Infinity };
      const step = steps[event.key];
      if (!step) return;
      event.preventDefault();
      move(at + step);
    },
  }, parts, cursor);
  return plot;
}

const stepEnd = (one) => Math.max(largest(one.memory.timeline, ([time]) => time),
  largest(one.timeline, (event) => event.start + event.seconds));
const samplePeak = (one) => one.memory.timeline.reduce((best, sample) => (sample[1] > best[1] ? sample : best), [0, 0]);

// Memory stays as it is until the next sample.
const stairs = (one, x, y) => one.memory.timeline.map(([time, bytes], i) =>
  `${i ? "H" : "M"}${x(time).toFixed(1)}${i ? "V" : " "}${y(bytes).toFixed(1)}`).join("");

// Neighbouring operations of one phase as one span.
function phaseSpans(timeline) {
  const spans = [];
  for (const event of mainThread(timeline)) {
    const phase = phaseOf(event.phase), last = spans[spans.length - 1], end = event.start + event.seconds;
    if (last?.phase === phase) last.end = Math.max(last.end, end);
    else spans.push({ phase, start: event.start, end });
  }
  return spans;
}

// The peak as a dot, with its size where there is only one curve.
function peakMark(one, x, y, box) {
  const [time, bytes] = samplePeak(one), right = x(time) < (box.left + box.right) / 2;
  const at = { x: x(time) + (right ? 9 : -9), y: y(bytes) - 7, "text-anchor": right ? "start" : "end" };
  return s("g", { class: one === profile ? "peak" : "peak was" }, s("circle", { cx: x(time), cy: y(bytes), r: 4 }),
    before ? null : s("text", { class: "name", ...at }, format.bytes(one.memory.peak_bytes)));
}

function curveNames({ right }) {
  const peak = (one) => format.bytes(one.memory.peak_bytes);
  const texts = [`before: ${peak(before)}`, `after: ${peak(profile)}`];
  const start = right - textWidth(texts.join(""), 12) - 90;
  return texts.map((text, i) => {
    const from = start + i * (textWidth(texts[0], 12) + 50);
    return [s("line", { class: i ? "curve" : "curve was", x1: from, x2: from + 22, y1: 8, y2: 8 }),
      s("text", { class: "name", x: from + 28, y: 12 }, text)];
  });
}

// What the innermost operation was at that time.
function memoryReading([time, bytes], events) {
  const running = events.findLast((event) => event.start <= time && time <= event.start + event.seconds);
  const names = running ? [running.phase, running.layer, running.name].filter(Boolean) : ["between operations"];
  return `${format.seconds(time)}: ${format.bytes(bytes)}, ${names.join(" › ")}`;
}
