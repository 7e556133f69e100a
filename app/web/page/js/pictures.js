// Photo files to RGBA pictures, upright, of a size that a phone can hold.

import { TryOnError } from "./errors.js";

const MOST_BYTES = 64 * 1024 * 1024;
const MOST_PIXELS = 12_000_000; // larger photos are shrunk: browsers of phones hold no larger canvas
const LEAST_SIDE = 16;

/**
 * Read a photo.
 *
 * @param blob a file
 * @returns {data, width, height, cutOut}: over white; cutOut says that data's alpha is a mask
 */
export async function readPicture(blob) {
  if (blob.size > MOST_BYTES) {
    throw new TryOnError("bad-picture", "This file is larger than 64 MB. Use a smaller photo.");
  }
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { imageOrientation: "from-image" });
  } catch {
    throw new TryOnError("bad-picture", "This is not a picture. Use a JPEG, PNG or WebP photo.");
  }
  if (Math.min(bitmap.width, bitmap.height) < LEAST_SIDE) {
    throw new TryOnError("bad-picture",
      `This picture is too small (${bitmap.width} x ${bitmap.height}).`);
  }
  const shrink = Math.min(1, Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height)));
  const width = Math.max(1, Math.round(bitmap.width * shrink));
  const height = Math.max(1, Math.round(bitmap.height * shrink));
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  return { data, width, height, cutOut: overWhite(data) };
}

/** Put transparent pixels on white, in place; whether there were any. */
function overWhite(data) {
  let any = false;
  for (let i = 3; i < data.length; i += 4) {
    if (data[i] === 255) continue;
    any = true;
    for (let c = i - 3; c < i; c++) data[c] = (data[c] * data[i] + 255 * (255 - data[i])) / 255;
  }
  return any;
}

/** An opaque copy, to be moved to the engine. */
export function copied({ data, width, height }) {
  const copy = new Uint8ClampedArray(data);
  for (let i = 3; i < copy.length; i += 4) copy[i] = 255;
  return { data: copy, width, height };
}

/** Show a picture on a canvas. */
export function show(canvas, { data, width, height }) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
}

/** Offer a canvas as a file to keep. */
export async function save(canvas, name) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  const link = Object.assign(document.createElement("a"), {
    href: URL.createObjectURL(blob), download: name,
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
