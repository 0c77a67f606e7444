// ---- plots: drawn when they come into view, and again when the colours change ----
// Okabe and Ito's palette, told apart with any colour vision; its black is left to the text
const PALETTE = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442"];
const SCALE = "Cividis"; // made for all colour vision, too
const drawn = new Map();
// text and tables come first: the plot library starts after the page has been painted, the plots when they are scrolled to
const seen = new IntersectionObserver(entries => entries.forEach(entry => entry.isIntersecting && draw(entry.target)), { rootMargin: "200px" });
function startPlots() {
  document.head.append(make("script", {}, document.getElementById("plotly").textContent));
  for (const place of drawn.keys()) seen.observe(place);
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(["ground", "panel", "text", "faint", "line", "accent", "mark"].map(name => [name, style.getPropertyValue(`--${name}`).trim()]));
}
function draw(place) {
  seen.unobserve(place);
  const colour = colours(), { figure, choose } = drawn.get(place);
  const { traces, layout = {} } = figure(colour);
  const axis = { gridcolor: colour.line, zeroline: false, linecolor: colour.faint, tickcolor: colour.faint, ticks: "outside", ticklen: 3, automargin: true, fixedrange: true };
  const axes = Object.fromEntries(Object.keys(layout).filter(name => /^[xy]axis\d*$/.test(name)).map(name => [name, titled({ ...axis, ...layout[name] })]));
  Plotly.react(place, traces, {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour.text, size: 11.5, family: "inherit" },
    hoverlabel: { font: { family: "inherit", size: 12 } }, margin: { l: 8, r: 10, t: 8, b: 8 }, showlegend: false, bargap: 0, dragmode: false, ...layout, ...axes,
  }, { displayModeBar: false, responsive: true, showTips: false });
  if (choose && !place.dataset.listens) {
    place.dataset.listens = "yes";
    place.on("plotly_click", event => choose(event.points[0]));
  }
}
const titled = axis => ({ ...axis, title: { text: axis.title || "", font: { size: 11.5 }, standoff: 6 } });
function plot(title, description, figure, { wide = "", height = null, choose = null, caption = null } = {}) {
  const place = make("div", { class: "plot", role: "img", "aria-label": description });
  if (height) place.style.height = `${height}px`;
  drawn.set(place, { figure, choose });
  if (window.Plotly) seen.observe(place);
  return make("figure", { class: wide }, make("figcaption", {}, ...(caption || [title])), make("div", { class: "canvas" }, place));
}
function redraw() {
  for (const place of drawn.keys()) if (place.classList.contains("js-plotly-plot")) draw(place);
}
function forget(root) {
  for (const place of root.querySelectorAll(".plot")) {
    drawn.delete(place);
    seen.unobserve(place);
    if (place.classList.contains("js-plotly-plot")) Plotly.purge(place);
  }
}
const colourbar = title => ({ title: { text: title, side: "right", font: { size: 11.5 } }, thickness: 9, outlinewidth: 0, ticklen: 3, len: 0.95 });
function bars(x, y, xTitle, yTitle, width, shade = null) {
  return colour => ({
    traces: [{ type: "bar", x, y, width, marker: { color: shade || colour.accent, line: { width: 0 } }, hovertemplate: `%{x:.4g}: %{y}<extra></extra>` }],
    layout: { xaxis: { title: xTitle, showgrid: false }, yaxis: { title: yTitle, rangemode: "tozero" } },
  });
}
const band = (from, to, colour) => ({ type: "rect", xref: "x", yref: "paper", x0: from, x1: to, y0: 0, y1: 1, fillcolor: colour, opacity: 0.22, line: { width: 0 }, layer: "below" });
const withShapes = (figure, shapes) => colour => { const made = figure(colour); return { ...made, layout: { ...made.layout, shapes: shapes(colour) } }; };

// ---- the probe: a long one lies on its side ----
function turned(positions) {
  const extent = place => Math.max(...positions.map(position => position[place])) - Math.min(...positions.map(position => position[place]));
  return extent(1) > 4 * Math.max(extent(0), 40);
}
function probeAxes(lies) {
  const across = { title: "x (µm)", showgrid: false, nticks: 5 }, along = { title: "y (µm)", showgrid: false };
  return lies ? { xaxis: along, yaxis: across } : { xaxis: across, yaxis: along };
}
function probeFigure(values, unit, format) {
  const { positions, channels, bad_channels: bad } = data.probe, lies = turned(positions), at = position => (lies ? [position[1], position[0]] : position);
  const size = Math.max(4, Math.min(11, 260 / Math.sqrt(channels.length)));
  return colour => ({
    traces: [{ type: "scatter", mode: "markers", x: positions.map(place => at(place)[0]), y: positions.map(place => at(place)[1]),
      text: channels.map((name, index) => `channel ${plain(name)}: ${format(values[index])} ${unit}`), hovertemplate: "%{text}<extra></extra>",
      marker: { color: values, colorscale: SCALE, cmin: 0, cmax: Math.max(...values, 1e-9), size, symbol: "square", line: { width: 0.7, color: colour.faint }, colorbar: colourbar(unit) } },
    { type: "scatter", mode: "markers", x: bad.map(channel => at([channel.x, channel.y])[0]), y: bad.map(channel => at([channel.x, channel.y])[1]),
      text: bad.map(channel => `channel ${plain(channel.channel)}: ${plain(channel.why)}`), hovertemplate: "%{text}<extra></extra>", marker: { color: colour.mark, size: size + 1, symbol: "x-thin", line: { width: 2, color: colour.mark } } }],
    layout: probeAxes(lies),
  });
}

// ---- small pictures in tables: plain SVG ----
function sketch(width, height, path, description, filled) {
  const space = "http://www.w3.org/2000/svg", svg = document.createElementNS(space, "svg"), line = document.createElementNS(space, "path");
  for (const [name, value] of Object.entries({ viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": description, class: filled ? "sketch filled" : "sketch" })) svg.setAttribute(name, value);
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}
function waveSketch(wave, width = 56, height = 26) {
  const high = Math.max(...wave), low = Math.min(...wave), scale = (height - 2) / Math.max(high - low, 1e-9), step = width / (wave.length - 1);
  return sketch(width, height, `M${wave.map((value, place) => `${(place * step).toFixed(1)},${(1 + (high - value) * scale).toFixed(1)}`).join("L")}`, "waveform on the largest channel");
}
function barSketch(fine, width = 56, height = 26) {
  const counts = Array.from({ length: Math.floor(fine.length / 3) }, (_, place) => fine[3 * place] + fine[3 * place + 1] + fine[3 * place + 2]);
  const most = Math.max(...counts, 1), step = width / counts.length;
  return sketch(width, height, `M0,${height}${counts.map((count, place) => `V${(height - (count / most) * (height - 1)).toFixed(1)}H${((place + 1) * step).toFixed(1)}`).join("")}V${height}Z`, "auto-correlogram", true);
}
function foundSketch(names, found, shades) {
  const shape = make("span", { class: "found", role: "img", "aria-label": `found by ${[...found].join(", ") || "no analysis"}`, title: `found by ${[...found].join(", ") || "no analysis"}` });
  names.forEach(name => { const dot = make("i", { class: found.has(name) ? "yes" : "" }); dot.style.setProperty("--shade", shades(name)); shape.append(dot); });
  return shape;
}
