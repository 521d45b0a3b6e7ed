import { Button, Group, NumberInput, Paper, Stack, Text } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { api, take } from "@/api/client";
import { tell } from "@/components/tell";
import type { Looked } from "@/pages/model/useModel";

/** All thresholds at once, by a rule. */
export function ThresholdRules({ looked }: { looked: Looked }) {
  const { project, job, choice, thresholds } = looked;
  const [precision, setPrecision] = useState<number | string>(95);
  const [all, setAll] = useState<number | string>(0.5);
  // Chosen on validation images, so that test images keep having no say.
  const split = "validation" in looked.facts.splits ? ("validation" as const) : looked.split;
  const choose = useMutation({
    mutationFn: (rule: { rule: "f1" } | { rule: "precision"; target: number }) =>
      take(
        api.POST("/studio/v1/projects/{project}/models/{job}/thresholds/choose", {
          params: { path: { project, job } },
          body: { choice, split, thresholds, ...rule },
        }),
      ),
    onSuccess: ({ thresholds: found, kept }) => {
      looked.setThresholds(found);
      if (kept.length > 0) tell(`No threshold reaches it for ${kept.slice(0, 5).join(", ")}${kept.length > 5 ? " and others" : ""}: kept as before.`);
    },
  });
  return (
    <Paper withBorder radius="lg" p="md" component="section" aria-label="All labels">
      <Stack gap="sm">
        <Text fw={600} size="sm">
          All labels
        </Text>
        <Button variant="light" loading={choose.isPending} onClick={() => choose.mutate({ rule: "f1" })}>
          Best F1 for each
        </Button>
        <Group gap="xs" align="flex-end" wrap="nowrap">
          <NumberInput flex={1} label="Precision of at least" suffix=" %" min={1} max={100} value={precision} onChange={setPrecision} />
          <Button variant="light" loading={choose.isPending} disabled={!Number(precision)} onClick={() => choose.mutate({ rule: "precision", target: Number(precision) / 100 })}>
            Reach it
          </Button>
        </Group>
        <Group gap="xs" align="flex-end" wrap="nowrap">
          <NumberInput flex={1} label="The same for all" min={0} max={1} step={0.05} decimalScale={3} value={all} onChange={setAll} />
          <Button variant="light" disabled={all === ""} onClick={() => looked.setThresholds(thresholds.map(() => Number(all)))}>
            Set all
          </Button>
        </Group>
        <Text size="xs" c="dimmed">
          Rules look at {split} images.
        </Text>
      </Stack>
    </Paper>
  );
}
