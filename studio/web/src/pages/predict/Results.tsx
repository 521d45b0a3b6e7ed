import { ActionIcon, Alert, Button, Group, Menu, Progress, SegmentedControl, Stack, Text } from "@mantine/core";
import { IconChevronDown, IconDownload, IconLayoutGrid, IconTable, IconTrash } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import type { Schemas } from "@/api/client";
import { reasonOf } from "@/api/problem";
import { count, duration } from "@/components/words";
import type { Thresholds } from "@/pages/predict/answers";
import { type Asked, predictToFile } from "@/pages/predict/ask";
import { Card } from "@/pages/predict/Card";
import classes from "@/pages/predict/predict.module.css";
import { ResultTable } from "@/pages/predict/ResultTable";
import { saveFile } from "@/pages/predict/save";
import type { Predictions } from "@/pages/predict/usePredictions";

interface Props {
  asked: Asked;
  state: Schemas["PredictState"];
  predictions: Predictions;
  thresholds: Thresholds;
  colourOf: (label: string) => string;
}

const FORMATS = [
  { format: "json", label: "JSON", about: "all that the studio says" },
  { format: "csv", label: "CSV", about: "a row a photo, for spreadsheets" },
  { format: "zip", label: "Zip", about: "the photos in folders by prediction" },
] as const;

export function Results({ asked, state, predictions, thresholds, colourOf }: Props) {
  const [view, setView] = useState<"cards" | "table">("cards");
  const { pictures, results, busy, trouble } = predictions;
  const ready = state.models.find(({ choice }) => choice === asked.choice);
  const file = useMutation({
    mutationFn: (format: (typeof FORMATS)[number]["format"]) => predictToFile(asked, pictures, thresholds, ready?.labels.length ?? 0, format),
    onSuccess: (data, format) => saveFile(data, `${state.model}.${format}`),
  });
  const done = pictures.filter(({ id }) => results.has(id)).length;
  return (
    <Stack gap="md">
      <Group justify="space-between" gap="sm">
        <Text size="sm" c="dimmed" aria-live="polite">
          {busy ? `${done} of ${count(pictures.length, "photo")}` : count(pictures.length, "photo")}
        </Text>
        <Group gap="xs">
          <SegmentedControl
            size="xs"
            value={view}
            onChange={setView}
            aria-label="View"
            data={[
              { value: "cards", label: <View icon={IconLayoutGrid} name="Cards" /> },
              { value: "table", label: <View icon={IconTable} name="Table" /> },
            ]}
          />
          <Menu position="bottom-end">
            <Menu.Target>
              <Button size="xs" variant="default" leftSection={<IconDownload size={16} />} rightSection={<IconChevronDown size={14} />} loading={file.isPending} disabled={busy}>
                Results
              </Button>
            </Menu.Target>
            <Menu.Dropdown>
              {FORMATS.map(({ format, label, about }) => (
                <Menu.Item key={format} onClick={() => file.mutate(format)}>
                  <Text size="sm">{label}</Text>
                  <Text size="xs" c="dimmed">
                    {about}
                  </Text>
                </Menu.Item>
              ))}
            </Menu.Dropdown>
          </Menu>
          <ActionIcon variant="default" size="md" aria-label="Take all away" title="Take all away" onClick={predictions.clear}>
            <IconTrash size={16} />
          </ActionIcon>
        </Group>
      </Group>
      {busy && <Progress value={(100 * done) / pictures.length} size="sm" aria-label="Photos predicted" animated />}
      {busy && ready && ready.readiness !== "ready" && (
        <Alert variant="light" p="sm" role="status">
          The model is being prepared, which happens once and takes about {duration(ready.usual_s)}.
        </Alert>
      )}
      {Boolean(trouble) && (
        <Alert color="red" title="That did not work" role="alert">
          <Stack gap="xs" align="flex-start">
            <Text size="sm">{reasonOf(trouble)}</Text>
            <Button size="xs" variant="light" color="red" onClick={predictions.again}>
              Try again
            </Button>
          </Stack>
        </Alert>
      )}
      {view === "table" ? (
        <ResultTable task={state.task} pictures={pictures} results={results} thresholds={thresholds} colourOf={colourOf} />
      ) : (
        <div className={classes.cards}>
          {pictures.map((picture) => (
            <Card
              key={picture.id}
              asked={asked}
              task={state.task}
              picture={picture}
              result={results.get(picture.id)}
              thresholds={thresholds}
              colourOf={colourOf}
              onRemove={() => predictions.remove(picture.id)}
            />
          ))}
        </div>
      )}
    </Stack>
  );
}

function View({ icon: Picture, name }: { icon: typeof IconTable; name: string }) {
  return (
    <Group gap={6} wrap="nowrap">
      <Picture size={14} aria-hidden />
      <span>{name}</span>
    </Group>
  );
}
