// Curves: lines over steps, drawn once, under a cursor that follows the timeline.

PANELS.curves = class Curves {
  constructor(spec, film) {
    this.spec = spec;
    this.film = film;
    this.log = false;
    this.canvas = element("canvas", "cv-canvas cv-curves", { role: "img" });
    this.keys = spec.curves.map((curve, i) => {
      const value = element("span", "cv-key-value");
      const swatch = element("span", "cv-key-line", { style: `background:${curve.colour}` });
      return { value, root: element("span", "cv-key", {}, swatch, curve.name, value), index: i };
    });
    this.toggle = element("button", "cv-button", { type: "button", "aria-pressed": "false" }, "log scale");
    this.toggle.addEventListener("click", () => {
      this.log = !this.log;
      this.toggle.setAttribute("aria-pressed", String(this.log));
      this.layout(this.available);
      this.paint(undefined, this.step);
    });
    const head = element("div", "cv-keys", {}, ...this.keys.map((key) => key.root), this.toggle);
    this.root = element("div", "cv-stack cv-wide", {}, head, this.canvas);
    this.backing = element("canvas");
    this.canvas.addEventListener("pointerdown", (event) => this.pick(event));
    this.canvas.addEventListener("pointermove", (event) => {
      if (event.buttons) this.pick(event);
    });
  }

  layout(available) {
    this.available = available;
    this.cssWidth = Math.max(260, available);
    this.cssHeight = Math.max(220, Math.min(460, this.cssWidth * 0.45, window.innerHeight - this.top() - 84));
    this.box = { left: 58, right: 18, top: 12, bottom: 44 };
    this.measure();
    this.context = sizeCanvas(this.canvas, this.cssWidth, this.cssHeight);
    const back = sizeCanvas(this.backing, this.cssWidth, this.cssHeight);
    const ratio = this.backing.width / this.cssWidth;
    back.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.drawAxes(back);
    this.spec.curves.forEach((curve) => this.drawCurve(back, curve));
    this.ratio = ratio;
  }

  top() {
    return this.canvas.getBoundingClientRect().top + window.scrollY;
  }

  measure() {
    const { curves } = this.spec;
    const steps = curves.flatMap((curve) => (curve.steps.length ? [curve.steps[0], curve.steps.at(-1)] : []));
    const values = curves.flatMap((curve) => curve.values.filter((v) => v !== null && (!this.log || v > 0)));
    this.firstStep = Math.min(0, ...steps);
    this.lastStep = Math.max(1, ...steps, ...this.film.steps.slice(-1));
    const top = values.length ? values.reduce((a, b) => Math.max(a, b)) : 1;
    const bottom = values.length ? values.reduce((a, b) => Math.min(a, b)) : 0;
    this.high = (this.log ? top * 1.15 : top * 1.06) || 1;
    this.low = this.log ? bottom / 1.15 : Math.min(0, bottom);
    if (this.log && !values.length) [this.low, this.high] = [0.01, 1];
  }

  x(step) {
    const { left, right } = this.box;
    const part = (step - this.firstStep) / (this.lastStep - this.firstStep || 1);
    return left + part * (this.cssWidth - left - right);
  }

  y(value) {
    const { top, bottom } = this.box;
    const place = this.log
      ? Math.log(value / this.low) / Math.log(this.high / this.low)
      : (value - this.low) / (this.high - this.low);
    return this.cssHeight - bottom - place * (this.cssHeight - top - bottom);
  }

  drawAxes(context) {
    const { left, right, bottom } = this.box;
    context.font = "12px system-ui, sans-serif";
    context.fillStyle = themeColour(this.root, "--cv-muted");
    context.strokeStyle = themeColour(this.root, "--cv-line");
    context.lineWidth = 1;
    context.textAlign = "right";
    context.textBaseline = "middle";
    (this.log ? logTicks(this.low, this.high) : ticks(this.low, this.high, 6)).forEach((value) => {
      const y = Math.round(this.y(value)) + 0.5;
      line(context, left, y, this.cssWidth - right, y);
      context.fillText(this.spec.percent ? tickPercent(value) : readable(value), left - 8, y);
    });
    context.textAlign = "center";
    context.textBaseline = "top";
    const count = Math.max(2, Math.floor(this.cssWidth / 110));
    ticks(this.firstStep, this.lastStep, count)
      .filter((step) => Number.isInteger(step))
      .forEach((step) => context.fillText(step.toLocaleString("en"), this.x(step), this.cssHeight - bottom + 8));
    context.fillText("step", (left + this.cssWidth - right) / 2, this.cssHeight - 16);
    context.save();
    context.translate(12, (this.box.top + this.cssHeight - bottom) / 2);
    context.rotate(-Math.PI / 2);
    context.fillText(this.spec.unit, 0, -6);
    context.restore();
  }

  drawCurve(context, curve) {
    context.strokeStyle = curve.colour;
    context.fillStyle = curve.colour;
    context.lineWidth = 1.75;
    context.lineJoin = "round";
    context.beginPath();
    let drawn = 0;
    let pen = false;
    curve.steps.forEach((step, i) => {
      const value = curve.values[i];
      if (value === null || (this.log && value <= 0)) {
        pen = false;
        return;
      }
      if (pen) context.lineTo(this.x(step), this.y(value));
      else context.moveTo(this.x(step), this.y(value));
      pen = true;
      drawn += 1;
    });
    context.stroke();
    if (drawn === 1) {
      const i = curve.values.findIndex((value) => value !== null);
      this.dot(context, curve, i, 4);
    }
  }

  dot(context, curve, i, radius) {
    const value = curve.values[i];
    if (value === null || value === undefined || (this.log && value <= 0)) return;
    context.fillStyle = curve.colour;
    context.beginPath();
    context.arc(this.x(curve.steps[i]), this.y(value), radius, 0, 2 * Math.PI);
    context.fill();
  }

  paint(_frame, step) {
    this.step = step;
    const { context } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.drawImage(this.backing, 0, 0);
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    if (step !== undefined && step !== null) {
      context.strokeStyle = themeColour(this.root, "--cv-accent");
      context.lineWidth = 1.5;
      const x = this.x(step);
      line(context, x, this.box.top, x, this.cssHeight - this.box.bottom);
    }
    const said = this.keys.map((key) => this.readAt(key, step));
    this.canvas.setAttribute("aria-label", `${this.film.title}, step ${step ?? "-"}: ${said.join(", ")}`);
  }

  /** Show the last value of a curve at or before `step`. */
  readAt(key, step) {
    const curve = this.spec.curves[key.index];
    const at = step === undefined || step === null ? curve.steps.length : lowerBound(curve.steps, step + 1);
    const value = at > 0 ? curve.values[at - 1] : null;
    const text = value === null ? "–" : this.spec.percent ? percentage(value) : readable(value);
    key.value.textContent = text;
    if (at > 0 && step !== undefined && step !== null) this.dot(this.context, curve, at - 1, 3.5);
    return `${curve.name} ${text}`;
  }

  /** Let a click on the curves move the timeline there. */
  pick(event) {
    const { left, right } = this.box;
    const part = (event.offsetX - left) / (this.cssWidth - left - right);
    this.film.seek(this.firstStep + part * (this.lastStep - this.firstStep));
  }
};

function line(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}

/** About `count` round numbers from low to high. */
function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const result = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) result.push(i * step || 0);
  return result;
}

function logTicks(low, high) {
  const result = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    [1, 2, 5].map((m) => m * 10 ** power).forEach((v) => v >= low && v <= high && result.push(v));
  }
  return result;
}

function tickPercent(value) {
  return `${Number((value * 100).toPrecision(3))} %`;
}
