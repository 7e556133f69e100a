// The live view: the newest frame of the camera, dressed, one at a time.

import { TryOnError } from "./errors.js";
import { show } from "./pictures.js";

const WANTED = { width: { ideal: 640 }, height: { ideal: 480 } };
const REASONS = {
  NotAllowedError: "The camera is blocked for this page. Allow it beside the address, then try again.",
  NotFoundError: "No camera found. Connect one and try again; photos work without.",
  NotReadableError: "The camera is in use by another program. Close that one and try again.",
};

export class Camera {
  #engine; #canvas; #report; #garment; #video = document.createElement("video");
  #source = document.createElement("canvas"); #stream = null; #facing = "user"; #run = 0;
  #fresh = null; #wake = null;

  /**
   * @param engine to dress with
   * @param canvas to show on
   * @param garment gives the name of the chosen garment
   * @param report called with {person, fps, ms} after every frame
   */
  constructor(engine, canvas, garment, report) {
    this.#engine = engine;
    this.#canvas = canvas;
    this.#garment = garment;
    this.#report = report;
    this.#video.muted = this.#video.playsInline = true;
  }

  get on() {
    return this.#stream !== null;
  }

  get mirrored() {
    return this.#facing === "user";
  }

  /** @throws TryOnError there is no camera, or it may not be used */
  async start() {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new TryOnError("no-camera", window.isSecureContext
        ? "No camera in this browser. Photos work without."
        : "Browsers give a page the camera only over https, or on the device that serves it.");
    }
    const run = ++this.#run;
    try {
      const stream = await navigator.mediaDevices.getUserMedia(
        { video: { ...WANTED, facingMode: this.#facing }, audio: false });
      if (run !== this.#run) return stream.getTracks().forEach((track) => track.stop());
      this.#stream = stream;
      this.#video.srcObject = stream;
      await this.#video.play();
    } catch (error) {
      this.stop();
      throw new TryOnError("no-camera", REASONS[error.name] ?? `No camera (${error.message}).`);
    }
    await this.#engine.reset();
    this.#fresh = null;
    this.#watch(run);
    this.#loop(run).catch((error) => {
      if (run !== this.#run) return;
      this.stop();
      this.#report({ error });
    });
  }

  stop() {
    this.#run++;
    this.#wake?.();
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = this.#video.srcObject = null;
  }

  /** Use the phone's other camera. */
  async turn() {
    this.stop();
    this.#facing = this.#facing === "user" ? "environment" : "user";
    await this.start();
  }

  async #loop(run) {
    const ends = [];
    while (run === this.#run) {
      const takenAt = await this.#newFrame();
      if (run !== this.#run) return;
      const { image, person, ms } = await this.#engine.frame(this.#garment(), this.#grab());
      if (run !== this.#run) return;
      show(this.#canvas, image);
      requestAnimationFrame(() => this.#canvas.dispatchEvent(
        new CustomEvent("shown", { detail: { age: performance.now() - takenAt } })));
      ends.push(performance.now());
      if (ends.length > 20) ends.shift();
      const fps = ends.length > 1 ? (ends.length - 1) * 1000 / (ends.at(-1) - ends[0]) : 0;
      this.#report({ person, fps, ms });
    }
  }

  /** Notes when the camera's newest frame was taken. */
  #watch(run) {
    const seen = (now, about) => {
      if (run !== this.#run) return;
      this.#fresh = about?.captureTime ?? now;
      this.#wake?.();
      this.#watch(run);
    };
    if (this.#video.requestVideoFrameCallback) this.#video.requestVideoFrameCallback(seen);
    else requestAnimationFrame(seen);
  }

  /** Waits for a frame that was not dressed yet, and tells when it was taken; older ones are never kept. */
  async #newFrame() {
    if (this.#fresh === null) await new Promise((resolve) => { this.#wake = resolve; });
    const takenAt = this.#fresh;
    this.#fresh = this.#wake = null;
    return takenAt;
  }

  #grab() {
    const { videoWidth: width, videoHeight: height } = this.#video;
    if (this.#source.width !== width) this.#source.width = width;
    if (this.#source.height !== height) this.#source.height = height;
    const context = this.#source.getContext("2d", { willReadFrequently: true });
    context.drawImage(this.#video, 0, 0);
    return { data: context.getImageData(0, 0, width, height).data, width, height };
  }
}
