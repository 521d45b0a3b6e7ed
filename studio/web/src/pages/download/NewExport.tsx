import { Button, Checkbox, Collapse, Group, SegmentedControl, Select, Stack, Switch, Text, TextInput, UnstyledButton } from "@mantine/core";
import { useForm } from "@mantine/form";
import { IconChevronDown, IconChevronUp, IconPackageExport } from "@tabler/icons-react";
import { useEffect, useState } from "react";
import type { Schemas } from "@/api/client";
import { Panel } from "@/components/Panel";
import { ago } from "@/components/words";
import { FORMS, nextVersion, plainName, type Variant } from "@/pages/download/forms";
import { useExport } from "@/pages/download/useExports";

interface Props {
  project: string;
  models: Schemas["ListedModel"][];
  exports: Schemas["Job"][];
  /** The training that the address names, if any. */
  first: string | null;
}

/** What the bundle shall hold, and for whom. */
export function NewExport({ project, models, exports, first }: Props) {
  const made = useExport(project);
  const [more, setMore] = useState(false);
  const start = models.find(({ id }) => id === first) ?? models[0]!;
  const form = useForm({
    initialValues: {
      training: start.id,
      model: "best" as "best" | "last",
      name: plainName(start.name),
      version: nextVersion(exports, plainName(start.name)),
      forms: [] as Variant[],
      licence: false,
    },
    validate: {
      name: (name) => (/^[a-z0-9][a-z0-9._-]{0,63}$/.test(name) ? null : "Small letters, digits, dots, dashes; 64 at most."),
      version: (version) => (/^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/.test(version) ? null : "Letters and digits, such as 2."),
    },
  });
  const { name } = form.values;
  useEffect(() => form.setFieldValue("version", nextVersion(exports, name)), [exports.length, name]); // eslint-disable-line react-hooks/exhaustive-deps

  return (
    <Panel title="Make a bundle" about="One signed file with the model, its labels and thresholds, and answers to prove itself by where it runs.">
      <form
        onSubmit={form.onSubmit(({ training, model, version, forms, licence }) =>
          made.mutate({ training, model, name: form.values.name, version, variants: ["fp32", ...forms], license_required: licence }),
        )}
      >
        <Stack gap="md">
          <Group align="flex-end" gap="sm">
            <Select
              label="Model"
              flex="1 1 14rem"
              allowDeselect={false}
              searchable={models.length > 8}
              data={models.map((each) => ({ value: each.id, label: each.finished_at ? `${each.name} · ${ago(each.finished_at)}` : each.name }))}
              {...form.getInputProps("training")}
              onChange={(id) => {
                const chosen = models.find((each) => each.id === id);
                if (chosen) form.setValues({ training: chosen.id, name: plainName(chosen.name) });
              }}
            />
            <SegmentedControl
              aria-label="Which of the training's models"
              data={[
                { value: "best", label: "Best" },
                { value: "last", label: "Last" },
              ]}
              {...form.getInputProps("model")}
            />
          </Group>
          <Checkbox.Group
            label="Further forms"
            description="Full precision is always there. Each smaller or faster form is kept if it answers as full precision does; its figures stand in the bundle."
            {...form.getInputProps("forms")}
          >
            <Stack gap="xs" mt="sm">
              {FORMS.map(({ value, label, about }) => (
                <Checkbox key={value} value={value} label={label} description={about} />
              ))}
            </Stack>
          </Checkbox.Group>
          <Switch
            label="For others, under a licence"
            description="It serves only where a licence of yours is installed. You need none for your own machines."
            {...form.getInputProps("licence", { type: "checkbox" })}
          />
          <div>
            <UnstyledButton onClick={() => setMore(!more)} aria-expanded={more}>
              <Group gap={4}>
                <Text size="sm" c="dimmed">
                  Name {form.values.name}, version {form.values.version}
                </Text>
                {more ? <IconChevronUp size={14} aria-hidden /> : <IconChevronDown size={14} aria-hidden />}
              </Group>
            </UnstyledButton>
            <Collapse expanded={more}>
              <Group gap="sm" mt="xs" align="flex-start">
                <TextInput label="Name" description="In addresses, where it serves." flex="1 1 12rem" {...form.getInputProps("name")} />
                <TextInput label="Version" description="A server serves the highest." w={160} {...form.getInputProps("version")} />
              </Group>
            </Collapse>
          </div>
          <Group>
            <Button type="submit" leftSection={<IconPackageExport size={16} />} loading={made.isPending}>
              Make bundle
            </Button>
          </Group>
        </Stack>
      </form>
    </Panel>
  );
}
