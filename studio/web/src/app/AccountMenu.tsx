import { ActionIcon, Avatar, Group, Menu, Text, UnstyledButton, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { IconHistory, IconLicense, IconLogout, IconMoon, IconSun, IconUser, IconUsers } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { Link } from "react-router";
import { api, take } from "@/api/client";
import { type Me, setSession } from "@/api/session";

export function AccountMenu({ me }: { me: Me }) {
  const { setColorScheme } = useMantineColorScheme();
  const scheme = useComputedColorScheme("light");
  const signOut = useMutation({
    mutationFn: () => take(api.DELETE("/studio/v1/session")),
    onSuccess: () => setSession(null),
  });
  const dark = scheme === "dark";
  return (
    <Group gap="xs" wrap="nowrap">
      <ActionIcon
        variant="subtle"
        color="gray"
        size="lg"
        aria-label={dark ? "Light colours" : "Dark colours"}
        onClick={() => setColorScheme(dark ? "light" : "dark")}
      >
        {dark ? <IconSun size={18} /> : <IconMoon size={18} />}
      </ActionIcon>
      <Menu position="bottom-end" width={230}>
        <Menu.Target>
          <UnstyledButton aria-label="Account">
            <Avatar name={me.name} color="initials" size={34} />
          </UnstyledButton>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Label>
            <Text size="sm" fw={600} truncate>
              {me.name}
            </Text>
            <Text size="xs" c="dimmed" truncate>
              {me.email}
            </Text>
          </Menu.Label>
          <Menu.Item component={Link} to="/profile" leftSection={<IconUser size={16} />}>
            Profile and tokens
          </Menu.Item>
          {me.privileges.includes("manage_users") && (
            <Menu.Item component={Link} to="/admin/users" leftSection={<IconUsers size={16} />}>
              Users
            </Menu.Item>
          )}
          {me.privileges.includes("manage_licenses") && (
            <Menu.Item component={Link} to="/admin/licenses" leftSection={<IconLicense size={16} />}>
              Licences
            </Menu.Item>
          )}
          {me.privileges.includes("read_audit") && (
            <Menu.Item component={Link} to="/admin/audit" leftSection={<IconHistory size={16} />}>
              Audit log
            </Menu.Item>
          )}
          <Menu.Divider />
          <Menu.Item leftSection={<IconLogout size={16} />} onClick={() => signOut.mutate()}>
            Sign out
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
    </Group>
  );
}
