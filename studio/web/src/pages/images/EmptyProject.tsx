import { Button, Group, SimpleGrid, Stack, Text, ThemeIcon, Title } from "@mantine/core";
import { IconCamera, IconFolder, IconKeyboard, IconPhotoPlus, IconTags } from "@tabler/icons-react";
import classes from "@/pages/images/images.module.css";

const HINTS = [
  { icon: IconFolder, title: "Folders become labels", about: "Photos in a folder “glass” can get the label glass, in zips as well." },
  { icon: IconKeyboard, title: "Label with the number keys", about: "Choose images by click, Shift and Ctrl; 1 to 9 put labels on all of them." },
  { icon: IconTags, title: "Labels in a file?", about: "A CSV or JSON with names and labels can be uploaded after the images." },
];

interface Props {
  mayUpload: boolean;
  onFiles: () => void;
  onFolder: () => void;
  onCamera: () => void;
}

/** Of a project without images. */
export function EmptyProject({ mayUpload, onFiles, onFolder, onCamera }: Props) {
  return (
    <div className={classes.zone}>
      <Stack align="center" gap="lg" maw={760}>
        <ThemeIcon size={72} radius="xl" variant="light">
          <IconPhotoPlus size={36} />
        </ThemeIcon>
        <Title order={2} size="h3" ta="center">
          {mayUpload ? "Drop photos, folders or zips here" : "There are no images yet"}
        </Title>
        {mayUpload ? (
          <Group justify="center">
            <Button onClick={onFiles}>Choose files</Button>
            <Button variant="default" onClick={onFolder} visibleFrom="sm">
              Choose a folder
            </Button>
            <Button variant="default" hiddenFrom="sm" leftSection={<IconCamera size={16} />} onClick={onCamera}>
              Take a photo
            </Button>
          </Group>
        ) : (
          <Text c="dimmed">An editor or owner of the project can upload some.</Text>
        )}
        <SimpleGrid cols={{ base: 1, sm: 3 }} spacing="lg">
          {HINTS.map(({ icon: Picture, title, about }) => (
            <Stack key={title} gap={4} align="center" ta="center">
              <Picture size={22} stroke={1.5} aria-hidden />
              <Text size="sm" fw={600}>
                {title}
              </Text>
              <Text size="sm" c="dimmed">
                {about}
              </Text>
            </Stack>
          ))}
        </SimpleGrid>
      </Stack>
    </div>
  );
}
