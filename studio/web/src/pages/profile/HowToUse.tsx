import { Anchor, Stack, Text } from "@mantine/core";
import { Secret } from "@/components/Secret";

/** token: to stand in the example; else a placeholder does. */
export function HowToUse({ token = "onsight_…" }: { token?: string }) {
  const command = `curl -H "X-Auth-token: ${token}" ${window.location.origin}/studio/v1/projects`;
  return (
    <Stack gap="xs" pt="sm">
      <Text size="sm">
        Send it with every call, as <code>X-Auth-token</code> or <code>Authorization: Bearer</code>:
      </Text>
      <Secret label="Command" value={command} small />
      <Text size="sm">
        Every call stands in the studio&apos;s own document,{" "}
        <Anchor href="/openapi.json" target="_blank" rel="noreferrer">
          /openapi.json
        </Anchor>
        .
      </Text>
    </Stack>
  );
}
