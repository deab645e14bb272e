// Surfaces that turn. Drawn on a plain canvas: a height field over a grid has an exact order from back to front, so that
// neither a depth buffer nor a library of many times this page's size is needed. The same box, colours and light as in
// the picture that stands here without script, and in print.
(() => {
  "use strict";
  const SHADE = 0.45;
  const MESH = 0.8;
  const LIGHT = [-0.5, 0.6, 0.62];
  const STEP = Math.PI / 36;
  const [LEAST_ZOOM, MOST_ZOOM] = [0.6, 6];
  const LETTERS = 24;
  // How near a pointer comes to a point that it means, in pixels of the screen.
  const REACH = 24;

  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const minus = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const within = (value, low, high) => Math.max(low, Math.min(high, value));
  const shown = (value) => String(Number(value.toPrecision(4))).replace("-", "−");

  const decoded = (channel) => (channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4);
  const encoded = (channel) => (channel <= 0.0031308 ? 12.92 * channel : 1.055 * channel ** (1 / 2.4) - 0.055);
  const linear = (hex) => [1, 3, 5].map((from) => decoded(parseInt(hex.slice(from, from + 2), 16) / 255));
  const lit = (color, brightness) => `rgb(${color.map((channel) => Math.round(255 * encoded(channel * brightness))).join()})`;

  // Round numbers between two ends, and their labels.
  const ticks = (low, high, logarithmic) => {
    if (logarithmic && Math.log10(high / low) >= 2) {
      const stride = Math.ceil(Math.log10(high / low) / 5);
      const found = [];
      for (let power = Math.ceil(Math.log10(low)); power <= Math.log10(high); power += stride) found.push(10 ** power);
      return found;
    }
    const rough = (high - low) / 5;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= 0.999 * rough);
    const found = [];
    for (let at = Math.ceil(low / step); at * step <= high * (1 + 1e-12); at += 1) found.push(at * step);
    return found;
  };

  class Surface {
    constructor(figure, field) {
      this.field = field;
      this.start = field.seen.aslant;
      this.picture = figure.querySelector(".picture");
      this.canvas = document.createElement("canvas");
      this.canvas.tabIndex = 0;
      this.canvas.setAttribute("role", "img");
      this.canvas.setAttribute("aria-label", `${figure.querySelector("h3").textContent}: drag or arrow keys turn it`);
      this.tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
      this.tip.setAttribute("role", "status");
      this.picture.append(this.canvas, this.tip);
      const hint = Object.assign(document.createElement("p"), { className: "hint" });
      hint.textContent = "Drag or use the arrow keys to turn it, pinch, scroll (once clicked) or press + and − to zoom, 0 to begin again.";
      this.picture.after(hint);
      this.picture.classList.add("turning");
      this.colors = field.colors.map(linear);
      this.build();
      this.reset();
      this.listen();
      this.paint();
    }

    // From 0 to 1 between the lowest and the highest value.
    height(value) {
      const [low, high] = this.field.ends;
      const at = this.field.logarithmic ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
      return within(Number.isNaN(at) ? 0 : at, 0, 1);
    }

    build() {
      const { x, y, values } = this.field;
      const [[x0, x1], [y0, y1]] = this.field.over;
      const tall = this.start.height;
      this.places = y.map((b, j) => x.map((a, i) => (values[j][i] === null ? null : [
        (2 * (a - x0)) / (x1 - x0) - 1, (2 * (b - y0)) / (y1 - y0) - 1, tall * (2 * this.height(values[j][i]) - 1)])));
      this.cells = y.slice(1).map((_, j) => x.slice(1).map((_, i) => this.cell(i, j)));
    }

    cell(i, j) {
      const corners = [this.places[j][i], this.places[j][i + 1], this.places[j + 1][i + 1], this.places[j + 1][i]];
      if (corners.some((corner) => corner === null)) return null;
      const normal = cross(minus(corners[2], corners[0]), minus(corners[3], corners[1]));
      const length = Math.sqrt(dot(normal, normal));
      const middle = corners.reduce((sum, corner) => sum + corner[2], 0) / 4;
      const at = (middle / this.start.height + 1) / 2;
      const color = this.colors[Math.round(within(at, 0, 1) * (this.colors.length - 1))];
      return { corners, normal: normal.map((part) => part / length), color };
    }

    reset() {
      this.azimuth = this.start.azimuth;
      this.elevation = this.start.elevation;
      this.zoom = 1;
    }

    turn(azimuth, elevation) {
      this.azimuth += azimuth;
      this.elevation = within(this.elevation + elevation, 0, Math.PI / 2);
      this.paint();
    }

    enlarge(factor) {
      this.zoom = within(this.zoom * factor, LEAST_ZOOM, MOST_ZOOM);
      this.paint();
    }

    project() {
      const [sin, cos, rise, run] = [Math.sin(this.azimuth), Math.cos(this.azimuth), Math.sin(this.elevation), Math.cos(this.elevation)];
      this.right = [-sin, cos, 0];
      this.up = [-rise * cos, -rise * sin, run];
      this.eye = [run * cos, run * sin, rise];
    }

    on(place) { return [this.middle[0] + this.unit * dot(place, this.right), this.middle[1] - this.unit * dot(place, this.up)]; }

    paint() {
      if (this.waiting) return;
      this.waiting = true;
      requestAnimationFrame(() => { this.waiting = false; this.draw(); });
    }

    draw() {
      const { canvas } = this;
      const width = this.picture.clientWidth;
      if (!width) return;
      // Letters do not shrink with the picture.
      const tall = Math.round(0.74 * width) + LETTERS;
      const sharp = window.devicePixelRatio || 1;
      [canvas.width, canvas.height] = [Math.round(width * sharp), Math.round(tall * sharp)];
      canvas.style.height = `${tall}px`;
      const pen = canvas.getContext("2d");
      pen.scale(sharp, sharp);
      pen.lineJoin = "round";
      const style = getComputedStyle(this.picture);
      const probe = (name) => { this.picture.style.outlineColor = `var(${name})`; const found = getComputedStyle(this.picture).outlineColor; this.picture.style.outlineColor = ""; return found; };
      const inks = { ink: style.color, grid: probe("--grid") };
      this.project();
      this.unit = this.zoom * 0.255 * width;
      this.middle = [0.53 * width, 0.47 * (tall - LETTERS)];
      pen.font = `${within(width / 36, 11, 16)}px ${style.fontFamily}`;
      this.drawBox(pen, inks);
      for (const cell of this.backToFront()) this.drawCell(pen, cell);
    }

    backToFront() {
      const order = (list, towards) => (towards > 0 ? list : [...list].reverse());
      return order(this.cells, this.eye[1]).flatMap((row) => order(row, this.eye[0])).filter((cell) => cell);
    }

    drawCell(pen, { corners, normal, color }) {
      const seen = [this.right, this.up, this.eye].map((direction) => dot(normal, direction));
      const brightness = SHADE + (1 - SHADE) * within(dot(seen, LIGHT), 0, 1);
      pen.beginPath();
      corners.forEach((corner, index) => pen[index ? "lineTo" : "moveTo"](...this.on(corner)));
      pen.closePath();
      pen.fillStyle = lit(color, brightness);
      pen.fill();
      pen.lineWidth = 0.6;
      pen.strokeStyle = lit(color, brightness * (this.unit / this.cells.length > 3 ? MESH : 1));
      pen.stroke();
    }

    drawBox(pen, { ink, grid }) {
      const tall = this.start.height;
      const near = [this.eye[0] > 0 ? 1 : -1, this.eye[1] > 0 ? 1 : -1];
      const line = (color, places) => {
        pen.beginPath();
        places.forEach((place, index) => pen[index ? "lineTo" : "moveTo"](...this.on(place)));
        pen.strokeStyle = color;
        pen.lineWidth = 1;
        pen.stroke();
      };
      const { over, ends, logarithmic, names } = this.field;
      const along = (axis) => {
        const [low, high] = over[axis];
        return ticks(low, high, false).map((value) => [(2 * (value - low)) / (high - low) - 1, shown(value)]);
      };
      const sides = [along(0), along(1), ends[0] < ends[1] ? ticks(...ends, logarithmic).map((value) => [tall * (2 * this.height(value) - 1), shown(value)]) : []];
      for (const at of [...sides[0].map(([at]) => at), -1, 1]) line(grid, [[at, near[1], -tall], [at, -near[1], -tall], [at, -near[1], tall]]);
      for (const at of [...sides[1].map(([at]) => at), -1, 1]) line(grid, [[near[0], at, -tall], [-near[0], at, -tall], [-near[0], at, tall]]);
      for (const at of [...sides[2].map(([at]) => at), -tall, tall]) line(grid, [[near[0], -near[1], at], [-near[0], -near[1], at], [-near[0], near[1], at]]);
      const upright = [[-near[0], near[1]], [near[0], -near[1]]].sort((one, other) => this.on([...one, 0])[0] - this.on([...other, 0])[0])[0];
      const edges = [
        { place: (at) => [at, near[1], -tall], out: [0, near[1], 0], half: 1 },
        { place: (at) => [near[0], at, -tall], out: [near[0], 0, 0], half: 1 },
        { place: (at) => [...upright, at], out: upright[0] === near[0] ? [near[0], 0, 0] : [0, near[1], 0], half: tall },
      ];
      const taken = [];
      edges.forEach((edge, axis) => this.drawEdge(pen, { ...edge, ink, taken, ticks: sides[axis], name: names[axis] }, line));
    }

    drawEdge(pen, { place, out, half, ink, taken, ticks: marked, name }, line) {
      line(ink, [place(-half), place(half)]);
      const [from, to] = [this.on(place(-half)), this.on(place(half))];
      const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
      // Seen end on it has no room for its scale.
      if (length < 30) return;
      const middle = this.on(place(0));
      let away = [(to[1] - from[1]) / length, (from[0] - to[0]) / length];
      if (away[0] * (middle[0] - this.middle[0]) + away[1] * (middle[1] - this.middle[1]) < 0) away = away.map((part) => -part);
      const size = parseFloat(pen.font);
      [pen.fillStyle, pen.textAlign, pen.textBaseline] = [ink, "center", "middle"];
      let widest = 0;
      for (const [at, label] of marked) {
        const foot = place(at);
        const tip = foot.map((part, axis) => part + 0.03 * out[axis]);
        line(ink, [foot, tip]);
        const wide = pen.measureText(label).width;
        const reach = 4 + (Math.abs(away[0]) * wide + Math.abs(away[1]) * size) / 2;
        const [x, y] = this.on(tip).map((part, axis) => part + reach * away[axis]);
        if (taken.some(([a, b, other]) => Math.abs(x - a) < (wide + other) / 2 + 6 && Math.abs(y - b) < size)) continue;
        taken.push([x, y, wide]);
        widest = Math.max(widest, wide);
        pen.fillText(label, x, y);
      }
      const beyond = 0.03 * this.unit + 10 + Math.abs(away[0]) * (widest + size) + Math.abs(away[1]) * 1.9 * size;
      pen.save();
      pen.translate(middle[0] + beyond * away[0], middle[1] + beyond * away[1]);
      if (out[2] === 0 && half !== 1) pen.rotate(-Math.PI / 2);
      const wide = pen.measureText(name).width;
      const room = this.picture.clientWidth;
      const x = half === 1 ? within(middle[0] + beyond * away[0], wide / 2, room - wide / 2) - middle[0] - beyond * away[0] : 0;
      // Moved back onto the page it would run into the labels.
      pen.fillText(name, x, x === 0 ? 0 : 1.2 * size);
      pen.restore();
    }

    // The grid's point nearest to a place on the screen, of those at one place the one in front.
    pick(px, py) {
      let best = null;
      this.places.forEach((row, j) => row.forEach((place, i) => {
        if (!place) return;
        const [x, y] = this.on(place);
        const distance = Math.hypot(x - px, y - py);
        if (distance > REACH) return;
        const rank = distance - 12 * dot(place, this.eye);
        if (!best || rank < best.rank) best = { rank, i, j, x, y };
      }));
      return best;
    }

    tell(event) {
      const box = this.canvas.getBoundingClientRect();
      const found = this.pick(event.clientX - box.left, event.clientY - box.top);
      this.tip.hidden = !found;
      if (!found) return;
      const { names, x, y, values } = this.field;
      this.tip.textContent = [[names[0], x[found.i]], [names[1], y[found.j]], [names[2], values[found.j][found.i]]]
        .map(([name, value]) => `${name} = ${shown(value)}`).join("\n");
      const left = within(found.x + 14, 0, this.picture.clientWidth - this.tip.offsetWidth);
      Object.assign(this.tip.style, { left: `${left}px`, top: `${found.y + 14}px` });
    }

    listen() {
      const { canvas } = this;
      const fingers = new Map();
      const spread = () => { const [one, other] = [...fingers.values()]; return Math.hypot(one[0] - other[0], one[1] - other[1]); };
      canvas.addEventListener("pointerdown", (event) => {
        fingers.set(event.pointerId, [event.clientX, event.clientY]);
        canvas.setPointerCapture(event.pointerId);
        this.tell(event);
      });
      canvas.addEventListener("pointermove", (event) => {
        const before = fingers.get(event.pointerId);
        if (!before) return this.tell(event);
        this.tip.hidden = true;
        const apart = fingers.size === 2 ? spread() : 0;
        fingers.set(event.pointerId, [event.clientX, event.clientY]);
        if (fingers.size === 2) return this.enlarge(spread() / apart);
        return this.turn(-(event.clientX - before[0]) / 120, (event.clientY - before[1]) / 120);
      });
      for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, (event) => fingers.delete(event.pointerId));
      canvas.addEventListener("pointerleave", () => { this.tip.hidden = true; });
      canvas.addEventListener("wheel", (event) => {
        // The page scrolls over it until it is clicked.
        if (document.activeElement !== canvas) return;
        event.preventDefault();
        this.enlarge(Math.exp(-event.deltaY / 500));
      }, { passive: false });
      canvas.addEventListener("keydown", (event) => {
        const turns = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };
        const zooms = { "+": 1.2, "=": 1.2, "-": 1 / 1.2 };
        if (turns[event.key]) this.turn(...turns[event.key]);
        else if (zooms[event.key]) this.enlarge(zooms[event.key]);
        else if (event.key === "0") { this.reset(); this.paint(); } else return;
        event.preventDefault();
      });
      new ResizeObserver(() => this.paint()).observe(this.picture);
      document.addEventListener("look", () => this.paint());
    }
  }

  for (const figure of document.querySelectorAll("figure")) {
    const source = figure.querySelector("script.readings");
    const field = source && JSON.parse(source.textContent).field;
    if (field && field.seen.aslant && document.createElement("canvas").getContext("2d")) new Surface(figure, field);
  }
})();
