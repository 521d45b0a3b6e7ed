import { Group, Paper, Stack, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";

interface Props {
  title: string;
  about?: ReactNode;
  /** Buttons at the right of the title. */
  actions?: ReactNode;
  danger?: boolean;
  children?: ReactNode;
}

/** A part of a page of settings. */
export function Panel({ title, about, actions, danger = false, children }: Props) {
  return (
    <Paper component="section" aria-label={title} withBorder radius="lg" p="lg" style={danger ? { borderColor: "var(--mantine-color-red-outline)" } : undefined}>
      <Stack gap="md">
        <Group justify="space-between" align="flex-start" gap="sm">
          <Stack gap={2} flex="1 1 16rem">
            <Title order={2} size="h4">
              {title}
            </Title>
            {about && (
              <Text size="sm" c="dimmed">
                {about}
              </Text>
            )}
          </Stack>
          {actions}
        </Group>
        {children}
      </Stack>
    </Paper>
  );
}
