"use strict";
// Draws the timeline with BokehJS. It knows no page: `show` marks failures and pods, `onPick` tells what was clicked.
const picture = {
  range: null, sources: [], halos: [], podSource: null, view: null, picks: null, onPick: () => {}, onPod: () => {}, quiet: false,

  async draw(target) {
    const kept = this.range && [this.range.start, this.range.end];
    if (this.view) this.view.remove();
    target.replaceChildren();
    this.sources = [];
    this.halos = [];
    const pad = run.end * 0.01;
    this.range = new Bokeh.Range1d({ start: kept ? kept[0] : -pad, end: kept ? kept[1] : run.end + pad, bounds: [-pad, run.end + pad], min_interval: 0.01 });
    this.narrow = target.clientWidth < 620;
    const figures = [this.requests(), ...(lostCount ? [this.losses()] : []), this.times()];
    if (run.pods.length) figures.push(this.pods());
    figures[figures.length - 1].below[0].visible = true;
    const column = new Bokeh.Column({ children: figures, sizing_mode: "stretch_width", spacing: 4 });
    this.view = await Bokeh.Plotting.show(column, target);
  },

  figure(title, height, yRange, hoverless = false) {
    const ink = colour("quiet"), line = colour("line");
    const figure = Bokeh.Plotting.figure({
      height, x_range: this.range, sizing_mode: "stretch_width", toolbar_location: null, tools: [],
      min_border_left: this.narrow ? 74 : 150, min_border_right: 14, min_border_top: 2, min_border_bottom: 6,
      background_fill_color: null, border_fill_color: null, outline_line_color: line,
      ...(yRange ? { y_range: yRange } : {}), ...(title.log ? { y_axis_type: "log" } : {}),
    });
    figure.title = new Bokeh.Title({ text: title.text, text_color: colour("text"), text_font_size: "13px", text_font_style: "bold" });
    for (const axis of [...figure.below, ...figure.left]) {
      Object.assign(axis, { axis_line_color: line, major_tick_line_color: line, minor_tick_line_color: null, major_label_text_color: ink, axis_label_text_color: ink, major_label_text_font_size: "12px", axis_label_text_font_style: "normal" });
    }
    for (const grid of figure.center) Object.assign(grid, { grid_line_color: line, grid_line_alpha: 0.5 });
    const axis = figure.below[0];
    axis.visible = false;
    axis.axis_label = this.narrow ? "seconds" : "seconds from the start of the load";
    figure.add_tools(new Bokeh.PanTool({ dimensions: "width" }), new Bokeh.WheelZoomTool({ dimensions: "width", modifiers: { ctrl: true } }), new Bokeh.TapTool());
    this.bands(figure);
    return figure;
  },

  bands(figure) {
    for (const [name, start, end, completed] of run.bands) {
      figure.add_layout(new Bokeh.BoxAnnotation({ left: start, right: end === null ? run.end : end, fill_color: colour("band"), fill_alpha: 0.07, line_color: colour("band"), line_alpha: 0.5, line_dash: completed ? "solid" : "dashed", level: "underlay" }));
    }
    for (const [start, end] of run.stalls) {
      figure.add_layout(new Bokeh.BoxAnnotation({ left: start, right: end, fill_color: colour("stall"), fill_alpha: 0.25, line_color: null, level: "underlay" }));
    }
  },

  bandNames(figure, top) {
    for (const [name, start, end, completed] of run.bands) {
      const text = `${run.disruption} ${name}${completed ? "" : " (not seen to complete)"}`;
      const late = start > run.end * 0.75; // its words would run out of the picture: they stand before it
      figure.add_layout(new Bokeh.Label({ x: start, y: top, text, text_font_size: "11px", text_color: colour("band"), text_baseline: "top", text_align: late ? "right" : "left", x_offset: late ? -4 : 4, y_offset: -2 }));
    }
  },

  requests() {
    const lanes = Object.keys(run.answered);
    const x = run.p50.map((_, n) => n * run.bin);
    const edges = (values) => [...values, values[values.length - 1]];
    const widths = x.map((at) => Math.max(Math.min(run.bin, run.end - at), run.bin / 10)); // the last bin may be shorter
    const total = x.map((_, n) => lanes.reduce((sum, lane) => sum + run.answered[lane][n], 0) / widths[n]);
    const top = Math.max(1, ...total) * 1.18;
    const figure = this.figure({ text: "Requests answered per second" }, 140, new Bokeh.Range1d({ start: 0, end: top }));
    let floor = x.map(() => 0);
    for (const lane of lanes) {
      const ceiling = floor.map((low, n) => low + run.answered[lane][n] / widths[n]);
      figure.varea_step({ x: [...x, run.end], y1: edges(floor), y2: edges(ceiling), step_mode: "after", fill_color: colour(`answered-${lane}`) });
      floor = ceiling;
    }
    this.bandNames(figure, top);
    return figure;
  },

  marks(figure, rows) {
    // One glyph renderer a kind: a shape and a colour of its own. Candidates are drawn hollow.
    const renderers = [];
    const dim = rows.length > 800 ? 0.02 : 0.15;
    const size = rows.length > 4000 ? 5 : rows.length > 800 ? 7 : 9;
    for (const kind of new Set(rows.map((row) => kindOf(row.n)))) {
      // The last row is nobody's and invisible: selected, it dims the others where nothing of a source is wanted.
      const own = [...rows.filter((row) => kindOf(row.n) === kind), { n: -1, x: NaN, y: NaN, sure: true }];
      const source = new Bokeh.ColumnDataSource({ data: {
        x: own.map((row) => row.x), y: own.map((row) => row.y), n: own.map((row) => row.n), fill: own.map((row) => (row.sure ? 0.75 : 0)),
        seq: own.map((row) => String(lost.seq[row.n] ?? "")), at: own.map((row) => seconds(startOf(row.n))),
        how: own.map((row) => `${spoken(kind)} at ${word(lost.stage[row.n]) ?? ""}`), code: own.map((row) => (run.findings[lost.finding[row.n]] || { code: "" }).code),
        who: own.map((row) => podsOf(row.n).map((pod) => run.pods[pod].name).slice(0, 4).join(" or ") || "no pod"),
      } });
      const ink = kindColour(kind);
      renderers.push(figure.scatter({ field: "x" }, { field: "y" }, { source, marker: SHAPES[kind] || "circle", size, line_color: ink, line_width: size / 6, fill_color: ink, fill_alpha: { field: "fill" }, line_alpha: 0.9, nonselection_line_alpha: dim, nonselection_fill_alpha: dim / 3, nonselection_line_color: colour("quiet"), nonselection_fill_color: colour("quiet"), selection_line_alpha: 1, selection_fill_alpha: 0.9 }));
      source.selected.connect(source.selected.properties.indices.change, () => this.picked(source, "request"));
      this.sources.push(source);
    }
    const places = new Map();
    for (const row of rows) places.set(row.n, [...(places.get(row.n) || []), row]);
    const halo = new Bokeh.ColumnDataSource({ data: { x: [], y: [] } });
    figure.scatter({ field: "x" }, { field: "y" }, { source: halo, marker: "circle", size: 20, fill_color: null, line_color: colour("text"), line_width: 2.5 });
    this.halos.push((n) => { const own = places.get(n) || []; halo.data = { x: own.map((row) => row.x), y: own.map((row) => row.y) }; });
    figure.add_tools(new Bokeh.HoverTool({ renderers, point_policy: "snap_to_data", limit: 4, tooltips: [["request", "@seq at @at"], ["lost", "@how"], ["pod", "@who"], ["cause", "@code"]] }));
    return renderers;
  },

  // One click changes several sources, in no fixed order: wait for all of them, then a request goes before a pod.
  picked(source, what) {
    if (this.quiet) return;
    const [first] = source.selected.indices;
    const n = first === undefined ? -1 : source.data.n[first];
    if (!this.picks) {
      this.picks = {};
      setTimeout(() => {
        const { request, pod } = this.picks;
        this.picks = null;
        if (request !== undefined) this.onPick(request);
        else if (pod !== undefined) this.onPod(pod);
        else this.onPick(null);
      }, 0);
    }
    if (n >= 0) this.picks[what] ??= n;
  },

  losses() {
    const lanes = Object.keys(run.lost);
    const figure = this.figure({ text: this.narrow ? "Requests lost" : "Requests lost, by kind of connection" }, 56 + 44 * lanes.length, new Bokeh.Range1d({ start: -0.5, end: lanes.length - 0.5 }));
    this.rowNames(figure, lanes.map((lane) => (this.narrow ? lane : LANES[lane] || lane)));
    this.marks(figure, indices(() => true).map((n) => ({ n, x: startOf(n), y: lanes.indexOf(word(lost.lane[n])) + jitter(n), sure: true })));
    return figure;
  },

  times() {
    const known = run.p50.map((_, n) => n).filter((n) => run.p50[n] !== null);
    const slow = run.slow;
    const values = [...known.map((n) => run.p50[n]), ...known.map((n) => run.p99[n]), ...slow.map((each) => each[1])].filter((each) => each > 0);
    const low = values.length ? Math.min(...values) * 0.8 : 1, high = values.length ? Math.max(...values) * 1.25 : 10;
    const figure = this.figure({ text: this.narrow ? "Response time, ms (p50, p99)" : "Response time of answered requests, ms (p50, p99, single slow ones)", log: true }, 150, new Bokeh.Range1d({ start: low, end: high }));
    const ticks = [-3, -2, -1, 0, 1, 2, 3, 4, 5].flatMap((power) => [1, 2, 5].map((step) => step * 10 ** power)).filter((tick) => tick >= low && tick <= high);
    figure.left[0].ticker = new Bokeh.FixedTicker({ ticks: ticks.length > 7 ? ticks.filter((tick) => Number.isInteger(Math.log10(tick))) : ticks });
    figure.left[0].formatter = new Bokeh.NumeralTickFormatter({ format: "0,0.[00]" });
    const x = known.map((n) => (n + 0.5) * run.bin), p50 = known.map((n) => run.p50[n]), p99 = known.map((n) => run.p99[n]);
    figure.varea({ x, y1: p50, y2: p99, fill_color: colour("p99"), fill_alpha: 0.45 });
    figure.line({ x, y: p99, line_color: colour("p99"), line_width: 1.5 });
    const middle = figure.line({ x, y: p50, line_color: colour("p50"), line_width: 2 });
    const source = new Bokeh.ColumnDataSource({ data: { x: slow.map((each) => each[0]), y: slow.map((each) => each[1]), seq: slow.map((each) => String(each[2])), lane: slow.map((each) => LANES[each[3]] || each[3]), pod: slow.map((each) => each[4]), took: slow.map((each) => human(each[1] * 1000)) } });
    const dots = figure.scatter({ field: "x" }, { field: "y" }, { source, size: 4, line_color: null, fill_color: colour("slow"), fill_alpha: 0.7 });
    figure.add_tools(new Bokeh.HoverTool({ renderers: [dots], limit: 3, tooltips: [["request", "@seq"], ["took", "@took"], ["on", "@lane"], ["pod", "@pod"]] }));
    return figure;
  },

  rowNames(figure, names) {
    const axis = figure.left[0];
    axis.ticker = new Bokeh.FixedTicker({ ticks: names.map((_, n) => n) });
    axis.major_label_overrides = new Map(names.map((name, n) => [n, name]));
    for (const grid of figure.center) if (grid.dimension === 1) grid.grid_line_color = null;
  },

  pods() {
    const count = run.pods.length;
    const y = (pod) => count - 1 - pod;
    const figure = this.figure({ text: this.narrow ? "Pods" : "Pods, from their creation to their end" }, 64 + 26 * count, new Bokeh.Range1d({ start: -0.6, end: count - 0.4 }));
    const most = this.narrow ? 9 : 20;
    const names = run.pods.map((pod) => (pod.name.length > most ? `…${pod.name.slice(1 - most)}` : pod.name)).reverse();
    this.rowNames(figure, names);
    const bars = run.pods.flatMap((pod, n) => pod.phases.map(([name, from, to]) => ({ n, pod: pod.name, name, from: Math.max(from, -run.end), to })));
    bars.push({ n: -1, pod: "", name: "ready", from: NaN, to: NaN });
    this.podSource = new Bokeh.ColumnDataSource({ data: {
      y: bars.map((bar) => y(bar.n)), left: bars.map((bar) => bar.from), right: bars.map((bar) => bar.to), n: bars.map((bar) => bar.n),
      fill: bars.map((bar) => colour(bar.name)), pod: bars.map((bar) => bar.pod), name: bars.map((bar) => bar.name), lasted: bars.map((bar) => human((bar.to - bar.from) * 1e6)),
    } });
    const bar = figure.hbar({ y: { field: "y" }, left: { field: "left" }, right: { field: "right" }, height: 0.62, source: this.podSource, fill_color: { field: "fill" }, line_color: null, nonselection_fill_alpha: 0.25 });
    this.podSource.selected.connect(this.podSource.selected.properties.indices.change, () => this.picked(this.podSource, "pod"));
    const hover = [[bar], [["pod", "@pod"], ["", "@name for @lasted"]]];
    this.moments(figure, y);
    const rows = indices((n) => podsOf(n).length > 0 && podsOf(n).length <= 4).flatMap((n) => podsOf(n).map((pod) => ({ n, x: failedAt(n), y: y(pod) + jitter(n), sure: podsOf(n).length === 1 })));
    if (rows.length) this.marks(figure, rows.slice(0, 40000));
    figure.add_tools(new Bokeh.HoverTool({ renderers: hover[0], tooltips: hover[1] }));
    return figure;
  },

  moments(figure, y) {
    const signs = { deletion_requested: "inverted_triangle", endpoint_not_ready: "dash", stop_signal: "triangle_pin", listener_closed: "square_pin", exited: "square", killed: "x" };
    for (const [milestone, marker] of Object.entries(signs)) {
      const found = run.pods.flatMap((pod, n) => pod.marks.filter((mark) => mark[0] === milestone).map((mark) => ({ n, pod: pod.name, at: mark[1], words: mark[2] })));
      if (!found.length) continue;
      const source = new Bokeh.ColumnDataSource({ data: { x: found.map((each) => each.at), y: found.map((each) => y(each.n)), pod: found.map((each) => each.pod), at: found.map((each) => seconds(each.at)), words: found.map((each) => each.words) } });
      const renderer = figure.scatter({ field: "x" }, { field: "y" }, { source, marker, size: milestone === "killed" ? 12 : 7, line_color: colour(milestone === "killed" ? "bad" : "text"), line_width: milestone === "killed" ? 3 : 1, fill_color: colour(milestone === "exited" ? "text" : "card"), angle: milestone === "endpoint_not_ready" ? Math.PI / 2 : 0 });
      figure.add_tools(new Bokeh.HoverTool({ renderers: [renderer], limit: 3, tooltips: [["pod", "@pod"], [spoken(milestone), "@at"], ["", "@words"]] }));
    }
  },

  // Marks these failures and pods; null lights everything again.
  show(failures, pods) {
    const wanted = failures && new Set(failures), rows = pods && new Set(pods);
    this.quiet = true;
    const select = (source, set) => {
      const found = set ? source.data.n.flatMap((n, place) => (set.has(n) ? [place] : [])) : [];
      source.selected.indices = set && !found.length ? [source.data.n.length - 1] : found;
    };
    for (const source of this.sources) select(source, wanted);
    if (this.podSource) select(this.podSource, rows);
    for (const put of this.halos) put(wanted && wanted.size === 1 ? failures[0] : -1);
    this.quiet = false;
  },

  shown() {
    const found = new Set();
    for (const source of this.sources) for (const place of source.selected.indices) if (source.data.n[place] >= 0) found.add(source.data.n[place]);
    return [...found].sort((a, b) => a - b);
  },

  move(share) {
    const width = this.range.end - this.range.start;
    const pad = run.end * 0.01;
    const start = Math.min(Math.max(this.range.start + share * width, -pad), run.end + pad - width);
    this.range.setv({ start, end: start + width });
  },

  zoom(factor, around = (this.range.start + this.range.end) / 2) {
    const pad = run.end * 0.01;
    const start = Math.max(around - (around - this.range.start) * factor, -pad);
    const end = Math.min(around + (this.range.end - around) * factor, run.end + pad);
    if (end - start > 0.01) this.range.setv({ start, end });
  },

  frame(from, to) {
    const room = Math.max((to - from) * 0.25, 0.25), pad = run.end * 0.01;
    this.range.setv({ start: Math.max(from - room, -pad), end: Math.min(to + room, run.end + pad) });
  },

  whole() {
    const pad = run.end * 0.01;
    this.range.setv({ start: -pad, end: run.end + pad });
  },
};
