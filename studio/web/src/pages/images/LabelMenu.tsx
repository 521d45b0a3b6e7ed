import { Button, type ButtonProps, ColorSwatch, Combobox, Group, Text, useCombobox } from "@mantine/core";
import { IconTag } from "@tabler/icons-react";
import { type ReactNode, useState } from "react";
import type { Label } from "@/api/labels";

const MOST_SHOWN = 100;

interface Props extends ButtonProps {
  labels: Label[];
  word: string;
  /** What picking one does: the button's accessible name. */
  about: string;
  icon?: ReactNode;
  onPick: (label: Label) => void;
}

/** A button that asks for a label: typed or clicked. */
export function LabelMenu({ labels, word, about, icon, onPick, ...others }: Props) {
  const [typed, setTyped] = useState("");
  const menu = useCombobox({
    onDropdownClose: () => {
      setTyped("");
      menu.resetSelectedOption();
    },
    onDropdownOpen: () => menu.focusSearchInput(),
  });
  const text = typed.trim().toLowerCase();
  const found = labels.filter(({ name }) => name.toLowerCase().includes(text)).slice(0, MOST_SHOWN);
  return (
    <Combobox
      store={menu}
      width={240}
      position="top"
      onOptionSubmit={(id) => {
        const label = labels.find((each) => each.id === id);
        if (label) onPick(label);
        menu.closeDropdown();
      }}
    >
      <Combobox.Target withAriaAttributes={false}>
        <Button size="compact-sm" variant="light" leftSection={icon ?? <IconTag size={16} />} aria-label={about} title={about} aria-haspopup="listbox" aria-expanded={menu.dropdownOpened} onClick={() => menu.toggleDropdown()} {...others}>
          {word}
        </Button>
      </Combobox.Target>
      <Combobox.Dropdown>
        <Combobox.Search
          aria-label={about}
          placeholder="Find a label"
          value={typed}
          onChange={(event) => {
            setTyped(event.currentTarget.value);
            menu.selectFirstOption();
          }}
        />
        <Combobox.Options mah={260} style={{ overflowY: "auto" }}>
          {found.map(({ id, name, colour }) => (
            <Combobox.Option key={id} value={id}>
              <Group gap="xs" wrap="nowrap">
                <ColorSwatch color={colour} size={14} withShadow={false} />
                <Text size="sm" truncate>
                  {name}
                </Text>
              </Group>
            </Combobox.Option>
          ))}
          {found.length === 0 && <Combobox.Empty>No such label</Combobox.Empty>}
        </Combobox.Options>
      </Combobox.Dropdown>
    </Combobox>
  );
}
