import { ActionIcon, Anchor, Badge, Button, Chip, CloseButton, Group, Modal, Switch, Text, Tooltip } from "@mantine/core";
import { IconChevronLeft, IconChevronRight, IconPhotoSearch, IconStar, IconStarFilled, IconTrash } from "@tabler/icons-react";
import { useRef } from "react";
import { Link } from "react-router";
import type { Label } from "@/api/labels";
import { imageAddress, similarAddress, thumbnailAddress } from "@/components/addresses";
import { inkOn } from "@/components/ink";
import { Moment } from "@/components/Moment";
import { bytes } from "@/components/words";
import type { Image } from "@/pages/images/filter";
import type { Labelling } from "@/pages/images/labelling";
import classes from "@/pages/images/zoom.module.css";

interface Props {
  project: string;
  image: Image;
  index: number;
  total: number;
  /** Loaded ahead, so that the arrow shows it at once. */
  next: Image | null;
  labels: Label[];
  people: Map<string, string>;
  labelling: Labelling;
  mayLabel: boolean;
  mayRemove: boolean;
  goesOn: boolean;
  setGoesOn: (goesOn: boolean) => void;
  onTurn: (step: number) => void;
  onClose: () => void;
}

const SWIPE_PX = 60;

/** What a browser shows of itself; of others there is the thumbnail. */
function pixelsOf(project: string, { id, format }: Image): string {
  return format === "TIFF" ? thumbnailAddress(project, id) : imageAddress(project, id);
}

/** One image, as large as fits, with all that is known of it. */
export function Zoom({ project, image, index, total, next, labels, people, labelling, mayLabel, mayRemove, goesOn, setGoesOn, onTurn, onClose }: Props) {
  const target = { all: false, ids: new Set([image.id]) } as const;
  const touched = useRef(0);
  const own = labels.filter(({ id }) => image.labels.includes(id));
  return (
    <Modal.Root opened onClose={onClose} fullScreen closeOnEscape={false} transitionProps={{ duration: 0 }} padding={0}>
      <Modal.Content aria-label={image.name} data-zoom>
      <div className={classes.stage} style={{ height: "100%" }}>
        <div
          className={classes.picture}
          data-autofocus
          tabIndex={-1}
          onTouchStart={(event) => (touched.current = event.touches[0]?.clientX ?? 0)}
          onTouchEnd={(event) => {
            const swiped = (event.changedTouches[0]?.clientX ?? 0) - touched.current;
            if (Math.abs(swiped) > SWIPE_PX) onTurn(swiped < 0 ? 1 : -1);
          }}
        >
          <img key={`t${image.id}`} src={thumbnailAddress(project, image.id)} alt="" />
          <img key={image.id} src={pixelsOf(project, image)} alt={image.name} />
          {next && <img src={pixelsOf(project, next)} alt="" style={{ visibility: "hidden" }} />}
          <ActionIcon className={classes.turn} left={8} size="xl" radius="xl" variant="default" aria-label="Previous image" disabled={index === 0} onClick={() => onTurn(-1)}>
            <IconChevronLeft />
          </ActionIcon>
          <ActionIcon className={classes.turn} right={8} size="xl" radius="xl" variant="default" aria-label="Next image" disabled={index >= total - 1} onClick={() => onTurn(1)}>
            <IconChevronRight />
          </ActionIcon>
        </div>
        <aside className={classes.side} aria-label="About the image">
          <Group justify="space-between" wrap="nowrap" align="flex-start">
            <Text fw={600} style={{ overflowWrap: "anywhere" }}>
              {image.name}
            </Text>
            <CloseButton aria-label="Close" onClick={onClose} />
          </Group>
          <Text size="sm" c="dimmed" className="tabular">
            {(index + 1).toLocaleString("en")} of {total.toLocaleString("en")} · {image.width} × {image.height} · {image.format} · {bytes(image.bytes)}
            <br />
            {people.get(image.uploaded_by ?? "") ?? "Somebody"}, <Moment at={image.uploaded_at} />
          </Text>
          <Group gap={6} role="group" aria-label="Labels of the image">
            {own.length === 0 && <Badge variant="outline" color="gray">unlabelled</Badge>}
            {own.length > 1 && own.map((label) => {
              const isDefault = label.id === image.default_label;
              return (
                <Tooltip key={label.id} label={isDefault ? "The default label: the one that single-label training takes" : "Make it the default label"}>
                  <Button
                    size="compact-sm"
                    radius="xl"
                    leftSection={isDefault ? <IconStarFilled size={14} /> : <IconStar size={14} />}
                    style={{ background: label.colour, color: inkOn(label.colour) }}
                    aria-pressed={isDefault}
                    aria-label={isDefault ? `${label.name} is the default label` : `Make ${label.name} the default label`}
                    disabled={!mayLabel}
                    onClick={() => labelling.makeDefault(target, label.id)}
                  >
                    {label.name}
                  </Button>
                </Tooltip>
              );
            })}
          </Group>
          {mayLabel && (
            <>
              <Group gap={6} role="group" aria-label="Labels to put on and take off">
                {labels.map((label, place) => {
                  const isOn = image.labels.includes(label.id);
                  return (
                    <Chip key={label.id} size="sm" checked={isOn} color={label.colour} autoContrast onChange={() => labelling.label(target, isOn ? { remove: [label.id] } : { add: [label.id] })}>
                      {place < 9 ? `${place + 1} ` : ""}{label.name}
                    </Chip>
                  );
                })}
              </Group>
              <Switch label="In the validation set" checked={image.validation} onChange={(event) => labelling.flag(target, event.currentTarget.checked)} />
              <Switch label="Go on after a number key" description="Key A" checked={goesOn} onChange={(event) => setGoesOn(event.currentTarget.checked)} />
            </>
          )}
          <Group gap="xs" mt="auto">
            <Button component={Link} to={similarAddress(project, [image.id])} variant="light" size="compact-sm" leftSection={<IconPhotoSearch size={16} />}>
              Find similar
            </Button>
            <Anchor href={imageAddress(project, image.id)} download={image.name.split("/").at(-1)} size="sm">
              Download
            </Anchor>
            {mayRemove && (
              <ActionIcon variant="subtle" color="red" aria-label="Remove the image" onClick={() => labelling.remove(target)}>
                <IconTrash size={18} />
              </ActionIcon>
            )}
          </Group>
        </aside>
      </div>
      </Modal.Content>
    </Modal.Root>
  );
}
