import { TextInput, type TextInputProps } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { IconSearch } from "@tabler/icons-react";

interface Props extends Omit<TextInputProps, "onChange" | "value" | "defaultValue"> {
  label: string;
  /** Else it is for those alone who listen to the page. */
  withLabel?: boolean;
  /** A moment after the last key. */
  onSearch: (text: string) => void;
}

/** A field to look for something by a part of its name. */
export function SearchField({ label, withLabel = false, onSearch, ...others }: Props) {
  const later = useDebouncedCallback((text: string) => onSearch(text.trim()), 200);
  return (
    <TextInput
      label={withLabel ? label : undefined}
      aria-label={label}
      placeholder="Search"
      type="search"
      leftSection={<IconSearch size={16} />}
      onChange={(event) => later(event.currentTarget.value)}
      {...others}
    />
  );
}
