import { Affix, Button, Group, Paper, Text } from "@mantine/core";
import { useMay } from "@/api/session";
import { type Looked, useSaveThresholds } from "@/pages/model/useModel";

interface Props {
  looked: Looked;
  isChanged: boolean;
  onForget: () => void;
}

/** Thresholds that were tried can be kept, or forgotten; those that were kept can be taken back. */
export function SaveBar({ looked, isChanged, onForget }: Props) {
  const save = useSaveThresholds(looked.project, looked.job, looked.choice);
  const may = useMay("train");
  if (!isChanged) {
    return (
      <Group mt="lg" gap="sm">
        <Text size="sm" c="dimmed">
          The thresholds are not those that the training chose.
        </Text>
        {may && (
          <Button size="xs" variant="subtle" loading={save.isPending} onClick={() => save.mutate(null, { onSuccess: onForget })}>
            Back to the model's own
          </Button>
        )}
      </Group>
    );
  }
  return (
    <Affix position={{ bottom: 20, right: 20 }} zIndex={150}>
      <Paper withBorder shadow="md" radius="lg" p="sm" role="region" aria-label="Changed thresholds">
        <Group gap="sm">
          <Text size="sm">{may ? "Thresholds changed, not saved" : "Thresholds changed, for you alone"}</Text>
          <Button size="xs" variant="default" onClick={onForget}>
            Discard
          </Button>
          {may && (
            <Button size="xs" loading={save.isPending} onClick={() => save.mutate(looked.thresholds, { onSuccess: onForget })}>
              Save thresholds
            </Button>
          )}
        </Group>
      </Paper>
    </Affix>
  );
}
