import { Alert, Button, Group, Loader, Modal, Stack, Text } from "@mantine/core";
import { IconCameraOff } from "@tabler/icons-react";
import { useEffect, useRef, useState } from "react";
import { count } from "@/components/words";

/** Why there is no picture, and what to do. */
function reasonOf(error: unknown): string {
  const name = error instanceof DOMException ? error.name : "";
  if (name === "NotAllowedError") return "The browser may not use the camera. Allow it in the address bar, then try again.";
  if (name === "NotFoundError" || name === "OverconstrainedError") return "This device has no camera. Choose photos instead.";
  if (name === "NotReadableError") return "Another program uses the camera. Close it, then try again.";
  return "The camera does not start. Choose photos instead.";
}

function unavailable(): string | null {
  if (navigator.mediaDevices) return null;
  return "Browsers open the camera only for addresses that begin with https, or on the studio's own machine. Choose photos instead.";
}

interface Props {
  onPhoto: (file: File) => void;
  onClose: () => void;
}

/** Takes photos, one after the other, until it is closed. */
export function Camera({ onPhoto, onClose }: Props) {
  const video = useRef<HTMLVideoElement>(null);
  const [trouble, setTrouble] = useState<string | null>(unavailable);
  const [running, setRunning] = useState(false);
  const [taken, setTaken] = useState(0);

  useEffect(() => {
    if (!navigator.mediaDevices) return undefined;
    let stream: MediaStream | undefined;
    let closed = false;
    navigator.mediaDevices
      .getUserMedia({ video: { facingMode: "environment", width: { ideal: 1920 } } })
      .then(async (found) => {
        stream = found;
        if (closed || !video.current) return found.getTracks().forEach((track) => track.stop());
        video.current.srcObject = found;
        await video.current.play();
        setRunning(true);
      })
      .catch((error: unknown) => !closed && setTrouble(reasonOf(error)));
    return () => {
      closed = true;
      stream?.getTracks().forEach((track) => track.stop());
    };
  }, []);

  function photo(): void {
    const { current } = video;
    if (!current) return;
    const canvas = document.createElement("canvas");
    canvas.width = current.videoWidth;
    canvas.height = current.videoHeight;
    canvas.getContext("2d")?.drawImage(current, 0, 0);
    canvas.toBlob(
      (data) => {
        if (!data) return;
        onPhoto(new File([data], `camera ${new Date().toLocaleTimeString("en-GB").replaceAll(":", ".")}.jpg`, { type: data.type }));
        setTaken((before) => before + 1);
      },
      "image/jpeg",
      0.92,
    );
  }

  return (
    <Modal opened onClose={onClose} title="Camera" size="lg" centered>
      <Stack>
        {trouble ? (
          <Alert color="yellow" icon={<IconCameraOff size={18} />} title="No camera" role="alert">
            {trouble}
          </Alert>
        ) : (
          <>
            {!running && <Loader aria-label="The camera starts" mx="auto" />}
            <video ref={video} playsInline muted aria-label="What the camera sees" hidden={!running} style={{ width: "100%", borderRadius: 8 }} />
          </>
        )}
        <Group justify="space-between">
          <Text size="sm" c="dimmed" aria-live="polite">
            {taken > 0 && `${count(taken, "photo")} taken`}
          </Text>
          <Group gap="sm">
            <Button variant="default" onClick={onClose}>
              Done
            </Button>
            {!trouble && (
              <Button onClick={photo} disabled={!running}>
                Take photo
              </Button>
            )}
          </Group>
        </Group>
      </Stack>
    </Modal>
  );
}
