import { Badge, Button, Group, Kbd, Paper, Skeleton, Stack, Switch, Text } from "@mantine/core";
import { useHotkeys } from "@mantine/hooks";
import { IconCircleCheck } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, take, type Schemas } from "@/api/client";
import { useLabels } from "@/api/labels";
import { queries } from "@/api/queries";
import { useMay } from "@/api/session";
import { imageAddress } from "@/components/addresses";
import { Empty } from "@/components/Empty";
import { tell } from "@/components/tell";
import { Trouble } from "@/components/Trouble";
import { count, percent } from "@/components/words";
import type { Looked } from "@/pages/model/useModel";

type Issue = Schemas["Issue"];

const keyOf = (issue: Issue) => `${issue.image}/${issue.add}/${issue.remove}`;

/** Labels that are likely wrong, one after the other: mend, or leave as they are. */
export default function Issues({ looked: { project, job, choice } }: { looked: Looked }) {
  const [training, setTraining] = useState(false);
  const [left, setLeft] = useState<ReadonlySet<string>>(new Set());
  const mayLabel = useMay("label");
  const labels = useLabels(project);
  const found = useQuery({
    queryKey: ["label-issues", project, job, choice, training],
    queryFn: () =>
      take(
        api.GET("/studio/v1/projects/{project}/models/{job}/label-issues", {
          params: { path: { project, job }, query: { choice, training_images: training, limit: 1000 } },
        }),
      ),
  });
  const open = found.data?.issues.filter((issue) => !left.has(keyOf(issue))) ?? [];
  const issue = open[0];
  const idOf = (name: string | null) => labels.data?.find((label) => label.name === name)?.id;

  const changed = () => {
    for (const key of ["label-issues", "labels", "counts", "images"]) void queries.invalidateQueries({ queryKey: [key, project] });
  };
  const mend = useMutation({
    mutationFn: ({ image, add, remove }: Issue) => {
      const ids = (name: string | null) => (idOf(name) ? [idOf(name)!] : []);
      return take(
        api.POST("/studio/v1/projects/{project}/labelling", {
          params: { path: { project } },
          body: { selection: { images: [image] }, add: ids(add), remove: ids(remove) },
        }),
      );
    },
    onSuccess: (_, given) => {
      tell(given.remove && given.add ? `Now ${given.add} instead of ${given.remove}.` : given.add ? `Now ${given.add} too.` : `No longer ${given.remove}.`);
      changed();
    },
  });
  const undo = useMutation({
    mutationFn: () => take(api.POST("/studio/v1/projects/{project}/undo", { params: { path: { project } } })),
    onSuccess: () => {
      tell("Taken back.");
      changed();
    },
  });
  const leave = () => issue && setLeft((before) => new Set(before).add(keyOf(issue)));
  useHotkeys([
    ["a", () => mayLabel && issue && !mend.isPending && mend.mutate(issue)],
    ["x", leave],
    ["u", () => mayLabel && undo.mutate()],
  ]);

  if (found.isError) return <Trouble error={found.error} retry={() => void found.refetch()} />;
  return (
    <Stack gap="md">
      <Group justify="space-between">
        <Text size="sm" c="dimmed" role="status">
          {found.data ? `${count(open.length, "suspicion")}, the likeliest first. ` : ""}
          An image is suspected where the model is as sure of another label as it usually is where that label is right.
        </Text>
        <Switch label="Training images too" checked={training} onChange={(event) => setTraining(event.currentTarget.checked)} />
      </Group>
      {found.isPending && <Skeleton h={320} radius="lg" />}
      {found.isSuccess && !issue && (
        <Empty icon={IconCircleCheck} title="No suspicion is left">
          <Text c="dimmed">Train again to learn from the labels that you mended.</Text>
          {mayLabel && (
            <Button variant="subtle" onClick={() => undo.mutate()}>
              Undo the last change
            </Button>
          )}
        </Empty>
      )}
      {issue && (
        <Paper withBorder radius="lg" p="lg" component="section" aria-label="Suspicion">
          <Group align="flex-start" gap="xl">
            <img
              key={issue.image}
              src={imageAddress(project, issue.image)}
              alt={issue.name ?? ""}
              style={{ width: "min(100%, 420px)", height: 340, objectFit: "contain", borderRadius: 12, background: "var(--mantine-color-default-hover)" }}
            />
            <Stack gap="md" flex="1 1 240px">
              <Text size="sm" c="dimmed" truncate>
                {issue.name}
              </Text>
              {issue.remove && (
                <div>
                  <Text size="sm">It is labelled</Text>
                  <Badge size="xl" color="red" variant="light" tt="none">
                    {issue.remove}
                  </Badge>
                </div>
              )}
              {issue.add && (
                <div>
                  <Text size="sm">{issue.remove ? "The model says" : "The model misses"}</Text>
                  <Badge size="xl" color="teal" variant="light" tt="none">
                    {issue.add}
                  </Badge>
                </div>
              )}
              <Text size="sm" c="dimmed">
                {issue.margin >= 0 ? `More probable by ${percent(issue.margin)}` : "About as probable"} · {issue.split} image
              </Text>
              <Group gap="sm">
                <Button disabled={!mayLabel} loading={mend.isPending} color="teal" onClick={() => mend.mutate(issue)} rightSection={<Kbd>a</Kbd>}>
                  Mend it
                </Button>
                <Button variant="default" onClick={leave} rightSection={<Kbd>x</Kbd>}>
                  It is right
                </Button>
                <Button variant="subtle" disabled={!mayLabel} onClick={() => undo.mutate()} rightSection={<Kbd>u</Kbd>}>
                  Undo
                </Button>
              </Group>
            </Stack>
          </Group>
        </Paper>
      )}
    </Stack>
  );
}
