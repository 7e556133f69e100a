// A garment, ready to be worn: its full-size photo and what the network made of it; as
// dmvton/garment.py.

import { TryOnError } from "./errors.js";
import { strays } from "./strays.js";
import { clamp, inside, letterbox, round } from "./geometry.js";
import { torsoOf } from "./hem.js";
import { nearestColours, Pyramid, sample, toPlanes } from "./pixels.js";
import { beforeWall } from "./wall.js";

// When a photo counts as showing a garment, and how it is framed.
export const RULE = {
  contrast: 2.0,  // least standard deviation of the photo, in grey levels: less is a blank sheet
  maskArea: 0.01, // least share of the photo that the mask covers
  top: 0.03,      // least chance that it shows a top
  fill: 0.88,     // share of the picture's tighter side that the garment is framed to fill
  loose: 0.72,    // a garment that fills less than this is framed anew
  tight: 0.93,    // and one that fills more
  outside: 0.5,   // photo pixels with a mask below this are not garment
  inside: 0.8,    // photo pixels with a mask above this are garment in full
};

/**
 * Letterbox a garment photo, run the garment graph, and check that there is a garment.
 *
 * @param image RGBA picture over white; `image.cutOut` says that its alpha is the garment's mask
 * @returns {photo: Pyramid, box, torso: what ends in the hem, features: name -> tensor}
 * @throws TryOnError the photo is blank, its mask is nearly empty, or it shows no top
 */
export async function encode(network, image) {
  const box = letterbox(image.height, image.width, network.size);
  const border = borderColour(image);
  if (!image.cutOut && isBlank(sample(image, box, network.size, border))) {
    throw new TryOnError("no-garment",
      "This garment photo is blank. Take one that shows one garment.");
  }
  let seen = await look(network, image, box, border);
  const shown = image.height * image.width / (box.width * box.height);
  const area = seen.mask.reduce((a, b) => a + b, 0) / seen.mask.length / shown;
  if (area < RULE.maskArea) {
    throw new TryOnError("no-garment",
      "No garment found in this photo. Take one that shows one garment, large and unfolded.");
  }
  const closer = framed(seen, network.size);
  if (closer !== null) seen = await look(network, image, closer, border);
  const chance = seen.features.garment_top?.data[0] ?? 1;
  if (!image.cutOut && chance < RULE.top) {
    throw new TryOnError("no-garment",
      "This seems to show trousers, a skirt or a person. Take a photo of the top alone, from the " +
      "front and unfolded.");
  }
  const stray = image.cutOut ? null : strays(seen.picture, seen.mask, network.size);
  const photo = new Pyramid(extended(image, seen, network.size, stray));
  const torso = torsoOf(seen.mask, ...network.size);
  return { photo, box: seen.box, torso, features: seen.features };
}

async function look(network, image, box, border) {
  const picture = sample(image, box, network.size, border);
  const mask = image.cutOut
    ? Float32Array.from(sample(image, box, network.size, [0], [3]), (byte) => byte / 255)
    : null;
  const features = await network.encodeGarment(toPlanes(picture), mask);
  const found = features.garment_mask.data;
  if (!image.cutOut) complete(found, picture, border, shown(image, box, network.size), network.size);
  return { box, picture, features, mask: found };
}

/** Completes the mask, in place, where the part of it that is photo shows a plain wall. */
function complete(mask, picture, border, { x, y, width, height }, [, w]) {
  const from = (row) => (y + row) * w + x;
  const photo = new Uint8Array(3 * width * height), part = new Float32Array(width * height);
  for (let j = 0; j < height; j++) {
    photo.set(picture.subarray(3 * from(j), 3 * (from(j) + width)), 3 * j * width);
    for (let i = 0; i < width; i++) part[j * width + i] = mask[from(j) + i];
  }
  const whole = beforeWall(photo, part, border, [height, width]);
  whole.forEach((value, i) => { mask[from(Math.floor(i / width)) + i % width] = value; });
}

/** Which part of a letterbox in network pixels is photo, not bars: at least one pixel. */
export function shown(image, box, [h, w]) {
  const part = inside(box, image.height, image.width);
  const [x, width] = stretch(part.x - box.x, part.width, box.width, w);
  const [y, height] = stretch(part.y - box.y, part.height, box.height, h);
  return { x, y, width, height };
}

function stretch(start, length, whole, count) {
  const first = Math.min(Math.floor(start * count / whole + 0.5), count - 1);
  return [first, Math.max(Math.floor((start + length) * count / whole + 0.5) - first, 1)];
}

/** The median colour of the outermost pixels. */
export function borderColour({ data, width, height }) {
  const counts = [0, 1, 2].map(() => new Uint32Array(256));
  const add = (x, y) => counts.forEach((count, c) => count[data[4 * (y * width + x) + c]]++);
  for (let x = 0; x < width; x++) { add(x, 0); add(x, height - 1); }
  for (let y = 0; y < height; y++) { add(0, y); add(width - 1, y); }
  const half = width + height; // of twice as many, an even number: the mean of the two in the middle
  return counts.map((count) => Math.floor((ranked(count, half - 1) + ranked(count, half)) / 2));
}

function ranked(count, rank) {
  let value = 0, seen = count[0];
  while (seen <= rank) seen += count[++value];
  return value;
}

function isBlank(rgb) {
  const deviation = (value) => {
    let sum = 0, squares = 0;
    for (let i = 0; i < rgb.length; i += 3) {
      const v = value(i);
      sum += v;
      squares += v * v;
    }
    const n = rgb.length / 3;
    return Math.sqrt(Math.max(0, squares / n - (sum / n) ** 2));
  };
  const grey = (i) => Math.round(0.299 * rgb[i] + 0.587 * rgb[i + 1] + 0.114 * rgb[i + 2]);
  return [grey, (i) => rgb[i], (i) => rgb[i + 1], (i) => rgb[i + 2]]
    .every((value) => deviation(value) < RULE.contrast);
}

/** A box that frames the garment as in training; null where the present one does. */
function framed({ mask, box }, [h, w]) {
  let left = w, right = -1, top = h, bottom = -1;
  for (let y = 0, i = 0; y < h; y++) for (let x = 0; x < w; x++, i++) {
    if (mask[i] <= 0.5) continue;
    left = Math.min(left, x);
    right = Math.max(right, x);
    top = Math.min(top, y);
    bottom = y;
  }
  const width = right + 1 - left, height = bottom + 1 - top;
  const fill = Math.max(width / w, height / h);
  if (right < 0 || (RULE.loose <= fill && fill <= RULE.tight)) return null;
  const share = fill / RULE.fill; // of the present box's sides
  const centreX = box.x + (left + width / 2) / w * box.width;
  const centreY = box.y + (top + height / 2) / h * box.height;
  const newWidth = Math.max(1, round(box.width * share));
  const newHeight = Math.max(1, round(box.height * share));
  return {
    x: round(centreX - newWidth / 2), y: round(centreY - newHeight / 2),
    width: newWidth, height: newHeight,
  };
}

/**
 * The photo with the background inside the garment's box painted in the nearest garment colour.
 *
 * @param stray 1 for what the mask covers and is background nevertheless
 */
export function extended(image, { box, mask: covered, picture }, [h, w], stray = null) {
  const mask = stray === null ? covered : covered.map((value, i) => (stray[i] ? 0 : value));
  const sure = eroded(mask, h, w);
  if (!sure.includes(1)) return image;
  const fill = nearestColours(picture, sure, h, w);
  const bytes = Uint8ClampedArray.from(mask, (value) => value * 255);
  const part = inside(box, image.height, image.width);
  const out = new Uint8ClampedArray(image.data);
  const columns = between(part.x - box.x, part.width, w, box.width);
  const rows = between(part.y - box.y, part.height, h, box.height);
  for (let j = 0; j < part.height; j++) {
    for (let i = 0; i < part.width; i++) {
      const [x0, x1, tx] = columns[i], [y0, y1, ty] = rows[j];
      const enlarged = (field, n, c) => {
        const top = field[(y0 * w + x0) * n + c] * (1 - tx) + field[(y0 * w + x1) * n + c] * tx;
        const bottom = field[(y1 * w + x0) * n + c] * (1 - tx) + field[(y1 * w + x1) * n + c] * tx;
        return Math.round(top * (1 - ty) + bottom * ty);
      };
      const ramp = (enlarged(bytes, 1, 0) / 255 - RULE.outside) / (RULE.inside - RULE.outside);
      const weight = Math.round(clamp(ramp, 0, 1) * 255);
      if (weight === 255) continue;
      const to = 4 * ((part.y + j) * image.width + part.x + i);
      for (let c = 0; c < 3; c++) {
        out[to + c] = (out[to + c] * weight + enlarged(fill, 3, c) * (255 - weight)) / 255;
      }
    }
  }
  return { data: out, width: image.width, height: image.height };
}

/** Bilinear neighbours and fraction for `length` native pixels from `start` on. */
function between(start, length, network, native) {
  return Array.from({ length }, (_, i) => {
    const at = clamp((start + i + 0.5) * network / native - 0.5, 0, network - 1);
    const low = Math.floor(at);
    return [low, Math.min(low + 1, network - 1), at - low];
  });
}

/** One pixel inside the garment: its rim is mixed with what lay around it. */
function eroded(mask, h, w) {
  const sure = new Uint8Array(h * w);
  for (let y = 0, i = 0; y < h; y++) for (let x = 0; x < w; x++, i++) {
    sure[i] = 1;
    for (let v = Math.max(0, y - 1); v <= Math.min(h - 1, y + 1); v++) {
      for (let u = Math.max(0, x - 1); u <= Math.min(w - 1, x + 1); u++) {
        if (mask[v * w + u] <= RULE.inside) sure[i] = 0;
      }
    }
  }
  return sure;
}
