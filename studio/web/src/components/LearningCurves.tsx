import { Group, SimpleGrid, Text, Tooltip as Hint, VisuallyHidden } from "@mantine/core";
import { CartesianGrid, Line, LineChart, ReferenceLine, ResponsiveContainer, Tooltip, XAxis, YAxis } from "recharts";
import type { Schemas } from "@/api/client";

type Epoch = Schemas["Epoch"];

const TRAIN = "var(--mantine-color-blue-5)";
const VALIDATION = "var(--mantine-color-orange-6)";
const QUIET = "var(--mantine-color-dimmed)";
const HEIGHT_PX = 190;

interface Props {
  epochs: Epoch[];
  best: number | null;
}

/** Loss and accuracy, epoch by epoch; a line where the best model stands. Also while it trains. */
export function LearningCurves({ epochs, best }: Props) {
  const hasAccuracy = epochs.some((epoch) => epoch.validation_accuracy !== null || epoch.train_accuracy !== null);
  return (
    <SimpleGrid cols={{ base: 1, sm: hasAccuracy ? 2 : 1 }} spacing="lg">
      <Curve
        title="Loss"
        about="Cross-entropy: how far the model's scores are from the labels. Lower is better. Where validation turns upwards while training falls, the model learns by heart."
        epochs={epochs}
        best={best}
        train="train_loss"
        validation="validation_loss"
        write={(value) => value.toFixed(3)}
      />
      {hasAccuracy && (
        <Curve
          title="Accuracy"
          about="The share of images whose label the model gets right. Higher is better."
          epochs={epochs}
          best={best}
          train="train_accuracy"
          validation="validation_accuracy"
          write={(value) => `${(value * 100).toFixed(1)} %`}
        />
      )}
    </SimpleGrid>
  );
}

interface CurveProps extends Props {
  title: string;
  about: string;
  train: "train_loss" | "train_accuracy";
  validation: "validation_loss" | "validation_accuracy";
  write: (value: number) => string;
}

function Curve({ title, about, epochs, best, train, validation, write }: CurveProps) {
  const last = epochs.at(-1);
  const isShare = train === "train_accuracy";
  const now = [last?.[train], last?.[validation]].map((value) => (value == null ? "–" : write(value)));
  return (
    <figure style={{ margin: 0, minWidth: 0 }}>
      <Group justify="space-between" gap="xs" mb={4} component="figcaption">
        <Hint label={about}>
          <Text size="sm" fw={600} tabIndex={0} style={{ textDecoration: "underline dotted", textUnderlineOffset: 4 }}>
            {title}
          </Text>
        </Hint>
        <Group gap="md" className="tabular">
          <Key colour={TRAIN} name="training" value={now[0]} />
          <Key colour={VALIDATION} name="validation" value={now[1]} />
        </Group>
        <VisuallyHidden>
          {last && `Epoch ${last.epoch}: training ${now[0]}, validation ${now[1]}.`}
          {best !== null && ` The best model is of epoch ${best}.`}
        </VisuallyHidden>
      </Group>
      <div aria-hidden>
        <ResponsiveContainer width="100%" height={HEIGHT_PX}>
          <LineChart data={epochs} margin={{ top: 16, right: 18, bottom: 0, left: 0 }} accessibilityLayer={false}>
            <CartesianGrid vertical={false} stroke="var(--mantine-color-default-border)" />
            <XAxis
              dataKey="epoch"
              type="number"
              domain={[1, Math.max(2, last?.epoch ?? 2)]}
              allowDecimals={false}
              stroke={QUIET}
              tick={{ fontSize: 11, fill: QUIET }}
              tickLine={false}
            />
            <YAxis
              width={50}
              domain={isShare ? [0, 1] : [0, "auto"]}
              stroke={QUIET}
              tick={{ fontSize: 11, fill: QUIET }}
              tickLine={false}
              axisLine={false}
              tickFormatter={(value: number) => (isShare ? `${Math.round(value * 100)}\u00a0%` : String(Number(value.toFixed(2))))}
            />
            <Tooltip
              formatter={(value) => (typeof value === "number" ? write(value) : String(value))}
              labelFormatter={(epoch) => `Epoch ${String(epoch)}`}
              contentStyle={{
                background: "var(--mantine-color-body)",
                border: "1px solid var(--mantine-color-default-border)",
                borderRadius: 8,
                fontSize: 12,
              }}
            />
            {best !== null && (
              <ReferenceLine x={best} stroke={QUIET} strokeDasharray="4 4" label={{ value: "best", position: "top", fontSize: 11, fill: QUIET }} />
            )}
            <Line dataKey={train} name="training" stroke={TRAIN} strokeWidth={2} dot={epochs.length < 2} isAnimationActive={false} />
            <Line dataKey={validation} name="validation" stroke={VALIDATION} strokeWidth={2} dot={epochs.length < 2} isAnimationActive={false} />
          </LineChart>
        </ResponsiveContainer>
      </div>
    </figure>
  );
}

function Key({ colour, name, value }: { colour: string; name: string; value: string | undefined }) {
  return (
    <Group gap={6} wrap="nowrap" aria-hidden>
      <span style={{ width: 14, height: 3, borderRadius: 2, background: colour }} />
      <Text size="xs" c="dimmed">
        {name}
      </Text>
      <Text size="xs" fw={600}>
        {value}
      </Text>
    </Group>
  );
}
