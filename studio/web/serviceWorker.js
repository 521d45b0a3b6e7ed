// Keeps the app's own files in the browser, so that it opens at once, and opens at all while the studio is away.
//
// Kept are the document and the files whose names change with their content; never an answer of the API, never an image.
// A page's address is asked for first, and answered from here only where nobody answers. A new version is kept beside
// the old one, which serves the pages that were opened with it and goes once they are closed.
const FILES = new Set(__FILES__);
const KEPT = "onsight-__VERSION__";
const DOCUMENT = "/";
const OF_PROGRAMS = /^\/(studio|api|v1|v2|health|metrics|openapi\.json)(\/|$)/;

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(KEPT).then((kept) => kept.addAll([DOCUMENT, ...FILES])));
});

self.addEventListener("activate", (event) => {
  const remove = async () => {
    const others = (await caches.keys()).filter((name) => name.startsWith("onsight-") && name !== KEPT);
    await Promise.all(others.map((name) => caches.delete(name)));
  };
  event.waitUntil(remove());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== self.location.origin) return;
  if (FILES.has(pathname)) event.respondWith(find(pathname).then((found) => found ?? fetch(request)));
  else if (request.mode === "navigate" && !OF_PROGRAMS.test(pathname)) event.respondWith(document(request));
});

async function document(request) {
  try {
    return await fetch(request);
  } catch (error) {
    const found = await find(DOCUMENT);
    if (found) return found;
    throw error;
  }
}

async function find(address) {
  return (await caches.open(KEPT)).match(address, { ignoreVary: true });
}
