import { useElementSize } from "@mantine/hooks";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, type Ref, useEffect, useImperativeHandle, useRef, useState } from "react";
import type { Label } from "@/api/labels";
import { fits, type Image, type ImageFilter } from "@/pages/images/filter";
import classes from "@/pages/images/grid.module.css";
import { PAGE_IMAGES } from "@/pages/images/pages";
import { isSelected, type Selected } from "@/pages/images/selection";
import { Tile, type TileActions, tileId } from "@/pages/images/Tile";
import { useFastScroll } from "@/pages/images/useFastScroll";

const GAP_PX = 6;
const EDGE_PX = 3;
const NARROW_PX = 150;
const SMALL_PX = 110;
const OVERSCAN_ROWS = 2;

/** What the grid lets the page see and do. */
export interface GridHandle {
  columns: number;
  rowsOnScreen: number;
  show: (index: number) => void;
  focus: () => void;
}

interface Props {
  handle: Ref<GridHandle>;
  project: string;
  total: number;
  at: (index: number) => Image | null;
  labels: Map<string, Label>;
  filter: ImageFilter;
  selected: Selected;
  framed: number;
  /** Least width of a tile, pixels. */
  tilePx: number;
  isWhole: boolean;
  actions: TileActions;
  /** Which pages are in sight, and whether they fly past. */
  onSight: (pages: number[], isMoving: boolean) => void;
  children?: ReactNode;
}

/** Rows of square tiles, of which only those in sight are there. One stop for Tab; arrows move a frame inside. */
export function Grid({ handle, project, total, at, labels, filter, selected, framed, tilePx, isWhole, actions, onSight, children }: Props) {
  const { ref: sizeRef, width } = useElementSize(); // of the sheet: what a scrollbar takes is not there
  const scroller = useRef<HTMLDivElement>(null);
  const isMoving = useFastScroll(scroller);
  const columns = Math.max(2, Math.floor((width - 2 * EDGE_PX + GAP_PX) / (tilePx + GAP_PX)));
  const side = Math.max(40, (width - 2 * EDGE_PX - (columns - 1) * GAP_PX) / columns);
  const rows = useVirtualizer({
    count: width ? Math.ceil(total / columns) : 0,
    getScrollElement: () => scroller.current,
    estimateSize: () => side + GAP_PX,
    overscan: OVERSCAN_ROWS,
    useFlushSync: false,
    paddingEnd: 72,
    scrollPaddingEnd: 80,
  });
  useEffect(() => rows.measure(), [side]);

  const shown = rows.getVirtualItems();
  const first = (shown[0]?.index ?? 0) * columns;
  const last = Math.min(total, ((shown.at(-1)?.index ?? 0) + 1) * columns) - 1;
  const [firstPage, lastPage] = [Math.floor(first / PAGE_IMAGES), Math.max(0, Math.floor(last / PAGE_IMAGES))];
  useEffect(() => {
    onSight(Array.from({ length: lastPage - firstPage + 1 }, (_, step) => firstPage + step), isMoving);
  }, [firstPage, lastPage, isMoving, onSight]);

  // Keep what one looks at in place when the tiles get another size.
  const anchor = useRef(0);
  const [laidOut, setLaidOut] = useState(columns);
  if (laidOut !== columns) {
    setLaidOut(columns);
    requestAnimationFrame(() => rows.scrollToIndex(Math.floor(anchor.current / columns), { align: "start" }));
  } else {
    anchor.current = Math.floor((rows.scrollOffset ?? 0) / (side + GAP_PX)) * columns;
  }

  useImperativeHandle(handle, () => ({
    columns,
    rowsOnScreen: Math.max(1, Math.floor((scroller.current?.clientHeight ?? 0) / (side + GAP_PX))),
    show: (index) => rows.scrollToIndex(Math.floor(index / columns), { align: "auto" }),
    focus: () => scroller.current?.focus({ preventScroll: true }),
  }));

  return (
    <div
      ref={scroller}
      className={[classes.grid, isWhole && classes.whole, side < NARROW_PX && classes.narrow, side < SMALL_PX && classes.small].filter(Boolean).join(" ")}
      role="grid"
      tabIndex={0}
      aria-label="Images"
      aria-multiselectable
      aria-rowcount={Math.ceil(total / columns)}
      aria-colcount={columns}
      aria-activedescendant={total ? tileId(framed) : undefined}
    >
      <div ref={sizeRef} role="presentation" className={classes.sheet} style={{ height: rows.getTotalSize() }}>
        {shown.map((row) => (
          <div
            key={row.key}
            role="row"
            aria-rowindex={row.index + 1}
            className={classes.row}
            style={{ transform: `translateY(${row.start}px)`, gridTemplateColumns: `repeat(${columns}, ${side}px)`, gridAutoRows: `${side}px` }}
          >
            {Array.from({ length: Math.min(columns, total - row.index * columns) }, (_, column) => {
              const index = row.index * columns + column;
              const image = at(index);
              return (
                <Tile
                  key={column}
                  project={project}
                  image={image}
                  index={index}
                  column={column + 1}
                  labels={labels}
                  isSelected={image !== null && isSelected(selected, image.id)}
                  isFramed={index === framed}
                  hasLeft={image !== null && !fits(image, filter)}
                  isMoving={isMoving}
                  actions={actions}
                />
              );
            })}
          </div>
        ))}
      </div>
      {children}
    </div>
  );
}
