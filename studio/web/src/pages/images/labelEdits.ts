/** Changes of the labels themselves: new ones, names, colours, order, merging, removal. */
import { useMutation } from "@tanstack/react-query";
import { useMemo } from "react";
import { api, take } from "@/api/client";
import type { Label } from "@/api/labels";
import { queries } from "@/api/queries";
import { count } from "@/components/words";
import { countAgain, tellDone } from "@/pages/images/labelling";
import { reloadImages } from "@/pages/images/pages";

interface Edited {
  words: string;
  send: () => Promise<unknown>;
  /** Images look different afterwards. */
  touchesImages?: boolean;
  /** It can be taken back by an undo. */
  undo?: () => void;
}

export function useLabelEdits(project: string, undo: () => void) {
  const { mutateAsync, isPending } = useMutation({
    scope: { id: `labelling ${project}` },
    mutationFn: ({ send }: Edited) => send(),
    onSuccess: (_, { words, undo: back }) => words && tellDone(words, back ?? null),
    onSettled: async (_data, _error, { touchesImages }) => {
      await countAgain(project);
      if (touchesImages) await reloadImages(project);
    },
  });
  const edits = useMemo(() => editsOf(project, (edited) => mutateAsync(edited).then(() => true, () => false), undo), [project, mutateAsync, undo]);
  return useMemo(() => ({ ...edits, isPending }), [edits, isPending]);
}

/** done: whether it went well; what went wrong was told. */
function editsOf(project: string, done: (edited: Edited) => Promise<boolean>, undo: () => void) {
  const path = { project };
  const one = (label: Label) => ({ path: { project, label: label.id } });
  return {
    add: (name: string) =>
      done({ words: "", send: () => take(api.POST("/studio/v1/projects/{project}/labels", { params: { path }, body: { name, colour: null } })) }),
    rename: (label: Label, name: string) =>
      done({
        words: `Renamed ${label.name} to ${name}`,
        send: () => take(api.PATCH("/studio/v1/projects/{project}/labels/{label}", { params: one(label), body: { name, colour: null } })),
        undo,
      }),
    recolour: (label: Label, colour: string) =>
      done({
        words: "",
        send: () => take(api.PATCH("/studio/v1/projects/{project}/labels/{label}", { params: one(label), body: { name: null, colour } })),
      }),
    merge: (label: Label, into: Label) =>
      done({
        words: `Merged ${label.name} into ${into.name}`,
        send: () =>
          take(api.POST("/studio/v1/projects/{project}/labels/{label}/merge", { params: one(label), body: { into: into.id } })),
        touchesImages: true,
        undo,
      }),
    remove: (label: Label) =>
      done({
        words: `Removed the label ${label.name} from ${count(label.images, "image")}`,
        send: () => take(api.DELETE("/studio/v1/projects/{project}/labels/{label}", { params: one(label) })),
        touchesImages: true,
        undo,
      }),
    order: (labels: Label[]) => {
      queries.setQueryData(["labels", project], labels);
      return done({
        words: "",
        send: () =>
          take(api.PUT("/studio/v1/projects/{project}/labels/order", { params: { path }, body: { labels: labels.map(({ id }) => id) } })),
        touchesImages: true,
      });
    },
  };
}

export type LabelEdits = ReturnType<typeof useLabelEdits>;
