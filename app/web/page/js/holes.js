// Small holes in the new garment are closed; as dmvton/holes.py, which says why.

import { dilated, opened, parts } from "./areas.js";
import { TORSO } from "./geometry.js";

export const HOLES = {
  area: 0.07, // of a hole at most, in squared torso lengths
  hand: 0.4,  // torso lengths from a wrist that is seen, within which a hole may be a hand
  seen: 0.85, // from this visibility on a wrist is seen
  aside: 0.9, // share of the garment's half width that a hole may lie off its middle
  neck: 2,    // network pixels; also looked at is what is left without twice as narrow necks
  grow: 3,    // network pixels about a hole that are covered with it
};
const WRISTS = [5, 6];

/**
 * Alpha with small holes closed.
 *
 * @param alpha weight of the warped garment (h, w)
 * @param answer planar float maps of the network, with height and width
 * @param torso of the garment in its letterbox, from torsoOf
 */
export function withoutHoles(alpha, answer, torso) {
  if (torso === null) return alpha;
  const { beta, height, width, keypoints } = answer;
  const open = Uint8Array.from(alpha, (a, i) => a + (1 - a) * beta[i] < 0.5);
  const point = (k) => [(keypoints[3 * k] + 1) * width / 2 - 0.5,
    (keypoints[3 * k + 1] + 1) * height / 2 - 0.5];
  const [a, b, c, d] = TORSO.map(point);
  const length = Math.hypot(c[0] + d[0] - a[0] - b[0], c[1] + d[1] - a[1] - b[1]) / 2;
  const hands = WRISTS.filter((k) => keypoints[3 * k + 2] >= HOLES.seen).map(point);
  const mayClose = (hole) => hole.length <= HOLES.area * length ** 2 && hole.every((i) => {
    const x = i % width, y = (i - x) / width;
    if (x === 0 || y === 0 || x === width - 1 || y === height - 1) return false;
    return onTorso(answer, i, torso)
      && hands.every((h) => Math.hypot(x - h[0], y - h[1]) > HOLES.hand * length);
  });
  const wide = dilated(opened(open, height, width, HOLES.neck), height, width, HOLES.neck)
    .map((value, i) => value & open[i]);
  const bare = Uint8Array.from(alpha, (a) => a < 0.5); // also where something is painted
  const holes = [open, wide, bare].flatMap((area) => parts(area, height, width)).filter(mayClose);
  if (holes.length === 0) return alpha;
  const out = alpha.slice();
  for (const i of holes.flat()) cover(out, i % width, Math.floor(i / width), height, width);
  return out;
}

/** Whether the garment's torso is shown at a pixel, and not its sleeve or nothing of it. */
function onTorso({ flow, height, width }, i, torso) {
  const x = (flow[i] + 1) * width / 2 - 0.5, y = (flow[height * width + i] + 1) * height / 2 - 0.5;
  return Math.abs(x - torso.middle) <= HOLES.aside * torso.half && y >= torso.top
    && y <= torso.bottom;
}

/** All of the garment within `grow` of a pixel. */
function cover(alpha, x, y, height, width) {
  const r = HOLES.grow;
  for (let dy = -r; dy <= r; dy++) {
    const reach = Math.round(Math.sqrt(r * r - dy * dy));
    for (let dx = -reach; dx <= reach; dx++) {
      const u = x + dx, v = y + dy;
      if (u >= 0 && v >= 0 && u < width && v < height) alpha[v * width + u] = 1;
    }
  }
}
