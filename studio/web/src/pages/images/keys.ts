/** The keyboard of the page. One table says which key does what: the handler and the sheet of help both read it. */
import { useEffect, useRef } from "react";

export type Command =
  | "label" | "default" | "unlabel" | "undo" | "validation" | "zoom" | "select" | "all" | "escape" | "remove" | "search"
  | "help" | "advance" | "left" | "right" | "up" | "down" | "home" | "end" | "pageUp" | "pageDown";

export interface Pressed {
  command: Command;
  /** Of a number key, 0 for the first label. */
  number: number;
  shift: boolean;
}

export const HELP: { keys: string[]; about: string }[] = [
  { keys: ["1", "…", "9"], about: "Put the label of that number on, or take it off: of the selection, else of the image with the frame" },
  { keys: ["Shift", "1", "…", "9"], about: "The same, as the default label" },
  { keys: ["X"], about: "Take all labels off" },
  { keys: ["V"], about: "Into the validation set, or out of it" },
  { keys: ["U"], about: "Undo (also Ctrl Z)" },
  { keys: ["←", "→", "↑", "↓"], about: "Move the frame; with Shift select on the way" },
  { keys: ["Space"], about: "Select the image with the frame" },
  { keys: ["Ctrl", "A"], about: "Select all images of the filter" },
  { keys: ["Enter"], about: "Look closely (also Z)" },
  { keys: ["A"], about: "Go on to the next image after a number key, or stay" },
  { keys: ["Delete"], about: "Remove the images" },
  { keys: ["/"], about: "Find or add a label" },
  { keys: ["Esc"], about: "Close, unselect" },
];

const PLAIN: Record<string, Command> = {
  x: "unlabel", u: "undo", v: "validation", z: "zoom", a: "advance", Delete: "remove", "/": "search", "?": "help",
  Escape: "escape",
};
const MOVES = { left: 1, right: 1, up: 1, down: 1, pageUp: 1, pageDown: 1 };
/** Only where the grid has the keyboard, or nothing has: buttons and lists need these keys themselves. */
const OF_GRID: Record<string, Command> = {
  Enter: "zoom", " ": "select", ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down", Home: "home",
  End: "end", PageUp: "pageUp", PageDown: "pageDown",
};

function commandOf(event: KeyboardEvent, isGrid: boolean): Command | undefined {
  if (event.altKey) return undefined;
  if (event.ctrlKey || event.metaKey) {
    return { z: "undo" as const, a: "all" as const }[event.key.toLowerCase()];
  }
  if (/^Digit[1-9]$/.test(event.code)) {
    if (event.shiftKey) return "default";
    if (/^[1-9]$/.test(event.key)) return "label";
  }
  if (/^[1-9]$/.test(event.key)) return "label"; // the number pad
  return PLAIN[event.key.length === 1 ? event.key.toLowerCase() : event.key] ?? (isGrid ? OF_GRID[event.key] : undefined);
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement &&
    (target.isContentEditable || ["TEXTAREA", "SELECT"].includes(target.tagName) ||
      (target instanceof HTMLInputElement && !["checkbox", "radio", "range", "button"].includes(target.type)));
}

/** handle: says whether it did something with it.  isZoomed: then the keys are the zoomed image's. */
export function useKeys(isZoomed: boolean, handle: (pressed: Pressed) => boolean): void {
  const latest = useRef(handle);
  latest.current = handle;
  useEffect(() => {
    function onKey(event: KeyboardEvent): void {
      if (event.defaultPrevented || isTyping(event.target)) return;
      const others = [...document.querySelectorAll('[role="dialog"], [role="alertdialog"], [role="menu"], [role="listbox"]')];
      if (others.some((each) => !each.closest("[data-zoom]") && each.checkVisibility())) return;
      const focused = document.activeElement;
      const isGrid = focused === document.body || focused === null || focused.matches('[role="grid"], #main') ||
        (isZoomed && !focused.matches("button:focus-visible, a:focus-visible"));
      const command = commandOf(event, isGrid || (isZoomed && event.key.startsWith("Arrow")));
      if (!command) return;
      if (event.repeat && !(command in MOVES)) return event.preventDefault(); // a key held down is one change
      const number = Number(event.code.slice(-1)) - 1;
      if (latest.current({ command, number, shift: event.shiftKey })) event.preventDefault();
    }
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [isZoomed]);
}
