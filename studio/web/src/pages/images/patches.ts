/** What a change makes of an image, before the studio has answered: the same that it will say. */
import type { Image } from "@/pages/images/filter";

/** place: of each label in the panel. */
export function relabelled(image: Image, add: string[], remove: string[], replace: boolean, place: Map<string, number>): Image {
  const kept = replace ? [] : image.labels.filter((label) => !remove.includes(label) || add.includes(label));
  const all = replace ? [...add] : [...kept, ...add.filter((label) => !kept.includes(label))];
  const labels = all.sort((one, other) => (place.get(one) ?? 0) - (place.get(other) ?? 0));
  if (labels.length === image.labels.length && labels.every((label, at) => label === image.labels[at])) return image;
  const isChosen = image.default_chosen && image.default_label !== null && labels.includes(image.default_label);
  return {
    ...image,
    labels,
    default_chosen: isChosen,
    default_label: isChosen ? image.default_label : labels.length === 1 ? labels[0]! : null,
  };
}

/** label: the default of an image that has it; null: none is chosen. */
export function withDefault(image: Image, label: string | null): Image {
  if (label !== null && !image.labels.includes(label)) return image;
  const only = image.labels.length === 1 ? image.labels[0]! : null;
  return { ...image, default_label: label ?? only, default_chosen: label !== null };
}
