import { Button, Drawer, Paper, Skeleton } from "@mantine/core";
import { useDisclosure, useLocalStorage, useMediaQuery } from "@mantine/hooks";
import { IconRefresh, IconSearchOff } from "@tabler/icons-react";
import { type MouseEvent, useCallback, useMemo, useRef, useState } from "react";
import { useCounts, useLabels } from "@/api/labels";
import { useMay } from "@/api/session";
import { Empty } from "@/components/Empty";
import { Trouble } from "@/components/Trouble";
import { useDocumentTitle } from "@/components/useDocumentTitle";
import { count } from "@/components/words";
import { EmptyProject } from "@/pages/images/EmptyProject";
import { FilterChips } from "@/pages/images/FilterChips";
import { fits, isEmpty, useWanted } from "@/pages/images/filter";
import { Grid, type GridHandle } from "@/pages/images/Grid";
import { Help } from "@/pages/images/Help";
import classes from "@/pages/images/images.module.css";
import { useLabelEdits } from "@/pages/images/labelEdits";
import { LabelFile } from "@/pages/images/LabelFile";
import { useLabelling } from "@/pages/images/labelling";
import { LabelPanel } from "@/pages/images/LabelPanel";
import { loadedImages, reloadImages, useGallery } from "@/pages/images/pages";
import { type Selected, sizeOf, useSelection } from "@/pages/images/selection";
import { SelectionBar } from "@/pages/images/SelectionBar";
import type { TileActions } from "@/pages/images/Tile";
import { Toolbar } from "@/pages/images/Toolbar";
import { DropTarget } from "@/pages/images/upload/DropTarget";
import { type Found, foundOf, isLabelFile } from "@/pages/images/upload/gather";
import { UploadDialog } from "@/pages/images/upload/UploadDialog";
import { useCommands } from "@/pages/images/useCommands";
import { usePeople } from "@/pages/images/usePeople";
import { Zoom } from "@/pages/images/Zoom";

/** Where people see their images and label them. */
export function Workplace({ project }: { project: string }) {
  useDocumentTitle("Images");
  const controls = useWanted();
  const { wanted, key } = controls;
  const labels = useLabels(project).data ?? [];
  const labelsById = useMemo(() => new Map(labels.map((label) => [label.id, label])), [labels]);
  const counts = useCounts(project).data;
  const people = usePeople(project);
  const [mayLabel, mayEdit, mayUpload, mayRemove] = [useMay("label"), useMay("edit_labels"), useMay("upload"), useMay("remove")];

  const [sight, setSight] = useState({ pages: [0], isMoving: false });
  const gallery = useGallery(project, wanted, sight.pages, sight.isMoving);
  const { total, at } = gallery;
  const selection = useSelection(key);
  const { selected } = selection;
  const [frame, setFrame] = useState({ key, index: 0 });
  const framed = frame.key === key ? Math.max(0, Math.min(frame.index, total - 1)) : 0;
  const [zoomed, setZoomed] = useState(false);

  const [tilePx, setTilePx] = useLocalStorage({ key: "onsight-tile-px", defaultValue: 160 });
  const [isWhole, setWhole] = useLocalStorage({ key: "onsight-tiles-whole", defaultValue: false });
  const [help, helpSheet] = useDisclosure(false);
  const [panel, panelDrawer] = useDisclosure(false);
  const [found, setFound] = useState<Found[] | null>(null);
  const [labelFile, setLabelFile] = useState<{ given: File | null } | null>(null);
  const isNarrow = useMediaQuery("(max-width: 61.99em)", false, { getInitialValueInEffect: false });
  const isTouch = useMediaQuery("(hover: none)", false, { getInitialValueInEffect: false });

  const grid = useRef<GridHandle>(null);
  const search = useRef<HTMLInputElement>(null);
  const [files, folder, camera] = [useRef<HTMLInputElement>(null), useRef<HTMLInputElement>(null), useRef<HTMLInputElement>(null)];

  const labelling = useLabelling(project, wanted, labels, total, selection.clear);
  const edits = useLabelEdits(project, labelling.undo);
  const framedImage = at(framed);
  const target: Selected | null = useMemo(() => {
    if (!zoomed && sizeOf(selected, total) > 0) return selected;
    return framedImage ? { all: false, ids: new Set([framedImage.id]) } : null;
  }, [zoomed, selected, total, framedImage?.id]);

  const commands = useCommands({
    key, framed, setFrame, total, at, selection, target, zoomed, setZoomed, labels, labelling, mayLabel, mayRemove, grid, search,
    idsBetween: gallery.idsBetween, showHelp: helpSheet.toggle, wanted, project,
  });

  // One object for good, so that tiles are drawn again only for what they show.
  const latest = useRef({ commands, selection, labelling, mayLabel, isTouch });
  latest.current = { commands, selection, labelling, mayLabel, isTouch };
  const actions = useMemo<TileActions>(() => {
    const only = (id: string): Selected => ({ all: false, ids: new Set([id]) });
    return {
      click(index: number, event: MouseEvent) {
        const { commands: now, isTouch: byFinger } = latest.current;
        if (event.shiftKey) void now.selectTo(index);
        else if (event.ctrlKey || event.metaKey || byFinger) now.tick(index);
        else now.pick(index);
      },
      tick: (index) => latest.current.commands.tick(index),
      zoom: (index) => latest.current.commands.zoom(index),
      makeDefault: (image, label) => latest.current.mayLabel && latest.current.labelling.makeDefault(only(image), label),
      takeOff: (image, label) => latest.current.mayLabel && latest.current.labelling.label(only(image), { remove: [label] }),
    };
  }, []);

  const onFound = useCallback((dropped: Found[]) => {
    const [first] = dropped;
    if (first && dropped.length === 1 && isLabelFile(first.file)) setLabelFile({ given: first.file });
    else if (dropped.length > 0) setFound(dropped);
  }, []);
  const onSight = useCallback((pages: number[], isMoving: boolean) => setSight({ pages, isMoving }), []);
  const left = isEmpty(wanted.filter) ? 0 : loadedImages(project, wanted).filter((image) => !fits(image, wanted.filter)).length;

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
      putOn={(label) => target && labelling.label(target, { add: [label.id] })}
      takeOff={(label) => target && labelling.label(target, { remove: [label.id] })}
      star={(label) => labelling.starred(label)}
    />
  );

  return (
    <div className={classes.page}>
      <Toolbar
        controls={controls} people={people} total={total} all={counts?.images} tilePx={tilePx} setTilePx={setTilePx} isWhole={isWhole}
        setWhole={setWhole} mayUpload={mayUpload} mayLabel={mayLabel} project={project} onUpload={() => files.current?.click()}
        onFolder={() => folder.current?.click()} onCamera={() => camera.current?.click()}
        onLabelFile={() => setLabelFile({ given: null })} onUndo={labelling.undo} onHelp={helpSheet.open} onPanel={panelDrawer.open}
      />
      <FilterChips controls={controls} labels={labelsById} people={people} />
      <div className={classes.work}>
        {!isNarrow && <div className={classes.side}>{labelPanel}</div>}
        <div className={classes.field} style={{ display: "flex", flexDirection: "column" }}>
          {gallery.error && <Trouble error={gallery.error} retry={() => void reloadImages(project)} />}
          {gallery.isPending && !gallery.error && <Skeleton h="100%" aria-label="Loading" />}
          {!gallery.isPending && total === 0 && isEmpty(wanted.filter) && (
            <EmptyProject mayUpload={mayUpload} onFiles={() => files.current?.click()} onFolder={() => folder.current?.click()} onCamera={() => camera.current?.click()} />
          )}
          {!gallery.isPending && total === 0 && !isEmpty(wanted.filter) && !gallery.error && (
            <Empty icon={IconSearchOff} title="No image fits these filters">
              <Button variant="light" onClick={controls.clear}>
                Show all images
              </Button>
            </Empty>
          )}
          {total > 0 && (
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
              tilePx={isNarrow ? Math.min(tilePx, 120) : tilePx}
              isWhole={isWhole}
              actions={actions}
              onSight={onSight}
            />
          )}
          {left > 0 && (
            <Paper className={classes.left} withBorder shadow="md" radius="xl" px="sm" py={4}>
              <Button variant="subtle" size="compact-sm" leftSection={<IconRefresh size={16} />} onClick={() => void reloadImages(project)}>
                {count(left, "image fits", "images fit")} the filter no more. Show anew
              </Button>
            </Paper>
          )}
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
      {mayUpload && (
        <>
          <DropTarget onFound={onFound} />
          <input ref={files} type="file" multiple hidden accept="image/*,.zip,application/zip" aria-label="Files to upload" onChange={(event) => choose(event.currentTarget)} />
          <input ref={folder} type="file" hidden aria-label="Folder to upload" {...{ webkitdirectory: "" }} onChange={(event) => choose(event.currentTarget)} />
          <input ref={camera} type="file" hidden accept="image/*" capture="environment" aria-label="Photo to take" onChange={(event) => choose(event.currentTarget)} />
        </>
      )}
      {found && <UploadDialog project={project} found={found} mayLabel={mayLabel} onClose={() => setFound(null)} />}
      {labelFile && <LabelFile project={project} given={labelFile.given} onClose={() => setLabelFile(null)} />}
    </div>
  );

  function choose(input: HTMLInputElement): void {
    onFound(foundOf(input.files ?? []));
    input.value = ""; // so that the same choice is one again
  }
}
