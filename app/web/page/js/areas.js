// Areas of a picture: Uint8Arrays of h * w, 1 inside.

export const not = (area) => area.map((value) => 1 - value);

/** Without what is narrower than a square of 2 * radius + 1 pixels. */
export function opened(area, h, w, radius) {
  return dilated(not(dilated(not(area), h, w, radius)), h, w, radius);
}

/** Grown by `radius` pixels. */
export function dilated(area, h, w, radius) {
  const along = new Uint8Array(h * w), out = new Uint8Array(h * w);
  for (let y = 0; y < h; y++) spread(area, along, y * w, 1, w, radius);
  for (let x = 0; x < w; x++) spread(along, out, x, w, h, radius);
  return out;
}

/** Marks what lies within `radius` of a marked pixel on one row or column. */
function spread(area, out, start, step, count, radius) {
  for (let k = 0, left = 0; k < count; k++) {
    left = area[start + k * step] ? radius + 1 : left - 1;
    if (left > 0) out[start + k * step] = 1;
  }
  for (let k = count - 1, left = 0; k >= 0; k--) {
    left = area[start + k * step] ? radius + 1 : left - 1;
    if (left > 0) out[start + k * step] = 1;
  }
}

/** Connected parts, corners count, each as a list of pixels. */
export function parts(open, height, width) {
  const left = open.slice(), found = [];
  for (let start = 0; start < left.length; start++) {
    if (!left[start]) continue;
    const part = [start];
    left[start] = 0;
    for (let k = 0; k < part.length; k++) {
      const x = part[k] % width, y = (part[k] - x) / width;
      for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v++) {
        for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++) {
          const at = v * width + u;
          if (left[at]) part.push(at);
          left[at] = 0;
        }
      }
    }
    found.push(part);
  }
  return found;
}
