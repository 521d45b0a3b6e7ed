// What all pages of the server share: asking it with the visitor's token, the dialog for that token, its state in the bar.
// Everything that comes from a server or a file is set as text, never as markup.

export const POLL_MS = 1500;
const TOKEN_KEY = "onsight.token";

export const byId = (id) => document.getElementById(id);
export const token = () => sessionStorage.getItem(TOKEN_KEY) || "";
export const forgetToken = () => sessionStorage.removeItem(TOKEN_KEY);

export function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

export function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS("http://www.w3.org/2000/svg", "path");
  shape.setAttribute("d", path);
  svg.append(shape);
  return svg;
}

export const percent = (fraction) => `${(fraction * 100).toFixed(1)} %`;
export const milliseconds = (value) => `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`;
export const megabytes = (bytes) => `${bytes >= 1048576 ? Math.round(bytes / 1048576) + " MB" : Math.round(bytes / 1024) + " KB"}`;

// ---------------------------------------------------------------- server

export class ServerProblem extends Error {
  constructor(document) {
    super(document.detail);
    Object.assign(this, document);
  }
}

// The response as it came, or a ServerProblem where none came.
export async function ask(path, options = {}) {
  const headers = { ...(options.headers || {}) };
  if (token()) headers["X-Auth-token"] = token();
  try {
    return await fetch(path, { ...options, headers, cache: "no-store" });
  } catch {
    throw new ServerProblem({ title: "No answer", detail: "The server cannot be reached. Is it still running?", code: "UNREACHABLE" });
  }
}

// The answer's JSON, or a ServerProblem.
export async function call(path, options = {}) {
  const response = await ask(path, options);
  const body = await response.json().catch(() => null);
  if (response.ok) return body;
  throw new ServerProblem(body || { title: "Error", detail: `The server answered ${response.status}.`, code: "HTTP", status: response.status });
}

function showStatus(kind, text, where = "") {
  const status = byId("status");
  status.className = `status ${kind}`;
  status.lastElementChild.replaceChildren(text, make("span", "where", where));
}

// Shows in the bar how the server is; whenAnswering is called once it is past loading.
export async function watchHealth(whenAnswering) {
  let health;
  try {
    const response = await fetch("/health/ready", { cache: "no-store" });
    health = await response.json();
  } catch {
    showStatus("down", "Not reachable");
    setTimeout(() => watchHealth(whenAnswering), POLL_MS);
    return;
  }
  if (health.status === "ready") {
    const where = health.providers.map((name) => name.replace("ExecutionProvider", "")).join(", ");
    const count = health.models.length;
    showStatus("ready", "Ready", ` · ${count} ${count === 1 ? "model" : "models"} · ${where}`);
    await whenAnswering();
  } else if (health.status === "unlicensed") {
    showStatus("wait", "No licence");
    await whenAnswering();
  } else if (health.status === "no_models") {
    showStatus("wait", "No model");
    await whenAnswering();
  } else {
    showStatus("wait", health.status === "draining" ? "Stopping" : "Loading models");
    setTimeout(() => watchHealth(whenAnswering), POLL_MS);
  }
}

// ---------------------------------------------------------------- token

export function openTokenDialog(message = "") {
  byId("token").value = "";
  byId("token-forget").hidden = !token();
  byId("token-error").hidden = !message;
  byId("token-error").textContent = message;
  if (!byId("token-dialog").open) byId("token-dialog").showModal();
  byId("token").focus();
}

// whenGiven: called with every new token.
export function listenForToken(whenGiven) {
  byId("token-button").addEventListener("click", () => openTokenDialog());
  byId("token-cancel").addEventListener("click", () => byId("token-dialog").close());
  byId("token-forget").addEventListener("click", () => {
    forgetToken();
    location.reload();
  });
  byId("token-form").addEventListener("submit", (event) => {
    const value = byId("token").value.trim();
    // a header cannot hold anything else, and a token never does
    if (!/^[\x21-\x7e]+$/.test(value)) {
      event.preventDefault();
      openTokenDialog("Paste the whole token; it begins with onsight_");
      return;
    }
    sessionStorage.setItem(TOKEN_KEY, value);
    whenGiven();
  });
}

// ---------------------------------------------------------------- tabs and copying

// Arrow keys and clicks choose one of a list of tabs, all for the same panel.
export function keepTabs(list, panel, whenChosen) {
  const tabs = [...list.querySelectorAll("[role=tab]")];
  const choose = (tab) => {
    for (const one of tabs) {
      one.setAttribute("aria-selected", String(one === tab));
      one.tabIndex = one === tab ? 0 : -1;
    }
    panel.setAttribute("aria-labelledby", tab.id);
    whenChosen(tab);
  };
  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(index + step + tabs.length) % tabs.length];
      next.focus();
      choose(next);
    });
  });
}

// textOf: gives what is copied, at that moment.
export function copyTo(button, textOf) {
  button.addEventListener("click", async () => {
    const text = textOf();
    try {
      await navigator.clipboard.writeText(text);
    } catch {  // without TLS there is no clipboard interface: the old way
      const area = Object.assign(document.createElement("textarea"), { value: text });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });
}
