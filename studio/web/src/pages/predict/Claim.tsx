import { Badge, Group, Tooltip } from "@mantine/core";
import { inkOn } from "@/components/ink";

const UNKNOWN = "It resembles nothing that the model was trained on, so the model claims nothing of it.";
const NOTHING = "No label's probability reaches its threshold.";

interface Props {
  labels: string[];
  unknown: boolean;
  colourOf: (label: string) => string;
}

/** What the model claims of a picture. */
export function Claim({ labels, unknown, colourOf }: Props) {
  if (unknown || !labels.length) {
    return (
      <Tooltip label={unknown ? UNKNOWN : NOTHING}>
        <Badge color="gray" variant={unknown ? "filled" : "outline"} tt="none" tabIndex={0}>
          {unknown ? "Unknown" : "No label"}
        </Badge>
      </Tooltip>
    );
  }
  return (
    <Group gap={4}>
      {labels.map((label) => (
        <Badge key={label} tt="none" color={colourOf(label)} style={{ color: inkOn(colourOf(label)) }} maw="100%">
          {label}
        </Badge>
      ))}
    </Group>
  );
}
