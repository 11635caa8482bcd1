// The head of the page, the notes at its end, the theme, and the order of everything.

function drawHead() {
  const { machine, step } = profile;
  const title = before ? "before and after" : profile.mode === "generate" ? "generation" : "training step";
  document.title = `${profile.model}: ${title} – Vigor profile`;
  const facts = [`batch ${profile.batch} × ${format.count(profile.seq)} tokens`, profile.dtype, profile.device,
    threads(), machine.isa, machine.cpu].filter(Boolean);
  const differences = before ? settingDifferences() : [];
  document.querySelector("main").append(h("section", { id: "head" },
    h("h1", {}, profile.model, h("span", {}, title)),
    h("p", { class: "facts" }, facts.join(" · ")),
    h("p", { class: "verdict" }, before ? comparisonVerdict() : sentence(step.verdict)),
    differences.length ? h("p", { class: "warning" }, `Not the same measurement: ${differences.join("; ")}.`) : null,
    drawTiles(), drawSplit()));
}

const threads = () => `${profile.threads} thread${profile.threads === 1 ? "" : "s"}`;
const sentence = (text) => (text ? `${text[0].toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}` : "");

// The headline numbers. `better` says which way is good.
function drawTiles() {
  const rate = (one) => (one.step.seconds > 0 ? one.step.flops / one.step.seconds / 1e9 : 0);
  const ideal = (one) => (one.step.seconds > 0 ? one.step.ideal_seconds / one.step.seconds : 0);
  const kBound = { compute: "arithmetic", memory: "memory", overhead: "overhead" };
  const tiles = [
    { name: profile.mode === "generate" ? "an answer" : "a step", value: (one) => one.step.seconds,
      text: format.seconds, better: -1 },
    { name: "tokens a second", value: (one) => number(one.step.tokens_per_s),
      text: (value) => (value >= 100 ? format.count(value) : digits(value)), better: 1 },
    { name: "arithmetic", value: rate, text: format.gflops, better: 1,
      note: (one) => `${format.percent(rate(one) / one.machine.fma_gflops)} of the peak` },
    { name: "of the ideal step", value: ideal, text: format.percent, better: 1,
      note: (one) => `ideal ${format.seconds(one.step.ideal_seconds)}` },
    { name: "bound by", value: (one) => kBound[one.step.bound] ?? one.step.bound, text: (value) => value },
    { name: "peak memory", value: (one) => one.memory.peak_bytes, text: format.bytes, better: -1,
      note: (one) => `${format.bytes(one.memory.start_bytes)} at the start` },
  ];
  return h("dl", { class: "tiles" }, tiles.map((tile) => {
    const note = before ? tileChange(tile) : tile.note ? h("small", {}, tile.note(profile)) : null;
    return h("div", {}, h("dt", {}, tile.name), h("dd", {}, tile.text(tile.value(profile)), note));
  }));
}

function tileChange({ value, text, better }) {
  const [is, was] = [value(profile), value(before)];
  if (!better) return h("small", {}, is === was ? "as before" : `before: ${was}`);
  const change = was > 0 ? is / was - 1 : 0;
  const kind = Math.abs(change) < 0.005 ? "" : change * better > 0 ? "gain" : "loss";
  return h("small", {}, `was ${text(was)} `,
    kind ? h("b", { class: kind }, format.signed(change, format.percent)) : null);
}

// The step as a bar of its phases, over the same phases at the roofs of this machine.
function drawSplit() {
  const sums = (one, value) => kPhases.map((phase) => {
    const rows = one.operations.filter((row) => phaseOf(row.phase) === phase);
    return { phase, seconds: total(rows, value) };
  }).filter(({ seconds }) => seconds > 0);
  const bars = [
    { name: before ? "after" : "measured", parts: sums(profile, (row) => row.seconds) },
    { name: "ideal", parts: sums(profile, (row) => row.seconds * row.roofline) },
  ];
  if (before) bars.unshift({ name: "before", parts: sums(before, (row) => row.seconds) });
  const longest = largest(bars, ({ parts }) => total(parts, ({ seconds }) => seconds)) || 1;
  const part = ({ phase, seconds }) => {
    const label = `${phase} ${format.seconds(seconds)}`, share = seconds / longest;
    return h("i",
      { class: `phase-${phase}`, style: `width:${share * 100}%`, title: label, role: "img", "aria-label": label },
      share > 0.09 ? h("span", {}, phase, h("small", {}, format.seconds(seconds))) : null);
  };
  return h("div", { class: "split" },
    bars.map(({ name, parts }) => [h("span", {}, name), h("div", {}, parts.map(part))]));
}

function drawNotes() {
  const { machine, step } = profile;
  const cost = step.unprofiled_seconds > 0 ? step.seconds / step.unprofiled_seconds - 1 : 0;
  const rate = (value, unit) => `${digits(number(value))} ${unit}`;
  const notes = [
    ["Command", h("code", {}, profile.command)],
    ["Measured", `the median of ${format.count(profile.steps)} steps, ${format.seconds(step.seconds)}; without the ` +
      `profiler ${format.seconds(step.unprofiled_seconds)} (${format.signed(cost, format.percent)}). ` +
      "The time by layer and the memory are of one step."],
    ["Machine", `${[machine.cpu, machine.isa].filter(Boolean).join(", ")}. Measured with ${threads()} at the start: ` +
      `${rate(machine.fma_gflops, "GFLOP/s")} of multiply-adds, ${rate(machine.read_gb_s, "GB/s")} reading, ` +
      `${rate(machine.copy_gb_s, "GB/s")} copying.`],
    ["Ideal", "for each operation the longer of FLOPs / peak and bytes / bandwidth, added up. The bytes are the " +
      "least that must be read and written. What is small may lie in a cache: its bandwidth is the one measured for " +
      "data of its size, so it may stand above the memory line."],
    ["Units", "1 GB is 10⁹ bytes, 1 GFLOP 10⁹ additions or multiplications."],
  ];
  if (before) notes.splice(1, 0, ["Before", h("code", {}, before.command)]);
  section("notes", "About this profile", "",
    h("dl", { class: "notes" }, notes.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
}

// Light or dark as the system says, until the button says otherwise; the choice is kept where the browser allows it.
function startTheme() {
  const root = document.documentElement, button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const update = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  try {
    const kept = localStorage.getItem("vigor-theme");
    if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  } catch { /* pages from disk may have no storage */ }
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("vigor-theme", root.dataset.theme); } catch { /* as above */ }
    update();
  });
  system.addEventListener("change", update);
  update();
}

startTheme();
drawHead();
if (before) drawComparison();
drawRoofline();
drawIcicle();
drawMemory();
drawOperations();
drawLayers();
drawNotes();
