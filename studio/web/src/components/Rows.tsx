import { Group, Stack } from "@mantine/core";
import type { ReactNode } from "react";
import classes from "@/components/rows.module.css";

/** A list of a few things, each in a row with what can be done to it. */
export function Rows({ label, children }: { label: string; children: ReactNode }) {
  return (
    <Stack component="ul" aria-label={label} gap={0} p={0} m={0}>
      {children}
    </Stack>
  );
}

export function Row({ children }: { children: ReactNode }) {
  return (
    <Group component="li" className={classes.row} gap="sm" py="sm" wrap="nowrap">
      {children}
    </Group>
  );
}
