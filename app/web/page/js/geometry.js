// Where to look: crop boxes from keypoints, letterboxes, and a box that follows a person.
// The same rules as dmvton/crop.py, number for number; a test compares the two.
//
// Convention: points in pixels count from the centre of the first pixel. Points in a box are
// normalised to [-1, 1] from edge to edge of the box. A box is {x, y, width, height} of whole
// pixels and may reach outside of the picture. `size` is [height, width] of the network.

const LEFT_SHOULDER = 1, RIGHT_SHOULDER = 2, LEFT_HIP = 7, RIGHT_HIP = 8;
export const TORSO = [LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP];

// The hips-up crop that the network is trained on, in torso lengths.
export const CROP = {
  height: 2.35,            // crop height over the distance from mid shoulder to mid hip
  above: 0.78,             // part of the crop above the mid shoulder
  hipVisibility: 0.2,      // below this the hips are a guess and the shoulders give the scale
  torsoOfShoulders: 1.4,   // torso length over shoulder width, where only the shoulders are seen
  leastOfShoulders: 0.8,   // lower bound of the same: someone leaning to the camera
};

// How the box of a video follows the person.
export const SMOOTHING = {
  still: 0.2,   // share of a tiny move that is followed at once
  quick: 0.12,  // a move of this many box heights a frame is followed wholly
  jump: 0.5,    // a larger one is another person or another shot
};

/** Nearest whole number, halves to the even one, as Python rounds. */
export function round(value) {
  const floor = Math.floor(value), rest = value - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** The part of a box within a picture; its sides may be 0. */
export function inside(box, height, width) {
  const x = clamp(box.x, 0, width), y = clamp(box.y, 0, height);
  const right = Math.max(Math.min(box.x + box.width, width), x);
  const bottom = Math.max(Math.min(box.y + box.height, height), y);
  return { x, y, width: right - x, height: bottom - y };
}

/** The smallest centred box of the network's shape that holds a whole picture. */
export function letterbox(height, width, size) {
  const boxHeight = Math.max(height, round(width * size[0] / size[1]));
  const boxWidth = Math.max(width, round(height * size[1] / size[0]));
  return {
    x: Math.floor((width - boxWidth) / 2), y: Math.floor((height - boxHeight) / 2),
    width: boxWidth, height: boxHeight,
  };
}

/** Boxes to look for a person in: the whole picture first, then parts of it, the middle one first. */
export function searchBoxes(height, width, size) {
  const boxes = [letterbox(height, width, size)];
  const partHeight = Math.min(height, round(width * size[0] / size[1]));
  const partWidth = Math.min(width, round(height * size[1] / size[0]));
  const spareX = width - partWidth, spareY = height - partHeight;
  const steps = Math.min(4, round(2 * Math.max(spareX / partWidth, spareY / partHeight)));
  if (steps === 0) return boxes;
  const order = Array.from({ length: steps + 1 }, (_, step) => step)
    .sort((a, b) => Math.abs(2 * a - steps) - Math.abs(2 * b - steps) || a - b);
  for (const step of order) {
    const at = step / steps;
    boxes.push({
      x: round(spareX * at), y: round(spareY * at), width: partWidth, height: partHeight,
    });
  }
  return boxes;
}

/** The hips-up crop of a person, or null where the torso is too small; keypoints [[x, y, visibility]]. */
export function torsoBox(keypoints, size, limit) {
  const [a, b] = [keypoints[LEFT_SHOULDER], keypoints[RIGHT_SHOULDER]];
  const [c, d] = [keypoints[LEFT_HIP], keypoints[RIGHT_HIP]];
  const shoulder = [(a[0] + b[0]) / 2 + 0.5, (a[1] + b[1]) / 2 + 0.5]; // edges, not centres
  let hip = [(c[0] + d[0]) / 2 + 0.5, (c[1] + d[1]) / 2 + 0.5];
  const across = Math.hypot(a[0] - b[0], a[1] - b[1]);
  let torso;
  if (Math.max(c[2], d[2]) < CROP.hipVisibility) {
    torso = CROP.torsoOfShoulders * across;
    hip = shoulder;
  } else {
    const along = Math.hypot(shoulder[0] - hip[0], shoulder[1] - hip[1]);
    torso = Math.max(along, CROP.leastOfShoulders * across);
  }
  const height = Math.min(CROP.height * torso, limit);
  if (!(height >= 16)) return null;
  const width = height * size[1] / size[0];
  return {
    x: round((shoulder[0] + hip[0]) / 2 - width / 2),
    y: round(shoulder[1] - CROP.above / CROP.height * height),
    width: round(width), height: round(height),
  };
}

/** How far apart two boxes are: the largest move of an edge, over the height of the larger. */
export function movement(a, b) {
  const moved = Math.max(
    Math.abs(a.x - b.x), Math.abs(a.y - b.y),
    Math.abs(a.x + a.width - b.x - b.width), Math.abs(a.y + a.height - b.y - b.height),
  );
  return moved / Math.max(a.height, b.height);
}

/** Smooths the box from frame to frame: slow for a tremble, prompt for a real move. */
export class Tracker {
  box = null; // where to look next; null before the first update and after a reset
  #state = null; // centre x, centre y, width, height

  reset() {
    this.box = this.#state = null;
  }

  /** Whether a box is too far off to be the same person in the same shot. */
  jumpsTo(target) {
    return this.box !== null && movement(this.box, target) > SMOOTHING.jump;
  }

  /** Follow the box that the newest keypoints ask for. */
  update(target) {
    const goal = [
      target.x + target.width / 2, target.y + target.height / 2, target.width, target.height,
    ];
    if (this.#state === null || this.jumpsTo(target)) {
      this.#state = goal;
    } else {
      const { still, quick } = SMOOTHING;
      const share = Math.min(1, still + (1 - still) * movement(this.box, target) / quick);
      this.#state = this.#state.map((value, i) => value + share * (goal[i] - value));
    }
    const [x, y, width, height] = this.#state;
    this.box = {
      x: round(x - width / 2), y: round(y - height / 2), width: round(width), height: round(height),
    };
    return this.box;
  }
}
