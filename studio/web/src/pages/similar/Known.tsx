import { Alert, Button, Group, Progress, Stack, Text } from "@mantine/core";
import { IconEye } from "@tabler/icons-react";
import { useEffect } from "react";
import { queries } from "@/api/queries";
import { useMay } from "@/api/session";
import { duration } from "@/components/words";
import { useKnown, useReadNow } from "@/pages/similar/useSimilar";

/** Nothing where all images are known; else how far it is, and a way to begin. */
export function Known({ project }: { project: string }) {
  const known = useKnown(project);
  const read = useReadNow(project);
  const may = useMay("label");
  const state = known.data;
  const count = state?.known;
  useEffect(() => {
    if (count) for (const key of ["suggestions", "near-duplicates", "doubts", "similar"]) void queries.invalidateQueries({ queryKey: [key, project] });
  }, [count, project]); // what could not be compared before now can
  if (!state || state.known === state.images) return null;
  const isReading = state.state !== "idle";
  const words =
    state.state === "reading"
      ? `Looking at the images${state.eta_s != null ? `: about ${duration(state.eta_s)} left` : ""}.`
      : state.state === "waiting"
        ? "The images are looked at as soon as a worker is free."
        : "Some images have not been looked at yet.";
  return (
    <Alert variant="light" icon={<IconEye size={18} />} mb="md">
      <Stack gap="xs">
        <Group justify="space-between">
          <Text size="sm" role="status">
            {words} {state.known.toLocaleString("en")} of {state.images.toLocaleString("en")} are known.
          </Text>
          {!isReading && may && (
            <Button size="xs" variant="light" loading={read.isPending} onClick={() => read.mutate()}>
              Look at them now
            </Button>
          )}
        </Group>
        <Progress value={(100 * (state.known + (state.done ?? 0))) / Math.max(1, state.images)} animated={isReading} aria-label="Images that are known" />
      </Stack>
    </Alert>
  );
}
