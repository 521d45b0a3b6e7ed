import { Group, NumberInput, Paper, ScrollArea, Stack, Text, UnstyledButton } from "@mantine/core";
import { percent } from "@/components/words";
import { Dot } from "@/pages/model/Dot";
import type { Looked } from "@/pages/model/useModel";

interface Props {
  looked: Looked;
  shown: string;
  onShow: (label: string) => void;
}

/** A number for every label, and what follows from it. */
export function ThresholdList({ looked, shown, onShow }: Props) {
  return (
    <Paper withBorder radius="lg" p="sm" component="section" aria-label="Thresholds">
      <ScrollArea.Autosize mah={420}>
        <Stack gap={2} component="ul" m={0} p={0}>
          {looked.facts.labels.map((label, place) => (
            <Group
              key={label.name}
              component="li"
              wrap="nowrap"
              gap="sm"
              px="xs"
              py={4}
              style={{ borderRadius: "var(--mantine-radius-md)", background: label.name === shown ? "var(--mantine-primary-color-light)" : undefined }}
            >
              <UnstyledButton flex={1} miw={0} aria-label={`Show the curve of ${label.name}`} aria-pressed={label.name === shown} onClick={() => onShow(label.name)}>
                <Group gap={8} wrap="nowrap">
                  <Dot colour={label.colour} />
                  <Text size="sm" truncate>
                    {label.name}
                  </Text>
                  <Text size="xs" c="dimmed" ml="auto" className="tabular">
                    F1 {percent(looked.measured?.classes[place]?.f1)}
                  </Text>
                </Group>
              </UnstyledButton>
              <NumberInput
                aria-label={`Threshold of ${label.name}`}
                size="xs"
                w={92}
                min={0}
                max={1}
                step={0.01}
                decimalScale={3}
                value={Number((looked.thresholds[place] ?? 0).toFixed(3))}
                onChange={(value) => typeof value === "number" && looked.setThreshold(place, value)}
              />
            </Group>
          ))}
        </Stack>
      </ScrollArea.Autosize>
    </Paper>
  );
}
