import { ActionIcon, Alert, Badge, Button, Group, Paper, Progress, Stack, Text, Title, Tooltip } from "@mantine/core";
import { IconAlertTriangle, IconTrash } from "@tabler/icons-react";
import { confirm } from "@/components/confirm";
import { Trouble } from "@/components/Trouble";
import { ago, duration } from "@/components/words";
import { Bundle } from "@/pages/download/Bundle";
import { isWaiting, type Job, useBundle, useCancel, useRemove } from "@/pages/download/useExports";

interface Props {
  project: string;
  job: Job;
  /** Name of the training. */
  training: string;
  opened: boolean;
  onOpen: () => void;
}

/** One export: on its way, or what came of it. */
export function ExportCard({ project, job, training, opened, onOpen }: Props) {
  const cancel = useCancel(project);
  const remove = useRemove(project);
  const wanted = job.export;
  const name = `${wanted?.name ?? job.name} ${wanted?.version ?? ""}`;
  const forms = wanted?.variants?.filter((each) => each !== "fp32") ?? [];
  return (
    <Paper component="article" aria-label={name} withBorder radius="lg" p="lg">
      <Stack gap="md">
        <Group justify="space-between" align="flex-start" wrap="nowrap">
          <div>
            <Group gap="xs">
              <Title order={3} size="h4">
                {name}
              </Title>
              {forms.map((form) => (
                <Badge key={form} variant="light" color="gray" tt="none">
                  {form}
                </Badge>
              ))}
              {wanted?.license_required && (
                <Badge variant="light" color="grape" tt="none">
                  licence required
                </Badge>
              )}
            </Group>
            <Text size="sm" c="dimmed">
              {wanted?.model === "last" ? "Last model" : "Best model"} of {training}, {ago(job.created_at)}
              {job.user_name ? ` by ${job.user_name}` : ""}
            </Text>
          </div>
          {isWaiting(job) ? (
            <Button size="xs" variant="default" loading={cancel.isPending} onClick={() => cancel.mutate(job.id)}>
              Cancel
            </Button>
          ) : (
            <Tooltip label="Delete">
              <ActionIcon
                variant="subtle"
                color="gray"
                aria-label={`Delete ${name}`}
                onClick={() =>
                  confirm({
                    title: `Delete ${name}?`,
                    text: "The bundle goes for good. What was downloaded stays as it is, and it can be made again.",
                    action: "Delete",
                    onConfirm: () => remove.mutate(job.id),
                  })
                }
              >
                <IconTrash size={18} />
              </ActionIcon>
            </Tooltip>
          )}
        </Group>
        {isWaiting(job) && <OnItsWay job={job} />}
        {(job.state === "failed" || job.state === "cancelled") && (
          <Alert color={job.state === "failed" ? "red" : "gray"} variant="light" icon={<IconAlertTriangle size={18} />}>
            {job.state === "failed" ? (job.message ?? "It failed.") : "Cancelled."}
          </Alert>
        )}
        {job.state === "done" &&
          (opened ? (
            <Finished project={project} job={job.id} />
          ) : (
            <Group>
              <Button size="xs" variant="light" onClick={onOpen}>
                Download and install
              </Button>
            </Group>
          ))}
      </Stack>
    </Paper>
  );
}

function OnItsWay({ job }: { job: Job }) {
  const words =
    job.state === "queued"
      ? `In the queue, place ${job.place ?? "–"}; starts in ${duration(job.starts_in_s ?? 0)} at most`
      : `Being made and proven; ${duration(job.takes_s ?? 0)} at most`;
  return (
    <Stack gap={4}>
      <Progress value={100} animated={job.state !== "queued"} color={job.state === "queued" ? "gray" : undefined} size="sm" aria-label="Export" />
      <Text size="sm" c="dimmed" role="status">
        {words}
      </Text>
    </Stack>
  );
}

function Finished({ project, job }: { project: string; job: string }) {
  const bundle = useBundle(project, job);
  if (bundle.isPending) return <Progress value={100} animated size="sm" aria-label="The bundle is checked" />;
  if (bundle.isError) return <Trouble error={bundle.error} retry={() => void bundle.refetch()} />;
  return <Bundle project={project} bundle={bundle.data} />;
}
