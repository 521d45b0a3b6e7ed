import { ActionIcon, Alert, Button, Center, Group, Menu, Skeleton, Stack, Text, ThemeIcon } from "@mantine/core";
import {
  IconAlertTriangle, IconCheck, IconCopy, IconDots, IconFileText, IconHistory, IconPlayerPlay, IconPlayerStop, IconTrash,
} from "@tabler/icons-react";
import { useState } from "react";
import { Link } from "react-router";
import { confirm } from "@/components/confirm";
import { DatasetDrawer } from "@/components/DatasetDrawer";
import { Moment } from "@/components/Moment";
import { Panel } from "@/components/Panel";
import { Trouble } from "@/components/Trouble";
import { count, duration, percent } from "@/components/words";
import { JobLog } from "@/pages/train/JobLog";
import { type Job, useDelete, useEnded, useResume } from "@/pages/train/jobs";
import classes from "@/pages/train/train.module.css";

const LOOKS = {
  done: { icon: IconCheck, colour: "teal", word: "Done" },
  failed: { icon: IconAlertTriangle, colour: "red", word: "Failed" },
  cancelled: { icon: IconPlayerStop, colour: "gray", word: "Stopped" },
};

interface Props {
  project: string;
  mayTrain: boolean;
  /** Puts a job's settings into the form. */
  onAgain: (job: Job) => void;
}

/** Trainings that have ended, the newest first. */
export function EndedJobs({ project, mayTrain, onAgain }: Props) {
  const ended = useEnded(project);
  const [log, setLog] = useState<Job | null>(null);
  const [version, setVersion] = useState<Job | null>(null);
  const jobs = ended.data?.pages.flatMap((page) => page.jobs) ?? [];
  if (ended.isSuccess && jobs.length === 0) return null;
  return (
    <Panel title="Former trainings">
      {ended.isPending && <Skeleton h={120} aria-label="Loading" />}
      {ended.isError && <Trouble error={ended.error} retry={() => void ended.refetch()} />}
      <ul className={classes.rows}>
        {jobs.map((job) => (
          <Row key={job.id} project={project} job={job} mayTrain={mayTrain} onAgain={onAgain} onLog={setLog} onVersion={setVersion} />
        ))}
      </ul>
      {ended.hasNextPage && (
        <Center>
          <Button variant="default" loading={ended.isFetchingNextPage} onClick={() => void ended.fetchNextPage()}>
            Show more
          </Button>
        </Center>
      )}
      <JobLog project={project} job={log} onClose={() => setLog(null)} />
      <DatasetDrawer project={project} job={version} onClose={() => setVersion(null)} />
    </Panel>
  );
}

interface RowProps extends Props {
  job: Job;
  onLog: (job: Job) => void;
  onVersion: (job: Job) => void;
}

function Row({ project, job, mayTrain, onAgain, onLog, onVersion }: RowProps) {
  const resume = useResume(project);
  const remove = useDelete(project);
  const look = LOOKS[job.state as keyof typeof LOOKS];
  const { best_epoch, validation_accuracy } = job.progress;
  const hasModel = job.state === "done" || (job.state === "cancelled" && best_epoch != null);

  function ask(): void {
    confirm({
      title: `Delete ${job.name}?`,
      text: hasModel
        ? "Its model, its figures and its log go for good. Bundles that were exported from it stay."
        : "What it has learnt so far and its log go for good.",
      action: "Delete",
      onConfirm: () => remove.mutate(job),
    });
  }

  return (
    <li aria-label={job.name}>
      <Group gap="sm" wrap="nowrap" align="flex-start">
        <ThemeIcon variant="light" color={look.colour} radius="xl" mt={2} aria-label={look.word} role="img">
          <look.icon size={16} />
        </ThemeIcon>
        <Stack gap={2} flex={1} miw={0}>
          <Text size="sm" fw={600} truncate>
            {hasModel ? (
              <Link to={`/p/${project}/models/${job.id}`} className={classes.link}>
                {job.name}
              </Link>
            ) : (
              job.name
            )}
          </Text>
          <Text size="xs" c="dimmed" className="tabular">
            {look.word} {job.finished_at && <Moment at={job.finished_at} />}
            {job.started_at && job.finished_at && ` after ${duration((Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000)}`}
            {job.image_count !== null && ` · ${count(job.image_count, "image")}`}
            {job.training && ` · ${goalWords(job)}`}
            {hasModel && validation_accuracy != null && ` · accuracy ${percent(validation_accuracy)}`}
          </Text>
          {job.state === "failed" && (
            <Alert color="red" variant="light" p="xs" mt={4} role="note">
              <Group gap="xs" justify="space-between">
                <Text size="xs" flex="1 1 12rem" style={{ overflowWrap: "anywhere" }}>
                  {job.message}
                </Text>
                <Button size="compact-xs" variant="light" color="red" onClick={() => onLog(job)}>
                  Show its log
                </Button>
              </Group>
            </Alert>
          )}
        </Stack>
        {hasModel && (
          <Button component={Link} to={`/p/${project}/models/${job.id}`} size="xs" variant="light" visibleFrom="xs">
            Open the model
          </Button>
        )}
        <Menu position="bottom-end" withinPortal>
          <Menu.Target>
            <ActionIcon variant="subtle" color="gray" aria-label={`More about ${job.name}`} loading={resume.isPending || remove.isPending}>
              <IconDots size={18} />
            </ActionIcon>
          </Menu.Target>
          <Menu.Dropdown>
            {mayTrain && job.state !== "done" && (
              <Menu.Item leftSection={<IconPlayerPlay size={16} />} onClick={() => resume.mutate(job)}>
                Go on where it stopped
              </Menu.Item>
            )}
            {mayTrain && (
              <Menu.Item leftSection={<IconCopy size={16} />} onClick={() => onAgain(job)}>
                Train again with these settings
              </Menu.Item>
            )}
            <Menu.Item leftSection={<IconHistory size={16} />} onClick={() => onVersion(job)}>
              What changed in the images since
            </Menu.Item>
            <Menu.Item leftSection={<IconFileText size={16} />} onClick={() => onLog(job)}>
              Log
            </Menu.Item>
            {mayTrain && (
              <>
                <Menu.Divider />
                <Menu.Item color="red" leftSection={<IconTrash size={16} />} onClick={ask}>
                  Delete
                </Menu.Item>
              </>
            )}
          </Menu.Dropdown>
        </Menu>
      </Group>
    </li>
  );
}

function goalWords({ training }: Job): string {
  if (training?.labels?.length === 1 && training.unlabelled_as_negative) return `“${training.labels[0]}” or not`;
  const isMulti = training?.task === "multi_label";
  if (!training?.labels) return isMulti ? "any number of labels" : "one label each";
  return `${isMulti ? "any" : "one"} of ${count(training.labels.length, "label")}`;
}
