import { NavLink, ScrollArea } from "@mantine/core";
import {
  IconChartDots,
  IconCopy,
  IconDownload,
  IconPhoto,
  IconScan,
  IconSettings,
  IconSparkles,
} from "@tabler/icons-react";
import { NavLink as RouterLink, useLocation } from "react-router";

const SECTIONS = [
  { to: "images", label: "Images", icon: IconPhoto },
  { to: "similar", label: "Similar", icon: IconCopy },
  { to: "train", label: "Train", icon: IconSparkles },
  { to: "models", label: "Models", icon: IconChartDots },
  { to: "predict", label: "Predict", icon: IconScan },
  { to: "download", label: "Download", icon: IconDownload },
  { to: "settings", label: "Project", icon: IconSettings },
];

/** What a project has, in the order of the work. */
export function Sections({ project }: { project: string }) {
  const { pathname } = useLocation();
  return (
    <ScrollArea component="nav" aria-label="Project">
      {SECTIONS.map(({ to, label, icon: Picture }) => {
        const address = `/p/${project}/${to}`;
        return (
          <NavLink
            key={to}
            component={RouterLink}
            to={address}
            label={label}
            leftSection={<Picture size={18} stroke={1.6} />}
            active={pathname === address || pathname.startsWith(`${address}/`)}
            style={{ borderRadius: "var(--mantine-radius-md)" }}
          />
        );
      })}
    </ScrollArea>
  );
}
