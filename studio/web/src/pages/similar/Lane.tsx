import { ActionIcon, Button, Group, Kbd, Select, Skeleton, Stack, Switch, Text, Tooltip } from "@mantine/core";
import { useHotkeys } from "@mantine/hooks";
import { IconCheck, IconTags, IconX } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Link } from "react-router";
import { api, take } from "@/api/client";
import { useLabels } from "@/api/labels";
import { ProblemError } from "@/api/problem";
import { queries } from "@/api/queries";
import { useMay } from "@/api/session";
import { Empty } from "@/components/Empty";
import { tell } from "@/components/tell";
import { Trouble } from "@/components/Trouble";
import { count } from "@/components/words";
import classes from "@/pages/similar/similar.module.css";
import { Tile } from "@/pages/similar/Tile";
import { useLabelling, useUndo } from "@/pages/similar/useSimilar";

const SHOWN = 60;

/** Candidates for a label, the likeliest first: take them or leave them, one by one or all at once. */
export function Lane({ project }: { project: string }) {
  const labels = useLabels(project);
  const [chosen, setChosen] = useState<string | null>(null);
  const [unlabelled, setUnlabelled] = useState(true);
  const [settled, setSettled] = useState<ReadonlySet<string>>(new Set());
  const may = useMay("label");
  const label = labels.data?.find((each) => each.id === chosen) ?? labels.data?.find((each) => each.images > 0);
  const candidates = useQuery({
    queryKey: ["suggestions", project, label?.id, unlabelled],
    enabled: label !== undefined,
    queryFn: () =>
      take(
        api.GET("/studio/v1/projects/{project}/suggestions", {
          params: { path: { project }, query: { label: label!.id, unlabelled, limit: SHOWN } },
        }),
      ),
  });
  const again = () => {
    setSettled(new Set());
    void queries.invalidateQueries({ queryKey: ["suggestions", project] });
  };
  const labelling = useLabelling(project);
  const undo = useUndo(project, again);
  const reject = useMutation({
    mutationFn: (images: string[]) =>
      take(
        api.POST("/studio/v1/projects/{project}/rejections", {
          params: { path: { project } },
          body: { label: label!.id, selection: { images } },
        }),
      ),
  });
  const open = candidates.data?.images.filter((each) => !settled.has(each.image)) ?? [];
  const likely = open.filter((each) => each.score > 0);
  const current = open[0];
  const isDone = candidates.isSuccess && candidates.data.images.length > 0 && open.length === 0;
  useEffect(() => {
    if (isDone) again(); // the next ones, by what has just been said
  }, [isDone]);

  const settle = (images: string[]) => setSettled((before) => new Set([...before, ...images]));
  function accept(images: string[]) {
    if (!label || !may || images.length === 0) return;
    settle(images);
    labelling.mutate({ images, add: [label.id] }, { onSuccess: () => images.length > 1 && tell(`${count(images.length, "image")} are ${label.name} now.`), onError: again });
  }
  function refuse(images: string[]) {
    if (!label || !may || images.length === 0) return;
    settle(images);
    reject.mutate(images, { onError: again });
  }
  useHotkeys([
    ["a", () => current && accept([current.image])],
    ["x", () => current && refuse([current.image])],
    ["u", () => may && undo.mutate()],
  ]);

  if (labels.isSuccess && !label) {
    return (
      <Empty icon={IconTags} title="Label a few images first">
        <Text c="dimmed">Two or three of a label are enough: the rest is found by what they look like.</Text>
        <Button component={Link} to={`/p/${project}/images`}>
          To the images
        </Button>
      </Empty>
    );
  }
  const unknown = candidates.error instanceof ProblemError && candidates.error.code === "NOT_KNOWN";
  return (
    <Stack gap="md">
      <Group gap="md" align="flex-end">
        <Select
          label="Label"
          w={220}
          searchable
          allowDeselect={false}
          value={label?.id ?? null}
          onChange={(value) => {
            setChosen(value);
            setSettled(new Set());
          }}
          data={labels.data?.map((each) => ({ value: each.id, label: `${each.name} (${each.images})` })) ?? []}
        />
        <Switch label="Only images without a label" checked={unlabelled} onChange={(event) => setUnlabelled(event.currentTarget.checked)} mb={8} />
        <Group gap="xs" ml="auto">
          <Tooltip label={`Those that look more like ${label?.name ?? "it"} than like anything else.`}>
            <Button disabled={!may || likely.length === 0} color="teal" variant="light" leftSection={<IconCheck size={16} />} onClick={() => accept(likely.map((each) => each.image))}>
              Accept the {likely.length} likely ones
            </Button>
          </Tooltip>
          <Button disabled={!may} variant="subtle" loading={undo.isPending} onClick={() => undo.mutate()} rightSection={<Kbd>u</Kbd>}>
            Undo
          </Button>
        </Group>
      </Group>
      {current && label && (
        <Text size="sm" c="dimmed" role="status">
          Is it {label.name}? <Kbd>a</Kbd> yes, <Kbd>x</Kbd> no. The framed one is next. The number says how much rather it looks like {label.name} than like others.
        </Text>
      )}
      {candidates.isError && !unknown && <Trouble error={candidates.error} retry={() => void candidates.refetch()} />}
      {unknown && (
        <Empty icon={IconTags} title="No image with this label is known yet">
          Put it on two or three images; once they have been looked at, candidates appear here.
        </Empty>
      )}
      {candidates.isPending && label && <Skeleton h={300} radius="lg" />}
      {candidates.isSuccess && candidates.data.images.length === 0 && (
        <Empty icon={IconCheck} title="No candidate is left">
          {unlabelled ? "Every image has a label, or was rejected. Switch the filter off to look among the labelled ones." : "Every other image was rejected for this label."}
        </Empty>
      )}
      <div className={classes.tiles} role="list" aria-label="Candidates">
        {open.map((each, place) => (
          <Tile key={each.image} project={project} image={each.image} name={each.name} current={place === 0} score={each.score.toFixed(2)}>
            <ActionIcon color="red" variant="filled" radius="xl" disabled={!may} aria-label={`Reject ${each.name}`} onClick={() => refuse([each.image])}>
              <IconX size={16} />
            </ActionIcon>
            <ActionIcon color="teal" variant="filled" radius="xl" disabled={!may} aria-label={`Accept ${each.name}`} onClick={() => accept([each.image])}>
              <IconCheck size={16} />
            </ActionIcon>
          </Tile>
        ))}
      </div>
    </Stack>
  );
}
