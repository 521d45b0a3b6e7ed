import { ActionIcon, Button, Group, Menu, Paper, Text, Tooltip } from "@mantine/core";
import {
  IconArrowsExchange, IconDots, IconFlag, IconFlagOff, IconPhotoSearch, IconSelectAll, IconStar, IconTagOff, IconTrash, IconX,
} from "@tabler/icons-react";
import { Link } from "react-router";
import type { Label } from "@/api/labels";
import { similarAddress } from "@/components/addresses";
import { count } from "@/components/words";
import type { Labelling } from "@/pages/images/labelling";
import { LabelMenu } from "@/pages/images/LabelMenu";
import { type SelectionControls, sizeOf } from "@/pages/images/selection";

const MOST_SIMILAR = 100; // ids that go into an address

interface Props {
  project: string;
  total: number;
  labels: Label[];
  selection: SelectionControls;
  labelling: Labelling;
  mayLabel: boolean;
  mayRemove: boolean;
}

/** How many images are chosen, and what can be done with them. */
export function SelectionBar({ project, total, labels, selection, labelling, mayLabel, mayRemove }: Props) {
  const { selected } = selection;
  const size = sizeOf(selected, total);
  if (size === 0) return null;
  return (
    <Paper className="selection-bar" shadow="lg" withBorder radius="lg" p={6} role="toolbar" aria-label="Selection">
      <Group gap={4} wrap="nowrap">
        <Tooltip label="Unselect (Esc)">
          <ActionIcon variant="subtle" color="gray" aria-label="Unselect" onClick={selection.clear}>
            <IconX size={18} />
          </ActionIcon>
        </Tooltip>
        <Text size="sm" fw={600} className="tabular" style={{ whiteSpace: "nowrap" }} aria-live="polite">
          {count(size, "image")}
        </Text>
        {size < total && (
          <Button size="compact-sm" variant="subtle" leftSection={<IconSelectAll size={16} />} onClick={selection.all} visibleFrom="sm">
            All {total.toLocaleString("en")}
          </Button>
        )}
        {mayLabel && (
          <>
            <LabelMenu labels={labels} word="Label" about="Put a label on the selection" onPick={(label) => labelling.label(selected, { add: [label.id] })} />
            <LabelMenu labels={labels} word="Unlabel" about="Take a label off the selection" variant="subtle" onPick={(label) => labelling.label(selected, { remove: [label.id] })} visibleFrom="sm" />
            <LabelMenu labels={labels} word="Replace" about="Put a label on the selection and take all others off" variant="subtle" onPick={(label) => labelling.label(selected, { add: [label.id], replace: true })} visibleFrom="sm" />
            <LabelMenu labels={labels} word="Default" about="Choose the default label of the images that have it" variant="subtle" icon={<IconStar size={16} />} onPick={(label) => labelling.makeDefault(selected, label.id)} visibleFrom="md" />
          </>
        )}
        {!selected.all && size <= MOST_SIMILAR && (
          <Tooltip label="Images that look like these">
            <ActionIcon component={Link} to={similarAddress(project, selected.ids)} variant="subtle" color="gray" aria-label="Find similar images">
              <IconPhotoSearch size={18} />
            </ActionIcon>
          </Tooltip>
        )}
        <Menu position="top-end">
          <Menu.Target>
            <ActionIcon variant="subtle" color="gray" aria-label="More for the selection">
              <IconDots size={18} />
            </ActionIcon>
          </Menu.Target>
          <Menu.Dropdown>
            <Menu.Item leftSection={<IconArrowsExchange size={16} />} onClick={selection.invert}>
              Invert the selection
            </Menu.Item>
            {mayLabel && (
              <>
                <Menu.Item leftSection={<IconFlag size={16} />} onClick={() => labelling.flag(selected, true)}>
                  Put into the validation set
                </Menu.Item>
                <Menu.Item leftSection={<IconFlagOff size={16} />} onClick={() => labelling.flag(selected, false)}>
                  Take out of the validation set
                </Menu.Item>
                <Menu.Item leftSection={<IconTagOff size={16} />} onClick={() => labelling.label(selected, { replace: true })}>
                  Take all labels off
                </Menu.Item>
                <Menu.Item leftSection={<IconStar size={16} />} onClick={() => labelling.makeDefault(selected, null)}>
                  Choose no default label
                </Menu.Item>
              </>
            )}
            {mayRemove && (
              <>
                <Menu.Divider />
                <Menu.Item color="red" leftSection={<IconTrash size={16} />} onClick={() => labelling.remove(selected)}>
                  Remove images
                </Menu.Item>
              </>
            )}
          </Menu.Dropdown>
        </Menu>
      </Group>
    </Paper>
  );
}
