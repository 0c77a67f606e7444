// ---- the page of a run ----
const foundBy = unit => new Set((unit.members || []).map(member => member.sorting));
const agreementWith = (unit, analysis) => Math.max(...unit.members.filter(member => member.sorting === analysis).map(member => member.agreement ?? 0));
const analysisNames = () => data.analyses.map(row => row.analysis);
function shadeOf(name) {
  const place = analysisNames().indexOf(name);
  return place < 0 ? null : PALETTE[place % PALETTE.length];
}
const ENDINGS = { done: "Done", failed: "Failed", interrupted: "Interrupted", running: "Not ended: still running, or killed" };

function summary() {
  const { record, seconds } = data, recording = record.recording, sorters = data.software.sorters;
  const merged = data.units.filter(unit => unit.members).length, spent = [...sorters, ...data.steps].reduce((sum, part) => sum + (part.seconds || 0), 0);
  const place = section("summary", "Summary", make("p", { id: "run", class: "faint" }, `${record.params.file}, ${moment(record.started)}`));
  if (record.status !== "done") place.append(warning(`${ENDINGS[record.status]}. ${record.message || ""} What is shown is what was finished.`));
  place.append(...data.missing.map(warning));
  const names = analysisNames().length ? analysisNames() : unique(data.units.map(unit => unit.sorting));
  const numbers = facts([
    ["State", ENDINGS[record.status]], ["Merged units", merged || "none"], ["Units at the end", data.units.length],
    ["Median SNR", median(data.units.map(unit => unit.SNR)), "of the units at the end"], ["Median contamination", median(data.units.map(unit => unit.contamination)), "of the units at the end, 0 to 1"],
    ["Analyses", names.length ? `${names.length}: ${names.join(", ")}` : null],
    ["Recording", recording ? `${duration(seconds)}, ${plural(recording.channels, "channel")}, ${shown(recording.sampling_frequency / 1000)} kHz, ${plural(recording.samples.length, "segment")}` : "missing"],
    ["Run time", spent ? `${duration(spent)} (${plural(sorters.filter(run => run.seconds).length, "sorter")}, ${plural(data.steps.length, "step")})` : null],
  ]);
  if (!data.probe) return place.append(numbers);
  const { noise, bad_channels: bad } = data.probe, middle = median(noise), silent = noise.filter(value => value === 0).length, loud = noise.filter(value => value > 3 * middle).length;
  const told = [bad.length && `${plural(bad.length, "bad channel")} (✕): ${bad.map(channel => `${channel.channel} (${channel.why})`).join(", ")}`, silent && `${plural(silent, "channel")} without any noise: not connected?`, loud && `${plural(loud, "channel")} with more than 3 times the median noise`].filter(Boolean);
  place.append(make("div", { class: "plots halves" }, make("div", {}, numbers, ...told.map(text => note(text))),
    plot("Noise of the channels on the probe", `Probe with ${plural(noise.length, "channel")}; noise ${shown(Math.min(...noise))} to ${shown(Math.max(...noise))} µV, median ${shown(middle)} µV; ${bad.length} bad channels`, probeFigure(noise, "µV", value => value.toFixed(1)), { height: 320 })));
}

function flow(colour) {
  const names = unique(data.flow.flatMap(link => [link.source, link.target])), analyses = unique(data.flow.map(link => link.name));
  const place = name => analyses.findIndex(one => name === one || name.startsWith(`${one}, `));
  const shade = name => (name.startsWith("removed, ") ? colour.faint : place(name) < 0 ? colour.text : PALETTE[place(name) % PALETTE.length]);
  const links = data.flow.filter(link => link.units > 0), total = name => Math.max(links.filter(link => link.source === name).reduce((sum, link) => sum + link.units, 0), links.filter(link => link.target === name).reduce((sum, link) => sum + link.units, 0));
  const fused = name => { const step = data.steps.find(step => name.endsWith(`, ${step.label}`)); return step && !name.startsWith("removed") && total(name) > step.after ? ` in ${step.after} neurons` : ""; };
  const title = name => { const [first, ...step] = name.split(", "), head = first === "removed" ? `removed by ${step.join(", ").replace(/^\d+-/, "")}` : first; return step.length && first !== "removed" && place(name) >= 0 && links.some(link => link.source === name) ? `${total(name)}` : `${clipped(head, 44)} ${total(name)}${fused(name)}`; };
  return { traces: [{ type: "sankey", arrangement: "snap", textfont: { color: colour.text, size: 11, shadow: "none" },
    node: { label: names.map(name => plain(title(name))), customdata: names.map(name => plain(name)), color: names.map(shade), pad: 16, thickness: 11, line: { width: 0 }, hovertemplate: "%{customdata}: %{value} units<extra></extra>" },
    link: { source: links.map(link => names.indexOf(link.source)), target: links.map(link => names.indexOf(link.target)), value: links.map(link => link.units), color: links.map(link => shade(link.target.startsWith("removed, ") ? link.target : link.source) + "55"), hovertemplate: "%{source.customdata} → %{target.customdata}: %{value} units<extra></extra>" } }],
    layout: { margin: { l: 4, r: 4, t: 10, b: 10 } } };
}
function steps() {
  const place = section("steps", "Units through the steps");
  const rows = data.steps.map(step => ({ step: step.label, "units before": step.before, "units after": step.after, removed: step.removed, "run time": step.seconds, outcome: step.outcome }));
  if (data.flow.some(link => link.units > 0)) place.append(plot("Units from the analyses to the result: the width of a band is their number, grey ones were removed", `Flow of units: ${data.steps.map(step => `${step.label} ${step.before} to ${step.after}`).join("; ")}`, flow, { wide: "scrolls", height: 380 }));
  if (!rows.length) place.append(note("No finished step is stored."));
  else place.append(table("Steps", rows));
  const parts = [...data.software.sorters.map(run => [`sorter ${run.name}`, run.seconds, 1]), ...data.steps.map(step => [step.label, step.seconds, 0])].filter(([, seconds]) => isNumber(seconds));
  if (parts.length) place.append(plot("Run time", `Run time of ${parts.length} parts: ${parts.map(([name, seconds]) => `${name} ${duration(seconds)}`).join("; ")}`, colour => ({
    traces: [{ type: "bar", orientation: "h", y: parts.map(([name]) => plain(clipped(name, 34))), x: parts.map(([, seconds]) => seconds), text: parts.map(([, seconds]) => duration(seconds)), textposition: "outside", cliponaxis: false, marker: { color: parts.map(([, , sorter]) => (sorter ? PALETTE[1] : colour.accent)) }, hovertemplate: "%{y}: %{x:.1f} s<extra></extra>" }],
    layout: { bargap: 0.35, margin: { l: 8, r: 56, t: 8, b: 8 }, xaxis: { title: "time (s)", rangemode: "tozero", showgrid: false }, yaxis: { autorange: "reversed", ticks: "", showgrid: false } } }), { height: Math.max(120, 60 + 24 * parts.length) }));
}

// sets of analyses, and how many units each set found: bars above, the sets below
function upset(groups, names, totals, shades, word) {
  const top = groups.slice(0, 24), width = Math.max(340, 150 + 30 * top.length);
  const dots = names.flatMap((name, row) => top.map(([set], place) => [place, names.length - 1 - row, set.includes(name), name]));
  const figure = colour => ({
    traces: [
      { type: "bar", x: top.map((_, place) => place), y: top.map(([, count]) => count), text: top.map(([, count]) => String(count)), textposition: "outside", cliponaxis: false, marker: { color: top.map(([set]) => (set.length === 1 ? colour.mark : colour.accent)) }, customdata: top.map(([set]) => plain(set.join(" + ") || "none")), hovertemplate: `%{customdata}: %{y} ${word}<extra></extra>` },
      ...top.filter(([set]) => set.length > 1).map(([set]) => { const place = top.findIndex(([other]) => other === set), rows = set.map(name => names.length - 1 - names.indexOf(name)); return { type: "scatter", mode: "lines", x: [place, place], y: [Math.min(...rows), Math.max(...rows)], yaxis: "y2", line: { color: colour.text, width: 2 }, hoverinfo: "skip" }; }),
      { type: "scatter", mode: "markers", x: dots.map(dot => dot[0]), y: dots.map(dot => dot[1]), yaxis: "y2", marker: { size: 11, color: dots.map(([, , inside, name]) => (inside ? shades(name) : colour.line)) }, hoverinfo: "skip" },
    ],
    layout: { bargap: 0.35, margin: { l: 8, r: 10, t: 18, b: 8 }, xaxis: { showgrid: false, showticklabels: false, ticks: "", range: [-0.6, top.length - 0.4], anchor: "y2" }, yaxis: { title: word, domain: [0.16 + 0.05 * names.length > 0.6 ? 0.6 : 0.16 + 0.05 * names.length, 1], rangemode: "tozero" },
      yaxis2: { domain: [0, 0.1 + 0.05 * names.length > 0.55 ? 0.55 : 0.1 + 0.05 * names.length], tickvals: names.map((_, place) => place), ticktext: [...names].reverse().map(name => plain(`${clipped(name, 18)} (${totals(name)})`)), range: [-0.6, names.length - 0.4], showgrid: false, ticks: "" } },
  });
  const made = plot(`${word[0].toUpperCase()}${word.slice(1)} by the set that found them (in brackets: all that one found)`, `Numbers of ${word} by the set that found them: ${top.map(([set, count]) => `${set.join(" and ") || "none"} ${count}`).join("; ")}`, figure, { height: 250 + 22 * names.length });
  made.querySelector(".plot").style.minWidth = `${width}px`;
  return made;
}
function groupsOf(sets) {
  const groups = new Map();
  for (const set of sets) { const key = JSON.stringify(set); groups.set(key, (groups.get(key) || 0) + 1); }
  return [...groups].map(([key, count]) => [JSON.parse(key), count]).sort((a, b) => b[1] - a[1] || b[0].length - a[0].length);
}
function sharedMatrix(names, sets, word) {
  const counts = names.map(a => names.map(b => sets.filter(set => set.includes(a) && set.includes(b)).length)), ticks = names.map(name => plain(clipped(name, 14)));
  return plot(`${word[0].toUpperCase()}${word.slice(1)} that two have in common (on the diagonal: all of one)`, `Matrix of ${word} in common: ${names.map((a, i) => names.slice(i + 1).map((b, j) => `${a} and ${b} ${counts[i][i + 1 + j]}`).join("; ")).filter(Boolean).join("; ")}`, () => ({
    traces: [{ type: "heatmap", x: ticks, y: ticks, z: counts, text: counts, texttemplate: "%{text}", colorscale: SCALE, zmin: 0, zmax: Math.max(...counts.flat(), 1), xgap: 2, ygap: 2, showscale: false, hovertemplate: `%{y} and %{x}: %{z} ${word}<extra></extra>` }],
    layout: { xaxis: { showgrid: false, ticks: "", type: "category" }, yaxis: { showgrid: false, autorange: "reversed", ticks: "", type: "category" } } }), { height: 250 + 22 * names.length });
}
function agreement() {
  const place = section("agreement", "Agreement of the analyses"), units = data.units.filter(unit => unit.members), names = analysisNames();
  if (!units.length) return place.append(note("No unit at the end of this run was merged from several analyses."));
  const sets = units.map(unit => [...foundBy(unit)].sort()), totals = name => sets.filter(set => set.includes(name)).length;
  const order = [...units].sort((a, b) => foundBy(b).size - foundBy(a).size || compare(b.mean_agreement, a.mean_agreement));
  const known = units.some(unit => unit.members.some(member => isNumber(member.agreement)));
  place.append(table("What each analysis brought in", data.analyses.map(row => ({ analysis: row.analysis, "units given": row.given, removed: row.removed, "neurons found": row.found, "share of all": row.found / units.length, "found alone": row.alone, "mean agreement": row.mean_agreement }))),
    make("div", { class: "plots halves" }, upset(groupsOf(sets), names, totals, name => shadeOf(name) || "#888", "merged units"), sharedMatrix(names, sets, "merged units")),
    plot(known ? "Agreement of each merged unit with the best unit of each analysis (empty: not found)" : "Which analyses found each merged unit (how well they agree: not stored)", `Which of ${names.length} analyses found each of ${units.length} merged units, and how well they agree`, () => ({
      traces: [{ type: "heatmap", x: order.map(unit => plain(nameOf(unit))), y: names.map(name => plain(clipped(name, 18))), z: names.map(name => order.map(unit => (foundBy(unit).has(name) ? (known ? agreementWith(unit, name) : 1) : null))), showscale: known, colorscale: SCALE, zmin: 0, zmax: 1, hoverongaps: false, ygap: 2, colorbar: colourbar("agreement"), hovertemplate: "%{x} in %{y}: agreement %{z:.2f}<extra></extra>" }],
      layout: { xaxis: { title: `${units.length} merged units, those that most analyses found first`, showticklabels: false, ticks: "", showgrid: false, type: "category" }, yaxis: { showgrid: false, ticks: "", type: "category", autorange: "reversed" } } }), { height: 110 + 26 * names.length, choose: point => units.length && unitBrowser && unitBrowser.goTo(order[point.pointIndex[1]]) }));
}

// ---- units ----
let unitBrowser = null;
function overview(choose) {
  const rows = data.units.filter(unit => isNumber(unit.contamination)), place = make("div", { class: "plots halves" });
  const sure = rows.some(unit => isNumber(unit.confidence)) ? "confidence" : rows.some(unit => isNumber(unit.mean_agreement)) ? "mean_agreement" : null;
  const marker = colour => ({ color: sure ? rows.map(unit => unit[sure] ?? 0) : colour.accent, colorscale: SCALE, cmin: 0, cmax: 1, opacity: 0.9, line: { width: 0.8, color: colour.faint }, ...(sure ? { colorbar: colourbar(named(sure)) } : {}) });
  const text = rows.map(unit => plain(`${nameOf(unit)}: SNR ${shown(unit.SNR)}, contamination ${shown(unit.contamination)}, ${shown(unit.firing_rate)} Hz`)), pick = point => choose(rows[point.pointIndex]);
  const has = rows.some(unit => isNumber(unit.SNR));
  if (has) place.append(plot("Quality: SNR and contamination (choose a unit by a click; larger: fires more)", `Contamination against SNR of ${rows.length} units; the numbers are in the table`, colour => ({ traces: [{ type: "scatter", mode: "markers", x: rows.map(unit => unit.SNR), y: rows.map(unit => unit.contamination), text, hovertemplate: "%{text}<extra></extra>", marker: { ...marker(colour), size: rows.map(unit => 6 + 3 * Math.log10(1 + unit.firing_rate)) } }], layout: { xaxis: { title: "SNR", rangemode: "tozero" }, yaxis: { title: "contamination (0–1)", rangemode: "tozero" } } }), { choose: pick, height: 290 }));
  if (data.probe && has) {
    const lies = turned(data.probe.positions), at = (x, y) => (lies ? [y, x] : [x, y]), spots = rows.map(unit => at(unit.x, unit.y)), contacts = data.probe.positions.map(([x, y]) => at(x, y));
    place.append(plot("Where the units are on the probe (larger: larger amplitude)", `Places of ${rows.length} units on the probe; the numbers are in the table`, colour => ({ traces: [{ type: "scatter", mode: "markers", x: contacts.map(spot => spot[0]), y: contacts.map(spot => spot[1]), marker: { symbol: "square", size: 5, color: colour.line }, hoverinfo: "skip" }, { type: "scatter", mode: "markers", x: spots.map(spot => spot[0]), y: spots.map(spot => spot[1]), text, hovertemplate: "%{text}<extra></extra>", marker: { ...marker(colour), size: rows.map(unit => 5 + Math.sqrt(unit.peak_to_peak || 0) / 1.6) } }], layout: probeAxes(lies) }), { choose: point => point.curveNumber === 1 && pick(point), height: 290 }));
  }
  return place;
}
function unitCells() {
  const index = unit => data.units.indexOf(unit), names = analysisNames();
  const wave = unit => { const waves = isDrawn(index(unit)) && wavesOf(index(unit)); return waves ? waveSketch(waves[0].wave) : "–"; };
  const auto = unit => (isDrawn(index(unit)) ? barSketch(mirrored(curve("auto", index(unit), "u4")).y) : "–");
  const found = unit => (unit.members ? foundSketch(names, foundBy(unit), shadeOf) : "–");
  for (const special of [wave, auto, found]) special.unsorted = true;
  return { ...(data.curves.waveforms ? { waveform: wave } : {}), ...(data.curves.auto ? { "auto-correlogram": auto } : {}), ...(names.length ? { "found by": found } : {}) };
}
function verdict(unit) {
  if (!unit.members) return null;
  const found = foundBy(unit), best = [...unit.members].filter(member => isNumber(member.agreement)).sort((a, b) => b.agreement - a.agreement)[0];
  const lines = [`Found by ${found.size} of ${plural(analysisNames().length, "analysis").replace("analysiss", "analyses")}.`, unit.source && `Its spikes: ${unit.source}${isNumber(unit.score) ? ` (score ${shown(unit.score)})` : ""}.`,
    unit.runner_up ? `Runner-up: ${unit.runner_up} (score ${shown(unit.runner_up_score)}).` : isNumber(unit.score) ? "There was no runner-up." : best ? `Runner-up: ${nameOf(best)}, the unit most like it (agreement ${shown(best.agreement)}).` : "Runner-up: not stored."];
  return make("p", { class: "verdict" }, lines.filter(Boolean).join(" "));
}
const gauge = value => { const shape = make("span", { class: "gauge" }, isNumber(value) ? value.toFixed(2) : "–"); shape.style.setProperty("--share", `${100 * (value || 0)}%`); return shape; };
function neighbourPart(index, goTo) {
  const { neighbours } = data.curves;
  if (!neighbours) return [make("h4", {}, "Cross-correlograms with its neighbours"), note("Neighbours: not known, since no templates are stored.")];
  if (!neighbours.near[index] || !neighbours.near[index].length) return [];
  const figures = neighbours.near[index].map(row => {
    const [other, alike, distance] = row, unit = data.units[other];
    return plot("", `Cross-correlogram with ${nameOf(unit)}, ${distance} µm away, likeness ${alike}`, crossFigure(index, row), { height: 150, caption: [make("button", { type: "button", class: "link", onclick: () => goTo(unit) }, nameOf(unit)), ` ${Math.round(distance)} µm away, likeness ${alike.toFixed(2)}`] });
  });
  return [make("h4", {}, "Cross-correlograms with its neighbours"), note("Spikes of the neighbour at lags from this unit's. A dip at 0 in units that look alike says that they are one neuron; likeness is the cosine of their sizes on all channels."), make("div", { class: "plots minis" }, ...figures)];
}
function card(unit, goTo) {
  const index = data.units.indexOf(unit), special = ["members", "sorting", "unit", "source", "runner_up", "runner_up_score", "score"];
  const first = ["SNR", "contamination", "firing_rate", "spikes", "peak_to_peak", "mean_agreement", "confidence", "main_channel"], rest = Object.keys(unit).filter(name => !first.includes(name) && !special.includes(name) && !isEmpty(unit[name]));
  const members = [...(unit.members || [])].sort((a, b) => compare(a.sorting, b.sorting) || b.agreement - a.agreement).map(member => ({ "unit of an analysis": nameOf(member), spikes: member.spikes, agreement: member.agreement, decision: member.decided }));
  const absent = analysisNames().filter(name => unit.members && !foundBy(unit).has(name));
  return [make("h3", {}, nameOf(unit), unit.category ? make("span", { class: "chip" }, unit.category) : null), verdict(unit), facts(first.filter(name => !isEmpty(unit[name])).map(name => [label(name), unit[name]])),
    make("div", { class: "plots" }, ...unitFigures(index)), ...(isDrawn(index) ? neighbourPart(index, goTo) : []),
    ...(members.length ? [make("h4", {}, "Made of"), table(`Members of ${nameOf(unit)}`, members, { cells: { agreement: row => gauge(row.agreement) } })] : unit.members ? [note("No unit of any analysis is half like it.")] : []),
    ...(absent.length ? [note(`Not found by ${absent.join(", ")}.`)] : []),
    rest.length ? make("details", {}, make("summary", {}, "All its values"), facts(rest.map(name => [label(name), unit[name]]))) : null].filter(Boolean);
}
function units() {
  const place = section("units", "Units");
  if (!data.units.length) return place.append(note("There is no unit."));
  const several = unique(data.units.map(unit => unit.sorting)).length > 1, cells = unitCells(), index = unit => data.units.indexOf(unit);
  unitBrowser = browser({ name: "Units", rows: data.units, cells, hidden: ["members"], foundBy, card, headline: several ? nameOf : unit => String(unit.unit),
    columns: [...(several ? ["sorting"] : []), "unit", "waveform", "auto-correlogram", "found by", "SNR", "contamination", "firing_rate", "mean_agreement", "confidence", "category", "peak_to_peak", "spikes", "main_channel"],
    sketches: unit => (isDrawn(index(unit)) ? ["waveform", "auto-correlogram"].filter(name => cells[name]).map(name => cells[name](unit)) : []) });
  place.append(overview(unitBrowser.goTo), make("h3", {}, several ? "All units" : `Units of ${data.units[0].sorting}`), note("Choose a unit: click, or Tab into the list and use the arrow keys."), unitBrowser.form, unitBrowser.list, unitBrowser.card);
}

function pairs() {
  const place = section("pairs", "Purkinje cells");
  if (!data.pairs.length) return place.append(note("No pair of simple and complex spikes is among the units at the end."));
  place.append(note("Simple spikes around each complex spike; shaded: where find_purkinje_cells looks for the pause."), make("div", { class: "plots" }, ...data.pairs.map(pair => {
    const counts = unpack(pair.counts, "u4"), half = (counts.length - 1) / 2, title = `${pair.sorting}: simple spikes ${pair.simple}, complex spikes ${pair.complex}`;
    return plot(title, `Cross-correlogram of ${title}`, withShapes(bars(counts.map((_, at) => (at - half) * data.curves.bin), counts, "time after the complex spike (ms)", "simple spikes", data.curves.bin), colour => (pair.pause ? [band(pair.pause[0], pair.pause[1], colour.mark)] : [])));
  })));
}
function removed() {
  const place = section("removed", "Removed units");
  if (!data.removed.length) return place.append(note("No unit was removed, or its removal is not stored (logs_level 2 keeps it)."));
  const groups = groupsOf(data.removed.map(row => [row.step, row.limit ? row.criterion : row.reason.split(/:| with /)[0]])).slice(0, 20);
  place.append(plot("Why units were removed", `Removed units by step and criterion: ${groups.map(([[step, why], count]) => `${step}, ${why}: ${count}`).join("; ")}`, colour => ({
    traces: [{ type: "bar", orientation: "h", y: groups.map((_, at) => at), x: groups.map(([, count]) => count), text: groups.map(([, count]) => String(count)), textposition: "outside", cliponaxis: false, marker: { color: colour.accent }, customdata: groups.map(([[step, why]]) => plain(`${step}: ${why}`)), hovertemplate: "%{customdata}: %{x} units<extra></extra>" }],
    layout: { bargap: 0.35, margin: { l: 8, r: 36, t: 8, b: 8 }, xaxis: { title: "removed units", rangemode: "tozero", showgrid: false }, yaxis: { autorange: "reversed", ticks: "", showgrid: false, tickvals: groups.map((_, at) => at), ticktext: groups.map(([[step, why]]) => plain(clipped(`${step.replace(/^\d+-/, "")}: ${why}`, matchMedia("(max-width: 600px)").matches ? 26 : 60))) } } }), { height: 80 + 24 * groups.length }),
    table("Removed units", data.removed.map(row => ({ unit: nameOf(row), step: row.step, criterion: row.criterion, value: row.value, limit: row.limit, reason: row.reason })), { hint: "for example: criterion=snr" }));
}
function decisions() {
  const place = section("decisions", "All decisions");
  if (!data.decisions.length) return place.append(note("No decision is stored (logs_level 2 keeps them)."));
  const rows = data.decisions.map(row => ({ step: row.step, unit: nameOf(row), action: row.action, reason: row.reason, values: Object.entries(row).filter(([column]) => column.startsWith("value_")).map(([column, value]) => `${column.slice(6)} ${shown(value)}`).join(", ") }));
  place.append(table("Decisions", rows, { hint: "for example: step=02-remove_bad_units.all" }));
  if (data.decided > data.decisions.length) place.append(note(`The first ${data.decisions.length} of ${data.decided}; decisions.csv has all.`));
}
function digestOf(run) {
  return run.image ? run.image.manifest || run.image.rootfs || "" : "";
}
function software() {
  const { software: used, host, sorters } = data.software, text = JSON.stringify(data.software, null, 1), place = section("software", "Software and images");
  place.append(facts([["Lussac", used.lussac], ...(used.image ? [["Lussac's image", `${used.image.requested || used.image} ${digestOf(used)}`]] : []), ["Python", used.python], ...Object.entries(used.libraries || {}), ["Machine", `${host.system}, ${plural(host.cpus, "core")}, ${(host.memory / 2 ** 30).toFixed(0)} GiB`]]));
  if (sorters.length) place.append(make("h3", {}, "Sorters and their images"), table("Sorters", sorters.map(run => ({ analysis: run.name, sorter: run.sorter, outcome: run.outcome, units: run.units, "run time": run.seconds, engine: run.engine && run.engine.name, image: run.image && (run.image.requested || ""), "image digest": digestOf(run), message: run.message })),
    { cells: { "image digest": row => (row["image digest"] ? make("span", { class: "digest" }, make("code", {}, row["image digest"]), copyButton(row["image digest"], "Copy", `Copy the digest of ${row.analysis}`)) : null) } }));
  place.append(make("p", {}, copyButton(text, "Copy all as JSON", "Copy software and images as JSON"), " ", copyButton((data.record.command || []).join(" "), "Copy the command", "Copy the command line of this run"), " ", data.params_file ? copyButton(data.params_file, "Copy the params", "Copy the params.json of this run") : null), make("details", {}, make("summary", {}, "As JSON"), make("pre", { tabindex: "0", "aria-label": "Software as JSON" }, text)),
    data.params_file ? make("details", {}, make("summary", {}, "params.json"), make("pre", { tabindex: "0", "aria-label": "params.json" }, data.params_file)) : note("params.json: not stored."));
}
function showRun() {
  for (const part of [summary, steps, agreement, units, pairs, removed, decisions, software]) part();
}
