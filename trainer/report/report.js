"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const capitalised = (word) => word.charAt(0).toUpperCase() + word.slice(1);

  // The two switches: which model, which part of the images.
  const chosen = {};
  const show = () => {
    for (const view of all(".view")) {
      const fits = ["model", "split"].every((key) => !(key in view.dataset) || view.dataset[key] === chosen[key]);
      view.classList.toggle("is-shown", fits);
    }
    for (const place of all("[data-context]")) place.textContent = `${capitalised(chosen.model)} · ${capitalised(chosen.split)}`;
    for (const place of all("[data-context-model]")) place.textContent = capitalised(chosen.model);
    for (const button of all("[data-switch] button")) {
      const key = button.closest("[data-switch]").dataset.switch;
      button.setAttribute("aria-pressed", String(button.dataset.value === chosen[key]));
    }
  };
  const first = document.querySelector(".view.is-shown[data-split]");
  if (first) Object.assign(chosen, { model: first.dataset.model, split: first.dataset.split });
  for (const button of all("[data-switch] button")) {
    button.addEventListener("click", () => {
      const wanted = { ...chosen, [button.closest("[data-switch]").dataset.switch]: button.dataset.value };
      Object.assign(chosen, wanted);
      show();
    });
  }

  // Tables: sort by a heading, filter by text, show the rows that were held back.
  const valueOf = (cell) => {
    const plain = cell.dataset.value ?? cell.textContent.trim().replaceAll(",", "");
    const number = Number(plain);
    return plain !== "" && Number.isFinite(number) ? number : plain.toLocaleLowerCase();
  };
  for (const table of all("table[data-sortable]")) {
    all("thead button", table).forEach((button, column) => {
      button.addEventListener("click", () => {
        const head = button.closest("th");
        const rising = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") !== "ascending" : column === 0;
        all("thead th", table).forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", rising ? "ascending" : "descending");
        const body = table.tBodies[0];
        const rows = [...body.rows].map((row) => [valueOf(row.cells[column]), row]);
        rows.sort(([a], [b]) => {
          const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
          return rising ? order : -order;
        });
        body.append(...rows.map(([, row]) => row));
        if (table.classList.contains("is-limited")) {
          [...body.rows].forEach((row, place) => row.classList.toggle("late", place >= 40));
        }
      });
    });
  }
  for (const button of all("[data-show-all]")) {
    button.addEventListener("click", () => {
      button.closest(".view").querySelector("table").classList.remove("is-limited");
      button.hidden = true;
    });
  }
  for (const input of all("[data-filter]")) {
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLocaleLowerCase();
      const table = input.closest(".view").querySelector("table");
      table.classList.toggle("is-filtered", wanted !== "");
      for (const row of table.tBodies[0].rows) {
        row.hidden = wanted !== "" && !row.cells[0].textContent.toLocaleLowerCase().includes(wanted);
      }
    });
  }

  // Curves: pointing at a line or at its name brings it forward; clicking its name keeps it there.
  for (const plot of all("[data-curves]")) {
    const lines = all(".series", plot);
    const names = all(".legend button", plot);
    let kept = null;
    const bring = (name) => {
      plot.classList.toggle("has-focus", name !== null);
      for (const part of [...lines, ...names]) part.classList.toggle("is-focus", name !== null && part.dataset.series === name);
    };
    for (const part of [...lines, ...names]) {
      part.addEventListener("pointerenter", () => bring(part.dataset.series));
      part.addEventListener("pointerleave", () => bring(kept));
      part.addEventListener("click", () => {
        kept = kept === part.dataset.series ? null : part.dataset.series;
        for (const name of names) name.setAttribute("aria-pressed", String(name.dataset.series === kept));
        bring(kept);
      });
    }
  }

  // One tooltip for terms and plots; it stays inside the window.
  const tip = document.getElementById("tip");
  const place = (x, y) => {
    const { width, height } = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, x - width / 2), document.documentElement.clientWidth - width - 8);
    const above = y - height - 14;
    tip.style.transform = `translate(${Math.round(left)}px, ${Math.round(above < 8 ? y + 22 : above)}px)`;
  };
  const say = (target, x, y) => {
    tip.textContent = target.dataset.tip;
    tip.hidden = false;
    place(x, y);
  };
  const hush = () => { tip.hidden = true; };
  document.addEventListener("pointermove", (event) => {
    const target = event.target.closest?.("[data-tip]");
    if (target) say(target, event.clientX, event.clientY);
    else if (!document.activeElement?.matches?.(".term:focus-visible")) hush();
  });
  document.addEventListener("focusin", (event) => {
    const target = event.target.closest?.("[data-tip]");
    if (!target || !target.matches(":focus-visible, .term")) return;
    const box = target.getBoundingClientRect();
    say(target, box.left + box.width / 2, box.top);
  });
  document.addEventListener("focusout", hush);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hush(); });
  addEventListener("scroll", hush, { passive: true });

  // The list of sections follows the reader.
  const links = new Map(all(".side a").map((link) => [link.getAttribute("href").slice(1), link]));
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-15% 0px -75% 0px" });
  for (const id of links.keys()) {
    const section = document.getElementById(id);
    if (section) watcher.observe(section);
  }

  addEventListener("beforeprint", () => { for (const part of all("details")) part.open = true; });
})();
