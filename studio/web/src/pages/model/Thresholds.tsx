import { Grid, Paper, Select, Stack, Text } from "@mantine/core";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, take } from "@/api/client";
import { Trouble } from "@/components/Trouble";
import { percent } from "@/components/words";
import { CurveChart } from "@/pages/model/CurveChart";
import { ThresholdList } from "@/pages/model/ThresholdList";
import { ThresholdRules } from "@/pages/model/ThresholdRules";
import type { Looked } from "@/pages/model/useModel";

const ALL = "\u0000all";
const POINTS = 1000;

/** From which probability a label counts: by a click on its curve, by a number, or by a rule. */
export default function Thresholds({ looked }: { looked: Looked }) {
  const { project, job, choice, split, facts, thresholds } = looked;
  const [shown, setShown] = useState(facts.labels[0]?.name ?? ALL);
  const label = shown === ALL ? undefined : shown;
  const place = facts.labels.findIndex((each) => each.name === label);
  const curve = useQuery({
    queryKey: ["curve", project, job, choice, split, shown],
    queryFn: () =>
      take(
        api.GET("/studio/v1/projects/{project}/models/{job}/curve", {
          params: { path: { project, job }, query: { choice, split, label, points: POINTS } },
        }),
      ),
    placeholderData: keepPreviousData,
    staleTime: Infinity,
    gcTime: 60_000,
  });
  const measured = place < 0 ? undefined : looked.measured?.classes[place];

  function choose(threshold: number) {
    if (place < 0) looked.setThresholds(thresholds.map(() => threshold));
    else looked.setThreshold(place, threshold);
  }

  return (
    <Grid gap="lg">
      <Grid.Col span={{ base: 12, lg: 7 }}>
        <Paper withBorder radius="lg" p="md">
          <Stack gap="sm">
            <Select
              label="Precision-recall curve of"
              searchable
              allowDeselect={false}
              value={shown}
              onChange={(value) => value !== null && setShown(value)}
              data={[{ value: ALL, label: "All labels together" }, ...facts.labels.map((each) => ({ value: each.name, label: each.name }))]}
            />
            {curve.isError && <Trouble error={curve.error} />}
            {curve.data && (
              <CurveChart
                curve={curve.data}
                colour={facts.labels[place]?.colour ?? undefined}
                threshold={place < 0 ? undefined : thresholds[place]}
                onChoose={choose}
              />
            )}
            <Text size="sm" c="dimmed" role="status">
              {measured && facts.task === "single_label" && "The most probable label is the answer where it reaches its threshold; else there is no answer. "}
              {measured
                ? `At ${(thresholds[place] ?? 0).toFixed(3)}: precision ${percent(measured.precision)}, recall ${percent(measured.recall)}, F1 ${percent(measured.f1)}.`
                : "A click sets the threshold of all labels."}{" "}
              {curve.data && `Average precision ${percent(curve.data.average_precision)}.`}
            </Text>
          </Stack>
        </Paper>
      </Grid.Col>
      <Grid.Col span={{ base: 12, lg: 5 }}>
        <Stack gap="md">
          <ThresholdRules looked={looked} />
          <ThresholdList looked={looked} shown={shown} onShow={setShown} />
        </Stack>
      </Grid.Col>
    </Grid>
  );
}
