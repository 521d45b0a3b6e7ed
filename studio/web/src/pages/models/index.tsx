import { Anchor, Badge, Button, Group, Paper, SimpleGrid, Skeleton, Stack, Text, Tooltip } from "@mantine/core";
import { IconChartDots } from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { api, take, type Schemas } from "@/api/client";
import { useProjectId } from "@/api/session";
import { Empty } from "@/components/Empty";
import { Moment } from "@/components/Moment";
import { PageHead } from "@/components/PageHead";
import { Trouble } from "@/components/Trouble";
import { count, percent } from "@/components/words";
import { definitionOf, headlinesOf, PLAIN, SPLIT_WORDS, TASK_WORDS, termOf } from "@/pages/model/terms";

type ListedModel = Schemas["ListedModel"];

/** Every model of the project, the newest first. */
export default function Page() {
  const project = useProjectId();
  const pages = useInfiniteQuery({
    queryKey: ["models", project],
    queryFn: ({ pageParam }) =>
      take(
        api.GET("/studio/v1/projects/{project}/models", {
          params: { path: { project }, query: { limit: 24, after: pageParam } },
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
  });
  const models = pages.data?.pages.flatMap((page) => page.models) ?? [];
  return (
    <>
      <PageHead title="Models" about="What each has learnt, and how good it is on images that it was not trained on." />
      {pages.isError && <Trouble error={pages.error} retry={() => void pages.refetch()} />}
      {pages.isPending && (
        <SimpleGrid cols={{ base: 1, sm: 2, xl: 3 }}>
          {[1, 2, 3].map((each) => (
            <Skeleton key={each} h={150} radius="lg" />
          ))}
        </SimpleGrid>
      )}
      {pages.isSuccess && models.length === 0 && (
        <Empty icon={IconChartDots} title="No model yet">
          <Text c="dimmed">Label some images, train, and see here how good the model is.</Text>
          <Button component={Link} to={`/p/${project}/train`}>
            Train a model
          </Button>
        </Empty>
      )}
      <SimpleGrid cols={{ base: 1, sm: 2, xl: 3 }} spacing="md">
        {models.map((model) => (
          <ModelCard key={model.id} project={project} model={model} />
        ))}
      </SimpleGrid>
      {pages.hasNextPage && (
        <Button mt="md" variant="light" loading={pages.isFetchingNextPage} onClick={() => void pages.fetchNextPage()}>
          Show older models
        </Button>
      )}
    </>
  );
}

function ModelCard({ project, model }: { project: string; model: ListedModel }) {
  const [first, ...others] = headlinesOf(model.task).filter((name) => model.metrics[name]);
  const main = first ? model.metrics[first] : undefined;
  return (
    <Paper withBorder radius="lg" p="lg" component="article" aria-label={model.name}>
      <Stack gap="sm">
        <Group justify="space-between" wrap="nowrap" align="flex-start">
          <Anchor component={Link} to={`/p/${project}/models/${model.id}`} fw={650} size="lg" lineClamp={2}>
            {model.name}
          </Anchor>
          <Badge variant="light" style={{ flexShrink: 0 }}>
            {TASK_WORDS[model.task]}
          </Badge>
        </Group>
        <Group gap="xl" align="flex-end">
          {first && main && (
            <Tooltip label={definitionOf(first)}>
              <Stack gap={0}>
                <Text fz={30} fw={700} lh={1.1} className="tabular">
                  {percent(main.value)}
                </Text>
                <Text size="xs" c="dimmed">
                  {termOf(first)}, {SPLIT_WORDS[model.split].toLowerCase()} images
                </Text>
              </Stack>
            </Tooltip>
          )}
          {others.slice(0, 2).map((name) => (
            <Tooltip key={name} label={definitionOf(name)}>
              <Stack gap={0}>
                <Text fw={600} className="tabular">
                  {PLAIN.has(name) ? (model.metrics[name]?.value?.toFixed(3) ?? "–") : percent(model.metrics[name]?.value)}
                </Text>
                <Text size="xs" c="dimmed">
                  {termOf(name)}
                </Text>
              </Stack>
            </Tooltip>
          ))}
        </Group>
        <Text size="sm" c="dimmed">
          {count(model.labels, "label")}
          {model.image_count !== null && ` · ${count(model.image_count, "image")}`}
          {model.user_name && ` · ${model.user_name}`}
          {model.finished_at && (
            <>
              {" · "}
              <Moment at={model.finished_at} />
            </>
          )}
          {model.state !== "done" && " · ended early"}
        </Text>
      </Stack>
    </Paper>
  );
}
