// Pictures as arrays: cutting, shrinking, enlarging, blurring. No DOM: runs in a worker and in node.
//
// A picture is {data, width, height} with 4 bytes a pixel, RGBA. As dmvton/crop.py's `sample`, but
// without padding: what lies outside of the picture is dealt with in the weights.

import { clamp, round } from "./geometry.js";

/** Which source pixels make each of `count` output pixels along one side, and how much of each. */
function taps(start, length, side, count, area, replicate) {
  const scale = length / count;
  const stride = area ? Math.ceil(scale) + 1 : 2;
  const first = new Int32Array(count), number = new Int32Array(count);
  const weights = new Float32Array(count * stride), outside = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const at = clamp((i + 0.5) * scale - 0.5, 0, length - 1);
    const from = area ? Math.floor(i * scale) : Math.floor(at);
    const to = area ? Math.min(Math.ceil((i + 1) * scale - 1e-9), length) : Math.min(from + 2, length);
    first[i] = clamp(start + from, 0, side - 1);
    for (let k = from; k < to; k++) {
      const weight = area
        ? (Math.min(k + 1, (i + 1) * scale) - Math.max(k, i * scale)) / scale
        : 1 - Math.abs(at - k);
      const pixel = start + k;
      if (!replicate && (pixel < 0 || pixel >= side)) {
        outside[i] += weight;
        continue;
      }
      const tap = clamp(pixel, 0, side - 1) - first[i];
      weights[i * stride + tap] += weight;
      number[i] = Math.max(number[i], tap + 1);
    }
  }
  return { first, number, weights, stride, outside };
}

/**
 * Cut a box out of a picture and bring it to `size` [h, w].
 *
 * @param fill colour of what lies outside, one entry a channel; without it the border is repeated
 * @param channels which of the 4 are wanted
 * @returns Uint8ClampedArray h * w * channels.length; area average when shrinking, else bilinear
 */
export function sample(image, box, size, fill = null, channels = [0, 1, 2]) {
  const [h, w] = size, n = channels.length;
  const area = box.height > h;
  const across = taps(box.x, box.width, image.width, w, area, fill === null);
  const down = taps(box.y, box.height, image.height, h, area, fill === null);
  const out = new Uint8ClampedArray(h * w * n);
  const sum = new Float32Array(w * n);
  const rows = new RowCache(image, across, channels);
  for (let y = 0; y < h; y++) {
    sum.fill(0);
    for (let k = 0; k < down.number[y]; k++) {
      const weight = down.weights[y * down.stride + k], row = rows.get(down.first[y] + k);
      if (weight !== 0) for (let i = 0; i < sum.length; i++) sum[i] += weight * row[i];
    }
    if (fill !== null) addFill(sum, fill, across.outside, down.outside[y]);
    out.set(sum, y * w * n);
  }
  return out;
}

function addFill(sum, fill, acrossOutside, downOutside) {
  const n = fill.length;
  for (let i = 0; i < sum.length; i++) {
    const covered = (1 - acrossOutside[(i / n) | 0]) * (1 - downOutside);
    sum[i] += (1 - covered) * fill[i % n];
  }
}

/** Rows of a picture brought to the output's width; neighbours in the output share two at most. */
class RowCache {
  #image; #across; #channels; #kept = new Map();

  constructor(image, across, channels) {
    this.#image = image;
    this.#across = across;
    this.#channels = channels;
  }

  get(y) {
    const known = this.#kept.get(y);
    if (known) return known;
    const oldest = this.#kept.size >= 2 ? this.#kept.keys().next().value : null;
    const row = oldest === null
      ? new Float32Array(this.#across.first.length * this.#channels.length)
      : this.#kept.get(oldest);
    if (oldest !== null) this.#kept.delete(oldest);
    this.#shrink(y, row);
    this.#kept.set(y, row);
    return row;
  }

  #shrink(y, row) {
    const { first, number, weights, stride } = this.#across;
    const { data, width } = this.#image, n = this.#channels.length;
    for (let x = 0; x < first.length; x++) {
      const from = (y * width + first[x]) * 4;
      for (let c = 0; c < n; c++) {
        let sum = 0, at = from + this.#channels[c];
        for (let k = 0; k < number[x]; k++, at += 4) sum += weights[x * stride + k] * data[at];
        row[x * n + c] = sum;
      }
    }
  }
}

/** (h * w * 3) bytes to the (3, h, w) floats in [0, 1] that the network reads. */
export function toPlanes(rgb) {
  const plane = rgb.length / 3, out = new Float32Array(rgb.length);
  for (let i = 0; i < plane; i++) {
    for (let c = 0; c < 3; c++) out[c * plane + i] = rgb[3 * i + c] / 255;
  }
  return out;
}

/** A picture at falling sizes, each made when it is first asked for; see dmvton/garment.py. */
export class Pyramid {
  #levels;

  constructor(image) {
    this.image = image;
    this.#levels = new Map([[0, image]]);
  }

  /** The picture for a sampling of `density` source pixels per output pixel. */
  level(density) {
    const step = Math.max(0, Math.floor(2 * Math.log2(Math.max(density, 1))));
    if (!this.#levels.has(step)) {
      const { width, height } = this.image, shrink = 2 ** (-step / 2);
      const size = [Math.max(1, round(height * shrink)), Math.max(1, round(width * shrink))];
      const data = sample(this.image, { x: 0, y: 0, width, height }, size, null, [0, 1, 2, 3]);
      this.#levels.set(step, { data, width: size[1], height: size[0] });
    }
    return this.#levels.get(step);
  }
}

/** Median of numbers; sorts what it is given. */
export function median(values) {
  values.sort();
  const half = values.length >> 1;
  return values.length % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

/** Each of (h, w, 3) bytes' pixels takes the colour of the nearest sure one, a little blurred. */
export function nearestColours(rgb, sure, h, w) {
  const nearest = nearestSure(sure, h, w);
  const out = new Uint8ClampedArray(rgb.length);
  for (let i = 0; i < h * w; i++) {
    for (let c = 0; c < 3; c++) out[3 * i + c] = rgb[3 * nearest[i] + c];
  }
  const sigma = 1.5, reach = round(6 * sigma + 1) >> 1; // as far as OpenCV blurs bytes
  return blurred(out, h, w, 3, sigma, reach, mirrored);
}

// Steps of a chamfer distance: to the right, the pixels already seen when going down row by row.
const STEPS = [[-1, 0, 1], [0, -1, 1], [-1, -1, 1.4], [1, -1, 1.4],
  [-1, -2, 2.1969], [1, -2, 2.1969], [-2, -1, 2.1969], [2, -1, 2.1969]];

/** For each pixel the index of a sure one that is about the nearest. */
function nearestSure(sure, h, w) {
  const distance = new Float32Array(h * w).fill(Infinity), label = new Int32Array(h * w);
  for (let i = 0; i < h * w; i++) if (sure[i]) { distance[i] = 0; label[i] = i; }
  for (const way of [1, -1]) {
    for (let k = 0; k < h * w; k++) {
      const i = way > 0 ? k : h * w - 1 - k, x = i % w, y = (i / w) | 0;
      for (const [stepX, stepY, length] of STEPS) {
        const fromX = x + way * stepX, fromY = y + way * stepY;
        if (fromX < 0 || fromX >= w || fromY < 0 || fromY >= h) continue;
        const from = fromY * w + fromX;
        if (distance[from] + length < distance[i]) {
          distance[i] = distance[from] + length;
          label[i] = label[from];
        }
      }
    }
  }
  return label;
}

/** Borders of a blur: which of `side` pixels stands for the one at `k`. */
export const replicated = (k, side) => clamp(k, 0, side - 1);
const mirrored = (k, side) => {
  const at = Math.abs(k);
  return clamp(at < side ? at : 2 * side - 2 - at, 0, side - 1);
};

/** Gaussian blur of (h, w, channels), as far as `reach` pixels; an array of the same kind. */
export function blurred(image, h, w, channels, sigma, reach, border) {
  const kernel = Array.from({ length: 2 * reach + 1 },
    (_, k) => Math.exp(-((k - reach) ** 2) / (2 * sigma * sigma)));
  const total = kernel.reduce((a, b) => a + b);
  const pass = (from, to, along, across, stepAlong, stepAcross) => {
    for (let a = 0; a < across; a++) for (let i = 0; i < along; i++) {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let k = -reach; k <= reach; k++) {
          const at = border(i + k, along) * stepAlong + a * stepAcross;
          sum += kernel[k + reach] * from[channels * at + c];
        }
        to[channels * (i * stepAlong + a * stepAcross) + c] = sum / total;
      }
    }
  };
  const between = new Float32Array(image.length), out = new image.constructor(image.length);
  pass(image, between, w, h, 1, w);
  pass(between, out, h, w, w, 1);
  return out;
}

/** The colour of each pixel as one number, the highest `bits` of each of its three bytes. */
export function colourNumbers(picture, bits) {
  const number = new Uint16Array(picture.length / 3), shift = 8 - bits;
  for (let i = 0; i < number.length; i++) {
    const [r, g, b] = [0, 1, 2].map((c) => picture[3 * i + c] >> shift);
    number[i] = (((r << bits) | g) << bits) | b;
  }
  return number;
}
