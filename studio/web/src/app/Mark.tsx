import { Group, Text } from "@mantine/core";

/** The product's sign: an eye whose pupil is a picture's frame. full: with its name on the narrowest screen too. */
export function Mark({ full = false }: { full?: boolean }) {
  return (
    <Group gap={8} wrap="nowrap">
      <svg width="28" height="28" viewBox="0 0 32 32" aria-hidden>
        <rect width="32" height="32" rx="8" fill="var(--mantine-primary-color-filled)" />
        <path d="M4.5 16C7.5 10.5 11.5 8 16 8s8.5 2.5 11.5 8c-3 5.5-7 8-11.5 8S7.5 21.5 4.5 16Z" fill="none" stroke="#fff" strokeWidth="2.2" strokeLinejoin="round" />
        <rect x="12.2" y="12.2" width="7.6" height="7.6" rx="2" fill="#fff" />
      </svg>
      <Text fw={700} size="lg" visibleFrom={full ? undefined : "xs"} style={{ letterSpacing: "-0.02em" }}>
        Onsight
      </Text>
    </Group>
  );
}
