import { Alert, Button, Group, Modal, Stack, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { IconEyeOff } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { api, take } from "@/api/client";
import { queries } from "@/api/queries";
import { INSTALL_ROLES, type InstallRole } from "@/components/access";
import { RadioCards } from "@/components/RadioCards";
import { Secret } from "@/components/Secret";
import { Wrong } from "@/components/Wrong";

export interface HandedLink {
  name: string;
  link: string;
  /** Else it is for a new password. */
  isInvitation: boolean;
}

interface Props {
  onClose: () => void;
  onInvited: (link: HandedLink) => void;
}

export function Invite({ onClose, onInvited }: Props) {
  const form = useForm({ initialValues: { name: "", email: "", role: "member" as InstallRole } });
  const invite = useMutation({
    meta: { quiet: true },
    mutationFn: (given: typeof form.values) => take(api.POST("/studio/v1/users", { body: given })),
    onSuccess: ({ user, link }) => {
      void queries.invalidateQueries({ queryKey: ["users"] });
      onInvited({ name: user.name, link, isInvitation: true });
    },
  });
  return (
    <Modal opened onClose={onClose} title="Invite a user" centered>
      <form onSubmit={form.onSubmit((given) => invite.mutate(given))}>
        <Stack>
          <TextInput label="Name" required withAsterisk={false} maxLength={200} autoComplete="off" data-autofocus {...form.getInputProps("name")} />
          <TextInput
            label="E-mail"
            description="They sign in with it. Nothing is sent there."
            type="email"
            required
            withAsterisk={false}
            maxLength={320}
            autoComplete="off"
            {...form.getInputProps("email")}
          />
          <RadioCards label="Role" choices={INSTALL_ROLES} value={form.values.role} onChange={(role) => form.setFieldValue("role", role)} />
          <Wrong error={invite.error} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={invite.isPending}>
              Make invitation
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

/** The one-time link, this once. */
export function ShowLink({ link: { name, link, isInvitation }, onClose }: { link: HandedLink; onClose: () => void }) {
  const title = isInvitation ? `${name} is invited` : `A new password for ${name}`;
  return (
    <Modal opened onClose={onClose} title={title} centered size="lg" closeOnClickOutside={false}>
      <Stack>
        <Text size="sm">
          Hand this link over in a safe way. With it {name} chooses a password, once, and is signed in
          {isInvitation ? "." : "; earlier links do not work any more."}
        </Text>
        <Secret label="Link" value={link} />
        <Alert icon={<IconEyeOff size={18} />} color="yellow" variant="light">
          It is shown this once. If it gets lost, make a new one from the list of users.
        </Alert>
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            Done
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
