import { SegmentedControl, useMantineColorScheme } from "@mantine/core";
import { Panel } from "@/components/Panel";

const SCHEMES = [
  { value: "light", label: "Light" },
  { value: "dark", label: "Dark" },
  { value: "auto", label: "As this device" },
] as const;

export function Colours() {
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  return (
    <Panel title="Colours" about="Kept in this browser.">
      <SegmentedControl
        aria-label="Colours"
        data={[...SCHEMES]}
        value={colorScheme}
        onChange={setColorScheme}
        style={{ alignSelf: "flex-start" }}
      />
    </Panel>
  );
}
