import { Button, Checkbox, ColorSwatch, Group, Input, ScrollArea, Text, TextInput } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { useState } from "react";
import type { Label } from "@/api/labels";
import classes from "@/pages/train/train.module.css";

const SEARCHED_FROM = 12;

interface Props {
  labels: Label[];
  /** Names. */
  without: string[];
  onChange: (without: string[]) => void;
  title: string;
  about: string;
}

/** Which labels take part: all, but for those whose tick was taken off. */
export function LabelPicker({ labels, without, onChange, title, about }: Props) {
  const [typed, setTyped] = useState("");
  const left = new Set(without);
  const text = typed.trim().toLowerCase();
  const shown = labels.filter(({ name }) => name.toLowerCase().includes(text));
  const ticked = labels.filter(({ name }) => !left.has(name)).length;
  const names = shown.map(({ name }) => name);

  return (
    <Input.Wrapper label={title} description={about} labelElement="div">
      <Group justify="space-between" mt={6} mb={4} gap="xs">
        <Text size="xs" c="dimmed" className="tabular" aria-live="polite">
          {ticked} of {labels.length} ticked
        </Text>
        <Group gap={4}>
          <Button size="compact-xs" variant="subtle" onClick={() => onChange(without.filter((name) => !names.includes(name)))}>
            {text ? "Tick these" : "All"}
          </Button>
          <Button size="compact-xs" variant="subtle" onClick={() => onChange([...new Set([...without, ...names])])}>
            {text ? "Untick these" : "None"}
          </Button>
        </Group>
      </Group>
      {labels.length > SEARCHED_FROM && (
        <TextInput
          size="xs"
          mb={6}
          aria-label="Find a label"
          placeholder="Find a label"
          leftSection={<IconSearch size={14} />}
          value={typed}
          onChange={(event) => setTyped(event.currentTarget.value)}
        />
      )}
      <ScrollArea.Autosize mah={264} type="auto" offsetScrollbars>
        <ul className={classes.ticks} aria-label={title}>
          {shown.map(({ id, name, colour, images }) => (
            <li key={id}>
              <Checkbox
                size="sm"
                classNames={{ body: classes.tickBody, labelWrapper: classes.tickLabel }}
                checked={!left.has(name)}
                onChange={(event) =>
                  onChange(event.currentTarget.checked ? without.filter((each) => each !== name) : [...without, name])
                }
                label={
                  <span className={classes.tick}>
                    <ColorSwatch component="span" color={colour} size={12} withShadow={false} />
                    <span className={classes.tickName}>{name}</span>
                    <span className={classes.tickCount}>{images.toLocaleString("en")}</span>
                  </span>
                }
              />
            </li>
          ))}
        </ul>
      </ScrollArea.Autosize>
    </Input.Wrapper>
  );
}
