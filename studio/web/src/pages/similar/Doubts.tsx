import { Badge, Button, Group, Skeleton, Stack, Text } from "@mantine/core";
import { IconCircleCheck } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, take } from "@/api/client";
import { useLabels } from "@/api/labels";
import { useMay } from "@/api/session";
import { Empty } from "@/components/Empty";
import { Trouble } from "@/components/Trouble";
import { count, percent } from "@/components/words";
import classes from "@/pages/similar/similar.module.css";
import { Tile } from "@/pages/similar/Tile";
import { useLabelling, useUndo } from "@/pages/similar/useSimilar";
import { Working } from "@/pages/similar/Working";

/** Images whose neighbours have another label: found without any training. */
export function Doubts({ project }: { project: string }) {
  const [left, setLeft] = useState<ReadonlySet<string>>(new Set());
  const may = useMay("label");
  const labels = useLabels(project);
  const labelling = useLabelling(project);
  const undo = useUndo(project, () => setLeft(new Set()));
  const found = useQuery({
    queryKey: ["doubts", project],
    queryFn: () => take(api.GET("/studio/v1/projects/{project}/label-doubts", { params: { path: { project } } })),
    refetchInterval: ({ state }) => (state.data?.state === "working" ? 500 : false),
  });
  if (found.isError) return <Trouble error={found.error} retry={() => void found.refetch()} />;
  if (found.isPending) return <Skeleton h={300} radius="lg" />;
  if (found.data.state === "working") return <Working done={found.data.done} total={found.data.total} />;
  const idOf = (name: string) => labels.data?.filter((label) => label.name === name).map((label) => label.id) ?? [];
  const open = found.data.issues.filter((issue) => !left.has(issue.image));
  if (open.length === 0) {
    return (
      <Empty icon={IconCircleCheck} title="No label is doubted">
        Every labelled image looks like others of its label, or unlike all.
      </Empty>
    );
  }
  return (
    <Stack gap="md">
      <Group justify="space-between">
        <Text size="sm" c="dimmed" role="status">
          {count(open.length, "image")} that look like another label's images, the surest first.
        </Text>
        <Button variant="subtle" disabled={!may} onClick={() => undo.mutate()}>
          Undo
        </Button>
      </Group>
      <div className={classes.tiles} role="list" aria-label="Doubtful labels">
        {open.map((issue) => (
          <Stack key={issue.image} gap={6}>
            <Tile project={project} image={issue.image} name={issue.name} score={percent(issue.share, 0)} />
            <Group gap={4}>
              <Badge color="red" variant="light" tt="none">
                {issue.remove}
              </Badge>
              <Text size="xs">→</Text>
              <Badge color="teal" variant="light" tt="none">
                {issue.add}
              </Badge>
            </Group>
            <Group gap={4} grow>
              <Button size="compact-sm" color="teal" variant="light" disabled={!may} aria-label={`${issue.name} is ${issue.add}`} onClick={() => labelling.mutate({ images: [issue.image], add: idOf(issue.add), remove: idOf(issue.remove) })}>
                Mend
              </Button>
              <Button size="compact-sm" variant="default" aria-label={`${issue.name} is rightly ${issue.remove}`} onClick={() => setLeft((before) => new Set(before).add(issue.image))}>
                Right
              </Button>
            </Group>
          </Stack>
        ))}
      </div>
    </Stack>
  );
}
