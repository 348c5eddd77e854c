// Line charts as SVG, read by pointer or arrow keys: one x for all series, a cursor, and a line of text for what it shows.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 900, HEIGHT = 260, LEFT = 62, RIGHT = 16, TOP = 12, BOTTOM = 34;

function shape(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function niceTicks(low, high, count) {
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= raw);
  const ticks = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step / 1e6; value += step) ticks.push(value);
  return ticks;
}

function marker(kind, x, y, colour) {
  const fill = { fill: colour };
  if (kind === 0) return shape("circle", { cx: x, cy: y, r: 3.2, ...fill });
  if (kind === 1) return shape("rect", { x: x - 3, y: y - 3, width: 6, height: 6, ...fill });
  if (kind === 2) return shape("path", { d: `M${x} ${y - 4.2}l4 7h-8z`, ...fill });
  return shape("path", { d: `M${x} ${y - 4.4}l4.4 4.4-4.4 4.4-4.4-4.4z`, ...fill });
}

// series: [{name, colour, dash, shape, points: [[x, y, sign?], ...]}]; x ascending.
export class LineChart {
  constructor(frame, readout, { label, formatX, formatY, low = null, high = null }) {
    Object.assign(this, { frame, readout, label, formatX, formatY, low, high, series: [], at: null });
    frame.addEventListener("keydown", (event) => this.onKey(event));
    frame.addEventListener("pointermove", (event) => this.onPointer(event));
    frame.addEventListener("pointerleave", () => this.moveTo(null));
  }

  show(series) {
    this.series = series;
    this.xs = [...new Set(series.flatMap((line) => line.points.map(([x]) => x)))].sort((a, b) => a - b);
    this.draw();
  }

  scaleX(x) {
    const [first, last] = [this.xs[0], this.xs[this.xs.length - 1]];
    return first === last ? (LEFT + WIDTH - RIGHT) / 2 : LEFT + (x - first) / (last - first) * (WIDTH - LEFT - RIGHT);
  }

  draw() {
    const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": this.describe() });
    const values = this.series.flatMap((line) => line.points.map(([, y]) => y));
    if (!values.length) {
      svg.append(shape("text", { x: WIDTH / 2, y: HEIGHT / 2, "text-anchor": "middle", class: "empty" }, "Nothing to show yet"));
      this.frame.replaceChildren(svg);
      return;
    }
    let low = this.low ?? Math.min(...values), high = this.high ?? Math.max(...values);
    const pad = (high - low) * 0.06 || Math.abs(high) * 0.05 || 1;
    low = this.low ?? Math.max(low - pad, 0);
    high = this.high ?? high + pad;
    this.scaleY = (y) => TOP + (high - y) / (high - low) * (HEIGHT - TOP - BOTTOM);
    this.drawAxes(svg, low, high);
    for (const line of this.series) this.drawLine(svg, line);
    this.cursor = shape("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden", x1: 0, x2: 0 });
    svg.append(this.cursor);
    this.frame.replaceChildren(svg);
    if (this.at !== null && this.xs.includes(this.at)) this.moveTo(this.at);
  }

  drawAxes(svg, low, high) {
    for (const value of niceTicks(low, high, 5)) {
      const y = this.scaleY(value);
      svg.append(shape("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y }));
      svg.append(shape("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" }, this.formatY(value)));
    }
    const every = Math.max(1, Math.ceil(this.xs.length / 12));
    this.xs.forEach((x, index) => {
      if (index % every === 0) svg.append(shape("text", { x: this.scaleX(x), y: HEIGHT - BOTTOM + 18, "text-anchor": "middle" }, x));
    });
    svg.append(shape("text", { x: WIDTH - RIGHT, y: HEIGHT - 2, "text-anchor": "end" }, this.formatX));
  }

  drawLine(svg, line) {
    const path = line.points.map(([x, y], index) => `${index ? "L" : "M"}${this.scaleX(x).toFixed(1)} ${this.scaleY(y).toFixed(1)}`).join("");
    svg.append(shape("path", { d: path, fill: "none", stroke: line.colour, "stroke-width": 2.2, "stroke-dasharray": line.dash || "none" }));
    const every = Math.max(1, Math.ceil(line.points.length / 25));
    line.points.forEach(([x, y, sign], index) => {
      if (sign) svg.append(shape("text", { x: this.scaleX(x), y: this.scaleY(y) - 8, "text-anchor": "middle" }, sign));
      if (sign || index % every === 0) svg.append(marker(line.shape, this.scaleX(x), this.scaleY(y), line.colour));
    });
  }

  describe() {
    const parts = this.series.filter((line) => line.points.length).map((line) => `${line.name} ${this.formatY(line.points[line.points.length - 1][1])}`);
    return `${this.label}. Latest: ${parts.join(", ") || "nothing yet"}.`;
  }

  onKey(event) {
    if (!this.xs?.length) return;
    const index = this.xs.indexOf(this.at);
    const moves = { ArrowLeft: index < 0 ? this.xs.length - 1 : index - 1, ArrowRight: index < 0 ? 0 : index + 1, Home: 0, End: this.xs.length - 1 };
    if (event.key === "Escape") this.moveTo(null);
    if (!(event.key in moves)) return;
    event.preventDefault();
    this.moveTo(this.xs[Math.min(Math.max(moves[event.key], 0), this.xs.length - 1)]);
  }

  onPointer(event) {
    const box = this.frame.firstElementChild?.getBoundingClientRect();
    if (!box || !this.xs?.length) return;
    const x = (event.clientX - box.left) / box.width * WIDTH;
    this.moveTo(this.xs.reduce((best, candidate) => Math.abs(this.scaleX(candidate) - x) < Math.abs(this.scaleX(best) - x) ? candidate : best));
  }

  moveTo(x) {
    this.at = x;
    if (!this.cursor) return;
    this.cursor.setAttribute("visibility", x === null ? "hidden" : "visible");
    if (x === null) { this.readout.textContent = ""; return; }
    this.cursor.setAttribute("x1", this.scaleX(x));
    this.cursor.setAttribute("x2", this.scaleX(x));
    const found = this.series.map((line) => [line, line.points.find(([at]) => at === x)]).filter(([, point]) => point);
    this.readout.textContent = `${this.formatX} ${x}: ` + found.map(([line, point]) => `${line.name} ${this.formatY(point[1])}${point[2] ? ` ${point[2]}` : ""}`).join(", ");
  }
}
