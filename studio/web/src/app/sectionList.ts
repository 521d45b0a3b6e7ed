import {
  type Icon,
  IconChartDots,
  IconCopy,
  IconDownload,
  IconPhoto,
  IconScan,
  IconSettings,
  IconSparkles,
} from "@tabler/icons-react";
import type { Privilege } from "@/components/access";

interface Section {
  to: string;
  label: string;
  icon: Icon;
  /** What one has to have to do there what it is for; without it one may still look. */
  needs?: Privilege;
  /** Said to whoever lacks it. */
  lacking?: string;
}

/** What a project has, in the order of the work. */
export const SECTIONS: Section[] = [
  { to: "images", label: "Images", icon: IconPhoto },
  { to: "similar", label: "Similar", icon: IconCopy },
  { to: "train", label: "Train", icon: IconSparkles, needs: "train", lacking: "You can follow trainings here, but start none" },
  { to: "models", label: "Models", icon: IconChartDots },
  { to: "predict", label: "Predict", icon: IconScan, needs: "predict", lacking: "You cannot try models on photos here" },
  { to: "download", label: "Download", icon: IconDownload, needs: "download", lacking: "You cannot export or download models here" },
  { to: "settings", label: "Project", icon: IconSettings },
];

export function whyNot({ lacking, needs }: Section): string {
  return `${lacking}: that needs the privilege “${needs}”. An owner of the project can give it to you.`;
}
