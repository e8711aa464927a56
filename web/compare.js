"use strict";
/* Draws a comparison from the block of data in the page: a curve a cell, the mean over its seeds, with a band of one standard deviation. */
(() => {
  const { make, bytes, time, percent, plain, words } = Linnet;
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const cells = data.cells.filter((cell) => cell.runs.length > 0);
  const hidden = new Set();
  const color = (i) => `--c${i % 8}`;
  const dash = (i) => [undefined, [8, 4], [3, 3], [10, 3, 3, 3]][Math.floor(i / 8) % 4];
  /* A curve's swatch: its colour, dashed as it is, so that the ninth is not the first again. */
  function markOf(i) {
    const node = make("i"), parts = dash(i) ?? [], ink = `var(${color(i)})`;
    let at = 0;
    const stops = parts.map((length, k) => `${k % 2 ? "transparent" : ink} ${at}px ${at += length}px`);
    node.style.background = parts.length ? `repeating-linear-gradient(90deg, ${stops.join(", ")})` : ink;
    return node;
  }
  const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1).trimEnd()}…` : text);
  const has = (key) => cells.some((cell) => cell.runs.some((run) => run.rows.some((row) => Number.isFinite(row[key]))));

  /* ---- head ---- */
  const name = data.name || "Comparison";
  $("name").textContent = name;
  document.title = `${name} compared · Linnet`;
  const runs = cells.reduce((sum, cell) => sum + cell.runs.length, 0), wanted = data.cells.length * data.seeds;
  $("state").textContent = runs === wanted ? "finished" : `${runs} of ${wanted} runs`;
  $("state").className = runs === wanted ? "done" : "open";
  for (const key of data.keys) {
    const chip = make("span", `${key} `), values = [...new Set(data.cells.map((cell) => cell.values[key]))].join(", ");
    chip.append(make("b", cut(values, 200)));
    chip.title = values;
    $("choices").append(chip);
  }
  const seeds = make("span", "seeds ");
  seeds.append(make("b", String(data.seeds)));
  $("choices").append(seeds);

  /* ---- curves ---- */
  const sides = {
    Rounds: { of: (row) => row.round, show: (value) => String(+value.toFixed(1)), say: "round " },
    "Fleet time": { of: (row) => row.time_s, show: (value) => words(time(value)), say: "after " },
    Bytes: { of: (row) => (row.bytes_up || 0) + (row.bytes_down || 0), show: (value) => words(bytes(value)), say: "after ", binary: true },
  };
  let against = "Rounds";
  /* Linear between two tests; null before the first and after the last. */
  function at(points, x) {
    let low = 0, high = points.length - 1;
    if (high < 0 || x < points[0][0] || x > points[high][0]) return null;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (points[middle][0] <= x) low = middle; else high = middle;
    }
    const [x0, y0] = points[low], [x1, y1] = points[high];
    return x1 > x0 ? y0 + (y1 - y0) * (x - x0) / (x1 - x0) : y1;
  }
  function curves(side, key) {
    const points = cells.map((cell) => cell.runs.map((run) => run.rows.filter((row) => Number.isFinite(row[key])).map((row) => [side.of(row), row[key]])));
    let grid = [...new Set(points.flat(2).map((point) => point[0]))].sort((a, b) => a - b);
    if (grid.length > 600) grid = Array.from({ length: 600 }, (none, i) => grid[Math.round(i * (grid.length - 1) / 599)]);
    const columns = [grid];
    for (const cell of points) {
      const mean = [], low = [], high = [];
      for (const x of grid) {
        const values = cell.map((run) => at(run, x));
        if (values.some((value) => value === null)) { mean.push(null); low.push(null); high.push(null); continue; }
        const m = values.reduce((sum, value) => sum + value, 0) / values.length;
        const s = values.length > 1 ? Math.sqrt(values.reduce((sum, value) => sum + (value - m) ** 2, 0) / (values.length - 1)) : 0;
        mean.push(m); low.push(m - s); high.push(m + s);
      }
      columns.push(mean, low, high);
    }
    return columns;
  }
  const plots = [];
  const powers = Array.from({ length: 60 }, (none, i) => 2 ** i);
  function axis(show, space) {
    return { stroke: css("--soft"), font: "12px system-ui, sans-serif", grid: { stroke: css("--grid"), width: 1 }, ticks: { show: false }, border: { show: false },
      values: (self, ticks) => ticks.map((tick) => show(tick)), space, size: 24, gap: 5 };
  }
  function draw(box, side, key, show, say, range) {
    box.textContent = "";
    const columns = curves(side, key), tip = make("div", undefined, "tip");
    const series = [{}], bands = [];
    cells.forEach((cell, i) => {
      const ink = css(color(i)), visible = !hidden.has(i);
      series.push({ stroke: ink, width: 2, dash: dash(i), show: visible, points: { show: false }, spanGaps: true });
      for (let k = 0; k < 2; k++) series.push({ stroke: "transparent", width: 0, show: visible && cell.runs.length > 1, points: { show: false }, spanGaps: true });
      if (cell.runs.length > 1) bands.push({ series: [3 * i + 3, 3 * i + 2], fill: ink + "26" });
    });
    const left = axis(show, 34);
    left.size = 52;
    const plot = new uPlot({
      width: box.clientWidth, height: box.clientHeight, legend: { show: false }, padding: [10, 14, 0, 0], series, bands,
      scales: { x: { time: false, range: (self, min, max) => (min === max ? [min - 1, max + 1] : [min, max]) }, y: { range } },
      axes: [side.binary ? { ...axis(side.show, 70), incrs: powers } : axis(side.show, 66), left],
      cursor: { y: false, drag: { x: true, y: false }, points: { show: false } },
      hooks: {
        setCursor: [(self) => {
          const index = self.cursor.idx;
          if (index === null || index === undefined || self.cursor.left < 0) { tip.style.display = "none"; return; }
          tip.textContent = "";
          tip.append(make("div", side.say + side.show(columns[0][index])));
          const lines = cells.map((cell, i) => [columns[3 * i + 1][index], columns[3 * i + 3][index], cell, i]).filter((line) => line[0] !== null && !hidden.has(line[3]));
          for (const [mean, high, cell, i] of lines.sort((a, b) => b[0] - a[0]).slice(0, 12)) {
            const line = make("div");
            line.append(markOf(i), `${cell.label}: ${say(mean)}${cell.runs.length > 1 ? ` ± ${say(high - mean)}` : ""}`);
            tip.append(line);
          }
          tip.style.display = "block";
          const x = self.valToPos(columns[0][index], "x") + self.bbox.left / devicePixelRatio;
          const beside = x + 12 + tip.offsetWidth < box.clientWidth ? x + 12 : x - 12 - tip.offsetWidth;
          tip.style.left = `${Math.max(4, beside)}px`;
          tip.style.top = "4px";
        }],
      },
    }, columns, box);
    box.append(tip);
    plots.push(plot);
  }
  const share = (value) => `${Math.round(1000 * value) / 10} %`;
  function shareRange(self, min, max) {
    const low = min > 0.5 ? Math.floor((min - 0.03) * 20) / 20 : 0;
    return [low, Math.min(1, Math.ceil((max + 0.015) * 20) / 20)];
  }
  function fitted(self, min, max) {
    const room = (max - min || Math.abs(max) || 1) * 0.06;
    return [min >= 0 && min - room < 0 ? 0 : min - room, max + room];
  }
  const more = [["Test loss", "loss", (value) => String(+value.toFixed(3)), (value) => words(plain(value)), fitted]];
  if (has("client_worst10")) more.push(["Accuracy of the worst tenth of the clients", "client_worst10", share, (value) => words(percent(value)), shareRange]);
  for (const [title, key] of more) {
    const card = make("section", undefined, "card"), box = make("div", undefined, "plot");
    box.id = `plot-${key}`;
    card.append(make("h2", title), box);
    $("more").append(card);
  }
  function drawAll() {
    for (const plot of plots.splice(0)) plot.destroy();
    draw($("accuracy"), sides[against], "accuracy", share, (value) => words(percent(value)), shareRange);
    for (const [, key, show, say, range] of more) draw($(`plot-${key}`), sides[against], key, show, say, range);
  }
  function pressed(buttons, which) {
    for (const button of buttons) button.setAttribute("aria-pressed", String(which(button)));
  }
  for (const side of Object.keys(sides)) {
    const button = make("button", side);
    button.type = "button";
    button.addEventListener("click", () => {
      against = side;
      pressed($("against").children, (other) => other === button);
      drawAll();
    });
    button.setAttribute("aria-pressed", String(side === against));
    $("against").append(button);
  }
  cells.forEach((cell, i) => {
    const button = make("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    button.append(markOf(i), cell.label);
    button.addEventListener("click", () => {
      if (!hidden.delete(i)) hidden.add(i);
      button.setAttribute("aria-pressed", String(!hidden.has(i)));
      drawAll();
    });
    $("legend").append(button);
  });
  if (data.seeds > 1) $("spread-note").textContent = `Mean over ${data.seeds} seeds; the band is one standard deviation to each side. A curve ends where the first of its runs does.`;

  /* ---- tables ---- */
  function cellOf(row, text, kind) {
    const node = make("td", text, kind);
    row.append(node);
    return node;
  }
  function head(table, labels) {
    const row = table.createTHead().insertRow();
    for (const [label, kind] of labels) row.append(make("th", label, kind));
  }
  const columns = [["accuracy", (cell) => cell.end?.accuracy, percent, 1], ["from devices", (cell) => cell.end?.bytes_up, bytes, -1], ["to devices", (cell) => cell.end?.bytes_down, bytes, -1],
    ["fleet time", (cell) => cell.end?.time_s, time, -1]];
  (cells[0]?.targets ?? []).forEach((one, i) => columns.push([`time to ${+(100 * one.target).toFixed(1)} %`, (cell) => cell.targets?.[i]?.time_s, time, -1]));
  if (has("client_worst10")) columns.push(["median client", (cell) => cell.end?.client_median, percent, 1], ["worst tenth", (cell) => cell.end?.client_worst10, percent, 1]);
  columns.push(...["25 %", "50 %", "75 %"].map((label, i) => [`at ${label}`, (cell) => cell.checkpoints?.[i]?.accuracy, percent, 1]), ["last quarter", (cell) => cell.late?.accuracy, percent, 1]);
  columns.push(["loss", (cell) => cell.end?.loss, (value) => [value.toFixed(3), ""], -1], ["computed in", (cell) => cell.end?.wall_s, time, 0]);
  head($("table"), [[data.keys.join(" · ") || "recipe", "text held"], ...columns.map((one) => [one[0], ""])]);
  const best = columns.map(([, of, , sign]) => (sign && cells.length > 1 ? Math.max(...cells.map((cell) => (of(cell) ? sign * of(cell).mean : -Infinity))) : null));
  const body = $("table").createTBody();
  cells.forEach((cell, i) => {
    const row = body.insertRow(), label = make("div");
    label.append(markOf(i), cell.label);
    cellOf(row, undefined, "text held").append(label);
    columns.forEach(([, of, show, sign], c) => {
      const value = of(cell);
      const node = cellOf(row, value ? words(show(value.mean)) : "–", value && best[c] !== null && sign * value.mean === best[c] ? "best" : "");
      if (value && Number.isFinite(value.std) && value.std > 0) node.append(make("small", ` ± ${words(show(value.std))}`));
    });
  });
  head($("runs"), [["run", "text"], ["seed", ""], ["ended by", "text"], ["rounds", ""], ["accuracy", ""], ["report", "text"]]);
  const lines = $("runs").createTBody();
  for (const cell of cells) {
    for (const run of cell.runs) {
      const row = lines.insertRow(), last = run.rows[run.rows.length - 1];
      cellOf(row, cell.label, "text");
      cellOf(row, String(run.seed));
      cellOf(row, run.ended_by, "text");
      cellOf(row, String(+last.round.toFixed(1)));
      cellOf(row, words(percent(last.accuracy)));
      const link = make("a", `${run.dir}/report.html`);
      link.href = `./${run.dir.split("/").map(encodeURIComponent).join("/")}/report.html`;
      cellOf(row, undefined, "text").append(link);
    }
  }
  $("made").textContent = `Made by ${data.program}. Accuracy and loss are of the test split; checkpoints are shares of the rounds, each run's first test at or after them.`;

  /* A table that goes on to the right fades there, and says so. */
  const wide = $("wide"), scroll = wide.firstElementChild;
  function fade() {
    const rest = scroll.scrollWidth - scroll.clientWidth;
    wide.classList.toggle("on", rest - scroll.scrollLeft > 1);
    $("wide-note").hidden = rest <= 1;
  }
  scroll.addEventListener("scroll", fade, { passive: true });

  drawAll();
  fade();
  let width = innerWidth;
  addEventListener("resize", () => { fade(); if (innerWidth !== width) { width = innerWidth; drawAll(); } });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
})();
