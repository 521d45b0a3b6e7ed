import { Alert, Button, Stack, Text } from "@mantine/core";
import { IconAlertTriangle } from "@tabler/icons-react";
import { reasonOf } from "@/api/problem";

/** Instead of what could not be shown: why, and a way to try again. */
export function Trouble({ error, retry }: { error: unknown; retry?: () => void }) {
  return (
    <Alert color="red" icon={<IconAlertTriangle size={18} />} title="This cannot be shown" role="alert">
      <Stack gap="sm" align="flex-start">
        <Text size="sm">{reasonOf(error)}</Text>
        {retry && (
          <Button size="xs" variant="light" color="red" onClick={retry}>
            Try again
          </Button>
        )}
      </Stack>
    </Alert>
  );
}
