import { Badge, Card, Group, Stack, Text, Tooltip, VisuallyHidden } from "@mantine/core";
import { IconPhoto, IconUsers } from "@tabler/icons-react";
import { Link } from "react-router";
import type { Schemas } from "@/api/client";
import { labelOf, PROJECT_ROLES } from "@/components/access";
import { thumbnailAddress } from "@/components/addresses";
import { Moment } from "@/components/Moment";
import { count } from "@/components/words";
import classes from "@/pages/projects/projects.module.css";

type Listed = Schemas["ListedProject"];

export function ProjectCard({ project }: { project: Listed }) {
  const { id, name, role, outline } = project;
  return (
    <Card component="article" className={classes.card} withBorder radius="lg" p={0}>
      <Cover project={project} />
      <Stack gap={6} p="md">
        <Group justify="space-between" wrap="nowrap" gap="xs">
          <Link className={classes.link} to={`/p/${id}/images`}>
            <Text fw={600} lineClamp={1} title={name}>
              {name}
            </Text>
          </Link>
          {role !== "owner" && <RoleBadge role={role} />}
        </Group>
        {outline && (
          <>
            <Text size="sm" className="tabular">
              {count(outline.images, "image")} · {count(outline.labels, "label")} · {count(outline.models, "model")}
            </Text>
            <Group justify="space-between" gap="xs" mih={22}>
              <Text size="xs" c="dimmed">
                Changed <Moment at={outline.changed_at} />
              </Text>
              {outline.members > 1 && (
                <Tooltip label={`Shared among ${outline.members} people`}>
                  <Badge variant="light" color="gray" leftSection={<IconUsers size={12} />}>
                    {outline.members}
                    <VisuallyHidden component="span"> members</VisuallyHidden>
                  </Badge>
                </Tooltip>
              )}
            </Group>
          </>
        )}
      </Stack>
    </Card>
  );
}

function RoleBadge({ role }: { role: Listed["role"] }) {
  const about = role === null ? "You see it as an admin" : PROJECT_ROLES.find((each) => each.value === role)?.about;
  return (
    <Tooltip label={about}>
      <Badge variant="light" flex="none">
        {role === null ? "Not a member" : labelOf(PROJECT_ROLES, role)}
      </Badge>
    </Tooltip>
  );
}

function Cover({ project: { id, outline } }: { project: Listed }) {
  const covers = outline?.covers ?? [];
  if (covers.length === 0) {
    return (
      <div className={`${classes.cover} ${classes.bare}`}>
        <IconPhoto size={36} stroke={1.2} aria-hidden />
      </div>
    );
  }
  return (
    <div className={classes.cover}>
      {covers.map((image) => (
        <img key={image} src={thumbnailAddress(id, image)} alt="" loading="lazy" decoding="async" />
      ))}
    </div>
  );
}
