import { ActionIcon, Menu, Tooltip } from "@mantine/core";
import {
  IconArrowDown, IconArrowMerge, IconArrowUp, IconDots, IconFilterX, IconMinus, IconPalette, IconPencil, IconPlus, IconStar,
  IconTrash,
} from "@tabler/icons-react";
import { type CSSProperties, type MouseEvent, useState } from "react";
import type { Label } from "@/api/labels";
import { inkOn } from "@/components/ink";
import { count } from "@/components/words";
import type { DialogKind } from "@/pages/images/LabelDialog";
import classes from "@/pages/images/panel.module.css";

export interface RowActions {
  putOn: (label: Label) => void;
  takeOff: (label: Label) => void;
  star: (label: Label) => void;
  pick: (label: Label, several: boolean) => void;
  without: (label: Label) => void;
  whereDefault: (label: Label) => void;
  /** Places in the panel, from 0. */
  move: (from: number, to: number) => void;
  ask: (kind: DialogKind, label: Label) => void;
}

interface Props {
  label: Label;
  /** In the panel, from 0. */
  place: number;
  /** Of the label that most images have. */
  most: number;
  isPicked: boolean;
  mayLabel: boolean;
  mayEdit: boolean;
  hasTarget: boolean;
  /** Of the whole panel; a search shows some of it, and then nothing is moved. */
  isWhole: boolean;
  isLast: boolean;
  style: CSSProperties;
  actions: RowActions;
}

export function LabelRow({ label, place, most, isPicked, mayLabel, mayEdit, hasTarget, isWhole, isLast, style, actions }: Props) {
  const { name, colour, images } = label;
  const [isOver, setOver] = useState(false);
  const isMovable = mayEdit && isWhole;
  return (
    <li
      className={classes.row}
      style={style}
      aria-label={name}
      data-on={isPicked || undefined}
      data-over={isOver || undefined}
      draggable={isMovable}
      onDragStart={(event) => event.dataTransfer.setData("application/x-onsight-label", String(place))}
      onDragOver={(event) => {
        if (!isMovable || !event.dataTransfer.types.includes("application/x-onsight-label")) return;
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        setOver(false);
        const from = event.dataTransfer.getData("application/x-onsight-label");
        if (from !== "") actions.move(Number(from), place);
      }}
    >
      <span className={classes.key} style={{ background: colour, color: inkOn(colour) }} aria-hidden>
        {place < 9 ? place + 1 : ""}
      </span>
      <button
        type="button"
        className={classes.pick}
        aria-pressed={isPicked}
        aria-label={`Show images with ${name}`}
        title={`${name}: ${count(images, "image")}. Click to see them, Ctrl and click for several labels.`}
        onClick={(event: MouseEvent) => actions.pick(label, event.ctrlKey || event.metaKey || event.shiftKey)}
      >
        <span className={classes.word}>{name}</span>
        <span className={classes.count}>{images.toLocaleString("en")}</span>
        <span className={classes.bar} style={{ width: `${most ? (100 * images) / most : 0}%`, background: colour }} />
      </button>
      <span className={classes.more}>
        {mayLabel && (
          <>
            <Tooltip label={`The default label of all images that have ${name}`}>
              <ActionIcon className={classes.star} variant="subtle" color="gray" size="sm" aria-label={`Make ${name} the default of all images that have it`} disabled={images === 0} onClick={() => actions.star(label)}>
                <IconStar size={15} />
              </ActionIcon>
            </Tooltip>
            <ActionIcon variant="subtle" size="sm" aria-label={`Put ${name} on the selection`} disabled={!hasTarget} onClick={() => actions.putOn(label)}>
              <IconPlus size={16} />
            </ActionIcon>
            <ActionIcon variant="subtle" size="sm" aria-label={`Take ${name} off the selection`} disabled={!hasTarget} onClick={() => actions.takeOff(label)}>
              <IconMinus size={16} />
            </ActionIcon>
          </>
        )}
        <Menu position="bottom-end" withinPortal>
          <Menu.Target>
            <ActionIcon variant="subtle" color="gray" size="sm" aria-label={`More for ${name}`}>
              <IconDots size={16} />
            </ActionIcon>
          </Menu.Target>
          <Menu.Dropdown>
            <Menu.Item leftSection={<IconFilterX size={16} />} onClick={() => actions.without(label)}>
              Show images without it
            </Menu.Item>
            <Menu.Item leftSection={<IconStar size={16} />} onClick={() => actions.whereDefault(label)}>
              Show where it is the default
            </Menu.Item>
            {mayEdit && (
              <>
                <Menu.Divider />
                <Menu.Item leftSection={<IconPencil size={16} />} onClick={() => actions.ask("rename", label)}>
                  Rename
                </Menu.Item>
                <Menu.Item leftSection={<IconPalette size={16} />} onClick={() => actions.ask("recolour", label)}>
                  Change colour
                </Menu.Item>
                <Menu.Item leftSection={<IconArrowMerge size={16} />} onClick={() => actions.ask("merge", label)}>
                  Merge into another
                </Menu.Item>
                <Menu.Item leftSection={<IconArrowUp size={16} />} disabled={!isMovable || place === 0} closeMenuOnClick={false} onClick={() => actions.move(place, place - 1)}>
                  Move up
                </Menu.Item>
                <Menu.Item leftSection={<IconArrowDown size={16} />} disabled={!isMovable || isLast} closeMenuOnClick={false} onClick={() => actions.move(place, place + 1)}>
                  Move down
                </Menu.Item>
                <Menu.Divider />
                <Menu.Item color="red" leftSection={<IconTrash size={16} />} onClick={() => actions.ask("remove", label)}>
                  Remove the label
                </Menu.Item>
              </>
            )}
          </Menu.Dropdown>
        </Menu>
      </span>
    </li>
  );
}
