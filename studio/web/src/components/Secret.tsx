import { ActionIcon, Button, Code, Group, Tooltip } from "@mantine/core";
import { IconCheck, IconCopy } from "@tabler/icons-react";
import { useRef, useState } from "react";

const COPIED_FOR_MS = 3000;

interface Props {
  /** Of what is shown: "Link", "Token". */
  label: string;
  value: string;
  /** A small copy button, for what can be seen again. */
  small?: boolean;
}

/** A text to be copied whole. */
export function Secret({ label, value, small = false }: Props) {
  const shown = useRef<HTMLElement>(null);
  const [copied, setCopied] = useState(false);

  async function copy(): Promise<void> {
    if (!(await copyAll(shown.current!, value))) return;
    setCopied(true);
    window.setTimeout(() => setCopied(false), COPIED_FOR_MS);
  }

  const name = `Copy ${label.toLowerCase()}`;
  const Picture = copied ? IconCheck : IconCopy;
  return (
    <Group gap="xs" wrap="nowrap" align="flex-start">
      <Code
        block
        ref={shown as never}
        role="group"
        aria-label={label}
        flex={1}
        miw={0}
        style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}
      >
        {value}
      </Code>
      {small ? (
        <Tooltip label={copied ? "Copied" : "Copy"}>
          <ActionIcon variant="subtle" color={copied ? "teal" : "gray"} aria-label={name} onClick={copy}>
            <Picture size={18} />
          </ActionIcon>
        </Tooltip>
      ) : (
        <Button flex="none" color={copied ? "teal" : undefined} leftSection={<Picture size={16} />} aria-label={name} onClick={copy}>
          {copied ? "Copied" : "Copy"}
        </Button>
      )}
    </Group>
  );
}

/** Whether it worked. Marks the text too: over plain HTTP browsers copy nothing else than what is marked. */
async function copyAll(element: HTMLElement, value: string): Promise<boolean> {
  window.getSelection()?.selectAllChildren(element);
  if (!window.isSecureContext) return document.execCommand("copy");
  try {
    await navigator.clipboard.writeText(value);
    return true;
  } catch {
    return false; // the browser's user said no; the text is marked
  }
}
