import { Group, Paper, ScrollArea, Table, Text, Tooltip, UnstyledButton } from "@mantine/core";
import { IconArrowDown, IconArrowUp } from "@tabler/icons-react";
import { useState } from "react";
import { percent } from "@/components/words";
import { Dot } from "@/pages/model/Dot";
import { definitionOf, termOf } from "@/pages/model/terms";
import classes from "@/pages/model/model.module.css";
import type { Looked } from "@/pages/model/useModel";

const COLUMNS = ["label", "images", "predicted", "precision", "recall", "f1", "mcc", "average_precision"] as const;
type Column = (typeof COLUMNS)[number];
const SHARES: Column[] = ["precision", "recall", "f1", "average_precision"];

/** A row for every label; sorted by a click on a head. */
export function ClassTable({ looked }: { looked: Looked }) {
  const [by, setBy] = useState<{ column: Column; down: boolean }>({ column: "f1", down: false });
  const rows = [...(looked.measured?.classes ?? [])].sort((one, other) => {
    const [a, b] = [one[by.column] ?? -1, other[by.column] ?? -1];
    const order = typeof a === "string" || typeof b === "string" ? String(a).localeCompare(String(b)) : a - b;
    return by.down ? -order : order;
  });
  const colour = new Map(looked.facts.labels.map((label) => [label.name, label.colour]));
  return (
    <Paper withBorder radius="lg" p={0} style={{ overflow: "hidden" }}>
      <ScrollArea>
        <Table stickyHeader verticalSpacing={6} miw={720} className="tabular">
          <Table.Thead>
            <Table.Tr>
              {COLUMNS.map((column) => (
                <Table.Th key={column} ta={column === "label" ? "left" : "right"} aria-sort={by.column === column ? (by.down ? "descending" : "ascending") : "none"}>
                  <Tooltip label={column === "label" ? "By name" : definitionOf(column)}>
                    <UnstyledButton fw={600} fz="sm" onClick={() => setBy({ column, down: by.column === column ? !by.down : column !== "label" })}>
                      <Group gap={4} wrap="nowrap" component="span">
                        {column === "label" ? "Label" : termOf(column)}
                        {by.column === column && (by.down ? <IconArrowDown size={14} /> : <IconArrowUp size={14} />)}
                      </Group>
                    </UnstyledButton>
                  </Tooltip>
                </Table.Th>
              ))}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {rows.map((row) => (
              <Table.Tr key={row.label}>
                {COLUMNS.map((column) => (
                  <Table.Td key={column} ta={column === "label" ? "left" : "right"}>
                    {column === "label" ? (
                      <Group gap={8} wrap="nowrap">
                        <Dot colour={colour.get(row.label)} />
                        <Text size="sm" truncate maw={220}>
                          {row.label}
                        </Text>
                      </Group>
                    ) : SHARES.includes(column) ? (
                      <Bar share={row[column] as number | null} />
                    ) : column === "mcc" ? (
                      row.mcc.toFixed(2)
                    ) : (
                      (row[column] as number).toLocaleString("en")
                    )}
                  </Table.Td>
                ))}
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </ScrollArea>
    </Paper>
  );
}

function Bar({ share }: { share: number | null }) {
  if (share === null) return <Text c="dimmed">–</Text>;
  return (
    <Group gap={8} wrap="nowrap" justify="flex-end">
      <svg className={classes.bar} viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden>
        <rect width="100" height="6" rx="3" className={classes.rail} />
        <rect width={Math.max(1, share * 100)} height="6" rx="3" className={classes.fill} />
      </svg>
      <Text size="sm" w={58} ta="right">
        {percent(share)}
      </Text>
    </Group>
  );
}
