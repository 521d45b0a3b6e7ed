import { ActionIcon, Alert, Badge, Button, Group, Paper, Progress, Stack, Text, Title, Tooltip } from "@mantine/core";
import { IconAlertTriangle, IconTrash } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { api, take } from "@/api/client";
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
              {isWaiting(job) && forms.map((form) => (
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
            <Finished project={project} job={job.id} wanted={forms} />
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

function Finished({ project, job, wanted }: { project: string; job: string; wanted: string[] }) {
  const bundle = useBundle(project, job);
  if (bundle.isPending) return <Progress value={100} animated size="sm" aria-label="The bundle is checked" />;
  if (bundle.isError) return <Trouble error={bundle.error} retry={() => void bundle.refetch()} />;
  const missing = wanted.filter((form) => !bundle.data.forms.some(({ name }) => name === form));
  return (
    <>
      {missing.length > 0 && <LeftOut project={project} job={job} missing={missing} />}
      <Bundle project={project} bundle={bundle.data} />
    </>
  );
}

/** Forms that were asked for and did not pass: why, as the export printed it. */
function LeftOut({ project, job, missing }: { project: string; job: string; missing: string[] }) {
  const log = useQuery({
    queryKey: ["log", project, job],
    queryFn: () =>
      take(api.GET("/studio/v1/projects/{project}/jobs/{job}/log", { params: { path: { project, job } }, parseAs: "text" })),
  });
  const reasons = log.data?.split("\n").filter((line) => missing.some((form) => line.includes(form) && line.includes("left out"))) ?? [];
  return (
    <Alert color="yellow" variant="light" icon={<IconAlertTriangle size={18} />} title={`Without ${missing.join(", ")}`}>
      {reasons.length > 0 ? reasons.map((line) => <Text key={line} size="sm">{line.trim()}</Text>) : <Text size="sm">It did not answer as full precision does.</Text>}
    </Alert>
  );
}
