"use strict";
// The run as the page holds it: columns from the JSON block, read through small functions.
const run = JSON.parse(document.getElementById("run").textContent);
const lost = run.failures;
const lostCount = lost.seq.length;
const LANES = { new: "new connections", reuse: "kept-alive connections", unknown: "connections not told apart" };
const SHAPES = {
  refused: "x", reset: "triangle", closed: "square", timeout: "diamond", bad_status: "circle",
  truncated: "inverted_triangle", unreachable: "cross", protocol: "star", bad_body: "hex", goaway: "asterisk",
};
const OWN_COLOUR = new Set(["refused", "reset", "closed", "timeout", "bad_status"]);

const word = (number) => run.words[number];
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const kindColour = (kind) => colour(OWN_COLOUR.has(kind) ? kind : "other");
const kindOf = (n) => word(lost.kind[n]);
const startOf = (n) => lost.start[n] / 1e6;
const failedAt = (n) => (lost.start[n] + (word(lost.stage[n]) === "connect" ? 0 : lost.end[n])) / 1e6;
const podsOf = (n) => lost.pods[n] || [];
const spoken = (kind) => kind.replaceAll("_", " ");
const seconds = (at) => `+${at.toFixed(3)} s`;
// The same bucket gives the same offset, so that a mark stays where it was.
const jitter = (n) => (((n * 7919) % 997) / 997 - 0.5) * 0.62;

function human(us) {
  if (us < 1000) return `${Math.round(us)} µs`;
  if (us < 1e6) return `${(us / 1000).toFixed(us < 10000 ? 2 : 0)} ms`;
  return `${(us / 1e6).toFixed(2)} s`;
}

function countWord(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

function indices(test) {
  const found = [];
  for (let n = 0; n < lostCount; n += 1) if (test(n)) found.push(n);
  return found;
}
