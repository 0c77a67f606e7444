// ---- tables that sort, filter and show some rows at a time ----
const ROWS_AT_ONCE = 200, SHORT = 8;
const TEST = { "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b };

// words, and comparisons like firing_rate>1: all must hold
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
function sorted(rows, column, direction) {
  if (!column) return rows;
  const known = rows.filter(row => !isEmpty(row[column]));
  known.sort((a, b) => direction * compare(a[column], b[column]));
  return [...known, ...rows.filter(row => isEmpty(row[column]))];
}
const columnsOf = rows => unique(rows.flatMap(row => Object.keys(row)));
const numericOf = (rows, columns) => new Set(columns.filter(column => rows.some(row => isNumber(row[column])) && rows.every(row => isEmpty(row[column]) || isNumber(row[column]))));

// rows, drawn; state: { column, direction } to sort by, kept by the caller; cells: makes the content of special columns
function grid(name, rows, columns, { state, order, cells = {}, choose = null, chosen = null }) {
  const numeric = numericOf(rows, columns);
  const heads = columns.map(column => {
    const active = state.column === column, mark = active ? (state.direction > 0 ? " ▲" : " ▼") : "";
    const inside = cells[column] && cells[column].unsorted ? label(column) : make("button", { type: "button", title: `Sort by ${label(column)}`, onclick: () => order(column) }, label(column) + mark);
    return make("th", { scope: "col", class: numeric.has(column) ? "number" : "", "aria-sort": active ? (state.direction > 0 ? "ascending" : "descending") : null }, inside);
  });
  const line = row => {
    const inside = columns.map(column => {
      const special = cells[column] && cells[column](row), text = special ? "" : shown(row[column]);
      return make("td", { class: numeric.has(column) ? "number" : text.length > 48 ? "long" : "" }, special || text);
    });
    if (!choose) return make("tr", {}, ...inside);
    const element = make("tr", { tabindex: "-1", "aria-selected": "false", onclick: () => choose(row), onkeydown: event => step(event, element, row) }, ...inside);
    element.row = row;
    return element;
  };
  function step(event, element, row) {
    const next = { ArrowDown: element.nextElementSibling, ArrowUp: element.previousElementSibling }[event.key];
    if (next) { next.focus(); choose(next.row); } else if (event.key === "Enter" || event.key === " ") choose(row); else return;
    event.preventDefault();
  }
  const body = make("tbody", {}, ...rows.map(line));
  if (choose) mark(body, chosen);
  return make("div", { class: "scroll", tabindex: choose ? null : "0", role: "region", "aria-label": name }, make("table", { "aria-label": name }, make("thead", {}, make("tr", {}, ...heads)), body));
}
// one row can be reached by Tab: the chosen one; the arrow keys lead to the others
function mark(body, chosen) {
  const rows = [...body.children], place = Math.max(rows.findIndex(element => element.row === chosen), 0);
  rows.forEach((element, index) => {
    element.setAttribute("aria-selected", String(element.row === chosen));
    element.setAttribute("tabindex", index === place ? "0" : "-1");
  });
}
function table(name, rows, { columns = columnsOf(rows), cells = {}, hint = "Filter" } = {}) {
  const state = { column: null, direction: 1, text: "", most: ROWS_AT_ONCE }, inside = make("div"), count = make("span", { class: "faint", role: "status" });
  function order(column) {
    state.direction = state.column === column ? -state.direction : 1;
    state.column = column;
    fill();
  }
  function fill() {
    const all = sorted(rows.filter(matcher(state.text, columns)), state.column, state.direction);
    const more = all.length > state.most && make("button", { type: "button", onclick: () => { state.most += 5 * ROWS_AT_ONCE; fill(); } }, "Show more");
    inside.replaceChildren(grid(name, all.slice(0, state.most), columns, { state, order, cells }), more || "");
    count.textContent = ` ${all.length} of ${plural(rows.length, "row")}`;
  }
  fill();
  if (rows.length < SHORT) return inside;
  return make("div", {}, make("input", { type: "search", class: "filter", "aria-label": `Filter ${name}`, placeholder: hint, oninput: event => { state.text = event.target.value; fill(); } }), count, inside);
}
