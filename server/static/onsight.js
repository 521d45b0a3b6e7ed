// The page of the inference server: images in, answers out, through /v1 and with the visitor's own token.
// Everything that comes from a server or a file is set as text, never as markup.

import {
  byId, call, copyTo, forgetToken, icon, keepTabs, listenForToken, make, megabytes, milliseconds, openTokenDialog, percent,
  POLL_MS, ServerProblem, token, watchHealth,
} from "./page.js";

const AT_ONCE = 2;          // images on their way at the same time
const SHOWN_SCORES = 6;

const state = { models: [], chosen: null, items: [], selected: null, running: 0, afterToken: null };
let anonymous = document.body.dataset.anonymous === "true";  // until the server says otherwise to this visitor
const maxBytes = Number(document.body.dataset.maxBytes);

// ---------------------------------------------------------------- server

async function refreshModels() {
  if (!token() && !anonymous) {
    showTokenNotice();
    showSnippet();
    return;
  }
  try {
    const document = await call("/v1/models");
    if (document.status === "loading") { // another worker answered than the one that said it was ready
      setTimeout(refreshModels, POLL_MS);
      return;
    }
    state.models = document.models;
    showNotices(document);
    showModels();
  } catch (problem) {
    if (problem.status === 401 || problem.status === 403) refuseToken(problem);
    else notice("bad", "The list of models cannot be read", problem.detail);
  }
}

// ---------------------------------------------------------------- notices

function notice(kind, title, text) {
  const box = make("div", `notice ${kind}`);
  box.append(make("strong", "", title));
  if (text) box.append(make("p", "", text));
  byId("notices").append(box);
  return box;
}

function showTokenNotice() {
  byId("notices").replaceChildren();
  const exists = document.body.dataset.tokensExist === "true";
  const box = exists
    ? notice("", "Enter your token to begin", "This server answers only with an access token. Ask whoever runs it for one.")
    : notice("warn", "Create the first token", "Nobody can use this server yet. On the machine it runs on, type:");
  if (!exists) box.append(Object.assign(make("pre"), { textContent: "onsight token create my-browser" }));
  const button = make("button", "button primary", "Enter token");
  button.type = "button";
  button.addEventListener("click", () => openTokenDialog());
  box.append(button);
}

function showNotices(document) {
  byId("notices").replaceChildren();
  if (!document.models.length) {
    const box = notice("warn", "No model is served yet", "Put a bundle into the models folder of this server, then restart it. To make one:");
    box.append(Object.assign(make("pre"), { textContent: "onsight export runs/my-run --out models/my-model.onsight" }));
  }
  if (document.failed.length) {
    const count = document.failed.length;
    const box = notice("bad", count === 1 ? "One bundle was refused" : `${count} bundles were refused`);
    const list = make("ul");
    for (const one of document.failed) {
      const item = make("li");
      const repeated = `${one.bundle}: `;  // many reasons begin with the file's name
      const reason = one.reason.startsWith(repeated) ? one.reason.slice(repeated.length) : one.reason;
      item.append(make("b", "", one.bundle), ` · ${reason}`);
      list.append(item);
    }
    box.append(list);
  }
}

// ---------------------------------------------------------------- models

const keyOf = (model) => `${model.project}/${model.name}`;

function showModels() {
  const picker = byId("model");
  const before = state.chosen && keyOf(state.chosen);
  picker.replaceChildren();
  for (const model of state.models) {
    const option = make("option", "", `${model.project === "default" ? "" : model.project + " / "}${model.name} · version ${model.version}`);
    option.value = keyOf(model);
    picker.append(option);
  }
  byId("model-picker").hidden = state.models.length === 0;
  state.chosen = state.models.find((model) => keyOf(model) === before) || state.models[0] || null;
  if (state.chosen) picker.value = keyOf(state.chosen);
  showSnippet();
  if (state.chosen) restart((item) => item.state === "waiting");
}

byId("model").addEventListener("change", (event) => {
  state.chosen = state.models.find((model) => keyOf(model) === event.target.value);
  showSnippet();
  restart(() => true);
});

// ---------------------------------------------------------------- images

function addFiles(files) {
  const images = [...files].filter((file) => file.size > 0 || files.length === 1);
  if (!images.length) return;
  const first = state.items.length;
  for (const file of images) state.items.push({ file, url: URL.createObjectURL(file), state: "waiting" });
  select(state.items[first]);
  if (!token() && !anonymous) openTokenDialog();
  work();
}

function restart(which) {
  for (const item of state.items) {
    if (which(item) && item.state !== "running") Object.assign(item, { state: "waiting", answer: null, problem: null });
  }
  show();
  work();
}

function work() {
  if (!state.chosen || (!token() && !anonymous)) return;
  while (state.running < AT_ONCE) {
    const item = state.items.find((one) => one.state === "waiting");
    if (!item) break;
    state.running += 1;
    classify(item).finally(() => { state.running -= 1; show(); work(); });
  }
  show();
}

async function classify(item) {
  const model = state.chosen;
  item.state = "running";
  const started = performance.now();
  try {
    if (item.file.size > maxBytes) {
      throw new ServerProblem({ title: "Too large", detail: `This file has ${megabytes(item.file.size)}; the server takes up to ${megabytes(maxBytes)}.`, code: "IMAGE_TOO_MANY_BYTES" });
    }
    const answer = await call(`/v1/predict/${model.project}/${model.name}`, {
      method: "POST", body: item.file, headers: { "Content-Type": "application/octet-stream" },
    });
    Object.assign(item, { state: "done", answer, roundTrip: performance.now() - started });
  } catch (problem) {
    Object.assign(item, { state: "failed", problem });
    if (problem.status === 401) { item.state = "waiting"; refuseToken(problem); }
  }
  if (model !== state.chosen) item.state = "waiting";  // the model was changed meanwhile
}

function select(item) {
  state.selected = item;
  show();
}

byId("files").addEventListener("change", (event) => { addFiles(event.target.files); event.target.value = ""; });
byId("clear").addEventListener("click", () => {
  for (const item of state.items) URL.revokeObjectURL(item.url);
  Object.assign(state, { items: [], selected: null });
  show();
  byId("files").focus();
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData && event.clipboardData.files.length) { event.preventDefault(); addFiles(event.clipboardData.files); }
});
let depth = 0;
const carriesFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
document.addEventListener("dragenter", (event) => { if (carriesFiles(event)) { depth += 1; document.body.classList.add("dragging"); } });
document.addEventListener("dragleave", (event) => { if (carriesFiles(event) && --depth <= 0) { depth = 0; document.body.classList.remove("dragging"); } });
document.addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
document.addEventListener("drop", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  depth = 0;
  document.body.classList.remove("dragging");
  addFiles(event.dataTransfer.files);
});

// ---------------------------------------------------------------- answer

function show() {
  const item = state.selected;
  byId("drop").hidden = Boolean(item);
  byId("preview").hidden = !item;
  byId("viewer-bar").hidden = !item;
  const image = byId("preview-image");
  if (item && image.dataset.url !== item.url) {
    image.dataset.url = item.url;
    image.hidden = false;
    byId("no-preview").hidden = true;
    image.src = item.url;
    image.alt = item.file.name || "The pasted image";
  }
  byId("file-name").textContent = item ? item.file.name || "pasted image" : "";
  const finished = Boolean(item) && (item.state === "done" || item.state === "failed");
  byId("answer").setAttribute("aria-busy", String(Boolean(item) && !finished));
  byId("answer").classList.toggle("busy", Boolean(item) && item.state === "running");
  byId("answer-empty").hidden = finished;
  byId("answer-body").hidden = !finished;
  const drawn = finished ? item.answer || item.problem : null;
  if (drawn !== show.drawn) {
    show.drawn = drawn;
    byId("answer-body").replaceChildren(...(!finished ? [] : item.answer ? drawAnswer(item) : [drawProblem(item)]));
  }
  drawFilm();
}

byId("preview-image").addEventListener("error", (event) => {
  event.target.hidden = true;
  byId("no-preview").hidden = false;
});

function drawAnswer(item) {
  const answer = item.answer;
  const eyebrow = make("div", "eyebrow");
  eyebrow.append(make("span", "", "Decision"), make("span", "", `${answer.model} · version ${answer.version}`));
  const scores = drawScores(answer, SHOWN_SCORES);
  const parts = [eyebrow, drawVerdict(answer), scores];
  if (answer.scores.length > SHOWN_SCORES) {
    const more = make("button", "button quiet more", `Show all ${answer.scores.length} labels`);
    more.type = "button";
    more.addEventListener("click", () => { scores.replaceWith(drawScores(answer, answer.scores.length)); more.remove(); });
    parts.push(more);
  }
  if (answer.scores.some((score) => score.threshold > 0)) {
    const legend = make("div", "legend");
    legend.append(make("i"), "threshold: a label counts from here on");
    parts.push(legend);
  }
  parts.push(drawTimes(item), make("div", "request-id", `request ${answer.request_id}`));
  return parts;
}

function drawVerdict(answer) {
  const box = make("div", "verdict");
  if (answer.unknown) {
    const badge = make("span", "badge");
    badge.append(icon("M10 6.2v4.6M10 14v.1M10 2.2a7.8 7.8 0 1 0 0 15.6 7.8 7.8 0 0 0 0-15.6"), "Unknown");
    box.append(badge, make("span", "verdict-note", "This picture resembles nothing the model was trained on, so it claims no label."));
  } else if (!answer.labels.length) {
    box.classList.add("none");
    box.append(make("b", "", "No label"), make("span", "verdict-note", "No score reaches its threshold."));
  } else if (answer.task === "single_label") {
    box.append(make("b", "", answer.labels[0]), make("span", "percent", percent(answer.scores[0].probability)));
  } else {
    const chips = make("div", "chips");
    for (const label of answer.labels) chips.append(make("span", "chip", label));
    box.append(chips);
  }
  return box;
}

function drawScores(answer, count) {
  const list = make("ul", answer.unknown ? "scores unknown" : "scores");
  const claimed = new Set(answer.labels);
  for (const score of answer.scores.slice(0, count)) {
    const row = make("li", claimed.has(score.label) ? "score claimed" : "score");
    const name = make("span", "name", score.label);
    name.title = score.label;
    const track = make("div", "track");
    const fill = make("div", "fill");
    track.append(fill);
    if (score.threshold > 0) { // a single-label model's thresholds are 0: its most probable label is the answer
      const tick = make("i", "tick");
      tick.title = `threshold ${percent(score.threshold)}`;
      tick.style.left = `${score.threshold * 100}%`;
      track.append(tick);
    }
    row.append(name, make("span", "value", percent(score.probability)), track);
    list.append(row);
    requestAnimationFrame(() => requestAnimationFrame(() => { fill.style.width = `${score.probability * 100}%`; }));
  }
  return list;
}

function drawTimes(item) {
  const list = make("dl", "times");
  const times = item.answer.timings_ms;
  const shown = [["Decode", times.decode], ["Inference", times.inference], ["Server", times.total], ["Round trip", item.roundTrip]];
  for (const [name, value] of shown) {
    const cell = make("div");
    cell.append(make("dt", "", name), make("dd", "", milliseconds(value)));
    list.append(cell);
  }
  return list;
}

function drawProblem(item) {
  const problem = item.problem;
  const box = make("div", "problem");
  box.setAttribute("role", "alert");
  const image = String(problem.code).startsWith("IMAGE_");
  box.append(make("strong", "", image ? "This image was refused" : problem.title || "Something went wrong"), make("p", "", problem.detail));
  box.append(make("small", "", [problem.code, problem.request_id && `request ${problem.request_id}`].filter(Boolean).join(" · ")));
  const again = make("button", "button", "Try again");
  again.type = "button";
  again.addEventListener("click", () => restart((one) => one === item));
  box.append(again);
  return box;
}

function drawFilm() {
  const film = byId("film");
  film.hidden = state.items.length < 2;
  if (film.hidden) { film.replaceChildren(); return; }
  while (film.children.length > state.items.length) film.lastChild.remove();
  state.items.forEach((item, index) => {
    let frame = film.children[index];
    if (!frame || frame.item !== item) {
      frame = make("button", "frame");
      frame.type = "button";
      frame.item = item;
      const image = make("img");
      image.alt = "";
      image.src = item.url;
      image.addEventListener("error", () => image.replaceWith(make("div", "blank")), { once: true });
      const caption = make("span");
      caption.append(make("b"), make("em"));
      frame.append(image, caption);
      frame.addEventListener("click", () => select(frame.item));
      if (film.children[index]) film.children[index].replaceWith(frame); else film.append(frame);
    }
    const [name, value] = captionOf(item);
    frame.lastChild.firstChild.textContent = name;
    frame.lastChild.lastChild.textContent = value;
    frame.className = `frame ${item.state === "failed" ? "failed" : item.answer && item.answer.unknown ? "unknown" : ""}`;
    frame.setAttribute("aria-label", `${item.file.name || "pasted image"}: ${name} ${value}`);
    frame.setAttribute("aria-current", String(item === state.selected));
  });
}

function captionOf(item) {
  if (item.state === "failed") return ["Error", ""];
  if (item.state !== "done") return ["…", ""];
  if (item.answer.unknown) return ["Unknown", ""];
  if (!item.answer.labels.length) return ["No label", ""];
  if (item.answer.labels.length > 1) return [item.answer.labels[0], `+${item.answer.labels.length - 1}`];
  const score = item.answer.scores.find((one) => one.label === item.answer.labels[0]);
  return [item.answer.labels[0], score ? percent(score.probability).replace(/\.\d/, "") : ""];
}

// ---------------------------------------------------------------- token

function refuseToken(problem) {
  if (!token()) { anonymous = false; showTokenNotice(); return; }  // else waiting images would be sent again at once
  forgetToken();
  showTokenNotice();
  openTokenDialog(problem.detail);
}

listenForToken(() => {
  document.body.dataset.tokensExist = "true";
  refreshModels();
});

// ---------------------------------------------------------------- snippet

let snippetKind = "curl";

function snippetText() {
  const [project, name] = state.chosen ? [state.chosen.project, state.chosen.name] : ["default", "MODEL"];
  if (snippetKind === "python") {
    return `import os\nfrom onsight import Client\n\nwith Client("${location.origin}", token=os.environ["ONSIGHT_TOKEN"], model="${project}/${name}") as client:\n    print(client.predict("photo.jpg").labels)`;
  }
  const path = snippetKind === "curl" ? `/api/predict/${project}/${name}` : `/v1/predict/${project}/${name}`;
  return `curl -H "X-Auth-token: $ONSIGHT_TOKEN" --data-binary @photo.jpg \\\n  ${location.origin}${path}`;
}

function showSnippet() {
  byId("snippet-code").textContent = snippetText();
}

keepTabs(byId("tab-curl").parentElement, byId("snippet"), (tab) => {
  snippetKind = tab.dataset.kind;
  showSnippet();
});
copyTo(byId("copy"), snippetText);

byId("max-size").textContent = megabytes(maxBytes);
showSnippet();
watchHealth(refreshModels);
