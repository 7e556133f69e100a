// Runs one ONNX graph in the WebAssembly build of ONNX Runtime Web, told by lines of JSON on stdin;
// answers each with "ok" or with what went wrong.
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";

const [script, graph, threads] = process.argv.slice(2);
const ort = await import(script);
ort.env.wasm.numThreads = Number(threads);
ort.env.logLevel = "error";

let feeds = {};
let found = {};
const say = (text) => process.stdout.write(text.replaceAll("\n", " ") + "\n");

function feed({ feed: path, shapes }) {
  const bytes = readFileSync(path);
  const all = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  let at = 0;
  for (const [name, shape] of Object.entries(shapes)) {
    const length = shape.reduce((a, b) => a * b, 1);
    feeds[name] = new ort.Tensor("float32", all.slice(at, at + length), shape);
    at += length;
  }
}

function read({ read: path, names }) {
  writeFileSync(path, Buffer.concat(names.map((name) => Buffer.from(found[name].data.buffer,
    found[name].data.byteOffset, found[name].data.byteLength))));
}

try {
  const session = await ort.InferenceSession.create(readFileSync(graph),
    { executionProviders: ["wasm"] });
  say("ok");
  for await (const line of createInterface({ input: process.stdin })) {
    const message = JSON.parse(line);
    if (message.feed) feed(message);
    else if (message.read) read(message);
    else found = await session.run(feeds);
    say("ok");
  }
} catch (error) {
  say(String(error));
}
process.exit(0);
