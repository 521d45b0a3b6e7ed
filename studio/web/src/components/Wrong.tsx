import { Alert } from "@mantine/core";
import { IconAlertCircle } from "@tabler/icons-react";
import { type ReactNode } from "react";
import { reasonOf } from "@/api/problem";

/** Why a form was not taken; nothing where there is no error. */
export function Wrong({ error, children }: { error: unknown; children?: ReactNode }) {
  if (!error) return null;
  return (
    <Alert color="red" variant="light" role="alert" icon={<IconAlertCircle size={18} />} p="sm">
      {children ?? reasonOf(error)}
    </Alert>
  );
}
