import { ActionIcon, Group, Stack, Text, Tooltip } from "@mantine/core";
import { IconX } from "@tabler/icons-react";
import type { Schemas } from "@/api/client";
import { Panel } from "@/components/Panel";
import { count, duration } from "@/components/words";
import { type Job, useCancel, useQueue } from "@/pages/train/jobs";
import classes from "@/pages/train/train.module.css";

type Waiting = Schemas["Waiting"];

interface Props {
  project: string;
  /** Of this project, that run or wait. */
  active: Job[];
  mayTrain: boolean;
}

/** Who waits for whom, of all projects; of those that are none of one's own there are times alone. */
export function QueuePanel({ project, active, mayTrain }: Props) {
  const cancel = useCancel(project);
  const queue = useQueue(active.length > 0).data ?? [];
  const own = new Map(active.map((job) => [job.id, job]));
  const runs = (id: string | null) => id !== null && own.get(id)?.state !== "queued" && own.has(id);
  const shown = queue.filter((each) => each.kind === "training" && !runs(each.id)); // what runs here has a card of its own
  const waiting = active.filter((job) => job.state === "queued").length;
  if (waiting === 0 || shown.length === 0) return null;
  return (
    <Panel title="Queue" about={`${count(waiting, "training")} of this project ${waiting === 1 ? "waits" : "wait"}. They start by themselves, one after the other.`}>
      <ol className={classes.rows}>
        {shown.map((each, at) => (
          <Group component="li" key={each.id ?? `other-${at}`} gap="sm" wrap="nowrap">
            <span className={classes.place} aria-label={each.place ? `Place ${each.place}` : "Runs now"}>
              {each.place || "•"}
            </span>
            <Stack gap={0} flex={1} miw={0}>
              <Text size="sm" fw={each.project === project ? 600 : 400} c={each.project === project ? undefined : "dimmed"} truncate>
                {nameOf(each, project)}
              </Text>
              <Text size="xs" c="dimmed" className="tabular">
                {timesOf(each)}
              </Text>
            </Stack>
            {mayTrain && each.id && own.get(each.id)?.state === "queued" && (
              <Tooltip label="Take it out of the queue">
                <ActionIcon variant="subtle" color="gray" aria-label={`Cancel ${each.name}`} onClick={() => cancel.mutate(own.get(each.id as string) as Job)}>
                  <IconX size={18} />
                </ActionIcon>
              </Tooltip>
            )}
          </Group>
        ))}
      </ol>
    </Panel>
  );
}

function nameOf({ name, project, project_name }: Waiting, here: string): string {
  if (name === null) return "A training of another project";
  return project === here ? name : `${name} (${project_name})`;
}

function timesOf({ place, starts_in_s, takes_s }: Waiting): string {
  if (place === 0) return `runs now, ${duration(takes_s)} left at most`;
  const starts = starts_in_s < 5 ? "starts now" : `starts in ${duration(starts_in_s)} at most`;
  return `${starts}, then takes ${duration(takes_s)} at most`;
}
