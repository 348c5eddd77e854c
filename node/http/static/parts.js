// What the pages are made of: elements, words for numbers, and colours that everybody can tell apart.

// Names come from other institutions, so text is only ever set as text.
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") made.addEventListener("click", value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined).map((child) => child instanceof Node ? child : String(child)));
  return made;
}

export function replace(parent, ...children) {
  parent.replaceChildren(...children);
}

export const byId = (id) => document.getElementById(id);

// Fills a table's body by key, so that a row that stays keeps its place, its focus and its open details.
export function fillRows(body, rows) {
  const known = new Map([...body.children].map((row) => [row.dataset.key, row]));
  const wanted = rows.map(({ key, make }) => {
    const fresh = make();
    fresh.dataset.key = key;
    const old = known.get(key);
    if (old && old.outerHTML === fresh.outerHTML) return old;
    return fresh;
  });
  const isSame = wanted.length === body.children.length && wanted.every((row, index) => row === body.children[index]);
  if (!isSame) body.replaceChildren(...wanted);
}

const MICRO = 1_000_000;

export function formatTokens(micro) {
  return (micro / MICRO).toLocaleString("en", { maximumFractionDigits: 6 });
}

export function formatBytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let index = 0;
  while (count >= 1000 && index < units.length - 1) { count /= 1000; index += 1; }
  return `${count.toFixed(index && count < 10 ? 1 : 0)} ${units[index]}`;
}

export function formatDuration(ms) {
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

export const shorten = (digest) => digest.slice(0, 8);

export function code(digest) {
  return element("code", { title: digest }, shorten(digest));
}

// Okabe and Ito's colours, each with a dash pattern of its own from the second round through them on.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8f98"];
const DASHES = ["", "7 4", "2 3", "9 3 2 3"];

export function styleOf(index) {
  return { colour: COLOURS[index % COLOURS.length], dash: DASHES[Math.floor(index / COLOURS.length + (index % 2 ? 1 : 0)) % DASHES.length], shape: index % 4 };
}

const VERDICTS = { ACCEPT: ["✓", "accepted", "accept"], REJECT: ["✗", "rejected", "reject"], VOID: ["○", "void", "void"] };

export function verdict(name) {
  const [sign, word, kind] = VERDICTS[name];
  return element("span", { class: kind, "data-verdict": name }, `${sign} ${word}`);
}

export const verdictSign = (name) => VERDICTS[name][0];

export function tick(isDone, isDue = true) {
  if (!isDue) return element("span", { class: "quiet" }, "–");
  return isDone ? element("span", { class: "accept" }, "✓ yes") : element("span", { class: "quiet" }, "waiting");
}
