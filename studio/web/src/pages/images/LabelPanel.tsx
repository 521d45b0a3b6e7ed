import { ActionIcon, Text, TextInput, Tooltip, UnstyledButton } from "@mantine/core";
import { IconPlus, IconSearch } from "@tabler/icons-react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, memo, type RefObject, useMemo, useRef, useState } from "react";
import type { Counts, Label } from "@/api/labels";
import { type Kind, type WantedControls, toggled } from "@/pages/images/filter";
import { type DialogKind, LabelDialog } from "@/pages/images/LabelDialog";
import type { LabelEdits } from "@/pages/images/labelEdits";
import { LabelRow, type RowActions } from "@/pages/images/LabelRow";
import classes from "@/pages/images/panel.module.css";

const ROW_PX = 40;
const KINDS: { kind: Kind; word: string; about: string }[] = [
  { kind: "unlabelled", word: "Unlabelled", about: "Images that have no label yet" },
  { kind: "single", word: "One label", about: "Images with exactly one label" },
  { kind: "multi", word: "Several", about: "Images with more than one label" },
];

interface Props {
  labels: Label[];
  counts: Counts | undefined;
  controls: WantedControls;
  mayLabel: boolean;
  mayEdit: boolean;
  /** Whether there is an image that labels can be put on. */
  hasTarget: boolean;
  edits: LabelEdits;
  search: RefObject<HTMLInputElement | null>;
  putOn: (label: Label) => void;
  takeOff: (label: Label) => void;
  star: (label: Label) => void;
}

/** All labels, with what can be done with each; above them the images by how many labels they have. */
export const LabelPanel = memo(function LabelPanel({ labels, counts, controls, mayLabel, mayEdit, hasTarget, edits, search, putOn, takeOff, star }: Props) {
  const { wanted: { filter }, change } = controls;
  const [typed, setTyped] = useState("");
  const [asked, setAsked] = useState<{ kind: DialogKind; label: Label } | null>(null);
  const list = useRef<HTMLUListElement>(null);
  const text = typed.trim().toLowerCase();
  const found = useMemo(
    () => labels.map((label, place) => ({ label, place })).filter(({ label }) => label.name.toLowerCase().includes(text)),
    [labels, text],
  );
  const isNew = text !== "" && !labels.some(({ name }) => name.toLowerCase() === text);
  /** That Enter puts on. */
  const first = text !== "" && hasTarget && mayLabel ? found[0]?.label : undefined;
  const most = Math.max(0, ...labels.map(({ images }) => images));
  const rows = useVirtualizer({ count: found.length, getScrollElement: () => list.current, estimateSize: () => ROW_PX, overscan: 8 });

  async function add(): Promise<void> {
    if (await edits.add(typed.trim())) setTyped("");
  }

  function onKeyDown(event: KeyboardEvent<HTMLInputElement>): void {
    if (event.key === "Escape") {
      setTyped("");
      event.currentTarget.blur();
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (first && !event.shiftKey) {
        putOn(first);
        setTyped("");
        event.currentTarget.blur(); // on with the images
      } else if (isNew && mayEdit) void add();
    }
  }

  const actions: RowActions = {
    putOn,
    takeOff,
    star,
    pick: ({ id }, several) =>
      change({
        label: several ? toggled(filter.label, id) : filter.label.length === 1 && filter.label[0] === id ? [] : [id],
        without_label: filter.without_label.filter((each) => each !== id),
      }),
    without: ({ id }) =>
      change({ without_label: toggled(filter.without_label, id), label: filter.label.filter((each) => each !== id) }),
    whereDefault: ({ id }) => change({ default_label: filter.default_label === id ? undefined : id }),
    move: (from, to) => {
      const order = [...labels];
      const [moved] = order.splice(from, 1);
      if (moved) order.splice(to, 0, moved);
      void edits.order(order);
    },
    ask: (kind, label) => setAsked({ kind, label }),
  };

  return (
    <section className={classes.panel} aria-label="Labels">
      <div className={classes.kinds} role="group" aria-label="Images by their number of labels">
        {KINDS.map(({ kind, word, about }) => (
          <KindButton key={kind} word={word} about={about} value={counts?.[kind]} isOn={filter.kind.includes(kind)} onClick={() => change({ kind: toggled(filter.kind, kind) })} />
        ))}
        <KindButton
          word="Validation"
          about="Images that are flagged for the validation set"
          value={counts?.validation}
          isOn={filter.validation === true}
          onClick={() => change({ validation: filter.validation === true ? undefined : true })}
        />
      </div>
      <TextInput
        ref={search}
        aria-label={mayEdit ? "Find or add a label" : "Find a label"}
        placeholder={mayEdit ? "Find or add a label" : "Find a label"}
        leftSection={<IconSearch size={16} />}
        rightSection={
          isNew && mayEdit && (
            <Tooltip label={`Add “${typed.trim()}”`}>
              <ActionIcon variant="filled" size="sm" aria-label={`Add the label ${typed.trim()}`} onClick={() => void add()}>
                <IconPlus size={16} />
              </ActionIcon>
            </Tooltip>
          )
        }
        maxLength={100}
        value={typed}
        onChange={(event) => setTyped(event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      {labels.length === 0 && (
        <Text size="sm" c="dimmed" px={6}>
          {mayEdit ? "No labels yet. Type a name above and press Enter." : "No labels yet."}
        </Text>
      )}
      {first && (
        <Text size="xs" c="dimmed" px={6}>
          Enter puts {first.name} on the selection{isNew && mayEdit && `, Shift Enter adds “${typed.trim()}”`}.
        </Text>
      )}
      {labels.length > 0 && found.length === 0 && (
        <Text size="sm" c="dimmed" px={6}>
          {mayEdit ? `Press Enter to add “${typed.trim()}”.` : "No label has that in its name."}
        </Text>
      )}
      <ul ref={list} className={classes.list} aria-label="All labels">
        <li role="presentation" style={{ height: rows.getTotalSize() }} />
        {rows.getVirtualItems().map(({ index, start }) => {
          const { label, place } = found[index]!;
          return (
            <LabelRow
              key={label.id}
              label={label}
              place={place}
              most={most}
              isPicked={filter.label.includes(label.id)}
              mayLabel={mayLabel}
              mayEdit={mayEdit}
              hasTarget={hasTarget}
              isWhole={text === ""}
              isLast={place === labels.length - 1}
              style={{ transform: `translateY(${start}px)` }}
              actions={actions}
            />
          );
        })}
      </ul>
      {asked && <LabelDialog kind={asked.kind} label={asked.label} labels={labels} edits={edits} onClose={() => setAsked(null)} />}
    </section>
  );
});

function KindButton({ word, about, value, isOn, onClick }: { word: string; about: string; value: number | undefined; isOn: boolean; onClick: () => void }) {
  return (
    <Tooltip label={about}>
      <UnstyledButton className={classes.pick} aria-pressed={isOn} onClick={onClick}>
        <span className={classes.word}>{word}</span>
        <span className={classes.count}>{value?.toLocaleString("en") ?? ""}</span>
      </UnstyledButton>
    </Tooltip>
  );
}
