import { Group, Input, NumberInput, Slider, Text } from "@mantine/core";

const STOPS = [1, 2, 5, 10, 20, 30, 60, 120, 240];
const WORDS: [number, string][] = [
  [1, "A first look: enough to see whether the labels make sense."],
  [5, "Enough for some hundred images."],
  [20, "Enough for some thousand images."],
  [60, "For many images, or for fine-tuning."],
  [Infinity, "For fine-tuning with many images; may run overnight."],
];

interface Props {
  minutes: number;
  onChange: (minutes: number) => void;
}

/** The time a training may take, by stops that mean something, or typed. */
export function Minutes({ minutes, onChange }: Props) {
  const place = STOPS.reduce((best, stop, at) => (Math.abs(stop - minutes) < Math.abs((STOPS[best] ?? 0) - minutes) ? at : best), 0);
  const words = WORDS.find(([most]) => minutes <= most)?.[1];
  return (
    <Input.Wrapper label="Time" description="At most: a training ends earlier once nothing improves." labelElement="div">
      <Group gap="lg" mt="xs" mb="xs" align="flex-start">
        <Slider
          flex="1 1 17rem"
          mb={28}
          label={null}
          min={0}
          max={STOPS.length - 1}
          step={1}
          value={place}
          onChange={(at) => onChange(STOPS[at] ?? minutes)}
          marks={STOPS.map((stop, value) => ({ value, label: stop < 60 ? String(stop) : `${stop / 60} h` }))}
          thumbLabel="Minutes"
          thumbValueText={`${minutes} minutes`}
        />
        <NumberInput
          aria-label="Minutes, exactly"
          w={104}
          min={0.1}
          max={43_200}
          decimalScale={1}
          suffix=" min"
          value={minutes}
          onChange={(value) => typeof value === "number" && value > 0 && onChange(value)}
        />
      </Group>
      <Text size="sm" c="dimmed">
        {words}
      </Text>
    </Input.Wrapper>
  );
}
