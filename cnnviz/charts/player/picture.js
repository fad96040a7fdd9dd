// Picture: an image as the network sees it, the same at every step.

PANELS.picture = class Picture {
  constructor(spec) {
    this.spec = spec;
    const [height, width] = spec.shape;
    this.canvas = element("canvas", "cv-canvas cv-picture", { role: "img", "aria-label": spec.title, width, height });
    this.root = element("div", "cv-stack", {}, this.canvas);
    const bytes = fromBase64(spec.pixels);
    const image = new ImageData(width, height);
    const channels = spec.shape.length === 3 ? 3 : 1;
    for (let i = 0; i < width * height; i += 1) {
      for (let c = 0; c < 3; c += 1) image.data[i * 4 + c] = bytes[i * channels + (channels === 3 ? c : 0)];
      image.data[i * 4 + 3] = 255;
    }
    this.canvas.getContext("2d").putImageData(image, 0, 0);
    this.width = width;
    this.height = height;
  }

  layout() {
    const zoom = Math.max(168 / Math.max(this.width, this.height), 0.1);
    this.canvas.style.width = `${Math.round(this.width * zoom)}px`;
    this.canvas.style.height = `${Math.round(this.height * zoom)}px`;
  }

  paint() {}
};
