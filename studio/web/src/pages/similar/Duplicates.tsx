import { Badge, Button, Group, Paper, Skeleton, Slider, Stack, Text } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { IconCircleCheck } from "@tabler/icons-react";
import { keepPreviousData, useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, take, type Schemas } from "@/api/client";
import { useLabels } from "@/api/labels";
import { queries } from "@/api/queries";
import { useMay } from "@/api/session";
import { confirm } from "@/components/confirm";
import { Empty } from "@/components/Empty";
import { tell } from "@/components/tell";
import { Trouble } from "@/components/Trouble";
import { count } from "@/components/words";
import classes from "@/pages/similar/similar.module.css";
import { Tile } from "@/pages/similar/Tile";
import { Working } from "@/pages/similar/Working";

type Group_ = Schemas["DuplicateGroup"];

const MARKS = [
  { value: 0.97, label: "similar" },
  { value: 0.985, label: "usual" },
  { value: 1, label: "equal" },
];

/** Images that are there more than once: keep one of each group. */
export function Duplicates({ project }: { project: string }) {
  const [threshold, setThreshold] = useState(0.985);
  const [settled] = useDebouncedValue(threshold, 300);
  const may = useMay("remove");
  const labels = useLabels(project);
  const found = useQuery({
    queryKey: ["near-duplicates", project, settled],
    queryFn: () =>
      take(api.GET("/studio/v1/projects/{project}/near-duplicates", { params: { path: { project }, query: { threshold: settled } } })),
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) => (state.data?.state === "working" ? 500 : false),
  });
  const remove = useMutation({
    mutationFn: (images: string[]) =>
      take(api.POST("/studio/v1/projects/{project}/images/remove", { params: { path: { project } }, body: { images } })),
    onSuccess: ({ images }) => {
      tell(`${count(images, "image")} removed.`);
      for (const key of ["near-duplicates", "labels", "counts", "images", "features"]) void queries.invalidateQueries({ queryKey: [key, project] });
    },
  });
  const others = (groups: Group_[]) => groups.flatMap((group) => group.images.slice(1).map((each) => each.image));
  function ask(groups: Group_[]) {
    const images = others(groups);
    confirm({
      title: `Remove ${count(images.length, "image")}?`,
      text: "Of each group the first stays: a labelled one, and the largest of those. Groups whose labels differ are left to you. Removed images cannot be brought back.",
      action: "Remove them",
      onConfirm: () => remove.mutate(images),
    });
  }
  const nameOf = new Map(labels.data?.map((label) => [label.id, label.name]));
  if (found.isError) return <Trouble error={found.error} retry={() => void found.refetch()} />;
  if (found.isPending) return <Skeleton h={300} radius="lg" />;
  const { state, groups, count: total, spare, done } = found.data;
  return (
    <Stack gap="lg">
      <Group gap="xl" align="flex-start">
        <Stack gap={4} flex="1 1 280px" maw={420} pb="md">
          <Text size="sm">How much alike</Text>
          <Slider aria-label="How much alike" min={0.97} max={1} step={0.0025} value={threshold} onChange={setThreshold} marks={MARKS} label={(value) => value.toFixed(4)} />
        </Stack>
        {state === "ready" && total > 0 && (
          <Group gap="md" ml="auto">
            <Text size="sm" c="dimmed" role="status">
              {count(total, "group")}, {count(spare, "image")} to spare
            </Text>
            <Button color="red" variant="light" disabled={!may} loading={remove.isPending} onClick={() => ask(groups.filter((group) => !group.disagree))}>
              Keep one of each shown
            </Button>
          </Group>
        )}
      </Group>
      {state === "working" && <Working done={done} total={found.data.total} />}
      {state === "ready" && total === 0 && (
        <Empty icon={IconCircleCheck} title="Nothing is there twice">
          Move the slider to the left to see images that look less alike.
        </Empty>
      )}
      {groups.map((group) => (
        <Paper key={group.images[0]?.image} withBorder radius="lg" p="md" component="section" aria-label={`Group of ${group.images[0]?.name ?? ""}`}>
          <Stack gap="sm">
            <Group justify="space-between">
              <Group gap="xs">
                <Text fw={600} size="sm">
                  {count(group.images.length, "image")}
                </Text>
                {group.disagree && (
                  <Badge color="orange" variant="light">
                    labels differ
                  </Badge>
                )}
              </Group>
              <Button size="xs" variant="subtle" color="red" disabled={!may} onClick={() => ask([group])}>
                Keep the first, remove the others
              </Button>
            </Group>
            <div className={classes.tiles} role="list" aria-label="Near-duplicates">
              {group.images.map((each, place) => (
                <div key={each.image}>
                  <Tile project={project} image={each.image} name={each.name} keep={place === 0} />
                  <Text size="xs" c="dimmed" truncate>
                    {each.labels.map((label) => nameOf.get(label)).join(", ") || "no label"}
                  </Text>
                </div>
              ))}
            </div>
          </Stack>
        </Paper>
      ))}
      {groups.length < total && (
        <Text size="sm" c="dimmed" ta="center">
          The {groups.length} largest groups are shown; more come as these are settled.
        </Text>
      )}
    </Stack>
  );
}
