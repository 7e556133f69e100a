// The engine: find the person with the network's own keypoints, then dress the frame; as
// dmvton/locate.py and dmvton/tryon.py.

import { composite } from "./compose.js";
import { TryOnError } from "./errors.js";
import {
  inside, letterbox, movement, searchBoxes, TORSO, torsoBox, Tracker,
} from "./geometry.js";
import { sample, toPlanes } from "./pixels.js";

// When a crop counts as showing a person, and how long the crop is refined.
export const PERSON = {
  presence: 0.5,        // least probability of a person with a visible torso, in the final crop
  torsoVisibility: 0.3, // least mean visibility of shoulders and hips
  hint: 0.2,            // least probability in a first look that is worth a closer one
  sure: 0.8,            // from here on the whole picture needs no comparison with its parts
  refinements: 2,       // most looks at refined crops, after the first
  settled: 0.06,        // a crop that would move less than this, in heights, is final
};

/** Run the network on one box of the frame. */
async function look(network, frame, box, garment) {
  const crop = sample(frame, box, network.size);
  const layers = await network.run(toPlanes(crop), garment.features);
  const keypoints = [];
  for (let i = 0; i < layers.keypoints.length; i += 3) {
    const [x, y, visibility] = layers.keypoints.slice(i, i + 3);
    keypoints.push([
      box.x + (x + 1) * box.width / 2 - 0.5, box.y + (y + 1) * box.height / 2 - 0.5, visibility,
    ]);
  }
  return { box, layers, keypoints };
}

function showsPerson({ layers, keypoints }) {
  const visibility = TORSO.reduce((sum, i) => sum + keypoints[i][2], 0) / TORSO.length;
  return layers.presence >= PERSON.presence && visibility >= PERSON.torsoVisibility;
}

/** The crop that a view's keypoints ask for; null where they make no torso in the frame. */
function nextBox(network, frame, view) {
  const limit = 2 * letterbox(frame.height, frame.width, network.size).height;
  const box = torsoBox(view.keypoints, network.size, limit);
  return box !== null && overlaps(box, frame) ? box : null;
}

function overlaps(box, frame) {
  const part = inside(box, frame.height, frame.width);
  return part.width > 0 && part.height > 0;
}

/** Search a frame for a person and refine the crop; null where nobody is in view. */
async function find(network, frame, garment) {
  let view = null;
  for (const box of searchBoxes(frame.height, frame.width, network.size)) {
    const seen = await look(network, frame, box, garment);
    if (view === null || seen.layers.presence > view.layers.presence) view = seen;
    if (seen.layers.presence >= PERSON.sure) break;
  }
  if (view.layers.presence < PERSON.hint) return null;
  for (let k = 0; k < PERSON.refinements; k++) {
    const box = nextBox(network, frame, view);
    if (box === null || movement(view.box, box) < PERSON.settled) break;
    view = await look(network, frame, box, garment);
  }
  return showsPerson(view) ? view : null;
}

/** Dress the person in a photo, in place. */
export async function dressPhoto(network, frame, garment) {
  const view = await find(network, frame, garment);
  if (view === null) {
    throw new TryOnError("no-person",
      "Nobody found. Use a photo of one upright person from the front, hips to head in view.");
  }
  composite(frame, view.box, view.layers, garment);
}

/** Try-on frame by frame: the last frame's keypoints say where to look in the next. */
export class Stream {
  #network; #tracker = new Tracker(); #shape = "";

  constructor(network) {
    this.#network = network;
  }

  /** Dress the next frame in place; false, and the frame as it was, while nobody is in view. */
  async dress(frame, garment) {
    const shape = `${frame.width}x${frame.height}`;
    if (shape !== this.#shape) this.reset();
    this.#shape = shape;
    const view = await this.#followed(frame, garment) ?? await find(this.#network, frame, garment);
    if (view === null) return false;
    const target = nextBox(this.#network, frame, view);
    if (target !== null) this.#tracker.update(target);
    composite(frame, view.box, view.layers, garment);
    return true;
  }

  /** Forget where the person was: the next frame is searched as a whole. */
  reset() {
    this.#tracker.reset();
  }

  async #followed(frame, garment) {
    const { box } = this.#tracker;
    if (box === null || !overlaps(box, frame)) return null;
    const view = await look(this.#network, frame, box, garment);
    const target = nextBox(this.#network, frame, view);
    if (!showsPerson(view) || target === null || this.#tracker.jumpsTo(target)) {
      this.reset();
      return null;
    }
    return view;
  }
}
