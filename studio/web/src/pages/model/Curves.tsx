import { Grid, Paper, Stack, Text, Title, Tooltip as Hint } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Bar, BarChart, CartesianGrid, Legend, Line, LineChart, ReferenceLine, ResponsiveContainer, Tooltip, XAxis, YAxis } from "recharts";
import { api, take } from "@/api/client";
import { Trouble } from "@/components/Trouble";
import { percent } from "@/components/words";
import { definitionOf } from "@/pages/model/terms";
import type { Looked } from "@/pages/model/useModel";

const axis = { stroke: "var(--mantine-color-dimmed)", fontSize: 12 };
const grid = <CartesianGrid stroke="var(--mantine-color-default-border)" strokeDasharray="3 3" />;
const box = { contentStyle: { background: "var(--mantine-color-body)", border: "1px solid var(--mantine-color-default-border)", borderRadius: 8 }, isAnimationActive: false };
const TRAIN = "var(--mantine-color-gray-6)";
const VALIDATION = "var(--mantine-primary-color-filled)";

/** How it learnt, and how far its confidence can be believed. */
export default function Curves({ looked }: { looked: Looked }) {
  return (
    <Grid gap="lg">
      <Grid.Col span={{ base: 12, lg: 6 }}>
        <Learning looked={looked} figure="loss" title="Cross-entropy" />
      </Grid.Col>
      <Grid.Col span={{ base: 12, lg: 6 }}>
        <Learning looked={looked} figure="accuracy" title="Accuracy" />
      </Grid.Col>
      <Grid.Col span={{ base: 12, lg: 6 }}>
        <Calibration looked={looked} />
      </Grid.Col>
    </Grid>
  );
}

function Learning({ looked: { project, job }, figure, title }: { looked: Looked; figure: "loss" | "accuracy"; title: string }) {
  const curves = useQuery({
    queryKey: ["curves", project, job],
    queryFn: () => take(api.GET("/studio/v1/projects/{project}/jobs/{job}/curves", { params: { path: { project, job } } })),
    staleTime: Infinity,
  });
  if (curves.isError) return <Trouble error={curves.error} />;
  const { epochs = [], best_epoch: best } = curves.data ?? {};
  const has = epochs.some((epoch) => epoch[`train_${figure}`] !== null);
  if (curves.isSuccess && !has) return null;
  return (
    <Paper withBorder radius="lg" p="md" component="section" aria-label={`${title} by epoch`}>
      <Stack gap="xs">
        <Hint label={definitionOf(figure === "loss" ? "cross_entropy" : "accuracy")}>
          <Title order={4}>{title}</Title>
        </Hint>
        <ResponsiveContainer width="100%" height={260}>
          <LineChart data={epochs} margin={{ top: 8, right: 16, bottom: 4, left: 0 }}>
            {grid}
            <XAxis dataKey="epoch" {...axis} />
            <YAxis {...axis} width={60} domain={figure === "loss" ? [0, "auto"] : [0, 1]} tickFormatter={(value: number) => (figure === "loss" ? value.toFixed(2) : percent(value, 0))} />
            <Tooltip {...box} labelFormatter={(epoch) => `Epoch ${String(epoch)}`} formatter={(value) => (figure === "loss" ? Number(value).toFixed(4) : percent(Number(value)))} />
            <Legend wrapperStyle={{ fontSize: 13 }} />
            <Line name="Training" dataKey={`train_${figure}`} stroke={TRAIN} dot={false} strokeWidth={2} isAnimationActive={false} />
            <Line name="Validation" dataKey={`validation_${figure}`} stroke={VALIDATION} dot={false} strokeWidth={2.5} isAnimationActive={false} />
            {best != null && <ReferenceLine x={best} stroke="var(--mantine-color-teal-6)" strokeDasharray="4 4" label={{ value: "best", fontSize: 12, fill: "var(--mantine-color-teal-6)", position: "insideTopRight" }} />}
          </LineChart>
        </ResponsiveContainer>
      </Stack>
    </Paper>
  );
}

function Calibration({ looked: { project, job, choice, split } }: { looked: Looked }) {
  const calibration = useQuery({
    queryKey: ["calibration", project, job, choice, split],
    queryFn: () =>
      take(
        api.GET("/studio/v1/projects/{project}/models/{job}/calibration", {
          params: { path: { project, job }, query: { choice, split } },
        }),
      ),
    staleTime: Infinity,
  });
  if (calibration.isError) return <Trouble error={calibration.error} />;
  const after = calibration.data?.after;
  const bins = after?.bins.map((bin) => ({
    range: `${Math.round(bin.lower * 100)}–${Math.round(bin.upper * 100)} %`,
    right: bin.accuracy,
    sure: bin.confidence,
    count: bin.count,
  }));
  return (
    <Paper withBorder radius="lg" p="md" component="section" aria-label="Calibration">
      <Stack gap="xs">
        <Title order={4}>Calibration</Title>
        <Text size="sm" c="dimmed">
          Of the answers that were given with this confidence, the share that was right. Where the two bars are equally high, confidence can be taken at its word.
          {after && ` On average they differ by ${percent(after.expected_calibration_error)} (before calibration ${percent(calibration.data?.before.expected_calibration_error)}).`}
        </Text>
        <ResponsiveContainer width="100%" height={240}>
          <BarChart data={bins} margin={{ top: 8, right: 16, bottom: 4, left: 0 }}>
            {grid}
            <XAxis dataKey="range" {...axis} />
            <YAxis {...axis} width={60} domain={[0, 1]} tickFormatter={(value: number) => percent(value, 0)} />
            <Tooltip {...box} formatter={(value) => percent(Number(value))} />
            <Legend wrapperStyle={{ fontSize: 13 }} />
            <Bar name="Confidence" dataKey="sure" fill={TRAIN} isAnimationActive={false} />
            <Bar name="Right" dataKey="right" fill={VALIDATION} isAnimationActive={false} />
          </BarChart>
        </ResponsiveContainer>
      </Stack>
    </Paper>
  );
}
