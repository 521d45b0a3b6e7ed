import { Group, Paper, ScrollArea, Stack, Switch, Text, UnstyledButton } from "@mantine/core";
import { useState } from "react";
import { percent } from "@/components/words";
import classes from "@/pages/model/model.module.css";
import { PredictionsDrawer } from "@/pages/model/PredictionsDrawer";
import type { Looked } from "@/pages/model/useModel";

const NO_ANSWER = "no answer";

/** Truth by prediction; a click on a cell shows its images. */
export default function Confusion({ looked }: { looked: Looked }) {
  const [shares, setShares] = useState(false);
  const [cell, setCell] = useState<{ truth: string; predicted: string | null } | null>(null);
  const matrix = looked.measured?.confusion;
  if (!matrix) return null;
  const names = looked.facts.labels.map((label) => label.name);
  const found = new Map(matrix.cells.map(([truth, predicted, images]) => [`${truth}/${predicted}`, images]));
  const at = (truth: number, predicted: number) => found.get(`${truth}/${predicted}`) ?? 0;
  const totals = names.map((_, truth) => [...names, NO_ANSWER].reduce((sum, _name, predicted) => sum + at(truth, predicted), 0));
  const hasUnanswered = names.some((_, truth) => at(truth, names.length) > 0);
  const columns = hasUnanswered ? [...names, NO_ANSWER] : names;
  return (
    <Stack gap="md">
      <Group justify="space-between">
        <Text size="sm" c="dimmed">
          Rows are what is true, columns what the model said. On the diagonal it was right. A click shows the images.
        </Text>
        <Switch label="Shares of a row" checked={shares} onChange={(event) => setShares(event.currentTarget.checked)} />
      </Group>
      <Paper withBorder radius="lg" p="md">
        <ScrollArea>
          <table className={classes.matrix} data-few={columns.length <= 12 || undefined} aria-label="Confusion matrix">
            <thead>
              <tr>
                <td />
                {columns.map((name) => (
                  <th key={name} scope="col" title={name}>
                    <div className={classes.column}>{name}</div>
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {names.map((name, truth) => (
                <tr key={name}>
                  <th scope="row" className={classes.row} title={name}>
                    {name}
                  </th>
                  {columns.map((said, predicted) => {
                    const images = at(truth, predicted);
                    const share = totals[truth] ? images / totals[truth] : 0;
                    const label = `${images} of ${totals[truth]} images of ${name} answered ${said}`;
                    return (
                      <td key={said}>
                        <UnstyledButton
                          className={classes.cell}
                          data-empty={images === 0 || undefined}
                          disabled={images === 0}
                          aria-label={label}
                          title={`${label} (${percent(share)})`}
                          style={images ? shade(share, truth === predicted) : undefined}
                          onClick={() => setCell({ truth: name, predicted: said === NO_ANSWER ? null : said })}
                        >
                          {images === 0 ? "·" : shares ? Math.round(share * 100) : images}
                        </UnstyledButton>
                      </td>
                    );
                  })}
                </tr>
              ))}
            </tbody>
          </table>
        </ScrollArea>
      </Paper>
      <PredictionsDrawer
        looked={looked}
        title={cell ? `${cell.truth} answered ${cell.predicted ?? NO_ANSWER}` : ""}
        wanted={cell && { truth: cell.truth, predicted: cell.predicted, unanswered: cell.predicted === null }}
        onClose={() => setCell(null)}
      />
    </Stack>
  );
}

/** The more of a row's images, the stronger the colour: teal where it was right, red where not. */
function shade(share: number, isRight: boolean): { background: string; color?: string } {
  const strength = Math.round(12 + 78 * Math.sqrt(share));
  const colour = isRight ? "var(--mantine-color-teal-7)" : "var(--mantine-color-red-7)";
  return { background: `color-mix(in srgb, ${colour} ${strength}%, transparent)`, color: strength > 58 ? "#fff" : undefined };
}
