import { List, Stack, Tabs, Text, Title } from "@mantine/core";
import type { Schemas } from "@/api/client";
import { Secret } from "@/components/Secret";

/** What to type on the machine where the model is to work. */
export function Install({ targets }: { targets: Schemas["Target"][] }) {
  return (
    <Stack gap="xs">
      <Title order={4} size="h5">
        Install it
      </Title>
      <Tabs defaultValue={targets[0]?.id} variant="outline">
        <Tabs.List>
          {targets.map(({ id, title }) => (
            <Tabs.Tab key={id} value={id}>
              {title}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {targets.map(({ id, needs, steps }) => (
          <Tabs.Panel key={id} value={id} pt="md">
            <Text size="sm" c="dimmed" mb="sm">
              Needs: {needs}.
            </Text>
            <List type="ordered" spacing="md" styles={{ itemWrapper: { display: "block" }, itemLabel: { display: "block" } }}>
              {steps.map(({ text, commands }, place) => (
                <List.Item key={place}>
                  <Text size="sm" mb={commands.length ? 6 : 0}>
                    {text}
                  </Text>
                  {commands.length > 0 && <Secret label={`Step ${place + 1}`} value={commands.join("\n")} small />}
                </List.Item>
              ))}
            </List>
          </Tabs.Panel>
        ))}
      </Tabs>
    </Stack>
  );
}
