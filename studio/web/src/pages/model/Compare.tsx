import { Alert, Grid, Group, Paper, Select, Skeleton, Stack, Text, Title } from "@mantine/core";
import { IconVersions } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, take } from "@/api/client";
import { thumbnailAddress } from "@/components/addresses";
import { Empty } from "@/components/Empty";
import { Trouble } from "@/components/Trouble";
import { count, percent } from "@/components/words";
import classes from "@/pages/model/model.module.css";
import type { Looked } from "@/pages/model/useModel";

/** This model and another on the same images: where one is right and the other is not. */
export default function Compare({ looked }: { looked: Looked }) {
  const { project, job, choice, split, facts } = looked;
  const [other, setOther] = useState<string | null>(null);
  const models = useQuery({
    queryKey: ["models", project, "choices"],
    queryFn: () => take(api.GET("/studio/v1/projects/{project}/models", { params: { path: { project }, query: { limit: 100 } } })),
  });
  const found = useQuery({
    queryKey: ["comparison", project, job, choice, split, other],
    enabled: other !== null,
    queryFn: () =>
      take(
        api.GET("/studio/v1/projects/{project}/models/{job}/comparison", {
          params: { path: { project, job }, query: { choice, split, other: other! } },
        }),
      ),
  });
  const choices = models.data?.models.filter((model) => model.id !== job && model.task === facts.task) ?? [];
  if (models.isSuccess && choices.length === 0) {
    return (
      <Empty icon={IconVersions} title="Nothing to compare with">
        Train another model of the same kind, and see here which images only one of them gets right.
      </Empty>
    );
  }
  const told = found.data;
  const name = choices.find((model) => model.id === other)?.name ?? "the other";
  return (
    <Stack gap="lg">
      <Select label="Compare with" placeholder="Another model" maw={360} searchable value={other} onChange={setOther} data={choices.map((model) => ({ value: model.id, label: model.name }))} />
      {found.isError && <Trouble error={found.error} />}
      {found.isFetching && !told && <Skeleton h={200} radius="lg" />}
      {told && (
        <>
          <Group gap="xl">
            <Figure value={percent(told.this_correct / told.images)} text={`${facts.name}: right`} />
            <Figure value={percent(told.other_correct / told.images)} text={`${name}: right`} />
            <Figure value={count(told.images, "image")} text="that both know" />
          </Group>
          <Text>
            {told.p_value < 0.05
              ? `${told.this_correct > told.other_correct ? facts.name : name} is better, and that is hardly chance (p = ${told.p_value.toPrecision(2)}).`
              : `The difference may well be chance (p = ${told.p_value.toPrecision(2)}).`}{" "}
            Both are right about {told.both_correct.toLocaleString("en")}, neither about {told.neither_correct.toLocaleString("en")}.
          </Text>
          {told.learnt_by_other > 0 && (
            <Alert variant="light" color="yellow">
              {name} was trained on {count(told.learnt_by_other, "of these images", "of these images")}: it knows their answers, and its figure flatters.
            </Alert>
          )}
          <Grid gap="lg">
            <Grid.Col span={{ base: 12, lg: 6 }}>
              <Images project={project} title={`Only ${facts.name} is right`} images={told.only_this} />
            </Grid.Col>
            <Grid.Col span={{ base: 12, lg: 6 }}>
              <Images project={project} title={`Only ${name} is right`} images={told.only_other} />
            </Grid.Col>
          </Grid>
        </>
      )}
    </Stack>
  );
}

function Figure({ value, text }: { value: string; text: string }) {
  return (
    <div>
      <Text fz={26} fw={700} lh={1.2} className="tabular">
        {value}
      </Text>
      <Text size="sm" c="dimmed">
        {text}
      </Text>
    </div>
  );
}

function Images({ project, title, images }: { project: string; title: string; images: string[] }) {
  return (
    <Paper withBorder radius="lg" p="md" component="section" aria-label={title}>
      <Stack gap="sm">
        <Title order={4}>
          {title}: {images.length}
        </Title>
        <div className={classes.tiles}>
          {images.slice(0, 60).map((image) => (
            <div key={image} className={classes.tile}>
              <img src={thumbnailAddress(project, image)} alt="" loading="lazy" decoding="async" />
            </div>
          ))}
        </div>
      </Stack>
    </Paper>
  );
}
