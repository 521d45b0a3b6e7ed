import { Text, Tooltip } from "@mantine/core";
import { thumbnailAddress } from "@/components/addresses";
import { percent } from "@/components/words";
import classes from "@/pages/model/model.module.css";
import type { Seen } from "@/pages/model/usePredictions";

/** Green is true, red is not: the labels that the model gave, then those that it missed. */
export function PredictionTile({ project, seen }: { project: string; seen: Seen }) {
  const truth = new Set(seen.truth.map((each) => each.label));
  const given = new Set(seen.decided.map((each) => each.label));
  const missed = seen.truth.filter((each) => !given.has(each.label));
  const scores = seen.top.map((each) => `${each.label} ${percent(each.probability)}`).join("\n");
  const words = `${seen.name ?? "removed image"}: ${seen.correct ? "right" : "wrong"}; said ${[...given].join(", ") || "nothing"}; true ${[...truth].join(", ") || "nothing"}`;
  return (
    <div className={classes.tile} data-correct={seen.correct} role="listitem" aria-label={words}>
      {seen.name === null ? (
        <Text size="xs" c="dimmed" p="xl" ta="center">
          removed since
        </Text>
      ) : (
        <img src={thumbnailAddress(project, seen.image)} alt="" loading="lazy" decoding="async" />
      )}
      <Tooltip label={<span style={{ whiteSpace: "pre-line" }}>{`${seen.name ?? ""}\n${scores}`}</span>}>
        <div className={classes.said}>
          {seen.decided.length === 0 && <div className={classes.wrong}>no answer</div>}
          {seen.decided.map((each) => (
            <div key={each.label} className={truth.has(each.label) ? classes.right : classes.wrong}>
              {each.label} {percent(each.probability, 0)}
            </div>
          ))}
          {missed.map((each) => (
            <div key={each.label}>
              <Text span inherit c="dimmed">
                true:
              </Text>{" "}
              <span className={classes.right}>{each.label}</span> {percent(each.probability, 0)}
            </div>
          ))}
        </div>
      </Tooltip>
    </div>
  );
}
