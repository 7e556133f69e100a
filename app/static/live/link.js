// The WebSocket to the engine: WS /v1/stream of docs/SERVING.md.

const IN_FLIGHT = 2; // one frame is looked at while the last one is drawn
const RETRY_MS = [500, 1000, 2000, 5000];

export class Link {
  #address; #socket = null; #settings = {}; #sent = new Map(); #numbers = 0; #about = null;
  #failures = 0; #timer = 0; #heard;

  /**
   * @param address of the WebSocket
   * @param heard {picture(blob, about, takenAt), problem(problem), state(words)}
   */
  constructor(address, heard) {
    this.#address = address;
    this.#heard = heard;
  }

  open() {
    clearTimeout(this.#timer);
    const socket = this.#socket = new WebSocket(this.#address);
    this.#sent.clear();
    this.#numbers = 0;
    socket.binaryType = "blob";
    socket.onopen = () => this.#tell(this.#settings);
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.#take(data);
    };
    socket.onclose = () => {
      if (socket === this.#socket) this.#again();
    };
  }

  close() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    this.#failures = 0;
    socket?.close();
  }

  /** What is worn ("garment") and shown ("view"); kept for the next connection. */
  set(settings) {
    Object.assign(this.#settings, settings);
    this.#tell(settings);
  }

  get free() {
    return this.#socket?.readyState === WebSocket.OPEN && this.#settings.garment !== undefined
      && this.#sent.size < IN_FLIGHT && this.#socket.bufferedAmount === 0;
  }

  /** Send the bytes of a picture that was taken at a time; only while `free`. */
  send(bytes, takenAt) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#sent.set(this.#numbers++, takenAt);
    this.#socket.send(bytes);
  }

  #tell(settings) {
    if (this.#socket?.readyState !== WebSocket.OPEN || !Object.keys(settings).length) return;
    this.#socket.send(JSON.stringify({ type: "set", ...settings }));
  }

  #take(data) {
    if (typeof data !== "string") {
      const about = this.#about;
      const takenAt = this.#sent.get(about.number);
      this.#forget(about.number);
      this.#heard.picture(data, about, takenAt);
      return;
    }
    const about = JSON.parse(data);
    if (about.type === "frame") {
      this.#about = about;
      this.#failures = 0;
    } else if (about.type === "error") {
      if (about.number !== null) this.#forget(about.number);
      this.#heard.problem(about.problem);
    }
  }

  /** A frame was answered; those before it that were not have been passed over. */
  #forget(number) {
    for (const sent of this.#sent.keys()) if (sent <= number) this.#sent.delete(sent);
  }

  #again() {
    const wait = RETRY_MS[Math.min(this.#failures++, RETRY_MS.length - 1)];
    this.#heard.state("Many people are here at the moment, or the connection is lost. Trying again.");
    this.#timer = setTimeout(() => this.open(), wait);
  }
}
