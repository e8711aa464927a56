"use strict";
/* The page of a comparison, drawn into a document of plain objects: node compare_page.js REPORT.html. Its ten cells have labels as long as choices get. */
const assert = require("assert"), fs = require("fs"), vm = require("vm");
const page = fs.readFileSync(process.argv[2], "utf8");

class Node {
  constructor(tag) { Object.assign(this, { tag, children: [], style: {}, className: "", clientWidth: 800, scrollWidth: 2000, scrollLeft: 0 }); }
  set textContent(text) { this.children = text === "" ? [] : [String(text)]; }
  get textContent() { return this.children.map((child) => child.textContent ?? child).join(""); }
  get firstElementChild() { return (this.first ??= new Node("div")); }
  get classList() { return { toggle: (name, on) => { this.className = on ? name : ""; } }; }
  append(...nodes) { this.children.push(...nodes); }
  add(tag) { const node = new Node(tag); this.append(node); return node; }
  createTHead() { return this.add("thead"); }
  createTBody() { return this.add("tbody"); }
  insertRow() { return this.add("tr"); }
  setAttribute() {}
  addEventListener() {}
}
const byId = {};
const document = { documentElement: new Node("html"), createElement: (tag) => new Node(tag), getElementById: (id) => (byId[id] ??= new Node("div")) };
document.getElementById("data").textContent = page.match(/<script type="application\/json" id="data">(.*?)<\/script>/s)[1];
const series = [];
class uPlot { constructor(options) { series.push(options.series); } destroy() {} }
const context = vm.createContext({ document, uPlot, getComputedStyle: () => ({ getPropertyValue: (name) => name }), addEventListener() {}, matchMedia: () => new Node("media"), innerWidth: 1280, devicePixelRatio: 1 });
for (const script of [...page.matchAll(/<script>\n(.*?)<\/script>/gs)].slice(1)) vm.runInContext(script[1], context);

const [head, body] = byId.table.children, rows = body.children, swatch = (node) => node.children[0].style.background;
const titles = head.children[0].children.map((cell) => cell.textContent);
assert.deepStrictEqual(titles.slice(1, 5), ["accuracy", "from devices", "to devices", "fleet time"]);
assert.ok(titles.indexOf("at 25 %") > 4);
assert.strictEqual(rows.length, 10);
assert.ok(rows.every((row) => row.children.length === titles.length));
assert.strictEqual(rows[0].children[0].children[0].tag, "div"); /* which wraps */
for (const marks of [byId.legend.children.map(swatch), rows.map((row) => swatch(row.children[0].children[0]))]) {
  assert.strictEqual(new Set(marks).size, 10, "two cells have the same swatch");
  assert.ok(/repeating/.test(marks[8]) && !/repeating/.test(marks[7]) && series[0][1 + 3 * 8].dash);
}
const chip = byId.choices.children[0];
assert.ok(chip.textContent.length < 230 && chip.textContent.endsWith("…") && chip.title.length > 300);
assert.strictEqual(byId.wide.className, "on");
assert.strictEqual(byId["wide-note"].hidden, false);
