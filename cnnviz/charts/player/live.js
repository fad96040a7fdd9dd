// A film of a run on a server: frames come coarse to fine, and grow while the training goes on.

const POLL_MILLISECONDS = 1000;
const REST_MILLISECONDS = 3000; // of a run that has ended, but may be resumed

/** The server's answer; an error in its own words where it refuses, in ours where there is none. */
async function ask(url, signal) {
  let response;
  try {
    response = await fetch(url, { signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The dashboard's server doesn't answer. Start it again (cnnviz dashboard), then reload this page.");
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new Error(body.error || `The server answered: ${response.status} ${response.statusText}`);
}

async function fetchJson(url, signal) {
  return (await ask(url, signal)).json();
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
    return decodeChunk(await (await ask(address, this.abort.signal)).arrayBuffer());
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
    window.addEventListener("popstate", () => this.goBack(), { signal: this.abort.signal });
    this.start();
  }

  async start() {
    const step = stepInAddress();
    try {
      const run = await fetchJson(this.url, this.abort.signal);
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
      film.curves = curveNames(layout);
      await film.source.stream(layout.chunks, film.view);
      film.last = layout.steps.at(-1) ?? -1;
    } catch (error) {
      if (error.name === "AbortError" || this.films.get(node) !== film) return;
      film.failed = true;
      showError(node, error);
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
      if (!state || !isAddressed(state.dataset.page)) return;
      const query = new URLSearchParams(state.dataset.query);
      if (this.timeline.steps.length) query.set("step", this.timeline.step);
      history.replaceState(history.state, "", query.size ? `${location.pathname}?${query}` : location.pathname);
    }, 120);
  }

  /** Go to the step that the address holds, after the browser went back or forth in its history. */
  goBack() {
    const step = stepInAddress();
    if (step !== null) this.timeline?.seek(step);
  }

  poll(run) {
    this.bar.dataset.status = run.status;
    const wait = run.status === "running" ? POLL_MILLISECONDS : REST_MILLISECONDS;
    this.polling = setTimeout(async () => {
      try {
        const now = await fetchJson(this.url, this.abort.signal);
        await this.grow(now, now.status !== run.status);
        this.poll(now);
      } catch (error) {
        if (error.name !== "AbortError") this.poll(run); // the server may come back
      }
    }, wait);
  }

  /** Take in what is new in a run; `turned`, if it began or ended, when metrics come without a snapshot. */
  async grow(run, turned) {
    // By the last step, not by their number: old snapshots may be thinned out meanwhile.
    const last = run.steps.at(-1) ?? -1;
    const grown = turned || last > (this.timeline.steps.at(-1) ?? -1);
    if (run.steps.length && !this.timeline.steps.length) location.reload(); // the controls of an empty run offer nothing
    const films = [...this.films];
    if (grown) films.filter(([, film]) => film.failed).forEach(([node]) => this.reopen(node));
    const behind = films.filter(([, film]) => !film.failed && film.last !== undefined && (film.last < last || turned));
    await Promise.all(behind.map(([node, film]) => this.extend(node, film)));
    this.timeline.extend(run.steps, run.curve);
  }

  reopen(node) {
    this.drop(node);
    return this.open(node);
  }

  /** Fetch the frames of the steps that are new; curves are drawn anew with them. */
  async extend(node, film) {
    const layout = await fetchJson(film.last < 0 ? film.url : withQuery(film.url, { after: film.last }), film.source.abort.signal);
    if (this.films.get(node) !== film) return;
    if (curveNames(layout) !== film.curves) {
      await this.reopen(node);
      return;
    }
    film.view.steps = layout.steps;
    layout.panels.forEach((spec, i) => {
      if (spec.framed || spec.kind !== "curves") return;
      film.view.panels[i].spec.curves = spec.curves;
    });
    film.view.layout();
    await film.source.stream(layout.chunks, film.view);
    film.last = layout.steps.at(-1) ?? -1;
  }

  close() {
    this.abort.abort();
    clearTimeout(this.polling);
    clearTimeout(this.remembering);
    [...this.films.keys()].forEach((node) => this.drop(node));
    this.timeline?.close();
  }
}

/** The step that the address holds; null if it holds none. */
function stepInAddress() {
  const text = new URLSearchParams(location.search).get("step");
  return text && Number.isFinite(Number(text)) ? Number(text) : null;
}

/** Whether the address names the page at `path`, or its run; not so while a link to another is followed. */
function isAddressed(path) {
  const addressed = location.pathname.replace(/\/+$/, "");
  return addressed.startsWith("/run/") && `${path}/`.startsWith(`${addressed}/`);
}

function curveNames(layout) {
  return layout.panels.flatMap((spec) => (spec.curves ?? []).map((curve) => curve.name)).join("\n");
}

function showError(node, error) {
  node.classList.add("cnnviz");
  // What stands on the page already, as several films need the same network, is not said again.
  const said = [...document.querySelectorAll(".cv-error")].some(
    (other) => !node.contains(other) && other.textContent === error.message,
  );
  node.replaceChildren(...(said ? [] : [element("p", "cv-error", { role: "alert" }, error.message)]));
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
