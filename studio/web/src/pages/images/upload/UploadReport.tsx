import { Badge, Button, CopyButton, Group, Modal, SegmentedControl, Stack, Text } from "@mantine/core";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useState } from "react";
import { percent } from "@/components/words";
import { partOf } from "@/pages/images/upload/parcels";
import type { Report } from "@/pages/images/upload/send";
import classes from "@/pages/images/upload/tray.module.css";
import type { Upload } from "@/pages/images/upload/Upload";
import { useUploads } from "@/pages/images/upload/uploads";

type Shown = "all" | Report["outcome"] | "waiting";

interface Line {
  name: string;
  word: string;
  colour: string;
  detail: string;
}

const WORDS = { added: ["added", "green"], duplicate: ["already there", "gray"], refused: ["refused", "red"] } as const;
const ROW_PX = 44;

function lineOf({ name, outcome, detail, stored_name }: Report): Line {
  const [word, colour] = WORDS[outcome];
  return { name, word, colour, detail: detail || (stored_name && stored_name !== name ? `as ${stored_name}` : "") };
}

function waitingOf(upload: Upload): Line[] {
  return upload.parcels.filter(({ isDone }) => !isDone).flatMap((parcel) => {
    const isOnItsWay = upload.isRunning && parcel.sent > 0;
    return [...parcel.left.keys()].map((name) => ({
      name,
      word: isOnItsWay ? (parcel.archive ? percent(partOf(parcel), 0) : parcel.sent < 1 ? "on its way" : "being read") : "waiting",
      colour: "blue",
      detail: "",
    }));
  });
}

function csvOf(reports: Report[]): string {
  const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
  const lines = reports.map(({ name, outcome, stored_name, code, detail }) => [name, outcome, stored_name ?? "", code, detail].map(quoted).join(","));
  return ["name,outcome,stored_name,code,detail", ...lines].join("\n");
}

/** What became of every file, while it comes and afterwards. */
export function UploadReport({ upload, onClose }: { upload: Upload; onClose: () => void }) {
  useUploads(); // it goes on meanwhile
  const [shown, setShown] = useState<Shown>(upload.counts.refused > 0 ? "refused" : "all");
  const [scroller, setScroller] = useState<HTMLElement | null>(null);
  const reports = [...upload.reports.values()];
  const wanted = shown === "all" ? reports : reports.filter(({ outcome }) => outcome === shown);
  const waiting = upload.isRunning || upload.state === "stopped" ? waitingOf(upload) : [];
  const lines: Line[] = shown === "waiting" ? waiting : wanted.map(lineOf);
  const rows = useVirtualizer({ count: lines.length, getScrollElement: () => scroller, estimateSize: () => ROW_PX, overscan: 10 });
  const csv = useMemo(() => csvOf(wanted), [wanted.length, shown]);
  const { added, duplicate, refused } = upload.counts;
  return (
    <Modal opened onClose={onClose} title="What became of the files" size="xl" centered>
      <Stack gap="sm">
        <SegmentedControl
          aria-label="Which files"
          value={shown}
          onChange={(value) => setShown(value as Shown)}
          data={[
            { value: "all", label: `All ${reports.length}` },
            { value: "added", label: `Added ${added}` },
            { value: "duplicate", label: `Already there ${duplicate}` },
            { value: "refused", label: `Refused ${refused}` },
            ...(waiting.length ? [{ value: "waiting", label: `Waiting ${waiting.length}` }] : []),
          ]}
        />
        <div ref={setScroller} className={classes.list} role="list" aria-label="Files" tabIndex={0}>
          <div role="presentation" style={{ height: rows.getTotalSize() }} />
          {rows.getVirtualItems().map(({ index, start }) => {
            const { name, word, colour, detail } = lines[index]!;
            return (
              <div key={index} role="listitem" className={classes.line} style={{ height: ROW_PX, transform: `translateY(${start}px)` }}>
                <div className={classes.what}>
                  <Text size="sm" truncate title={name}>
                    {name}
                  </Text>
                  {detail && (
                    <Text size="xs" c="dimmed" truncate title={detail}>
                      {detail}
                    </Text>
                  )}
                </div>
                <Badge variant="light" color={colour} tt="none" flex="none">
                  {word}
                </Badge>
              </div>
            );
          })}
          {lines.length === 0 && (
            <Text size="sm" c="dimmed" p="md">
              None
            </Text>
          )}
        </div>
        <Group justify="flex-end">
          <CopyButton value={csv}>
            {({ copied, copy }) => (
              <Button variant="default" size="xs" onClick={copy}>
                {copied ? "Copied" : "Copy"}
              </Button>
            )}
          </CopyButton>
          <Button variant="default" size="xs" onClick={() => save(csv)}>
            Download as CSV
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}

function save(csv: string): void {
  const address = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
  const link = document.createElement("a");
  [link.href, link.download] = [address, "upload.csv"];
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(address), 1000);
}
