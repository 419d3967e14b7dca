"use strict";
// The page: selecting a finding, a request or a pod lights it everywhere; everything works from the keyboard.
const by = (id) => document.getElementById(id);
const PAGE = 50;
const chosen = { finding: null, request: null, from: 0 };

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function chooseFinding(number) {
  chosen.finding = chosen.finding === number ? null : number;
  chosen.request = null;
  chosen.from = 0;
  refresh();
  const mine = listed();
  if (chosen.finding !== null && mine.length) {
    let from = Infinity, to = -Infinity;
    for (const n of mine) { from = Math.min(from, startOf(n)); to = Math.max(to, failedAt(n)); }
    picture.frame(from, to);
    by("timeline").scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  } else {
    picture.whole();
  }
  if (chosen.finding !== null) {
    const finding = run.findings[chosen.finding];
    say(`${finding.code} ${finding.slug}: ${countWord(mine.length, "request")} and ${countWord(finding.pods.length, "pod")} lit in the timeline.`);
  } else say("Everything is lit again.");
}

function chooseRequest(n) {
  chosen.request = n;
  refresh();
  if (n !== null) detail(n);
}

function clear() {
  chosen.finding = null; chosen.request = null; chosen.from = 0;
  refresh();
  say("Nothing is selected. Select a finding, a mark or a row of the table.");
}

function listed() {
  return chosen.finding === null ? indices(() => true) : indices((n) => lost.finding[n] === chosen.finding);
}

function refresh() {
  for (const button of document.querySelectorAll("button[data-finding]")) {
    const mine = Number(button.dataset.finding) === chosen.finding;
    button.setAttribute("aria-pressed", String(mine));
    button.closest(".finding").classList.toggle("lit", mine);
  }
  light();
  table();
}

function light() {
  if (!picture.range) return;
  if (chosen.request !== null) picture.show([chosen.request], podsOf(chosen.request));
  else if (chosen.finding !== null) picture.show(listed(), run.findings[chosen.finding].pods);
  else picture.show(null, null);
}

function say(text) {
  by("detail").replaceChildren(element("p", text));
}

function detail(n) {
  const box = by("detail");
  const start = lost.start[n];
  const finding = run.findings[lost.finding[n]];
  const pods = podsOf(n).map((pod) => run.pods[pod].name);
  const after = (value) => (value === null ? "never" : `after ${human(value)}`);
  const facts = [
    ["intended start", seconds(start / 1e6)], ["actual start (the delay is ours)", lost.actual[n] === null ? "never" : `${human(lost.actual[n])} later`],
    ["connected", after(lost.connected[n])], ["sent", after(lost.sent[n])], ["first byte of an answer", after(lost.first[n])], ["lost", after(lost.end[n])],
    ["connection", lost.connection[n] ? `number ${lost.connection[n]}, request ${lost.nth[n]} on it${lost.idle[n] ? `, idle for ${human(lost.idle[n])}` : ""}` : "none was made"],
    ["from port, to", `${lost.port[n] || "–"} → ${word(lost.peer[n]) || "–"}`],
    ["status, bytes", `${lost.status[n] || "none"}, ${lost.size[n]}`],
    [pods.length > 1 ? "one of these pods" : "pod", `${pods.slice(0, 8).join(", ") || "none"}${pods.length > 8 ? ` and ${pods.length - 8} more` : ""}${word(lost.moment[n]) ? `, ${word(lost.moment[n])}` : ""} (known by: ${word(lost.tie[n])})`],
    ["system's word", `${lost.errno[n] ? `errno ${lost.errno[n]} ` : ""}${word(lost.detail[n])}` || "–"],
    ["cause", `${finding ? `${finding.code} ${finding.slug}: ` : ""}${word(lost.because[n])}`],
  ];
  const list = element("dl");
  for (const [name, value] of facts) {
    const pair = element("div", null, name === "cause" ? { class: "wide" } : {});
    pair.append(element("dt", name), element("dd", value));
    list.append(pair);
  }
  const head = element("h3", `Request ${lost.seq[n]}: ${spoken(kindOf(n))} at ${word(lost.stage[n])}, on ${LANES[word(lost.lane[n])] || word(lost.lane[n])}`);
  box.replaceChildren(head, list);
}

function table() {
  const body = by("lost-rows");
  if (!body) return;
  const rows = listed();
  chosen.from = Math.min(chosen.from, Math.max(0, Math.floor((rows.length - 1) / PAGE) * PAGE));
  const shown = rows.slice(chosen.from, chosen.from + PAGE);
  body.replaceChildren(...shown.map((n) => {
    const row = element("tr", null, n === chosen.request ? { class: "lit" } : {});
    const cell = element("td");
    const button = element("button", String(lost.seq[n]), { type: "button", "aria-pressed": String(n === chosen.request), "aria-label": `request ${lost.seq[n]}: show all of it` });
    button.addEventListener("click", () => chooseRequest(n));
    cell.append(button);
    const finding = run.findings[lost.finding[n]];
    const pods = podsOf(n).map((pod) => run.pods[pod].name);
    row.append(cell, element("td", seconds(startOf(n)), { class: "n" }), element("td", LANES[word(lost.lane[n])] || word(lost.lane[n])), element("td", `${spoken(kindOf(n))} at ${word(lost.stage[n])}`), element("td", human(lost.end[n]), { class: "n" }), element("td", pods.length > 2 ? `one of ${pods.length}` : pods.join(" or ") || "none", pods.join(" or ").length <= 24 ? { class: "short" } : {}), element("td", word(lost.moment[n])), element("td", finding ? finding.code : ""));
    return row;
  }));
  by("lost-where").textContent = rows.length ? `${chosen.from + 1} to ${chosen.from + shown.length} of ${rows.length.toLocaleString("en")}${chosen.finding === null ? "" : ` of ${run.findings[chosen.finding].code}`}` : "none";
  by("lost-before").disabled = chosen.from === 0;
  by("lost-after").disabled = chosen.from + PAGE >= rows.length;
}

function step(by_) {
  const rows = listed();
  if (!rows.length) return;
  const place = chosen.request === null ? (by_ > 0 ? -1 : 0) : rows.indexOf(chosen.request);
  const next = rows[(place + by_ + rows.length) % rows.length];
  chosen.from = Math.floor(rows.indexOf(next) / PAGE) * PAGE;
  chooseRequest(next);
  const at = failedAt(next);
  if (at < picture.range.start || at > picture.range.end) picture.frame(at - 1, at + 1);
}

const KEYS = {
  ArrowLeft: () => picture.move(-0.2), ArrowRight: () => picture.move(0.2), "+": () => picture.zoom(0.5), "=": () => picture.zoom(0.5),
  "-": () => picture.zoom(2), 0: () => picture.whole(), Home: () => picture.whole(), n: () => step(1), p: () => step(-1), Escape: clear,
};

function legend() {
  const list = by("legend");
  const marks = { x: "M2 2L10 10M10 2L2 10", triangle: "M6 1L11 11H1Z", square: "M1.5 1.5H10.5V10.5H1.5Z", diamond: "M6 0L12 6L6 12L0 6Z", circle: "M6 1A5 5 0 1 1 5.9 1Z", inverted_triangle: "M6 11L11 1H1Z", cross: "M6 0V12M0 6H12", star: "M6 0L8 4L12 5L9 8L10 12L6 10L2 12L3 8L0 5L4 4Z", hex: "M3 1H9L12 6L9 11H3L0 6Z", asterisk: "M6 0V12M0 6H12M2 2L10 10M10 2L2 10" };
  const items = [];
  for (const kind of new Set(indices(() => true).map(kindOf))) {
    const item = element("li");
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("width", "12"); svg.setAttribute("height", "12"); svg.setAttribute("aria-hidden", "true");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", marks[SHAPES[kind]] || marks.circle);
    path.style.cssText = `stroke:${kindColour(kind)};fill:${kindColour(kind)};fill-opacity:.6;stroke-width:1.5`;
    svg.append(path);
    item.append(svg, `lost: ${spoken(kind)}`);
    items.push(item);
  }
  for (const [name, text] of [["answered-new", "answered, new connections"], ["answered-reuse", "answered, kept-alive connections"], ["answered-unknown", "answered, connections not told apart"], ["starting", "pod starting"], ["ready", "ready"], ["leaving", "deletion requested, stop signal not yet sent"], ["stopping", "stopping"], ["stall", "lameduck itself stood still"]]) {
    if (name === "stall" && !run.stalls.length) continue;
    if (name.startsWith("answered-") && !(name.slice(9) in run.answered)) continue;
    const item = element("li"), swatch = element("span", null, { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = `var(--${name})`;
    item.append(swatch, text);
    items.push(item);
  }
  items.push(element("li", "▼ deletion requested   | endpoint not ready   ▲ stop signal   ■ exited   ✖ killed"));
  if (lostCount && indices((n) => podsOf(n).length > 1).length) items.push(element("li", "hollow: the pod is one of several candidates"));
  list.replaceChildren(...items);
}

async function theme(name) {
  document.documentElement.dataset.theme = name;
  by("theme").setAttribute("aria-pressed", String(name === "dark"));
  legend();
  await picture.draw(by("picture"));
  light();
  document.documentElement.dataset.drawn = String(Number(document.documentElement.dataset.drawn || 0) + 1);
}

function copyButtons() {
  for (const code of document.querySelectorAll(".copyable")) {
    const button = element("button", "Copy", { type: "button" });
    button.addEventListener("click", async () => {
      try { await navigator.clipboard.writeText(code.querySelector("pre").textContent); button.textContent = "Copied"; } catch { getSelection().selectAllChildren(code.querySelector("pre")); button.textContent = "Selected"; }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    code.append(button);
  }
}

async function begin() {
  for (const button of document.querySelectorAll("button[data-finding]")) button.addEventListener("click", () => chooseFinding(Number(button.dataset.finding)));
  for (const button of document.querySelectorAll("button[data-do]")) button.addEventListener("click", () => KEYS[button.dataset.do]());
  by("picture").addEventListener("keydown", (event) => {
    const act = KEYS[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") clear(); });
  by("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  if (by("lost-before")) {
    by("lost-before").addEventListener("click", () => { chosen.from -= PAGE; table(); });
    by("lost-after").addEventListener("click", () => { chosen.from += PAGE; table(); });
  }
  addEventListener("beforeprint", () => {
    // The canvases keep their size; 680 px is what A4 and Letter have between usual margins.
    document.documentElement.style.setProperty("--print-zoom", String(Math.min(1, 680 / by("picture").clientWidth)));
    for (const each of document.querySelectorAll("details")) each.open = true;
  });
  picture.onPick = (n) => (n === null ? clear() : chooseRequest(n));
  picture.onPod = (pod) => { picture.show([], [pod]); say(`Pod ${run.pods[pod].name}: ${run.pods[pod].marks.map((mark) => `${spoken(mark[0])} ${seconds(mark[1])}`).join(", ")}`); };
  copyButtons();
  table();
  Bokeh.set_log_level("error");
  const asked = matchMedia("(prefers-color-scheme: dark)");
  await theme(asked.matches ? "dark" : "light");
  asked.addEventListener("change", (event) => theme(event.matches ? "dark" : "light"));
  document.documentElement.dataset.ready = "yes";
}
begin();
