import { memo, type MouseEvent } from "react";
import type { Label } from "@/api/labels";
import { thumbnailAddress } from "@/components/addresses";
import { inkOn } from "@/components/ink";
import type { Image } from "@/pages/images/filter";
import classes from "@/pages/images/grid.module.css";

/** What a tile can be asked for; the same object as long as the page is there. */
export interface TileActions {
  click: (index: number, event: MouseEvent) => void;
  tick: (index: number) => void;
  zoom: (index: number) => void;
  makeDefault: (image: string, label: string) => void;
  takeOff: (image: string, label: string) => void;
}

interface Props {
  project: string;
  image: Image | null;
  index: number;
  column: number;
  labels: Map<string, Label>;
  isSelected: boolean;
  isFramed: boolean;
  /** It does not fit the filter any more. */
  hasLeft: boolean;
  /** Scrolled past too fast to load anything. */
  isMoving: boolean;
  actions: TileActions;
}

const seen = new Set<string>(); // their thumbnails lie in the browser's cache: they cost no request

export function tileId(index: number): string {
  return `image-${index}`;
}

/** An image in the grid. The keyboard's way to its buttons are the keys; they stay out of the order of Tab. */
export const Tile = memo(function Tile({ project, image, index, column, labels, isSelected, isFramed, hasLeft, isMoving, actions }: Props) {
  if (!image) return <div id={tileId(index)} role="gridcell" aria-colindex={column} aria-label="Not loaded yet" className={classes.tile} data-framed={isFramed || undefined} />;
  const { id, name } = image;
  const own = image.labels.flatMap((label) => labels.get(label) ?? []);
  const words = [
    name,
    own.length ? own.map((label) => `${label.name}${label.id === image.default_label && own.length > 1 ? " (default)" : ""}`).join(", ") : "unlabelled",
    image.validation && "validation",
  ].filter(Boolean);
  const isShown = !isMoving || seen.has(id);
  return (
    <div
      id={tileId(index)}
      role="gridcell"
      aria-colindex={column}
      aria-selected={isSelected}
      aria-label={words.join("; ")}
      title={name}
      className={classes.tile}
      data-framed={isFramed || undefined}
      data-left={hasLeft || undefined}
      onClick={(event) => actions.click(index, event)}
      onDoubleClick={() => actions.zoom(index)}
    >
      {isShown && <img key={id} src={thumbnailAddress(project, id)} alt="" decoding="async" draggable={false} onLoad={() => seen.add(id)} />}
      <div className={classes.top}>
        <button
          type="button"
          tabIndex={-1}
          className={`${classes.corner} ${classes.tick}`}
          aria-label={`Select ${name}`}
          aria-pressed={isSelected}
          onClick={(event) => { event.stopPropagation(); actions.tick(index); }}
          onDoubleClick={(event) => event.stopPropagation()}
        >
          ✓
        </button>
        <button
          type="button"
          tabIndex={-1}
          className={classes.corner}
          aria-label={`Look closely at ${name}`}
          onClick={(event) => { event.stopPropagation(); actions.zoom(index); }}
        >
          ⤢
        </button>
      </div>
      {image.validation && <span className={classes.flag} title="In the validation set">val<span className={classes.rest}>idation</span></span>}
      <div className={classes.chips}>
        {own.map((label) => {
          const isDefault = label.id === image.default_label && own.length > 1;
          return (
            <span key={label.id} className={classes.chip} style={{ background: label.colour, color: inkOn(label.colour) }}>
              <button
                type="button"
                tabIndex={-1}
                className={classes.name}
                title={isDefault ? `${label.name} is the default label` : `Make ${label.name} the default label`}
                onClick={(event) => { event.stopPropagation(); actions.makeDefault(id, label.id); }}
                onDoubleClick={(event) => event.stopPropagation()}
              >
                {isDefault && "★ "}
                <span className={classes.word}>{label.name}</span>
              </button>
              <button
                type="button"
                tabIndex={-1}
                className={classes.off}
                aria-label={`Take ${label.name} off ${name}`}
                onClick={(event) => { event.stopPropagation(); actions.takeOff(id, label.id); }}
                onDoubleClick={(event) => event.stopPropagation()}
              >
                ×
              </button>
            </span>
          );
        })}
      </div>
    </div>
  );
});
