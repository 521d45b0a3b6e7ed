import { Group, Paper, SimpleGrid, Stack, Text, Tooltip } from "@mantine/core";
import { percent } from "@/components/words";
import { ClassTable } from "@/pages/model/ClassTable";
import { definitionOf, headlinesOf, PLAIN, termOf } from "@/pages/model/terms";
import type { Looked } from "@/pages/model/useModel";

/** Headline figures, averages, and a row for every label. */
export default function Statistics({ looked }: { looked: Looked }) {
  const { measured, facts } = looked;
  if (!measured) return null;
  const shown = headlinesOf(facts.task).filter((name) => name in measured.metrics || name in measured.intervals);
  return (
    <Stack gap="lg">
      <SimpleGrid cols={{ base: 2, sm: 3, lg: 6 }} spacing="sm">
        {shown.slice(0, 6).map((name) => (
          <Figure key={name} name={name} value={measured.metrics[name] ?? measured.intervals[name]?.value} interval={measured.intervals[name]} />
        ))}
      </SimpleGrid>
      <Group gap="xl">
        {["micro", "macro", "weighted"].map((name) => {
          const average = measured.averages[name];
          return (
            average && (
              <Tooltip key={name} label={definitionOf(`f1_${name}`)}>
                <Text size="sm" c="dimmed" className="tabular">
                  <b>{name}</b> precision {percent(average.precision)}, recall {percent(average.recall)}, F1 {percent(average.f1)}
                </Text>
              </Tooltip>
            )
          );
        })}
      </Group>
      <ClassTable looked={looked} />
    </Stack>
  );
}

interface FigureProps {
  name: string;
  value: number | undefined;
  interval: { low?: number | null; high?: number | null } | undefined;
}

function Figure({ name, value, interval }: FigureProps) {
  const words = (number: number | null | undefined) =>
    number === null || number === undefined ? "–" : PLAIN.has(name) ? number.toFixed(3) : percent(number).replace(" ", "\u00a0");
  return (
    <Paper withBorder radius="lg" p="md">
      <Tooltip label={definitionOf(name)}>
        <Stack gap={2} tabIndex={0} role="group" aria-label={`${termOf(name)}: ${words(value)}. ${definitionOf(name)}`}>
          <Text size="xs" c="dimmed">
            {termOf(name)}
          </Text>
          <Text fz={26} fw={700} lh={1.15} className="tabular">
            {words(value)}
          </Text>
          <Text size="xs" c="dimmed" className="tabular" mih={18}>
            {interval?.low != null && interval.high != null ? `95 %: ${words(interval.low)} to ${words(interval.high)}` : " "}
          </Text>
        </Stack>
      </Tooltip>
    </Paper>
  );
}
