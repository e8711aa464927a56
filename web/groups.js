/* Eco-FL's groups as the strategy saw them: every client at its latency and label skew, coloured by its group, at any moment of the run. From the rows of
 * trace.jsonl: grouped, skew, latency, joined, moved, dropped, rejoined of clients, group_latency of groups. */
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const kinds = new Set(["grouped", "skew", "latency", "joined", "moved", "dropped", "rejoined", "group_latency", "group_skew"]);
  const rows = (Array.isArray(data.trace) ? data.trace : []).filter((row) => kinds.has(row.what) && (row.what === "grouped" || Number.isFinite(row.client)) && Number.isFinite(row.time_s));
  const before = document.getElementById("trace-card");
  if (!before || !rows.some((row) => row.what === "skew")) return;
  const { make, leftOut, extent, time, words } = Linnet;
  const begun = rows.findIndex((row) => row.what === "grouped");
  if (leftOut(data, "trace") && begun > 0) rows.splice(0, begun); /* of a grouping that is not whole */
  const color = (group) => (group === undefined ? "var(--soft)" : `var(--c${group % 8})`);
  const times = [...new Set(rows.map((row) => row.time_s))].sort((a, b) => a - b);

  /* What was so at a moment: the rows up to it, in their order. */
  function at(moment) {
    let clients = new Map(), groups = new Map(), moves = 0, drops = 0;
    for (const row of rows) {
      if (row.time_s > moment) break;
      if (row.what === "grouped") {
        clients = new Map();
        groups = new Map();
        continue;
      }
      const map = row.what.startsWith("group_") ? groups : clients;
      if (!map.has(row.client)) map.set(row.client, {});
      const one = map.get(row.client);
      if (row.what === "joined" || row.what === "moved" || row.what === "rejoined") one.group = row.value;
      else if (row.what === "dropped") one.group = undefined;
      else one[row.what.replace("group_", "")] = row.value;
      moves += row.what === "moved";
      drops += row.what === "dropped";
    }
    return { clients, groups, moves, drops };
  }
  const latencies = rows.filter((row) => row.what === "latency" && Number.isFinite(row.value)).map((row) => row.value).sort((a, b) => a - b);
  const skews = rows.filter((row) => (row.what === "skew" || row.what === "group_skew") && Number.isFinite(row.value)).map((row) => row.value);
  if (!latencies.length) return;
  const most = latencies[Math.min(latencies.length - 1, Math.floor(0.995 * latencies.length))] * 1.08 || 1; /* a few stragglers stand at the edge */
  const lowest = 0, highest = extent(skews)[1], margin = highest * 0.06 || 0.05;

  const card = make("section", undefined, "card");
  card.id = "groups-card";
  const head = make("div", undefined, "head"), note = make("p", undefined, "note");
  head.append(make("h2", "Groups by speed and labels"), note);
  const key = make("p", undefined, "key wide"), box = make("div"), reading = make("p", "Point at a client to read it. Diamonds are the groups: mean latency, joint label skew.", "reading");
  const slider = make("input");
  Object.assign(slider, { type: "range", min: "0", max: String(times.length - 1), value: String(times.length - 1), step: "1" });
  slider.setAttribute("aria-label", "Moment of the run");
  slider.style.width = "100%";
  card.append(head, key, box, slider, reading);
  before.before(card);

  const space = "http://www.w3.org/2000/svg";
  function put(parent, tag, attributes, text) {
    const node = document.createElementNS(space, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  }
  function nice(step) {
    const power = 10 ** Math.floor(Math.log10(step));
    return power * [1, 2, 5, 10].find((factor) => factor * power >= step);
  }
  function show() {
    const moment = times[Number(slider.value)], { clients, groups, moves, drops } = at(moment);
    note.textContent = `after ${words(time(moment))}: ${clients.size} clients, ${moves} moves, ${drops} drops so far${leftOut(data, "trace")}`;
    box.textContent = key.textContent = "";
    const width = box.clientWidth || 600, height = Math.max(220, Math.min(380, width * 0.5)), left = 44, bottom = 34;
    const x = (latency) => left + (width - left - 8) * Math.min(1, latency / most);
    const y = (skew) => 8 + (height - bottom - 8) * (1 - (skew - lowest + margin) / (highest - lowest + 2 * margin));
    const svg = put(box, "svg", { width, height, role: "img", "aria-label": "Clients by latency and label skew, coloured by group" });
    const font = { "font-size": 12, style: "fill: var(--soft); font-family: system-ui, sans-serif" };
    for (let tick = 0, step = nice(most * 80 / (width - left)); tick <= most; tick += step) {
      put(svg, "line", { x1: x(tick), x2: x(tick), y1: 8, y2: height - bottom, style: "stroke: var(--grid)" });
      put(svg, "text", { x: x(tick), y: height - bottom + 14, "text-anchor": "middle", ...font }, String(+tick.toPrecision(3)));
    }
    for (let step = nice((highest - lowest + 2 * margin) / 5), tick = Math.ceil(Math.max(0, lowest - margin) / step) * step; tick <= highest + margin; tick += step) {
      put(svg, "line", { x1: left, x2: width - 8, y1: y(tick), y2: y(tick), style: "stroke: var(--grid)" });
      put(svg, "text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end", ...font }, String(+tick.toPrecision(2)));
    }
    put(svg, "text", { x: width - 8, y: height - 4, "text-anchor": "end", ...font }, "seconds a task");
    put(svg, "text", { x: 2, y: height - 4, ...font }, "upwards: label skew, JS/ln 2 to all clients' labels");
    const sizes = new Map();
    for (const [number, client] of clients) {
      if (!Number.isFinite(client.latency) || !Number.isFinite(client.skew)) continue;
      sizes.set(client.group, (sizes.get(client.group) || 0) + 1);
      const shift = (number * 7 % 11 - 5) * 1.5; /* clients of equal labels lie on one line: spread a little, always the same */
      const dot = put(svg, "circle", { cx: x(client.latency), cy: y(client.skew) + shift, r: 4, style: `fill: ${client.group === undefined ? "none" : color(client.group)}; stroke: ${color(client.group)}; fill-opacity: .75` });
      const say = () => { reading.textContent = `client ${number}: ${words(time(client.latency))} a task, skew ${client.skew.toFixed(3)}, ${client.group === undefined ? "in no group" : `group ${client.group + 1}`}`; };
      dot.addEventListener("pointerenter", say);
      dot.addEventListener("pointerdown", say);
    }
    for (const [number, group] of groups) {
      if (!Number.isFinite(group.latency) || !Number.isFinite(group.skew)) continue;
      const cx = x(group.latency), cy = Math.min(height - bottom, Math.max(8, y(group.skew)));
      const mark = put(svg, "path", { d: `M${cx} ${cy - 8}L${cx + 8} ${cy}L${cx} ${cy + 8}L${cx - 8} ${cy}Z`, style: `fill: ${color(number)}; stroke: var(--ink); stroke-width: 1.5` });
      mark.addEventListener("pointerenter", () => { reading.textContent = `group ${number + 1}: mean latency ${words(time(group.latency))}, joint skew ${group.skew.toFixed(3)}`; });
    }
    for (const [group, size] of [...sizes].sort((a, b) => (a[0] ?? 99) - (b[0] ?? 99))) {
      const item = make("span"), dot = make("i");
      dot.style.background = color(group);
      item.append(dot, `${group === undefined ? "no group" : `group ${group + 1}`}: ${size}`);
      key.append(item);
    }
  }
  slider.addEventListener("input", show);
  show();
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; show(); } });
})();
