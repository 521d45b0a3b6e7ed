import { Drawer } from "@mantine/core";
import { useDisclosure, useLocalStorage, useMediaQuery } from "@mantine/hooks";
import { useCallback, useMemo, useRef, useState } from "react";
import { type Label, useCounts, useLabels } from "@/api/labels";
import { useMay } from "@/api/session";
import { useDocumentTitle } from "@/components/useDocumentTitle";
import { Field } from "@/pages/images/Field";
import { FilterChips } from "@/pages/images/FilterChips";
import { useWanted } from "@/pages/images/filter";
import { Grid, type GridHandle } from "@/pages/images/Grid";
import { Help } from "@/pages/images/Help";
import classes from "@/pages/images/images.module.css";
import { useLabelEdits } from "@/pages/images/labelEdits";
import { useLabelling } from "@/pages/images/labelling";
import { LabelPanel } from "@/pages/images/LabelPanel";
import { useGallery } from "@/pages/images/pages";
import { type Selected, sizeOf, useSelection } from "@/pages/images/selection";
import { SelectionBar } from "@/pages/images/SelectionBar";
import type { TileActions } from "@/pages/images/Tile";
import { Toolbar } from "@/pages/images/Toolbar";
import { type Door, UploadDoor } from "@/pages/images/upload/UploadDoor";
import { useCommands } from "@/pages/images/useCommands";
import { usePeople } from "@/pages/images/usePeople";
import { useSteady } from "@/pages/images/useSteady";
import { Zoom } from "@/pages/images/Zoom";

const NO_LABELS: Label[] = [];
const MOST_PHONE_TILE_PX = 104;

/** Where people see their images and label them. */
export function Workplace({ project }: { project: string }) {
  useDocumentTitle("Images");
  const controls = useWanted();
  const { wanted, key } = controls;
  const labels = useLabels(project).data ?? NO_LABELS;
  const labelsById = useMemo(() => new Map(labels.map((label) => [label.id, label])), [labels]);
  const counts = useCounts(project).data;
  const people = usePeople(project);
  const [mayLabel, mayEdit, mayUpload, mayRemove] = [useMay("label"), useMay("edit_labels"), useMay("upload"), useMay("remove")];

  const [sight, setSight] = useState({ pages: [0], isMoving: false });
  const onSight = useCallback((pages: number[], isMoving: boolean) => setSight({ pages, isMoving }), []);
  const gallery = useGallery(project, wanted, sight.pages, sight.isMoving);
  const { total, at } = gallery;
  const selection = useSelection(key);
  const { selected } = selection;
  const [frame, setFrame] = useState({ key, index: 0 });
  const framed = frame.key === key ? Math.max(0, Math.min(frame.index, total - 1)) : 0;
  const framedImage = at(framed);
  const [zoomed, setZoomed] = useState(false);

  const [tilePx, setTilePx] = useLocalStorage({ key: "onsight-tile-px", defaultValue: 160 });
  const [isWhole, setWhole] = useLocalStorage({ key: "onsight-tiles-whole", defaultValue: false });
  const [help, helpSheet] = useDisclosure(false);
  const [panel, panelDrawer] = useDisclosure(false);
  const isNarrow = useMediaQuery("(max-width: 61.99em)", false, { getInitialValueInEffect: false });
  const isTouch = useMediaQuery("(hover: none)", false, { getInitialValueInEffect: false });

  const grid = useRef<GridHandle>(null);
  const search = useRef<HTMLInputElement>(null);
  const held = useRef<Door>(null);
  const door = useMemo<Door>(
    () => ({
      files: () => held.current?.files(),
      folder: () => held.current?.folder(),
      camera: () => held.current?.camera(),
      labelFile: () => held.current?.labelFile(),
    }),
    [],
  );

  const labelling = useLabelling(project, wanted, labels, total, selection.clear);
  const edits = useLabelEdits(project, useSteady(labelling.undo));
  const target: Selected | null = useMemo(() => {
    if (!zoomed && sizeOf(selected, total) > 0) return selected;
    return framedImage ? { all: false, ids: new Set([framedImage.id]) } : null;
  }, [zoomed, selected, total, framedImage?.id]);
  const commands = useCommands({
    key, framed, setFrame, total, at, selection, target, zoomed, setZoomed, labels, labelling, mayLabel, mayRemove, grid, search,
    idsBetween: gallery.idsBetween, showHelp: helpSheet.toggle, wanted, project,
  });

  const only = (id: string): Selected => ({ all: false, ids: new Set([id]) });
  const click: TileActions["click"] = useSteady((index, event) => {
    if (event.shiftKey) void commands.selectTo(index);
    else if (event.ctrlKey || event.metaKey || isTouch) commands.tick(index);
    else commands.pick(index);
  });
  const tick = useSteady(commands.tick);
  const zoom = useSteady(commands.zoom);
  const makeDefault = useSteady((image: string, label: string) => mayLabel && labelling.makeDefault(only(image), label));
  const takeOff = useSteady((image: string, label: string) => mayLabel && labelling.label(only(image), { remove: [label] }));
  const actions = useMemo<TileActions>(() => ({ click, tick, zoom, makeDefault, takeOff }), []);

  const labelPanel = (
    <LabelPanel
      labels={labels}
      counts={counts}
      controls={controls}
      mayLabel={mayLabel}
      mayEdit={mayEdit}
      hasTarget={target !== null}
      edits={edits}
      search={search}
      putOn={useSteady((label: Label) => target && labelling.label(target, { add: [label.id] }))}
      takeOff={useSteady((label: Label) => target && labelling.label(target, { remove: [label.id] }))}
      star={useSteady((label: Label) => labelling.starred(label))}
    />
  );

  return (
    <div className={classes.page}>
      <Toolbar
        controls={controls} people={people} total={total} all={counts?.images} tilePx={tilePx} setTilePx={setTilePx} isWhole={isWhole}
        setWhole={setWhole} mayUpload={mayUpload} mayLabel={mayLabel} project={project} door={door}
        onSelectAll={useSteady(selection.all)} onUndo={useSteady(labelling.undo)} onHelp={helpSheet.open} onPanel={panelDrawer.open}
      />
      <FilterChips controls={controls} labels={labelsById} people={people} />
      <div className={classes.work}>
        {!isNarrow && <div className={classes.side}>{labelPanel}</div>}
        <div className={classes.field}>
          <Field project={project} gallery={gallery} controls={controls} mayUpload={mayUpload} door={door}>
            <Grid
              key={key}
              handle={grid}
              project={project}
              total={total}
              at={at}
              labels={labelsById}
              filter={wanted.filter}
              selected={selected}
              framed={framed}
              tilePx={isNarrow ? Math.min(tilePx, MOST_PHONE_TILE_PX) : tilePx}
              isWhole={isWhole}
              actions={actions}
              onSight={onSight}
            />
          </Field>
          <div className={classes.bar}>
            <SelectionBar project={project} total={total} labels={labels} selection={selection} labelling={labelling} mayLabel={mayLabel} mayRemove={mayRemove} />
          </div>
        </div>
      </div>
      <Drawer opened={isNarrow && panel} onClose={panelDrawer.close} title="Labels" size={320} styles={{ body: { height: "calc(100% - 60px)" } }}>
        {labelPanel}
      </Drawer>
      {zoomed && framedImage && (
        <Zoom
          project={project} image={framedImage} index={framed} total={total} next={at(framed + 1)} labels={labels} people={people}
          labelling={labelling} mayLabel={mayLabel} mayRemove={mayRemove} goesOn={commands.goesOn} setGoesOn={commands.setGoesOn}
          onTurn={(step) => commands.moveTo(framed + step)} onClose={() => setZoomed(false)}
        />
      )}
      <Help opened={help} onClose={helpSheet.close} />
      <UploadDoor door={held} project={project} mayUpload={mayUpload} mayLabel={mayLabel} />
    </div>
  );
}
