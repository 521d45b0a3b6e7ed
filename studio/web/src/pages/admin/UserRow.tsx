import { ActionIcon, Avatar, Badge, Group, Menu, Select, Stack, Text } from "@mantine/core";
import { IconBan, IconCircleCheck, IconDots, IconLink, IconTrash } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { api, take, type Schemas } from "@/api/client";
import { queries } from "@/api/queries";
import { INSTALL_ROLES, type InstallRole } from "@/components/access";
import { confirm } from "@/components/confirm";
import { Moment } from "@/components/Moment";
import { Row } from "@/components/Rows";
import { tell } from "@/components/tell";
import type { HandedLink } from "@/pages/admin/Invite";

interface Props {
  user: Schemas["User"];
  isMe: boolean;
  onLink: (link: HandedLink) => void;
}

export function UserRow({ user, isMe, onLink }: Props) {
  const params = { path: { user: user.id } };
  const reload = () => void queries.invalidateQueries({ queryKey: ["users"] });
  const change = useMutation({
    mutationFn: (given: Partial<Schemas["ChangedUser"]>) =>
      take(api.PATCH("/studio/v1/users/{user}", { params, body: { name: null, role: null, disabled: null, ...given } })),
    onSuccess: () => {
      reload();
      if (isMe) void queries.invalidateQueries({ queryKey: ["session"] });
    },
  });
  const remove = useMutation({
    mutationFn: () => take(api.DELETE("/studio/v1/users/{user}", { params })),
    onSuccess: () => {
      reload();
      tell(`${user.name} is deleted.`);
      if (isMe) void queries.invalidateQueries({ queryKey: ["session"] });
    },
  });
  const newLink = useMutation({
    mutationFn: () => take(api.POST("/studio/v1/users/{user}/link", { params })),
    onSuccess: ({ link }) => onLink({ name: user.name, link, isInvitation: !user.has_password }),
  });

  function askRole(role: InstallRole): void {
    if (!isMe) return change.mutate({ role });
    confirm({
      title: "Change your own role?",
      text: "You will not see this page any more, and another admin has to change it back.",
      action: "Change my role",
      onConfirm: () => change.mutate({ role }),
    });
  }

  function askDisable(): void {
    confirm({
      title: `Disable ${isMe ? "yourself" : user.name}?`,
      text: "They are signed out at once, and their tokens stop working. What they did stays, and you can enable them again.",
      action: "Disable",
      onConfirm: () => change.mutate({ disabled: true }),
    });
  }

  function askDelete(): void {
    confirm({
      title: `Delete ${isMe ? "your own account" : user.name}?`,
      text: "With sessions, tokens and memberships, for good. What they labelled stays, without their name. Disabling keeps the name.",
      action: "Delete",
      onConfirm: () => remove.mutate(),
    });
  }

  return (
    <Row>
      <Avatar name={user.name} color={user.disabled ? "gray" : "initials"} visibleFrom="xs" aria-hidden />
      <Stack gap={2} flex={1} miw={0}>
        <Group gap={6}>
          <Text size="sm" fw={600} truncate>
            {user.name}
            {isMe && " (you)"}
          </Text>
          {user.disabled && (
            <Badge size="sm" color="red" variant="light">
              Disabled
            </Badge>
          )}
          {!user.has_password && (
            <Badge size="sm" color="gray" variant="light">
              Invited
            </Badge>
          )}
        </Group>
        <Text size="xs" c="dimmed" truncate>
          {user.email}
        </Text>
        <Text size="xs" c="dimmed" truncate>
          added <Moment at={user.created_at} />
        </Text>
      </Stack>
      <Select
        aria-label={`Role of ${user.name}`}
        w={116}
        size="xs"
        data={INSTALL_ROLES.map(({ value, label }) => ({ value, label }))}
        value={user.role}
        allowDeselect={false}
        disabled={change.isPending}
        onChange={(role) => role !== null && role !== user.role && askRole(role)}
      />
      <Menu position="bottom-end" width={220}>
        <Menu.Target>
          <ActionIcon variant="subtle" color="gray" aria-label={`More for ${user.name}`} loading={remove.isPending || newLink.isPending}>
            <IconDots size={18} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item leftSection={<IconLink size={16} />} onClick={() => newLink.mutate()} disabled={user.disabled}>
            {user.has_password ? "Link for a new password" : "New invitation link"}
          </Menu.Item>
          {user.disabled ? (
            <Menu.Item leftSection={<IconCircleCheck size={16} />} onClick={() => change.mutate({ disabled: false })}>
              Enable
            </Menu.Item>
          ) : (
            <Menu.Item leftSection={<IconBan size={16} />} onClick={askDisable}>
              Disable
            </Menu.Item>
          )}
          <Menu.Item color="red" leftSection={<IconTrash size={16} />} onClick={askDelete}>
            Delete
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
    </Row>
  );
}
