// ---- what is drawn of one unit, by its place in the table of units ----
const curve = (name, index, kind) => (data.curves[name] && !isEmpty(data.curves[name][index]) ? unpack(data.curves[name][index], kind) : null);
const isDrawn = index => Boolean(data.curves.auto && data.curves.auto[index] !== undefined);
function wavesOf(index) {
  const flat = curve("waveforms", index, "i2");
  if (!flat) return null;
  const near = data.curves.near[index], width = flat.length / near.length;
  return near.map((channel, place) => ({ channel, wave: flat.slice(place * width, (place + 1) * width).map(value => value * data.curves.step) }));
}
const sizeOf = wave => Math.max(...wave) - Math.min(...wave);
const timesOf = wave => wave.map((_, sample) => (sample - data.curves.before) * data.curves.ms);
function mirrored(half) {
  return { x: [...half.keys()].slice(1).map(index => -index * data.curves.bin).reverse().concat([...half.keys()].map(index => index * data.curves.bin)), y: half.slice(1).reverse().concat(half) };
}
// with few spikes wider bins show more: three in one, which keeps lag 0 in the middle
function binned(counts) {
  const half = (counts.length - 1) / 2, few = Math.max(...counts) < 12 && counts.length % 3 === 0, size = few ? 3 : 1, reach = few ? (counts.length / 3 - 1) / 2 : half;
  const y = few ? Array.from({ length: counts.length / 3 }, (_, place) => counts[3 * place] + counts[3 * place + 1] + counts[3 * place + 2]) : counts;
  return { x: y.map((_, place) => (place - reach) * data.curves.bin * size), y, width: data.curves.bin * size };
}
// the waveform of each channel at the place of the channel, as on the probe
function templateOnProbe(unitWaves, shades) {
  const { positions, channels } = data.probe, near = unitWaves[0].map(({ channel }) => positions[channel]);
  const gaps = values => { const ordered = unique(values).sort((a, b) => a - b); return ordered.slice(1).map((value, index) => value - ordered[index]); };
  const across = Math.max(Math.min(...gaps(near.map(([x]) => x)), 60), 12), along = Math.max(Math.min(...unique(near.map(([x]) => x)).flatMap(x => gaps(near.filter(place => place[0] === x).map(([, y]) => y))), 60), 8);
  const largest = Math.max(...unitWaves.flat().map(({ wave }) => sizeOf(wave)), 1e-9), length = unitWaves[0][0].wave.length;
  const stretch = across * 0.9 / length, scale = along * 1.9 / largest;
  return colour => {
    const traces = unitWaves.map((waves, which) => ({ type: "scatter", mode: "lines", connectgaps: false, line: { width: 1.5, color: shades ? shades[which] : colour.accent },
      x: waves.flatMap(({ channel, wave }) => [...wave.map((_, sample) => positions[channel][0] + (sample - length / 2) * stretch), null]), y: waves.flatMap(({ channel, wave }) => [...wave.map(value => positions[channel][1] + value * scale), null]),
      text: waves.flatMap(({ channel, wave }) => [...wave.map(value => `channel ${plain(channels[channel])}: ${value.toFixed(1)} µV`), ""]), hovertemplate: "%{text}<extra></extra>" }));
    const dots = { type: "scatter", mode: "markers", x: near.map(position => position[0]), y: near.map(position => position[1]), marker: { size: 4, symbol: "square", color: colour.line }, hoverinfo: "skip" };
    const main = unitWaves[0][0], top = { type: "scatter", mode: "markers", x: [positions[main.channel][0]], y: [positions[main.channel][1]], marker: { size: 7, symbol: "square", color: colour.mark }, hovertemplate: `channel ${plain(channels[main.channel])}, the largest<extra></extra>` };
    const nice = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000].filter(value => value <= largest / 2).pop() || largest, corner = [Math.max(...near.map(place => place[0])) + across * 0.62, Math.min(...near.map(place => place[1]))];
    return { traces: [dots, ...traces, top], layout: {
      shapes: [{ type: "line", x0: corner[0], x1: corner[0], y0: corner[1], y1: corner[1] + nice * scale, line: { color: colour.text, width: 2 } }],
      annotations: [{ x: corner[0], y: corner[1] + nice * scale / 2, text: `${nice} µV`, textangle: -90, showarrow: false, xanchor: "left", font: { size: 10.5, color: colour.faint } }],
      xaxis: { title: "x (µm)", showgrid: false, nticks: 6 }, yaxis: { title: "y (µm)", showgrid: false } } };
  };
}
function templateFigure(waves) {
  const largest = [...waves].sort((a, b) => sizeOf(b.wave) - sizeOf(a.wave)).slice(0, 4), { channels } = data.probe;
  return () => ({
    traces: largest.map(({ channel, wave }, place) => ({ type: "scatter", mode: "lines", name: plain(clipped(channels[channel], 12)), x: timesOf(wave), y: wave, line: { color: PALETTE[place], width: 1.8, dash: ["solid", "dash", "dot", "dashdot"][place] }, hovertemplate: `channel ${plain(channels[channel])}: %{y:.1f} µV at %{x:.2f} ms<extra></extra>` })),
    layout: { showlegend: true, legend: { orientation: "h", y: 1, yanchor: "bottom", x: 1, xanchor: "right", title: { text: "channel " }, font: { size: 10.5 } }, margin: { l: 8, r: 10, t: 26, b: 8 }, xaxis: { title: "time from the spike (ms)", showgrid: false }, yaxis: { title: "voltage (µV)" } },
  });
}
function autoFigure(index) {
  const { x, y, width } = binned(mirrored(curve("auto", index, "u4")).y), refractory = data.refractory[1];
  return withShapes(bars(x, y, "lag (ms)", "spike pairs", width), colour => [band(-refractory, refractory, colour.mark)]);
}
function isiFigure(index) {
  const counts = curve("intervals", index, "u4");
  return withShapes(bars(counts.map((_, place) => (place + 0.5) * data.curves.isi_bin), counts, "interval (ms)", "intervals", data.curves.isi_bin), colour => [band(0, data.refractory[1], colour.mark)]);
}
function borders(colour) {
  let end = 0;
  return data.segments.slice(0, -1).map(length => ({ type: "line", xref: "x", yref: "paper", x0: (end += length), x1: end, y0: 0, y1: 1, line: { color: colour.faint, width: 1, dash: "dot" } }));
}
// amplitude above, firing rate below, one axis of time; several units are told apart by their colours
function overTime(indices, shades) {
  const has = indices.some(index => curve("amplitudes", index, "i2"));
  return colour => {
    const shade = place => (shades ? shades[place] : colour.accent), traces = [];
    indices.forEach((index, place) => {
      const rate = curve("rates", index, "f4"), times = curve("times", index, "f4"), step = data.seconds / rate.length;
      traces.push({ type: "scatter", mode: "lines", x: rate.map((_, bin) => (bin + 0.5) * step), y: rate, yaxis: has ? "y2" : "y", line: { color: shade(place), width: 1.4, shape: "hvh" }, hovertemplate: "%{x:.1f} s: %{y:.2f} Hz<extra></extra>" });
      if (times) traces.push({ type: "scatter", mode: "markers", x: times, y: curve("amplitudes", index, "i2").map(value => value * data.curves.step), marker: { color: shade(place), size: 3, opacity: 0.55 }, hovertemplate: "%{x:.1f} s: %{y:.1f} µV<extra></extra>" });
    });
    const rates = { title: "rate (Hz)", rangemode: "tozero", nticks: 4 }, time = { title: "time (s)", range: [0, data.seconds], showgrid: false };
    return { traces, layout: { shapes: borders(colour), ...(has ? { xaxis: { ...time, anchor: "y2" }, yaxis: { title: "amplitude (µV)", domain: [0.4, 1], nticks: 5 }, yaxis2: { ...rates, domain: [0, 0.33] } } : { xaxis: time, yaxis: rates }) } };
  };
}
function crossFigure(index, [other, , , pair]) {
  const stored = unpack(data.curves.neighbours.counts[pair], "u4"), { x, y, width } = binned(index < other ? stored : stored.reverse());
  return bars(x, y, "lag (ms)", "pairs", width);
}
function unitFigures(index) {
  if (!isDrawn(index)) return [note("This unit is not drawn: there are too many. Its numbers are in the table.")];
  const waves = wavesOf(index), refractory = `${shown(data.refractory[1])} ms`, rate = curve("rates", index, "f4"), has = Boolean(curve("amplitudes", index, "i2"));
  const names = waves ? waves.map(({ channel }) => data.probe.channels[channel]) : [];
  return [
    waves && plot("Template on the probe", `Template on the probe, on ${names.length} channels around channel ${names[0]}, the largest`, templateOnProbe([waves])),
    waves && plot("Template on its largest channels", `Template on its largest channels, ${sizeOf(waves[0].wave).toFixed(1)} µV peak to peak on channel ${names[0]}`, templateFigure(waves)),
    plot(`Auto-correlogram (shaded: refractory, ${refractory})`, `Auto-correlogram, refractory period of ${refractory} shaded`, autoFigure(index)),
    plot(`Inter-spike intervals (shaded: refractory, ${refractory})`, `Histogram of inter-spike intervals, refractory period of ${refractory} shaded`, isiFigure(index)),
    plot(has ? "Amplitude and firing rate over time" : "Firing rate over time", `${has ? "Amplitude of spikes and firing" : "Firing"} rate over the recording, ${shown(Math.min(...rate))} to ${shown(Math.max(...rate))} Hz`, overTime([index]), { wide: "double" }),
    waves && has ? null : note(`${[!waves && "Template", !has && "amplitude over time"].filter(Boolean).join(" and ")}: not stored.`),
  ].filter(Boolean);
}
