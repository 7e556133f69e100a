// The camera: its newest picture, and why there is none.

const WANTED = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
const REASONS = {
  NotAllowedError: "The camera is blocked for this page. Allow it beside the address, then start again.",
  NotFoundError: "No camera found. Connect one and start again.",
  OverconstrainedError: "No camera found. Connect one and start again.",
  NotReadableError: "The camera is in use by another program. Close that one and start again.",
};

export class Camera {
  #video; #stream = null; #run = 0; #news; #newest = null; #shown = false;
  facing = "user";

  /**
   * @param video element that shows the camera where it is to be seen
   * @param news called with the time (of performance.now) at which a new picture was taken
   */
  constructor(video, news) {
    this.#video = video;
    this.#news = news;
  }

  get on() {
    return this.#stream !== null;
  }

  /** Whether people see the camera's own picture; a video that nobody sees costs time all the same. */
  set shown(shown) {
    this.#shown = shown;
    if (this.on && this.#direct) this.#play();
  }

  /** @throws Error in words for people: there is no camera, or it may not be used */
  async start() {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error(window.isSecureContext
        ? "No camera in this browser."
        : "Browsers give a page the camera only over https, or on the computer that runs it (localhost).");
    }
    const run = ++this.#run;
    try {
      const stream = await navigator.mediaDevices.getUserMedia(
        { video: { ...WANTED, facingMode: this.facing }, audio: false });
      if (run !== this.#run) return stream.getTracks().forEach((track) => track.stop());
      this.#stream = stream;
      await this.#play();
    } catch (error) {
      this.stop();
      throw new Error(REASONS[error.name] ?? `No camera (${error.message}).`);
    }
    if (this.#direct) this.#read(run);
    else this.#watch(run);
  }

  stop() {
    this.#run++;
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = this.#video.srcObject = null;
    this.#newest?.close();
    this.#newest = null;
  }

  /** The newest picture, to draw and to close. */
  async take() {
    if (!this.#direct) return createImageBitmap(this.#video);
    const frame = this.#newest;
    this.#newest = null;
    return frame;
  }

  /** Whether this browser gives the pictures without showing them first. */
  get #direct() {
    return "MediaStreamTrackProcessor" in window;
  }

  async #play() {
    this.#video.srcObject = this.#shown || !this.#direct ? this.#stream : null;
    if (this.#video.srcObject) await this.#video.play();
  }

  async #read(run) {
    const [track] = this.#stream.getVideoTracks();
    const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 1 }).readable.getReader();
    for (;;) {
      const { value: frame, done } = await reader.read();
      if (done) return;
      if (run !== this.#run) return frame.close();
      this.#newest?.close();
      this.#newest = frame;
      this.#news(frame.metadata?.().captureTime ?? performance.now());
    }
  }

  #watch(run) {
    const next = (now, about) => {
      if (run !== this.#run) return;
      this.#news(about?.captureTime ?? now);
      this.#watch(run);
    };
    if (this.#video.requestVideoFrameCallback) this.#video.requestVideoFrameCallback(next);
    else requestAnimationFrame(next);
  }
}
