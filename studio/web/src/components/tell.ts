import { notifications } from "@mantine/notifications";
import { reasonOf } from "@/api/problem";

/** Short news at the edge of the page. */
export function tell(message: string): void {
  notifications.show({ message, autoClose: 5_000 });
}

export function tellError(error: unknown): void {
  notifications.show({ title: "That did not work", message: reasonOf(error), color: "red", autoClose: 12_000 });
}
