// Keeps page, weights and runtime on the device: it opens without a connection once it was used.
// Also gives every answer the headers that threads need, where the host cannot.

importScripts("precache.js"); // self.PRECACHE, written by the build: {version, shell, runtime}

const { version, shell, runtime } = self.PRECACHE;
const STORE = `dmvton-${version}`;

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(STORE).then((store) => store.addAll(shell)));
  self.skipWaiting();
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) {
      if (name.startsWith("dmvton-") && name !== STORE) await caches.delete(name);
    }
    await self.clients.claim();
  })());
});

// The page says where its network runs; only that runtime is kept.
self.addEventListener("message", (event) => {
  const files = runtime[event.data.keep] ?? [];
  event.waitUntil((async () => {
    const store = await caches.open(STORE);
    for (const file of files) if (!await store.match(file)) await store.add(file);
  })());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const address = new URL(request.url);
  if (request.method !== "GET" || address.origin !== self.location.origin) return;
  event.respondWith((async () => {
    const store = await caches.open(STORE);
    const kept = await store.match(request, { ignoreSearch: true });
    return isolated(kept ?? await fetch(request));
  })());
});

function isolated(answer) {
  if (answer.status !== 200 || answer.type !== "basic") return answer;
  const headers = new Headers(answer.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  return new Response(answer.body, { status: 200, headers });
}
