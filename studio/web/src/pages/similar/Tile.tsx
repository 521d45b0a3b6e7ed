import type { ReactNode } from "react";
import { thumbnailAddress } from "@/components/addresses";
import classes from "@/pages/similar/similar.module.css";

interface Props {
  project: string;
  image: string;
  name: string;
  score?: string;
  current?: boolean;
  keep?: boolean;
  go?: boolean;
  children?: ReactNode;
}

export function Tile({ project, image, name, score, current, keep, go, children }: Props) {
  return (
    <div className={classes.tile} role="listitem" aria-label={name} title={name} data-current={current || undefined} data-keep={keep || undefined} data-go={go || undefined}>
      <img src={thumbnailAddress(project, image)} alt="" loading="lazy" decoding="async" />
      {score && <span className={classes.score}>{score}</span>}
      {children && <div className={classes.bottom}>{children}</div>}
    </div>
  );
}
