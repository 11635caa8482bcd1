// Two profiles side by side: what became faster, what slower, and by how much of the step.
function drawComparison() {
  const rows = comparedOperations();
  const most = largest(rows, (row) => Math.abs(row.change)) || 1;
  const ratio = (row) => (row.was > 0 && row.seconds > 0 ? Math.log2(row.seconds / row.was) : 0);
  const columns = [
    textColumn("Operation", (row) => row.name),
    textColumn("Phase", (row) => row.phase, { kind: "phase" }),
    textColumn("Shapes", shapesText, { kind: "code" }),
    numberColumn("Before", (row) => row.was, orNone(format.seconds)),
    numberColumn("After", (row) => row.seconds, orNone(format.seconds)),
    {
      title: "Change", value: (row) => Math.abs(row.change), text: (row) => format.signed(row.change, format.seconds),
      number: true, bar: (row) => row.change / most, diverging: true,
      help: "seconds of the step gained (left) or lost (right)",
    },
    {
      title: "Speed", value: (row) => -ratio(row),
      text: (row) => (row.was === 0 ? "new" : row.seconds === 0 ? "gone" : format.speed(row.was, row.seconds)),
      number: true, bar: (row) => ratio(row) / 2, diverging: true, help: "on a logarithmic scale up to four times",
    },
  ];
  const table = new Table(columns, rows, 5);
  section("comparison", "Operations before and after",
    "The largest changes of the step come first; an operation is the same when its name, phase, shapes and type are.",
    table.tools(), table.element);
}

function comparedOperations() {
  const rows = new Map();
  for (const [profiled, key] of [[before, "was"], [profile, "seconds"]]) {
    for (const operation of profiled.operations) {
      const name = operationKey(operation);
      if (!rows.has(name)) rows.set(name, { ...operation, was: 0, seconds: 0 });
      rows.get(name)[key] += number(operation.seconds);
    }
  }
  return [...rows.values()].map((row) => ({ ...row, change: row.seconds - row.was }));
}

// One sentence on the whole step, and what differs in how the two were measured.
function comparisonVerdict() {
  const rows = comparedOperations().sort((a, b) => a.change - b.change);
  const gained = rows[0], lost = rows[rows.length - 1];
  const name = (row) => `${row.name} (${row.phase}, ${format.signed(row.change, format.seconds)})`;
  const [is, was] = [profile.step.seconds, before.step.seconds];
  let text = `A step takes ${format.seconds(is)} instead of ${format.seconds(was)}: ` +
    `${format.speed(was, is) || "no time was measured"}.`;
  if (gained?.change < 0) text += ` Most gained: ${name(gained)}.`;
  if (lost?.change > 0) text += ` Most lost: ${name(lost)}.`;
  return text;
}

function settingDifferences() {
  const names = {
    model: "model", mode: "mode", device: "device", dtype: "type", batch: "batch", seq: "tokens a sequence",
    threads: "threads",
  };
  const list = Object.keys(names).filter((key) => profile[key] !== before[key])
    .map((key) => `${names[key]} ${before[key]} → ${profile[key]}`);
  const [is, was] = [profile.machine, before.machine];
  if (is.cpu !== was.cpu) list.push(`processor ${was.cpu} → ${is.cpu}`);
  if (was.fma_gflops > 0 && Math.abs(is.fma_gflops / was.fma_gflops - 1) > 0.05)
    list.push(`measured arithmetic peak ${digits(was.fma_gflops)} → ${digits(is.fma_gflops)} GFLOP/s`);
  return list;
}
