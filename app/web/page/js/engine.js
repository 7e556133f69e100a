// The worker, as functions to await.

import { TryOnError } from "./errors.js";

export class Engine {
  #worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  #waiting = new Map(); #next = 0;

  /** @param report called with words on how far loading is */
  constructor(report) {
    this.#worker.onmessage = ({ data }) => {
      if (data.words) return report(data.words);
      const { resolve, reject } = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if (data.error) reject(new TryOnError(data.error.kind, data.error.message));
      else resolve(data.answer);
    };
    this.#worker.onerror = (event) => {
      for (const { reject } of this.#waiting.values()) {
        reject(new TryOnError("no-network",
          `This browser cannot run the page's program (${event.message ?? "no module workers"}).`));
      }
      this.#waiting.clear();
    };
  }

  load(wish) {
    return this.#call("load", { base: new URL("../", import.meta.url).href, wish });
  }

  garment(name, image) {
    return this.#call("garment", { name, image });
  }

  /** Dress a photo; the picture given is moved away, the answer's is the dressed one. */
  photo(name, image) {
    return this.#call("photo", { name, image }, [image.data.buffer]);
  }

  /** Dress a frame of a video; the picture is moved away and comes back as {image, person, ms}. */
  frame(name, image) {
    return this.#call("frame", { name, image }, [image.data.buffer]);
  }

  reset() {
    return this.#call("reset", {});
  }

  #call(call, given, moved = []) {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, call, ...given }, moved);
    });
  }
}
