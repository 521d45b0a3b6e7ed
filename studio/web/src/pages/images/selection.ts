/** Which images are chosen: some by their ids, or all of the filter but some. A new filter begins with none. */
import { useCallback, useMemo, useState } from "react";
import type { Schemas } from "@/api/client";
import type { ImageFilter } from "@/pages/images/filter";

export type Selected = { all: false; ids: ReadonlySet<string> } | { all: true; but: ReadonlySet<string> };

export const NONE: Selected = { all: false, ids: new Set() };

export function isSelected(selected: Selected, id: string): boolean {
  return selected.all ? !selected.but.has(id) : selected.ids.has(id);
}

export function sizeOf(selected: Selected, total: number): number {
  return selected.all ? Math.max(0, total - selected.but.size) : selected.ids.size;
}

/** As the API takes it. */
export function bodyOf(selected: Selected, filter: ImageFilter): Schemas["Selection"] {
  return selected.all
    ? // What has a default is required by the types that are made from the document, which the API does not mean.
      { images: null, filter: filter as Schemas["ImageFilter"], but: [...selected.but] }
    : { images: [...selected.ids], filter: null, but: [] };
}

/** key: of the filter that the selection belongs to. */
export function useSelection(key: string) {
  const [held, setHeld] = useState({ key, selected: NONE });
  const selected = held.key === key ? held.selected : NONE;
  const change = useCallback(
    (how: (before: Selected) => Selected) =>
      setHeld((before) => ({ key, selected: how(before.key === key ? before.selected : NONE) })),
    [key],
  );
  return useMemo(
    () => ({
      selected,
      clear: () => change(() => NONE),
      all: () => change(() => ({ all: true, but: new Set() })),
      invert: () =>
        change((before) => (before.all ? { all: false, ids: before.but } : { all: true, but: before.ids })),
      only: (ids: Iterable<string>) => change(() => ({ all: false, ids: new Set(ids) })),
      toggle: (id: string) =>
        change((before) => {
          const set = new Set(before.all ? before.but : before.ids);
          if (!set.delete(id)) set.add(id);
          return before.all ? { all: true, but: set } : { all: false, ids: set };
        }),
      add: (ids: Iterable<string>) =>
        change((before) => {
          const set = new Set(before.all ? before.but : before.ids);
          for (const id of ids) before.all ? set.delete(id) : set.add(id);
          return before.all ? { all: true, but: set } : { all: false, ids: set };
        }),
    }),
    [selected, change],
  );
}

export type SelectionControls = ReturnType<typeof useSelection>;
