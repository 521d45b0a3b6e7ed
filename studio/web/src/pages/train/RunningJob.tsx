import { Badge, Button, Group, Paper, Stack, Text, Title } from "@mantine/core";
import { IconPlayerStop } from "@tabler/icons-react";
import { LearningCurves } from "@/components/LearningCurves";
import { Moment } from "@/components/Moment";
import { confirm } from "@/components/confirm";
import { count, duration } from "@/components/words";
import { type Job, useCancel, useCurves } from "@/pages/train/jobs";
import { stageWords } from "@/pages/train/stages";
import { Steps } from "@/pages/train/Steps";

interface Props {
  project: string;
  job: Job;
  mayTrain: boolean;
}

/** What a training is at, at a glance: step, time left, curves. */
export function RunningJob({ project, job, mayTrain }: Props) {
  const cancel = useCancel(project);
  const curves = useCurves(project, job).data;
  const isEnding = cancel.isPending || cancel.isSuccess;

  function ask(): void {
    confirm({
      title: `Stop ${job.name}?`,
      text: "What it has learnt so far is kept: the best model until now can be looked at and used, and the training can go on later.",
      action: "Stop it",
      onConfirm: () => cancel.mutate(job),
    });
  }

  return (
    <Paper component="article" aria-label={job.name} withBorder radius="lg" p="lg">
      <Stack gap="md">
        <Group justify="space-between" align="flex-start" gap="sm">
          <Stack gap={2} miw={0} flex="1 1 14rem">
            <Group gap="xs" wrap="nowrap">
              <Title order={2} size="h4" lineClamp={1} title={job.name}>
                {job.name}
              </Title>
              <Badge variant="light" color="teal" flex="none">
                {isEnding ? "Stopping" : "Running"}
              </Badge>
            </Group>
            <Text size="sm" c="dimmed">
              {job.image_count !== null && `${count(job.image_count, "image")} · `}
              {job.user_name && `${job.user_name} · `}
              queued <Moment at={job.created_at} />
            </Text>
          </Stack>
          {job.takes_s !== null && !isEnding && (
            <Stack gap={0} align="flex-end">
              <Text size="xl" fw={650} lh={1.2} className="tabular">
                {duration(Math.max(1, job.takes_s))}
              </Text>
              <Text size="xs" c="dimmed">
                left, at most
              </Text>
            </Stack>
          )}
          {mayTrain && (
            <Button variant="default" leftSection={<IconPlayerStop size={16} />} loading={isEnding} onClick={ask}>
              Stop
            </Button>
          )}
        </Group>
        <Steps job={job} />
        <Text size="sm" role="status">
          {isEnding ? "Stopping: the best model so far is measured and kept" : stageWords(job)}
        </Text>
        {curves && curves.epochs.length > 0 && <LearningCurves epochs={curves.epochs} best={curves.best_epoch} />}
      </Stack>
    </Paper>
  );
}
