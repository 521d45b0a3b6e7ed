import { Button, Group, SegmentedControl, Select, Stack } from "@mantine/core";
import { IconFileTypeCsv, IconFileZip } from "@tabler/icons-react";
import { useState } from "react";
import { PredictionGrid } from "@/pages/model/PredictionGrid";
import type { Looked } from "@/pages/model/useModel";
import type { Wanted } from "@/pages/model/usePredictions";

const SHOWN = [
  { value: "all", label: "All" },
  { value: "correct", label: "Right" },
  { value: "incorrect", label: "Wrong" },
  { value: "above", label: "Above threshold" },
  { value: "below", label: "Below threshold" },
];
const ORDERS = [
  { value: "worst", label: "Worst first" },
  { value: "surest", label: "Surest first" },
  { value: "least_sure", label: "Least sure first" },
  { value: "path", label: "As in the data set" },
];

/** Every image of the split, with what the model said of it. */
export default function Predictions({ looked }: { looked: Looked }) {
  const [show, setShow] = useState<NonNullable<Wanted["show"]>>("all");
  const [order, setOrder] = useState<NonNullable<Wanted["order"]>>("worst");
  const [label, setLabel] = useState<string | null>(null);
  const { project, job, choice, split } = looked;
  const file = (kind: string) => `/studio/v1/projects/${project}/models/${job}/predictions.${kind}?choice=${choice}&split=${split}`;
  return (
    <Stack gap="md">
      <Group gap="sm" align="flex-end">
        <SegmentedControl aria-label="Show" value={show} onChange={(value) => setShow(value as typeof show)} data={SHOWN} />
        <Select aria-label="Label" placeholder="Any label" clearable searchable w={180} value={label} onChange={setLabel} data={looked.facts.labels.map((each) => each.name)} />
        <Select aria-label="Order" w={180} allowDeselect={false} value={order} onChange={(value) => setOrder(value as typeof order)} data={ORDERS} />
        <Group gap="xs" ml="auto">
          <Button component="a" href={file("csv")} download variant="default" leftSection={<IconFileTypeCsv size={16} />}>
            Table
          </Button>
          <Button component="a" href={file("zip")} download variant="default" leftSection={<IconFileZip size={16} />}>
            With images
          </Button>
        </Group>
      </Group>
      <PredictionGrid looked={looked} wanted={{ show, order, label }} />
    </Stack>
  );
}
