"use strict";
/* Draws the report from the block of data in the page. Whatever comes from the run is put in as text, never as markup. */
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const rows = data.metrics;
  const last = rows[rows.length - 1];
  const $ = (id) => document.getElementById(id);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const known = (key) => rows.some((row) => Number.isFinite(row[key]));
  const column = (key) => rows.map((row) => (Number.isFinite(row[key]) ? row[key] : null));

  const { make, leftOut, bytes, count, energy, time, percent, plain, words } = Linnet;

  /* ---- head ---- */
  /* The recipe is YAML in the block form that the program prints: enough of it is read to name the choices. */
  function unquoted(text) {
    if (text.startsWith('"')) {
      try { return String(JSON.parse(text)); } catch { return text; }
    }
    return text.startsWith("'") ? text.slice(1, -1).replace(/''/g, "'") : text;
  }
  function choice(path) {
    if (typeof data.recipe !== "string") return null;
    let depth = 0, indent = -1;
    for (const line of data.recipe.split("\n")) {
      const found = /^(\s*)([A-Za-z0-9_-]+):\s*(.*)$/.exec(line);
      if (!found || found[1].length <= indent && depth > 0 && found[2] !== path[depth]) {
        if (found && found[1].length <= indent) return null;
        continue;
      }
      if (found[2] !== path[depth] || (depth === 0 && found[1].length > 0)) continue;
      indent = found[1].length;
      depth++;
      const value = unquoted(found[3]);
      if (depth === path.length) {
        if (value) return /^\{\s*kind:\s*([^,}\s]+)/.exec(value)?.[1] ?? value;
        path = path.concat("kind");
      }
    }
    return null;
  }
  const name = choice(["name"]) || "Run";
  $("name").textContent = name;
  document.title = name + " · Linnet";
  for (const [label, path] of [["method", ["method"]], ["strategy", ["strategy"]], ["model", ["model", "name"]], ["data", ["data", "set"]],
      ["clients", ["data", "clients"]], ["partition", ["data", "partition"]], ["sparsity", ["sparsity"]], ["update", ["update"]], ["fleet", ["fleet"]]]) {
    const value = choice(path);
    if (!value || (label === "sparsity" && value === "none") || (label === "update" && value === "all")) continue;
    const chip = make("span", label + " ");
    chip.append(make("b", value.slice(0, 60)));
    $("choices").append(chip);
  }
  const rounds = Number(choice(["train", "rounds"]));
  const ended = { accuracy: "accuracy reached", bytes: "bytes spent", time: "time is up" }[data.summary?.ended_by];
  const done = !(rounds > 0) || ended || last.round >= rounds - 1e-9;
  $("state").textContent = ended ? `finished, ${ended}` : done ? "finished" : `at round ${+last.round.toFixed(1)} of ${rounds}`;
  $("state").className = done ? "done" : "open";

  /* ---- tiles ---- */
  function tile(what, pair, more, main) {
    const node = make("div", undefined, main ? "tile main" : "tile");
    node.append(make("div", what, "what"));
    const value = make("div", pair[0], "value");
    if (pair[1]) value.append(make("small", pair[1]));
    node.append(value);
    if (more) node.append(make("div", more, "more"));
    $("tiles").append(node);
  }
  let best = rows[0];
  for (const row of rows) if (row.accuracy > best.accuracy) best = row;
  tile("Accuracy", percent(last.accuracy), best === last ? "its best so far" : `best ${words(percent(best.accuracy))} at ${+best.round.toFixed(1)}`, true);
  if (known("client_worst10")) tile("Worst tenth of the clients", percent(last.client_worst10), `median client ${words(percent(last.client_median))}`);
  tile("Rounds", [String(+last.round.toFixed(1)), ""], known("tasks") ? `${words(count(last.tasks))} tasks` : "");
  if (known("bytes_up")) tile("From devices", bytes(last.bytes_up), known("wire_up") ? `${words(bytes(last.wire_up))} with envelopes` : "payload");
  if (known("bytes_down")) tile("To devices", bytes(last.bytes_down), known("wire_down") ? `${words(bytes(last.wire_down))} with envelopes` : "payload");
  tile("Fleet time", time(last.time_s), "on the fleet's clock");
  if (known("wall_s")) tile("Computed in", time(last.wall_s), last.parallelism > 0 ? `${last.parallelism.toFixed(2)} tasks at a time` : "on this machine");
  if (known("device_macs")) tile("Device work", count(last.device_macs), "multiply-adds");
  if (last.joules > 0) tile("Device energy", energy(last.joules), "from the profiles");

  /* ---- where the clients' time went, of all tasks so far ---- */
  const parts = [["computing", "device_s", "--a"], ["sending", "up_s", "--up"], ["receiving", "down_s", "--down"], ["waiting for the server", "server_s", "--b"], ["waiting", "idle_s", "--wait"]]
    .filter((part) => last[part[1]] > 0);
  const spent = parts.reduce((sum, part) => sum + last[part[1]], 0);
  if (spent > 0) {
    $("spent-card").hidden = false;
    for (const [label, key, color] of parts) {
      const piece = make("span");
      piece.style.flexGrow = String(last[key] / spent);
      piece.style.background = `var(${color})`;
      $("spent").append(piece);
      const item = make("span");
      const dot = make("i");
      dot.style.background = `var(${color})`;
      item.append(dot, `${label} ${words(time(last[key]))}, ${(100 * last[key] / spent).toFixed(1)} %`);
      $("spent-key").append(item);
    }
  }

  /* ---- plots ---- */
  const plots = [];
  function axis(show, space) {
    return { stroke: css("--soft"), font: "12px system-ui, sans-serif", grid: { stroke: css("--grid"), width: 1 }, ticks: { show: false }, border: { show: false },
      values: (self, ticks) => ticks.map((tick) => show(tick)), space: space || 50, size: 24, gap: 5 };
  }
  const showBytes = (value) => words(bytes(value));
  const powers = Array.from({ length: 60 }, (none, i) => 2 ** i);
  /* Wide enough for its longest label. */
  function left(show) {
    const made = axis(show, 34);
    made.size = (self, values) => {
      const context = self.ctx;
      context.save();
      context.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
      const wide = Math.max(24, ...(values || []).map((text) => context.measureText(text).width / devicePixelRatio));
      context.restore();
      return Math.ceil(wide) + 14;
    };
    if (show === showBytes) made.incrs = powers;
    return made;
  }
  /* x: {key or values, show, say}; lines: the same with color, and label, fill, dash */
  function draw(id, x, lines, range, ticks) {
    const box = $(id);
    box.textContent = "";
    const tip = make("div", undefined, "tip");
    const columns = [x.values || column(x.key), ...lines.map((line) => line.values || column(line.key))];
    const series = [{}].concat(lines.map((line) => ({
      stroke: css(line.color), width: 2, dash: line.dash, spanGaps: true, points: { show: rows.length < 25, size: 6, fill: css("--card"), width: 2 },
      fill: line.fill ? css(line.color) + "17" : undefined,
    })));
    const plot = new uPlot({
      width: box.clientWidth, height: box.clientHeight, legend: { show: false }, padding: [10, 12, 0, 0],
      scales: { x: { time: false, range: (self, min, max) => (min === max ? [min - 1, max + 1] : [min, max]) }, y: { range } },
      axes: [x.show === showBytes ? { ...axis(x.show, 66), incrs: powers } : axis(x.show, 66), left(ticks || lines[0].show)], series,
      cursor: { y: false, drag: { x: true, y: false }, points: { size: 8 } },
      hooks: {
        setCursor: [(self) => {
          const at = self.cursor.idx;
          if (at === null || at === undefined || self.cursor.left < 0) { tip.style.display = "none"; return; }
          tip.textContent = "";
          tip.append(make("div", `${x.say}${x.show(columns[0][at])}`));
          lines.forEach((line, i) => {
            if (columns[i + 1][at] !== null) tip.append(make("div", (line.label ? line.label + " " : "") + (line.say || line.show)(columns[i + 1][at])));
          });
          tip.style.display = "block";
          const x0 = self.valToPos(columns[0][at], "x") + self.bbox.left / devicePixelRatio;
          tip.style.left = `${Math.min(Math.max(4, x0 - tip.offsetWidth / 2), box.clientWidth - tip.offsetWidth - 4)}px`;
          tip.style.top = "0";
        }],
      },
    }, columns, box);
    box.append(tip);
    plots.push([plot, box]);
    return plot;
  }
  const round = { key: "round", show: (value) => String(+value.toFixed(2)), say: "round " };
  const sides = {
    Rounds: round,
    "Fleet time": { key: "time_s", show: (value) => words(time(value)), say: "after " },
    Bytes: { values: rows.map((row) => (row.bytes_up || 0) + (row.bytes_down || 0)), show: showBytes, say: "after " },
  };
  if (known("wall_s")) sides["Real time"] = { key: "wall_s", show: (value) => words(time(value)), say: "after " };
  let against = "Rounds";
  function zeroed(self, min, max) { return [0, max > 0 ? max * 1.06 : 1]; }
  function fitted(self, min, max) {
    const room = (max - min || Math.abs(max) || 1) * 0.06;
    return [min >= 0 && min - room < 0 ? 0 : min - room, max + room];
  }
  function accuracyRange(self, min, max) {
    const low = min > 0.5 ? Math.floor((min - 0.03) * 20) / 20 : 0;
    return [low, Math.min(1, Math.ceil((max + 0.015) * 20) / 20)];
  }
  const skip = new Set(["round", "time_s", "wall_s", "accuracy", "loss", "bytes_up", "bytes_down", "wire_up", "wire_down", "device_macs", "server_macs",
    "version", "tasks", "joules", "parallelism", "device_s", "up_s", "down_s", "server_s", "idle_s", "clients", "client_mean", "client_median", "client_worst10",
    "mask_overlap_clients", "mask_overlap_rounds"]);
  const overlaps = ["mask_overlap_clients", "mask_overlap_rounds"].filter((key) => rows.some((row) => Number.isFinite(row[key])));
  if (overlaps.length) {
    const card = make("section", undefined, "card"), box = make("div", undefined, "plot");
    box.id = "overlaps";
    card.append(make("h2", "How far masks agree"), make("p", "Entries in both masks as a share of those in either: of two clients that began with the same model (solid), and of the model at a test and the test before (dashed).", "note"), box);
    $("figures").append(card);
  }
  const extra = Object.keys(last).filter((key) => !skip.has(key) && known(key) && new Set(column(key)).size > 1).slice(0, 12);
  extra.forEach((key, i) => {
    const card = make("section", undefined, "card");
    card.append(make("h2", key.replace(/_/g, " ")));
    const box = make("div", undefined, "plot");
    box.id = "figure-" + i;
    card.append(box);
    $("figures").append(card);
  });
  function drawAll() {
    for (const [plot] of plots.splice(0)) plot.destroy();
    const share = { show: (value) => `${Math.round(1000 * value) / 10} %`, say: (value) => words(percent(value)) };
    const lines = [{ key: "accuracy", color: "--a", fill: true, label: known("client_worst10") ? "all" : "", ...share }];
    if (known("client_worst10")) {
      $("accuracy-key").hidden = false;
      lines.push({ key: "client_median", color: "--up", dash: [7, 4], label: "median client", ...share },
        { key: "client_worst10", color: "--b", dash: [3, 3], label: "worst tenth", ...share });
    }
    draw("accuracy", sides[against], lines, accuracyRange);
    draw("loss", round, [{ key: "loss", color: "--b", show: (value) => String(+value.toFixed(3)) }], fitted);
    draw("bytes", round, [{ key: "bytes_up", color: "--up", label: "from devices", show: showBytes },
      { key: "bytes_down", color: "--down", label: "to devices", dash: [7, 4], show: showBytes }], zeroed);
    if (overlaps.length) {
      const looks = { mask_overlap_clients: { color: "--a", label: "clients" }, mask_overlap_rounds: { color: "--b", dash: [7, 4], label: "test to test" } };
      draw("overlaps", round, overlaps.map((key) => ({ key, ...looks[key], ...share })), (self, min, max) => [Math.max(0, min - 0.05), Math.min(1, max + 0.02)]);
    }
    extra.forEach((key, i) => draw("figure-" + i, round, [{ key, color: "--a", show: (value) => words(Math.abs(value) >= 10000 ? count(value) : plain(value)) }], fitted));
    drawShares();
  }
  for (const side of Object.keys(sides)) {
    const button = make("button", side);
    button.type = "button";
    button.setAttribute("aria-pressed", String(side === against));
    button.addEventListener("click", () => {
      against = side;
      for (const other of $("against").children) other.setAttribute("aria-pressed", String(other === button));
      drawAll();
    });
    $("against").append(button);
  }

  /* ---- who holds what: a column a client, a row a class; above it how much each holds ---- */
  const shares = data.shares && Array.isArray(data.shares.counts) && data.shares.counts.length ? data.shares : null;
  const held = shares ? shares.counts.map((one) => one.reduce((sum, value) => sum + value, 0)) : [];
  const classes = shares ? shares.counts[0].length : 0;
  const clientName = (index) => String(shares.client?.[index] ?? index);
  const className = (index) => String(shares.classes?.[index] ?? index);
  let layout = null;
  function drawShares() {
    if (!shares) return;
    $("shares-card").hidden = false;
    const canvas = $("shares");
    const scale = devicePixelRatio || 1, width = canvas.parentNode.clientWidth;
    const context = canvas.getContext("2d");
    context.font = "12px system-ui, sans-serif";
    const names = classes <= 24;
    let gutter = names ? 0 : 8;
    for (let k = 0; names && k < classes; k++) gutter = Math.max(gutter, context.measureText(className(k)).width + 10);
    gutter = Math.min(gutter, width * 0.28);
    const cell = names ? 20 : Math.max(1, Math.min(6, 420 / classes)), bars = 46, height = bars + 6 + classes * cell + 22;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    const clients = held.length, step = (width - gutter) / clients, gap = step >= 6 ? 1 : 0;
    const top = Math.max(...held, 1), most = Math.max(...shares.counts.map((one) => Math.max(...one)), 1);
    layout = { gutter, step, bars, cell, clients };
    const ink = css("--a"), empty = css("--empty");
    context.fillStyle = empty;
    context.fillRect(gutter, bars + 6, width - gutter, classes * cell);
    for (let i = 0; i < clients; i++) {
      const x = gutter + i * step, tall = held[i] / top * bars;
      context.globalAlpha = 0.55;
      context.fillStyle = ink;
      context.fillRect(x, bars - tall, Math.max(step - gap, 0.5), tall);
      for (let k = 0; k < classes; k++) {
        const value = shares.counts[i][k];
        if (!value) continue;
        context.globalAlpha = 0.1 + 0.9 * Math.sqrt(value / most);
        context.fillRect(x, bars + 6 + k * cell, Math.max(step - gap, 0.5), names ? cell - 1 : cell);
      }
    }
    context.globalAlpha = 1;
    context.fillStyle = css("--soft");
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (let k = 0; names && k < classes; k++) context.fillText(className(k), gutter - 8, bars + 6 + (k + 0.5) * cell, gutter - 8);
    if (gutter > 60) context.fillText("samples", gutter - 8, bars - 8, gutter - 8);
    context.textAlign = "left";
    context.fillText(`client ${clientName(0)}`, gutter, height - 9);
    context.textAlign = "right";
    context.fillText(`client ${clientName(clients - 1)}`, width, height - 9);
    const total = held.reduce((sum, value) => sum + value, 0), sorted = [...held].sort((a, b) => a - b);
    $("shares-note").textContent = `${shares.clients ?? clients} clients${shares.clients > clients ? `, ${clients} of them drawn` : ""}, ${total.toLocaleString("en")} samples; ${sorted[0] === sorted[clients - 1] ? `${sorted[0]} each` : `${sorted[0]} to ${sorted[clients - 1]} each, median ${sorted[clients >> 1]}`}`;
    canvas.setAttribute("aria-label", `Samples of ${classes} classes held by ${clients} clients`);
  }
  function read(event) {
    if (!layout) return;
    const box = $("shares").getBoundingClientRect();
    const client = Math.floor((event.clientX - box.left - layout.gutter) / layout.step);
    const row = Math.floor((event.clientY - box.top - layout.bars - 6) / layout.cell);
    if (client < 0 || client >= layout.clients) return;
    const one = shares.counts[client];
    const largest = one.map((value, k) => [value, k]).filter((pair) => pair[0] > 0).sort((a, b) => b[0] - a[0]).slice(0, 3);
    $("reading").textContent = row >= 0 && row < classes
      ? `client ${clientName(client)}: ${one[row]} of ${held[client]} are ${className(row)}`
      : `client ${clientName(client)}: ${held[client]} samples, most of them ${largest.map((pair) => `${className(pair[1])} (${pair[0]})`).join(", ")}`;
  }
  if (shares) {
    $("shares").addEventListener("pointermove", read);
    $("shares").addEventListener("pointerdown", read);
    $("reading").textContent = "Point at a client to read its share.";
  }

  /* ---- tables ---- */
  function fill(table, head, lines) {
    const first = table.createTHead().insertRow();
    for (const [label, text] of head) first.append(make("th", label, text ? "text" : ""));
    const body = table.createTBody();
    for (const line of lines) {
      const row = body.insertRow();
      line.forEach((cell, i) => row.append(make("td", cell, head[i][1] ? "text" : "")));
    }
  }
  const columns = [["round", "round", (value) => String(+value.toFixed(2))], ["accuracy", "accuracy", (value) => words(percent(value))], ["median client", "client_median", (value) => words(percent(value))], ["worst tenth", "client_worst10", (value) => words(percent(value))],
    ["loss", "loss", (value) => value.toFixed(4)],
    ["from devices", "bytes_up", (value) => words(bytes(value))], ["to devices", "bytes_down", (value) => words(bytes(value))], ["fleet time", "time_s", (value) => words(time(value))],
    ["real time", "wall_s", (value) => words(time(value))]].filter((one) => known(one[1]));
  fill($("table"), columns.map((one) => [one[0]]), rows.map((row) => columns.map((one) => (Number.isFinite(row[one[1]]) ? one[2](row[one[1]]) : "–"))));
  $("table-note").textContent = leftOut(data, "metrics") && `The newest ${rows.length.toLocaleString("en")}${leftOut(data, "metrics")}.`;
  if (data.trace.length) {
    $("trace-card").hidden = false;
    const told = data.trace.length + (data.left_out?.trace ?? 0);
    if (told > 500) $("trace-note").textContent = `the last 500 of ${told.toLocaleString("en")} rows of trace.jsonl`;
    fill($("trace"), [["time"], ["what", true], ["client"], ["value"]], data.trace.slice(-500).map((row) => [Number.isFinite(row.time_s) ? words(time(row.time_s)) : "–", String(row.what ?? ""),
      String(row.client ?? ""), Number.isFinite(row.value) ? words(plain(row.value)) : ""]));
  }
  if (typeof data.recipe === "string") $("recipe").textContent = data.recipe.trimEnd();
  else $("recipe-card").hidden = true;
  $("made").textContent = `Made by ${data.program}. Accuracy and loss are of the test split; payload counts tensors and labels as they were encoded.`;

  drawAll();
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; drawAll(); } });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
})();
