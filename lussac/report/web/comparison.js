// ---- the page of a comparison: the same form, with runs in the place of analyses and neurons in the place of units ----
const sideNames = () => data.runs.map(run => run.name);
const sideShade = name => PALETTE[sideNames().indexOf(name) % PALETTE.length];
const unitsOf = neuron => neuron.places.map(place => data.units[place]);
const sidesOf = neuron => new Set(unitsOf(neuron).map(unit => unit.sorting));
const legend = units => make("p", { class: "legend" }, ...units.map(unit => { const shape = make("span", {}, make("i"), nameOf(unit)); shape.style.setProperty("--shade", sideShade(unit.sorting)); return shape; }));

function comparedRuns() {
  const place = section("summary", "Summary", note(`Two units are one neuron if at least ${shown(100 * data.least)} % of the spikes of either are in both, at most ${shown(data.window)} ms apart.`));
  place.append(...data.notes.map(warning), ...data.runs.flatMap(run => [...(run.status && run.status !== "done" ? [`${run.name}: ${ENDINGS[run.status]}.`] : []), ...run.missing.map(text => `${run.name}: ${text}`)]).map(warning));
  place.append(table("Runs and sortings", data.runs.map(run => ({ name: run.name, units: run.units, "in others too": run["in others too"], alone: run.alone, spikes: run.spikes, "median SNR": run["median SNR"], "median contamination": run["median contamination"], "median firing rate (Hz)": run["median firing rate"], "run time": run["run time"], kind: run.kind, started: moment(run.started), path: run.path })),
    { cells: { name: row => { const shape = make("span", { class: "legend" }, make("span", {}, make("i"), row.name)); shape.style.setProperty("--shade", sideShade(row.name)); return shape; } } }));
  place.append(facts([["Neurons of all", data.neurons.length], ["Found by all", data.neurons.filter(neuron => neuron.found_in === data.runs.length).length], ["Mean agreement of these", mean(data.neurons.filter(neuron => neuron.found_in === data.runs.length).map(neuron => neuron.mean_agreement))], ["Recording", `${duration(data.seconds)}, ${plural(data.segments.length, "segment")}`]]));
}
function mean(values) {
  const known = values.filter(isNumber);
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
}
function differing() {
  const place = section("differences", "What differs");
  if (!data.differs) return place.append(note("Not known: parameters and versions are recorded by runs, and fewer than two are compared."));
  if (!data.differs.length) return place.append(note("Nothing: software, recording, sorters and steps are the same."));
  place.append(table("What differs between the runs", data.differs, { hint: "for example: step" }));
}
function agreeing() {
  const place = section("agreement", "Agreement"), names = sideNames(), sets = data.neurons.map(neuron => names.filter(name => sidesOf(neuron).has(name)));
  if (!data.neurons.length) return place.append(note("There is no unit."));
  const totals = name => sets.filter(set => set.includes(name)).length, pairs = names.flatMap((a, i) => names.slice(i + 1).map(b => [a, b])).slice(0, PALETTE.length);
  place.append(make("div", { class: "plots halves" }, upset(groupsOf(sets), names, totals, sideShade, "neurons"), sharedMatrix(names, sets, "neurons")));
  const lines = pairs.map(([a, b]) => data.neurons.map(neuron => { const units = unitsOf(neuron), [i, j] = [a, b].map(name => units.findIndex(unit => unit.sorting === name)); return i < 0 || j < 0 ? null : neuron.agreements[i][j]; }).filter(isNumber).sort((x, y) => y - x));
  place.append(plot("How well units agree: each pair of units that are one neuron, the best first", `Agreement of units: ${pairs.map(([a, b], at) => `${a} and ${b}: ${lines[at].length} neurons, median ${shown(median(lines[at]))}`).join("; ")}`, () => ({
    traces: pairs.map(([a, b], at) => ({ type: "scatter", mode: "lines+markers", name: plain(`${clipped(a, 18)} – ${clipped(b, 18)}`), x: lines[at].map((_, rank) => rank + 1), y: lines[at], line: { color: PALETTE[at], width: 1.5 }, marker: { size: 4, symbol: at }, hovertemplate: "neuron %{x}: agreement %{y:.3f}<extra></extra>" })),
    layout: { showlegend: true, legend: { orientation: "h", y: 1, yanchor: "bottom", x: 0 }, margin: { l: 8, r: 10, t: 26, b: 8 }, xaxis: { title: "neurons in both", showgrid: false }, yaxis: { title: "agreement (0–1)", range: [Math.min(data.least, 1) - 0.05, 1.03] } } }), { height: 280 }));
}
// curves of several units over each other, as shares of all counts, so that numbers of spikes don't hide the shape
function overlaid(indices, shades, counted, xTitle, yTitle) {
  return () => ({
    traces: indices.map((index, place) => { const { x, y } = counted(index), all = y.reduce((sum, value) => sum + value, 0) || 1; return { type: "scatter", mode: "lines", x, y: y.map(value => value / all), line: { color: shades[place], width: Math.max(2.6 - 0.6 * place, 1.2), shape: "hvh", dash: ["solid", "dot", "dash", "dashdot"][place % 4] }, hovertemplate: `${plain(nameOf(data.units[index]))} at %{x:.1f} ms: %{y:.2%}<extra></extra>` }; }),
    layout: { xaxis: { title: xTitle, showgrid: false }, yaxis: { title: yTitle, rangemode: "tozero", tickformat: ".1~%" } },
  });
}
function neuronFigures(neuron) {
  const indices = neuron.places.filter(isDrawn), shades = indices.map(index => sideShade(data.units[index].sorting));
  if (!indices.length) return [note("This neuron is not drawn: there are too many units.")];
  const seen = indices.filter(wavesOf), name = indices.map(index => nameOf(data.units[index])).join(", "), marked = colour => [band(-data.refractory[1], data.refractory[1], colour.mark)];
  return [
    seen.length ? plot("Template on the probe", `Templates of ${name} on the probe`, templateOnProbe(seen.map(wavesOf), seen.map(index => sideShade(data.units[index].sorting)))) : note("Templates and amplitudes: not stored. Runs with logs_level 2 keep them."),
    plot("Auto-correlograms (shaded: refractory)", `Auto-correlograms of ${name}`, withShapes(overlaid(indices, shades, index => binned(mirrored(curve("auto", index, "u4")).y), "lag (ms)", "share of spike pairs"), marked)),
    plot("Inter-spike intervals (shaded: refractory)", `Histograms of inter-spike intervals of ${name}`, withShapes(overlaid(indices, shades, index => { const y = curve("intervals", index, "u4"); return { x: y.map((_, place) => (place + 0.5) * data.curves.isi_bin), y }; }, "interval (ms)", "share of intervals"), colour => [band(0, data.refractory[1], colour.mark)])),
    plot(seen.length ? "Amplitude and firing rate over time" : "Firing rate over time", `Firing rates of ${name} over the recording`, overTime(indices, shades), { wide: "full" }),
  ];
}
function neuronCard(neuron) {
  const units = unitsOf(neuron), absent = sideNames().filter(name => !sidesOf(neuron).has(name));
  const rows = units.map((unit, at) => ({ unit: nameOf(unit), agreement: units.length > 1 ? mean(neuron.agreements[at].filter((_, other) => other !== at)) : null, ...Object.fromEntries(["spikes", "firing_rate", "contamination", "SNR", "peak_to_peak", "main_channel", "confidence", "category", "source"].filter(name => units.some(one => !isEmpty(one[name]))).map(name => [name, unit[name]])) }));
  return [make("h3", {}, `Neuron ${neuron.neuron}`), make("p", { class: "verdict" }, absent.length ? `Found by ${neuron.found_in} of ${data.runs.length}; not by ${absent.join(", ")}.` : `Found by all ${data.runs.length}.`), legend(units), table(`Units of neuron ${neuron.neuron}`, rows, { cells: { agreement: row => gauge(row.agreement) } }), make("div", { class: "plots" }, ...neuronFigures(neuron))];
}
function neurons() {
  const place = section("units", "Neurons");
  if (!data.neurons.length) return place.append(note("There is no unit."));
  const found = neuron => foundSketch(sideNames(), sidesOf(neuron), sideShade), wave = neuron => { const waves = neuron.places.filter(isDrawn).map(wavesOf).find(Boolean); return waves ? waveSketch(waves[0].wave) : "–"; }, auto = neuron => (isDrawn(neuron.places[0]) ? barSketch(mirrored(curve("auto", neuron.places[0], "u4")).y) : "–");
  for (const special of [found, wave, auto]) special.unsorted = true;
  const cells = { ...(data.curves.waveforms ? { waveform: wave } : {}), "auto-correlogram": auto, "found by": found };
  const made = browser({ name: "Neurons", rows: data.neurons, cells, hidden: ["places", "agreements"], foundBy: sidesOf, card: neuronCard, headline: neuron => `Neuron ${neuron.neuron}`, sketches: neuron => ["waveform", "auto-correlogram"].filter(name => cells[name]).map(name => cells[name](neuron)),
    columns: ["neuron", "waveform", "auto-correlogram", "found by", "mean_agreement", ...sideNames().map(name => `unit in ${name}`), "SNR", "contamination", "firing_rate", "spikes"] });
  place.append(note("Numbers are those of the first run that has the neuron. Choose one: click, or Tab into the list and use the arrow keys."), made.form, made.list, made.card);
}
function comparedSoftware() {
  const place = section("software", "Software and images");
  if (!data.software.length) return place.append(note("No run is compared: nothing is recorded of these sortings."));
  place.append(table("Images of the sorters", data.software.flatMap(run => (run.sorters.length ? run.sorters : [{}]).map(sorter => ({ run: run.name, lussac: run.software.lussac, spikeinterface: (run.software.libraries || {}).spikeinterface, analysis: sorter.name, sorter: sorter.sorter, outcome: sorter.outcome, "image digest": sorter.name ? digestOf(sorter) : null })))));
  place.append(make("p", {}, ...data.software.flatMap(run => [copyButton(JSON.stringify(run, null, 1), `Copy ${clipped(run.name)} as JSON`, `Copy software and images of ${run.name} as JSON`), " "])));
}
function showComparison() {
  for (const part of [comparedRuns, differing, agreeing, neurons, comparedSoftware]) part();
}
