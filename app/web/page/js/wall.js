// The garment before a plain wall: what is not wall is garment; as dmvton/wall.py, which says why.

import { dilated, not, opened, parts } from "./areas.js";
import { colourNumbers } from "./pixels.js";

const STEP = 4;    // largest difference between neighbours on a wall, of each channel
const FAR = 32;    // largest difference of a wall from the border's colour
const RIM = 0.75;  // share of the photo's rim from which on the wall is plain
const KNOWN = 0.25; // least share of a thing before the wall that the mask has
const ALIKE = 0.6; // least share of a missing piece in colours of the garment
const OWN = 1 / 200; // least share of the garment in a colour that is one of its own
const SAME = 8;    // largest difference from the border's colour of wall in the loop of a strap
const LEAK = 0.15; // share of the garment in the wall's colour from which on no loop is looked for
const BITS = 3;    // kept of each channel where colours are counted

/**
 * The mask of a garment, completed where the photo shows it before a plain wall.
 *
 * @param photo h * w * 3 bytes, the garment photo at network size, without a letterbox's bars
 * @param mask h * w values in [0, 1], the network's
 * @param border the colour of the photo's border
 * @returns Float32Array h * w
 */
export function beforeWall(photo, mask, border, [h, w]) {
  const whole = Float32Array.from(mask);
  const wall = wallOf(photo, border, h, w), known = Uint8Array.from(mask, (value) => value > 0.5);
  const isRim = (i) => i < w || i >= (h - 1) * w || i % w === 0 || i % w === w - 1;
  let rim = 0, plain = 0;
  for (let i = 0; i < h * w; i++) if (isRim(i)) { rim += 1; plain += wall[i]; }
  if (plain < RIM * rim || !known.includes(1)) return whole;
  const things = not(wall), wide = opened(things, h, w, 1), within = not(dilated(wall, h, w, 1));
  // The rim is a mixture with the wall, but of a strap there is little else.
  const solid = things.map((value, i) => within[i] | (value & (1 - wide[i])));
  const missing = new Uint8Array(h * w);
  for (const thing of parts(solid, h, w)) {
    if (total(known, thing) <= KNOWN * thing.length) continue;
    for (const i of thing) {
      if (known[i]) whole[i] = 1;
      else missing[i] = 1;
    }
  }
  const colour = colourNumbers(photo, BITS), away = not(dilated(known, h, w, 1));
  const [cloth, rest, paint] = [known, away, wall].map((area) => shares(colour, area));
  const own = known.map((_, i) => cloth[i] >= OWN && cloth[i] >= rest[i]);
  const other = known.map((_, i) => rest[i] > cloth[i]);
  // Wall that a sleeve shuts in is no print.
  const shutIn = missing.map((value, i) => value & (paint[i] > cloth[i]));
  const pocket = dilated(opened(shutIn, h, w, 2), h, w, 1);
  missing.forEach((value, i) => { missing[i] = value & (1 - pocket[i]); });
  const outside = dilated(known.map((value, i) => 1 - (value | missing[i])), h, w, 1);
  for (const piece of parts(missing, h, w)) {
    const fits = total(own, piece) > ALIKE * piece.length || total(outside, piece) === 0;
    const foreign = total(other, piece) >= 0.5 * piece.length;
    if (fits && !foreign && !piece.some(isRim)) for (const i of piece) whole[i] = 1;
  }
  const same = known.map((_, i) => near(photo, i, border, SAME));
  if (sumOf(known.map((value, i) => value & same[i])) < LEAK * sumOf(known)) {
    // Wall in the loop of a strap lies close to the wall outside; a print does not.
    const beside = dilated(wall, h, w, 6);
    for (const part of parts(same.map((value, i) => value & (1 - wall[i])), h, w)) {
      if (total(beside, part) === part.length) for (const i of part) whole[i] = 0;
    }
  }
  return whole;
}

const near = (photo, i, colour, levels) => [0, 1, 2].every((c) =>
  Math.abs(photo[3 * i + c] - colour[c]) <= levels);
const sumOf = (area) => area.reduce((sum, value) => sum + value, 0);
const total = (area, pixels) => pixels.reduce((sum, i) => sum + area[i], 0);

/** What leads inwards from the border in small steps of colour. */
function wallOf(photo, border, h, w) {
  const wall = new Uint8Array(h * w), queue = [];
  const visit = (i, from) => {
    if (wall[i] || !near(photo, i, from, STEP) || !near(photo, i, border, FAR)) return;
    wall[i] = 1;
    queue.push(i);
  };
  for (let x = 0; x < w; x++) { visit(x, border); visit((h - 1) * w + x, border); }
  for (let y = 0; y < h; y++) { visit(y * w, border); visit(y * w + w - 1, border); }
  while (queue.length) {
    const i = queue.pop(), x = i % w, from = photo.slice(3 * i, 3 * i + 3);
    if (x > 0) visit(i - 1, from);
    if (x < w - 1) visit(i + 1, from);
    if (i >= w) visit(i - w, from);
    if (i < (h - 1) * w) visit(i + w, from);
  }
  return wall;
}

/** How large a share of an area has the colour of each pixel. */
function shares(colour, area) {
  const counts = new Float64Array(1 << 3 * BITS);
  area.forEach((value, i) => { counts[colour[i]] += value; });
  const sum = Math.max(1, sumOf(area));
  return Float64Array.from(area, (_, i) => counts[colour[i]] / sum);
}
