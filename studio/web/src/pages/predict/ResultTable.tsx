import { ScrollArea, Table, Text } from "@mantine/core";
import { percent } from "@/components/words";
import type { Schemas } from "@/api/client";
import { claimed, isAnswer, type Result, type Thresholds } from "@/pages/predict/answers";
import { Claim } from "@/pages/predict/Claim";
import type { Picture } from "@/pages/predict/pictures";
import classes from "@/pages/predict/predict.module.css";

interface Props {
  task: Schemas["PredictState"]["task"];
  pictures: Picture[];
  results: Map<string, Result>;
  thresholds: Thresholds;
  colourOf: (label: string) => string;
}

/** A row a picture: what is claimed, and how sure the model is of its first label. */
export function ResultTable({ task, pictures, results, thresholds, colourOf }: Props) {
  return (
    <ScrollArea>
      <Table verticalSpacing="xs" miw={480} aria-label="Predictions">
        <Table.Thead>
          <Table.Tr>
            <Table.Th w={64} aria-label="Photo" />
            <Table.Th>Name</Table.Th>
            <Table.Th>Prediction</Table.Th>
            <Table.Th>Most probable</Table.Th>
            <Table.Th ta="right">Probability</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {pictures.map((picture) => {
            const result = results.get(picture.id);
            const answer = result && isAnswer(result) ? result : undefined;
            const first = answer?.scores[0];
            return (
              <Table.Tr key={picture.id}>
                <Table.Td>
                  <img className={classes.small} src={picture.address} alt="" loading="lazy" />
                </Table.Td>
                <Table.Td>
                  <Text size="sm" style={{ overflowWrap: "anywhere" }}>
                    {picture.name || result?.name}
                  </Text>
                </Table.Td>
                <Table.Td>
                  {answer && <Claim labels={claimed(answer, task, thresholds)} unknown={answer.unknown} colourOf={colourOf} />}
                  {result && !isAnswer(result) && (
                    <Text size="sm" c="red">
                      {result.problem.detail}
                    </Text>
                  )}
                </Table.Td>
                <Table.Td>{first?.label}</Table.Td>
                <Table.Td ta="right" className="tabular">
                  {first && percent(first.probability)}
                </Table.Td>
              </Table.Tr>
            );
          })}
        </Table.Tbody>
      </Table>
    </ScrollArea>
  );
}
