// The page of all calls: languages, copying, and a form that makes a call with the visitor's own token.
// Everything that comes from a server is set as text, never as markup.

import { ask, byId, call, copyTo, keepTabs, listenForToken, make, milliseconds, openTokenDialog, token, watchHealth } from "./page.js";

const LOCAL = "http://localhost:8000";
const LANGUAGE_KEY = "onsight.language";
const SHOWN_CHARACTERS = 20000;

// ---------------------------------------------------------------- this server's address

for (const code of document.querySelectorAll(".programs code, [data-origin]")) {
  code.textContent = code.textContent.replaceAll(LOCAL, location.origin).replaceAll(LOCAL.slice(7), location.host);
}

// ---------------------------------------------------------------- languages

// A language that is chosen at one call is shown at all that have it.
function showLanguage(language) {
  for (const programs of document.querySelectorAll(".programs")) {
    const tabs = [...programs.querySelectorAll("[role=tab]")];
    if (!tabs.some((tab) => tab.dataset.language === language)) continue;
    for (const tab of tabs) {
      const chosen = tab.dataset.language === language;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      if (chosen) programs.querySelector("[role=tabpanel]").setAttribute("aria-labelledby", tab.id);
    }
    for (const program of programs.querySelectorAll("pre")) program.hidden = program.dataset.language !== language;
  }
}

for (const programs of document.querySelectorAll(".programs")) {
  keepTabs(programs.querySelector("[role=tablist]"), programs.querySelector("[role=tabpanel]"), (tab) => {
    const before = tab.getBoundingClientRect().top;
    sessionStorage.setItem(LANGUAGE_KEY, tab.dataset.language);
    showLanguage(tab.dataset.language);
    scrollBy({ top: tab.getBoundingClientRect().top - before, behavior: "instant" });  // calls above have grown or shrunk
  });
  copyTo(programs.querySelector(".copy"), () => programs.querySelector("pre:not([hidden])").textContent);
}
showLanguage(sessionStorage.getItem(LANGUAGE_KEY) || "curl");

// ---------------------------------------------------------------- contents

const narrow = matchMedia("(max-width: 1000px)");
const contents = byId("contents");
const fold = () => { contents.open = !narrow.matches; };
narrow.addEventListener("change", fold);
fold();
contents.addEventListener("click", (event) => { if (narrow.matches && event.target.closest("a")) contents.open = false; });

const links = new Map([...contents.querySelectorAll("li a")].map((link) => [link.hash.slice(1), link]));
const seen = new IntersectionObserver((entries) => {
  const entry = entries.findLast((one) => one.isIntersecting);
  if (!entry) return;
  for (const [id, link] of links) link.toggleAttribute("aria-current", id === entry.target.id);
  const link = links.get(entry.target.id);
  if (!narrow.matches) contents.scrollTop = link.offsetTop - contents.clientHeight / 2;
}, { rootMargin: "-20% 0px -70% 0px" });
for (const id of links.keys()) seen.observe(byId(id));

// ---------------------------------------------------------------- try it

const wantsToken = (form) => Boolean(form.dataset.scope) && !token();

function requestOf(form) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  for (const input of form.querySelectorAll("input[data-where]")) {
    const value = input.value.trim();
    if (input.dataset.where === "path") path = path.replace(`{${input.name}}`, encodeURIComponent(value));
    else if (value) query.set(input.name, value);
  }
  const file = form.querySelector("input[type=file]");
  const body = file ? { body: file.files[0], headers: { "Content-Type": "application/octet-stream" } } : {};
  return [path + (query.size ? `?${query}` : ""), { method: form.dataset.method, ...body }];
}

function readable(text) {
  let shown = text;
  try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* it is no JSON, and is shown as it is */ }
  return shown.length > SHOWN_CHARACTERS ? `${shown.slice(0, SHOWN_CHARACTERS)}\n… and more` : shown;
}

async function send(form) {
  const reply = form.parentElement.querySelector(".reply");
  if (wantsToken(form)) { openTokenDialog(); return; }
  const button = form.querySelector("[type=submit]");
  button.disabled = true;
  const started = performance.now();
  try {
    const response = await ask(...requestOf(form));
    const text = await response.text();
    const line = make("p", response.ok ? "good" : "refused", `${response.status} ${response.statusText} · ${milliseconds(performance.now() - started)}`);
    const shown = make("pre", "", readable(text));
    shown.tabIndex = 0;
    reply.replaceChildren(line, shown);
  } catch (problem) {
    reply.replaceChildren(make("p", "refused", problem.detail || String(problem)));
  } finally {
    button.disabled = false;
  }
}

for (const form of document.querySelectorAll(".try form")) {
  form.addEventListener("submit", (event) => { event.preventDefault(); send(form); });
}

// Fills in a model that is there, where the visitor has typed none.
async function fillIn() {
  if (!token()) return;
  const { models } = await call("/v1/models").catch(() => ({ models: [] }));
  if (!models.length) return;
  const { project, name, version } = models[0];
  const ours = { project, name, model: name, version };
  const ofV2 = project === "default" ? name : `${project}__${name}`;
  for (const input of document.querySelectorAll(".try input[data-where=path]")) {
    if (input.value !== input.defaultValue || !(input.name in ours)) continue;
    input.defaultValue = input.closest("form").dataset.path.startsWith("/v2/") && input.name === "name" ? ofV2 : ours[input.name];
  }
}

listenForToken(fillIn);
watchHealth(fillIn);
