// The result at the photo's own size, from layers at network size; as dmvton/compose.py.
//
// The layers are smooth and are enlarged; garment and person are taken from the full-size photos.

import { clamp, inside } from "./geometry.js";
import { withHem } from "./hem.js";
import { withoutHoles } from "./holes.js";
import { blurred, median, replicated } from "./pixels.js";

// Where the result may differ from the input, and how it gets there.
export const EDGES = {
  width: 0.7,    // network pixels over which the change begins, and in it the garment
  reach: 3,      // distances from an edge end at so many network pixels
  round: 1.5,    // Gaussian in network pixels that smooths them
  flat: 0.05,    // a chance that changes by less a network pixel has no edge, but a fade
  feather: 0.03, // fade at a side of the crop inside the frame, in crop heights
};

// Maps that are enlarged together: x and y in the garment level, distance from the edge of what
// changes and from that of the garment in it (they are linear across an edge), rendered RGB, gain RGB.
const CHANNELS = 10;

/**
 * Dress the frame in place.
 *
 * @param frame RGBA picture; its bytes are changed
 * @param box where the crop lay
 * @param answer planar float maps of the network, with height and width
 * @param garment from garment.js
 */
export function composite(frame, box, answer, garment) {
  const { beta } = answer;
  const hemmed = withHem(answer, garment.torso), { flow } = hemmed;
  const alpha = withoutHoles(hemmed.alpha, answer, garment.torso);
  const change = alpha.map((a, i) => a + (1 - a) * beta[i]);
  const share = alpha.map((a, i) => a / Math.max(change[i], 1e-3));
  const size = [answer.height, answer.width];
  const changed = distance(change, ...size), worn = distance(share, ...size, change);
  const layers = { ...answer, flow, changed, worn };
  const region = changedRegion(layers, box, frame);
  if (region.width <= 0 || region.height <= 0) return;
  const level = garment.photo.level(samplingDensity(answer, box, garment.box));
  const { height } = layers;
  const rowAt = (y) => clamp((y - box.y + 0.5) * height / box.height - 0.5, 0, height - 1);
  const first = Math.min(Math.floor(rowAt(region.y)), height - 2);
  const last = Math.min(Math.floor(rowAt(region.y + region.height - 1)), height - 2) + 1;
  const wide = widened(stacked(layers, garment, level), box, region, layers, first, last);
  const fadeX = fades(region.x, region.width, box.x, box.width, frame.width, box.height);
  const fadeY = fades(region.y, region.height, box.y, box.height, frame.height, box.height);
  const step = region.width * CHANNELS, row = new Float32Array(step);
  for (let j = 0; j < region.height; j++) {
    const at = rowAt(region.y + j), low = Math.min(Math.floor(at), height - 2);
    const upper = (low - first) * step, t = at - low;
    for (let i = 0; i < step; i++) row[i] = wide[upper + i] * (1 - t) + wide[upper + step + i] * t;
    blendRow(frame, region, region.y + j, row, level, fadeX, fadeY[j]);
  }
}

/**
 * Network pixels from the line where a chance (h, w) passes a half, positive where it is larger.
 *
 * @param weight where the chance means something; everywhere without it
 */
function distance(chance, height, width, weight = null) {
  const [dx, dy] = slopes(chance, height, width);
  const away = chance.map((c, i) => clamp((c - 0.5) / Math.max(Math.hypot(dx[i], dy[i]), EDGES.flat),
    -EDGES.reach, EDGES.reach));
  const smooth = (field) =>
    blurred(field, height, width, 1, EDGES.round, Math.round(2 * EDGES.round), replicated);
  if (weight === null) return smooth(away);
  const trust = weight.map((w) => w + 1e-3), total = smooth(trust);
  return smooth(away.map((a, i) => a * trust[i])).map((a, i) => a / total[i]);
}

/** Changes of a field (h, w) from pixel to pixel, along x and along y. */
function slopes(field, height, width) {
  const dx = new Float32Array(field.length), dy = new Float32Array(field.length);
  for (let y = 0, i = 0; y < height; y++) for (let x = 0; x < width; x++, i++) {
    const left = x > 0 ? 1 : 0, right = x < width - 1 ? 1 : 0;
    const up = y > 0 ? 1 : 0, down = y < height - 1 ? 1 : 0;
    dx[i] = (field[i + right] - field[i - left]) / (left + right);
    dy[i] = (field[i + down * width] - field[i - up * width]) / (up + down);
  }
  return [dx, dy];
}

/** Mix one row of the region. */
function blendRow(frame, region, y, row, level, fadeX, fadeY) {
  const out = frame.data, lit = new Float32Array(3);
  let to = (y * frame.width + region.x) * 4;
  for (let i = 0, m = 0; i < region.width; i++, m += CHANNELS, to += 4) {
    const weight = clamp(row[m + 2] / EDGES.width + 0.5, 0, 1) * fadeX[i] * fadeY;
    if (weight <= 0) continue;
    const share = clamp(row[m + 3] / EDGES.width + 0.5, 0, 1);
    const ofGarment = weight * share, ofRendered = weight * (1 - share);
    if (ofGarment > 0) bilinear(level, row[m], row[m + 1], lit);
    for (let c = 0; c < 3; c++) {
      const worn = Math.min(lit[c] * row[m + 7 + c], 255);
      out[to + c] = out[to + c] * (1 - ofGarment - ofRendered) + ofGarment * worn
        + ofRendered * row[m + 4 + c];
    }
  }
}

/** One colour of a picture between its pixels; the border is repeated. */
function bilinear(image, x, y, out) {
  const { data, width, height } = image;
  const atX = clamp(x, 0, width - 1), atY = clamp(y, 0, height - 1);
  const x0 = Math.floor(atX), y0 = Math.floor(atY), tx = atX - x0, ty = atY - y0;
  const right = x0 + 1 < width ? 4 : 0, below = y0 + 1 < height ? 4 * width : 0;
  const at = 4 * (y0 * width + x0);
  for (let c = 0; c < 3; c++) {
    const top = data[at + c] * (1 - tx) + data[at + right + c] * tx;
    const bottom = data[at + below + c] * (1 - tx) + data[at + below + right + c] * tx;
    out[c] = top * (1 - ty) + bottom * ty;
  }
}

/** The planar layers as one array (h, w, CHANNELS). */
function stacked(layers, garment, level) {
  const { flow, changed, worn, rendered, gain } = layers, plane = layers.height * layers.width;
  const { box, photo: { image } } = garment;
  const shrinkX = level.width / image.width, shrinkY = level.height / image.height;
  const out = new Float32Array(plane * CHANNELS);
  for (let i = 0, m = 0; i < plane; i++, m += CHANNELS) {
    out[m] = (box.x + (flow[i] + 1) * box.width / 2) * shrinkX - 0.5;
    out[m + 1] = (box.y + (flow[plane + i] + 1) * box.height / 2) * shrinkY - 0.5;
    out[m + 2] = changed[i];
    out[m + 3] = worn[i];
    for (let c = 0; c < 3; c++) {
      out[m + 4 + c] = rendered[c * plane + i] * 255;
      out[m + 7 + c] = gain[c * plane + i];
    }
  }
  return out;
}

/** Network rows `first` to `last` of the maps, enlarged to the region's columns. */
function widened(maps, box, region, layers, first, last) {
  const { width } = layers, out = new Float32Array((last - first + 1) * region.width * CHANNELS);
  for (let i = 0; i < region.width; i++) {
    const at = (region.x - box.x + i + 0.5) * width / box.width - 0.5;
    const clipped = clamp(at, 0, width - 1), low = Math.min(Math.floor(clipped), width - 2);
    const t = clipped - low;
    for (let y = first; y <= last; y++) {
      const from = (y * width + low) * CHANNELS;
      const to = ((y - first) * region.width + i) * CHANNELS;
      for (let c = 0; c < CHANNELS; c++) {
        out[to + c] = maps[from + c] * (1 - t) + maps[from + CHANNELS + c] * t;
      }
    }
  }
  return out;
}

/** How many pixels of the garment photo one pixel of the result steps over: the median. */
function samplingDensity(layers, box, garmentBox) {
  const { flow, alpha, height, width } = layers, plane = height * width, areas = [];
  const [xx, xy] = slopes(flow.slice(0, plane), height, width);
  const [yx, yy] = slopes(flow.slice(plane), height, width);
  const scale = garmentBox.width * garmentBox.height / 4; // of the flow's units, in pixels
  for (let i = 0; i < plane; i++) {
    if (alpha[i] > 0.5) areas.push(scale * Math.abs(xx[i] * yy[i] - yx[i] * xy[i]));
  }
  if (areas.length === 0) return 1;
  const native = (box.width / width) * (box.height / height); // result pixels a network pixel
  return Math.sqrt(median(Float32Array.from(areas)) / native);
}

/** The part of the frame that can change. */
function changedRegion(layers, box, frame) {
  const { changed, height, width } = layers;
  let top = height, bottom = -1, left = width, right = -1;
  for (let y = 0, i = 0; y < height; y++) for (let x = 0; x < width; x++, i++) {
    if (changed[i] <= -EDGES.width / 2) continue;
    top = Math.min(top, y);
    bottom = y;
    left = Math.min(left, x);
    right = Math.max(right, x);
  }
  if (bottom < 0) return { x: 0, y: 0, width: 0, height: 0 };
  // Interpolation reaches one network pixel beyond the last one that is over the bound.
  const crop = inside(box, frame.height, frame.width);
  const x = Math.max(box.x + Math.floor((left - 1) / width * box.width), crop.x);
  const y = Math.max(box.y + Math.floor((top - 1) / height * box.height), crop.y);
  const farX = Math.min(box.x + Math.ceil((right + 2) / width * box.width), crop.x + crop.width);
  const farY = Math.min(box.y + Math.ceil((bottom + 2) / height * box.height), crop.y + crop.height);
  return { x, y, width: farX - x, height: farY - y };
}

/** Weights along one side that fade the change out at crop sides inside the frame. */
function fades(start, length, low, boxLength, frameSide, boxHeight) {
  const reach = Math.max(1, EDGES.feather * boxHeight), high = low + boxLength;
  return Float32Array.from({ length }, (_, i) => {
    const at = start + i;
    const near = low > 0 ? (at - low) / reach : 1;
    const far = high < frameSide ? (high - 1 - at) / reach : 1;
    return clamp(Math.min(near, far), 0, 1);
  });
}
