import { Anchor, Text, Tooltip } from "@mantine/core";
import { useState } from "react";
import { percent } from "@/components/words";
import type { Answer, Thresholds } from "@/pages/predict/answers";
import classes from "@/pages/predict/predict.module.css";

const FIRST = 4;

interface Props {
  scores: Answer["scores"];
  thresholds: Thresholds;
  claimed: string[];
  colourOf: (label: string) => string;
}

/** Probabilities, the highest first; a tick where the label begins to count. */
export function Bars({ scores, thresholds, claimed, colourOf }: Props) {
  const [all, setAll] = useState(false);
  const shown = all ? scores : scores.slice(0, FIRST);
  return (
    <div className={classes.bars} role="list" aria-label="Probabilities">
      {shown.map(({ label, probability, threshold: own }) => {
        const threshold = thresholds[label] ?? own;
        const counts = claimed.includes(label);
        return (
          <Tooltip key={label} label={`${label}: probability ${percent(probability, 2)}; it counts from ${percent(threshold, 1)} on`}>
            <div className={classes.score} role="listitem">
              <Text size="xs" fw={counts ? 650 : 400} c={counts ? undefined : "dimmed"} truncate>
                {label}
              </Text>
              <div className={classes.track} aria-hidden>
                <div className={classes.bar} style={{ width: `${probability * 100}%`, background: colourOf(label), opacity: counts ? 1 : 0.45 }} />
                {threshold > 0 && <div className={classes.tick} style={{ left: `${threshold * 100}%` }} />}
              </div>
              <Text size="xs" className="tabular" ta="right" fw={counts ? 650 : 400} c={counts ? undefined : "dimmed"}>
                {percent(probability)}
              </Text>
            </div>
          </Tooltip>
        );
      })}
      {scores.length > FIRST && (
        <Anchor component="button" type="button" size="xs" ta="left" onClick={() => setAll(!all)}>
          {all ? "Fewer" : `All ${scores.length}`}
        </Anchor>
      )}
    </div>
  );
}
