import { Button, Group, Pill } from "@mantine/core";
import type { Label } from "@/api/labels";
import { type ImageFilter, isEmpty, type WantedControls } from "@/pages/images/filter";

interface Chip {
  key: string;
  text: string;
  without: Partial<ImageFilter>;
}

const KIND_WORDS = { unlabelled: "unlabelled", single: "one label", multi: "several labels" };

/** What is filtered by, each part with a button that takes it out. people: names by id. */
export function FilterChips({ controls, labels, people }: { controls: WantedControls; labels: Map<string, Label>; people: Map<string, string> }) {
  const { wanted: { filter }, change, clear } = controls;
  if (isEmpty(filter)) return null;
  const nameOf = (id: string) => labels.get(id)?.name ?? "a label that is gone";
  const chips: (Chip | false)[] = [
    ...filter.label.map((id) => ({ key: `l${id}`, text: nameOf(id), without: { label: filter.label.filter((each) => each !== id) } })),
    ...filter.without_label.map((id) => ({
      key: `w${id}`, text: `without ${nameOf(id)}`, without: { without_label: filter.without_label.filter((each) => each !== id) },
    })),
    filter.default_label !== undefined && { key: "d", text: `default: ${nameOf(filter.default_label)}`, without: { default_label: undefined } },
    ...filter.kind.map((kind) => ({ key: kind, text: KIND_WORDS[kind], without: { kind: filter.kind.filter((each) => each !== kind) } })),
    filter.validation !== undefined && {
      key: "v", text: filter.validation ? "in the validation set" : "not in the validation set", without: { validation: undefined },
    },
    filter.uploaded_by !== undefined && { key: "u", text: `uploaded by ${people.get(filter.uploaded_by) ?? "somebody"}`, without: { uploaded_by: undefined } },
    filter.labelled_by !== undefined && { key: "b", text: `labelled by ${people.get(filter.labelled_by) ?? "somebody"}`, without: { labelled_by: undefined } },
    filter.name !== undefined && { key: "n", text: `name has “${filter.name}”`, without: { name: undefined } },
  ];
  return (
    <Group gap={6} role="group" aria-label="Filters">
      {chips.map((chip) => chip && (
        <Pill key={chip.key} size="md" withRemoveButton removeButtonProps={{ "aria-label": `No filter: ${chip.text}`, "aria-hidden": false, tabIndex: 0 }} onRemove={() => change(chip.without)}>
          {chip.text}
        </Pill>
      ))}
      <Button size="compact-sm" variant="subtle" onClick={clear}>
        Show all
      </Button>
    </Group>
  );
}
