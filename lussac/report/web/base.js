// ---- what every part of the page uses: text only ever enters the page as text ----
const data = JSON.parse(document.getElementById("data").textContent);
const UNITS = {
  firing_rate: "Hz", contamination: "0–1", mean_agreement: "0–1", agreement: "0–1", confidence: "0–1", amplitude: "µV", peak_to_peak: "µV",
  x: "µm", y: "µm", distance: "µm", "run time": "s", seconds: "s",
};
const NAMES = { SNR: "SNR", sd_ratio: "SD ratio", ISI_portion: "ISI portion", peak_to_peak: "peak to peak", agreement_count: "analyses that found it" };

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter(child => child !== null && child !== undefined));
  return element;
}
const isNumber = value => typeof value === "number";
const isEmpty = value => value === null || value === undefined || value === "";
function shown(value) {
  if (isEmpty(value)) return "–";
  if (isNumber(value)) return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(3)));
  if (Array.isArray(value)) return value.every(item => item && item.sorting !== undefined) ? value.map(nameOf).join(", ") : JSON.stringify(value);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
const nameOf = unit => `${unit.sorting}/${unit.unit}`;
const named = name => NAMES[name] || name.replaceAll("_", " ");
const label = name => (UNITS[name] ? `${named(name)} (${UNITS[name]})` : named(name));
// plotly reads tags in its labels
const plain = text => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const clipped = (text, most = 28) => (String(text).length > most ? `${String(text).slice(0, most - 1)}…` : String(text));
const duration = seconds => (isNumber(seconds) ? (seconds < 90 ? `${shown(seconds)} s` : seconds < 5400 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`) : "–");
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
const note = text => make("p", { class: "faint" }, text);
const warning = text => make("p", { class: "warning" }, text);
const unique = values => [...new Set(values)];
const moment = time => (time ? `${time.slice(0, 16).replace("T", " ")} UTC` : "–");
function median(values) {
  const known = values.filter(isNumber).sort((a, b) => a - b), half = Math.floor(known.length / 2);
  return known.length ? (known.length % 2 ? known[half] : (known[half - 1] + known[half]) / 2) : null;
}

// ---- arrays are packed as base64 of their little-endian bytes; they are unpacked when they are drawn ----
const BYTES = { u4: Uint32Array, i2: Int16Array, f4: Float32Array };
function unpack(text, kind) {
  const bytes = Uint8Array.from(atob(text), character => character.charCodeAt(0));
  return [...new BYTES[kind](bytes.buffer)];
}

// ---- sections ----
function section(name, title, ...children) {
  document.querySelector("nav").append(make("a", { href: `#${name}` }, title));
  const place = make("section", { id: name, "aria-labelledby": `${name}-title` }, make("h2", { id: `${name}-title` }, title), ...children);
  document.querySelector("main").append(place);
  return place;
}
function facts(pairs) {
  return make("dl", {}, ...pairs.map(([name, value, hint]) => make("div", { title: hint }, make("dt", {}, name), make("dd", {}, shown(value)))));
}
async function copy(text, button) {
  const before = button.dataset.label || (button.dataset.label = button.textContent);
  try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; }
  catch { // a file has no clipboard in some browsers
    const field = make("textarea", { class: "hidden", "aria-hidden": "true" });
    field.value = text;
    button.after(field);
    field.select();
    button.textContent = document.execCommand("copy") ? "Copied" : "Can't copy";
    field.remove();
  }
  setTimeout(() => { button.textContent = before; }, 1500);
}
const copyButton = (text, name, title) => make("button", { type: "button", class: "small", "aria-label": title, onclick: event => copy(text, event.currentTarget) }, name);
function theme() {
  const button = document.getElementById("theme"), root = document.documentElement, system = matchMedia("(prefers-color-scheme: dark)");
  const set = dark => {
    root.classList.toggle("dark", dark);
    button.setAttribute("aria-pressed", String(dark));
    redraw();
  };
  button.addEventListener("click", () => set(!root.classList.contains("dark")));
  system.addEventListener("change", event => set(event.matches));
  set(system.matches);
}
