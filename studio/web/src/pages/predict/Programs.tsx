import { Alert, Button, Code, Group, Stack, Table, Tabs, Text, TextInput } from "@mantine/core";
import { IconKey } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { api, take, type Schemas } from "@/api/client";
import { Panel } from "@/components/Panel";
import { Secret } from "@/components/Secret";
import { LANGUAGES, snippet } from "@/pages/predict/snippets";

const DAYS = 90;

/** How a program asks this model: with the real project, model and token filled in. */
export function Programs({ state }: { state: Schemas["PredictState"] }) {
  const [token, setToken] = useState("");
  const make = useMutation({
    mutationFn: () =>
      take(
        api.POST("/studio/v1/tokens", {
          body: { name: `Predictions with ${state.name}`.slice(0, 100), scopes: ["predict"], project: state.project, days: DAYS },
        }),
      ),
    onSuccess: (made) => setToken(made.token),
  });
  if (!state.inference_api) {
    return (
      <Alert color="gray" title="Programs cannot ask here">
        Whoever runs this studio has turned its inference API off (ONSIGHT_STUDIO_INFERENCE_API). A downloaded model can be asked where it
        is served.
      </Alert>
    );
  }
  const shown = token.trim() || "YOUR_TOKEN";
  return (
    <Stack>
      <Panel title="A token" about="A program shows who it is by a token. One that may only predict in this project is enough.">
        <Group align="flex-end" gap="sm">
          <TextInput
            label="Token"
            placeholder="Paste one, or make one"
            value={token}
            onChange={(event) => setToken(event.currentTarget.value)}
            flex="1 1 16rem"
            autoComplete="off"
            spellCheck={false}
          />
          <Button variant="light" leftSection={<IconKey size={16} />} loading={make.isPending} onClick={() => make.mutate()}>
            Make a token
          </Button>
        </Group>
        {make.data && (
          <Text size="sm" c="dimmed" role="status">
            It predicts in this project for {DAYS} days, and is shown this once. You can revoke it on your profile.
          </Text>
        )}
      </Panel>
      <Panel title="Ask" about="The image's bytes go in, labels with scores from 0 to 100 come out, the highest first.">
        <Tabs defaultValue="curl">
          <Tabs.List>
            {LANGUAGES.map((language) => (
              <Tabs.Tab key={language} value={language}>
                {language}
              </Tabs.Tab>
            ))}
          </Tabs.List>
          {LANGUAGES.map((language) => (
            <Tabs.Panel key={language} value={language} pt="sm">
              <Secret label={`${language} program`} value={snippet(language, { state, origin: window.location.origin, token: shown })} small />
            </Tabs.Panel>
          ))}
        </Tabs>
      </Panel>
      <Panel title="More ways" about="The same calls as of a server that runs the downloaded model.">
        <Table.ScrollContainer minWidth={420}>
          <Table>
            <Table.Tbody>
              <Way address={`POST /v1/predict/${state.project}/${state.model}`}>decision, thresholds, unknown, times; many images at once</Way>
              <Way address={`POST /v2/models/${state.project}__${state.model}/infer`}>the Open Inference Protocol, for Triton&apos;s and KServe&apos;s clients</Way>
              <Way address={`POST /studio/v1/projects/${state.project}/models/${state.training}/predict`}>also as CSV, or as a zip by prediction</Way>
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
        <Text size="sm" c="dimmed">
          The newest training called “{state.name}” answers. To stay with this one, put <Code>?version={state.training}</Code> behind{" "}
          <Code>/v1</Code>, or its id <Code>{state.training}</Code> in place of the model&apos;s name.
        </Text>
      </Panel>
    </Stack>
  );
}

function Way({ address, children }: { address: string; children: React.ReactNode }) {
  return (
    <Table.Tr>
      <Table.Td>
        <Code style={{ whiteSpace: "normal", overflowWrap: "anywhere" }}>{address}</Code>
      </Table.Td>
      <Table.Td>{children}</Table.Td>
    </Table.Tr>
  );
}
