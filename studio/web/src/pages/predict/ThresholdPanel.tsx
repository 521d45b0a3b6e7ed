import { ActionIcon, Anchor, Button, Collapse, Group, Paper, ScrollArea, Slider, Stack, Text, Title } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { IconChevronDown, IconChevronUp } from "@tabler/icons-react";
import { useState } from "react";
import { Link } from "react-router";
import type { Schemas } from "@/api/client";
import { percent } from "@/components/words";
import type { Thresholds } from "@/pages/predict/answers";

interface Props {
  task: Schemas["PredictState"]["task"];
  /** As they hold in the studio. */
  own: Schemas["LabelThreshold"][];
  /** Those that were changed here. */
  changed: Thresholds;
  colourOf: (label: string) => string;
  modelAddress: string;
  onChange: (changed: Thresholds) => void;
}

/** From where on each label counts, for what is shown here alone. */
export function ThresholdPanel({ task, own, changed, colourOf, modelAddress, onChange }: Props) {
  const isChanged = Object.keys(changed).length > 0;
  const narrow = useMediaQuery("(max-width: 62em)") ?? false;
  const [opened, setOpened] = useState(false);
  return (
    <Paper component="section" aria-label="Thresholds" withBorder radius="lg" p="md">
      <Stack gap="sm">
        <Group justify="space-between" h={28}>
          <Title order={2} size="h5">
            Thresholds
          </Title>
          <Group gap="xs">
            {isChanged && (
              <Button size="compact-xs" variant="subtle" onClick={() => onChange({})}>
                As saved
              </Button>
            )}
            {narrow && (
              <ActionIcon variant="subtle" color="gray" aria-label="Show the thresholds" aria-expanded={opened} onClick={() => setOpened(!opened)}>
                {opened ? <IconChevronUp size={18} /> : <IconChevronDown size={18} />}
              </ActionIcon>
            )}
          </Group>
        </Group>
        <Collapse expanded={!narrow || opened}>
          <Stack gap="sm">
            <Text size="xs" c="dimmed">
              {task === "single_label"
                ? "The most probable label counts from its threshold on; below it, a photo gets no label."
                : "A label counts from its threshold on."}{" "}
              What you set here is tried out. <Anchor component={Link} to={modelAddress} size="xs">The model&apos;s page</Anchor> chooses and
              saves them.
            </Text>
            {own.length > 1 && (
              <Threshold
                label="All labels"
                value={Math.max(...own.map(({ label, threshold }) => changed[label] ?? threshold))}
                colour="var(--mantine-primary-color-filled)"
                onChange={(value) => onChange(Object.fromEntries(own.map(({ label }) => [label, value])))}
              />
            )}
            <ScrollArea.Autosize mah="55vh" offsetScrollbars="present">
              <Stack gap="xs">
                {own.map(({ label, threshold }) => (
                  <Threshold
                    key={label}
                    label={label}
                    value={changed[label] ?? threshold}
                    colour={colourOf(label)}
                    onChange={(value) => onChange({ ...changed, [label]: value })}
                  />
                ))}
              </Stack>
            </ScrollArea.Autosize>
          </Stack>
        </Collapse>
      </Stack>
    </Paper>
  );
}

interface OneProps {
  label: string;
  value: number;
  colour: string;
  onChange: (value: number) => void;
}

function Threshold({ label, value, colour, onChange }: OneProps) {
  return (
    <div>
      <Group justify="space-between" wrap="nowrap" gap="xs">
        <Text size="sm" truncate title={label}>
          {label}
        </Text>
        <Text size="sm" className="tabular">
          {percent(value, 0)}
        </Text>
      </Group>
      <Slider
        size="sm"
        min={0}
        max={1}
        step={0.01}
        value={value}
        color={colour}
        label={null}
        thumbLabel={`Threshold of ${label}`}
        onChange={onChange}
      />
    </div>
  );
}
