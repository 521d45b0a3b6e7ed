/** What an event of labelling was, in words. */
import type { Schemas } from "@/api/client";
import { count } from "@/components/words";

type Listed = Schemas["ListedEvent"];
type Change = Listed["changes"][number];

const MOST_CHANGES = 8;

export function wordsOf({ kind, details }: Listed): string {
  const name = details["name"];
  switch (kind) {
    case "label":
      return "Labelled";
    case "default":
      return "Chose the default label";
    case "validation":
      return "Flagged for validation";
    case "upload":
      return "Uploaded with labels";
    case "label_file":
      return "Labelled by a file";
    case "add_label":
      return `Added the label “${name}”`;
    case "rename_label":
      return `Renamed the label “${details["before"]}” to “${details["after"]}”`;
    case "merge_labels":
      return `Merged the label “${name}” into “${details["into_name"]}”`;
    case "remove_label":
      return `Removed the label “${name}”`;
    case "undo":
      return "Undid a change";
  }
}

/** "+ glass on 12 images, − paper on 1 image"; empty where no image changed. */
export function changesOf({ changes }: Listed): string {
  const told = changes.slice(0, MOST_CHANGES).map(wordsOfChange);
  const left = changes.length - told.length;
  return [...told, ...(left > 0 ? [`and ${count(left, "more change", "more changes")}`] : [])].join(", ");
}

function wordsOfChange({ change, label, before, images }: Change): string {
  const among = `on ${count(images, "image")}`;
  const called = label ?? "a label that is gone";
  switch (change) {
    case "added":
      return `+ ${called} ${among}`;
    case "removed":
      return `− ${called} ${among}`;
    case "default":
      return label === null
        ? `no chosen default label ${among}${before === null ? "" : `, before: ${before}`}`
        : `default label ${label} ${among}${before === null ? "" : `, before: ${before}`}`;
    case "validation_on":
      return `flag for validation ${among}`;
    case "validation_off":
      return `no flag for validation ${among}`;
  }
}
