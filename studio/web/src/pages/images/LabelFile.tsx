import { Alert, Button, Code, FileInput, Group, List, Modal, ScrollArea, SegmentedControl, Stack, Text } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { api, take, type Schemas } from "@/api/client";
import { Wrong } from "@/components/Wrong";
import { count } from "@/components/words";
import { countAgain } from "@/pages/images/labelling";
import { reloadImages } from "@/pages/images/pages";

type Mode = "add" | "replace";

interface Props {
  project: string;
  /** One that was dropped on the page. */
  given: File | null;
  onClose: () => void;
}

/** Labels from a CSV or JSON, and what became of its lines. */
export function LabelFile({ project, given, onClose }: Props) {
  const [file, setFile] = useState(given);
  const [mode, setMode] = useState<Mode>("add");
  const apply = useMutation({
    meta: { quiet: true },
    scope: { id: `labelling ${project}` },
    mutationFn: async (chosen: File) => {
      const type = chosen.name.toLowerCase().endsWith(".json") ? "application/json" : "text/csv";
      return take(
        api.POST("/studio/v1/projects/{project}/label-file", {
          params: { path: { project }, query: { mode } },
          headers: { "Content-Type": type },
          body: (await chosen.text()) as never, // text as it is: neither of the types that the document knows is a string
          bodySerializer: (text) => text as unknown as string,
        }),
      );
    },
    onSuccess: () => Promise.all([countAgain(project), reloadImages(project)]),
  });
  return (
    <Modal opened onClose={onClose} title="Label by a file" size="lg" centered>
      {apply.data ? (
        <Stack>
          <Result result={apply.data} />
          <Group justify="flex-end">
            <Button onClick={onClose}>Close</Button>
          </Group>
        </Stack>
      ) : (
        <Stack>
          <Text size="sm">
            CSV with a line for each image, its name first and its labels after it: <Code>glass/1.jpg,glass</Code>. Or JSON:{" "}
            <Code>{'{"glass/1.jpg": ["glass"]}'}</Code>. New labels are made; a column <Code>split</Code> sets the validation flag.
          </Text>
          <FileInput label="File" placeholder="CSV or JSON" accept=".csv,.json,text/csv,application/json" value={file} onChange={setFile} data-autofocus />
          <SegmentedControl
            aria-label="What happens to labels that the images have already"
            data={[{ value: "add", label: "Add to their labels" }, { value: "replace", label: "Replace their labels" }]}
            value={mode}
            onChange={(value) => setMode(value as Mode)}
          />
          <Wrong error={apply.error} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button disabled={!file} loading={apply.isPending} onClick={() => file && apply.mutate(file)}>
              Label
            </Button>
          </Group>
        </Stack>
      )}
    </Modal>
  );
}

function Result({ result }: { result: Schemas["LabelFileResult"] }) {
  const lists = [
    { title: "Names of no image here", names: result.unknown },
    { title: "Names that fit several images", names: result.ambiguous },
    { title: "Warnings", names: result.warnings },
  ].filter(({ names }) => names.length > 0);
  return (
    <Stack>
      <Alert color={result.meant ? "green" : "yellow"} variant="light">
        {count(result.images, "image")} changed. {count(result.rows, "line")} named {count(result.meant, "image")}.
      </Alert>
      {lists.map(({ title, names }) => (
        <Stack key={title} gap={4}>
          <Text size="sm" fw={600}>
            {title}: {names.length === 1000 ? "the first 1,000" : names.length}
          </Text>
          <ScrollArea.Autosize mah={160}>
            <List size="sm">
              {names.map((name) => (
                <List.Item key={name}>{name}</List.Item>
              ))}
            </List>
          </ScrollArea.Autosize>
        </Stack>
      ))}
    </Stack>
  );
}
