"use strict";
/* The page of a comparison: node compare_page.js REPORT.html. Its ten cells have labels as long as choices get. */
const assert = require("assert");
const { byId, series, Linnet } = require("./page.js")(process.argv[2]);

/* Rounded first, then cut into units. */
for (const [seconds, shown] of [[0.126, "0.13 s"], [9.994, "9.99 s"], [9.999, "10 s"], [59.4, "59 s"], [59.7, "1:00 min"], [119.7, "2:00 min"], [119.4, "1:59 min"],
  [3599.4, "59:59 min"], [3599.7, "1:00 h"], [7199, "2:00 h"], [7140, "1:59 h"], [86339, "23:59 h"], [86399, "1.0 days"], [129600, "1.5 days"]])
  assert.strictEqual(Linnet.words(Linnet.time(seconds)), shown);

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
