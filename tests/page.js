"use strict";
/* Draws a page of ours into a document of plain objects: require("./page.js")(FILE) gives what tests look at. */
const fs = require("fs"), vm = require("vm");

class Node {
  constructor(tag) { Object.assign(this, { tag, children: [], style: {}, className: "", clientWidth: 800, scrollWidth: 2000, scrollLeft: 0 }); }
  set textContent(text) { this.children = text === "" ? [] : [String(text)]; }
  get textContent() { return this.children.map((child) => child.textContent ?? child).join(""); }
  get firstElementChild() { return (this.first ??= new Node("div")); }
  get classList() { return { toggle: (name, on) => { this.className = on ? name : ""; } }; }
  append(...nodes) { this.children.push(...nodes); }
  before(node) { this.previous = node; }
  after(node) { this.next = node; }
  add(tag) { const node = new Node(tag); this.append(node); return node; }
  createTHead() { return this.add("thead"); }
  createTBody() { return this.add("tbody"); }
  insertRow() { return this.add("tr"); }
  setAttribute() {}
  addEventListener() {}
}

module.exports = (file) => {
  const page = fs.readFileSync(file, "utf8"), byId = {}, series = [];
  const document = { documentElement: new Node("html"), createElement: (tag) => new Node(tag), createElementNS: (space, tag) => new Node(tag),
    getElementById: (id) => (byId[id] ??= new Node("div")) };
  document.getElementById("data").textContent = page.match(/<script type="application\/json" id="data">(.*?)<\/script>/s)[1];
  class uPlot { constructor(options) { series.push(options.series); } destroy() {} }
  const context = vm.createContext({ document, uPlot, getComputedStyle: () => ({ getPropertyValue: (name) => name }), addEventListener() {}, matchMedia: () => new Node("media"),
    innerWidth: 1280, devicePixelRatio: 1 });
  for (const script of [...page.matchAll(/<script>\n(.*?)<\/script>/gs)].slice(1)) vm.runInContext(script[1], context);
  return { byId, series, Linnet: vm.runInContext("Linnet", context) };
};
