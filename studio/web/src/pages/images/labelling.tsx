/** Changes of labels, defaults and flags: seen at once, sent one after the other, each of them one undo. */
import { Button, Group, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation } from "@tanstack/react-query";
import { useMemo } from "react";
import { api, take, type Schemas } from "@/api/client";
import type { Label } from "@/api/labels";
import { queries } from "@/api/queries";
import { confirm } from "@/components/confirm";
import { count } from "@/components/words";
import { fits, type Image, isEmpty, type Wanted } from "@/pages/images/filter";
import { changeLoaded, loadedImages, reloadImages } from "@/pages/images/pages";
import { relabelled, withDefault } from "@/pages/images/patches";
import { bodyOf, isSelected, type Selected, sizeOf } from "@/pages/images/selection";

interface Change {
  words: string;
  target: Selected;
  patch: (image: Image) => Image;
  send: (selection: Schemas["Selection"]) => Promise<Schemas["Changed"]>;
}

const KINDS: Record<Schemas["Undone"]["kind"], string> = {
  label: "a change of labels", default: "a choice of the default label", validation: "a change of validation flags",
  upload: "the labels of an upload", label_file: "the labels of a file", add_label: "a new label",
  rename_label: "a label's new name", merge_labels: "a merge of two labels", remove_label: "a label's removal", undo: "an undo",
};

/** What was done here, by event: an undo names it. */
const told = new Map<string, string>();

export async function countAgain(project: string): Promise<void> {
  await Promise.all(["labels", "counts"].map((name) => queries.invalidateQueries({ queryKey: [name, project] })));
}

/** total: how many images the filter has.  onGone: the selection fits nothing any more, or its images are removed. */
export function useLabelling(project: string, wanted: Wanted, labels: Label[], total: number, onGone: () => void) {
  const path = { project };
  const scope = { id: `labelling ${project}` };

  const undo = useMutation({
    scope,
    mutationFn: () => take(api.POST("/studio/v1/projects/{project}/undo", { params: { path } })),
    onSuccess: async ({ undone, kind, images }) => {
      tellDone(`Undone: ${told.get(undone) ?? `${KINDS[kind]}${images ? `, on ${count(images, "image")}` : ""}`}`, null);
      await Promise.all([countAgain(project), reloadImages(project)]);
    },
  });

  const change = useMutation({
    scope,
    mutationFn: ({ target, send }: Change) => send(bodyOf(target, wanted.filter)),
    onMutate: async ({ target, patch }) => {
      await queries.cancelQueries({ queryKey: ["images", project, "page"] });
      changeLoaded(project, (image) => (isSelected(target, image.id) ? patch(image) : image), target.all ? wanted : undefined);
    },
    onError: () => reloadImages(project),
    onSuccess: ({ event, images }, { words, target }) => {
      if (event) told.set(event, words);
      if (target.all || target.ids.size > 1) tellDone(event ? words : "Nothing to change: it is so already", event ? undo.mutate : null);
      // Of a whole filter, the studio knows which images those were; and they may have left it.
      if (target.all && !isEmpty(wanted.filter)) {
        if (images && loadedImages(project, wanted).some((image) => !fits(image, wanted.filter))) onGone();
        void reloadImages(project);
      }
    },
    onSettled: async () => {
      // Other filters have other images by now: they are asked for again when they are shown.
      await queries.invalidateQueries({ queryKey: ["images", project], type: "inactive" });
      await countAgain(project);
    },
  });

  const remove = useMutation({
    scope,
    mutationFn: (target: Selected) =>
      take(api.POST("/studio/v1/projects/{project}/images/remove", { params: { path }, body: bodyOf(target, wanted.filter) })),
    onSuccess: async ({ images }) => {
      tellDone(`Removed ${count(images, "image")}`, null);
      onGone();
      await Promise.all([countAgain(project), reloadImages(project)]);
    },
  });

  return useMemo(() => {
    const place = new Map(labels.map(({ id }, at) => [id, at]));
    const names = (ids: string[]) => ids.map((id) => labels.find((label) => label.id === id)?.name ?? "a label").join(", ");
    const on = (target: Selected) => count(sizeOf(target, total), "image");

    function label(target: Selected, how: { add?: string[]; remove?: string[]; replace?: boolean; isDefault?: boolean }): void {
      const { add = [], remove: off = [], replace = false, isDefault = false } = how;
      const done = [
        add.length > 0 && `${replace ? "labelled" : "put"} ${names(add)}${replace ? " alone" : ""} on ${on(target)}`,
        off.length > 0 && `took ${names(off)} off ${on(target)}`,
        replace && add.length === 0 && `took all labels off ${on(target)}`,
      ].filter(Boolean).join(", ");
      change.mutate({
        words: done + (isDefault ? ", as the default" : ""),
        target,
        patch: (image) => {
          const after = relabelled(image, add, off, replace, place);
          return isDefault && add[0] ? withDefault(after, add[0]) : after;
        },
        send: (selection) =>
          take(api.POST("/studio/v1/projects/{project}/labelling", {
            params: { path },
            body: { selection, add, remove: off, replace, default: isDefault },
          })),
      });
    }

    return {
      label,
      makeDefault(target: Selected, id: string | null): void {
        change.mutate({
          words: id ? `made ${names([id])} the default of ${on(target)}` : `chose no default for ${on(target)}`,
          target,
          patch: (image) => withDefault(image, id),
          send: (selection) =>
            take(api.POST("/studio/v1/projects/{project}/default-label", { params: { path }, body: { selection, label: id } })),
        });
      },
      /** The default of all images that have it, whatever the filter. */
      starred({ id, name, images }: Label): void {
        change.mutate({
          words: `made ${name} the default of ${count(images, "image")}`,
          target: { all: true, but: new Set() },
          patch: (image) => withDefault(image, id),
          send: () => {
            const filter = { label: [id], without_label: [], kind: [] };
            const selection = bodyOf({ all: true, but: new Set() }, filter);
            return take(api.POST("/studio/v1/projects/{project}/default-label", { params: { path }, body: { selection, label: id } }));
          },
        });
      },
      flag(target: Selected, validation: boolean): void {
        change.mutate({
          words: `${validation ? "put" : "took"} ${on(target)} ${validation ? "into" : "out of"} the validation set`,
          target,
          patch: (image) => (image.validation === validation ? image : { ...image, validation }),
          send: (selection) =>
            take(api.POST("/studio/v1/projects/{project}/validation", { params: { path }, body: { selection, validation } })),
        });
      },
      remove(target: Selected): void {
        confirm({
          title: `Remove ${on(target)}?`,
          text: "They go from the project for good, with their labels. This cannot be undone.",
          action: "Remove",
          onConfirm: () => remove.mutate(target),
        });
      },
      undo: () => undo.mutate(),
    };
  }, [project, labels, total, change.mutate, undo.mutate, remove.mutate]);
}

export type Labelling = ReturnType<typeof useLabelling>;

let shown = "";

/** One at a time, at the top: the bar of the selection is at the bottom.  words: in the past tense.  undo: null for none. */
export function tellDone(words: string, undo: (() => void) | null): void {
  notifications.hide(shown);
  const id = notifications.show({
    position: "top-center",
    autoClose: 6_000,
    message: (
      <Group justify="space-between" wrap="nowrap" gap="sm">
        <Text size="sm">{words.charAt(0).toUpperCase() + words.slice(1)}</Text>
        {undo && (
          <Button
            size="compact-sm"
            variant="light"
            onClick={() => {
              notifications.hide(id);
              undo();
            }}
          >
            Undo
          </Button>
        )}
      </Group>
    ),
  });
  shown = id;
}
