// Where the garment ends below: one row of it, straight across; as dmvton/hem.py, which says why.

import { clamp, round } from "./geometry.js";

export const HEM = {
  first: 0.3,   // rows above this share of the garment's height are never the hem
  last: 1.25,   // the last row looked at
  rows: 45,     // rows told apart in between
  middle: 0.6,  // share of the torso's half width that has a say
  pixels: 8,    // a row of fewer has no say
  ramp: 1.5,    // network pixels over which alpha ends
  side: 0.15,   // share of the torso's half width, beyond its sides, over which the cut fades
  reach: 0.2,   // shares of its height by which the garment is stretched at most
  doubt: 0.3,   // the chance down to which a row may be garment
};

/** The garment without its sleeves, in pixels of its picture; null without a garment. */
export function torsoOf(mask, height, width) {
  const sure = (y, x) => mask[y * width + x] > 0.5;
  const share = (y, from, to) => {
    let count = 0;
    for (let x = from; x < to; x++) count += sure(y, x);
    return count / (to - from);
  };
  const inColumn = new Float64Array(width);
  for (let i = 0; i < height * width; i++) inColumn[i % width] += mask[i] > 0.5;
  const left = inColumn.findIndex((n) => n > 0), right = inColumn.findLastIndex((n) => n > 0) + 1;
  if (inColumn.filter((n) => n > 0).length < 8) return null;
  // The middle of what is garment, not of its box: one sleeve may be folded away.
  const area = inColumn.reduce((a, b) => a + b);
  const middle = inColumn.reduce((a, n, x) => a + n * x, 0) / area, reach = 0.15 * (right - left);
  const from = Math.max(0, round(middle - reach));
  const to = Math.min(width, round(middle + reach) + 1);
  // An open front is a gap in it.
  const rows = Array.from({ length: height }, (_, y) => y).filter((y) => share(y, from, to) > 0.3);
  if (rows.length < 8) return null;
  const top = rows[0], bottom = rows[rows.length - 1] + 1;
  const [first, last] = [0.7, 0.95].map((part) => top + round(part * (bottom - top)));
  const filled = Array.from({ length: width }, (_, x) => {
    let count = 0;
    for (let y = first; y < last; y++) count += sure(y, x);
    return count / (last - first) > 0.5;
  });
  let best = null;
  for (const run of runs(closed(filled, 2))) {
    if (best === null || run[1] - run[0] > best[1] - best[0]) best = run;
  }
  if (best === null) return null;
  return { top, bottom, middle: (best[0] + best[1] - 1) / 2, half: (best[1] - best[0]) / 2 };
}

/** Gaps of up to twice the radius are filled. */
function closed(filled, radius) {
  const around = (from, every) => from.map((_, x) => {
    for (let k = Math.max(0, x - radius); k <= Math.min(from.length - 1, x + radius); k++) {
      if (from[k] !== every) return !every;
    }
    return every;
  });
  return around(around(filled, false), true);
}

function runs(filled) {
  const found = [];
  for (let x = 0; x < filled.length; x++) {
    if (!filled[x]) continue;
    if (x === 0 || !filled[x - 1]) found.push([x, x]);
    found[found.length - 1][1] = x + 1;
  }
  return found;
}

/**
 * Alpha that ends below along one row of the garment, and the flow of a garment of that length.
 *
 * @param answer planar float maps of the network, with height and width
 * @param torso of the garment in its letterbox, from torsoOf
 */
export function withHem({ alpha, beta, flow, height, width }, torso) {
  if (torso === null) return { alpha, flow };
  const tall = torso.bottom - torso.top, first = torso.top + tall * HEM.first;
  const step = tall * (HEM.last - HEM.first) / HEM.rows; // pixels a row
  const plane = height * width;
  const place = new Float32Array(plane), aside = new Float32Array(plane);
  for (let i = 0; i < plane; i++) {
    place[i] = ((flow[plane + i] + 1) * (height / 2) - 0.5 - first) / step;
    aside[i] = Math.abs((flow[i] + 1) * (width / 2) - 0.5 - torso.middle) / torso.half;
  }
  const rows = rowsInView(place, aside);
  if (rows === null) return { alpha, flow };
  const chance = chances(rows, alpha);
  if (chance[0] <= 0.5) return { alpha, flow };
  // No longer than its photo shows it, of which the last row is whole.
  const end = Math.min(last(chance, 0.5), (torso.bottom + HEM.ramp / 2 - first) / step);
  // What would be rendered below is covered, where that may be garment.
  const changed = chances(rows, alpha.map((a, i) => a + (1 - a) * beta[i]));
  const strip = Math.min(last(changed, 0.5), last(chance, HEM.doubt));
  const most = HEM.reach * HEM.rows / (HEM.last - HEM.first);
  const longer = strip > end && strip <= end + most ? strip : end;
  const least = longer === end ? 0.5 : HEM.doubt;
  const share = aside.map((a, i) => (place[i] <= 0 ? 0 : clamp((1 + HEM.side - a) / HEM.side, 0, 1)));
  const cut = alpha.map((a, i) => {
    if (share[i] === 0) return a;
    const at = clamp(place[i] - 0.5, 0, HEM.rows - 1), low = Math.min(Math.floor(at), HEM.rows - 2);
    const ofRow = chance[low] + (at - low) * (chance[low + 1] - chance[low]);
    const ends = clamp((longer - place[i]) * step / HEM.ramp + 0.5, 0, 1);
    return a + (Math.min(a / Math.max(ofRow, least), 1) * ends - a) * share[i];
  });
  if (longer === end) return { alpha: cut, flow };
  const moved = Float32Array.from(flow);
  for (let i = 0; i < plane; i++) {
    moved[plane + i] += share[i] * place[i] * (end / longer - 1) * step * 2 / height;
  }
  return { alpha: cut, flow: moved };
}

/** The rows of the garment that are in view; null where they are too few. */
function rowsInView(place, aside) {
  const which = new Int16Array(place.length).fill(-1), count = new Float64Array(HEM.rows);
  for (let i = 0; i < place.length; i++) {
    if (aside[i] >= HEM.middle || place[i] < 0 || place[i] >= HEM.rows) continue;
    which[i] = Math.floor(place[i]);
    count[which[i]]++;
  }
  const seen = Array.from(count.keys()).filter((k) => count[k] >= HEM.pixels);
  return seen.length < 4 ? null : { which, count, seen };
}

/** The chance of each row, falling, of a weight (h, w). */
function chances({ which, count, seen }, weight) {
  const total = new Float64Array(HEM.rows);
  for (let i = 0; i < which.length; i++) if (which[i] >= 0) total[which[i]] += weight[i];
  const mean = between(count, total, seen);
  // A hand or a bag in front hides a row, but not the garment's going on below.
  for (let k = HEM.rows - 2; k >= 0; k--) mean[k] = Math.max(mean[k], mean[k + 1]);
  return mean.map((p, k) => 0.25 * mean[Math.max(k - 1, 0)] + 0.5 * p
    + 0.25 * mean[Math.min(k + 1, HEM.rows - 1)]);
}

/** The place where a falling chance, above the bound at first, passes it. */
function last(chance, bound) {
  const above = chance.findLastIndex((p) => p > bound);
  if (above === HEM.rows - 1) return HEM.rows;
  return above + 0.5 + (chance[above] - bound) / (chance[above] - chance[above + 1]);
}

/** Means of the rows; those that are not seen from their neighbours. */
function between(count, total, seen) {
  const mean = (k) => total[k] / count[k];
  return Float64Array.from(count, (_, k) => {
    const after = seen.findIndex((s) => s >= k);
    if (after === 0) return mean(seen[0]);
    if (after < 0) return mean(seen[seen.length - 1]);
    const low = seen[after - 1], high = seen[after], t = (k - low) / (high - low);
    return mean(low) * (1 - t) + mean(high) * t;
  });
}
