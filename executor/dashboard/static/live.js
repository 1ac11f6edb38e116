// A run as it happens. Texts are set as text, pictures are made element by element: nothing is parsed as a page.
const MOST_POINTS = 2000, MOST_TEXT = 400_000;
const SVG = "http://www.w3.org/2000/svg";
const at = (id) => document.querySelector(`#${id}`);
const make = (tag, props = {}, ...children) => {
  const one = Object.assign(document.createElement(tag), props);
  one.append(...children);
  return one;
};
const short = (value) => (value === null ? "not finite" : String(Number(value.toPrecision(6))));

const series = new Map();

function curveOf(name) {
  if (!series.has(name)) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("vector-effect", "non-scaling-stroke");
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "0 -3 320 102");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.append(path);
    const value = make("strong");
    const range = make("span"), steps = make("span");
    const figure = make("figure", { className: "curve" }, make("figcaption", {}, make("span", { className: "name", textContent: name }), " ", value), svg, make("p", {}, range, steps));
    at("curves").append(figure);
    series.set(name, { points: [], seen: 0, path, svg, value, range, steps });
  }
  return series.get(name);
}

function draw(name, added) {
  const one = curveOf(name);
  for (const [step, value] of added) one.points.push([step ?? one.seen, value]), (one.seen += 1);
  while (one.points.length > MOST_POINTS) one.points = one.points.filter((_, index) => index % 2 === 1);
  const finite = one.points.filter(([, value]) => value !== null);
  const values = finite.map(([, value]) => value), steps = one.points.map(([step]) => step);
  const [low, high] = [values.reduce((a, b) => Math.min(a, b), Infinity), values.reduce((a, b) => Math.max(a, b), -Infinity)];
  const [start, end] = [steps[0], steps[steps.length - 1]];
  const x = (step) => (end > start ? ((step - start) / (end - start)) * 320 : 160);
  const y = (value) => (high > low ? 96 - ((value - low) / (high - low)) * 96 : 48);
  one.path.setAttribute("d", finite.map(([step, value], index) => `${index ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join(" "));
  one.value.textContent = short(one.points[one.points.length - 1][1]);
  one.range.textContent = finite.length ? `${short(low)} … ${short(high)}` : "";
  one.steps.textContent = `steps ${start}–${end}`;
  one.svg.setAttribute("aria-label", `${name}, now ${one.value.textContent}`);
}

let text = "";
const lines = at("lines");
function log({ lines: more, rest }) {
  text = (text + more).slice(-MOST_TEXT);
  lines.textContent = text + rest;
  if (at("stay").checked) lines.scrollTop = lines.scrollHeight;
}

const size = (bytes) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
function gpu(all) {
  if (!at("gpu")) return;
  const rows = all.map((one) => make("div", { className: "gauge" },
    make("span", { textContent: `${one.index}: ${one.name}` }),
    make("span", { className: "muted", textContent: `${one.percent ?? "–"} % busy, ${size(one.memory_used)} of ${size(one.memory)}` }),
    make("meter", { min: 0, max: 100, value: one.percent ?? 0, ariaLabel: `GPU ${one.index} busy` })));
  at("gpu").replaceChildren(...(rows.length ? rows : [make("p", { className: "muted", textContent: "There is none." })]));
}

function trace(processes) {
  const parts = Object.entries(processes).flatMap(([name, one]) => [
    make("dt", { textContent: `process ${name}` }),
    make("dd", { textContent: one.steps ? `${one.steps} steps, parameters ${one.parameters}` : "no step has been written yet" })]);
  at("steps")?.replaceChildren(...(parts.length ? parts : [make("dt", { textContent: "No process takes steps yet." })]));
}

function state(word, kind) {
  at("state").textContent = word;
  at("state").className = `chip ${kind}`;
}

const source = new EventSource(document.querySelector("#live").dataset.events);
const on = (name, act) => source.addEventListener(name, (event) => act(JSON.parse(event.data)));
on("log", log);
on("metrics", (found) => {
  at("no-metrics").hidden = true;
  for (const [name, points] of Object.entries(found)) draw(name, points);
});
on("trace", trace);
on("gpu", gpu);
on("state", ({ held }) => (held ? state("running", "running") : state("nobody says that it still runs", "warn")));
on("problem", ({ text: said }) => state(said, "warn"));
on("end", ({ url, text: said }) => {
  source.close();
  state("ended", "");
  at("end").hidden = false;
  at("end").replaceChildren(`${said} `, make("a", { href: url, textContent: "See its result" }));
});
source.addEventListener("open", () => series.forEach((one) => Object.assign(one, { points: [], seen: 0 }))); // all come again
source.addEventListener("error", () => source.readyState !== EventSource.CLOSED && state("connecting again", "warn"));
