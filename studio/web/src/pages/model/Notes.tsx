import { Alert, List, Text } from "@mantine/core";
import { IconInfoCircle } from "@tabler/icons-react";
import type { Facts } from "@/pages/model/useModel";

/** What one must know before one believes the figures. */
export function Notes({ facts }: { facts: Facts }) {
  if (facts.notes.length === 0) return null;
  return (
    <Alert variant="light" color="yellow" icon={<IconInfoCircle size={18} />}>
      {facts.notes.length === 1 ? (
        <Text size="sm">{facts.notes[0]?.message}</Text>
      ) : (
        <List size="sm">
          {facts.notes.map((note) => (
            <List.Item key={note.code + note.message}>{note.message}</List.Item>
          ))}
        </List>
      )}
    </Alert>
  );
}
