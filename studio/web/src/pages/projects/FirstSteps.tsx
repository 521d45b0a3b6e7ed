import { Button, Center, Group, List, Stack, Text, ThemeIcon, Title } from "@mantine/core";
import { IconChartDots, IconPhotoPlus, IconPlus, IconScan, IconSparkles, IconTags } from "@tabler/icons-react";

const STEPS = [
  { icon: IconPhotoPlus, title: "Add photos", about: "Drop files, folders or a zip. A few dozen of each kind will do to begin with." },
  { icon: IconTags, title: "Label them", about: "Say what each photo shows: with the number keys, many at once." },
  { icon: IconSparkles, title: "Train", about: "Choose the labels and some minutes; the studio does the rest." },
  { icon: IconChartDots, title: "Look closely", about: "See where the model is right, where it errs, and which labels are doubtful." },
  { icon: IconScan, title: "Use it", about: "Try it on new photos, then download it as a bundle or ask it over HTTP." },
];

/** For whoever has no project yet. mayMake: whether they can make one. */
export function FirstSteps({ mayMake, onNew }: { mayMake: boolean; onNew: () => void }) {
  return (
    <Center py="xl">
      <Stack maw={600} gap="xl">
        <Stack gap="xs">
          <Title order={2} size="h3">From photos to a classifier in five steps</Title>
          <Text c="dimmed">
            {mayMake
              ? "A project holds photos, their labels and the models that are trained on them. Make your first one."
              : "No project is shared with you yet. Ask the owner of one to add you by your e-mail address."}
          </Text>
        </Stack>
        <List spacing="md" center={false} listStyleType="none" type="ordered">
          {STEPS.map(({ icon: Picture, title, about }, place) => (
            <List.Item
              key={title}
              icon={
                <ThemeIcon variant="light" size={40} radius="xl">
                  <Picture size={20} aria-hidden />
                </ThemeIcon>
              }
            >
              <Text fw={600}>
                {place + 1}. {title}
              </Text>
              <Text size="sm" c="dimmed">
                {about}
              </Text>
            </List.Item>
          ))}
        </List>
        {mayMake && (
          <Group>
            <Button size="md" leftSection={<IconPlus size={18} />} onClick={onNew}>
              New project
            </Button>
          </Group>
        )}
      </Stack>
    </Center>
  );
}
