import { Button, Group, PasswordInput, Stack } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useMutation } from "@tanstack/react-query";
import { api, take } from "@/api/client";
import type { Me } from "@/api/session";
import { NewPassword } from "@/components/NewPassword";
import { Panel } from "@/components/Panel";
import { tell } from "@/components/tell";
import { Wrong } from "@/components/Wrong";

export function ChangePassword({ me }: { me: Me }) {
  const form = useForm({ initialValues: { old_password: "", password: "" } });
  const { password } = form.values;
  const change = useMutation({
    meta: { quiet: true },
    mutationFn: (given: typeof form.values) => take(api.PUT("/studio/v1/account/password", { body: given })),
    onSuccess: () => {
      form.reset();
      tell("Your password is changed. Everywhere else you are signed out.");
    },
  });
  return (
    <Panel title="Password" about="With a new password you are signed out everywhere but here. API tokens go on working.">
      <form onSubmit={form.onSubmit((given) => change.mutate(given))}>
        <Stack gap="sm" maw={420}>
          <input type="hidden" name="email" autoComplete="username" value={me.email} readOnly />
          <PasswordInput
            label="Present password"
            name="old_password"
            autoComplete="current-password"
            required
            withAsterisk={false}
            visibilityToggleButtonProps={{ "aria-label": "Show or hide what is typed", tabIndex: 0 }}
            {...form.getInputProps("old_password")}
          />
          <NewPassword
            label="New password"
            name="password"
            known={[me.name, me.email.split("@")[0] ?? ""]}
            {...form.getInputProps("password")}
            value={password}
          />
          <Wrong error={change.error} />
          <Group>
            <Button type="submit" loading={change.isPending} disabled={!password || !form.values.old_password}>
              Change password
            </Button>
          </Group>
        </Stack>
      </form>
    </Panel>
  );
}
