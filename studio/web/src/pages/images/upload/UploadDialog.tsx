import { Badge, Button, Group, Modal, Stack, Switch, TagsInput, Text } from "@mantine/core";
import { useState } from "react";
import { useLabels } from "@/api/labels";
import { bytes, count } from "@/components/words";
import { type Found, isArchive } from "@/pages/images/upload/gather";
import { startUpload } from "@/pages/images/upload/uploads";

const MOST_FOLDERS = 12;

interface Props {
  project: string;
  found: Found[];
  mayLabel: boolean;
  onClose: () => void;
}

/** What was pasted may have commas too. */
function namesIn(values: string[]): string[] {
  return [...new Set(values.flatMap((value) => value.split(",")).map((name) => name.trim()))].filter(Boolean);
}

/** Before an upload: what the images are labelled with. */
export function UploadDialog({ project, found, mayLabel, onClose }: Props) {
  const known = useLabels(project).data ?? [];
  const archives = found.filter(({ file }) => isArchive(file)).length;
  const folders = [...new Set(found.flatMap(({ path }) => path.split("/").at(-2) ?? []))];
  const hasFolders = archives > 0 || folders.length > 0;
  const [labels, setLabels] = useState<string[]>([]);
  const [folderLabels, setFolderLabels] = useState(hasFolders && mayLabel);
  const [validation, setValidation] = useState(false);
  const size = found.reduce((sum, { file }) => sum + file.size, 0);
  const what = [
    found.length > archives && count(found.length - archives, "file"),
    archives > 0 && count(archives, "archive"),
  ].filter(Boolean).join(" and ");

  return (
    <Modal opened onClose={onClose} title={`Upload ${what}, ${bytes(size)}`} centered>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          startUpload(project, found, { labels, folderLabels, validation });
          onClose();
        }}
      >
        <Stack>
          {mayLabel && (
            <>
              <TagsInput
                label="Labels for all of them"
                description="Commas between them; new ones are made."
                placeholder={labels.length ? "" : "None"}
                splitChars={[","]}
                acceptValueOnBlur
                maxLength={100}
                data={known.map(({ name }) => name)}
                limit={50}
                value={labels}
                onChange={(values) => setLabels(namesIn(values))}
              />
              {hasFolders && (
                <Switch
                  label="Labels from folder names"
                  description={archives > 0 ? "An image in a folder “glass” gets the label glass, in archives too." : undefined}
                  checked={folderLabels}
                  onChange={(event) => setFolderLabels(event.currentTarget.checked)}
                />
              )}
              {hasFolders && folderLabels && folders.length > 0 && (
                <Group gap={4}>
                  {folders.slice(0, MOST_FOLDERS).map((folder) => (
                    <Badge key={folder} variant="light" tt="none">
                      {folder}
                    </Badge>
                  ))}
                  {folders.length > MOST_FOLDERS && <Text size="xs" c="dimmed">and {folders.length - MOST_FOLDERS} more</Text>}
                </Group>
              )}
              <Switch
                label="For the validation set"
                description="These images measure a model; it never learns from them."
                checked={validation}
                onChange={(event) => setValidation(event.currentTarget.checked)}
              />
            </>
          )}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" data-autofocus>
              Upload
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
