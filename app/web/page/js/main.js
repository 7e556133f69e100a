// The page: garments, a camera tab and a photo tab. Nothing that is seen here leaves the device.

import { Camera } from "./camera.js";
import { Engine } from "./engine.js";
import { copied, readPicture, save, show } from "./pictures.js";

const part = (name) => document.getElementById(name);
const asked = new URLSearchParams(location.search);
const wish = { backend: asked.get("backend") ?? "auto", threads: Number(asked.get("threads")) || 0 };

const say = (name, words, kind = "") => {
  part(name).textContent = words;
  part(name).dataset.kind = kind;
};
const complain = (name, error) => say(name, error.message, "error");

let chosen = null; // name of the garment that is worn
let person = null; // the photo tab's picture
let dressing = Promise.resolve();

const engine = new Engine((words) => say("status", words, "busy"));
const camera = new Camera(engine, part("live"), () => chosen, showLive);

async function begin() {
  const garments = await (await fetch("examples/garments.json")).json();
  const tiles = garments.map(({ name, file }) => addGarment(name, `examples/${file}`,
    async () => readPicture(await (await fetch(`examples/${file}`)).blob())));
  connect();
  try {
    const { place, threads } = await engine.load(wish);
    const where = place === "webgpu" ? "the graphics chip"
      : `the processor, ${threads} ${threads === 1 ? "thread" : "threads"}`;
    part("where").textContent = `Runs here, on ${where}.`;
    await tiles[0].choose();
    for (const name of ["start", "person", "example"]) part(name).disabled = false;
    if (!person) say("status", "Ready.");
    keepForOffline(place);
  } catch (error) {
    complain("status", error);
  }
}

/** A tile to choose a garment with; `read` gives its picture when it is first chosen. */
function addGarment(name, address, read) {
  const tile = document.createElement("button");
  const picture = Object.assign(document.createElement("img"), { src: address, alt: name });
  let ready = false;
  tile.type = "button";
  tile.className = "tile";
  tile.title = name;
  tile.append(picture);
  part("garments").insertBefore(tile, part("add"));
  const choose = async () => {
    try {
      say("status", `Preparing ${name}`, "busy");
      if (!ready) await engine.garment(name, await read());
      ready = true;
      chosen = name;
      for (const other of part("garments").querySelectorAll(".tile")) {
        other.setAttribute("aria-pressed", String(other === tile));
      }
      say("status", "");
      await dress();
    } catch (error) {
      complain("status", error);
      if (!ready && address.startsWith("blob:")) tile.remove();
    }
  };
  tile.addEventListener("click", choose);
  return { choose };
}

function connect() {
  part("garment-file").addEventListener("change", async ({ target }) => {
    const [file] = target.files;
    target.value = "";
    if (!file) return;
    const name = `your garment ${part("garments").querySelectorAll(".tile").length}`;
    await addGarment(name, URL.createObjectURL(file), () => readPicture(file)).choose();
  });
  part("person").addEventListener("change", ({ target }) => {
    const [file] = target.files;
    target.value = "";
    if (file) takePerson(file);
  });
  part("example").addEventListener("click", async () =>
    takePerson(await (await fetch("examples/person_astronaut.jpg")).blob()));
  part("start").addEventListener("click", toggleCamera);
  part("turn").addEventListener("click", () => withCamera(() => camera.turn()));
  part("snap").addEventListener("click", () => save(part("live"), "try-on.png"));
  part("keep").addEventListener("click", () => save(part("result"), "try-on.png"));
  for (const tab of document.querySelectorAll("[role=tab]")) {
    tab.addEventListener("click", () => openTab(tab));
  }
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && camera.on) toggleCamera();
  });
}

function openTab(tab) {
  for (const other of document.querySelectorAll("[role=tab]")) {
    other.setAttribute("aria-selected", String(other === tab));
    part(other.getAttribute("aria-controls")).hidden = other !== tab;
  }
  if (camera.on && tab.id !== "camera-tab") toggleCamera();
  say("status", "");
}

async function takePerson(blob) {
  try {
    person = await readPicture(blob);
    show(part("result"), copied(person));
    part("photo-panel").dataset.full = "true";
    await dress();
  } catch (error) {
    complain("status", error);
  }
}

/** Dress the photo in the chosen garment; the newest wish is the last to be shown. */
function dress() {
  if (!person || part("photo-panel").hidden) return null;
  dressing = dressing.then(async () => {
    say("status", "Dressing", "busy");
    part("keep").disabled = true;
    const start = performance.now();
    try {
      const { image } = await engine.photo(chosen, copied(person));
      show(part("result"), image);
      part("keep").disabled = false;
      say("status", `Dressed in ${((performance.now() - start) / 1000).toFixed(1)} s.`, "done");
    } catch (error) {
      show(part("result"), copied(person));
      complain("status", error);
    }
  });
  return dressing;
}

const toggleCamera = () => withCamera(() => camera.on ? camera.stop() : camera.start());

async function withCamera(act) {
  part("start").disabled = true;
  say("status", "");
  try {
    await act();
  } catch (error) {
    complain("status", error);
  }
  part("start").disabled = false;
  part("start").textContent = camera.on ? "Stop" : "Start the camera";
  part("camera-panel").dataset.full = String(camera.on);
  part("live").classList.toggle("mirrored", camera.mirrored);
  for (const name of ["turn", "snap"]) part(name).disabled = !camera.on;
}

function showLive({ person: seen, fps, ms, error }) {
  if (error) {
    withCamera(() => { throw error; });
    return;
  }
  part("readout").textContent = `${fps.toFixed(1)} fps, ${Math.round(ms)} ms`;
  say("status", seen ? "" : "Nobody in view. Stand back: head to hips in the picture.");
}

/** Let the service worker keep what this device uses, so that the page opens without a connection. */
async function keepForOffline(place) {
  if (!("serviceWorker" in navigator)) return;
  const { active } = await navigator.serviceWorker.ready;
  active?.postMessage({ keep: place });
}

navigator.serviceWorker?.register("sw.js").catch(() => {}); // without it the page only needs a connection
begin();
