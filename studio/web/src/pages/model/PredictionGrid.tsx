import { Button, Center, Loader, Stack, Text } from "@mantine/core";
import { useIntersection } from "@mantine/hooks";
import { useEffect } from "react";
import { Trouble } from "@/components/Trouble";
import { count } from "@/components/words";
import classes from "@/pages/model/model.module.css";
import { PredictionTile } from "@/pages/model/PredictionTile";
import type { Looked } from "@/pages/model/useModel";
import { usePredictions, type Wanted } from "@/pages/model/usePredictions";

/** Images with what is true and what the model said; more come as one scrolls. */
export function PredictionGrid({ looked, wanted }: { looked: Looked; wanted: Wanted }) {
  const pages = usePredictions(looked, wanted);
  const { ref, entry } = useIntersection({ rootMargin: "600px" });
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = pages;
  useEffect(() => {
    if (entry?.isIntersecting && hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [entry?.isIntersecting, hasNextPage, isFetchingNextPage, fetchNextPage]);
  if (pages.isError) return <Trouble error={pages.error} retry={() => void pages.refetch()} />;
  if (pages.isPending) {
    return (
      <Center h={200}>
        <Loader aria-label="Loading" />
      </Center>
    );
  }
  const shown = pages.data.pages.flatMap((page) => page.predictions);
  return (
    <Stack gap="sm">
      <Text size="sm" c="dimmed" role="status">
        {count(pages.data.pages[0]?.count ?? 0, "image")}
      </Text>
      <div className={classes.tiles} role="list" aria-label="Predictions">
        {shown.map((seen) => (
          <PredictionTile key={seen.image} project={looked.project} seen={seen} />
        ))}
      </div>
      {hasNextPage && (
        <Center ref={ref} py="md">
          <Button variant="subtle" loading={isFetchingNextPage} onClick={() => void fetchNextPage()}>
            Show more
          </Button>
        </Center>
      )}
    </Stack>
  );
}
