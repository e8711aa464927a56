"use strict";
/* The page of a comparison: node compare_page.js REPORT.html. Its ten cells have labels as long as choices get. */
const assert = require("assert");
const { byId, series } = require("./page.js")(process.argv[2]);

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
