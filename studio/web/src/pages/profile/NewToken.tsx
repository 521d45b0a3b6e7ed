import { Alert, Button, Checkbox, Group, Modal, Select, Stack, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { IconEyeOff } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { api, take } from "@/api/client";
import { queries } from "@/api/queries";
import { type Scope, SCOPES } from "@/components/access";
import { Secret } from "@/components/Secret";
import { Wrong } from "@/components/Wrong";
import { HowToUse } from "@/pages/profile/HowToUse";

const FOREVER = "0";
const TERMS = [
  { value: "7", label: "7 days" },
  { value: "30", label: "30 days" },
  { value: "90", label: "90 days" },
  { value: "365", label: "1 year" },
  { value: FOREVER, label: "Until it is revoked" },
];
const ALL = "";

interface Props {
  /** Of the projects that it can be bound to, by id. */
  names: Map<string, string>;
  onClose: () => void;
}

/** Asks what a new token may do, then shows it: this once. */
export function NewToken({ names, onClose }: Props) {
  const form = useForm({
    initialValues: { name: "", scopes: [] as Scope[], project: ALL, days: "90" },
    validate: { scopes: (scopes) => (scopes.length === 0 ? "Tick at least one." : null) },
  });
  const make = useMutation({
    meta: { quiet: true },
    mutationFn: ({ name, scopes, project, days }: typeof form.values) =>
      take(
        api.POST("/studio/v1/tokens", {
          body: { name, scopes, project: project === ALL ? null : project, days: days === FOREVER ? null : Number(days) },
        }),
      ),
    onSuccess: () => void queries.invalidateQueries({ queryKey: ["tokens"] }),
  });

  if (make.data) {
    return (
      <Modal opened onClose={onClose} title={`“${make.data.details.name}” is made`} centered size="lg" closeOnClickOutside={false}>
        <Stack>
          <Alert icon={<IconEyeOff size={18} />} color="yellow" variant="light">
            Copy the token now. It is shown this once; the studio keeps only its digest.
          </Alert>
          <Secret label="Token" value={make.data.token} />
          <HowToUse token={make.data.token} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Done
            </Button>
          </Group>
        </Stack>
      </Modal>
    );
  }
  return (
    <Modal opened onClose={onClose} title="New token" centered size="lg">
      <form onSubmit={form.onSubmit((given) => make.mutate(given))}>
        <Stack>
          <TextInput
            label="Name"
            description="To recognise it by: what uses it, and where."
            placeholder="Camera on line 3"
            required
            withAsterisk={false}
            maxLength={100}
            data-autofocus
            {...form.getInputProps("name")}
          />
          <Checkbox.Group label="It may" {...form.getInputProps("scopes")}>
            <Stack gap="xs" mt="xs">
              {SCOPES.map(({ value, label, about }) => (
                <Checkbox key={value} value={value} label={label} description={about} />
              ))}
            </Stack>
          </Checkbox.Group>
          <Group grow align="flex-start" preventGrowOverflow={false}>
            <Select
              label="Projects"
              data={[{ value: ALL, label: "All my projects" }, ...[...names].map(([value, label]) => ({ value, label }))]}
              allowDeselect={false}
              searchable
              {...form.getInputProps("project")}
            />
            <Select label="Works for" data={TERMS} allowDeselect={false} {...form.getInputProps("days")} />
          </Group>
          <Wrong error={make.error} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={make.isPending}>
              Make token
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
