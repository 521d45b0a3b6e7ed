import { Alert, Group, List, Paper, Progress, ScrollArea, Skeleton, Stack, Text, Title, Tooltip } from "@mantine/core";
import { IconAlertTriangle, IconInfoCircle } from "@tabler/icons-react";
import type { Label } from "@/api/labels";
import { Trouble } from "@/components/Trouble";
import { count, duration } from "@/components/words";
import type { ReadOut } from "@/pages/train/jobs";

interface Props {
  readOut: ReadOut | undefined;
  error: unknown;
  isOld: boolean;
  labels: Label[];
  minutes: number;
  /** How many models are trained, one after the other. */
  models: number;
}

const SETS = [
  { key: "train", word: "to learn from", colour: "blue.5", about: "Training images: the model learns from these." },
  { key: "validation", word: "to check with", colour: "orange.5", about: "Validation images: they choose the best epoch and calibrate the scores; nothing is learnt from them." },
  { key: "test", word: "for the final figures", colour: "grape.5", about: "Test images: nothing is learnt or chosen by them, so that the figures are honest." },
] as const;

/** What the training of the form would do, before it is begun. */
export function ReadOutPanel({ readOut, error, isOld, labels, minutes, models }: Props) {
  return (
    <Paper component="section" aria-label="What this training would do" withBorder radius="lg" p="md" style={{ opacity: isOld ? 0.6 : 1 }}>
      <Stack gap="md">
        <Title order={2} size="h5">
          {models > 1 ? `What each of the ${models} trainings would do` : "What this training would do"}
        </Title>
        {error !== null && <Trouble error={error} />}
        {!readOut && error === null && <Skeleton h={180} aria-label="Loading" />}
        {readOut && (
          <>
            <Images readOut={readOut} />
            {models === 1 && <PerLabel readOut={readOut} labels={labels} />}
            <Times readOut={readOut} minutes={minutes} models={models} />
            <Warnings readOut={readOut} />
          </>
        )}
      </Stack>
    </Paper>
  );
}

function Images({ readOut }: { readOut: ReadOut }) {
  const { images, left_out } = readOut;
  return (
    <Stack gap={6}>
      <Text className="tabular">
        <Text span fw={650} size="xl">
          {images.toLocaleString("en")}
        </Text>{" "}
        {images === 1 ? "image takes" : "images take"} part
        {left_out > 0 && (
          <Text span c="dimmed" size="sm">
            , {left_out.toLocaleString("en")} left out
          </Text>
        )}
      </Text>
      {images > 0 && (
        <>
          <Progress.Root size="md" aria-hidden>
            {SETS.map(({ key, colour }) => (
              <Progress.Section key={key} value={(readOut[key] / images) * 100} color={colour} />
            ))}
          </Progress.Root>
          <Group gap="md">
            {SETS.filter(({ key }) => readOut[key] > 0).map(({ key, word, colour, about }) => (
              <Tooltip key={key} label={about}>
                <Group gap={6} wrap="nowrap" tabIndex={0}>
                  <span style={{ width: 10, height: 10, borderRadius: 3, background: `var(--mantine-color-${colour.replace(".", "-")})` }} />
                  <Text size="xs" className="tabular">
                    {readOut[key].toLocaleString("en")} {word}
                  </Text>
                </Group>
              </Tooltip>
            ))}
          </Group>
        </>
      )}
    </Stack>
  );
}

function PerLabel({ readOut, labels }: { readOut: ReadOut; labels: Label[] }) {
  const colours = new Map(labels.map(({ name, colour }) => [name, colour]));
  const most = Math.max(1, ...readOut.labels.map(({ images }) => images));
  if (readOut.labels.length === 0) return null;
  return (
    <ScrollArea.Autosize mah={190} type="auto" offsetScrollbars>
      <Stack component="ul" gap={5} m={0} p={0} aria-label="Images of each label" style={{ listStyle: "none" }}>
        {readOut.labels.map(({ label, images }) => (
          <Group component="li" key={label} gap="xs" wrap="nowrap">
            <Text size="xs" w={88} truncate title={label} flex="none">
              {label}
            </Text>
            <Progress flex={1} size="sm" value={(images / most) * 100} color={colours.get(label)} aria-hidden />
            <Text size="xs" w={44} ta="right" className="tabular" flex="none">
              {images.toLocaleString("en")}
            </Text>
          </Group>
        ))}
      </Stack>
    </ScrollArea.Autosize>
  );
}

function Times({ readOut, minutes, models }: { readOut: ReadOut; minutes: number; models: number }) {
  const { reading_s, images_a_second, measured, stages } = readOut;
  const whole = reading_s + minutes * 60 * models;
  const rate = `${Math.round(images_a_second)} images a second: ${measured ? "measured in former trainings here" : "assumed, as nothing was trained here yet"}. Images that were read before with the same network are not read again.`;
  return (
    <Stack gap={4}>
      <Line name="Reading the images" about={rate} value={`about ${duration(Math.max(1, reading_s))}${measured ? "" : " (assumed)"}`} />
      {stages.map(({ name, steps, epochs_at_most, batch_size }) => (
        <Line
          key={name}
          name={name[0]?.toUpperCase() + name.slice(1)}
          about={`A step learns from a batch of ${batch_size} images; an epoch goes once through all training images.`}
          value={`up to ${steps.toLocaleString("en")} steps, ${count(epochs_at_most, "epoch")}`}
        />
      ))}
      <Line name={models > 1 ? `All ${models} together` : "All in all"} about="From its start. It ends earlier once nothing improves." value={`at most ${duration(whole)}`} strong />
    </Stack>
  );
}

function Line({ name, about, value, strong = false }: { name: string; about: string; value: string; strong?: boolean }) {
  return (
    <Group justify="space-between" gap="xs" wrap="nowrap" align="baseline">
      <Tooltip label={about}>
        <Text size="sm" c={strong ? undefined : "dimmed"} fw={strong ? 600 : undefined} tabIndex={0}>
          {name}
        </Text>
      </Tooltip>
      <Text size="sm" ta="right" className="tabular" fw={strong ? 600 : undefined}>
        {value}
      </Text>
    </Group>
  );
}

/** Codes that only say what takes no part. */
const FOR_INFORMATION = ["left_out", "several_labels"];

function Warnings({ readOut }: { readOut: ReadOut }) {
  const serious = readOut.warnings.filter(({ code }) => !FOR_INFORMATION.includes(code));
  const others = readOut.warnings.filter(({ code }) => FOR_INFORMATION.includes(code));
  if (readOut.warnings.length === 0) return null;
  return (
    <Stack gap="xs">
      {serious.map(({ code, message }) => (
        <Alert key={code} variant="light" color="yellow" p="xs" icon={<IconAlertTriangle size={16} />} role="note">
          <Text size="xs">{message}</Text>
        </Alert>
      ))}
      {others.length > 0 && (
        <List size="xs" c="dimmed" spacing={4} center icon={<IconInfoCircle size={14} />}>
          {others.map(({ code, message }) => (
            <List.Item key={code}>{message}</List.Item>
          ))}
        </List>
      )}
    </Stack>
  );
}
