import { Paper, Text } from "@mantine/core";
import type { MouseEvent } from "react";
import { CartesianGrid, Line, LineChart, ReferenceDot, ResponsiveContainer, Tooltip, XAxis, YAxis } from "recharts";
import type { Schemas } from "@/api/client";
import { percent } from "@/components/words";
import classes from "@/pages/model/model.module.css";

interface Props {
  curve: Schemas["Curve"];
  colour: string | undefined;
  /** In force; none is marked where it is 0 or undefined: then everything counts. */
  threshold: number | undefined;
  onChoose: (threshold: number) => void;
}

interface Point {
  recall: number;
  precision: number;
  threshold: number;
}

const axis = { type: "number" as const, domain: [0, 1], ticks: [0, 0.2, 0.4, 0.6, 0.8, 1], tickFormatter: (value: number) => percent(value, 0), stroke: "var(--mantine-color-dimmed)", fontSize: 12 };

const LEFT_PX = 64; // between the element's edges and the plot
const RIGHT_PX = 16;

/** Precision over recall; a click takes the threshold of the point below it. */
export function CurveChart({ curve, colour = "var(--mantine-primary-color-filled)", threshold, onChoose }: Props) {
  const points: Point[] = curve.recall.map((recall, place) => ({
    recall,
    precision: curve.precision[place] ?? 0,
    threshold: curve.threshold[place] ?? 0,
  }));
  // Thresholds fall along the curve: the last point that reaches it is where the label's rule stands.
  const at = !threshold ? undefined : points.findLast((point) => point.threshold >= threshold - 1e-6);

  // By the place alone: the chart knows the point below the pointer only some time after it has moved, and of a tap never.
  function choose(event: MouseEvent<HTMLElement>): void {
    const area = event.currentTarget.getBoundingClientRect();
    const recall = (event.clientX - area.left - LEFT_PX) / (area.width - LEFT_PX - RIGHT_PX);
    const far = (point: Point) => Math.abs(point.recall - recall);
    const [first, ...others] = points;
    if (first) onChoose(others.reduce((best, point) => (far(point) < far(best) ? point : best), first).threshold);
  }

  return (
    <div className={classes.chart} role="img" aria-label="Precision-recall curve; click to choose a threshold" onClick={choose}>
      <ResponsiveContainer width="100%" height={360}>
        <LineChart
          data={points}
          margin={{ top: 10, right: RIGHT_PX, bottom: 18, left: 0 }}
        >
          <CartesianGrid stroke="var(--mantine-color-default-border)" strokeDasharray="3 3" />
          <XAxis dataKey="recall" {...axis} label={{ value: "Recall", position: "insideBottom", offset: -10, fontSize: 12, fill: "var(--mantine-color-dimmed)" }} />
          <YAxis {...axis} width={LEFT_PX} label={{ value: "Precision", angle: -90, position: "insideLeft", fontSize: 12, fill: "var(--mantine-color-dimmed)" }} />
          <Tooltip content={<Told />} isAnimationActive={false} />
          <Line dataKey="precision" type="stepBefore" stroke={colour} strokeWidth={2.5} dot={false} isAnimationActive={false} />
          {at && <ReferenceDot x={at.recall} y={at.precision} r={7} fill={colour} stroke="var(--mantine-color-body)" strokeWidth={2} />}
        </LineChart>
      </ResponsiveContainer>
    </div>
  );
}

function Told({ active, payload }: { active?: boolean; payload?: readonly { payload?: Point }[] }) {
  const point = payload?.[0]?.payload;
  if (!active || !point) return null;
  return (
    <Paper withBorder shadow="sm" p="xs" radius="md">
      <Text size="sm" className="tabular">
        Threshold {point.threshold.toFixed(3)}
      </Text>
      <Text size="sm" c="dimmed" className="tabular">
        precision {percent(point.precision)}, recall {percent(point.recall)}
      </Text>
    </Paper>
  );
}
