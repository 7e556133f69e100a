// The engine in a worker, so that the page never stutters. One message in, one answer out.

import { encode } from "./garment.js";
import { loadNetwork } from "./network.js";
import { dressPhoto, Stream } from "./tryon.js";

let network, stream;
const garments = new Map(); // name -> promise of a garment: its features are computed once

const CALLS = {
  async load({ base, wish }) {
    network = await loadNetwork(base, wish, (words) => self.postMessage({ words }));
    stream = new Stream(network);
    return { place: network.place, threads: network.threads };
  },

  async garment({ name, image }) {
    if (!garments.has(name)) garments.set(name, encode(network, image));
    try {
      await garments.get(name);
    } catch (error) {
      garments.delete(name);
      throw error;
    }
    return {};
  },

  async photo({ name, image }) {
    await dressPhoto(network, image, await garments.get(name));
    return { image };
  },

  async frame({ name, image }) {
    const start = performance.now();
    const person = await stream.dress(image, await garments.get(name));
    return { image, person, ms: performance.now() - start };
  },

  reset() {
    stream.reset();
    return {};
  },
};

// Calls wait for one another: the network runs one thing at a time.
let last = Promise.resolve();
self.onmessage = ({ data: { id, call, ...given } }) => {
  last = last.then(async () => {
    try {
      const answer = await CALLS[call](given);
      self.postMessage({ id, answer }, answer.image ? [answer.image.data.buffer] : []);
    } catch (error) {
      self.postMessage({ id, error: { kind: error.kind ?? "unknown", message: error.message } });
    }
  });
};
