// A film on the page: its panels, the frames that have arrived, and the step that they show.

class FilmView {
  /** Show a film in `root`, driven by `timeline`; `source` sends its frames and tells exact values. */
  constructor(root, layout, timeline, source) {
    this.root = root;
    this.timeline = timeline;
    this.source = source;
    this.title = layout.title;
    this.steps = layout.steps;
    this.timed = layout.timed;
    this.tables = Object.fromEntries(Object.entries(layout.colours).map(([kind, text]) => [kind, fromBase64(text)]));
    this.store = new FrameStore(layout.panels.length);
    this.exactSteps = new Map();
    this.build(layout);
    this.layout();
    this.resizing = new ResizeObserver(() => this.layout());
    this.resizing.observe(root);
    this.unwatch = watchTheme(() => this.layout());
    this.unsubscribe = timeline.subscribe((step) => this.show(step));
  }

  build(layout) {
    this.root.classList.add("cnnviz", "cv-film");
    this.panels = layout.panels.map((spec, index) => new PANELS[spec.kind]({ ...spec, index }, this));
    this.sections = this.panels.map((panel, i) => {
      const { title, kind } = layout.panels[i];
      const heading = title ? [element("h3", "cv-panel-title", {}, title)] : [];
      return element("section", `cv-panel cv-panel-${kind}`, {}, ...heading, panel.root);
    });
    this.leftOut = new Set(layout.left_out);
    this.note = element("p", "cv-note", { role: "status" });
    this.bar = element("div", "cv-loading", { role: "progressbar", "aria-label": "Loading the film" });
    this.root.replaceChildren(
      element("h2", "cv-title", {}, layout.title),
      this.note,
      element("div", "cv-panels", {}, ...this.sections),
      this.bar,
    );
    this.tellLeftOut();
  }

  /** Say which snapshots are not in the film, as their files are damaged. */
  tellLeftOut() {
    const steps = [...this.leftOut].sort((a, b) => a - b);
    const shown = steps.slice(0, 5).join(", ");
    const more = steps.length > 5 ? ` and ${steps.length - 5} more` : "";
    const which = steps.length > 1 ? `steps ${shown}${more} are` : `step ${shown} is`;
    this.note.textContent = steps.length ? `Damaged, so ${which} left out; cnnviz check tells more.` : "";
    this.note.hidden = !steps.length;
  }

  layout() {
    const width = this.root.clientWidth;
    if (!width) return;
    this.panels.forEach((panel) => panel.layout(Math.min(width, panel.root.parentElement.clientWidth || width)));
    if (this.step !== undefined) this.show(this.step, true);
  }

  /** Take in frames, and show them if they are nearer to the step that is wanted. */
  add(chunk) {
    let rescaled = false;
    this.panels.forEach((panel, i) => {
      if (panel.include && chunk.panels[i]) {
        const changed = panel.include(chunk.panels[i]);
        rescaled ||= changed;
      }
    });
    this.store.add(chunk);
    chunk.left_out.forEach((step) => this.leftOut.add(step));
    this.tellLeftOut();
    this.show(this.step ?? this.timeline.step, rescaled);
  }

  /** Say how much of the film is here, from 0 to 1. */
  loaded(part) {
    this.bar.style.transform = `scaleX(${part})`;
    this.bar.hidden = part >= 1;
    this.root.toggleAttribute("data-complete", part >= 1);
  }

  show(step, always = false) {
    this.step = step;
    this.panels.forEach((panel, i) => {
      const section = this.sections[i];
      const framed = panel.spec.framed;
      // A chart that belongs to no step has curves without a cursor.
      const shown = framed ? this.store.nearest(step) : this.timed ? step : null;
      if (shown === undefined || !panel.root.isConnected) return;
      if (!always && section.dataset.step === String(shown)) return;
      panel.paint(framed ? this.store.get(i, shown) : undefined, shown);
      if (shown !== null) section.dataset.step = shown;
    });
  }

  seek(step) {
    this.timeline.seek(step);
  }

  /** The frames of one step as exact floats; undefined where nobody can tell. */
  exact(step) {
    if (!this.source.exact) return Promise.resolve(undefined);
    if (!this.exactSteps.has(step)) {
      const fetched = this.source.exact(step).then((chunk) => {
        const store = new FrameStore(this.panels.length);
        store.add(chunk);
        return store;
      });
      this.exactSteps.set(
        step,
        fetched.catch(() => {
          this.exactSteps.delete(step);
          return undefined;
        }),
      );
    }
    return this.exactSteps.get(step);
  }

  close() {
    this.unsubscribe();
    this.unwatch();
    this.resizing.disconnect();
    this.source.close?.();
  }
}
