import { Text } from "@mantine/core";
import { modals } from "@mantine/modals";

interface Question {
  title: string;
  /** What happens, and whether it can be undone. */
  text: string;
  /** Of the button: a verb. */
  action: string;
  onConfirm: () => void;
}

/** Ask before what cannot be undone. */
export function confirm({ title, text, action, onConfirm }: Question): void {
  modals.openConfirmModal({
    title,
    centered: true,
    children: <Text size="sm">{text}</Text>,
    labels: { confirm: action, cancel: "Cancel" },
    confirmProps: { color: "red" },
    onConfirm,
  });
}
