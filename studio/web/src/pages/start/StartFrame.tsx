import { Paper, Stack, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";
import { Mark } from "@/app/Mark";
import { useDocumentTitle } from "@/components/useDocumentTitle";
import classes from "@/pages/start/start.module.css";

interface Props {
  title: string;
  about?: ReactNode;
  children: ReactNode;
}

/** Around every page for somebody who is not signed in. */
export function StartFrame({ title, about, children }: Props) {
  useDocumentTitle(title);
  return (
    <main className={classes.ground}>
      <Mark full />
      <Paper className={classes.card} shadow="sm" radius="lg" p={{ base: "lg", xs: "xl" }}>
        <Stack gap="lg">
          <Stack gap={6}>
            <Title order={1} size="h2">
              {title}
            </Title>
            {about && (
              <Text c="dimmed" size="sm">
                {about}
              </Text>
            )}
          </Stack>
          {children}
        </Stack>
      </Paper>
      <Text size="xs" c="dimmed" ta="center">
        Your photos, labels and models stay on your own machines.
      </Text>
    </main>
  );
}
