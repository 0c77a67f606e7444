// ---- units to choose from: filters, a table or small cards, and the card of the chosen one ----
const RANGES = ["SNR", "contamination", "firing_rate", "mean_agreement", "confidence"];

// spec: name, rows, columns (shown first), hidden (never), cells, sketches(row), headline(row), card(row, goTo)
function browser(spec) {
  const { rows } = spec, all = columnsOf(rows).filter(column => !spec.hidden.includes(column)), numeric = numericOf(rows, all);
  const front = [...spec.columns.filter(column => all.includes(column) || spec.cells[column])];
  const ranges = RANGES.filter(column => numeric.has(column));
  const state = { column: null, direction: 1, text: "", bounds: {}, picks: {}, most: ROWS_AT_ONCE, view: "table", complete: false, chosen: rows[0], visible: rows };
  const list = make("div"), card = make("article", { class: "card", id: "card", "aria-live": "polite", "aria-label": "The chosen unit" });
  const count = make("span", { class: "faint", role: "status" });

  function passes(row) {
    return ranges.every(column => {
      const { min, max } = state.bounds[column] || {};
      return (min === undefined || (isNumber(row[column]) && row[column] >= min)) && (max === undefined || (isNumber(row[column]) && row[column] <= max));
    }) && Object.entries(state.picks).every(([column, wanted]) => wanted === "" || picksOf(spec, row, column).includes(wanted));
  }
  function order(column) {
    state.direction = state.column === column ? -state.direction : 1;
    state.column = column;
    sortBy.value = column;
    fill();
  }
  function fill() {
    state.visible = sorted(rows.filter(row => passes(row)).filter(matcher(state.text, all)), state.column, state.direction);
    const few = state.visible.slice(0, state.most), columns = state.complete ? [...front, ...all.filter(column => !front.includes(column))] : front;
    const more = state.visible.length > few.length && make("button", { type: "button", onclick: () => { state.most += ROWS_AT_ONCE; fill(); } }, `Show ${Math.min(ROWS_AT_ONCE, state.visible.length - few.length)} more`);
    list.replaceChildren(state.view === "table" ? grid(spec.name, few, columns, { state, order, cells: spec.cells, choose, chosen: state.chosen }) : tiles(few), more || "");
    count.textContent = `${state.visible.length} of ${plural(rows.length, "unit")}`;
  }
  function tiles(few) {
    return make("div", { class: "tiles scroll", role: "region", "aria-label": spec.name }, ...few.map(row => {
      const tile = make("button", { type: "button", class: "tile", "aria-pressed": String(row === state.chosen), onclick: () => choose(row) }, make("strong", {}, spec.headline(row)), make("span", { class: "sketches" }, ...spec.sketches(row)),
        ...ranges.filter(column => !isEmpty(row[column])).slice(0, 4).map(column => make("span", { class: "pair" }, make("small", {}, named(column)), make("span", {}, `${shown(row[column])}${column === "firing_rate" ? " Hz" : ""}`))));
      tile.row = row;
      return tile;
    }));
  }
  function choose(row) {
    state.chosen = row;
    const body = list.querySelector("tbody");
    if (body) mark(body, row);
    list.querySelectorAll(".tile").forEach(tile => tile.setAttribute("aria-pressed", String(tile.row === row)));
    const place = state.visible.indexOf(row), step = (by, text) => make("button", { type: "button", disabled: !state.visible[place + by], "aria-label": text, title: text, onclick: () => { choose(state.visible[place + by]); card.querySelector(by < 0 ? ".previous" : ".next").focus(); }, class: by < 0 ? "previous" : "next" }, by < 0 ? "‹" : "›");
    forget(card);
    card.replaceChildren(make("div", { class: "steps" }, step(-1, "Previous unit"), step(1, "Next unit")), ...spec.card(row, goTo));
  }
  function goTo(row) {
    choose(row);
    card.scrollIntoView({ block: "start" });
    const element = [...list.querySelectorAll("tbody tr")].find(element => element.row === row);
    if (element) element.parentElement.closest(".scroll").scrollTop = element.offsetTop - 60;
  }
  function range(column) {
    const bound = side => make("input", { type: "number", step: "any", placeholder: side, "aria-label": `${side === "min" ? "Smallest" : "Largest"} ${named(column)}`, oninput: event => { state.bounds[column] = { ...state.bounds[column], [side]: event.target.value === "" ? undefined : Number(event.target.value) }; fill(); } });
    return make("fieldset", {}, make("legend", {}, label(column)), bound("min"), make("span", { "aria-hidden": "true" }, "–"), bound("max"));
  }
  function pick(column, title) {
    const values = unique(rows.flatMap(row => picksOf(spec, row, column))).sort();
    if (values.length < 2) return null;
    return make("fieldset", {}, make("legend", {}, title), make("select", { "aria-label": title, onchange: event => { state.picks[column] = event.target.value; fill(); } }, make("option", { value: "" }, "any"), ...values.map(value => make("option", { value }, clipped(value, 40)))));
  }
  const sortBy = make("select", { "aria-label": "Sort by", onchange: event => { state.column = event.target.value || null; state.direction = -1; fill(); } }, make("option", { value: "" }, "as stored"), ...all.map(column => make("option", { value: column }, label(column))));
  const turn = make("button", { type: "button", "aria-label": "Reverse the order", title: "Reverse the order", onclick: () => state.column && order(state.column) }, "⇅");
  const search = make("input", { type: "search", class: "filter", "aria-label": `Filter ${spec.name}`, placeholder: "words, or firing_rate>1 contamination<0.05", oninput: event => { state.text = event.target.value; fill(); } });
  const reset = make("button", { type: "reset" }, "Reset");
  const view = make("button", { type: "button", "aria-pressed": "false", onclick: event => { state.view = state.view === "table" ? "tiles" : "table"; event.target.setAttribute("aria-pressed", String(state.view === "tiles")); fill(); } }, "Small cards");
  const complete = make("button", { type: "button", "aria-pressed": "false", onclick: event => { state.complete = !state.complete; event.target.setAttribute("aria-pressed", String(state.complete)); fill(); } }, "All columns");
  const form = make("form", { class: "filters", onsubmit: event => event.preventDefault(), onreset: () => { Object.assign(state, { column: null, direction: 1, text: "", bounds: {}, picks: {}, most: ROWS_AT_ONCE }); setTimeout(fill); } },
    make("fieldset", { class: "wide" }, make("legend", {}, "Filter"), search), ...ranges.map(range), pick("category", "category"), pick("found by", "found by"), pick("sorting", "sorting"),
    make("fieldset", {}, make("legend", {}, "Sort by"), sortBy, turn), make("fieldset", { class: "buttons" }, reset, view, complete, count));
  form.hidden = rows.length < 2;
  fill();
  if (state.chosen) choose(state.chosen);
  return { form, list, card, goTo };
}
const picksOf = (spec, row, column) => (column === "found by" ? [...spec.foundBy(row)] : [isEmpty(row[column]) ? "(none)" : String(row[column])]);
