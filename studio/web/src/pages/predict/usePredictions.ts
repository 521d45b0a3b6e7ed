/** Asks the model about every picture, a few at a time, and again where another model is chosen. */
import { useEffect, useMemo, useRef, useState } from "react";
import { ProblemError } from "@/api/problem";
import type { Result } from "@/pages/predict/answers";
import { type Asked, predict } from "@/pages/predict/ask";
import { letGo, type Picture } from "@/pages/predict/pictures";

const TOGETHER = 8;
const BYTES_TOGETHER = 24e6;

/** The next ones that have no answer: all files, or all images of the project. */
function nextOf(pictures: Picture[], known: Map<string, Result>): Picture[] {
  const waiting = pictures.filter(({ id }) => !known.has(id));
  const batch: Picture[] = [];
  let size = 0;
  for (const picture of waiting.filter(({ image }) => Boolean(image) === Boolean(waiting[0]?.image))) {
    size += picture.file?.size ?? 0;
    if (batch.length && (batch.length >= TOGETHER || size > BYTES_TOGETHER)) break;
    batch.push(picture);
  }
  return batch;
}

export interface Predictions {
  pictures: Picture[];
  results: Map<string, Result>;
  /** Being asked just now: by id. */
  busy: boolean;
  /** What stopped it, until `again`. */
  trouble: unknown;
  add: (pictures: Picture[]) => void;
  remove: (id: string) => void;
  clear: () => void;
  again: () => void;
}

/** asked: null while no model is chosen. */
export function usePredictions(asked: Asked | null, first: Picture[]): Predictions {
  const [pictures, setPictures] = useState(first);
  const key = asked ? `${asked.model} ${asked.choice}` : "";
  const [all, setAll] = useState<Record<string, Map<string, Result>>>({});
  const [trouble, setTrouble] = useState<unknown>(null);
  const [turn, setTurn] = useState(0); // another one is asked for
  const results = useMemo(() => all[key] ?? new Map<string, Result>(), [all, key]);
  const batch = useMemo(() => (trouble ? [] : nextOf(pictures, results)), [pictures, results, trouble]);
  const asking = batch.map(({ id }) => id).join("\n");

  useEffect(() => setTrouble(null), [key]);

  useEffect(() => {
    if (!asked || !batch.length) return undefined;
    const stop = new AbortController();
    let timer = 0;
    predict(asked, batch, stop.signal).then(
      (found) =>
        setAll((before) => {
          const after = new Map(before[key]);
          batch.forEach(({ id }, place) => {
            const result = found[place];
            if (result) after.set(id, result);
          });
          return { ...before, [key]: after };
        }),
      (error: unknown) => {
        if (stop.signal.aborted) return;
        if (error instanceof ProblemError && error.code === "MODELS_LOADING") timer = window.setTimeout(() => setTurn((n) => n + 1), 1000);
        else setTrouble(error);
      },
    );
    return () => {
      stop.abort();
      window.clearTimeout(timer);
    };
    // eslint-disable-next-line react-hooks/exhaustive-deps -- the ids say which pictures, the key which model
  }, [asking, key, turn]);

  const held = useRef(pictures);
  held.current = pictures;
  useEffect(() => () => letGo(held.current), []);

  return {
    pictures,
    results,
    busy: asked !== null && batch.length > 0,
    trouble,
    add: (more) => setPictures((before) => [...before, ...more]),
    remove: (id) =>
      setPictures((before) => {
        letGo(before.filter((each) => each.id === id));
        return before.filter((each) => each.id !== id);
      }),
    clear: () => {
      letGo(pictures);
      setPictures([]);
      setAll({});
      setTrouble(null);
    },
    again: () => setTrouble(null),
  };
}
