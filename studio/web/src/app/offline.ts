/** Lets the browser keep the app's own files (see serviceWorker.js); only where the address is a trusted one can it. */
export function keepForOffline(): void {
  if (!import.meta.env.PROD || !("serviceWorker" in navigator)) return;
  window.addEventListener("load", () => {
    navigator.serviceWorker.register("/sw.js").catch(() => undefined); // without it everything works but this
  });
}
