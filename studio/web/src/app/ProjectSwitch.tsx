import { Button, Menu, Text } from "@mantine/core";
import { IconChevronDown, IconFolder, IconLayoutGrid } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { api, take } from "@/api/client";

/** The project's name; below it the others. */
export function ProjectSwitch({ project }: { project: string }) {
  const projects = useQuery({
    queryKey: ["projects", "first"],
    queryFn: () => take(api.GET("/studio/v1/projects", { params: { query: { limit: 50, order: "newest" } } })),
  });
  const current = useQuery({
    queryKey: ["project", project],
    queryFn: () => take(api.GET("/studio/v1/projects/{project}", { params: { path: { project } } })),
  });
  const others = projects.data?.projects.filter((each) => each.id !== project) ?? [];
  return (
    <Menu position="bottom-start" width={260}>
      <Menu.Target>
        <Button variant="subtle" color="gray" rightSection={<IconChevronDown size={14} />} maw={260} px="xs">
          <Text truncate fw={600} size="sm">
            {current.data?.name ?? "…"}
          </Text>
        </Button>
      </Menu.Target>
      <Menu.Dropdown mah={420} style={{ overflowY: "auto" }}>
        {others.map((each) => (
          <Menu.Item key={each.id} component={Link} to={`/p/${each.id}/images`} leftSection={<IconFolder size={16} />}>
            <Text truncate size="sm">
              {each.name}
            </Text>
          </Menu.Item>
        ))}
        {others.length > 0 && <Menu.Divider />}
        <Menu.Item component={Link} to="/" leftSection={<IconLayoutGrid size={16} />}>
          All projects
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
