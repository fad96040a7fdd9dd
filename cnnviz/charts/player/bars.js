// Bars: one row a class, with its value; the largest is the prediction.

const MOST_ROWS = 20;
const BEST_ROWS = 10;

PANELS.bars = class Bars {
  constructor(spec) {
    this.spec = spec;
    const count = spec.labels.length;
    this.sorted = count > MOST_ROWS; // too many to show: the largest of each step
    this.rows = Array.from({ length: this.sorted ? BEST_ROWS : count }, () => {
      const label = element("span", "cv-bar-label");
      const fill = element("span", "cv-bar-fill");
      const value = element("span", "cv-bar-value");
      const note = element("span", "cv-bar-note");
      const root = element("div", "cv-bar", {}, label, element("span", "cv-bar-track", {}, fill), value, note);
      return { root, label, fill, value, note };
    });
    this.answer = element("p", "cv-answer");
    this.root = element("div", "cv-bars", { role: "group" }, this.answer, ...this.rows.map((row) => row.root));
  }

  layout() {}

  paint(frame, step) {
    const values = frame.data;
    const order = [...this.spec.labels.keys()];
    if (this.sorted) order.sort((a, b) => values[b] - values[a]);
    let best = -1; // none, where nothing is a number
    values.forEach((value, i) => {
      if (Number.isFinite(value) && !(value <= values[best])) best = i;
    });
    const [low, high] = this.spec.limits;
    this.rows.forEach((row, place) => {
      const i = order[place];
      row.label.textContent = this.spec.labels[i];
      const part = Math.min(1, Math.max(0, (values[i] - low) / (high - low)));
      row.fill.style.transform = `scaleX(${Number.isFinite(part) ? part : 0})`;
      row.value.textContent = percentage(values[i]);
      row.note.textContent = i === this.spec.truth ? "true class" : "";
      row.root.classList.toggle("cv-best", i === best);
    });
    this.describe(values, best, step);
  }

  describe(values, best, step) {
    const { labels, truth } = this.spec;
    if (best < 0) {
      this.answer.replaceChildren("predicts nothing: its output is not a number");
      this.answer.classList.add("cv-wrong");
      this.root.setAttribute("aria-label", `step ${step}: no prediction, the output is not a number`);
      return;
    }
    const verdict = truth === null ? "" : best === truth ? " · right" : ` · wrong: it is ${labels[truth]}`;
    this.answer.replaceChildren("predicts ", element("strong", "", {}, labels[best]), verdict);
    this.answer.classList.toggle("cv-wrong", truth !== null && best !== truth);
    this.root.setAttribute("aria-label", `step ${step}: ${labels[best]}, ${percentage(values[best])}${verdict}`);
  }
};
