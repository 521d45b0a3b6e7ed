import { Badge, Button, ColorSwatch, Drawer, Group, SegmentedControl, Select, Skeleton, Stack, Text, VisuallyHidden } from "@mantine/core";
import { IconPhotoOff } from "@tabler/icons-react";
import { type ReactNode, useState } from "react";
import type { Schemas } from "@/api/client";
import { useLabels } from "@/api/labels";
import { thumbnailAddress } from "@/components/addresses";
import { Trouble } from "@/components/Trouble";
import { count } from "@/components/words";
import { type Change, type ChangedImage, useDifference, useVersions } from "@/api/datasets";
import classes from "@/components/dataset.module.css";

type Job = Schemas["Job"];

const NOW = "now";
const ALL = "all";
const CHANGES: Change[] = ["added", "removed", "relabelled"];

/** What became of the images and labels that a training learnt: until now, or until another version. */
export function DatasetDrawer({ project, job, onClose }: { project: string; job: Job | null; onClose: () => void }) {
  return (
    <Drawer opened={job !== null} onClose={onClose} position="right" size="lg" title={`Images and labels of ${job?.name ?? ""}`}>
      {job?.dataset && <Versions key={job.id} project={project} job={job} dataset={job.dataset} />}
    </Drawer>
  );
}

function Versions({ project, job, dataset }: { project: string; job: Job; dataset: string }) {
  const [to, setTo] = useState(NOW);
  const [chosen, setChosen] = useState<Change | null>(null);
  const versions = useVersions(project, true).data ?? [];
  const difference = useDifference(project, dataset, to === NOW ? null : to, chosen);
  const counts = difference.data?.pages[0];
  const all = counts ? counts.added + counts.removed + counts.relabelled : 0;
  const date = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "short" });
  return (
    <Stack>
      <Text size="sm">
        It learnt {count(job.image_count ?? 0, "image")} as they were on {date.format(new Date(job.created_at))}. What was changed later did not
        reach it.
      </Text>
      <Select
        label="Compare with"
        data={[
          { value: NOW, label: "The project as it is now" },
          ...versions
            .filter(({ id }) => id !== dataset)
            .map(({ id, created_at, images, trainings }) => ({
              value: id,
              label: `${date.format(new Date(created_at))} · ${count(images, "image")}${trainings[0] ? ` · ${trainings[0].name}` : ""}`,
            })),
        ]}
        value={to}
        allowDeselect={false}
        onChange={(value) => {
          setTo(value ?? NOW);
          setChosen(null);
        }}
      />
      {difference.isPending && <Skeleton h={160} aria-label="Loading" />}
      {difference.isError && <Trouble error={difference.error} retry={() => void difference.refetch()} />}
      {counts && all === 0 && (
        <Text c="dimmed" size="sm">
          Nothing has changed: the same images with the same labels.
        </Text>
      )}
      {counts && all > 0 && (
        <SegmentedControl
          fullWidth
          aria-label="What changed"
          value={chosen ?? ALL}
          onChange={(value) => setChosen(value === ALL ? null : (value as Change))}
          data={[
            { value: ALL, label: `All ${all.toLocaleString("en")}` },
            ...CHANGES.map((value) => ({ value, label: `${counts[value].toLocaleString("en")} ${value}`, disabled: counts[value] === 0 })),
          ]}
        />
      )}
      <ul className={classes.changes}>
        {difference.data?.pages.flatMap(({ images }) => images).map((image) => <Changed key={image.image} project={project} image={image} />)}
      </ul>
      {difference.hasNextPage && (
        <Button variant="default" loading={difference.isFetchingNextPage} onClick={() => void difference.fetchNextPage()}>
          Show more
        </Button>
      )}
    </Stack>
  );
}

function Changed({ project, image: { image, before, after } }: { project: string; image: ChangedImage }) {
  const [isMissing, setMissing] = useState(false);
  const both = [...new Set([...(before ?? []), ...(after ?? [])])];
  return (
    <li className={classes.change}>
      {isMissing ? (
        <div className={`${classes.photo} ${classes.gone}`} title="This image was removed from the project">
          <IconPhotoOff size={28} stroke={1.3} aria-label="Removed from the project" />
        </div>
      ) : (
        <img className={classes.photo} src={thumbnailAddress(project, image)} alt="" loading="lazy" decoding="async" onError={() => setMissing(true)} />
      )}
      <Group gap={4} p={6}>
        {both.map((name) => (
          <LabelBadge key={name} project={project} name={name} change={!after?.includes(name) ? "off" : !before?.includes(name) ? "on" : null} />
        ))}
        {both.length === 0 && <Quiet>no label</Quiet>}
        {before && after && before.join() === after.join() && <Quiet>another validation flag</Quiet>}
        {before && after && before.join() !== after.join() && before.toSorted().join() === after.toSorted().join() && (
          <Quiet>another default label: {after[0]}</Quiet>
        )}
      </Group>
    </li>
  );
}

function Quiet({ children }: { children: ReactNode }) {
  return (
    <Text size="xs" c="dimmed">
      {children}
    </Text>
  );
}

const WORDS = { off: "taken off", on: "put on" };

/** change: what became of the label since; null where it was and is there. */
function LabelBadge({ project, name, change }: { project: string; name: string; change: "off" | "on" | null }) {
  const colour = useLabels(project).data?.find((label) => label.name === name)?.colour ?? "gray";
  return (
    <Badge
      size="sm"
      variant={change === null ? "default" : "light"}
      color={change === "off" ? "red" : "teal"}
      tt="none"
      maw="100%"
      td={change === "off" ? "line-through" : undefined}
      title={change ? `${name}: ${WORDS[change]}` : name}
      leftSection={<ColorSwatch component="span" size={8} withShadow={false} color={colour} />}
    >
      {change === "on" && "+ "}
      {name}
      {change && <VisuallyHidden component="span"> ({WORDS[change]})</VisuallyHidden>}
    </Badge>
  );
}
