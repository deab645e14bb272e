// Values where a figure is pointed at, touched, or gone through by the arrow keys.
(() => {
  "use strict";
  // How near a pointer comes to a point that it means, in pixels of the screen.
  const REACH = 32;

  const shown = (value) => (value === null ? "no number" : String(Number(value.toPrecision(4))).replace("-", "−"));
  const inField = ({ names, x, y, values }, i, j) =>
    [`${names[0]} = ${shown(x[i])}`, `${names[1]} = ${shown(y[j])}`, `${names[2]} = ${shown(values[j][i])}`];
  const nearest = (list, at) =>
    list.reduce((best, value, index) => (Math.abs(value - at) < Math.abs(list[best] - at) ? index : best), 0);

  class Reader {
    constructor(picture, data) {
      Object.assign(this, { picture, data, at: -1, cell: null });
      this.tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
      this.tip.setAttribute("role", "status");
      this.ring = Object.assign(document.createElement("div"), { className: "ring", hidden: true });
      picture.append(this.ring, this.tip);
      for (const kind of ["pointermove", "pointerdown"]) picture.addEventListener(kind, (event) => this.point(event));
      picture.addEventListener("pointerleave", () => this.hide());
      picture.addEventListener("blur", () => this.hide());
      picture.addEventListener("keydown", (event) => this.step(event));
    }

    get scale() { return this.picture.querySelector("svg").getBoundingClientRect().width / this.data.width; }

    point(event) {
      const box = this.picture.getBoundingClientRect();
      const [x, y] = [(event.clientX - box.left) / this.scale, (event.clientY - box.top) / this.scale];
      const spot = this.nearestSpot(x, y);
      if (spot) return this.show(spot[0], spot[1], spot[2]);
      const cell = this.cellAt(x, y);
      return cell ? this.showCell(cell) : this.hide();
    }

    nearestSpot(x, y) {
      let [best, least] = [null, REACH / this.scale];
      for (const spot of this.data.spots) {
        const distance = Math.hypot(spot[0] - x, spot[1] - y);
        if (distance < least) [best, least] = [spot, distance];
      }
      return best;
    }

    // The point of the field's grid below a pixel.
    cellAt(px, py) {
      const { field } = this.data;
      if (!field || !field.seen.above) return null;
      const [left, top, right, bottom] = field.seen.above;
      if (px < left || px > right || py < top || py > bottom) return null;
      const along = ([low, high], part, axis) => {
        const value = low + part * (high - low);
        return value < axis[0] || value > axis[axis.length - 1] ? null : nearest(axis, value);
      };
      const cell = [
        along(field.over[0], (px - left) / (right - left), field.x),
        along(field.over[1], (bottom - py) / (bottom - top), field.y),
      ];
      return cell.includes(null) ? null : cell;
    }

    showCell([i, j]) {
      const { field } = this.data;
      const [left, top, right, bottom] = field.seen.above;
      const part = ([low, high], at) => (at - low) / (high - low);
      this.cell = [i, j];
      const x = left + part(field.over[0], field.x[i]) * (right - left);
      const y = bottom - part(field.over[1], field.y[j]) * (bottom - top);
      this.show(x, y, inField(field, i, j));
    }

    show(x, y, words) {
      const { scale, tip, ring, picture } = this;
      tip.textContent = words.join("\n");
      tip.hidden = ring.hidden = false;
      Object.assign(ring.style, { left: `${x * scale}px`, top: `${y * scale}px` });
      const left = Math.max(0, Math.min(x * scale + 14, picture.clientWidth - tip.offsetWidth));
      const below = y * scale + 14;
      const top = below + tip.offsetHeight > picture.clientHeight ? y * scale - 14 - tip.offsetHeight : below;
      Object.assign(tip.style, { left: `${left}px`, top: `${top}px` });
    }

    hide() { this.tip.hidden = this.ring.hidden = true; }

    step(event) {
      const move = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (event.key === "Escape") this.hide();
      if (!move) return;
      event.preventDefault();
      const { spots, field } = this.data;
      if (spots.length) {
        this.at = (this.at + move[0] + move[1] + spots.length + (this.at < 0 && move[0] + move[1] < 0 ? 1 : 0)) % spots.length;
        this.show(...spots[this.at]);
      } else if (field && field.seen.above) {
        const sizes = [field.x.length, field.y.length];
        const from = this.cell || sizes.map((size) => Math.floor(size / 2));
        this.showCell(from.map((at, axis) => Math.max(0, Math.min(sizes[axis] - 1, at + move[axis]))));
      }
    }
  }

  for (const picture of document.querySelectorAll(".picture")) {
    const source = picture.parentElement.querySelector("script.readings");
    const data = JSON.parse(source.textContent);
    if (data.field && data.field.seen.aslant) continue;
    if (!data.spots.length && !data.field) continue;
    picture.tabIndex = 0;
    picture.setAttribute("role", "group");
    picture.setAttribute("aria-label", `${picture.parentElement.querySelector("h3").textContent}: arrow keys go through its values`);
    new Reader(picture, data);
  }
})();
