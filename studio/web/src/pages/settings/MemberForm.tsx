import { Button, Checkbox, Group, Modal, SimpleGrid, Stack, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api, take, type Schemas } from "@/api/client";
import { queries } from "@/api/queries";
import { useProjectId, useSession } from "@/api/session";
import { EXTRA_PRIVILEGES, OF_PROJECT_ROLE, PROJECT_ROLES, type Privilege, type ProjectRole } from "@/components/access";
import { RadioCards } from "@/components/RadioCards";
import { tell } from "@/components/tell";
import { Wrong } from "@/components/Wrong";

interface Props {
  /** null: a new one, by e-mail address. */
  member: Schemas["Member"] | null;
  onClose: () => void;
}

export function MemberForm({ member, onClose }: Props) {
  const project = useProjectId();
  const mayInvite = useSession().data?.privileges.includes("manage_users") ?? false;
  const [email, setEmail] = useState("");
  const [role, setRole] = useState<ProjectRole>(member?.role ?? "labeller");
  const [further, setFurther] = useState<Privilege[]>(member?.privileges ?? []);
  const ofRole = OF_PROJECT_ROLE[role];
  const save = useMutation({
    meta: { quiet: true },
    mutationFn: () => {
      const given = { role, privileges: further.filter((each) => !ofRole.includes(each)) };
      if (member === null) {
        return take(
          api.POST("/studio/v1/projects/{project}/members", { params: { path: { project } }, body: { ...given, email } }),
        );
      }
      return take(
        api.PUT("/studio/v1/projects/{project}/members/{user}", {
          params: { path: { project, user: member.user } },
          body: given,
        }),
      );
    },
    onSuccess: (members) => {
      queries.setQueryData(["project", project, "members"], members);
      void queries.invalidateQueries({ queryKey: ["project", project] }); // it may be one's own role
      void queries.invalidateQueries({ queryKey: ["projects"] });
      tell(member === null ? `The project is shared with ${email.trim()}.` : `${member.name} has another role.`);
      onClose();
    },
  });

  function submit(event: FormEvent): void {
    event.preventDefault();
    save.mutate();
  }

  return (
    <Modal opened onClose={onClose} title={member === null ? "Add member" : member.name} centered size="lg">
      <form onSubmit={submit}>
        <Stack gap="lg">
          {member === null && (
            <TextInput
              label="E-mail"
              description={
                mayInvite
                  ? "Of a user of this studio; others are invited under Users first."
                  : "Of a user of this studio; an admin can invite others first."
              }
              type="email"
              required
              withAsterisk={false}
              maxLength={320}
              autoComplete="off"
              data-autofocus
              value={email}
              onChange={(event) => setEmail(event.currentTarget.value)}
            />
          )}
          <RadioCards label="Role" choices={PROJECT_ROLES} value={role} onChange={setRole} />
          <Checkbox.Group
            label="May also"
            description="What is ticked and grey comes with the role."
            value={[...new Set([...ofRole, ...further])]}
            onChange={(ticked) => setFurther(ticked.filter((each) => !ofRole.includes(each)))}
          >
            <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="xs" mt="xs">
              {EXTRA_PRIVILEGES.map(({ value, label, about }) => (
                <Checkbox key={value} value={value} label={label} description={about} disabled={ofRole.includes(value)} />
              ))}
            </SimpleGrid>
          </Checkbox.Group>
          <Wrong error={save.error} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={save.isPending}>
              {member === null ? "Add" : "Save"}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
