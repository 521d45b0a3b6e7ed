import { NavLink, ScrollArea, Tooltip, VisuallyHidden } from "@mantine/core";
import { IconLock } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { NavLink as RouterLink, useLocation } from "react-router";
import { api, take } from "@/api/client";
import { SECTIONS, whyNot } from "@/app/sectionList";

/** All of a project's sections, also those in which one may do little: a lock says so, and why. */
export function Sections({ project }: { project: string }) {
  const { pathname } = useLocation();
  const privileges = useQuery({
    queryKey: ["project", project],
    queryFn: () => take(api.GET("/studio/v1/projects/{project}", { params: { path: { project } } })),
  }).data?.privileges;
  return (
    <ScrollArea component="nav" aria-label="Project">
      {SECTIONS.map((section) => {
        const { to, label, icon: Picture, needs } = section;
        const address = `/p/${project}/${to}`;
        const closed = needs !== undefined && privileges !== undefined && !privileges.includes(needs);
        return (
          <Tooltip key={to} label={closed ? whyNot(section) : ""} disabled={!closed} position="right" events={{ hover: true, focus: true, touch: false }}>
            <NavLink
              component={RouterLink}
              to={address}
              label={label}
              leftSection={<Picture size={18} stroke={1.6} />}
              rightSection={
                closed && (
                  <>
                    <IconLock size={14} stroke={1.6} aria-hidden />
                    <VisuallyHidden>not allowed to you</VisuallyHidden>
                  </>
                )
              }
              active={pathname === address || pathname.startsWith(`${address}/`)}
              style={{ borderRadius: "var(--mantine-radius-md)" }}
            />
          </Tooltip>
        );
      })}
    </ScrollArea>
  );
}
