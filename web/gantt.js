/* The first rounds as they ran (EcoFed's Figure 1): for the first devices to finish in each, when device, links and server were busy. */
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const spans = (Array.isArray(data.gantt) ? data.gantt : []).filter((span) => Number.isFinite(span.from) && Number.isFinite(span.to) && span.to > span.from && Number.isFinite(span.round));
  const before = document.getElementById("spent-card");
  if (!spans.length || !before) return;
  const { make, leftOut, extent, time, words } = Linnet;
  const lanes = [["device", "computing", "--a"], ["up", "sending", "--up"], ["server", "server", "--b"], ["down", "receiving", "--down"]];

  /* A row is the first, second, ... device of its round to finish: other rounds draw other clients. */
  const rounds = [...new Set(spans.map((span) => span.round))].sort((a, b) => a - b);
  const clients = new Map(rounds.map((round) => [round, [...new Set(spans.filter((span) => span.round === round).map((span) => span.client))]]));
  const rows = extent([...clients.values()].map((list) => list.length))[1];
  const bounds = rounds.map((round) => extent(spans.filter((span) => span.round === round).flatMap((span) => [span.from, span.to])));
  const [start, end] = extent(bounds.flat());

  const card = make("section", undefined, "card");
  card.id = "gantt-card";
  const head = make("div", undefined, "head");
  head.append(make("h2", `The first ${rounds.length === 1 ? "round" : `${rounds.length} rounds`} as they ran`), make("p", `${words(time(end - start))} of the fleet's clock${leftOut(data, "gantt")}`, "note"));
  const key = make("p", undefined, "key wide");
  for (const [, label, color] of lanes) {
    const item = make("span"), dot = make("i");
    dot.style.background = `var(${color})`;
    item.append(dot, label);
    key.append(item);
  }
  const box = make("div"), reading = make("p", "Point at a bar to read it.", "reading");
  box.style.margin = "10px 0 4px";
  card.append(head, key, box, reading);
  before.after(card);

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
  function draw() {
    box.textContent = "";
    const width = box.clientWidth, lane = 7, gap = 10, top = 20, gutter = 62;
    const tall = lanes.length * lane + gap, height = top + rows * tall + 20, scale = (width - gutter) / (end - start || 1);
    const at = (seconds) => gutter + (seconds - start) * scale;
    const svg = put(box, "svg", { width, height, role: "img", "aria-label": "When devices, links and server were busy in the first rounds" });
    const font = { "font-size": 12, style: "fill: var(--soft); font-family: system-ui, sans-serif" };
    for (let row = 0; row < rows; row++) {
      put(svg, "text", { x: 0, y: top + row * tall + lanes.length * lane / 2 + 4, ...font }, `device ${row + 1}`);
      put(svg, "rect", { x: gutter, y: top + row * tall, width: width - gutter, height: lanes.length * lane, style: "fill: var(--empty)" });
    }
    const step = nice((end - start) * 90 / Math.max(1, width - gutter));
    for (let tick = Math.ceil(start / step) * step; tick <= end; tick += step) {
      put(svg, "line", { x1: at(tick), x2: at(tick), y1: top, y2: height - 18, style: "stroke: var(--grid)" });
      put(svg, "text", { x: at(tick), y: height - 4, "text-anchor": tick - start < step / 2 ? "start" : at(tick) > width - 20 ? "end" : "middle", ...font }, words(time(+tick.toPrecision(6))));
    }
    for (const span of spans) {
      const k = lanes.findIndex((one) => one[0] === span.lane), row = clients.get(span.round).indexOf(span.client);
      if (k < 0) continue;
      const bar = put(svg, "rect", { x: at(span.from), y: top + row * tall + k * lane, width: Math.max(0.6, (span.to - span.from) * scale), height: lane - 1, style: `fill: var(${lanes[k][2]})` });
      const say = () => { reading.textContent = `round ${span.round + 1}, client ${span.client}: ${lanes[k][1]} from ${words(time(span.from))} for ${words(time(+(span.to - span.from).toPrecision(3)))}`; };
      bar.addEventListener("pointerenter", say);
      bar.addEventListener("pointerdown", say);
    }
    bounds.forEach((bound, i) => {
      const x = at(bound[0]), wide = at(bound[1]) - x;
      put(svg, "line", { x1: x, x2: x, y1: 4, y2: height - 18, style: "stroke: var(--soft); stroke-dasharray: 2 3" });
      if (wide > 12 || i === 0) put(svg, "text", { x: x + 4, y: 14, ...font }, wide > 60 ? `round ${rounds[i] + 1}` : String(rounds[i] + 1));
    });
  }
  draw();
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; draw(); } });
})();
