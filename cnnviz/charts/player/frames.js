// Frames: what the server sends for a film, decoded and kept by step, and the colours that turn bytes into pixels.

const NOT_A_NUMBER = 255; // of a byte frame; 0 to 254 span the chunk's limits

/** Decode one chunk: a little-endian header length, a JSON header, then the panels' arrays. */
function decodeChunk(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const start = 4 + length;
  header.panels.forEach((panel) => {
    if (!panel) return;
    panel.data =
      panel.dtype === "u1"
        ? new Uint8Array(buffer, start + panel.offset, panel.length)
        : new Float32Array(buffer, start + panel.offset, panel.length / 4);
    panel.size = panel.data.length / header.steps.length;
  });
  return header;
}

/** The frames of a film that have arrived, and the steps they belong to. */
class FrameStore {
  constructor(panelCount) {
    this.frames = Array.from({ length: panelCount }, () => new Map());
    this.arrived = []; // steps, rising
  }

  add(chunk) {
    chunk.steps.forEach((step, row) => {
      chunk.panels.forEach((panel, index) => {
        if (!panel) return;
        this.frames[index].set(step, {
          bytes: panel.dtype === "u1",
          data: panel.data.subarray(row * panel.size, (row + 1) * panel.size),
          low: panel.low,
          high: panel.high,
        });
      });
    });
    this.arrived = [...new Set([...this.arrived, ...chunk.steps])].sort((a, b) => a - b);
  }

  /** The arrived step nearest to `step`, or undefined while there is none. */
  nearest(step) {
    const steps = this.arrived;
    if (!steps.length) return undefined;
    const at = lowerBound(steps, step);
    if (at === steps.length) return steps[at - 1];
    if (at === 0 || steps[at] === step) return steps[at];
    return step - steps[at - 1] <= steps[at] - step ? steps[at - 1] : steps[at];
  }

  get(panel, step) {
    return this.frames[panel].get(step);
  }
}

/** The first index of a rising array whose value is not below `value`. */
function lowerBound(values, value) {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The value of one number of a frame; NaN where it was none. */
function frameValue(frame, index) {
  if (!frame.bytes) return frame.data[index];
  const byte = frame.data[index];
  return byte === NOT_A_NUMBER ? NaN : frame.low + (byte / 254) * (frame.high - frame.low);
}

/** A colour scale: 256 colours between two values, the same at every step. It only ever widens, once it spans anything. */
class ColourScale {
  constructor(spec, tables) {
    this.tables = tables;
    this.unit = spec.unit;
    this.blank = spec.blank; // so far nothing but zeros was seen, and the limits are made up
    Object.assign(this, { low: spec.low, high: spec.high, kind: spec.kind });
    this.cache = new Map();
  }

  /** Widen to hold another scale; say whether anything changed. */
  include(other) {
    if (this.blank) {
      this.blank = false;
      return this.set(other.low, other.high, other.kind);
    }
    const signed = this.kind === "signed" || other.kind === "signed";
    let low = Math.min(this.low, other.low);
    let high = Math.max(this.high, other.high);
    if (signed) [low, high] = [-Math.max(-low, high), Math.max(-low, high)];
    return this.set(low, high, signed ? "signed" : this.kind);
  }

  set(low, high, kind) {
    if (low === this.low && high === this.high && kind === this.kind) return false;
    Object.assign(this, { low, high, kind });
    this.cache.clear();
    return true;
  }

  /** The colour of a value as one 32-bit pixel (little-endian RGBA). */
  pixel(value) {
    if (!Number.isFinite(value)) return 0xff808080;
    const place = Math.round(Math.min(1, Math.max(0, (value - this.low) / (this.high - this.low))) * 255);
    const table = this.tables[this.kind];
    return 0xff000000 | (table[place * 3 + 2] << 16) | (table[place * 3 + 1] << 8) | table[place * 3];
  }

  /** The pixels of the 256 bytes of a frame with these limits. */
  lookup(low, high) {
    const key = `${low},${high}`;
    if (!this.cache.has(key)) {
      const pixels = new Uint32Array(256);
      for (let byte = 0; byte < 255; byte += 1) pixels[byte] = this.pixel(low + (byte / 254) * (high - low));
      pixels[NOT_A_NUMBER] = this.pixel(NaN);
      this.cache.set(key, pixels);
    }
    return this.cache.get(key);
  }

  paint(frame, start, pixels) {
    if (frame.bytes) {
      const lookup = this.lookup(frame.low, frame.high);
      for (let i = 0; i < pixels.length; i += 1) pixels[i] = lookup[frame.data[start + i]];
    } else {
      for (let i = 0; i < pixels.length; i += 1) pixels[i] = this.pixel(frame.data[start + i]);
    }
  }
}

/** Bytes of base64 text. */
function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** A number for people: four significant digits, no more. */
function readable(value) {
  if (!Number.isFinite(value)) return "not a number";
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5)) return value.toExponential(3);
  return String(Number(value.toPrecision(4)));
}

function percentage(value) {
  if (!Number.isFinite(value)) return "–";
  return `${(value * 100).toFixed(value < 0.1 ? 2 : 1)} %`;
}

/** An element with a class, attributes and children. */
function element(tag, className, attributes = {}, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
  node.append(...children);
  return node;
}

/** Fit a canvas to its place in device pixels; return its context, drawing in device pixels. */
function sizeCanvas(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  return canvas.getContext("2d", { alpha: true });
}

function themeColour(node, name) {
  return getComputedStyle(node).getPropertyValue(name).trim();
}
