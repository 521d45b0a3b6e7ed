import { useEffect, useRef } from "react";
import type { Schemas } from "@/api/client";
import classes from "@/pages/predict/predict.module.css";

/** Red where the picture speaks for the label, blue where it speaks against it; the stronger, the less shines through. */
export function Heatmap({ map }: { map: Schemas["HeatmapAnswer"] }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { values, area } = map;

  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    const columns = values[0]?.length ?? 0;
    const most = Math.max(1e-6, ...values.flat().map(Math.abs));
    const pixels = context.createImageData(columns, values.length);
    values.flat().forEach((value, place) => {
      const strength = Math.abs(value) / most;
      pixels.data.set(value > 0 ? [230, 30, 30, 190 * strength] : [30, 90, 230, 150 * strength], place * 4);
    });
    context.putImageData(pixels, 0, 0);
  }, [values]);

  const percent = (share: number) => `${share * 100}%`;
  return (
    <canvas
      ref={canvas}
      className={classes.heatmap}
      width={values[0]?.length ?? 1}
      height={values.length}
      role="img"
      aria-label={`Where the evidence for ${map.label} lies`}
      style={{ left: percent(area.left), top: percent(area.top), width: percent(area.right - area.left), height: percent(area.bottom - area.top) }}
    />
  );
}
