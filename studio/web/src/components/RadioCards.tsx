import { Group, Radio, Stack, Text } from "@mantine/core";

interface Props<T extends string> {
  label: string;
  choices: { value: T; label: string; about: string }[];
  value: T;
  onChange: (value: T) => void;
}

/** One of a few, each with what it means. */
export function RadioCards<T extends string>({ label, choices, value, onChange }: Props<T>) {
  return (
    <Radio.Group label={label} value={value} onChange={(chosen) => onChange(chosen as T)}>
      <Stack gap="xs" mt={6}>
        {choices.map((choice) => (
          <Radio.Card key={choice.value} value={choice.value} p="sm" aria-label={choice.label} aria-description={choice.about}>
            <Group wrap="nowrap" align="flex-start" gap="sm">
              <Radio.Indicator mt={2} />
              <div>
                <Text size="sm" fw={600}>
                  {choice.label}
                </Text>
                <Text size="xs" c="dimmed">
                  {choice.about}
                </Text>
              </div>
            </Group>
          </Radio.Card>
        ))}
      </Stack>
    </Radio.Group>
  );
}
