// Pictures by Vega-Lite. Its expressions are interpreted, never compiled: the policy of these pages forbids that.
// What is drawn comes as JSON, in the page or from an address; positions, thinning and smoothing are the server's.
const SAVED = 2; // pixels of a PNG for each of the picture's
const MOST_COLOURS = 10;

export const told = (id) => JSON.parse(document.getElementById(id)?.textContent ?? "null");

/** The colours of the page as they are now, by the names of its variables. */
function colours() {
  const probe = document.body.appendChild(document.createElement("i"));
  const found = (name) => ((probe.style.color = `var(--${name})`), getComputedStyle(probe).color);
  const names = ["ink", "muted", "line", "line-strong", "raised", "accent", "warn", "cold", "mild", "hot"];
  const all = Object.fromEntries(names.map((name) => [name, found(name)]));
  all.runs = Array.from({ length: MOST_COLOURS }, (_, at) => found(`c${at}`));
  probe.remove();
  return all;
}

function config(colour) {
  const font = getComputedStyle(document.body).fontFamily;
  const axis = { labelColor: colour.muted, titleColor: colour.muted, gridColor: colour.line, domainColor: colour["line-strong"],
    tickColor: colour["line-strong"], labelFontSize: 11.5, titleFontSize: 12, titleFontWeight: "normal", titlePadding: 8 };
  return { font, background: colour.raised, padding: 4, axis, view: { stroke: null }, legend: { labelColor: colour.muted, titleColor: colour.muted, titleFontWeight: "normal" } };
}

/** Each run in a colour of its own while they are few; of many, the colour is the final value of the metric. */
function strokes(finals, colour) {
  if (finals.length <= MOST_COLOURS) return colour.runs;
  const known = finals.filter((value) => value !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const shade = vega.interpolateColors([colour.cold, colour.mild, colour.hot], "lab");
  return finals.map((value) => (value === null ? colour.muted : shade((value - low) / (high - low || 1))));
}

const stroke = { field: "stroke", type: "nominal", scale: null, legend: null };

const hotLine = (colour, x, y, rest = {}) => ({
  data: { name: "hot", values: [] },
  mark: { type: "line", strokeWidth: 3, color: colour.ink, clip: true, ...rest },
  encoding: { x, y },
});

const DRAWN = {
  curves: {
    async data(figure) {
      const select = document.querySelector("[data-metrics]"); // of a page that stands alone: it holds all its curves
      if (select) return { ...told("curves"), ...told("series").metrics[select.value], metric: select.value };
      return { ...told("curves"), ...(await (await fetch(figure.dataset.src)).json()) };
    },
    height: (width) => (width < 560 ? 260 : 360),
    spec(data, colour) {
      const by = strokes(data.final, colour);
      const rows = data.curves.flatMap(({ run, x, y }) => x.map((at, i) => ({ run, x: at, y: data.log && !(y[i] > 0) ? null : y[i], stroke: by[run] })));
      const scale = data.log ? { type: "log" } : { zero: false };
      const finite = rows.filter((row) => row.y !== null);
      const invalid = finite.length < rows.length ? "break-paths-filter-domains" : null;
      const x = { field: "x", type: "quantitative", title: data.x, scale: { nice: false, domain: extent(finite, "x") }, axis: { grid: false, tickCount: 8 } };
      const y = { field: "y", type: "quantitative", title: null, scale: { ...scale, domain: extent(finite, "y") }, axis: { tickCount: 6, domain: false, ticks: false } };
      const many = data.final.length > MOST_COLOURS;
      const line = { type: "line", strokeWidth: many ? 1.1 : 1.7, opacity: many ? 0.75 : 1, strokeJoin: "round", clip: true, invalid };
      return { layer: [
        { data: { values: rows }, mark: line, encoding: { x, y, detail: { field: "run" }, color: stroke } },
        hotLine(colour, x, y, { invalid }),
        { data: { name: "spot", values: [] }, mark: { type: "point", filled: true, size: 70, opacity: 1, color: colour.ink }, encoding: { x, y } },
      ] };
    },
    nearest(data, view, [px, py]) {
      const [sx, sy] = [view.scale("x"), view.scale("y")];
      let best = { away: 40 };
      for (const curve of data.curves) {
        const i = near(curve.x, sx.invert(px));
        const away = curve.y[i] === null ? Infinity : Math.hypot((sx(curve.x[i]) - px) / 2, sy(curve.y[i]) - py);
        if (away < best.away) best = { away, run: curve.run, i, curve };
      }
      return best.curve && best;
    },
    light: (data, one) => ({ hot: rowsOf(data.curves.find(({ run }) => run === one.run)),
      spot: one.curve ? [{ x: one.curve.x[one.i], y: one.curve.y[one.i] }] : [] }),
    say: (data, one) => (one.curve ? [` ${data.metric} `, short(one.curve.y[one.i]), ` at ${data.x.split(",")[0]} `, short(one.curve.x[one.i])] : []),
  },

  parallel: {
    data: async () => told("parallel"),
    height: () => 320,
    least: (data) => 44 + 84 * data.axes.length,
    spec(data, colour) {
      const names = data.axes.map(({ name }, at) => `${at} ${name}`);
      const runs = data.axes[0].at.map((_, run) => run);
      const by = strokes(data.colour, colour);
      const rows = runs.flatMap((run) => data.axes.map((axis, at) => ({ run, axis: names[at], y: axis.at[run], stroke: by[run] })));
      const ticks = data.axes.flatMap((axis, at) => axis.ticks.map(([y, text]) => ({ axis: names[at], y, text })));
      const many = runs.length > MOST_COLOURS;
      const x = { field: "axis", type: "nominal", sort: names, title: null, scale: { type: "point", padding: 0.35 },
        axis: { orient: "top", labelAngle: 0, labelColor: colour.ink, labelExpr: "slice(datum.label, indexof(datum.label, ' ') + 1)", labelLimit: 130, domain: false, ticks: false, grid: true, gridColor: colour["line-strong"], labelPadding: 10 } };
      const y = { field: "y", type: "quantitative", scale: { domain: [0, 1], padding: 6 }, axis: null };
      const words = (mark) => ({ data: { values: ticks }, mark: { type: "text", align: "left", dx: 6, fontSize: 11, baseline: "middle", limit: 96, ...mark }, encoding: { x, y, text: { field: "text" } } });
      return { layer: [
        { data: { values: rows }, mark: { type: "line", strokeWidth: many ? 1.1 : 1.8, opacity: many ? 0.7 : 1, strokeJoin: "round" },
          encoding: { x, y, detail: { field: "run" }, color: stroke } },
        hotLine(colour, x, y),
        words({ stroke: colour.raised, strokeWidth: 5, strokeJoin: "round" }),
        words({ color: colour.ink }),
      ] };
    },
    nearest(data, view, [px, py]) {
      const [sx, sy] = [view.scale("x"), view.scale("y")];
      const xs = data.axes.map(({ name }, at) => sx(`${at} ${name}`));
      const left = Math.min(Math.max(xs.findLastIndex((at) => at <= px), 0), xs.length - 2);
      const share = Math.min(Math.max((px - xs[left]) / (xs[left + 1] - xs[left]), 0), 1);
      let best = { away: 30 };
      data.axes[left].at.forEach((from, run) => {
        const away = Math.abs(sy(from + share * (data.axes[left + 1].at[run] - from)) - py);
        if (away < best.away) best = { away, run };
      });
      return best.run !== undefined && best;
    },
    light: (data, one) => ({ hot: data.axes.map((axis, at) => ({ axis: `${at} ${axis.name}`, y: axis.at[one.run] })) }),
    say: (data, one) => data.axes.flatMap((axis, at) => [at ? ", " : " ", axis.texts[one.run], ` ${axis.name}`]),
  },

  importance: {
    data: async () => told("importance"),
    height: (_, data) => 56 + 34 * data.length,
    spec(data, colour) {
      const y = { field: "name", type: "nominal", sort: data.map(({ name }) => name), title: null, axis: { domain: false, ticks: false, labelColor: colour.ink, labelLimit: 150, labelPadding: 8 } };
      const x = (field, more = {}) => ({ field, type: "quantitative", title: "share of the variance", axis: { tickCount: 6 }, ...more });
      const dot = (field, shape, color) => ({ mark: { type: "point", shape, size: 60, color, strokeWidth: 2, opacity: 1 }, encoding: { y, x: x(field) } });
      return { data: { values: data }, layer: [
        { mark: { type: "bar", color: colour.accent, opacity: 0.85, cornerRadiusEnd: 3, height: { band: 0.5 } }, encoding: { y, x: x("total", { scale: { domainMin: 0 } }) } },
        { mark: { type: "rule", color: colour.ink, strokeWidth: 1.5 }, encoding: { y, x: x("low"), x2: { field: "high" } } },
        dot("alone", "diamond", colour.warn), dot("impurity", "circle", colour.muted),
      ] };
    },
  },
};

const rowsOf = (curve) => (curve ? curve.x.map((x, i) => ({ x, y: curve.y[i] })) : []);
const short = (value) => (value === null ? "no number" : String(Number(value.toPrecision(6))));

function extent(rows, field) {
  let [low, high] = [Infinity, -Infinity];
  for (const { [field]: value } of rows) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return low <= high ? (low === high ? [low - 0.5, high + 0.5] : [low, high]) : [0, 1];
}

/** Where in ascending numbers the one nearest to `wanted` stands. */
function near(numbers, wanted) {
  let [low, high] = [0, numbers.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low > 0 && wanted - numbers[low - 1] < numbers[low] - wanted ? low - 1 : low;
}

class Picture {
  constructor(figure) {
    this.figure = figure;
    this.kind = DRAWN[figure.dataset.chart];
    this.host = figure.querySelector(".picture");
    this.readout = figure.querySelector(".readout");
    this.names = told("names") ?? [];
    for (const button of figure.querySelectorAll("[data-save]")) button.addEventListener("click", () => this.save(button.dataset.save));
    if (this.kind.nearest) this.listen();
    new ResizeObserver(() => this.data && this.host.clientWidth !== this.width && this.draw()).observe(this.host);
  }

  async load() {
    try {
      this.data = await this.kind.data(this.figure);
      this.lit = undefined;
      await this.draw();
      this.readout.textContent = (this.data.problems ?? []).join("; ") || (this.kind.nearest ? this.hint() : "");
    } catch (error) {
      this.readout.textContent = `This picture cannot be drawn: ${error.message}`;
    }
  }

  hint() {
    return this.names.length > MOST_COLOURS ? "The warmer the colour, the higher the final value. Point at a line, or use the arrow keys." : "Point at a line, or use the arrow keys.";
  }

  async draw() {
    const colour = colours();
    this.width = this.host.clientWidth;
    const width = Math.max(this.width, this.kind.least?.(this.data) ?? 0);
    const spec = { $schema: "https://vega.github.io/schema/vega-lite/v6.json", width, height: this.kind.height(this.width, this.data),
      autosize: { type: "fit", contains: "padding" }, ...this.kind.spec(this.data, colour) };
    const compiled = vegaLite.compile(spec, { config: config(colour) }).spec;
    const view = new vega.View(vega.parse(compiled, null, { ast: true }), { expr: vegaInterpreter.expressionInterpreter, renderer: "svg", hover: false, tooltip: () => {} });
    this.view?.finalize();
    this.view = view;
    this.host.replaceChildren();
    await view.initialize(this.host).runAsync();
    this.host.querySelector("svg")?.setAttribute("aria-hidden", "true");
    if (this.lit) this.show(this.lit);
  }

  listen() {
    this.host.addEventListener("pointermove", (event) => {
      if (!this.view) return;
      const [box, origin] = [this.host.querySelector("svg").getBoundingClientRect(), this.view.origin()];
      const one = this.kind.nearest(this.data, this.view, [event.clientX - box.left - origin[0], event.clientY - box.top - origin[1]]);
      if (one) light(one, this);
    });
    this.host.addEventListener("keydown", (event) => {
      const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
      if (!by || !this.names.length) return;
      event.preventDefault();
      light({ run: ((this.lit?.run ?? (by > 0 ? -1 : 0)) + by + this.names.length) % this.names.length }, this);
    });
  }

  show(one) {
    this.lit = one;
    for (const [name, rows] of Object.entries({ spot: [], ...this.kind.light(this.data, one) })) {
      if (name !== "spot" || this.figure.dataset.chart === "curves") this.view.change(name, vega.changeset().remove(() => true).insert(rows));
    }
    this.view.runAsync();
  }

  say(one) {
    const { id, about } = this.names[one.run];
    const bold = document.createElement("b");
    bold.textContent = id;
    const said = this.kind.say(this.data, one).join("");
    this.readout.replaceChildren(bold, this.figure.dataset.chart === "curves" && about ? `${said} · ${about}` : said);
  }

  async save(kind) {
    const name = `${this.figure.dataset.chart}.${kind}`;
    if (kind === "svg") return give(name, new Blob([await this.view.toSVG()], { type: "image/svg+xml" }));
    (await this.view.toCanvas(SAVED)).toBlob((blob) => give(name, blob), "image/png");
  }
}

function give(name, blob) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** One run is lit in every picture, and told under the one that was pointed at. */
function light(one, from) {
  for (const picture of pictures) {
    if (picture.view && picture.kind.light && (picture === from || picture.lit?.run !== one.run)) picture.show(picture === from ? one : { run: one.run });
  }
  from.say(one);
}

export const pictures = [...document.querySelectorAll("[data-chart]")].map((figure) => new Picture(figure));
const redraw = () => pictures.forEach((picture) => picture.data && picture.draw());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
document.querySelector("[data-metrics]")?.addEventListener("change", () => pictures[0].load());
await Promise.all(pictures.map((picture) => picture.load()));
