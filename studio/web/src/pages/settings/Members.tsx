import { ActionIcon, Avatar, Badge, Button, Group, Skeleton, Stack, Text, Tooltip } from "@mantine/core";
import { IconPencil, IconUserMinus, IconUserPlus } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";
import { api, take, type Schemas } from "@/api/client";
import { queries } from "@/api/queries";
import { useMay, useProjectId, useSession } from "@/api/session";
import { EXTRA_PRIVILEGES, labelOf, PROJECT_ROLES } from "@/components/access";
import { confirm } from "@/components/confirm";
import { Panel } from "@/components/Panel";
import { Row, Rows } from "@/components/Rows";
import { Trouble } from "@/components/Trouble";
import { tell } from "@/components/tell";
import { MemberForm } from "@/pages/settings/MemberForm";

type Member = Schemas["Member"];

export function Members() {
  const project = useProjectId();
  const mayShare = useMay("share");
  const [edited, setEdited] = useState<Member | "new" | null>(null);
  const members = useQuery({
    queryKey: ["project", project, "members"],
    queryFn: () => take(api.GET("/studio/v1/projects/{project}/members", { params: { path: { project } } })),
  });
  return (
    <Panel
      title="Members"
      about={
        mayShare
          ? "Who shares this project, and what they may do in it. Admins of the studio can open every project."
          : "Who shares this project. An owner of it can add members and change their roles."
      }
      actions={
        mayShare && (
          <Button leftSection={<IconUserPlus size={18} />} onClick={() => setEdited("new")}>
            Add member
          </Button>
        )
      }
    >
      {members.isPending && <Skeleton h={120} role="status" aria-label="Loading" />}
      {members.isError && <Trouble error={members.error} retry={() => void members.refetch()} />}
      <Rows label="Members">
        {members.data?.members.map((member) => (
          <MemberRow key={member.user} member={member} onEdit={mayShare ? () => setEdited(member) : undefined} />
        ))}
      </Rows>
      {edited !== null && <MemberForm member={edited === "new" ? null : edited} onClose={() => setEdited(null)} />}
    </Panel>
  );
}

/** onEdit: not there for whoever may not change anything. */
function MemberRow({ member, onEdit }: { member: Member; onEdit?: () => void }) {
  const project = useProjectId();
  const me = useSession().data;
  const navigate = useNavigate();
  const isMe = member.user === me?.id;
  const remove = useMutation({
    mutationFn: () =>
      take(
        api.DELETE("/studio/v1/projects/{project}/members/{user}", {
          params: { path: { project, user: member.user } },
        }),
      ),
    onSuccess: async () => {
      tell(isMe ? "You have left the project." : `${member.name} is no member any more.`);
      if (isMe && !me?.privileges.includes("all_projects")) await navigate("/");
      void queries.invalidateQueries({ queryKey: ["project", project] });
      void queries.invalidateQueries({ queryKey: ["projects"] });
    },
  });

  function ask(): void {
    confirm({
      title: isMe ? "Leave this project?" : `Remove ${member.name}?`,
      text: isMe
        ? "You will not see it any more, until a member adds you again. What you did stays."
        : `${member.name} will not see this project any more. What they did stays.`,
      action: isMe ? "Leave" : "Remove",
      onConfirm: () => remove.mutate(),
    });
  }

  return (
    <Row>
      <Avatar name={member.name} color="initials" visibleFrom="xs" aria-hidden />
      <Stack gap={2} flex={1} miw={0}>
        <Text size="sm" fw={600} truncate>
          {member.name}
          {isMe && " (you)"}
        </Text>
        <Text size="xs" c="dimmed" truncate>
          {member.email}
        </Text>
      </Stack>
      <Stack gap={4} align="flex-end" maw="50%">
        <Tooltip label={PROJECT_ROLES.find((each) => each.value === member.role)?.about}>
          <Badge variant="light">{labelOf(PROJECT_ROLES, member.role)}</Badge>
        </Tooltip>
        {member.privileges.length > 0 && (
          <Text size="xs" c="dimmed" ta="right">
            and {member.privileges.map((privilege) => labelOf(EXTRA_PRIVILEGES, privilege).toLowerCase()).join(", ")}
          </Text>
        )}
      </Stack>
      {onEdit && (
        <Group gap={4} wrap="nowrap">
          <Tooltip label="Change the role">
            <ActionIcon variant="subtle" color="gray" aria-label={`Change the role of ${member.name}`} onClick={onEdit}>
              <IconPencil size={18} />
            </ActionIcon>
          </Tooltip>
          <Tooltip label={isMe ? "Leave" : "Remove"}>
            <ActionIcon variant="subtle" color="red" aria-label={`Remove ${member.name}`} loading={remove.isPending} onClick={ask}>
              <IconUserMinus size={18} />
            </ActionIcon>
          </Tooltip>
        </Group>
      )}
    </Row>
  );
}
