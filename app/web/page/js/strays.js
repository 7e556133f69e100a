// Background that a garment's mask covers; as dmvton/strays.py.

import { dilated, opened } from "./areas.js";
import { round } from "./geometry.js";
import { colourNumbers } from "./pixels.js";

const RARE = 8;       // a colour is the background's where it is so many times as frequent there
const REACH = 1 / 16; // widest slit, as a share of the picture's width
const PATCH = 5;      // smallest patch beside the garment, in pixels
const BITS = 4;       // kept of each channel
const BINS = 1 << BITS;

/**
 * Where a garment's mask covers background: slits between two parts of it, and patches.
 *
 * @param picture h * w * 3 bytes, the garment photo at network size
 * @param mask h * w values in [0, 1]
 * @returns Uint8Array h * w, 1 there and in the pixel around it that is a mixture
 */
export function strays(picture, mask, [h, w]) {
  const garment = Uint8Array.from(mask, (value) => value > 0.5);
  const away = dilated(garment, h, w, 1).map((value) => 1 - value);
  const total = (area) => area.reduce((sum, value) => sum + value, 0);
  const inside = total(garment), outside = total(away);
  const found = new Uint8Array(h * w);
  if (inside === 0 || outside === 0) return found;
  const colour = colourNumbers(picture, BITS);
  const here = histogram(colour, garment), there = histogram(colour, away);
  for (let i = 0; i < found.length; i++) {
    const k = colour[i];
    found[i] = garment[i] && RARE * here[k] * outside < there[k] * inside;
  }
  const patches = opened(found, h, w, (PATCH - 1) / 2);
  keepBetween(found, garment, h, w, round(REACH * w));
  patches.forEach((value, i) => { found[i] |= value; });
  keepOpen(found, garment, h, w);
  return dilated(found, h, w, 1).map((value, i) => value & garment[i]);
}

/** Counts of the colours in an area, and of their neighbours. */
function histogram(colour, area) {
  let counts = new Float64Array(BINS ** 3);
  for (let i = 0; i < colour.length; i++) counts[colour[i]] += area[i];
  for (const step of [1, BINS, BINS * BINS]) {
    const before = counts;
    counts = before.map((count, k) => {
      const at = Math.floor(k / step) % BINS;
      return count + (at > 0 ? before[k - step] : 0) + (at < BINS - 1 ? before[k + step] : 0);
    });
  }
  return counts;
}

/** Leaves what lies on a stretch of at most `reach` pixels between cloth left and right. */
function keepBetween(found, garment, h, w, reach) {
  for (let y = 0; y < h; y++) {
    let last = -2 * w; // the nearest cloth on the left
    for (let x = 0; x <= w; x++) {
      const i = y * w + x;
      if (x < w && !(garment[i] && !found[i])) continue;
      const gone = x === w || x - last > reach + 1;
      if (gone) for (let u = Math.max(0, last + 1); u < x; u++) found[y * w + u] = 0;
      last = x;
    }
  }
}

/** Leaves what is connected with the outside of the garment. */
function keepOpen(found, garment, h, w) {
  const open = garment.map((value) => 1 - value);
  const queue = [];
  open.forEach((value, i) => { if (value) queue.push(i); });
  while (queue.length) {
    const i = queue.pop(), x = i % w, y = (i - x) / w;
    for (let v = Math.max(0, y - 1); v <= Math.min(h - 1, y + 1); v++) {
      for (let u = Math.max(0, x - 1); u <= Math.min(w - 1, x + 1); u++) {
        const j = v * w + u;
        if (found[j] && !open[j]) {
          open[j] = 1;
          queue.push(j);
        }
      }
    }
  }
  found.forEach((value, i) => { found[i] = value & open[i]; });
}
