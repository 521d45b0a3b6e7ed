/** What clicks and keys do: move the frame, choose images, label them. */
import { useLocalStorage } from "@mantine/hooks";
import { type RefObject, useRef } from "react";
import type { Label } from "@/api/labels";
import { tellError } from "@/components/tell";
import type { Image, Wanted } from "@/pages/images/filter";
import type { GridHandle } from "@/pages/images/Grid";
import { type Pressed, useKeys } from "@/pages/images/keys";
import { type Labelling, tellDone } from "@/pages/images/labelling";
import { loadedImages } from "@/pages/images/pages";
import { isSelected, type Selected, type SelectionControls } from "@/pages/images/selection";

interface Parts {
  project: string;
  wanted: Wanted;
  key: string;
  framed: number;
  setFrame: (frame: { key: string; index: number }) => void;
  total: number;
  at: (index: number) => Image | null;
  idsBetween: (from: number, to: number) => Promise<string[]>;
  selection: SelectionControls;
  /** What labels go on: the zoomed image, the selection, or the image with the frame. */
  target: Selected | null;
  zoomed: boolean;
  setZoomed: (zoomed: boolean) => void;
  labels: Label[];
  labelling: Labelling;
  mayLabel: boolean;
  mayRemove: boolean;
  grid: RefObject<GridHandle | null>;
  search: RefObject<HTMLInputElement | null>;
  showHelp: () => void;
}

export function useCommands(parts: Parts) {
  const { project, wanted, key, framed, setFrame, total, at, selection, target, zoomed, setZoomed, labels, labelling, grid } = parts;
  const [goesOn, setGoesOn] = useLocalStorage({ key: "onsight-go-on", defaultValue: false });
  /** Where a range began. */
  const anchor = useRef(0);

  function moveTo(index: number): void {
    const to = Math.max(0, Math.min(total - 1, index));
    setFrame({ key, index: to });
    grid.current?.show(to);
  }

  async function selectTo(index: number): Promise<void> {
    setFrame({ key, index });
    try {
      selection.only(await parts.idsBetween(anchor.current, index));
    } catch (error) {
      tellError(error);
    }
  }

  function tick(index: number): void {
    const image = at(index);
    if (!image) return;
    anchor.current = index;
    setFrame({ key, index });
    selection.toggle(image.id);
  }

  function pick(index: number): void {
    const image = at(index);
    anchor.current = index;
    setFrame({ key, index });
    if (image) selection.only([image.id]);
  }

  function zoom(index: number): void {
    anchor.current = index;
    setFrame({ key, index });
    setZoomed(true);
  }

  /** Of those that are meant, as far as they are loaded. */
  function meant(): Image[] {
    if (!target) return [];
    return loadedImages(project, wanted).filter(({ id }) => isSelected(target, id));
  }

  function label(number: number, isDefault: boolean): boolean {
    const one = labels[number];
    if (!one || !target || !parts.mayLabel) return false;
    const images = meant();
    const isOn = images.length > 0 && images.every((image) => image.labels.includes(one.id));
    if (isDefault) labelling.label(target, { add: [one.id], isDefault });
    else labelling.label(target, isOn ? { remove: [one.id] } : { add: [one.id] });
    const isSingle = zoomed || (!target.all && target.ids.size === 1);
    if (goesOn && isSingle && !(isOn && !isDefault) && framed < total - 1) {
      moveTo(framed + 1);
      if (!zoomed) anchor.current = framed + 1;
      if (!zoomed && !selection.selected.all && selection.selected.ids.size > 0) selection.clear();
    }
    return true;
  }

  function step({ command, shift }: Pressed): boolean {
    const columns = grid.current?.columns ?? 1;
    const screen = columns * (grid.current?.rowsOnScreen ?? 1);
    const to = {
      left: framed - 1, right: framed + 1, up: framed - columns, down: framed + columns, pageUp: framed - screen,
      pageDown: framed + screen, home: 0, end: total - 1,
    }[command as string];
    if (to === undefined) return false;
    const isOut = (command === "up" && to < 0) || (command === "down" && to > total - 1 && Math.floor(framed / columns) === Math.floor((total - 1) / columns));
    if (isOut) return true;
    const index = Math.max(0, Math.min(total - 1, to));
    moveTo(index);
    if (shift && !zoomed) void selectTo(index);
    else anchor.current = index;
    return true;
  }

  function obey(pressed: Pressed): boolean {
    const { command, number } = pressed;
    const may = parts.mayLabel && target !== null;
    switch (command) {
      case "label":
      case "default":
        return label(number, command === "default");
      case "unlabel":
        if (may) labelling.label(target, { replace: true });
        return may;
      case "validation":
        if (may) labelling.flag(target, !meant().every(({ validation }) => validation));
        return may;
      case "undo":
        if (parts.mayLabel) labelling.undo();
        return parts.mayLabel;
      case "remove":
        if (parts.mayRemove && target) labelling.remove(target);
        return parts.mayRemove;
      case "zoom":
        setZoomed(!zoomed && at(framed) !== null);
        return true;
      case "select":
        if (!zoomed) tick(framed);
        return true;
      case "all":
        if (!zoomed) selection.all();
        return true;
      case "escape":
        if (zoomed) setZoomed(false);
        else selection.clear();
        return true;
      case "search":
        parts.search.current?.focus();
        return true;
      case "help":
        parts.showHelp();
        return true;
      case "advance":
        setGoesOn(!goesOn);
        tellDone(goesOn ? "A number key stays at the image" : "A number key goes on to the next image", null);
        return true;
      default:
        return step(pressed);
    }
  }

  useKeys(zoomed, obey);
  return { moveTo, selectTo, tick, pick, zoom, goesOn, setGoesOn };
}
