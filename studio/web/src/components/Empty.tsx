import { Center, Stack, Text, ThemeIcon, Title } from "@mantine/core";
import type { Icon } from "@tabler/icons-react";
import type { ReactNode } from "react";

interface Props {
  icon: Icon;
  title: string;
  /** 1 where nothing else is the page's head. */
  order?: 1 | 3;
  /** What to do next. */
  children?: ReactNode;
}

/** Where there is nothing yet: what would be here, and how to get it. */
export function Empty({ icon: Picture, title, order = 3, children }: Props) {
  return (
    <Center mih={260} p="lg">
      <Stack align="center" gap="sm" maw={440} ta="center">
        <ThemeIcon size={56} radius="xl" variant="light">
          <Picture size={28} />
        </ThemeIcon>
        <Title order={order} size="h3">
          {title}
        </Title>
        {typeof children === "string" ? <Text c="dimmed">{children}</Text> : children}
      </Stack>
    </Center>
  );
}
