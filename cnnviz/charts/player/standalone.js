// A film in one file: everything it needs lies in the page, packed.

async function unpack(text) {
  const stream = new Blob([fromBase64(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

async function mountStandalone(root) {
  const payload = JSON.parse(root.querySelector("script[type='application/json']").textContent);
  const { layout } = payload;
  const film = element("div");
  const line = element("div");
  root.replaceChildren(film, ...(layout.steps.length > 1 ? [line] : []));
  const timeline = new Timeline(line, { steps: layout.steps });
  const view = new FilmView(film, layout, timeline, {});
  if (payload.frames) view.add(decodeChunk(await unpack(payload.frames)));
  view.loaded(1);
}
