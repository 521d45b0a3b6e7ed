import { ActionIcon, Button, Group, Menu, NativeSelect, Popover, Select, Slider, Stack, Switch, TextInput, Title, Tooltip } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import {
  IconAdjustments, IconArrowBackUp, IconCamera, IconChevronDown, IconFileDownload, IconFileUpload, IconFilter, IconFolder, IconKeyboard, IconMenu2, IconPhotoPlus, IconSearch, IconSelectAll, IconTags, IconUpload,
} from "@tabler/icons-react";
import { memo, useEffect, useState } from "react";
import { count } from "@/components/words";
import type { Door } from "@/pages/images/upload/UploadDoor";
import { ORDERS, type Order, type WantedControls } from "@/pages/images/filter";

export const LEAST_TILE_PX = 72;
export const MOST_TILE_PX = 320;

interface Props {
  controls: WantedControls;
  people: Map<string, string>;
  /** Of the filter. */
  total: number;
  all: number | undefined;
  tilePx: number;
  setTilePx: (px: number) => void;
  isWhole: boolean;
  setWhole: (isWhole: boolean) => void;
  mayUpload: boolean;
  mayLabel: boolean;
  project: string;
  door: Door;
  onSelectAll: () => void;
  onUndo: () => void;
  onHelp: () => void;
  onPanel: () => void;
}

export const Toolbar = memo(function Toolbar(props: Props) {
  const { controls, people, total, all, tilePx, setTilePx, isWhole, setWhole, mayUpload, mayLabel, project, door } = props;
  const { wanted: { filter, order }, change, sort } = controls;
  const [typed, setTyped] = useState(filter.name ?? "");
  const search = useDebouncedCallback((name: string) => change({ name: name.trim() || undefined }, true), 250);
  useEffect(() => setTyped(filter.name ?? ""), [filter.name]);
  const users = [...people].map(([value, label]) => ({ value, label }));
  const labelFile = `/studio/v1/projects/${project}/label-file`;
  return (
    <Group gap="xs" justify="space-between" wrap="wrap">
      <Group gap="xs" wrap="nowrap" align="baseline">
        <Title order={1} size="h4">
          Images
        </Title>
        <span className="tabular" aria-live="polite">
          {all === undefined ? "" : total === all ? count(all, "image") : `${total.toLocaleString("en")} of ${count(all, "image")}`}
        </span>
      </Group>
      <Group gap={6}>
        <Button hiddenFrom="md" size="xs" variant="default" leftSection={<IconMenu2 size={16} />} onClick={props.onPanel}>
          Labels
        </Button>
        <TextInput
          aria-label="Name of the image"
          placeholder="Name"
          type="search"
          size="xs"
          w={{ base: 110, sm: 150 }}
          leftSection={<IconSearch size={14} />}
          maxLength={200}
          value={typed}
          onChange={(event) => {
            setTyped(event.currentTarget.value);
            search(event.currentTarget.value);
          }}
        />
        <NativeSelect aria-label="Order" size="xs" data={ORDERS} value={order} onChange={(event) => sort(event.currentTarget.value as Order)} />
        <Popover position="bottom-end" withArrow width={260} trapFocus>
          <Popover.Target>
            <Tooltip label="More filters">
              <ActionIcon variant="default" size={30} aria-label="More filters">
                <IconFilter size={16} />
              </ActionIcon>
            </Tooltip>
          </Popover.Target>
          <Popover.Dropdown>
            <Stack gap="sm">
              <Select label="Uploaded by" clearable searchable size="sm" comboboxProps={{ withinPortal: false }} data={users} value={filter.uploaded_by ?? null} onChange={(id) => change({ uploaded_by: id ?? undefined })} />
              <Select label="Labelled by" clearable searchable size="sm" comboboxProps={{ withinPortal: false }} data={users} value={filter.labelled_by ?? null} onChange={(id) => change({ labelled_by: id ?? undefined })} />
              <Select
                label="Validation set"
                clearable
                size="sm"
                comboboxProps={{ withinPortal: false }}
                data={[{ value: "true", label: "In it" }, { value: "false", label: "Not in it" }]}
                value={filter.validation === undefined ? null : String(filter.validation)}
                onChange={(value) => change({ validation: value === null ? undefined : value === "true" })}
              />
            </Stack>
          </Popover.Dropdown>
        </Popover>
        <Popover position="bottom-end" withArrow width={240} trapFocus>
          <Popover.Target>
            <Tooltip label="Size of the tiles">
              <ActionIcon variant="default" size={30} aria-label="View">
                <IconAdjustments size={16} />
              </ActionIcon>
            </Tooltip>
          </Popover.Target>
          <Popover.Dropdown>
            <Stack gap="md">
              <Slider thumbLabel="Size of the tiles" label={(px) => `${px} pixels`} min={LEAST_TILE_PX} max={MOST_TILE_PX} step={8} value={tilePx} onChange={setTilePx} />
              <Switch label="Show images whole, not cut to squares" checked={isWhole} onChange={(event) => setWhole(event.currentTarget.checked)} />
            </Stack>
          </Popover.Dropdown>
        </Popover>
        <Tooltip label="Select all (Ctrl A)">
          <ActionIcon variant="default" size={30} aria-label="Select all" disabled={total === 0} onClick={props.onSelectAll}>
            <IconSelectAll size={16} />
          </ActionIcon>
        </Tooltip>
        {mayLabel && (
          <Tooltip label="Undo (U)">
            <ActionIcon variant="default" size={30} aria-label="Undo" onClick={props.onUndo}>
              <IconArrowBackUp size={16} />
            </ActionIcon>
          </Tooltip>
        )}
        <Menu position="bottom-end">
          <Menu.Target>
            <Tooltip label="Label files">
              <ActionIcon variant="default" size={30} aria-label="Label files">
                <IconTags size={16} />
              </ActionIcon>
            </Tooltip>
          </Menu.Target>
          <Menu.Dropdown>
            {mayLabel && (
              <Menu.Item leftSection={<IconFileUpload size={16} />} onClick={door.labelFile}>
                Label by a file
              </Menu.Item>
            )}
            <Menu.Item component="a" href={`${labelFile}?format=csv`} download leftSection={<IconFileDownload size={16} />}>
              Download the labels as CSV
            </Menu.Item>
            <Menu.Item component="a" href={`${labelFile}?format=json`} download leftSection={<IconFileDownload size={16} />}>
              Download the labels as JSON
            </Menu.Item>
          </Menu.Dropdown>
        </Menu>
        <Tooltip label="Keys (?)">
          <ActionIcon variant="default" size={30} aria-label="Keys" onClick={props.onHelp} visibleFrom="sm">
            <IconKeyboard size={16} />
          </ActionIcon>
        </Tooltip>
        {mayUpload && (
          <Menu position="bottom-end">
            <Button.Group>
              <Button size="xs" leftSection={<IconUpload size={16} />} onClick={door.files}>
                Upload
              </Button>
              <Menu.Target>
                <Button size="xs" px={6} aria-label="Other ways to upload">
                  <IconChevronDown size={16} />
                </Button>
              </Menu.Target>
            </Button.Group>
            <Menu.Dropdown>
              <Menu.Item leftSection={<IconPhotoPlus size={16} />} onClick={door.files}>
                Files or zips
              </Menu.Item>
              <Menu.Item leftSection={<IconFolder size={16} />} onClick={door.folder}>
                A folder
              </Menu.Item>
              <Menu.Item leftSection={<IconCamera size={16} />} onClick={door.camera}>
                From the camera
              </Menu.Item>
            </Menu.Dropdown>
          </Menu>
        )}
      </Group>
    </Group>
  );
});
