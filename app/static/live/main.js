// The live view: camera pictures go to the engine over a WebSocket and come back dressed.

import { Camera } from "./camera.js";
import { Link } from "./link.js";

const QUALITY = 0.85; // of the JPEG frames that are sent
const SHOWN = 60; // pictures that the readout looks back on
const KEPT = 1000; // pictures that `ages` looks back on
const SIDE_BY_SIDE = "both";
const VIEWS = {
  dressed: "Dressed", [SIDE_BY_SIDE]: "Side by side",
  garment: "Warped garment", mask: "Garment mask", weight: "Weight", flow: "Flow",
};
const PROBLEMS = {
  "urn:dmvton:problem:busy": "Many people are here at the moment. Trying again.",
};

export class LiveView {
  #part; #link; #camera; #canvas; #encoder; #root;
  #fresh = null; #grabbing = false; #showing = Promise.resolve(); #lost;
  #ages = [];

  /**
   * @param root element that holds view.html
   * @param lost called where the engine no longer keeps the garment; answered by `wear`
   */
  constructor(root, lost) {
    this.#root = root;
    this.#lost = lost;
    this.#part = (name) => root.querySelector(name);
    this.#canvas = this.#part("canvas");
    const address = new URL("v1/stream", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    this.#link = new Link(address.href, {
      picture: (...picture) => this.#take(...picture),
      problem: (problem) => this.#hear(problem),
      state: (words) => this.#say(words),
    });
    this.#camera = new Camera(this.#part("video"), (takenAt) => {
      this.#fresh = takenAt;
      if (root.offsetParent) this.#pump();
      else this.#stop(); // the other tab was opened
    });
    this.#encoder = new Worker(new URL("encoder.js", import.meta.url));
    this.#part(".start").onclick = () => this.#toggle();
    this.#part(".turn").onclick = () => this.#turn();
    this.#part(".snap").onclick = () => this.#snap();
    this.#offerViews();
    document.addEventListener("visibilitychange", () => {
      if (document.hidden && this.#camera.on) this.#toggle();
    });
  }

  /** The last pictures, oldest first: when each was shown, its age then, and its age in the engine (ms). */
  get ages() {
    return this.#ages.map(([shownAt, age, engine]) => ({ shownAt, age, engine }));
  }

  /** Wear the garment that the engine keeps under an id. */
  wear(garment) {
    if (garment) this.#link.set({ garment });
  }

  #offerViews() {
    for (const [name, label] of Object.entries(VIEWS)) {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", textContent: label, value: name });
      button.setAttribute("role", "radio");
      button.onclick = () => this.#show(name);
      this.#part(".views").append(button);
    }
    this.#show("dressed");
  }

  #show(name) {
    for (const button of this.#part(".views").children) {
      button.setAttribute("aria-checked", String(button.value === name));
    }
    this.#root.dataset.view = name;
    this.#camera.shown = name === SIDE_BY_SIDE;
    this.#link.set({ view: name === SIDE_BY_SIDE ? "dressed" : name });
  }

  async #toggle() {
    if (this.#camera.on) this.#stop();
    else await this.#start();
  }

  async #start() {
    this.#part(".start").disabled = true;
    this.#say("");
    try {
      await this.#camera.start();
      this.#ages = [];
      this.#link.open();
    } catch (error) {
      this.#say(`${error.message} Photos work without, in the other tab.`, "error");
    }
    this.#part(".start").disabled = false;
    this.#reflect();
  }

  #stop() {
    this.#camera.stop();
    this.#link.close();
    this.#fresh = null;
    this.#say("");
    this.#reflect();
  }

  async #turn() {
    this.#stop();
    this.#camera.facing = this.#camera.facing === "user" ? "environment" : "user";
    await this.#start();
  }

  #reflect() {
    const { on, facing } = this.#camera;
    this.#root.dataset.on = String(on);
    this.#root.dataset.mirrored = String(facing === "user");
    this.#part(".start").textContent = on ? "Stop" : "Start the camera";
    this.#part(".readout").textContent = "";
    for (const name of [".turn", ".snap"]) this.#part(name).disabled = !on;
  }

  /** Send the newest picture, if it was not sent yet and there is room for it. */
  async #pump() {
    if (this.#fresh === null || this.#grabbing || !this.#link.free) return;
    const takenAt = this.#fresh;
    this.#fresh = null;
    this.#grabbing = true;
    try {
      this.#link.send(await this.#grab(), takenAt);
    } finally {
      this.#grabbing = false;
    }
    this.#pump();
  }

  /** The camera's newest picture as the bytes of a JPEG file. */
  async #grab() {
    const picture = await this.#camera.take();
    return new Promise((resolve) => {
      this.#encoder.onmessage = ({ data }) => resolve(data);
      this.#encoder.postMessage({ picture, quality: QUALITY }, [picture]);
    });
  }

  /** Show a picture; one after the other, in the order in which they came. */
  #take(blob, about, takenAt) {
    this.#pump();
    const picture = createImageBitmap(blob);
    this.#showing = this.#showing.then(async () => {
      const bitmap = await picture;
      if (!this.#camera.on) return;
      if (this.#canvas.width !== bitmap.width) this.#canvas.width = bitmap.width;
      if (this.#canvas.height !== bitmap.height) this.#canvas.height = bitmap.height;
      this.#canvas.getContext("2d").drawImage(bitmap, 0, 0);
      bitmap.close();
      requestAnimationFrame(() => this.#note(performance.now(), takenAt, about));
    }).catch(() => {}); // a picture that cannot be decoded is passed over
  }

  #note(now, takenAt, { person, age_ms: engine }) {
    this.#ages.push([now, now - takenAt, engine]);
    if (this.#ages.length > KEPT) this.#ages.shift();
    const last = this.#ages.slice(-SHOWN);
    if (last.length > 1) {
      const fps = (last.length - 1) * 1000 / (last.at(-1)[0] - last[0][0]);
      const middle = last.map(([, age]) => age).sort((a, b) => a - b)[last.length >> 1];
      this.#part(".readout").textContent = `${fps.toFixed(0)} fps, ${middle.toFixed(0)} ms`;
    }
    this.#say(person ? "" : "Nobody in view. Step back until head and hips are in the picture.");
  }

  #hear(problem) {
    if (problem.type === "urn:dmvton:problem:unknown-garment") this.#lost();
    else this.#say(PROBLEMS[problem.type] ?? problem.detail, "error");
    this.#pump();
  }

  /** Keep what is shown as a picture to look at and to save; it does not leave the page. */
  #snap() {
    this.#canvas.toBlob((blob) => {
      const kept = this.#part(".kept"), image = kept.querySelector("img"), save = this.#part(".save");
      URL.revokeObjectURL(image.src);
      image.src = save.href = URL.createObjectURL(blob);
      kept.hidden = false;
    }, "image/jpeg", 0.95);
  }

  #say(words, kind = "") {
    const status = this.#part(".status");
    if (status.textContent !== words) status.textContent = words;
    status.dataset.kind = kind;
  }
}
