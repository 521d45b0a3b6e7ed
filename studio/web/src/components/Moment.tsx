import { Text, Tooltip, type TextProps } from "@mantine/core";
import { ago } from "@/components/words";

interface Props extends TextProps {
  /** ISO 8601, in UTC. */
  at: string;
  /** Date and time instead of "2 hours ago". */
  exact?: boolean;
}

const local = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "medium" });

/** A moment in the time of who looks; in UTC on a closer look. */
export function Moment({ at, exact = false, ...others }: Props) {
  const moment = new Date(at);
  const utc = `${moment.toISOString().slice(0, 19).replace("T", " ")} UTC`;
  return (
    <Tooltip label={exact ? utc : `${local.format(moment)} · ${utc}`}>
      <Text span inherit {...others}>
        <time dateTime={at}>{exact ? local.format(moment) : ago(at)}</time>
      </Text>
    </Tooltip>
  );
}
