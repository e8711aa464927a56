"use strict";
/* The page of a run whose trace is longer than a page holds: node report_page.js REPORT.html. */
const assert = require("assert");
const { byId } = require("./page.js")(process.argv[2]);

assert.strictEqual(byId["trace-note"].textContent, "the last 500 of 205,005 rows of trace.jsonl");
assert.strictEqual(byId.trace.children[1].children.length, 500);
const card = byId["trace-card"].previous; /* the groups: of the last grouping, which is whole */
assert.strictEqual(card.id, "groups-card");
assert.strictEqual(card.children[0].children[1].textContent, "after 2 s: 130000 clients, 1 moves, 0 drops so far; 5,005 older rows are left out");
assert.strictEqual(byId["table-note"].textContent, "");
