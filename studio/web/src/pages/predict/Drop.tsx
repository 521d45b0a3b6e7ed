import { Button, Group, Stack, Text } from "@mantine/core";
import { Dropzone } from "@mantine/dropzone";
import { IconCamera, IconFolder, IconPhoto, IconPhotoScan } from "@tabler/icons-react";
import { useRef, useState } from "react";
import { tell } from "@/components/tell";
import { count } from "@/components/words";
import { Camera } from "@/pages/predict/Camera";
import { ofFile, type Picture } from "@/pages/predict/pictures";

interface Props {
  /** A slim one, where there are pictures already. */
  small: boolean;
  onPictures: (pictures: Picture[]) => void;
}

const IMAGE = /\.(jpe?g|png|webp|bmp|tiff?|gif)$/i;

/** Takes files, folders and the camera. */
export function Drop({ small, onPictures }: Props) {
  const open = useRef<() => void>(null);
  const folder = useRef<HTMLInputElement>(null);
  const [camera, setCamera] = useState(false);

  function take(files: File[]): void {
    const images = files.filter(({ name, type }) => type.startsWith("image/") || IMAGE.test(name));
    const others = files.length - images.length;
    if (others) tell(`${count(others, "file")} left out: no image`);
    onPictures(images.map(ofFile));
  }

  const buttons = (
    <Group gap="xs" justify="center" style={{ pointerEvents: "all" }}>
      <Button size={small ? "xs" : "sm"} leftSection={<IconPhoto size={16} />} onClick={() => open.current?.()}>
        Choose photos
      </Button>
      <Button size={small ? "xs" : "sm"} variant="default" leftSection={<IconFolder size={16} />} onClick={() => folder.current?.click()}>
        A folder
      </Button>
      <Button size={small ? "xs" : "sm"} variant="default" leftSection={<IconCamera size={16} />} onClick={() => setCamera(true)}>
        Camera
      </Button>
    </Group>
  );
  return (
    <>
      <Dropzone
        onDrop={take}
        openRef={open}
        activateOnClick={false}
        enablePointerEvents
        radius="lg"
        p={small ? "sm" : "xl"}
        aria-label="Photos to predict"
        inputProps={{ "aria-label": "Photos" }}
        tabIndex={-1}
      >
        {small ? (
          <Group justify="space-between" gap="sm">
            <Text size="sm" c="dimmed">
              Drop more photos here
            </Text>
            {buttons}
          </Group>
        ) : (
          <Stack align="center" gap="md" py="lg">
            <IconPhotoScan size={48} stroke={1.2} color="var(--mantine-color-dimmed)" aria-hidden />
            <Stack gap={2} align="center">
              <Text fw={600} size="lg" ta="center">
                Drop photos or a folder here
              </Text>
              <Text size="sm" c="dimmed" ta="center">
                The model says at once what is on them. They are not kept.
              </Text>
            </Stack>
            {buttons}
          </Stack>
        )}
      </Dropzone>
      <input
        ref={folder}
        type="file"
        hidden
        multiple
        aria-label="Folder"
        {...{ webkitdirectory: "" }}
        onChange={(event) => {
          take([...(event.currentTarget.files ?? [])]);
          event.currentTarget.value = "";
        }}
      />
      {camera && <Camera onClose={() => setCamera(false)} onPhoto={(file) => onPictures([ofFile(file)])} />}
    </>
  );
}
