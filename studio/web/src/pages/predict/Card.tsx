import { ActionIcon, Group, Loader, Paper, Select, Skeleton, Text, Tooltip } from "@mantine/core";
import { IconFlame, IconPhotoOff, IconX } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Schemas } from "@/api/client";
import { claimed, isAnswer, type Result, type Thresholds } from "@/pages/predict/answers";
import { type Asked, heatmap } from "@/pages/predict/ask";
import { Bars } from "@/pages/predict/Bars";
import { Claim } from "@/pages/predict/Claim";
import { Heatmap } from "@/pages/predict/Heatmap";
import type { Picture } from "@/pages/predict/pictures";
import classes from "@/pages/predict/predict.module.css";

interface Props {
  asked: Asked;
  task: Schemas["PredictState"]["task"];
  picture: Picture;
  result: Result | undefined;
  thresholds: Thresholds;
  colourOf: (label: string) => string;
  onRemove: () => void;
}

/** A picture with what the model says of it. */
export function Card({ asked, task, picture, result, thresholds, colourOf, onRemove }: Props) {
  const [broken, setBroken] = useState(false);
  const [wanted, setWanted] = useState<string | null>(null); // label of the heatmap
  const map = useQuery({
    queryKey: ["heatmap", asked, picture.id, wanted],
    enabled: wanted !== null,
    staleTime: Infinity,
    retry: false,
    queryFn: ({ signal }) => heatmap(asked, picture, wanted ?? "", signal),
  });
  const answer = result && isAnswer(result) ? result : undefined;
  const labels = answer ? claimed(answer, task, thresholds) : [];
  const name = picture.name || result?.name || "Photo";
  const most = answer?.scores[0]?.label;
  return (
    <Paper component="article" aria-label={name} withBorder radius="lg" p="sm" className={classes.card}>
      <div className={classes.stage}>
        {broken ? (
          <IconPhotoOff size={40} stroke={1.2} color="var(--mantine-color-dimmed)" aria-label="The browser cannot show this file" />
        ) : (
          <div className={classes.frame}>
            <img src={picture.address} alt={name} loading="lazy" onError={() => setBroken(true)} />
            {wanted !== null && map.data && <Heatmap map={map.data} />}
          </div>
        )}
      </div>
      <Group justify="space-between" wrap="nowrap" gap={4}>
        <Text size="xs" c="dimmed" truncate title={name} flex={1} miw={0}>
          {name}
        </Text>
        {answer && most !== undefined && !broken && (
          <Tooltip label={wanted === null ? "Show where the evidence lies" : "Hide the heatmap"}>
            <ActionIcon
              size="sm"
              variant={wanted === null ? "subtle" : "light"}
              color={wanted === null ? "gray" : "red"}
              aria-label="Heatmap"
              aria-pressed={wanted !== null}
              onClick={() => setWanted(wanted === null ? (labels[0] ?? most) : null)}
            >
              {map.isFetching ? <Loader size={12} /> : <IconFlame size={16} />}
            </ActionIcon>
          </Tooltip>
        )}
        <Tooltip label="Take it away">
          <ActionIcon size="sm" variant="subtle" color="gray" aria-label={`Take ${name} away`} onClick={onRemove}>
            <IconX size={16} />
          </ActionIcon>
        </Tooltip>
      </Group>
      {wanted !== null && answer && (
        <Select
          size="xs"
          aria-label="Evidence for"
          data={answer.scores.map(({ label }) => label)}
          value={wanted}
          allowDeselect={false}
          searchable
          onChange={setWanted}
          error={map.error?.message}
          description={map.isFetching ? "Parts of the photo are covered, one after the other …" : "Red speaks for it, blue against it"}
          inputWrapperOrder={["input", "description", "error"]}
        />
      )}
      {answer ? (
        <>
          <Claim labels={labels} unknown={answer.unknown} colourOf={colourOf} />
          <Bars scores={answer.scores} thresholds={thresholds} claimed={labels} colourOf={colourOf} />
        </>
      ) : result && !isAnswer(result) ? (
        <Text size="sm" c="red" role="alert">
          {result.problem.detail}
        </Text>
      ) : (
        <>
          <Skeleton h={20} w="40%" />
          <Skeleton h={40} />
        </>
      )}
    </Paper>
  );
}
