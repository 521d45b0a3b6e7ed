import { Group, Stack, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";
import { useDocumentTitle } from "@/components/useDocumentTitle";

interface Props {
  title: string;
  /** One line below the title. */
  about?: ReactNode;
  /** Buttons at the right. */
  children?: ReactNode;
}

/** The head of a page; names the browser's tab too. */
export function PageHead({ title, about, children }: Props) {
  useDocumentTitle(title);
  return (
    <Group justify="space-between" align="flex-start" mb="lg" gap="sm">
      <Stack gap={2}>
        <Title order={1} size="h2">
          {title}
        </Title>
        {about && (
          <Text c="dimmed" size="sm">
            {about}
          </Text>
        )}
      </Stack>
      {children && <Group gap="sm">{children}</Group>}
    </Group>
  );
}
