import { Badge, Button, Center, Group, Skeleton, Stack, Text, Timeline } from "@mantine/core";
import { IconHistory } from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";
import { api, take, type Schemas } from "@/api/client";
import { useProjectId } from "@/api/session";
import { Empty } from "@/components/Empty";
import { Moment } from "@/components/Moment";
import { Panel } from "@/components/Panel";
import { Trouble } from "@/components/Trouble";
import { changesOf, wordsOf } from "@/pages/settings/eventWords";

/** Who changed which labels, the latest first. */
export function History() {
  const project = useProjectId();
  const history = useInfiniteQuery({
    queryKey: ["project", project, "events"],
    queryFn: ({ pageParam }) =>
      take(
        api.GET("/studio/v1/projects/{project}/events", {
          params: { path: { project }, query: { limit: 50, after: pageParam } },
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
  });
  const events = history.data?.pages.flatMap((page) => page.events) ?? [];
  return (
    <Panel title="History" about="Every change of labels: who, when, and of how many images. Sharing is in the studio's audit log.">
      {history.isPending && <Skeleton h={200} role="status" aria-label="Loading" />}
      {history.isError && <Trouble error={history.error} retry={() => void history.refetch()} />}
      {history.isSuccess && events.length === 0 && (
        <Empty icon={IconHistory} title="Nothing is labelled yet">
          What you and the other members label appears here.
        </Empty>
      )}
      <Timeline bulletSize={14} lineWidth={2} active={-1}>
        {events.map((event) => (
          <Timeline.Item key={event.id} title={<Head event={event} />}>
            <Text size="xs" c="dimmed">
              {event.user_name ?? "Somebody who is gone"} · <Moment at={event.at} />
            </Text>
          </Timeline.Item>
        ))}
      </Timeline>
      {history.hasNextPage && (
        <Center>
          <Button variant="default" loading={history.isFetchingNextPage} onClick={() => void history.fetchNextPage()}>
            Show more
          </Button>
        </Center>
      )}
    </Panel>
  );
}

function Head({ event }: { event: Schemas["ListedEvent"] }) {
  const changes = changesOf(event);
  return (
    <Stack gap={2}>
      <Group gap="xs">
        <Text size="sm" fw={600} td={event.undone ? "line-through" : undefined} style={{ overflowWrap: "anywhere" }}>
          {wordsOf(event)}
        </Text>
        {event.undone && (
          <Badge size="sm" variant="light" color="gray">
            undone
          </Badge>
        )}
      </Group>
      {changes && (
        <Text size="sm" style={{ overflowWrap: "anywhere" }}>
          {changes}
        </Text>
      )}
    </Stack>
  );
}
