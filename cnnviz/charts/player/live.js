// A film of a run on a server: frames come coarse to fine, and grow while the training goes on.

const POLL_MILLISECONDS = 1000;

async function fetchJson(url, signal) {
  const response = await fetch(url, { signal });
  const body = await response.json();
  if (!response.ok) throw new Error(body.error || response.statusText);
  return body;
}

/** Sends one film's frames to its view. */
class RemoteSource {
  constructor(url) {
    this.url = url;
    this.abort = new AbortController();
  }

  layout() {
    return fetchJson(this.url, this.abort.signal);
  }

  async chunk(address) {
    const response = await fetch(address, { signal: this.abort.signal });
    if (!response.ok) throw new Error((await response.json()).error);
    return decodeChunk(await response.arrayBuffer());
  }

  exact(step) {
    return this.chunk(withQuery(this.url.replace("/film/", "/exact/"), { step }));
  }

  /** Fetch `addresses` in order, two at a time, and hand each chunk to `view` as it comes. */
  async stream(addresses, view) {
    let next = 0;
    let done = 0;
    view.loaded(addresses.length ? 0 : 1);
    const worker = async () => {
      while (next < addresses.length) {
        const address = addresses[next];
        next += 1;
        view.add(await this.chunk(address));
        done += 1;
        view.loaded(done / addresses.length);
      }
    };
    await Promise.all([worker(), worker()]);
  }

  close() {
    this.abort.abort();
  }
}

function withQuery(url, values) {
  const address = new URL(url, location.href);
  Object.entries(values).forEach(([name, value]) => address.searchParams.set(name, value));
  return address.pathname + address.search;
}

/** One run's page: its timeline, the films on it, and the address that holds its state. */
class RunPage {
  constructor(bar) {
    this.bar = bar;
    this.url = bar.dataset.run;
    this.films = new Map(); // element to what it shows
    this.abort = new AbortController();
    this.start();
  }

  async start() {
    const wanted = new URLSearchParams(location.search).get("step");
    try {
      const run = await fetchJson(this.url, this.abort.signal);
      const step = wanted === null || !Number.isFinite(Number(wanted)) ? null : Number(wanted);
      this.timeline = new Timeline(this.bar, { steps: run.steps, curve: run.curve, step });
      this.timeline.subscribe(() => this.remember());
      this.observe();
      this.poll(run);
    } catch (error) {
      if (error.name !== "AbortError") showError(this.bar, error);
    }
  }

  /** Show the films that are on the page now, and drop those that are gone or show something else now. */
  observe() {
    if (!this.timeline) return;
    const present = new Set(document.querySelectorAll("[data-film]"));
    this.films.forEach((film, node) => {
      if (!present.has(node) || film.url !== node.dataset.film) this.drop(node);
    });
    present.forEach((node) => {
      if (!this.films.has(node) && node.dataset.film) this.open(node);
    });
    this.remember();
  }

  async open(node) {
    const url = node.dataset.film;
    const film = { url, source: new RemoteSource(url) };
    this.films.set(node, film);
    node.removeAttribute("data-complete");
    try {
      const layout = await film.source.layout();
      if (this.films.get(node) !== film) return;
      film.view = new FilmView(node, layout, this.timeline, film.source);
      film.count = layout.steps.length;
      await film.source.stream(layout.chunks, film.view);
    } catch (error) {
      if (error.name !== "AbortError" && this.films.get(node) === film) showError(node, error);
    }
  }

  drop(node) {
    const film = this.films.get(node);
    film.source.close();
    film.view?.close();
    this.films.delete(node);
  }

  /** Keep the address true: what the controls say, and the step. */
  remember() {
    clearTimeout(this.remembering);
    this.remembering = setTimeout(() => {
      const state = document.querySelector("[data-query]");
      const query = new URLSearchParams(state ? state.dataset.query : "");
      if (this.timeline.steps.length) query.set("step", this.timeline.step);
      history.replaceState(history.state, "", `${location.pathname}?${query}`);
    }, 120);
  }

  poll(run) {
    this.bar.dataset.status = run.status;
    if (run.status !== "running") return;
    this.polling = setTimeout(async () => {
      let now = run;
      try {
        now = await fetchJson(this.url, this.abort.signal);
        await this.grow(now);
      } catch (error) {
        if (error.name === "AbortError") return; // else the server may come back
      }
      this.poll(now);
    }, POLL_MILLISECONDS);
  }

  async grow(run) {
    const grown = [...this.films].filter(([, film]) => film.view && film.count < run.steps.length);
    await Promise.all(grown.map(([node, film]) => this.extend(node, film)));
    this.timeline.extend(run.steps, run.curve);
  }

  /** Fetch the frames of the steps that are new; curves are drawn anew with them. */
  async extend(node, film) {
    const layout = await fetchJson(withQuery(film.url, { after: film.count }), film.source.abort.signal);
    if (this.films.get(node) !== film) return;
    film.count = layout.steps.length;
    film.view.steps = layout.steps;
    layout.panels.forEach((spec, i) => {
      if (spec.framed || spec.kind !== "curves") return;
      film.view.panels[i].spec.curves = spec.curves;
    });
    film.view.layout();
    await film.source.stream(layout.chunks, film.view);
  }

  close() {
    this.abort.abort();
    clearTimeout(this.polling);
    clearTimeout(this.remembering);
    [...this.films.keys()].forEach((node) => this.drop(node));
    this.timeline?.close();
  }
}

function showError(node, error) {
  node.classList.add("cnnviz");
  node.replaceChildren(element("p", "cv-error", { role: "alert" }, error.message));
}

/** Follow the document: whenever a timeline or a film appears, changes or goes, so does what stands behind it. */
function watchPage() {
  let page = null;
  const look = () => {
    const bar = document.querySelector("[data-run]");
    if (page && (page.bar !== bar || page.url !== bar.dataset.run)) {
      page.close();
      page = null;
    }
    if (bar && !page) page = new RunPage(bar);
    else page?.observe();
  };
  new MutationObserver((changes) => {
    const ours = changes.every((change) => change.target.closest?.(".cnnviz") && change.type === "childList");
    if (!ours) look();
  }).observe(document.documentElement, {
    subtree: true,
    childList: true,
    attributes: true,
    attributeFilter: ["data-film", "data-run", "data-query"],
  });
  look();
}
