import { Button, Group, Stack, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api, take } from "@/api/client";
import { queries } from "@/api/queries";
import type { Me } from "@/api/session";
import { INSTALL_ROLES } from "@/components/access";
import { Panel } from "@/components/Panel";
import { tell } from "@/components/tell";
import { Wrong } from "@/components/Wrong";

export function Account({ me }: { me: Me }) {
  const [name, setName] = useState(me.name);
  const role = INSTALL_ROLES.find((each) => each.value === me.role);
  const save = useMutation({
    meta: { quiet: true },
    mutationFn: () => take(api.PATCH("/studio/v1/account", { body: { name } })),
    onSuccess: (changed) => {
      queries.setQueryData(["session"], changed);
      setName(changed.name);
      tell("Others see your new name from now on.");
    },
  });

  function submit(event: FormEvent): void {
    event.preventDefault();
    save.mutate();
  }

  return (
    <Panel title="Account" about={role && `${role.label}. ${role.about}`}>
      <form onSubmit={submit}>
        <Stack gap="sm">
          <Group align="flex-end" gap="sm">
            <TextInput
              label="Name"
              flex="1 1 14rem"
              autoComplete="name"
              required
              withAsterisk={false}
              maxLength={200}
              value={name}
              onChange={(event) => setName(event.currentTarget.value)}
            />
            <Button type="submit" loading={save.isPending} disabled={!name.trim() || name.trim() === me.name}>
              Save
            </Button>
          </Group>
          <Wrong error={save.error} />
        </Stack>
      </form>
    </Panel>
  );
}
