// The timeline: one slider over the steps that drives every panel.

class Timeline {
  constructor(root, { steps, curve = null, step = null }) {
    this.root = root;
    this.steps = steps;
    this.curve = curve;
    this.listeners = new Set();
    this.index = step === null ? steps.length - 1 : this.indexOf(step);
    this.playing = 0;
    this.build();
    this.layout();
    this.resizing = new ResizeObserver(() => this.layout());
    this.resizing.observe(this.slider);
    this.unwatch = watchTheme(() => this.layout());
    this.abort = new AbortController();
    // The arrows work at once on a fresh page, where nothing has the focus.
    document.addEventListener("keydown", (event) => this.pageKey(event), { signal: this.abort.signal });
  }

  build() {
    this.root.classList.add("cnnviz", "cv-timeline");
    this.button = element("button", "cv-button cv-play", { type: "button" });
    this.button.addEventListener("click", () => (this.playing ? this.stop() : this.play()));
    this.canvas = element("canvas", "", { "aria-hidden": "true" });
    this.handle = element("div", "cv-handle");
    this.slider = element(
      "div",
      "cv-slider",
      { role: "slider", tabindex: "0", "aria-label": "Training step", "aria-orientation": "horizontal" },
      this.canvas,
      this.handle,
    );
    this.readout = element("output", "cv-readout");
    this.root.replaceChildren(this.button, this.slider, this.readout);
    this.showPlaying();
    this.slider.addEventListener("pointerdown", (event) => this.grab(event));
    this.slider.addEventListener("keydown", (event) => this.key(event));
    this.slider.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.stop();
        this.move(this.index + Math.sign(event.deltaY || event.deltaX));
      },
      { passive: false },
    );
  }

  get step() {
    return this.steps[this.index];
  }

  /** Call `listener(step)` now and at every move; return a function that ends it. */
  subscribe(listener) {
    this.listeners.add(listener);
    if (this.steps.length) listener(this.step);
    return () => this.listeners.delete(listener);
  }

  /** The index of the step nearest to `step`. */
  indexOf(step) {
    const at = lowerBound(this.steps, step);
    if (at === this.steps.length) return at - 1;
    return at > 0 && step - this.steps[at - 1] <= this.steps[at] - step ? at - 1 : at;
  }

  seek(step) {
    this.stop();
    this.move(this.indexOf(step));
  }

  /** Take in what a training that goes on has added; a timeline that stood at the end stays there. */
  extend(steps, curve) {
    const followed = this.index === this.steps.length - 1;
    const before = this.step;
    this.steps = steps;
    this.curve = curve;
    // Old snapshots may have been thinned out, that at which it stood among them.
    this.index = followed || before === undefined ? steps.length - 1 : this.indexOf(before);
    this.drawTrack();
    this.show();
    if (this.step !== before) this.listeners.forEach((listener) => listener(this.step));
  }

  move(index) {
    if (!this.steps.length) return;
    const bounded = Math.max(0, Math.min(this.steps.length - 1, index));
    if (bounded === this.index) return;
    this.index = bounded;
    this.show();
    // Painted at once: browsers deliver pointer moves once a frame already.
    this.listeners.forEach((listener) => listener(this.step));
  }

  show() {
    const { slider, steps, index } = this;
    if (!steps.length) {
      this.readout.textContent = "no steps yet";
      slider.setAttribute("aria-disabled", "true");
      slider.setAttribute("aria-valuenow", "0");
      slider.setAttribute("aria-valuetext", "no steps yet");
      return;
    }
    slider.removeAttribute("aria-disabled");
    slider.setAttribute("aria-valuemin", steps[0]);
    slider.setAttribute("aria-valuemax", steps.at(-1));
    slider.setAttribute("aria-valuenow", this.step);
    slider.setAttribute("aria-valuetext", `step ${this.step}, snapshot ${index + 1} of ${steps.length}`);
    this.handle.style.transform = `translateX(${this.position(index)}px)`;
    this.readout.textContent = `step ${this.step.toLocaleString("en")}`;
    this.readout.title = `snapshot ${index + 1} of ${steps.length}`;
  }

  position(index) {
    return this.steps.length > 1 ? (index / (this.steps.length - 1)) * this.width : 0;
  }

  layout() {
    this.width = Math.max(40, this.slider.clientWidth);
    this.drawTrack();
    this.show();
  }

  /** Draw the validation error inside the track, so that one sees where one is going. */
  drawTrack() {
    const height = 34;
    const context = sizeCanvas(this.canvas, this.width, height);
    const ratio = this.canvas.width / this.width;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = themeColour(this.root, "--cv-track");
    context.fillRect(0, 0, this.width, height);
    if (!this.curve || this.steps.length < 2) return;
    const { steps, values } = this.curve;
    const finite = values.filter((value) => value !== null);
    const high = finite.reduce((a, b) => Math.max(a, b), 0) || 1;
    context.strokeStyle = themeColour(this.root, "--cv-curve");
    context.lineWidth = 1.5;
    context.beginPath();
    let pen = false;
    steps.forEach((step, i) => {
      const value = values[i];
      if (value === null) {
        pen = false;
        return;
      }
      const x = this.position(this.fractionalIndex(step));
      const y = height - 4 - (value / high) * (height - 8);
      if (pen) context.lineTo(x, y);
      else context.moveTo(x, y);
      pen = true;
    });
    context.stroke();
  }

  fractionalIndex(step) {
    const at = lowerBound(this.steps, step);
    if (at === 0 || at === this.steps.length || this.steps[at] === step) return Math.min(at, this.steps.length - 1);
    return at - 1 + (step - this.steps[at - 1]) / (this.steps[at] - this.steps[at - 1]);
  }

  grab(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.stop();
    this.slider.focus();
    this.slider.setPointerCapture(event.pointerId);
    const follow = (move) => {
      const left = this.slider.getBoundingClientRect().left;
      this.move(Math.round(((move.clientX - left) / this.width) * (this.steps.length - 1)));
    };
    const release = () => {
      this.slider.removeEventListener("pointermove", follow);
      this.slider.removeEventListener("pointerup", release);
      this.slider.removeEventListener("pointercancel", release);
    };
    this.slider.addEventListener("pointermove", follow);
    this.slider.addEventListener("pointerup", release);
    this.slider.addEventListener("pointercancel", release);
    follow(event);
  }

  key(event) {
    const page = Math.max(1, Math.round(this.steps.length / 10));
    const moves = {
      ArrowLeft: this.index - 1,
      ArrowDown: this.index - 1,
      ArrowRight: this.index + 1,
      ArrowUp: this.index + 1,
      PageDown: this.index - page,
      PageUp: this.index + page,
      Home: 0,
      End: this.steps.length - 1,
    };
    if (event.key === " ") {
      event.preventDefault();
      this.button.click();
    } else if (event.key in moves && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      this.stop();
      this.move(moves[event.key]);
    }
  }

  /** Left and right only: up and down scroll the page. */
  pageKey(event) {
    const sideways = event.key === "ArrowLeft" || event.key === "ArrowRight";
    if (sideways && event.target === document.body) this.key(event);
  }

  /** Play to the end: every step if there are few, at most about twelve seconds if there are many. */
  play() {
    if (this.steps.length < 2) return;
    if (this.index === this.steps.length - 1) this.move(0);
    const rate = Math.max(4, Math.min(60, this.steps.length / 12)); // frames a second
    const perFrame = Math.max(1, this.steps.length / 12 / 60);
    const started = performance.now();
    const first = this.index;
    const tick = (now) => {
      const frames = ((now - started) / 1000) * rate;
      this.move(first + Math.floor(frames * perFrame));
      if (this.index >= this.steps.length - 1) this.stop();
      else this.playing = requestAnimationFrame(tick);
    };
    this.playing = requestAnimationFrame(tick);
    this.showPlaying();
  }

  stop() {
    if (!this.playing) return;
    cancelAnimationFrame(this.playing);
    this.playing = 0;
    this.showPlaying();
  }

  close() {
    this.stop();
    this.abort.abort();
    this.unwatch();
    this.resizing.disconnect();
    this.listeners.clear();
  }

  showPlaying() {
    this.button.textContent = this.playing ? "❚❚" : "▶";
    this.button.setAttribute("aria-label", this.playing ? "Pause" : "Play");
  }
}

const themeWatchers = new Set();

/** Call `redraw` whenever the page turns light or dark. */
function watchTheme(redraw) {
  if (!themeWatchers.size) {
    const all = () => themeWatchers.forEach((watcher) => watcher());
    new MutationObserver(all).observe(document.documentElement, {
      attributes: true,
      attributeFilter: ["data-mantine-color-scheme"],
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
  }
  themeWatchers.add(redraw);
  return () => themeWatchers.delete(redraw);
}
