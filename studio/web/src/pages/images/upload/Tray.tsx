import { ActionIcon, Button, Group, Paper, Progress, Stack, Text } from "@mantine/core";
import { IconX } from "@tabler/icons-react";
import { useEffect, useState } from "react";
import { bytes, count, duration } from "@/components/words";
import { UploadReport } from "@/pages/images/upload/UploadReport";
import type { Upload } from "@/pages/images/upload/Upload";
import { dismiss, goOn, useUploads } from "@/pages/images/upload/uploads";
import classes from "@/pages/images/upload/tray.module.css";

const GOOD_NEWS_MS = 20_000; // then it makes room: what was refused stays until it is closed

/** At the edge of every page, as long as there are uploads to tell of. */
export default function Tray() {
  const uploads = useUploads();
  const [shown, setShown] = useState<Upload | null>(null);
  if (uploads.length === 0) return null;
  return (
    <>
      <Stack className={classes.tray} gap="xs" role="region" aria-label="Uploads">
        {uploads.map((upload, place) => (
          <Entry key={place} upload={upload} onShow={() => setShown(upload)} />
        ))}
      </Stack>
      {shown && <UploadReport upload={shown} onClose={() => setShown(null)} />}
    </>
  );
}

function Entry({ upload, onShow }: { upload: Upload; onShow: () => void }) {
  const { state, counts, isRunning, error } = upload;
  const { bytesPerS, leftS } = upload.speed;
  const isGood = state === "done" && counts.refused === 0;
  useEffect(() => {
    if (!isGood) return;
    const timer = setTimeout(() => dismiss(upload), GOOD_NEWS_MS);
    return () => clearTimeout(timer);
  }, [isGood, upload]);
  const told = counts.added + counts.duplicate + counts.refused;
  const title = {
    waiting: "Waiting for the upload before",
    sending: `Uploading ${told.toLocaleString("en")} of ${count(upload.files, "file")}`,
    lost: "Connection lost. Going on as soon as it is back …",
    stopped: "Stopped",
    cancelled: `Cancelled after ${count(told, "file")}`,
    done: counts.refused > 0 ? `Uploaded, ${count(counts.refused, "file was", "files were")} refused` : "Uploaded",
  }[state];
  const details = [
    counts.added > 0 && `${counts.added.toLocaleString("en")} added`,
    counts.duplicate > 0 && `${counts.duplicate.toLocaleString("en")} already there`,
    counts.refused > 0 && `${counts.refused.toLocaleString("en")} refused`,
    state === "sending" && bytesPerS > 0 && `${bytes(bytesPerS)}/s`,
    state === "sending" && leftS !== null && `${duration(leftS)} left`,
  ].filter(Boolean).join(" · ");
  return (
    <Paper withBorder shadow="md" radius="md" p="sm">
      <Group justify="space-between" wrap="nowrap" gap="xs">
        <Text size="sm" fw={600} role="status">
          {title}
        </Text>
        {!isRunning && (
          <ActionIcon variant="subtle" color="gray" size="sm" aria-label="Close" onClick={() => dismiss(upload)}>
            <IconX size={16} />
          </ActionIcon>
        )}
      </Group>
      <Progress
        my={6}
        value={100 * upload.part}
        color={state === "lost" ? "yellow" : state === "stopped" ? "red" : state === "done" ? "green" : undefined}
        animated={state === "sending"}
        aria-label="Upload"
      />
      <Text size="xs" c="dimmed" className="tabular" mih="1.4em">
        {details}
      </Text>
      {state === "stopped" && (
        <Text size="xs" c="red">
          {error}
        </Text>
      )}
      <Group gap="xs" mt={4}>
        <Button size="compact-xs" variant="light" onClick={onShow}>
          {counts.refused > 0 ? "See what was refused" : "Report"}
        </Button>
        {state === "lost" && (
          <Button size="compact-xs" variant="light" onClick={() => upload.tryNow()}>
            Try now
          </Button>
        )}
        {state === "stopped" && (
          <Button size="compact-xs" variant="light" onClick={() => goOn(upload)}>
            Go on
          </Button>
        )}
        {isRunning && (
          <Button size="compact-xs" variant="subtle" color="red" onClick={() => upload.cancel()}>
            Cancel
          </Button>
        )}
      </Group>
    </Paper>
  );
}
