import { Button, Collapse, Group, Paper, Stack, Text, TextInput } from "@mantine/core";
import { useDebouncedValue, useDisclosure } from "@mantine/hooks";
import { IconChevronDown, IconSparkles } from "@tabler/icons-react";
import { type FormEvent } from "react";
import type { Counts, Label } from "@/api/labels";
import { RadioCards } from "@/components/RadioCards";
import { Wrong } from "@/components/Wrong";
import { tell } from "@/components/tell";
import { Advanced } from "@/pages/train/Advanced";
import { type Goal, inputOf, type TrainForm as Form } from "@/pages/train/form";
import { useReadOut, useTrain } from "@/pages/train/jobs";
import { LabelPicker } from "@/pages/train/LabelPicker";
import { Minutes } from "@/pages/train/Minutes";
import { ReadOutPanel } from "@/pages/train/ReadOutPanel";
import classes from "@/pages/train/train.module.css";

const GOALS: { value: Goal; label: string; about: string }[] = [
  { value: "single_label", label: "One label for each image", about: "The labels exclude each other: glass or paper or metal." },
  { value: "multi_label", label: "Any number of labels", about: "An image may show several at once, or none." },
  { value: "each", label: "Yes or no, for each label by itself", about: "One model for each ticked label: does an image have it? All other images are the background." },
];
const SETTLED_MS = 300;

interface Props {
  project: string;
  labels: Label[];
  counts: Counts;
  form: Form;
  change: (changed: Partial<Form>) => void;
  /** For a name that was not typed. */
  suggested: string;
  mayTrain: boolean;
  onQueued: () => void;
}

export function TrainForm({ project, labels, counts, form, change, suggested, mayTrain, onQueued }: Props) {
  const [isOpen, advanced] = useDisclosure(false);
  const train = useTrain(project);
  const chosen = labels.map(({ name }) => name).filter((name) => !form.without.includes(name));
  const isEach = form.goal === "each";
  const input = inputOf(form, chosen);
  // Of many trainings, which differ in the label alone, the one with the fewest images stands for all.
  const scarcest = labels.filter(({ name }) => chosen.includes(name)).sort((one, other) => one.images - other.images)[0];
  const sample = isEach && scarcest ? { ...input, labels: [scarcest.name] } : input;
  const [asked] = useDebouncedValue(JSON.stringify(sample), SETTLED_MS);
  const readOut = useReadOut(project, JSON.parse(asked) as typeof sample, chosen.length > 0);
  const isOld = readOut.isPlaceholderData || asked !== JSON.stringify(sample);
  const isHopeless = readOut.data !== undefined && !isOld && readOut.data.warnings.some(({ code }) => ["no_images", "few_labels"].includes(code));
  const name = form.name.trim() || suggested;

  function submit(event: FormEvent): void {
    event.preventDefault();
    train.mutate(
      { name, training: input, each: isEach ? chosen : null },
      {
        onSuccess: (jobs) => {
          tell(jobs.length > 1 ? `${jobs.length} trainings are in the queue.` : `${name} is in the queue.`);
          change({ name: "" });
          onQueued();
        },
      },
    );
  }

  return (
    <form onSubmit={submit} className={classes.form} aria-label="New training">
      <Paper withBorder radius="lg" p="lg">
        <Stack gap="lg">
          <TextInput
            label="Name"
            placeholder={suggested}
            maxLength={150}
            value={form.name}
            onChange={(event) => change({ name: event.currentTarget.value })}
          />
          <RadioCards label="What the model should say" choices={GOALS} value={form.goal} onChange={(goal) => change({ goal })} />
          <LabelPicker
            labels={labels}
            without={form.without}
            onChange={(without) => change({ without })}
            title="Labels"
            about={isEach ? "One model is trained for each of these, one after the other." : "Images without any of these take no part."}
          />
          <Minutes minutes={form.minutes} onChange={(minutes) => change({ minutes })} />
          <div>
            <Button
              variant="subtle"
              size="compact-sm"
              px={6}
              rightSection={<IconChevronDown size={16} style={{ transform: isOpen ? "rotate(180deg)" : undefined }} />}
              aria-expanded={isOpen}
              onClick={advanced.toggle}
            >
              Advanced
            </Button>
            <Collapse expanded={isOpen}>
              <Advanced project={project} form={form} flagged={counts.validation} change={change} />
            </Collapse>
          </div>
        </Stack>
      </Paper>
      <Stack className={classes.beside} gap="md">
        <ReadOutPanel
          readOut={chosen.length ? readOut.data : undefined}
          error={chosen.length ? readOut.error : new Error("Tick at least one label.")}
          isOld={isOld}
          labels={labels}
          minutes={form.minutes}
          models={isEach ? chosen.length : 1}
        />
        <Wrong error={train.error} />
        <Button type="submit" size="md" leftSection={<IconSparkles size={18} />} loading={train.isPending} disabled={!mayTrain || chosen.length === 0 || isHopeless}>
          {isEach && chosen.length > 1 ? `Train ${chosen.length} models` : "Train"}
        </Button>
        <Group gap={4} justify="center">
          <Text size="xs" c="dimmed" ta="center">
            It learns the images and labels as they are at this moment; you can go on labelling meanwhile.
          </Text>
        </Group>
      </Stack>
    </form>
  );
}
