// Put at the end of the report by profile_report_browser_test.cpp: counts what was drawn, uses the page as a reader
// would, and leaves what it saw in the page as the element "seen".
"use strict";
(() => {
  const one = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const seen = {};

  const operations = () => all("#operations tbody tr");
  const names = () => operations().map((row) => row.firstChild.textContent);
  const samples = (curve) => (one(curve)?.getAttribute("d").match(/[MH]/g) ?? []).length;
  const overlaps = (texts) => {
    const boxes = texts.map((text) => text.getBoundingClientRect());
    const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
    return boxes.filter((a, i) => boxes.some((b, j) => j < i && meet(a, b))).length;
  };
  function look() {
    const [layers, phases] = all("#parts table");
    seen.drawn = {
      points: all("#roofline .point").length, joined: all("#roofline .moved").length,
      cells: all("#layers .cell").length, samples: samples("#memory .curve:not(.was)"),
      samples_before: samples("#memory .curve.was"),
      operations: operations().length, layers: layers.tBodies[0].rows.length, phases: phases.tBodies[0].rows.length,
      compared: all("#comparison tbody tr").length, tiles: all(".tiles > div").length, images: document.images.length,
    };
    seen.text = one("main").innerText;
    seen.too_wide = document.documentElement.scrollWidth > innerWidth;
    seen.overlaps = overlaps(all("#roofline .name"));
    seen.not_numbers = /NaN|undefined|Infinity|\[object/.test(one("main").innerHTML);
  }

  const key = (name) =>
    document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
  function enter(selector, value, type) {
    one(selector).value = value;
    one(selector).dispatchEvent(new Event(type, { bubbles: true }));
  }
  function useTable() {
    const sort = (title) => all("#operations thead button").find((button) => button.textContent === title).click();
    sort("GFLOP/s");
    seen.by_speed = names();
    sort("GFLOP/s");
    seen.by_speed_up = names();
    sort("Operation");
    seen.by_name = names();
    enter("#operations input", "LINEAR [2048", "input");
    seen.filtered = names();
    enter("#operations input", "", "input");
    enter("#operations select", "backward", "change");
    seen.backward = operations().length;
    enter("#operations select", "", "change");
    sort("Time");
  }
  function useRoofline() {
    const points = () => all("#roofline .point").length;
    one("#roofline .chip.phase-forward").click();
    seen.points_without_forward = points();
    one("#roofline .chip.phase-forward").click();
    seen.points_again = points();
    const first = one("#roofline .point[tabindex='0']");
    first.focus();
    key("ArrowRight");
    seen.walked = document.activeElement !== first && document.activeElement.matches("#roofline .point");
    seen.note = one("#tip").hidden ? "" : one("#tip").innerText;
    document.activeElement.blur();
    seen.note_gone = one("#tip").hidden;
  }
  function useIcicle() {
    const cell = all("#layers .cell.phase-backward").find((found) => found.firstChild.textContent === "layers.1");
    const width = () => parseFloat(cell.style.width);
    const visible = () => all("#layers .cell").filter((found) => !found.hidden).length;
    seen.zoom = [width()];
    cell.click();
    seen.zoom.push(width());
    seen.visible_zoomed = visible();
    seen.zoomed_path = one("#layers .path").textContent;
    cell.focus();
    key("ArrowDown");
    seen.below = document.activeElement.firstChild.textContent;
    key("ArrowUp");
    key("Escape");
    key("Escape");
    seen.zoom.push(width());
    seen.visible_again = visible();
    document.activeElement.blur();
  }
  function useMemory() {
    const chart = one("#memory svg"), box = chart.getBoundingClientRect();
    chart.dispatchEvent(new PointerEvent("pointermove", { clientX: box.left + box.width / 2, bubbles: true }));
    seen.reading = one("#memory .path").textContent;
    chart.focus();
    key("End");
    seen.last_reading = one("#memory .path").textContent;
    chart.blur();
  }
  function useTheme() {
    const paper = () => getComputedStyle(document.body).backgroundColor;
    seen.paper = paper();
    one("#theme").click();
    seen.paper_toggled = paper();
    one("#theme").click();
  }

  try {
    look();
    if (seen.drawn.operations > 1) {
      useTable();
      useRoofline();
      useIcicle();
      useMemory();
    }
    useTheme();
  } catch (error) {
    faults.push(String(error.stack));
  }
  scrollTo(0, 0);
  seen.requests = performance.getEntriesByType("resource").length;
  seen.faults = faults;
  const result = document.createElement("pre");
  result.id = "seen";
  result.hidden = true;
  result.textContent = encodeURIComponent(JSON.stringify(seen));
  document.body.append(result);
})();
