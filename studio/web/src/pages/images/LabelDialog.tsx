import { Button, ColorInput, Group, Modal, Select, Stack, Text, TextInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import type { Label } from "@/api/labels";
import { count } from "@/components/words";
import type { LabelEdits } from "@/pages/images/labelEdits";

export type DialogKind = "rename" | "recolour" | "merge" | "remove";

/** Far apart for most eyes: the colours that new labels get. */
const COLOURS = [
  "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442", "#882255", "#44aa99", "#999933",
  "#6699cc", "#aa4499", "#117733", "#ee8866", "#332288", "#bbbbbb",
];
const TITLES: Record<DialogKind, string> = { rename: "Rename", recolour: "Colour of", merge: "Merge", remove: "Remove" };

interface Props {
  kind: DialogKind;
  label: Label;
  labels: Label[];
  edits: LabelEdits;
  onClose: () => void;
}

/** Asks what is to become of a label. */
export function LabelDialog({ kind, label, labels, edits, onClose }: Props) {
  const [name, setName] = useState(label.name);
  const [colour, setColour] = useState(label.colour);
  const [into, setInto] = useState<string | null>(null);
  const target = labels.find(({ id }) => id === into);

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    const isDone =
      kind === "rename" ? await edits.rename(label, name.trim())
      : kind === "recolour" ? await edits.recolour(label, colour)
      : kind === "remove" ? await edits.remove(label)
      : target !== undefined && (await edits.merge(label, target));
    if (isDone) onClose();
  }

  return (
    <Modal opened onClose={onClose} title={`${TITLES[kind]} ${label.name}`} centered>
      <form onSubmit={(event) => void submit(event)}>
        <Stack>
          {kind === "rename" && (
            <TextInput label="Name" value={name} maxLength={100} required withAsterisk={false} data-autofocus onChange={(event) => setName(event.currentTarget.value)} />
          )}
          {kind === "recolour" && (
            <ColorInput label="Colour" format="hex" swatches={COLOURS} value={colour} onChange={setColour} data-autofocus />
          )}
          {kind === "merge" && (
            <>
              <Text size="sm">
                {count(label.images, "image")} with {label.name} will have the other label instead, also as the default. Then{" "}
                {label.name} is gone. An undo brings it back.
              </Text>
              <Select
                label="Into"
                searchable
                data-autofocus
                value={into}
                onChange={setInto}
                data={labels.filter(({ id }) => id !== label.id).map(({ id, name: text }) => ({ value: id, label: text }))}
              />
            </>
          )}
          {kind === "remove" && (
            <Text size="sm">
              It goes from {count(label.images, "image")}; the images stay. An undo brings it back everywhere.
            </Text>
          )}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button
              type="submit"
              color={kind === "remove" ? "red" : undefined}
              loading={edits.isPending}
              disabled={(kind === "rename" && !name.trim()) || (kind === "merge" && !target) || !/^#[0-9a-f]{6}$/i.test(colour)}
              data-autofocus={kind === "remove" || undefined}
            >
              {kind === "remove" ? "Remove" : kind === "merge" ? "Merge" : "Save"}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
