"use strict";
/* What the pages share: numbers as people read them. Text comes in as text, never as markup. */
const Linnet = (() => {
  function make(tag, text, name) {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    if (name) node.className = name;
    return node;
  }

  /* ---- numbers as people read them: [number, unit] ---- */
  function scaled(value, step, units) {
    let i = 0;
    while (Math.abs(value) >= step && i < units.length - 1) { value /= step; i++; }
    const digits = i === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
    return [Number.isInteger(value) ? String(value) : value.toFixed(digits), units[i]];
  }
  const bytes = (value) => scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);
  const count = (value) => scaled(value, 1000, ["", "k", "M", "G", "T", "P", "E"]);
  const energy = (value) => scaled(value, 1000, ["J", "kJ", "MJ", "GJ"]);
  function time(seconds) {
    const whole = Math.round(seconds), minutes = Math.round(seconds / 60);
    const clock = (all, unit) => [`${Math.floor(all / 60)}:${String(all % 60).padStart(2, "0")}`, unit];
    if (whole < 60) return [seconds < 9.995 ? String(+seconds.toFixed(2)) : String(whole), "s"];
    if (whole < 3600) return clock(whole, "min");
    if (minutes < 1440) return clock(minutes, "h");
    return [(seconds / 86400).toFixed(1), "days"];
  }
  const percent = (value) => [(100 * value).toFixed(2), "%"];
  const plain = (value) => [String(+value.toPrecision(5)), ""];
  const words = (pair) => pair.filter((part) => part !== "").join(" ");
  /* A page holds the newest lines of a file: "; 1,234 older rows are left out", or "". */
  const leftOut = (data, file) => (data.left_out?.[file] > 0 ? `; ${data.left_out[file].toLocaleString("en")} older rows are left out` : "");
  /* [least, most] of any number of values. */
  const extent = (values) => values.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, -Infinity]);
  return { make, leftOut, extent, scaled, bytes, count, energy, time, percent, plain, words };
})();
