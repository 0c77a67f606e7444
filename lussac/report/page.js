"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
// Okabe and Ito's palette, told apart with any colour vision; its black is left to the text
const PALETTE = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442"];
const UNITS = { firing_rate: "Hz", contamination: "0 to 1", mean_agreement: "0 to 1", confidence: "0 to 1", amplitude: "µV", peak_to_peak: "µV" };
const ROWS_AT_ONCE = 200, SHORT = 8;

// ---- small helpers: text only ever enters the page as text ----
const section = name => document.getElementById(name);
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children.filter(child => child !== null && child !== undefined));
  return element;
}
const isNumber = value => typeof value === "number";
function shown(value) {
  if (value === null || value === undefined || value === "") return "–";
  if (isNumber(value)) return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
  if (Array.isArray(value)) return value.every(item => item && item.sorting !== undefined) ? value.map(nameOf).join(", ") : JSON.stringify(value);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
const nameOf = unit => `${unit.sorting}/${unit.unit}`;
const label = name => (UNITS[name] ? `${name.replaceAll("_", " ")} (${UNITS[name]})` : name.replaceAll("_", " "));
// plotly reads tags in its labels
const plain = text => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const duration = seconds => (isNumber(seconds) ? (seconds < 90 ? `${shown(seconds)} s` : seconds < 5400 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`) : "–");
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
const note = text => make("p", { class: "faint" }, text);

// ---- plots, drawn when they come into view and again when the colours change ----
const drawn = new Map();
const seen = new IntersectionObserver(entries => entries.forEach(entry => entry.isIntersecting && draw(entry.target)), { rootMargin: "300px" });
function colours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(["ground", "text", "faint", "line", "accent", "mark"].map(name => [name, style.getPropertyValue(`--${name}`).trim()]));
}
function draw(place) {
  seen.unobserve(place);
  const colour = colours();
  const { traces, layout } = drawn.get(place)(colour);
  const axis = { gridcolor: colour.line, zeroline: false, linecolor: colour.line, automargin: true, fixedrange: true };
  Plotly.react(place, traces, {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour.text, size: 12, family: "inherit" },
    margin: { l: 56, r: 12, t: 30, b: 44 }, showlegend: false, bargap: 0, ...layout,
    title: { text: layout.title, font: { size: 13 }, x: 0, xanchor: "left", xref: "paper", y: 0.98, yanchor: "top" },
    xaxis: { ...axis, ...layout.xaxis }, yaxis: { ...axis, rangemode: "tozero", ...layout.yaxis },
  }, { displayModeBar: false, responsive: true });
}
function plot(description, figure) {
  const place = make("div", { class: "plot", role: "img", "aria-label": description });
  drawn.set(place, figure);
  seen.observe(place);
  return place;
}
function redraw() {
  for (const place of [...drawn.keys()]) {
    if (!place.isConnected) drawn.delete(place);
    else if (place.classList.contains("js-plotly-plot")) draw(place);
  }
}

// ---- tables that sort, filter and show some rows at a time ----
const TEST = { "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b };
function matcher(text, columns) {
  const tests = text.toLowerCase().split(/\s+/).filter(Boolean).map(word => {
    const [, name, sign, wanted] = word.match(/^([^<>=]+)(<=|>=|<|>|=)(.+)$/) || [];
    const column = name && columns.find(column => column.toLowerCase().startsWith(name));
    if (!column) return row => columns.some(column => shown(row[column]).toLowerCase().includes(word));
    if (sign === "=") return row => shown(row[column]).toLowerCase() === wanted;
    return row => isNumber(row[column]) && TEST[sign](row[column], Number(wanted));
  });
  return row => tests.every(test => test(row));
}
function compare(a, b) {
  if (isNumber(a) && isNumber(b)) return a - b;
  return shown(a).localeCompare(shown(b), undefined, { numeric: true });
}
const isEmpty = value => value === null || value === undefined || value === "";
function sorted(rows, column, direction) {
  if (!column) return rows;
  const known = rows.filter(row => !isEmpty(row[column]));
  known.sort((a, b) => direction * compare(a[column], b[column]));
  return [...known, ...rows.filter(row => isEmpty(row[column]))];
}
function table(name, rows, { choose = null, hidden = [], hint = "" } = {}) {
  const columns = [...new Set(rows.flatMap(row => Object.keys(row)))].filter(column => !hidden.includes(column));
  const numeric = new Set(columns.filter(column => rows.some(row => isNumber(row[column])) && rows.every(row => isEmpty(row[column]) || isNumber(row[column]))));
  const state = { column: null, direction: 1, text: "", most: ROWS_AT_ONCE };
  const count = make("span", { class: "faint", role: "status" });
  const body = make("tbody");
  const more = make("button", { type: "button", onclick: () => { state.most += 5 * ROWS_AT_ONCE; fill(); } }, "Show more");
  const heads = columns.map(column => make("th", { scope: "col", class: numeric.has(column) ? "number" : "" },
    make("button", { type: "button", title: `Sort by ${label(column)}`, onclick: () => order(column) }, label(column))));
  function order(column) {
    state.direction = state.column === column ? -state.direction : 1;
    state.column = column;
    heads.forEach((head, index) => head.setAttribute("aria-sort", columns[index] !== column ? "none" : state.direction > 0 ? "ascending" : "descending"));
    heads.forEach((head, index) => { head.firstChild.textContent = label(columns[index]) + (columns[index] !== column ? "" : state.direction > 0 ? " ▲" : " ▼"); });
    fill();
  }
  function line(row) {
    const cells = columns.map(column => {
      const text = shown(row[column]);
      return make("td", { class: numeric.has(column) ? "number" : text.length > 48 ? "long" : "" }, text);
    });
    if (!choose) return make("tr", {}, ...cells);
    const element = make("tr", { tabindex: "0", "aria-selected": "false", onclick: () => pick(element, row), onkeydown: event => key(event, element, row) }, ...cells);
    return element;
  }
  function pick(element, row) {
    body.querySelectorAll("[aria-selected=true]").forEach(other => other.setAttribute("aria-selected", "false"));
    element.setAttribute("aria-selected", "true");
    choose(row);
  }
  function key(event, element, row) {
    const next = { ArrowDown: element.nextElementSibling, ArrowUp: element.previousElementSibling }[event.key];
    if (next) { next.focus(); next.click(); } else if (event.key === "Enter" || event.key === " ") pick(element, row); else return;
    event.preventDefault();
  }
  function fill() {
    const chosen = sorted(rows.filter(matcher(state.text, columns)), state.column, state.direction);
    body.replaceChildren(...chosen.slice(0, state.most).map(line));
    count.textContent = ` ${chosen.length} of ${plural(rows.length, "row")}`;
    more.hidden = chosen.length <= state.most;
  }
  const filter = make("input", { type: "search", class: "filter", "aria-label": `Filter ${name}`, placeholder: hint || "Filter", oninput: event => { state.text = event.target.value; fill(); } });
  fill();
  filter.hidden = rows.length < SHORT;
  return make("div", {}, filter, count,
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, make("table", { "aria-label": name }, make("thead", {}, make("tr", {}, ...heads)), body)), more);
}

// ---- the sections ----
function facts(pairs) {
  return make("dl", {}, ...pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, shown(value)))));
}
function summary() {
  const { record, seconds } = data, recording = record.recording;
  const endings = { done: "Done", failed: "Failed", interrupted: "Interrupted", running: "Not ended: still running, or killed" };
  section("run").textContent = `${record.params.file}, ${record.started.slice(0, 16).replace("T", " ")} UTC`;
  const found = data.units.filter(unit => unit.sorting === data.merged).length;
  const warnings = [...(record.status === "done" ? [] : [`${endings[record.status]}. ${record.message || ""} What is shown is what was finished.`]), ...data.missing];
  section("summary").append(...warnings.map(text => make("p", { class: "warning" }, text)), facts([
    ["State", endings[record.status]], ["Merged units", found || "none"], ["Units at the end", data.units.length],
    ["Analyses", data.analyses.length ? data.analyses.join(", ") : [...new Set(data.units.map(unit => unit.sorting))].join(", ")],
    ["Channels", recording && recording.channels], ["Recording", recording ? `${duration(seconds)} at ${shown(recording.sampling_frequency)} Hz, ${plural(recording.samples.length, "segment")}` : "missing"],
    ["Time of the steps", duration(data.steps.reduce((sum, step) => sum + (step.seconds || 0), 0))],
  ]));
  if (data.probe) section("summary").append(plot("Noise of the channels on the probe", probe("Noise of the channels", data.probe.noise, "µV")));
}
function flow(colour) {
  const names = [...new Set(data.flow.flatMap(link => [link.source, link.target]))], analyses = [...new Set(data.flow.map(link => link.name))];
  const place = name => analyses.findIndex(one => name === one || name.startsWith(`${one}, `));
  const shade = name => (name.startsWith("removed, ") ? colour.faint : place(name) < 0 ? colour.text : PALETTE[place(name) % PALETTE.length]);
  const links = data.flow.filter(link => link.units > 0);
  return { traces: [{ type: "sankey", textfont: { color: colour.text, size: 11, shadow: "none" },
    node: { label: names.map(name => plain(name)), color: names.map(shade), pad: 14, thickness: 12, line: { width: 0 }, hovertemplate: "%{label}: %{value} units<extra></extra>" },
    link: { source: links.map(link => names.indexOf(link.source)), target: links.map(link => names.indexOf(link.target)), value: links.map(link => link.units), color: links.map(link => shade(link.target.startsWith("removed, ") ? link.target : link.source) + "66"), hovertemplate: "%{source.label} to %{target.label}: %{value} units<extra></extra>" } }],
    layout: { title: "Units (width of a band) from the analyses to the result" } };
}
function steps() {
  const rows = data.steps.map(step => ({ step: step.label, "units before": step.before, "units after": step.after, removed: step.removed, "run time (s)": step.seconds, outcome: step.outcome }));
  if (!rows.length) return section("steps").append(note("No finished step is stored."));
  section("steps").append(table("Steps", rows));
  const lengths = plot(`Run time of ${rows.length} steps in seconds; the numbers are in the table above`, colour => ({
    traces: [{ type: "bar", orientation: "h", y: rows.map(row => plain(row.step)), x: rows.map(row => row["run time (s)"]), marker: { color: colour.accent }, hovertemplate: "%{y}: %{x} s<extra></extra>" }],
    layout: { title: "Run time", bargap: 0.3, xaxis: { title: { text: "seconds" } }, yaxis: { autorange: "reversed" } } }));
  lengths.style.height = `${Math.max(140, 90 + 26 * rows.length)}px`;
  if (data.flow.some(link => link.units > 0)) section("steps").append(make("div", { class: "wide" }, plot("Flow of units from the analyses through the steps that changed their number; the numbers are in the table above", flow)));
  section("steps").append(lengths);
}
const foundBy = unit => new Set((unit.members || []).map(member => member.sorting));
const agreementWith = (unit, analysis) => Math.max(...unit.members.filter(member => member.sorting === analysis).map(member => member.agreement ?? 0));
function agreement() {
  const units = data.units.filter(unit => unit.members), analyses = data.analyses, place = section("agreement");
  if (!units.length) return place.append(note("No unit at the end of this run was merged from several analyses."));
  const only = name => units.filter(unit => foundBy(unit).size === 1 && foundBy(unit).has(name)).length;
  place.append(table("What each analysis found", analyses.map(name => ({ analysis: name, "neurons found": units.filter(unit => foundBy(unit).has(name)).length, "found alone": only(name), "share of all": units.filter(unit => foundBy(unit).has(name)).length / units.length }))));
  const groups = new Map();
  for (const unit of units) { const name = [...foundBy(unit)].sort().join(" + "); groups.set(name, (groups.get(name) || 0) + 1); }
  const top = [...groups].sort((a, b) => b[1] - a[1]).slice(0, 20);
  const order = [...units].sort((a, b) => foundBy(b).size - foundBy(a).size || compare(b.mean_agreement, a.mean_agreement));
  const matrix = plot(`Which of ${analyses.length} analyses found each of ${units.length} merged units, and how well they agree`, colour => ({
    traces: [{ type: "heatmap", x: order.map(unit => plain(nameOf(unit))), y: analyses.map(plain), z: analyses.map(name => order.map(unit => (foundBy(unit).has(name) ? agreementWith(unit, name) : null))),
      colorscale: "Cividis", zmin: 0, zmax: 1, hoverongaps: false, colorbar: { title: { text: "agreement", side: "right" }, thickness: 10, outlinewidth: 0 }, hovertemplate: "%{x} in %{y}: agreement %{z:.2f}<extra></extra>" }],
    layout: { title: "Merged units in the analyses (empty: not found)", xaxis: { title: { text: "merged units, best agreed first" }, showticklabels: false, ticks: "", showgrid: false }, yaxis: { showgrid: false } } }));
  const upset = plot(`How many merged units were found by which set of analyses: ${top.map(([name, count]) => `${name} ${count}`).join("; ")}`, colour => ({
    traces: [{ type: "bar", orientation: "h", y: top.map(([name]) => plain(name)), x: top.map(([, count]) => count), text: top.map(([, count]) => String(count)), textposition: "auto", marker: { color: colour.accent }, hovertemplate: "%{y}: %{x} units<extra></extra>" }],
    layout: { title: "Merged units by the analyses that found them", bargap: 0.25, xaxis: { title: { text: "merged units" } }, yaxis: { autorange: "reversed" } } }));
  place.append(make("div", { class: "plots" }, matrix, upset));
}
function bars(title, x, y, xTitle, yTitle, width, extra = {}) {
  return colour => ({ traces: [{ type: "bar", x, y, width, marker: { color: colour.accent }, hovertemplate: `%{x}: %{y}<extra></extra>` }], layout: { title, xaxis: { title: { text: xTitle } }, yaxis: { title: { text: yTitle } }, ...extra } });
}
function mirrored(half, bin) {
  return { x: [...half.keys()].slice(1).map(index => -index * bin).reverse().concat([...half.keys()].map(index => index * bin)), y: half.slice(1).reverse().concat(half) };
}
function band(from, to, colour) { return { type: "rect", xref: "x", yref: "paper", x0: from, x1: to, y0: 0, y1: 1, fillcolor: colour, opacity: 0.25, line: { width: 0 }, layer: "below" }; }
function probe(title, values, unit, marked = []) {
  const { positions, channels } = data.probe;
  return colour => ({ traces: [
    { type: "scatter", mode: "markers", x: positions.map(place => place[0]), y: positions.map(place => place[1]), text: channels.map((name, index) => `channel ${plain(name)}: ${values[index]} ${unit}`), hovertemplate: "%{text}<extra></extra>",
      marker: { color: values, colorscale: "Cividis", size: 11, symbol: "square", line: { width: channels.map((_, index) => (marked.includes(index) ? 2 : 1)), color: channels.map((_, index) => (marked.includes(index) ? colour.mark : colour.faint)) }, colorbar: { title: { text: unit, side: "right" }, thickness: 10, outlinewidth: 0 } } }],
    layout: { title, xaxis: { title: { text: "x (µm)" }, showgrid: false }, yaxis: { title: { text: "y (µm)" }, showgrid: false, rangemode: "normal" } } });
}
function templatePlots(index) {
  if (!data.probe || !data.probe.sizes[index]) return [];
  const { sizes, best, waveforms, before, ms, channels } = data.probe, names = best[index].map(channel => channels[channel]);
  const waves = plot(`Template on the channels ${names.join(", ")}`, () => ({
    traces: waveforms[index].map((wave, place) => ({ type: "scatter", mode: "lines", name: plain(names[place]), x: wave.map((_, sample) => (sample - before) * ms), y: wave, line: { color: PALETTE[place], width: 1.8, dash: ["solid", "dash", "dot", "dashdot"][place] }, hovertemplate: `channel ${plain(names[place])}: %{y} µV at %{x:.2f} ms<extra></extra>` })),
    layout: { title: "Template on its largest channels", showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 1, xanchor: "right", title: { text: "channel" } }, margin: { l: 56, r: 12, t: 56, b: 44 }, xaxis: { title: { text: "time (ms)" } }, yaxis: { title: { text: "µV" }, rangemode: "normal" } } }));
  return [waves, plot(`Size of the template on the probe, largest on channel ${names[0]}`, probe("Template on the probe (largest marked)", sizes[index], "µV", best[index]))];
}
function unitPlots(index) {
  const { auto, intervals, rates, bin, isi_bin: isiBin } = data.curves;
  if (!auto || !auto[index]) return note("This unit is not drawn: there are too many. Its numbers are in the table.");
  const { x, y } = mirrored(auto[index], bin), refractory = data.refractory[1], rate = rates[index];
  const correlogram = plot(`Auto-correlogram, refractory period of ${refractory} ms marked`, colour => {
    const figure = bars("Auto-correlogram", x, y, "lag (ms)", "spike pairs", bin)(colour);
    return { ...figure, layout: { ...figure.layout, shapes: [band(-refractory, refractory, colour.mark)] } };
  });
  const isi = plot(`Histogram of inter-spike intervals, refractory period of ${refractory} ms marked`, colour => {
    const figure = bars("Inter-spike intervals", intervals[index].map((_, place) => (place + 0.5) * isiBin), intervals[index], "interval (ms)", "intervals", isiBin)(colour);
    return { ...figure, layout: { ...figure.layout, shapes: [band(0, refractory, colour.mark)] } };
  });
  const overTime = plot(`Firing rate over the recording, ${shown(Math.min(...rate))} to ${shown(Math.max(...rate))} Hz`, colour => ({
    traces: [{ type: "scatter", mode: "lines", x: rate.map((_, place) => (place + 0.5) * data.seconds / rate.length), y: rate, line: { color: colour.accent, width: 1.5, shape: "hvh" }, hovertemplate: "%{x:.1f} s: %{y:.2f} Hz<extra></extra>" }],
    layout: { title: "Firing rate", xaxis: { title: { text: "time (s)" } }, yaxis: { title: { text: "firing rate (Hz)" } } } }));
  return make("div", { class: "plots" }, ...templatePlots(index), correlogram, isi, overTime);
}
function card(unit) {
  const numbers = Object.entries(unit).filter(([name, value]) => !["members", "sorting", "unit"].includes(name) && !isEmpty(value));
  const members = (unit.members || []).map(member => ({ "unit of an analysis": nameOf(member), agreement: member.agreement, decided: member.decided }));
  return [make("h3", {}, nameOf(unit)), facts(numbers.map(([name, value]) => [label(name), value])), unitPlots(data.units.indexOf(unit)),
    ...(members.length ? [make("h3", {}, "Made of"), table(`Members of ${nameOf(unit)}`, members)] : [])];
}
function units() {
  const place = section("units"), shownCard = make("div", { class: "card", "aria-live": "polite", id: "card" });
  if (!data.units.length) return place.append(note("There is no unit."));
  const choose = unit => { shownCard.replaceChildren(...card(unit)); redraw(); };
  place.append(note("Choose a row (click, or arrow keys) to see the unit. Filter by words and numbers: contamination<0.05 firing_rate>1"),
    table("Units", data.units, { choose, hidden: ["members"], hint: "for example: firing_rate>1 contamination<0.05" }), shownCard);
  place.querySelector("tbody tr").click();
}
function pairs() {
  if (!data.pairs.length) return section("pairs").append(note("No pair of simple and complex spikes is among the units at the end."));
  const grid = make("div", { class: "plots" });
  for (const pair of data.pairs) {
    const half = (pair.counts.length - 1) / 2, title = `${pair.sorting}: simple ${pair.simple}, complex ${pair.complex}`;
    grid.append(plot(`Cross-correlogram of ${title}`, bars(plain(title), pair.counts.map((_, place) => (place - half) * data.curves.bin), pair.counts, "time after the complex spike (ms)", "simple spikes", data.curves.bin)));
  }
  section("pairs").append(grid);
}
function listed(name, title, rows, absent) {
  if (!rows.length) return section(name).append(note(absent));
  const wide = rows.map(row => {
    const values = Object.entries(row).filter(([column]) => column.startsWith("value_"));
    return { step: row.step, unit: nameOf(row), action: row.action, reason: row.reason, values: values.map(([column, value]) => `${column.slice(6)} ${shown(value)}`).join(", ") };
  });
  section(name).append(table(title, wide, { hint: "for example: step=02-remove_bad_units.all" }));
}
async function copy(text, button) {
  try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; }
  catch { getSelection().selectAllChildren(section("software").querySelector("pre")); button.textContent = "Selected: press Ctrl+C"; }
}
function software() {
  const text = JSON.stringify(data.software, null, 1), { sorters } = data.software;
  if (sorters.length) section("software").append(table("Sorters", sorters.map(run => ({ analysis: run.name, sorter: run.sorter, outcome: run.outcome, units: run.units, "run time (s)": run.seconds, engine: run.engine && run.engine.name, image: run.image && (run.image.requested || ""), "image digest": run.image && (run.image.manifest || run.image.rootfs), message: run.message }))));
  const button = make("button", { type: "button", onclick: () => copy(text, button) }, "Copy");
  section("software").append(button, make("pre", { tabindex: "0", "aria-label": "Software as JSON" }, text));
}
function theme() {
  const button = section("theme"), root = document.documentElement, system = matchMedia("(prefers-color-scheme: dark)");
  const set = dark => { root.classList.toggle("dark", dark); button.setAttribute("aria-pressed", String(dark)); redraw(); };
  button.addEventListener("click", () => set(!root.classList.contains("dark")));
  system.addEventListener("change", event => set(event.matches));
  set(system.matches);
}
theme();
summary();
steps();
agreement();
units();
pairs();
listed("removed", "Removed units", data.decisions.filter(row => row.action === "removed"), "No unit was removed.");
listed("decisions", "Decisions", data.decisions, "No decision is stored (logs_level 2 keeps them).");
if (data.decided > data.decisions.length) section("decisions").append(note(`The first ${data.decisions.length} of ${data.decided}; decisions.csv has all.`));
software();
})();
