// Mosaic: a grid of small pictures on one colour scale, painted on one canvas.

const PANELS = {};
const EXACT_AFTER_MILLISECONDS = 80;

PANELS.mosaic = class Mosaic {
  constructor(spec, film) {
    this.spec = spec;
    this.film = film;
    this.scale = new ColourScale(spec.scale, film.tables);
    [this.count, this.height, this.width] = spec.shape;
    this.canvas = element("canvas", "cv-canvas", { role: "img" });
    this.tooltip = element("div", "cv-tooltip", { hidden: "" });
    this.body = element("div", "cv-mosaic", {}, this.canvas, this.tooltip);
    this.legend = new Legend(this.scale);
    this.root = element("div", "cv-stack", {}, this.body, this.legend.root);
    this.cell = new ImageData(this.width, this.height);
    this.pixels = new Uint32Array(this.cell.data.buffer);
    this.stamp = element("canvas", "", { width: this.width, height: this.height });
    this.stampContext = this.stamp.getContext("2d");
    this.canvas.addEventListener("pointermove", (event) => this.hover(event));
    this.canvas.addEventListener("pointerleave", () => this.leave());
  }

  /** Widen the colour scale to what a chunk holds; say whether that changed it. */
  include(panel) {
    const changed = Boolean(panel.scale) && this.scale.include(panel.scale);
    if (changed) this.legend.draw();
    return changed;
  }

  /** Choose cell size and columns for a width in CSS pixels; draw what never changes. */
  layout(available) {
    const ratio = window.devicePixelRatio || 1;
    const roomy = this.count <= 64;
    this.gap = Math.round((roomy ? 6 : 2) * ratio);
    this.labelHeight = roomy ? Math.round(16 * ratio) : 0;
    const width0 = Math.min(available, 1100) * ratio;
    // So that the picture, its legend and the timeline are seen without scrolling.
    const top = this.canvas.getBoundingClientRect().top + window.scrollY;
    const height0 = Math.max(260, window.innerHeight - top - 136) * ratio;
    [this.columns, this.zoom] = this.arrange(width0, height0, (220 * ratio) / Math.max(this.width, this.height));
    this.rows = Math.ceil(this.count / this.columns);
    this.cellWidth = Math.max(1, Math.round(this.width * this.zoom));
    this.cellHeight = Math.max(1, Math.round(this.height * this.zoom));
    const width = this.columns * (this.cellWidth + this.gap) - this.gap;
    const height = this.rows * (this.cellHeight + this.labelHeight + this.gap) - this.gap;
    this.context = sizeCanvas(this.canvas, width / ratio, height / ratio);
    this.context.imageSmoothingEnabled = this.zoom < 1;
    if (this.labelHeight) this.drawLabels(ratio);
    this.legend.layout(Math.max(180, Math.min(width / ratio, 420)));
  }

  /** The columns that let cells be largest within width and height, and their zoom. */
  arrange(width, height, limit) {
    let best = [1, 0, Infinity];
    for (let columns = 1; columns <= this.count; columns += 1) {
      if (this.spec.columns && columns !== this.spec.columns) continue;
      const rows = Math.ceil(this.count / columns);
      const across = (width - this.gap * (columns - 1)) / (columns * this.width);
      const down = (height - (this.gap + this.labelHeight) * rows) / (rows * this.height);
      const cap = this.count === 1 ? Infinity : Math.max(1, limit);
      const fit = Math.max(Math.min(across, down, cap), 0.01);
      // Whole device pixels keep every weight a square of the same size; what is too large for that is scaled.
      const zoom = fit >= 1 ? Math.floor(fit) : fit;
      const empty = rows * columns - this.count;
      if (zoom > best[1] || (zoom === best[1] && empty < best[2])) best = [columns, zoom, empty];
    }
    return best;
  }

  drawLabels(ratio) {
    this.context.font = `${Math.round(11 * ratio)}px system-ui, sans-serif`;
    this.context.fillStyle = themeColour(this.root, "--cv-muted");
    this.context.textAlign = "center";
    this.context.textBaseline = "top";
    for (let i = 0; i < this.count; i += 1) {
      const [x, y] = this.place(i);
      const label = this.spec.labels[i];
      const short = label.split(" ").pop();
      const text = this.context.measureText(label).width <= this.cellWidth ? label : short;
      this.context.fillText(text, x + this.cellWidth / 2, y + this.cellHeight + 3 * ratio);
    }
  }

  place(index) {
    const row = Math.floor(index / this.columns);
    return [
      (index % this.columns) * (this.cellWidth + this.gap),
      row * (this.cellHeight + this.labelHeight + this.gap),
    ];
  }

  paint(frame, step) {
    const size = this.width * this.height;
    for (let i = 0; i < this.count; i += 1) {
      this.scale.paint(frame, i * size, this.pixels);
      this.stampContext.putImageData(this.cell, 0, 0);
      const [x, y] = this.place(i);
      this.context.drawImage(this.stamp, x, y, this.cellWidth, this.cellHeight);
    }
    this.frame = frame;
    this.step = step;
    this.canvas.setAttribute("aria-label", `${this.film.title}, ${this.spec.title}, step ${step}`);
    if (this.pointed) this.explain();
  }

  hover(event) {
    const ratio = window.devicePixelRatio || 1;
    const x = event.offsetX * ratio;
    const y = event.offsetY * ratio;
    const column = Math.floor(x / (this.cellWidth + this.gap));
    const row = Math.floor(y / (this.cellHeight + this.labelHeight + this.gap));
    const index = row * this.columns + column;
    const [left, top] = this.place(index);
    const px = Math.floor(((x - left) / this.cellWidth) * this.width);
    const py = Math.floor(((y - top) / this.cellHeight) * this.height);
    if (index >= this.count || px < 0 || py < 0 || px >= this.width || py >= this.height) {
      this.leave();
      return;
    }
    this.pointed = { index, px, py, x: event.offsetX, y: event.offsetY };
    this.explain();
  }

  leave() {
    this.pointed = null;
    this.tooltip.hidden = true;
  }

  /** Put the tooltip beside the pointer, to its left where the window ends on the right. */
  placeTooltip() {
    const { x, y } = this.pointed;
    const room = document.documentElement.clientWidth - this.body.getBoundingClientRect().left;
    const width = this.tooltip.offsetWidth;
    const left = x + 14 + width > room ? x - 14 - width : x + 14;
    this.tooltip.style.transform = `translate(${left}px, ${y + 14}px)`;
  }

  /** Say what is under the pointer: at once as the frame has it, exactly as soon as the film's source tells. */
  async explain() {
    const { index, px, py } = this.pointed;
    const step = this.step;
    const offset = (index * this.height + py) * this.width + px;
    const where =
      this.width * this.height > 1 ? `${this.spec.labels[index]} · row ${py}, column ${px}` : this.spec.labels[index];
    const say = (value, about) => {
      this.tooltip.replaceChildren(
        element("strong", "", {}, `${about}${readable(value)}`),
        ` ${this.scale.unit}`,
        element("br"),
        where,
      );
      this.tooltip.hidden = false;
      this.placeTooltip();
    };
    if (!this.frame.bytes) {
      say(frameValue(this.frame, offset), "");
      return;
    }
    say(frameValue(this.frame, offset), "≈ ");
    // Asked only of what is looked at for a moment: a pointer that rests over a playing film asks for nothing.
    await new Promise((resolve) => setTimeout(resolve, EXACT_AFTER_MILLISECONDS));
    if (!this.pointed || this.step !== step) return;
    const exact = await this.film.exact(step);
    const same = this.pointed && this.pointed.index === index && this.pointed.px === px && this.pointed.py === py;
    if (exact && same && this.step === step) say(frameValue(exact.get(this.spec.index, step), offset), "");
  }
};

/** A colour scale drawn as a bar with its ends and its zero. */
class Legend {
  constructor(scale) {
    this.scale = scale;
    this.canvas = element("canvas", "", { "aria-hidden": "true" });
    this.low = element("span");
    this.middle = element("span");
    this.high = element("span");
    this.ticks = element("div", "cv-legend-ticks", {}, this.low, this.middle, this.high);
    this.root = element("div", "cv-legend", {}, this.canvas, this.ticks);
  }

  layout(width) {
    this.root.style.width = `${width}px`;
    this.width = width;
    this.draw();
  }

  draw() {
    if (!this.width) return;
    const { low, high, unit } = this.scale;
    const context = sizeCanvas(this.canvas, this.width, 10);
    const { width, height } = this.canvas;
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    for (let x = 0; x < width; x += 1) {
      const pixel = this.scale.pixel(low + (x / (width - 1)) * (high - low));
      for (let y = 0; y < height; y += 1) pixels[y * width + x] = pixel;
    }
    context.putImageData(image, 0, 0);
    this.low.textContent = readable(low);
    this.middle.textContent = low < 0 ? `0 · ${unit}` : unit;
    this.high.textContent = readable(high);
    this.root.title = `${unit}: ${readable(low)} to ${readable(high)}, the same at every step`;
  }
}
