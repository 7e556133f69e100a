// The network pair on ONNX Runtime Web: WebGPU where it gives the right answer, else WebAssembly.

import { TryOnError } from "./errors.js";

const PLACES = {
  webgpu: { module: "ort.webgpu.min.mjs", binary: "ort-wasm-simd-threaded.asyncify" },
  wasm: { module: "ort.wasm.min.mjs", binary: "ort-wasm-simd-threaded" },
};
const MAPS = ["flow", "alpha", "beta", "rendered", "gain"];
const OUTPUTS = [...MAPS, "keypoints", "presence"];
const MOST_THREADS = 4; // the layers are small: split finer they mostly wait for one another
const TOLERANCE = 0.02; // of a known answer; the arithmetic of a graphics chip is not exact

/** The two graphs, loaded and checked. */
export class Network {
  #ort; #garment; #frame;

  constructor(ort, garment, frame, { size, place, threads }) {
    this.#ort = ort;
    this.#garment = garment;
    this.#frame = frame;
    this.size = size; // [height, width]
    this.place = place; // "webgpu" or "wasm"
    this.threads = threads;
  }

  /**
   * Run the garment graph, once a garment.
   *
   * @param planes (3, h, w) floats in [0, 1]
   * @param mask (h, w) of a cut-out, whose maker knows better than the network; or null
   * @returns what `run` takes: name -> tensor, the picture itself among them
   */
  async encodeGarment(planes, mask) {
    const garment = new this.#ort.Tensor("float32", planes, [1, 3, ...this.size]);
    const features = { ...await this.#garment.run({ garment }), garment };
    if (mask !== null) {
      features.garment_mask = new this.#ort.Tensor("float32", mask, [1, 1, ...this.size]);
    }
    return features;
  }

  /** Run the frame graph on one crop, (3, h, w) floats in [0, 1]; planar maps, keypoints, presence. */
  async run(planes, features) {
    const person = new this.#ort.Tensor("float32", planes, [1, 3, ...this.size]);
    const known = { ...features, person };
    const feed = Object.fromEntries(this.#frame.inputNames.map((name) => [name, known[name]]));
    const outputs = await this.#frame.run(feed, OUTPUTS);
    const layers = { height: this.size[0], width: this.size[1] };
    for (const name of OUTPUTS) layers[name] = outputs[name].data;
    layers.presence = outputs.presence.data[0];
    return layers;
  }
}

/**
 * Load the network.
 *
 * @param base address of the page's folder
 * @param wish {backend: "auto", "webgpu" or "wasm", threads: number or 0 for what the device has}
 * @param report called with words that say how far it is
 */
export async function loadNetwork(base, wish, report) {
  const weights = new URL("weights/", base);
  const manifest = await (await fetched(new URL("manifest.json", weights))).json();
  const probe = await (await fetched(new URL("probe.json", weights))).json();
  const names = ["garment", "frame"];
  const total = names.reduce((sum, name) => sum + manifest.files[`${name}.onnx`].bytes, 0);
  const files = {};
  let done = 0;
  for (const name of names) {
    files[name] = await download(new URL(`${name}.onnx`, weights), (bytes) => {
      done += bytes;
      report(`Loading the network: ${Math.min(99, Math.floor(100 * done / total))} %`);
    });
    await verify(files[name], manifest.files[`${name}.onnx`], name);
  }
  report("Starting the network");
  const wanted = wish.backend === "auto" ? await places() : [wish.backend];
  let failure = null;
  for (const place of wanted) {
    try {
      const network = await start(base, place, files, manifest.size, wish.threads);
      await check(network, probe);
      return network;
    } catch (error) {
      failure = error;
    }
  }
  throw new TryOnError("no-network",
    `This browser cannot run the network (${failure.message}). Try a recent Chrome, Edge, Firefox or Safari.`);
}

/** Where to try, best first: a software stand-in for a graphics chip is slower than WebAssembly. */
async function places() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  const real = adapter && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
  return real ? ["webgpu", "wasm"] : ["wasm"];
}

async function start(base, place, files, size, wished) {
  const { module, binary } = PLACES[place], folder = new URL("ort/", base);
  const ort = await import(new URL(module, folder));
  const threads = !self.crossOriginIsolated ? 1
    : wished || Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1);
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = {
    mjs: new URL(`${binary}.mjs`, folder).href, wasm: new URL(`${binary}.wasm`, folder).href,
  };
  const options = { executionProviders: [place], graphOptimizationLevel: "all" };
  const garment = await ort.InferenceSession.create(files.garment, options);
  const frame = await ort.InferenceSession.create(files.frame, options);
  return new Network(ort, garment, frame, { size, place, threads });
}

/** Ask for an answer that is known; this also warms up. */
async function check(network, probe) {
  const [h, w] = network.size;
  const pattern = (step) => Float32Array.from({ length: 3 * h * w },
    (_, i) => ((i % w) * 3 + (Math.floor(i / w) % h) * step + Math.floor(i / (h * w)) * 85) % 256 / 255);
  const features = await network.encodeGarment(pattern(probe.garment_step), null);
  const layers = await network.run(pattern(probe.person_step), features);
  for (const name of MAPS) {
    const mean = layers[name].reduce((a, b) => a + b, 0) / layers[name].length;
    if (!(Math.abs(mean - probe.means[name]) < TOLERANCE)) {
      throw new Error(`${network.place} gives ${name} ${mean}, expected ${probe.means[name]}`);
    }
  }
}

async function fetched(address) {
  let answer;
  try {
    answer = await fetch(address);
  } catch {
    throw new TryOnError("no-network", "No connection. Connect once; after that it works without.");
  }
  if (!answer.ok) {
    throw new TryOnError("no-network",
      `A file of this page is missing (${address.pathname}: ${answer.status}). Build it again.`);
  }
  return answer;
}

async function download(address, progress) {
  const answer = await fetched(address), parts = [];
  for (const reader = answer.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    progress(value.length);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

async function verify(bytes, expected, name) {
  let digest = expected.sha256;
  if (self.crypto?.subtle) { // only pages served over https, or from this device, have it
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    digest = Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
  if (bytes.length !== expected.bytes || digest !== expected.sha256) {
    throw new TryOnError("no-network", `${name}.onnx is damaged. Load the page again.`);
  }
}
