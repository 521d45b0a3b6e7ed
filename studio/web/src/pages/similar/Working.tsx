import { Progress, Stack, Text } from "@mantine/core";
import { count } from "@/components/words";

/** While all images of a project are compared with each other. */
export function Working({ done, total }: { done: number; total: number }) {
  return (
    <Stack gap="xs" maw={480} mx="auto" py="xl">
      <Text ta="center" role="status">
        Comparing {count(total, "image")} with each other…
      </Text>
      <Progress value={(100 * done) / Math.max(1, total)} animated aria-label="Images compared" />
    </Stack>
  );
}
